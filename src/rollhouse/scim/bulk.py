"""Bulk requests (RFC 7644 section 3.7) as plain values: what is asked for, what refers to what, and in which order it can be done."""

from typing import Any

import msgspec

from rollhouse.scim.errors import BadRequest, InvalidPath, InvalidSyntax, InvalidValue, PayloadTooLarge, ScimError, quoted
from rollhouse.scim.messages import check_schemas, error_message
from rollhouse.scim.tolerances import Noted

BULK_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
BULK_RESPONSE_URN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
REFERENCE = "bulkId:"
BULK_ID_LIMIT = 200
_METHODS = ("POST", "PUT", "PATCH", "DELETE")
_PARTS_OF_A_RESOURCE = 2

Json = Any


class BulkOperation(msgspec.Struct, frozen=True):
    """One operation: `endpoint` such as `Users`, and the id of the resource, None in a POST.

    `references` are the bulkIds of other operations that its data and its path name; `problem` is why it cannot even be tried.
    """

    method: str
    endpoint: str = ""
    resource_id: str | None = None
    bulk_id: str | None = None
    data: Json = None
    version: str | None = None
    references: frozenset[str] = frozenset()
    problem: BadRequest | None = None


class BulkRequest(msgspec.Struct, frozen=True):
    """Operations in order, and after how many failures to stop: None for never."""

    operations: list[BulkOperation]
    fail_on_errors: int | None


def read_bulk(message: dict[str, Any], noted: Noted, *, most: int) -> BulkRequest:
    """The operations of a BulkRequest. One that is malformed has its problem, and the others go on.

    Raises:
        InvalidSyntax: there is no list of operations, or failOnErrors is no whole number above 0.
        InvalidValue: two operations have the same bulkId.
        PayloadTooLarge: there are more than `most` operations (section 3.7.4).
    """
    check_schemas(message, BULK_URN, noted)
    members = {name.lower(): value for name, value in message.items()}
    operations, limit = members.get("operations"), members.get("failonerrors")
    if not isinstance(operations, list):
        raise InvalidSyntax('A bulk request needs "Operations", a list (RFC 7644 section 3.7).')
    if len(operations) > most:
        raise PayloadTooLarge(f"The request has {len(operations)} operations; at most {most} are carried out (maxOperations in /ServiceProviderConfig).")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise InvalidSyntax('"failOnErrors" must be a whole number above 0.')
    read = [_read_operation(one) for one in operations]
    names = [one.bulk_id for one in read if one.bulk_id is not None and one.method == "POST"]
    if len(set(names)) < len(names):
        raise InvalidValue(f"Two operations have the bulkId {quoted(next(one for one in names if names.count(one) > 1))}; it must be unique in the request.")
    return BulkRequest(read, limit)


def _read_operation(operation: Json) -> BulkOperation:
    if not isinstance(operation, dict):
        return BulkOperation("", problem=InvalidSyntax("An operation must be an object with method, path and data."))
    members = {name.lower(): value for name, value in operation.items()}
    method, bulk_id, version = members.get("method"), members.get("bulkid"), members.get("version")
    method = method.upper() if isinstance(method, str) else ""
    found = BulkOperation(method, bulk_id=bulk_id if isinstance(bulk_id, str) and 0 < len(bulk_id) <= BULK_ID_LIMIT else None)
    try:
        endpoint, resource_id = _read_path(method, members.get("path"))
        if method == "POST" and found.bulk_id is None:
            raise InvalidValue(f"A POST in a bulk request needs a bulkId of at most {BULK_ID_LIMIT} characters (RFC 7644 section 3.7).")
        if method != "DELETE" and not isinstance(members.get("data"), dict):
            raise InvalidSyntax(f"The {method} needs its resource or message in data, an object.")
        if version is not None and not isinstance(version, str):
            raise InvalidSyntax("The version of an operation is the text of an ETag.")
    except BadRequest as error:
        return msgspec.structs.replace(found, problem=error)
    references = frozenset(references_in([members.get("data"), resource_id]))
    return msgspec.structs.replace(found, endpoint=endpoint, resource_id=resource_id, data=members.get("data"), version=version, references=references)


