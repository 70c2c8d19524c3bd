"""The verbs on a tenant's resources. Each is one round trip where one SQL function can do it (docs/decisions/0003-storage.md)."""

import asyncio
import random
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from rollhouse.database.identifiers import new_id
from rollhouse.database.pool import Database, Row, Transaction
from rollhouse.directory import group_members
from rollhouse.directory.queries import CREATED, MODIFIED, Position, count_statement, page_statement
from rollhouse.directory.scopes import Page, Query, Scope
from rollhouse.scim.attributes import Document
from rollhouse.scim.comparison import comparable, index_entries
from rollhouse.scim.errors import InvalidValue, MethodNotAllowed, NotFound, PreconditionFailed, TooMany, Unavailable, Uniqueness, quoted
from rollhouse.scim.keys import index_text
from rollhouse.scim.memberships import MembershipChange, is_resource_id
from rollhouse.scim.messages import encode
from rollhouse.scim.patching import Operation, patch_document, patch_memberships, read_document, replace_document
from rollhouse.scim.representation import Record
from rollhouse.scim.schemas import ResourceType
from rollhouse.scim.tolerances import Noted, Strict, Tolerance

WRITE_TRIES = 20
"""Compare-and-swap attempts of one PATCH or PUT; each failure means that another writer got through."""
READ_TIMEOUT_MILLISECONDS = 2000
"""Longest that a composed filter may scan within its tenant."""
SKIPPED_LIMIT = 50_000
"""Resources before a page of everything that are skipped without a time of their own: some 10 ms of an index."""
TOGETHER_LIMIT = 64_000
"""Characters of the largest document, with its comparable form, that is written together with others: twenty are no burden for a statement."""

_RECORD = f"SELECT id, document, version, {CREATED}, {MODIFIED}, relation"
_GET = f"{_RECORD}, place FROM rollhouse.get_resources($1, $2, $3, $4, $5)"
_GET_RELATED = f"{_RECORD} FROM rollhouse.get_resource($1, $2, $3, $4, $5, $6)"
_FIND_UNIQUE = f"{_RECORD}, place FROM rollhouse.find_unique($1, $2, $3, $4, $5, $6)"
_FIND = f"{_RECORD} FROM rollhouse.find_resources($1, $2, $3, $4, $5, $6, $7, $8)"
_LIST = f"{_RECORD}, total FROM rollhouse.list_resources($1, $2, $3, $4, $5, $6, $7, $8)"
_CREATE = f"SELECT {CREATED}, unknown FROM rollhouse.create_resource($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
_CREATE_TOGETHER = f"SELECT place, {CREATED} FROM rollhouse.create_resources($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
_UPDATE = (
    f"SELECT version, {CREATED}, {MODIFIED}, unknown"
    " FROM rollhouse.update_resource($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
)
_UPDATE_TOGETHER = (
    f"SELECT place, version, {CREATED}, {MODIFIED} FROM rollhouse.update_resources($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
)
_DELETE = "SELECT rollhouse.delete_resource($1, $2, $3, $4, $5, $6)"
_BOUNDED = (None, "groups")
"""Relations that cost every resource of a page little, however large the tenant is; all others are read within a time of their own."""
_BEFORE_ALL = UUID(int=0)
_TYPE_OF = "SELECT resource_type FROM rollhouse.resources WHERE tenant_id = $1 AND id = $2"
_TOTAL = "SELECT coalesce(sum(count), 0)::bigint FROM rollhouse.resource_counts WHERE resource_type = $1"


async def get_resource(scope: Scope, resource_id: str, *, with_relation: bool) -> Record:
    """The resource; its members or groups only if asked for. One round trip.

    Raises:
        NotFound: the tenant has none of that id and type.
    """
    if scope.resource_type.is_membership:
        return await group_members.get_member(scope, resource_id)
    relation = scope.relation(is_shown=with_relation)
    database, name, known = scope.database, scope.resource_type.name, _known_form(resource_id)
    if relation in _BOUNDED:
        row = await database.row(_GET, scope.tenant_id, name, relation, scope.base_url, of=known, in_company=scope.in_company)
    else:  # by itself, since nobody is to wait for the members of a large group that another asked for
        rows = await database.read(_GET_RELATED, scope.tenant_id, name, known, relation, scope.base_url, scope.profile.members_shown)
        row = rows[0] if rows else None
    if row is None:
        raise NotFound(f"There is no {name} {quoted(resource_id)} in this tenant.")
    return _record(row)


async def type_of(database: Database, tenant_id: UUID, resource_id: UUID) -> str:
    """The name of the resource's type.

    Raises:
        NotFound: the tenant has no such resource.
    """
    async with database.transaction(tenant_id) as tx:
        rows = await tx.fetch(_TYPE_OF, tenant_id, resource_id)
    if not rows:
        raise NotFound(f"There is no resource {quoted(str(resource_id))} in this tenant.")
    return str(rows[0]["resource_type"])


