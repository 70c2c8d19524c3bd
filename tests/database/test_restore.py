"""docs/backup.md, done: a base backup and the write-ahead log bring every tenant back to a moment, and those that wrote after it are named."""

import asyncio
import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from rollhouse.database.identifiers import new_id
from rollhouse.database.migrations import migrate
from rollhouse.database.pool import Database
from rollhouse.directory.bulk import insert_members, insert_resources
from rollhouse.journal.audit import UNATTENDED
from rollhouse.scim.schemas import GROUP, GROUP_URN, USER, USER_URN
from rollhouse.tenancy import tenants
from tests.servers.outside import PASSWORDS, OutsidePostgres
from tests.servers.service import ROLLHOUSE, clean_environment, free_port

KEPT = ("resources", "memberships", "resource_keys", "audit")


@pytest.fixture
def ground(folder: Path) -> Iterator[Path]:
    made = folder / "r"
    made.mkdir(mode=0o755)
    (made / "archive").mkdir()
    shutil.chown(made / "archive", "embedded_postgres")
    shutil.chown(made, "embedded_postgres")
    yield made
    shutil.rmtree(made)


def url(server: OutsidePostgres, role: str = "rollhouse_app") -> str:
    return server.url(role).replace(f"{role}@", f"{role}:{quote(PASSWORDS[role], safe='')}@")


def fingerprints(server: OutsidePostgres) -> dict[str, str]:
    """For each tenant and table the number of rows and a hash of all of them, as the superuser sees them."""
    found = {}
    for table in KEPT:
        rows = server.sql(f"SELECT tenant_id || '|' || md5(t::text) FROM rollhouse.{table} t ORDER BY tenant_id, t::text").splitlines()
        for tenant in {row.partition("|")[0] for row in rows}:
            own = [row for row in rows if row.startswith(tenant)]
            found[f"{table} of {tenant}"] = f"{len(own)} {hashlib.sha256(chr(10).join(own).encode()).hexdigest()}"
    return found


async def fill(database: Database, slug: str, first: int) -> None:
    """Twenty people, a group with them, and a change of the tenant itself."""
    tenant = await tenants.find_tenant(database, slug)
    people = [{"schemas": [USER_URN], "userName": f"user{first + number}@{slug}.example", "active": True} for number in range(20)]
    ids = await insert_resources(database, tenant.id, USER, people)
    group = (await insert_resources(database, tenant.id, GROUP, [{"schemas": [GROUP_URN], "displayName": f"All {new_id()}"}]))[0]
    await insert_members(database, tenant.id, group, ids)
    await tenants.rename_tenant(database, slug, f"{slug} {first}", cause=UNATTENDED)


def test_a_restore_to_a_time_brings_every_tenant_back_and_names_who_must_start_anew(ground: Path) -> None:
    archive = {"wal_level": "replica", "archive_mode": "on", "archive_command": f"cp %p {ground / 'archive'}/%f"}
    server = OutsidePostgres(ground / "pg", "127.0.0.1", free_port(), options=archive)
    server.start()
    asyncio.run(migrate(url(server, "rollhouse_migrator")))

    async def write(*slugs: str, first: int, make: bool) -> None:
        database = Database(url(server), connections=2)
        await database.open()
        for slug in slugs:
            if make:
                await tenants.create_tenant(database, slug, slug, cause=UNATTENDED)
            await fill(database, slug, first)
        await database.close()

    asyncio.run(write("acme", "globex", "initech", first=0, make=True))
    server.copy_base(ground / "base")
    asyncio.run(write("globex", first=100, make=False))
    kept = fingerprints(server)
    time.sleep(1.1)
    moment = server.sql("SELECT clock_timestamp()")
    time.sleep(1.1)
    asyncio.run(write("acme", "initech", first=200, make=False))
    lost = fingerprints(server)
    server.sql("SELECT pg_switch_wal()", "postgres")
    deadline = time.monotonic() + 30
    while server.sql("SELECT last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1) FROM pg_stat_archiver", "postgres") != "t":
        assert time.monotonic() < deadline
        time.sleep(0.1)

    recovery = {"restore_command": f"cp {ground / 'archive'}/%f %p", "recovery_target_time": moment, "recovery_target_action": "promote"}
    (ground / "base" / "recovery.signal").touch()
    shutil.chown(ground / "base" / "recovery.signal", "embedded_postgres")
    restored = OutsidePostgres(ground / "base", "127.0.0.1", free_port(), options=recovery)
    restored.start()
    while restored.sql("SELECT pg_is_in_recovery()", "postgres") == "t":
        time.sleep(0.1)

    assert fingerprints(restored) == kept != lost
    environment = clean_environment(ROLLHOUSE_DATABASE_URL=server.url("rollhouse_app"), ROLLHOUSE_DATABASE_PASSWORD=PASSWORDS["rollhouse_app"])
    told = subprocess.run([ROLLHOUSE, "tenant", "written", "--since", moment, "--json"], env=environment, capture_output=True, text=True, check=True)
    assert [one["slug"] for one in json.loads(told.stdout)] == ["acme", "initech"]
    again = environment | {"ROLLHOUSE_DATABASE_URL": restored.url("rollhouse_app")}
    none = subprocess.run([ROLLHOUSE, "tenant", "written", "--since", moment, "--json"], env=again, capture_output=True, text=True, check=True)
    assert json.loads(none.stdout) == []
    restored.stop()
    server.stop()
