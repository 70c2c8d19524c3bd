"""What the database holds by itself: whose names are unique, and whose clock is believed."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from rollhouse.database import identifiers
from rollhouse.database.catalog import GLOBAL_TABLES
from rollhouse.directory import resources
from rollhouse.directory.resources import Scope
from tests.conftest import Cluster

_UNIQUE = {"tenants_pkey", "tenants_slug_key"}
"""Unique indexes over all tenants, on values that no client of a tenant can write."""

_UNIQUE = """
    SELECT c.relname AS table, i.relname AS index, a.attname AS first, EXISTS (
        SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id' AND NOT t.attisdropped) AS is_of_tenants
    FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[0]
    WHERE n.nspname = 'rollhouse' AND x.indisunique
"""


@pytest.mark.threat("T20")
async def test_every_unique_index_on_a_tenants_table_begins_with_the_tenant(cluster: Cluster) -> None:
    """One that does not would tell a tenant, by a conflict, what another one has."""
    connection = await asyncpg.connect(cluster.superuser_url)
    try:
        found = await connection.fetch(_UNIQUE)
    finally:
        await connection.close()

    # Sessions and links are found by the hash of a random token, before anybody knows whose they are; nobody can choose one.
    by_token = ("sessions", "setup_links", "sign_in_links")
    assert [row["index"] for row in found if row["is_of_tenants"] and row["first"] != "tenant_id" and row["table"] not in by_token] == []
    assert len([row for row in found if row["is_of_tenants"]]) >= 5


@pytest.mark.threat("T20")
async def test_the_tables_of_all_tenants_are_few_and_known(cluster: Cluster) -> None:
    connection = await asyncpg.connect(cluster.superuser_url)
    try:
        found = await connection.fetch(_UNIQUE)
    finally:
        await connection.close()

    assert {row["table"] for row in found if not row["is_of_tenants"]} <= set(GLOBAL_TABLES)


async def database_clock(scope: Scope) -> Any:
    return (await scope.database.query("SELECT clock_timestamp() AS now"))[0]["now"]


def moment(text: str | None) -> datetime:
    """A time as the record has it."""
    assert text is not None
    return datetime.fromisoformat(text)


@pytest.mark.threat("T45")
@pytest.mark.parametrize("hours", [-24 * 365, -1, 1, 24 * 365])
async def test_a_process_with_a_wrong_clock_stores_the_databases_time(users: Scope, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """Its clock enters only the id, which orders a list and dates nothing."""
    right = identifiers.time.time_ns
    before = await database_clock(users)
    with monkeypatch.context() as wrong:
        wrong.setattr(identifiers.time, "time_ns", lambda: right() + hours * 3_600_000_000_000)
        made = await resources.create_resource(users, {"userName": "ann"}, set())
        changed = await resources.replace_resource(users, str(made.id), {"userName": "bob"}, set(), expected=None)
    after = await database_clock(users)

    assert made.created == made.last_modified
    assert before - timedelta(milliseconds=1) <= moment(made.created) <= moment(changed.last_modified) <= after
    assert changed.created == made.created


@pytest.mark.threat("T45")
async def test_the_last_change_of_a_resource_never_goes_back(users: Scope, cluster: Cluster) -> None:
    """Not even when the database's clock was set back since: the stored time is one hour ahead here."""
    made = await resources.create_resource(users, {"userName": "ann"}, set())
    connection = await asyncpg.connect(cluster.superuser_url)
    try:
        ahead = await connection.fetchval(
            "UPDATE rollhouse.resources SET last_modified = last_modified + interval '1 hour' WHERE id = $1 RETURNING last_modified", made.id
        )
    finally:
        await connection.close()

    changed = await resources.replace_resource(users, str(made.id), {"userName": "bob"}, set(), expected=None)

    assert moment(changed.last_modified) >= ahead
