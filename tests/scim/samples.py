"""The documents, the resource type of a tenant's own and the shorthand that the tests of this folder share."""

import copy
from typing import Any

import msgspec
from hypothesis import settings

from rollhouse.scim.comparison import comparable
from rollhouse.scim.conditions import matches, resolve_filter
from rollhouse.scim.filters import Filter, parse_filter
from rollhouse.scim.memberships import MembershipChange
from rollhouse.scim.patching import Operation, patch_document
from rollhouse.scim.schemas import ENTERPRISE_URN, GROUP_URN, USER, USER_URN, Attribute, ResourceType, Schema
from rollhouse.scim.tolerances import Noted

OPAQUE_URN = "urn:ietf:params:scim:schemas:extension:contoso:2.0:User"
BADGE_URN = "urn:example:params:scim:schemas:core:2.0:Badge"
ANN = "2819c223-7f76-453a-919d-413861904646"
BOB = "08e1d05d-121c-4561-8b96-473d93df9210"
CAT = "902c246b-6245-4190-8e05-00816be7344a"

thorough = settings(max_examples=150, deadline=None)
"""For properties that are cheap to try; the clock is never an assertion."""
UNSET = msgspec.UNSET

BABS: dict[str, Any] = {
    "schemas": [USER_URN, ENTERPRISE_URN, OPAQUE_URN],
    "userName": "bjensen@example.com",
    "externalId": "Ext-701984",
    "name": {"formatted": "Ms. Barbara J Jensen, III", "familyName": "Jensen", "givenName": "Barbara"},
    "displayName": "Babs Jensen",
    "title": "Tour Guide",
    "userType": "Employee",
    "profileUrl": "https://login.example.com/BJensen",
    "active": True,
    "emails": [
        {"value": "bjensen@example.com", "type": "work", "primary": True},
        {"value": "babs@jensen.org", "type": "home", "primary": False},
    ],
    "addresses": [
        {"type": "work", "streetAddress": "100 Universal City Plaza", "locality": "Hollywood", "region": "CA", "primary": True},
        {"type": "home", "streetAddress": "456 Hollywood Blvd", "locality": "Hollywood"},
    ],
    "ims": [{"value": "babs@foo.com", "type": "xmpp"}],
    "x509Certificates": [{"value": "MIIDQzCCAqygAwIBAgICEAAwDQYJKoZIhvcNAQEFBQAwTjE="}],
    ENTERPRISE_URN: {"employeeNumber": "701984", "department": "Tour Operations", "manager": {"value": CAT, "displayName": "John Smith"}},
    OPAQUE_URN: {"costBucket": "X1"},
}

CREW: dict[str, Any] = {"schemas": [GROUP_URN], "displayName": "Tour Guides"}

BADGE = ResourceType(
    name="Badge",
    endpoint="Badges",
    description="A resource type of a tenant's own, with what User and Group do not have",
    schema=Schema(
        id=BADGE_URN,
        name="Badge",
        description="A badge",
        attributes=(
            Attribute("serial", mutability="immutable"),
            Attribute("colour", returned="always"),
            Attribute("photo", returned="request"),
            Attribute("floor", type="integer"),
            Attribute("weight", type="decimal"),
            Attribute("issued", type="dateTime"),
            Attribute("code", case_exact=True),
            Attribute("blob", type="binary"),
            Attribute("valid", type="boolean"),
            Attribute("tags", multi_valued=True),
        ),
    ),
)


def babs(**changed: Any) -> dict[str, Any]:
    """The user of RFC 7643 section 8.2, abridged, with the named attributes put in place."""
    return {**copy.deepcopy(BABS), **changed}


def crew(**changed: Any) -> dict[str, Any]:
    """A stored group; its members are rows elsewhere."""
    return {**copy.deepcopy(CREW), **changed}


def parsed(text: str) -> Filter:
    return parse_filter(text, set())


def found(text: str, document: dict[str, Any], resource_type: ResourceType = USER) -> bool:
    """Whether a filter, as text, matches a document as it is stored."""
    return matches(resolve_filter(resource_type, parsed(text)), comparable(resource_type, document))


def patched(document: dict[str, Any], *operations: tuple[Any, ...], resource_type: ResourceType = USER, noted: Noted | None = None) -> dict[str, Any]:
    """The document after operations given as (op, path[, value]); the one passed in is left alone."""
    return changed(document, *operations, resource_type=resource_type, noted=noted)[0]


def changed(
    document: dict[str, Any], *operations: tuple[Any, ...], resource_type: ResourceType = USER, noted: Noted | None = None
) -> tuple[dict[str, Any], MembershipChange]:
    """As `patched`, with the change of members."""
    return patch_document(resource_type, copy.deepcopy(document), [Operation(*operation) for operation in operations], set() if noted is None else noted)
