"""The migrations make what the tables in the code describe, can be run again, and need no superuser."""

import asyncio
import re

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from rollhouse.database.migrations import migrate
from rollhouse.database.portal_tables import ALL_TABLES
from rollhouse.database.revisions import newest_revision
from rollhouse.database.roles import bootstrap_script
from tests.conftest import Cluster


def differences(connection: Connection) -> list[object]:
    def is_ours(name: str | None, kind: str, _: object) -> bool:
        """The schema, and of a partitioned table the whole, not its days."""
        return name == "rollhouse" if kind == "schema" else re.fullmatch(r"requests_\d{8}", name or "") is None

    options = {"include_schemas": True, "version_table_schema": "rollhouse", "include_name": is_ours}
    return compare_metadata(MigrationContext.configure(connection, opts=options), ALL_TABLES)


async def test_the_tables_in_the_code_are_those_in_the_database(cluster: Cluster) -> None:
    async def connect(*_: object, **__: object) -> asyncpg.Connection:
        return await asyncpg.connect(cluster.migrator_url)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
    await engine.dispose()

    assert found == []


async def test_migrating_again_and_in_parallel_changes_nothing(cluster: Cluster) -> None:
    assert await asyncio.gather(*(migrate(cluster.migrator_url) for _ in range(3))) == [newest_revision()] * 3


@pytest.mark.threat("T03")
async def test_no_role_of_ours_is_more_than_it_must_be(cluster: Cluster) -> None:
    admin = await asyncpg.connect(cluster.superuser_url)
    rows = await admin.fetch("SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin FROM pg_roles WHERE rolname LIKE 'rollhouse%'")
    owners = await admin.fetch(
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'rollhouse'"
    )
    await admin.close()

    assert {row["rolname"]: tuple(row)[1:] for row in rows} == {
        "rollhouse_owner": (False, False, False, False, False),
        "rollhouse_migrator": (False, False, False, False, True),
        "rollhouse_app": (False, False, False, False, True),
    }
    assert [row[0] for row in owners] == ["rollhouse_owner"]


def test_the_bootstrap_can_be_run_again(cluster: Cluster) -> None:
    done = cluster.server._run(
        ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(cluster.server.folder), "-U", "postgres", "-d", "postgres"], bootstrap_script().encode()
    )

    assert done.returncode == 0, done.stderr
