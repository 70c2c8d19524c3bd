"""What lies in the database, read as the superuser, from whom no policy hides a row."""

import asyncpg

from tests.conftest import Cluster

DIRECTORY = {
    *("resources", "resource_keys", "memberships", "resource_counts", "audit", "audit_chain", "audit_roots"),
    *("erasures", "request_hours", "request_failures", "tenant_health"),
}
"""The tables that a SCIM request may write."""


async def rows_by_table(cluster: Cluster) -> dict[str, list[str]]:
    """Every row of every table as JSON text, without the note of when a credential was last used."""
    connection = await asyncpg.connect(cluster.superuser_url)
    try:
        names = [row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'rollhouse' ORDER BY 1")]
        statement = "SELECT (to_jsonb(t) - 'last_used')::text FROM rollhouse.{} t ORDER BY 1"
        return {name: [row[0] for row in await connection.fetch(statement.format(name))] for name in names}
    finally:
        await connection.close()


async def rights(cluster: Cluster) -> dict[str, list[str]]:
    """Everything that gives somebody a right: tenants, credentials, operator keys, clients; all but the directories and their journal."""
    return {name: rows for name, rows in (await rows_by_table(cluster)).items() if name not in DIRECTORY and not name.startswith("requests")}
