"""Which role the members of a group have in the company's own product: a word that the product reads and Rollhouse gives no meaning."""

from uuid import UUID

import msgspec

from rollhouse.database.pool import Database, Transaction
from rollhouse.journal import audit
from rollhouse.journal.audit import Cause
from rollhouse.scim.errors import InvalidValue, NotFound, check_characters

ROLE_LIMIT = 100
LIST_LIMIT = 1000

_FIND = "SELECT role FROM rollhouse.group_roles WHERE tenant_id = $1 AND group_id = $2"
_LIST = "SELECT group_id, role FROM rollhouse.group_roles WHERE tenant_id = $1 ORDER BY role, group_id LIMIT $2"
_SET = (
    "INSERT INTO rollhouse.group_roles (tenant_id, group_id, role) SELECT $1, r.id, $3 FROM rollhouse.resources r"
    " WHERE r.tenant_id = $1 AND r.id = $2 AND r.resource_type = 'Group'"
    " ON CONFLICT (tenant_id, group_id) DO UPDATE SET role = excluded.role RETURNING group_id"
)
_UNSET = "DELETE FROM rollhouse.group_roles WHERE tenant_id = $1 AND group_id = $2 RETURNING group_id"


class GroupRole(msgspec.Struct, frozen=True):
    """The role of one group."""

    group_id: UUID
    role: str


async def role_of(tx: Transaction, group_id: UUID) -> str:
    """The group's role, "" without one."""
    rows = await tx.fetch(_FIND, tx.tenant_id, group_id)
    return rows[0]["role"] if rows else ""


async def list_roles(database: Database, tenant_id: UUID) -> list[GroupRole]:
    """The groups that have a role, by role; at most 1,000."""
    async with database.transaction(tenant_id) as tx:
        return [GroupRole(*row) for row in await tx.fetch(_LIST, tenant_id, LIST_LIMIT)]


async def set_role(database: Database, tenant_id: UUID, group_id: UUID, role: str, *, cause: Cause) -> None:
    """Give a group a role; an empty one takes it away.

    Raises:
        InvalidValue: the role is longer than 100 characters or holds a control character.
        NotFound: there is no such group to give one to.
    """
    if len(role) > ROLE_LIMIT:
        raise InvalidValue(f"A role has at most {ROLE_LIMIT} characters.")
    check_characters(role)
    async with database.transaction(tenant_id) as tx:
        rows = await tx.fetch(_SET, tenant_id, group_id, role) if role else await tx.fetch(_UNSET, tenant_id, group_id)
        if not rows and role:
            raise NotFound("There is no such group any more.")
        if rows:
            await audit.append(tx, cause, "group.role_changed", "Group", group_id, ["role"])
