"""People who use the portal: operators of the platform with a password and perhaps a second factor, and members of tenants."""

import asyncio
import hmac
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Literal
from uuid import UUID

import argon2
import msgspec
import pyotp

from rollhouse.database.identifiers import new_id
from rollhouse.database.pool import Database
from rollhouse.journal import audit
from rollhouse.journal.audit import PLATFORM, Cause
from rollhouse.scim.errors import InvalidValue, NotFound, Unauthorized, Uniqueness, check_characters, quoted
from rollhouse.scim.keys import fold_text, index_key
from rollhouse.tenancy.secrets import Peppers
from rollhouse.tenancy.sessions import Person, create_sign_in_link
from rollhouse.tenancy.tenants import Tenant

EMAIL_LIMIT = 254
PASSWORD_LIMITS = (15, 200)
"""Characters of a password, least and most (NIST SP 800-63B: length, no rules of composition)."""
_HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""Argon2id with OWASP's parameters: 19 MiB, two passes."""
_HASHING = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")
"""Two at once: a flood of sign-ins must not take the processor from everybody else."""
_NOBODY = _HASHER.hash("nobody has this password")
TOTP_SECONDS = 30
_WRONG = "E-mail address, password or code is wrong."

MemberRole = Literal["admin", "viewer"]


class Operator(msgspec.Struct, frozen=True):
    """One of those who run the platform."""

    id: UUID
    email: str
    has_password: bool
    has_totp: bool


class Member(msgspec.Struct, frozen=True):
    """Somebody of a tenant who may see its pages; an admin may change its connection, too."""

    id: UUID
    email: str
    role: str
    created: datetime
    is_bound: bool


_OPERATOR = "id, email, password_hash IS NOT NULL AS has_password, totp_secret IS NOT NULL AS has_totp"
_CREATE_OPERATOR = f"INSERT INTO rollhouse.operators (id, email, email_key) VALUES ($1, $2, $3) ON CONFLICT (email_key) DO NOTHING RETURNING {_OPERATOR}"
_FIND_OPERATOR = f"SELECT {_OPERATOR}, password_hash, totp_secret, pepper_version FROM rollhouse.operators WHERE email_key = $1 AND disabled IS NULL"
_OPERATOR_BY_ID = f"SELECT {_OPERATOR} FROM rollhouse.operators WHERE id = $1 AND disabled IS NULL"
_SET_PASSWORD = "UPDATE rollhouse.operators SET password_hash = $2, totp_secret = $3, pepper_version = $4, totp_last = 0 WHERE id = $1"  # noqa: S105 - a statement
_END_OTHER_SESSIONS = "DELETE FROM rollhouse.sessions WHERE operator_id = $1 AND id IS DISTINCT FROM $2"
_END_LINKS = "DELETE FROM rollhouse.sign_in_links WHERE operator_id = $1 AND used IS NULL"
_SEAL_ANEW = "UPDATE rollhouse.operators SET totp_secret = $2, pepper_version = $3 WHERE id = $1 AND totp_secret = $4"
_USE_CODE = "UPDATE rollhouse.operators SET totp_last = $2 WHERE id = $1 AND totp_last < $2 RETURNING id"
_MEMBER = "id, email, role, created, subject IS NOT NULL AS is_bound"
_LIST_MEMBERS = f"SELECT {_MEMBER} FROM rollhouse.members WHERE tenant_id = $1 ORDER BY email_key LIMIT 200"
_FIND_MEMBER = "SELECT FROM rollhouse.members WHERE tenant_id = $1 AND id = $2"
_ADD_MEMBER = f"INSERT INTO rollhouse.members (tenant_id, id, email, email_key, role) VALUES ($1, $2, $3, $4, $5) RETURNING {_MEMBER}"
_REMOVE_MEMBER = "DELETE FROM rollhouse.members WHERE tenant_id = $1 AND id = $2 RETURNING id"


def email_key(email: str) -> str:
    """The form in which addresses are compared: the same as for the addresses of users.

    Raises:
        InvalidValue: it is no e-mail address.
    """
    local, at, domain = email.strip().rpartition("@")
    if not at or not local or "." not in domain or len(email) > EMAIL_LIMIT or any(mark in email.strip() for mark in " ,;<>"):
        raise InvalidValue(f"{quoted(email)} is no e-mail address.")
    check_characters(email)
    return index_key(fold_text(email.strip(), case_exact=False))


async def ensure_operator(database: Database, email: str, *, cause: Cause) -> Operator:
    """The operator of that address, made if there is none.

    Raises:
        InvalidValue: it is no e-mail address.
    """
    key = email_key(email)
    async with database.transaction(PLATFORM) as tx:
        operator_id = new_id()
        rows = await tx.fetch(_CREATE_OPERATOR, operator_id, email.strip(), key)
        if rows:
            await audit.append(tx, cause, "operator.created", "Operator", operator_id)
        else:
            rows = await tx.fetch(f"SELECT {_OPERATOR} FROM rollhouse.operators WHERE email_key = $1", key)
    return Operator(*rows[0])


