"""Percentiles, bounded findings without the secret, and the token bucket."""

import pytest

from rollhouse.simulator.pacing import Pace
from rollhouse.simulator.tally import Incompatible, Tally, percentile


class Clock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("rank", "value"), [(50, 50), (95, 95), (99, 99), (100, 100), (0, 1)])
def test_percentile_is_nearest_rank(rank: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], rank) == value


def test_percentile_of_one_and_of_nothing() -> None:
    assert percentile([3.0], 99) == 3.0
    assert percentile([], 50) == 0.0


def test_tally_counts_by_type_and_status_and_knows_writes() -> None:
    tally = Tally()
    tally.record_request("match_user", "GET", "200", 0.010)
    tally.record_request("create_user", "POST", "201", 0.020)
    tally.record_request("create_user", "POST", "timeout", 0.040)

    assert tally.statuses_by_type() == {"create_user": {"201": 1, "timeout": 1}, "match_user": {"200": 1}}
    assert tally.latency_ms_by_type()["create_user"] == {"p50": 20.0, "p95": 40.0, "p99": 40.0}
    assert (tally.requests, tally.writes) == (3, 2)


def test_findings_are_bounded_and_never_hold_the_secret() -> None:
    tally = Tally(secret="hush-hush")
    for number in range(150):
        why = f"you sent\n hush-hush {number // 10} " + "x" * 999
        tally.record_incompatible(Incompatible("t", "GET", "/Users?x=hush-hush", "400", why))

    assert (len(tally.incompatible), tally.incompatible_count) == (100, 150)
    assert "hush" not in str(tally.incompatible)
    assert len(tally.incompatible[0].why) == 400


def test_one_violation_does_not_hide_the_others() -> None:
    tally = Tally()
    for status in ["400"] * 150 + ["404"]:
        tally.record_incompatible(Incompatible("t", "GET", "/Users", status, "why"))

    assert [violation.status for violation in tally.incompatible] == ["400"] * 10 + ["404"]


def test_bucket_lets_a_burst_go_and_then_keeps_the_rate() -> None:
    clock = Clock()
    pace = Pace(25.0, clock=clock)

    assert [pace.reserve() for _ in range(50)] == [0.0] * 50
    assert pace.reserve() == pytest.approx(0.04)
    assert pace.reserve() == pytest.approx(0.08)
    clock.now = 10.0
    assert [pace.reserve() for _ in range(50)] == [0.0] * 50
    assert pace.reserve() > 0


def test_uncapped_pace_waits_only_for_a_pause() -> None:
    clock = Clock()
    pace = Pace(0.0, clock=clock)
    assert pace.reserve() == 0.0
    pace.pause(7.0)
    pace.pause(3.0)

    assert pace.reserve() == 7.0
    clock.now = 7.0
    assert pace.reserve() == 0.0
