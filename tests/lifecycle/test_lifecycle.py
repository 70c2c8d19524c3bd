"""A tenant's end and its moves: suspended, restored, purged without residue, exported and imported."""

import asyncio
import time
from pathlib import Path

import asyncpg
import pytest

from rollhouse.database.pool import Database
from rollhouse.directory import resources, transfer
from rollhouse.directory.archive import manifest_path
from rollhouse.directory.resources import Scope
from rollhouse.journal import audit
from rollhouse.journal.audit import PLATFORM, UNATTENDED
from rollhouse.scim.errors import Conflict, InvalidValue, NotFound
from rollhouse.scim.schemas import USER_URN
from rollhouse.scim.tolerances import Noted
from rollhouse.tenancy import credentials, lifecycle, tenants
from rollhouse.tenancy.secrets import Peppers
from rollhouse.tenancy.tenants import Tenant
from tests.conftest import PEPPER, Cluster
from tests.lifecycle.conftest import age, fill
from tests.servers.service import ScimClient

_TABLES = "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = 'rollhouse' AND column_name = 'tenant_id'"


async def rows_of(cluster: Cluster, tenant: Tenant) -> dict[str, int]:
    connection = await asyncpg.connect(cluster.superuser_url)
    try:
        tables = [row[0] for row in await connection.fetch(_TABLES)]
        found = {table: await connection.fetchval(f"SELECT count(*) FROM rollhouse.{table} WHERE tenant_id = $1", tenant.id) for table in tables}
        found["idempotency_keys"] = await connection.fetchval("SELECT count(*) FROM rollhouse.idempotency_keys WHERE concerns = $1", tenant.id)
        found["tenants"] = await connection.fetchval("SELECT count(*) FROM rollhouse.tenants WHERE id = $1", tenant.id)
        return found
    finally:
        await connection.close()


@pytest.mark.threat("T47")
async def test_nothing_of_a_purged_tenant_stays(database: Database, cluster: Cluster, tenant: Tenant, users: Scope, groups: Scope) -> None:
    await fill(users, groups)
    await credentials.create_secret(database, Peppers.parse(PEPPER), tenant, cause=UNATTENDED)
    assert (await rows_of(cluster, tenant))["resources"] == 31
    await lifecycle.delete_tenant(database, tenant.slug, cause=UNATTENDED, grace_days=0)
    await age(database, tenant)

    assert tenant.id in [purged.id for purged in await lifecycle.purge_due_tenants(database, cause=UNATTENDED)]

    assert {table: count for table, count in (await rows_of(cluster, tenant)).items() if count} == {}
    async with database.transaction(PLATFORM) as tx:
        told = await tx.fetch("SELECT action FROM rollhouse.audit WHERE target_id = $1", str(tenant.id))
    assert [row["action"] for row in told] == ["tenant.purged"]


@pytest.mark.threat("T47")
async def test_a_purge_knows_every_table_that_does_not_empty_itself(cluster: Cluster) -> None:
    """A new table is either on the list, in a place where nothing refers to it any more, or goes with the tenant's own row."""
    connection = await asyncpg.connect(cluster.superuser_url)
    goes = (
        "SELECT c.relname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
        " WHERE k.contype = 'f' AND k.confrelid = 'rollhouse.tenants'::regclass AND k.confdeltype = 'c'"
    )
    refers = (
        "SELECT DISTINCT k.conrelid::regclass::text, k.confrelid::regclass::text FROM pg_constraint k"
        " WHERE k.contype = 'f' AND k.confdeltype <> 'c' AND k.conrelid <> k.confrelid AND k.conparentid = 0"
    )
    try:
        listed = await connection.fetchval("SELECT rollhouse.tables_to_purge()")
        days = "SELECT relname FROM pg_class WHERE relispartition"
        every, cascading, partitions = [{row[0] for row in await connection.fetch(sql)} for sql in (_TABLES, goes, days)]
        assert set(listed) == every - cascading - partitions
        pairs = [(one.partition(".")[2], other.partition(".")[2]) for one, other in await connection.fetch(refers)]
        assert [(one, other) for one, other in pairs if {one, other} <= set(listed) and listed.index(one) > listed.index(other)] == []
    finally:
        await connection.close()