async def find_operator(database: Database, operator_id: UUID) -> Operator:
    """The operator of that id.

    Raises:
        NotFound: there is none.
    """
    rows = await database.query(_OPERATOR_BY_ID, operator_id)
    if not rows:
        raise NotFound("There is no such operator.")
    return Operator(*rows[0])


async def set_password(
    database: Database, peppers: Peppers, operator_id: UUID, password: str, *, totp_secret: str | None, session_id: UUID | None = None, cause: Cause
) -> None:
    """Give the operator a password, and a second factor (stored sealed) or none; all his sessions but this one end, and his unused links with them.

    Raises:
        InvalidValue: the password is shorter than 15 or longer than 200 characters.
    """
    least, most = PASSWORD_LIMITS
    if not least <= len(password) <= most:
        raise InvalidValue(f"A password has {least} to {most} characters; a sentence is a good one.")
    hashed = await asyncio.get_running_loop().run_in_executor(_HASHING, _HASHER.hash, password)
    async with database.transaction(PLATFORM) as tx:
        sealed = peppers.seal(totp_secret) if totp_secret is not None else None
        await tx.fetch(_SET_PASSWORD, operator_id, hashed, sealed, peppers.current if sealed is not None else None)
        await tx.fetch(_END_OTHER_SESSIONS, operator_id, session_id)
        await tx.fetch(_END_LINKS, operator_id)
        await audit.append(tx, cause, "operator.password_set", "Operator", operator_id)


async def verify_operator(database: Database, peppers: Peppers, email: str, password: str, code: str) -> Operator:
    """The operator who has this password, and this code of the second factor if he has one; a code works once.

    Raises:
        Unauthorized: one of them is wrong; the same error and the same work whatever it is.
    """
    try:
        rows = await database.query(_FIND_OPERATOR, email_key(email))
    except InvalidValue:
        rows = []
    hashed = rows[0]["password_hash"] if rows and rows[0]["password_hash"] is not None else _NOBODY
    is_right = await asyncio.get_running_loop().run_in_executor(_HASHING, _verify, hashed, password[: PASSWORD_LIMITS[1] + 1])
    if not rows or not is_right or hashed == _NOBODY:
        raise Unauthorized(_WRONG)
    found = rows[0]
    if found["totp_secret"] is not None:
        now = int(time.time())
        secret = peppers.unseal(found["pepper_version"], found["totp_secret"])
        if secret is None:
            raise Unauthorized("The second factor cannot be read any more. Ask for a link to sign in: rollhouse operator link EMAIL")
        totp = pyotp.TOTP(secret)
        step = next(
            (at // TOTP_SECONDS for at in (now, now - TOTP_SECONDS, now + TOTP_SECONDS) if hmac.compare_digest(totp.at(at).encode(), code.encode())), None
        )
        if step is None or not await database.query(_USE_CODE, found["id"], step):
            raise Unauthorized(_WRONG)
        if found["pepper_version"] != peppers.current:
            await database.query(_SEAL_ANEW, found["id"], peppers.seal(secret), peppers.current, found["totp_secret"])
    return Operator(found["id"], found["email"], has_password=True, has_totp=found["totp_secret"] is not None)


def _verify(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except argon2.exceptions.VerificationError:
        return False


async def add_member(database: Database, tenant: Tenant, email: str, role: MemberRole, *, cause: Cause) -> Member:
    """A new member of the tenant.

    Raises:
        InvalidValue: it is no e-mail address.
        Uniqueness: the address is a member's already.
    """
    key = email_key(email)
    member_id = new_id()
    try:
        async with database.transaction(tenant.id) as tx:
            rows = await tx.fetch(_ADD_MEMBER, tenant.id, member_id, email.strip(), key, role)
            await audit.append(tx, cause, "member.added", "Member", member_id, ["role"])
    except Uniqueness:
        raise Uniqueness(f"{quoted(email)} is a member already.") from None
    return Member(*rows[0])


async def list_members(database: Database, tenant: Tenant) -> Sequence[Member]:
    """The tenant's members, at most 200."""
    async with database.transaction(tenant.id) as tx:
        return [Member(*row) for row in await tx.fetch(_LIST_MEMBERS, tenant.id)]


async def create_member_link(database: Database, tenant: Tenant, member_id: UUID, *, cause: Cause) -> str:
    """The token of a link that signs the member in once, within 24 hours.

    Raises:
        NotFound: there is no such member.
    """
    async with database.transaction(tenant.id) as tx:
        if not await tx.fetch(_FIND_MEMBER, tenant.id, member_id):
            raise NotFound("There is no such member.")
        await audit.append(tx, cause, "member.link_created", "Member", member_id)
    return await create_sign_in_link(database, Person(tenant_id=tenant.id, member_id=member_id))


async def remove_member(database: Database, tenant: Tenant, member_id: UUID, *, cause: Cause) -> None:
    """End a membership; the member's sessions end with it.

    Raises:
        NotFound: there is no such member.
    """
    async with database.transaction(tenant.id) as tx:
        if not await tx.fetch(_REMOVE_MEMBER, tenant.id, member_id):
            raise NotFound("There is no such member.")
        await audit.append(tx, cause, "member.removed", "Member", member_id)
