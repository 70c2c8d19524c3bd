"""The plan of a run: the profile, and each tenant's URL and secret; every process of the run reads it from one private file."""

import os
from pathlib import Path

import msgspec

from loadtests.profiles import PROFILES, LoadProfile

PLAN_VARIABLE = "LOADTEST_PLAN"
"""By which the command tells locust's processes where the plan lies."""


class Seat(msgspec.Struct, frozen=True):
    """One tenant that takes part."""

    slug: str
    scim_url: str
    credential_id: str
    secret: str

    def __repr__(self) -> str:
        return f"Seat({self.slug!r})"


class Plan(msgspec.Struct, frozen=True):
    """What a run is; the seats are in the order of the profile's."""

    profile_name: str
    url: str
    seconds: float
    seats: list[Seat]

    @property
    def profile(self) -> LoadProfile:
        """The profile that is run."""
        return PROFILES[self.profile_name]


def read_plan(path: Path) -> Plan:
    """The plan in a file."""
    return msgspec.json.decode(path.read_bytes(), type=Plan)


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan where nobody else can read it: it holds secrets."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(plan))


def result_path(plan: Path) -> Path:
    """Where the process that leads a run leaves what was measured."""
    return plan.with_suffix(".result.json")


def planned() -> tuple[Path, Plan]:
    """The plan that this process was started for."""
    path = Path(os.environ[PLAN_VARIABLE])
    return path, read_plan(path)
