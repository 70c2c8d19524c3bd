"""PATCH add (RFC 7644 section 3.5.2.1), with the deviations of the tolerance matrix."""

import pytest

from rollhouse.scim.errors import InvalidPath, InvalidValue, Mutability, NoTarget, PayloadTooLarge, ScimError
from rollhouse.scim.extensions import OPAQUE_BYTES_LIMIT
from rollhouse.scim.memberships import MEMBERS_LIMIT
from rollhouse.scim.messages import encode
from rollhouse.scim.patching import Operation, patch_memberships
from rollhouse.scim.schemas import ENTERPRISE_URN, GROUP, GROUP_URN, USER, USER_URN
from rollhouse.scim.tolerances import Noted, Tolerance
from tests.scim.samples import ANN, BADGE, BADGE_URN, BOB, CAT, OPAQUE_URN, UNSET, babs, changed, crew, patched

WORK, HOME = babs()["emails"]
THIRD = {"value": "third@example.com", "type": "other"}


# -- the rules of section 3.5.2.1


def test_the_example_without_a_path_adds_a_value_and_an_attribute() -> None:
    """Section 3.5.2.1, second example: emails gains a value, nickname is set."""
    after = patched(babs(), ("add", None, {"emails": [THIRD], "nickname": "Babs"}))

    assert after == babs(emails=[WORK, HOME, THIRD], nickName="Babs")


def test_the_example_with_members_adds_a_member() -> None:
    """Section 3.5.2.1, first example: members are a change of rows, the group's document stays."""
    value = [{"display": "Babs Jensen", "$ref": f"https://example.com/v2/Users/{ANN}", "value": ANN}]

    after, members = changed(crew(), ("add", "members", value), resource_type=GROUP)

    assert after == crew()
    assert (list(members.added), list(members.removed), members.clears) == ([ANN], [], False)


@pytest.mark.parametrize("value", [UNSET])
def test_a_value_is_needed(value: object) -> None:
    """Section 3.5.2.1: the operation MUST contain a "value" member."""
    with pytest.raises(InvalidValue, match="value"):
        patched(babs(), ("add", "nickName", value))


@pytest.mark.parametrize("value", ["x", 5, True, ["x"], [{"nickName": "x"}], None])
def test_without_a_path_the_value_is_an_object(value: object) -> None:
    """Section 3.5.2.1: the value parameter contains a set of attributes."""
    with pytest.raises(InvalidValue, match="object of attributes"):
        patched(babs(), ("add", None, value))


def test_an_absent_attribute_is_added() -> None:
    """If the target location does not exist, the attribute and value are added."""
    assert patched(babs(), ("add", "nickName", "Babs"))["nickName"] == "Babs"
    assert patched(babs(), ("add", "name.middleName", "Jane"))["name"] == {**babs()["name"], "middleName": "Jane"}
    assert patched(babs(), ("add", "phoneNumbers", [{"value": "1"}]))["phoneNumbers"] == [{"value": "1"}]


def test_a_single_valued_attribute_is_replaced() -> None:
    """If the target location specifies a single-valued attribute, the existing value is replaced."""
    assert patched(babs(), ("add", "title", "Boss")) == babs(title="Boss")
    assert patched(babs(), ("add", "active", False)) == babs(active=False)


def test_a_complex_attribute_gains_the_named_parts() -> None:
    """A set of sub-attributes is given in "value"; those that are not named stay."""
    after = patched(babs(), ("add", "name", {"givenName": "Babs", "middleName": "J"}))

    assert after["name"] == {**babs()["name"], "givenName": "Babs", "middleName": "J"}


def test_a_multi_valued_attribute_gains_a_value() -> None:
    """A new value is added to the attribute."""
    assert patched(babs(), ("add", "emails", [THIRD]))["emails"] == [WORK, HOME, THIRD]
    assert patched({**babs(), "tags": ["a"]}, ("add", "tags", ["b"]), resource_type=BADGE)["tags"] == ["a", "b"]


