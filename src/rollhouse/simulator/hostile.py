"""Values that break careless servers: long, quoted, encoded, spaced and in many scripts (scim-clients section 12.7)."""

from rollhouse.simulator.directory import Directory, Person, Team
from rollhouse.simulator.generation import invent_person, source_guid
from rollhouse.simulator.profile import Profile

LONGEST_NAME = 256
LONGEST_USER_NAME = 113
"""A user principal name has at most 113 characters; its tombstone 32 more (section 8, L24)."""

DISPLAY_NAMES = (
    "Zoë Bergström-Ñandú",
    "山田 花子",
    "Ольга Иванова",
    "عبد الله",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 Family \U0001f680",
    "Cafe\u0301 decomposed",
    "  two spaces before and after  ",
    "Sean O'Brien",
    'Ann "The Owl" Lund',
    "Tom & Jerry + Co. #1 100%",
    "back\\slash / slash",
    "<b>bold</b> {{7*7}} ${x} %s",
    "'; DROP TABLE users; --",
    "null",
    "True",
    "N" * LONGEST_NAME,
)

ALIASES = ("o'neil", "a+b", "under_score", "hash#tag", "tilde~x", "caret^x", "bang!x", "dash-x", "UPPER.Lower", "amp&x")

TEAM_NAMES = (
    'Quotes "inside" {tag}',
    "R&D + Sales #1 {tag}",
    "100% _under_ {tag}",
    "Back\\slash {tag}",
    "Equipe d'été \U0001f389 {tag}",
    " spaces around {tag} ",
    "[brackets] (and) {tag}",
    "eq and or not {tag}",
    "開発チーム {tag}",
    "a=b?c=d;e:f {tag}",
)


def invent_hostile_directory(profile: Profile) -> Directory:
    """People and teams with awkward values, each person in two teams."""
    directory = Directory()
    for number, display_name in enumerate(DISPLAY_NAMES):
        directory.add_person(_hostile_person(profile, number, display_name))
    people = sorted(directory.people)
    names = [name.format(tag=profile.run_tag) for name in TEAM_NAMES]
    names.append(f"{profile.run_tag} ".ljust(LONGEST_NAME, "G"))
    for number, name in enumerate(names):
        members = {people[number % len(people)], people[(number + 1) % len(people)]}
        directory.add_team(Team(source_guid(profile.draw("hostile_team", number)), name, members))
    return directory


def _hostile_person(profile: Profile, number: int, display_name: str) -> Person:
    person = invent_person(profile, number)
    alias = f"{ALIASES[number % len(ALIASES)]}{number}"
    person.account_enabled = True
    user_principal_name = f"{alias}@{profile.domain}"
    if number % 5 == 1:
        user_principal_name = f"{alias}_partner.example#EXT#@{profile.domain}"
    if number == 0:
        user_principal_name = user_principal_name.rjust(LONGEST_USER_NAME, "l")
    person.attributes |= {
        "userPrincipalName": user_principal_name,
        "displayName": display_name,
        "givenName": display_name[:64],
        "surname": display_name[-64:],
        "jobTitle": f" {display_name[:100]} ",
        "department": display_name[:64],
        "streetAddress": display_name,
        "mail": f"{alias}@mail.{profile.domain}",
    }
    return person


def rotate_display_names(directory: Directory) -> None:
    """Give every person the next one's awkward values, so that PATCH carries them too."""
    people = sorted(directory.people)
    names = [directory.people[key].attributes["displayName"] for key in people]
    for key, name in zip(people, [*names[1:], names[0]], strict=True):
        directory.change_person(key, {"displayName": name, "jobTitle": name[:100], "city": name[:100]})
