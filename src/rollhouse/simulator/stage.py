"""What a scenario stands on: the directory, the job, and the steps that run a cycle and look at the result."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from rollhouse.simulator.churn import churn_directory, touch_directory
from rollhouse.simulator.client import ScimClient
from rollhouse.simulator.cycles import run_incremental_cycle, run_initial_cycle
from rollhouse.simulator.directory import Directory
from rollhouse.simulator.job import Job
from rollhouse.simulator.oracle import Divergence, Snapshot, compare_server
from rollhouse.simulator.profile import Dialect, Profile
from rollhouse.simulator.report import CycleRecord

SETTLING_CYCLES = 6
"""Extra incremental cycles that escrow gets before the quiet one."""
TOUCHED_PEOPLE, TOUCHED_LEAVERS = 500, 50
"""How many people the quiet cycle evaluates at most."""


class QuarantinedError(Exception):
    """The job stopped; the scenario is over."""


@dataclass(slots=True)
class Stage:
    """A tenant on stage; scenarios change the directory and call cycles, which verify themselves."""

    profile: Profile
    directory: Directory
    job: Job
    client: ScimClient
    snapshot: Snapshot
    pause_seconds: float | None = 0.0
    divergences: list[Divergence] = field(default_factory=list)
    cycles: list[CycleRecord] = field(default_factory=list)
    quiet_writes: int = -1
    quiet_people: int = 0
    _rounds: int = 0

    def switch_dialect(self, dialect: Dialect) -> None:
        """Set the dialect of scheduled cycles; the flag dialect brings the flag into request URLs."""
        self.job.dialect = dialect
        flagged = dialect == "flag" or self.client.tenant_url.flagged
        self.client.flag = self.profile.flag_propagation if flagged else None

    def churn(self) -> None:
        """Let people and teams change as they do between two cycles."""
        self._rounds += 1
        churn_directory(self.profile, self.directory, self._rounds, self.job.clock_seconds)

    async def initial(self) -> None:
        """Run an initial cycle and compare."""
        await self._cycle("initial", run_initial_cycle)

    async def incremental(self) -> None:
        """Run an incremental cycle and compare."""
        await self._cycle("incremental", run_incremental_cycle)

    async def incremental_beside(self, other: Awaitable[None]) -> None:
        """Run an incremental cycle while something else happens on the same tenant, and compare."""

        async def both(job: Job) -> None:
            await asyncio.gather(run_incremental_cycle(job), other)

        await self._cycle("incremental", both)

    async def settle(self) -> None:
        """Give what is in escrow its next tries, with the clock put forward to when they are due."""
        for _ in range(SETTLING_CYCLES):
            if not self.job.escrow:
                return
            self.job.cycle = max(self.job.cycle, max(held.due_cycle for held in self.job.escrow.values()) - 1)
            await self._cycle("settling", run_incremental_cycle)

    async def quiet(self) -> None:
        """An incremental cycle that evaluates people and teams whose mapped values did not change.

        A server that drops or reformats values gets writes here (section 12.8).
        """
        await self.settle()
        chance = self.profile.draw("quiet", self.job.cycle)
        active = [person.source_id for person in self.directory.active_people()]
        people = chance.sample(active, min(TOUCHED_PEOPLE, len(active)))
        leavers = sorted(set(self.directory.people) - set(active))
        people += leavers[:TOUCHED_LEAVERS]
        touch_directory(self.directory, people)
        record = await self._cycle("quiet", run_incremental_cycle)
        self.quiet_writes, self.quiet_people = record.writes, len(people)

    def note(self, resource: str, why: str) -> None:
        """Record a difference that only the scenario knows about."""
        self.divergences.append(Divergence(self.job.cycle, resource, why))

    async def _cycle(self, kind: str, run: Callable[[Job], Awaitable[None]]) -> CycleRecord:
        if self.job.cycle:
            await asyncio.sleep(self.profile.cycle_interval_seconds if self.pause_seconds is None else self.pause_seconds)
        tally = self.client.tally
        requests, writes = tally.requests, tally.writes
        await run(self.job)
        record = CycleRecord(self.job.cycle, kind, tally.requests - requests, tally.writes - writes, None)
        if not self.job.stopped and (kind == "quiet" or not self.job.escrow):
            found = await compare_server(self.job, self.snapshot)
            self.divergences += found
            record = record._replace(divergences=len(found))
        self.cycles.append(record)
        if self.job.stopped:
            raise QuarantinedError(self.job.quarantine_reason)
        return record
