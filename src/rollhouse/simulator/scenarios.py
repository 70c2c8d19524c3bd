"""The scenario presets (scim-clients section 12.7): each is a directory, a profile and a play in cycles."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from rollhouse.simulator.cycles import provision_group_on_demand, provision_user_on_demand
from rollhouse.simulator.directory import Directory, Person
from rollhouse.simulator.generation import SMALL, invent_directory, invent_person, invent_team, source_guid
from rollhouse.simulator.hostile import invent_hostile_directory, rotate_display_names
from rollhouse.simulator.mapping import USER_URN, Document, user_name
from rollhouse.simulator.primitives import plant_user
from rollhouse.simulator.profile import Profile
from rollhouse.simulator.stage import Stage

BIG_GROUP_MEMBERS = 50_000
REMOVED_SHARE = 0.1
ON_DEMAND_NUMBER = 2_000_000
REHIRED_NUMBER = 3_000_000
TOMBSTONES = 3
PLANTED_OF_TEN = 6


@dataclass(frozen=True, slots=True)
class Scenario:
    """A preset: what the tenant is like, who is in its directory, and what happens."""

    summary: str
    play: Callable[[Stage], Awaitable[None]]
    profile: Callable[[Profile], Profile] = lambda profile: profile
    directory: Callable[[Profile, float, int], Directory] = lambda profile, scale, _: invent_directory(profile, SMALL.scaled(scale))


async def play_smoke(stage: Stage) -> None:
    """Initial, on-demand group, an incremental with churn beside an on-demand user, a quiet incremental."""
    await stage.initial()
    stage.churn()
    team = invent_team(stage.profile, ON_DEMAND_NUMBER)
    team.members = {person.source_id for person in stage.directory.active_people()[:5]}
    stage.directory.add_team(team)
    await provision_group_on_demand(stage.job, team.source_id)
    joiner = _joiner(stage, ON_DEMAND_NUMBER)
    stage.directory.add_person(joiner)
    stage.directory.add_members(team.source_id, [joiner.source_id])
    await stage.incremental_beside(provision_user_on_demand(stage.job, joiner.source_id))
    await stage.quiet()


async def play_brownfield(stage: Stage) -> None:
    """Users are there before the job: other letter case, some inactive, no externalId; the job must link them."""
    people = sorted(stage.directory.people)
    planted: dict[str, str] = {}

    async def plant(position: int) -> None:
        person = stage.directory.people[people[position]]
        body = planted_body(stage.profile, person, position)
        answer = await plant_user(stage.job.client, person.source_id, body)
        if answer.ok and answer.document is not None:
            planted[person.source_id] = str(answer.document.get("id"))

    positions = [position for position in range(len(people)) if position % 10 < PLANTED_OF_TEN]
    await stage.job.in_parallel(positions, stage.profile.user_workers, plant)
    await stage.initial()
    await stage.settle()
    for source_id, target_id in sorted(planted.items()):
        if stage.job.links.get(source_id) != target_id:
            stage.note(f"user {target_id}", "was there before and did not get linked")
    stage.churn()
    await stage.incremental()
    await stage.quiet()


def planted_body(profile: Profile, person: Person, position: int) -> Document:
    """The body with which another tool once created a person."""
    name = user_name(person, profile)
    spelling = (name.upper(), name.title(), name.swapcase())[position % 3]
    names = {"givenName": person.attributes["givenName"], "familyName": person.attributes["surname"]}
    return {"schemas": [USER_URN], "userName": spelling, "name": names, "active": position % 4 != 0}


async def play_big_group(stage: Stage) -> None:
    """One group of everybody, written by parallel workers; then a tenth leaves; the set must be exact."""
    await stage.initial()
    await stage.settle()
    team = next(iter(stage.directory.teams.values()))
    chance = stage.profile.draw("big_group_removals")
    leaving = chance.sample(sorted(team.members), round(len(team.members) * REMOVED_SHARE))
    stage.directory.remove_members(team.source_id, leaving)
    await stage.incremental()
    await stage.quiet()


def invent_big_group(profile: Profile, scale: float, member_count: int) -> Directory:
    """A directory of N enabled people without managers and one team of all of them."""
    directory = Directory()
    for number in range(member_count or max(1, round(BIG_GROUP_MEMBERS * scale))):
        person = invent_person(profile, number)
        person.account_enabled = True
        directory.add_person(person)
    team = invent_team(profile, 0)
    team.members = set(directory.people)
    directory.add_team(team)
    return directory


async def play_tombstone(stage: Stage) -> None:
    """People are soft-deleted, others join under their clean names and are purged, the first come back."""
    await stage.initial()
    chance = stage.profile.draw("tombstones")
    gone = chance.sample(stage.directory.active_people(), TOMBSTONES)
    for person in gone:
        stage.directory.soft_delete(person.source_id, stage.job.clock_seconds)
    await stage.incremental()
    successors = [_successor(stage, person, number) for number, person in enumerate(gone)]
    for successor in successors:
        stage.directory.add_person(successor)
    await stage.incremental()
    for person, successor in zip(gone, successors, strict=True):
        if stage.job.links.get(person.source_id) == stage.job.links.get(successor.source_id):
            stage.note(f"user {successor.source_id}", "was linked to the soft-deleted namesake")
        stage.directory.soft_delete(successor.source_id, stage.job.clock_seconds)
    await stage.incremental()
    for successor in successors:
        stage.directory.purge(successor.source_id)
    await stage.incremental()
    for person in gone:
        stage.directory.restore(person.source_id)
    await stage.incremental()
    await stage.quiet()


def _successor(stage: Stage, person: Person, number: int) -> Person:
    """A joiner with the user principal name, alias and mail of somebody in the bin."""
    source_id = source_guid(stage.profile.draw("successor", number))
    attributes = invent_person(stage.profile, REHIRED_NUMBER + number).attributes
    for name in ("userPrincipalName", "mailNickname", "mail"):
        if name in person.attributes:
            attributes[name] = person.attributes[name]
    return Person(source_id, attributes)


def _joiner(stage: Stage, number: int) -> Person:
    person = invent_person(stage.profile, number)
    person.account_enabled = True
    return person


async def play_hostile_data(stage: Stage) -> None:
    """Awkward values on create, on update and in filters."""
    await stage.initial()
    rotate_display_names(stage.directory)
    for number, key in enumerate(sorted(stage.directory.teams)):
        if number % 2:
            name = stage.directory.teams[key].display_name
            stage.directory.rename_team(key, f"{name[:200]} \U0001f3f7\ufe0f & +")
    await stage.incremental()
    stage.job.forget_links()
    await stage.initial()
    await stage.quiet()


async def play_dialect_switch(stage: Stage) -> None:
    """The flag is toggled between cycles; every cycle must converge."""
    first = stage.job.dialect
    second = "flag" if first == "legacy" else "legacy"
    await stage.initial()
    for dialect in (second, first, second):
        stage.switch_dialect("flag" if dialect == "flag" else "legacy")
        stage.churn()
        await stage.incremental()
    await stage.quiet()


async def play_restart(stage: Stage) -> None:
    """Provisioning is restarted with links kept, then with full reset: everything is matched and re-added."""
    await stage.initial()
    stage.churn()
    await stage.incremental()
    await stage.settle()
    await stage.initial()
    await stage.settle()
    before = dict(stage.job.links)
    stage.job.forget_links()
    await stage.initial()
    await stage.settle()
    for source_id, target_id in sorted(before.items()):
        if stage.job.links.get(source_id, target_id) != target_id:
            stage.note(f"user {target_id}", "was linked to another resource after the full reset")
    await stage.quiet()


def _by_name(profile: Profile) -> Profile:
    return replace(profile, user_match="userName", group_match="displayName")


def _hostile(profile: Profile) -> Profile:
    return replace(_by_name(profile), strips_guest_suffix=False)


SCENARIOS: dict[str, Scenario] = {
    "smoke": Scenario("initial, churn, on-demand user and group, a quiet cycle", play_smoke),
    "brownfield": Scenario("users exist in other letter case, inactive, without externalId", play_brownfield, _by_name),
    "bigGroup": Scenario("one group with very many members, parallel writers, removals", play_big_group, directory=invent_big_group),
    "tombstone": Scenario("soft delete, a joiner of the same name, purge, restore", play_tombstone, _by_name),
    "hostileData": Scenario(
        "scripts, quotes, length, encoding in every value",
        play_hostile_data,
        _hostile,
        lambda profile, _scale, _members: invent_hostile_directory(profile),
    ),
    "dialectSwitch": Scenario("the compliance flag is toggled between cycles", play_dialect_switch),
    "restart": Scenario("restart with links kept, then with full reset", play_restart),
}
"""Scenario name to preset."""
