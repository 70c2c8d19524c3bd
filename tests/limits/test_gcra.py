"""The rate limit, counted locally and in a real Redis, and what happens when that Redis goes away."""

import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from rollhouse.limits.gcra import LOCAL_TENANTS, Limit, LocalLimiter, RedisLimiter, connect
from tests.servers.service import free_port


def test_a_burst_passes_and_then_the_rate() -> None:
    limiter, limit = LocalLimiter(), Limit(rate_per_second=50, burst=200)

    passed = [limiter.decide("a", limit, 0.0).allowed for _ in range(250)]
    assert passed == [True] * 200 + [False] * 50
    assert limiter.decide("a", limit, 0.0).retry_after_seconds == 1
    assert [limiter.decide("a", limit, 1.0).allowed for _ in range(60)].count(True) == 50


def test_a_tenant_at_half_its_rate_is_never_refused() -> None:
    limiter, limit = LocalLimiter(), Limit(rate_per_second=50, burst=200)

    assert all(limiter.decide("a", limit, number / 25).allowed for number in range(5000))


def test_one_tenant_does_not_spend_anothers_budget() -> None:
    limiter, limit = LocalLimiter(), Limit(rate_per_second=1, burst=1)

    assert limiter.decide("a", limit, 0.0).allowed
    assert not limiter.decide("a", limit, 0.0).allowed
    assert limiter.decide("b", limit, 0.0).allowed


@given(st.lists(st.floats(0, 0.5), max_size=200), st.integers(1, 20), st.integers(1, 20))
def test_never_more_than_burst_and_rate_allow(gaps: list[float], rate: int, burst: int) -> None:
    limiter, now, passed = LocalLimiter(), 100.0, []
    for gap in gaps:
        now += gap
        if limiter.decide("a", Limit(rate, burst), now).allowed:
            passed.append(now)
    for start in range(len(passed)):
        for end in range(start, len(passed)):
            assert end - start + 1 <= burst + rate * (passed[end] - passed[start]) + 1e-6


def test_what_is_remembered_is_bounded() -> None:
    limiter = LocalLimiter()
    for number in range(LOCAL_TENANTS + 500):
        limiter.decide(str(number), Limit(1, 1), float(number))

    assert len(limiter._arrivals) == LOCAL_TENANTS


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
