"""What an answer shows (RFC 7644 sections 3.9 and 3.10) and how a stored resource becomes bytes."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from rollhouse.scim.messages import encode
from rollhouse.scim.projection import Projection
from rollhouse.scim.representation import Record, etag, represent
from rollhouse.scim.schemas import ENTERPRISE_URN, GROUP, USER, USER_URN, ResourceType
from tests.scim.samples import ANN, BADGE, BOB, OPAQUE_URN, babs, crew

META = {
    "resourceType": "User",
    "created": "2026-01-23T04:56:22.000Z",
    "lastModified": "2026-01-24T04:56:22.123Z",
    "location": f"https://x/Users/{ANN}",
    "version": 'W/"7"',
}
RELATION = [{"value": BOB, "display": "Tour Guides"}]
BASE = {"id": ANN, "schemas": babs()["schemas"]}


def shown(
    attributes: str | None = None, excluded: str | None = None, *, document: dict[str, Any] | None = None, resource_type: ResourceType = USER
) -> dict[str, Any]:
    """The answer, through both ways in which it can be made."""
    projection = Projection(resource_type, attributes, excluded)
    document = document or babs()
    relation = encode(RELATION).decode()
    record = Record(UUID(ANN), encode(document).decode(), 7, "2026-01-23T04:56:22.000Z", "2026-01-24T04:56:22.123Z", relation)
    found: dict[str, Any] = msgspec.json.decode(represent(record, resource_type, "https://x", projection))
    return found


def test_everything_is_shown_by_default() -> None:
    """Section 3.9: minimum set plus default set; RFC 7643 section 3.1: id and meta."""
    assert shown() == {"id": ANN, **babs(), "groups": RELATION, "meta": META}


def test_the_entity_tag_is_the_version_of_meta() -> None:
    """Section 3.14: SHOULD be specified within meta.version."""
    assert etag(7) == shown()["meta"]["version"]


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_a_blank_parameter_asks_for_nothing_special(blank: str | None) -> None:
    assert shown(blank, blank) == shown()


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("userName", {"userName": "bjensen@example.com"}),
        ("USERNAME", {"userName": "bjensen@example.com"}),
        (" userName , title ", {"userName": "bjensen@example.com", "title": "Tour Guide"}),
        (f"{USER_URN}:userName", {"userName": "bjensen@example.com"}),
        (f"{USER_URN.upper()}:TITLE", {"title": "Tour Guide"}),
        ("name", {"name": babs()["name"]}),
        ("name.givenName", {"name": {"givenName": "Barbara"}}),
        ("name.givenName,name.familyName", {"name": {"givenName": "Barbara", "familyName": "Jensen"}}),
        ("name,name.givenName", {"name": babs()["name"]}),
        ("emails.value", {"emails": [{"value": "bjensen@example.com"}, {"value": "babs@jensen.org"}]}),
        ("addresses.region", {"addresses": [{"region": "CA"}]}),
        ("active", {"active": True}),
        ("meta", {"meta": META}),
        ("meta.version", {"meta": {"version": 'W/"7"'}}),
        ("groups", {"groups": RELATION}),
        ("groups.value", {"groups": [{"value": BOB}]}),
        ("department", {ENTERPRISE_URN: {"department": "Tour Operations"}}),
        (f"{ENTERPRISE_URN}:department", {ENTERPRISE_URN: {"department": "Tour Operations"}}),
        (f"{ENTERPRISE_URN.lower()}:manager.displayName", {ENTERPRISE_URN: {"manager": {"displayName": "John Smith"}}}),
        (ENTERPRISE_URN, {ENTERPRISE_URN: babs()[ENTERPRISE_URN]}),
        (OPAQUE_URN, {OPAQUE_URN: {"costBucket": "X1"}}),
        (f"{OPAQUE_URN}:costbucket", {OPAQUE_URN: {"costBucket": "X1"}}),
        ("nickName", {}),
        ("foo", {}),
        ("userName.foo", {}),
        ("id", {}),
        ("schemas", {}),
        (",", {}),
        ("foo,title", {"title": "Tour Guide"}),
        ("password", {}),
    ],
)
def test_attributes_asks_for_these_and_the_minimum(attributes: str, expected: dict[str, Any]) -> None:
    """Section 3.9, attributes; the minimum set is `id` and `schemas`; unknown names ask for nothing."""
    assert shown(attributes) == {**BASE, **expected}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in shown().items() if name not in names}


@pytest.mark.parametrize(
    ("excluded", "expected"),
    [
        ("title", without("title")),
        ("TITLE, name", without("title", "name")),
        (f"{USER_URN}:title", without("title")),
        ("name.givenName", {**shown(), "name": {"formatted": "Ms. Barbara J Jensen, III", "familyName": "Jensen"}}),
        ("emails.value,emails.type", {**shown(), "emails": [{"primary": True}, {"primary": False}]}),
        ("ims.value,ims.type", without("ims")),
        ("groups", without("groups")),
        ("groups.display", {**shown(), "groups": [{"value": BOB}]}),
        ("meta", without("meta")),
        (ENTERPRISE_URN, without(ENTERPRISE_URN)),
        (f"{ENTERPRISE_URN}:manager,department", {**shown(), ENTERPRISE_URN: {"employeeNumber": "701984"}}),
        (OPAQUE_URN, without(OPAQUE_URN)),
        ("id,schemas", shown()),
        ("ID, SCHEMAS", shown()),
        ("foo", shown()),
        ("userName.foo", shown()),
        (",", shown()),
    ],
)
def test_excluded_attributes_are_left_out_but_for_the_minimum(excluded: str, expected: dict[str, Any]) -> None:
    """Section 3.9, excludedAttributes."""
    assert shown(None, excluded) == expected


def test_an_attribute_that_is_always_returned_cannot_be_left_out() -> None:
    """Section 3.9: the minimum set is the attributes whose "returned" is "always"."""
    badge = {"schemas": [BADGE.schema.id], "colour": "red", "code": "A"}

    assert shown("code", document=badge, resource_type=BADGE)["colour"] == "red"
    assert shown(None, "colour", document=badge, resource_type=BADGE)["colour"] == "red"


def test_an_attribute_returned_on_request_is_shown_when_asked_for() -> None:
    """RFC 7643 section 7, returned "request": in a query only if specified in "attributes"."""
    badge = {"schemas": [BADGE.schema.id], "colour": "red", "photo": "p"}

    assert "photo" not in shown(document=badge, resource_type=BADGE)
    assert shown("photo", document=badge, resource_type=BADGE)["photo"] == "p"


@pytest.mark.parametrize(
    ("attributes", "excluded", "read"),
    [
        (None, None, True),
        (None, "members", False),
        (None, "MEMBERS", False),
        (None, "urn:ietf:params:scim:schemas:core:2.0:Group:members", False),
        (None, "members.display", True),
        (None, "displayName", True),
        ("displayName", None, False),
        ("members", None, True),
        ("members.value", None, True),
        ("displayName, Members", None, True),
        ("membersX", None, False),
    ],
)
def test_members_are_read_only_when_they_are_shown(attributes: str | None, excluded: str | None, read: bool) -> None:
    """House invariant 3: Entra asks with excludedAttributes=members."""
    projection = Projection(GROUP, attributes, excluded)

    assert projection.shows_relation is read
    assert ("members" in shown(attributes, excluded, document=crew(), resource_type=GROUP)) is read


def test_a_type_without_a_relation_shows_none() -> None:
    assert Projection(BADGE, None, None).shows_relation is False


@pytest.mark.parametrize("value", ['"', "\\", "</script>", "é😀", "\u2028", "\n", "{}", "}", ',"id":"x"'])
def test_any_text_survives_the_way_out(value: str) -> None:
    """The stored document is spliced as bytes: no text in it may end it."""
    document = babs(title=value)

    assert shown(document=document)["title"] == value
    assert shown("title", document=document) == {**BASE, "title": value}


@pytest.mark.parametrize("excluded", [None, "title", "nickName"])
def test_an_unknown_extension_is_shown_as_it_was_sent(excluded: str | None) -> None:
    sent = {"a": [None, {}], "b": {"c": None}, "d": [], "e": 1}
    document = babs() | {OPAQUE_URN: sent}

    assert shown(None, excluded, document=document)[OPAQUE_URN] == sent
    assert shown(OPAQUE_URN, document=document)[OPAQUE_URN] == sent
    assert OPAQUE_URN not in shown(None, OPAQUE_URN, document=document)
    assert shown(None, f"{OPAQUE_URN}:b", document=document)[OPAQUE_URN] == {"e": 1}
