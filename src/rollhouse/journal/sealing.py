"""Sealing the audit: each tenant's rows in a chain of hashes with signed roots, so that no later change goes unseen (threat T32)."""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from rollhouse.database.pool import Database, Row, Transaction
from rollhouse.journal.audit import COLUMNS, PLATFORM
from rollhouse.scim.errors import ScimError
from rollhouse.telemetry.logs import log

BATCH_ROWS = 1000
"""Rows that one transaction seals, and that one root covers at most."""
FIRST_HASH = bytes(32)
"""What stands before the first row of a chain."""
SCAN_TIMEOUT_MILLISECONDS = 60_000
"""Longest that a look through the whole audit may take."""
_CLOCK = "SELECT clock_timestamp()"
BEGINNING = datetime.fromtimestamp(0, UTC)
"""Before every row: a pass since then looks at the whole audit."""

_AT = "CASE WHEN a.at > '0001-01-02' AND a.at < '9999-12-30' THEN a.at END AS at"
ROW = ", ".join(_AT if name == "at" else f"a.{name}" for name in COLUMNS.split(", "))
"""The columns of the audit's row `a`, for `next_hash`; without its time where no clock can show it (infinity, before the year 1)."""

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('audit-seal:' || $1::text, 0))"
# A purge empties the chain before the audit: what is sealed anew meanwhile would stay for ever. Both lock the tenant's row.
_IS_KEPT = "SELECT FROM rollhouse.tenants WHERE id = $1 AND NOT (status = 'deleting' AND purge_after <= clock_timestamp()) FOR KEY SHARE"
_HEAD = "SELECT position, hash FROM rollhouse.audit_chain ORDER BY position DESC LIMIT 1"
_IS_UNSEALED = "NOT EXISTS (SELECT FROM rollhouse.audit_chain s WHERE s.tenant_id = a.tenant_id AND s.audit_id = a.id)"
_UNSEALED = f"SELECT {ROW} FROM rollhouse.audit a WHERE a.id > $1 AND {_IS_UNSEALED} ORDER BY a.id LIMIT $2"
_OLDEST = f"SELECT {_AT} FROM rollhouse.audit a WHERE a.id > $1 AND {_IS_UNSEALED} ORDER BY a.id LIMIT 1"
_CHAIN = (
    "INSERT INTO rollhouse.audit_chain (tenant_id, position, audit_id, hash)"
    " SELECT $1, link.position, link.audit_id, link.hash FROM unnest($2::bigint[], $3::uuid[], $4::bytea[]) AS link (position, audit_id, hash)"
)
_ROOT = "INSERT INTO rollhouse.audit_roots (tenant_id, position, hash, key_id, signature, at) VALUES ($1, $2, $3, $4, $5, $6)"
_TENANTS = "SELECT tenant_id FROM rollhouse.tenants_to_seal($1) AS tenant_id ORDER BY tenant_id"


class AuditKey(msgspec.Struct, frozen=True):
    """The Ed25519 key that signs roots; `id` names its public half."""

    private: Ed25519PrivateKey
    id: str

    @classmethod
    def parse(cls, text: str) -> "AuditKey":
        """From base64url of 32 bytes, as `new_audit_key` writes it.

        Raises:
            ValueError: it is anything else; the message does not hold the key.
        """
        private = Ed25519PrivateKey.from_private_bytes(_decoded(text))
        return cls(private, key_id(private.public_key()))

    @property
    def public(self) -> str:
        """The public half in base64url, for `read_public_key`."""
        return _encoded(self.private.public_key().public_bytes_raw())


class Root(msgspec.Struct, frozen=True):
    """What a signature stands for: that the tenant's chain had this hash at this position at that time."""

    tenant_id: UUID
    position: int
    hash: bytes
    at: datetime
    key_id: str
    signature: bytes

    def is_signed_by(self, public: Ed25519PublicKey) -> bool:
        """Whether the signature is of that key and over exactly this root."""
        try:
            public.verify(self.signature, _signed_bytes(self.tenant_id, self.position, self.hash, self.at))
        except InvalidSignature:
            return False
        return True


def new_audit_key() -> str:
    """A fresh key in the form that `AuditKey.parse` reads."""
    return _encoded(secrets.token_bytes(32))


def read_public_key(text: str) -> Ed25519PublicKey:
    """The public half of a key from base64url of 32 bytes.

    Raises:
        ValueError: it is anything else.
    """
    return Ed25519PublicKey.from_public_bytes(_decoded(text))


def key_id(public: Ed25519PublicKey) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the public key."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def next_hash(before: bytes, tenant_id: UUID, row: Row) -> bytes:
    """The chain's hash at a row: SHA-256 over the hash before it and the row as `canonical` writes it; 32 bytes."""
    return hashlib.sha256(before + canonical(tenant_id, row)).digest()


def canonical(tenant_id: UUID, row: Row) -> bytes:
    """A row of the audit as bytes: a JSON list of its columns in fixed order, bytes in hexadecimal; two different rows never give the same.

    `row` holds at least the columns of `ROW`.
    """
    at, was, is_now = row["at"], row["before"], row["after"]
    return msgspec.json.encode(
        [
            tenant_id,
            row["id"],
            None if at is None else _moment(at),
            row["actor"],
            row["action"],
            row["target_type"],
            row["target_id"],
            row["attributes"],
            row["added"],
            row["removed"],
            row["request_id"],
            None if was is None else was.hex(),
            None if is_now is None else is_now.hex(),
        ]
    )


async def seal_tenant(database: Database, key: AuditKey, tenant_id: UUID, since: datetime = BEGINNING) -> int:
    """Seal the tenant's rows made since then that are in no chain yet, late ones too, and return how many; any number of processes may do so at once.

    Raises:
        ScimError: what a failure of the database means; batches of 1,000 that were done before stay done.
    """
    return sum([rows async for rows in seal_batches(database, key, tenant_id, since)])


