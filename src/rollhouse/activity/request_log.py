"""The request log: noted without a wait while a request is answered, written in batches behind it, read by tenant and page."""

import asyncio
import time
from collections import OrderedDict, deque
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from rollhouse.activity.entries import Entry, Row, row_of
from rollhouse.activity.live import Live
from rollhouse.database.pool import Database, Transaction
from rollhouse.scim.errors import InvalidValue, ScimError
from rollhouse.scim.messages import encode
from rollhouse.telemetry.logs import log_fault
from rollhouse.telemetry.metrics import REQUEST_LOG_WAITING, request_log_dropped
from rollhouse.tenancy.tenants import is_slug

WAITING_LIMIT = 10_000
"""Entries that wait to be written; what comes on top is dropped and counted."""
BODY_BYTES_WAITING_LIMIT = 64 * 1024 * 1024
"""Bytes of bodies and queries among them; over it, entries are kept without theirs."""
BATCH = 200
LARGE_BYTES = 16 * 1024
PAUSE_SECONDS = 0.2
REFUSED_PER_HOUR = 500
"""Rows of requests without a secret of the tenant's that one process keeps of one tenant in an hour: anybody can send them."""
REFUSED_TENANTS = 10_000
FAILED = 400
PAGE_LIMIT = 100
DAYS_AHEAD = 3
KEPT_BYTES = 50 * 1024**3
"""The log of all tenants together; over it, the oldest day goes first."""

_APPEND = "SELECT * FROM rollhouse.append_requests($1::jsonb, $2)"
_COUNT_HEADS = "SELECT rollhouse.count_heads()"
_KEEP_DAYS = "SELECT rollhouse.keep_request_days($1, $2, $3)"
_HEADLINE = (
    "id, at, request_id, method, path, query, status, microseconds, kind, credential_id, reason, scim_type, detail, resource_type, resource_id,"
    " user_agent, tolerances"
)


_ORDERED = "SELECT set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true)"
_FIRST = (
    f"SELECT {_HEADLINE} FROM rollhouse.requests WHERE tenant_id = $1 AND id > $2 AND kind = $3 AND status < 400"
    " AND ($4::text IS NULL OR resource_type = $4) ORDER BY id LIMIT 1"
)
_WRITES = (
    f"SELECT {_HEADLINE}, request_body, response_body FROM rollhouse.requests WHERE tenant_id = $1 AND resource_id = $2 AND kind <> 'read'"
    " AND status < 400 ORDER BY id DESC LIMIT $3"
)
_USES = (
    "SELECT credential_id, count(*) AS count FROM rollhouse.requests WHERE tenant_id = $1 AND id > $2 AND credential_id = ANY ($3) AND status < 400"
    " GROUP BY credential_id"
)


class LoggedRequest(msgspec.Struct, frozen=True):
    """One row as it is read: the headline of every request; the bodies are None unless they were asked for and kept."""

    id: UUID
    at: datetime
    request_id: str
    method: str
    path: str
    query: str | None
    status: int
    microseconds: int
    kind: str
    credential_id: UUID | None
    reason: str | None
    scim_type: str | None
    detail: str | None
    resource_type: str | None
    resource_id: UUID | None
    user_agent: str | None
    tolerances: list[str]
    request_body: str | None = None
    response_body: str | None = None