@pytest.mark.tolerance("L13")
@pytest.mark.parametrize("value", [[HOME], [WORK], [WORK, HOME], HOME])
def test_a_value_that_is_there_already_changes_nothing(value: object) -> None:
    """If the target location already contains the value, no changes SHOULD be made (L13)."""
    noted: Noted = set()

    assert patched(babs(), ("add", "emails", value), noted=noted) == babs()
    assert Tolerance.DUPLICATE_VALUE in noted


@pytest.mark.tolerance("L13")
def test_the_same_type_and_value_are_one_value() -> None:
    """RFC 7643 section 2.4: the same (type, value) combination SHOULD NOT be returned twice; `primary` does not make another of it."""
    after = patched(babs(), ("add", "emails", [{"value": HOME["value"], "type": "home"}]))

    assert [email["value"] for email in after["emails"]] == [WORK["value"], HOME["value"]]


@pytest.mark.tolerance("L13")
def test_a_value_named_twice_is_added_once() -> None:
    """L13: no duplicate, also within one operation."""
    assert patched(babs(), ("add", "emails", [THIRD, THIRD]))["emails"] == [WORK, HOME, THIRD]


@pytest.mark.tolerance("L13")
def test_a_new_primary_demotes_the_old_one() -> None:
    """Section 3.5.2: setting primary SHALL set it to false for any other value."""
    after = patched(babs(), ("add", "emails", [{**THIRD, "primary": True}]))

    assert after["emails"] == [{**WORK, "primary": False}, HOME, {**THIRD, "primary": True}]


def test_adding_nothing_changes_nothing() -> None:
    assert patched(babs(), ("add", "emails", [])) == babs()
    assert patched(babs(), ("add", None, {})) == babs()


def test_attributes_and_urns_may_be_written_in_any_letter_case() -> None:
    """Section 3.10: all facets of the name are case insensitive; the declared spelling is stored."""
    after = patched(
        babs(),
        ("add", "NICKNAME", "Babs"),
        ("add", "NAME.MiddleName", "J"),
        ("add", f"{USER_URN.upper()}:LOCALE", "en"),
        ("add", f"{ENTERPRISE_URN.lower()}:COSTCENTER", "4130"),
    )

    assert (after["nickName"], after["name"]["middleName"], after["locale"]) == ("Babs", "J", "en")
    assert after[ENTERPRISE_URN] == {**babs()[ENTERPRISE_URN], "costCenter": "4130"}
    assert after.keys() == babs().keys() | {"nickName", "locale"}


# -- extensions


def test_adding_an_extension_attribute_adds_the_urn_to_schemas() -> None:
    """Section 3.5.2: employeeNumber by its full name automatically adds the extension to `schemas`."""
    bare = {"schemas": [USER_URN], "userName": "ann"}

    after = patched(bare, ("add", f"{ENTERPRISE_URN}:employeeNumber", "1"))

    assert after == {"schemas": [USER_URN, ENTERPRISE_URN], "userName": "ann", ENTERPRISE_URN: {"employeeNumber": "1"}}


@pytest.mark.tolerance("L05")
@pytest.mark.tolerance("L06")
@pytest.mark.parametrize(
    "operation",
    [
        ("add", "department", "Tours"),
        ("add", f"{ENTERPRISE_URN}:department", "Tours"),
        ("add", f"{ENTERPRISE_URN}.department", "Tours"),
        ("add", "urn:ietf:params:scim:schemas:extension:enterprise:2.0User:department", "Tours"),
        ("add", ENTERPRISE_URN, {"department": "Tours"}),
        ("add", None, {"department": "Tours"}),
        ("add", None, {f"{ENTERPRISE_URN}:department": "Tours"}),
        ("add", None, {ENTERPRISE_URN: {"department": "Tours"}}),
        ("add", None, {ENTERPRISE_URN: {"DEPARTMENT": "Tours"}}),
    ],
)
def test_every_spelling_of_an_extension_attribute_reaches_it(operation: tuple[str, str, object]) -> None:
    """L05 and L06: bare names, the URN with colon or dot, misspelt, whole extension objects."""
    after = patched({"schemas": [USER_URN], "userName": "ann"}, operation)

    assert after == {"schemas": [USER_URN, ENTERPRISE_URN], "userName": "ann", ENTERPRISE_URN: {"department": "Tours"}}


