"""What filters mean (RFC 7644 section 3.4.2.2, tables 3 to 5): operators on every type, absent and multi-valued attributes, letter case."""

from typing import Any

import pytest

from rollhouse.scim import conditions
from rollhouse.scim.comparison import comparable, index_entries
from rollhouse.scim.conditions import Field, Not, Present, field_of, matches, resolve_filter
from rollhouse.scim.errors import InvalidFilter
from rollhouse.scim.schemas import ENTERPRISE_URN, GROUP, USER, USER_URN
from tests.scim.samples import BABS, BADGE, CAT, OPAQUE_URN, babs, found, parsed

# -- the examples of figure 2

FIGURE_2 = [
    ('userName eq "bjensen@example.com"', True),
    ('userName eq "bjensen"', False),
    ('name.familyName co "ens"', True),
    ('name.familyName co "O\'Malley"', False),
    ('userName sw "J"', False),
    ('userName sw "B"', True),
    (f'{USER_URN}:userName sw "B"', True),
    ("title pr", True),
    ('title pr and userType eq "Employee"', True),
    ('title pr and userType eq "Intern"', False),
    ('title pr or userType eq "Intern"', True),
    ('userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")', True),
    ('userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")', False),
    ('userType ne "Intern" and not (emails co "example.net" or emails.value co "example.org")', True),
    ('userType eq "Employee" and (emails.type eq "work")', True),
    ('userType eq "Employee" and emails[type eq "work" and value co "@example.com"]', True),
    ('userType eq "Employee" and emails[type eq "home" and value co "@example.com"]', False),
    ('emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]', True),
    ('emails[type eq "work" and value co "@nowhere"] or ims[type eq "xmpp" and value co "@foo.com"]', True),
    ('emails[type eq "work" and value co "@nowhere"] or ims[type eq "xmpp" and value co "@nowhere"]', False),
]


@pytest.mark.parametrize(("written", "expected"), FIGURE_2)
def test_the_examples_of_the_rfc_mean_what_it_says(written: str, expected: bool) -> None:
    """Section 3.4.2.2, figure 2."""
    assert found(written, BABS) is expected


@pytest.mark.parametrize("operator", ["gt", "ge", "lt", "le"])
def test_last_modified_is_compared_as_a_moment_of_the_row(operator: str) -> None:
    """Figure 2, meta.lastModified gt "2011-05-13T04:42:34Z"; the directory keeps it in a column."""
    condition = resolve_filter(USER, parsed(f'meta.lastModified {operator} "2011-05-13T06:42:34+02:00"'))

    assert condition == conditions.Compared(Field(("meta",), "lastmodified", kind="moment", source="lastmodified"), operator, "2011-05-13T04:42:34.000000Z")  # type: ignore[arg-type]


@pytest.mark.parametrize(("urn", "expected"), [(USER_URN, True), (ENTERPRISE_URN, True), ("urn:example:absent", False)])
def test_resources_can_be_asked_for_by_schema(urn: str, expected: bool) -> None:
    """Section 3.4.2.2: "Clients MAY query by schema or schema extensions" (figure 2, schemas eq "...")."""
    assert found(f'schemas eq "{urn}"', BABS) is expected


# -- operators on text


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("eq", "Tour Guide", True),
        ("eq", "tour GUIDE", True),
        ("eq", "Tour", False),
        ("ne", "Tour Guide", False),
        ("ne", "tour guide", False),
        ("ne", "Tour", True),
        ("co", "r G", True),
        ("co", "tour guide", True),
        ("co", "x", False),
        ("sw", "TOUR", True),
        ("sw", "Tour Guide", True),
        ("sw", "our", False),
        ("ew", "ide", True),
        ("ew", "Tour Guide", True),
        ("ew", "guid", False),
        ("gt", "Tour", True),
        ("gt", "Tour Guide", False),
        ("ge", "tour guide", True),
        ("ge", "u", False),
        ("lt", "Z", True),
        ("lt", "tour guide", False),
        ("le", "TOUR GUIDE", True),
        ("le", "A", False),
    ],
)
def test_operators_on_text_without_regard_to_case(operator: str, value: str, expected: bool) -> None:
    """Table 3; title is not caseExact."""
    assert found(f'title {operator} "{value}"', BABS) is expected


