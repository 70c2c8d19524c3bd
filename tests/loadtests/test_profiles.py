"""The profiles are well formed, and the command that reads them leaves this process as it is."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from loadtests.profiles import PROFILES, LoadProfile

ROOT = Path(__file__).resolve().parents[2]
EVERY = pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
COUNTS = (2, 5, 40)


def test_there_is_a_profile_of_every_kind_of_load() -> None:
    assert list(PROFILES) == ["baseline", "busy-hour", "certification", "stress", "stampede"]


@EVERY
def test_every_tenant_has_a_role_and_a_place_in_the_order_of_joining(profile: LoadProfile) -> None:
    for tenants in COUNTS:
        seats = profile.seats(tenants)
        assert len(seats) == tenants
        assert [role.joins for role in seats] == sorted(role.joins for role in seats)
        for role in seats:
            assert role.rate_per_second > 0
            assert 0 <= role.joins[0] <= role.joins[1] < 1


@EVERY
def test_tenants_join_and_stay_until_everybody_is_there(profile: LoadProfile) -> None:
    for tenants in COUNTS:
        counts = [profile.tenants_at(tenants, step / 100) for step in range(101)]
        assert counts == sorted(counts)
        assert counts[0] > 0
        assert counts[-1] == tenants


@EVERY
def test_roles_that_overlap_in_time_are_not_mixed_up(profile: LoadProfile) -> None:
    """The tenants that take part are always the first seats: a role joins when the one before it is complete."""
    windows = [role.joins for role, count in profile.arrange(40) if count]
    assert all(before[1] <= after[0] for before, after in pairwise(windows))


@EVERY
def test_somebody_is_judged(profile: LoadProfile) -> None:
    assert any(not role.throttled for role in profile.seats(profile.fewest_tenants))
    assert profile.p99_ms > 0


def test_the_certification_is_25_requests_a_second_at_every_tenant() -> None:
    profile = PROFILES["certification"]
    assert {(role.rate_per_second, role.work, role.joins, role.limit) for role in profile.seats(40)} == {(25, "mix", (0, 0), None)}
    assert profile.p99_ms == 250


def test_the_stampede_begins_at_once_and_the_busy_hour_does_not() -> None:
    assert PROFILES["stampede"].tenants_at(40, 0) == 40
    assert [PROFILES["busy-hour"].tenants_at(40, share) for share in (0, 0.4, 0.6)] == [32, 37, 40]


def test_the_offender_is_far_over_a_limit_of_its_own() -> None:
    *neighbours, offender = PROFILES["stress"].seats(6)
    assert offender.limit is not None
    assert offender.rate_per_second >= 8 * offender.limit[0]
    assert {role.name for role in neighbours} == {"neighbours"}


def test_the_command_does_not_load_gevent() -> None:
    """It replaces parts of the standard library, and belongs in locust's processes alone."""
    program = "import sys, loadtests.__main__; sys.exit('gevent' in sys.modules or 'locust' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
