"""How fast a job may ask: a token bucket, and the pause that a 429 imposes on the whole job."""

import asyncio
import time
from collections.abc import Callable

BURST = 50
"""Requests that may go out at once after a quiet time (section 12.1)."""


class Pace:
    """Hands out turns at a steady rate with bursts; a rate of 0 is uncapped."""

    def __init__(self, rate_per_second: float, burst: int = BURST, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate_per_second
        self._burst = float(burst)
        self._clock = clock
        self._tokens = float(burst)
        self._filled_at = clock()
        self._paused_until = 0.0

    def reserve(self) -> float:
        """Take the next turn; the seconds until it comes."""
        now = self._clock()
        wait_seconds = max(0.0, self._paused_until - now)
        if self._rate <= 0:
            return wait_seconds
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        self._tokens -= 1
        return max(wait_seconds, -self._tokens / self._rate)

    def pause(self, seconds: float) -> None:
        """Let nobody go for some seconds from now."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    async def wait_for_turn(self) -> None:
        """Sleep until the next turn."""
        seconds = self.reserve()
        if seconds > 0:
            await asyncio.sleep(seconds)
