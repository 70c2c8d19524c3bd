"""A tenant's OAuth clients: making, listing and revoking them and their secrets, how they authenticate, and the access tokens they get."""

import hmac
import re
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from rollhouse.database.identifiers import new_id
from rollhouse.database.pool import Database, Row, Transaction
from rollhouse.journal import audit
from rollhouse.journal.audit import Cause
from rollhouse.scim.errors import Conflict, InvalidValue, NotFound, Unauthorized, check_characters, quoted
from rollhouse.tenancy.access import Use, note_uses
from rollhouse.tenancy.credentials import LABEL_LIMIT, MOST_SECRETS, USUAL_SECRETS, Credential, NewSecret, insert_credential, lock_credentials
from rollhouse.tenancy.federation import KeyHosts, KeySets, Trust, checked_trust, verify_assertion
from rollhouse.tenancy.secrets import ACCESS_TOKEN_PREFIX, CLIENT_SECRET_PREFIX, Minted, Peppers, is_well_typed, lookup_id_of, mint_secret, named
from rollhouse.tenancy.tenants import Tenant

Kind = Literal["secret", "federated"]
TOKEN_SECONDS = 3600
TOKEN_SECONDS_LIMIT = 21600
"""Longest life of an access token: six hours; the shortest is one hour, as Microsoft's gallery wants it."""
MOST_CLIENTS = 20
"""Live clients of a tenant."""
SECRET_LIFE = timedelta(days=365)
SHORTEST_SECRET_LIFE = timedelta(days=1)
LONGEST_SECRET_LIFE = timedelta(days=3 * 366)
_NOBODY = UUID(int=0)
"""No tenant has this id: it is asked for in place of one that does not exist, so that the work is alike."""
_NO_MAC = bytes(32)
_ID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WRONG = "Client authentication failed."


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """An OAuth client of a tenant; `issuer` to `entra_tenant` are set for a federated one (see `federation.Trust`)."""

    id: UUID
    kind: Kind
    label: str | None
    token_seconds: int
    issuer: str | None
    jwks_url: str | None
    subject: str | None
    audience: str | None
    entra_tenant: str | None
    created: datetime
    created_by: str | None
    revoked: datetime | None

    @property
    def state(self) -> str:
        """`active` or `revoked`."""
        return "active" if self.revoked is None else "revoked"

    @property
    def trust(self) -> Trust | None:
        """Whose assertions stand for the client; None if it has secrets instead."""
        if self.issuer is None or self.jwks_url is None or self.subject is None or self.audience is None:
            return None
        return Trust(issuer=self.issuer, jwks_url=self.jwks_url, subject=self.subject, audience=self.audience, entra_tenant=self.entra_tenant)


class AuthenticatedClient(msgspec.Struct, frozen=True):
    """A client that has proven who it is."""

    tenant_id: UUID
    client_id: UUID


class NewToken(msgspec.Struct, frozen=True):
    """An access token that was just made; it opens the tenant's SCIM URL for `life_seconds`."""

    id: UUID
    minted: Minted
    life_seconds: int


