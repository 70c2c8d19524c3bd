"""What changes in a directory between two cycles: edits, joiners, leavers, returns and team changes."""

import random

from rollhouse.simulator.directory import Directory, Person
from rollhouse.simulator.generation import DEPARTMENTS, TITLES, invent_person
from rollhouse.simulator.profile import WORK_MAIL, Profile

CHANGED_SHARE, JOINER_SHARE, LEAVER_SHARE, RESTORED_SHARE = 0.002, 0.0005, 0.0003, 0.0001
MEMBERSHIPS_ADDED_SHARE, MEMBERSHIPS_REMOVED_SHARE = 0.001, 0.0008
TEAMS_RENAMED_SHARE, TEAMS_UNASSIGNED_SHARE = 0.005 / 36, 0.001 / 36
"""Shares per cycle of 40 minutes (scim-clients section 12.4)."""

JOINER_NUMBERS_FROM = 1_000_000
"""Joiners are numbered apart from the people a directory starts with."""


def churn_directory(profile: Profile, directory: Directory, round_number: int, now_seconds: float) -> None:
    """Apply one cycle's churn; a small directory still gets at least one change of every kind."""
    chance = profile.draw("churn", round_number)
    _edit_people(profile, directory, chance)
    _admit_joiners(profile, directory, chance, round_number)
    _restore_people(directory, chance)
    _send_leavers(directory, chance, now_seconds)
    _change_memberships(directory, chance)
    _change_teams(directory, chance, round_number)
    directory.purge_expired(now_seconds)


def touch_directory(directory: Directory, people: list[str]) -> None:
    """Make the job evaluate people and every team although no mapped value changed (an unmapped attribute did)."""
    for source_id in people:
        directory.change_person(source_id, {})
    for source_id in sorted(directory.teams):
        directory.rename_team(source_id, directory.teams[source_id].display_name)


def _count(share: float, population: int) -> int:
    return max(1, round(share * population))


def _pick(directory: Directory, chance: random.Random, count: int) -> list[Person]:
    people = directory.active_people()
    return chance.sample(people, min(count, len(people)))


def _edit_people(profile: Profile, directory: Directory, chance: random.Random) -> None:
    total = len(directory.people)
    for person in _pick(directory, chance, _count(CHANGED_SHARE * 0.6, total)):
        directory.change_person(person.source_id, {"jobTitle": f"{chance.choice(TITLES)} {chance.randrange(1000)}"})
    for person in _pick(directory, chance, _count(CHANGED_SHARE * 0.2, total)):
        surname = f"Marsh-{chance.randrange(1000)}"
        given = person.attributes["givenName"]
        edits = {"surname": surname, "displayName": f"{given} {surname}", "department": chance.choice(DEPARTMENTS)}
        edits |= {"mobile": f"+4790{chance.randrange(10**6)}", "streetAddress": f"Torggata {chance.randrange(99)}"}
        directory.change_person(person.source_id, edits)
    people = sorted(person.source_id for person in directory.active_people())
    for person in _pick(directory, chance, _count(CHANGED_SHARE * 0.1, total)):
        manager = chance.choice(people)
        if manager not in {person.source_id, person.manager_id}:
            directory.set_manager(person.source_id, manager)
    for person in _pick(directory, chance, _count(CHANGED_SHARE * 0.05, total)):
        alias = f"renamed{chance.randrange(10**9)}"
        directory.change_person(person.source_id, {"userPrincipalName": f"{alias}@{profile.domain}"})
    if profile.user_match != WORK_MAIL:
        for person in _pick(directory, chance, _count(CHANGED_SHARE * 0.05, total)):
            mail = f"moved{chance.randrange(10**9)}@mail.{profile.domain}"
            directory.change_person(person.source_id, {"mail": mail})


def _admit_joiners(profile: Profile, directory: Directory, chance: random.Random, round_number: int) -> None:
    people = sorted(directory.people)
    for position in range(_count(JOINER_SHARE, len(people))):
        person = invent_person(profile, JOINER_NUMBERS_FROM + round_number * 10_000 + position)
        person.account_enabled = True
        person.manager_id = chance.choice(people)
        directory.add_person(person)
        directory.add_members(chance.choice(sorted(directory.teams)), [person.source_id])


def _restore_people(directory: Directory, chance: random.Random) -> None:
    gone = [person for _, person in sorted(directory.people.items()) if not person.in_scope]
    for person in chance.sample(gone, min(len(gone), _count(RESTORED_SHARE, len(directory.people)))):
        if person.deleted_at_seconds is None:
            directory.set_assigned(person.source_id, assigned=True)
        else:
            directory.restore(person.source_id)


def _send_leavers(directory: Directory, chance: random.Random, now_seconds: float) -> None:
    total = len(directory.people)
    for person in _pick(directory, chance, _count(LEAVER_SHARE * 0.5, total)):
        directory.set_assigned(person.source_id, assigned=False)
    for person in _pick(directory, chance, _count(LEAVER_SHARE * 0.3, total)):
        directory.soft_delete(person.source_id, now_seconds)
    for person in _pick(directory, chance, _count(LEAVER_SHARE * 0.2, total)):
        directory.set_enabled(person.source_id, enabled=False)


def _change_memberships(directory: Directory, chance: random.Random) -> None:
    total = sum(len(team.members) for team in directory.teams.values())
    for _ in range(_count(MEMBERSHIPS_ADDED_SHARE, total)):
        team = directory.teams[chance.choice(sorted(directory.teams))]
        outside = [person.source_id for person in directory.active_people() if person.source_id not in team.members]
        if outside:
            directory.add_members(team.source_id, [chance.choice(outside)])
    for _ in range(_count(MEMBERSHIPS_REMOVED_SHARE, total)):
        team = directory.teams[chance.choice(sorted(directory.teams))]
        if team.members:
            directory.remove_members(team.source_id, [chance.choice(sorted(team.members))])


def _change_teams(directory: Directory, chance: random.Random, round_number: int) -> None:
    total = len(directory.teams)
    for source_id in chance.sample(sorted(directory.teams), min(total, _count(TEAMS_RENAMED_SHARE, total))):
        name = directory.teams[source_id].display_name
        directory.rename_team(source_id, f"{name} r{round_number}")
    for source_id in chance.sample(sorted(directory.teams), min(total - 1, _count(TEAMS_UNASSIGNED_SHARE, total))):
        directory.unassign_team(source_id)
