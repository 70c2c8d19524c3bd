"""While a release is rolled out, its predecessor serves from the schema that the new one has migrated already, as long as that says so."""

import asyncio
import subprocess
from collections.abc import AsyncIterator

import asyncpg
import pytest

from rollhouse.database import migrations
from rollhouse.database.health import schema_findings
from rollhouse.database.migrations import migrate
from rollhouse.database.pool import Database
from rollhouse.database.revisions import newest_revision
from tests.conftest import Cluster
from tests.servers.service import ROLLHOUSE, clean_environment

NEWER = "9999"
SERVES_FROM = "CREATE OR REPLACE FUNCTION rollhouse.serves_from() RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT '{revision}'$$"
RIGHTS = "REVOKE ALL ON FUNCTION rollhouse.serves_from FROM PUBLIC; GRANT EXECUTE ON FUNCTION rollhouse.serves_from TO rollhouse_app"
NEW_THINGS = """
    CREATE TABLE rollhouse.novelties (id int PRIMARY KEY);
    CREATE TABLE rollhouse.tenant_novelties (tenant_id uuid NOT NULL, id uuid PRIMARY KEY);
    CREATE FUNCTION rollhouse.novelty() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = rollhouse, pg_temp AS 'SELECT 1';
    CREATE POLICY owner_novelty ON rollhouse.resources FOR SELECT TO rollhouse_owner USING (true);
    ALTER TABLE rollhouse.novelties OWNER TO rollhouse_owner; ALTER TABLE rollhouse.tenant_novelties OWNER TO rollhouse_owner;
"""


@pytest.fixture
async def admin(embedded_cluster: Cluster) -> AsyncIterator[asyncpg.Connection]:
    """The superuser in a migrated database of its own."""
    server = await asyncpg.connect(embedded_cluster.superuser_url)
    await server.execute("CREATE DATABASE newer OWNER rollhouse_owner TEMPLATE template0")
    await migrate(embedded_cluster.server.url("rollhouse_migrator", "newer"))
    connection = await asyncpg.connect(embedded_cluster.server.url("postgres", "newer"))
    yield connection
    await connection.close()
    await server.execute("DROP DATABASE newer WITH (FORCE)")
    await server.close()


@pytest.fixture
async def newer(embedded_cluster: Cluster, admin: asyncpg.Connection) -> AsyncIterator[Database]:
    """The same database as the app role, migrated by a release that is newer than this one."""
    await admin.execute(f"UPDATE rollhouse.alembic_version SET version_num = '{NEWER}'")
    database = Database(embedded_cluster.server.url("rollhouse_app", "newer"), connections=2)
    await database.open()
    yield database
    await database.close()


async def serves_from(admin: asyncpg.Connection, revision: str) -> None:
    await admin.execute(SERVES_FROM.format(revision=revision))
    await admin.execute(RIGHTS)


async def test_an_older_schema_must_be_migrated(newer: Database, admin: asyncpg.Connection) -> None:
    await admin.execute("UPDATE rollhouse.alembic_version SET version_num = '0001'")
    assert await schema_findings(newer) == [f"the database is at revision 0001, this release needs {newest_revision()}; cure: rollhouse migrate"]


async def test_a_newer_schema_that_still_serves_this_release_is_served_from_whatever_is_new_in_it(newer: Database, admin: asyncpg.Connection) -> None:
    await serves_from(admin, newest_revision())
    await admin.execute(NEW_THINGS)
    assert await schema_findings(newer) == []


async def test_a_newer_schema_that_serves_this_release_no_more_is_refused(newer: Database, admin: asyncpg.Connection) -> None:
    await serves_from(admin, NEWER)
    (told,) = await schema_findings(newer)
    assert "of a newer release and serves releases from 9999 on" in told
    assert told.endswith("cure: run a newer release")