@pytest.mark.tolerance("L20")
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('externalId eq "Ext-701984"', True),
        ('externalId eq "ext-701984"', False),
        ('externalId ne "ext-701984"', True),
        ('externalId co "701"', True),
        ('externalId sw "ext"', False),
        ('profileUrl eq "https://login.example.com/BJensen"', True),
        ('profileUrl eq "https://login.example.com/bjensen"', False),
        ('x509Certificates eq "MIIDQzCCAqygAwIBAgICEAAwDQYJKoZIhvcNAQEFBQAwTjE="', True),
        ('x509Certificates eq "miidqzccaqygawibagiceaawdqyjkozihvcnaqefbqawtje="', False),
        ('x509Certificates sw "MII"', True),
        ('userName eq "BJENSEN@EXAMPLE.COM"', True),
        ('emails eq "BABS@jensen.ORG"', True),
    ],
)
def test_case_counts_for_exact_text_references_and_binaries(written: str, expected: bool) -> None:
    """RFC 7643 sections 2.3.6 and 2.3.7, RFC 7644 section 3.4.2.2, L20."""
    assert found(written, BABS) is expected


@pytest.mark.threat("T11")
@pytest.mark.parametrize("wild", ["a%", "a_", "a\\\\", "%", "_", "a*"])
@pytest.mark.parametrize("operator", ["sw", "co", "ew", "eq"])
def test_wildcards_of_sql_mean_themselves(wild: str, operator: str) -> None:
    """T11: users named `a%` and `a_`; the matcher is the oracle of the SQL."""
    assert found(f'userName {operator} "{wild}"', {"userName": wild.replace("\\\\", "\\")}) is True
    assert found(f'userName {operator} "{wild}"', {"userName": "abc"}) is False


@pytest.mark.threat("T21")
@pytest.mark.parametrize(
    ("stored", "asked"), [("straße", "STRASSE"), ("ﬁnn", "FINN"), ("ſam", "sam"), ("\u212aay", "KAY"), ("Bergstro\u0308m", "BERGSTRÖM"), ("Ａnn", "ann")]
)
def test_an_identity_is_found_in_any_of_its_spellings(stored: str, asked: str) -> None:
    """T21: lower() is not casefold()."""
    assert found(f'userName eq "{asked}"', {"userName": stored}) is True
    assert found(f'userName ne "{asked}"', {"userName": stored}) is False
    assert found(f'userName sw "{asked}"', {"userName": stored + "x"}) is True


@pytest.mark.threat("T21")
@pytest.mark.parametrize(("stored", "asked"), [("аnn", "ann"), ("ann\u200b", "ann"), ("ann ", "ann"), ("ı", "i")])
def test_lookalikes_are_not_found(stored: str, asked: str) -> None:
    """T21: homoglyphs are not merged."""
    assert found(f'userName eq "{asked}"', {"userName": stored}) is False


def test_the_empty_text_is_contained_in_everything_present_and_equals_nothing_stored() -> None:
    """Empty values are never stored (RFC 7643 section 2.5)."""
    assert found('title co ""', BABS) is True
    assert found('title eq ""', BABS) is False
    assert found('title co ""', {}) is False


