"""Sessions of the portal and the one-time links that begin them: tokens of 256 random bits, of which only a hash is stored."""

import hashlib
import secrets
from typing import Literal
from uuid import UUID

import msgspec

from rollhouse.database.identifiers import new_id
from rollhouse.database.pool import Database, Row
from rollhouse.scim.errors import Unauthorized

ABSOLUTE_HOURS = 12
IDLE_MINUTES = 30
FRESH_MINUTES = 15
"""How long ago somebody may have signed in who makes a secret (threat T28)."""
LINK_HOURS = 24
SEEN_SECONDS = 30
"""The last use of a session is written at most this often."""
TOKEN_CHARACTERS = 43
_DEAD = "This link has been used, has expired, or never was. Ask for a new one."

Role = Literal["operator", "admin", "viewer", "setup"]


class Session(msgspec.Struct, frozen=True):
    """Who looks at a page. An operator has no tenant; everybody else has exactly one.

    `is_fresh` is whether he signed in within the last 15 minutes.
    """

    id: UUID
    csrf: str
    role: Role
    name: str
    tenant_id: UUID | None
    operator_id: UUID | None
    member_id: UUID | None
    setup_link_id: UUID | None
    is_fresh: bool

    @property
    def actor(self) -> str:
        """Who this is, for the audit."""
        if self.operator_id is not None:
            return f"operator:{self.operator_id}"
        return f"member:{self.member_id}" if self.member_id is not None else f"setup-link:{self.setup_link_id}"

    @property
    def manages(self) -> bool:
        """Whether he may change a tenant's settings and secrets."""
        return self.role in ("operator", "admin")


class Started(msgspec.Struct, frozen=True):
    """A session that was just begun: what goes into the cookie, once."""

    token: str
    session_id: UUID


class Person(msgspec.Struct, frozen=True):
    """Who a session is begun for; exactly one of the three ids is set."""

    operator_id: UUID | None = None
    tenant_id: UUID | None = None
    member_id: UUID | None = None
    setup_link_id: UUID | None = None


_START = (
    "INSERT INTO rollhouse.sessions (id, token_hash, csrf, operator_id, tenant_id, member_id, setup_link_id, expires)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + make_interval(hours => $8))"
)
_LIVE = f"""
    SELECT s.id, s.csrf, s.tenant_id, s.operator_id, s.member_id, s.setup_link_id, o.email AS operator,
        s.authenticated > clock_timestamp() - interval '{FRESH_MINUTES} minutes' AS is_fresh,
        s.last_seen < clock_timestamp() - interval '{SEEN_SECONDS} seconds' AS is_long_ago
    FROM rollhouse.sessions s LEFT JOIN rollhouse.operators o ON o.id = s.operator_id LEFT JOIN rollhouse.setup_links l ON l.id = s.setup_link_id
    WHERE s.expires > clock_timestamp() AND s.last_seen > clock_timestamp() - interval '{IDLE_MINUTES} minutes'
        AND (s.operator_id IS NULL OR o.disabled IS NULL)
        AND (s.setup_link_id IS NULL OR (l.revoked IS NULL AND l.expires > clock_timestamp()))
"""
_FIND = f"{_LIVE} AND s.token_hash = $1"
_FIND_BY_ID = f"{_LIVE} AND s.id = $1"
_SEEN = "UPDATE rollhouse.sessions SET last_seen = clock_timestamp() WHERE id = $1"
_END = "DELETE FROM rollhouse.sessions WHERE id = $1"
_SWEEP = f"DELETE FROM rollhouse.sessions WHERE expires < clock_timestamp() OR last_seen < clock_timestamp() - interval '{IDLE_MINUTES} minutes'"
_SWEEP_LINKS = "DELETE FROM rollhouse.sign_in_links WHERE expires < clock_timestamp() - interval '1 day'"
_LINK = (
    "INSERT INTO rollhouse.sign_in_links (token_hash, operator_id, tenant_id, member_id, expires)"
    " VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(hours => $5))"
)
_USE_LINK = (
    "UPDATE rollhouse.sign_in_links SET used = clock_timestamp() WHERE token_hash = $1 AND used IS NULL AND expires > clock_timestamp()"
    " RETURNING operator_id, tenant_id, member_id"
)
_MEMBER = """
    SELECT m.email, m.role, m.resource_id, r.id AS found, r.comparable -> 'active' = 'false'::jsonb AS is_inactive
    FROM rollhouse.members m LEFT JOIN rollhouse.resources r ON r.tenant_id = m.tenant_id AND r.id = coalesce(m.resource_id, (
        SELECT k.resource_id FROM rollhouse.resource_keys k WHERE k.tenant_id = m.tenant_id AND k.resource_type = 'User'
            AND k.attribute IN ('username', 'emails.value') AND k.key = m.email_key ORDER BY k.resource_id LIMIT 1))
    WHERE m.tenant_id = $1 AND m.id = $2
"""
_KNOW = "UPDATE rollhouse.members SET resource_id = $3 WHERE tenant_id = $1 AND id = $2"


