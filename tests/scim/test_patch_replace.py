"""PATCH replace (RFC 7644 section 3.5.2.3), with the deviations of the tolerance matrix."""

import pytest

from rollhouse.scim.errors import InvalidPath, InvalidValue, Mutability, NoTarget
from rollhouse.scim.schemas import ENTERPRISE_URN, GROUP, GROUP_URN, USER_URN
from rollhouse.scim.tolerances import Noted, Tolerance
from tests.scim.samples import ANN, BADGE, BADGE_URN, BOB, CAT, OPAQUE_URN, UNSET, babs, changed, crew, patched

WORK, HOME = babs()["emails"]
WORK_ADDRESS, HOME_ADDRESS = babs()["addresses"]


# -- the rules and examples of section 3.5.2.3


def test_the_example_replaces_all_members() -> None:
    """First example: these and nobody else are members."""
    after, members = changed(crew(), ("replace", "members", [{"display": "Babs", "value": ANN}, {"value": BOB}]), resource_type=GROUP)

    assert after == crew()
    assert (list(members.added), list(members.removed), members.clears) == ([ANN, BOB], [], True)


def test_the_example_replaces_a_whole_address() -> None:
    """Second example: by a value path; its primary resets the others."""
    value = {
        "type": "work",
        "streetAddress": "911 Universal City Plaza",
        "locality": "Hollywood",
        "region": "CA",
        "postalCode": "91608",
        "country": "US",
        "formatted": "911 Universal City Plaza\nHollywood, CA 91608 US",
        "primary": True,
    }
    home_first = babs(addresses=[{"type": "work", "locality": "Oslo"}, {**HOME_ADDRESS, "primary": True}])

    after = patched(home_first, ("replace", 'addresses[type eq "work"]', value))

    assert after["addresses"] == [value, {**HOME_ADDRESS, "primary": False}]


def test_the_example_replaces_one_part_of_an_address() -> None:
    """Third example: addresses[type eq "work"].streetAddress."""
    after = patched(babs(), ("replace", 'addresses[type eq "work"].streetAddress', "1010 Broadway Ave"))

    assert after == babs(addresses=[{**WORK_ADDRESS, "streetAddress": "1010 Broadway Ave"}, HOME_ADDRESS])


def test_the_example_replaces_all_values_of_named_attributes() -> None:
    """Fourth example: without a path; other attributes are unaffected."""
    emails = [{"value": "bjensen@example.com", "type": "work", "primary": True}, {"value": "babs@jensen.org", "type": "other"}]

    assert patched(babs(), ("replace", None, {"emails": emails, "nickname": "Babs"})) == babs(emails=emails, nickName="Babs")


def test_a_single_valued_attribute_is_replaced() -> None:
    """If the target location is a single-value attribute, the attribute's value is replaced."""
    assert patched(babs(), ("replace", "title", "Boss"), ("replace", "active", False)) == babs(title="Boss", active=False)


@pytest.mark.tolerance("L21")
def test_a_user_name_can_be_replaced() -> None:
    """L21: userName change allowed."""
    assert patched(babs(), ("replace", "userName", "babs@example.com")) == babs(userName="babs@example.com")


def test_a_multi_valued_attribute_is_replaced_whole() -> None:
    """If no filter is specified, the attribute and all values are replaced."""
    assert patched(babs(), ("replace", "emails", [{"value": "new@x"}]))["emails"] == [{"value": "new@x"}]
    assert patched({"schemas": [BADGE_URN], "tags": ["a"]}, ("replace", "tags", ["b", "c"]), resource_type=BADGE)["tags"] == ["b", "c"]


def test_an_absent_attribute_is_added() -> None:
    """If the attribute does not exist, the operation is treated as an add."""
    assert patched(babs(), ("replace", "nickName", "B"), ("replace", "phoneNumbers", [{"value": "1"}])) == babs(nickName="B", phoneNumbers=[{"value": "1"}])
    assert patched(babs(), ("replace", f"{ENTERPRISE_URN}:costCenter", "1"))[ENTERPRISE_URN] == {**babs()[ENTERPRISE_URN], "costCenter": "1"}


def test_parts_that_are_not_named_stay() -> None:
    """Sub-attributes that are not specified in the "value" parameter are left unchanged."""
    after = patched(
        babs(), ("replace", "name", {"givenName": "Babs"}), ("replace", None, {"name": {"middleName": "J"}}), ("replace", "manager", {"value": ANN})
    )

    assert after["name"] == {**babs()["name"], "givenName": "Babs", "middleName": "J"}
    assert after[ENTERPRISE_URN]["manager"] == {"value": ANN, "displayName": "John Smith"}


