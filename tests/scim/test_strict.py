"""A strict tenant is refused, by the words of the RFCs, what every other is forgiven; and nothing that the RFCs allow."""

from typing import Any

import pytest

from rollhouse.scim.bulk import read_bulk
from rollhouse.scim.errors import BadRequest, InvalidFilter, InvalidPath, InvalidSyntax, InvalidValue, NoTarget
from rollhouse.scim.filters import parse_filter
from rollhouse.scim.messages import read_patch
from rollhouse.scim.patching import Operation, patch_document, read_document
from rollhouse.scim.schemas import ENTERPRISE_URN, GROUP, USER
from rollhouse.scim.tolerances import REFUSED, Strict, Tolerance
from tests.scim.samples import babs

PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def patched(*operations: Operation) -> Any:
    return lambda noted: patch_document(USER, babs(), list(operations), noted)


def made(**attributes: Any) -> Any:
    return lambda noted: read_document(USER, {"userName": "ann", **attributes}, noted)


def message(*operations: dict[str, Any], schemas: Any = (PATCH_URN,)) -> Any:
    return lambda noted: read_patch(USER, {"schemas": list(schemas), "Operations": list(operations)}, noted)


REFUSALS: dict[Tolerance, tuple[Any, type[BadRequest]]] = {
    Tolerance.OP_CASE: (message({"op": "Replace", "path": "title", "value": "x"}), InvalidSyntax),
    Tolerance.MESSAGE_SCHEMAS: (message({"op": "replace", "path": "title", "value": "x"}, schemas=()), InvalidSyntax),
    Tolerance.EMPTY_OPERATIONS: (message(), InvalidSyntax),
    Tolerance.TEXT_BOOLEAN: (made(active="True"), InvalidValue),
    Tolerance.NUMBER_TEXT: (made(title=7), InvalidValue),
    Tolerance.VALUE_SHAPE: (made(emails={"value": "a@x"}), InvalidValue),
    Tolerance.LOOSE_FORM: (made(x509Certificates=[{"value": "not base64!"}]), InvalidValue),
    Tolerance.ROLE_JSON: (made(roles=['{"value": "admin"}']), InvalidValue),
    Tolerance.BARE_EXTENSION_NAME: (patched(Operation("replace", "department", "x")), InvalidPath),
    Tolerance.PATHLESS_KEYS: (patched(Operation("replace", None, {'emails[type eq "work"].value': "x"})), InvalidSyntax),
    Tolerance.CREATED_BY_FILTER: (patched(Operation("add", 'emails[type eq "never"].value', "x")), NoTarget),
    Tolerance.REMOVE_WITH_VALUE: (patched(Operation("remove", "emails", [{"value": "x"}])), InvalidSyntax),
    Tolerance.REMOVE_UNMATCHED: (patched(Operation("remove", 'emails[type eq "never"]')), NoTarget),
    Tolerance.UNKNOWN_ATTRIBUTE: (made(unheard="x"), InvalidSyntax),
    Tolerance.UNKNOWN_PATH: (patched(Operation("replace", "unheard", "x")), InvalidPath),
    Tolerance.OPAQUE_EXTENSION: (made(**{"urn:example:unheard": {"a": 1}}), InvalidSyntax),
    Tolerance.FILTER_DIALECT: (lambda noted: parse_filter("userName eq ann", noted), InvalidFilter),
}


def test_every_refusal_is_tried() -> None:
    assert REFUSALS.keys() == REFUSED.keys() - {Tolerance.UNKNOWN_MEMBER}, "which the database refuses: tests/http/test_answers_as_wanted.py"


@pytest.mark.parametrize("tolerance", REFUSALS)
def test_it_is_refused_and_forgiven_elsewhere(tolerance: Tolerance) -> None:
    attempt, refusal = REFUSALS[tolerance]
    noted: set[Tolerance] = set()
    attempt(noted)
    assert tolerance in noted

    with pytest.raises(refusal, match="strict"):
        attempt(Strict())


@pytest.mark.parametrize(
    "attempt",
    [
        made(id="x", meta={}, groups=[]),
        made(title="", nickName=None),
        patched(Operation("add", "emails", babs()["emails"][:1])),
        patched(Operation("remove", "nickName"), Operation("remove", "nickName")),
        patched(Operation("replace", f"{ENTERPRISE_URN}:department", "x")),
        patched(Operation("add", None, {"title": "x", ENTERPRISE_URN: {"department": "y"}})),
        message({"op": "replace", "path": "title", "value": "x"}),
        lambda noted: parse_filter('userName eq "ann" and emails[type eq "work" and value co "@"]', noted),
        lambda noted: patch_document(GROUP, {"displayName": "g"}, [Operation("remove", 'members[value eq "01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff"]')], noted),
        lambda noted: read_bulk({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": []}, noted, most=1),
    ],
)
def test_what_the_standard_allows_is_allowed(attempt: Any) -> None:
    attempt(Strict())
