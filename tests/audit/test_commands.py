"""`rollhouse audit`: what an operator sees of the audit, and the exit code by which a script knows that it was changed."""

import json
import subprocess
from pathlib import Path

import pytest

from rollhouse.database.pool import Database
from rollhouse.journal.sealing import AuditKey, seal_tenant
from tests.audit.chains import append_many, append_rows, as_superuser
from tests.audit.working import AUDIT_KEY, run
from tests.conftest import Cluster, new_tenant
from tests.servers.service import ROLLHOUSE, ScimClient, Serving, clean_environment

KEY = AuditKey.parse(AUDIT_KEY)


@pytest.mark.threat("T32")
async def test_verify_names_the_first_broken_row_and_exits_with_one(embedded_cluster: Cluster, service_database: Database) -> None:
    tenant = await new_tenant(service_database)
    ids = await append_rows(service_database, tenant, 3)
    await seal_tenant(service_database, KEY, tenant.id)
    intact = run(embedded_cluster, "audit", "verify", tenant.slug)
    assert intact.returncode == 0, intact.stderr
    assert "5 rows, 5 sealed, 0 not sealed yet" in intact.stdout

    for changed in (ids[3], ids[1]):
        await as_superuser(embedded_cluster, "UPDATE rollhouse.audit SET actor = 'x' WHERE tenant_id = $1 AND id = $2", tenant.id, changed)

    broken = run(embedded_cluster, "audit", "verify", tenant.slug)
    assert broken.returncode == 1
    assert f"BROKEN at row {ids[1]}, position 2" in broken.stdout
    as_json = run(embedded_cluster, "audit", "verify", tenant.slug, "--json")
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout)[0]["report"]["broken"]["audit_id"] == str(ids[1])


async def test_verify_all_covers_every_tenant_and_the_platform(embedded_cluster: Cluster, service_database: Database) -> None:
    tenant = await new_tenant(service_database)
    await seal_tenant(service_database, KEY, tenant.id)

    done = run(embedded_cluster, "audit", "verify", "--all", "--json")

    reports = {one["slug"]: one["report"] for one in json.loads(done.stdout)}
    assert reports[tenant.slug]["broken"] is None
    assert reports[tenant.slug]["sealed"] == 2
    assert "(platform)" in reports
    assert done.returncode == (1 if any(report["broken"] for report in reports.values()) else 0)


async def test_verify_takes_a_public_key_and_an_anchor(embedded_cluster: Cluster, service_database: Database, tmp_path: Path, capsysbinary) -> None:
    """Whoever verifies need not be able to sign."""
    tenant = await new_tenant(service_database)
    await seal_tenant(service_database, KEY, tenant.id)
    (tmp_path / "anchor").write_bytes(capsysbinary.readouterr().err)
    command = ["audit", "verify", tenant.slug, "--anchor", str(tmp_path / "anchor")]

    def verify(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = clean_environment(ROLLHOUSE_DATABASE_URL=embedded_cluster.app_url)
        return subprocess.run([ROLLHOUSE, *command, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)

    right = verify(f"--public-key={KEY.public}")
    assert right.returncode == 0, right.stdout + right.stderr
    assert "1 roots of the anchor compared" in right.stdout
    keyless = verify()
    assert keyless.returncode == 3
    assert "--public-key" in keyless.stderr
    assert verify("--public-key=short").returncode == 2
    other = json.loads(run(embedded_cluster, "audit", "key", "--json").stdout)
    assert verify(f"--public-key={other['public_key']}").returncode == 1


@pytest.mark.parametrize("arguments", [[], ["acme", "--all"], ["acme", "--anchor", "/nowhere/at/all"]])
def test_verify_used_wrongly_is_two(embedded_cluster: Cluster, arguments: list[str]) -> None:
    assert run(embedded_cluster, "audit", "verify", *arguments).returncode == 2


async def test_list_shows_the_newest_entries_without_any_value(acme: ScimClient, service: Serving, service_database: Database) -> None:
    user = await acme.create_user(userName="ann@acme.example", title="never shown")
    group = await acme.create_group(displayName="never shown either", members=[{"value": user["id"]}])
    rows = await service_database.query("SELECT slug FROM rollhouse.tenants WHERE id::text = $1", acme.tenant_id)

    found = service.run("audit", "list", rows[0]["slug"], "--limit", "2")
    words = subprocess.run(
        [ROLLHOUSE, "audit", "list", rows[0]["slug"]], env=service.environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout

    assert [one["target_id"] for one in found] == [user["id"], group["id"]]
    assert found[1]["added"] == [user["id"]]
    assert found[1]["actor"].startswith("credential:")
    assert f"Group {group['id']}" in words
    assert "members +1 -0" in words
    assert found[1]["request_id"] in words
    assert "never" not in words + json.dumps(found)
    assert "ann@" not in words + json.dumps(found)


async def test_list_pages_through_more_than_one_page(embedded_cluster: Cluster, service_database: Database) -> None:
    tenant = await new_tenant(service_database)
    await append_many(embedded_cluster, tenant, 450)

    done = run(embedded_cluster, "audit", "list", tenant.slug, "--limit", "300", "--json")

    found = [one["id"] for one in json.loads(done.stdout)]
    assert len(found) == 300
    assert found == sorted(found)


def test_a_new_key_is_another_each_time_and_can_be_parsed(embedded_cluster: Cluster) -> None:
    first, second = (json.loads(run(embedded_cluster, "audit", "key", "--json").stdout) for _ in range(2))

    assert first["audit_key"] != second["audit_key"]
    key = AuditKey.parse(first["audit_key"])
    assert (key.public, key.id) == (first["public_key"], first["key_id"])


def test_a_worker_without_a_key_is_three(embedded_cluster: Cluster, tmp_path: Path) -> None:
    environment = clean_environment(ROLLHOUSE_DATABASE_URL=embedded_cluster.app_url)
    done = subprocess.run([ROLLHOUSE, "worker"], env=environment, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)

    assert done.returncode == 3
    assert "rollhouse audit key" in done.stderr
