"""The load profiles: which tenants send what, how fast, from when on, and what the service must hold meanwhile."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rollhouse.simulator.generation import SMALL, Size

MEDIUM = Size(2_000, 60, 12_000)
"""Size M of the simulator's directories."""
CERTIFIED_RATE = 25.0
"""Requests a second and tenant that Entra ID asks a service to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What one tenant does in a run."""

    name: str
    rate_per_second: float
    """Turns a second; a request waits for its turn, and up to two seconds' worth of turns are kept for a late one."""
    work: Literal["mix", "cycles"]
    """The constant mix of requests, or one initial cycle and then incremental ones."""
    joins: tuple[float, float] = (0.0, 0.0)
    """Shares of the run between which the tenants of this role begin, one after another."""
    workers: int = 14
    """Requests in flight at most: Entra ID's 8 for users and 6 for members."""
    size: Size = SMALL
    """Of the directory, for cycles."""
    limit: tuple[int, int] | None = None
    """Requests a second and burst that the tenant is limited to; None is the service's own default."""
    throttled: bool = False
    """Whether 429 is what it should be answered; such a tenant's latency is judged by nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProfile:
    """A kind of load and its pass condition; errors are never allowed, and no 429 to a role that is not throttled."""

    name: str
    purpose: str
    arrange: Callable[[int], list[tuple[Role, int]]]
    """Number of tenants to roles and how many tenants have each, in order of joining."""
    p99_ms: float
    p95_ms: float | None = None
    fewest_tenants: int = 1

    def seats(self, tenants: int) -> list[Role]:
        """The role of each tenant, in order of joining."""
        return [role for role, count in self.arrange(tenants) for _ in range(count)]

    def tenants_at(self, tenants: int, share: float) -> int:
        """How many tenants take part when this share of the run is over."""
        return sum(_joined(role, count, share) for role, count in self.arrange(tenants))


def _joined(role: Role, count: int, share: float) -> int:
    begin, end = role.joins
    if share >= end:
        return count
    return 0 if share < begin else min(count, 1 + math.floor(count * (share - begin) / (end - begin)))


STEADY = Role(name="steady", rate_per_second=5, work="mix")
INITIAL = Role(name="initial", rate_per_second=CERTIFIED_RATE, work="cycles", joins=(0.1, 0.6), size=MEDIUM)
CERTIFIED = Role(name="certified", rate_per_second=CERTIFIED_RATE, work="mix")
NEIGHBOUR = Role(name="neighbours", rate_per_second=5, work="mix")
OFFENDER = Role(name="offender", rate_per_second=200, work="mix", joins=(0.3, 0.3), workers=32, limit=(25, 50), throttled=True)
CYCLING = Role(name="cycling", rate_per_second=CERTIFIED_RATE, work="cycles")


def _busy_hour(tenants: int) -> list[tuple[Role, int]]:
    """One tenant in five begins, the others are there already."""
    beginners = max(1, tenants // 5)
    return [(STEADY, tenants - beginners), (INITIAL, beginners)]


PROFILES = {
    profile.name: profile
    for profile in (
        LoadProfile(
            name="baseline",
            purpose="A mixed steady load: every tenant 5 requests a second.",
            arrange=lambda tenants: [(STEADY, tenants)],
            p99_ms=250,
        ),
        LoadProfile(
            name="busy-hour",
            purpose="Tenants begin their initial cycles one after another, at 25 requests a second, over others at 5.",
            arrange=_busy_hour,
            p95_ms=300,
            p99_ms=1000,
            fewest_tenants=2,
        ),
        LoadProfile(
            name="certification",
            purpose="A constant 25 requests a second at every tenant, in the mix that Entra ID sends.",
            arrange=lambda tenants: [(CERTIFIED, tenants)],
            p99_ms=250,
        ),
        LoadProfile(
            name="stress",
            purpose="One tenant sends eight times its limit from the first third on; its neighbours send 5 a second and must not notice.",
            arrange=lambda tenants: [(NEIGHBOUR, tenants - 1), (OFFENDER, 1)],
            p99_ms=250,
            fewest_tenants=2,
        ),
        LoadProfile(
            name="stampede",
            purpose="Every tenant begins its initial cycle at the same moment, with a burst of 50 requests.",
            arrange=lambda tenants: [(CYCLING, tenants)],
            p99_ms=1000,
        ),
    )
}
