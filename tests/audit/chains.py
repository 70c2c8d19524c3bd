"""Audit rows to seal, a key to seal them with, and a superuser to break them with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from rollhouse.database.pool import Database
from rollhouse.journal import audit
from rollhouse.journal.audit import Cause
from rollhouse.journal.sealing import AuditKey, new_audit_key
from rollhouse.tenancy.tenants import Tenant
from tests.conftest import Cluster

KEY = AuditKey.parse(new_audit_key())
PUBLIC_KEYS: Mapping[str, Ed25519PublicKey] = {KEY.id: KEY.private.public_key()}
CAUSE = Cause("credential:0198", "00112233aabbccdd")
MANY_ROWS = (
    "INSERT INTO rollhouse.audit (tenant_id, id, at, actor, action, target_type, target_id, attributes, added, removed, request_id)"
    " SELECT $1, rollhouse.new_audit_id(moment), date_trunc('milliseconds', moment), 'cli', 'resource.updated', 'User', n::text, '{userName}', '{}', '{}', 'r'"
    " FROM generate_series(1, $2::int) AS n, LATERAL (SELECT clock_timestamp() - interval '1 second' + n * interval '1 microsecond' AS moment) AS made"
)


async def append_rows(database: Database, tenant: Tenant, count: int) -> list[UUID]:
    """Append that many rows; the ids of all rows of the tenant, oldest first."""
    for number in range(count):
        async with database.transaction(tenant.id) as tx:
            await audit.append(tx, CAUSE, "resource.updated", "User", f"user-{number}", ["active", "displayName"])
    return [entry.id for entry in await audit.list_entries(database, tenant.id)]


async def append_many(cluster: Cluster, tenant: Tenant, count: int) -> None:
    """Append rows by the thousand, in one statement."""
    await as_superuser(cluster, MANY_ROWS, tenant.id, count)


async def as_superuser(cluster: Cluster, sql: str, *arguments: Any) -> list[Any]:
    """Run a statement that no row-level security binds."""
    connection = await asyncpg.connect(cluster.superuser_url)
    try:
        return await connection.fetch(sql, *arguments)
    finally:
        await connection.close()


def anchor_in(folder: Path, text: str) -> Path:
    """A file of log lines."""
    path = folder / "anchor.log"
    path.write_text(text)
    return path
