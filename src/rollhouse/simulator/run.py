"""Runs a scenario of a simulated Entra tenant against any SCIM server: the entry point of this room."""

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import Literal

from rollhouse.simulator.client import ScimClient, open_session
from rollhouse.simulator.job import Job, Progress, SilentProgress
from rollhouse.simulator.oracle import take_snapshot
from rollhouse.simulator.pacing import Pace
from rollhouse.simulator.profile import Dialect, Profile, draw_dialect, draw_profile
from rollhouse.simulator.report import Report
from rollhouse.simulator.scenarios import SCENARIOS
from rollhouse.simulator.stage import QuarantinedError, Stage
from rollhouse.simulator.tally import Tally
from rollhouse.simulator.tenant_url import parse_tenant_url


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioRequest:
    """What to run, against what, and how hard."""

    url: str
    """The tenant URL; may end with a slash and carry the flag."""
    secret: str = field(repr=False)
    """The bearer secret."""
    scenario: str = "smoke"
    """A key of SCENARIOS."""
    seed: int = 1
    tenant_number: int = 0
    run_tag: str = "run"
    """Lower-case letters, digits and hyphens; runs with another tag do not meet on a server."""
    dialect: Literal["legacy", "flag", "mixed"] = "mixed"
    """Mixed: flag when the URL carries it, and else by the seed."""
    rate_per_second: float = 25.0
    """Requests per second with a burst of 50; 0 is uncapped."""
    scale: float = 1.0
    """Factor on the size of the directory."""
    members_per_patch: int = 1
    user_workers: int = 8
    group_workers: int = 6
    members: int = 0
    """Members of bigGroup; 0 is 50,000 times the scale."""
    timeout_seconds: float = 30.0
    pause_seconds: float | None = 0.0
    """Between two cycles; None is the interval of the profile, as a rule Entra ID's 40 minutes."""


async def run_scenario(request: ScenarioRequest, progress: Progress | None = None) -> Report:
    """Run one scenario to its end or to quarantine and report on it.

    Raises:
        KeyError: the scenario is unknown.
        ValueError: the tenant URL is not absolute.
        UnreachableError: nothing answers at the tenant URL.

    """
    scenario = SCENARIOS[request.scenario]
    tenant_url = parse_tenant_url(request.url)
    profile = scenario.profile(_profile_of(request, flagged=tenant_url.flagged))
    tally = Tally(secret=request.secret)
    connections = profile.user_workers + profile.group_workers + 2
    started = time.monotonic()
    async with open_session(request.secret, request.timeout_seconds, connections) as session:
        client = ScimClient(session, tenant_url, profile, tally, Pace(request.rate_per_second))
        directory = scenario.directory(profile, request.scale, request.members)
        job = Job(profile, directory, client, profile.dialect, progress or SilentProgress())
        stage = Stage(profile, directory, job, client, await take_snapshot(job), pause_seconds=request.pause_seconds)
        stage.switch_dialect(profile.dialect)
        with contextlib.suppress(QuarantinedError):
            await scenario.play(stage)
    return _report_on(request, stage, time.monotonic() - started)


def _profile_of(request: ScenarioRequest, *, flagged: bool) -> Profile:
    by_itself: Dialect = "flag" if flagged else draw_dialect(request.seed, request.tenant_number)
    dialect = by_itself if request.dialect == "mixed" else request.dialect
    drawn = draw_profile(request.seed, request.tenant_number, request.run_tag, dialect)
    return replace(
        drawn,
        members_per_patch=request.members_per_patch,
        user_workers=request.user_workers,
        group_workers=request.group_workers,
    )


def _report_on(request: ScenarioRequest, stage: Stage, elapsed_seconds: float) -> Report:
    profile, job = stage.profile, stage.job
    held = [f"{key.kind} {key.source_id} {key.member_id}".strip() + f": {e.reason}" for key, e in job.escrow.items()]
    return Report(
        scenario=request.scenario,
        seed=request.seed,
        run_tag=request.run_tag,
        dialect=profile.dialect,
        profile={
            "user_match": profile.user_match,
            "group_match": profile.group_match,
            "externalId": profile.external_id_source,
            "flag_in_urls": profile.flag_propagation,
            "extension": profile.custom_extension or "none",
            "on_429": "honour" if profile.honours_retry_after else "ignore",
        },
        tally=stage.client.tally,
        elapsed_seconds=elapsed_seconds,
        quarantined=job.quarantine_reason,
        escrow=sorted(held),
        divergences=stage.divergences,
        cycles=stage.cycles,
        writes_in_second_incremental=stage.quiet_writes,
        evaluated_in_second_incremental=stage.quiet_people,
    )
