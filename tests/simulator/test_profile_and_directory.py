"""The same seed gives the same tenant; the delta feed holds what changed."""

from rollhouse.simulator.churn import churn_directory, touch_directory
from rollhouse.simulator.directory import RETENTION_SECONDS, Change, Directory
from rollhouse.simulator.generation import SMALL, invent_directory, invent_person
from rollhouse.simulator.hostile import LONGEST_USER_NAME, invent_hostile_directory
from rollhouse.simulator.mapping import user_name
from rollhouse.simulator.profile import Profile, draw_dialect, draw_profile


def make_directory(seed: int = 1, tenant_number: int = 0, run_tag: str = "a") -> tuple[Profile, Directory]:
    profile = draw_profile(seed, tenant_number, run_tag, "legacy")
    return profile, invent_directory(profile, SMALL)


def test_same_seed_gives_same_profile_directory_and_churn() -> None:
    """scim-clients section 12.1: deterministic from seed and tenant number."""
    (profile, one), (_, two) = make_directory(), make_directory()
    for directory in (one, two):
        churn_directory(profile, directory, 1, 0.0)
        churn_directory(profile, directory, 2, 0.0)

    assert one == two


def test_seed_tenant_number_and_run_tag_each_change_every_user_name() -> None:
    names = [
        {user_name(person, profile) for person in directory.people.values()}
        for profile, directory in (
            make_directory(),
            make_directory(2),
            make_directory(1, 1),
            make_directory(run_tag="b"),
        )
    ]

    for position, some in enumerate(names):
        assert not any(some & others for others in names[position + 1 :])


def test_size_s_has_its_fifty_users_five_groups_and_about_150_memberships() -> None:
    _, directory = make_directory()

    assert (len(directory.people), len(directory.teams)) == (50, 5)
    assert 100 <= sum(len(team.members) for team in directory.teams.values()) <= 160


def test_about_seventy_percent_of_tenants_speak_legacy() -> None:
    dialects = [draw_dialect(1, tenant) for tenant in range(1000)]

    assert 650 < dialects.count("legacy") < 750


def test_shares_of_awkward_people_follow_the_specification() -> None:
    """scim-clients section 12.1: unicode 10 %, guests 5 %, mail 95 %, phone 60 %."""
    profile = Profile()
    people = [invent_person(profile, number).attributes for number in range(4000)]

    assert 0.08 < sum(not person["displayName"].isascii() for person in people) / 4000 < 0.12
    assert 0.035 < sum("#EXT#" in person["userPrincipalName"] for person in people) / 4000 < 0.065
    assert 0.93 < sum("mail" in person for person in people) / 4000 < 0.97
    assert 0.56 < sum("telephoneNumber" in person for person in people) / 4000 < 0.64
    assert any("+" in person["userPrincipalName"] for person in people)
    assert any("'" in person["surname"] for person in people)


def test_churn_of_a_small_directory_has_every_kind_of_change() -> None:
    profile, directory = make_directory()
    watermark = directory.watermark
    churn_directory(profile, directory, 1, 5.0)
    kinds = {change.kind for change in directory.changes_since(watermark)}

    assert kinds == {"person", "manager", "membership", "team", "team_unassigned"}
    assert any(not person.assigned for person in directory.people.values())
    assert any(person.deleted_at_seconds == 5.0 for person in directory.people.values())


def test_people_are_purged_after_thirty_days_in_the_bin() -> None:
    _, directory = make_directory()
    assigned, unassigned = sorted(directory.people)[:2]
    directory.set_assigned(unassigned, assigned=False)
    for source_id in (assigned, unassigned):
        directory.soft_delete(source_id, 100.0)
    directory.purge_expired(99.0 + RETENTION_SECONDS)
    assert assigned in directory.people

    directory.purge_expired(100.0 + RETENTION_SECONDS)

    assert directory.changes[-2:] == [Change("purged", assigned), Change("abandoned", unassigned)]
    assert not any(assigned in team.members for team in directory.teams.values())


def test_touching_changes_nothing_but_the_feed() -> None:
    (_, directory), (_, untouched) = make_directory(), make_directory()
    watermark = directory.watermark
    touch_directory(directory, sorted(directory.people))

    assert len(directory.changes_since(watermark)) == 55
    assert directory.people == untouched.people
    assert directory.teams == untouched.teams


def test_hostile_names_stay_within_entras_lengths() -> None:
    profile = Profile()
    directory = invent_hostile_directory(profile)

    lengths = [len(person.attributes["userPrincipalName"]) for person in directory.people.values()]
    assert max(lengths) == LONGEST_USER_NAME
    assert any(len(team.display_name) == 256 for team in directory.teams.values())
