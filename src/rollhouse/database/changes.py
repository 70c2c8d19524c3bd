"""Hearing of changes that other processes make: LISTEN on a connection of its own, and what is forgotten when it was deaf."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg

from rollhouse.database.outcomes import is_of_database
from rollhouse.telemetry.logs import log

CHANNEL = "rollhouse"
CHECK_SECONDS = 2.0
CONNECT_SECONDS = 2.0


class Changes:
    """Tells of changed credentials, keys and tenants within a moment.

    `heard` is called with `credential:<lookup id>`, `operator-key:<lookup id>` or `tenant:<id>`; `deaf` whenever something may
    have been missed. Behind PgBouncer in transaction mode nothing is heard: the caches' own five seconds hold then.
    """

    def __init__(self, url: str, *, heard: Callable[[str], None], deaf: Callable[[], None]) -> None:
        self._url = url
        self._heard = heard
        self._deaf = deaf

    async def listen(self) -> None:
        """Listen, and listen again after each failure; runs until cancelled."""
        is_told = False
        while True:
            try:
                connection = await asyncpg.connect(self._url, timeout=CONNECT_SECONDS)
                try:
                    await connection.add_listener(CHANNEL, self._hear)
                    self._deaf()
                    is_told = False
                    while True:
                        await asyncio.sleep(CHECK_SECONDS)
                        await connection.execute("SELECT 1", timeout=CHECK_SECONDS)
                finally:
                    connection.terminate()
            except Exception as error:
                if not is_of_database(error):
                    raise
                if not is_told:
                    log("changes.deaf", error=type(error).__name__, cure="Postgres cannot be reached for LISTEN; revocations take up to five seconds meanwhile")
                    is_told = True
                await asyncio.sleep(CHECK_SECONDS)

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self._heard(str(payload))