# -- multi-valued, complex and extension attributes


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('emails.value eq "babs@jensen.org"', True),
        ('emails eq "babs@jensen.org"', True),
        ('emails.type eq "home"', True),
        ('emails.type eq "work" and emails.value eq "babs@jensen.org"', True),
        ('emails[type eq "work" and value eq "babs@jensen.org"]', False),
        ('emails[type eq "home"].value eq "babs@jensen.org"', True),
        ('emails[type eq "work"].value eq "babs@jensen.org"', False),
        ('emails[type eq "home"] eq "babs@jensen.org"', True),
        ("emails.primary eq true", True),
        ('emails[primary eq true and type eq "home"]', False),
        ('emails[not (type eq "work")]', True),
        ('ims[not (type eq "xmpp")]', False),
        ('emails[type eq "work" or type eq "other"]', True),
        ("emails[value pr]", True),
        ("emails[display pr]", False),
        ('name[familyName eq "jensen" and givenName eq "barbara"]', True),
        ('name[familyName eq "jensen" and givenName eq "bob"]', False),
        ('EMAILS[TYPE eq "WORK"]', True),
        ('Name.FAMILYname eq "JENSEN"', True),
        (f'{USER_URN}:emails[type eq "work"]', True),
        (f'{USER_URN.upper()}:NAME.givenname eq "barbara"', True),
    ],
)
def test_one_value_of_many_is_enough_and_brackets_look_at_one_element(written: str, expected: bool) -> None:
    """Section 3.4.2.2: any value may match; table 5: [ ] applies to the same value."""
    assert found(written, BABS) is expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (f'{ENTERPRISE_URN}:employeeNumber eq "701984"', True),
        (f"{ENTERPRISE_URN}:employeeNumber eq 701984", True),
        (f'{ENTERPRISE_URN.lower()}:DEPARTMENT sw "tour"', True),
        (f'{ENTERPRISE_URN}:manager.value eq "{CAT}"', True),
        (f'{ENTERPRISE_URN}:manager eq "{CAT}"', True),
        (f'manager eq "{CAT}"', True),
        (f'manager eq "{CAT.upper()}"', False),
        ('manager.displayName co "smith"', True),
        (f'{ENTERPRISE_URN}:manager[value eq "{CAT}" and displayName pr]', True),
        ('department eq "Tour Operations"', True),
        (f"{ENTERPRISE_URN}:costCenter pr", False),
        (f'{ENTERPRISE_URN}.department eq "tour operations"', True),
    ],
)
@pytest.mark.tolerance("L05")
@pytest.mark.tolerance("L18")
def test_extension_attributes_are_found_with_and_without_their_urn(written: str, expected: bool) -> None:
    """Section 3.10; L05 and L18: bare `manager`."""
    assert found(written, BABS) is expected


# -- absent and null

ABSENT = [
    ('nickName eq "x"', False),
    ('nickName ne "x"', True),
    ('nickName co "x"', False),
    ('nickName gt "x"', False),
    ('nickName le "x"', False),
    ("nickName pr", False),
    ("not (nickName pr)", True),
    ('not (nickName eq "x")', True),
    ("nickName eq null", True),
    ("nickName ne null", False),
    ("title eq null", False),
    ("title ne null", True),
    ("phoneNumbers pr", False),
    ("phoneNumbers.value pr", False),
    ('phoneNumbers.value ne "1"', True),
    ('phoneNumbers[type eq "work"]', False),
    ('phoneNumbers[not (type eq "work")]', False),
    ("name pr", True),
    ("name.middleName pr", False),
    ("name.middleName eq null", True),
    ("emails pr", True),
    ("emails eq null", False),
    ("emails.display eq null", True),
    ("emails[display eq null]", True),
    ('emails[display ne "x"]', True),
    ("active ne null", True),
    (f"{ENTERPRISE_URN}:manager pr", True),
    (f"{ENTERPRISE_URN}:division eq null", True),
]


@pytest.mark.parametrize(("written", "expected"), ABSENT)
def test_absent_and_null_are_the_same(written: str, expected: bool) -> None:
    """RFC 7643 section 2.5; what is absent is not equal to anything, so `ne` matches it."""
    assert found(written, BABS) is expected


@pytest.mark.parametrize("value", [None, "", [], {}])
def test_an_empty_value_is_not_present(value: Any) -> None:
    """Table 3, pr: non-empty or non-null, or a non-empty node."""
    assert found("title pr", {"title": value}) is False
    assert found("emails pr", {"emails": value}) is False
    assert found("name pr", {"name": value}) is False


