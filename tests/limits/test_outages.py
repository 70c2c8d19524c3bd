"""Every way in which Redis fails: requests go on within 50 ms, the warm local count limits, and Redis counts again soon after."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.limits.gcra import ATTEMPT_SECONDS, BREAK_SECONDS, REDIS_TIMEOUT_SECONDS, RedisLimiter
from rollhouse.limits.limit import Limit
from rollhouse.tenancy import tenants
from tests.conftest import PEPPER, Cluster, new_client
from tests.limits.conftest import RedisServer
from tests.servers.service import ScimClient, Serving

FULL = ("CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "noeviction")
OUTAGES: dict[str, tuple[Callable[[RedisServer], Any], Callable[[RedisServer], Any]]] = {
    "killed": (lambda redis: redis.send(signal.SIGKILL), lambda redis: redis.start()),
    "stopped": (lambda redis: redis.send(signal.SIGSTOP), lambda redis: redis.send(signal.SIGCONT)),
    "paused": (lambda redis: redis.tell("CLIENT", "PAUSE", 2500), lambda redis: redis.tell("PING")),
    "read-only": (lambda redis: redis.tell("REPLICAOF", "127.0.0.1", "1"), lambda redis: redis.tell("REPLICAOF", "NO", "ONE")),
    "out of memory": (lambda redis: redis.tell(*FULL), lambda redis: redis.tell("CONFIG", "SET", "maxmemory", "0")),
}
"""How each begins and how it ends; a paused Redis answers PING when the pause is over."""
SLOW_MACHINE = 20
"""How many times longer than promised a time-out may take here."""


class Asked:
    """Counts how often the limiter asks Redis, and asks."""

    def __init__(self, limiter: RedisLimiter) -> None:
        self._script = limiter._script
        self.times = 0

    async def __call__(self, **arguments: Any) -> Any:
        self.times += 1
        return await self._script(**arguments)

    async def close(self) -> None:
        await self._script.close()


def watch(limiter: RedisLimiter) -> Asked:
    asked = Asked(limiter)
    limiter._script = asked  # type: ignore[assignment]
    return asked


async def admit_many(limiter: RedisLimiter, limit: Limit, count: int) -> tuple[list[bool], float]:
    """The decisions on that many requests at once, and the longest that one of them took."""

    async def admit() -> tuple[bool, float]:
        started = time.monotonic()
        decision = await limiter.admit("a", limit)
        return decision.allowed, time.monotonic() - started

    done = await asyncio.gather(*(admit() for _ in range(count)))
    return [allowed for allowed, _ in done], max(seconds for _, seconds in done)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("outage", OUTAGES)
async def test_an_outage_costs_one_time_out_leaves_the_limit_in_force_and_ends(
    limiters: list[RedisLimiter], redis_server: RedisServer, outage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    limiter, limit = limiters[0], Limit(rate_per_second=1, burst=5)
    begin, end = OUTAGES[outage]
    assert (await limiter.admit("a", limit)).allowed
    asked = watch(limiter)
    begin(redis_server)

    first = (await limiter.admit("a", limit)).allowed
    assert (limiter.is_degraded, asked.times) == (True, 1)
    passed, waited = await admit_many(limiter, limit, 20)
    assert asked.times == 1
    assert waited < REDIS_TIMEOUT_SECONDS * SLOW_MACHINE
    assert [first, *passed].count(True) in (4, 5)

    end(redis_server)
    ended = time.monotonic()
    while limiter.is_degraded and time.monotonic() - ended < 10:
        await limiter.admit("a", limit)
        await asyncio.sleep(0.02)
    assert time.monotonic() - ended < 5
    said = capfd.readouterr().err
    assert (said.count("limiter.degraded"), said.count("limiter.recovered")) == (1, 1)
    assert '"cure":"check that ROLLHOUSE_REDIS_URL' in said


def test_one_attempt_waits_twenty_five_milliseconds_twice_at_most_and_is_not_repeated(limiters: list[RedisLimiter]) -> None:
    options = limiters[0]._redis.connection_pool.connection_kwargs

    assert (options["socket_connect_timeout"], options["socket_timeout"], REDIS_TIMEOUT_SECONDS) == (0.025, 0.025, 0.025)
    assert options["retry"].get_retries() == 0
    assert (ATTEMPT_SECONDS, BREAK_SECONDS) == (0.05, 2.0)


async def test_requests_at_once_in_an_outage_do_not_wait_for_each_other(limiters: list[RedisLimiter], redis_server: RedisServer) -> None:
    """Two hundred in turn would be five seconds; and of those that find the break over, one asks Redis."""
    limiter, limit = limiters[0], Limit(rate_per_second=1, burst=5)
    await limiter.admit("a", limit)
    redis_server.send(signal.SIGSTOP)

    _, first = await admit_many(limiter, limit, 200)
    assert limiter.is_degraded
    asked = watch(limiter)
    limiter._broken_until = 0.0  # the two seconds are over
    _, second = await admit_many(limiter, limit, 200)

    assert asked.times == 1
    assert max(first, second) < ATTEMPT_SECONDS * SLOW_MACHINE
    redis_server.send(signal.SIGCONT)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_probes_that_fail_leave_no_connection_open(limiters: list[RedisLimiter], redis_server: RedisServer, how: signal.Signals) -> None:
    limiter, limit = limiters[0], Limit(rate_per_second=1, burst=5)
    await limiter.admit("a", limit)
    before = open_files()
    redis_server.send(how)
    asked = watch(limiter)

    for _ in range(40):
        limiter._broken_until = 0.0
        await limiter.admit("a", limit)

    assert asked.times == 40
    assert open_files() <= before + 1
    redis_server.send(signal.SIGCONT)


async def test_a_late_answer_is_never_taken_for_anothers(limiters: list[RedisLimiter], redis_server: RedisServer) -> None:
    """Requests that timed out leave their answers on the way; a connection that was given up must not deliver them."""
    limiter, rich, poor = limiters[0], Limit(rate_per_second=1, burst=1000), Limit(rate_per_second=1, burst=3)
    await asyncio.gather(*(limiter.admit("rich", rich) for _ in range(20)))
    redis_server.tell("CLIENT", "PAUSE", 200)
    await asyncio.gather(*(limiter.admit("rich", rich) for _ in range(20)))
    assert limiter.is_degraded
    redis_server.tell("PING")  # answered when the pause is over
    limiter._broken_until = 0.0

    for _ in range(20):
        large, small = await asyncio.gather(limiter.admit("rich", rich), limiter.admit("poor", poor))
        assert large.remaining is not None
        assert small.remaining is not None
        assert large.remaining > 900
        assert small.remaining <= 2
    assert not limiter.is_degraded


@pytest.mark.parametrize("command", ["FLUSHALL", "SCRIPT FLUSH"])
async def test_an_emptied_redis_only_starts_the_count_anew(limiters: list[RedisLimiter], redis_server: RedisServer, command: str) -> None:
    limit = Limit(rate_per_second=1, burst=2)
    for _ in range(3):
        await limiters[0].admit("a", limit)
    redis_server.tell(*command.split())

    assert (await limiters[0].admit("a", limit)).allowed is (command == "FLUSHALL")
    assert not limiters[0].is_degraded


def measured(service: Serving, name: str) -> float:
    lines = httpx.get(service.metrics_url).text.splitlines()
    return float(next(line for line in lines if line.startswith(name + " ")).split()[1])


async def answers(client: ScimClient, count: int) -> list[int]:
    return [response.status_code for response in await asyncio.gather(*(client.get("/Users", params={"count": 0}) for _ in range(count)))]


async def test_a_service_outlives_its_redis_stays_limited_and_says_so(counting_service: Serving, redis_server: RedisServer, service_database: Database) -> None:
    client = await new_client(counting_service, service_database)
    await tenants.set_limit(service_database, client.base_url.split("/")[4], 1, 30, cause=UNATTENDED)
    assert set(await answers(client, 10)) == {200}
    assert measured(counting_service, "rollhouse_limiter_degraded") == 0
    redis_server.send(signal.SIGSTOP)

    started = time.monotonic()
    assert (await client.get("/Users", params={"count": 0})).status_code == 200
    assert time.monotonic() - started < ATTEMPT_SECONDS * SLOW_MACHINE
    during = await answers(client, 40)
    assert set(during) == {200, 429}
    assert during.count(200) < 30
    assert measured(counting_service, "rollhouse_limiter_degraded") == 1
    said = counting_service.log.read_text()
    assert said.count('"event":"limiter.degraded"') == 1
    assert '"cure":"check that ROLLHOUSE_REDIS_URL' in said

    redis_server.send(signal.SIGCONT)
    ended = time.monotonic()
    while measured(counting_service, "rollhouse_limiter_degraded") == 1 and time.monotonic() - ended < 10:
        assert (await client.get("/Users", params={"count": 0})).status_code in (200, 429)
    assert time.monotonic() - ended < 5
    await client.close()


async def test_two_services_on_one_redis_share_a_tenants_budget_and_hear_of_a_new_limit_within_a_second(
    counting_service: Serving, redis_server: RedisServer, embedded_cluster: Cluster, service_database: Database
) -> None:
    settings = {"ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url, "ROLLHOUSE_PEPPERS": PEPPER, "ROLLHOUSE_REDIS_URL": redis_server.url}
    second = Serving(counting_service.log.with_name("second.log"), settings)
    second.start()
    try:
        client = await new_client(counting_service, service_database)
        slug = client.base_url.split("/")[4]
        await tenants.set_limit(service_database, slug, 1, 30, cause=UNATTENDED)
        paths = [f"{one.url}/t/{slug}/scim/v2/Users?count=0" for one in (counting_service, second)]

        statuses = [(await client.http.get(paths[number % 2])).status_code for number in range(50)]
        assert 29 <= statuses.count(200) <= 36
        assert set(statuses) == {200, 429}

        await tenants.set_limit(service_database, slug, 1000, 1000, cause=UNATTENDED)
        changed = time.monotonic()
        while {(await client.http.get(path)).status_code for path in paths} != {200} and time.monotonic() - changed < 5:
            pass
        assert time.monotonic() - changed < 1

        redis_server.send(signal.SIGKILL)
        after = [(await client.http.get(paths[0])).status_code for _ in range(20)]
        assert set(after) <= {200, 429}
        assert "limiter.degraded" in counting_service.log.read_text()
        await client.close()
    finally:
        assert second.stop() == 0
