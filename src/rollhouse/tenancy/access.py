"""The tenant gate's knowledge: which tenant and credential a bearer secret stands for, believed for at most five seconds."""

import hmac
import math
import time
from collections import OrderedDict
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from rollhouse.database.pool import Database
from rollhouse.scim.errors import Forbidden, Unauthorized
from rollhouse.tenancy.secrets import Peppers, is_well_typed, lookup_id_of
from rollhouse.tenancy.tenants import Tenant, read_profile

CACHE_ENTRIES = 10_000
CACHE_SECONDS = 5.0
UNKNOWN_SECONDS = 1.0
"""How long "no such secret" is believed."""
USES_LIMIT = 10_000
"""Uses of credentials that wait to be noted; more are not noted."""
BEARER_KINDS = ("secret", "access_token")
_WRONG = "The request carries no valid SCIM secret for this URL. Copy the Tenant URL and a current secret from the portal again."
_SUSPENDED = "This tenant is suspended; provisioning is refused until its operator resumes it."
_DELETING = "This tenant is being deleted; nothing can be provisioned to it any more."


Why = Literal["missing", "format", "mistyped", "unknown", "revoked", "expired", "other_connection", "wrong"]


class WrongSecret(Unauthorized):
    """The one refusal of every secret that does not open the path, the same in every word (threats T01, T25, T26).

    `why` tells the tenant in the path what is wrong, by the shape of the secret alone; `credential_id` is set when it is one of its own.
    """

    def __init__(self, why: Why, credential_id: UUID | None = None) -> None:
        super().__init__(_WRONG)
        self.why = why
        self.credential_id = credential_id


class Access(msgspec.Struct, frozen=True):
    """A verified request's tenant, the credential it came with, and the resource that the credential speaks for, if any."""

    tenant: Tenant
    credential_id: UUID
    subject_id: UUID | None = None


