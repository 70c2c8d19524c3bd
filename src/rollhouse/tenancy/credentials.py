"""A tenant's SCIM secrets: minting, listing and revoking them, each with its row in the audit."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec

from rollhouse.database.identifiers import new_id
from rollhouse.database.pool import Database, Transaction
from rollhouse.journal import audit
from rollhouse.journal.audit import Cause
from rollhouse.scim.errors import Conflict, InvalidValue, NotFound, quoted
from rollhouse.tenancy.secrets import PREFIX, Minted, Peppers, mint_secret, named
from rollhouse.tenancy.tenants import Tenant

USUAL_SECRETS = 2
"""Live secrets of a tenant: the one in use, and the next one while they are exchanged."""
MOST_SECRETS = 5
LABEL_LIMIT = 200


class Credential(msgspec.Struct, frozen=True):
    """A credential as it is listed: everything but the secret."""

    id: UUID
    prefix: str
    label: str | None
    created: datetime
    created_by: str | None
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None

    @property
    def state(self) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= datetime.now(UTC) else "active"


class NewSecret(msgspec.Struct, frozen=True):
    """A secret that was just made; `warning` says what the administrator should do about the older ones, if anything."""

    id: UUID
    minted: Minted
    warning: str | None = None


_COLUMNS = f"id, '{PREFIX}' || lookup_id AS prefix, label, created, created_by, expires, revoked, last_used"
_LIST = f"SELECT {_COLUMNS} FROM rollhouse.credentials WHERE kind = 'secret' ORDER BY id"
_INSERT = (
    "INSERT INTO rollhouse.credentials (tenant_id, id, kind, client_id, lookup_id, mac, pepper_version, label, created_by, expires, subject_id)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
)
_SUBJECT = "SELECT FROM rollhouse.resources WHERE tenant_id = $1 AND id = $2"
_REVOKE = (
    "UPDATE rollhouse.credentials SET revoked = coalesce(revoked, date_trunc('milliseconds', clock_timestamp()))"
    f" WHERE kind = 'secret' AND (id::text = $1 OR lookup_id = $2) RETURNING {_COLUMNS}"
)


async def create_secret(
    database: Database,
    peppers: Peppers,
    tenant: Tenant,
    *,
    cause: Cause,
    label: str | None = None,
    expires: datetime | None = None,
    subject_id: UUID | None = None,
) -> NewSecret:
    """A new SCIM secret of the tenant; the secret is nowhere stored, so it can never be shown again.

    With a subject it speaks for that resource, which is then /Me (RFC 7644 section 3.11); what it may do stays the same.

    Two live ones are usual, so that one can be exchanged without a gap; the third comes with a warning.

    Raises:
        Conflict: five are live (the detail names those to revoke), or the tenant is being deleted.
        InvalidValue: the label is longer than 200 characters.
        NotFound: the tenant has no resource of the subject's id.
    """
    if label is not None and len(label) > LABEL_LIMIT:
        raise InvalidValue(f"A label has at most {LABEL_LIMIT} characters.")
    minted = mint_secret()
    credential_id = new_id()
    async with database.transaction(tenant.id) as tx:
        await lock_credentials(tx)
        live = [one for one in await _listed(tx) if one.state == "active"]
        if len(live) >= MOST_SECRETS:
            raise Conflict(f"The tenant has {len(live)} live secrets. Revoke one that is no longer used first: {_names(live)}.")
        if subject_id is not None and not await tx.fetch(_SUBJECT, tenant.id, subject_id):
            raise NotFound(f"The tenant {tenant.slug} has no resource {quoted(str(subject_id))} that a secret could speak for.")
        await insert_credential(tx, peppers, credential_id, minted, kind="secret", label=label, expires=expires, cause=cause, subject_id=subject_id)
        await audit.append(tx, cause, "secret.created", "Credential", credential_id)
    warning = f"The tenant has {len(live) + 1} live secrets now. Revoke those that are no longer used: {_names(live)}." if len(live) >= USUAL_SECRETS else None
    return NewSecret(credential_id, minted, warning)


async def list_secrets(database: Database, tenant: Tenant) -> list[Credential]:
    """The tenant's SCIM secrets, oldest first."""
    async with database.transaction(tenant.id) as tx:
        return await _listed(tx)


async def revoke_secret(database: Database, tenant: Tenant, name: str, *, cause: Cause) -> Credential:
    """The secret of that id or prefix, revoked: refused within a second everywhere, within five where a process hears of nothing.

    Raises:
        NotFound: the tenant has no such secret.
    """
    async with database.transaction(tenant.id) as tx:
        rows = await tx.fetch(_REVOKE, named(name), named(name))
        if not rows:
            raise NotFound(f"The tenant {tenant.slug} has no secret {quoted(named(name))}; see: rollhouse secret list {tenant.slug}")
        await audit.append(tx, cause, "secret.revoked", "Credential", rows[0]["id"])
    return Credential(*rows[0])


async def live_by_pepper(database: Database) -> dict[int, int]:
    """How many live credentials and sealed secrets need each version of the pepper."""
    return {row["pepper_version"]: row["live"] for row in await database.query("SELECT pepper_version, live FROM rollhouse.pepper_versions()")}


async def lock_credentials(tx: Transaction) -> None:
    """Let one transaction at a time count and add credentials of the tenant, and none while it is being deleted.

    Raises:
        Conflict: the tenant is being deleted, or gone.
    """
    await tx.fetch("SELECT pg_advisory_xact_lock(hashtextextended('credentials:' || $1::text, 0))", str(tx.tenant_id))
    rows = await tx.fetch("SELECT status FROM rollhouse.tenants WHERE id = $1 FOR SHARE", tx.tenant_id)
    if not rows or rows[0]["status"] == "deleting":
        raise Conflict("The tenant is being deleted, so nothing can be made for it; restore it first.")


async def insert_credential(
    tx: Transaction,
    peppers: Peppers,
    credential_id: UUID,
    minted: Minted,
    *,
    kind: str,
    cause: Cause,
    client_id: UUID | None = None,
    label: str | None = None,
    expires: datetime | None = None,
    subject_id: UUID | None = None,
) -> None:
    """Store the MAC of a secret, a client secret or an access token of the transaction's tenant; no audit row."""
    lookup_id = minted.lookup_id
    mac = peppers.mac(peppers.current, minted.secret)
    await tx.fetch(_INSERT, tx.tenant_id, credential_id, kind, client_id, lookup_id, mac, peppers.current, label, cause.actor, expires, subject_id)


async def _listed(tx: Transaction) -> list[Credential]:
    return [Credential(*row) for row in await tx.fetch(_LIST)]


def _names(live: list[Credential]) -> str:
    used = sorted(live, key=lambda one: one.last_used or one.created)
    return ", ".join(f"{one.prefix} ({one.label or 'no label'}, {_last_use(one)})" for one in used)


def _last_use(one: Credential) -> str:
    return f"last used {one.last_used:%Y-%m-%d}" if one.last_used else "never used"
