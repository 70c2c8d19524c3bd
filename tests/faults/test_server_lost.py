"""A Postgres that goes away under load (faults F04 to F06, F28): 503 at worst, no acknowledged write lost, service again by itself."""

import asyncio
import time

import pytest

from rollhouse.cli.embedded import EmbeddedPostgres, embedded_programs
from rollhouse.database.migrations import migrate
from tests.faults.stage import Breakable, Load, stop_immediately

HEAL_SECONDS = 5.0


async def loaded(stage: Breakable, *, readers: int, writers: int) -> Load:
    (client,) = await stage.clients(1)
    user = await client.create_user(userName="ann")
    return Load(client, user["id"], readers=readers, writers=writers)


async def test_reads_do_not_notice_ended_backends_and_no_acknowledged_write_is_lost(stage: Breakable) -> None:
    """Fault F06: every backend of the service, idle or at work, is ended ten times; single ones in between."""
    load = await loaded(stage, readers=6, writers=4)

    async with stage.admin() as admin, load:
        for number in range(40):
            limit = None if number % 4 == 0 else 1
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE usename = 'rollhouse_app' AND query NOT LIKE 'LISTEN%'"
                " AND query NOT LIKE 'SHOW%' ORDER BY random() LIMIT $1) AS victim",
                limit,
            )
            done = len(load.answers)
            await load.until_answers(done + 15)

    assert load.statuses("read") == {200}
    assert load.statuses("write") <= {201, 503}
    await load.check_nothing_lost()
    await load.client.close()


async def test_a_server_that_crashes_under_load_is_503_until_it_is_back(stage: Breakable) -> None:
    """Fault F04 without a standby: an immediate stop, then crash recovery; the service is not restarted."""
    load = await loaded(stage, readers=3, writers=3)

    async with load:
        await load.until_healed(time.monotonic(), HEAL_SECONDS)
        await asyncio.to_thread(stop_immediately, stage.postgres)
        gone = time.monotonic()
        await load.until_answers(len(load.answers) + 30)
        await load.until_all_answered(gone)
        assert load.statuses("read", since=gone) & load.statuses("write", since=gone) == {503}
        assert (await stage.probe("/livez"))[0] == 200
        assert (await stage.probe("/readyz"))[0] == 503
        await asyncio.to_thread(stage.postgres.start)
        await load.until_healed(time.monotonic(), HEAL_SECONDS)

    assert load.statuses("read") == {200, 503}
    assert load.statuses("write") == {201, 503}
    assert load.statuses("write", since=load.answers[-1].at - 0.01) == {201}
    assert (await stage.probe("/readyz"))[0] == 200
    await load.check_nothing_lost()
    await load.client.close()


async def test_a_server_that_turns_read_only_serves_reads_and_is_written_to_as_soon_as_it_can_be(stage: Breakable) -> None:
    """Fault F05: the old primary stays up and takes no writes; every connection to it is re-made."""
    load = await loaded(stage, readers=2, writers=2)

    async with stage.admin() as admin, load:
        await load.until_healed(time.monotonic(), HEAL_SECONDS)
        before = {row["pid"] for row in await admin.fetch("SELECT pid FROM pg_stat_activity WHERE usename = 'rollhouse_app'")}
        await admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await admin.execute("SELECT pg_reload_conf()")
        changed = time.monotonic()
        while 503 not in load.statuses("write", since=changed):
            assert time.monotonic() < changed + HEAL_SECONDS
            await asyncio.sleep(0.01)
        refused = time.monotonic()
        await load.until_answers(len(load.answers) + 30)
        await load.until_all_answered(refused)
        assert load.statuses("write", since=refused) == {503}
        assert load.statuses("read", since=refused) == {200}
        while before & {row["pid"] for row in await admin.fetch("SELECT pid FROM pg_stat_activity WHERE usename = 'rollhouse_app'")}:
            assert time.monotonic() < refused + HEAL_SECONDS, "a connection from before is still there"
            await asyncio.sleep(0.05)
        await admin.execute("SET default_transaction_read_only = off")
        await admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
        await admin.execute("SELECT pg_reload_conf()")
        await load.until_healed(time.monotonic(), HEAL_SECONDS)

    await load.check_nothing_lost()
    await load.client.close()


@pytest.fixture
def standby(breakable_postgres: EmbeddedPostgres) -> EmbeddedPostgres:
    """A second server that follows the first one, not started yet."""
    made = EmbeddedPostgres(breakable_postgres.folder.parent / "s", embedded_programs(), options=("hot_standby=on",))
    made.prepare()
    return made


async def test_after_a_fail_over_writes_go_to_the_new_primary(standby: EmbeddedPostgres) -> None:
    """Fault F04: the primary stops at once, the standby is promoted; the URL names both. No acknowledged write is lost: replication is synchronous."""
    folder = standby.folder.parent
    primary = EmbeddedPostgres(folder / "p", embedded_programs())
    await asyncio.to_thread(primary.start)
    await migrate(primary.url("rollhouse_migrator"))
    command = ["pg_basebackup", "-D", str(standby.folder), "-h", str(primary.folder), "-U", "postgres", "-R", "-X", "stream", "-c", "fast"]
    copied = await asyncio.to_thread(standby._run, command)
    assert copied.returncode == 0, copied.stderr
    (standby.folder / ".s.PGSQL.5432.lock").unlink()  # the primary's, which lies in its data folder
    await asyncio.to_thread(standby._launch)
    url = f"postgresql://rollhouse_app@/rollhouse?host={primary.folder},{standby.folder}&port=5432,5432&target_session_attrs=read-write"
    stage = Breakable(primary, folder / "failover.log", url=url)
    try:
        async with stage.admin() as admin:
            await admin.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            await admin.execute("SELECT pg_reload_conf()")
        await asyncio.to_thread(stage.service.start)
        load = await loaded(stage, readers=2, writers=2)
        async with load:
            await load.until_healed(time.monotonic(), HEAL_SECONDS)
            await asyncio.to_thread(stop_immediately, primary)
            promoted = await asyncio.to_thread(standby._run, ["pg_ctl", "promote", "-D", str(standby.folder)])
            assert promoted.returncode == 0, promoted.stderr
            healing = time.monotonic()
            await load.until_healed(healing, HEAL_SECONDS)
        assert load.statuses("read") | load.statuses("write") <= {200, 201, 503}
        await load.check_nothing_lost()
        await load.client.close()
    finally:
        await asyncio.to_thread(stage.service.stop)
        await asyncio.to_thread(standby.stop)
        await asyncio.to_thread(primary.stop)
