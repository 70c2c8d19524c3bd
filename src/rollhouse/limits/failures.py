"""Failed authentications, limited on their own: by the lookup id that was tried and by where they came from."""

import ipaddress
from functools import lru_cache

from rollhouse.limits.gcra import LocalLimiter
from rollhouse.limits.limit import Limit
from rollhouse.scim.errors import TooManyRequests

OF_ONE_SECRET = Limit(rate_per_second=1, burst=100)
OF_ONE_SOURCE = Limit(rate_per_second=50, burst=1000)
_IPV6_PREFIX = 64


OF_PASSWORDS = Limit(rate_per_second=1, burst=300)
COST_OF_A_PASSWORD = 30
"""Ten tries at once, then one in half a minute: of one account, and from one source."""


class PasswordTries:
    """Tries of passwords, counted before one is looked at: a guess costs 19 MiB and two passes. In this process, bounded."""

    def __init__(self) -> None:
        self._tries = LocalLimiter()

    async def count(self, account: str, source: str) -> None:
        """Count one try.

        Raises:
            TooManyRequests: there were too many of this account or from this source; with Retry-After.
        """
        decisions = [await self._tries.admit(key, OF_PASSWORDS, COST_OF_A_PASSWORD) for key in (f"account {account}", f"source {network_of(source)}")]
        wait = max(decision.retry_after_seconds for decision in decisions)
        if wait:
            raise TooManyRequests("Too many tries. Wait, or ask for a one-time link.", retry_after_seconds=wait)


class FailedAuthentications:
    """Counts in this process, bounded; a secret that verifies is never asked for here, whatever its address did before.

    All Entra tenants share addresses, so an address is no reason to refuse a right secret (threat T37); and the count of one
    process is enough, because each guess needs one and a secret has 256 bits.
    """

    def __init__(self) -> None:
        self._secrets = LocalLimiter()
        self._sources = LocalLimiter()

    async def note(self, lookup_id: str | None, source: str) -> None:
        """Count one failure.

        Raises:
            TooManyRequests: there were too many of this secret or from this source; with Retry-After.
        """
        decisions = [await self._sources.admit(network_of(source), OF_ONE_SOURCE)]
        if lookup_id is not None:
            decisions.append(await self._secrets.admit(lookup_id, OF_ONE_SECRET))
        wait = max(decision.retry_after_seconds for decision in decisions)
        if wait:
            raise TooManyRequests("Too many requests with a wrong secret. Copy a current secret from the portal, then try again.", retry_after_seconds=wait)


@lru_cache(maxsize=10_000)
def network_of(source: str) -> str:
    """The address itself, or the /64 of an IPv6 address: whoever has one has all of it."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    return str(address)