_CLIENT = "id, kind, label, token_seconds, issuer, jwks_url, subject, audience, entra_tenant, created, created_by, revoked"
_CREATE_CLIENT = (
    "INSERT INTO rollhouse.oauth_clients (tenant_id, id, kind, label, token_seconds, issuer, jwks_url, subject, audience, entra_tenant, created_by)"
    f" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING {_CLIENT}"
)
_LIST_CLIENTS = f"SELECT {_CLIENT} FROM rollhouse.oauth_clients ORDER BY id"
_FIND_CLIENT = f"SELECT {_CLIENT} FROM rollhouse.oauth_clients WHERE id = $1"
_HOLD_CLIENT = f"{_FIND_CLIENT} FOR SHARE"
_HOLD_FOR_ISSUE = (
    "SELECT c.revoked, c.token_seconds, t.status, clock_timestamp() + make_interval(secs => c.token_seconds) AS expires"
    " FROM rollhouse.oauth_clients c JOIN rollhouse.tenants t ON t.id = c.tenant_id WHERE c.id = $1 FOR SHARE"
)
_NOW = "date_trunc('milliseconds', clock_timestamp())"
_REVOKE_CLIENT = f"UPDATE rollhouse.oauth_clients SET revoked = coalesce(revoked, {_NOW}) WHERE id = $1 RETURNING {_CLIENT}"
_REVOKE_ALL = f"UPDATE rollhouse.credentials SET revoked = {_NOW} WHERE client_id = $1 AND revoked IS NULL"
_SECRET = f"id, '{CLIENT_SECRET_PREFIX}' || lookup_id AS prefix, label, created, created_by, expires, revoked, last_used"
_LIST_SECRETS = f"SELECT {_SECRET} FROM rollhouse.credentials WHERE kind = 'client_secret' AND client_id = $1 ORDER BY id"
_REVOKE_SECRET = (
    f"UPDATE rollhouse.credentials SET revoked = coalesce(revoked, {_NOW})"
    f" WHERE kind = 'client_secret' AND client_id = $1 AND (id::text = $2 OR lookup_id = $3) RETURNING {_SECRET}"
)
_REVOKE_TOKEN = f"UPDATE rollhouse.credentials SET revoked = {_NOW} WHERE id = $1 AND revoked IS NULL RETURNING id"
_RESOLVE = "SELECT * FROM rollhouse.resolve_credential($1)"
_TENANT_ID = "SELECT id FROM rollhouse.tenants WHERE slug = $1"


async def create_client(
    database: Database,
    tenant: Tenant,
    *,
    kind: Kind,
    hosts: KeyHosts,
    cause: Cause,
    label: str | None = None,
    token_seconds: int = TOKEN_SECONDS,
    trust: Trust | None = None,
) -> Client:
    """A new client of the tenant: one with secrets (`create_client_secret` makes them), or a federated one, whose trust says who may stand for it.

    Raises:
        InvalidValue: the label, the life of its tokens or the trust cannot be used, or the trust does not go with the kind.
        Conflict: the tenant has 20 live clients.
    """
    _check_label(label)
    if not TOKEN_SECONDS <= token_seconds <= TOKEN_SECONDS_LIMIT:
        raise InvalidValue(f"The life of access tokens must be {TOKEN_SECONDS} to {TOKEN_SECONDS_LIMIT} seconds.")
    if (kind == "federated") != (trust is not None):
        raise InvalidValue("A federated client needs an issuer, a JWKS URL, a subject and an audience; a client with secrets takes none of them.")
    parts: tuple[str | None, ...] = (None,) * 5
    if trust is not None:
        parts = msgspec.structs.astuple(checked_trust(hosts, trust))
    client_id = new_id()
    async with database.transaction(tenant.id) as tx:
        await lock_credentials(tx)
        live = [one for one in await _clients(tx) if one.revoked is None]
        if len(live) >= MOST_CLIENTS:
            raise Conflict(f"The tenant has {len(live)} live clients. Revoke one that is no longer used first; see: rollhouse client list {tenant.slug}")
        rows = await tx.fetch(_CREATE_CLIENT, tenant.id, client_id, kind, label, token_seconds, *parts, cause.actor)
        await audit.append(tx, cause, "client.created", "OAuthClient", client_id)
    return _client(rows[0])


async def list_clients(database: Database, tenant: Tenant) -> list[Client]:
    """The tenant's clients, oldest first, revoked ones too."""
    async with database.transaction(tenant.id) as tx:
        return await _clients(tx)


async def revoke_client(database: Database, tenant: Tenant, client_id: str, *, cause: Cause) -> Client:
    """The client, revoked with all its secrets and tokens: refused within a second everywhere, within five where a process hears of nothing.

    Raises:
        NotFound: the tenant has no such client.
    """
    async with database.transaction(tenant.id) as tx:
        found = await _find(tx, tenant, client_id)
        # First the client: whoever issues a token holds this row, so that no token is made behind the next statement's back.
        rows = await tx.fetch(_REVOKE_CLIENT, found.id)
        await tx.fetch(_REVOKE_ALL, found.id)
        await audit.append(tx, cause, "client.revoked", "OAuthClient", found.id)
    return _client(rows[0])


