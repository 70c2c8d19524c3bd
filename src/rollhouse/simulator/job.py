"""The state of a provisioning job: links, watermark, escrow and quarantine (scim-clients sections 7 and 12.6)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, TypeVar

from rollhouse.simulator.client import Answer, Sender
from rollhouse.simulator.directory import Directory
from rollhouse.simulator.profile import Dialect, Profile

HeldKind = Literal["user", "manager", "team", "membership", "deletion", "team_deletion"]
DAY_SECONDS = 24 * 3600
REFUSED = frozenset({401, 403})
"""Statuses that end the job at once: the secret is bad (section 12.6)."""

SHARE_THRESHOLD_FAILURES, SHARE_THRESHOLD = 5_000, 0.4
OBJECT_THRESHOLD_FAILURES, TOTAL_THRESHOLD_FAILURES = 40_000, 60_000
QUARANTINE_HOURS = (6, 12, 24)
QUARANTINE_DAYS_LIMIT = 28

T = TypeVar("T")


class HeldKey(NamedTuple):
    """What is in escrow: a user, a user's manager, a team, one membership, or a deletion."""

    kind: HeldKind
    source_id: str
    member_id: str = ""


@dataclass(slots=True)
class Held:
    """How often something failed, the cycle in which it is tried again, and why it failed last."""

    attempts: int
    due_cycle: int
    reason: str


class Progress(Protocol):
    """Something that shows how far a phase is."""

    def begin(self, label: str, total: int) -> None:
        """Start a phase with so many steps."""

    def advance(self) -> None:
        """One step is done."""


class SilentProgress:
    """Shows nothing."""

    def begin(self, label: str, total: int) -> None:
        """Show nothing."""

    def advance(self) -> None:
        """Show nothing."""


class Crew(Protocol):
    """How a step is run for every item by some workers that share one queue; all stop when the job is quarantined."""

    async def __call__(self, job: "Job", items: Iterable[T], workers: int, step: Callable[[T], Awaitable[object]]) -> None:
        """Run the step for every item."""


async def run_as_tasks(job: "Job", items: Iterable[T], workers: int, step: Callable[[T], Awaitable[object]]) -> None:
    """The crew of an event loop: its workers are tasks of asyncio."""
    queue = iter(items)

    async def work() -> None:
        for item in queue:
            if job.stopped:
                return
            await step(item)
            job.progress.advance()

    async with asyncio.TaskGroup() as group:
        for _ in range(max(1, workers)):
            group.create_task(work())


