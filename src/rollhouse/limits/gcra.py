"""The generic cell rate algorithm: a theoretical arrival time decides, in Redis by one script or in a bounded map here."""

import asyncio
import math
import time
from collections import OrderedDict
from typing import Protocol

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from rollhouse.limits.leases import Lease
from rollhouse.limits.limit import Limit
from rollhouse.limits.script import Script
from rollhouse.telemetry.logs import log
from rollhouse.telemetry.metrics import database_seconds
from rollhouse.telemetry.traces import span

REDIS = "redis"
LOCAL_KEYS = 10_000
"""Keys that the local limiter remembers; the least recently seen is forgotten first."""
REDIS_TIMEOUT_SECONDS = 0.025
"""To connect to Redis, and again for each of its answers."""
ATTEMPT_SECONDS = 0.05
"""For all of one decision by Redis, a new connection, its greeting and the wait for a free one included: what an outage adds to a request."""
CONNECTIONS = 16
"""To Redis, of one process; more requests at once wait for one of them, within the same 50 ms."""
BREAK_SECONDS = 2.0
"""After a failure of Redis, how long requests are counted locally before it is asked again."""


class Decision(msgspec.Struct, frozen=True):
    """Whether a request may pass; if not, after how many whole seconds to try again.

    `remaining` is what may be spent at once, `reset_seconds` until the whole burst is there again; None without a limit.
    """

    allowed: bool
    retry_after_seconds: int = 0
    remaining: int | None = None
    reset_seconds: int = 0


_ATTRIBUTES = {"db.system.name": REDIS, "db.operation.name": "EVALSHA"}
_PASS = Decision(allowed=True)
_ROUNDING_SECONDS = 1e-6
"""Sums of intervals are not exact; a request is not refused for a microsecond."""


class Limiter(Protocol):
    """Decides for one request."""

    is_degraded: bool
    """Whether the count is not the one that all processes share, because Redis failed a moment ago."""

    async def admit(self, key: str, limit: Limit, cost: int = 1, *, has_begun: bool = False) -> Decision:
        """The decision; it never raises, and it waits for Redis 50 ms at most: 25 to connect, 25 for the answer.

        What a request costs beside what it was let in for is counted whatever is left (`has_begun`): refused, it would have cost something.
        """

    async def ping(self) -> None:
        """Ask Redis for a sign of life, where limits are counted by one.

        Raises:
            RedisError, OSError: it gives none.
        """

    async def forget(self, key: str) -> bool:
        """Count the key, and those that begin with it and a colon, anew; whether the count of all processes could be reached.

        If not, it ends there by itself when the burst is whole again.
        """


class LocalLimiter:
    """Counts in this process. Bounded to 10,000 keys."""

    is_degraded = False

    def __init__(self) -> None:
        self._arrivals: OrderedDict[str, float] = OrderedDict()

    async def admit(self, key: str, limit: Limit, cost: int = 1, *, has_begun: bool = False) -> Decision:
        """The decision by this process's count."""
        return self.decide(key, limit, time.monotonic(), cost, has_begun=has_begun)

    async def ping(self) -> None:
        """There is nothing to ask."""

    async def forget(self, key: str) -> bool:
        """Count the key, and those that begin with it and a colon, anew."""
        for name in [one for one in self._arrivals if one == key or one.startswith(f"{key}:")]:
            del self._arrivals[name]
        return True

    def remember(self, key: str, arrival: float) -> None:
        """Count on from what is known from elsewhere: when the whole burst is there again, in monotonic seconds."""
        self._arrivals[key] = arrival
        self._arrivals.move_to_end(key)
        if len(self._arrivals) > LOCAL_KEYS:
            self._arrivals.popitem(last=False)

    def spend(self, key: str, limit: Limit, now: float, cost: int) -> Decision:
        """Count a request that has been paid for elsewhere: it passes, whatever is known here."""
        interval = 1 / limit.rate_per_second
        arrival = max(self._arrivals.get(key, now), now) + interval * cost
        self.remember(key, arrival)
        return _decision(0, arrival - now, interval, max(limit.burst, cost))

    def owed_seconds(self, key: str, now: float) -> float:
        """How long it takes until the whole burst is there again."""
        return max(0.0, self._arrivals.get(key, now) - now)

    def decide(self, key: str, limit: Limit, now: float, cost: int = 1, *, has_begun: bool = False) -> Decision:
        """The decision at `now` (monotonic seconds); refused requests cost nothing."""
        if limit.rate_per_second == 0:
            return _PASS
        if has_begun:
            return self.spend(key, limit, now, cost)
        interval = 1 / limit.rate_per_second
        burst = max(limit.burst, cost)
        stored = max(self._arrivals.get(key, now), now)
        present = min(stored, now + interval * (burst + cost))  # what was owed at a lower rate is not owed at a higher one
        arrival = present + interval * cost
        over = arrival - interval * burst - now
        if over > _ROUNDING_SECONDS:
            if present < stored:
                self._arrivals[key] = present
            return _decision(max(1, math.ceil(over)), present - now, interval, burst)
        self.remember(key, arrival)
        return _decision(0, arrival - now, interval, burst)


def _decision(wait_seconds: int, owed_seconds: float, interval: float, burst: int) -> Decision:
    """The decision of a key that owes so many seconds of its rate."""
    left = max(0, math.floor(burst - (owed_seconds - _ROUNDING_SECONDS) / interval))
    return Decision(wait_seconds == 0, wait_seconds, left, math.ceil(owed_seconds))


