"""The connections to Postgres, shared fairly between tenants, and the two ways to use one: a single statement, or a transaction of a tenant."""

import asyncio
import math
import random
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import UUID

import asyncpg

from rollhouse.database.gathering import Gathering, Item, Question
from rollhouse.database.outcomes import is_lost, is_of_database, is_of_one, is_undone, refusal_of
from rollhouse.database.turns import Turns
from rollhouse.scim.errors import ScimError
from rollhouse.telemetry.metrics import CONNECTION_WAIT_SECONDS, database_seconds
from rollhouse.telemetry.traces import Kind, error_type, span

CONNECT_SECONDS = 2.0
"""Longest that one server is tried."""
SERVICE_SECONDS = 6.0
"""Longest that a statement is waited for which no single request's deadline ends; the role's limit is 5 s."""
LOCK_MILLISECONDS = 2000
IDLE_SECONDS = 300.0
"""After how long without work a connection is ended."""
CLOSE_SECONDS = 2.0
WAIT_SECONDS = 1.0
"""Longest that a request waits for a connection."""
LINE = 256
"""Requests that may wait for a connection: room for the burst of one tenant; a tenth of a second of work."""
SHARE = 4
"""One tenant gets at most this fraction of the connections: a quarter."""
TRIES = 4
POSTGRES = "postgresql"
STRANGERS = UUID(int=1)
"""On whose account is looked up what a request without a proven credential asks for; no tenant has this id."""

Row = asyncpg.Record
_FUNCTION = re.compile(r"\s*SELECT (?:.*? FROM )?rollhouse\.(\w+)\(")
_TABLE = re.compile(r"\s*(\w+)\b(?:.*?rollhouse\.(\w+))?", re.DOTALL)


def operation_of(sql: str) -> str:
    """What a statement is called in metrics and traces: the function of ours that it calls, else its verb and first table."""
    called = _FUNCTION.match(sql)
    if called is not None:
        return called[1]
    found = _TABLE.match(sql)
    return " ".join(part for part in (found[1].upper(), found[2]) if part) if found is not None else "other"


@lru_cache(maxsize=1000)
def _named(sql: str) -> tuple[str, Kind, dict[str, str]]:
    """What a statement's span is made of: what the statement is called, and its attributes."""
    operation = operation_of(sql)
    return operation, "client", {"db.system.name": POSTGRES, "db.operation.name": operation}


async def timed(connection: Any, sql: str, arguments: tuple[object, ...], seconds: float | None = None) -> list[Row]:
    """The rows of a statement, as a measure and, if the request is traced, as a span; it is ended after so many seconds."""
    operation, kind, attributes = _named(sql)
    error = ""
    started = time.perf_counter()
    try:
        with span(operation, kind, attributes):
            rows: list[Row] = await connection.fetch(sql, *arguments, timeout=seconds)
            return rows
    except Exception as raised:
        error = error_type(raised)
        raise
    finally:
        database_seconds(POSTGRES, operation, error).observe(time.perf_counter() - started)


