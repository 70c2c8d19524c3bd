"""The reading of POST and PUT bodies (RFC 7644 sections 3.3 and 3.5.1, RFC 7643 section 2, threats T07 and T08)."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollhouse.scim.errors import BadRequest, InvalidSyntax, InvalidValue, Mutability, PayloadTooLarge, ScimError
from rollhouse.scim.messages import decode_object
from rollhouse.scim.patching import Operation, patch_document, read_document, replace_document
from rollhouse.scim.schemas import ENTERPRISE_URN, GROUP, GROUP_URN, USER, USER_URN, ResourceType
from rollhouse.scim.tolerances import Noted, Tolerance
from tests.scim.samples import ANN, BADGE, BADGE_URN, BOB, OPAQUE_URN, babs, crew, thorough


def read(body: dict[str, Any], resource_type: ResourceType = USER, noted: Noted | None = None) -> dict[str, Any]:
    return read_document(resource_type, body, set() if noted is None else noted)[0]


def put(current: dict[str, Any], body: dict[str, Any], resource_type: ResourceType = USER) -> dict[str, Any]:
    return replace_document(resource_type, current, body, set())[0]


def part(name: str, value: object) -> Any:
    """What becomes of one attribute of a new user."""
    return read({"userName": "ann", name: value}).get(name)


# -- POST


def test_a_document_that_is_in_order_is_stored_as_it_is() -> None:
    """L17: values are stored verbatim."""
    noted: Noted = set()
    whole = {name: value for name, value in babs().items() if name != OPAQUE_URN}
    whole["schemas"] = [USER_URN, ENTERPRISE_URN]

    assert read(whole, noted=noted) == whole
    assert noted == set()
    assert next(iter(read(whole))) == "schemas"


def test_a_silent_client_gets_the_defaults() -> None:
    """`active` is true unless said otherwise."""
    assert read({"userName": "ann"}) == {"schemas": [USER_URN], "userName": "ann", "active": True}
    assert read({"userName": "ann", "active": None})["active"] is True
    assert read({"userName": "ann", "active": False})["active"] is False


@pytest.mark.parametrize("body", [{}, {"userName": None}, {"userName": ""}, {"userName": []}, {"name": {"givenName": "x"}}])
def test_a_required_attribute_must_have_a_value(body: dict[str, Any]) -> None:
    """RFC 7644 table 9, invalidValue: a required value was missing."""
    with pytest.raises(InvalidValue, match="userName is required"):
        read(body)


@pytest.mark.parametrize("name", ["USERNAME", "username", "UserName", f"{USER_URN}:userName", f"{USER_URN.upper()}:USERNAME"])
def test_names_are_stored_in_their_declared_spelling(name: str) -> None:
    """RFC 7643 section 2.1: attribute names are case insensitive."""
    assert read({name: "ann"}) == {"schemas": [USER_URN], "userName": "ann", "active": True}


def test_names_inside_are_stored_in_their_declared_spelling() -> None:
    """RFC 7643 section 2.1."""
    body = {
        "userName": "a",
        "NAME": {"GIVENNAME": "A"},
        "eMails": [{"VALUE": "a@x", "Primary": True}],
        ENTERPRISE_URN.lower(): {"Department": "D", "MANAGER": {"Value": ANN}},
    }

    assert read(body) == {
        "schemas": [USER_URN, ENTERPRISE_URN],
        "userName": "a",
        "name": {"givenName": "A"},
        "emails": [{"value": "a@x", "primary": True}],
        "active": True,
        ENTERPRISE_URN: {"department": "D", "manager": {"value": ANN}},
    }


@pytest.mark.tolerance("L02")
@pytest.mark.parametrize(
    "schemas", [None, [], ["urn:example:x"], "x", [5], [USER_URN, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"]]
)
def test_schemas_are_those_of_the_content(schemas: object) -> None:
    """L02: what the client lists is ignored; RFC 7643 section 3: only supported URNs, each once."""
    assert read({"userName": "a", "schemas": schemas, "department": "D"})["schemas"] == [USER_URN, ENTERPRISE_URN]


def test_unassigned_values_are_not_stored() -> None:
    """RFC 7643 section 2.5: null, empty lists; and empty texts and objects."""
    body = {
        "userName": "a",
        "title": None,
        "nickName": "",
        "emails": [],
        "roles": [None, {}, {"value": ""}],
        "name": {"givenName": None},
        ENTERPRISE_URN: {"manager": None},
    }

    assert read(body) == {"schemas": [USER_URN], "userName": "a", "active": True}


@pytest.mark.tolerance("L15")
def test_unknown_attributes_are_ignored_and_noted() -> None:
    """L15."""
    noted: Noted = set()

    assert read({"userName": "a", "foo": 1, "name": {"foo": 1, "givenName": "A"}, "emails": [{"foo": 1, "value": "v"}]}, noted=noted) == {
        "schemas": [USER_URN],
        "userName": "a",
        "active": True,
        "name": {"givenName": "A"},
        "emails": [{"value": "v"}],
    }
    assert noted == {Tolerance.UNKNOWN_ATTRIBUTE}


# -- types


@pytest.mark.tolerance("L03")
@pytest.mark.parametrize(
    ("sent", "stored"), [(True, True), (False, False), ("True", True), ("False", False), ("true", True), ("false", False), (" TRUE ", True)]
)
def test_booleans_may_be_text(sent: object, stored: bool) -> None:
    """L03."""
    assert part("active", sent) is stored
    assert part("emails", [{"value": "v", "primary": sent}]) == [{"value": "v", "primary": stored}]


@pytest.mark.parametrize("sent", ["yes", "1", 1, 0, 1.0, "t"])
def test_what_is_no_boolean_is_refused(sent: object) -> None:
    """RFC 7643 section 2.3.2."""
    with pytest.raises(InvalidValue, match="active must be true or false"):
        part("active", sent)


@pytest.mark.tolerance("L04")
@pytest.mark.parametrize(
    ("sent", "stored"), [(5, "5"), (-1.5, "-1.5"), (True, "true"), (False, "false"), (12345678901234567890, "12345678901234567890"), (0, "0")]
)
def test_numbers_and_booleans_become_text_where_text_is_declared(sent: object, stored: str) -> None:
    """L04: employeeNumber as a number."""
    assert read({"userName": "a", ENTERPRISE_URN: {"employeeNumber": sent}})[ENTERPRISE_URN] == {"employeeNumber": stored}


@pytest.mark.tolerance("L04")
@pytest.mark.parametrize(
    ("name", "sent", "stored"),
    [
        ("floor", 7, 7),
        ("floor", 7.0, 7),
        ("floor", "7", 7),
        ("floor", "-0", 0),
        ("floor", 2**53, 2**53),
        ("weight", 2.5, 2.5),
        ("weight", "2.5", 2.5),
        ("weight", 3, 3),
    ],
)
def test_numbers_may_be_text(name: str, sent: object, stored: float) -> None:
    """L04: numbers as strings."""
    found = read({name: sent}, BADGE)[name]

    assert found == stored
    assert type(found) is type(stored)


@pytest.mark.threat("T23")
@pytest.mark.parametrize(
    "sent", [1.5, "1.5", 2**53 + 1, -(2**53) - 1, "9007199254740993", 1e300, "x", True, "true", "NaN", "Infinity", "1e999", 10**400, -(10**400), "1_0", "７"]
)
def test_what_is_no_integer_is_refused(sent: object) -> None:
    """RFC 7643 section 2.3.4; T23: beyond 2^53 refused."""
    with pytest.raises(InvalidValue):
        read({"floor": sent}, BADGE)


@pytest.mark.threat("T23")
@pytest.mark.parametrize("sent", ["x", True, "NaN", "Infinity", "-inf", "1e999", 10**400, "1_0"])
def test_what_is_no_decimal_is_refused(sent: object) -> None:
    """RFC 7643 section 2.3.3; what no double can hold cannot be compared."""
    with pytest.raises(InvalidValue):
        read({"weight": sent}, BADGE)


@pytest.mark.parametrize("sent", ["2026-01-23T04:56:22Z", "2026-01-23T04:56:22.123+02:00", "2026-01-23T04:56:22"])
def test_date_times_are_stored_as_sent(sent: str) -> None:
    """L17: verbatim."""
    assert read({"issued": sent}, BADGE)["issued"] == sent


@pytest.mark.parametrize("sent", ["2026-01-23", "2026-W04-5", "tomorrow", 1769144182, True, "2026-02-30T00:00:00Z"])
def test_what_is_no_date_time_is_refused(sent: object) -> None:
    """RFC 7643 section 2.3.5: MUST include both a date and a time."""
    with pytest.raises(InvalidValue, match="issued"):
        read({"issued": sent}, BADGE)


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("title", {"foo": "x"}),
        ("title", {"value": ["x"]}),
        ("title", [{"foo": "x"}]),
        ("name", "Ann"),
        ("name", 5),
        ("addresses", ["x"]),
        ("emails", [[{"value": {"x": 1}}]]),
    ],
)
def test_a_value_of_another_structure_is_refused(name: str, sent: object) -> None:
    """RFC 7644 table 9, invalidValue; L11 forgives only what has one meaning."""
    with pytest.raises(InvalidValue):
        part(name, sent)


@pytest.mark.tolerance("L17")
@pytest.mark.parametrize(
    "value", [" leading and trailing ", "Bergstro\u0308m", "😀", "+47 22 00 00 00", "x\ty\nz", "\u202eabc", "a\u200bb", "\\", '"', "%_", "Mars/Phobos"]
)
def test_text_is_stored_verbatim(value: str) -> None:
    """L17: Unicode as sent, emoji, spaces, phone formats, time zones unvalidated; bidirectional and zero-width characters too."""
    for name in ("title", "timezone", "userName"):
        assert read({"userName": "a", name: value})[name] == value


@pytest.mark.tolerance("L24")
def test_4096_characters_are_kept_and_4097_refused_by_name() -> None:
    """L24: invalidValue naming the attribute, not truncation."""
    assert part("title", "é" * 4096) == "é" * 4096
    assert part("emails", [{"value": "v" * 4096}]) == [{"value": "v" * 4096}]
    for name, value, named in (("title", "x" * 4097, "title"), ("emails", [{"value": "v" * 4097}], "value"), ("name", {"givenName": "x" * 4097}, "givenName")):
        with pytest.raises(InvalidValue, match=f"{named} is 4097 characters"):
            part(name, value)


def test_certificates_have_more_room() -> None:
    """RFC 7643 section 2.3.6."""
    assert part("x509Certificates", [{"value": "A" * 65_536}]) == [{"value": "A" * 65_536}]
    with pytest.raises(InvalidValue, match="at most 65536"):
        part("x509Certificates", [{"value": "A" * 65_537}])


@pytest.mark.threat("T12")
def test_100_values_are_kept_and_101_refused() -> None:
    """standards.md: other multi-valued attributes 100."""
    assert len(part("emails", [{"value": str(number)} for number in range(100)])) == 100
    with pytest.raises(InvalidValue, match="emails has 101 values"):
        part("emails", [{"value": str(number)} for number in range(101)])


# -- shapes


@pytest.mark.tolerance("L11")
@pytest.mark.parametrize(
    ("name", "sent", "stored"),
    [
        ("title", ["x"], "x"),
        ("title", {"value": "x"}, "x"),
        ("title", [{"value": "x"}], "x"),
        ("emails", "v", [{"value": "v"}]),
        ("emails", {"value": "v"}, [{"value": "v"}]),
        ("emails", ["v", {"value": "w"}], [{"value": "v"}, {"value": "w"}]),
        ("active", ["False"], False),
        ("active", {"value": False}, False),
    ],
)
def test_shapes_with_one_meaning_are_read(name: str, sent: object, stored: object) -> None:
    """L11."""
    noted: Noted = set()

    assert read({"userName": "a", name: sent}, noted=noted)[name] == stored
    assert Tolerance.VALUE_SHAPE in noted


@pytest.mark.tolerance("L11")
@pytest.mark.parametrize("manager", [ANN, {"value": ANN}, [{"value": ANN}], {"managerId": ANN}])
@pytest.mark.parametrize(
    "wrap", [lambda value: {ENTERPRISE_URN: {"manager": value}}, lambda value: {"manager": value}, lambda value: {f"{ENTERPRISE_URN}:manager": value}]
)
def test_a_manager_in_every_shape(manager: object, wrap: Any) -> None:
    """L05, L11."""
    assert read({"userName": "a", **wrap(manager)})[ENTERPRISE_URN] == {"manager": {"value": ANN}}


@pytest.mark.tolerance("L13")
def test_at_most_one_value_is_primary() -> None:
    """RFC 7643 section 2.4: MUST appear no more than once; the last one counts."""
    assert part("emails", [{"value": "a", "primary": True}, {"value": "b", "primary": "True"}, {"value": "c"}]) == [
        {"value": "a", "primary": False},
        {"value": "b", "primary": True},
        {"value": "c"},
    ]


@pytest.mark.tolerance("L12")
@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ([{"value": '{"id":"6c1e","value":"author","displayName":"Author"}'}], [{"value": "author", "display": "Author"}]),
        (['{"value":"author"}'], [{"value": "author"}]),
        ([{"value": "author", "displayName": "Author"}], [{"value": "author", "display": "Author"}]),
        ([{"value": '{"value":"author"}', "primary": True}], [{"value": "author", "primary": True}]),
        ([{"value": '["author"]'}], [{"value": '["author"]'}]),
    ],
)
def test_roles_may_be_json_in_text(sent: object, stored: object) -> None:
    """L12: Entra's AppRoleAssignmentsComplex."""
    assert part("roles", sent) == stored