def test_false_and_zero_are_present() -> None:
    """Table 3, pr: they are values."""
    assert found("active pr", {"active": False}) is True
    assert found("floor pr", {"floor": 0}, BADGE) is True


@pytest.mark.parametrize("operator", ["co", "sw", "ew", "gt", "ge", "lt", "le"])
def test_null_is_compared_by_eq_and_ne_only(operator: str) -> None:
    """Section 3.4.2.2: attribute and operator do not go together."""
    with pytest.raises(InvalidFilter):
        found(f"title {operator} null", BABS)
    with pytest.raises(InvalidFilter):
        found(f"active {operator} null", BABS)


@pytest.mark.parametrize("kind", ["title", "active", "emails", "emails.value", "name.givenName", "meta.created"])
def test_eq_null_is_the_inverse_of_pr(kind: str) -> None:
    """RFC 7643 section 2.5."""
    presence = resolve_filter(USER, parsed(f"{kind} ne null"))

    assert isinstance(presence, Present)
    assert resolve_filter(USER, parsed(f"{kind} eq null")) == Not(presence)


# -- booleans, numbers, moments


@pytest.mark.tolerance("L03")
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("active eq true", True),
        ("active eq True", True),
        ('active eq "true"', True),
        ('active eq "True"', True),
        ("active eq false", False),
        ('active eq "False"', False),
        ("active ne false", True),
        ('emails[primary eq "True"].value eq "bjensen@example.com"', True),
        ('emails[primary eq "False"].value eq "bjensen@example.com"', False),
    ],
)
def test_booleans_may_be_written_as_text(written: str, expected: bool) -> None:
    """L03: `[primary eq "True"]`."""
    assert found(written, BABS) is expected


@pytest.mark.parametrize("operator", ["gt", "ge", "lt", "le", "co", "sw", "ew"])
@pytest.mark.parametrize("name", ["active", "emails.primary"])
def test_booleans_have_no_order_and_no_parts(name: str, operator: str) -> None:
    """Table 3: gt, ge, lt, le on a boolean SHALL fail with invalidFilter."""
    with pytest.raises(InvalidFilter, match="boolean"):
        found(f"{name} {operator} true", BABS)


@pytest.mark.parametrize("operator", ["gt", "ge", "lt", "le"])
@pytest.mark.parametrize(("name", "resource_type"), [("x509Certificates", USER), ("x509Certificates.value", USER), ("blob", BADGE)])
def test_binaries_have_no_order(operator: str, name: str, resource_type: Any) -> None:
    """Table 3: gt, ge, lt, le on a binary SHALL fail with invalidFilter."""
    with pytest.raises(InvalidFilter, match="binary"):
        found(f'{name} {operator} "MII"', {}, resource_type)
    with pytest.raises(InvalidFilter, match="binary"):
        found(f'x509Certificates[value {operator} "MII"]', {})


@pytest.mark.parametrize("value", ['"yes"', "1", "0", '""', "tru", '" true"'])
def test_a_boolean_is_compared_with_a_boolean(value: str) -> None:
    with pytest.raises(InvalidFilter, match="boolean"):
        found(f"active eq {value}", BABS)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("floor eq 7", True),
        ("floor eq 7.0", True),
        ('floor eq "7"', True),
        ("floor ne 7", False),
        ("floor gt 10", False),
        ("floor lt 10", True),
        ("floor ge 7", True),
        ("floor le 6.5", False),
        ("weight gt 0.24", True),
        ("weight eq 2.5e-1", True),
        ("weight lt -1", False),
        ("weight pr", True),
    ],
)
def test_numbers_are_compared_by_value(written: str, expected: bool) -> None:
    """Table 3: for integer attributes it is a comparison by numeric value, so 7 is less than 10."""
    assert found(written, {"floor": 7, "weight": 0.25}, BADGE) is expected


