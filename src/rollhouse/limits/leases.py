"""What a process has of one key in advance (docs/decisions/0014-leases.md)."""

from rollhouse.limits.limit import Limit

LEASE_SECONDS = 1.0
"""How long a process may spend what it has leased."""
LEASE_MOST = 25
"""Most that one process leases at once of one key (docs/decisions/0014-leases.md)."""
LEASE_SHARE = 4
"""It leases at most what comes back in this part of a second: a quarter; a key with less than four a second is asked for at each request."""
RETURN_SECONDS = 10.0
"""So long after it was leased what is left may be given back; later it has come back by itself."""


class Lease:
    """What Redis has let this process have in advance of one key, and what the next question is told by."""

    __slots__ = ("asked", "is_asking", "left", "limit", "spent")

    def __init__(self, limit: Limit, now: float) -> None:
        self.limit = limit
        self.left = 0
        self.asked = now
        """When Redis was asked for it, in monotonic seconds."""
        self.spent = 0
        """What requests have cost since then, that one included."""
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
        """What to give back, and what to ask for in advance: what a second takes by the time since the last question, twice the use if that was shorter."""
        since = now - self.asked
        returned = self.left if since < RETURN_SECONDS else 0
        wanted = 2 * self.spent if since < LEASE_SECONDS else int(self.spent / since)
        self.left = self.spent = 0
        self.asked = now
        return returned, min(wanted, LEASE_MOST, self.limit.rate_per_second // LEASE_SHARE)
