"""Tenants: creating, finding, listing and changing them; their end is in `lifecycle`."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from rollhouse.database.identifiers import new_id
from rollhouse.database.pool import Database, Row
from rollhouse.journal import audit
from rollhouse.journal.audit import Cause
from rollhouse.scim.errors import Conflict, InvalidValue, NotFound, PreconditionFailed, Uniqueness, check_characters, quoted
from rollhouse.scim.profile import USUAL, Profile

_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
NAME_LIMIT = 200
RESERVED_SLUGS = frozenset(
    {
        "admin",
        "api",
        "app",
        "assets",
        "auth",
        "docs",
        "health",
        "internal",
        "login",
        "metrics",
        "oauth2",
        "portal",
        "root",
        "rollhouse",
        "scim",
        "static",
        "status",
        "support",
        "system",
        "t",
        "well-known",
        "www",
    }
)


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant; a limit of None means the service's default, 0 none at all. `version` counts its changes."""

    id: UUID
    slug: str
    name: str
    status: str
    rate_per_second: int | None = None
    burst: int | None = None
    created: datetime | None = None
    reads_while_suspended: bool = False
    purge_after: datetime | None = None
    version: int = 1
    last_modified: datetime | None = None
    profile: Profile = USUAL
    registry: int = 0

    @property
    def path(self) -> str:
        """The path of the tenant's SCIM URL."""
        return f"/t/{self.slug}/scim/v2"


COLUMNS = "id, slug, name, status, rate_per_second, burst, created, reads_while_suspended, purge_after, version, last_modified, profile, registry"
_CREATE = f"INSERT INTO rollhouse.tenants (id, slug, name) VALUES ($1, $2, $3) RETURNING {COLUMNS}"
_LIST = f"SELECT {COLUMNS} FROM rollhouse.tenants ORDER BY slug"
_PAGE = f"SELECT {COLUMNS} FROM rollhouse.tenants WHERE slug > $1 AND (strpos(slug, $3) > 0 OR strpos(lower(name), $3) > 0) ORDER BY slug LIMIT $2"
_FIND = f"SELECT {COLUMNS} FROM rollhouse.tenants WHERE slug = $1"
_FIND_BY_ID = f"SELECT {COLUMNS} FROM rollhouse.tenants WHERE id = $1"
PAGE_LIMIT = 200


def is_slug(text: str) -> bool:
    """Whether a tenant can have that slug."""
    return _SLUG.fullmatch(text) is not None


def check_slug(slug: str) -> str:
    """The slug itself.

    Raises:
        InvalidValue: it is not 1-63 lower-case letters, digits and inner hyphens, or it is reserved.
    """
    if not is_slug(slug):
        raise InvalidValue(f"{quoted(slug)} cannot be a slug: use 1 to 63 lower-case letters, digits and hyphens, no hyphen at either end.")
    if slug in RESERVED_SLUGS:
        raise InvalidValue(f"{quoted(slug)} is a reserved word; choose another slug.")
    return slug


def check_name(name: str) -> str:
    """The name itself.

    Raises:
        InvalidValue: it is empty, longer than 200 characters, or holds a control character.
    """
    if not name.strip() or len(name) > NAME_LIMIT:
        raise InvalidValue(f"A tenant's name has 1 to {NAME_LIMIT} characters.")
    check_characters(name)
    return name


async def create_tenant(database: Database, slug: str, name: str, *, cause: Cause) -> Tenant:
    """A new tenant.

    Raises:
        InvalidValue: the slug or the name cannot be used.
        Uniqueness: the slug is taken.
    """
    tenant_id = new_id()
    check_slug(slug)
    check_name(name)
    try:
        async with database.transaction(tenant_id) as tx:
            rows = await tx.fetch(_CREATE, tenant_id, slug, name)
            await audit.append(tx, cause, "tenant.created", "Tenant", tenant_id)
    except Uniqueness:
        raise Uniqueness(f"The slug {quoted(slug)} is taken; choose another one.") from None
    return _tenant(rows[0])


async def list_tenants(database: Database) -> Sequence[Tenant]:
    """Every tenant in order of slug."""
    return [_tenant(row) for row in await database.query(_LIST)]


async def page_of_tenants(database: Database, *, after: str = "", text: str = "", limit: int = PAGE_LIMIT) -> list[Tenant]:
    """The tenants behind the slug `after` whose slug or name holds the text, in order of slug; at most 200."""
    return [_tenant(row) for row in await database.query(_PAGE, after, min(limit, PAGE_LIMIT), text.lower())]


