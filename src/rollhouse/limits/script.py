"""The decision as a script in Redis, and the connections that it is run on."""

import hashlib
import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

IDLE_SECONDS = 0.1
"""After so long without use a connection is looked at before it is used: Redis may have ended it."""

_SCRIPT = """
local now = redis.call('TIME')
local at = now[1] * 1000000 + now[2]
local interval = 1000000 / tonumber(ARGV[1])
local cost = tonumber(ARGV[3])
local burst = math.max(tonumber(ARGV[2]), cost)
local stored = math.max(tonumber(redis.call('GET', KEYS[1]) or at), at)
local known = math.max(stored - interval * tonumber(ARGV[4]), at + tonumber(ARGV[6]))
local present = math.min(known, at + interval * (burst + cost))
local arrival = present + interval * cost
local over = arrival - interval * burst - at
if over > 1 and ARGV[7] == '0' then
  if present ~= stored then
    redis.call('SET', KEYS[1], string.format('%.0f', present), 'PX', math.ceil((present - at) / 1000) + 1000)
  end
  return {math.max(1, math.ceil(over / 1000000)), math.ceil(present - at), 0}
end
local leased = math.max(0, math.min(tonumber(ARGV[5]), math.floor((burst - (arrival - at) / interval) / 8)))
local taken = arrival + interval * leased
redis.call('SET', KEYS[1], string.format('%.0f', taken), 'PX', math.ceil((taken - at) / 1000) + 1000)
return {0, math.floor(arrival - at), leased}
"""
"""One round trip by Redis's own clock, with the rate, the burst, the cost, what is given back, what is wanted in advance, how many microseconds
of its rate the key owes at least, and 1 if the request has begun already and is counted whatever is left.

It answers with seconds to wait (0 to pass), microseconds until the whole burst is there again, and what is leased: an eighth of what is left at most,
so that nobody holds what another process needs.
"""


class Script:
    """Runs the script on connections of redis-py's that it keeps itself: by way of redis-py's client a command costs 30 us of CPU more."""

    def __init__(self, redis: Redis) -> None:
        # The caller's time-out is the only one: two more around each byte sent and read would cost as much as the command.
        pool = redis.connection_pool
        self._connection = partial(pool.connection_class, **(pool.connection_kwargs | {"socket_timeout": None}))
        self._idle: list[tuple[Any, float]] = []
        self._hash = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, *, keys: list[str], args: Sequence[int]) -> list[int]:
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