def new_token() -> str:
    """43 characters, 256 random bits."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> bytes:
    """SHA-256, 32 bytes: a token of 256 random bits needs no key and no salt."""
    return hashlib.sha256(token.encode()).digest()


async def start_session(database: Database, person: Person) -> Started:
    """A new session with a new token: whoever knew an older one of this browser knows nothing of this one (threat T36)."""
    token, session_id = new_token(), new_id()
    values = (person.operator_id, person.tenant_id, person.member_id, person.setup_link_id)
    await database.query(_START, session_id, hash_token(token), secrets.token_urlsafe(18), *values, ABSOLUTE_HOURS)
    return Started(token, session_id)


async def find_session(database: Database, token: str) -> Session | None:
    """The live session of a cookie; None for any other.

    A member whom the tenant's own provider has deactivated or deleted has no session any more, from his next request on (threat T30).
    """
    if len(token) != TOKEN_CHARACTERS or not token.isascii():
        return None
    rows = await database.look_up(_FIND, hash_token(token), is_for_stranger=True)
    if not rows:
        return None
    found = rows[0]
    role: Role = "operator" if found["operator_id"] is not None else "setup"
    name = found["operator"] or ""
    if found["member_id"] is not None:
        member = await _member(database, found)
        if member is None:
            await end_session(database, found["id"])
            return None
        role, name = member
    if found["is_long_ago"]:
        await database.query(_SEEN, found["id"])
    return Session(
        found["id"], found["csrf"], role, name, found["tenant_id"], found["operator_id"], found["member_id"], found["setup_link_id"], found["is_fresh"]
    )


async def _member(database: Database, found: Row) -> tuple[Role, str] | None:
    async with database.transaction(found["tenant_id"]) as tx:
        rows = await tx.fetch(_MEMBER, found["tenant_id"], found["member_id"])
        if not rows:
            return None
        member = rows[0]
        if member["is_inactive"] or (member["resource_id"] is not None and member["found"] is None):
            return None
        if member["resource_id"] is None and member["found"] is not None:
            await tx.fetch(_KNOW, found["tenant_id"], found["member_id"], member["found"])
    return member["role"], member["email"]


async def is_live(database: Database, session_id: UUID) -> bool:
    """Whether the session would still be found: what is sent for minutes must stop when whoever it is sent to is out."""
    rows = await database.look_up(_FIND_BY_ID, session_id)
    return bool(rows) and (rows[0]["member_id"] is None or await _member(database, rows[0]) is not None)


async def end_session(database: Database, session_id: UUID) -> None:
    """Sign out."""
    await database.query(_END, session_id)


async def sweep_sessions(database: Database) -> None:
    """Delete what has ended."""
    await database.query(_SWEEP)
    await database.query(_SWEEP_LINKS)


async def create_sign_in_link(database: Database, person: Person, *, hours: int = LINK_HOURS) -> str:
    """The token of a link that signs one person in, once, within so many hours."""
    token = new_token()
    await database.query(_LINK, hash_token(token), person.operator_id, person.tenant_id, person.member_id, hours)
    return token


async def use_sign_in_link(database: Database, token: str) -> Person:
    """Who the link is for; it works no second time.

    Raises:
        Unauthorized: it was used, has expired, or never was.
    """
    rows = await database.query(_USE_LINK, hash_token(token))
    if not rows:
        raise Unauthorized(_DEAD)
    return Person(rows[0]["operator_id"], rows[0]["tenant_id"], rows[0]["member_id"])
