"""The pool of connections and the two ways to use one: a single function call, or a transaction bound to a tenant."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import asyncpg

from rollhouse.database.outcomes import RETRYABLE, translated
from rollhouse.scim.errors import Unavailable

ACQUIRE_TIMEOUT_SECONDS = 2.0
COMMAND_TIMEOUT_SECONDS = 8.0
SHARE_WAIT_SECONDS = 1.0
TRIES = 4

Row = asyncpg.Record


class _Connection(asyncpg.Connection):
    """A connection that needs no reset on its way back: nothing session-level is ever set (invariant 1)."""

    def get_reset_query(self) -> str:
        """No statement, which saves one round trip a request."""
        return ""


class Transaction:
    """An open transaction that sees one tenant's rows."""

    def __init__(self, connection: Any, tenant_id: UUID) -> None:
        self._connection = connection
        self.tenant_id = tenant_id

    async def fetch(self, sql: str, *arguments: object) -> list[Row]:
        """The rows that a statement returns."""
        rows: list[Row] = await self._connection.fetch(sql, *arguments)
        return rows


class Database:
    """Postgres as the app role. Every connection of the service is opened here."""

    def __init__(self, url: str, *, connections: int) -> None:
        self._url = url
        self._connections = connections
        self._pool: asyncpg.Pool[Any] | None = None
        self._shares: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()

    async def open(self) -> None:
        """Connect.

        Raises:
            Unavailable: Postgres cannot be reached.
        """
        with translated():
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=self._connections,
                command_timeout=COMMAND_TIMEOUT_SECONDS,
                max_inactive_connection_lifetime=300,
                connection_class=_Connection,
            )

    @asynccontextmanager
    async def share(self, tenant_id: UUID) -> AsyncIterator[None]:
        """Room for one long read of the tenant: a quarter of the connections at once, so that no tenant's scans starve the others.

        Raises:
            Unavailable: the tenant has as many under way already, and none ends within a second.
        """
        room = self._shares.setdefault(tenant_id, asyncio.Semaphore(max(1, self._connections // 4)))
        try:
            await asyncio.wait_for(room.acquire(), SHARE_WAIT_SECONDS)
        except TimeoutError:
            raise Unavailable("This tenant has too many long searches under way; try again.", retry_after_seconds=2) from None
        try:
            yield
        finally:
            room.release()

    async def close(self) -> None:
        """End every connection, waiting at most five seconds for statements under way."""
        if self._pool is None:
            return
        try:
            await asyncio.wait_for(self._pool.close(), 5)
        except TimeoutError:
            self._pool.terminate()

    @property
    def pool(self) -> "asyncpg.Pool[Any]":
        """The open pool."""
        if self._pool is None:
            raise asyncpg.InterfaceError("the database is not open")
        return self._pool

    async def call(self, sql: str, *arguments: object) -> list[Row]:
        """The rows of one statement that is a transaction by itself: `SELECT * FROM rollhouse.<function>(...)`.

        One round trip. A deadlock or serialization failure is tried again up to three times.

        Raises:
            ScimError: what the failure means (see `outcomes`).
        """
        with translated():
            for attempt in range(TRIES):
                try:
                    # A timeout costs 5 us of CPU; where a connection is free there is nothing to wait for.
                    timeout = None if self.pool.get_idle_size() else ACQUIRE_TIMEOUT_SECONDS
                    async with self.pool.acquire(timeout=timeout) as connection:
                        rows: list[Row] = await connection.fetch(sql, *arguments)
                        return rows
                except asyncpg.InternalClientError:
                    # Postgres had ended the idle connection: nothing was sent. The others are likely dead too.
                    await self.pool.expire_connections()
                    if attempt == TRIES - 1:
                        raise
                except asyncpg.PostgresError as error:
                    if error.sqlstate not in RETRYABLE or attempt == TRIES - 1:
                        raise
                await asyncio.sleep(random.uniform(0.005, 0.03) * (attempt + 1))  # noqa: S311 - jitter
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def transaction(self, tenant_id: UUID, *, statement_timeout_milliseconds: int = 5000) -> AsyncIterator[Transaction]:
        """A transaction bound to the tenant; committed at the end of the block, rolled back if it raises. Two trips of its own.

        Raises:
            ScimError: what a failure means (see `outcomes`).
        """
        with translated():
            async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
                # UUID() has checked the text; a simple-protocol string saves one round trip.
                limit = f"SET LOCAL statement_timeout = {int(statement_timeout_milliseconds)}"
                # Planned for this tenant's size, not for the average tenant's.
                plans = "SET LOCAL plan_cache_mode = force_custom_plan"
                await connection.execute(f"BEGIN; {limit}; {plans}; SELECT set_config('rollhouse.tenant', '{UUID(str(tenant_id))}', true)")
                try:
                    yield Transaction(connection, tenant_id)
                except BaseException:
                    if not connection.is_closed():
                        await asyncio.shield(connection.execute("ROLLBACK"))
                    raise
                await connection.execute("COMMIT")
