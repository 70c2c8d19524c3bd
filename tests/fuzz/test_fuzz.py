"""The fuzz targets, driven by Hypothesis: nothing but refusals with a 4xx ever comes out (threats T12, T22, T23, T24)."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollhouse.scim.schemas import ENTERPRISE_URN, USER_URN
from rollhouse.tenancy.secrets import mint_secret
from tests.fuzz.fuzz_target import TARGETS, fuzz_bearer, fuzz_filter, fuzz_json, fuzz_message, fuzz_path

thorough = settings(max_examples=400, deadline=None)

_USER_NAMES = ["userName", "name.givenName", "active", "emails", "emails.value", "roles", "meta.created", "id", "groups", "password", "manager", "schemas"]
_PART_NAMES = ["type", "value", "primary", "$ref", "displayName", "members", "x"]
_NAMES = [*_USER_NAMES, *_PART_NAMES, ENTERPRISE_URN, f"{ENTERPRISE_URN}:manager.value", USER_URN, f"{USER_URN}:title", "urn:x:y", "urn:x"]
_OPERATORS = [" eq ", " ne ", " co ", " gt ", " pr", " and ", " or ", "not ", "not("]
_MARKS = [" ", "(", ")", "[", "]", ".", ":", '"', "\\", "\x00", "İ"]
_WRITTEN = ['"x"', "true", "null", "1e9", '"2026-01-23T04:56:22Z"']
_PHRASES = st.lists(st.sampled_from([*_NAMES, *_OPERATORS, *_MARKS, *_WRITTEN]), max_size=14).map("".join)
_TEXTS = st.text(max_size=5) | st.sampled_from(["True", "", *_NAMES])
_JSON_TEXTS = st.sampled_from(["{", '{"value":"\\u0000"}', '{"value":"{"}', '["x"]'])
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS
_KEYS = st.sampled_from(_NAMES) | _PHRASES
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3), max_leaves=6)
_ATTRIBUTES = st.dictionaries(
    st.sampled_from(_USER_NAMES), _JSON_TEXTS | _VALUES | st.dictionaries(st.sampled_from(_PART_NAMES), _JSON_TEXTS | _TEXTS), max_size=4
)
_OPERATIONS = st.fixed_dictionaries({"op": st.sampled_from(["add", "Replace", "remove"])}, optional={"path": _KEYS, "value": _VALUES | _ATTRIBUTES})
_PATCHES = st.lists(_OPERATIONS, max_size=3).map(lambda operations: {"Operations": operations})
_BODIES = _PATCHES | (_ATTRIBUTES | st.dictionaries(_KEYS, _VALUES, max_size=4)).map(lambda body: {**body, "userName": "a"})
_HEADERS = st.builds(lambda scheme, text: scheme + text, st.sampled_from([b"Bearer ", b"bearer  bearer ", b"Basic "]), st.binary(max_size=80))
_CLASSICS = [b"", b"\x00", b"\xff\xfe", b"{" * 100_000, b"[" * 4096, b"(" * 100_000, b'"' * 5000, b"a" * 100_000, b" " * 5000, b"\\" * 5000]


_BULK_IDS = st.sampled_from(["a", "b", "c", ""])
_BULK_DATA = _VALUES | st.dictionaries(_KEYS, _BULK_IDS.map(lambda name: f"bulkId:{name}") | st.lists(_BULK_IDS.map(lambda name: {"value": f"bulkId:{name}"})))
_BULK_OPERATIONS = st.fixed_dictionaries(
    {"method": st.sampled_from(["POST", "put", "PATCH", "DELETE", "GET", ""])},
    optional={
        "path": st.sampled_from(["/Users", "/Users/bulkId:a", "Groups/x", "/Bulk", "/", "//"]) | _VALUES,
        "bulkId": _BULK_IDS | _VALUES,
        "data": _BULK_DATA,
    },
)
_BULKS = st.fixed_dictionaries({"Operations": st.lists(_BULK_OPERATIONS | _VALUES, max_size=6)}, optional={"failOnErrors": _VALUES})
_CHARACTERISTICS = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b", "$ref", "1", "id", "value"])},
    optional={
        "type": st.sampled_from(["string", "boolean", "integer", "complex", "reference", "binary", "x"]),
        "multiValued": st.booleans(),
        "required": st.booleans(),
        "uniqueness": st.sampled_from(["none", "server", "x"]),
        "canonicalValues": st.lists(_TEXTS, max_size=2),
        "referenceTypes": st.lists(st.sampled_from(["User", "external", "x"]), max_size=2),
        "indexed": st.booleans() | _VALUES,
    },
)
_SUBS = st.lists(_CHARACTERISTICS | _VALUES, max_size=3)
_SCHEMAS = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["urn:example:a", "urn:x", USER_URN]),
        "name": _TEXTS,
        "attributes": st.lists(_CHARACTERISTICS | st.builds(lambda one, subs: {**one, "subAttributes": subs}, _CHARACTERISTICS, _SUBS), max_size=4),
    }
)
_TYPES = st.fixed_dictionaries(
    {"name": _TEXTS | st.just("Thing"), "endpoint": _TEXTS | st.just("/Things"), "schema": _TEXTS}, optional={"schemaExtensions": _VALUES}
)


@pytest.mark.threat("T23")
@given(st.binary(max_size=80) | (_BULKS | _SCHEMAS | _TYPES).map(lambda body: json.dumps(body).encode()))
@settings(parent=thorough, max_examples=1000)
def test_any_bulk_request_and_any_definition_is_taken_or_refused(data: bytes) -> None:
    """T23."""
    fuzz_message(data)


@pytest.mark.threat("T12")
@given(st.binary(max_size=80) | _PHRASES.map(str.encode))
@thorough
def test_any_filter_is_answered_or_refused(data: bytes) -> None:
    """T12."""
    fuzz_filter(data)


@pytest.mark.threat("T12")
@given(st.binary(max_size=80) | _PHRASES.map(str.encode))
@thorough
def test_any_path_is_carried_out_or_refused(data: bytes) -> None:
    """T12."""
    fuzz_path(data)


@pytest.mark.threat("T23")
@pytest.mark.threat("T24")
@given(st.binary(max_size=80) | _BODIES.map(lambda body: json.dumps(body).encode()))
@settings(parent=thorough, max_examples=1000)
def test_any_body_is_carried_out_or_refused(data: bytes) -> None:
    """T23, T24."""
    fuzz_json(data)


@pytest.mark.threat("T01")
@given(
    st.binary(max_size=80) | st.builds(lambda scheme, text: scheme + text, st.sampled_from([b"Bearer ", b"bearer  bearer ", b"Basic "]), st.binary(max_size=80))
)
@thorough
def test_any_authorization_header_is_read(data: bytes) -> None:
    """T01: malformed credentials are no fault of the service."""
    fuzz_bearer(data)


@pytest.mark.threat("T01")
@given(st.integers(0, 68), st.sampled_from("0Aaz_-é \x00"))
@settings(max_examples=200, deadline=None)
def test_a_damaged_secret_is_never_looked_up(at: int, mark: str) -> None:
    """T01: the checksum spares the database what was mistyped."""
    secret = mint_secret().secret
    damaged = secret[:at] + mark + secret[at + 1 :]

    fuzz_bearer(f"Bearer {secret}".encode())
    fuzz_bearer(f"Bearer {damaged}".encode())


@pytest.mark.parametrize("name", sorted(TARGETS))
@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\xff\xfe", b"{" * 100_000, b"[" * 4096, b"(" * 100_000, b'"' * 5000, b"a" * 100_000, b" " * 5000, b"\\" * 5000]
)
def test_the_classics_are_refused(name: str, data: bytes) -> None:
    """T12, T23."""
    target: Callable[[bytes], None] = TARGETS[name]

    target(data)
