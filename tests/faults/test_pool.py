"""The pool on a real server that ends, blocks or refuses it: what is tried again, what is not, and that nothing leaks."""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import asyncpg
import pytest

from rollhouse.cli.embedded import EmbeddedPostgres
from rollhouse.database.pool import LINE, SERVICE_SECONDS, Database
from rollhouse.scim.errors import Unavailable
from tests.faults.stage import frozen, until

A, B = UUID(int=1), UUID(int=2)

_TROUBLE = """
CREATE SCHEMA trouble;
CREATE SEQUENCE trouble.calls;
CREATE TABLE trouble.pair (id int PRIMARY KEY, visits int NOT NULL);
CREATE FUNCTION trouble.fail(tenant uuid, state text, times int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE call bigint := nextval('trouble.calls');
BEGIN
    IF call <= times THEN RAISE EXCEPTION 'trouble' USING ERRCODE = state; END IF;
    RETURN call;
END $$;
CREATE FUNCTION trouble.die_once(tenant uuid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE call bigint := nextval('trouble.calls');
BEGIN
    IF call = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(5); END IF;
    RETURN call;
END $$;
CREATE FUNCTION trouble.visit(tenant uuid, VARIADIC ids int[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE one int;
BEGIN
    FOREACH one IN ARRAY ids LOOP
        UPDATE trouble.pair SET visits = visits + 1 WHERE id = one;
        PERFORM pg_sleep(0.2);
    END LOOP;
END $$;
GRANT USAGE ON SCHEMA trouble TO rollhouse_app;
GRANT ALL ON ALL TABLES IN SCHEMA trouble TO rollhouse_app;
GRANT ALL ON ALL SEQUENCES IN SCHEMA trouble TO rollhouse_app;
INSERT INTO trouble.pair VALUES (1, 0), (2, 0);
"""