def _read_path(method: str, path: Json) -> tuple[str, str | None]:
    if method not in _METHODS:
        raise InvalidSyntax(f"The method is one of {', '.join(_METHODS)}, not {quoted(method)}.")
    if not isinstance(path, str) or "?" in path or "://" in path:
        raise InvalidPath("The path of an operation is relative to the SCIM URL, such as /Users or /Users/<id>.")
    endpoint, *rest = path.removeprefix("/").split("/")
    wanted = 1 if method == "POST" else _PARTS_OF_A_RESOURCE
    if not endpoint or len(rest) + 1 != wanted or not all(rest) or endpoint.lower() == "bulk" or endpoint.startswith("."):
        raise InvalidPath(f"{quoted(path)} is no path for {method} in a bulk request: POST has an endpoint, the others an endpoint and an id.")
    return endpoint, rest[0] if rest else None


def references_in(value: Json) -> set[str]:
    """The bulkIds that texts anywhere in a value name as `bulkId:<id>`."""
    if isinstance(value, str):
        return {value.removeprefix(REFERENCE)} if value.startswith(REFERENCE) else set()
    if isinstance(value, dict):
        return set().union(*(references_in(part) for part in value.values()))
    return set().union(*(references_in(part) for part in value)) if isinstance(value, list) else set()


def resolved(value: Json, ids: dict[str, str]) -> Json:
    """The value with the ids of resources in place of the references to them."""
    if isinstance(value, str) and value.startswith(REFERENCE):
        return ids.get(value.removeprefix(REFERENCE), value)
    if isinstance(value, dict):
        return {name: resolved(part, ids) for name, part in value.items()}
    return [resolved(part, ids) for part in value] if isinstance(value, list) else value


def without_references(value: Json) -> Json:
    """The value without the elements and attributes that name a bulkId: None if nothing is left."""
    if isinstance(value, str):
        return None if value.startswith(REFERENCE) else value
    if isinstance(value, list):
        kept = [part for one in value if (part := without_references(one)) is not None]
        return kept if kept or not value else None
    if isinstance(value, dict):
        # An element is known by its value: without that, its other parts say nothing.
        if isinstance(value.get("value"), str) and value["value"].startswith(REFERENCE):
            return None
        return {name: part for name, one in value.items() if (part := without_references(one)) is not None}
    return value


def needs_of(operations: list[BulkOperation]) -> dict[int, set[int]]:
    """For each operation, by position, the positions of those that make what it refers to."""
    makers = {one.bulk_id: at for at, one in enumerate(operations) if one.method == "POST" and one.bulk_id is not None and one.problem is None}
    return {at: {makers[name] for name in one.references if name in makers} for at, one in enumerate(operations)}


def next_together(needs: dict[int, set[int]]) -> list[int]:
    """The positions of the operations that come next of those that wait: the first that needs none of the others, or POSTs in a circle of needs.

    The order of the request is kept where needs leave a choice; at most a walk over the needs from each operation.
    """
    first = next((at for at, needed in needs.items() if not needed), None)
    if first is not None:
        return [first]
    reached = {at: _reached(at, needs) for at in needs}
    start = min(needs, key=lambda at: (len(reached[at]), at))
    return sorted(at for at in reached[start] if start in reached[at]) or [start]


def _reached(start: int, needs: dict[int, set[int]]) -> set[int]:
    found: set[int] = set()
    front = list(needs[start])
    while front:
        at = front.pop()
        if at not in found:
            found.add(at)
            front += needs[at]
    return found


def done(operation: BulkOperation, status: int, *, location: str | None, version: str | None) -> dict[str, Any]:
    """What the answer says of an operation that succeeded."""
    shown = {"method": operation.method, "bulkId": operation.bulk_id, "version": version, "location": location, "status": str(status)}
    return {name: value for name, value in shown.items() if value is not None}


def refused(operation: BulkOperation, error: ScimError, *, location: str | None) -> dict[str, Any]:
    """What the answer says of an operation that failed."""
    return done(operation, error.status, location=location, version=None) | {"response": error_message(error)}
