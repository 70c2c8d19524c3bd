"""What the pictures of a tenant's growth are made of."""

from datetime import date, timedelta

from rollhouse.activity.health import MONTH, Headcount, growth_of

TODAY = date(2026, 11, 27)


def test_before_the_first_day_there_were_none() -> None:
    heads = [Headcount(TODAY - timedelta(days=2), "Thing", 7), Headcount(TODAY - timedelta(days=9), "User", 3), Headcount(TODAY, "Thing", 8)]

    assert growth_of(heads, "Thing", 9, TODAY) == [("2026-11-24", 0), ("2026-11-25", 7), ("2026-11-27", 9)]
    assert growth_of([], "Thing", 0, TODAY) == [("2026-11-26", 0), ("2026-11-27", 0)]


def test_what_was_before_the_month_is_not_made_up() -> None:
    heads = [Headcount(TODAY - MONTH, "Thing", 7)]

    assert growth_of(heads, "Thing", 9, TODAY) == [("2026-10-28", 7), ("2026-11-27", 9)]
