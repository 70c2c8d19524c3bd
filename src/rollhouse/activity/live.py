"""Who is told that a tenant's log has grown: listeners in this process, and through Redis those of all processes."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

CHANNEL = "rollhouse:activity"
LISTENERS_LIMIT = 1000
"""Pages that listen to one process at once."""
LISTENERS_OF_A_TENANT = 50
LISTENERS_OF_A_SESSION = 6
PAUSE_SECONDS = 2.0
"""After a failure of Redis, in which nobody asks it."""
TELL_SECONDS = 0.25
"""Longest wait for Redis: whoever tells has rows to write."""


class Live:
    """Wakes listeners. What is sent is the tenant's id alone: each listener reads the log itself, as its tenant.

    `is_ending` says whether the process is about to end, so that listeners leave.
    """

    def __init__(self, redis_url: str | None, *, is_ending: Callable[[], bool] = lambda: False) -> None:
        self.is_ending = is_ending
        self._redis = Redis.from_url(redis_url, protocol=2) if redis_url is not None else None
        self._asks_again = 0.0
        self._listeners: dict[UUID, dict[asyncio.Event, UUID]] = {}

    @asynccontextmanager
    async def listening(self, tenant_id: UUID, session_id: UUID) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever the tenant's log has grown; the listener clears it."""
        event = asyncio.Event()
        self._listeners.setdefault(tenant_id, {})[event] = session_id
        try:
            yield event
        finally:
            waiting = self._listeners[tenant_id]
            del waiting[event]
            if not waiting:
                del self._listeners[tenant_id]

    def has_room(self, tenant_id: UUID, session_id: UUID) -> bool:
        """Whether one more may listen to this process: 1,000 of all, 50 of a tenant, 6 of a session."""
        of_tenant = list(self._listeners.get(tenant_id, {}).values())
        of_all = sum(len(events) for events in self._listeners.values())
        return of_all < LISTENERS_LIMIT and len(of_tenant) < LISTENERS_OF_A_TENANT and of_tenant.count(session_id) < LISTENERS_OF_A_SESSION

    async def tell(self, tenants: list[UUID]) -> None:
        """Wake the listeners of these tenants everywhere; without Redis, or when it does not answer at once, in this process."""
        if self._redis is None or time.monotonic() < self._asks_again:
            self._wake(tenants)
            return
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await self._redis.publish(CHANNEL, b" ".join(str(one).encode() for one in tenants))
        except (RedisError, OSError, TimeoutError):
            self._asks_again = time.monotonic() + PAUSE_SECONDS
            self._wake(tenants)

    async def listen(self) -> None:
        """Hear what other processes tell; runs until cancelled, ends at once without Redis."""
        while self._redis is not None:
            with contextlib.suppress(RedisError, OSError):
                async with self._redis.pubsub() as subscription:
                    await subscription.subscribe(CHANNEL)
                    async for message in subscription.listen():
                        if message["type"] == "message":
                            self._wake([UUID(one.decode()) for one in message["data"].split()])
            await asyncio.sleep(PAUSE_SECONDS)

    def _wake(self, tenants: list[UUID]) -> None:
        for tenant_id in tenants:
            for event in self._listeners.get(tenant_id, ()):
                event.set()
