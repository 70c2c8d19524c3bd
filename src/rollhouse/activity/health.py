"""The health of a tenant's provisioning: what its counters and times mean, and what follows for who looks after it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal, get_args
from uuid import UUID

import msgspec

from rollhouse.database.pool import Database, Row

STALLED_AFTER = timedelta(hours=2)
"""Entra comes every 40 minutes: three cycles missed."""
FAILURES_IN_A_ROW = 5
MONTH = timedelta(days=30)
"""What pages show of the past."""
CYCLE = timedelta(minutes=40)
"""Entra ID's fixed interval between two cycles."""
CYCLE_MINUTES = (10, 40, 120)
"""Within how many it is counted which tenants have begun a cycle: now, in one interval of Entra ID, and until they count as stalled."""

State = Literal["unused", "failing", "stalled", "healthy"]


class Health(msgspec.Struct, frozen=True):
    """What is known of a tenant's requests, as counts and times; None for what never happened."""

    tenant_id: UUID
    first_request: datetime | None = None
    last_request: datetime | None = None
    last_success: datetime | None = None
    last_failure: datetime | None = None
    failures_since_success: int = 0
    first_write: datetime | None = None
    last_write: datetime | None = None
    cycles: int = 0
    cycle_began: datetime | None = None
    previous_cycle_began: datetime | None = None
    client: str | None = None

    def state(self, now: datetime | None = None) -> State:
        """`unused` before the first success, `failing` after five failures in a row, `stalled` after two silent hours, else `healthy`."""
        if self.failures_since_success >= FAILURES_IN_A_ROW:
            return "failing"
        if self.last_success is None:
            return "unused"
        return "stalled" if (now or datetime.now(UTC)) - self.last_success > STALLED_AFTER else "healthy"

    @property
    def is_quarantine_risk(self) -> bool:
        """Whether the connection has failed for a whole cycle and more: Entra ID puts one that goes on so into quarantine and slows it down."""
        is_long = self.last_success is None or (self.last_failure is not None and self.last_failure - self.last_success > CYCLE)
        return self.failures_since_success >= FAILURES_IN_A_ROW and is_long

    @property
    def next_cycle(self) -> datetime | None:
        """When the next cycle is to be expected: as long after the last one as that was after the one before it, at most Entra's 40 minutes."""
        if self.cycle_began is None:
            return None
        usual = self.cycle_began - self.previous_cycle_began if self.previous_cycle_began is not None else CYCLE
        return self.cycle_began + min(usual, CYCLE)


class Hour(msgspec.Struct, frozen=True):
    """How many requests of one kind a tenant made in one hour."""

    hour: datetime
    kind: str
    count: int


class Headcount(msgspec.Struct, frozen=True):
    """How many resources of a type a tenant had on a day."""

    day: date
    resource_type: str
    count: int


class Failures(msgspec.Struct, frozen=True):
    """A tenant's failures of one kind: method, resource type, status and reason in one text."""

    fingerprint: str
    first_seen: datetime
    last_seen: datetime
    count: int


class Cluster(msgspec.Struct, frozen=True):
    """Failures of one kind at all tenants: how many there are, at how many tenants, and the three that have most of them."""

    fingerprint: str
    first_seen: datetime
    last_seen: datetime
    count: int
    tenants: int
    slugs: list[str]


class Need(msgspec.Struct, frozen=True):
    """A tenant that somebody must look at: it is failing, it has stalled, or its secret is expiring (`at` says when); `of` is how many there are."""

    state: Literal["failing", "stalled", "expiring"]
    slug: str
    name: str
    at: datetime | None
    of: int


