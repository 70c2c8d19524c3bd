"""Verifying the audit: whether a tenant's rows, their chain and its roots are as they were sealed, and the first place where they are not (threat T32)."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from rollhouse.database.pool import Database, Row
from rollhouse.journal.sealing import BATCH_ROWS, FIRST_HASH, ROW, SCAN_TIMEOUT_MILLISECONDS, Root, next_hash

LATE = timedelta(minutes=1)
"""By how much a row may be older than one that was sealed before it: longer than any transaction takes to commit."""

_BEFORE_ALL = -(2**63)
_CHAIN = (
    f"SELECT c.position, c.audit_id, c.hash, {ROW}, r.hash AS root_hash, r.at AS root_at, r.key_id, r.signature"
    " FROM rollhouse.audit_chain c"
    " LEFT JOIN rollhouse.audit a ON a.tenant_id = c.tenant_id AND a.id = c.audit_id"
    " LEFT JOIN rollhouse.audit_roots r ON r.tenant_id = c.tenant_id AND r.position = c.position"
    " WHERE c.position > $1 ORDER BY c.position LIMIT $2"
)
_STRAY_ROOT = (
    "SELECT r.position FROM rollhouse.audit_roots r"
    " WHERE NOT EXISTS (SELECT FROM rollhouse.audit_chain c WHERE c.tenant_id = r.tenant_id AND c.position = r.position) ORDER BY r.position LIMIT 1"
)
_IS_UNSEALED = "NOT EXISTS (SELECT FROM rollhouse.audit_chain c WHERE c.tenant_id = a.tenant_id AND c.audit_id = a.id)"
_INSERTED = f"SELECT a.id FROM rollhouse.audit a WHERE a.at < $1 AND {_IS_UNSEALED} ORDER BY a.id LIMIT 1"
_COUNTS = (
    "SELECT (SELECT count(*) FROM rollhouse.audit) AS rows, (SELECT count(*) FROM rollhouse.audit_chain) AS sealed,"
    f" (SELECT count(*) FROM rollhouse.audit a WHERE {_IS_UNSEALED}) AS unsealed"
)
_HASHES = "SELECT position, hash FROM rollhouse.audit_chain WHERE position = ANY ($1)"

PublicKeys = Mapping[str, Ed25519PublicKey]
"""The keys that may have signed roots, by `sealing.key_id`."""


class Broken(msgspec.Struct, frozen=True):
    """The first place that is not as it was sealed, and what is wrong there, as a sentence; `audit_id` is None where no row can be named."""

    audit_id: UUID | None
    position: int | None
    what: str


class Report(msgspec.Struct, frozen=True):
    """What was found in one tenant's audit: how many rows there are, how many sealed and not sealed yet, and what is broken, if anything.

    `late` counts rows sealed after one more than a minute younger: slow transactions, or rows that were slipped in before a seal.
    `anchored` counts the roots of the anchor that were compared.
    """

    tenant_id: UUID
    rows: int
    sealed: int
    unsealed: int
    late: int
    anchored: int
    broken: Broken | None


async def verify_tenant(database: Database, public_keys: PublicKeys, tenant_id: UUID, *, anchor: Path | None = None) -> Report:
    """Compare every sealed row with its hash, every root with its signature, and the chain with the anchor's roots.

    `anchor` is a file of the log lines `audit.root`, among others or alone: without it, a tail cut off with its roots goes unseen.
    Reads 1,000 rows at a time, beside running sealers.

    Raises:
        Unavailable: Postgres cannot be reached, or a look through the whole audit takes longer than a minute.
    """
    walk = _Walk(public_keys)
    broken = await _walk_chain(database, walk, tenant_id)
    anchored = 0
    if broken is None and anchor is not None:
        anchored, broken = await _compare_anchor(database, public_keys, tenant_id, anchor)
    if broken is None:
        broken = await _find_strays(database, tenant_id, walk.newest)
    async with database.transaction(tenant_id, statement_timeout_milliseconds=SCAN_TIMEOUT_MILLISECONDS) as tx:
        counts = (await tx.fetch(_COUNTS))[0]
    return Report(tenant_id, counts["rows"], counts["sealed"], counts["unsealed"], walk.late, anchored, broken)


class _Walk:
    """Where a walk along a chain has come to."""

    def __init__(self, public_keys: PublicKeys) -> None:
        self._public_keys = public_keys
        self._is_signed = True
        self.position = 0
        self.hash = FIRST_HASH
        self.newest: datetime | None = None
        self.late = 0

    def step(self, tenant_id: UUID, row: Row) -> str | None:
        """Go on by one row of the chain; what is wrong with it, if anything."""
        expected = self.position + 1
        if row["position"] != expected:
            return f"the chain goes on at position {row['position']} where {expected} should follow: rows of audit_chain were removed or added"
        if row["id"] is None:
            return "the row was deleted from the audit, or its id changed"
        self.position, self.hash = expected, next_hash(self.hash, tenant_id, row)
        if row["hash"] != self.hash:
            return "the row does not match its hash: a column of the row in the audit, or its hash in audit_chain, was changed"
        if row["at"] is None:
            return "the row's time is none that a clock shows: the row was not written by this service"
        self._is_signed = row["root_hash"] is not None
        if self.newest is not None and row["at"] < self.newest - LATE:
            self.late += 1
        self.newest = row["at"] if self.newest is None else max(self.newest, row["at"])
        return self._flaw_of_root(tenant_id, row) if self._is_signed else None

    def end(self) -> str | None:
        """What is wrong with where the chain ends, if anything: each batch is sealed with a root at its last row."""
        return None if self._is_signed else "the chain ends with a row that no root covers: a root was removed, or rows were added to audit_chain"

    def _flaw_of_root(self, tenant_id: UUID, row: Row) -> str | None:
        root = Root(tenant_id, row["position"], row["root_hash"], row["root_at"], row["key_id"], row["signature"])
        if root.hash != self.hash:
            return "the root's hash is not the chain's: the root was changed, or the chain was made anew after it"
        return _flaw_of_signature(self._public_keys, root)


async def _walk_chain(database: Database, walk: _Walk, tenant_id: UUID) -> Broken | None:
    after = _BEFORE_ALL
    last_id = None
    while True:
        async with database.transaction(tenant_id) as tx:
            rows = await tx.fetch(_CHAIN, after, BATCH_ROWS)
        for row in rows:
            flaw = walk.step(tenant_id, row)
            if flaw is not None:
                return Broken(row["audit_id"], row["position"], flaw)
        if len(rows) < BATCH_ROWS:
            last_id = rows[-1]["audit_id"] if rows else last_id
            flaw = walk.end()
            return None if flaw is None else Broken(last_id, walk.position, flaw)
        after, last_id = rows[-1]["position"], rows[-1]["audit_id"]


async def _find_strays(database: Database, tenant_id: UUID, newest: datetime | None) -> Broken | None:
    """A root without its row, or a row that appeared in the past that is sealed."""
    async with database.transaction(tenant_id, statement_timeout_milliseconds=SCAN_TIMEOUT_MILLISECONDS) as tx:
        roots = await tx.fetch(_STRAY_ROOT)
        if roots:
            return Broken(None, roots[0]["position"], "a root stands where the chain has no row: rows of the audit and of audit_chain were removed")
        inserted = await tx.fetch(_INSERTED, newest - LATE) if newest is not None else []
    if inserted:
        return Broken(inserted[0]["id"], None, "the row is not sealed though younger ones are: it was inserted later, or committed just now (verify again)")
    return None


async def _compare_anchor(database: Database, public_keys: PublicKeys, tenant_id: UUID, anchor: Path) -> tuple[int, Broken | None]:
    """How many roots of the anchor are the tenant's and agree with the chain, and the first that does not."""
    compared = 0
    roots = _logged_roots(anchor, tenant_id)
    while batch := list(islice(roots, BATCH_ROWS)):
        async with database.transaction(tenant_id) as tx:
            hashes = {row["position"]: row["hash"] for row in await tx.fetch(_HASHES, [root.position for root in batch])}
        for root in batch:
            flaw = _flaw_of_signature(public_keys, root)
            if flaw is not None:
                return compared, Broken(None, root.position, f"in the anchor, {flaw}")
            if root.position not in hashes:
                what = f"the chain does not reach the anchor's root of {root.at:%Y-%m-%d %H:%M:%S} UTC: the rows up to it were cut off"
                return compared, Broken(None, root.position, what)
            if hashes[root.position] != root.hash:
                what = f"the chain is not the one that the anchor's root of {root.at:%Y-%m-%d %H:%M:%S} UTC covers: it was made anew after that"
                return compared, Broken(None, root.position, what)
            compared += 1
    return compared, None


def _flaw_of_signature(public_keys: PublicKeys, root: Root) -> str | None:
    public = public_keys.get(root.key_id)
    if public is None:
        return f"the root is signed by the key {root.key_id}, which is not known here: add its public half with --public-key, or it was forged"
    return None if root.is_signed_by(public) else "the root's signature is wrong: the root was changed or forged"


class _Line(msgspec.Struct, frozen=True):
    """A line of the log; only those of the event audit.root have all members."""

    tenant: UUID
    position: int
    hash: str
    at: datetime
    key_id: str
    signature: str
    event: str


def _logged_roots(anchor: Path, tenant_id: UUID) -> Iterator[Root]:
    """The tenant's roots in a log, in its order; other lines, and lines cut short, are passed over."""
    with anchor.open("rb") as lines:
        for line in lines:
            try:
                found = msgspec.json.decode(line, type=_Line)
                if found.event == "audit.root" and found.tenant == tenant_id:
                    yield Root(found.tenant, found.position, bytes.fromhex(found.hash), found.at, found.key_id, bytes.fromhex(found.signature))
            except ValueError:
                continue
