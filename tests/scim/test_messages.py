"""Bodies in and out (RFC 7644 sections 3.4.2, 3.5.2 and 3.12; threats T22, T23, T24)."""

import inspect
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollhouse.scim import errors
from rollhouse.scim.errors import InvalidSyntax, InvalidValue, ScimError, TooMany, quoted
from rollhouse.scim.messages import (
    ERROR_URN,
    JSON_PARTS_LIMIT,
    LIST_URN,
    OPERATIONS_LIMIT,
    PATCH_URN,
    check_schemas,
    decode_object,
    decode_patch,
    decode_resource,
    encode,
    encode_error,
    encode_list,
)
from rollhouse.scim.patching import Operation
from rollhouse.scim.schemas import GROUP, USER, USER_URN
from rollhouse.scim.tolerances import Noted, Tolerance
from tests.scim.samples import thorough


def nested(depth: int) -> bytes:
    """An object that is `depth` levels deep."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


# -- the JSON edge


@pytest.mark.parametrize("body", [b'{"a":1}', b' \r\n\t{"a" : 1 } \n', b'{"\\u0061":1}'])
def test_an_object_is_read(body: bytes) -> None:
    assert decode_object(body) == {"a": 1}


@pytest.mark.threat("T23")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"{",
        b"}",
        b"nil",
        b"[]",
        b'"x"',
        b"5",
        b"null",
        b"true",
        b'{"a":1,}',
        b'{"a":1}{}',
        b'{"a":1} x',
        b"{'a':1}",
        b"{a:1}",
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":1.}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":True}',
        b'{"a":"\\x41"}',
        b'{"a":"\\u12"}',
        b'{"a":"line\nbreak"}',
        b'{"a":"\x00"}',
        b'{"a":"\x1f"}',
        b'{"a":"x',
        b'{"a" 1}',
        b"\xef\xbb\xbf{}",
        b'/* c */ {"a":1}',
        b'{"a":"\xff"}',
        b'{"a":"\xc3"}',
        b'{"a":"\xc0\x80"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xf4\x90\x80\x80"}',
        b'{"\xff":1}',
        b"\xff\xfe{\x00}\x00",
        b'{"a":"\\ud83d\\ude00",}',
    ],
)
def test_what_is_no_json_object_in_utf_8_is_a_syntax_error(body: bytes) -> None:
    """T23 and table 9: 400 invalidSyntax."""
    with pytest.raises(InvalidSyntax) as refusal:
        decode_object(body)

    assert (refusal.value.status, refusal.value.scim_type) == (400, "invalidSyntax")


@pytest.mark.threat("T24")
@pytest.mark.parametrize(
    "text",
    [
        rb"\u0000",
        rb"a\u0000b",
        rb"\u0001",
        rb"\u001F",
        rb"\u007f",
        b"\x7f",
        rb"\b",
        rb"\f",
        rb"\ud800",
        rb"\udc00",
        rb"\ud800x",
        rb"\ud800\ud800",
        rb"\uDFFF\uD800",
        rb"\u000b",
    ],
)
@pytest.mark.parametrize("shape", [b'{"a":"%b"}', b'{"%b":1}', b'{"a":[{"b":["%b"]}]}'])
def test_characters_that_cannot_be_stored_are_an_invalid_value(text: bytes, shape: bytes) -> None:
    """T24: NUL, controls and half surrogate pairs, in values, in names, at any depth."""
    with pytest.raises(InvalidValue) as refusal:
        decode_object(shape % text)

    assert (refusal.value.status, refusal.value.scim_type) == (400, "invalidValue")
    assert refusal.value.detail.isprintable()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (rb"\t\n\r", "\t\n\r"),
        (rb"\u0009", "\t"),
        (rb"\u0041", "A"),
        (rb"\u00e9", "é"),
        (rb"\ud83d\ude00", "😀"),
        (rb"\\u0000", "\\u0000"),
        (rb"\\b", "\\b"),
        ("\u200b\u202e".encode(), "\u200b\u202e"),
        (b"\xf0\x9f\x98\x80", "😀"),
    ],
)
def test_all_other_characters_pass(text: bytes, meant: str) -> None:
    """standards.md: zero-width and bidirectional characters are stored verbatim; an escaped backslash is no escape."""
    assert decode_object(b'{"a":"%b"}' % text) == {"a": meant}


@pytest.mark.threat("T23")
def test_32_levels_are_read_and_33_are_not() -> None:
    """T23: depth at most 32."""
    assert decode_object(nested(32))
    assert decode_object(b'{"a":' * 32 + b"1" + b"}" * 32)
    for body in (nested(33), b'{"a":' * 33 + b"1" + b"}" * 33):
        with pytest.raises(InvalidSyntax, match="32 levels"):
            decode_object(body)


@pytest.mark.threat("T23")
@pytest.mark.parametrize("depth", [1_000, 50_000])
@pytest.mark.parametrize(
    "body", [nested, lambda depth: b'{"a":' * depth + b"1" + b"}" * depth, lambda depth: b'{"a":' + b"[" * depth, lambda depth: b"[" * depth]
)
def test_deep_bodies_are_refused_without_recursion(body: Any, depth: int) -> None:
    """T23: no RecursionError, closed or not."""
    with pytest.raises(InvalidSyntax):
        decode_object(body(depth))


@pytest.mark.threat("T23")
def test_braces_in_text_are_no_levels() -> None:
    """Depth is that of the structure."""
    assert decode_object(b'{"a":"' + b"[{" * 1000 + b'"}') == {"a": "[{" * 1000}


@pytest.mark.threat("T23")
def test_many_shallow_parts_are_no_depth() -> None:
    assert len(decode_object(b'{"a":[' + b",".join([b"{}"] * 10_000) + b"]}")["a"]) == 10_000


@pytest.mark.threat("T23")
@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"1" * 5000, b"1" * 100_000])
def test_numbers_out_of_range_are_an_invalid_value(number: bytes) -> None:
    """T23: no OverflowError and no Infinity."""
    with pytest.raises(InvalidValue):
        decode_object(b'{"a":%b}' % number)


@pytest.mark.threat("T23")
@pytest.mark.parametrize("number", [b"1" * 400, b"9" * 4300, b"-" + b"9" * 4300, b"1e308", b"1e-999", b"-0"])
def test_other_numbers_are_refused_or_can_be_sent_again(number: bytes) -> None:
    """T23: what is taken can be encoded and read by another parser."""
    try:
        decoded = decode_object(b'{"a":%b}' % number)
    except InvalidValue:
        return
    assert json.loads(encode(decoded)) == decoded


@pytest.mark.threat("T22")
@pytest.mark.parametrize(
    ("body", "meant"), [(b'{"a":1,"a":2}', {"a": 2}), (b'{"a":1,"\\u0061":2}', {"a": 2}), (b'{"a":{"b":1,"b":{"c":1}}}', {"a": {"b": {"c": 1}}})]
)
def test_of_a_repeated_name_the_last_one_counts(body: bytes, meant: object) -> None:
    """T22: documented last-wins."""
    assert decode_object(body) == meant


@pytest.mark.threat("T23")
def test_the_number_of_parts_is_limited() -> None:
    """Bounds the work of a refusal: 10,000 members of six parts fit."""
    most = b'{"a":[' + b'"",' * (JSON_PARTS_LIMIT - 2) + b'""]}'

    assert len(decode_object(most)["a"]) == JSON_PARTS_LIMIT - 1
    with pytest.raises(TooMany) as refusal:
        decode_object(most.replace(b'""]}', b'"",""]}'))
    assert (refusal.value.status, refusal.value.scim_type) == (400, "tooMany")


def test_10_000_members_of_six_parts_fit() -> None:
    member = {"value": "x", "display": "x", "$ref": "x", "type": "x", "primary": False, "x": 1}

    assert len(decode_object(encode({"displayName": "G", "members": [member] * 10_000}))["members"]) == 10_000


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.threat("T23")
@pytest.mark.threat("T24")
@given(
    st.dictionaries(st.text(max_size=5), _JSON, max_size=3).map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=40)
    | st.binary(max_size=20).map(lambda part: b'{"a":"' + part + b'"}')
)
@thorough
def test_any_body_is_read_or_refused(body: bytes) -> None:
    """T23, T24: never a 5xx; what is read holds nothing that Postgres cannot hold."""
    try:
        decoded = decode_object(body)
    except ScimError as refusal:
        encode_error(refusal)
        return
    assert "\x00" not in json.dumps(decoded, ensure_ascii=False)
    assert "\\u0000" not in json.dumps(decoded).replace("\\\\", "")
    encode(decoded)


# -- PATCH messages


def patch(*operations: Any, **members: Any) -> bytes:
    return encode({"schemas": [PATCH_URN], "Operations": list(operations), **members})


def test_operations_are_read() -> None:
    """Section 3.5.2."""
    noted: Noted = set()
    body = patch(
        {"op": "add", "path": "title", "value": "x"},
        {"op": "remove", "path": "name"},
        {"op": "replace", "value": {"title": None}},
        {"op": "add", "path": "nickName", "value": None},
    )

    assert decode_patch(GROUP, body, noted) == [
        Operation("add", "title", "x"),
        Operation("remove", "name", msgspec.UNSET),
        Operation("replace", None, {"title": None}),
        Operation("add", "nickName", None),
    ]
    assert noted == set()


@pytest.mark.tolerance("L01")
@pytest.mark.parametrize("op", ["Add", "ADD", "aDD"])
def test_an_op_may_be_written_in_any_letter_case(op: str) -> None:
    """L01: Entra's older dialect."""
    noted: Noted = set()

    assert decode_patch(GROUP, patch({"OP": op, "Path": "title", "VALUE": "x"}), noted) == [Operation("add", "title", "x")]
    assert noted == {Tolerance.OP_CASE}


