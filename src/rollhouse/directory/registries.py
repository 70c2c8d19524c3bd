"""The registries of tenants in the database: read and remembered, and changed under live data without a resource that no longer fits."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec

from rollhouse.database.pool import Database, Transaction
from rollhouse.journal import audit
from rollhouse.journal.audit import Cause
from rollhouse.scim.attributes import Document
from rollhouse.scim.comparison import comparable, index_entries
from rollhouse.scim.definitions import Definitions, TypeDefinition
from rollhouse.scim.errors import BadRequest, Conflict
from rollhouse.scim.messages import encode
from rollhouse.scim.patching import replace_document
from rollhouse.scim.registry import STANDARD, Registry
from rollhouse.scim.schemas import ResourceType, Schema
from rollhouse.scim.tolerances import Tolerance
from rollhouse.scim.values import is_unassigned
from rollhouse.tenancy.tenants import Tenant

CACHE_ENTRIES = 1000
"""Registries that a process remembers; each is right as long as the tenant's revision is its own."""
BATCH = 1000
OFFENCES_LIMIT = 100
"""Resources that a refusal lists; it looks no further."""
NAMED = 10
TIMEOUT_MILLISECONDS = 60_000

_REVISION = "SELECT registry FROM rollhouse.tenants WHERE id = $1"
_SCHEMAS = "SELECT definition FROM rollhouse.schemas WHERE tenant_id = $1 ORDER BY urn"
_TYPES = "SELECT definition FROM rollhouse.resource_types WHERE tenant_id = $1 ORDER BY name"
_KEEP_SCHEMA = (
    "INSERT INTO rollhouse.schemas (tenant_id, urn, definition) VALUES ($1, $2, $3) ON CONFLICT (tenant_id, urn) DO UPDATE SET definition = excluded.definition"
)
_KEEP_TYPE = (
    "INSERT INTO rollhouse.resource_types (tenant_id, name, definition) VALUES ($1, $2, $3)"
    " ON CONFLICT (tenant_id, name) DO UPDATE SET definition = excluded.definition"
)
_DROP_SCHEMA = "DELETE FROM rollhouse.schemas WHERE tenant_id = $1 AND urn = $2"
_DROP_TYPE = "DELETE FROM rollhouse.resource_types WHERE tenant_id = $1 AND name = $2"
_HOLD = "SELECT pg_advisory_xact_lock(hashtextextended('registry:' || $1::text, 0))"
_ADVANCE = (
    "UPDATE rollhouse.tenants SET registry = registry + 1, version = version + 1, last_modified = date_trunc('milliseconds', clock_timestamp())"
    " WHERE id = $1 RETURNING registry"
)
# A text of the document holds the URN of every extension that it has; most have none of those that are changed.
_AFFECTED = (
    "SELECT id, document FROM rollhouse.resources WHERE tenant_id = $1 AND resource_type = $2 AND id > $3"
    " AND ($4::text[] IS NULL OR EXISTS (SELECT FROM unnest($4::text[]) urn WHERE strpos(lower(document), urn) > 0)) ORDER BY id LIMIT $5"
)
_REWRITE = (
    "UPDATE rollhouse.resources r SET document = n.document, comparable = n.comparable, version = r.version + (r.document <> n.document)::int,"
    " last_modified = CASE WHEN r.document <> n.document THEN greatest(date_trunc('milliseconds', clock_timestamp()), r.last_modified) ELSE r.last_modified END"
    " FROM unnest($2::uuid[], $3::text[], $4::jsonb[]) AS n (id, document, comparable) WHERE r.tenant_id = $1 AND r.id = n.id"
)
_NOTE_REWRITTEN = (
    "SELECT rollhouse.append_audit($1, $2, $3, 'resource.updated', $4, n.id::text, ARRAY['schemas'], NULL, NULL, n.was, n.document)"
    " FROM unnest($5::uuid[], $6::text[], $7::text[]) AS n (id, was, document)"
)
_FORGET_KEYS = (
    "DELETE FROM rollhouse.resource_keys k USING unnest($3::uuid[], $4::text[], $5::text[]) AS gone (id, a, v)"
    " WHERE k.tenant_id = $1 AND k.resource_type = $2 AND k.resource_id = gone.id AND k.attribute = gone.a AND k.key = gone.v"
)
_ADD_KEYS = (
    "INSERT INTO rollhouse.resource_keys (tenant_id, resource_type, attribute, key, resource_id, is_unique)"
    " SELECT $1, $2, a, v, i, false FROM unnest($3::uuid[], $4::text[], $5::text[]) AS new (i, a, v) ON CONFLICT DO NOTHING"
)
_SHARED = (
    "SELECT key, array_agg(resource_id ORDER BY resource_id) AS ids FROM rollhouse.resource_keys"
    " WHERE tenant_id = $1 AND resource_type = $2 AND attribute = $3 GROUP BY key HAVING count(*) > 1 ORDER BY key LIMIT $4"
)
_MARK = "UPDATE rollhouse.resource_keys SET is_unique = $4 WHERE tenant_id = $1 AND resource_type = $2 AND attribute = ANY ($3::text[]) AND is_unique <> $4"