def _as_array(values: list[Any]) -> str:
    """Texts, or truth values, as Postgres writes an array of them."""
    return "{" + ",".join('"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values) + "}"


class Transaction:
    """An open transaction that sees one tenant's rows."""

    def __init__(self, connection: Any, tenant_id: UUID) -> None:
        self._connection = connection
        self.tenant_id = tenant_id

    async def fetch(self, sql: str, *arguments: object) -> list[Row]:
        """The rows that a statement returns."""
        return await timed(self._connection, sql, arguments)


class Servers:
    """The servers that a URL names (`?host=a,b&port=1,2` or `//role@a:1,b:2/`), the one that let us in last first.

    Each is tried for two seconds by itself: the driver would spend them all on a first server that is dead and does not say so.
    Of several servers only one that takes writes is of use, unless the URL sets `target_session_attrs`.
    """

    def __init__(self, url: str) -> None:
        self._urls = _url_of_each(url)

    async def connect(self) -> Any:
        """A new connection.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError: no server lets us in; what the last one said.
        """
        tried = self._urls
        for url in tried:
            try:
                connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
            except Exception as error:
                if url == tried[-1] or not is_of_database(error):
                    raise
            else:
                self._urls = [url, *(other for other in tried if other != url)]
                return connection
        raise AssertionError("unreachable")


def _url_of_each(url: str) -> list[str]:
    parts = urlsplit(url)
    role, at, address = parts.netloc.rpartition("@")
    settings = dict(parse_qsl(parts.query))
    hosts, ports = settings.get("host", "").split(","), settings.get("port", "").split(",")
    if "," in address:
        places: list[tuple[str, dict[str, str]]] = [(one, {}) for one in address.split(",")]
    elif len(hosts) > 1:
        places = [(address, {"host": host, "port": ports[min(number, len(ports) - 1)]}) for number, host in enumerate(hosts)]
    else:
        return [url]
    found = []
    for one, own in places:
        query = {"target_session_attrs": "read-write"} | settings | own
        found.append(parts._replace(netloc=role + at + one, query=urlencode({name: value for name, value in query.items() if value})).geturl())
    return found


class Database:
    """Postgres as the app role. Every connection of the service is opened here (docs/decisions/0005-fair-pool.md).

    At most `connections` of them; one tenant uses a quarter at once.
    """

    def __init__(self, url: str, *, connections: int) -> None:
        self._servers = Servers(url)
        self.turns = Turns(permits=connections, share=max(1, connections // SHARE), line=LINE, wait_seconds=WAIT_SECONDS, told=CONNECTION_WAIT_SECONDS.observe)
        self._reads = Gathering(partial(self._carry, repeats=True))
        self._changes = Gathering(partial(self._carry, repeats=False))
        self._idle: list[tuple[Any, float]] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._is_open = False

    @property
    def idle(self) -> int:
        """Connections that are open and not at work."""
        return len(self._idle)

    async def open(self) -> None:
        """Connect once, so that a wrong URL is told at start.

        Raises:
            Unavailable: Postgres cannot be reached.
        """
        self._is_open = True
        await self.query("SELECT 1")

    async def close(self) -> None:
        """End every connection that is not at work; those that are end when their work does."""
        self._is_open = False
        self._end_idle(before=math.inf)
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSE_SECONDS)

    async def call(self, sql: str, tenant_id: UUID, *arguments: object) -> list[Row]:
        """The rows of a statement whose $1 is the tenant, and which is a transaction by itself: `SELECT * FROM rollhouse.<function>(...)`.

        One round trip. A deadlock or serialization failure is tried again up to three times; a connection that turns out to be
        dead before the statement was sent, too.

        Raises:
            ScimError: what the failure means (see `outcomes`).
        """
        return await self._fetch(tenant_id, sql, (tenant_id, *arguments), repeats=False)

    async def read(self, sql: str, tenant_id: UUID, *arguments: object) -> list[Row]:
        """As `call`, for a statement that writes nothing: it is repeated also when a connection was lost under way."""
        return await self._fetch(tenant_id, sql, (tenant_id, *arguments), repeats=True)

    async def row(self, sql: str, tenant_id: UUID, *arguments: object, of: object, in_company: bool) -> Row | None:
        """The row of one item, None without one, by a statement as for `read` whose last argument is a list of items.

        In company it is read together with what others of the tenant ask for (see `gathering`).
        """
        if self._reads.is_worth_a_turn(tenant_id, in_company=in_company):
            with span(*_named(sql)):
                return await self._reads.ask((sql, tenant_id, arguments), (of,))
        rows = await self._fetch(tenant_id, sql, (tenant_id, *arguments, [of]), repeats=True)
        return rows[0] if rows else None

    async def change(self, sql: str, tenant_id: UUID, *arguments: object, of: Item, in_company: bool) -> Row | None:
        """The row of one change that was made together with others of its tenant.

        The statement is as for `call`; its last arguments are lists, one for each part of a change. A part that is a list itself comes as
        the text of an array, since lists of different lengths are no array of arrays.

        None if nothing of it was done: because nobody is there to go with, because the statement has left it out, or because the server
        has refused all of them for what one asks or waits for. Then it is to be made by itself.

        Raises:
            ScimError: what any other failure means.
        """
        if not self._changes.is_worth_a_turn(tenant_id, in_company=in_company):
            return None
        try:
            with span(*_named(sql)):
                return await self._changes.ask((sql, tenant_id, arguments), of)
        except ScimError as refusal:
            if is_of_one(refusal):
                return None
            raise

    async def query(self, sql: str, *arguments: object) -> list[Row]:
        """The rows of a statement on behalf of the service itself: the global tables, the catalog. Raises as `call`."""
        return await self._fetch(None, sql, arguments, repeats=False, seconds=SERVICE_SECONDS)

    async def look_up(self, sql: str, *arguments: object, is_for_stranger: bool = False) -> list[Row]:
        """As `query`, for a statement that writes nothing: it is repeated also when a connection was lost under way.

        For whoever has not proven anything yet there is one share for all of them together, as for a tenant: a flood of
        strangers waits for itself.
        """
        return await self._fetch(STRANGERS if is_for_stranger else None, sql, arguments, repeats=True, seconds=SERVICE_SECONDS)

    async def _carry(self, question: Question, take: Callable[[], list[Item]], *, repeats: bool) -> list[Row]:
        sql, tenant_id, arguments = question
        if not self.turns.take(tenant_id):
            await self.turns.wait(tenant_id)
        try:
            items = take()
            if not items:
                return []
            columns = [[_as_array(value) if isinstance(value, list) else value for value in column] for column in zip(*items, strict=True)]
            return await self._tried(sql, (tenant_id, *arguments, *columns), repeats=repeats, seconds=SERVICE_SECONDS)
        finally:
            self.turns.leave(tenant_id)

    async def _fetch(self, key: UUID | None, sql: str, arguments: tuple[object, ...], *, repeats: bool, seconds: float | None = None) -> list[Row]:
        if not self.turns.take(key):
            await self.turns.wait(key)
        try:
            return await self._tried(sql, arguments, repeats=repeats, seconds=seconds)
        finally:
            self.turns.leave(key)

    async def _tried(self, sql: str, arguments: tuple[object, ...], *, repeats: bool, seconds: float | None) -> list[Row]:
        """The rows of a statement, which is tried again where its failure lets it; each try ends after so many seconds."""
        for attempt in range(1, TRIES + 1):
            connection = None
            try:
                connection = self._idle_one() or await self._open_one()
                rows = await timed(connection, sql, arguments, seconds)
            except Exception as error:
                self._put_away(connection, error)
                if attempt == TRIES or not (is_undone(error) or (repeats and is_lost(error) and (connection is not None or attempt == 1))):
                    raise refusal_of(error) from error
            except BaseException:
                self._end(connection)
                raise
            else:
                self._keep(connection)
                return rows
            await asyncio.sleep(random.uniform(0.005, 0.03) * attempt)  # noqa: S311 - jitter
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def connection(self, key: UUID | None = None) -> AsyncIterator[Any]:
        """A connection for the length of the block, on a tenant's account or the service's own; nothing may be left set on it.

        Raises:
            ScimError: what a failure means (see `outcomes`).
        """
        async with self.turns.turn(key):
            connection = None
            try:
                connection = self._idle_one() or await self._open_one()
                yield connection
            except Exception as error:
                self._put_away(connection, error)
                if not is_of_database(error):
                    raise
                raise refusal_of(error) from error
            except BaseException:
                self._end(connection)
                raise
            self._keep(connection)

    @asynccontextmanager
    async def transaction(self, tenant_id: UUID, *, statement_timeout_milliseconds: int = 5000) -> AsyncIterator[Transaction]:
        """A transaction bound to the tenant; committed at the end of the block, rolled back if it raises. Two trips of its own.

        Raises:
            ScimError: what a failure means (see `outcomes`).
        """
        # UUID() has checked the text; a simple-protocol string saves one round trip.
        milliseconds = int(statement_timeout_milliseconds)
        limit = f"SET LOCAL statement_timeout = {milliseconds}"
        # Shorter than the statement's: a wait for a lock must not look like a statement that had too much to do.
        lock = f"SET LOCAL lock_timeout = {min(LOCK_MILLISECONDS, milliseconds // 2)}"
        # Planned for this tenant's size, not for the average tenant's.
        plans = "SET LOCAL plan_cache_mode = force_custom_plan"
        async with self.connection(tenant_id) as connection:
            await connection.execute(f"BEGIN; {limit}; {lock}; {plans}; SET LOCAL rollhouse.tenant = '{UUID(str(tenant_id))}'")
            try:
                yield Transaction(connection, tenant_id)
            except Exception:
                if not connection.is_closed():
                    await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")

    def _idle_one(self) -> Any:
        """A connection that nobody uses, None without one."""
        while self._idle:
            connection, _ = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    async def _open_one(self) -> Any:
        """A new connection."""
        if not self._is_open:
            raise asyncpg.InterfaceError("the database is not open")
        opening = asyncio.ensure_future(self._servers.connect())
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(self._end_opened)  # a connection cut off while it is being made would leave its socket open
            raise

    def _end_opened(self, opening: "asyncio.Future[Any]") -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._end(opening.result())

    def _keep(self, connection: Any) -> None:
        if not self._is_open:
            self._end(connection)
            return
        now = time.monotonic()
        self._idle.append((connection, now))
        if self._idle[0][1] < now - IDLE_SECONDS:
            self._end_idle(before=now - IDLE_SECONDS)

    def _put_away(self, connection: Any, error: Exception) -> None:
        """Keep the connection for others if the error says nothing against it; when it was lost, the idle ones are likely dead, too."""
        if connection is None:
            return
        if is_lost(error):
            self._end_idle(before=math.inf)
        if is_lost(error) or connection.is_closed() or connection.is_in_transaction():
            self._end(connection)
        else:
            self._keep(connection)

    def _end_idle(self, *, before: float) -> None:
        for connection, since in self._idle:
            if since < before:
                self._end(connection)
        self._idle = [(connection, since) for connection, since in self._idle if since >= before]

    def _end(self, connection: Any) -> None:
        """End a connection in the background: a statement under way is cancelled on the server first."""
        if connection is None or connection.is_closed():
            return
        task = asyncio.create_task(_close(connection))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _close(connection: Any) -> None:
    try:
        await connection.close(timeout=CLOSE_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        connection.terminate()
