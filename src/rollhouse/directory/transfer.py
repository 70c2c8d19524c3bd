"""A whole tenant out to a file and in again: resources and memberships by key set and in batches, never its secrets."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import msgspec

from rollhouse.database.pool import Database, Row, Transaction
from rollhouse.directory import registries
from rollhouse.directory.archive import Export, Manifest, Membership, StoredResource, Tally, check_export, open_export, read_lines
from rollhouse.journal import audit
from rollhouse.journal.audit import UNATTENDED, Cause
from rollhouse.scim.comparison import comparable, index_entries
from rollhouse.scim.definitions import Definitions
from rollhouse.scim.errors import Conflict, InvalidValue, Uniqueness
from rollhouse.scim.messages import encode
from rollhouse.scim.registry import Registry
from rollhouse.tenancy.tenants import Tenant

BATCH = 1000
"""Lines that one transaction reads or writes."""
TIMEOUT_MILLISECONDS = 60_000
_BEFORE_ALL = UUID(int=0)
_NOT_THIS = "holds something that is not in the file. Import into an empty tenant; only an interrupted import of the same file can be gone on with."

_RESOURCES = (
    "SELECT id, resource_type, version, created, last_modified, document FROM rollhouse.resources WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3"
)
_MEMBERSHIPS = (
    "SELECT group_id, member_id FROM rollhouse.memberships WHERE tenant_id = $1 AND (group_id, member_id) > ($2, $3) ORDER BY group_id, member_id LIMIT $4"
)
_COUNT = (
    "SELECT (SELECT coalesce(sum(count), 0)::bigint FROM rollhouse.resource_counts WHERE tenant_id = $1)"
    " + (SELECT count(*) FROM rollhouse.memberships WHERE tenant_id = $1) AS lines"
)
_INSERT_RESOURCES = (
    "INSERT INTO rollhouse.resources (tenant_id, id, resource_type, version, created, last_modified, document, comparable)"
    " SELECT $1, i, t, v, c, m, d, f"
    " FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::jsonb[]) AS line (i, t, v, c, m, d, f)"
)
_INSERT_KEYS = (
    "INSERT INTO rollhouse.resource_keys (tenant_id, resource_id, resource_type, attribute, key, is_unique)"
    " SELECT $1, i, t, a, k, u FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::boolean[]) AS entry (i, t, a, k, u)"
)
_INSERT_MEMBERSHIPS = (
    "INSERT INTO rollhouse.memberships (tenant_id, group_id, member_id, member_type)"
    " SELECT $1, g, m, t FROM unnest($2::uuid[], $3::uuid[], $4::text[]) AS line (g, m, t)"
)
_HOLD = "SELECT rollhouse.hold_registry($1, $2)"
_TYPES = "SELECT id, resource_type FROM rollhouse.resources WHERE tenant_id = $1 AND id = ANY ($2::uuid[])"
_TAKEN = (
    "SELECT resource_type, attribute, key FROM rollhouse.resource_keys k WHERE tenant_id = $1 AND is_unique"
    " AND (resource_type, attribute, key) IN (SELECT * FROM unnest($2::text[], $3::text[], $4::text[]))"
)
_IS_NOTED = "SELECT FROM rollhouse.audit WHERE tenant_id = $1 AND target_id = $2 AND action = 'tenant.imported' LIMIT 1"

Progress = Callable[[int], None]
Kind = TypeVar("Kind", StoredResource, Membership)


class Entry(msgspec.Struct, frozen=True):
    """A row of `resource_keys` that a resource of the import needs, and the line that it comes from; a unique one no other resource may have."""

    line: int
    resource_id: UUID
    resource_type: str
    attribute: str
    key: str
    is_unique: bool

    @property
    def name(self) -> tuple[str, str, str]:
        """What no two resources share when it is unique."""
        return self.resource_type, self.attribute, self.key


async def count_lines(database: Database, tenant: Tenant) -> int:
    """How many lines the tenant's export has behind its header, as of now."""
    async with database.transaction(tenant.id, statement_timeout_milliseconds=TIMEOUT_MILLISECONDS) as tx:
        rows = await tx.fetch(_COUNT, tenant.id)
    return int(rows[0]["lines"])


