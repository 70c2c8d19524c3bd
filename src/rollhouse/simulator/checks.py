"""What Entra demands of an answer, as functions that name each violation (scim-clients sections 6 and 12.2)."""

from collections import Counter
from collections.abc import Iterator

from rollhouse.simulator.mapping import MANAGER_PATH, Document, Value, member_of, read_path

LIST_URN = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ERROR_URN = "urn:ietf:params:scim:api:messages:2.0:Error"
MEDIA_TYPE = "application/scim+json"
TYPED_ATTRIBUTES = ("emails", "phoneNumbers", "addresses")
FIRST_ERROR_STATUS = 400
NO_CONTENT = 204


def check_status(status: int, allowed: frozenset[int], document: object) -> list[str]:
    """The status is one the primitive can work with; the server's own detail is quoted otherwise."""
    if status in allowed:
        return []
    detail = member_of(document, "detail")
    said = f': "{detail}"' if isinstance(detail, str) else ""
    return [f"status {status} is not one of {sorted(allowed)}{said}"]


def check_body(status: int, content_type: str, raw: bytes) -> list[str]:
    """A body is application/scim+json; 204 has none, every other answer has one."""
    if status == NO_CONTENT:
        return ["204 must not have a body"] if raw else []
    if not raw:
        return [f"status {status} has no body"]
    if content_type.partition(";")[0].strip().casefold() != MEDIA_TYPE:
        return [f'Content-Type is "{content_type}" instead of {MEDIA_TYPE}']
    return []


def check_error(document: object, status: int) -> list[str]:
    """An error is a SCIM Error: the URN, the status as a string, a detail to act on."""
    if not isinstance(document, dict):
        return ["the error body is not a SCIM Error object"]
    violations = []
    schemas = member_of(document, "schemas")
    if not isinstance(schemas, list) or ERROR_URN not in schemas:
        violations.append("the error body does not list the Error URN in schemas")
    if member_of(document, "status") != str(status):
        violations.append(f'the error body\'s status is not the string "{status}"')
    detail = member_of(document, "detail")
    if not isinstance(detail, str) or not detail.strip():
        violations.append("the error body has no detail")
    return violations


def check_resource(document: object, resource_type: str, *, members_excluded: bool = False) -> list[str]:
    """A resource has a string id and its resource type, nothing null or empty, and members only when asked for."""
    if not isinstance(document, dict):
        return [f"the {resource_type} is not an object"]
    violations = []
    resource_id = document.get("id")
    if not isinstance(resource_id, str) or not resource_id:
        violations.append("id is not a non-empty string")
    if member_of(member_of(document, "meta"), "resourceType") != resource_type:
        violations.append(f'meta.resourceType is not "{resource_type}"')
    schemas = member_of(document, "schemas")
    if not isinstance(schemas, list) or not schemas:
        violations.append("schemas is not a non-empty list")
    if members_excluded and member_of(document, "members") is not None:
        violations.append("members are present although they were excluded")
    violations += [f"{path} is {what}" for path, what in _hollow(document, "")]
    if resource_type == "User":
        violations += _check_user(document)
    return violations


def _check_user(document: Document) -> list[str]:
    violations = []
    active = member_of(document, "active")
    if active is not None and not isinstance(active, bool):
        violations.append("active is not a boolean")
    manager = read_path(document, MANAGER_PATH)
    if manager is not None and not isinstance(member_of(manager, "value"), str):
        violations.append("manager is not an object with a string value")
    for attribute in TYPED_ATTRIBUTES:
        elements = member_of(document, attribute)
        if elements is not None and not isinstance(elements, list):
            violations.append(f"{attribute} is not a list")
            continue
        kinds = Counter(str(member_of(element, "type")).casefold() for element in elements or [])
        violations += [f'{attribute} has {n} elements of type "{kind}"' for kind, n in kinds.items() if n > 1]
    return violations


def _hollow(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Every null and every empty object below a value, with its path."""
    if value is None:
        yield path, "null"
    elif isinstance(value, dict):
        if not value:
            yield path, "an empty object"
        for key, member in value.items():
            yield from _hollow(member, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for position, element in enumerate(value):
            yield from _hollow(element, f"{path}[{position}]")


def check_list(
    document: object,
    resource_type: str,
    *,
    start_index: int = 1,
    paged: bool = False,
    members_excluded: bool = False,
    minimal: bool = False,
) -> list[str]:
    """A ListResponse has its URN, three integers, the asked startIndex and Resources, also when it is empty.

    `minimal` is for queries that ask for `attributes=id`: only the ids are looked at.
    """
    if not isinstance(document, dict):
        return ["the answer to a query is not a ListResponse object"]
    counts = ("totalResults", "startIndex", "itemsPerPage")
    violations = [f"{name} is not an integer" for name in counts if type(document.get(name)) is not int]
    schemas = member_of(document, "schemas")
    if not isinstance(schemas, list) or LIST_URN not in schemas:
        violations.append("the ListResponse URN is not in schemas")
    if document.get("startIndex") != start_index:
        violations.append(f"startIndex is {document.get('startIndex')!r} instead of {start_index}")
    resources = document.get("Resources")
    if not isinstance(resources, list):
        return [*violations, "Resources is not a list"]
    total = document.get("totalResults")
    if isinstance(total, int) and (total < len(resources) or (not paged and total != len(resources))):
        violations.append(f"totalResults is {total}, but {len(resources)} resources came")
    for resource in resources:
        if minimal:
            violations += [] if isinstance(member_of(resource, "id"), str) else ["a resource has no string id"]
        else:
            violations += check_resource(resource, resource_type, members_excluded=members_excluded)
    return violations


def check_round_trip(document: object, sent: dict[str, Value]) -> list[str]:
    """What was sent comes back letter by letter: userName of a user, displayName of both."""
    if not isinstance(document, dict):
        return []
    return [
        f"{name} came back as {member_of(document, name)!r} instead of {sent[name]!r}"
        for name in ("userName", "displayName")
        if name in sent and member_of(document, name) != sent[name]
    ]


def check_location(location: str | None, document: object) -> list[str]:
    """201 carries a Location that ends with the id (RFC 7644 section 3.3)."""
    if not location:
        return ["201 has no Location header"]
    resource_id = member_of(document, "id")
    if isinstance(resource_id, str) and not location.rstrip("/").endswith(resource_id):
        return ["the Location header does not end with the id"]
    return []
