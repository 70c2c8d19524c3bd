"""How people look through a directory: by what a name begins with, by page, by group; each statement bounded by its page, not by the tenant."""

import json
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from rollhouse.database.pool import Row, Transaction
from rollhouse.directory.queries import after_prefix
from rollhouse.scim.comparison import RARE
from rollhouse.scim.keys import fold_text
from rollhouse.scim.schemas import ResourceType

PAGE = 50
FOUND_LIMIT = 200
"""Resources that one search looks at for each name that it looks for."""
_LAST = UUID(int=(1 << 128) - 1)
SEARCHED_NAMES = 4
"""Names of a type that one search looks through: all of a user's."""

LOOKED_AT = 2000
"""Resources that one page of active ones looks at: behind a long row of inactive ones a page may be short, and the next one goes on."""
INACTIVE_COUNTED = 10_000

State = Literal["active", "inactive"]

_COLUMNS = "id, resource_type, document, version, created, last_modified"
_NEWEST = "SELECT id FROM rollhouse.resources WHERE tenant_id = $1 AND resource_type = $2 AND id < $3 ORDER BY id DESC LIMIT $4"
_INACTIVE_KEYS = f"FROM rollhouse.resource_keys k WHERE k.tenant_id = $1 AND k.resource_type = 'User' AND k.attribute = 'active' AND k.key = '{RARE}'"
_INACTIVE = f"SELECT k.resource_id {_INACTIVE_KEYS} AND k.resource_id < $2 ORDER BY k.resource_id DESC LIMIT $3"
_COUNT_INACTIVE = f"SELECT count(*) FROM (SELECT {_INACTIVE_KEYS} LIMIT {INACTIVE_COUNTED}) inactive"
# One look into the index for each id, whatever the statistics say: for a tenant that grew since, `id = ANY` reads all it has.
_SOME = (
    f"SELECT r.* FROM unnest($2::uuid[]) AS wanted (id) CROSS JOIN LATERAL (SELECT {_COLUMNS} FROM rollhouse.resources"
    " WHERE tenant_id = $1 AND id = wanted.id OFFSET 0) r ORDER BY r.id DESC"
)
_INACTIVE_AMONG = (
    f"SELECT wanted.id FROM unnest($2::uuid[]) AS wanted (id) CROSS JOIN LATERAL (SELECT {_INACTIVE_KEYS} AND k.resource_id = wanted.id OFFSET 0) k"
)
_COUNTS = "SELECT resource_type, sum(count)::bigint AS count FROM rollhouse.resource_counts WHERE tenant_id = $1 GROUP BY resource_type"
_SIZES = "SELECT group_id, count(*) AS count FROM rollhouse.memberships WHERE tenant_id = $1 AND group_id = ANY ($2) GROUP BY group_id"
_DOCUMENT = f"CROSS JOIN LATERAL (SELECT {_COLUMNS} FROM rollhouse.resources WHERE tenant_id = $1 AND id = m.id OFFSET 0) r ORDER BY r.id"
_MEMBERS = (
    "SELECT r.* FROM (SELECT member_id AS id FROM rollhouse.memberships"
    f" WHERE tenant_id = $1 AND group_id = $2 AND member_id > $3 ORDER BY member_id LIMIT $4) m {_DOCUMENT}"
)
_GROUPS_OF = (
    f"SELECT r.* FROM (SELECT group_id AS id FROM rollhouse.memberships WHERE tenant_id = $1 AND member_id = $2 ORDER BY group_id LIMIT $3) m {_DOCUMENT}"
)


class Found(msgspec.Struct, frozen=True):
    """A resource as a page shows it."""

    id: UUID
    resource_type: str
    document: dict[str, Any]
    version: int
    created: datetime
    last_modified: datetime

    @property
    def name(self) -> str:
        """What people call it: its display name or user name, else the first text that is its own, else its external id or its id."""
        named = [self.document.get("displayName"), self.document.get("userName")]
        others = (value for name, value in self.document.items() if name != "externalId")
        return next((one for one in (*named, *others, self.external_id) if isinstance(one, str) and one), str(self.id))

    @property
    def text(self) -> str:
        """The document as people read JSON."""
        return json.dumps(self.document, indent=2, ensure_ascii=False)

    @property
    def attributes(self) -> list[tuple[str, str]]:
        """What it is made of, in the order in which it was sent: texts as they are, all else as JSON."""
        shown = ((name, value) for name, value in self.document.items() if name not in ("schemas", "externalId"))
        return [(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)) for name, value in shown]

    @property
    def user_name(self) -> str:
        """The user name; "" of a group."""
        return str(self.document.get("userName", ""))

    @property
    def email(self) -> str:
        """The primary address, else the first one, else ""."""
        given = self.document.get("emails")
        emails = [one for one in given if isinstance(one, dict) and one.get("value")] if isinstance(given, list) else []
        return str(next((one["value"] for one in emails if one.get("primary") is True), emails[0]["value"] if emails else ""))

    @property
    def external_id(self) -> str:
        """The id that the identity provider gave it, else ""."""
        return str(self.document.get("externalId", ""))

    @property
    def is_active(self) -> bool:
        """Whether the account may be used; one of which nothing is said may."""
        return self.document.get("active") is not False