async def list_resources(scope: Scope, query: Query, *, with_relation: bool) -> Page:
    """One page in order of creation (or of `sort`). A page of everything, and equality on an indexed attribute, is one round trip; all else three or four.

    Raises:
        TooMany: a filter had to look at more than the time allows.
    """
    if scope.resource_type.is_membership:
        return await group_members.list_members(scope, query)
    relation = scope.relation(is_shown=with_relation)
    if query.condition is None and query.sort is None and relation in _BOUNDED and query.start_index <= SKIPPED_LIMIT:
        return await _list_all(scope, query, relation)
    key = query.key
    if key is not None and query.sort is None and query.start_index == 1 and query.count and query.after is None:
        name, attribute, value = scope.resource_type.name, key.field.index, index_text(key.value)
        if attribute in scope.resource_type.unique and relation in _BOUNDED:
            arguments = name, attribute, relation, scope.base_url
            row = await scope.database.row(_FIND_UNIQUE, scope.tenant_id, *arguments, of=value, in_company=scope.in_company)
            return Page([_record(row)], 1) if row is not None else Page([], 0)
        most = scope.profile.members_shown
        rows = await scope.database.read(_FIND, scope.tenant_id, name, attribute, value, query.count, relation, scope.base_url, most)
        if len(rows) < query.count:
            return Page([_record(row) for row in rows], len(rows))
    return await _list_composed(scope, query, relation)


async def _list_all(scope: Scope, query: Query, relation: str | None) -> Page:
    after = query.after.id if query.after is not None else _BEFORE_ALL
    limit = query.count + 1 if query.count else 0
    skipped = query.start_index - 1
    found = await scope.database.read(_LIST, scope.tenant_id, scope.resource_type.name, after, skipped, limit, relation, scope.base_url, query.total)
    rows = [row for row in found[: query.count] if row["id"] is not None]
    return Page([_record(row) for row in rows], found[0]["total"], Position(rows[-1]["id"]) if len(found) > query.count and rows else None)


async def _list_composed(scope: Scope, query: Query, relation: str | None) -> Page:
    bound = {"tenant": scope.tenant_id, "type": scope.resource_type.name}
    shown = {"base_url": scope.base_url, "limit": query.count + 1, "offset": query.start_index - 1, "most": scope.profile.members_shown}
    page = page_statement(query.condition, query.sort, relation=relation, after=query.after, **bound, **shown)
    async with scope.database.transaction(scope.tenant_id, statement_timeout_milliseconds=READ_TIMEOUT_MILLISECONDS) as tx:
        try:
            rows = await tx.fetch(page.sql, *page.arguments) if query.count else []
            total = query.total if query.total is not None else await _total(tx, scope, query, len(rows))
        except asyncpg.QueryCanceledError:
            raise TooMany(
                "The query has to look at too much. Filter by userName, externalId, displayName or emails.value with eq or sw,"
                " ask for a smaller count, or leave groups out with excludedAttributes=groups."
            ) from None
    last = rows[query.count - 1] if len(rows) > query.count else None
    return Page([_record(row) for row in rows[: query.count]], total, Position(last["id"], last["position"]) if last is not None else None)


async def _total(tx: Transaction, scope: Scope, query: Query, found: int) -> int:
    """How many resources there are: from the counter, which costs the same for a million, from a last page, or counted."""
    if query.condition is None:
        total: int = (await tx.fetch(_TOTAL, scope.resource_type.name))[0][0]
    elif found and found <= query.count and query.after is None:
        total = query.start_index - 1 + found
    else:
        counting = count_statement(query.condition, tenant=scope.tenant_id, type=scope.resource_type.name)
        total = (await tx.fetch(counting.sql, *counting.arguments))[0][0]
    return total


async def create_resource(scope: Scope, body: Document, noted: Noted) -> Record:
    """The new resource. One round trip; two for a group that comes with members.

    Raises:
        InvalidValue: a value does not fit, a required one is missing, or none of the members exists.
        Uniqueness: a unique value is taken (decided by the index).
    """
    document, members = read_document(scope.resource_type, body, noted)
    if scope.resource_type.is_membership:
        return await group_members.create_member(scope, document)
    compared = comparable(scope.resource_type, document)
    resource_id = new_id()
    text = encode(document).decode()
    new = resource_id, text, encode(compared).decode(), *_index_rows(scope.resource_type, index_entries(scope.resource_type, compared))
    name, names = scope.resource_type.name, sorted(document)
    if not members and len(text) + len(new[2]) <= TOGETHER_LIMIT:
        item = (scope.cause.actor, scope.cause.request_id, *new, names)
        row = await scope.database.change(_CREATE_TOGETHER, scope.tenant_id, name, scope.registry, of=item, in_company=scope.in_company)
        if row is not None:
            return Record(resource_id, text, 1, row["created"], row["created"])
    joining = _member_ids(list(members.added), noted) or None
    rows = await _write(scope, document, _CREATE, name, *new, joining, names, scope.registry, isinstance(noted, Strict))
    if rows[0]["unknown"]:
        noted.add(Tolerance.UNKNOWN_MEMBER)
    if members.added:
        return await get_resource(scope, str(resource_id), with_relation=True)
    return Record(resource_id, text, 1, rows[0]["created"], rows[0]["created"])