@pytest.mark.tolerance("L12")
@pytest.mark.threat("T23")
@pytest.mark.parametrize("text", ["{x", "{", "{}x", " {not json}", "{" * 3000, '{"value":' * 300 + "1" + "}" * 300])
@pytest.mark.parametrize("shape", [lambda text: [{"value": text}], lambda text: [text], lambda text: text])
def test_text_that_only_looks_like_json_stays_text_or_is_refused(text: str, shape: Any) -> None:
    """L12, T23: no RecursionError; text that is no object stays text."""
    try:
        stored = part("roles", shape(text))
    except InvalidValue:
        return
    assert stored == [{"value": text}]


@pytest.mark.tolerance("L12")
@pytest.mark.threat("T24")
@pytest.mark.parametrize("inner", ['{"value":"a\\u0000b"}', '{"value":"ok","display":"\\u0001"}'])
def test_json_in_text_is_no_way_round_the_check_of_characters(inner: str) -> None:
    """T24: NUL would be an error of Postgres; the edge sees only the escape of an escape."""
    body = decode_object(msgspec.json.encode({"userName": "a", "roles": [{"value": inner}]}))

    with pytest.raises(ScimError) as refusal:
        read(body)
    assert refusal.value.status == 400


# -- members


def test_members_of_a_post_are_a_change_of_rows() -> None:
    """RFC 7643 section 4.2."""
    document, members = read_document(GROUP, {"displayName": "G", "members": [{"value": ANN}, BOB]}, set())

    assert document == {"schemas": [GROUP_URN], "displayName": "G"}
    assert (list(members.added), members.clears) == ([ANN, BOB], False)


