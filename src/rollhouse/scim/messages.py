"""Bodies in and out: bytes to values at our own edge, and values to the messages of RFC 7644 section 8.2."""

import re
from typing import Any

import msgspec

from rollhouse.scim.attributes import Op
from rollhouse.scim.errors import InvalidSyntax, InvalidValue, ScimError, TooMany, quoted
from rollhouse.scim.patching import Operation, names_members
from rollhouse.scim.schemas import ResourceType
from rollhouse.scim.tolerances import Noted, Tolerance
from rollhouse.scim.values import BINARY_CHARACTERS_LIMIT

SCIM_JSON = "application/scim+json"
LIST_URN = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SEARCH_URN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
ERROR_URN = "urn:ietf:params:scim:api:messages:2.0:Error"

JSON_DEPTH_LIMIT = 32
JSON_PARTS_LIMIT = 160_000
"""Commas, braces, brackets and escapes in one body: room for 10,000 members of six parts whose URLs are escaped; bounds the work of a refusal."""
SPARSE_MARKS = 4096
SMALL_BYTES = 16 * 1024
"""A body up to this length is counted in one pass."""
OPERATIONS_LIMIT = 100
"""PATCH operations on attributes in one request; operations on members count as members (Okta sends one a member)."""

_OPS: dict[str, Op] = {"add": "add", "replace": "replace", "remove": "remove"}
TEXT_BYTES_LIMIT = 2 * BINARY_CHARACTERS_LIMIT
"""Bytes between two quotes in a body: the longest value, and room for escapes."""
_NO_MARKS = bytes(byte for byte in range(256) if byte not in b"{[,\\")
_CONTROL_ESCAPE = re.compile(rb"\\(?:u00(?:0[0-8bBcCeEfF]|1[0-9a-fA-F]|7[fF]|[89][0-9a-fA-F])|[bf])")
_HIGH_CONTROLS = re.compile(rb"\xc2[\x80-\x9f]")
_PAIRS = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")

_BETWEEN_NAMES = re.compile(r"[.:\]]+")
_encoder = msgspec.json.Encoder()
encode = _encoder.encode


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a request body; of a repeated key the last one counts.

    At most 32 levels deep, with text that Postgres can hold.

    Raises:
        InvalidSyntax: it is not UTF-8, not JSON, not an object, or nested too deep.
        InvalidValue: a text holds a control character or half a surrogate pair, or a number is out of range.
        TooMany: it has more parts than any legal request.
    """
    if not body[:1].strip():
        body = body.strip()
    if not body:
        raise InvalidSyntax("The request has no body; it must be a JSON object.")
    if body[:1] != b"{" or body[-16:].rstrip()[-1:] != b"}":  # refused before it costs anything
        raise InvalidSyntax("The body must be one whole JSON object, from { to }.")
    parts, containers = _count_parts(body)
    if parts > JSON_PARTS_LIMIT:
        raise TooMany(f"The body has more than {JSON_PARTS_LIMIT} parts. Send it in several requests.")
    _check_texts(body)
    _refuse_controls(body)
    decoded = _decode(body)
    if containers > JSON_DEPTH_LIMIT:
        _check_depth(decoded)
    return decoded


def _count_parts(body: bytes) -> tuple[int, int]:
    """How many commas, braces, brackets and escapes a body has, and how many braces and brackets alone.

    A body is stripped of all the rest (1 us for 1 KiB); in a large one marks that stand far apart are found one by one (0.3 ms for 4 MiB instead of 1.4).
    """
    if len(body) <= SMALL_BYTES:
        return _count_marks(body)
    counts = []
    for mark in (b"{", b"[", b",", b"\\"):
        found, at = 0, body.find(mark)
        while at >= 0:
            found += 1
            if found > SPARSE_MARKS:
                return _count_marks(body)
            at = body.find(mark, at + 1)
        counts.append(found)
    return sum(counts), counts[0] + counts[1]


def _count_marks(body: bytes) -> tuple[int, int]:
    marks = body.translate(None, _NO_MARKS)
    return len(marks), marks.count(b"{") + marks.count(b"[")


def _check_texts(body: bytes) -> None:
    """Refuse a text that no attribute takes by the distance of its quotes: Python's error about a wrong byte copies the text it stands in."""
    at = 0
    while len(body) - at > TEXT_BYTES_LIMIT:
        quote = body.rfind(b'"', at, at + TEXT_BYTES_LIMIT)
        if quote <= at:
            raise InvalidValue(f"The body has more than {TEXT_BYTES_LIMIT} bytes without a quote; no attribute takes a value that long.")
        at = quote