@pytest.mark.tolerance("L06")
def test_keys_without_a_path_may_be_paths() -> None:
    """L06: dotted keys, URN keys, bracket keys and nested objects in one value."""
    noted: Noted = set()
    after = patched(
        babs(),
        (
            "add",
            None,
            {
                "name.middleName": "J",
                f"{USER_URN}:locale": "en",
                'phoneNumbers[type eq "work"].value': "1",
                "name": {"honorificPrefix": "Ms."},
                USER_URN: {"timezone": "Europe/Oslo"},
            },
        ),
        noted=noted,
    )

    assert after == babs(
        name={**babs()["name"], "middleName": "J", "honorificPrefix": "Ms."}, locale="en", phoneNumbers=[{"type": "work", "value": "1"}], timezone="Europe/Oslo"
    )
    assert {Tolerance.PATHLESS_KEYS, Tolerance.CREATED_BY_FILTER} <= noted


@pytest.mark.tolerance("L16")
def test_unknown_extensions_are_kept_as_sent() -> None:
    """L16: also what looks like nothing we know, so that Entra's comparison converges."""
    value = {"anything": [1, {"deep": None}, "x"], "Flag": "True"}
    other = "urn:example:2.0:Other"

    after = patched(babs(), ("add", None, {other: value}), ("add", f"{OPAQUE_URN}:extra", "y"))

    assert after[other] == value
    assert after[OPAQUE_URN] == {"costBucket": "X1", "extra": "y"}
    assert after["schemas"] == [USER_URN, ENTERPRISE_URN, OPAQUE_URN, other]


@pytest.mark.tolerance("L16")
def test_an_unknown_extension_has_one_spelling() -> None:
    """Section 3.10: URNs are case insensitive, so there is one object for one URN."""
    after = patched(babs(), ("add", f"{OPAQUE_URN.upper()}:costBucket", "X2"), ("add", None, {OPAQUE_URN.lower(): {"extra": "y"}}))

    assert after == babs(**{OPAQUE_URN: {"costBucket": "X2", "extra": "y"}})


@pytest.mark.tolerance("L16")
def test_unknown_extensions_are_capped_together() -> None:
    """L16: size-capped; the cap is on what all of them weigh, encoded."""
    room = OPAQUE_BYTES_LIMIT - len('{"urn:example:a":{"x":""}}')
    bare = {"schemas": [USER_URN], "userName": "ann"}

    assert patched(bare, ("add", None, {"urn:example:a": {"x": "y" * room}}))["urn:example:a"]["x"] == "y" * room
    for value in ({"urn:example:a": {"x": "y" * (room + 1)}}, {"urn:example:a": {"x": "y" * 40_000}, "urn:example:b": {"x": "y" * 40_000}}):
        with pytest.raises(InvalidValue, match="larger than 65536 bytes"):
            patched(bare, ("add", None, value))


@pytest.mark.tolerance("L16")
@pytest.mark.threat("T08")
@pytest.mark.parametrize("key", ["urn:x", "urn:", "urn::", " urn:example:a", "\turn:example:a:b", "URN:x"])
@pytest.mark.parametrize("value", ["y" * 70_000, {"x": "y" * 70_000}])
def test_no_spelling_of_a_urn_evades_the_cap(key: str, value: object) -> None:
    """L16, T08: whatever is kept without a schema is capped and named in `schemas`."""
    try:
        after = patched(babs(), ("add", None, {key: value}))
    except InvalidValue:
        return
    assert len(encode(after)) < OPAQUE_BYTES_LIMIT


