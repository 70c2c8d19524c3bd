"""What the database itself refuses, whatever the application does."""

import asyncio
import random
from uuid import UUID, uuid4

import asyncpg
import pytest

from rollhouse.database.pool import Database
from rollhouse.directory import resources
from rollhouse.directory.resources import Query
from rollhouse.scim.errors import InternalError, ScimError
from rollhouse.scim.schemas import GROUP, USER
from rollhouse.tenancy.tenants import Tenant
from tests.conftest import Cluster, new_tenant, scope_of

TENANT_TABLES = ("resources", "resource_keys", "memberships", "resource_counts", "credentials")


async def some_data(database: Database, tenant: Tenant) -> str:
    user = await resources.create_resource(scope_of(database, tenant, USER), {"userName": "bob", "displayName": tenant.slug}, set())
    await resources.create_resource(scope_of(database, tenant, GROUP), {"displayName": tenant.slug, "members": [{"value": str(user.id)}]}, set())
    return str(user.id)


@pytest.mark.threat("T03")
@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_without_a_tenant_a_table_raises_rather_than_looks_empty(database: Database, table: str) -> None:
    """An empty answer would make an identity provider create everybody again."""
    async with database.connection() as connection:
        columns = "tenant_id" if table == "credentials" else "*"
        with pytest.raises(asyncpg.PostgresError) as caught:
            await connection.fetch(f"SELECT {columns} FROM rollhouse.{table}")
    assert caught.value.sqlstate == "RH001"


@pytest.mark.threat("T03")
@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_a_query_without_its_tenant_condition_sees_nothing_foreign(database: Database, tenant: Tenant, other_tenant: Tenant, table: str) -> None:
    await some_data(database, tenant)
    await some_data(database, other_tenant)

    async with database.transaction(tenant.id) as tx:
        seen = {row[0] for row in await tx.fetch(f"SELECT tenant_id FROM rollhouse.{table}")}

    assert seen <= {tenant.id}
    assert seen or table == "credentials"


@pytest.mark.threat("T03")
async def test_a_row_for_another_tenant_cannot_be_written(database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
    statement = "INSERT INTO rollhouse.resource_counts VALUES ($1, 'User', 0, 1)"

    with pytest.raises(InternalError) as caught:
        async with database.transaction(tenant.id) as tx:
            await tx.fetch(statement, other_tenant.id)

    assert getattr(caught.value.__cause__, "sqlstate", None) == "42501"


@pytest.mark.threat("T03")
async def test_a_membership_cannot_point_into_another_tenant(database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
    foreign = await some_data(database, other_tenant)
    group = await resources.create_resource(scope_of(database, tenant, GROUP), {"displayName": "g"}, set())

    with pytest.raises(InternalError) as caught:
        async with database.transaction(tenant.id) as tx:
            await tx.fetch("INSERT INTO rollhouse.memberships VALUES ($1, $2, $3, 'User')", tenant.id, group.id, UUID(foreign))

    assert getattr(caught.value.__cause__, "sqlstate", None) == "23503"


@pytest.mark.threat("T27")
async def test_the_app_role_cannot_read_a_mac(database: Database, tenant: Tenant) -> None:
    with pytest.raises(InternalError) as caught:
        async with database.transaction(tenant.id) as tx:
            await tx.fetch("SELECT mac FROM rollhouse.credentials")

    assert getattr(caught.value.__cause__, "sqlstate", None) == "42501"


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE rollhouse.resources",
        "CREATE TABLE rollhouse.mine (x int)",
        "ALTER TABLE rollhouse.resources DISABLE ROW LEVEL SECURITY",
        "SET ROLE rollhouse_owner",
    ],
)
async def test_the_app_role_cannot_step_around(database: Database, statement: str) -> None:
    async with database.connection() as connection:
        with pytest.raises(asyncpg.PostgresError) as caught:
            await connection.execute(statement)
    assert caught.value.sqlstate == "42501"


