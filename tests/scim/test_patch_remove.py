"""PATCH remove (RFC 7644 section 3.5.2.2), with the deviations of the tolerance matrix."""

import pytest

from rollhouse.scim.errors import InvalidPath, Mutability, NoTarget
from rollhouse.scim.memberships import is_resource_id
from rollhouse.scim.schemas import ENTERPRISE_URN, GROUP, GROUP_URN, USER_URN
from rollhouse.scim.tolerances import Noted, Tolerance
from tests.scim.samples import ANN, BADGE, BADGE_URN, BOB, CAT, OPAQUE_URN, UNSET, babs, changed, crew, patched

WORK, HOME = babs()["emails"]


def without(*names: str) -> dict[str, object]:
    return {name: value for name, value in babs().items() if name not in names}


# -- the rules and examples of section 3.5.2.2


@pytest.mark.parametrize("value", [UNSET, None, {"title": None}, "x"])
def test_a_path_is_needed(value: object) -> None:
    """If "path" is unspecified, the operation fails with 400 noTarget."""
    with pytest.raises(NoTarget) as refusal:
        patched(babs(), ("remove", None, value))

    assert (refusal.value.status, refusal.value.scim_type) == (400, "noTarget")


@pytest.mark.parametrize(("path", "name"), [("title", "title"), ("TITLE", "title"), (f"{USER_URN}:title", "title"), ("name", "name"), ("active", "active")])
def test_a_single_valued_attribute_is_removed(path: str, name: str) -> None:
    """The attribute and its value are removed and unassigned."""
    assert patched(babs(), ("remove", path)) == without(name)


def test_a_multi_valued_attribute_without_a_filter_is_removed_whole() -> None:
    """The attribute and all values are removed."""
    assert patched(babs(), ("remove", "emails")) == without("emails")


def test_the_example_removes_an_email_by_a_complex_filter() -> None:
    """Third example: emails[type eq "work" and value ew "example.com"]."""
    assert patched(babs(), ("remove", 'emails[type eq "work" and value ew "example.com"]')) == babs(emails=[HOME])
    assert patched(babs(), ("remove", 'emails[type eq "home" and value ew "example.com"]')) == babs()


def test_values_matched_by_their_value_are_removed() -> None:
    """A filter comparing a "value": the values matched are removed."""
    assert patched(babs(), ("remove", 'emails[value eq "BABS@jensen.org"]')) == babs(emails=[WORK])


def test_every_match_is_removed_and_nothing_left_is_unassigned() -> None:
    """If no other values remain, the attribute SHALL be considered unassigned."""
    assert patched(babs(), ("remove", 'emails[value co "@"]')) == without("emails")
    assert patched(babs(), ("remove", 'emails[type eq "work" or type eq "home"]')) == without("emails")


def test_a_part_of_the_matches_is_removed() -> None:
    """Sub-attributes whose values have been removed SHALL be considered unassigned."""
    after = patched(babs(), ("remove", 'addresses[type eq "work"].region'))

    assert after["addresses"][0] == {key: value for key, value in babs()["addresses"][0].items() if key != "region"}
    assert after["addresses"][1] == babs()["addresses"][1]


def test_a_part_without_a_filter_is_removed() -> None:
    assert patched(babs(), ("remove", "name.givenName"))["name"].keys() == {"formatted", "familyName"}
    assert patched(babs(), ("remove", f"{ENTERPRISE_URN}:manager.displayName"))[ENTERPRISE_URN]["manager"] == {"value": CAT}
    assert patched(babs(), ("remove", "name.givenName"), ("remove", "name.familyName"), ("remove", "name.formatted")) == without("name")


@pytest.mark.tolerance("L08")
def test_an_element_with_only_its_label_left_is_dropped() -> None:
    """L08: drop the element when only type and primary remain."""
    assert patched(babs(), ("remove", 'emails[type eq "work"].value')) == babs(emails=[HOME])


def test_a_value_of_a_simple_attribute_is_removed_by_a_filter_on_value() -> None:
    """RFC 7643 section 2.4 and RFC 7644 section 3.5.2.2: `value` is the significant value, also of simple values."""
    badge = {"schemas": [BADGE_URN], "tags": ["red", "blue"]}

    assert patched(badge, ("remove", 'tags[value eq "RED"]'), resource_type=BADGE)["tags"] == ["blue"]


@pytest.mark.parametrize("path", ["userName", f"{USER_URN}:USERNAME"])
def test_a_required_attribute_cannot_be_removed(path: str) -> None:
    """Required attributes: 400 mutability."""
    with pytest.raises(Mutability, match="userName"):
        patched(babs(), ("remove", path))
    with pytest.raises(Mutability, match="displayName"):
        patched(crew(), ("remove", "displayName"), resource_type=GROUP)


