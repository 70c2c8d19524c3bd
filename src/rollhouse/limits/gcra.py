"""The generic cell rate algorithm: a tenant's theoretical arrival time decides, in Redis by one script or in a bounded map here."""

import math
import time
from collections import OrderedDict
from typing import Protocol

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from rollhouse.telemetry.logs import log

LOCAL_TENANTS = 10_000
"""Tenants that the local limiter remembers; the least recently seen is forgotten first."""
REDIS_TIMEOUT_SECONDS = 0.025
BREAK_SECONDS = 2.0
"""After a failure of Redis, how long requests are counted locally before it is asked again."""


class Limit(msgspec.Struct, frozen=True):
    """`rate_per_second` sustained, `burst` at once after a pause; a rate of 0 is no limit."""

    rate_per_second: int
    burst: int


class Decision(msgspec.Struct, frozen=True):
    """Whether a request may pass; if not, after how many whole seconds to try again."""

    allowed: bool
    retry_after_seconds: int = 0


_PASS = Decision(allowed=True)
_ROUNDING_SECONDS = 1e-6
"""Sums of intervals are not exact; a request is not refused for a microsecond."""


class Limiter(Protocol):
    """Decides for one request of a tenant."""

    is_degraded: bool
    """Whether the count is not the one that all processes share, because Redis failed a moment ago."""

    async def admit(self, tenant: str, limit: Limit) -> Decision:
        """The decision; it never raises, and it waits for Redis 50 ms at most: 25 to connect, 25 for the answer."""


class LocalLimiter:
    """Counts in this process. Bounded to 10,000 tenants."""

    is_degraded = False

    def __init__(self) -> None:
        self._arrivals: OrderedDict[str, float] = OrderedDict()

    async def admit(self, tenant: str, limit: Limit) -> Decision:
        """The decision by this process's count."""
        return self.decide(tenant, limit, time.monotonic())

    def decide(self, tenant: str, limit: Limit, now: float) -> Decision:
        """The decision at `now` (monotonic seconds); refused requests cost nothing."""
        if limit.rate_per_second == 0:
            return _PASS
        interval = 1 / limit.rate_per_second
        arrival = max(self._arrivals.get(tenant, now), now)
        allowed_at = arrival - interval * (max(limit.burst, 1) - 1)
        if allowed_at - now > _ROUNDING_SECONDS:
            return Decision(allowed=False, retry_after_seconds=max(1, math.ceil(allowed_at - now)))
        self._arrivals[tenant] = arrival + interval
        self._arrivals.move_to_end(tenant)
        if len(self._arrivals) > LOCAL_TENANTS:
            self._arrivals.popitem(last=False)
        return _PASS


_SCRIPT = """
local now = redis.call('TIME')
local at = now[1] * 1000000 + now[2]
local interval = 1000000 / tonumber(ARGV[1])
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or at), at)
local allowed_at = arrival - interval * (math.max(tonumber(ARGV[2]), 1) - 1)
if allowed_at - at > 1 then
  return math.ceil((allowed_at - at) / 1000000)
end
arrival = arrival + interval
redis.call('SET', KEYS[1], string.format('%.0f', arrival), 'PX', math.ceil((arrival - at) / 1000) + 1000)
return 0
"""
"""One round trip by Redis's own clock: 0 to pass, else the seconds to wait."""


class RedisLimiter:
    """Counts in Redis for all processes; while Redis fails, counts here, and asks it again every two seconds."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(_SCRIPT)
        self._local = LocalLimiter()
        self._broken_until = 0.0
        self.is_degraded = False

    async def admit(self, tenant: str, limit: Limit) -> Decision:
        """The decision by the count of all processes, or by this one's while Redis is away."""
        local = self._local.decide(tenant, limit, time.monotonic())
        if limit.rate_per_second == 0 or time.monotonic() < self._broken_until:
            return local
        try:
            wait = int(await self._script(keys=[f"rollhouse:rate:{tenant}"], args=[limit.rate_per_second, limit.burst]))
        except (RedisError, OSError, TimeoutError) as error:
            self._broken_until = time.monotonic() + BREAK_SECONDS
            if not self.is_degraded:
                log(
                    "limiter.degraded",
                    error=type(error).__name__,
                    cure="check that ROLLHOUSE_REDIS_URL can be reached; limits are counted per process meanwhile",
                )
            self.is_degraded = True
            return local
        if self.is_degraded:
            log("limiter.recovered")
            self.is_degraded = False
        return _PASS if wait == 0 else Decision(allowed=False, retry_after_seconds=wait)


def connect(url: str) -> RedisLimiter:
    """The limiter that counts in the Redis of `url`; no connection is made before the first request."""
    redis = Redis.from_url(url, socket_timeout=REDIS_TIMEOUT_SECONDS, socket_connect_timeout=REDIS_TIMEOUT_SECONDS)
    return RedisLimiter(redis)
