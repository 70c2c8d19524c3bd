"""Requests by tenant as metrics, with a bound: the busiest tenants have series of their own, all others share one name."""

import time
from collections.abc import Iterable, Iterator
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rollhouse.telemetry.metrics import REGISTRY

SLOTS = 1000
"""Tenants with series of their own in one process: at most five series each."""
TOLERANCE_SERIES = 500
"""Series of tenants' tolerances in one process; what would be one more is counted for the others."""
OTHER = "_other"
"""The name that the others share; no slug begins with a low line."""
ROTATE_SECONDS = 300.0
CANDIDATES = 10_000
"""Tenants without series whose requests are counted until the next rotation."""
LEAD = 2
"""How many times busier a tenant must be than one with series to take its place."""

Outcome = Literal["success", "client_error", "throttled", "server_error"]
OUTCOMES: tuple[Outcome, ...] = ("success", "client_error", "throttled", "server_error")
_THROTTLED, _CLIENT, _SERVER = 429, 400, 500


class _Counts:
    """What one name has counted; `recent` fades, so that who was busy once makes room."""

    __slots__ = ("last_success", "outcomes", "recent", "tolerances")

    def __init__(self) -> None:
        self.outcomes = [0, 0, 0, 0]
        self.tolerances: dict[str, int] = {}
        self.last_success = 0.0
        self.recent = 0


class Traffic(Collector):
    """Requests by tenant and outcome, and when each tenant last succeeded.

    A tenant that loses its series starts again at zero when it comes back, which counters may; `_other` only ever grows.
    """

    def __init__(self, slots: int = SLOTS) -> None:
        self._slots = slots
        self._named: dict[str, _Counts] = {}
        self._others = _Counts()
        self._candidates: dict[str, int] = {}
        self._rotates = time.monotonic() + ROTATE_SECONDS
        self._tolerance_series = 0

    def count(self, slug: str, status: int, tolerances: Iterable[str] = ()) -> None:
        """Count a request of a tenant whose secret was right, and the tolerances that it needed."""
        counts = self._named.get(slug)
        if counts is None:
            counts = self._without_series(slug)
        counts.recent += 1
        for name in tolerances:
            self._count_tolerance(counts, name)
        if status < _CLIENT:
            counts.outcomes[0] += 1
            counts.last_success = time.time()
        else:
            counts.outcomes[2 if status == _THROTTLED else 1 if status < _SERVER else 3] += 1

    def _count_tolerance(self, counts: _Counts, name: str) -> None:
        if name not in counts.tolerances and counts is not self._others:
            if self._tolerance_series >= TOLERANCE_SERIES:
                counts = self._others
            else:
                self._tolerance_series += 1
        counts.tolerances[name] = counts.tolerances.get(name, 0) + 1

    def _without_series(self, slug: str) -> _Counts:
        if len(self._named) < self._slots:
            return self._named.setdefault(slug, _Counts())
        if slug in self._candidates or len(self._candidates) < CANDIDATES:
            self._candidates[slug] = self._candidates.get(slug, 0) + 1
        if time.monotonic() >= self._rotates:
            self.rotate()
        return self._named.get(slug, self._others)

    def rotate(self) -> None:
        """Give the series of the quietest tenants to those without that were at least twice as busy."""
        self._rotates = time.monotonic() + ROTATE_SECONDS
        named = dict(self._named)
        quiet = sorted(named, key=lambda slug: named[slug].recent)
        busy = sorted(self._candidates.items(), key=lambda one: -one[1])
        for old, (new, recent) in zip(quiet, busy, strict=False):
            if recent < LEAD * max(1, named[old].recent):
                break
            self._tolerance_series -= len(named[old].tolerances)
            del named[old]
            named[new] = _Counts()
            named[new].recent = recent
        for counts in named.values():
            counts.recent //= 2
        self._candidates = {}
        self._named = named  # replaced as a whole: a scrape reads it from another thread

    def collect(self) -> Iterator[Metric]:
        """Three families: requests by tenant and outcome, the last success of each tenant with series, and the tolerances that each needed."""
        requests = CounterMetricFamily("rollhouse_tenant_requests", "Requests with a right secret, by tenant and outcome.", labels=("tenant", "outcome"))
        success = GaugeMetricFamily("rollhouse_tenant_last_success_timestamp_seconds", "When a tenant's request last succeeded here.", labels=("tenant",))
        tolerances = CounterMetricFamily(
            "rollhouse_tenant_tolerances", "Requests that needed a tolerance of the client's dialect, by tenant and tolerance.", labels=("tenant", "tolerance")
        )
        for slug, counts in [*self._named.copy().items(), (OTHER, self._others)]:
            for outcome, count in zip(OUTCOMES, counts.outcomes, strict=True):
                if count:
                    requests.add_metric((slug, outcome), count)
            if counts.last_success and slug != OTHER:
                success.add_metric((slug,), counts.last_success)
            for name, count in counts.tolerances.copy().items():
                tolerances.add_metric((slug, name), count)
        yield requests
        yield success
        yield tolerances


TRAFFIC = Traffic()
REGISTRY.register(TRAFFIC)
