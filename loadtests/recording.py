"""What a run measures, as plain dictionaries that processes can send each other and add up."""

import math
import time
from collections.abc import Iterable
from typing import Any

Buckets = dict[int, int]
"""Tenths of a millisecond, rounded up, to how many requests took so long."""
KEPT_REASONS = 50
REASON_LIMIT = 300


def bucket_of(seconds: float) -> int:
    """The bucket of a latency, wide one hundredth of it or a tenth of a millisecond; rounded up, so that no percentile is flattered."""
    tenths = math.ceil(seconds * 10_000)
    width = 10 ** max(0, len(str(tenths)) - 3)
    return math.ceil(tenths / width) * width


def percentile_ms(buckets: Buckets, rank: float) -> float:
    """The nearest-rank percentile in milliseconds; 0.0 of nothing."""
    wanted = math.ceil(rank / 100 * sum(buckets.values()))
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= wanted:
            return bucket / 10
    return 0.0


def merge(into: dict[Any, Any], other: dict[Any, Any]) -> dict[Any, Any]:
    """Add one measurement to another: numbers are summed, dictionaries are merged."""
    for key, value in other.items():
        if isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = into.get(key, 0) + value
    return into


def summed(parts: Iterable[Buckets]) -> Buckets:
    """All latencies of some buckets together."""
    total: Buckets = {}
    for part in parts:
        merge(total, part)
    return total


class Recorder:
    """Collects what one process sees; `drain` hands it over and begins again."""

    def __init__(self) -> None:
        self._seen: dict[str, Any] = {"processes": 1}
        self._cpu = time.process_time()

    def drain(self) -> dict[str, Any]:
        """What was seen since the last time, with the processor time that it took."""
        used = time.process_time()
        seen, self._seen = self._seen, {}
        seen["cpu_seconds"], self._cpu = used - self._cpu, used
        return seen

    def record(self, role: str, kind: str, seconds: float, *, status: str, failed: bool, throttled: bool) -> None:
        """Count one request in the second in which its answer came, and by its kind."""
        bucket = bucket_of(seconds)
        moment = _at(self._seen, "seconds", role, int(time.time()))
        moment["requests"] = moment.get("requests", 0) + 1
        if failed:
            moment["failed"] = moment.get("failed", 0) + 1
        if throttled:
            moment["throttled"] = moment.get("throttled", 0) + 1
        for buckets in (_at(moment, "took"), _at(self._seen, "kinds", role, kind, "took")):
            buckets[bucket] = buckets.get(bucket, 0) + 1
        statuses = _at(self._seen, "kinds", role, kind, "statuses")
        statuses[status] = statuses.get(status, 0) + 1

    def explain(self, kind: str, why: str) -> None:
        """Keep why a request failed; only so many different reasons."""
        reasons = _at(self._seen, "reasons")
        text = f"{kind}: {' '.join(why.split())[:REASON_LIMIT]}"
        if text in reasons or len(reasons) < KEPT_REASONS:
            reasons[text] = reasons.get(text, 0) + 1

    def count(self, what: str, role: str, amount: float = 1) -> None:
        """Add to a total of a role, such as the tenants that began or the requests that were due."""
        totals = _at(self._seen, what)
        totals[role] = totals.get(role, 0) + amount


def _at(tree: dict[Any, Any], *path: Any) -> dict[Any, Any]:
    for key in path:
        tree = tree.setdefault(key, {})
    return tree