class Offence(msgspec.Struct, frozen=True):
    """A resource that does not fit what its tenant wants to define, and why."""

    resource_type: str
    id: UUID
    reason: str


class DoesNotFit(Conflict):
    """The change is refused: there are resources that it would break; `offences` are the first hundred of them."""

    def __init__(self, offences: list[Offence]) -> None:
        shown = "; ".join(f"{one.resource_type} {one.id}: {one.reason}" for one in offences[:NAMED])
        more = f" and {'at least ' * (len(offences) >= OFFENCES_LIMIT)}{len(offences) - NAMED} more" if len(offences) > NAMED else ""
        super().__init__(f"There are resources that this would not fit: {shown}{more}. Change or delete them first; nothing was changed.")
        self.offences = offences


class _Undone(Exception):
    """Ends the transaction of a validation."""


class Registries:
    """What each tenant's requests are read by; at most 1,000 are remembered."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[UUID, Registry] = OrderedDict()

    def known(self, tenant: Tenant) -> Registry | None:
        """The tenant's registry, at the tenant's revision or a later one; None if it has to be read."""
        found = STANDARD
        if tenant.registry:
            kept = self._known.get(tenant.id)
            if kept is None or kept.revision < tenant.registry:
                return None
            self._known.move_to_end(tenant.id)
            found = kept
        return found.with_group_members if tenant.profile.group_members else found

    async def of(self, tenant: Tenant) -> Registry:
        """The tenant's registry, at the tenant's revision or a later one, read if it is not known."""
        return self.known(tenant) or await self._read(tenant)

    async def _read(self, tenant: Tenant) -> Registry:
        found = self._known[tenant.id] = (await read_definitions(self._database, tenant.id))[1]
        if len(self._known) > CACHE_ENTRIES:
            self._known.popitem(last=False)
        return found.with_group_members if tenant.profile.group_members else found


async def read_definitions(database: Database, tenant_id: UUID) -> tuple[Definitions, Registry]:
    """What the tenant has defined, and the registry that it makes."""
    async with database.transaction(tenant_id) as tx:
        return await _read(tx)


Edit = Callable[[Definitions], Definitions]
Progress = Callable[[int], None]


async def change_definitions(
    database: Database, tenant: Tenant, edit: Edit, *, cause: Cause, action: str, target: tuple[str, str], progress: Progress | None = None
) -> Registry:
    """The registry after a change of definitions, with every resource fit for it; `progress` is told of resources that were read.

    Resources that hold what is newly defined are read by it and, where their client wrote a value otherwise than it is declared, rewritten.
    The tenant's writes wait meanwhile, two seconds at most each; everybody else's do not. `target` is what the audit names: a type and an id.

    Raises:
        DoesNotFit: a resource would break; nothing is changed.
        InvalidValue, NotFound: the definitions do not hold together.
    """
    async with _changing(database, tenant) as tx:
        made = await _change(tx, edit, cause, progress)
        await audit.append(tx, cause, action, *target)
    return made


async def try_definitions(database: Database, tenant: Tenant, edit: Edit, *, cause: Cause, progress: Progress | None = None) -> list[Offence]:
    """What would be in the way of a change of definitions, at most 100 resources: all of it is done and undone, while the tenant's writes wait.

    Raises:
        InvalidValue, NotFound: as `change_definitions`.
    """
    try:
        async with _changing(database, tenant) as tx:
            await _change(tx, edit, cause, progress)
            raise _Undone  # noqa: TRY301 - it is the block that must end by it
    except DoesNotFit as refusal:  # outside the transaction, which a refusal must end without effect
        return refusal.offences
    except _Undone:
        return []


@asynccontextmanager
async def _changing(database: Database, tenant: Tenant) -> AsyncIterator[Transaction]:
    """A transaction that holds the tenant's registry alone."""
    async with database.transaction(tenant.id, statement_timeout_milliseconds=TIMEOUT_MILLISECONDS) as tx:
        await tx.fetch(_HOLD, str(tenant.id))
        yield tx


