"""Escrow distances and the quarantine schedule (scim-clients sections 7 and 12.6)."""

import pytest

from rollhouse.simulator.job import escrow_distance, quarantine_hours


@pytest.mark.parametrize(("attempts", "cycles"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 36), (8, 36), (1000, 36)])
def test_escrow_distance_doubles_up_to_a_day(attempts: int, cycles: int) -> None:
    assert escrow_distance(attempts, 40 * 60) == cycles


def test_escrow_is_retried_in_the_next_cycle_even_when_cycles_are_longer_than_a_day() -> None:
    assert escrow_distance(9, 7 * 24 * 3600) == 1


def test_quarantine_is_retried_at_six_twelve_and_twenty_four_hours_then_daily_for_28_days() -> None:
    assert [quarantine_hours(attempt) for attempt in range(1, 6)] == [6, 12, 24, 48, 72]
    assert quarantine_hours(29) == 27 * 24
    assert quarantine_hours(30) is None
