"""The audit: one row for each effect, appended in the transaction of the effect, never changed (threats T31, T32)."""

import random
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from rollhouse.database.pool import Database, Transaction

PLATFORM = UUID(int=0)
"""The tenant of effects that belong to none: operators' keys, and what is left to say of a purged tenant."""
PAGE_LIMIT = 200


class Cause(msgspec.Struct, frozen=True):
    """Who makes a request (`credential:<id>`, `client:<id>`, `operator-key:<id>`, `cli`, `worker`) and which request it is."""

    actor: str
    request_id: str


def cause_of(actor: str) -> Cause:
    """A cause with a request id of its own."""
    return Cause(actor, new_request_id())


def new_request_id() -> str:
    """16 random hexadecimal digits: to tell requests apart, no secret. Without a call to the kernel, which costs as much as a line of the log."""
    return f"{random.getrandbits(64):016x}"


UNATTENDED = Cause("service", "-")
"""The cause of what nobody asked for from outside: seeds, benchmarks, tests of a verb."""


class Entry(msgspec.Struct, frozen=True):
    """One row: names of attributes and ids of members, never values; SHA-256 of the document before and after, if there was one."""

    id: UUID
    at: datetime
    actor: str
    action: str
    target_type: str
    target_id: str
    attributes: list[str]
    added: list[UUID]
    removed: list[UUID]
    request_id: str
    before: bytes | None
    after: bytes | None


COLUMNS = "id, at, actor, action, target_type, target_id, attributes, added, removed, request_id, before, after"
_APPEND = "SELECT rollhouse.append_audit($1, $2, $3, $4, $5, $6, $7, $8, '{}', NULL, NULL)"
_LIST = f"SELECT {COLUMNS} FROM rollhouse.audit WHERE id > $1 ORDER BY id LIMIT $2"
_NEWEST = f"SELECT {COLUMNS} FROM rollhouse.audit WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
_OF_TARGET = f"SELECT {COLUMNS} FROM rollhouse.audit WHERE tenant_id = $1 AND target_id = $2 ORDER BY id DESC LIMIT $3"
_BEFORE_ALL = UUID(int=0)
_BEHIND_ALL = UUID(int=(1 << 128) - 1)


async def append(
    tx: Transaction, cause: Cause, action: str, target_type: str, target_id: object, attributes: Sequence[str] = (), *, added: Sequence[UUID] = ()
) -> None:
    """Append the row of an effect that this transaction makes; `attributes` are names, never values, `added` are ids."""
    await tx.fetch(_APPEND, tx.tenant_id, cause.actor, cause.request_id, action, target_type, str(target_id), list(attributes), list(added))


async def newest_entries(tx: Transaction, *, before: UUID | None = None, limit: int = PAGE_LIMIT) -> list[Entry]:
    """The tenant's rows older than `before`, the newest first."""
    return [Entry(*row) for row in await tx.fetch(_NEWEST, tx.tenant_id, before or _BEHIND_ALL, min(limit, PAGE_LIMIT))]


async def entries_of_target(tx: Transaction, target_id: str, *, limit: int = PAGE_LIMIT) -> list[Entry]:
    """The newest rows about one resource."""
    return [Entry(*row) for row in await tx.fetch(_OF_TARGET, tx.tenant_id, target_id, min(limit, PAGE_LIMIT))]


async def list_entries(database: Database, tenant_id: UUID, *, after: UUID | None = None, limit: int = PAGE_LIMIT) -> list[Entry]:
    """The tenant's rows behind `after`, in order of time; at most 200."""
    async with database.transaction(tenant_id) as tx:
        rows = await tx.fetch(_LIST, after or _BEFORE_ALL, min(limit, PAGE_LIMIT))
    return [Entry(*row) for row in rows]
