"""Memberships as resources of their own (draft-zollner-scim-group-members): one row, one resource, made and deleted, never changed."""

from typing import Any
from uuid import UUID

import asyncpg

from rollhouse.database.pool import Row, Transaction
from rollhouse.directory.queries import Position
from rollhouse.directory.scopes import Page, Query, Scope
from rollhouse.scim.attributes import Document
from rollhouse.scim.conditions import All, Compared, Condition
from rollhouse.scim.errors import InvalidFilter, InvalidValue, NotFound, PreconditionFailed, TooMany, Uniqueness, quoted
from rollhouse.scim.memberships import is_resource_id
from rollhouse.scim.messages import encode
from rollhouse.scim.representation import Record, location
from rollhouse.scim.schemas import GROUP, RESOURCE_TYPES

VERSION = 1
TIMEOUT_MILLISECONDS = 2000
_NOBODY = UUID(int=0)
_BY_NAME = {one.name: one for one in RESOURCE_TYPES}
_ROWS = "group_id, member_id, member_type FROM rollhouse.memberships WHERE tenant_id = $1"
_ALL = "FROM rollhouse.memberships WHERE tenant_id = $1"
_FIND = f"SELECT {_ROWS} AND group_id = $2 AND member_id = $3"
_PAGES = {
    "group": f"SELECT {_ROWS} AND group_id = $2 AND member_id > $3 ORDER BY member_id LIMIT $4 OFFSET $5",
    "member": f"SELECT {_ROWS} AND member_id = $2 AND group_id > $3 ORDER BY group_id LIMIT $4 OFFSET $5",
    "both": f"{_FIND} LIMIT $4 OFFSET $5",
    "": f"SELECT {_ROWS} AND (group_id, member_id) > ($2, $3) ORDER BY group_id, member_id LIMIT $4 OFFSET $5",
}
_COUNTS = {
    "group": f"SELECT count(*) {_ALL} AND group_id = $2",
    "member": f"SELECT count(*) {_ALL} AND member_id = $2",
    "both": f"SELECT count(*) {_ALL} AND group_id = $2 AND member_id = $3",
    "": f"SELECT count(*) {_ALL}",
}
_LOCK_GROUP = "SELECT FROM rollhouse.resources WHERE tenant_id = $1 AND id = $2 AND resource_type = $3 FOR NO KEY UPDATE"
_ADD = "SELECT added FROM rollhouse.add_members($1, $2, ARRAY[$3::uuid])"
_REMOVE = "DELETE FROM rollhouse.memberships WHERE tenant_id = $1 AND group_id = $2 AND member_id = $3 RETURNING member_id"
_TOUCH = (
    "WITH touched AS (UPDATE rollhouse.resources SET version = version + 1,"
    " last_modified = greatest(date_trunc('milliseconds', clock_timestamp()), last_modified) WHERE tenant_id = $1 AND id = $2 RETURNING document)"
    " SELECT rollhouse.append_audit($1, $3, $4, 'resource.updated', $5, $2::text, ARRAY['members'], $6::uuid[], $7::uuid[], document, document) FROM touched"
)


async def list_members(scope: Scope, query: Query) -> Page:
    """One page of memberships, in order of group and member; of one group, or of one member, by an index.

    Raises:
        InvalidFilter: the filter is more than `group.value eq` and `member.value eq`, or the list is to be sorted.
        TooMany: counting them takes longer than two seconds.
    """
    if query.sort is not None:
        raise InvalidFilter("Memberships come in order of group and member; leave sortBy out.")
    wanted = _wanted(query.condition)
    kind = "both" if len(wanted) > 1 else next(iter(wanted), "")
    group, member = wanted.get("group"), wanted.get("member")
    first: tuple[Any, ...] = (group, member) if kind == "both" else (group or member,) if kind else ()
    try:
        async with scope.database.transaction(scope.tenant_id, statement_timeout_milliseconds=TIMEOUT_MILLISECONDS) as tx:
            places = _places(kind, first, query.after)
            rows = await tx.fetch(_PAGES[kind], scope.tenant_id, *places, query.count + 1, query.start_index - 1) if query.count else []
            total = query.total if query.total is not None else (await tx.fetch(_COUNTS[kind], scope.tenant_id, *first))[0][0]
    except asyncpg.QueryCanceledError:
        raise TooMany("There are too many memberships to count. Filter by group.value or member.value.") from None
    last = rows[query.count - 1] if len(rows) > query.count else None
    following = Position(last["member_id"], str(last["group_id"])) if last is not None else None
    return Page([_record(scope, row) for row in rows[: query.count]], total, following)