def test_an_immutable_attribute_cannot_be_removed() -> None:
    """Section 3.5.2: a client MUST NOT modify an immutable attribute."""
    with pytest.raises(Mutability):
        patched({"schemas": [BADGE_URN], "serial": "1"}, ("remove", "serial"), resource_type=BADGE)


def test_removing_the_primary_leaves_none() -> None:
    """RFC 7643 section 2.4: at most one primary; the server makes none up."""
    assert not any(email.get("primary") for email in patched(babs(), ("remove", "emails[primary eq true]"))["emails"])


# -- extensions


def test_a_whole_extension_is_removed_by_its_urn() -> None:
    """Section 3.10."""
    after = patched(babs(), ("remove", ENTERPRISE_URN.upper()))

    assert after == {**without(ENTERPRISE_URN), "schemas": [USER_URN, OPAQUE_URN]}


@pytest.mark.tolerance("L16")
def test_unknown_extensions_are_removed_whole_and_in_part() -> None:
    """L16."""
    gone = {**without(OPAQUE_URN), "schemas": [USER_URN, ENTERPRISE_URN]}

    assert patched(babs(), ("remove", OPAQUE_URN)) == gone
    assert patched(babs(), ("remove", f"{OPAQUE_URN}:costBucket")) == gone
    assert patched(babs(), ("remove", f"{OPAQUE_URN}:other")) == babs()
    assert patched(babs(), ("remove", "urn:example:unknown:x")) == babs()


def test_an_extension_attribute_is_removed() -> None:
    assert patched(babs(), ("remove", f"{ENTERPRISE_URN}:department"))[ENTERPRISE_URN].keys() == {"employeeNumber", "manager"}
    assert patched(babs(), ("remove", "department")) == patched(babs(), ("remove", f"{ENTERPRISE_URN}:department"))


# -- L09, L10


@pytest.mark.tolerance("L09")
@pytest.mark.parametrize(
    "value", [[HOME], [{"value": "BABS@jensen.org"}], ["babs@jensen.org"], {"value": "babs@jensen.org"}, "babs@jensen.org", [HOME, {"value": "absent@x"}]]
)
def test_a_list_of_values_removes_the_listed_only(value: object) -> None:
    """L09: duplicates and absent values are ignored."""
    noted: Noted = set()

    assert patched(babs(), ("remove", "emails", value), noted=noted) == babs(emails=[WORK])
    assert Tolerance.REMOVE_WITH_VALUE in noted


@pytest.mark.tolerance("L09")
def test_listed_values_of_a_simple_attribute_are_removed() -> None:
    """L09."""
    assert patched({"schemas": [BADGE_URN], "tags": ["Red", "blue"]}, ("remove", "tags", ["red"]), resource_type=BADGE)["tags"] == ["blue"]


@pytest.mark.tolerance("L09")
def test_a_value_that_is_listed_with_another_type_still_goes() -> None:
    """L09: clients list the value; its label may have changed."""
    assert patched(babs(), ("remove", "emails", [{"value": "babs@jensen.org", "type": "other"}])) == babs(emails=[WORK])


@pytest.mark.tolerance("L09")
@pytest.mark.parametrize("value", [UNSET, None])
def test_no_value_removes_all(value: object) -> None:
    """L09: remove without value removes all."""
    assert patched(babs(), ("remove", "emails", value)) == without("emails")


@pytest.mark.tolerance("L09")
def test_an_empty_list_removes_nothing() -> None:
    """L09: what is listed is removed, and nothing is listed; a client that computed no difference must not lose everything."""
    assert patched(babs(), ("remove", "emails", [])) == babs()

    members = changed(crew(), ("remove", "members", []), resource_type=GROUP)[1]
    assert (members.added, members.removed, members.clears) == ({}, {}, False)


@pytest.mark.tolerance("L09")
@pytest.mark.parametrize("value", ["old@x", "bjensen@example.com", None, [{"value": "old@x"}]])
def test_a_filtered_part_goes_whatever_the_value_says(value: object) -> None:
    """Client catalogue section 3.5: `Remove` of emails[type eq "work"].value with a value."""
    assert patched(babs(), ("remove", 'emails[type eq "work"].value', value)) == babs(emails=[HOME])


@pytest.mark.tolerance("L10")
@pytest.mark.parametrize(
    "path",
    [
        "nickName",
        "phoneNumbers",
        "name.middleName",
        'emails[type eq "other"]',
        'emails[type eq "other"].value',
        'phoneNumbers[type eq "work"]',
        f"{ENTERPRISE_URN}:division",
        f"{ENTERPRISE_URN}:manager.$ref",
    ],
)
def test_removing_what_is_not_there_is_a_success(path: str) -> None:
    """L10."""
    assert patched(babs(), ("remove", path)) == babs()