@pytest.mark.threat("T08")
@pytest.mark.parametrize("key", ["urn:x", "urn:", "urn::", " urn:example:a", "\turn:example:a:b", "URN:x"])
@pytest.mark.parametrize("value", ["y", {"x": "y"}])
def test_every_top_level_name_is_declared_or_a_urn_in_schemas(key: str, value: object) -> None:
    """RFC 7643 section 3: `schemas` names the namespaces of all attributes present."""
    after = patched(babs(), ("add", None, {key: value}))

    assert {name for name in after if USER.schema.attribute(name) is None} == {"schemas", *after["schemas"]} - {USER_URN}


@pytest.mark.tolerance("L15")
@pytest.mark.parametrize(
    "path", ["foo", "name.foo", "foo.bar", f"{USER_URN}:foo", f"{ENTERPRISE_URN}:foo", 'foo[a eq "b"]', 'emails[type eq "work"].foo', "__proto__"]
)
def test_unknown_paths_are_ignored_and_noted(path: str) -> None:
    """L15: ignored, with a metric."""
    noted: Noted = set()

    assert patched(babs(), ("add", path, "x"), noted=noted) == babs()
    assert Tolerance.UNKNOWN_PATH in noted


@pytest.mark.tolerance("L15")
@pytest.mark.parametrize("value", [{"foo": "x"}, {"name": {"foo": "x"}}, {"a b": "x"}, {"": "x"}, {"emails[": "x"}, {"title]": "x"}])
def test_unknown_keys_without_a_path_are_ignored(value: dict[str, object]) -> None:
    """L15: and nothing that is there is lost."""
    assert patched(babs(), ("add", None, value)) == babs()


@pytest.mark.parametrize(
    "path", ["emails[", 'emails[type eq "work"', "a b", " ", 'emails[foo eq "x"]', 'title[value eq "x"]', 'emails[type gt true and primary gt "x"]']
)
def test_a_malformed_path_is_refused(path: str) -> None:
    """Table 9, invalidPath."""
    with pytest.raises(InvalidPath):
        patched(babs(), ("add", path, "x"))


# -- value paths


@pytest.mark.tolerance("L07")
def test_an_unmatched_filter_creates_the_element() -> None:
    """L07: Entra adds `phoneNumbers[type eq "mobile"].value` to users without a mobile."""
    noted: Noted = set()
    after = patched(babs(), ("add", 'phoneNumbers[type eq "mobile"].value', "+47"), noted=noted)

    assert after == babs(phoneNumbers=[{"type": "mobile", "value": "+47"}])
    assert noted == {Tolerance.CREATED_BY_FILTER}


@pytest.mark.tolerance("L07")
@pytest.mark.parametrize("literal", ["true", "True", '"True"', '"true"'])
def test_a_created_element_copies_booleans_as_booleans(literal: str) -> None:
    """L03 and L07: `roles[primary eq "True"].value`."""
    assert patched(babs(), ("add", f"roles[primary eq {literal}].value", "Admin"))["roles"] == [{"primary": True, "value": "Admin"}]


@pytest.mark.tolerance("L07")
def test_a_created_element_copies_all_equality_terms_in_their_declared_spelling() -> None:
    """L07: copying the filter's equality terms."""
    after = patched(babs(), ("add", 'ADDRESSES[TYPE eq "other" and Country eq "NO"].Formatted', "Storgata 1"))

    assert after["addresses"][2] == {"type": "other", "country": "NO", "formatted": "Storgata 1"}
    assert len(after["addresses"]) == 3


@pytest.mark.parametrize(
    "inner", ['type ne "work" and type ne "home"', 'value co "nobody"', 'type eq "a" or type eq "b"', "not (type pr)", 'type eq "x" and value sw "y"']
)
def test_an_unmatched_filter_that_does_not_say_what_to_create_has_no_target(inner: str) -> None:
    """Section 3.5.2.3: no record match is 400 noTarget where L07 does not apply."""
    with pytest.raises(NoTarget):
        patched(babs(), ("add", f"emails[{inner}].display", "x"))


def test_a_matched_filter_changes_the_part_of_all_matches() -> None:
    """Section 3.5.2.3 says "all matching records"; add to what exists replaces it."""
    after = patched(babs(), ("add", 'emails[type eq "work"].display', "D"), ("add", 'emails[value co "@"].display', "E"))

    assert after["emails"] == [{**WORK, "display": "E"}, {**HOME, "display": "E"}]