@pytest.mark.tolerance("L01")
@pytest.mark.parametrize("name", ["operations", "OPERATIONS"])
def test_operations_may_be_written_in_any_letter_case(name: str) -> None:
    """L01."""
    assert decode_patch(GROUP, encode({"SCHEMAS": [PATCH_URN], name: [{"op": "add", "path": "a", "value": 1}]}), set()) == [Operation("add", "a", 1)]


@pytest.mark.tolerance("L02")
@pytest.mark.parametrize("schemas", [None, [], "x", 5, ["urn:ietf:params:scim:schemas:core:2.0:PatchOp"], [{}], {"a": 1}])
def test_a_wrong_schemas_member_is_noted_and_accepted(schemas: object) -> None:
    """L02."""
    noted: Noted = set()

    assert decode_patch(GROUP, encode({"schemas": schemas, "Operations": [{"op": "remove", "path": "a"}]}), noted) == [Operation("remove", "a")]
    assert noted == {Tolerance.MESSAGE_SCHEMAS}


@pytest.mark.tolerance("L14")
def test_no_operations_are_a_message() -> None:
    """L14: Microsoft's old validator sends it."""
    noted: Noted = set()

    assert decode_patch(GROUP, patch(), noted) == []
    assert noted == {Tolerance.EMPTY_OPERATIONS}