@pytest.mark.parametrize("value", [{"foo": "x"}, {"foo": {"bar": 1}}])
@pytest.mark.parametrize("operation", ["path", "no path"])
@pytest.mark.tolerance("L15")
def test_an_object_of_unknown_parts_changes_nothing(value: object, operation: str) -> None:
    """L15: an unknown part is ignored; what is not named is left unchanged."""
    assert patched(babs(), ("replace", "name", value) if operation == "path" else ("replace", None, {"name": value})) == babs()


def test_every_match_of_a_filter_is_replaced() -> None:
    """All matching record values SHALL be replaced."""
    after = patched(
        babs(), ("replace", 'emails[value co "@"]', {"value": "x@x", "type": "other"}), ("replace", 'addresses[locality eq "hollywood"].region', "NV")
    )

    assert after["emails"] == [{"value": "x@x", "type": "other"}] * 2
    assert [address["region"] for address in after["addresses"]] == ["NV", "NV"]


@pytest.mark.tolerance("L11")
def test_a_text_for_a_matched_element_is_its_value() -> None:
    """L11: complex `emails` given a string."""
    assert patched(babs(), ("replace", 'emails[type eq "home"]', "new@x"))["emails"] == [WORK, {**HOME, "value": "new@x"}]


def test_primary_by_a_filter_demotes_the_others() -> None:
    """Section 3.5.2."""
    after = patched(babs(), ("replace", 'emails[type eq "home"]', {"value": "new@x", "type": "home", "primary": True}))

    assert [email.get("primary") for email in after["emails"]] == [False, True]


@pytest.mark.tolerance("L13")
def test_of_several_primaries_the_last_counts() -> None:
    """RFC 7643 section 2.4: primary MUST appear no more than once."""
    after = patched(babs(), ("replace", "emails", [{"value": "a", "primary": True}, {"value": "b", "primary": True}]))

    assert [email["primary"] for email in after["emails"]] == [False, True]


# -- L07


@pytest.mark.tolerance("L07")
@pytest.mark.parametrize(
    ("path", "value", "created"),
    [
        ('emails[type eq "other"].value', "new@x", {"type": "other", "value": "new@x"}),
        ('emails[type eq "other"]', {"value": "new@x"}, {"type": "other", "value": "new@x"}),
        ('emails[type eq "other"]', "new@x", {"type": "other", "value": "new@x"}),
        ('emails[type eq "other" and primary eq "False"].value', "new@x", {"type": "other", "primary": False, "value": "new@x"}),
        ('emails[value eq "new@x"].type', "other", {"value": "new@x", "type": "other"}),
    ],
)
def test_an_unmatched_filter_creates_the_element(path: str, value: object, created: object) -> None:
    """L07, where section 3.5.2.3 wants noTarget: Entra replaces what it believes to be there."""
    noted: Noted = set()

    assert patched(babs(), ("replace", path, value), noted=noted) == babs(emails=[WORK, HOME, created])
    assert Tolerance.CREATED_BY_FILTER in noted


def test_a_created_primary_demotes_the_old_one() -> None:
    """Section 3.5.2."""
    after = patched(babs(), ("replace", 'emails[type eq "other" and primary eq true].value', "new@x"))

    assert [email["primary"] for email in after["emails"]] == [False, False, True]


@pytest.mark.parametrize("path", ['emails[value sw "zzz"].display', 'emails[type eq "a" or type eq "b"].value', "emails[not (value pr)].value"])
def test_an_unmatched_filter_without_equality_has_no_target(path: str) -> None:
    """Section 3.5.2.3: 400 noTarget."""
    with pytest.raises(NoTarget) as refusal:
        patched(babs(), ("replace", path, "x"))

    assert (refusal.value.status, refusal.value.scim_type) == (400, "noTarget")


def test_a_filter_on_a_single_complex_value_changes_it_if_it_matches() -> None:
    """A value path selects values; the only one is no exception."""
    assert patched(babs(), ("replace", f'manager[value eq "{CAT}"].displayName', "J"))[ENTERPRISE_URN]["manager"] == {"value": CAT, "displayName": "J"}


def test_an_unmatched_filter_on_a_single_complex_value_is_not_a_silent_success() -> None:
    """Section 3.5.2.3: an operation that acts on nothing is noTarget, or (L07) its value is stored; never neither."""
    try:
        after = patched(babs(), ("replace", f'manager[value eq "{ANN}"].displayName', "J"))
    except NoTarget:
        return
    assert after[ENTERPRISE_URN]["manager"] == {"value": ANN, "displayName": "J"}


# -- L08