def test_adding_an_object_to_a_matched_element_keeps_its_other_parts() -> None:
    after = patched(babs(), ("add", 'addresses[type eq "work"]', {"country": "US"}))

    assert after["addresses"][0] == {**babs()["addresses"][0], "country": "US"}


def test_a_primary_set_through_a_filter_demotes_the_others() -> None:
    """Section 3.5.2."""
    after = patched(babs(), ("add", 'emails[type eq "home"].primary', True))

    assert [email["primary"] for email in after["emails"]] == [False, True]


@pytest.mark.threat("T12")
def test_at_most_100_values_also_when_filters_create_them() -> None:
    """The limit of values holds for every way of adding one."""
    full = babs(phoneNumbers=[{"type": f"t{number}", "value": "1"} for number in range(100)])

    assert len(patched(full, ("add", 'phoneNumbers[type eq "t1"].value', "2"))["phoneNumbers"]) == 100
    with pytest.raises(InvalidValue, match="at most 100"):
        patched(full, ("add", "phoneNumbers", [{"value": "2"}]))
    with pytest.raises(InvalidValue, match="at most 100"):
        patched(full, ("add", 'phoneNumbers[type eq "new"].value', "2"))


def test_a_part_without_a_filter_is_that_of_the_preferred_element() -> None:
    """`emails.value` without a filter: the primary e-mail, or a new one."""
    assert patched(babs(), ("add", "emails.value", "new@x"))["emails"] == [{**WORK, "value": "new@x"}, HOME]
    assert patched(babs(), ("add", "phoneNumbers.value", "1"))["phoneNumbers"] == [{"value": "1"}]


# -- shapes and types


@pytest.mark.tolerance("L11")
@pytest.mark.parametrize(
    ("path", "value", "name", "stored"),
    [
        ("nickName", [{"value": "B"}], "nickName", "B"),
        ("nickName", [{"$ref": None, "value": "B"}], "nickName", "B"),
        ("nickName", {"value": "B"}, "nickName", "B"),
        ("nickName", ["B"], "nickName", "B"),
        ("phoneNumbers", "1", "phoneNumbers", [{"value": "1"}]),
        ("phoneNumbers", {"value": "1"}, "phoneNumbers", [{"value": "1"}]),
        ("phoneNumbers", ["1", "2"], "phoneNumbers", [{"value": "1"}, {"value": "2"}]),
        ('phoneNumbers[type eq "work"]', "1", "phoneNumbers", [{"type": "work", "value": "1"}]),
        ('phoneNumbers[type eq "work"].value', [{"value": "1"}], "phoneNumbers", [{"type": "work", "value": "1"}]),
    ],
)
def test_one_value_may_come_in_another_shape(path: str, value: object, name: str, stored: object) -> None:
    """L11: a list for one value, an object for a text, a text for an object."""
    noted: Noted = set()

    assert patched(babs(), ("add", path, value), noted=noted)[name] == stored
    assert Tolerance.VALUE_SHAPE in noted