def escrow_distance(attempts: int, cycle_interval_seconds: int) -> int:
    """Cycles until the next try after a number of failures: 1, 2, 4, 8 and so on, at most a day's worth."""
    return int(min(2 ** min(attempts - 1, 30), max(1, DAY_SECONDS // cycle_interval_seconds)))


def quarantine_hours(attempt: int) -> int | None:
    """Hours after the first failure of try number `attempt` (from 1); None when the job is disabled (28 days)."""
    if attempt <= len(QUARANTINE_HOURS):
        return QUARANTINE_HOURS[attempt - 1]
    hours = QUARANTINE_HOURS[-1] * (attempt - len(QUARANTINE_HOURS) + 1)
    return hours if hours < QUARANTINE_DAYS_LIMIT * 24 else None


@dataclass(slots=True)
class Job:
    """One job of one tenant; `links` and `team_links` map source ids to the server's ids."""

    profile: Profile
    directory: Directory
    client: Sender
    dialect: Dialect
    progress: Progress = field(default_factory=SilentProgress)
    crew: Crew = run_as_tasks
    links: dict[str, str] = field(default_factory=dict)
    team_links: dict[str, str] = field(default_factory=dict)
    escrow: dict[HeldKey, Held] = field(default_factory=dict)
    watermark: int = 0
    cycle: int = 0
    clock_seconds: float = 0.0
    quarantine_reason: str | None = None
    fresh_users: dict[str, None] = field(default_factory=dict)
    """Users linked in this cycle: their memberships and manager are sent as well."""
    fresh_teams: dict[str, None] = field(default_factory=dict)
    """Teams linked in this cycle: all their members are sent."""
    shown_managers: dict[str, str | None] = field(default_factory=dict)
    """Source id to the manager id that the server showed in this cycle."""
    unresolved_managers: set[str] = field(default_factory=set)
    """People whose manager was not linked when they were evaluated: Entra does not come back (section 3.8)."""
    abandoned: set[str] = field(default_factory=set)
    """Target ids that the job once managed and left behind."""
    uncertain: dict[str, str] = field(default_factory=dict)
    """Source id to the name of what a failed create may have left at the server all the same."""
    events: int = 0
    object_failures: int = 0
    reference_failures: int = 0

    @property
    def stopped(self) -> bool:
        """Whether the job is in quarantine."""
        return self.quarantine_reason is not None

    def quarantine(self, reason: str) -> None:
        """Stop the job; the first reason stays."""
        self.quarantine_reason = self.quarantine_reason or reason

    def link_user(self, source_id: str, target_id: str, manager_id: str | None) -> None:
        """Remember the server's id of a user and the manager it shows."""
        self.links[source_id] = target_id
        self.uncertain.pop(source_id, None)
        self.abandoned.discard(target_id)
        self.fresh_users[source_id] = None
        self.shown_managers[source_id] = manager_id

    def link_team(self, source_id: str, target_id: str) -> None:
        """Remember the server's id of a group."""
        self.team_links[source_id] = target_id
        self.uncertain.pop(source_id, None)
        self.fresh_teams[source_id] = None

    def succeed(self, key: HeldKey) -> None:
        """Count a success and take the object out of escrow."""
        self.events += 1
        self.escrow.pop(key, None)

    def fail(self, key: HeldKey, answer: Answer, reason: str = "") -> None:
        """Count a failure and put the object in escrow, or the whole job in quarantine (section 12.6)."""
        if answer.status in REFUSED:
            self.quarantine(f"{key.kind}: the server refused the secret with status {answer.label}")
        self.events += 1
        if key.kind in {"manager", "membership"}:
            self.reference_failures += 1
        else:
            self.object_failures += 1
        attempts = self.escrow[key].attempts + 1 if key in self.escrow else 1
        due = self.cycle + escrow_distance(attempts, self.profile.cycle_interval_seconds)
        self.escrow[key] = Held(attempts, due, reason or f"status {answer.label}")
        self._watch_thresholds()

    def _watch_thresholds(self) -> None:
        failures, total = self.object_failures, self.object_failures + self.reference_failures
        if failures >= SHARE_THRESHOLD_FAILURES and failures > SHARE_THRESHOLD * self.events:
            self.quarantine(f"{failures} of {self.events} events failed")
        elif failures > OBJECT_THRESHOLD_FAILURES or total > TOTAL_THRESHOLD_FAILURES:
            self.quarantine(f"{total} events failed")

    def due_entries(self) -> list[HeldKey]:
        """What is in escrow and due in this cycle, in a stable order."""
        return sorted(key for key, held in self.escrow.items() if held.due_cycle <= self.cycle)

    def begin_cycle(self) -> int:
        """Start the next cycle; the watermark from which its delta is read."""
        self.cycle += 1
        jitter = self.profile.draw("interval", self.cycle).uniform(0.9, 1.1)
        self.clock_seconds += self.profile.cycle_interval_seconds * jitter
        self.fresh_users.clear()
        self.fresh_teams.clear()
        self.shown_managers.clear()
        return self.watermark

    async def in_parallel(self, items: Iterable[T], workers: int, step: Callable[[T], Awaitable[object]]) -> None:
        """Run a step for every item by some workers."""
        await self.crew(self, items, workers, step)

    def forget_links(self) -> None:
        """Drop every link and all escrow, as a restart with full reset does."""
        self.abandoned |= {target for source, target in self.links.items() if not self._manages(source)}
        self.links.clear()
        self.team_links.clear()
        self.escrow.clear()

    def _manages(self, source_id: str) -> bool:
        person = self.directory.people.get(source_id)
        return person is not None and person.in_scope
