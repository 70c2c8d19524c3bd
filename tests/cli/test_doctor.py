"""`rollhouse doctor` against real servers: each misconfiguration is one line with its cure."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from rollhouse.database.pool import Database
from rollhouse.http.findings import setting_findings
from rollhouse.journal.audit import UNATTENDED
from rollhouse.settings import Settings
from rollhouse.tenancy import credentials
from rollhouse.tenancy.secrets import Peppers, new_pepper
from rollhouse.tenancy.tenants import Tenant
from tests.conftest import PEPPER, Cluster
from tests.servers.service import ROLLHOUSE, clean_environment, free_port

GOOD = Settings(database_url="postgresql://db", redis_url="redis://r", public_url="https://scim.example.com", peppers=PEPPER)


def test_good_settings_have_no_finding() -> None:
    assert setting_findings(GOOD, is_dev=False) == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"public_url": None}, "ROLLHOUSE_PUBLIC_URL is not set"),
        ({"public_url": "scim.example.com"}, "ROLLHOUSE_PUBLIC_URL is no address"),
        ({"public_url": "https://scim.example.com/?x"}, "ROLLHOUSE_PUBLIC_URL is no address"),
        ({"public_url": "http://scim.example.com"}, "only over https"),
        ({"peppers": None}, "ROLLHOUSE_PEPPERS is not set"),
        ({"peppers": "1:short"}, "ROLLHOUSE_PEPPERS cannot be used"),
        ({"trusted_proxies": "10.0.0.0/99"}, "ROLLHOUSE_TRUSTED_PROXIES cannot be read"),
        ({"rate_per_second": 24}, "ROLLHOUSE_RATE_PER_SECOND is 24"),
        ({"public_url": "https://[bad"}, "ROLLHOUSE_PUBLIC_URL is no address"),
        ({"public_url": "https://a.example:abc"}, "ROLLHOUSE_PUBLIC_URL is no address"),
        ({"host": "999.1.1.1"}, "ROLLHOUSE_HOST is no address"),
        ({"port": 9090}, "are both 9090"),
        ({"federation_hosts": "http://[::1]/x"}, "ROLLHOUSE_FEDERATION_HOSTS cannot be read"),
        ({"audit_key": "short"}, "ROLLHOUSE_AUDIT_KEY cannot be used"),
        ({"page_size_default": 300}, "ROLLHOUSE_PAGE_SIZE_DEFAULT"),
        ({"redis_url": None}, "ROLLHOUSE_REDIS_URL is not set"),
    ],
)
def test_each_setting_that_is_wrong_is_one_line_with_its_cure(changed: dict[str, Any], named: str) -> None:
    settings = Settings(**{name: changed.get(name, getattr(GOOD, name)) for name in Settings.__struct_fields__})

    found = [finding for finding in setting_findings(settings, is_dev=False) if named in finding]

    assert len(found) == 1
    assert "; cure: " in found[0]
    assert "\n" not in found[0]
    assert "short" not in found[0], "a pepper is never printed"


def findings(**environment: str) -> list[str]:
    """What the command says with these settings on top of good ones."""
    good = {"ROLLHOUSE_PUBLIC_URL": "https://scim.example.com", "ROLLHOUSE_PEPPERS": PEPPER}
    done = subprocess.run([ROLLHOUSE, "doctor", "--json"], env=clean_environment(**(good | environment)), capture_output=True, check=False, timeout=60)
    told = json.loads(done.stdout)
    assert done.returncode == (1 if told["findings"] else 0), done.stderr
    assert told["ok"] == (not told["findings"])
    assert all("; cure: " in finding and "\n" not in finding for finding in told["findings"])
    return list(told["findings"])


@pytest.fixture(scope="module")
def redis_url(folder: Path) -> Iterator[str]:
    """A real Redis."""
    program = shutil.which("redis-server")
    assert program, "redis-server is missing; cure: tests/servers/install"
    port = free_port()
    server = subprocess.Popen([program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)], stdout=subprocess.DEVNULL)
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait(10)


def test_nothing_is_found_where_nothing_is_wrong(cluster: Cluster, redis_url: str, database: Database) -> None:
    found = findings(ROLLHOUSE_DATABASE_URL=cluster.app_url, ROLLHOUSE_REDIS_URL=redis_url)

    assert not [finding for finding in found if "pepper" not in finding]


def test_a_database_that_is_not_there(redis_url: str) -> None:
    found = findings(ROLLHOUSE_DATABASE_URL=f"postgresql://rollhouse_app@127.0.0.1:{free_port()}/rollhouse", ROLLHOUSE_REDIS_URL=redis_url)

    assert len(found) == 1
    assert found[0].startswith("Postgres cannot be used")


def test_a_redis_that_is_not_there(embedded_cluster: Cluster) -> None:
    found = findings(ROLLHOUSE_DATABASE_URL=embedded_cluster.app_url, ROLLHOUSE_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")

    assert any(finding.startswith("Redis cannot be used") for finding in found)


def test_two_servers_that_are_not_there_are_both_named() -> None:
    found = findings(
        ROLLHOUSE_DATABASE_URL=f"postgresql://rollhouse_app@127.0.0.1:{free_port()}/rollhouse", ROLLHOUSE_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0"
    )

    assert [finding.split(" cannot be used")[0] for finding in found] == ["Redis", "Postgres"]


def test_the_wrong_role(embedded_cluster: Cluster, redis_url: str) -> None:
    found = findings(ROLLHOUSE_DATABASE_URL=embedded_cluster.superuser_url, ROLLHOUSE_REDIS_URL=redis_url)

    assert any("superuser or bypasses row-level security" in finding for finding in found)


def test_a_database_without_tables(embedded_cluster: Cluster, redis_url: str) -> None:
    found = findings(ROLLHOUSE_DATABASE_URL=embedded_cluster.server.url("postgres", "postgres"), ROLLHOUSE_REDIS_URL=redis_url)

    assert any("has no tables of rollhouse" in finding for finding in found)


async def test_more_connections_than_postgres_takes(embedded_cluster: Cluster, redis_url: str) -> None:
    found = findings(ROLLHOUSE_DATABASE_URL=embedded_cluster.app_url, ROLLHOUSE_REDIS_URL=redis_url, ROLLHOUSE_DATABASE_CONNECTIONS="900")

    assert any("one process may open 900 connections" in finding for finding in found)


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [("synchronous_commit", "off", "before they are on disk"), ("default_transaction_read_only", "on", None)],
)
async def test_a_server_that_may_lose_writes(embedded_cluster: Cluster, redis_url: str, setting: str, value: str, named: str | None) -> None:
    admin = await asyncpg.connect(embedded_cluster.superuser_url)
    try:
        await admin.execute(f"ALTER ROLE rollhouse_app SET {setting} = '{value}'")
        found = findings(ROLLHOUSE_DATABASE_URL=embedded_cluster.app_url, ROLLHOUSE_REDIS_URL=redis_url)
    finally:
        await admin.execute(f"ALTER ROLE rollhouse_app RESET {setting}")
        await admin.close()

    assert any((named or "takes no writes") in finding for finding in found)


async def test_a_pepper_that_credentials_still_need(cluster: Cluster, database: Database, tenant: Tenant, redis_url: str) -> None:
    lost = "77:" + new_pepper().partition(":")[2]
    made = await credentials.create_secret(database, Peppers.parse(lost), tenant, cause=UNATTENDED)

    found = findings(ROLLHOUSE_DATABASE_URL=cluster.app_url, ROLLHOUSE_REDIS_URL=redis_url)

    assert any("the pepper of version 77" in finding for finding in found)
    await credentials.revoke_secret(database, tenant, str(made.id), cause=UNATTENDED)
    assert not any("77" in finding for finding in findings(ROLLHOUSE_DATABASE_URL=cluster.app_url, ROLLHOUSE_REDIS_URL=redis_url))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ROLLHOUSE_PORT", "99999999"),
        ("ROLLHOUSE_PORT", "0"),
        ("ROLLHOUSE_DATABASE_CONNECTIONS", "0"),
        ("ROLLHOUSE_BURST", "0"),
        ("ROLLHOUSE_BODY_LIMIT_BYTES", "0"),
        ("ROLLHOUSE_PAGE_SIZE_LIMIT", "9" * 5000),
        ("ROLLHOUSE_RATE_PER_SECOND", "-1"),
    ],
)
def test_a_number_out_of_its_bounds_is_refused_at_the_start_of_every_command(variable: str, value: str) -> None:
    done = subprocess.run([ROLLHOUSE, "doctor"], env=clean_environment(**{variable: value}), capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 3
    assert f"{variable} must be a whole number from" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [("ROLLHOUSE_REDIS_URL", "foo", "ROLLHOUSE_REDIS_URL cannot be used"), ("ROLLHOUSE_PEPPERS_FILE", "/bin/true", "is no text in UTF-8")],
)
def test_serve_names_the_setting_that_it_cannot_use(variable: str, value: str, words: str) -> None:
    good = {"ROLLHOUSE_DATABASE_URL": "postgresql://nobody@/none", "ROLLHOUSE_PUBLIC_URL": "https://scim.example.com"}
    peppers = {} if variable.endswith("_FILE") else {"ROLLHOUSE_PEPPERS": PEPPER}
    environment = clean_environment(**good, **peppers, **{variable: value})

    done = subprocess.run([ROLLHOUSE, "serve", "--port", str(free_port())], env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 3
    assert words in done.stderr
    assert "Traceback" not in done.stderr
