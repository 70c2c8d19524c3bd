"""The four places where a stranger's bytes are parsed, as functions of bytes, and an atheris harness to run them by hand.

    python tests/fuzz/fuzz_target.py filter|path|json|bearer -runs=100000

atheris is imported only when this file is run, and it is not in the lock: install it into a throw-away environment that sees
this project's packages (`python -m venv --system-site-packages`, or PYTHONPATH with src and .venv's site-packages).
`test_fuzz.py` drives the same functions by Hypothesis in every test run. Threats T12, T22, T23, T24 and T01.
"""

import sys
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import msgspec

from rollhouse.scim import bulk
from rollhouse.scim.comparison import comparable, index_entries
from rollhouse.scim.conditions import matches, resolve_filter
from rollhouse.scim.definitions import Definitions, described, read_resource_type, read_schema
from rollhouse.scim.errors import ScimError
from rollhouse.scim.filters import parse_filter, parse_path
from rollhouse.scim.messages import decode_object, decode_patch, decode_resource, encode, encode_error
from rollhouse.scim.patching import Operation, patch_document, read_document
from rollhouse.scim.schemas import ENTERPRISE_URN, GROUP, USER, USER_URN
from rollhouse.tenancy.secrets import bearer_secret, lookup_id_of

DOCUMENT: dict[str, Any] = {
    "schemas": [USER_URN, ENTERPRISE_URN],
    "userName": "ann@acme.example",
    "name": {"givenName": "Ann", "familyName": "Ek"},
    "active": True,
    "emails": [{"value": "ann@acme.example", "type": "work", "primary": True}, {"value": "ann@home.example", "type": "home"}],
    "roles": [{"value": "reader", "primary": True}],
    ENTERPRISE_URN: {"department": "Tours", "manager": {"value": "2819c223-7f76-453a-919d-413861904646"}},
}
GROUP_DOCUMENT: dict[str, Any] = {"schemas": [GROUP.schema.id], "displayName": "Tour Guides"}


def fuzz_filter(data: bytes) -> None:
    """Parse, look up and match a filter, as the list endpoint does."""
    text = data.decode(errors="surrogateescape")
    for resource_type, document in ((USER, DOCUMENT), (GROUP, GROUP_DOCUMENT)):
        try:
            condition = resolve_filter(resource_type, parse_filter(text, set()))
        except ScimError as refusal:
            _answer(refusal)
        else:
            matches(condition, comparable(resource_type, document))


def fuzz_path(data: bytes) -> None:
    """Parse a PATCH path and carry out each operation on it; it comes out of JSON, so it holds no half surrogates."""
    text = data.decode(errors="replace")
    try:
        parse_path(text, set())
    except ScimError as refusal:
        _answer(refusal)
    for operation in ({"op": "add", "value": "x"}, {"op": "replace", "value": {"value": "x"}}, {"op": "remove"}, {"op": "remove", "value": ["x"]}):
        fuzz_json(encode({"Operations": [{**operation, "path": text}]}))


def fuzz_json(data: bytes) -> None:
    """Read a body as a POST and as a PATCH, and carry out the PATCH on a user and a group."""
    try:
        document, _ = read_document(USER, decode_resource(USER, data, set()), set())
        _check_storable(document)
    except ScimError as refusal:
        _answer(refusal)
    try:
        operations = decode_patch(USER, data, set())
    except ScimError as refusal:
        _answer(refusal)
    else:
        _patch(operations)


def fuzz_message(data: bytes) -> None:
    """Read a body as a bulk request, whose operations are put in order, and as definitions, which are put together."""
    try:
        message = decode_object(data)
        request = bulk.read_bulk(message, set(), most=20)
    except ScimError as refusal:
        _answer(refusal)
    else:
        needs = bulk.needs_of(request.operations)
        while needs:
            for at in bulk.next_together(needs):
                del needs[at]
                one = request.operations[at]
                encode([bulk.without_references(one.data), bulk.resolved(one.data, {"a": "b"})])
            for needed in needs.values():
                needed.intersection_update(needs)
    for read in (_define_schema, _define_type):
        try:
            read(decode_object(data))
        except ScimError as refusal:
            _answer(refusal)


def _define_schema(message: dict[str, Any]) -> None:
    schema = read_schema(message)
    if read_schema(described(schema)) != schema:
        raise AssertionError("a schema is not read back as it was described")
    registry = Definitions().with_schema(schema).extended("User", schema.id, required=False).registry(1)
    read_document(registry.by_name["User"], {"userName": "ann", schema.id: message}, set())


def _define_type(message: dict[str, Any]) -> None:
    Definitions().with_type(read_resource_type(message)).registry(1)


def fuzz_bearer(data: bytes) -> None:
    """Read an Authorization header, which arrives as latin-1."""
    secret, _ = bearer_secret(data.decode("latin-1"))
    found = lookup_id_of(secret)
    if found is not None and found not in secret:
        raise AssertionError(found)


def _patch(operations: list[Operation]) -> None:
    for resource_type, document in ((USER, DOCUMENT), (GROUP, GROUP_DOCUMENT)):
        try:
            after, _ = patch_document(resource_type, deepcopy(document), operations, set())
        except ScimError as refusal:
            _answer(refusal)
        else:
            _check_storable(after)
            index_entries(resource_type, comparable(resource_type, after))


def _check_storable(document: dict[str, Any]) -> None:
    """Postgres takes neither NUL nor half a surrogate pair (threat T24)."""
    if b"\\u0000" in encode(document).replace(b"\\\\", b""):
        raise AssertionError("a NUL is stored")
    if msgspec.json.decode(encode(document)) != document:
        raise AssertionError("the document does not survive its own encoding")


def _answer(refusal: ScimError) -> None:
    """A refusal is the client's fault and can be sent."""
    if not 400 <= refusal.status < 500:
        raise refusal
    encode_error(refusal)


TARGETS: dict[str, Callable[[bytes], None]] = {"filter": fuzz_filter, "path": fuzz_path, "json": fuzz_json, "message": fuzz_message, "bearer": fuzz_bearer}


def main() -> None:
    """Run the target that the first argument names; the others are atheris's."""
    import atheris

    target = TARGETS[sys.argv.pop(1)]
    atheris.instrument_all()
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