def _decode(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except RecursionError:
        raise InvalidSyntax(f"The body is nested more than {JSON_DEPTH_LIMIT} levels deep.") from None
    except UnicodeDecodeError:
        raise InvalidSyntax("The body is not valid UTF-8.") from None
    except msgspec.ValidationError as error:
        raise InvalidValue(f"The body cannot be taken: {error}.") from None
    except msgspec.DecodeError as error:
        if re.search(rb"\\u[dD][89a-fA-F]", _PAIRS.sub(b"", body)):
            raise InvalidValue("The body holds half of a surrogate pair, which is no character. Mend the value at its source.") from None
        raise InvalidSyntax(f"The body is not JSON: {error}.") from None


def _refuse_controls(body: bytes) -> None:
    """Refuse control characters but tab and line breaks (threat T24): escaped, or (DEL and U+0080 to U+009F) as they are."""
    backslash = body.find(b"\\")
    # An escaped backslash begins no escape.
    if backslash >= 0 and _CONTROL_ESCAPE.search(body, backslash) and _CONTROL_ESCAPE.search(body[backslash:].replace(b"\\\\", b"")):
        raise InvalidValue("The body holds an escaped control character, which cannot be stored. Mend the value at its source.")
    if b"\x7f" in body or (b"\xc2" in body and _HIGH_CONTROLS.search(body) is not None):
        raise InvalidValue("The body holds a control character (U+007F to U+009F), which cannot be stored. Mend the value at its source.")


def _check_depth(decoded: Any) -> None:
    """Walk level by level; only lists and objects are carried to the next."""
    level = [decoded]
    for _ in range(JSON_DEPTH_LIMIT):
        parts = [part for node in level for part in (node.values() if isinstance(node, dict) else node)]
        level = [part for part in parts if isinstance(part, dict | list)]
        if not level:
            return
    raise InvalidSyntax(f"The body is nested more than {JSON_DEPTH_LIMIT} levels deep.")


def check_schemas(body: dict[str, Any], expected: str, noted: Noted) -> None:
    """Note a message whose `schemas` lacks the expected URN; it is never refused for that (L02)."""
    schemas = next((value for name, value in body.items() if name.lower() == "schemas"), None)
    if not isinstance(schemas, list) or expected not in schemas:
        noted.add(Tolerance.MESSAGE_SCHEMAS)


def names_in(message: Any) -> set[str]:
    """The names, in lower case, that a body gives values to: the keys of its objects and the last names of its paths, without URNs."""
    if isinstance(message, list):
        return set().union(*(names_in(one) for one in message))
    if not isinstance(message, dict):
        return set()
    texts = [*message, *(value for name, value in message.items() if name.lower() == "path" and isinstance(value, str))]
    return {_BETWEEN_NAMES.split(text.lower())[-1] for text in texts}.union(*(names_in(value) for value in message.values()))


def read_patch(resource_type: ResourceType, message: dict[str, Any], noted: Noted) -> list[Operation]:
    """The operations of a PatchOp message (RFC 7644 section 3.5.2).

    Raises:
        InvalidSyntax: there is no list of operations, or one is no object, or its `op` is unknown.
        TooMany: more than 100 operations on attributes.
    """
    check_schemas(message, PATCH_URN, noted)
    operations = next((value for name, value in message.items() if name.lower() == "operations"), None)
    if isinstance(operations, dict):
        operations = [operations]
    if not isinstance(operations, list):
        raise InvalidSyntax('A PATCH body needs "Operations", a list (RFC 7644 section 3.5.2).')
    if not operations:
        noted.add(Tolerance.EMPTY_OPERATIONS)
    if not all(isinstance(operation, dict) for operation in operations):
        raise InvalidSyntax("Each operation must be an object with op, path and value.")
    read = []
    others = 0
    for operation in operations:
        read.append(_read_operation(operation, noted))
        others += read[-1].path is None or not names_members(resource_type, read[-1].path)
        if others > OPERATIONS_LIMIT:
            raise TooMany(f"The PATCH has {len(operations)} operations; at most {OPERATIONS_LIMIT} on attributes are carried out. Send several PATCH requests.")
    return read


def _read_operation(operation: dict[str, Any], noted: Noted) -> Operation:
    parts = {name.lower(): value for name, value in operation.items()}
    name, path = parts.get("op"), parts.get("path")
    op = _OPS.get(name.lower()) if isinstance(name, str) else None
    if op is None:
        raise InvalidSyntax(f'The operation {quoted(name)} is unknown; use "add", "replace" or "remove".')
    if path is not None and not isinstance(path, str):
        raise InvalidSyntax("The path of an operation must be text.")
    if name != op:
        noted.add(Tolerance.OP_CASE)
    return Operation(op, path or None, parts.get("value", msgspec.UNSET))


def decode_patch(resource_type: ResourceType, body: bytes, noted: Noted) -> list[Operation]:
    """The operations in a PATCH body; raises as `decode_object` and `read_patch`."""
    return read_patch(resource_type, decode_object(body), noted)


def decode_resource(resource_type: ResourceType, body: bytes, noted: Noted) -> dict[str, Any]:
    """The object in a POST or PUT body; raises as `decode_object`."""
    decoded = decode_object(body)
    check_schemas(decoded, resource_type.schema.id, noted)
    return decoded


def error_message(error: ScimError) -> dict[str, Any]:
    """The error message of RFC 7644 section 3.12; `status` is text there."""
    scim_type = {"scimType": error.scim_type} if error.scim_type else {}
    return {"schemas": [ERROR_URN], "status": str(error.status), **scim_type, "detail": error.detail}


def encode_error(error: ScimError) -> bytes:
    """The error message, encoded."""
    return encode(error_message(error))


def encode_list(resources: list[bytes], *, total: int, start_index: int = 1) -> bytes:
    """A ListResponse (RFC 7644 section 3.4.2) around encoded resources; `Resources` is there also when empty."""
    head = b'{"schemas":["%b"],"totalResults":%d,"startIndex":%d,"itemsPerPage":%d,"Resources":['
    return head % (LIST_URN.encode(), total, start_index, len(resources)) + b",".join(resources) + b"]}"


def encode_cursor_list(resources: list[bytes], *, total: int, next_cursor: str | None) -> bytes:
    """A ListResponse of a page that a cursor led to; the last one has no `nextCursor` (RFC 9865 section 2)."""
    cursor = f',"nextCursor":"{next_cursor}"' if next_cursor is not None else ""
    head = b'{"schemas":["%b"],"totalResults":%d,"itemsPerPage":%d%b,"Resources":['
    return head % (LIST_URN.encode(), total, len(resources), cursor.encode()) + b",".join(resources) + b"]}"
