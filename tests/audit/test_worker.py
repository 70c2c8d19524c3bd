"""`rollhouse worker` as a process: what its jobs do, how it ends, and what a sudden end leaves."""

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from rollhouse.database.identifiers import new_id
from rollhouse.database.pool import Database
from rollhouse.journal.sealing import AuditKey, seal_tenant
from rollhouse.journal.verification import verify_tenant
from rollhouse.scim.errors import Unavailable
from rollhouse.telemetry.metrics import REGISTRY
from rollhouse.worker.process import Job, repeat
from tests.audit.chains import append_many, append_rows, as_superuser
from tests.audit.working import AUDIT_KEY, run, wait_until, working
from tests.conftest import Cluster, new_tenant

WORKERS_KEY = AuditKey.parse(AUDIT_KEY)
PUBLIC_KEYS = {WORKERS_KEY.id: WORKERS_KEY.private.public_key()}


async def test_a_worker_seals_what_is_appended_and_its_log_is_an_anchor(embedded_cluster: Cluster, service_database: Database, tmp_path: Path) -> None:
    """The log lies outside the database: who rules the database does not rule it."""
    tenant = await new_tenant(service_database)
    with working(embedded_cluster, tmp_path / "log") as worker:
        await asyncio.to_thread(wait_until, lambda: any(line["tenant"] == str(tenant.id) for line in worker.events("audit.root")))
        await asyncio.to_thread(wait_until, lambda: worker.metric("rollhouse_audit_seal_lag_seconds") is not None)
        await append_rows(service_database, tenant, 3)
        await asyncio.to_thread(wait_until, lambda: sum(line["tenant"] == str(tenant.id) for line in worker.events("audit.root")) == 2)
        assert worker.end() == 0

    report = await verify_tenant(service_database, PUBLIC_KEYS, tenant.id, anchor=worker.log)
    assert (report.sealed, report.unsealed, report.anchored, report.broken) == (5, 0, 2, None)
    assert worker.events("worker.ended")


async def test_the_age_of_what_is_not_sealed_grows_while_it_cannot_be(embedded_cluster: Cluster, service_database: Database, tmp_path: Path) -> None:
    """As Prometheus sees it; somebody's forgotten transaction lets the chain be read and not written."""
    tenant = await new_tenant(service_database)
    other = await asyncpg.connect(embedded_cluster.superuser_url)
    try:
        with working(embedded_cluster, tmp_path / "log") as worker:
            lag = partial(worker.metric, "rollhouse_audit_seal_lag_seconds")
            await asyncio.to_thread(wait_until, lambda: lag() is not None)
            async with other.transaction():
                await other.execute("LOCK TABLE rollhouse.audit_roots IN EXCLUSIVE MODE")
                await append_rows(service_database, tenant, 3)
                await asyncio.to_thread(wait_until, lambda: (lag() or 0) > 1)
            await asyncio.to_thread(wait_until, lambda: lag() == 0)
            assert worker.end() == 0
    finally:
        await other.close()


@pytest.mark.threat("T32")
async def test_kill_9_in_the_middle_of_sealing_leaves_a_chain_that_verifies(embedded_cluster: Cluster, service_database: Database, tmp_path: Path) -> None:
    tenant = await new_tenant(service_database)
    await append_many(embedded_cluster, tenant, 30_000)
    with working(embedded_cluster, tmp_path / "log") as worker:
        await asyncio.to_thread(wait_until, lambda: sum(line["tenant"] == str(tenant.id) for line in worker.events("audit.root")) >= 3)
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait(5)

    report = await verify_tenant(service_database, PUBLIC_KEYS, tenant.id, anchor=worker.log)
    assert 3000 <= report.sealed < report.rows
    assert report.broken is None

    assert await seal_tenant(service_database, WORKERS_KEY, tenant.id) == report.unsealed
    whole = await verify_tenant(service_database, PUBLIC_KEYS, tenant.id, anchor=worker.log)
    assert (whole.sealed, whole.broken) == (report.rows, None)


async def test_sigterm_ends_a_busy_worker_within_five_seconds_and_undoes_nothing(embedded_cluster: Cluster, service_database: Database, tmp_path: Path) -> None:
    tenant = await new_tenant(service_database)
    await append_many(embedded_cluster, tenant, 30_000)
    with working(embedded_cluster, tmp_path / "log") as worker:
        await asyncio.to_thread(wait_until, lambda: bool(worker.events("audit.root")))

        assert worker.end() == 0

    assert worker.events("worker.ended")
    assert worker.events("worker.job_undone") == []
    report = await verify_tenant(service_database, PUBLIC_KEYS, tenant.id, anchor=worker.log)
    assert report.unsealed
    assert report.broken is None
    await seal_tenant(service_database, WORKERS_KEY, tenant.id)


