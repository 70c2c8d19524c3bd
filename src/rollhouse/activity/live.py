"""Who is told that a tenant's log has grown: listeners in this process, and through Redis those of all processes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

CHANNEL = "rollhouse:activity"
LISTENERS_LIMIT = 1000
"""Pages that listen to one process at once."""
PAUSE_SECONDS = 2.0
"""After a failure of Redis; listeners look by themselves that often, too, so that an outage costs them no more than that."""


class Live:
    """Wakes listeners. What is sent is the tenant's id alone: each listener reads the log itself, as its tenant.

    `is_ending` says whether the process is about to end, so that listeners leave.
    """

    def __init__(self, redis_url: str | None, *, is_ending: Callable[[], bool] = lambda: False) -> None:
        self.is_ending = is_ending
        self._redis = Redis.from_url(redis_url, protocol=2) if redis_url is not None else None
        self._listeners: dict[UUID, set[asyncio.Event]] = {}

    @asynccontextmanager
    async def listening(self, tenant_id: UUID) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever the tenant's log has grown; the listener clears it."""
        event = asyncio.Event()
        self._listeners.setdefault(tenant_id, set()).add(event)
        try:
            yield event
        finally:
            waiting = self._listeners[tenant_id]
            waiting.discard(event)
            if not waiting:
                del self._listeners[tenant_id]

    @property
    def count(self) -> int:
        """Listeners of this process."""
        return sum(len(events) for events in self._listeners.values())

    async def tell(self, tenants: list[UUID]) -> None:
        """Wake the listeners of these tenants everywhere; without Redis in this process."""
        if self._redis is None:
            self._wake(tenants)
            return
        try:
            await self._redis.publish(CHANNEL, b" ".join(str(one).encode() for one in tenants))
        except (RedisError, OSError):
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
