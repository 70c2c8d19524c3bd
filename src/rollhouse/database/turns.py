"""Who may go next: a bounded number at once, a bounded share of it for one tenant, turns between tenants, and a bounded line."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from rollhouse.scim.errors import Unavailable

RETRY_AFTER_SECONDS = 2

Waiter = tuple[float, asyncio.Future[None]]
"""Since when somebody waits (monotonic seconds), and what ends it."""


class Turns:
    """Hands out `permits` places, at most `share` of them to one tenant; the key None is the service itself and has no share.

    Who finds no place waits at most `wait_seconds` in a line of at most `line` for all tenants together. A place that is given
    back goes to the tenants in turn, not to who came first. When the line is full, the newest of its longest part is refused:
    a tenant that floods refuses itself. Bounded by the line and the permits. `told` hears how long each waited, in seconds.
    """

    def __init__(self, *, permits: int, share: int, line: int, wait_seconds: float, told: Callable[[float], None] = lambda _: None) -> None:
        self.share = share
        self.waiting = 0
        self.refused = 0
        self._permits = self._free = permits
        self._line = line
        self._wait_seconds = wait_seconds
        self._told = told
        self._taken: dict[UUID | None, int] = {}
        self._lines: OrderedDict[UUID | None, deque[Waiter]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def take(self, key: UUID | None) -> bool:
        """Whether there was a place at once, which is taken then. No one is overtaken: who waits could not have had it."""
        taken = self._taken.get(key, 0)
        if self._free == 0 or (taken >= self.share and key is not None):
            return False
        self._free -= 1
        self._taken[key] = taken + 1
        return True

    async def wait(self, key: UUID | None) -> None:
        """Wait for a place, and take it.

        Raises:
            Unavailable: the line is full, or no place came free in time; with Retry-After.
        """
        if self.waiting >= self._line:
            self._refuse_one(key)
        loop = asyncio.get_running_loop()
        began = time.monotonic()
        waiter = began, loop.create_future()
        self._lines.setdefault(key, deque()).append(waiter)
        self.waiting += 1
        if self._timer is None:
            self._timer = loop.call_later(self._wait_seconds, self._refuse_late)
        try:
            await waiter[1]
        except BaseException:
            self._step_out(key, waiter)
            raise
        finally:
            self._told(time.monotonic() - began)

    def leave(self, key: UUID | None) -> None:
        """Give the place back, to the next in turn."""
        taken = self._taken[key] - 1
        if taken:
            self._taken[key] = taken
        else:
            del self._taken[key]
        self._free += 1
        if self.waiting:
            self._call_next()

    def has_share(self, key: UUID | None) -> bool:
        """Whether the tenant's own share leaves room: if it waits, it waits for others."""
        return self.taken_by(key) < self.share

    def taken_by(self, key: UUID | None) -> int:
        """Places that a tenant has taken."""
        return self._taken.get(key, 0)

    @property
    def taken(self) -> int:
        """Places that are taken."""
        return self._permits - self._free

    @asynccontextmanager
    async def turn(self, key: UUID | None) -> AsyncIterator[None]:
        """A place for the length of the block; raises as `wait`."""
        if not self.take(key):
            await self.wait(key)
        try:
            yield
        finally:
            self.leave(key)

    def _call_next(self) -> None:
        for key in list(self._lines):
            while key in self._lines and (key is None or self._taken.get(key, 0) < self.share):
                _, place = self._lines[key].popleft()
                self._lines.move_to_end(key)
                self._shorten(key)
                if not place.done():  # else its request was cancelled this very moment
                    self.take(key)
                    place.set_result(None)
                    return

    def _refuse_one(self, key: UUID | None) -> None:
        self.refused += 1
        longest = max(self._lines, key=lambda one: len(self._lines[one]))
        if len(self._lines.get(key, ())) >= len(self._lines[longest]):
            raise _busy()
        _, place = self._lines[longest].pop()
        self._shorten(longest)
        if not place.done():  # else its request gave up this very moment, which makes room as well
            place.set_exception(_busy())

    def _refuse_late(self) -> None:
        """Refuse who has waited too long. One timer for all who wait: one for each would cost a request 7 us of CPU."""
        late = time.monotonic() - self._wait_seconds
        for key in list(self._lines):
            while key in self._lines and self._lines[key][0][0] <= late:
                _, place = self._lines[key].popleft()
                self._shorten(key)
                if not place.done():  # else its request was cancelled this very moment
                    self.refused += 1
                    place.set_exception(_busy())
        oldest = min((line[0][0] for line in self._lines.values()), default=None)
        self._timer = asyncio.get_running_loop().call_later(oldest - late, self._refuse_late) if oldest is not None else None

    def _shorten(self, key: UUID | None) -> None:
        self.waiting -= 1
        if not self._lines[key]:
            del self._lines[key]

    def _step_out(self, key: UUID | None, waiter: Waiter) -> None:
        """Leave the line; or, if the place was given at the same moment, give it back."""
        line = self._lines.get(key, deque())
        place = waiter[1]
        if waiter in line:
            line.remove(waiter)
            self._shorten(key)
        elif place.done() and not place.cancelled() and place.exception() is None:
            self.leave(key)


def _busy() -> Unavailable:
    return Unavailable("The service is busy; try again.", retry_after_seconds=RETRY_AFTER_SECONDS)
