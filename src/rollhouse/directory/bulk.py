"""Many resources at once, for seeding and imports: array statements within one transaction a batch (COPY is refused under RLS)."""

from uuid import UUID

from rollhouse.database.identifiers import new_id
from rollhouse.database.pool import Database
from rollhouse.scim.attributes import Document
from rollhouse.scim.comparison import comparable, index_entries
from rollhouse.scim.messages import encode
from rollhouse.scim.schemas import ResourceType

BATCH = 2000

_RESOURCES = (
    "INSERT INTO rollhouse.resources (tenant_id, id, resource_type, document, comparable, created, last_modified)"
    " SELECT $1, i, $2, d, c, m, m FROM unnest($3::uuid[], $4::text[], $5::jsonb[]) AS t (i, d, c), date_trunc('milliseconds', clock_timestamp()) m"
)
_KEYS = (
    "INSERT INTO rollhouse.resource_keys (tenant_id, resource_type, attribute, key, resource_id, is_unique)"
    " SELECT $1, $2, a, k, i, u FROM unnest($3::text[], $4::text[], $5::uuid[], $6::boolean[]) AS t (a, k, i, u)"
)
_MEMBERS = (
    "INSERT INTO rollhouse.memberships (tenant_id, group_id, member_id, member_type) SELECT $1, $2, m, 'User' FROM unnest($3::uuid[]) m ON CONFLICT DO NOTHING"
)


async def insert_resources(database: Database, tenant_id: UUID, resource_type: ResourceType, documents: list[Document]) -> list[UUID]:
    """The ids of the documents, stored in one transaction; at most a few thousand at a time.

    Raises:
        Uniqueness: one of them clashes; none is stored.
    """
    ids = [new_id() for _ in documents]
    compared = [comparable(resource_type, document) for document in documents]
    entries = [(attribute, key, resource_id) for resource_id, form in zip(ids, compared, strict=True) for attribute, key in index_entries(resource_type, form)]
    async with database.transaction(tenant_id, statement_timeout_milliseconds=60_000) as tx:
        await tx.fetch(
            _RESOURCES, tenant_id, resource_type.name, ids, [encode(document).decode() for document in documents], [encode(form).decode() for form in compared]
        )
        await tx.fetch(
            _KEYS,
            tenant_id,
            resource_type.name,
            [attribute for attribute, _, _ in entries],
            [key for _, key, _ in entries],
            [resource_id for _, _, resource_id in entries],
            [attribute in resource_type.unique for attribute, _, _ in entries],
        )
        await tx.fetch("SELECT rollhouse.count_resources($1, $2, $3)", tenant_id, resource_type.name, len(documents))
    return ids


async def insert_members(database: Database, tenant_id: UUID, group_id: UUID, members: list[UUID]) -> None:
    """Make the users members of the group, a batch in one transaction."""
    for start in range(0, len(members), BATCH):
        async with database.transaction(tenant_id, statement_timeout_milliseconds=60_000) as tx:
            await tx.fetch(_MEMBERS, tenant_id, group_id, members[start : start + BATCH])