@pytest.mark.parametrize(
    "hole",
    [
        "ALTER TABLE rollhouse.resources NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY tenant_isolation ON rollhouse.memberships",
        "CREATE POLICY all_may ON rollhouse.resources FOR SELECT TO rollhouse_app USING (true)",
        "CREATE UNIQUE INDEX tells ON rollhouse.resource_keys (key, resource_id, attribute)",
        "CREATE FUNCTION rollhouse.loose() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "GRANT TRUNCATE ON rollhouse.resources TO rollhouse_app",
    ],
)
async def test_what_this_release_knows_is_held_to_its_rules_in_a_newer_schema_too(newer: Database, admin: asyncpg.Connection, hole: str) -> None:
    await serves_from(admin, newest_revision())
    await admin.execute(hole)
    assert len(await schema_findings(newer)) == 1


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ("REVOKE rollhouse_owner FROM rollhouse_migrator", "are the roles made"),
        (
            "DROP FUNCTION rollhouse.count_heads; DELETE FROM rollhouse.alembic_version; CREATE TABLE rollhouse.late ()",
            "Postgres refuses a statement of a migration (42",
        ),
    ],
)
async def test_a_migration_that_is_refused_says_why_and_what_to_do(embedded_cluster: Cluster, admin: asyncpg.Connection, spoil: str, told: str) -> None:
    await admin.execute(spoil)
    try:
        environment = clean_environment(ROLLHOUSE_MIGRATION_DATABASE_URL=embedded_cluster.server.url("rollhouse_migrator", "newer"))
        done = subprocess.run([ROLLHOUSE, "migrate"], env=environment, capture_output=True, text=True, check=False, timeout=60)
    finally:
        await admin.execute("GRANT rollhouse_owner TO rollhouse_migrator")
    assert done.returncode == 3
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def migrated(cluster: Cluster) -> "subprocess.CompletedProcess[str]":
    environment = clean_environment(ROLLHOUSE_MIGRATION_DATABASE_URL=cluster.server.url("rollhouse_migrator", "newer"))
    return subprocess.run([ROLLHOUSE, "migrate"], env=environment, capture_output=True, text=True, check=False, timeout=60)


async def test_migrate_leaves_a_newer_schema_that_serves_this_release_as_it_is(embedded_cluster: Cluster, newer: Database, admin: asyncpg.Connection) -> None:
    """The way back to a release runs its migration, too."""
    await serves_from(admin, newest_revision())
    done = await asyncio.to_thread(migrated, embedded_cluster)
    assert (done.returncode, done.stderr) == (0, "")
    assert "It is a newer release's, and serves this one" in done.stdout
    assert (await newer.query("SELECT version_num FROM rollhouse.alembic_version"))[0][0] == NEWER


async def test_migrate_refuses_a_newer_schema_that_serves_this_release_no_more(embedded_cluster: Cluster, newer: Database, admin: asyncpg.Connection) -> None:
    await serves_from(admin, NEWER)
    done = await asyncio.to_thread(migrated, embedded_cluster)
    assert done.returncode == 3
    assert "Run a newer release" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_newest_schema_says_from_which_release_on_it_serves(newer: Database) -> None:
    """The newest revision is this release's: it and the one before are served, as the migrations only add."""
    assert (await newer.query("SELECT rollhouse.serves_from()"))[0][0] <= newest_revision()


async def test_a_table_in_use_is_waited_for_no_longer_than_two_seconds_and_named(
    embedded_cluster: Cluster, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the migration 0006 does, one asks for a lock on what all requests use."""
    upgrade = migrations.command.upgrade
    with monkeypatch.context() as earlier:
        earlier.setattr(migrations.command, "upgrade", lambda config, _: upgrade(config, "0005"))
        await admin.execute("DROP SCHEMA rollhouse CASCADE")
        await migrate(embedded_cluster.server.url("rollhouse_migrator", "newer"))
    await admin.execute("BEGIN; LOCK TABLE rollhouse.tenants IN ACCESS EXCLUSIVE MODE")
    environment = clean_environment(ROLLHOUSE_MIGRATION_DATABASE_URL=embedded_cluster.server.url("rollhouse_migrator", "newer"))
    done = await asyncio.to_thread(subprocess.run, [ROLLHOUSE, "migrate"], env=environment, capture_output=True, text=True, check=False, timeout=60)
    await admin.execute("ROLLBACK")
    assert done.returncode == 3
    assert "A table is in use" in done.stderr
    again = await asyncio.to_thread(subprocess.run, [ROLLHOUSE, "migrate"], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert again.returncode == 0, again.stderr
