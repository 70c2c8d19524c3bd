"""The rate limit counted in a real Redis: shared, one round trip, by Redis's own clock."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from redis.asyncio import Redis

from rollhouse.limits.gcra import CONNECTIONS, Limit, RedisLimiter
from tests.limits.conftest import RedisServer

PLENTY = Limit(rate_per_second=1000, burst=1000)


async def test_two_processes_share_one_budget(limiters: list[RedisLimiter]) -> None:
    limit = Limit(rate_per_second=1, burst=20)

    passed = [(await limiters[number % 2].admit("a", limit)).allowed for number in range(40)]

    assert sum(passed) in (20, 21)
    refused = await limiters[0].admit("a", limit)
    assert (refused.allowed, refused.retry_after_seconds) == (False, 1)


async def test_each_tenant_has_a_budget_of_its_own(limiters: list[RedisLimiter]) -> None:
    small, large = Limit(rate_per_second=1, burst=2), Limit(rate_per_second=1, burst=9)

    passed = {key: sum([(await limiters[0].admit(key, limit)).allowed for _ in range(12)]) for key, limit in (("a", small), ("b", large))}

    assert passed["a"] in (2, 3)
    assert passed["b"] in (9, 10)


@pytest.mark.threat("T40")
async def test_keys_expire_and_carry_the_tenant(limiters: list[RedisLimiter], redis_server: RedisServer) -> None:
    await limiters[0].admit("01a2", Limit(10, 10))

    async with Redis.from_url(redis_server.url) as redis:
        assert await redis.keys() == [b"rollhouse:rate:01a2"]
        assert 0 < await redis.pttl("rollhouse:rate:01a2") <= 2200


def commands(redis_server: RedisServer) -> dict[str, int]:
    """How often each command was called since the last reset."""
    text = redis_server.tell("INFO", "commandstats")
    assert isinstance(text, dict)
    return {name.removeprefix("cmdstat_"): values["calls"] for name, values in text.items()}


async def test_a_decision_is_one_round_trip(limiters: list[RedisLimiter], redis_server: RedisServer) -> None:
    """GET, SET and TIME run inside the script, within the server."""
    await limiters[0].admit("a", PLENTY)
    redis_server.tell("CONFIG", "RESETSTAT")

    for _ in range(50):
        await limiters[0].admit("a", PLENTY)

    called = commands(redis_server)
    assert called["evalsha"] == 50
    assert {name for name in called if not name.startswith(("client", "config", "info", "select"))} == {"evalsha", "get", "set", "time"}


async def test_many_requests_at_once_share_a_bounded_number_of_connections(limiters: list[RedisLimiter], redis_server: RedisServer) -> None:
    """More than the connections that one process opens; nobody mistakes the line for an outage."""
    decisions = await asyncio.gather(*(limiters[0].admit("a", PLENTY) for _ in range(100)))

    assert all(decision.allowed for decision in decisions)
    assert not limiters[0].is_degraded
    clients = redis_server.tell("INFO", "clients")
    assert isinstance(clients, dict)
    assert clients["connected_clients"] <= CONNECTIONS + 1


async def test_a_tenant_at_twenty_five_requests_a_second_is_never_refused(limiters: list[RedisLimiter]) -> None:
    """The dearest mix, and all of a second's requests at once, for longer than the burst would carry them."""
    limit = Limit(rate_per_second=50, burst=200)
    refused, rounds, started = 0, 5, time.monotonic()
    for number in range(rounds):
        await asyncio.sleep(started + number - time.monotonic())
        decisions = await asyncio.gather(*(limiters[turn % 2].admit("a", limit, 2) for turn in range(25)))
        refused += sum(not decision.allowed for decision in decisions)

    assert refused == 0
    assert rounds * 25 * 2 > limit.burst
    assert not any(limiter.is_degraded for limiter in limiters)


async def test_what_is_owed_at_a_low_rate_is_not_owed_at_a_higher_one(limiters: list[RedisLimiter]) -> None:
    """Thirty seconds of debt at one request a second must not outlive a change to fifty a second."""
    for _ in range(31):
        await limiters[0].admit("a", Limit(rate_per_second=1, burst=30))
    raised = Limit(rate_per_second=50, burst=200)

    refused = await limiters[0].admit("a", raised)
    assert (refused.allowed, refused.retry_after_seconds) == (False, 1)
    await asyncio.sleep(refused.retry_after_seconds)

    assert (await limiters[0].admit("a", raised)).allowed
    assert not limiters[0].is_degraded


@pytest.mark.threat("T45")
async def test_a_process_whose_clock_is_an_hour_ahead_gains_nothing(limiters: list[RedisLimiter], monkeypatch: pytest.MonkeyPatch) -> None:
    limit = Limit(rate_per_second=1, burst=10)
    for _ in range(11):
        await limiters[0].admit("a", limit)
    ahead = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600, time=lambda: time.time() + 3600)
    monkeypatch.setattr("rollhouse.limits.gcra.time", ahead)

    decision = await limiters[1].admit("a", limit)

    assert (decision.allowed, decision.retry_after_seconds) == (False, 1)
    assert not limiters[1].is_degraded


@pytest.mark.threat("T45")
async def test_no_local_time_enters_the_script(limiters: list[RedisLimiter], redis_server: RedisServer) -> None:
    """What Redis is sent: the script's name, one key, the rate, the burst and the cost."""
    await limiters[0].admit("a", Limit(10, 20))
    async with Redis.from_url(redis_server.url) as redis, redis.monitor() as monitor:
        await limiters[0].admit("a", Limit(10, 20), 2)
        sent = await anext(command["command"] async for command in monitor.listen() if command["command"].startswith("EVALSHA"))

    assert sent.split()[2:] == ["1", "rollhouse:rate:a", "10", "20", "2"]