async def _change(tx: Transaction, edit: Edit, cause: Cause, progress: Progress | None) -> Registry:
    definitions, before = await _read(tx)
    wanted = edit(definitions)
    made = wanted.registry(before.revision + 1)
    await _fit(tx, before, made, cause, progress)
    await _store(tx, definitions, wanted)
    await tx.fetch(_ADVANCE, tx.tenant_id)
    return made


async def _read(tx: Transaction) -> tuple[Definitions, Registry]:
    revision = (await tx.fetch(_REVISION, tx.tenant_id))[0]["registry"]
    schemas = [msgspec.json.decode(row["definition"], type=Schema) for row in await tx.fetch(_SCHEMAS, tx.tenant_id)]
    types = [msgspec.json.decode(row["definition"], type=TypeDefinition) for row in await tx.fetch(_TYPES, tx.tenant_id)]
    found = Definitions({one.id.lower(): one for one in schemas}, {one.name: one for one in types})
    return found, found.registry(revision)


async def _store(tx: Transaction, before: Definitions, after: Definitions) -> None:
    await _store_in(tx, _KEEP_SCHEMA, _DROP_SCHEMA, before.schemas, after.schemas)
    await _store_in(tx, _KEEP_TYPE, _DROP_TYPE, before.resource_types, after.resource_types)


async def _store_in(tx: Transaction, keep: str, drop: str, before: Mapping[str, object], after: Mapping[str, object]) -> None:
    for name in before.keys() - after.keys():
        await tx.fetch(drop, tx.tenant_id, name)
    for name, one in after.items():
        if before.get(name) != one:
            await tx.fetch(keep, tx.tenant_id, name, msgspec.json.encode(one).decode())


async def _fit(tx: Transaction, before: Registry, after: Registry, cause: Cause, progress: Progress | None) -> None:
    """Read every resource that a change concerns by the new registry, and bring what is kept beside it up to date.

    Raises:
        DoesNotFit: some do not fit.
    """
    offences: list[Offence] = []
    for name, old in before.by_name.items():
        new = after.by_name.get(name)
        if new is None:
            rows = await tx.fetch(_AFFECTED, tx.tenant_id, name, UUID(int=0), None, OFFENCES_LIMIT)
            offences += [Offence(name, row["id"], "its resource type would be gone") for row in rows]
        elif new != old:
            offences += await _fit_type(tx, old, new, cause, progress)
    if offences:
        raise DoesNotFit(offences[:OFFENCES_LIMIT])


async def _fit_type(tx: Transaction, old: ResourceType, new: ResourceType, cause: Cause, progress: Progress | None) -> list[Offence]:
    changed = [urn for urn in {*old.schemas, *new.schemas} if old.schemas.get(urn) != new.schemas.get(urn)]
    is_whole = old.schema != new.schema or bool(new.required_extensions - old.required_extensions)
    gone = [schema.id for schema in old.extensions if schema.id.lower() not in new.schemas]
    offences: list[Offence] = []
    after = UUID(int=0)
    while len(offences) < OFFENCES_LIMIT and (is_whole or changed):
        rows = await tx.fetch(_AFFECTED, tx.tenant_id, new.name, after, None if is_whole else changed, BATCH)
        rewritten = []
        for row in rows:
            document: Document = msgspec.json.decode(row["document"])
            try:
                rewritten.append((row["id"], row["document"], document, _reread(new, document, gone)))
            except BadRequest as error:
                offences.append(Offence(new.name, row["id"], error.detail))
        if not offences:
            await _rewrite(tx, old, new, rewritten, cause)
        if progress is not None:
            progress(len(rows))
        if len(rows) < BATCH:
            break
        after = rows[-1]["id"]
    if not offences:
        offences = await _mark_unique(tx, old, new)
    return offences


