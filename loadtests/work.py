"""What a tenant's workers do: the constant mix that Entra ID is certified with, or whole cycles one after another."""

import random
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from loadtests.tenant import IdentityProvider, finish, run_as_greenlets
from rollhouse.simulator.churn import churn_directory
from rollhouse.simulator.cycles import probe, run_incremental_cycle, run_initial_cycle
from rollhouse.simulator.directory import Directory, Person, Team
from rollhouse.simulator.generation import TITLES, invent_directory, invent_person, invent_team
from rollhouse.simulator.groups import Batch, sync_team, write_batch
from rollhouse.simulator.job import Job
from rollhouse.simulator.primitives import add_members, remove_members
from rollhouse.simulator.users import sync_user

TEAMS = 3
FIRST_PEOPLE = 8
"""Nobody is changed before so many are there."""
KEPT_PEOPLE = 300
"""More are left alone at the server: an hour of joiners would fill the memory of this process."""


def workers_of(provider: IdentityProvider) -> list[Callable[[], None]]:
    """The functions that a tenant's greenlets run until the run is over."""
    if provider.role.work == "cycles":
        return [partial(_run_cycles, provider)]
    mix = Mix(provider)
    return [mix.work] * provider.role.workers


def _run_cycles(provider: IdentityProvider) -> None:
    """An initial cycle, then churn and an incremental one without a pause, until the job is quarantined."""
    directory = invent_directory(provider.profile, provider.role.size)
    job = Job(provider.profile, directory, provider.sender, provider.profile.dialect, crew=run_as_greenlets)
    finish(run_initial_cycle(job))
    while not job.stopped:
        provider.recorder.count("cycles", provider.role.name)
        churn_directory(provider.profile, directory, job.cycle, job.clock_seconds)
        finish(run_incremental_cycle(job))
        directory.changes, job.watermark = directory.changes[job.watermark :], 0


class Mix:
    """Draws one action after another; of 100 requests about 35 are queries, 15 reads, 15 creations and 35 PATCHes, 24 of them of members."""

    def __init__(self, provider: IdentityProvider) -> None:
        self._profile = provider.profile
        self._directory = Directory()
        self._job = Job(provider.profile, self._directory, provider.sender, provider.profile.dialect, crew=run_as_greenlets)
        self._chance = random.Random()
        self._admitted = 0
        self._idle: deque[Person] = deque()
        """People whom no worker deals with just now."""
        self._teams = [invent_team(self._profile, number) for number in range(TEAMS)]
        self._new_teams = deque(self._teams)
        self._actions: dict[Callable[[], Awaitable[object]], int] = {
            self._probe: 2,
            self._admit: 15,
            self._match_again: 8,
            self._match_changed: 8,
            self._read_changed: 3,
            self._read_group_and_move: 12,
            self._move: 12,
        }

    def work(self) -> None:
        """Act until the run is over."""
        while True:
            finish(self._draw()())

    def _draw(self) -> Callable[[], Awaitable[object]]:
        if self._new_teams:
            return partial(self._assign, self._new_teams.popleft())
        if len(self._idle) < FIRST_PEOPLE:
            return self._admit
        return self._chance.choices(list(self._actions), weights=list(self._actions.values()))[0]

    async def _assign(self, team: Team) -> None:
        """Match and create one of the teams."""
        self._directory.teams[team.source_id] = team
        await sync_team(self._job, team.source_id)

    async def _probe(self) -> None:
        """Test the connection, for users and for groups."""
        self._job.cycle += 1
        await probe(self._job)

    async def _admit(self) -> None:
        """Match and create somebody new, and let go of whom the roster has no room for."""
        person = invent_person(self._profile, self._admitted)
        self._admitted += 1
        person.account_enabled = True
        await self._sync(person)
        while len(self._idle) > KEPT_PEOPLE:
            self._let_go(self._idle.popleft())

    async def _match_again(self) -> None:
        """Match somebody who has not changed: nothing is written."""
        person = self._borrow()
        self._job.links.pop(person.source_id, None)
        await self._sync(person)

    async def _match_changed(self) -> None:
        """Match somebody and write the difference, as an initial cycle does."""
        person = self._borrow()
        self._job.links.pop(person.source_id, None)
        await self._sync(self._change(person))

    async def _read_changed(self) -> None:
        """Read somebody and write the difference, as an incremental cycle does."""
        await self._sync(self._change(self._borrow()))

    async def _read_group_and_move(self) -> None:
        """Read a group without its members, then add or remove somebody."""
        person, team = self._borrow(), self._chance.choice(self._teams)
        add = self._toggle(person, team)
        await write_batch(self._job, Batch(team.source_id, (person.source_id,), add))
        self._give_back(person)

    async def _move(self) -> None:
        """Add or remove somebody without reading the group first, as the gallery's applications do."""
        person, team = self._borrow(), self._chance.choice(self._teams)
        write = add_members if self._toggle(person, team) else remove_members
        target, member = self._job.team_links.get(team.source_id), self._job.links[person.source_id]
        if target is not None:
            await write(self._job.client, team.source_id, target, [member], dialect=self._job.dialect)
        self._give_back(person)

    def _borrow(self) -> Person:
        """Somebody whom no other worker deals with meanwhile."""
        self._idle.rotate(self._chance.randrange(len(self._idle)))
        return self._idle.popleft()

    def _give_back(self, person: Person) -> None:
        """Put somebody back who is known at the server; after a failure there may be no link, and then the person is gone."""
        if person.source_id in self._job.links:
            self._idle.append(person)
        else:
            self._let_go(person)

    def _let_go(self, person: Person) -> None:
        self._directory.people.pop(person.source_id, None)
        self._job.links.pop(person.source_id, None)
        for team in self._teams:
            team.members.discard(person.source_id)

    def _toggle(self, person: Person, team: Team) -> bool:
        """Change a membership in the directory; whether it is there now."""
        team.members ^= {person.source_id}
        return person.source_id in team.members

    def _change(self, person: Person) -> Person:
        person.attributes["jobTitle"] = f"{self._chance.choice(TITLES)} {self._chance.randrange(10**6)}"
        return person

    async def _sync(self, person: Person) -> None:
        """Bring somebody to the server; what an action leaves for later cycles is dropped, because there are none."""
        self._directory.people[person.source_id] = person
        await sync_user(self._job, person.source_id)
        self._give_back(person)
        for left in (self._job.escrow, self._job.fresh_users, self._job.fresh_teams, self._job.shown_managers, self._job.uncertain):
            left.clear()
