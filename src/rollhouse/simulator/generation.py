"""Invents a directory of a given size: people with realistic and awkward values, teams of uneven size."""

import random
import uuid
from dataclasses import dataclass

from rollhouse.simulator.directory import Directory, Person, Team
from rollhouse.simulator.profile import WORK_MAIL, Profile

GIVEN_NAMES = ("Ada", "Bruno", "Carla", "Dinesh", "Edda", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Liam")
SURNAMES = ("Marsh", "Holt", "Vance", "Ricci", "Sato", "Okoro", "Lund", "Perrin", "Quist", "Tanaka", "Ward", "Yilmaz")
UNICODE_GIVEN_NAMES = ("Zoë", "Łukasz", "Søren", "Núria", "Çağla", "浩", "Ольга", "Ἑλένη")
UNICODE_SURNAMES = ("Bergström", "Žižka", "Ñandú", "Dvořáková", "山田", "Иванова", "Şahin", "Ó Briain")
DEPARTMENTS = ("R&D", "Sales", "Finance", "People", "Legal", "Facilities", "Support")
TITLES = ("Engineer", "Analyst", "Lead", "Director", "Clerk", "Architect")
CITIES = (("NO", "Oslo", "0155"), ("DE", "Köln", "50667"), ("US", "Boise", "83702"), ("JP", "横浜市", "220-0012"))
LANGUAGES = ("en-US", "nb-NO", "de-DE", "ja-JP")
TEAM_WORDS = ("Blue", "Harbour", "Atlas", "Cedar", "Falcon", "Lantern", "Quartz", "Summit")

MAIL_SHARE, PHONE_SHARE, DEPARTMENT_SHARE, ADDRESS_SHARE = 0.95, 0.6, 0.9, 0.7
UNICODE_SHARE, APOSTROPHE_SHARE, PLUS_SHARE, GUEST_SHARE = 0.1, 0.03, 0.02, 0.05
DISABLED_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Size:
    """How many objects a directory has; memberships include the team of everybody."""

    users: int
    groups: int
    memberships: int

    def scaled(self, factor: float) -> "Size":
        """The size times a factor, never below a handful of each."""
        return Size(
            max(10, round(self.users * factor)),
            max(3, round(self.groups * factor)),
            max(20, round(self.memberships * factor)),
        )


SMALL = Size(50, 5, 150)
"""Size S of section 12.1."""


def source_guid(chance: random.Random) -> str:
    """A GUID from the generator, in the form of a directory's object id."""
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def invent_directory(profile: Profile, size: Size) -> Directory:
    """A directory with people, managers, teams and memberships; the same profile gives the same directory."""
    directory = Directory()
    for number in range(size.users):
        directory.add_person(invent_person(profile, number))
    _appoint_managers(profile, directory)
    _fill_teams(profile, directory, size)
    return directory


def invent_person(profile: Profile, number: int) -> Person:
    """The person with a number: name, mail, phones, address by the fill shares of section 12.1."""
    chance = profile.draw("person", number)
    source_id = source_guid(chance)
    given, surname = _names(chance)
    alias = _alias(chance, number)
    nickname = f"{alias.replace('+', '.')}.{profile.run_tag}"
    attributes = {
        "userPrincipalName": f"{alias}@{profile.domain}",
        "mailNickname": nickname,
        "displayName": f"{given} {surname}",
        "givenName": given,
        "surname": surname,
        "employeeId": str(10_000 + number),
        "jobTitle": chance.choice(TITLES),
        "preferredLanguage": chance.choice(LANGUAGES),
    }
    if chance.random() < GUEST_SHARE:
        home = f"partner-{profile.run_tag}.example"
        attributes["userPrincipalName"] = f"{alias}_{home}#EXT#@{profile.domain}"
    if chance.random() < MAIL_SHARE or profile.user_match == WORK_MAIL:
        attributes["mail"] = f"{alias}@mail.{profile.domain}"
    if chance.random() < DEPARTMENT_SHARE:
        attributes["department"] = chance.choice(DEPARTMENTS)
    if profile.custom_extension is not None:
        attributes["extensionAttribute1"] = f"X{chance.randrange(100)}"
    attributes |= _phones(chance) | _address(chance)
    enabled = chance.random() >= DISABLED_SHARE
    return Person(source_id, attributes, account_enabled=enabled)


def invent_team(profile: Profile, number: int) -> Team:
    """The team with a number, without members; its name carries the run tag."""
    chance = profile.draw("team", number)
    source_id = source_guid(chance)
    if number == 0:
        return Team(source_id, f"All staff ({profile.run_tag})")
    return Team(source_id, f"{chance.choice(TEAM_WORDS)} team {number} ({profile.run_tag})")


def _names(chance: random.Random) -> tuple[str, str]:
    if chance.random() < UNICODE_SHARE:
        return chance.choice(UNICODE_GIVEN_NAMES), chance.choice(UNICODE_SURNAMES)
    surname = chance.choice(SURNAMES)
    if chance.random() < APOSTROPHE_SHARE:
        surname = f"O'{surname}"
    return chance.choice(GIVEN_NAMES), surname


def _alias(chance: random.Random, number: int) -> str:
    alias = f"{chance.choice(GIVEN_NAMES)}.{chance.choice(SURNAMES)}{number}".lower()
    if chance.random() < PLUS_SHARE:
        alias = alias.replace(".", "+", 1)
    if chance.random() < APOSTROPHE_SHARE:
        alias = f"o'{alias}"
    return alias


def _phones(chance: random.Random) -> dict[str, str]:
    phones: dict[str, str] = {}
    if chance.random() < PHONE_SHARE:
        phones["telephoneNumber"] = f"+47 22 {chance.randrange(10, 99)} {chance.randrange(10, 99)} 00"
    if chance.random() < PHONE_SHARE:
        phones["mobile"] = f"+479{chance.randrange(10**6, 10**7)}"
    if chance.random() < PHONE_SHARE / 6:
        phones["facsimileTelephoneNumber"] = f"(022) {chance.randrange(1000, 9999)}-{chance.randrange(10, 99)}"
    return phones


def _address(chance: random.Random) -> dict[str, str]:
    if chance.random() >= ADDRESS_SHARE:
        return {}
    country, city, postal_code = chance.choice(CITIES)
    return {
        "physicalDeliveryOfficeName": f"HQ/{chance.randrange(1, 9)}",
        "streetAddress": f"Storgata {chance.randrange(1, 200)}",
        "city": city,
        "state": city,
        "postalCode": postal_code,
        "country": country,
    }


def _appoint_managers(profile: Profile, directory: Directory) -> None:
    people = sorted(directory.people)
    chance = profile.draw("managers")
    for position, source_id in enumerate(people):
        if position and chance.random() < profile.manager_share:
            directory.set_manager(source_id, people[chance.randrange(position)])


def _fill_teams(profile: Profile, directory: Directory, size: Size) -> None:
    """Team sizes fall off like Zipf's law after the team of everybody."""
    people = sorted(directory.people)
    chance = profile.draw("memberships")
    weights = [1 / rank for rank in range(1, size.groups)]
    left = max(0, size.memberships - len(people))
    for number in range(size.groups):
        team = invent_team(profile, number)
        share = len(people) if number == 0 else round(left * weights[number - 1] / sum(weights))
        team.members = set(chance.sample(people, min(share, len(people))))
        directory.add_team(team)