class Page(msgspec.Struct, frozen=True):
    """Resources of one page; `more` is the id that the next page begins behind, None on the last one."""

    found: list[Found]
    more: UUID | None


async def count_resources(tx: Transaction) -> dict[str, int]:
    """How many resources of each type the tenant has, from the maintained counters."""
    return {row["resource_type"]: row["count"] for row in await tx.fetch(_COUNTS, tx.tenant_id)}


async def count_inactive(tx: Transaction) -> int:
    """How many users may not use their accounts; 10,000 stands for as many and more."""
    return int((await tx.fetch(_COUNT_INACTIVE, tx.tenant_id))[0][0])


async def newest_resources(tx: Transaction, resource_type: str, *, before: UUID | None = None, state: State | None = None) -> Page:
    """The resources made before the one of that id, the newest first, or those of one state."""
    if state == "inactive":
        ids = [row[0] for row in await tx.fetch(_INACTIVE, tx.tenant_id, before or _LAST, PAGE)]
        return Page(await _some(tx, ids), ids[-1] if len(ids) == PAGE else None)
    looked_at = PAGE if state is None else LOOKED_AT
    ids = [row[0] for row in await tx.fetch(_NEWEST, tx.tenant_id, resource_type, before or _LAST, looked_at)]
    more = ids[-1] if len(ids) == looked_at else None
    if state is not None:
        inactive = await _inactive_among(tx, ids)
        ids = [one for one in ids if one not in inactive]
        if len(ids) > PAGE:
            ids = ids[:PAGE]
            more = ids[-1]
    return Page(await _some(tx, ids), more)


async def search_resources(tx: Transaction, resource_type: ResourceType, text: str, *, state: State | None = None) -> list[Found]:
    """The resources one of whose first four names begins with the text, the newest first, such as a user's user name or e-mail; at most 50.

    Each name is a range of an index; the cost does not depend on how many resources there are.
    """
    if not resource_type.names:
        return []
    parts, values = [], [tx.tenant_id, resource_type.name]
    for name in resource_type.names[:SEARCHED_NAMES]:
        prefix = fold_text(text.strip(), case_exact=name.leaf.case_exact)
        values += [name.index_name, prefix, after_prefix(prefix)]
        at = len(values)
        parts.append(
            "(SELECT k.resource_id FROM rollhouse.resource_keys k WHERE k.tenant_id = $1 AND k.resource_type = $2"
            f" AND k.attribute = ${at - 2} AND k.key >= ${at - 1} AND k.key < ${at} ORDER BY k.key LIMIT {FOUND_LIMIT})"
        )
    found = {row[0] for row in await tx.fetch(" UNION ".join(parts), *values)}
    if state is not None:
        inactive = await _inactive_among(tx, list(found))
        found = found & inactive if state == "inactive" else found - inactive
    return await _some(tx, sorted(found, reverse=True)[:PAGE])


async def _inactive_among(tx: Transaction, ids: list[UUID]) -> set[UUID]:
    return {row[0] for row in await tx.fetch(_INACTIVE_AMONG, tx.tenant_id, ids)}


async def _some(tx: Transaction, ids: list[UUID]) -> list[Found]:
    return [_found(row) for row in await tx.fetch(_SOME, tx.tenant_id, ids)] if ids else []


async def find_resource(tx: Transaction, resource_id: UUID) -> Found | None:
    """The resource of that id."""
    rows = await tx.fetch(_SOME, tx.tenant_id, [resource_id])
    return _found(rows[0]) if rows else None


async def find_resources(tx: Transaction, ids: list[UUID]) -> dict[UUID, Found]:
    """The resources of these ids, those that there are."""
    return {row["id"]: _found(row) for row in await tx.fetch(_SOME, tx.tenant_id, ids)}


async def sizes_of(tx: Transaction, groups: list[UUID]) -> dict[UUID, int]:
    """How many members each of the groups has; of an empty one nothing is said."""
    return {row["group_id"]: row["count"] for row in await tx.fetch(_SIZES, tx.tenant_id, groups)}


async def members_of(tx: Transaction, group_id: UUID, *, after: UUID | None = None, limit: int = PAGE) -> list[Found]:
    """The group's members behind an id; at most `limit`."""
    return [_found(row) for row in await tx.fetch(_MEMBERS, tx.tenant_id, group_id, after or UUID(int=0), limit)]


async def groups_of(tx: Transaction, member_id: UUID, *, limit: int = PAGE) -> list[Found]:
    """The groups that a member belongs to directly; at most `limit`."""
    return [_found(row) for row in await tx.fetch(_GROUPS_OF, tx.tenant_id, member_id, limit)]


def _found(row: Row) -> Found:
    return Found(row["id"], row["resource_type"], json.loads(row["document"]), row["version"], row["created"], row["last_modified"])