async def create_client_secret(
    database: Database,
    peppers: Peppers,
    tenant: Tenant,
    client_id: str,
    *,
    cause: Cause,
    label: str | None = None,
    expires: datetime | None = None,
) -> NewSecret:
    """A new secret of the client, which ends in a year if nothing else is said; it is nowhere stored, so it can never be shown again.

    Raises:
        NotFound: the tenant has no such client.
        Conflict: the client is revoked, or five of its secrets are live.
        InvalidValue: the client is federated, the label is too long, or the end is not one day to three years ahead.
    """
    _check_label(label)
    now = datetime.now(UTC)
    expires = expires or now + SECRET_LIFE
    if not now + SHORTEST_SECRET_LIFE <= expires <= now + LONGEST_SECRET_LIFE:
        raise InvalidValue("A client secret must end between one day and three years from now; choose another date.")
    minted = mint_secret(CLIENT_SECRET_PREFIX)
    credential_id = new_id()
    async with database.transaction(tenant.id) as tx:
        await lock_credentials(tx)
        client = await _find(tx, tenant, client_id, statement=_HOLD_CLIENT)
        if client.kind == "federated":
            raise InvalidValue("This client is federated: it authenticates with its issuer's assertions and takes no secret.")
        if client.revoked is not None:
            raise Conflict("This client is revoked. Create a new one.")
        live = [one for one in await _secrets(tx, client.id) if one.state == "active"]
        names = ", ".join(one.prefix for one in live)
        if len(live) >= MOST_SECRETS:
            raise Conflict(f"The client has {len(live)} live secrets. Revoke one that is no longer used first: {names}.")
        await insert_credential(tx, peppers, credential_id, minted, kind="client_secret", client_id=client.id, label=label, expires=expires, cause=cause)
        await audit.append(tx, cause, "client_secret.created", "Credential", credential_id)
    warning = f"The client has {len(live) + 1} live secrets now. Revoke those that are no longer used: {names}." if len(live) >= USUAL_SECRETS else None
    return NewSecret(credential_id, minted, warning)


async def list_client_secrets(database: Database, tenant: Tenant, client_id: str) -> list[Credential]:
    """The client's secrets, oldest first.

    Raises:
        NotFound: the tenant has no such client.
    """
    async with database.transaction(tenant.id) as tx:
        client = await _find(tx, tenant, client_id)
        return await _secrets(tx, client.id)


async def revoke_client_secret(database: Database, tenant: Tenant, client_id: str, name: str, *, cause: Cause) -> Credential:
    """The client's secret of that id or prefix, revoked; tokens that it fetched live on until their end.

    Raises:
        NotFound: the tenant has no such client, or the client no such secret.
    """
    async with database.transaction(tenant.id) as tx:
        client = await _find(tx, tenant, client_id)
        rows = await tx.fetch(_REVOKE_SECRET, client.id, named(name), named(name))
        if not rows:
            raise NotFound(f"The client has no secret {quoted(named(name))}; see: rollhouse client secrets {tenant.slug} {client.id}")
        await audit.append(tx, cause, "client_secret.revoked", "Credential", rows[0]["id"])
    return Credential(*rows[0])


async def authenticate_by_secret(database: Database, peppers: Peppers, slug: str, client_id: str, secret: str) -> AuthenticatedClient:
    """The client of that id and secret (RFC 6749 section 2.3.1).

    Raises:
        Unauthorized: the secret is not a live one of this client in this tenant; the same error and work whatever the reason (threats T25, T26).
        Unavailable: Postgres cannot be asked; never a 401.
    """
    found = await _resolve(database, peppers, slug, "client_secret", secret)
    if found is None or str(found["client_id"]) != client_id:
        raise Unauthorized(_WRONG)
    is_old = found["pepper_version"] != peppers.current
    mac = peppers.mac(peppers.current, secret) if is_old else None
    await note_uses(database, {found["credential_id"]: Use(found["tenant_id"], mac, peppers.current if is_old else None)})
    return AuthenticatedClient(found["tenant_id"], found["client_id"])