def _reread(resource_type: ResourceType, document: Document, gone: list[str]) -> Document:
    """The document as the resource type has it.

    Raises:
        BadRequest: it does not fit, or would lose something.
    """
    for urn in gone:
        if urn in document:
            raise BadRequest(f"it has values of the extension {urn}, which would be gone")
    noted: set[Tolerance] = set()
    found, _ = replace_document(resource_type, document, document, noted)
    lost = sorted(_lost(document, found))
    if lost or noted & {Tolerance.UNKNOWN_ATTRIBUTE, Tolerance.READ_ONLY_IGNORED, Tolerance.VALUE_SHAPE}:
        where = ", ".join(lost[:NAMED]) or "a complex attribute"
        raise BadRequest(f"it has values that are not declared, are read-only, are never returned or have another shape, in {where}")
    return found


def _lost(before: Any, after: Any) -> set[str]:
    """The names of what a document had and, read anew, has no longer."""
    if isinstance(before, list) and isinstance(after, list):
        return set().union(*(_lost(*pair) for pair in zip(before, after, strict=False)))
    if not isinstance(before, dict):
        return set()
    has = {name.lower(): inner for name, inner in after.items()} if isinstance(after, dict) else {}
    gone = {name for name, inner in before.items() if name.lower() not in has and not is_unassigned(inner)}
    return gone.union(*(_lost(inner, has[name.lower()]) for name, inner in before.items() if name.lower() in has))


async def _rewrite(tx: Transaction, old: ResourceType, new: ResourceType, batch: list[tuple[UUID, str, Document, Document]], cause: Cause) -> None:
    texts = [(resource_id, was, encode(found).decode() if found != document else was) for resource_id, was, document, found in batch]
    forms = [comparable(new, found) for *_, found in batch]
    gone, added = [], []
    for (resource_id, _, document, _), form in zip(batch, forms, strict=True):
        had, has = index_entries(old, comparable(old, document)), index_entries(new, form)
        gone += [(resource_id, *entry) for entry in had - has]
        added += [(resource_id, *entry) for entry in has - had]
    await tx.fetch(_REWRITE, tx.tenant_id, [one for one, *_ in texts], [text for *_, text in texts], [encode(form).decode() for form in forms])
    changed = [one for one in texts if one[1] != one[2]]
    await tx.fetch(_NOTE_REWRITTEN, tx.tenant_id, cause.actor, cause.request_id, new.name, *_columns(changed))
    await tx.fetch(_FORGET_KEYS, tx.tenant_id, new.name, *_columns(gone))
    await tx.fetch(_ADD_KEYS, tx.tenant_id, new.name, *_columns(added))


def _columns(rows: list[tuple[UUID, str, str]]) -> tuple[list[object], list[object], list[object]]:
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


async def _mark_unique(tx: Transaction, old: ResourceType, new: ResourceType) -> list[Offence]:
    """Hold the keys of unique values to being unique; the resources that share one, if some do."""
    offences: list[Offence] = []
    for name, reference in new.unique.items():
        if old.unique.get(name) == reference:
            continue
        for row in await tx.fetch(_SHARED, tx.tenant_id, new.name, name, OFFENCES_LIMIT):
            offences += [Offence(new.name, one, f"it shares the {reference.label} of {row['ids'][0]}") for one in row["ids"][1:]]
    if not offences:
        await tx.fetch(_MARK, tx.tenant_id, new.name, sorted(new.unique), True)  # noqa: FBT003 - an argument of the statement
        await tx.fetch(_MARK, tx.tenant_id, new.name, sorted(old.unique.keys() - new.unique.keys()), False)  # noqa: FBT003
    return offences