@pytest.fixture
async def trouble(breakable_postgres: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """Functions that fail as often as they are told; the superuser's connection beside them."""
    admin = await asyncpg.connect(breakable_postgres.url("postgres"))
    await admin.execute(_TROUBLE)
    yield admin
    await admin.execute("DROP SCHEMA trouble CASCADE")
    await admin.close()


async def calls_of(trouble: asyncpg.Connection) -> int:
    return await trouble.fetchval("SELECT last_value FROM trouble.calls")


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_change_that_was_undone_is_tried_three_times_more(pool: Database, trouble: asyncpg.Connection, state: str) -> None:
    """Fault F12."""
    rows = await pool.call("SELECT trouble.fail($1, $2, 3)", A, state)

    assert rows[0][0] == 4


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_change_that_is_undone_four_times_is_503(pool: Database, trouble: asyncpg.Connection, state: str) -> None:
    with pytest.raises(Unavailable) as refusal:
        await pool.call("SELECT trouble.fail($1, $2, 100)", A, state)

    assert refusal.value.retry_after_seconds
    assert await calls_of(trouble) == 4


@pytest.mark.parametrize("state", ["53100", "53200", "53300", "55P03", "57014", "57P01", "25006", "08006"])
async def test_a_change_of_unknown_fate_is_503_and_never_sent_twice(pool: Database, trouble: asyncpg.Connection, state: str) -> None:
    with pytest.raises(Unavailable):
        await pool.call("SELECT trouble.fail($1, $2, 100)", A, state)

    assert await calls_of(trouble) == 1


async def test_a_read_on_a_connection_that_is_ended_under_way_is_repeated_and_a_change_is_not(pool: Database, trouble: asyncpg.Connection) -> None:
    """Fault F06: the read's second connection answers; a change may have been made, so its sender must decide."""
    assert (await pool.read("SELECT trouble.die_once($1)", A))[0][0] == 2
    await trouble.execute("ALTER SEQUENCE trouble.calls RESTART")

    with pytest.raises(Unavailable):
        await pool.call("SELECT trouble.die_once($1)", A)

    assert await calls_of(trouble) == 1


async def test_two_changes_that_cross_both_succeed(pool: Database, trouble: asyncpg.Connection, breakable_postgres: EmbeddedPostgres) -> None:
    """Fault F12: a real deadlock, which the server ends by undoing one of the two."""
    log = breakable_postgres.folder / "server.log"
    before = log.read_text().count("deadlock detected")

    await asyncio.gather(pool.call("SELECT trouble.visit($1, 1, 2)", A), pool.call("SELECT trouble.visit($1, 2, 1)", B))

    assert [row["visits"] for row in await trouble.fetch("SELECT visits FROM trouble.pair ORDER BY id")] == [2, 2]
    assert log.read_text().count("deadlock detected") > before, "they did not cross"


async def test_two_serializable_changes_of_one_row_both_succeed(breakable_postgres: EmbeddedPostgres, trouble: asyncpg.Connection) -> None:
    """Fault F12: a real serialization failure."""
    strict = Database(breakable_postgres.url("rollhouse_app") + "&default_transaction_isolation=serializable", connections=8)
    await strict.open()

    await asyncio.gather(strict.call("SELECT trouble.visit($1, 1)", A), strict.call("SELECT trouble.visit($1, 1)", B))

    assert await trouble.fetchval("SELECT visits FROM trouble.pair WHERE id = 1") == 2
    await strict.close()


async def test_a_statement_that_takes_too_long_is_503_and_its_connection_is_kept(breakable_postgres: EmbeddedPostgres) -> None:
    """Fault F08."""
    impatient = Database(breakable_postgres.url("rollhouse_app") + "&statement_timeout=100", connections=4)
    await impatient.open()
    pid = (await impatient.query("SELECT pg_backend_pid()"))[0][0]

    with pytest.raises(Unavailable) as refusal:
        await impatient.call("SELECT pg_sleep(10), $1::uuid", A)

    assert refusal.value.retry_after_seconds
    assert (await impatient.query("SELECT pg_backend_pid()"))[0][0] == pid
    await impatient.close()


async def test_a_server_without_a_free_connection_is_503_and_those_there_are_go_on(breakable_postgres: EmbeddedPostgres, trouble: asyncpg.Connection) -> None:
    """Fault F09: "too many connections" for the role is 53300, as for the whole server."""
    await trouble.execute("CREATE ROLE crowded LOGIN CONNECTION LIMIT 1")
    crowded = Database(breakable_postgres.url("crowded", "postgres"), connections=8)
    await crowded.open()

    long = asyncio.create_task(crowded.call("SELECT pg_sleep(0.3), $1::uuid", A))
    await until(lambda: trouble.fetchval("SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'crowded' AND state = 'active'"))
    with pytest.raises(Unavailable) as refusal:
        await crowded.call("SELECT $1::uuid", B)

    assert isinstance(refusal.value.__cause__, asyncpg.TooManyConnectionsError)
    await long
    assert await crowded.call("SELECT $1::uuid", B)
    await crowded.close()
    await until(lambda: trouble.fetchval("SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'crowded'"))
    await trouble.execute("DROP ROLE crowded")


async def test_a_held_lock_is_never_taken_for_a_statement_with_too_much_to_do(pool: Database, trouble: asyncpg.Connection) -> None:
    """A composed filter that takes its two seconds is the client's to mend (400); two seconds of waiting for a lock are not (503)."""
    async with trouble.transaction():
        await trouble.execute("LOCK TABLE rollhouse.resources")
        with pytest.raises(Unavailable) as refusal:
            async with pool.transaction(A, statement_timeout_milliseconds=2000) as tx:
                await tx.fetch("SELECT FROM rollhouse.resources")

    assert isinstance(refusal.value.__cause__, asyncpg.LockNotAvailableError)
    async with pool.transaction(A) as tx:
        assert await tx.fetch("SELECT FROM rollhouse.resources") == []


async def test_a_full_line_refuses_at_once_and_nothing_piles_up_after_it(pool: Database, trouble: asyncpg.Connection) -> None:
    """Fault F08: every connection waits for a lock, the line is full; the next request is refused in its first step, without a timer."""
    tenants = [UUID(int=number) for number in range(1, 40)]

    async def read(tenant_id: UUID) -> bool:
        try:
            await pool.call("SELECT visits, $1::uuid FROM trouble.pair", tenant_id)
        except Unavailable:
            return False
        return True

    async with trouble.transaction():
        await trouble.execute("LOCK TABLE trouble.pair")
        under_way = [asyncio.create_task(read(tenants[number % len(tenants)])) for number in range(8)]
        await until(lambda: trouble.fetchval("SELECT count(*) = 8 FROM pg_locks WHERE NOT granted"))
        in_line = [asyncio.create_task(read(tenants[number % len(tenants)])) for number in range(LINE)]
        await asyncio.sleep(0)
        assert pool.turns.waiting == LINE
        extra = pool.call("SELECT 1, $1::uuid", tenants[0])
        began = time.perf_counter()
        with pytest.raises(Unavailable) as refusal:
            extra.send(None)
        assert time.perf_counter() - began < 0.05
        assert refusal.value.retry_after_seconds
        assert pool.turns.waiting == LINE
    done = await asyncio.gather(*under_way, *in_line)

    assert all(done), "what stood in line is served once the lock is gone"
    assert pool.turns.waiting == 0
    assert await trouble.fetchval("SELECT count(*) FROM pg_stat_activity WHERE usename = 'rollhouse_app' AND state <> 'idle'") == 0


@pytest.mark.threat("T04")
async def test_cancelled_requests_leave_no_place_taken_and_no_setting_behind(breakable_postgres: EmbeddedPostgres, trouble: asyncpg.Connection) -> None:
    """Threat T04: fifty tenants on two connections, requests cancelled, failed and committed at random; a statement without a tenant sees none."""
    chance = random.Random(20)
    small = Database(breakable_postgres.url("rollhouse_app"), connections=2)
    await small.open()
    seen = 0

    async def visit(tenant_id: UUID) -> None:
        nonlocal seen
        async with small.transaction(tenant_id) as tx:
            await tx.fetch("SELECT pg_sleep($1)", chance.random() * 0.004)
            assert (await tx.fetch("SELECT rollhouse.current_tenant()"))[0][0] == tenant_id
            seen += 1
            if chance.random() < 0.2:
                raise LookupError

    async def visitor(number: int) -> None:
        await asyncio.sleep(chance.random() * 0.8)
        task = asyncio.create_task(visit(UUID(int=number % 50 + 1)))
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 0.01)
            task.cancel()
        done = (await asyncio.gather(task, return_exceptions=True))[0]
        assert done is None or isinstance(done, LookupError | Unavailable | asyncio.CancelledError), done

    await asyncio.gather(*(visitor(number) for number in range(400)))

    assert seen > 50
    assert small.turns.waiting == 0
    for _ in range(2):
        async with small.connection() as one, small.connection() as other:
            for connection in (one, other):
                assert await connection.fetchval("SELECT coalesce(current_setting('rollhouse.tenant', true), '')") == ""
                with pytest.raises(asyncpg.PostgresError, match="no tenant is bound"):
                    await connection.fetchval("SELECT count(*) FROM rollhouse.resources WHERE id IS NOT NULL")
    await small.close()