@pytest.mark.tolerance("L11")
@pytest.mark.parametrize("value", [ANN, {"value": ANN}, [{"value": ANN}], {"managerId": ANN}])
@pytest.mark.parametrize("path", ["manager", f"{ENTERPRISE_URN}:manager"])
def test_a_manager_may_be_a_text(path: str, value: object) -> None:
    """L11: complex `manager` given a string."""
    assert patched({"schemas": [USER_URN], "userName": "ann"}, ("add", path, value))[ENTERPRISE_URN] == {"manager": {"value": ANN}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("active", "maybe"),
        ("active", 1),
        ("active", {"value": {"value": True}}),
        ("title", {"foo": "x"}),
        ("title", {"value": {"value": "x"}}),
        ("name", "Babs"),
        ("name", 5),
        ("title", "x" * 4097),
        ('emails[type eq "work"].primary', "maybe"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(path: str, value: object) -> None:
    """Table 9, invalidValue: nothing is cleared by what cannot be understood."""
    with pytest.raises(InvalidValue):
        patched(babs(), ("add", path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name.givenName", [None]),
        ("name.givenName", {"value": None}),
        ("name.givenName", [{"$ref": None, "value": None}]),
        ('emails[type eq "work"].value', [{"value": ""}]),
        ("emails.value", [""]),
        (f"{ENTERPRISE_URN}:manager.value", {"value": None}),
    ],
)
@pytest.mark.tolerance("L08")
@pytest.mark.tolerance("L11")
def test_no_null_is_ever_stored(path: str, value: object) -> None:
    """RFC 7643 section 2.5: null is unassigned, also inside the shapes of L11."""

    def nulls(node: object) -> bool:
        if isinstance(node, dict):
            return any(nulls(part) for part in node.values())
        return any(nulls(part) for part in node) if isinstance(node, list) else node in (None, "")

    assert not nulls(patched(babs(), ("add", path, value)))


# -- read-only, immutable, password


@pytest.mark.threat("T08")
@pytest.mark.parametrize(
    "path",
    [
        "id",
        "ID",
        "meta",
        "meta.created",
        "meta.version",
        "groups",
        'groups[value eq "x"]',
        "groups.value",
        f"{USER_URN}:groups",
        f"{USER_URN}:id",
        f"{USER_URN}:meta.version",
    ],
)
@pytest.mark.parametrize("op", ["add", "replace", "remove"])
def test_an_explicit_path_to_a_read_only_attribute_is_refused(op: str, path: str) -> None:
    """Section 3.5.2 and table 9: 400 mutability on an explicit path."""
    with pytest.raises(Mutability):
        patched(babs(), (op, path, [{"value": "x"}]))


@pytest.mark.threat("T08")
@pytest.mark.tolerance("L06")
@pytest.mark.parametrize("op", ["add", "replace"])
def test_read_only_keys_without_a_path_are_ignored(op: str) -> None:
    """L06: `id`, `meta`, `schemas`, `groups` are ignored and noted."""
    noted: Noted = set()
    value = {
        "id": "x",
        "Meta": {"version": "x"},
        "meta.created": "x",
        "SCHEMAS": [],
        "groups": [{"value": "x"}],
        f"{USER_URN}:id": "x",
        "groups.value": "x",
        "nickName": "B",
    }

    assert patched(babs(), (op, None, value), noted=noted) == babs(nickName="B")
    assert Tolerance.READ_ONLY_IGNORED in noted


@pytest.mark.parametrize("op", ["add", "replace"])
def test_an_immutable_attribute_can_be_given_a_value_but_not_another_one(op: str) -> None:
    """Section 3.5.2: MAY add a value to an immutable attribute without one; MUST NOT modify it."""
    badge = {"schemas": [BADGE_URN], "code": "A"}

    given = patched(badge, (op, "serial", "1"), resource_type=BADGE)
    assert given["serial"] == "1"
    assert patched(given, (op, "serial", "1"), resource_type=BADGE) == given
    with pytest.raises(Mutability):
        patched(given, (op, "serial", "2"), resource_type=BADGE)


@pytest.mark.threat("T07")
@pytest.mark.parametrize("operation", [("add", "password", "s3cret"), ("add", None, {"PassWord": "s3cret"}), ("replace", f"{USER_URN}:password", "s3cret")])
def test_a_password_is_taken_and_dropped(operation: tuple[str, str, object]) -> None:
    """T07: writeOnly, never returned, never stored."""
    assert patched(babs(), operation) == babs()


# -- members


def test_members_of_several_operations_are_one_net_change() -> None:
    """Section 3.5.2: operations are applied in the order in which they appear."""
    after, members = changed(
        crew(),
        ("add", "members", [{"value": ANN}, {"value": BOB}]),
        ("remove", f'members[value eq "{ANN}"]'),
        ("add", f"{GROUP_URN}:members", [{"value": CAT}]),
        ("remove", "members", [{"value": CAT}]),
        ("add", None, {"MEMBERS": [{"value": CAT}]}),
        resource_type=GROUP,
    )

    assert after == crew()
    assert (set(members.added), set(members.removed), members.clears) == ({BOB, CAT}, {ANN}, False)
    assert members


@pytest.mark.tolerance("L11")
@pytest.mark.parametrize("value", [ANN, [ANN], {"value": ANN}, [{"VALUE": ANN.upper(), "display": "x", "type": "User"}], [ANN, ANN]])
def test_members_come_in_several_shapes(value: object) -> None:
    """L11; a member named twice is one."""
    assert list(changed(crew(), ("add", "members", value), resource_type=GROUP)[1].added) == [ANN]


@pytest.mark.parametrize("value", [[{}], [{"display": "x"}], [5], [{"value": None}], [{"value": ""}], [[ANN]], [None]])
def test_a_member_without_an_id_is_refused(value: object) -> None:
    """Table 9, invalidValue."""
    with pytest.raises(InvalidValue):
        changed(crew(), ("add", "members", value), resource_type=GROUP)


@pytest.mark.threat("T12")
def test_10_000_members_pass_and_one_more_does_not() -> None:
    """standards.md: 10,000 members in one PATCH; above, 413 with a detail that says to send several."""
    ids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(MEMBERS_LIMIT)]

    assert len(changed(crew(), ("add", "members", ids), resource_type=GROUP)[1].added) == MEMBERS_LIMIT
    with pytest.raises(PayloadTooLarge, match="several PATCH"):
        changed(crew(), ("add", "members", ids), ("remove", f'members[value eq "{ANN}"]'), resource_type=GROUP)


def test_a_patch_of_members_only_needs_no_document() -> None:
    """House invariant 3: such a PATCH never loads the group."""
    operations = [Operation("add", "members", [{"value": ANN}]), Operation("remove", f'members[value eq "{BOB}"]'), Operation("add", None, {"members": [CAT]})]

    found = patch_memberships(GROUP, operations, set())

    assert found is not None
    assert (set(found.added), set(found.removed)) == ({ANN, CAT}, {BOB})


@pytest.mark.parametrize(
    "operation",
    [
        Operation("replace", "displayName", "x"),
        Operation("add", None, {"members": [ANN], "displayName": "x"}),
        Operation("add", None, {}),
        Operation("add", None, "x"),
        Operation("add", "membersx", "x"),
        Operation("add", "", "x"),
    ],
)
def test_any_other_patch_needs_the_document(operation: Operation) -> None:
    """House invariant 3 holds for members and nothing else."""
    assert patch_memberships(GROUP, [Operation("add", "members", [ANN]), operation], set()) is None
    assert patch_memberships(USER, [Operation("add", "members", [ANN])], set()) is None
    assert patch_memberships(GROUP, [], set()) is None


# -- several operations


@pytest.mark.tolerance("L14")
def test_operations_are_applied_in_order() -> None:
    """Section 3.5.2: the resulting resource becomes the target of the next operation."""
    after = patched(
        babs(), ("add", "title", "A"), ("add", "emails", [THIRD]), ("remove", 'emails[type eq "other"]'), ("add", "title", "B"), ("add", "emails", [THIRD])
    )

    assert after == babs(title="B", emails=[WORK, HOME, THIRD])


@pytest.mark.tolerance("L14")
def test_no_operations_change_nothing() -> None:
    """L14."""
    assert patched(babs()) == babs()


@pytest.mark.parametrize(
    "failing",
    [
        ("add", "id", "x"),
        ("remove", None),
        ("add", "active", "maybe"),
        ("add", "emails[", "x"),
        ("remove", "userName"),
        ("add", 'emails[value co "zzz"].display', "x"),
    ],
)
def test_one_failing_operation_fails_the_patch(failing: tuple[str, str]) -> None:
    """Section 3.5.2: a PATCH is atomic; neither a document nor a change of members comes out."""
    with pytest.raises(ScimError):
        changed(babs(), ("add", "title", "Boss"), failing, ("add", "nickName", "B"))