async def test_a_tenant_in_its_grace_cannot_be_purged(database: Database, tenant: Tenant) -> None:
    with pytest.raises(Conflict, match="only a deleted one"):
        await lifecycle.purge_tenant(database, tenant.slug, cause=UNATTENDED)
    await lifecycle.delete_tenant(database, tenant.slug, cause=UNATTENDED, grace_days=1)
    with pytest.raises(Conflict, match="keeps everything until"):
        await lifecycle.purge_tenant(database, tenant.slug, cause=UNATTENDED)


async def test_two_purges_at_once_remove_a_tenant_once(database: Database, tenant: Tenant, users: Scope, groups: Scope) -> None:
    await fill(users, groups)
    await lifecycle.delete_tenant(database, tenant.slug, cause=UNATTENDED, grace_days=0)
    await age(database, tenant)

    both = await asyncio.gather(*(lifecycle.purge_due_tenants(database, cause=UNATTENDED) for _ in range(2)))

    assert [purged.id for one in both for purged in one].count(tenant.id) == 1
    with pytest.raises(NotFound):
        await tenants.find_tenant(database, tenant.slug)


async def test_a_purge_that_is_interrupted_goes_on_where_it_was(
    database: Database, cluster: Cluster, tenant: Tenant, other_tenant: Tenant, users: Scope, groups: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step after step is a transaction: what an interruption leaves is a tenant that cannot be used, and that the next purge ends."""
    await fill(users, groups)
    neighbour = await rows_of(cluster, other_tenant)
    await lifecycle.delete_tenant(database, tenant.slug, cause=UNATTENDED, grace_days=0)
    await age(database, tenant)
    monkeypatch.setattr(lifecycle, "PURGE_ROWS", 7)
    steps: list[int] = []

    def stop_after_three(gone: int) -> None:
        steps.append(gone)
        if len(steps) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await lifecycle.purge_tenant(database, tenant.slug, cause=UNATTENDED, progress=stop_after_three)
    left = await rows_of(cluster, tenant)
    assert steps == [7, 7, 7]
    assert (left["memberships"], left["resources"], left["tenants"]) == (9, 31, 1)
    with pytest.raises(Conflict, match="grace"):
        await lifecycle.restore_tenant(database, tenant.slug, cause=UNATTENDED)

    rest = await lifecycle.purge_tenant(database, tenant.slug, cause=UNATTENDED, progress=steps.append)

    assert sum(steps[3:]) == rest
    assert max(steps) == 7
    assert {table: count for table, count in (await rows_of(cluster, tenant)).items() if count} == {}
    assert await rows_of(cluster, other_tenant) == neighbour


async def test_a_restored_tenant_keeps_its_ids_and_an_expired_grace_cannot_be_undone(database: Database, tenant: Tenant, users: Scope) -> None:
    made = await resources.create_resource(users, {"schemas": [USER_URN], "userName": "ann"}, Noted())
    await lifecycle.delete_tenant(database, tenant.slug, cause=UNATTENDED)
    restored = await lifecycle.restore_tenant(database, tenant.slug, cause=UNATTENDED)

    assert (restored.status, restored.purge_after) == ("active", None)
    assert (await resources.get_resource(users, str(made.id), with_relation=False)).version == 1
    await lifecycle.delete_tenant(database, tenant.slug, cause=UNATTENDED, grace_days=0)
    with pytest.raises(Conflict, match="grace"):
        await lifecycle.restore_tenant(database, tenant.slug, cause=UNATTENDED)
    actions = [one.action for one in await audit.list_entries(database, tenant.id)]
    assert actions[-3:] == ["tenant.deleted", "tenant.restored", "tenant.deleted"]


async def test_an_imported_tenant_exports_the_same_lines(
    database: Database, tenant: Tenant, other_tenant: Tenant, users: Scope, groups: Scope, tmp_path: Path
) -> None:
    await fill(users, groups)
    first, second = tmp_path / "a.ndjson", tmp_path / "b.ndjson"
    manifest = await transfer.export_tenant(database, tenant, first)
    for _ in range(2):
        await transfer.import_tenant(database, other_tenant, first, cause=UNATTENDED)
    await transfer.export_tenant(database, other_tenant, second)

    assert (manifest.resources, manifest.memberships) == ({"User": 30, "Group": 1}, 30)
    assert first.read_bytes().splitlines()[1:] == second.read_bytes().splitlines()[1:]
    assert b"t0p-secret" not in first.read_bytes()
    assert [one.action for one in await audit.list_entries(database, other_tenant.id)].count("tenant.imported") == 1


async def test_interrupted_transfers_go_on(
    database: Database, tenant: Tenant, other_tenant: Tenant, users: Scope, groups: Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(users, groups)
    monkeypatch.setattr(transfer, "BATCH", 7)
    path, whole = tmp_path / "a.ndjson", tmp_path / "b.ndjson"

    def stop(lines: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await transfer.export_tenant(database, tenant, path, progress=stop)
    with (tmp_path / "a.ndjson.part").open("ab") as part:
        part.write(b'{"line":"resour')
    assert not path.exists()
    await transfer.export_tenant(database, tenant, path)
    await transfer.export_tenant(database, tenant, whole)
    assert path.read_bytes().splitlines()[1:] == whole.read_bytes().splitlines()[1:]

    with pytest.raises(KeyboardInterrupt):
        await transfer.import_tenant(database, other_tenant, path, cause=UNATTENDED, progress=stop)
    await transfer.import_tenant(database, other_tenant, path, cause=UNATTENDED)
    assert await transfer.count_lines(database, other_tenant) == 61


async def test_a_changed_file_and_a_filled_tenant_are_refused(
    database: Database, tenant: Tenant, other_tenant: Tenant, users: Scope, groups: Scope, tmp_path: Path
) -> None:
    await fill(users, groups)
    path = tmp_path / "a.ndjson"
    await transfer.export_tenant(database, tenant, path)
    await resources.create_resource(users, {"schemas": [USER_URN], "userName": "new"}, Noted())
    with pytest.raises(Conflict, match="not in the file"):
        await transfer.import_tenant(database, tenant, path, cause=UNATTENDED)
    path.write_bytes(path.read_bytes().replace(b"user3", b"user4"))
    with pytest.raises(InvalidValue, match="SHA-256"):
        await transfer.import_tenant(database, other_tenant, path, cause=UNATTENDED)
    assert await transfer.count_lines(database, other_tenant) == 0
    assert manifest_path(path).exists()


async def status_within(client: ScimClient, status: int, method: str = "GET") -> str:
    """The last answer, once it has the status; within a second."""
    deadline = time.monotonic() + 1
    while (response := await client.request(method, "/Users", {"userName": "x"} if method == "POST" else None)).status_code != status:
        assert time.monotonic() < deadline, response.text
        await asyncio.sleep(0.02)
    return response.text


@pytest.mark.threat("T47")
async def test_the_service_hears_of_each_step_within_a_second(acme: ScimClient, service_database: Database) -> None:
    slug = acme.base_url.split("/")[4]
    await status_within(acme, 200)
    tenant = await lifecycle.suspend_tenant(service_database, slug, cause=UNATTENDED, reads=True)
    assert "suspended" in await status_within(acme, 403, "POST")
    await status_within(acme, 200)
    await lifecycle.suspend_tenant(service_database, slug, cause=UNATTENDED)
    assert "suspended" in await status_within(acme, 403)
    await lifecycle.resume_tenant(service_database, slug, cause=UNATTENDED)
    await status_within(acme, 200)
    await lifecycle.delete_tenant(service_database, slug, cause=UNATTENDED, grace_days=0)
    assert "deleted" in await status_within(acme, 403)
    await age(service_database, tenant)
    await lifecycle.purge_tenant(service_database, slug, cause=UNATTENDED)
    await status_within(acme, 401)