async def export_tenant(database: Database, tenant: Tenant, path: Path, *, cause: Cause = UNATTENDED, progress: Progress | None = None) -> Manifest:
    """The manifest of the tenant's export, written to `path` and beside it; `progress` is told of lines, those of an earlier try first.

    It takes the memory of 1,000 resources. Interrupted, it goes on behind its last complete line. It is no snapshot:
    what is changed meanwhile may be in it or not, so suspend the tenant first for an exact copy.

    Raises:
        Conflict: the file is there already, or a part of another tenant's export is.
        InvalidValue: the part of an earlier try was changed.
    """
    definitions, _ = await registries.read_definitions(database, tenant.id)
    with open_export(tenant, definitions, path) as export:
        _tell(progress, sum(export.tally.resources.values()) + export.tally.memberships)
        if not export.tally.memberships:
            await _export_resources(database, tenant, export, progress)
        await _export_memberships(database, tenant, export, progress)
        async with database.transaction(tenant.id) as tx:
            await audit.append(tx, cause, "tenant.exported", "Tenant", tenant.id)
            return export.finish()


async def import_tenant(database: Database, tenant: Tenant, path: Path, *, cause: Cause, progress: Progress | None = None) -> Manifest:
    """The manifest of the export that the tenant now holds, with the ids, versions and times of the file; `progress` is told of lines.

    Batches of 1,000 lines are a transaction each, with a row in the audit that names what it added. Interrupted, it goes on;
    what is there already is compared with the file, so the same import again changes nothing.

    Raises:
        InvalidValue: the file is not the one of its manifest, or a line cannot be stored; the detail names the line.
        Uniqueness: two resources have the same unique value; the detail names the line of one.
        Conflict: the tenant holds something that is not in the file, or is being deleted.
    """
    if tenant.status == "deleting":
        raise Conflict(f"The tenant {tenant.slug} is being deleted, so nothing can be imported; see: rollhouse tenant restore {tenant.slug}")
    manifest = await asyncio.to_thread(check_export, path)
    tally = Tally()
    revision = 0
    after, last_pair = _BEFORE_ALL, (_BEFORE_ALL, _BEFORE_ALL)
    for resources, memberships in _batches(path, tally):
        if (after, last_pair[0]) == (_BEFORE_ALL, _BEFORE_ALL):
            revision = await _import_definitions(database, tenant, tally, cause)
        if resources:
            await _import_resources(database, tenant, msgspec.structs.replace(tally.registry, revision=revision), resources, after, cause)
            after = resources[-1][1].id
        if memberships:
            await _import_memberships(database, tenant, memberships, last_pair, cause)
            last_pair = memberships[-1][1].group, memberships[-1][1].member
        _tell(progress, len(resources) + len(memberships))
    await _complete_import(database, tenant, tally, manifest, cause)
    return manifest


async def _export_resources(database: Database, tenant: Tenant, export: Export, progress: Progress | None) -> None:
    while True:
        async with database.transaction(tenant.id, statement_timeout_milliseconds=TIMEOUT_MILLISECONDS) as tx:
            rows = await tx.fetch(_RESOURCES, tenant.id, export.tally.last_id, BATCH)
        export.write([_resource(row) for row in rows])
        _tell(progress, len(rows))
        if len(rows) < BATCH:
            return


async def _export_memberships(database: Database, tenant: Tenant, export: Export, progress: Progress | None) -> None:
    after = export.tally.last_pair
    while True:
        async with database.transaction(tenant.id, statement_timeout_milliseconds=TIMEOUT_MILLISECONDS) as tx:
            rows = await tx.fetch(_MEMBERSHIPS, tenant.id, *after, BATCH)
        # Resources that were made since the last of them was written are not in the file.
        export.write([Membership(*row) for row in rows if max(row) <= export.tally.last_id])
        _tell(progress, len(rows))
        if len(rows) < BATCH:
            return
        after = rows[-1]["group_id"], rows[-1]["member_id"]


