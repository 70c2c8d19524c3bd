"""The rate limit counted in a real Redis: shared, one round trip, by Redis's own clock."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from redis.asyncio import Redis

from rollhouse.limits.gcra import CONNECTIONS, LocalLimiter, RedisLimiter, connect
from rollhouse.limits.leases import LEASE_MOST, LEASE_SECONDS, LEASE_SHARE
from rollhouse.limits.limit import Limit
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


async def asked(limiter: RedisLimiter, redis_server: RedisServer, limit: Limit, count: int) -> dict[str, int]:
    """What Redis is asked for so many requests, one after the other."""
    await limiter.admit("a", limit)
    redis_server.tell("CONFIG", "RESETSTAT")
    for _ in range(count):
        assert (await limiter.admit("a", limit)).allowed
    return commands(redis_server)


async def test_a_decision_is_one_round_trip(limiters: list[RedisLimiter], redis_server: RedisServer) -> None:
    """GET, SET and TIME run inside the script, within the server. Of a key with so little to spend nothing is leased."""
    called = await asked(limiters[0], redis_server, Limit(rate_per_second=LEASE_SHARE - 1, burst=1000), 50)

    assert called["evalsha"] == 50
    assert {name for name in called if not name.startswith(("client", "config", "info", "select"))} == {"evalsha", "get", "set", "time"}


async def test_a_busy_key_is_asked_for_once_in_many_requests(limiters: list[RedisLimiter], redis_server: RedisServer) -> None:
    called = await asked(limiters[0], redis_server, PLENTY, 260)

    assert called["evalsha"] <= 20


async def test_a_key_that_is_asked_for_now_and_then_leases_nothing(limiters: list[RedisLimiter]) -> None:
    """What is leased and not used has to be given back: of ten thousand quiet tenants that would be all traffic with Redis."""
    for _ in range(3):
        await limiters[0].admit("a", PLENTY)
        limiters[0]._leases["a"].asked -= 2 * LEASE_SECONDS

    assert limiters[0]._leases["a"].left == 0


def owed(redis_server: RedisServer, key: str, limit: Limit) -> float:
    """How many requests Redis has counted that have not come back yet."""
    now, stored = redis_server.tell("TIME"), redis_server.tell("GET", f"rollhouse:rate:{key}")
    assert isinstance(now, (list, tuple))
    return max(0.0, int(str(stored, "ascii")) / 1e6 - int(now[0]) - int(now[1]) / 1e6) * limit.rate_per_second  # type: ignore[call-overload]


async def test_of_many_requests_at_once_one_leases(limiters: list[RedisLimiter], redis_server: RedisServer) -> None:
    slow = Limit(rate_per_second=100, burst=10_000)
    for _ in range(30):
        await limiters[0].admit("a", slow)
    before = owed(redis_server, "a", slow)

    await asyncio.gather(*(limiters[0].admit("a", slow) for _ in range(100)))

    assert owed(redis_server, "a", slow) - before <= 100 + LEASE_MOST


async def test_what_was_leased_and_not_used_is_given_back_with_the_next_question(limiters: list[RedisLimiter], redis_server: RedisServer) -> None:
    slow = Limit(rate_per_second=8, burst=1000)
    started = time.monotonic()
    for _ in range(41):
        await limiters[0].admit("a", slow)
    lease = limiters[0]._leases["a"]
    assert lease.left > 0
    lease.asked -= LEASE_SECONDS

    await limiters[0].admit("a", slow)

    assert 42 - 8 * (time.monotonic() - started) - 1 <= owed(redis_server, "a", slow) <= 42 + lease.left + 0.01
    assert lease.left <= 8 // LEASE_SHARE


async def test_no_process_leases_more_than_an_eighth_of_what_is_left(limiters: list[RedisLimiter]) -> None:
    limit, asked = Limit(rate_per_second=400, burst=80), 0
    for number in range(70):
        limiter = limiters[number % 2]
        before = limiter._leases["a"].asked if "a" in limiter._leases else 0.0
        decision = await limiter.admit("a", limit)
        if limiter._leases["a"].asked > before:
            asked += 1
            assert decision.remaining is not None
            assert limiter._leases["a"].left <= decision.remaining / 8
    assert asked < 70, "some were paid by leases"


async def test_what_has_come_back_by_itself_is_not_given_back(redis_server: RedisServer) -> None:
    """Ten processes that hold tokens of a busy moment and are all asked again after a pause get one burst between them."""
    limit = Limit(rate_per_second=100, burst=200)
    limiters = [connect(redis_server.url) for _ in range(10)]
    for limiter in limiters:
        for _ in range(5):
            await limiter.admit("a", limit)
    held = sum(limiter._leases["a"].left for limiter in limiters)
    await asyncio.sleep(limit.burst / limit.rate_per_second + 0.1)

    started, passed = time.monotonic(), 0
    for number in range(2 * limit.burst):
        passed += (await limiters[number % 10].admit("a", limit)).allowed
    most = limit.burst + limit.rate_per_second * (time.monotonic() - started) + 1
    for limiter in limiters:
        await limiter.close()

    assert held >= 40
    assert passed <= most


async def test_a_changed_limit_and_a_forgotten_key_end_the_lease(limiters: list[RedisLimiter]) -> None:
    for _ in range(9):
        await limiters[0].admit("a", PLENTY)
    assert limiters[0]._leases["a"].left > 0
    lowered = Limit(rate_per_second=8, burst=8)

    await limiters[0].admit("a", lowered)
    assert limiters[0]._leases["a"].limit == lowered
    assert limiters[0]._leases["a"].left <= 1

    assert await limiters[0].forget("a")
    assert "a" not in limiters[0]._leases


async def test_what_redis_has_leased_passes_whatever_is_known_here(limiters: list[RedisLimiter]) -> None:
    """An answer to a request at the same time counts what was leased already, and would count it twice."""
    while not limiters[0]._leases or limiters[0]._leases["a"].left == 0:
        await limiters[0].admit("a", PLENTY)
    limiters[0]._local.remember("a", time.monotonic() + 2 * PLENTY.burst / PLENTY.rate_per_second)

    decision = await limiters[0].admit("a", PLENTY)

    assert (decision.allowed, decision.remaining) == (True, 0)


async def test_two_processes_that_lease_spend_what_the_limit_allows_and_hardly_less(limiters: list[RedisLimiter]) -> None:
    limit, passed = Limit(rate_per_second=80, burst=100), 0
    started = time.monotonic()
    while time.monotonic() - started < 1.5:
        decisions = await asyncio.gather(*(limiters[number % 2].admit("a", limit) for number in range(4)))
        passed += sum(decision.allowed for decision in decisions)
        await asyncio.sleep(0.002)
    seconds = time.monotonic() - started

    assert passed <= limit.burst + limit.rate_per_second * seconds + 1
    assert passed >= limit.burst + limit.rate_per_second * 1.5 - 2 * limit.rate_per_second // LEASE_SHARE


async def test_an_outage_goes_on_from_what_redis_said_last(limiters: list[RedisLimiter], redis_server: RedisServer) -> None:
    """Also of what other processes had spent."""
    limit = Limit(rate_per_second=1, burst=20)
    for _ in range(15):
        await limiters[1].admit("a", limit)
    await limiters[0].admit("a", limit)
    redis_server.stop()

    passed = [(await limiters[0].admit("a", limit)).allowed for _ in range(20)]

    assert limiters[0].is_degraded
    assert sum(passed) in (4, 5)


async def test_what_was_spent_in_an_outage_is_told_to_redis(limiters: list[RedisLimiter], redis_server: RedisServer) -> None:
    """A Redis that stops again and again, or comes back empty, gives a tenant no second burst."""
    limit = Limit(rate_per_second=1, burst=20)
    passed = [(await limiters[0].admit("a", limit)).allowed for _ in range(10)]
    redis_server.stop()
    passed += [(await limiters[0].admit("a", limit)).allowed for _ in range(15)]
    redis_server.start()
    began = time.monotonic()
    while limiters[0].is_degraded and time.monotonic() - began < 20:
        passed.append((await limiters[0].admit("a", limit)).allowed)
        await asyncio.sleep(0.05)

    assert not limiters[0].is_degraded
    passed += [(await limiters[number % 2].admit("a", limit)).allowed for number in range(10)]
    assert sum(passed) <= limit.burst + limit.rate_per_second * (time.monotonic() - began + 1) + 1


async def test_what_a_request_costs_beside_is_counted_whatever_is_left(limiters: list[RedisLimiter]) -> None:
    """A search is let in for the price of a read, and its filter read then: refused, it would have cost something, and none would ever pass."""
    limit = Limit(rate_per_second=1, burst=1)
    for limiter in (limiters[0], LocalLimiter()):
        assert (await limiter.admit("a", limit)).allowed
        assert (await limiter.admit("a", limit, has_begun=True)).allowed

        refused = await limiter.admit("a", limit)
        assert (refused.allowed, refused.retry_after_seconds) == (False, 2)


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
    """What Redis is sent: the script's name, one key, the rate, the burst, the cost, and what is given back and wanted in advance."""
    await limiters[0].admit("a", Limit(10, 20))
    async with Redis.from_url(redis_server.url) as redis, redis.monitor() as monitor:
        await limiters[0].admit("a", Limit(10, 20), 2)
        sent = await anext(command["command"] async for command in monitor.listen() if command["command"].startswith("EVALSHA"))

    *counted, returned, wanted, owed_here, has_begun = sent.split()[2:]
    assert counted == ["1", "rollhouse:rate:a", "10", "20", "2"]
    assert all(int(one) <= LEASE_MOST for one in (returned, wanted))
    assert (owed_here, has_begun) == ("0", "0")