@pytest.mark.parametrize("value", ['"seven"', "true", '""', "x"])
def test_a_number_is_compared_with_a_number(value: str) -> None:
    with pytest.raises(InvalidFilter, match="integer"):
        found(f"floor eq {value}", {"floor": 7}, BADGE)


@pytest.mark.threat("T23")
@pytest.mark.parametrize("value", ["NaN", '"nan"', "Infinity", '"-inf"', "1e999", "1_000", '"７"'])
def test_only_numbers_of_json_are_numbers(value: str) -> None:
    """T23: NaN and Infinity are refused; a number is what RFC 7159 section 6 says, not what Python reads."""
    with pytest.raises(InvalidFilter):
        found(f"floor eq {value}", {"floor": 7}, BADGE)


@pytest.mark.parametrize("operator", ["co", "sw", "ew"])
@pytest.mark.parametrize("name", ["floor", "weight", "issued"])
def test_numbers_and_moments_have_no_parts(name: str, operator: str) -> None:
    with pytest.raises(InvalidFilter):
        found(f'{name} {operator} "2"', {}, BADGE)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('issued eq "2011-05-13T04:42:34Z"', True),
        ('issued eq "2011-05-13T04:42:34.000Z"', True),
        ('issued eq "2011-05-12T23:42:34-05:00"', True),
        ('issued ne "2011-05-13T04:42:34+00:00"', False),
        ('issued gt "2011-05-13T05:42:34+02:00"', True),
        ('issued lt "2011-05-13T05:42:34+02:00"', False),
        ('issued ge "2011-05-13T04:42:34Z"', True),
        ('issued lt "2011-05-13T04:42:34.001Z"', True),
        ("issued gt 2010-01-01T00:00:00Z", True),
    ],
)
def test_moments_are_compared_in_time_whatever_their_zone(written: str, expected: bool) -> None:
    """Table 3: for DateTime types it is a chronological comparison."""
    assert found(written, {"issued": "2011-05-13T06:42:34+02:00"}, BADGE) is expected


@pytest.mark.parametrize("value", ['"yesterday"', "5", "true", '""', '"2011-13-01T00:00:00Z"'])
def test_a_moment_is_compared_with_a_moment(value: str) -> None:
    with pytest.raises(InvalidFilter, match="dateTime"):
        found(f"meta.created gt {value}", {})


@pytest.mark.parametrize("value", ["true", "5", "2.5"])
def test_text_is_compared_with_what_was_written(value: str) -> None:
    """L04: employeeNumber eq 5 finds the text "5"."""
    assert found(f"title eq {value}", {"title": value}) is True


def test_values_of_a_simple_multi_valued_attribute_are_compared_one_by_one() -> None:
    """Section 3.4.2.2."""
    badge = {"tags": ["Red", "blue"]}

    assert found('tags eq "red"', badge, BADGE) is True
    assert found('tags co "lu"', badge, BADGE) is True
    assert found('tags eq "green"', badge, BADGE) is False
    assert found("tags pr", badge, BADGE) is True
    assert found("tags pr", {}, BADGE) is False


# -- what cannot be filtered on


@pytest.mark.parametrize(
    "written",
    [
        'foo eq "x"',
        'userName.foo eq "x"',
        'name.foo eq "x"',
        'name.givenName.x eq "x"',
        'name eq "x"',
        'addresses co "x"',
        'emails[foo eq "x"]',
        'emails[value[x eq "y"]]',
        'userName[value eq "x"]',
        'emails.value[x eq "y"]',
        'password eq "x"',
        "password pr",
        f"{USER_URN}:password pr",
        'urn:example:unknown:attribute eq "x"',
        f'{OPAQUE_URN}:costBucket eq "X1"',
        f"{USER_URN} pr",
        f'{ENTERPRISE_URN}:userName eq "x"',
        "meta pr",
        'meta.location eq "User"',
        'meta.version eq "1"',
        'groups.display eq "x"',
        'groups[value eq "x"]',
        'username\x00 eq "x"',
        '__proto__ eq "x"',
        'tenant_id eq "x"',
    ],
)
@pytest.mark.tolerance("L19")
def test_what_cannot_be_filtered_on_is_refused(written: str) -> None:
    """L19: 400 invalidFilter, never everybody and never an empty list."""
    with pytest.raises(InvalidFilter):
        resolve_filter(USER, parsed(written))


