"""Every violation of scim-clients section 6 is seen, and a good answer has none."""

import copy
from typing import Any

import pytest

from rollhouse.simulator.checks import (
    ERROR_URN,
    LIST_URN,
    check_body,
    check_error,
    check_list,
    check_location,
    check_resource,
    check_round_trip,
    check_status,
)
from rollhouse.simulator.client import Answer, Call, decode_document, violations_of
from rollhouse.simulator.mapping import ENTERPRISE_URN

USER: dict[str, Any] = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
    "id": "7",
    "userName": "ada@acme.example",
    "active": True,
    "emails": [{"type": "work", "value": "ada@acme.example"}, {"type": "home", "value": "a@h.example"}],
    "meta": {"resourceType": "User"},
    ENTERPRISE_URN: {"manager": {"value": "8"}},
}
GROUP: dict[str, Any] = {"schemas": ["x"], "id": "9", "displayName": "Blue", "meta": {"resourceType": "Group"}}
LIST: dict[str, Any] = {
    "schemas": [LIST_URN],
    "totalResults": 1,
    "startIndex": 1,
    "itemsPerPage": 1,
    "Resources": [USER],
}
ERROR: dict[str, Any] = {"schemas": [ERROR_URN], "status": "404", "detail": "no such user"}


def test_good_answers_have_no_violations() -> None:
    assert check_resource(USER, "User") == []
    assert check_resource(GROUP, "Group", members_excluded=True) == []
    assert check_list(LIST, "User") == []
    assert check_error(ERROR, 404) == []
    assert check_round_trip(USER, {"userName": "ada@acme.example"}) == []
    assert check_location("https://scim.example/Users/7", USER) == []
    assert check_status(200, frozenset({200}), USER) == []
    assert check_body(200, "application/scim+json; charset=utf-8", b"{}") == []
    assert check_body(204, "", b"") == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"id": 7}, "id is not"),
        ({"id": ""}, "id is not"),
        ({"meta": {}}, "meta.resourceType"),
        ({"meta": {"resourceType": "Group"}}, "meta.resourceType"),
        ({"schemas": []}, "schemas"),
        ({"title": None}, "title is null"),
        ({"name": {}}, "name is an empty object"),
        ({"emails": [{"type": "work", "value": None}]}, r"emails[0].value is null"),
        ({"active": "True"}, "active is not a boolean"),
        ({"emails": {"type": "work"}}, "emails is not a list"),
        ({"emails": [{"type": "work", "value": "a"}, {"type": "Work", "value": "b"}]}, 'type "work"'),
        ({ENTERPRISE_URN: {"manager": "8"}}, "manager is not an object"),
        ({ENTERPRISE_URN: {"manager": {"value": 8}}}, "manager is not an object"),
    ],
)
def test_a_bad_user_is_seen(change: dict[str, Any], why: str) -> None:
    assert any(why in violation for violation in check_resource(USER | change, "User"))


def test_members_that_were_excluded_are_seen_also_when_empty() -> None:
    bad = GROUP | {"members": []}

    assert check_resource(bad, "Group", members_excluded=True)
    assert check_list(LIST | {"Resources": [bad]}, "Group", members_excluded=True)
    assert not check_resource(bad, "Group")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"totalResults": "1"}, "totalResults is not an integer"),
        ({"totalResults": 1.0}, "totalResults is not an integer"),
        ({"itemsPerPage": None}, "itemsPerPage is not an integer"),
        ({"startIndex": True}, "startIndex is not an integer"),
        ({"startIndex": 2}, "startIndex is 2 instead of 1"),
        ({"Resources": None}, "Resources is not a list"),
        ({"totalResults": 2}, "totalResults is 2"),
        ({"totalResults": 0}, "totalResults is 0"),
        ({"schemas": []}, "ListResponse URN"),
        ({"Resources": [USER | {"id": None}]}, "id is not"),
    ],
)
def test_a_bad_list_is_seen(change: dict[str, Any], why: str) -> None:
    assert any(why in violation for violation in check_list(LIST | change, "User"))


def test_an_empty_list_needs_resources_and_a_page_its_start_index() -> None:
    empty = {"schemas": [LIST_URN], "totalResults": 0, "startIndex": 1, "itemsPerPage": 0}

    assert check_list(empty, "User") == ["Resources is not a list"]
    assert check_list(empty | {"Resources": []}, "User") == []
    assert check_list(LIST | {"totalResults": 300, "startIndex": 101}, "User", start_index=101, paged=True) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"status": 404}, "status is not the string"),
        ({"status": "400"}, "status is not the string"),
        ({"detail": " "}, "no detail"),
        ({"schemas": ["x"]}, "Error URN"),
    ],
)
def test_a_bad_error_is_seen(change: dict[str, Any], why: str) -> None:
    assert any(why in violation for violation in check_error(ERROR | change, 404))


def test_changed_names_missing_location_and_wrong_media_type_are_seen() -> None:
    assert check_round_trip({"userName": "ADA"}, {"userName": "ada"})
    assert check_round_trip({}, {"displayName": "Ada"})
    assert check_location(None, USER)
    assert check_location("https://scim.example/Users/8", USER)
    assert check_body(200, "application/json", b"{}")
    assert check_body(200, "application/scim+json", b"")
    assert check_body(204, "", b"{}")
    assert check_resource(["x"], "User")
    assert check_list(["x"], "User")
    assert check_error("x", 500)


def test_a_status_outside_the_set_quotes_the_servers_detail() -> None:
    assert check_status(400, frozenset({200}), {"detail": "bad filter"}) == ['status 400 is not one of [200]: "bad filter"']


def test_a_whole_answer_is_judged_by_status_media_type_and_json() -> None:
    call = Call(request_type="t", method="GET", path="/Users", subject="", allowed=frozenset({200, 500}))
    page = b"<html>"

    html = Answer(500, decode_document(page), raw=page, content_type="text/html")
    assert violations_of(call, html) == [
        'Content-Type is "text/html" instead of application/scim+json',
        "the body is not a JSON object",
    ]
    assert violations_of(call, Answer(301)) == ["status 301 is not one of [200, 500]", "status 301 has no body"]


def test_broken_and_deep_json_is_no_document() -> None:
    for raw in (b"", b"[1]", b"{", b'"x"', b'{"a":"\xff"}', b"[" * 100_000):
        assert decode_document(raw) is None
    assert decode_document(b'{"a":1}') == {"a": 1}


def test_checks_leave_what_they_look_at_alone() -> None:
    before = copy.deepcopy(LIST)
    check_list(LIST, "User")

    assert before == LIST
