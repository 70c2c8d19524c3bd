"""The chain of hashes over a tenant's audit: every row once, in any race, and nothing changed later goes unseen (threat T32)."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import msgspec
import pytest

from rollhouse.database.pool import Database
from rollhouse.journal.audit import PLATFORM
from rollhouse.journal.sealing import BATCH_ROWS, AuditKey, new_audit_key, oldest_unsealed, read_public_key, seal_all, seal_tenant
from rollhouse.journal.verification import Report, verify_tenant
from rollhouse.tenancy.tenants import Tenant
from tests.audit.chains import KEY, PUBLIC_KEYS, anchor_in, append_many, append_rows, as_superuser
from tests.conftest import Cluster

TABLES = ("audit", "audit_chain", "audit_roots")
CHANGES = {
    "at": "at + interval '1 microsecond'",
    "actor": "'x' || actor",
    "action": "'resource.created'",
    "target_type": "'Group'",
    "target_id": "target_id || '0'",
    "attributes": "attributes || 'emails'::text",
    "added": "added || gen_random_uuid()",
    "removed": "removed || gen_random_uuid()",
    "request_id": "''",
    "before": "'\\x00'",
    "after": "sha256('x')",
}


async def verified(database: Database, tenant: Tenant, anchor: Path | None = None) -> Report:
    return await verify_tenant(database, PUBLIC_KEYS, tenant.id, anchor=anchor)


async def what_is_broken(database: Database, tenant: Tenant, anchor: Path | None = None) -> tuple[object, object, str]:
    broken = (await verified(database, tenant, anchor)).broken
    assert broken is not None
    return broken.audit_id, broken.position, broken.what


@pytest.mark.threat("T32")
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["UPDATE rollhouse.{} SET tenant_id = tenant_id", "DELETE FROM rollhouse.{}", "TRUNCATE rollhouse.{}"])
async def test_the_app_role_can_neither_change_nor_remove_a_row(database: Database, tenant: Tenant, table: str, statement: str) -> None:
    async with database.connection() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):  # 42501
            await connection.execute(f"SELECT set_config('rollhouse.tenant', '{tenant.id}', false); {statement.format(table)}")
        await connection.execute("RESET ALL")


async def test_each_row_is_sealed_once_and_a_second_pass_finds_nothing(database: Database, tenant: Tenant) -> None:
    ids = await append_rows(database, tenant, 5)

    assert await seal_tenant(database, KEY, tenant.id) == len(ids)
    assert await seal_tenant(database, KEY, tenant.id) == 0
    async with database.transaction(tenant.id) as tx:
        chain = await tx.fetch("SELECT position, audit_id FROM rollhouse.audit_chain ORDER BY position")
        roots = await tx.fetch("SELECT position, key_id FROM rollhouse.audit_roots")
    assert [(row["position"], row["audit_id"]) for row in chain] == list(enumerate(ids, start=1))
    assert [(row["position"], row["key_id"]) for row in roots] == [(len(ids), KEY.id)]
    report = await verified(database, tenant)
    assert report == Report(tenant.id, len(ids), len(ids), 0, 0, 0, None)


async def test_the_hash_can_be_recomputed_from_the_documented_form(database: Database, tenant: Tenant) -> None:
    """Whoever writes a verifier of his own needs no code of ours."""
    import hashlib

    await append_rows(database, tenant, 1)
    await seal_tenant(database, KEY, tenant.id)
    async with database.transaction(tenant.id) as tx:
        rows = await tx.fetch("SELECT a.*, c.hash FROM rollhouse.audit a JOIN rollhouse.audit_chain c ON c.audit_id = a.id ORDER BY c.position")

    before = bytes(32)
    for row in rows:
        at = row["at"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{row['at'].microsecond // 1000:03d}+00:00"
        columns = [str(row["tenant_id"]), str(row["id"]), at, row["actor"], row["action"], row["target_type"], row["target_id"], row["attributes"]]
        columns += [[], [], row["request_id"], None, None]
        before = hashlib.sha256(before + json.dumps(columns, separators=(",", ":")).encode()).digest()
        assert row["hash"] == before


async def test_many_rows_are_sealed_in_batches_with_a_root_each(cluster: Cluster, database: Database, tenant: Tenant) -> None:
    await append_many(cluster, tenant, 2 * BATCH_ROWS)

    sealed = await seal_tenant(database, KEY, tenant.id)

    async with database.transaction(tenant.id) as tx:
        roots = [row[0] for row in await tx.fetch("SELECT position FROM rollhouse.audit_roots ORDER BY position")]
    assert roots == [BATCH_ROWS, 2 * BATCH_ROWS, sealed]
    assert (await verified(database, tenant)).broken is None


async def test_a_row_that_commits_after_a_newer_one_was_sealed_is_sealed_at_the_next_pass(cluster: Cluster, database: Database, tenant: Tenant) -> None:
    slow = await asyncpg.connect(cluster.app_url)
    transaction = slow.transaction()
    await transaction.start()
    await slow.execute("SELECT set_config('rollhouse.tenant', $1, true)", str(tenant.id))
    await slow.fetch("SELECT rollhouse.append_audit($1, 'a', 'r', 'resource.deleted', 'User', 'late', '{}', '{}', '{}', NULL, NULL)", tenant.id)
    ids = await append_rows(database, tenant, 2)

    assert await seal_tenant(database, KEY, tenant.id) == len(ids)
    await transaction.commit()
    await slow.close()
    assert await seal_tenant(database, KEY, tenant.id) == 1

    async with database.transaction(tenant.id) as tx:
        last = await tx.fetch("SELECT c.position, a.target_id FROM rollhouse.audit_chain c JOIN rollhouse.audit a ON a.id = c.audit_id ORDER BY 1 DESC LIMIT 1")
    assert tuple(last[0]) == (len(ids) + 1, "late")
    assert (await verified(database, tenant)).broken is None


async def test_workers_at_once_seal_each_row_once(cluster: Cluster, database: Database, tenant: Tenant) -> None:
    await append_many(cluster, tenant, 3 * BATCH_ROWS)
    other = Database(cluster.app_url, connections=8)
    await other.open()

    counts = await asyncio.gather(*(seal_tenant(one, KEY, tenant.id) for one in (database, other, database, other)))

    await other.close()
    report = await verified(database, tenant)
    assert sum(counts) == report.rows == report.sealed
    assert report.broken is None


async def test_a_pass_over_all_seals_every_tenant_and_the_platform(database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
    async with database.transaction(PLATFORM) as tx:
        await tx.fetch("SELECT rollhouse.append_audit($1, 'cli', 'r', 'operator_key.created', 'OperatorKey', 'k', '{}', '{}', '{}', NULL, NULL)", PLATFORM)
    since = datetime.now(UTC) - timedelta(minutes=5)
    assert await oldest_unsealed(database, since) is not None

    assert await seal_all(database, KEY, since) >= 5

    assert await oldest_unsealed(database, since) is None
    for tenant_id in (tenant.id, other_tenant.id, PLATFORM):
        report = await verify_tenant(database, PUBLIC_KEYS, tenant_id)
        assert (report.unsealed, report.broken) == (0, None)
        assert report.sealed


async def test_a_tenant_about_to_be_purged_is_not_sealed(cluster: Cluster, database: Database, tenant: Tenant) -> None:
    """A purge empties the chain first: what were sealed anew then would stay for ever."""
    await as_superuser(cluster, "UPDATE rollhouse.tenants SET status = 'deleting', purge_after = now() - interval '1 s' WHERE id = $1", tenant.id)

    assert await seal_tenant(database, KEY, tenant.id) == 0


@pytest.mark.threat("T32")
@pytest.mark.parametrize("column", CHANGES)
async def test_a_changed_column_names_the_row(cluster: Cluster, database: Database, tenant: Tenant, column: str) -> None:
    ids = await append_rows(database, tenant, 4)
    await seal_tenant(database, KEY, tenant.id)

    await as_superuser(cluster, f"UPDATE rollhouse.audit SET {column} = {CHANGES[column]} WHERE tenant_id = $1 AND id = $2", tenant.id, ids[2])

    assert (await what_is_broken(database, tenant))[:2] == (ids[2], 3)


@pytest.mark.threat("T32")
@pytest.mark.parametrize("at", ["'infinity'", "'-infinity'", "'4000-01-01 BC'"])
@pytest.mark.parametrize("is_sealed", [True, False])
async def test_a_time_that_no_clock_shows_names_the_row_and_stops_no_sealer(
    cluster: Cluster, database: Database, tenant: Tenant, at: str, *, is_sealed: bool
) -> None:
    ids = await append_rows(database, tenant, 4)
    change = f"UPDATE rollhouse.audit SET at = {at} WHERE tenant_id = $1 AND id = $2"
    if is_sealed:
        await seal_tenant(database, KEY, tenant.id)

    await as_superuser(cluster, change, tenant.id, ids[2])
    await seal_tenant(database, KEY, tenant.id)

    assert (await what_is_broken(database, tenant))[:2] == (ids[2], 3)


@pytest.mark.threat("T32")
@pytest.mark.parametrize(
    "sql",
    ["DELETE FROM rollhouse.audit WHERE tenant_id = $1 AND id = $2", "UPDATE rollhouse.audit SET id = gen_random_uuid() WHERE tenant_id = $1 AND id = $2"],
)
async def test_a_deleted_or_renamed_row_is_named(cluster: Cluster, database: Database, tenant: Tenant, sql: str) -> None:
    ids = await append_rows(database, tenant, 4)
    await seal_tenant(database, KEY, tenant.id)

    await as_superuser(cluster, sql, tenant.id, ids[1])

    broken = await what_is_broken(database, tenant)
    assert broken[:2] == (ids[1], 2)
    assert "deleted" in broken[2]


@pytest.mark.threat("T32")
async def test_a_row_inserted_into_the_sealed_past_is_named(cluster: Cluster, database: Database, tenant: Tenant) -> None:
    await append_rows(database, tenant, 4)
    await seal_tenant(database, KEY, tenant.id)
    rows = await as_superuser(
        cluster,
        "INSERT INTO rollhouse.audit SELECT tenant_id, rollhouse.new_audit_id(at - interval '2 min'), at - interval '2 min', actor, action, target_type,"
        " target_id, attributes, added, removed, request_id, before, after FROM rollhouse.audit WHERE tenant_id = $1 LIMIT 1 RETURNING id",
        tenant.id,
    )

    assert (await what_is_broken(database, tenant))[0] == rows[0]["id"]
    assert await seal_tenant(database, KEY, tenant.id) == 1
    assert (await verified(database, tenant)).late == 1


@pytest.mark.threat("T32")
@pytest.mark.parametrize(
    ("sql", "position"),
    [
        ("UPDATE rollhouse.audit_chain SET hash = sha256(hash) WHERE tenant_id = $1 AND position = 2", 2),
        ("UPDATE rollhouse.audit_chain SET position = 0 WHERE tenant_id = $1 AND position = 1", 0),
        ("UPDATE rollhouse.audit_chain SET position = 99 WHERE tenant_id = $1 AND position = 2", 3),
        ("UPDATE rollhouse.audit_chain SET audit_id = gen_random_uuid() WHERE tenant_id = $1 AND position = 2", 2),
        ("DELETE FROM rollhouse.audit_chain WHERE tenant_id = $1 AND position = 1", 2),
        ("UPDATE rollhouse.audit_roots SET hash = sha256(hash) WHERE tenant_id = $1 AND position = 6", 6),
        ("UPDATE rollhouse.audit_roots SET signature = sha512(signature) WHERE tenant_id = $1 AND position = 6", 6),
        ("UPDATE rollhouse.audit_roots SET signature = '' WHERE tenant_id = $1 AND position = 6", 6),
        ("UPDATE rollhouse.audit_roots SET at = at - interval '1 hour' WHERE tenant_id = $1 AND position = 6", 6),
        ("UPDATE rollhouse.audit_roots SET key_id = 'other' WHERE tenant_id = $1 AND position = 6", 6),
        ("UPDATE rollhouse.audit_roots SET position = 7 WHERE tenant_id = $1 AND position = 6", 6),
        ("DELETE FROM rollhouse.audit_roots WHERE tenant_id = $1", 6),
        ("WITH gone AS (DELETE FROM rollhouse.audit_chain WHERE tenant_id = $1 AND position > 4) DELETE FROM rollhouse.audit WHERE tenant_id = $1", 1),
    ],
)
async def test_a_changed_chain_or_root_is_named_by_its_position(cluster: Cluster, database: Database, tenant: Tenant, sql: str, position: int) -> None:
    assert len(await append_rows(database, tenant, 4)) == 6
    await seal_tenant(database, KEY, tenant.id)
    assert (await verified(database, tenant)).broken is None

    await as_superuser(cluster, sql, tenant.id)

    assert (await what_is_broken(database, tenant))[1] == position


@pytest.mark.threat("T32")
async def test_a_chain_made_anew_without_the_key_is_told_by_its_root(cluster: Cluster, database: Database, tenant: Tenant) -> None:
    """Whoever rules the database can compute hashes, but not sign."""
    ids = await append_rows(database, tenant, 4)
    await seal_tenant(database, KEY, tenant.id)
    for table in ("audit_chain", "audit_roots"):
        await as_superuser(cluster, f"DELETE FROM rollhouse.{table} WHERE tenant_id = $1", tenant.id)
    await as_superuser(cluster, "UPDATE rollhouse.audit SET actor = 'nobody' WHERE tenant_id = $1", tenant.id)

    await seal_tenant(database, AuditKey.parse(new_audit_key()), tenant.id)

    broken = await what_is_broken(database, tenant)
    assert broken[:2] == (ids[-1], len(ids))
    assert "forged" in broken[2]


@pytest.mark.threat("T32")
@pytest.mark.parametrize(("kept", "named"), [(9, 9), (6, 8), (0, 4)])
async def test_a_tail_cut_off_with_its_roots_is_told_by_the_anchor(
    cluster: Cluster, database: Database, tenant: Tenant, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], kept: int, named: int
) -> None:
    for _ in range(4):
        await append_rows(database, tenant, 2)
        await seal_tenant(database, KEY, tenant.id)
    anchor = anchor_in(tmp_path, "no JSON\n" + capsysbinary.readouterr().err.decode() + '{"event": "audit.root", "ten')
    whole = await verified(database, tenant, anchor)
    assert (whole.sealed, whole.anchored, whole.broken) == (10, 4, None)

    await as_superuser(
        cluster,
        "WITH gone AS (DELETE FROM rollhouse.audit_chain WHERE tenant_id = $1 AND position > $2 RETURNING audit_id),"
        " roots AS (DELETE FROM rollhouse.audit_roots WHERE tenant_id = $1 AND position > $2)"
        " DELETE FROM rollhouse.audit WHERE tenant_id = $1 AND id IN (SELECT audit_id FROM gone)",
        tenant.id,
        kept,
    )

    assert ((await verified(database, tenant)).broken is None) == (kept != 9), "without the anchor, only a cut between two roots shows"
    assert (await what_is_broken(database, tenant, anchor))[1] == named


@pytest.mark.threat("T32")
async def test_a_chain_made_anew_with_the_key_is_told_by_the_anchor(
    cluster: Cluster, database: Database, tenant: Tenant, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    await append_rows(database, tenant, 2)
    await seal_tenant(database, KEY, tenant.id)
    anchor = anchor_in(tmp_path, capsysbinary.readouterr().err.decode())
    for table in ("audit_chain", "audit_roots"):
        await as_superuser(cluster, f"DELETE FROM rollhouse.{table} WHERE tenant_id = $1", tenant.id)
    await as_superuser(cluster, "UPDATE rollhouse.audit SET actor = 'nobody' WHERE tenant_id = $1", tenant.id)

    await seal_tenant(database, KEY, tenant.id)

    assert (await verified(database, tenant)).broken is None
    assert "made anew" in (await what_is_broken(database, tenant, anchor))[2]


@pytest.mark.threat("T32")
async def test_a_forged_line_in_the_anchor_is_named(database: Database, tenant: Tenant, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    await append_rows(database, tenant, 2)
    await seal_tenant(database, KEY, tenant.id)
    line = json.loads(capsysbinary.readouterr().err.splitlines()[-1])

    anchor = anchor_in(tmp_path, json.dumps(line | {"position": 3}))

    broken = await what_is_broken(database, tenant, anchor)
    assert broken[1] == 3
    assert "anchor" in broken[2]


async def test_a_key_that_was_exchanged_verifies_with_both_halves(database: Database, tenant: Tenant) -> None:
    await append_rows(database, tenant, 1)
    await seal_tenant(database, KEY, tenant.id)
    await append_rows(database, tenant, 1)
    newer = AuditKey.parse(new_audit_key())
    await seal_tenant(database, newer, tenant.id)

    both = {**PUBLIC_KEYS, newer.id: read_public_key(newer.public)}

    assert (await verify_tenant(database, both, tenant.id)).broken is None
    assert newer.id in (await what_is_broken(database, tenant))[2]


@pytest.mark.parametrize("text", ["", "abc", "A" * 42, "A" * 44, "!" * 43, "ä" * 43])
def test_what_is_no_key_is_refused_with_the_cure(text: str) -> None:
    with pytest.raises(ValueError, match="rollhouse audit key"):
        AuditKey.parse(text)


def test_a_report_is_json() -> None:
    report = Report(PLATFORM, 1, 1, 0, 0, 0, None)

    assert msgspec.json.decode(msgspec.json.encode(report))["broken"] is None