async def replace_resource(scope: Scope, resource_id: str, body: Document, noted: Noted, *, expected: int | None) -> Record:
    """The resource after a PUT (RFC 7644 section 3.5.1).

    Raises:
        NotFound, InvalidValue, Uniqueness: as for creating and getting one.
        PreconditionFailed: `expected` is not the current version (decided in the write statement).
    """
    resource_type = _changeable(scope)
    return await _swap(scope, resource_id, lambda document: replace_document(resource_type, document, body, noted), noted, expected=expected)


async def patch_resource(scope: Scope, resource_id: str, operations: list[Operation], noted: Noted, *, expected: int | None) -> Record | None:
    """The resource after a PATCH (RFC 7644 section 3.5.2), or None when only members were named: their group is not read.

    Raises:
        InvalidPath, InvalidValue, Mutability, NoTarget: an operation cannot be carried out; nothing is changed.
        NotFound, Uniqueness, PreconditionFailed: as for PUT.
    """
    resource_type = _changeable(scope)
    members = patch_memberships(resource_type, operations, noted)
    if members is not None:
        await _update(scope, _known_form(resource_id), members=members, expected=expected, noted=noted)
        return None
    return await _swap(scope, resource_id, lambda document: patch_document(resource_type, document, operations, noted), noted, expected=expected)


async def delete_resource(scope: Scope, resource_id: str, *, expected: int | None) -> None:
    """Remove the resource, its keys and memberships. One round trip.

    Raises:
        NotFound: there is none of that id and type.
        PreconditionFailed: `expected` is not the current version.
    """
    if scope.resource_type.is_membership:
        await group_members.delete_member(scope, resource_id, expected=expected)
        return
    cause = scope.cause
    await scope.database.call(_DELETE, scope.tenant_id, cause.actor, cause.request_id, scope.resource_type.name, _known_form(resource_id), expected)


Edit = Callable[[Document], tuple[Document, MembershipChange]]


async def _swap(scope: Scope, resource_id: str, edit: Edit, noted: Noted, *, expected: int | None) -> Record:
    """Read, edit, and write if the version is still the one read; again when another writer was faster. A change of nothing writes nothing."""
    for attempt in range(WRITE_TRIES):
        record = await get_resource(scope, resource_id, with_relation=scope.resource_type.derived is not None)
        _check_version(record, expected)  # else the version that is expected could come to be between this document and what is made of it
        before: Document = msgspec.json.decode(record.document)
        after, members = edit(msgspec.json.decode(record.document))
        if after == before:
            if not members:
                return record
            row = await _update(scope, record.id, members=members, expected=expected, noted=noted)
            return Record(record.id, record.document, row["version"], record.created, row["last_modified"])
        try:
            row = await _update(scope, record.id, before=before, after=after, members=members, expected=record.version, noted=noted)
        except PreconditionFailed:
            if expected is not None:
                raise
            await asyncio.sleep(random.uniform(0, 0.004) * (attempt + 1))  # noqa: S311 - jitter
            continue
        return Record(record.id, encode(after).decode(), row["version"], row["created"], row["last_modified"], record.relation)
    raise Unavailable("The resource is being changed by many requests at once; try again.", retry_after_seconds=1)


async def _update(
    scope: Scope,
    resource_id: UUID | str,
    *,
    members: MembershipChange,
    expected: int | None,
    noted: Noted,
    before: Document | None = None,
    after: Document | None = None,
) -> Row:
    resource_type = scope.resource_type
    change = _NO_CHANGE if before is None or after is None else _change(resource_type, before, after)
    if change.may_go_together:
        item = (scope.cause.actor, scope.cause.request_id, resource_id, expected, *change.columns, change.names)
        row = await scope.database.change(_UPDATE_TOGETHER, scope.tenant_id, resource_type.name, scope.registry, of=item, in_company=scope.in_company)
        if row is not None:
            return row
    rows = await _write(
        scope,
        after or {},
        _UPDATE,
        resource_type.name,
        resource_id,
        expected,
        *change.columns,
        members.clears,
        _member_ids(list(members.added), noted) or None,
        [UUID(member) for member in members.removed if is_resource_id(member)],  # a loop goes over it, which takes no NULL
        change.names,
        scope.registry,
        isinstance(noted, Strict),
    )
    if rows[0]["unknown"]:
        noted.add(Tolerance.UNKNOWN_MEMBER)
    return rows[0]


