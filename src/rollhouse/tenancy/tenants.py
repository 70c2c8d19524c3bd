"""Tenants: creating, finding and listing them, and their limits."""

import re
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from rollhouse.database.identifiers import new_id
from rollhouse.database.pool import Database, Row
from rollhouse.scim.errors import InvalidValue, NotFound, Uniqueness, quoted

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


class Tenant(msgspec.Struct, frozen=True):
    """A tenant; a limit of None means the service's default, 0 none at all."""

    id: UUID
    slug: str
    name: str
    status: str
    rate_per_second: int | None = None
    burst: int | None = None
    created: datetime | None = None

    @property
    def path(self) -> str:
        """The path of the tenant's SCIM URL."""
        return f"/t/{self.slug}/scim/v2"


_COLUMNS = "id, slug, name, status, rate_per_second, burst, created"
_CREATE = "INSERT INTO rollhouse.tenants (id, slug, name) VALUES ($1, $2, $3) RETURNING " + _COLUMNS
_LIST = "SELECT " + _COLUMNS + " FROM rollhouse.tenants ORDER BY slug"
_FIND = "SELECT " + _COLUMNS + " FROM rollhouse.tenants WHERE slug = $1"
_SET_LIMIT = "UPDATE rollhouse.tenants SET rate_per_second = $2, burst = $3 WHERE slug = $1 RETURNING " + _COLUMNS


def check_slug(slug: str) -> str:
    """The slug itself.

    Raises:
        InvalidValue: it is not 1-63 lower-case letters, digits and inner hyphens, or it is reserved.
    """
    if _SLUG.fullmatch(slug) is None:
        raise InvalidValue(f"{quoted(slug)} cannot be a slug: use 1 to 63 lower-case letters, digits and hyphens, no hyphen at either end.")
    if slug in RESERVED_SLUGS:
        raise InvalidValue(f"{quoted(slug)} is a reserved word; choose another slug.")
    return slug


async def create_tenant(database: Database, slug: str, name: str) -> Tenant:
    """A new tenant.

    Raises:
        InvalidValue: the slug or the name cannot be used.
        Uniqueness: the slug is taken.
    """
    if not name.strip() or len(name) > NAME_LIMIT:
        raise InvalidValue(f"A tenant's name has 1 to {NAME_LIMIT} characters.")
    try:
        rows = await database.query(_CREATE, new_id(), check_slug(slug), name)
    except Uniqueness:
        raise Uniqueness(f"The slug {quoted(slug)} is taken; choose another one.") from None
    return _tenant(rows[0])


async def list_tenants(database: Database) -> Sequence[Tenant]:
    """Every tenant in order of slug."""
    return [_tenant(row) for row in await database.query(_LIST)]


async def find_tenant(database: Database, slug: str) -> Tenant:
    """The tenant of that slug.

    Raises:
        NotFound: there is none.
    """
    rows = await database.query(_FIND, slug)
    if not rows:
        raise NotFound(f"There is no tenant {quoted(slug)}; see: rollhouse tenant list")
    return _tenant(rows[0])


async def set_limit(database: Database, slug: str, rate_per_second: int, burst: int) -> Tenant:
    """The tenant with its own rate limit; a rate of 0 switches the limit off. Effective within five seconds everywhere.

    Raises:
        NotFound: there is no such tenant.
    """
    rows = await database.query(_SET_LIMIT, slug, rate_per_second, burst)
    if not rows:
        raise NotFound(f"There is no tenant {quoted(slug)}; see: rollhouse tenant list")
    return _tenant(rows[0])


def _tenant(row: Row) -> Tenant:
    return Tenant(**dict(row.items()))
