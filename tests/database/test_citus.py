"""The script for Citus names what there is: every table of a tenant, every global one, every function that is led by its tenant."""

import re
from pathlib import Path

from rollhouse.database.catalog import GLOBAL_TABLES
from rollhouse.database.pool import Database

SCRIPT = (Path(__file__).parents[2] / "k8s" / "citus" / "distribute.sql").read_text()
KEPT_WHOLE = {"purge_tenant"}
"""Led by a tenant, but it looks at the global table of tenants for update."""


def named(after: str) -> set[str]:
    """The words of the list that follows a line."""
    return set(re.findall(r"'(\w+)'", SCRIPT.partition(after)[2].partition("]")[0].partition("ARRAY[")[2]))


async def test_every_table_is_distributed_by_its_tenant_or_copied_to_all_nodes(database: Database) -> None:
    rows = await database.query(
        "SELECT relname FROM pg_class c WHERE relnamespace = 'rollhouse'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
    )
    tables = {row[0] for row in rows} - {"alembic_version"}
    copied = named("SELECT create_reference_table")
    distributed = named("SELECT create_distributed_table('rollhouse.' || name") | {"resources"}

    assert copied == set(GLOBAL_TABLES) - {"alembic_version"}
    assert copied | distributed == tables
    assert not copied & distributed


async def test_every_key_of_a_distributed_table_is_led_by_the_tenant(database: Database) -> None:
    """Citus refuses others; the catalog gate does at each start."""
    rows = await database.query(
        "SELECT i.indexrelid::regclass::text, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]"
        " WHERE c.relnamespace = 'rollhouse'::regnamespace AND i.indisunique AND c.relname <> ALL ($1)",
        list(GLOBAL_TABLES),
    )
    assert len(rows) >= 13
    assert [row[0] for row in rows if row[1] != "tenant_id"] == []


async def test_every_function_that_is_led_by_its_tenant_is_delegated(database: Database) -> None:
    rows = await database.query("SELECT proname FROM pg_proc WHERE pronamespace = 'rollhouse'::regnamespace AND proargnames[1] = 'p_tenant'")

    assert {row[0] for row in rows} - KEPT_WHOLE == named("SELECT create_distributed_function")


def test_the_tenant_of_a_composed_query_is_bound_by_a_statement_that_citus_passes_on() -> None:
    import inspect

    assert "SET LOCAL rollhouse.tenant" in inspect.getsource(Database.transaction)
    assert "citus.propagate_set_commands = 'local'" in SCRIPT
