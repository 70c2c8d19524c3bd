"""The rate limit counted in one process."""

from hypothesis import given
from hypothesis import strategies as st

from rollhouse.limits.gcra import LOCAL_KEYS, LocalLimiter
from rollhouse.limits.limit import Limit


def test_a_burst_passes_and_then_the_rate() -> None:
    limiter, limit = LocalLimiter(), Limit(rate_per_second=50, burst=200)

    passed = [limiter.decide("a", limit, 0.0).allowed for _ in range(250)]
    assert passed == [True] * 200 + [False] * 50
    assert limiter.decide("a", limit, 0.0).retry_after_seconds == 1
    assert [limiter.decide("a", limit, 1.0).allowed for _ in range(60)].count(True) == 50


def test_a_tenant_at_half_its_rate_is_never_refused() -> None:
    limiter, limit = LocalLimiter(), Limit(rate_per_second=50, burst=200)

    assert all(limiter.decide("a", limit, number / 25).allowed for number in range(5000))


def test_one_tenant_does_not_spend_anothers_budget() -> None:
    limiter, limit = LocalLimiter(), Limit(rate_per_second=1, burst=1)

    assert limiter.decide("a", limit, 0.0).allowed
    assert not limiter.decide("a", limit, 0.0).allowed
    assert limiter.decide("b", limit, 0.0).allowed


@given(st.lists(st.floats(0, 0.5), max_size=200), st.integers(1, 20), st.integers(1, 20))
def test_never_more_than_burst_and_rate_allow(gaps: list[float], rate: int, burst: int) -> None:
    limiter, now, passed = LocalLimiter(), 100.0, []
    for gap in gaps:
        now += gap
        if limiter.decide("a", Limit(rate, burst), now).allowed:
            passed.append(now)
    for start in range(len(passed)):
        for end in range(start, len(passed)):
            assert end - start + 1 <= burst + rate * (passed[end] - passed[start]) + 1e-6


def test_what_is_remembered_is_bounded() -> None:
    limiter = LocalLimiter()
    for number in range(LOCAL_KEYS + 500):
        limiter.decide(str(number), Limit(1, 1), float(number))

    assert len(limiter._arrivals) == LOCAL_KEYS


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([1, 2])), min_size=25, max_size=25), st.integers(2, 40))
def test_a_tenant_at_twenty_five_requests_a_second_is_never_refused_whatever_they_cost(second: list[tuple[float, int]], seconds: int) -> None:
    """The rate that identity providers are promised: 25 requests anywhere in each second, reads, writes and dear filters in any mix."""
    limiter, limit = LocalLimiter(), Limit(rate_per_second=50, burst=200)

    assert all(limiter.decide("a", limit, number + at, cost).allowed for number in range(seconds) for at, cost in sorted(second))


def test_what_is_owed_at_a_low_rate_is_not_owed_at_a_higher_one() -> None:
    limiter = LocalLimiter()
    for _ in range(31):
        limiter.decide("a", Limit(rate_per_second=1, burst=30), 0.0)
    raised = Limit(rate_per_second=50, burst=200)

    assert limiter.decide("a", raised, 0.0).retry_after_seconds == 1
    assert limiter.decide("a", raised, 1.0).allowed