@pytest.mark.tolerance("L30")
@pytest.mark.parametrize(
    ("body", "added"), [({}, []), ({"members": []}, []), ({"members": [{"value": ANN}]}, [ANN]), ({"MEMBERS": ANN}, [ANN]), ({"members": None}, [])]
)
def test_members_of_a_put_are_all_the_members(body: dict[str, Any], added: list[str]) -> None:
    """Section 3.5.1, L30: full replace."""
    document, members = replace_document(GROUP, crew(), {"displayName": "G", **body}, set())

    assert document == {"schemas": [GROUP_URN], "displayName": "G"}
    assert (list(members.added), list(members.removed), members.clears) == (added, [], True)


def test_a_put_names_at_most_10_000_members() -> None:
    with pytest.raises(PayloadTooLarge):
        replace_document(GROUP, crew(), {"displayName": "G", "members": [ANN] * 10_001}, set())


# -- PUT


@pytest.mark.tolerance("L30")
def test_what_a_put_does_not_name_is_cleared() -> None:
    """Section 3.5.1: existing values MAY be cleared; L30: absent `active` keeps the current value."""
    assert put(babs(active=False), {"userName": "new"}) == {"schemas": [USER_URN], "userName": "new", "active": False}
    assert put(babs(), {"userName": "new", "active": "False"})["active"] is False
    assert put({"userName": "x"}, {"userName": "new"}) == {"schemas": [USER_URN], "userName": "new"}


