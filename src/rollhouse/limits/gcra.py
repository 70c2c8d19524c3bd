"""The generic cell rate algorithm: a theoretical arrival time decides, in Redis by one script or in a bounded map here."""

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from functools import partial
from typing import Any, Protocol

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

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
IDLE_SECONDS = 0.1
"""After so long without use a connection is looked at before it is used: Redis may have ended it."""
CONNECTIONS = 16
"""To Redis, of one process; more requests at once wait for one of them, within the same 50 ms."""
BREAK_SECONDS = 2.0
"""After a failure of Redis, how long requests are counted locally before it is asked again."""


class Limit(msgspec.Struct, frozen=True):
    """`rate_per_second` sustained, `burst` at once after a pause; a rate of 0 is no limit."""

    rate_per_second: int
    burst: int

    @property
    def policy(self) -> str:
        """The value of RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10): the burst, and the seconds in which it is there again."""
        return f'"tenant";q={self.burst};w={max(1, math.ceil(self.burst / self.rate_per_second))}'


class Decision(msgspec.Struct, frozen=True):
    """Whether a request may pass; if not, after how many whole seconds to try again.

    `remaining` is what may be spent at once, `reset_seconds` until the whole burst is there again; None without a limit.
    """

    allowed: bool
    retry_after_seconds: int = 0
    remaining: int | None = None
    reset_seconds: int = 0


_PASS = Decision(allowed=True)
_ROUNDING_SECONDS = 1e-6
"""Sums of intervals are not exact; a request is not refused for a microsecond."""


class Limiter(Protocol):
    """Decides for one request."""

    is_degraded: bool
    """Whether the count is not the one that all processes share, because Redis failed a moment ago."""

    async def admit(self, key: str, limit: Limit, cost: int = 1) -> Decision:
        """The decision; it never raises, and it waits for Redis 50 ms at most: 25 to connect, 25 for the answer."""

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

    async def admit(self, key: str, limit: Limit, cost: int = 1) -> Decision:
        """The decision by this process's count."""
        return self.decide(key, limit, time.monotonic(), cost)

    async def ping(self) -> None:
        """There is nothing to ask."""

    async def forget(self, key: str) -> bool:
        """Count the key, and those that begin with it and a colon, anew."""
        for name in [one for one in self._arrivals if one == key or one.startswith(f"{key}:")]:
            del self._arrivals[name]
        return True

    def decide(self, key: str, limit: Limit, now: float, cost: int = 1) -> Decision:
        """The decision at `now` (monotonic seconds); refused requests cost nothing."""
        if limit.rate_per_second == 0:
            return _PASS
        interval = 1 / limit.rate_per_second
        burst = max(limit.burst, cost)
        stored = max(self._arrivals.get(key, now), now)
        present = min(stored, now + interval * (burst + cost))  # what was owed at a lower rate is not owed at a higher one
        arrival = present + interval * cost
        over = arrival - interval * burst - now
        if over > _ROUNDING_SECONDS:
            if present < stored:
                self._arrivals[key] = present
            left = max(0, math.floor(burst - (present - now) / interval))
            return Decision(allowed=False, retry_after_seconds=max(1, math.ceil(over)), remaining=left, reset_seconds=math.ceil(present - now))
        self._arrivals[key] = arrival
        self._arrivals.move_to_end(key)
        if len(self._arrivals) > LOCAL_KEYS:
            self._arrivals.popitem(last=False)
        left = max(0, math.floor(burst - (arrival - now) / interval + _ROUNDING_SECONDS))
        return Decision(allowed=True, remaining=left, reset_seconds=math.ceil(arrival - now))


_SCRIPT = """
local now = redis.call('TIME')
local at = now[1] * 1000000 + now[2]
local interval = 1000000 / tonumber(ARGV[1])
local cost = tonumber(ARGV[3])
local burst = math.max(tonumber(ARGV[2]), cost)
local stored = math.max(tonumber(redis.call('GET', KEYS[1]) or at), at)
local present = math.min(stored, at + interval * (burst + cost))
local arrival = present + interval * cost
local over = arrival - interval * burst - at
if over > 1 then
  if present < stored then
    redis.call('SET', KEYS[1], string.format('%.0f', present), 'PX', math.ceil((present - at) / 1000) + 1000)
  end
  return {math.max(1, math.ceil(over / 1000000)), math.max(0, math.floor(burst - (present - at) / interval)), math.ceil((present - at) / 1000000)}
end
redis.call('SET', KEYS[1], string.format('%.0f', arrival), 'PX', math.ceil((arrival - at) / 1000) + 1000)
return {0, math.max(0, math.floor(burst - (arrival - at) / interval + 0.000001)), math.ceil((arrival - at) / 1000000)}
"""
"""One round trip by Redis's own clock: seconds to wait (0 to pass), what is left, and seconds until all of it is there again."""


