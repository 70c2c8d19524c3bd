"""The deadline of every request by one clock for all of them: a timer of its own costs a request 10 us of CPU."""

import asyncio
import time
from collections.abc import Awaitable
from types import TracebackType
from typing import Self

from rollhouse.scim.errors import RequestTimeout, ScimError, Unavailable

TICK_SECONDS = 0.25
RETRY_AFTER_SECONDS = 5


class Deadline:
    """A block of one task that ends after `seconds`, a tick later at most, with a refusal: `with deadlines.after(8)`."""

    __slots__ = ("_body_seconds", "_deadlines", "_is_over", "_task", "at")

    def __init__(self, deadlines: "Deadlines", seconds: float) -> None:
        self._deadlines = deadlines
        self._is_over = False
        self._body_seconds: float | None = None
        self.at = time.monotonic() + seconds

    async def body(self, reading: Awaitable[bytes], seconds: float) -> bytes:
        """What a client sends within so many seconds, which are not the block's: the time that it takes is not the service's.

        The block is ended with RequestTimeout if they are over.
        """
        began = time.monotonic()
        left = self.at - began
        self.at, self._body_seconds = began + seconds, seconds
        try:
            return await reading
        finally:
            if not self._is_over:
                self.at, self._body_seconds = time.monotonic() + left, None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._deadlines.open.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._deadlines.open.discard(self)
        if self._is_over and self._task is not None and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise self._refusal() from error

    def check(self, now: float) -> None:
        """End the block if its time is over."""
        if now >= self.at and not self._is_over and self._task is not None:
            self._is_over = True
            self._task.cancel()

    def _refusal(self) -> ScimError:
        if self._body_seconds is not None:
            return RequestTimeout(f"The body did not arrive within {self._body_seconds:g} seconds; send the request again.")
        return Unavailable("The service could not answer in time; try again.", retry_after_seconds=RETRY_AFTER_SECONDS)


class Deadlines:
    """All deadlines under way in a process; bounded by the requests under way."""

    def __init__(self) -> None:
        self.open: set[Deadline] = set()

    def after(self, seconds: float) -> Deadline:
        """The deadline of one block, from now on; it raises Unavailable, with Retry-After, when its time is over."""
        return Deadline(self, seconds)

    async def watch(self) -> None:
        """Look at every deadline four times a second; runs until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            for deadline in list(self.open):
                deadline.check(now)