async def seal_batches(database: Database, key: AuditKey, tenant_id: UUID, since: datetime) -> AsyncGenerator[int, None]:
    """As `seal_tenant`, one batch at each step: a transaction of its own that chains at most 1,000 rows, signs a root and logs it."""
    after = _last_id_before(since)
    rows = BATCH_ROWS
    while rows == BATCH_ROWS:
        rows, after = await _seal_batch(database, key, tenant_id, after)
        yield rows


async def seal_all(database: Database, key: AuditKey, since: datetime, *, stopping: asyncio.Event | None = None) -> int:
    """Seal every tenant that has unsealed rows made since then, the platform's own too, and return how many rows; ends early once `stopping` is set.

    Raises:
        ScimError: a tenant could not be sealed; all others were.
    """
    total = 0
    failure = None
    for tenant_id in await _tenants_to_seal(database, since):
        try:
            async with aclosing(seal_batches(database, key, tenant_id, since)) as batches:
                async for rows in batches:
                    total += rows
                    if stopping is not None and stopping.is_set():
                        return total
        except ScimError as error:
            failure = error
    if failure is not None:
        raise failure
    return total


async def oldest_unsealed(database: Database, since: datetime) -> datetime | None:
    """The time of the oldest row made since then that waits to be sealed; None when none does."""
    found = []
    for tenant_id in await _tenants_to_seal(database, since):
        async with database.transaction(tenant_id) as tx:
            if await _is_kept(tx):
                found += [row["at"] for row in await tx.fetch(_OLDEST, _last_id_before(since)) if row["at"] is not None]
    return min(found, default=None)


async def _tenants_to_seal(database: Database, since: datetime) -> list[UUID]:
    async with database.connection() as connection, connection.transaction():
        await connection.execute(f"SET LOCAL statement_timeout = {SCAN_TIMEOUT_MILLISECONDS}")
        return [row["tenant_id"] for row in await connection.fetch(_TENANTS, since)]


async def _seal_batch(database: Database, key: AuditKey, tenant_id: UUID, after: UUID) -> tuple[int, UUID]:
    """How many rows were sealed, and the id of the last."""
    async with database.transaction(tenant_id, statement_timeout_milliseconds=SCAN_TIMEOUT_MILLISECONDS) as tx:
        # By itself, and first: each statement after it sees what the holder before us has committed.
        await tx.fetch(_LOCK, str(tenant_id))
        if not await _is_kept(tx):
            return 0, after
        rows = await tx.fetch(_UNSEALED, after, BATCH_ROWS)
        if not rows:
            return 0, after
        root = await _append(tx, key, rows)
    # Only what is committed is logged: a root that was undone would look like a chain that was cut.
    _log_root(root)
    return len(rows), rows[-1]["id"]


async def _append(tx: Transaction, key: AuditKey, rows: Sequence[Row]) -> Root:
    heads = await tx.fetch(_HEAD)
    first, current = (heads[0]["position"] + 1, heads[0]["hash"]) if heads else (1, FIRST_HASH)
    hashes = []
    for row in rows:
        current = next_hash(current, tx.tenant_id, row)
        hashes.append(current)
    positions = list(range(first, first + len(rows)))
    now: datetime = (await tx.fetch(_CLOCK))[0][0]
    root = _sign(key, tx.tenant_id, positions[-1], current, now)
    await tx.fetch(_CHAIN, tx.tenant_id, positions, [row["id"] for row in rows], hashes)
    await tx.fetch(_ROOT, tx.tenant_id, root.position, root.hash, root.key_id, root.signature, root.at)
    return root


async def _is_kept(tx: Transaction) -> bool:
    """Whether the tenant's audit stays, rather than being about to be purged with it."""
    return tx.tenant_id == PLATFORM or bool(await tx.fetch(_IS_KEPT, tx.tenant_id))


def _sign(key: AuditKey, tenant_id: UUID, position: int, chain_hash: bytes, now: datetime) -> Root:
    at = now.replace(microsecond=now.microsecond // 1000 * 1000)
    return Root(tenant_id, position, chain_hash, at, key.id, key.private.sign(_signed_bytes(tenant_id, position, chain_hash, at)))


def _signed_bytes(tenant_id: UUID, position: int, chain_hash: bytes, at: datetime) -> bytes:
    # The name keeps a signature from standing for anything else that the key may sign one day.
    return msgspec.json.encode(["rollhouse.audit.root", tenant_id, position, chain_hash.hex(), _moment(at)])


def _log_root(root: Root) -> None:
    log(
        "audit.root",
        tenant=root.tenant_id,
        position=root.position,
        hash=root.hash.hex(),
        at=_moment(root.at),
        key_id=root.key_id,
        signature=root.signature.hex(),
    )


def _moment(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds; finer only where somebody wrote finer, so that it does not look the same."""
    return at.astimezone(UTC).isoformat(timespec="microseconds" if at.microsecond % 1000 else "milliseconds")


def _last_id_before(since: datetime) -> UUID:
    """An id that those of all rows made since then follow: they begin with 48 bits of milliseconds (RFC 9562 section 5.7)."""
    return UUID(int=max(int(since.timestamp() * 1000) - 1, 0) << 80)


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip().rstrip("=") + "=" * (-len(text.strip().rstrip("=")) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise ValueError("the key is not base64url; make one with: rollhouse audit key") from None
    if len(raw) != 32:  # noqa: PLR2004 - the length of both halves of an Ed25519 key
        raise ValueError("the key does not have 32 bytes; make one with: rollhouse audit key")
    return raw