def _batches(path: Path, tally: Tally) -> Iterator[tuple[list[tuple[int, StoredResource]], list[tuple[int, Membership]]]]:
    """Resources and memberships with the numbers of their lines, at most 1,000 of both together."""
    resources: list[tuple[int, StoredResource]] = []
    memberships: list[tuple[int, Membership]] = []
    with path.open("rb") as file:
        for number, line in read_lines(file, tally):
            if isinstance(line, StoredResource):
                resources.append((number, line))
            elif isinstance(line, Membership):
                memberships.append((number, line))
            if len(resources) + len(memberships) == BATCH:
                yield resources, memberships
                resources, memberships = [], []
    yield resources, memberships


async def _import_definitions(database: Database, tenant: Tenant, tally: Tally, cause: Cause) -> int:
    """The revision of the tenant's registry, once the tenant has what the exported one had defined.

    Raises:
        Conflict: it has defined something else itself.
    """
    wanted = tally.header.definitions if tally.header is not None else Definitions()
    there, registry = await registries.read_definitions(database, tenant.id)
    if there == wanted:
        return registry.revision
    if there != Definitions():
        raise Conflict(f"The tenant {tenant.slug} has defined other schemas or resource types than the file. Import into an empty tenant.")
    target = "Tenant", str(tenant.id)
    made = await registries.change_definitions(database, tenant, lambda _: wanted, cause=cause, action="tenant.definitions_imported", target=target)
    return made.revision


async def _import_resources(database: Database, tenant: Tenant, registry: Registry, batch: list[tuple[int, StoredResource]], after: UUID, cause: Cause) -> None:
    """Store those resources of the batch that are not there yet: behind the id `after` the tenant holds the first of them, or none."""
    try:
        async with database.transaction(tenant.id, statement_timeout_milliseconds=TIMEOUT_MILLISECONDS) as tx:
            await tx.fetch(_HOLD, tenant.id, registry.revision)
            there = [_resource(row) for row in await tx.fetch(_RESOURCES, tenant.id, after, len(batch))]
            missing = _missing(tenant, there, batch)
            if missing:
                await _insert_resources(tx, registry, missing)
                await audit.append(tx, cause, "tenant.resources_imported", "Tenant", tenant.id, added=[line.id for _, line in missing])
    except Uniqueness:
        raise await _clash(database, tenant, registry, missing) from None
    except InvalidValue as error:
        raise InvalidValue(f"One of the lines {batch[0][0]} to {batch[-1][0]} cannot be stored: {error.detail}") from None


async def _insert_resources(tx: Transaction, registry: Registry, batch: list[tuple[int, StoredResource]]) -> None:
    lines = [line for _, line in batch]
    forms = [comparable(registry.by_name[line.type], msgspec.json.decode(line.document)) for line in lines]
    await tx.fetch(
        _INSERT_RESOURCES,
        tx.tenant_id,
        [line.id for line in lines],
        [line.type for line in lines],
        [line.version for line in lines],
        [line.created for line in lines],
        [line.last_modified for line in lines],
        [bytes(line.document).decode() for line in lines],
        [encode(form).decode() for form in forms],
    )
    entries = _entries(registry, batch)
    await tx.fetch(
        _INSERT_KEYS,
        tx.tenant_id,
        [entry.resource_id for entry in entries],
        [entry.resource_type for entry in entries],
        [entry.attribute for entry in entries],
        [entry.key for entry in entries],
        [entry.is_unique for entry in entries],
    )
    for name in sorted({line.type for line in lines}):
        await tx.fetch("SELECT rollhouse.count_resources($1, $2, $3)", tx.tenant_id, name, sum(line.type == name for line in lines))


