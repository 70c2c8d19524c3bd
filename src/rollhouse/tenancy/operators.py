"""Operators' keys: minting, listing, revoking and verifying what opens the admin API, each change with its row in the platform's audit."""

import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from rollhouse.database.identifiers import new_id
from rollhouse.database.pool import Database
from rollhouse.journal import audit
from rollhouse.journal.audit import PLATFORM, Cause
from rollhouse.scim.errors import Forbidden, InvalidValue, NotFound, Unauthorized, check_characters, quoted
from rollhouse.tenancy.credentials import LABEL_LIMIT
from rollhouse.tenancy.secrets import OPERATOR_KEY_PREFIX, Minted, Peppers, is_well_typed, lookup_id_of, mint_secret, named

SCOPES = {
    "tenants:read": "list and read tenants",
    "tenants:write": "create, change, suspend, resume, delete and restore tenants",
    "credentials:read": "list the SCIM secrets of tenants, never the secrets themselves",
    "credentials:write": "create and revoke SCIM secrets of tenants",
    "directory:read": "read the users, groups and memberships of tenants",
    "schemas:read": "read what tenants have defined themselves, and how they want to be answered",
    "schemas:write": "define schemas and resource types of tenants, and how they are answered",
    "usage:read": "read how much tenants hold and when they last wrote",
    "audit:read": "read the audit of tenants",
    "keys:write": "list, create and revoke operators' keys",
}
"""Every scope a key can have, and what it allows."""
LAST_USE_SECONDS = 60
"""The last use of a key is written at most this often."""
PAGE_LIMIT = 200
_WRONG = "The request carries no valid operator's key. Send one as Authorization: Bearer; make one with: rollhouse api-key create --scope SCOPE"


class OperatorKey(msgspec.Struct, frozen=True):
    """A key as it is listed: everything but the key itself."""

    id: UUID
    prefix: str
    label: str | None
    scopes: list[str]
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


class NewKey(msgspec.Struct, frozen=True):
    """A key that was just made, whole: to be shown once and forgotten."""

    key: OperatorKey
    minted: Minted


class Operator(msgspec.Struct, frozen=True):
    """Who a verified key stands for, and what it allows."""

    key_id: UUID
    scopes: frozenset[str]
    expires: datetime | None = None

    def require_end(self, expires: datetime | None) -> None:
        """Hold a key that this one makes to its own end: it hands on what it has, never more (threat T28).

        Raises:
            Forbidden: the new key would outlive it.
        """
        if self.expires is not None and (expires is None or expires > self.expires):
            raise Forbidden(f"This key ends at {self.expires:%Y-%m-%dT%H:%M:%SZ}, and so must every key that it makes. Send an earlier `expires`.")

    def require(self, scope: str) -> None:
        """Hold the operator to the scopes of the key.

        Raises:
            Forbidden: it lacks this one.
        """
        if scope not in self.scopes:
            raise Forbidden(f"This key does not have the scope {scope}. Use a key that has it; make one with: rollhouse api-key create --scope {scope}")


_COLUMNS = f"id, '{OPERATOR_KEY_PREFIX}' || lookup_id AS prefix, label, scopes, created, created_by, expires, revoked, last_used"
_PAGE = f"SELECT {_COLUMNS} FROM rollhouse.operator_keys WHERE id > $1 ORDER BY id LIMIT $2"
_INSERT = (
    "INSERT INTO rollhouse.operator_keys (id, lookup_id, mac, pepper_version, label, scopes, created_by, expires)"
    f" VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {_COLUMNS}"
)
_REVOKE = (
    "UPDATE rollhouse.operator_keys SET revoked = coalesce(revoked, date_trunc('milliseconds', clock_timestamp()))"
    f" WHERE id::text = $1 OR lookup_id = $2 RETURNING {_COLUMNS}"
)
_RESOLVE = "SELECT r.*, k.last_used, k.expires FROM rollhouse.resolve_operator_key($1) r JOIN rollhouse.operator_keys k ON k.id = r.id"
_NOTE_USE = (
    "UPDATE rollhouse.operator_keys SET last_used = clock_timestamp() WHERE id = $1"
    f" AND (last_used IS NULL OR last_used < clock_timestamp() - interval '{LAST_USE_SECONDS} seconds')"
)
_RENEW_MAC = "UPDATE rollhouse.operator_keys SET mac = $2, pepper_version = $3 WHERE id = $1 AND pepper_version = $4"
_NOBODY = UUID(int=0)