async def test_two_workers_delete_what_has_expired_and_nothing_else(embedded_cluster: Cluster, service_database: Database, tmp_path: Path) -> None:
    """Access tokens a day after their end, idempotency keys after a day."""
    tenant = await new_tenant(service_database)
    token = (
        "INSERT INTO rollhouse.credentials (tenant_id, id, kind, lookup_id, mac, pepper_version, expires)"
        " SELECT $1, gen_random_uuid(), $2, substr(gen_random_uuid()::text, 1, 12), '', 1, now() - $3::text::interval FROM generate_series(1, $4)"
    )
    await as_superuser(embedded_cluster, token, tenant.id, "access_token", "25 hours", 1500)
    await as_superuser(embedded_cluster, token, tenant.id, "access_token", "23 hours", 2)
    await as_superuser(embedded_cluster, token, tenant.id, "secret", "25 hours", 3)
    key_id = new_id()
    key = "INSERT INTO rollhouse.idempotency_keys (operator_key_id, idempotency_key, request_hash, created) VALUES ($1, $2, '', now() - $3::text::interval)"
    await as_superuser(embedded_cluster, key, key_id, "old", "25 hours")
    await as_superuser(embedded_cluster, key, key_id, "young", "23 hours")

    async def kept() -> tuple[list[str], int]:
        keys = await service_database.query("SELECT idempotency_key FROM rollhouse.idempotency_keys WHERE operator_key_id = $1 ORDER BY 1", key_id)
        rows = await as_superuser(embedded_cluster, "SELECT count(*) FROM rollhouse.credentials WHERE tenant_id = $1", tenant.id)
        return [row[0] for row in keys], rows[0][0]

    with working(embedded_cluster, tmp_path / "one") as one, working(embedded_cluster, tmp_path / "two") as two:
        await asyncio.to_thread(wait_until, lambda: bool(one.events("worker.ready") and two.events("worker.ready")))
        async with asyncio.timeout(30):
            while await kept() != (["young"], 5):  # noqa: ASYNC110 - the database tells nobody of it
                await asyncio.sleep(0.05)
        assert (one.end(), two.end()) == (0, 0)
        assert one.events("worker.job_failed") + two.events("worker.job_failed") == []


async def test_two_workers_purge_a_tenant_whose_grace_is_over_with_its_audit_and_its_seals(
    embedded_cluster: Cluster, service_database: Database, tmp_path: Path
) -> None:
    """Nothing of it is sealed anew meanwhile: that would stay for ever."""
    tenant = await new_tenant(service_database)
    await append_many(embedded_cluster, tenant, 8000)
    await seal_tenant(service_database, WORKERS_KEY, tenant.id)
    await append_many(embedded_cluster, tenant, 8000)
    past = "UPDATE rollhouse.tenants SET status = 'deleting', purge_after = now() - interval '1 min', last_modified = now() - interval '1 min' WHERE id = $1"
    await as_superuser(embedded_cluster, past, tenant.id)

    with working(embedded_cluster, tmp_path / "one") as one, working(embedded_cluster, tmp_path / "two") as two:
        await asyncio.to_thread(wait_until, lambda: bool(one.events("tenant.purged") + two.events("tenant.purged")))
        await asyncio.to_thread(wait_until, lambda: bool(one.events("worker.ready") and two.events("worker.ready")))
        assert (one.end(), two.end()) == (0, 0)

    for table in ("audit", "audit_chain", "audit_roots"):
        assert (await as_superuser(embedded_cluster, f"SELECT count(*) FROM rollhouse.{table} WHERE tenant_id = $1", tenant.id))[0][0] == 0


async def test_a_job_that_fails_is_logged_counted_and_done_again_when_the_database_is_back(
    cluster: Cluster, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The first try finds the database closed, which fails as an unreachable one does; the second finds it open."""
    database = Database(cluster.app_url, connections=2)
    before = REGISTRY.get_sample_value("rollhouse_job_failures_total", {"worker_job": "probe"}) or 0
    stopping = asyncio.Event()
    tried = 0

    async def work() -> None:
        nonlocal tried
        tried += 1
        try:
            await database.query("SELECT 1")
            stopping.set()
        except Unavailable:
            await database.open()
            raise

    await asyncio.wait_for(repeat(Job("probe", 600, work), stopping), 20)

    await database.close()
    assert tried == 2
    assert REGISTRY.get_sample_value("rollhouse_job_failures_total", {"worker_job": "probe"}) == before + 1
    logged = capsysbinary.readouterr().err.decode()
    assert '"event":"worker.job_failed"' in logged
    assert '"job":"probe"' in logged
    assert "rollhouse doctor" in logged


async def test_the_worker_goes_on_after_its_connections_were_ended(embedded_cluster: Cluster, service_database: Database, tmp_path: Path) -> None:
    tenant = await new_tenant(service_database)
    with working(embedded_cluster, tmp_path / "log") as worker:
        await asyncio.to_thread(wait_until, lambda: any(line["tenant"] == str(tenant.id) for line in worker.events("audit.root")))
        ended = await as_superuser(embedded_cluster, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", worker.name)
        assert ended
        await append_rows(service_database, tenant, 1)
        await asyncio.to_thread(wait_until, lambda: sum(line["tenant"] == str(tenant.id) for line in worker.events("audit.root")) == 2)
        assert worker.end() == 0


def test_a_missing_or_malformed_setting_is_three_with_its_cure(embedded_cluster: Cluster, tmp_path: Path) -> None:
    malformed = run(embedded_cluster, "worker", ROLLHOUSE_AUDIT_KEY="short")
    no_mail = run(embedded_cluster, "worker", ROLLHOUSE_SMTP_URL="mail")

    assert [done.returncode for done in (malformed, no_mail)] == [3, 3]
    assert "rollhouse audit key" in malformed.stderr
    assert "ROLLHOUSE_SMTP_URL" in no_mail.stderr
    assert "Traceback" not in malformed.stderr + no_mail.stderr


@pytest.mark.parametrize(("database", "told"), [("postgres", "cure: rollhouse migrate"), ("nowhere", "nowhere")])
def test_a_worker_waits_for_a_database_that_cannot_be_worked_on_yet(embedded_cluster: Cluster, tmp_path: Path, database: str, told: str) -> None:
    with working(embedded_cluster, tmp_path / "log", ROLLHOUSE_DATABASE_URL=embedded_cluster.server.url("rollhouse_app", database)) as worker:
        wait_until(lambda: bool(worker.events("worker.unverified")))

        assert told in worker.events("worker.unverified")[0]["finding"]
        assert worker.probe("/livez") == (200, "ok")
        assert worker.probe("/readyz")[0] == 503
        assert worker.events("worker.ready") == []
        assert worker.end() == 0
