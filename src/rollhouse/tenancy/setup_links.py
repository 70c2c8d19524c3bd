"""Links by which a customer's IT administrator sets the connection up without an account: hashed, seven days, revocable."""

from datetime import datetime
from uuid import UUID

import msgspec

from rollhouse.database.identifiers import new_id
from rollhouse.database.pool import Database
from rollhouse.journal import audit
from rollhouse.journal.audit import Cause
from rollhouse.scim.errors import Conflict, NotFound, Unauthorized
from rollhouse.tenancy.credentials import lock_credentials
from rollhouse.tenancy.sessions import hash_token, new_token
from rollhouse.tenancy.tenants import Tenant

DAYS = 7
MOST_LIVE = 10
_DEAD = "This link has expired, was revoked, or never was. Ask whoever sent it for a new one."


class SetupLink(msgspec.Struct, frozen=True):
    """A link as it is listed; `step` is the furthest step that its guide has shown as done."""

    id: UUID
    tenant_id: UUID
    provider: str
    created: datetime
    created_by: str | None
    expires: datetime
    opened: datetime | None
    revoked: datetime | None
    step: int
    is_live: bool


_COLUMNS = "id, tenant_id, provider, created, created_by, expires, opened, revoked, step, revoked IS NULL AND expires > clock_timestamp() AS is_live"
_CREATE = (
    "INSERT INTO rollhouse.setup_links (id, tenant_id, token_hash, provider, created_by, expires)"
    f" VALUES ($1, $2, $3, $4, $5, clock_timestamp() + make_interval(days => $6)) RETURNING {_COLUMNS}"
)
_LIST = f"SELECT {_COLUMNS} FROM rollhouse.setup_links WHERE tenant_id = $1 ORDER BY id DESC LIMIT 50"
_COUNT_LIVE = "SELECT count(*) FROM rollhouse.setup_links WHERE tenant_id = $1 AND revoked IS NULL AND expires > clock_timestamp()"
_OPEN = (
    "UPDATE rollhouse.setup_links SET opened = coalesce(opened, clock_timestamp()) WHERE token_hash = $1 AND revoked IS NULL"
    f" AND expires > clock_timestamp() RETURNING {_COLUMNS}"
)
_FIND = f"SELECT {_COLUMNS} FROM rollhouse.setup_links WHERE id = $1"
_REVOKE = f"UPDATE rollhouse.setup_links SET revoked = coalesce(revoked, clock_timestamp()) WHERE tenant_id = $1 AND id = $2 RETURNING {_COLUMNS}"
_REACH = "UPDATE rollhouse.setup_links SET step = $2 WHERE id = $1 AND step < $2"


async def create_setup_link(database: Database, tenant: Tenant, provider: str, *, cause: Cause) -> tuple[SetupLink, str]:
    """A new link and its token, which is stored as a hash and so never shown again.

    Raises:
        Conflict: ten are live already, or the tenant is being deleted.
    """
    token, link_id = new_token(), new_id()
    async with database.transaction(tenant.id) as tx:
        await lock_credentials(tx)
        if (await tx.fetch(_COUNT_LIVE, tenant.id))[0][0] >= MOST_LIVE:
            raise Conflict(f"{MOST_LIVE} links are live already. Revoke one of them first.")
        rows = await tx.fetch(_CREATE, link_id, tenant.id, hash_token(token), provider, cause.actor, DAYS)
        await audit.append(tx, cause, "setup_link.created", "SetupLink", link_id)
    return SetupLink(*rows[0]), token


async def list_setup_links(database: Database, tenant: Tenant) -> list[SetupLink]:
    """The tenant's links, newest first; at most 50."""
    return [SetupLink(*row) for row in await database.query(_LIST, tenant.id)]


async def open_setup_link(database: Database, token: str) -> SetupLink:
    """The live link of a token; that it was opened is noted the first time.

    Raises:
        Unauthorized: it has expired, was revoked, or never was.
    """
    rows = await database.query(_OPEN, hash_token(token))
    if not rows:
        raise Unauthorized(_DEAD)
    return SetupLink(*rows[0])


async def find_setup_link(database: Database, link_id: UUID) -> SetupLink:
    """The link of that id.

    Raises:
        NotFound: there is none.
    """
    rows = await database.query(_FIND, link_id)
    if not rows:
        raise NotFound(_DEAD)
    return SetupLink(*rows[0])


async def revoke_setup_link(database: Database, tenant: Tenant, link_id: UUID, *, cause: Cause) -> SetupLink:
    """The tenant's link, revoked; the sessions that it began end with it.

    Raises:
        NotFound: there is no such link.
    """
    async with database.transaction(tenant.id) as tx:
        rows = await tx.fetch(_REVOKE, tenant.id, link_id)
        if not rows:
            raise NotFound("There is no such link.")
        await audit.append(tx, cause, "setup_link.revoked", "SetupLink", link_id)
    return SetupLink(*rows[0])


async def reach_step(database: Database, link_id: UUID, step: int) -> None:
    """Note how far the guide has come."""
    await database.query(_REACH, link_id, step)