_COLUMNS = ", ".join(Health.__struct_fields__)
_HEALTH = f"SELECT {_COLUMNS} FROM rollhouse.tenant_health WHERE tenant_id = $1"
_ALL = f"SELECT {_COLUMNS} FROM rollhouse.tenant_health WHERE tenant_id = ANY ($1)"
_HOURS = "SELECT hour, kind, count FROM rollhouse.request_hours WHERE tenant_id = $1 AND hour >= $2 ORDER BY hour, kind"
_ALL_HOURS = "SELECT hour, kind, sum(count)::bigint FROM rollhouse.request_hours WHERE hour >= $1 GROUP BY hour, kind ORDER BY hour, kind"
_CLUSTERS = (
    "SELECT f.fingerprint, min(f.first_seen), max(f.last_seen), sum(f.count)::bigint, count(*), (array_agg(t.slug ORDER BY f.count DESC))[1:3]"
    " FROM rollhouse.request_failures f JOIN rollhouse.tenants t ON t.id = f.tenant_id WHERE f.last_seen >= $1"
    " GROUP BY f.fingerprint ORDER BY count(*) DESC, max(f.last_seen) DESC LIMIT $2"
)
_NEEDS = (
    "SELECT n.state, t.slug, t.name, n.at, count(*) OVER () FROM ("
    "SELECT h.tenant_id, CASE WHEN h.failures_since_success >= $1 THEN 'failing' ELSE 'stalled' END AS state, NULL::timestamptz AS at"
    " FROM rollhouse.tenant_health h WHERE h.failures_since_success >= $1 OR h.last_success < $2"
    " UNION ALL SELECT e.tenant_id, 'expiring', min(e.expires) FROM rollhouse.ending_credentials($3) e GROUP BY e.tenant_id"
    ") n JOIN rollhouse.tenants t ON t.id = n.tenant_id WHERE t.status = 'active'"
    " ORDER BY array_position('{failing,stalled,expiring}', n.state), n.at, t.slug LIMIT $4"
)
_FAILURES = (
    "SELECT f.fingerprint, f.first_seen, f.last_seen, f.count FROM rollhouse.request_failures f"
    " WHERE f.tenant_id = $1 AND f.last_seen >= $2 ORDER BY f.count DESC, f.fingerprint LIMIT $3"
)
_STATES = (
    "SELECT CASE WHEN h.failures_since_success >= $1 THEN 'failing' WHEN h.last_success IS NULL THEN 'unused'"
    " WHEN h.last_success < $2 THEN 'stalled' ELSE 'healthy' END, count(*)"
    " FROM rollhouse.tenants t LEFT JOIN rollhouse.tenant_health h ON h.tenant_id = t.id WHERE t.status = 'active' GROUP BY 1"
)
_CYCLES = (
    "SELECT b.minutes::text, count(h.tenant_id) FROM unnest($1::integer[]) AS b (minutes) LEFT JOIN"
    " (rollhouse.tenant_health h JOIN rollhouse.tenants t ON t.id = h.tenant_id AND t.status = 'active')"
    " ON h.cycle_began > clock_timestamp() - make_interval(mins => b.minutes) GROUP BY 1"
)
_STALLED = (
    "SELECT t.slug, extract(epoch FROM clock_timestamp() - h.last_success)::float8 FROM rollhouse.tenant_health h"
    " JOIN rollhouse.tenants t ON t.id = h.tenant_id WHERE h.last_success < $1 AND t.status = 'active' ORDER BY h.last_success LIMIT $2"
)
_EXPIRIES = (
    "SELECT t.slug, extract(epoch FROM min(e.expires))::float8 FROM rollhouse.ending_credentials($1) e"
    " JOIN rollhouse.tenants t ON t.id = e.tenant_id GROUP BY t.slug ORDER BY min(e.expires) LIMIT $2"
)
_HEADCOUNTS = "SELECT day, resource_type, count FROM rollhouse.headcounts WHERE tenant_id = $1 AND day >= $2 ORDER BY day, resource_type"
CLUSTERS_LIMIT = 100
FAILURES_LIMIT = 20


async def health_of(database: Database, tenant_id: UUID) -> Health:
    """The tenant's health; one that never was asked for anything has no times."""
    rows = await database.look_up(_HEALTH, tenant_id)
    return Health(*rows[0]) if rows else Health(tenant_id)


