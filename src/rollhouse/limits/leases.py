"""What a process has of one key in advance (docs/decisions/0014-leases.md)."""

from rollhouse.limits.limit import Limit

LEASE_SECONDS = 1.0
"""How long a process may spend what it has leased."""
LEASE_MOST = 25
"""Most that one process leases at once of one key: of 25 requests one pays for the question then, and more would save a microsecond."""
LEASE_SHARE = 4
"""It leases at most what comes back in this part of a second: a quarter; a key with less than four a second is asked for at each request."""


class Lease:
    """What Redis has let this process have in advance of one key, and what the next question is told by."""

    __slots__ = ("asked", "is_asking", "left", "limit", "spent", "whole_at")

    def __init__(self, limit: Limit, now: float) -> None:
        self.limit = limit
        self.left = 0
        self.asked = now
        """When Redis was asked for it, in monotonic seconds."""
        self.spent = 0
        """What requests that passed have cost since then, that one included."""
        self.whole_at = now
        """When the whole burst is there again by itself, as Redis said last, in monotonic seconds: what is left then has come back."""
        self.is_asking = False
        """Whether somebody asks for more: others that have to ask meanwhile ask for themselves alone."""

    def pays(self, cost: int, now: float) -> bool:
        """Whether a request can be paid for; it is, then."""
        if self.left < cost or now >= self.asked + LEASE_SECONDS:
            return False
        self.left -= cost
        self.spent += cost
        return True

    def renew(self, now: float) -> tuple[int, int]:
        """What to give back, and what to ask for in advance.

        Asked for is what a second took on the average since the last question, or twice what was used if that was less than a second ago.
        """
        since = now - self.asked
        returned = self.left if now < self.whole_at else 0
        wanted = 2 * self.spent if since < LEASE_SECONDS else int(self.spent / since)
        self.left = self.spent = 0
        self.asked = now
        return returned, min(wanted, LEASE_MOST, self.limit.rate_per_second // LEASE_SHARE)