async def _import_memberships(database: Database, tenant: Tenant, batch: list[tuple[int, Membership]], after: tuple[UUID, UUID], cause: Cause) -> None:
    async with database.transaction(tenant.id, statement_timeout_milliseconds=TIMEOUT_MILLISECONDS) as tx:
        there = [Membership(*row) for row in await tx.fetch(_MEMBERSHIPS, tenant.id, *after, len(batch))]
        missing = _missing(tenant, there, batch)
        if not missing:
            return
        named = {one for _, line in missing for one in (line.group, line.member)}
        types = {row["id"]: row["resource_type"] for row in await tx.fetch(_TYPES, tenant.id, list(named))}
        for number, line in missing:
            if types.get(line.group) != "Group" or line.member not in types:
                raise InvalidValue(f"Line {number} names a group or a member that is not in the file. Export the tenant again while it is suspended.")
        lines = [line for _, line in missing]
        await tx.fetch(_INSERT_MEMBERSHIPS, tenant.id, [line.group for line in lines], [line.member for line in lines], [types[line.member] for line in lines])
        # A row for each group, as the SCIM operation that adds members leaves one: lines are in order of group.
        for group, added in groupby(lines, key=lambda line: line.group):
            await audit.append(tx, cause, "resource.updated", "Group", group, ["members"], added=[line.member for line in added])


async def _complete_import(database: Database, tenant: Tenant, tally: Tally, manifest: Manifest, cause: Cause) -> None:
    """Make sure that the tenant holds nothing else, and leave the row in the audit that says that the import is complete."""
    counts = {name: tally.resources.get(name, 0) for name in tally.registry.by_name}
    if (counts, tally.memberships) != (manifest.resources, manifest.memberships):
        raise InvalidValue("The file holds other numbers of lines than its manifest says. Export the tenant again.")
    async with database.transaction(tenant.id, statement_timeout_milliseconds=TIMEOUT_MILLISECONDS) as tx:
        if await tx.fetch(_RESOURCES, tenant.id, tally.last_id, 1) or await tx.fetch(_MEMBERSHIPS, tenant.id, *tally.last_pair, 1):
            raise Conflict(f"The tenant {tenant.slug} {_NOT_THIS}")
        if not await tx.fetch(_IS_NOTED, tenant.id, str(tenant.id)):
            await audit.append(tx, cause, "tenant.imported", "Tenant", tenant.id)


def _missing(tenant: Tenant, there: Sequence[Kind], batch: list[tuple[int, Kind]]) -> list[tuple[int, Kind]]:
    """What of the batch the tenant does not hold yet.

    Raises:
        Conflict: it holds something else than the batch's first lines.
    """
    if list(there) != [line for _, line in batch[: len(there)]]:
        raise Conflict(f"The tenant {tenant.slug} {_NOT_THIS}")
    return batch[len(there) :]


async def _clash(database: Database, tenant: Tenant, registry: Registry, batch: list[tuple[int, StoredResource]]) -> Uniqueness:
    """The refusal that names the first line with a unique value that another resource has; the value is not shown."""
    entries = [entry for entry in _entries(registry, batch) if entry.is_unique]
    async with database.transaction(tenant.id, statement_timeout_milliseconds=TIMEOUT_MILLISECONDS) as tx:
        names = [entry.name for entry in entries]
        rows = await tx.fetch(_TAKEN, tenant.id, *([name[part] for name in names] for part in range(3)))
    seen = {tuple(row) for row in rows}
    for entry in entries:
        if entry.name in seen:
            return Uniqueness(f"Line {entry.line}: another {entry.resource_type} has the same {entry.attribute}, which must be unique in a tenant.")
        seen.add(entry.name)
    return Uniqueness(f"The tenant {tenant.slug} is written to by others: import into a tenant that nothing provisions yet, and start the import again.")


def _entries(registry: Registry, batch: list[tuple[int, StoredResource]]) -> list[Entry]:
    found = []
    for number, line in batch:
        kind = registry.by_name[line.type]
        entries = sorted(index_entries(kind, comparable(kind, msgspec.json.decode(line.document))))
        found += [Entry(number, line.id, line.type, attribute, key, attribute in kind.unique) for attribute, key in entries]
    return found


def _resource(row: Row) -> StoredResource:
    return StoredResource(row["id"], row["resource_type"], row["version"], row["created"], row["last_modified"], msgspec.Raw(row["document"].encode()))


def _tell(progress: Progress | None, lines: int) -> None:
    if progress is not None and lines:
        progress(lines)
