"""Hearing of changes that other processes make: LISTEN on a connection of its own, and what is forgotten when it was deaf."""

import asyncio
from collections.abc import Callable
from typing import Any

from rollhouse.database.outcomes import is_of_database
from rollhouse.database.pool import Servers
from rollhouse.telemetry.logs import log

CHANNEL = "rollhouse"
CHECK_SECONDS = 2.0


class Changes:
    """Tells of changed credentials, keys and tenants within a moment.

    `heard` is called with `credential:<lookup id>`, `operator-key:<lookup id>` or `tenant:<id>`; `deaf` whenever something may
    have been missed. Behind PgBouncer in transaction mode nothing is heard: the caches' own five seconds hold then.
    """

    def __init__(self, url: str, *, heard: Callable[[str], None], deaf: Callable[[], None]) -> None:
        self._servers = Servers(url)
        self._heard = heard
        self._deaf = deaf
        self._is_told = False

    async def listen(self) -> None:
        """Listen, and listen again after each failure; runs until cancelled."""
        while True:
            try:
                await self._listen_once()
            except Exception as error:
                if not is_of_database(error):
                    raise
                if not self._is_told:
                    log("changes.deaf", error=type(error).__name__, cure="Postgres cannot be reached for LISTEN; revocations take up to five seconds meanwhile")
                    self._is_told = True
            await asyncio.sleep(CHECK_SECONDS)

    async def _listen_once(self) -> None:
        """Listen until the connection is lost, or its server takes no writes any more and so has nothing to tell: another one may."""
        connection = await self._servers.connect()
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await connection.add_listener(CHANNEL, self._hear)
            self._deaf()
            self._is_told = False
            read_only = "off"
            while read_only == "off":
                await asyncio.sleep(CHECK_SECONDS)
                read_only = await connection.fetchval("SHOW transaction_read_only", timeout=CHECK_SECONDS)
        finally:
            connection.terminate()

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self._heard(str(payload))