async def test_a_statement_of_the_service_itself_ends_on_a_server_that_stands_still(pool: Database, breakable_postgres: EmbeddedPostgres) -> None:
    """Fault F18: no request's deadline watches over it, and a dead peer closes no socket."""
    pid = (await pool.query("SELECT pg_backend_pid()"))[0][0]
    with frozen([pid]):
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await pool.query("SELECT 1")
        assert time.monotonic() - began < SERVICE_SECONDS + 1
        assert (await pool.query("SELECT pg_backend_pid()"))[0][0] != pid, "its connection is not used again"


async def test_a_first_server_that_stands_still_does_not_hide_the_second(faults_folder: Path, breakable_postgres: EmbeddedPostgres) -> None:
    """Fault F18: a dead machine answers nothing, not even with a refusal; it is asked once, and the next one is asked first from then on."""
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(faults_folder / ".s.PGSQL.5432"))
    silent.listen()  # connects, and never says a word
    url = f"postgresql://rollhouse_app@/rollhouse?host={quote(str(faults_folder))},{breakable_postgres.folder}&port=5432"
    both = Database(url, connections=4)

    began = time.monotonic()
    await both.open()
    first = time.monotonic() - began
    await both.close()
    began = time.monotonic()
    await both.open()
    second = time.monotonic() - began

    assert 2 <= first < 4
    assert second < 1
    await both.close()
    silent.close()


@pytest.mark.threat("T38")
async def test_a_flooding_tenant_waits_for_itself_and_its_neighbours_do_not(pool: Database) -> None:
    """A quarter of the connections at most for the flood; a neighbour within its own share never stands in line while places are free."""
    flooded = asyncio.Event()
    most = 0

    async def flood() -> None:
        nonlocal most
        while not flooded.is_set():
            await pool.call("SELECT pg_sleep(0.01), $1::uuid", A)
            most = max(most, pool.turns._taken.get(A, 0))

    floods = [asyncio.create_task(flood()) for _ in range(60)]
    await asyncio.sleep(0)
    assert pool.turns.waiting == 60 - pool.turns.share
    for _ in range(50):
        for neighbour in range(2, 7):
            assert pool.turns.take(UUID(int=neighbour)), "a place is free for every neighbour at once"
        for neighbour in range(2, 7):
            pool.turns.leave(UUID(int=neighbour))
        assert await pool.call("SELECT 1, $1::uuid", B)
    flooded.set()
    await asyncio.gather(*floods)

    assert most == pool.turns.share == 2
    assert pool.turns.waiting == 0