def _places(kind: str, first: tuple[Any, ...], after: Position | None) -> tuple[Any, ...]:
    """The values of $2 and $3 in the statement of a page."""
    if kind == "both":
        return first
    group, member = (UUID(after.value), after.id) if after is not None and after.value is not None else (_NOBODY, _NOBODY)
    return (group, member) if not kind else (*first, member if kind == "group" else group)


def _wanted(condition: Condition | None) -> dict[str, UUID]:
    """The group and the member that a filter asks for."""
    terms = () if condition is None else condition.terms if isinstance(condition, All) else (condition,)
    found: dict[str, UUID] = {}
    for term in terms:
        if not (isinstance(term, Compared) and term.operator == "eq" and term.field.leaf == "value" and term.field.container[0] not in found):
            raise InvalidFilter('Memberships are found by group.value eq "<id>", by member.value eq "<id>", or by both joined by "and".')
        found[term.field.container[0]] = UUID(str(term.value)) if is_resource_id(str(term.value)) else _NOBODY
    return found


async def get_member(scope: Scope, resource_id: str) -> Record:
    """The membership of that id, `<group>.<member>`.

    Raises:
        NotFound: there is none.
    """
    group, member = _parts(scope, resource_id)
    async with scope.database.transaction(scope.tenant_id) as tx:
        rows = await tx.fetch(_FIND, scope.tenant_id, group, member)
    if not rows:
        raise _missing(scope, resource_id)
    return _record(scope, rows[0])


async def create_member(scope: Scope, document: Document) -> Record:
    """The membership that a document describes, made.

    Raises:
        InvalidValue: there is no such group, or nobody who could be its member.
        Uniqueness: the membership is there already (decided by the key).
    """
    group, member = (str(document[name]["value"]).lower() for name in ("group", "member"))
    async with scope.database.transaction(scope.tenant_id) as tx:
        if not is_resource_id(group) or not await tx.fetch(_LOCK_GROUP, scope.tenant_id, UUID(group), GROUP.name):
            raise InvalidValue(f"There is no group {quoted(group)} in this tenant.")
        if not is_resource_id(member):
            raise InvalidValue(f"There is no resource {quoted(member)} in this tenant that could be a member.")
        if not (await tx.fetch(_ADD, scope.tenant_id, UUID(group), UUID(member)))[0]["added"]:
            raise Uniqueness(f"{member} is a member of {group} already.")
        await _touch(tx, scope, UUID(group), added=[UUID(member)])
        rows = await tx.fetch(_FIND, scope.tenant_id, UUID(group), UUID(member))
    return _record(scope, rows[0])


async def delete_member(scope: Scope, resource_id: str, *, expected: int | None) -> None:
    """End the membership of that id.

    Raises:
        NotFound: there is none.
        PreconditionFailed: `expected` is not the one version that a membership has.
    """
    if expected not in (None, VERSION):
        raise PreconditionFailed("A membership never changes: it has one version. Leave If-Match out, or send its ETag.")
    group, member = _parts(scope, resource_id)
    async with scope.database.transaction(scope.tenant_id) as tx:
        await tx.fetch(_LOCK_GROUP, scope.tenant_id, group, GROUP.name)
        if not await tx.fetch(_REMOVE, scope.tenant_id, group, member):
            raise _missing(scope, resource_id)
        await _touch(tx, scope, group, removed=[member])


async def _touch(tx: Transaction, scope: Scope, group: UUID, *, added: list[UUID] = [], removed: list[UUID] = []) -> None:  # noqa: B006 - never changed
    await tx.fetch(_TOUCH, scope.tenant_id, group, scope.cause.actor, scope.cause.request_id, GROUP.name, added, removed)


def _parts(scope: Scope, resource_id: str) -> tuple[UUID, UUID]:
    group, _, member = resource_id.partition(".")
    if not is_resource_id(group) or not is_resource_id(member):
        raise _missing(scope, resource_id)
    return UUID(group), UUID(member)


def _missing(scope: Scope, resource_id: str) -> NotFound:
    return NotFound(f"There is no {scope.resource_type.name} {quoted(resource_id)} in this tenant.")


def _record(scope: Scope, row: Row) -> Record:
    member_type = _BY_NAME[row["member_type"]]
    document: dict[str, Any] = {
        "schemas": [scope.resource_type.schema.id],
        "group": {"value": str(row["group_id"]), "$ref": location(scope.base_url, GROUP, row["group_id"])},
        "member": {"value": str(row["member_id"]), "$ref": location(scope.base_url, member_type, row["member_id"]), "type": member_type.name},
    }
    return Record(f"{row['group_id']}.{row['member_id']}", encode(document).decode(), VERSION, None, None)