@pytest.mark.tolerance("L15")
@pytest.mark.parametrize("path", ["foo", "name.foo", 'foo[a eq "b"]', f"{USER_URN}:foo"])
def test_unknown_paths_are_ignored(path: str) -> None:
    """L15."""
    noted: Noted = set()

    assert patched(babs(), ("remove", path), noted=noted) == babs()
    assert Tolerance.UNKNOWN_PATH in noted


@pytest.mark.parametrize(
    "path", ['emails[foo eq "x"]', 'emails[primary gt "x"]', "emails[", "emails]", 'title[value eq "x"]', 'emails[value eq "x"] and title']
)
@pytest.mark.parametrize("document", [babs(), without("emails", "title")], ids=["assigned", "unassigned"])
def test_a_malformed_path_is_refused_whatever_the_data(document: dict[str, object], path: str) -> None:
    """Table 9: invalidPath depends on the path, not on what the resource holds."""
    with pytest.raises(InvalidPath):
        patched(document, ("remove", path))


# -- members


def test_the_example_removes_one_member() -> None:
    """First example; whether she was one makes no difference."""
    after, members = changed(crew(), ("remove", f'members[value eq "{ANN}"]'), resource_type=GROUP)

    assert after == crew()
    assert (members.added, list(members.removed), members.clears) == ({}, [ANN], False)


@pytest.mark.parametrize("value", [UNSET, None])
def test_the_example_removes_all_members(value: object) -> None:
    """Second example."""
    members = changed(crew(), ("remove", "members", value), resource_type=GROUP)[1]

    assert (members.added, members.removed, members.clears) == ({}, {}, True)


def test_the_example_removes_one_and_adds_another() -> None:
    """Fourth example, with the RFC's missing blank before the quote."""
    members = changed(crew(), ("remove", f'members[value eq"{ANN}"]'), ("add", "members", [{"display": "James Smith", "value": BOB}]), resource_type=GROUP)[1]

    assert (list(members.added), list(members.removed), members.clears) == ([BOB], [ANN], False)


def test_the_example_removes_all_and_adds_two() -> None:
    """Fifth example: the members are replaced."""
    members = changed(crew(), ("remove", "members"), ("add", "members", [{"value": ANN}, {"value": BOB}]), resource_type=GROUP)[1]

    assert (list(members.added), members.removed, members.clears) == ([ANN, BOB], {}, True)


@pytest.mark.tolerance("L09")
@pytest.mark.parametrize("value", [[{"value": ANN}, {"value": BOB}, {"value": ANN}], [ANN, BOB], [{"$ref": "x", "VALUE": ANN}, BOB.upper()]])
def test_a_list_of_members_removes_the_listed_only(value: object) -> None:
    """L09: Entra's older dialect; reading it as "remove all" is the bug of other servers."""
    members = changed(crew(), ("remove", "members", value), resource_type=GROUP)[1]

    assert (list(members.removed), members.clears) == ([ANN, BOB], False)


@pytest.mark.parametrize(
    "path",
    [
        f'members[value eq "{ANN}" or value eq "{BOB}"]',
        f'{GROUP_URN}:MEMBERS[VALUE EQ "{ANN}" OR Value Eq "{BOB}"]',
        f"members[value eq {ANN} or value eq {BOB}]",
    ],
)
def test_several_members_by_one_filter(path: str) -> None:
    """Figure 8 with "or"."""
    assert list(changed(crew(), ("remove", path), resource_type=GROUP)[1].removed) == [ANN, BOB]


def test_ids_of_members_are_one_id_in_any_letter_case_for_every_operation() -> None:
    """A UUID has one identity: what adds ANN in capitals must be undone by what removes her in capitals."""
    members = changed(crew(), ("add", "members", [ANN.upper()]), ("remove", f'members[value eq "{ANN.upper()}"]'), resource_type=GROUP)[1]

    assert (members.added, list(members.removed)) == ({}, [ANN])
    assert all(is_resource_id(member) for member in members.removed)


@pytest.mark.parametrize(
    "inner",
    [
        'type eq "User"',
        f'value ne "{ANN}"',
        "value pr",
        f'not (value eq "{ANN}")',
        f'value eq "{ANN}" and type eq "User"',
        f'value sw "{ANN[:4]}"',
        'display eq "x"',
    ],
)
def test_members_are_picked_by_id_only(inner: str) -> None:
    """A filter that cannot be carried out without the group is refused, never read as another."""
    with pytest.raises(InvalidPath, match="by id only"):
        changed(crew(), ("remove", f"members[{inner}]"), resource_type=GROUP)


def test_nobody_is_removed_by_nothing() -> None:
    members = changed(crew(), resource_type=GROUP)[1]

    assert not members
    assert (members.added, members.removed, members.clears) == ({}, {}, False)