class _Script:
    """Runs the script on connections of redis-py's that it keeps itself: by way of redis-py's client a command costs 30 us of CPU more."""

    def __init__(self, redis: Redis) -> None:
        # The caller's time-out is the only one: two more around each byte sent and read would cost as much as the command.
        pool = redis.connection_pool
        self._connection = partial(pool.connection_class, **(pool.connection_kwargs | {"socket_timeout": None}))
        self._idle: list[tuple[Any, float]] = []
        self._hash = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, *, keys: list[str], args: list[int]) -> list[int]:
        """What the script answers.

        Raises:
            RedisError, OSError: Redis cannot be reached, or refuses the script.
        """
        connection, since = self._idle.pop() if self._idle else (self._connection(), math.inf)
        try:
            if time.monotonic() - since > IDLE_SECONDS and await _has_ended(connection):
                await connection.disconnect(nowait=True)
            if not connection.is_connected:
                await connection.connect()
            try:
                await connection.send_command("EVALSHA", self._hash, len(keys), *keys, *args)
                found: list[int] = await connection.read_response()
            except NoScriptError:  # a Redis that has just started
                await connection.send_command("EVAL", _SCRIPT, len(keys), *keys, *args)
                found = await connection.read_response()
        except BaseException as error:
            # After an answer, be it a refusal, the connection may be used again; after a time-out an answer may be on its way.
            if isinstance(error, ResponseError):
                self._idle.append((connection, time.monotonic()))
            else:
                await connection.disconnect(nowait=True)
            raise
        self._idle.append((connection, time.monotonic()))
        return found

    async def close(self) -> None:
        """End the connections."""
        while self._idle:
            await self._idle.pop()[0].disconnect(nowait=True)


async def _has_ended(connection: Any) -> bool:
    try:
        return bool(await connection.can_read())
    except (RedisError, OSError):
        return True


class RedisLimiter:
    """Counts in Redis for all processes; while Redis fails, counts here, and one request in two seconds asks it again."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = _Script(redis)
        self._local = LocalLimiter()
        self._connections = asyncio.Semaphore(CONNECTIONS)
        self._broken_until = 0.0
        self.is_degraded = False

    async def admit(self, key: str, limit: Limit, cost: int = 1) -> Decision:
        """The decision by the count of all processes, or by this one's while Redis is away; this one's always goes on, to be warm then."""
        local = self._local.decide(key, limit, time.monotonic(), cost)
        if limit.rate_per_second == 0 or not self._may_ask():
            return local
        asked = await self._ask(key, limit, cost, is_probe=self.is_degraded)
        return local if asked is None else asked

    async def _ask(self, key: str, limit: Limit, cost: int, *, is_probe: bool) -> Decision | None:
        """The decision by Redis, None if it gives none in time; a time-out in this process's own line is no failure of Redis."""
        began = math.inf
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS), self._connections:
                if self.is_degraded and not is_probe:
                    return None
                began = time.monotonic()
                with span("EVALSHA", "client", **{"db.system.name": REDIS, "db.operation.name": "EVALSHA"}):
                    answer = await self._script(keys=[_name(key)], args=[limit.rate_per_second, limit.burst, cost])
                database_seconds(REDIS, "EVALSHA", "").observe(time.monotonic() - began)
        except (RedisError, OSError, TimeoutError) as error:
            if began < math.inf:
                database_seconds(REDIS, "EVALSHA", type(error).__name__).observe(time.monotonic() - began)
            if not isinstance(error, TimeoutError) or time.monotonic() - began >= REDIS_TIMEOUT_SECONDS:
                self._break(error)
            return None
        if is_probe:  # a late answer to a request from before the outage says nothing about now
            self._recover()
        wait, remaining, reset = (int(part) for part in answer)
        return Decision(allowed=wait == 0, retry_after_seconds=wait, remaining=remaining, reset_seconds=reset)

    def _may_ask(self) -> bool:
        """Whether this request asks Redis; after a failure only one does in two seconds, and no other waits for it."""
        now = time.monotonic()
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