async def find_tenant(database: Database, slug: str) -> Tenant:
    """The tenant of that slug.

    Raises:
        NotFound: there is none.
    """
    rows = await database.query(_FIND, slug)
    if not rows:
        raise NotFound(f"There is no tenant {quoted(slug)}; see: rollhouse tenant list")
    return _tenant(rows[0])


async def tenant_by_id(database: Database, tenant_id: UUID) -> Tenant:
    """The tenant of that id.

    Raises:
        NotFound: there is none.
    """
    rows = await database.query(_FIND_BY_ID, tenant_id)
    if not rows:
        raise NotFound("There is no such tenant; see: rollhouse tenant list")
    return _tenant(rows[0])


async def set_limit(database: Database, slug: str, rate_per_second: int, burst: int, *, cause: Cause, expected: int | None = None) -> Tenant:
    """The tenant with its own rate limit; a rate of 0 switches the limit off. Effective within five seconds everywhere.

    Raises:
        NotFound: there is no such tenant.
        PreconditionFailed: `expected` is not its version.
    """
    values = {"rate_per_second": rate_per_second, "burst": burst}
    return await change_tenant(database, slug, values, action="tenant.limited", cause=cause, expected=expected)


async def rename_tenant(database: Database, slug: str, name: str, *, cause: Cause, expected: int | None = None) -> Tenant:
    """The tenant under another name for people; its slug, and so its URL, stays.

    Raises:
        NotFound, PreconditionFailed: as `set_limit`.
        InvalidValue: the name cannot be used.
    """
    return await change_tenant(database, slug, {"name": check_name(name)}, action="tenant.renamed", cause=cause, expected=expected)


async def change_tenant(
    database: Database,
    slug: str,
    values: Mapping[str, object],
    *,
    action: str,
    cause: Cause,
    expected: int | None = None,
    allowed: tuple[str, ...] = ("active", "suspended"),
) -> Tenant:
    """The tenant with some columns changed, if its status is an allowed one; one transaction with its audit row.

    Raises:
        NotFound: there is no such tenant.
        Conflict: its status does not allow the change.
        PreconditionFailed: `expected` is not its version.
    """
    found = await find_tenant(database, slug)
    async with database.transaction(found.id) as tx:
        rows = await tx.fetch(f"SELECT {COLUMNS} FROM rollhouse.tenants WHERE id = $1 FOR UPDATE", found.id)
        if not rows:
            raise NotFound(f"There is no tenant {quoted(slug)}; see: rollhouse tenant list")
        if rows[0]["status"] not in allowed:
            raise Conflict(f"The tenant {slug} is {rows[0]['status']}, so this cannot be done; see: rollhouse tenant show {slug}")
        if expected is not None and rows[0]["version"] != expected:
            raise PreconditionFailed("The tenant was changed in the meantime: read it again and send its current ETag in If-Match.")
        columns = ", ".join(f"{name} = ${number}" for number, name in enumerate(values, start=2))
        moment = "last_modified = date_trunc('milliseconds', clock_timestamp())"
        statement = f"UPDATE rollhouse.tenants SET {columns}, version = version + 1, {moment} WHERE id = $1 RETURNING {COLUMNS}"
        rows = await tx.fetch(statement, found.id, *values.values())
        await audit.append(tx, cause, action, "Tenant", found.id, sorted(values))
    return _tenant(rows[0])


def read_profile(text: str) -> Profile:
    """The profile in a tenant's row; what a newer release wrote into it is left out."""
    if text == "{}":
        return USUAL
    known = {name: value for name, value in msgspec.json.decode(text, type=dict[str, Any]).items() if name in Profile.__struct_fields__}
    return msgspec.convert(known, Profile)


def profile_view(profile: Profile) -> dict[str, Any]:
    """Every choice of a profile by name, the usual ones too."""
    return {name: getattr(profile, name) for name in Profile.__struct_fields__}


async def set_profile(database: Database, slug: str, profile: Profile, *, cause: Cause, expected: int | None = None) -> Tenant:
    """The tenant with another compatibility profile; effective within five seconds everywhere.

    Raises:
        NotFound, PreconditionFailed: as `set_limit`.
    """
    return await change_tenant(database, slug, {"profile": msgspec.json.encode(profile).decode()}, action="tenant.profiled", cause=cause, expected=expected)


def _tenant(row: Row) -> Tenant:
    return Tenant(**{**dict(row.items()), "profile": read_profile(row["profile"])})
