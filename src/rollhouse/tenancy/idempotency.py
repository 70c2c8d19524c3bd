"""Idempotency keys of the admin API: what the first of equal requests was answered, kept for a day, so that a repeat changes nothing."""

import hashlib
from datetime import datetime
from uuid import UUID

import msgspec

from rollhouse.database.pool import Database
from rollhouse.scim.errors import Conflict, InvalidValue, ScimError

KEY_LIMIT = 255
KEPT_HOURS = 24
LEASE_SECONDS = 60
"""After how long a request without an answer has none to come; a request has eight seconds."""
SWEPT = 100
"""Rows past their day that one new key removes."""


class KeyReused(ScimError):
    """The Idempotency-Key stands for another request (draft-ietf-httpapi-idempotency-key-header section 2.7, status 422)."""

    status = 422


class Claim(msgspec.Struct, frozen=True):
    """The right to carry out the request of a key; `since` tells this claim from a later one."""

    operator_key_id: UUID
    key: str
    since: datetime


class Stored(msgspec.Struct, frozen=True):
    """What the first request was answered: never a secret."""

    status: int
    headers: list[tuple[str, str]]
    body: str


_CLAIM = f"""
    INSERT INTO rollhouse.idempotency_keys AS k (operator_key_id, idempotency_key, request_hash) VALUES ($1, $2, $3)
    ON CONFLICT (operator_key_id, idempotency_key) DO UPDATE
    SET request_hash = excluded.request_hash, status = NULL, headers = NULL, body = NULL, concerns = NULL, created = excluded.created
    WHERE k.created < clock_timestamp() - interval '{KEPT_HOURS} hours'
    RETURNING created
"""
_FIND = (
    f"SELECT request_hash, status, headers, body, created < clock_timestamp() - interval '{LEASE_SECONDS} seconds' AS is_over"
    " FROM rollhouse.idempotency_keys WHERE operator_key_id = $1 AND idempotency_key = $2"
)
_STORE = (
    "UPDATE rollhouse.idempotency_keys SET status = $4, headers = $5, body = $6, concerns = $7"
    " WHERE operator_key_id = $1 AND idempotency_key = $2 AND created = $3"
)
_GIVE_UP = "DELETE FROM rollhouse.idempotency_keys WHERE operator_key_id = $1 AND idempotency_key = $2 AND created = $3 AND status IS NULL"
_SWEEP = f"""
    DELETE FROM rollhouse.idempotency_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM rollhouse.idempotency_keys WHERE created < clock_timestamp() - interval '{KEPT_HOURS} hours'
        ORDER BY created LIMIT {SWEPT} FOR UPDATE SKIP LOCKED))
"""


def hash_request(method: str, path: str, body: bytes) -> bytes:
    """SHA-256 of what makes two requests equal; 32 bytes."""
    return hashlib.sha256(b"\n".join([method.encode(), path.encode(), body])).digest()


def check_key(key: str) -> str:
    """The key itself.

    Raises:
        InvalidValue: it is not 1 to 255 printable ASCII characters.
    """
    if not 0 < len(key) <= KEY_LIMIT or not key.isascii() or not key.isprintable():
        raise InvalidValue(f"An Idempotency-Key has 1 to {KEY_LIMIT} printable ASCII characters; a random UUID is a good one.")
    return key


async def claim(database: Database, operator_key_id: UUID, key: str, request_hash: bytes) -> Claim | Stored:
    """The right to carry out the request, or what the same request was answered before. A key belongs to one operator's key alone (threat T40).

    Raises:
        Conflict: the same request is under way, or nobody knows whether it took effect, so that it is not carried out again.
        KeyReused: the key stands for another request.
    """
    await database.query(_SWEEP)
    rows = await database.query(_CLAIM, operator_key_id, key, request_hash)
    if rows:
        return Claim(operator_key_id, key, rows[0]["created"])
    rows = await database.query(_FIND, operator_key_id, key)
    if rows and rows[0]["request_hash"] != request_hash:
        raise KeyReused("This Idempotency-Key was sent with another request. Make a new key for every new request.")
    if rows and rows[0]["status"] is None and rows[0]["is_over"]:
        raise Conflict("The first request with this Idempotency-Key was cut off, perhaps after its effect. Look for it; if there is none, make a new key.")
    if not rows or rows[0]["status"] is None:
        raise Conflict("The same request is under way. Wait a moment, then send it again with the same Idempotency-Key.", retry_after_seconds=1)
    headers = msgspec.json.decode(rows[0]["headers"], type=list[tuple[str, str]])
    return Stored(rows[0]["status"], headers, rows[0]["body"])


async def store(database: Database, held: Claim, answer: Stored, *, concerns: UUID | None) -> None:
    """Keep the answer for a day, or until the tenant that it concerns is purged."""
    headers = msgspec.json.encode(answer.headers).decode()
    await database.query(_STORE, held.operator_key_id, held.key, held.since, answer.status, headers, answer.body, concerns)


async def give_up(database: Database, held: Claim) -> None:
    """Let the next request with this key be carried out: this one came to nothing."""
    await database.query(_GIVE_UP, held.operator_key_id, held.key, held.since)