class _Known(msgspec.Struct, frozen=True):
    """What the database says of one lookup id, and until when it is believed; `access` is None if unknown.

    `dies` is when it expires by the database's clock, whatever this process's clock says (threat T45); both in monotonic seconds.
    """

    until: float
    access: Access | None = None
    kind: str = ""
    mac: bytes = bytes(32)
    pepper_version: int = 0
    dies: float = math.inf
    revoked: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether it opens a SCIM URL, and is neither revoked nor expired."""
        return self.kind in BEARER_KINDS and self.revoked is None and time.monotonic() < self.dies


class Use(msgspec.Struct, frozen=True):
    """A credential that was used; `mac` and `pepper_version` are set when it was verified by an old pepper."""

    tenant_id: UUID
    mac: bytes | None
    pepper_version: int | None


_NOBODY = _Known(0.0)


class CredentialGate:
    """Says which tenant a secret belongs to; forgets what it hears has changed.

    Keeps at most 10,000 look-ups of credentials, each for five seconds, and 10,000 of what is none, each for one.
    """

    def __init__(self, database: Database, peppers: Peppers) -> None:
        self._database = database
        self._peppers = peppers
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._unknown: OrderedDict[str, _Known] = OrderedDict()
        self._uses: dict[UUID, Use] = {}
        self._changes = 0
        self.hits = self.misses = 0
        """Look-ups of what is believed, and of what had to be asked for."""

    async def access_by(self, slug: str, secret: str, *, is_read: bool) -> Access:
        """The tenant of the path, if the secret is a live one of its own.

        Raises:
            WrongSecret: it is not; the same answer whatever the reason.
            Forbidden: the tenant is suspended or being deleted.
            Unavailable: Postgres cannot be asked; never a 401 (invariant 6).
        """
        lookup_id = lookup_id_of(secret)
        known = (self._believed(lookup_id) or await self._look_up(lookup_id, secret)) if lookup_id else _NOBODY
        expected = self._peppers.mac(known.pepper_version, secret)
        is_right = hmac.compare_digest(expected, known.mac)
        access = known.access
        if not is_right or access is None or access.tenant.slug != slug or not known.is_live:
            raise _wrong(slug, secret, known, is_right=is_right)
        if access.tenant.status != "active":
            _check_status(access.tenant, is_read=is_read)
        if access.credential_id not in self._uses and len(self._uses) < USES_LIMIT:
            self._note(access, known, secret)
        return access

    def take_uses(self) -> dict[UUID, Use]:
        """The credentials used since the last call, to be noted in the database."""
        uses, self._uses = self._uses, {}
        return uses

    def forget(self, change: str) -> None:
        """Believe nothing any more that a change (see `database.changes`) may have made untrue."""
        self._changes += 1
        kind, _, name = change.partition(":")
        if kind == "credential":
            self._known.pop(name, None)
            self._unknown.pop(name, None)
        elif kind == "tenant":
            for lookup_id in [one for one, known in self._known.items() if known.access is not None and str(known.access.tenant.id) == name]:
                del self._known[lookup_id]

    def forget_all(self) -> None:
        """Believe nothing any more."""
        self._changes += 1
        self._known.clear()
        self._unknown.clear()

    def _note(self, access: Access, known: _Known, secret: str) -> None:
        current = self._peppers.current
        is_old = known.pepper_version != current
        self._uses[access.credential_id] = Use(access.tenant.id, self._peppers.mac(current, secret) if is_old else None, current if is_old else None)

    def _believed(self, lookup_id: str) -> _Known | None:
        known = self._known.get(lookup_id) or self._unknown.get(lookup_id)
        if known is None or known.until <= time.monotonic():
            return None
        self.hits += 1
        return known

    async def _look_up(self, lookup_id: str, secret: str) -> _Known:
        self.misses += 1
        known = self._known.get(lookup_id) or self._unknown.get(lookup_id)
        if not is_well_typed(secret):
            return _NOBODY
        changes = self._changes
        asked = await resolve(self._database, lookup_id, is_for_stranger=known is None or known.access is None)
        if changes != self._changes:  # heard of a change meanwhile, which this answer may not show yet
            return asked
        # Apart, so that whoever tries many ids pushes no credential out that exists.
        cache, other = (self._unknown, self._known) if asked.access is None else (self._known, self._unknown)
        other.pop(lookup_id, None)
        cache[lookup_id] = asked
        cache.move_to_end(lookup_id)
        if len(cache) > CACHE_ENTRIES:
            cache.popitem(last=False)
        return asked


async def resolve(database: Database, lookup_id: str, *, is_for_stranger: bool = False) -> _Known:
    """What the database says of a lookup id."""
    asked = time.monotonic()
    rows = await database.look_up("SELECT * FROM rollhouse.resolve_access($1)", lookup_id, is_for_stranger=is_for_stranger)
    if not rows:
        return _Known(asked + UNKNOWN_SECONDS)
    row = rows[0]
    tenant = Tenant(
        id=row["tenant_id"],
        slug=row["slug"],
        name=row["name"],
        status=row["status"],
        rate_per_second=row["rate_per_second"],
        burst=row["burst"],
        reads_while_suspended=row["reads_while_suspended"],
        profile=read_profile(row["profile"]),
        registry=row["registry"],
    )
    access = Access(tenant, row["credential_id"], row["subject_id"])
    return _Known(asked + CACHE_SECONDS, access, row["kind"], row["mac"], row["pepper_version"], _end(asked, row["seconds_left"]), row["revoked"])


def _end(asked: float, seconds_left: float | None) -> float:
    return math.inf if seconds_left is None else asked + seconds_left


def _wrong(slug: str, secret: str, known: _Known, *, is_right: bool) -> WrongSecret:
    if lookup_id_of(secret) is None:
        return WrongSecret("format" if secret else "missing")
    if not is_well_typed(secret):
        return WrongSecret("mistyped")
    access = known.access
    if access is None:
        return WrongSecret("unknown")
    if access.tenant.slug != slug:
        return WrongSecret("other_connection" if is_right and known.is_live else "unknown")
    if not is_right or known.kind not in BEARER_KINDS:
        return WrongSecret("wrong", access.credential_id)
    return WrongSecret("revoked" if known.revoked is not None else "expired", access.credential_id)


def _check_status(tenant: Tenant, *, is_read: bool) -> None:
    if tenant.status == "deleting":
        raise Forbidden(_DELETING)
    if not (is_read and tenant.reads_while_suspended):
        raise Forbidden(_SUSPENDED)


async def note_uses(database: Database, uses: dict[UUID, Use]) -> None:
    """Write when credentials were last used, and their MACs by the current pepper where an old one verified them.

    Raises:
        Unavailable: Postgres cannot be reached.
    """
    if uses:
        rows = list(uses.items())
        await database.query(
            "SELECT rollhouse.note_uses($1, $2, $3, $4)",
            [credential_id for credential_id, _ in rows],
            [use.tenant_id for _, use in rows],
            [use.mac for _, use in rows],
            [use.pepper_version for _, use in rows],
        )