class RedisLimiter:
    """Counts in Redis for all processes; while Redis fails, counts here, and one request in two seconds asks it again.

    What a busy key needs in the next moment is leased, so that not every request makes a round trip. Nothing is spent that Redis has not counted.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = Script(redis)
        self._local = LocalLimiter()
        self._leases: OrderedDict[str, Lease] = OrderedDict()
        self._unsettled: set[str] = set()
        self._connections = asyncio.Semaphore(CONNECTIONS)
        self._broken_until = 0.0
        self.is_degraded = False

    async def admit(self, key: str, limit: Limit, cost: int = 1, *, has_begun: bool = False) -> Decision:
        """The decision by the count of all processes, or by this one's while Redis is away.

        That goes on from what Redis said last, and what it came to is told to Redis when it is back.
        """
        now = time.monotonic()
        if limit.rate_per_second == 0:
            return _PASS
        if self._may_ask(now):
            lease = self._lease(key, limit, now)
            if not self.is_degraded and lease.pays(cost, now):
                return self._local.spend(key, limit, now, cost)
            decision = await self._ask(key, lease, cost, now, has_begun=has_begun)
            if decision is not None:
                return decision
        if len(self._unsettled) < LOCAL_KEYS:
            self._unsettled.add(key)
        return self._local.decide(key, limit, now, cost, has_begun=has_begun)

    def _lease(self, key: str, limit: Limit, now: float) -> Lease:
        lease = self._leases.get(key)
        if lease is None or lease.limit != limit:
            lease = self._leases[key] = Lease(limit, now)
            if len(self._leases) > LOCAL_KEYS:
                self._leases.popitem(last=False)
        self._leases.move_to_end(key)
        return lease

    async def _ask(self, key: str, lease: Lease, cost: int, now: float, *, has_begun: bool) -> Decision | None:
        """The decision by Redis, None if it gives none in time; only one request at a time asks for a lease."""
        if lease.is_asking:
            return await self._run(key, lease, cost, 0, 0, has_begun=has_begun)
        returned, wanted = lease.renew(now)
        lease.is_asking = True
        try:
            return await self._run(key, lease, cost, returned, wanted, has_begun=has_begun)
        finally:
            lease.is_asking = False

    async def _run(self, key: str, lease: Lease, cost: int, returned: int, wanted: int, *, has_begun: bool) -> Decision | None:
        """What the script decides; None if Redis does not answer in time. A time-out in this process's own line is no failure of Redis."""
        limit, is_probe = lease.limit, self.is_degraded
        owed_here = math.ceil(self._local.owed_seconds(key, time.monotonic()) * 1e6) if key in self._unsettled else 0
        began = math.inf
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS), self._connections:
                if self.is_degraded and not is_probe:
                    return None
                began = time.monotonic()
                with span("EVALSHA", "client", _ATTRIBUTES):
                    spent = cost, returned, wanted, owed_here, int(has_begun)
                    answer = await self._script(keys=[_name(key)], args=(limit.rate_per_second, limit.burst, *spent))
                database_seconds(REDIS, "EVALSHA", "").observe(time.monotonic() - began)
        except (RedisError, OSError, TimeoutError) as error:
            if began < math.inf:
                database_seconds(REDIS, "EVALSHA", type(error).__name__).observe(time.monotonic() - began)
            if not isinstance(error, TimeoutError) or time.monotonic() - began >= REDIS_TIMEOUT_SECONDS:
                self._break(error)
            return None
        if is_probe:  # a late answer to a request from before the outage says nothing about now
            self._recover()
        self._unsettled.discard(key)
        wait, owed, leased = (int(part) for part in answer)
        answered = time.monotonic()
        self._local.remember(key, answered + owed / 1e6)
        lease.left += leased
        lease.spent += cost if wait == 0 else 0
        lease.whole_at = answered + owed / 1e6 + leased / limit.rate_per_second
        return _decision(wait, owed / 1e6, 1 / limit.rate_per_second, max(limit.burst, cost))

    def _may_ask(self, now: float) -> bool:
        """Whether Redis counts for this request; after a failure only one asks it in two seconds, and no other waits for it."""
        if now < self._broken_until:
            return False
        if self.is_degraded:
            self._broken_until = now + BREAK_SECONDS
        return True

    def _break(self, error: Exception) -> None:
        if self.is_degraded:
            return
        self.is_degraded = True
        self._broken_until = time.monotonic() + BREAK_SECONDS
        log(
            "limiter.degraded",
            error=type(error).__name__,
            cure="check that ROLLHOUSE_REDIS_URL can be reached and takes writes; limits are counted per process meanwhile",
        )

    def _recover(self) -> None:
        self.is_degraded = False
        self._broken_until = 0.0
        log("limiter.recovered")

    async def close(self) -> None:
        """End the connections to Redis."""
        await self._script.close()
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def ping(self) -> None:
        """Ask Redis for a sign of life."""
        await self._redis.ping()

    async def forget(self, key: str) -> bool:
        """Count the key, and those that begin with it and a colon, anew; whether Redis could be reached."""
        await self._local.forget(key)
        self._unsettled -= {one for one in self._unsettled if one == key or one.startswith(f"{key}:")}
        for name in [one for one in self._leases if one == key or one.startswith(f"{key}:")]:
            del self._leases[name]
        try:
            names = [_name(key), *[name async for name in self._redis.scan_iter(match=_name(f"{key}:*"), count=1000)]]
            await self._redis.delete(*names)
        except (RedisError, OSError):
            return False
        return True


def _name(key: str) -> str:
    return f"rollhouse:rate:{key}"


def connect(url: str | None) -> Limiter:
    """The limiter that counts in the Redis of `url`, without one in this process; no connection is made before the first request."""
    if url is None:
        return LocalLimiter()
    redis = Redis.from_url(
        url,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        protocol=2,  # no greeting: a new connection costs no round trip more than its password does
        driver_info=None,
    )
    return RedisLimiter(redis)