async def create_key(
    database: Database, peppers: Peppers, *, scopes: Sequence[str], label: str | None = None, expires: datetime | None = None, cause: Cause
) -> NewKey:
    """A new operator's key with these scopes; it is stored as a MAC only, so it can never be shown again.

    Raises:
        InvalidValue: a scope is unknown or none is given, the label is longer than 200 characters, or the expiry has passed.
    """
    wanted = check_scopes(scopes)
    if label is not None:
        if len(label) > LABEL_LIMIT:
            raise InvalidValue(f"A label has at most {LABEL_LIMIT} characters.")
        check_characters(label)
    check_expiry(expires)
    minted = mint_secret(OPERATOR_KEY_PREFIX)
    key_id = new_id()
    mac = peppers.mac(peppers.current, minted.secret)
    async with database.transaction(PLATFORM) as tx:
        rows = await tx.fetch(_INSERT, key_id, minted.lookup_id, mac, peppers.current, label, wanted, cause.actor, expires)
        await audit.append(tx, cause, "operator_key.created", "OperatorKey", key_id, wanted)
    return NewKey(OperatorKey(*rows[0]), minted)


async def list_keys(database: Database, *, after: UUID | None = None, limit: int = PAGE_LIMIT) -> list[OperatorKey]:
    """The operators' keys behind the id `after`, oldest first; at most 200."""
    return [OperatorKey(*row) for row in await database.query(_PAGE, after or _NOBODY, min(limit, PAGE_LIMIT))]


async def revoke_key(database: Database, name: str, *, cause: Cause) -> OperatorKey:
    """The key of that id or prefix, revoked: the next request that carries it is refused.

    Raises:
        NotFound: there is no such key.
    """
    async with database.transaction(PLATFORM) as tx:
        rows = await tx.fetch(_REVOKE, named(name), named(name))
        if not rows:
            raise NotFound(f"There is no operator's key {quoted(named(name))}; see: rollhouse api-key list")
        await audit.append(tx, cause, "operator_key.revoked", "OperatorKey", rows[0]["id"])
    return OperatorKey(*rows[0])


async def verify_key(database: Database, peppers: Peppers, key: str) -> Operator:
    """The operator that a key stands for. One look-up each time, so that a revocation holds at once.

    A key that an old pepper verifies is stored anew by the current one, so that the old one can go.

    Raises:
        Unauthorized: it is no live key; the same error whatever the reason (threats T25, T26).
        Unavailable: Postgres cannot be asked; never a 401 (invariant 6).
    """
    lookup_id = lookup_id_of(key) if key.startswith(OPERATOR_KEY_PREFIX) and is_well_typed(key) else None
    rows = await database.query(_RESOLVE, lookup_id) if lookup_id is not None else []
    if not rows:
        hmac.compare_digest(peppers.mac(peppers.current, key), bytes(32))
        raise Unauthorized(_WRONG)
    found = rows[0]
    now = datetime.now(UTC)
    is_right = hmac.compare_digest(peppers.mac(found["pepper_version"], key), found["mac"])
    if not is_right or found["revoked"] is not None or found["is_expired"]:
        raise Unauthorized(_WRONG)
    if found["pepper_version"] != peppers.current:
        await database.query(_RENEW_MAC, found["id"], peppers.mac(peppers.current, key), peppers.current, found["pepper_version"])
    if found["last_used"] is None or found["last_used"] < now - timedelta(seconds=LAST_USE_SECONDS):
        await database.query(_NOTE_USE, found["id"])
    return Operator(found["id"], frozenset(found["scopes"]), found["expires"])


def check_scopes(scopes: Sequence[str]) -> list[str]:
    """The scopes in order, each once.

    Raises:
        InvalidValue: one is unknown, or there is none; the detail names those there are.
    """
    known = ", ".join(SCOPES)
    if not scopes:
        raise InvalidValue(f"A key needs at least one scope of: {known}.")
    for scope in scopes:
        if scope not in SCOPES:
            raise InvalidValue(f"There is no scope {quoted(scope)}; use one of: {known}.")
    return sorted(set(scopes))


def check_expiry(expires: datetime | None) -> None:
    """Hold an expiry to the future.

    Raises:
        InvalidValue: it has passed, or is no moment that can be stored.
    """
    if expires is None:
        return
    try:
        moment = expires.astimezone(UTC)
    except OverflowError:
        raise InvalidValue("The expiry is out of the years 1 to 9999 in UTC. Send an earlier moment.") from None
    if moment <= datetime.now(UTC):
        raise InvalidValue("The expiry has passed. Send a moment in the future, or none for a key without an end.")