@pytest.mark.tolerance("L08")
@pytest.mark.parametrize("empty", [None, ""])
@pytest.mark.parametrize("op", ["replace", "add"])
@pytest.mark.parametrize(
    ("path", "name"), [("title", "title"), ("active", "active"), ("name", "name"), ("emails", "emails"), (f"{USER_URN}:externalId", "externalId")]
)
def test_empty_text_and_null_clear_an_attribute(op: str, empty: object, path: str, name: str) -> None:
    """L08 and RFC 7643 section 2.5."""
    noted: Noted = set()
    rest = babs()
    rest.pop(name)

    assert patched(babs(), (op, path, empty), noted=noted) == rest
    assert patched(babs(), (op, None, {path: empty})) == rest
    assert Tolerance.EMPTY_CLEARS in noted


@pytest.mark.tolerance("L08")
@pytest.mark.parametrize("empty", [None, "", [], {}])
def test_replacing_by_nothing_clears(empty: object) -> None:
    """RFC 7643 section 2.5: an empty array has the effect of making the attribute unassigned."""
    assert "emails" not in patched(babs(), ("replace", "emails", empty))


@pytest.mark.tolerance("L08")
@pytest.mark.parametrize("empty", [None, ""])
def test_clearing_a_part_leaves_the_others(empty: object) -> None:
    """L08: single value -> unset."""
    assert patched(babs(), ("replace", "name.givenName", empty))["name"] == {key: value for key, value in babs()["name"].items() if key != "givenName"}
    assert patched(babs(), ("replace", 'addresses[type eq "work"].region', empty))["addresses"][0] == {
        key: value for key, value in WORK_ADDRESS.items() if key != "region"
    }
    assert patched(babs(), ("replace", f"{ENTERPRISE_URN}:department", empty))[ENTERPRISE_URN].keys() == {"employeeNumber", "manager"}


@pytest.mark.tolerance("L08")
@pytest.mark.parametrize("empty", [None, ""])
def test_null_parts_of_an_object_are_cleared_and_the_others_stay(empty: object) -> None:
    """RFC 7643 section 2.5 and RFC 7644 section 3.5.2.3."""
    name = babs()["name"]

    assert patched(babs(), ("replace", "name", {"givenName": empty, "middleName": "J"}))["name"] == {
        "formatted": name["formatted"],
        "familyName": "Jensen",
        "middleName": "J",
    }
    assert patched(babs(), ("replace", "name", {"GIVENNAME": empty}))["name"] == {"formatted": name["formatted"], "familyName": "Jensen"}


@pytest.mark.tolerance("L08")
def test_an_element_is_dropped_when_only_its_label_remains() -> None:
    """L08: drop the element when only type and primary remain."""
    assert patched(babs(), ("replace", 'emails[type eq "work"].value', ""))["emails"] == [HOME]
    assert "ims" not in patched(babs(), ("replace", 'ims[type eq "xmpp"].value', None))


@pytest.mark.tolerance("L08")
def test_clearing_what_is_absent_is_a_success() -> None:
    """L08: unset of absent = success."""
    for path in ("nickName", "name.middleName", 'phoneNumbers[type eq "work"].value', 'emails[type eq "other"].value', f"{ENTERPRISE_URN}:division"):
        assert patched(babs(), ("replace", path, None)) == babs()


@pytest.mark.parametrize("empty", [None, "", []])
@pytest.mark.parametrize("op", ["replace", "add"])
def test_a_required_attribute_cannot_be_cleared(op: str, empty: object) -> None:
    """Section 3.5.2.2: a required attribute that becomes unassigned is 400 mutability."""
    if (op, empty) == ("add", []):
        return
    with pytest.raises(Mutability, match="userName"):
        patched(babs(), (op, "userName", empty))
    with pytest.raises(Mutability, match="userName"):
        patched(babs(), (op, None, {"username": empty}))
    with pytest.raises(Mutability, match="displayName"):
        patched(crew(), (op, "displayName", empty), resource_type=GROUP)


# -- extensions


def test_replacing_an_extension_leaves_the_attributes_it_does_not_name() -> None:
    """Section 3.5.2.3: parts that are not specified are left unchanged."""
    after = patched(babs(), ("replace", ENTERPRISE_URN, {"department": "X", "employeeNumber": None}))

    assert after[ENTERPRISE_URN] == {"department": "X", "manager": babs()[ENTERPRISE_URN]["manager"]}


def test_clearing_an_extension_takes_its_urn_from_schemas() -> None:
    """RFC 7643 section 3: `schemas` names the schemas of the attributes that are present."""
    for value in (None, ""):
        after = patched(babs(), ("replace", ENTERPRISE_URN, value))

        assert ENTERPRISE_URN not in after
        assert after["schemas"] == [USER_URN, OPAQUE_URN]