class RequestLog:
    """Takes entries at once and writes them soon; it never makes a request wait or fail."""

    def __init__(self, database: Database, live: Live, *, gap_seconds: float) -> None:
        self._database = database
        self._live = live
        self._gap_seconds = gap_seconds
        self._waiting: deque[Entry] = deque()
        self._body_bytes = 0
        self._refused: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def note(self, entry: Entry) -> None:
        """Take an entry; over a bound it is dropped and counted. A path of no tenant, or a token that was given, leaves none."""
        if not is_slug(entry.slug) or (not entry.is_proven and entry.status < FAILED):
            return
        if not entry.is_proven and not self._may_keep_refused(entry.slug):
            request_log_dropped("refused").inc()
        elif len(self._waiting) >= WAITING_LIMIT:
            request_log_dropped("queue").inc()
        else:
            size = _size(entry)
            if self._body_bytes + size > BODY_BYTES_WAITING_LIMIT:
                entry.request_body = entry.answer_body = entry.query = b""
                request_log_dropped("body").inc()
                size = 0
            self._body_bytes += size
            self._waiting.append(entry)

    async def write(self) -> None:
        """Write what waits, again and again; runs until cancelled."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write all that waits now; what Postgres does not take is dropped and counted."""
        REQUEST_LOG_WAITING.set(len(self._waiting))
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._body_bytes -= sum(_size(one) for one in batch)
            rows, now = [], time.monotonic()
            for entry in batch:
                try:
                    rows.append(row_of(entry, now))
                except Exception as error:  # noqa: BLE001 - one odd request must not end the log of all others
                    request_log_dropped("fault").inc()
                    log_fault("request_log.fault", error, request_id=entry.request_id)
                if _size(entry) > LARGE_BYTES:
                    await asyncio.sleep(0)  # a large body takes a millisecond: others go first
            if not rows:
                continue
            if not await self._append(rows):
                return

    async def _append(self, rows: list[Row]) -> bool:
        """Write rows and wake who looks at them; whether the database can take more. A row that it refuses for its values costs itself alone."""
        try:
            told = await self._database.query(_APPEND, encode(rows).decode(), self._gap_seconds)
        except InvalidValue as error:
            if len(rows) > 1:
                half = len(rows) // 2
                return await self._append(rows[:half]) and await self._append(rows[half:])
            request_log_dropped("fault").inc()
            log_fault("request_log.fault", error, request_id=rows[0].request_id, cure="report this request: its row could not be stored")
        except ScimError as error:
            request_log_dropped("database").inc(len(rows))
            log_fault("request_log.not_written", error, rows=len(rows), cure="see the cause; the requests themselves were served")
            return False
        else:
            await self._live.tell([one[0] for one in told])
        return True

    def _may_keep_refused(self, slug: str) -> bool:
        hour = int(time.monotonic() // 3600)
        since, count = self._refused.get(slug, (hour, 0))
        count = count + 1 if since == hour else 1
        self._refused[slug] = (hour, count)
        self._refused.move_to_end(slug)
        if len(self._refused) > REFUSED_TENANTS:
            self._refused.popitem(last=False)
        return count <= REFUSED_PER_HOUR


def _size(entry: Entry) -> int:
    """The bytes of an entry that its client chose."""
    return len(entry.request_body) + len(entry.answer_body) + len(entry.query)


async def keep_days(database: Database, *, kept_days: int, kept_bytes: int = KEPT_BYTES) -> int:
    """How many days of the log were made or dropped: those ahead are there, those past their time or beyond the size are gone.

    Today's headcounts of all tenants are noted, too.
    """
    await database.query(_COUNT_HEADS)
    return int((await database.query(_KEEP_DAYS, DAYS_AHEAD, kept_days, kept_bytes))[0][0])


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests a page shows: older than the id `before` or newer than `after`; `only_failures` are those answered with 400 or more."""

    before: UUID | None = None
    after: UUID | None = None
    kind: str | None = None
    only_failures: bool = False
    resource_id: UUID | None = None
    limit: int = PAGE_LIMIT


async def _in_order(tx: Transaction, sql: str, *values: Any) -> list[Any]:
    """The rows of a statement that reads an index in its order until its limit.

    The table of a day has no statistics in its first hours: left alone, Postgres reads all that a tenant has in it, and sorts.
    """
    await tx.fetch(_ORDERED)
    return await tx.fetch(sql, *values)


async def list_requests(tx: Transaction, wanted: Wanted) -> list[LoggedRequest]:
    """The tenant's requests, newest first; at most 100."""
    conditions, values = ["tenant_id = $1"], [tx.tenant_id]
    for condition, value in (
        ("id < ", wanted.before),
        ("id > ", wanted.after),
        ("kind = ", wanted.kind),
        ("resource_id = ", wanted.resource_id),
    ):
        if value is not None:
            values.append(value)  # type: ignore[arg-type]
            conditions.append(f"{condition}${len(values)}")
    if wanted.only_failures:
        conditions.append("status >= 400")
    values.append(min(wanted.limit, PAGE_LIMIT))  # type: ignore[arg-type]
    sql = f"SELECT {_HEADLINE} FROM rollhouse.requests WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ${len(values)}"
    rows = await _in_order(tx, sql, *values)
    return [LoggedRequest(*row) for row in rows]


class Headline(msgspec.Struct, frozen=True):
    """A request of any tenant without what was sent or answered: no word of a person."""

    slug: str
    id: UUID
    at: datetime
    method: str
    path: str
    status: int
    microseconds: int
    scim_type: str | None
    reason: str | None


async def newest_of_all(database: Database, *, limit: int) -> list[Headline]:
    """The newest requests of all tenants, newest first."""
    return [Headline(*row) for row in await database.look_up("SELECT * FROM rollhouse.newest_requests($1)", limit)]


async def writes_of(tx: Transaction, resource_id: UUID, *, limit: int = PAGE_LIMIT) -> list[LoggedRequest]:
    """The newest writes of one resource that were answered well, with their bodies."""
    return [LoggedRequest(*row) for row in await tx.fetch(_WRITES, tx.tenant_id, resource_id, min(limit, PAGE_LIMIT))]


async def first_request(tx: Transaction, after: UUID, *, kind: str, resource_type: str | None = None) -> LoggedRequest | None:
    """The tenant's first request of a kind behind an id that was answered well, and that is about a resource type if one is given."""
    rows = await _in_order(tx, _FIRST, tx.tenant_id, after, kind, resource_type)
    return LoggedRequest(*rows[0]) if rows else None


async def uses_of(tx: Transaction, credential_ids: list[UUID], since: UUID) -> dict[UUID, int]:
    """How often each of the credentials was used behind an id."""
    return {row["credential_id"]: row["count"] for row in await tx.fetch(_USES, tx.tenant_id, since, credential_ids)}


async def find_request(tx: Transaction, request_id: UUID) -> LoggedRequest | None:
    """One request with its bodies."""
    rows = await tx.fetch(f"SELECT {_HEADLINE}, request_body, response_body FROM rollhouse.requests WHERE tenant_id = $1 AND id = $2", tx.tenant_id, request_id)
    return LoggedRequest(*rows[0]) if rows else None