class _Change(NamedTuple):
    """What a document's change is written as."""

    columns: tuple[str | None, str | None, list[str] | None, list[str] | None, list[bool] | None, list[str] | None, list[str] | None]
    """The document, its comparable form, the rows for `resource_keys` that are new (three columns), and those that are gone (two)."""
    names: list[str]
    may_go_together: bool


_NO_CHANGE = _Change((None,) * 7, [], may_go_together=False)
"""Of a document that stays as it is."""


def _change(resource_type: ResourceType, before: Document, after: Document) -> _Change:
    was, is_now = _differences(before, after)
    old_entries, new_entries = (index_entries(resource_type, comparable(resource_type, part)) for part in (was, is_now))
    gone, new = old_entries - new_entries, new_entries - old_entries
    text, compared = encode(after).decode(), encode(comparable(resource_type, after)).decode()
    keys = *_index_rows(resource_type, new), [attribute for attribute, _ in gone] or None, [key for _, key in gone] or None
    locks_more = resource_type.memberships is not None or any(attribute in resource_type.unique for attribute, _ in (*gone, *new))
    is_small = len(text) + len(compared) <= TOGETHER_LIMIT
    return _Change((text, compared, *keys), sorted(_changed_names(was, is_now)), may_go_together=is_small and not locks_more)


async def _write(scope: Scope, document: Document, sql: str, *arguments: object) -> list[Row]:
    try:
        return await scope.database.call(sql, scope.tenant_id, scope.cause.actor, scope.cause.request_id, *arguments)
    except Uniqueness:
        unique = scope.resource_type.unique
        entries = index_entries(scope.resource_type, comparable(scope.resource_type, document))
        taken = " or ".join(f"{unique[name].label} {quoted(key)}" for name, key in sorted(entries) if name in unique)
        raise Uniqueness(f"Another {scope.resource_type.name} of this tenant has the {taken}. Find it by a filter and update it instead.") from None


def _index_rows(resource_type: ResourceType, entries: set[tuple[str, str]]) -> tuple[list[str] | None, list[str] | None, list[bool] | None]:
    """The columns of rows for `resource_keys`; None for none, which costs the driver less than an empty list."""
    if not entries:
        return None, None, None
    ordered = sorted(entries)
    return [attribute for attribute, _ in ordered], [key for _, key in ordered], [attribute in resource_type.unique for attribute, _ in ordered]


def _differences(before: Document, after: Document) -> tuple[Document, Document]:
    """Of both documents those attributes and extensions that differ: what changes nowhere else, changes no key either."""
    was = {name: value for name, value in before.items() if name not in after or after[name] != value}
    return was, {name: value for name, value in after.items() if name not in before or before[name] != value}


def _changed_names(before: Document, after: Document) -> set[str]:
    """The attributes whose values differ, by name; of an extension's by its URN and name."""
    names = set()
    for name in before.keys() | after.keys():
        was, is_now = before.get(name), after.get(name)
        if was == is_now:
            continue
        if name.startswith("urn:") and isinstance(was, dict) and isinstance(is_now, dict):
            names |= {f"{name}:{inner}" for inner in _changed_names(was, is_now)}
        else:
            names.add(name)
    return names


def _member_ids(members: list[str], noted: Noted) -> list[UUID]:
    """The ids that can name a resource of ours.

    Raises:
        InvalidValue: there are members, and none of them can.
    """
    known = [UUID(member) for member in members if is_resource_id(member)]
    if len(known) < len(members):
        noted.add(Tolerance.UNKNOWN_MEMBER)
        if not known:
            raise InvalidValue(f"None of the members exists in this tenant ({', '.join(members[:5])[:200]}). Send the ids that this service gave to the users.")
    return known


def _changeable(scope: Scope) -> ResourceType:
    """The resource type of the scope.

    Raises:
        MethodNotAllowed: its resources are made and deleted, never changed.
    """
    if scope.resource_type.is_membership:
        raise MethodNotAllowed(f"A {scope.resource_type.name} is made and deleted, never changed: delete it and make another one.")
    return scope.resource_type


def _check_version(record: Record, expected: int | None) -> None:
    if expected is not None and expected != record.version:
        raise PreconditionFailed("The resource was changed in the meantime: read it again and send its current ETag in If-Match.")


def _known_form(resource_id: str) -> str:
    if not is_resource_id(resource_id):
        raise NotFound(f"There is no resource {quoted(resource_id)} in this tenant.")
    return resource_id


def _record(row: Row) -> Record:
    """The first six columns of a row."""
    return Record(*row[:6])
