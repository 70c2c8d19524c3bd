"""What a key may spend: a rate, and a burst after a pause."""

import math
from functools import cached_property

import msgspec

RATE_LIMIT = 1_000_000
"""Most that a rate or a burst may be set to."""


class Limit(msgspec.Struct, frozen=True, dict=True):
    """`rate_per_second` sustained, `burst` at once after a pause; a rate of 0 is no limit."""

    rate_per_second: int
    burst: int

    @cached_property
    def policy(self) -> str:
        """The value of RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10): the burst, and the seconds in which it is there again."""
        return f'"tenant";q={self.burst};w={max(1, math.ceil(self.burst / self.rate_per_second))}'