def test_one_operation_may_stand_without_its_list() -> None:
    """L11 in spirit: an object where a list is declared."""
    assert decode_patch(GROUP, encode({"schemas": [PATCH_URN], "Operations": {"op": "remove", "path": "a"}}), set()) == [Operation("remove", "a")]


def test_an_empty_path_is_none() -> None:
    assert decode_patch(GROUP, patch({"op": "add", "path": "", "value": {}}), set()) == [Operation("add", None, {})]


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"Operations":null}',
        b'{"Operations":"x"}',
        b'{"Operations":5}',
        patch("x"),
        patch(None),
        patch([]),
        patch({}),
        patch({"op": None}),
        patch({"op": 5}),
        patch({"op": ""}),
        patch({"op": "move"}),
        patch({"op": " add"}),
        patch({"op": ["add"]}),
        patch({"op": "add", "path": 5}),
        patch({"op": "add", "path": {}}),
        patch({"op": "add", "path": ["a"]}),
        patch({"op": "x" * 10_000}),
    ],
)
def test_what_is_no_list_of_operations_is_a_syntax_error(body: bytes) -> None:
    """Section 3.5.2: each operation MUST have exactly one "op", one of add, remove, replace."""
    with pytest.raises(InvalidSyntax) as refusal:
        decode_patch(GROUP, body, set())

    assert len(refusal.value.detail) < 250