@pytest.mark.tolerance("L30")
def test_a_put_of_a_whole_answer_changes_nothing() -> None:
    """Section 3.5.1: clients MAY send all attributes, regardless of mutability."""
    answer = {**babs(), "id": ANN, "groups": [{"value": BOB, "display": "x"}], "meta": {"version": 'W/"1"', "resourceType": "User"}}

    assert put(babs(), answer) == babs()


def test_a_put_must_name_the_required_attributes() -> None:
    """Section 3.5.1: clients MUST specify required attributes."""
    with pytest.raises(InvalidValue, match="userName is required"):
        put(babs(), {"title": "x"})


def test_a_put_may_repeat_but_not_change_an_immutable_value() -> None:
    """Section 3.5.1: the input value(s) MUST match, or 400 mutability; without existing values the new ones apply."""
    current = {"schemas": [BADGE_URN], "serial": "1"}

    assert put(current, {"serial": "1", "code": "A"}, BADGE) == {"schemas": [BADGE_URN], "serial": "1", "code": "A"}
    assert put({"schemas": [BADGE_URN]}, {"serial": "2"}, BADGE)["serial"] == "2"
    with pytest.raises(Mutability):
        put(current, {"serial": "2"}, BADGE)


@pytest.mark.threat("T07")
@pytest.mark.parametrize("name", ["password", "PASSWORD", f"{USER_URN}:password"])
def test_a_password_is_accepted_and_never_stored(name: str) -> None:
    """T07, L30."""
    assert "s3cret" not in str(read({"userName": "a", name: "s3cret"}))
    assert "s3cret" not in str(put(babs(), {"userName": "a", USER_URN: {name: "s3cret"}}))


