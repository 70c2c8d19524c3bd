"""What of a body the request log keeps."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollhouse.activity import redaction
from rollhouse.activity.entries import Entry, row_of
from rollhouse.activity.redaction import BLANK, BODY_CHARACTERS_LIMIT, PARSED_BYTES_LIMIT, redact
from rollhouse.scim.registry import STANDARD


@pytest.mark.threat("T27")
@pytest.mark.parametrize(
    "body",
    [
        {"userName": "ann", "password": "t0p"},
        {"userName": "ann", "PassWord": ["t0p"]},
        {"Operations": [{"op": "replace", "path": "password", "value": "t0p"}]},
        {"Operations": [{"op": "Replace", "path": "urn:ietf:params:scim:schemas:core:2.0:User:Password", "value": "t0p"}]},
        {"Operations": [{"op": "replace", "value": {"password": "t0p"}}]},
        {"Operations": [{"op": "add", "value": {"urn:ietf:params:scim:schemas:core:2.0:User:password": "t0p"}}]},
        {"Operations": [{"op": "add", "value": [{"deep": {"password": "t0p"}}]}]},
        {"op": "replace", "path": "password ", "value": "t0p"},
        {"op": "replace", "path": " Password", "value": {"deep": "t0p"}},
        {"op": "replace", "path": 'password[value eq "t0p"]', "value": "x"},
        {"op": "replace", "path": {"password": "t0p"}},
        {"op": "replace", "value": {" password ": "t0p"}},
        {"path": "password", "value": "t0p"},
        {"attribute": "password", "value": "t0p"},
        {"Password ": "t0p"},
        {"my password": "t0p"},
        {"note": "password is t0p"},
        {"displayName": "All", "members": [{"value": "1", "display": "t0p"}]},
        {"Operations": [{"op": "add", "path": "members", "value": [{"value": "1", "display": "t0p"}]}]},
        {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"manager": {"value": "1", "displayName": "t0p"}}},
    ],
)
def test_passwords_and_other_peoples_names_are_not_kept(body: dict) -> None:
    text, value = redact(json.dumps(body).encode())

    assert value == body
    assert text is not None
    assert "t0p" not in text
    assert BLANK in text or "display" not in text.lower().replace('displayname":"all', "")


@pytest.mark.threat("T27")
@pytest.mark.parametrize("name", ["pin", "pin-", "pin$", "pin_2", "p-i-n", "$ref"])
def test_a_hidden_name_is_found_whatever_it_is_made_of_and_no_neighbour_with_it(name: str) -> None:
    """A name has letters, digits, -, _ and $ (RFC 7643 section 2.1)."""
    body = {"a": {name: "t0p"}, f"{name}-x": "kept1", f"x{name}": "kept2", "Operations": [{"op": "add", "path": f"urn:x:y:{name}", "value": "t0p"}]}
    text, _ = redact(json.dumps(body).encode(), frozenset({name}))

    assert text is not None
    assert "t0p" not in text
    assert "kept1" in text
    assert "kept2" in text


NAMES = st.sampled_from(["userName", "displayName", "display", "Display", "members", "manager", "groups", "value", "path", " display ", "emails", "meta"])
VALUES = st.recursive(
    st.sampled_from(["x", 'W/"1"', "members", "manager.displayName", "a\nb", True, None, 7]),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)


@given(VALUES)
def test_a_body_that_hides_nothing_is_kept_as_one_that_may(value: Any) -> None:
    """Most bodies are not looked through for hidden names, since they cannot hold any; what is kept of them is the same."""
    text, _ = redact(json.dumps(value).encode())

    assert text is not None
    assert json.loads(text) == redaction._without_secrets(value, redaction._names(STANDARD.hidden))


@pytest.mark.threat("T27")
def test_a_name_behind_an_escape_is_found() -> None:
    text, _ = redact(rb'{"\u0070assword": "t0p", "meta": {"version": "W/\"1\""}}')

    assert text is not None
    assert "t0p" not in text


def test_what_is_no_json_or_too_large_is_only_counted() -> None:
    assert redact(b"") == (None, None)
    assert redact(b"{nothing") == ("(8 bytes that are not JSON)", None)
    assert redact(b"\xff") == ("(1 bytes that are not JSON)", None)
    assert redact(b"[" * 100_000)[1] is None
    assert redact(b" " * (PARSED_BYTES_LIMIT + 1))[0] == f"({PARSED_BYTES_LIMIT + 1} bytes, not kept)"
    long, _ = redact(json.dumps({"title": "x" * 20_000}).encode())
    assert long is not None
    assert len(long) == BODY_CHARACTERS_LIMIT + 3


ID = "01a21847-d5a4-789f-81f6-3429a6b52a1a"


def entry(**changed: object) -> Entry:
    usual = {"slug": "acme", "request_id": "1", "method": "GET", "path": "/scim/v2/Users", "query": b"", "status": 200, "began": 0.0, "seconds": 0.001}
    usual["credential_id"] = ID
    return Entry(**(usual | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({}, "read"),
        ({"method": "POST", "path": "/scim/v2/Users/.search"}, "read"),
        ({"method": "POST", "status": 201}, "created"),
        ({"method": "DELETE", "path": f"/scim/v2/Users/{ID}", "status": 204}, "deleted"),
        ({"method": "PATCH", "request_body": b'{"Operations":[{"op":"Replace","path":"active","value":"False"}]}'}, "deactivated"),
        ({"method": "PATCH", "request_body": b'{"Operations":[{"op":"replace","value":{"active":false}}]}'}, "deactivated"),
        ({"method": "PATCH", "request_body": b'{"Operations":[{"op":"replace","path":"active","value":[{"value":"false"}]}]}'}, "deactivated"),
        ({"method": "PUT", "request_body": b'{"userName":"ann","active":false}'}, "deactivated"),
        ({"method": "PATCH", "request_body": b'{"Operations":[{"op":"replace","path":"active","value":true}]}'}, "updated"),
        ({"method": "PATCH", "request_body": b'{"Operations":5}'}, "updated"),
        ({"method": "PATCH", "request_body": b'[{"path":"active"}]'}, "updated"),
        ({"method": "PUT", "request_body": b"{nothing"}, "updated"),
        ({"status": 401}, "refused"),
        ({"status": 404}, "failed"),
        ({"method": "POST", "status": 409}, "failed"),
    ],
)
def test_what_happened_is_one_word(changed: dict, kind: str) -> None:
    assert row_of(entry(**changed), 1.0).kind == kind


def test_the_headline_names_the_resource_and_the_refusal() -> None:
    row = row_of(entry(path=f"/scim/v2/users/{ID}", status=409, answer_body=b'{"status":"409","scimType":"uniqueness","detail":"taken"}'), 1.0)
    assert (row.resource_type, row.resource_id, row.scim_type, row.detail) == ("User", ID, "uniqueness", "taken")
    made = row_of(entry(method="POST", status=201, answer_body=json.dumps({"id": ID}).encode(), request_body=b'{"userName":"Ann"}'), 1.0)
    assert (made.resource_id, made.looked_for) == (ID, row_of(entry(looked_for="ann"), 1.0).looked_for)


@pytest.mark.threat("T27")
def test_what_no_erasure_would_find_is_not_kept() -> None:
    path = row_of(entry(path="/scim/v2/Users/ann@acme.example", status=404, answer_body=b'{"detail":"no ann@acme.example"}'), 1.0)
    refused = row_of(entry(method="POST", status=400, request_body=b'{"displayName":"Ann","emails":[{"value":"ann@acme.example"}]}'), 1.0)
    searched = row_of(entry(query=b"filter=title%20eq%20%22Ann%20%5C%22B%22%20and%20active%20eq%20true"), 1.0)
    found = row_of(entry(query=b"filter=userName%20eq%20%22ann%22", looked_for="ann"), 1.0)
    agent = row_of(entry(path="/scim/v2/Users/password=t0p", user_agent=b"x password=t0p"), 1.0)

    assert (path.path, path.detail, path.response_body) == ("/scim/v2/Users/(not an id)", None, None)
    assert refused.request_body == '{"displayName":"[redacted]","emails":[{"value":"[redacted]"}]}'
    assert searched.query == f'filter=title eq "{BLANK}" and active eq true'
    assert found.query == 'filter=userName eq "ann"'
    assert "t0p" not in str(agent)


@pytest.mark.threat("T24")
@pytest.mark.threat("T27")
def test_hostile_text_is_bounded_and_a_secret_in_a_url_is_blanked() -> None:
    row = row_of(
        entry(path="/scim/v2/" + "\0x" * 5000, query=b"access_token=scimsk_0a1B2c3D4e5F_secret%00&filter=%ff%ed%a0%80", user_agent=b"\x01\xff" * 500), 1.0
    )

    assert len(row.path) == 500
    assert "\0" not in row.path
    assert row.query is not None
    assert "0a1B2c3D4e5F" not in row.query
    assert BLANK in row.query
    assert row.user_agent is not None
    assert len(row.user_agent) == 200


_HIDING = ["password", "PASSWORD", "the password is x", "pa\u017f\u017fword", "members", "Manager", "groups", "display", "displayName", "value", "path", "x"]
_TEXTS = st.sampled_from(_HIDING)
_BODIES = st.recursive(
    _TEXTS | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.threat("T27")
@given(body=_BODIES, is_escaped=st.booleans())
def test_a_body_that_is_kept_as_it_is_has_nothing_to_hide(body: object, is_escaped: bool) -> None:
    """The quick look says the same as the walk, whatever the letters' case and however they are escaped."""
    sent = json.dumps(body, ensure_ascii=is_escaped).encode()
    kept, _ = redact(sent)
    assert kept is not None
    assert json.loads(kept) == redaction._without_secrets(json.loads(sent), redaction._names(STANDARD.hidden))


def test_a_refused_body_however_deep_is_kept_in_outline() -> None:
    for deep in (b'{"userName":' * 200 + b"1" + b"}" * 200, b"[" * 900 + b"]" * 900):
        row = row_of(entry(method="POST", status=400, request_body=b'{"schemas":["x"],"name":' + deep + b"}"), 1.0)
        assert row.request_body is not None
        assert BLANK in row.request_body