@pytest.mark.threat("T12")
def test_100_operations_are_read_and_101_are_not() -> None:
    """The work of one request is bounded."""
    one = {"op": "add", "path": "title", "value": "x"}

    assert len(decode_patch(GROUP, patch(*[one] * OPERATIONS_LIMIT), set())) == OPERATIONS_LIMIT
    with pytest.raises(TooMany, match="101 operations"):
        decode_patch(GROUP, patch(*[one] * (OPERATIONS_LIMIT + 1)), set())


@pytest.mark.parametrize("path", ["members", "Members", 'members[value eq "x"]', "urn:ietf:params:scim:schemas:core:2.0:Group:members"])
def test_operations_on_members_count_as_members(path: str) -> None:
    """Okta sends one operation a member."""
    assert len(decode_patch(GROUP, patch(*[{"op": "remove", "path": path}] * 1000), set())) == 1000


def test_other_names_that_begin_like_members_count() -> None:
    """Only members are exempt."""
    with pytest.raises(TooMany):
        decode_patch(GROUP, patch(*[{"op": "remove", "path": "membership"}] * 101), set())


# -- resources


@pytest.mark.tolerance("L02")
@pytest.mark.parametrize(
    ("schemas", "expected"), [([USER_URN], set()), ([USER_URN, "urn:x"], set()), (None, {Tolerance.MESSAGE_SCHEMAS}), (["urn:x"], {Tolerance.MESSAGE_SCHEMAS})]
)
def test_the_schemas_of_a_resource_are_noted_not_refused(schemas: object, expected: set[Tolerance]) -> None:
    """L02."""
    noted: Noted = set()
    body = {"schemas": schemas, "userName": "a"}

    assert decode_resource(USER, encode(body), noted) == body
    assert noted == expected
    other: Noted = set()
    check_schemas({"SCHEMAS": schemas}, USER_URN, other)
    assert other == expected


# -- answers


REFUSALS = [refusal for _, refusal in inspect.getmembers(errors, inspect.isclass) if issubclass(refusal, ScimError)]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_an_error_is_a_message_of_the_rfc(refusal: type[ScimError]) -> None:
    """Section 3.12: schemas, status as text, scimType only where table 9 has one."""
    body = json.loads(encode_error(refusal("What to do.")))

    assert body.pop("schemas") == [ERROR_URN]
    assert body.pop("status") == str(refusal.status)
    assert body.pop("detail") == "What to do."
    assert body == ({"scimType": refusal.scim_type} if refusal.scim_type else {})


def test_every_keyword_of_table_9_that_applies_has_a_status() -> None:
    """Table 9, and table 3 of RFC 9865; invalidVers and sensitive do not apply: there is one version, and no attribute in a URL is refused."""
    assert {(refusal.scim_type, refusal.status) for refusal in REFUSALS if refusal.scim_type} == {
        ("invalidFilter", 400),
        ("tooMany", 400),
        ("uniqueness", 409),
        ("mutability", 400),
        ("invalidSyntax", 400),
        ("invalidPath", 400),
        ("noTarget", 400),
        ("invalidValue", 400),
        ("invalidCursor", 400),
        ("expiredCursor", 400),
        ("invalidCount", 400),
    }


@given(st.text())
@thorough
def test_quoted_input_is_short_and_printable(text: str) -> None:
    """House style: at most 64 characters of input; no controls, no half surrogates."""
    shown = quoted(text)

    assert shown.isprintable()
    assert shown.startswith('"')
    assert shown.endswith('"')
    assert len(shown) <= 2 + 67 * len("\\U0010ffff")
    encode_error(InvalidValue(shown))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_says_how_many_there_are(count: int) -> None:
    """Section 3.4.2 and 3.4.2.4: Resources is there also when empty (Entra's probe)."""
    body = json.loads(encode_list([b'{"id":"%d"}' % number for number in range(count)], total=7, start_index=3))

    assert body == {
        "schemas": [LIST_URN],
        "totalResults": 7,
        "startIndex": 3,
        "itemsPerPage": count,
        "Resources": [{"id": str(number)} for number in range(count)],
    }