@pytest.mark.threat("T04")
async def test_a_pool_of_two_never_mixes_fifty_tenants(cluster: Cluster, database: Database) -> None:
    """Random verbs, some cancelled, some failing in mid-transaction: every answer holds the asker's own marker only."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    small = Database(cluster.app_url, connections=2)
    await small.open()
    many = [await new_tenant(database) for _ in range(50)]
    ids = {tenant.slug: await some_data(database, tenant) for tenant in many}
    answered = 0

    async def ask(tenant: Tenant) -> None:
        nonlocal answered
        scope = scope_of(small, tenant, USER)
        match chance.randrange(4):
            case 0:
                markers = [(await resources.get_resource(scope, ids[tenant.slug], with_relation=True)).document]
            case 1:
                markers = [record.document for record in (await resources.list_resources(scope, Query(), with_relation=True)).records]
            case 2:
                async with small.transaction(tenant.id) as tx:
                    markers = [row[0] for row in await tx.fetch("SELECT document FROM rollhouse.resources WHERE resource_type = 'User'")]
            case _:
                with pytest.raises(ScimError):
                    async with small.transaction(tenant.id) as tx:
                        await tx.fetch("SELECT 1 / 0")
                return
        assert markers
        assert all(f'"{tenant.slug}"' in marker for marker in markers)
        answered += 1

    async def cancelled_sometimes(tenant: Tenant) -> None:
        task = asyncio.create_task(ask(tenant))
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 0.01)
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        except ScimError as error:
            assert error.status == 503  # the pool was full for too long

    for _ in range(12):
        await asyncio.gather(*(cancelled_sometimes(tenant) for tenant in chance.sample(many, 50)))
    assert answered > 200
    for _ in range(4):
        async with small.connection() as connection:
            assert await connection.fetchval("SELECT current_setting('rollhouse.tenant', true)") in (None, "")
    await small.close()


@pytest.mark.threat("T01")
async def test_every_directory_verb_is_blind_to_another_tenant(database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
    """The list of verbs is read from the module: a new one fails until it is tried here."""
    import inspect

    verbs = {
        name
        for name, value in vars(resources).items()
        if inspect.iscoroutinefunction(value) and not name.startswith("_") and value.__module__ == resources.__name__
    }
    foreign = await some_data(database, other_tenant)
    mine = scope_of(database, tenant, USER)
    untouched = await resources.get_resource(scope_of(database, other_tenant, USER), foreign, with_relation=True)

    tried = {
        "type_of": lambda: resources.type_of(database, tenant.id, UUID(foreign)),
        "get_resource": lambda: resources.get_resource(mine, foreign, with_relation=True),
        "replace_resource": lambda: resources.replace_resource(mine, foreign, {"userName": "x"}, set(), expected=None),
        "patch_resource": lambda: resources.patch_resource(mine, foreign, [], set(), expected=None),
        "delete_resource": lambda: resources.delete_resource(mine, foreign, expected=None),
    }
    for name, verb in tried.items():
        with pytest.raises(ScimError) as caught:
            await verb()
        assert caught.value.status == 404, name
    assert (await resources.list_resources(mine, Query(), with_relation=True)).total == 0
    assert (await resources.create_resource(mine, {"userName": "bob"}, set())).version == 1
    assert await resources.get_resource(scope_of(database, other_tenant, USER), foreign, with_relation=True) == untouched
    assert verbs == {*tried, "list_resources", "create_resource"}


async def test_bulk_writes_stay_in_their_tenant(database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
    from rollhouse.directory import bulk

    foreign = await some_data(database, other_tenant)
    ids = await bulk.insert_resources(database, tenant.id, USER, [{"schemas": [], "userName": "bob"}, {"schemas": [], "userName": "eve"}])
    groups = await bulk.insert_resources(database, tenant.id, GROUP, [{"schemas": [], "displayName": "g"}])

    with pytest.raises(ScimError):
        await bulk.insert_members(database, tenant.id, groups[0], [UUID(foreign)])
    await bulk.insert_members(database, tenant.id, groups[0], ids)

    assert (await resources.list_resources(scope_of(database, tenant, USER), Query(), with_relation=False)).total == 2
    assert (await resources.list_resources(scope_of(database, other_tenant, USER), Query(), with_relation=False)).total == 1


@pytest.mark.threat("T26")
async def test_a_credential_is_resolved_only_by_its_whole_lookup_id(database: Database) -> None:
    for text in ("", "%", "_" * 12, "' OR true --", str(uuid4())):
        assert await database.query("SELECT * FROM rollhouse.resolve_credential($1)", text) == []