@pytest.mark.threat("T24")
@pytest.mark.parametrize("value", ['"\\u0000"', '"a\x00b"', '"\ud800"', "a\udc00"])
def test_a_value_that_no_text_can_hold_is_refused(value: str) -> None:
    """T24: NUL and half surrogates would be an error of Postgres."""
    with pytest.raises(InvalidFilter):
        resolve_filter(USER, parsed(f"userName eq {value}"))


@pytest.mark.threat("T07")
def test_a_password_cannot_be_guessed_by_filters() -> None:
    """T07: `password sw "a"` would be an oracle."""
    with pytest.raises(InvalidFilter):
        field_of(USER, "password")


# -- where values stand


def test_fields_name_their_source_and_index() -> None:
    """The directory turns fields into SQL by this closed map."""
    assert field_of(USER, "USERNAME") == Field(("username",), index="username")
    assert field_of(USER, "emails") == Field(("emails",), "value", multi=True, index="emails.value")
    assert field_of(USER, "emails.type") == Field(("emails",), "type", multi=True)
    assert field_of(USER, "id") == Field(("id",), source="id")
    assert field_of(USER, "meta.created") == Field(("meta",), "created", kind="moment", source="created")
    assert field_of(USER, "groups.value") == Field(("groups",), "value", multi=True, source="derived")
    assert field_of(GROUP, "members") == Field(("members",), "value", multi=True, source="memberships")
    assert field_of(USER, "manager") == Field((ENTERPRISE_URN.lower(), "manager"), "value", index=f"{ENTERPRISE_URN}:manager.value".lower())


def test_the_comparable_form_leaves_out_what_no_schema_declares() -> None:
    compared = comparable(USER, babs(foo="x", name={"givenName": "Ann", "foo": "x"}))

    assert compared.keys() <= {attribute.key for attribute in USER.schema.attributes} | {ENTERPRISE_URN.lower(), "schemas"}
    assert compared["name"] == {"givenname": "ann"}


def test_what_is_rare_or_missing_has_an_entry_and_what_is_usual_has_none() -> None:
    usual = {"userName": "ann", "active": True, "emails": [{"value": "ann@acme.example"}]}
    assert index_entries(USER, comparable(USER, usual)) == {("username", "ann"), ("emails.value", "ann@acme.example")}
    rare = {"userName": "ann", "active": False, "emails": [{"type": "work"}]}
    assert index_entries(USER, comparable(USER, rare)) == {("username", "ann"), ("active", "false"), ("absent:emails.value", "")}


def test_index_entries_are_the_folded_values_of_indexed_attributes() -> None:
    """One row for each value, in the form in which filters compare."""
    assert index_entries(USER, comparable(USER, babs(externalId="Ext", userName="STRAßE"))) == {
        ("username", "strasse"),
        ("externalid", "Ext"),
        ("displayname", "babs jensen"),
        ("emails.value", "bjensen@example.com"),
        ("emails.value", "babs@jensen.org"),
        (f"{ENTERPRISE_URN}:manager.value".lower(), CAT),
    }


def test_matching_a_malformed_document_never_raises() -> None:
    """Documents are data: a stored value of another type matches nothing."""
    for odd in (5, True, ["x"], {"value": "x"}, None, [None], [[]]):
        for name in ("userName", "active", "emails", "name"):
            for written in ('userName eq "x"', 'userName gt "x"', "active eq true", 'emails co "x"', 'emails[type eq "x"]', 'name.givenName sw "x"'):
                assert matches(resolve_filter(USER, parsed(written)), comparable(USER, {name: odd})) in (True, False)
