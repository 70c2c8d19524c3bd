"""The rate limit counted in a real Redis, and what happens when that Redis goes away."""

import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.limits.gcra import Limit, RedisLimiter, connect
from rollhouse.tenancy import tenants
from tests.conftest import PEPPER, Cluster, new_client
from tests.servers.service import Serving, free_port


class RedisServer:
    """A real Redis on a port of its own."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        assert program is not None, "Redis is missing; cure: tests/servers/install"
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [program, "--port", str(self.port), "--save", "", "--dir", str(folder)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                import redis

                with redis.Redis(port=self.port) as client:
                    client.ping()
                    return
            except redis.exceptions.ConnectionError:
                time.sleep(0.05)
        raise AssertionError("Redis did not start")

    def send(self, what: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(what)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def limiters(redis_server: RedisServer) -> AsyncIterator[list[RedisLimiter]]:
    """Two processes' limiters on one Redis."""
    made = [connect(redis_server.url), connect(redis_server.url)]
    yield made
    for limiter in made:
        await limiter._redis.aclose()


async def test_two_processes_share_one_budget(limiters: list[RedisLimiter]) -> None:
    limit = Limit(rate_per_second=1, burst=20)

    passed = [(await limiters[number % 2].admit("a", limit)).allowed for number in range(40)]

    assert sum(passed) in (20, 21)
    refused = await limiters[0].admit("a", limit)
    assert (refused.allowed, refused.retry_after_seconds) == (False, 1)


@pytest.mark.threat("T40")
async def test_keys_expire_and_carry_the_tenant(limiters: list[RedisLimiter], redis_server: RedisServer) -> None:
    await limiters[0].admit("01a2", Limit(10, 10))

    async with Redis.from_url(redis_server.url) as redis:
        assert await redis.keys() == [b"rollhouse:rate:01a2"]
        assert 0 < await redis.pttl("rollhouse:rate:01a2") <= 2200


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_without_redis_the_local_count_goes_on_within_fifty_milliseconds(
    limiters: list[RedisLimiter], redis_server: RedisServer, how: signal.Signals
) -> None:
    """Refused at once when it is dead, silent when it is stopped: neither an error nor an open door."""
    limiter, limit = limiters[0], Limit(rate_per_second=1, burst=5)
    assert (await limiter.admit("a", limit)).allowed
    redis_server.send(how)

    started = time.monotonic()
    decisions = [(await limiter.admit("a", limit)).allowed for _ in range(8)]
    waited = time.monotonic() - started

    assert decisions.count(True) in (4, 5)
    assert limiter.is_degraded
    assert waited < 1.0  # one time-out of 25 ms, then the breaker; 20 times that for a busy machine
    if how is signal.SIGSTOP:
        redis_server.send(signal.SIGCONT)


async def test_an_emptied_redis_only_starts_the_count_anew(limiters: list[RedisLimiter], redis_server: RedisServer) -> None:
    limit = Limit(rate_per_second=1, burst=2)
    for _ in range(3):
        await limiters[0].admit("a", limit)
    async with Redis.from_url(redis_server.url) as redis:
        await redis.flushall()

    assert (await limiters[0].admit("a", limit)).allowed


async def test_two_services_on_one_redis_share_a_tenants_budget_and_outlive_it(
    redis_server: RedisServer, embedded_cluster: Cluster, service_database: Database, tmp_path: Path
) -> None:
    settings = {"ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url, "ROLLHOUSE_PEPPERS": PEPPER, "ROLLHOUSE_REDIS_URL": redis_server.url}
    services = [Serving(tmp_path / f"{number}.log", settings) for number in range(2)]
    for one in services:
        one.start()
    try:
        client = await new_client(services[0], service_database)
        slug = client.base_url.split("/")[4]
        await tenants.set_limit(service_database, slug, 1, 30, cause=UNATTENDED)
        paths = [f"{one.url}/t/{slug}/scim/v2/Users?count=0" for one in services]

        statuses = [(await client.http.get(paths[number % 2])).status_code for number in range(50)]
        assert 29 <= statuses.count(200) <= 36
        assert set(statuses) == {200, 429}

        redis_server.send(signal.SIGKILL)
        after = [(await client.http.get(paths[0])).status_code for _ in range(20)]
        assert set(after) <= {200, 429}
        assert b"limiter.degraded" in (tmp_path / "0.log").read_bytes()
        await client.close()
    finally:
        for one in services:
            assert one.stop() == 0
