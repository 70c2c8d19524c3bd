"""The life of a tenant after its creation: suspended and resumed, deleted with a grace, restored, and purged when the grace is over."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import msgspec

from rollhouse.database.pool import Database, Row
from rollhouse.journal import audit
from rollhouse.journal.audit import PLATFORM, Cause
from rollhouse.scim.errors import Conflict, InvalidValue, NotFound, quoted
from rollhouse.tenancy.tenants import COLUMNS, Tenant, change_tenant, find_tenant

GRACE_DAYS = 30
MOST_GRACE_DAYS = 365
PURGE_ROWS = 5000
"""Rows that one step of a purge removes at most, each step a transaction of its own."""
PURGE_TIMEOUT_MILLISECONDS = 60_000
SETTLE_SECONDS = 15
"""How long after its deletion the first row of a tenant may go: a gate believes for 5 s that it is active, and a request has 8 s."""
RESTORE_MARGIN_SECONDS = 10
"""How long before the end of its grace a tenant can last be restored: more than a restoration takes, so that none overtakes a purge."""

_PURGE_AFTER = "SELECT clock_timestamp() + make_interval(days => $1) AS purge_after"
_IS_TOO_LATE = f"SELECT $1::timestamptz <= clock_timestamp() + interval '{RESTORE_MARGIN_SECONDS} seconds' AS is_too_late"
_STATE = (
    "SELECT status, purge_after, purge_after <= clock_timestamp() AS is_due,"
    f" extract(epoch FROM last_modified + interval '{SETTLE_SECONDS} seconds' - clock_timestamp())::float8 AS unsettled_seconds"
    " FROM rollhouse.tenants WHERE id = $1"
)
_PURGE = "SELECT rollhouse.purge_tenant($1, $2) AS gone"
_BIND = "SELECT set_config('rollhouse.tenant', $1, true)"
_DUE = (
    f"SELECT {COLUMNS} FROM rollhouse.tenants WHERE status = 'deleting' AND purge_after <= clock_timestamp()"
    f" AND last_modified <= clock_timestamp() - interval '{SETTLE_SECONDS} seconds' ORDER BY purge_after"
)


async def suspend_tenant(database: Database, slug: str, *, cause: Cause, reads: bool = False, expected: int | None = None) -> Tenant:
    """The tenant, suspended: its SCIM requests are refused with 403; with `reads`, only those that change something.

    Every process hears of it within a second, and five at the worst.

    Raises:
        NotFound: there is no such tenant.
        Conflict: it is being deleted.
        PreconditionFailed: `expected` is not its version.
    """
    values = {"status": "suspended", "reads_while_suspended": reads}
    return await change_tenant(database, slug, values, action="tenant.suspended", cause=cause, expected=expected)


async def resume_tenant(database: Database, slug: str, *, cause: Cause, expected: int | None = None) -> Tenant:
    """The tenant, active again with everything it had. Raises as `suspend_tenant`."""
    values = {"status": "active", "reads_while_suspended": False}
    return await change_tenant(database, slug, values, action="tenant.resumed", cause=cause, expected=expected)


async def delete_tenant(database: Database, slug: str, *, cause: Cause, grace_days: int = GRACE_DAYS, expected: int | None = None) -> Tenant:
    """The tenant, closed at once and to be purged after 0 to 365 days; until then it keeps everything and can be restored.

    Raises:
        InvalidValue: the grace is shorter or longer.
        NotFound: there is no such tenant.
        Conflict: it is being deleted already.
        PreconditionFailed: `expected` is not its version.
    """
    if not 0 <= grace_days <= MOST_GRACE_DAYS:
        raise InvalidValue(f"A tenant's grace is 0 to {MOST_GRACE_DAYS} days, not {quoted(grace_days)}.")
    purge_after = (await database.query(_PURGE_AFTER, grace_days))[0]["purge_after"]
    values = {"status": "deleting", "reads_while_suspended": False, "purge_after": purge_after}
    return await change_tenant(database, slug, values, action="tenant.deleted", cause=cause, expected=expected)


async def restore_tenant(database: Database, slug: str, *, cause: Cause, expected: int | None = None) -> Tenant:
    """The tenant that was being deleted, active again: with its resources, their ids, and its secrets (threat T48).

    Raises:
        NotFound: there is no such tenant.
        Conflict: it is not being deleted, or its grace is over, so that some of it may be gone.
        PreconditionFailed: `expected` is not its version.
    """
    found = await find_tenant(database, slug)
    if found.purge_after is not None and (await database.query(_IS_TOO_LATE, found.purge_after))[0]["is_too_late"]:
        raise Conflict(f"The grace of the tenant {slug} is over, so it cannot be restored. Create a tenant under another slug, or import an export.")
    values = {"status": "active", "purge_after": None}
    return await change_tenant(database, slug, values, action="tenant.restored", cause=cause, expected=expected, allowed=("deleting",))


async def purge_tenant(database: Database, slug: str, *, cause: Cause, progress: Callable[[int], None] | None = None) -> int:
    """How many rows went with the tenant: all that it had, for ever; one row of the platform's audit tells of it (threat T47).

    It goes in steps of 5,000 rows, each told to `progress`; when it is interrupted, the next call goes on.
    A tenant that was deleted a moment ago is first left alone for up to 15 s, until no request to it can be under way.
    The counts of its rate limit in Redis are not here: see `Limiter.forget`.

    Raises:
        NotFound: there is no such tenant, or another process has purged it meanwhile.
        Conflict: it is not being deleted, or its grace is not over.
    """
    tenant = await find_tenant(database, slug)
    state = _checked(slug, await database.query(_STATE, tenant.id))
    await asyncio.sleep(max(0, state["unsettled_seconds"]))
    removed = 0
    while gone := await _purge_step(database, tenant.id, slug, cause):
        removed += gone
        if progress is not None:
            progress(gone)
    return removed


async def purge_due_tenants(database: Database, *, cause: Cause) -> list[Tenant]:
    """The tenants whose grace is over and which this call has purged; any number of processes may do so at once."""
    purged = []
    for row in await database.query(_DUE):
        due = Tenant(**dict(row.items()))
        try:
            await purge_tenant(database, due.slug, cause=cause)
        except (NotFound, Conflict):  # another process was quicker, or the slug has come to stand for a new tenant
            continue
        purged.append(due)
    return purged


async def _purge_step(database: Database, tenant_id: UUID, slug: str, cause: Cause) -> int:
    """Rows that went; 0 when nothing but the tenant itself was left, which is gone now, too."""
    # A transaction of the platform's: its row of the audit is what stays. The function binds the tenant's id meanwhile.
    async with database.transaction(PLATFORM, statement_timeout_milliseconds=PURGE_TIMEOUT_MILLISECONDS) as tx:
        _checked(slug, await tx.fetch(_STATE + " FOR UPDATE", tenant_id))
        gone: int = (await tx.fetch(_PURGE, tenant_id, PURGE_ROWS))[0]["gone"]
        if gone == 0:
            await tx.fetch(_BIND, str(PLATFORM))
            await audit.append(tx, cause, "tenant.purged", "Tenant", tenant_id)
    return gone


def _checked(slug: str, rows: list[Row]) -> Row:
    if not rows:
        raise NotFound(f"The tenant {quoted(slug)} is gone: another process has purged it.")
    if rows[0]["status"] != "deleting":
        raise Conflict(f"The tenant {slug} is {rows[0]['status']}, and only a deleted one can be purged: rollhouse tenant delete {slug}")
    if not rows[0]["is_due"]:
        raise Conflict(f"The tenant {slug} keeps everything until {rows[0]['purge_after']:%Y-%m-%d %H:%M} UTC; purge it after that.")
    return rows[0]


_WRITTEN = "SELECT t.slug, w.changes, w.last FROM rollhouse.tenants_written_since($1) w JOIN rollhouse.tenants t ON t.id = w.tenant_id ORDER BY t.slug"


class Written(msgspec.Struct, frozen=True):
    """A tenant that wrote, how many changes it made, and when the last one was."""

    slug: str
    changes: int
    last: datetime


async def written_since(database: Database, since: datetime) -> list[Written]:
    """The tenants in which anything was changed since a moment, by slug: after a restore to it their providers must start anew."""
    return [Written(row["slug"], row["changes"], row["last"]) for row in await database.query(_WRITTEN, since)]
