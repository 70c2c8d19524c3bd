"""What a directory holds that somebody should look at: each finding a bounded search with an end in time, never a count of everything."""

from typing import Literal, get_args
from uuid import UUID

import msgspec

from rollhouse.database.pool import Database
from rollhouse.scim.comparison import ABSENT, RARE
from rollhouse.scim.errors import TooMany, Unavailable

LIMIT = 1000
"""Most resources of one finding."""
TIMEOUT_MILLISECONDS = 2000

Finding = Literal["users-without-email", "same-email", "empty-groups", "inactive-members"]
FINDINGS: tuple[Finding, ...] = get_args(Finding)

_SEARCHES: dict[Finding, str] = {
    "users-without-email": (
        "SELECT k.resource_id FROM rollhouse.resource_keys k WHERE k.tenant_id = $1 AND k.resource_type = 'User'"
        f" AND k.attribute = '{ABSENT}emails.value' AND k.key = '' ORDER BY k.resource_id DESC LIMIT $2"
    ),
    "same-email": (
        "SELECT k.resource_id FROM (SELECT k.key FROM rollhouse.resource_keys k WHERE k.tenant_id = $1 AND k.resource_type = 'User'"
        " AND k.attribute = 'emails.value' GROUP BY k.key HAVING count(*) > 1 LIMIT $2) d JOIN rollhouse.resource_keys k"
        " ON k.tenant_id = $1 AND k.resource_type = 'User' AND k.attribute = 'emails.value' AND k.key = d.key ORDER BY k.key, k.resource_id LIMIT $2"
    ),
    "empty-groups": (
        "SELECT r.id FROM rollhouse.resources r WHERE r.tenant_id = $1 AND r.resource_type = 'Group' AND NOT EXISTS"
        " (SELECT FROM rollhouse.memberships m WHERE m.tenant_id = $1 AND m.group_id = r.id) ORDER BY r.id DESC LIMIT $2"
    ),
    "inactive-members": (
        "SELECT k.resource_id FROM rollhouse.resource_keys k WHERE k.tenant_id = $1 AND k.resource_type = 'User'"
        f" AND k.attribute = 'active' AND k.key = '{RARE}' AND EXISTS"
        " (SELECT FROM rollhouse.memberships m WHERE m.tenant_id = $1 AND m.member_id = k.resource_id) ORDER BY k.resource_id DESC LIMIT $2"
    ),
}


class Found(msgspec.Struct, frozen=True):
    """The ids that a search found; `is_cut` if there may be more."""

    ids: list[UUID]
    is_cut: bool


async def search(database: Database, tenant_id: UUID, finding: Finding) -> Found:
    """What a search finds, at most 1,000 resources.

    Raises:
        TooMany: two seconds were not enough to look at the whole directory.
    """
    try:
        async with database.transaction(tenant_id, statement_timeout_milliseconds=TIMEOUT_MILLISECONDS) as tx:
            rows = await tx.fetch(_SEARCHES[finding], tenant_id, LIMIT)
    except Unavailable as error:
        if getattr(error.__cause__, "sqlstate", None) == "57014":
            raise TooMany("This directory is too large to be searched for that while you wait. Export the tenant, and search the file.") from None
        raise
    return Found([row[0] for row in rows], len(rows) == LIMIT)