async def health_of_many(database: Database, tenant_ids: list[UUID]) -> dict[UUID, Health]:
    """The health of each of the tenants that has one."""
    return {row["tenant_id"]: Health(*row) for row in await database.look_up(_ALL, tenant_ids)}


async def hours_of(database: Database, tenant_id: UUID, since: datetime) -> list[Hour]:
    """The tenant's requests by hour and kind."""
    return [_hour(row) for row in await database.look_up(_HOURS, tenant_id, since)]


async def hours_of_all(database: Database, since: datetime) -> list[Hour]:
    """The requests of all tenants together by hour and kind."""
    return [_hour(row) for row in await database.look_up(_ALL_HOURS, since)]


async def failures_of(database: Database, tenant_id: UUID, since: datetime) -> list[Failures]:
    """The tenant's failures that were seen again since then, the most frequent first; at most 20."""
    return [Failures(*row) for row in await database.look_up(_FAILURES, tenant_id, since, FAILURES_LIMIT)]


async def headcounts_of(database: Database, tenant_id: UUID, since: date) -> list[Headcount]:
    """How many resources of each type the tenant had at the end of each day since then; today's as of the last hour."""
    return [Headcount(*row) for row in await database.look_up(_HEADCOUNTS, tenant_id, since)]


def growth_of(heads: Sequence[Headcount], resource_type: str, count: int, today: date) -> list[tuple[str, int]]:
    """How many resources of a type there were on each day that is known, `count` today; before the first there were none.

    Every day is noted on which there are any and a service runs, so the day before the first is taken for one without, unless `heads`, which
    are a month's, begin there.
    """
    by_day = {one.day: one.count for one in heads if one.resource_type == resource_type} | {today: count}
    first = min(by_day)
    if first > today - MONTH:
        by_day[first - timedelta(days=1)] = 0
    return [(day.isoformat(), many) for day, many in sorted(by_day.items())]


async def failure_clusters(database: Database, since: datetime) -> list[Cluster]:
    """Failures of all tenants that were seen again since then, the most widespread first; at most 100."""
    return [Cluster(*row) for row in await database.look_up(_CLUSTERS, since, CLUSTERS_LIMIT)]


async def needs_of_all(database: Database, *, ending_days: int, limit: int) -> list[Need]:
    """Which tenants need somebody, the most urgent first: those that fail, those that stalled, those whose secret ends within so many days."""
    stalled = datetime.now(UTC) - STALLED_AFTER
    return [Need(*row) for row in await database.look_up(_NEEDS, FAILURES_IN_A_ROW, stalled, ending_days, limit)]


async def states_of_all(database: Database) -> dict[str, int]:
    """How many active tenants there are in each state, the four of them."""
    found = await database.look_up(_STATES, FAILURES_IN_A_ROW, datetime.now(UTC) - STALLED_AFTER)
    return dict.fromkeys(get_args(State), 0) | {row[0]: row[1] for row in found}


async def cycles_begun(database: Database) -> dict[str, float]:
    """How many active tenants have begun a cycle within 10, 40 (Entra's interval) and 120 minutes, by the minutes."""
    return {row[0]: row[1] for row in await database.look_up(_CYCLES, list(CYCLE_MINUTES))}


async def stalled_longest(database: Database, *, limit: int) -> dict[str, float]:
    """Seconds since the last success, by slug, of the tenants that have been silent longest and for at least two hours."""
    return {row[0]: row[1] for row in await database.look_up(_STALLED, datetime.now(UTC) - STALLED_AFTER, limit)}


async def first_ending_secrets(database: Database, *, days: int, limit: int) -> dict[str, float]:
    """When a tenant's first secret ends (seconds since 1970), by slug, of those that end first within so many days."""
    return {row[0]: row[1] for row in await database.look_up(_EXPIRIES, days, limit)}


def _hour(row: Row) -> Hour:
    return Hour(*row)
