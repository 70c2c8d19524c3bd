"""What the operator's own product reads of a tenant: resources and memberships by key set, never all of them at once, and how much there is."""

from datetime import datetime
from uuid import UUID

import msgspec

from rollhouse.database.pool import Database, Transaction
from rollhouse.directory.queries import CREATED, MODIFIED
from rollhouse.directory.scopes import Scope
from rollhouse.scim.errors import NotFound, quoted
from rollhouse.scim.memberships import is_resource_id
from rollhouse.scim.registry import Registry
from rollhouse.scim.representation import Record

PAGE_LIMIT = 200
_BEFORE_ALL = UUID(int=0)

_PAGE = (
    f"SELECT id, document, version, {CREATED}, {MODIFIED} FROM rollhouse.resources WHERE tenant_id = $1 AND resource_type = $2 AND id > $3 ORDER BY id LIMIT $4"
)
_EXISTS = "SELECT FROM rollhouse.resources WHERE tenant_id = $1 AND resource_type = $2 AND id = $3"
_MEMBERS = "SELECT member_id, member_type FROM rollhouse.memberships WHERE tenant_id = $1 AND group_id = $2 AND member_id > $3 ORDER BY member_id LIMIT $4"
_GROUPS = "SELECT group_id, 'Group' FROM rollhouse.memberships WHERE tenant_id = $1 AND member_id = $2 AND group_id > $3 ORDER BY group_id LIMIT $4"
_COUNTS = "SELECT resource_type, sum(count)::bigint FROM rollhouse.resource_counts WHERE tenant_id = $1 GROUP BY resource_type"
_LAST_WRITE = "SELECT at FROM rollhouse.audit WHERE tenant_id = $1 AND action LIKE 'resource.%' ORDER BY id DESC LIMIT 1"


class Related(msgspec.Struct, frozen=True):
    """A member of a group, or a group of a member: its id and its resource type."""

    id: UUID
    resource_type: str


class Usage(msgspec.Struct, frozen=True):
    """How many resources of each type a tenant holds, and when one was last written, as far back as the audit reaches."""

    resources: dict[str, int]
    last_write: datetime | None


async def page_of_resources(scope: Scope, *, after: UUID | None = None, limit: int = PAGE_LIMIT) -> list[Record]:
    """The resources of the scope's type behind the id `after`, in order of creation, without members or groups; at most 200."""
    async with scope.database.transaction(scope.tenant_id) as tx:
        rows = await tx.fetch(_PAGE, scope.tenant_id, scope.resource_type.name, after or _BEFORE_ALL, min(limit, PAGE_LIMIT))
    return [Record(*row) for row in rows]


async def page_of_members(scope: Scope, group_id: str, *, after: UUID | None = None, limit: int = PAGE_LIMIT) -> list[Related]:
    """The members of a group behind the id `after`, in order of id; at most 200. `scope` is that of the tenant's groups.

    Raises:
        NotFound: the tenant has no such group.
    """
    return await _page_of_related(scope, group_id, _MEMBERS, after, limit)


async def page_of_groups(scope: Scope, user_id: str, *, after: UUID | None = None, limit: int = PAGE_LIMIT) -> list[Related]:
    """The groups that a user is a direct member of, behind the id `after`; at most 200. `scope` is that of the tenant's users.

    Raises:
        NotFound: the tenant has no such user.
    """
    return await _page_of_related(scope, user_id, _GROUPS, after, limit)


async def measure(database: Database, tenant_id: UUID, registry: Registry) -> Usage:
    """How much the tenant holds; every resource type of its registry is named, also with none."""
    async with database.transaction(tenant_id) as tx:
        counts = {row[0]: row[1] for row in await tx.fetch(_COUNTS, tenant_id)}
        last = await tx.fetch(_LAST_WRITE, tenant_id)
    return Usage({known.name: counts.get(known.name, 0) for known in registry.resource_types if not known.is_membership}, last[0]["at"] if last else None)


async def _page_of_related(scope: Scope, resource_id: str, statement: str, after: UUID | None, limit: int) -> list[Related]:
    async with scope.database.transaction(scope.tenant_id) as tx:
        await _require(tx, scope.resource_type.name, resource_id)
        rows = await tx.fetch(statement, scope.tenant_id, UUID(resource_id), after or _BEFORE_ALL, min(limit, PAGE_LIMIT))
    return [Related(*row) for row in rows]


async def _require(tx: Transaction, resource_type: str, resource_id: str) -> None:
    if not is_resource_id(resource_id) or not await tx.fetch(_EXISTS, tx.tenant_id, resource_type, UUID(resource_id)):
        raise NotFound(f"There is no {resource_type} {quoted(resource_id)} in this tenant.")