async def authenticate_by_assertion(database: Database, key_sets: KeySets, slug: str, client_id: str, assertion: str) -> AuthenticatedClient:
    """The federated client that an assertion of its issuer stands for (RFC 7523 section 2.2).

    Raises:
        Unauthorized: it stands for no live client of this id in this tenant; the same error whatever the reason.
        Unavailable: Postgres or the issuer's keys cannot be asked; never a 401.
    """
    tenants = await database.query(_TENANT_ID, slug)
    tenant_id: UUID = tenants[0]["id"] if tenants else _NOBODY
    async with database.transaction(tenant_id) as tx:
        rows = await tx.fetch(_FIND_CLIENT, _id(client_id))
    client = _client(rows[0]) if rows else None
    if client is None or client.trust is None or client.revoked is not None:
        raise Unauthorized(_WRONG)
    await verify_assertion(key_sets, client.trust, assertion)
    return AuthenticatedClient(tenant_id, client.id)


async def issue_token(database: Database, peppers: Peppers, client: AuthenticatedClient, request_id: str) -> NewToken:
    """A new access token of the client; only its MAC is stored.

    Raises:
        Unauthorized: the client was revoked in the meantime, or its tenant is being deleted.
    """
    minted = mint_secret(ACCESS_TOKEN_PREFIX)
    credential_id = new_id()
    cause = _cause(client, request_id)
    async with database.transaction(client.tenant_id) as tx:
        rows = await tx.fetch(_HOLD_FOR_ISSUE, client.client_id)
        if not rows or rows[0]["revoked"] is not None or rows[0]["status"] == "deleting":
            raise Unauthorized(_WRONG)
        life_seconds: int = rows[0]["token_seconds"]
        expires = rows[0]["expires"]
        await insert_credential(tx, peppers, credential_id, minted, kind="access_token", client_id=client.client_id, expires=expires, cause=cause)
        await audit.append(tx, cause, "token.issued", "Credential", credential_id)
    return NewToken(credential_id, minted, life_seconds)


async def revoke_token(database: Database, peppers: Peppers, slug: str, client: AuthenticatedClient, token: str, request_id: str) -> None:
    """Revoke one of the client's own access tokens; of any other text nothing is done or said (RFC 7009 section 2.2)."""
    found = await _resolve(database, peppers, slug, "access_token", token)
    if found is None or found["client_id"] != client.client_id:
        return
    async with database.transaction(client.tenant_id) as tx:
        if await tx.fetch(_REVOKE_TOKEN, found["credential_id"]):
            await audit.append(tx, _cause(client, request_id), "token.revoked", "Credential", found["credential_id"])


async def _resolve(database: Database, peppers: Peppers, slug: str, kind: str, secret: str) -> Row | None:
    """The live credential of that kind, tenant and secret, if there is one; a MAC is made and compared in any case (threat T26)."""
    lookup_id = lookup_id_of(secret)
    rows = await database.query(_RESOLVE, lookup_id) if lookup_id is not None and is_well_typed(secret) else []
    row = rows[0] if rows else None
    expected = peppers.mac(row["pepper_version"] if row is not None else peppers.current, secret)
    is_right = hmac.compare_digest(expected, row["mac"] if row is not None else _NO_MAC)
    if not is_right or row is None or row["kind"] != kind or row["slug"] != slug or row["revoked"] is not None or row["seconds_left"] <= 0:
        return None
    return row


async def _find(tx: Transaction, tenant: Tenant, client_id: str, *, statement: str = _FIND_CLIENT) -> Client:
    rows = await tx.fetch(statement, _id(client_id))
    if not rows:
        raise NotFound(f"The tenant {tenant.slug} has no client {quoted(client_id)}; see: rollhouse client list {tenant.slug}")
    return _client(rows[0])


async def _clients(tx: Transaction) -> list[Client]:
    return [_client(row) for row in await tx.fetch(_LIST_CLIENTS)]


async def _secrets(tx: Transaction, client_id: UUID) -> list[Credential]:
    return [Credential(*row) for row in await tx.fetch(_LIST_SECRETS, client_id)]


def _client(row: Row) -> Client:
    return Client(**dict(row.items()))


def _id(text: str) -> UUID:
    """The id that a text is; of any other text one that no client has."""
    return UUID(text) if _ID.fullmatch(text) else _NOBODY


def _cause(client: AuthenticatedClient, request_id: str) -> Cause:
    return Cause(f"client:{client.client_id}", request_id)


def _check_label(label: str | None) -> None:
    if label is not None:
        if len(label) > LABEL_LIMIT:
            raise InvalidValue(f"A label has at most {LABEL_LIMIT} characters.")
        check_characters(label)
