"""Counts of what was asked and answered: statuses, latencies and incompatible answers by request type."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

KEPT_VIOLATIONS = 100
"""How many incompatible answers are kept in full; the rest is only counted."""
KEPT_OF_A_KIND = 10
"""How many of them may be the same violation by the same request type, so that one does not hide the others."""
WHY_LIMIT = 400
"""Characters of an explanation that are kept."""


class Incompatible(NamedTuple):
    """One answer that Entra could not work with (its ServiceIncompatible, section 12.2)."""

    request_type: str
    method: str
    path: str
    status: str
    why: str


@dataclass(slots=True)
class Tally:
    """What a run has seen so far; `secret` is blotted out of every explanation."""

    secret: str = ""
    statuses: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    latencies_seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    incompatible: list[Incompatible] = field(default_factory=list)
    incompatible_count: int = 0
    kinds: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    writes: int = 0
    requests: int = 0

    def record_request(self, request_type: str, method: str, status: str, seconds: float) -> None:
        """Count one exchange; everything but GET is a write."""
        self.statuses[request_type][status] += 1
        self.latencies_seconds[request_type].append(seconds)
        self.requests += 1
        if method != "GET":
            self.writes += 1

    def record_incompatible(self, violation: Incompatible) -> None:
        """Count one violation and keep it when it is among the first 100, and the first 10 of its kind."""
        self.incompatible_count += 1
        kind = (violation.request_type, violation.status, violation.why[:WHY_LIMIT])
        if len(self.incompatible) < KEPT_VIOLATIONS and self.kinds[kind] < KEPT_OF_A_KIND:
            self.kinds[kind] += 1
            why, path = " ".join(violation.why.split()), violation.path
            if self.secret:
                why, path = why.replace(self.secret, "***"), path.replace(self.secret, "***")
            self.incompatible.append(violation._replace(why=why[:WHY_LIMIT], path=path[:WHY_LIMIT]))

    def statuses_by_type(self) -> dict[str, dict[str, int]]:
        """Request type to status to count, both sorted."""
        return {kind: dict(sorted(counts.items())) for kind, counts in sorted(self.statuses.items())}

    def latency_ms_by_type(self) -> dict[str, dict[str, float]]:
        """Request type to p50, p95 and p99 in milliseconds, over all its requests."""
        return {
            kind: {f"p{rank}": round(percentile(seconds, rank) * 1000, 2) for rank in (50, 95, 99)} for kind, seconds in sorted(self.latencies_seconds.items())
        }


def percentile(values: Sequence[float], rank: float) -> float:
    """The nearest-rank percentile: the smallest value that at least `rank` percent do not exceed; 0.0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(rank / 100 * len(ordered)) - 1)]