def test_an_emptied_extension_is_gone() -> None:
    """RFC 7643 section 2.5."""
    after = patched(
        babs(), ("replace", ENTERPRISE_URN, {"department": None, "employeeNumber": "", "manager": None}), ("replace", f"{OPAQUE_URN}:costBucket", "")
    )

    assert after["schemas"] == [USER_URN]
    assert not {ENTERPRISE_URN, OPAQUE_URN} & after.keys()


@pytest.mark.parametrize("value", ["x", 5, ["x"], True])
def test_an_extension_is_an_object(value: object) -> None:
    """Table 9, invalidValue."""
    for path in (ENTERPRISE_URN, USER_URN):
        with pytest.raises(InvalidValue, match="schema"):
            patched(babs(), ("replace", path, value))


@pytest.mark.tolerance("L06")
def test_the_core_urn_stands_for_the_resource() -> None:
    """Section 3.10."""
    assert patched(babs(), ("replace", USER_URN, {"title": "Boss", "id": "x", "name.givenName": "B"})) == babs(
        title="Boss", name={**babs()["name"], "givenName": "B"}
    )


@pytest.mark.tolerance("L16")
def test_unknown_extension_attributes_are_replaced_one_by_one() -> None:
    """L16."""
    after = patched(babs(), ("replace", f"{OPAQUE_URN}:costBucket", "X2"), ("replace", None, {OPAQUE_URN: {"more": [1], "gone": None}}))

    assert after[OPAQUE_URN] == {"costBucket": "X2", "more": [1]}


# -- refusals


@pytest.mark.parametrize("value", [UNSET])
@pytest.mark.parametrize("path", ["title", None, "members"])
def test_a_value_is_needed(path: str | None, value: object) -> None:
    """Section 3.5.2.3 names a value in every rule."""
    with pytest.raises(InvalidValue, match="needs a value"):
        patched(babs(), ("replace", path, value))


@pytest.mark.parametrize("path", ["", None])
def test_an_object_without_a_path_is_the_resource(path: str | None) -> None:
    """Section 3.5.2.3: if the path is omitted, the target is the resource itself."""
    assert patched(babs(), ("replace", None, {"title": "x"}))["title"] == "x"
    with pytest.raises((InvalidValue, InvalidPath)):
        patched(babs(), ("replace", path, "x"))


# -- members


def test_replacing_members_forgets_what_came_before_and_keeps_what_comes_after() -> None:
    """Section 3.5.2: in order."""
    members = changed(
        crew(),
        ("add", "members", [ANN]),
        ("remove", "members", [BOB]),
        ("replace", "members", [BOB]),
        ("add", f"{GROUP_URN}:Members", [CAT]),
        ("remove", f'members[value eq "{BOB}"]'),
        resource_type=GROUP,
    )[1]

    assert (set(members.added), set(members.removed), members.clears) == ({CAT}, {BOB}, True)


@pytest.mark.parametrize("empty", [None, []])
def test_replacing_members_by_nothing_removes_all(empty: object) -> None:
    """RFC 7643 section 2.5."""
    members = changed(crew(), ("replace", "members", empty), resource_type=GROUP)[1]

    assert (members.added, members.removed, members.clears) == ({}, {}, True)


def test_replacing_by_a_filter_adds_the_member() -> None:
    """L07 for members."""
    members = changed(crew(), ("replace", f'members[value eq "{ANN}"]', {"value": ANN}), resource_type=GROUP)[1]

    assert (list(members.added), members.clears) == ([ANN], False)


@pytest.mark.parametrize(
    "path",
    [
        "members.type",
        "members.$ref",
        f'members[value eq "{ANN}"].type',
        f'members[value eq "{ANN}"].$ref',
        f'members[value eq "{ANN}"].display',
    ],
)
@pytest.mark.parametrize(("op", "value"), [("replace", "User"), ("add", "User"), ("remove", UNSET)])
def test_a_part_of_a_member_is_no_list_of_members(op: str, value: object, path: str) -> None:
    """RFC 7643 section 4.2: value, $ref and type are immutable, and nobody joins or leaves because a part was named."""
    with pytest.raises(Mutability):
        changed(crew(), (op, path, value), resource_type=GROUP)


def test_a_tombstone_is_noticed() -> None:
    """L23: 32 hex characters + the old userName are stored as sent and counted."""
    noted: Noted = set()
    name = "0123456789abcdef" * 2 + babs()["userName"]

    assert patched(babs(), ("replace", "userName", name), ("replace", "active", "False"), noted=noted) == babs(userName=name, active=False)
    assert {Tolerance.TOMBSTONE, Tolerance.TEXT_BOOLEAN} <= noted
