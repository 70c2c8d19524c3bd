"""The gate is silent on the schema as migrated, and names each way of breaking it."""

import asyncpg
import pytest

from rollhouse.database.catalog import catalog_findings
from rollhouse.database.pool import Database
from tests.conftest import Cluster

TABLE = "CREATE TABLE rollhouse.extra (tenant_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (tenant_id, id))"
POLICY = "CREATE POLICY tenant_isolation ON rollhouse.extra USING (tenant_id = rollhouse.current_tenant()) WITH CHECK (tenant_id = rollhouse.current_tenant())"
RLS = "ALTER TABLE rollhouse.extra ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
SOUND = [TABLE, RLS, POLICY]
DROP = ["DROP TABLE rollhouse.extra"]

BREACHES = {
    "no row-level security": ([TABLE, POLICY], DROP, "extra lacks ROW LEVEL SECURITY"),
    "not forced": ([TABLE, "ALTER TABLE rollhouse.extra ENABLE ROW LEVEL SECURITY", POLICY], DROP, "extra lacks FORCE"),
    "no policy": ([TABLE, RLS], DROP, "has no policy"),
    "policy without check": ([TABLE, RLS, POLICY.partition(" WITH CHECK")[0]], DROP, "has no policy"),
    "policy for everything": ([*SOUND, "CREATE POLICY loose ON rollhouse.extra USING (true)"], DROP, "unknown policy loose"),
    "no tenant": (["CREATE TABLE rollhouse.extra (id uuid PRIMARY KEY)"], DROP, "no column tenant_id"),
    "global unique index": ([*SOUND, "CREATE UNIQUE INDEX loose ON rollhouse.extra (id)"], DROP, "loose does not begin with tenant_id"),
    "global foreign key": (
        ["CREATE TABLE rollhouse.extra (tenant_id uuid NOT NULL, t uuid REFERENCES rollhouse.tenants (id), PRIMARY KEY (tenant_id, t))", RLS, POLICY],
        DROP,
        "foreign key",
    ),
    "truncate": ([*SOUND, "GRANT TRUNCATE ON rollhouse.extra TO rollhouse_app"], DROP, "may TRUNCATE"),
    "public": ([*SOUND, "GRANT SELECT ON rollhouse.extra TO PUBLIC"], DROP, "PUBLIC"),
    "view": (["CREATE VIEW rollhouse.loose AS SELECT * FROM rollhouse.resources"], ["DROP VIEW rollhouse.loose"], "view rollhouse.loose"),
    "materialised view": (["CREATE MATERIALIZED VIEW rollhouse.loose AS SELECT 1 AS x"], ["DROP MATERIALIZED VIEW rollhouse.loose"], "materialised view"),
    "definer function": (
        ["CREATE FUNCTION rollhouse.loose() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"],
        ["DROP FUNCTION rollhouse.loose()"],
        "rollhouse.loose()",
    ),
    "membership": (["GRANT rollhouse_owner TO rollhouse_app"], ["REVOKE rollhouse_owner FROM rollhouse_app"], "belongs to rollhouse_owner"),
    "bypass": (["ALTER ROLE rollhouse_app BYPASSRLS"], ["ALTER ROLE rollhouse_app NOBYPASSRLS"], "bypasses row-level security"),
    "macs": (["GRANT SELECT ON rollhouse.credentials TO rollhouse_app"], ["REVOKE SELECT (mac) ON rollhouse.credentials FROM rollhouse_app"], "MACs"),
    "owned": ([*SOUND, "ALTER TABLE rollhouse.extra OWNER TO rollhouse_app"], DROP, "owns rollhouse.extra"),
}


@pytest.mark.threat("T03")
async def test_the_gate_finds_nothing_in_the_schema_as_migrated(database: Database) -> None:
    assert await catalog_findings(database) == []


@pytest.mark.threat("T03")
@pytest.mark.parametrize("name", BREACHES)
async def test_the_gate_names_the_breach(cluster: Cluster, database: Database, name: str) -> None:
    breach, mend, expected = BREACHES[name]
    admin = await asyncpg.connect(cluster.superuser_url)
    try:
        await admin.execute("SELECT pg_advisory_lock(1)")
        for statement in breach:
            await admin.execute(statement)
        try:
            findings = await catalog_findings(database)
        finally:
            for statement in mend:
                await admin.execute(statement)
            if name == "macs":
                await admin.execute("REVOKE SELECT ON rollhouse.credentials FROM rollhouse_app")
                columns = "tenant_id, id, lookup_id, pepper_version, label, created, expires, revoked, kind, client_id, created_by, last_used"
                await admin.execute(f"GRANT SELECT ({columns}) ON rollhouse.credentials TO rollhouse_app")
    finally:
        await admin.close()
    assert any(expected in finding for finding in findings), findings
    assert all("; cure: " in finding for finding in findings)
    assert await catalog_findings(database) == []
