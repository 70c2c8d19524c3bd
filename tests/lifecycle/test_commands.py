"""`rollhouse tenant` as operators and scripts use it: exit codes, JSON, questions that must be answered, and progress that is seen."""

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rollhouse.database.pool import Database
from rollhouse.tenancy.tenants import Tenant
from tests.audit.working import run
from tests.conftest import Cluster, new_client, new_tenant
from tests.lifecycle.conftest import age
from tests.servers.service import ROLLHOUSE, Serving, clean_environment

DONE, FAILED, USAGE = 0, 1, 2


@pytest.fixture
async def named(service_database: Database) -> Tenant:
    """A fresh tenant of the embedded server."""
    return await new_tenant(service_database)


def said(cluster: Cluster, *arguments: str) -> Any:
    """The JSON on stdout of a command that succeeds."""
    done = run(cluster, *arguments, "--json", ROLLHOUSE_PUBLIC_URL="https://scim.example")
    assert done.returncode == DONE, done.stderr
    return json.loads(done.stdout)


def on_terminal(cluster: Cluster, typed: str, *arguments: str) -> tuple[int, str]:
    """Exit code and all that a terminal shows of a command, to which somebody types a line."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [ROLLHOUSE, *arguments], env=clean_environment(ROLLHOUSE_DATABASE_URL=cluster.app_url), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, typed.encode() + b"\n")
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the terminal of a process that has ended
        pass
    os.close(ours)
    return process.wait(30), shown.decode()


async def test_a_tenants_life_in_commands(embedded_cluster: Cluster, service_database: Database, named: Tenant) -> None:
    slug = named.slug
    assert said(embedded_cluster, "tenant", "rename", slug, "--name", "Acme Norge AS")["name"] == "Acme Norge AS"
    assert said(embedded_cluster, "tenant", "suspend", slug, "--reads") | {"name": ""} == {
        "id": str(named.id),
        "slug": slug,
        "name": "",
        "status": "suspended",
        "reads_while_suspended": True,
        "purge_after": None,
    }
    assert said(embedded_cluster, "tenant", "resume", slug)["status"] == "active"
    closed = said(embedded_cluster, "tenant", "delete", slug, "--grace-days", "3", "--yes")
    assert closed["status"] == "deleting"
    assert closed["purge_after"]
    early = run(embedded_cluster, "tenant", "purge", slug, "--yes")
    assert early.returncode == FAILED
    assert "keeps everything until" in early.stderr
    assert run(embedded_cluster, "tenant", "suspend", slug).returncode == FAILED
    assert said(embedded_cluster, "tenant", "restore", slug)["status"] == "active"
    assert run(embedded_cluster, "tenant", "purge", slug, "--yes").returncode == FAILED
    said(embedded_cluster, "tenant", "delete", slug, "--grace-days", "0", "--yes")
    assert run(embedded_cluster, "tenant", "restore", slug).returncode == FAILED
    await age(service_database, named)
    gone = said(embedded_cluster, "tenant", "purge", slug, "--yes")
    assert (gone["slug"], gone["rows"] > 0) == (slug, True)
    assert run(embedded_cluster, "tenant", "show", slug).returncode == FAILED


def test_nothing_is_closed_or_purged_unasked(embedded_cluster: Cluster, named: Tenant) -> None:
    """Without a terminal --yes is demanded; on one the slug must be typed."""
    for verb in ("delete", "purge"):
        unasked = run(embedded_cluster, "tenant", verb, named.slug)
        assert unasked.returncode == USAGE
        assert "add --yes" in unasked.stderr
    code, shown = on_terminal(embedded_cluster, "another", "tenant", "delete", named.slug)
    assert code == USAGE
    assert "nothing was done" in shown
    assert said(embedded_cluster, "tenant", "show", named.slug)["status"] == "active"

    code, shown = on_terminal(embedded_cluster, named.slug, "tenant", "delete", named.slug)

    assert code == DONE, shown
    assert f"rollhouse tenant restore {named.slug}" in shown
    assert said(embedded_cluster, "tenant", "show", named.slug)["status"] == "deleting"


async def test_an_export_and_an_import_show_how_far_they_are(embedded_cluster: Cluster, service: Serving, service_database: Database, tmp_path: Path) -> None:
    client = await new_client(service, service_database)
    users = [await client.create_user(userName=f"user{number}") for number in range(5)]
    await client.create_group(displayName="All", members=[{"value": user["id"]} for user in users])
    await client.close()
    slug = client.base_url.split("/")[4]
    path = tmp_path / "acme.ndjson"

    code, shown = on_terminal(embedded_cluster, "", "tenant", "export", slug, "--to", str(path))
    assert code == DONE, shown
    assert "Exporting" in shown
    assert "11/11" in shown
    assert f"rollhouse tenant suspend {slug} --reads" in shown
    again = run(embedded_cluster, "tenant", "export", slug, "--to", str(path))
    assert again.returncode == FAILED
    assert "is there already" in again.stderr
    assert path.stat().st_mode & 0o077 == 0

    fresh = await new_tenant(service_database)
    code, shown = on_terminal(embedded_cluster, "", "tenant", "import", fresh.slug, "--from", str(path))
    assert code == DONE, shown
    assert "Importing" in shown
    assert "11/11" in shown
    second = tmp_path / "second.ndjson"
    made = said(embedded_cluster, "tenant", "export", fresh.slug, "--to", str(second))
    assert (made["resources"], made["memberships"]) == ({"User": 5, "Group": 1}, 5)
    assert second.read_bytes().splitlines()[1:] == path.read_bytes().splitlines()[1:]
    absent = run(embedded_cluster, "tenant", "import", fresh.slug, "--from", str(tmp_path / "nothing.ndjson"))
    assert absent.returncode == USAGE
    assert "An export is two files" in absent.stderr


async def test_a_purge_says_so_when_redis_is_away(embedded_cluster: Cluster, service_database: Database, named: Tenant) -> None:
    said(embedded_cluster, "tenant", "delete", named.slug, "--grace-days", "0", "--yes")
    await age(service_database, named)

    done = run(embedded_cluster, "tenant", "purge", named.slug, "--yes", ROLLHOUSE_REDIS_URL="redis://127.0.0.1:9/0")

    assert done.returncode == DONE
    assert "Redis cannot be reached" in done.stderr


async def test_who_has_written_since_a_moment_is_listed_for_a_restore_to_it(embedded_cluster: Cluster, service_database: Database, named: Tenant) -> None:
    moment = (await service_database.query("SELECT clock_timestamp()"))[0][0]
    before = said(embedded_cluster, "tenant", "written", "--since", moment.isoformat())
    said(embedded_cluster, "tenant", "rename", named.slug, "--name", "Other")
    after = said(embedded_cluster, "tenant", "written", "--since", moment.isoformat())

    assert named.slug not in {one["slug"] for one in before}
    assert [one["changes"] for one in after if one["slug"] == named.slug] == [1]
    assert "--since" in run(embedded_cluster, "tenant", "written", "--since", "yesterday").stderr
    assert run(embedded_cluster, "tenant", "written", "--since", "2999-01-01").returncode == USAGE
