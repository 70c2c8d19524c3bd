"""Credentials in the database: minting, listing, revoking, and the bounded cache by which the gate verifies one."""

import hmac
import time
from collections import OrderedDict
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from rollhouse.database.identifiers import new_id
from rollhouse.database.pool import Database
from rollhouse.scim.errors import Forbidden, NotFound, Unauthorized, quoted
from rollhouse.tenancy.secrets import Minted, Peppers, is_well_typed, lookup_id_of, mint_secret
from rollhouse.tenancy.tenants import Tenant

CACHE_ENTRIES = 10_000
CACHE_SECONDS = 5.0
UNKNOWN_SECONDS = 1.0
"""How long "no such secret" is believed."""


class Credential(msgspec.Struct, frozen=True):
    """A SCIM secret as it is listed: everything but the secret."""

    id: UUID
    prefix: str
    label: str | None
    created: datetime
    expires: datetime | None
    revoked: datetime | None

    @property
    def state(self) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= datetime.now(UTC) else "active"


async def create_secret(database: Database, peppers: Peppers, tenant: Tenant, *, label: str | None, expires: datetime | None) -> tuple[UUID, Minted]:
    """A new secret of the tenant and the id of its credential; the secret is nowhere stored, so it can never be shown again."""
    minted = mint_secret()
    credential_id = new_id()
    async with database.transaction(tenant.id) as tx:
        await tx.fetch(
            "INSERT INTO rollhouse.credentials (tenant_id, id, lookup_id, mac, pepper_version, label, expires) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            tenant.id,
            credential_id,
            minted.lookup_id,
            peppers.mac(peppers.current, minted.secret),
            peppers.current,
            label,
            expires,
        )
    return credential_id, minted


async def list_secrets(database: Database, tenant: Tenant) -> list[Credential]:
    """The tenant's secrets, oldest first."""
    async with database.transaction(tenant.id) as tx:
        rows = await tx.fetch("SELECT id, 'scimsk_' || lookup_id AS prefix, label, created, expires, revoked FROM rollhouse.credentials ORDER BY id")
    return [Credential(**dict(row.items())) for row in rows]


async def revoke_secret(database: Database, tenant: Tenant, name: str) -> Credential:
    """The secret of that id or prefix, revoked: refused everywhere within five seconds.

    Raises:
        NotFound: the tenant has no such secret.
    """
    async with database.transaction(tenant.id) as tx:
        rows = await tx.fetch(
            "UPDATE rollhouse.credentials SET revoked = coalesce(revoked, clock_timestamp()) WHERE id::text = $1 OR 'scimsk_' || lookup_id = $1"
            " RETURNING id, 'scimsk_' || lookup_id AS prefix, label, created, expires, revoked",
            name,
        )
    if not rows:
        raise NotFound(f"The tenant {tenant.slug} has no secret {quoted(name)}; see: rollhouse secret list {tenant.slug}")
    return Credential(**dict(rows[0].items()))


class _Known(msgspec.Struct, frozen=True):
    """What the database says of one lookup id, and until when it is believed (monotonic seconds); `tenant` is None if unknown."""

    until: float
    tenant: Tenant | None = None
    mac: bytes = bytes(32)
    pepper_version: int = 0
    expires: datetime | None = None
    revoked: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether the credential is neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or self.expires > datetime.now(UTC))


_NOBODY = _Known(0.0)


class CredentialGate:
    """Says which tenant a secret belongs to. Keeps at most 10,000 look-ups, each for at most five seconds."""

    def __init__(self, database: Database, peppers: Peppers) -> None:
        self._database = database
        self._peppers = peppers
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def tenant_of(self, slug: str, secret: str) -> Tenant:
        """The tenant of the path, if the secret is one of its own.

        Raises:
            Unauthorized: it is not; the same error whatever the reason (threats T01, T25, T26).
            Forbidden: the tenant is suspended.
            Unavailable: Postgres cannot be asked; never a 401 (invariant 6).
        """
        lookup_id = lookup_id_of(secret)
        known = await self._look_up(lookup_id, secret) if lookup_id else _NOBODY
        expected = self._peppers.mac(known.pepper_version, secret)
        is_right = hmac.compare_digest(expected, known.mac)
        tenant = known.tenant
        if not is_right or tenant is None or tenant.slug != slug or not known.is_live:
            raise Unauthorized("The request carries no valid SCIM secret for this URL. Copy the Tenant URL and a current secret from the portal again.")
        if tenant.status != "active":
            raise Forbidden("This tenant is suspended; provisioning is refused until its operator resumes it.")
        return tenant

    async def _look_up(self, lookup_id: str, secret: str) -> _Known:
        known = self._known.get(lookup_id)
        now = time.monotonic()
        if known is not None and known.until > now:
            return known
        if not is_well_typed(secret):
            return _NOBODY
        rows = await self._database.query("SELECT * FROM rollhouse.resolve_credential($1)", lookup_id)
        if rows:
            row = rows[0]
            tenant = Tenant(row["tenant_id"], row["slug"], row["name"], row["status"], row["rate_per_second"], row["burst"])
            known = _Known(now + CACHE_SECONDS, tenant, row["mac"], row["pepper_version"], row["expires"], row["revoked"])
        else:
            known = _Known(now + UNKNOWN_SECONDS)
        self._known[lookup_id] = known
        self._known.move_to_end(lookup_id)
        if len(self._known) > CACHE_ENTRIES:
            self._known.popitem(last=False)
        return known