# -- mass assignment


_VICTIMS = [
    "id",
    "meta",
    "schemas",
    "groups",
    "password",
    "tenant_id",
    "tenantId",
    "version",
    "_id",
    "__proto__",
    "constructor",
    "document",
    "created",
    "is_admin",
    "members",
]


@st.composite
def _hostile_names(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(_VICTIMS))
    name = "".join(draw(st.sampled_from([mark.lower(), mark.upper()])) for mark in name)
    name += draw(st.sampled_from(["", ".value", ".version", ".__proto__", '[value eq "x"]', '[value eq "x"].value', " ", ".", "[", "\t"]))
    return draw(st.sampled_from(["", "", " ", f"{USER_URN}:", f"{USER_URN.upper()}:", f"{USER_URN}.", f"{ENTERPRISE_URN}:"])) + name


_MARK = "h0stile"
_VALUES = st.recursive(
    st.sampled_from([_MARK, None, True, 5, "", ANN]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_hostile_names() | st.just("value"), inner, max_size=2),
    max_leaves=4,
)
_HOSTILE = st.dictionaries(_hostile_names(), _VALUES, min_size=1, max_size=5) | st.fixed_dictionaries(
    {}, optional={USER_URN: st.dictionaries(_hostile_names(), _VALUES, max_size=3), ENTERPRISE_URN: st.dictionaries(_hostile_names(), _VALUES, max_size=3)}
)


def _check_outcome(outcome: dict[str, Any], expected: dict[str, Any]) -> None:
    assert outcome == expected
    assert not {"id", "meta", "groups", "password", "members"} & {name.lower() for name in outcome}
    assert _MARK not in str(outcome)


@pytest.mark.threat("T08")
@given(_HOSTILE)
@thorough
def test_nothing_hostile_gets_into_a_new_document(hostile: dict[str, Any]) -> None:
    """T08: read-only and unknown keys in case variants, dotted, URN-qualified, `__proto__`, nested."""
    body = {"userName": "ann", "name": {"givenName": "Ann"}, ENTERPRISE_URN: {"department": "D"}}
    expected = read(copy.deepcopy(body))
    merged = {**body, **{name: value for name, value in hostile.items() if name not in body}}

    _check_outcome(read(merged), expected)


@pytest.mark.threat("T08")
@given(_HOSTILE)
@thorough
def test_nothing_hostile_gets_into_a_replaced_document(hostile: dict[str, Any]) -> None:
    """T08, section 3.5.1: readOnly values SHALL be ignored."""
    body = {name: value for name, value in babs().items() if name != "schemas"}

    _check_outcome(put(babs(), {**{name: value for name, value in hostile.items() if name not in body}, **body}), babs())


@pytest.mark.threat("T08")
@given(_HOSTILE, st.sampled_from(["add", "replace"]))
@thorough
def test_nothing_hostile_gets_in_by_a_patch_without_a_path(hostile: dict[str, Any], op: Any) -> None:
    """T08, L06."""
    _check_outcome(patch_document(USER, babs(), [Operation(op, None, hostile)], set())[0], babs())


@pytest.mark.threat("T08")
@given(_hostile_names(), _VALUES, st.sampled_from(["add", "replace", "remove"]))
@thorough
def test_nothing_hostile_gets_in_by_a_path(path: str, value: object, op: Any) -> None:
    """T08: 400 on an explicit path to what is read-only, ignored where unknown."""
    try:
        after, _ = patch_document(USER, babs(), [Operation(op, path, value)], set())
    except BadRequest:
        return
    _check_outcome(after, babs())


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from(["{", '{"value":"x"}', "True"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["value", "type", "primary", "givenName", "manager", "x", "$ref"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([attribute.name for attribute in USER.schema.attributes] + [ENTERPRISE_URN, USER_URN, OPAQUE_URN]), _JSON, max_size=4))
@thorough
def test_what_was_stored_is_read_again_as_it_is(values: dict[str, Any]) -> None:
    """Section 3.5.1: a PUT of what a GET gave changes nothing, whatever was sent first."""
    try:
        stored = read({"userName": "ann", **values})
    except (InvalidValue, InvalidSyntax, Mutability):
        return
    noted: Noted = set()

    assert read(copy.deepcopy(stored), noted=noted) == stored
    assert noted <= {Tolerance.OPAQUE_EXTENSION, Tolerance.LOOSE_FORM}, "what is kept as sent"
