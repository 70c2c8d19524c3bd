"""ServiceProviderConfig, ResourceTypes and Schemas (RFC 7643 sections 4 to 7, RFC 7644 section 4)."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from rollhouse.scim.discovery import Limits, describe_resource_type, describe_schema, service_provider_config
from rollhouse.scim.messages import encode, encode_list
from rollhouse.scim.registry import STANDARD
from rollhouse.scim.schemas import ENTERPRISE_URN, GROUP_URN, RESOURCE_TYPES, USER_URN

BASE = "https://scim.example.com/t/acme/scim/v2"
SCHEMAS = {schema.id: json.loads(encode(describe_schema(BASE, schema))) for schema in STANDARD.schemas.values()}
TYPES = {resource_type.name: json.loads(encode(describe_resource_type(BASE, resource_type))) for resource_type in RESOURCE_TYPES}
CONFIG = json.loads(encode(service_provider_config(BASE, Limits(200, 100, 100, 1_048_576, 3600))))


def attributes(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for attribute in schema["attributes"]:
        yield attribute["name"], attribute
        for sub in attribute.get("subAttributes", []):
            yield f"{attribute['name']}.{sub['name']}", sub


ATTRIBUTES = [pytest.param(attribute, id=f"{urn.rpartition(':')[2]}-{name}") for urn, schema in SCHEMAS.items() for name, attribute in attributes(schema)]
BY_NAME = {f"{urn}:{name}": attribute for urn, schema in SCHEMAS.items() for name, attribute in attributes(schema)}


def empties(node: object) -> Iterator[object]:
    if isinstance(node, dict):
        for part in node.values():
            yield from empties(part)
    elif isinstance(node, list) and node:
        for part in node:
            yield from empties(part)
    elif node in (None, "", []):
        yield node


@pytest.mark.parametrize("described", [*SCHEMAS.values(), *TYPES.values(), CONFIG], ids=lambda described: described["meta"]["location"])
def test_nothing_is_null_or_empty(described: dict[str, Any]) -> None:
    """Entra's and SailPoint's parsers fail on nulls in /Schemas (sourcegraph#62185)."""
    assert list(empties(described)) == []


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_characteristic_is_stated(attribute: dict[str, Any]) -> None:
    """RFC 7643 section 7: all are REQUIRED unless otherwise specified, each with a value of its list."""
    assert {name: type(attribute[name]) for name in ("name", "type", "multiValued", "description", "required", "mutability", "returned", "uniqueness")} == {
        "name": str,
        "type": str,
        "multiValued": bool,
        "description": str,
        "required": bool,
        "mutability": str,
        "returned": str,
        "uniqueness": str,
    }
    assert attribute["type"] in ("string", "boolean", "decimal", "integer", "dateTime", "reference", "complex", "binary")
    assert attribute["mutability"] in ("readOnly", "readWrite", "immutable", "writeOnly")
    assert attribute["returned"] in ("always", "never", "default", "request")
    assert attribute["uniqueness"] in ("none", "server", "global")
    assert ("subAttributes" in attribute) is (attribute["type"] == "complex")
    assert ("caseExact" in attribute) is (attribute["type"] != "complex")
    assert attribute.keys() <= {
        "name",
        "type",
        "multiValued",
        "description",
        "required",
        "caseExact",
        "mutability",
        "returned",
        "uniqueness",
        "canonicalValues",
        "referenceTypes",
        "subAttributes",
    }


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_references_say_what_they_refer_to_and_are_exact(attribute: dict[str, Any]) -> None:
    """RFC 7643 sections 2.3.6, 2.3.7 and 7: referenceTypes is of references only; references and binaries are case exact."""
    assert ("referenceTypes" in attribute) is (attribute["type"] == "reference")
    assert attribute["type"] not in ("reference", "binary") or attribute["caseExact"] is True


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_parts_are_not_complex(attribute: dict[str, Any]) -> None:
    """RFC 7643 section 2.3.8: sub-attributes MUST NOT be complex, and names are ATTRNAMEs, each once."""
    subs = attribute.get("subAttributes", [])

    assert all(sub["type"] != "complex" for sub in subs)
    assert len({sub["name"].lower() for sub in subs}) == len(subs)
    assert attribute["name"].replace("$ref", "ref").isalnum()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"{USER_URN}:userName", {"required": True, "caseExact": False, "uniqueness": "server", "returned": "default", "mutability": "readWrite"}),
        (f"{USER_URN}:externalId", {"caseExact": True, "mutability": "readWrite", "required": False}),
        (f"{USER_URN}:password", {"mutability": "writeOnly", "returned": "never"}),
        (f"{USER_URN}:active", {"type": "boolean", "multiValued": False}),
        (f"{USER_URN}:profileUrl", {"type": "reference", "referenceTypes": ["external"]}),
        (f"{USER_URN}:emails", {"type": "complex", "multiValued": True}),
        (f"{USER_URN}:emails.primary", {"type": "boolean"}),
        (f"{USER_URN}:photos.value", {"type": "reference", "referenceTypes": ["external"]}),
        (f"{USER_URN}:x509Certificates.value", {"type": "binary"}),
        (f"{USER_URN}:groups", {"mutability": "readOnly", "multiValued": True}),
        (f"{USER_URN}:groups.value", {"mutability": "readOnly"}),
        (f"{USER_URN}:groups.$ref", {"mutability": "readOnly", "type": "reference"}),
        (f"{GROUP_URN}:displayName", {"required": True, "type": "string"}),
        (f"{GROUP_URN}:members", {"multiValued": True, "mutability": "readWrite"}),
        (f"{GROUP_URN}:members.value", {"mutability": "immutable"}),
        (f"{GROUP_URN}:members.$ref", {"mutability": "immutable", "type": "reference"}),
        (f"{GROUP_URN}:members.type", {"mutability": "immutable"}),
        (f"{ENTERPRISE_URN}:manager", {"type": "complex", "multiValued": False}),
        (f"{ENTERPRISE_URN}:manager.value", {"type": "string"}),
        (f"{ENTERPRISE_URN}:manager.$ref", {"type": "reference", "referenceTypes": ["User"]}),
        (f"{ENTERPRISE_URN}:manager.displayName", {"mutability": "readWrite"}),
    ],
)
def test_characteristics_are_those_of_the_rfc(name: str, expected: dict[str, Any]) -> None:
    """RFC 7643 sections 3.1, 4.1 to 4.3 and 8.7.1."""
    assert {key: BY_NAME[name].get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("urn", "names"),
    [
        (
            USER_URN,
            (
                "userName name displayName nickName profileUrl title userType preferredLanguage locale timezone active password emails "
                "phoneNumbers ims photos addresses groups entitlements roles x509Certificates"
            ),
        ),
        (GROUP_URN, "displayName members"),
        (ENTERPRISE_URN, "employeeNumber costCenter organization division department manager"),
    ],
)
def test_the_schemas_have_the_attributes_of_the_rfc(urn: str, names: str) -> None:
    """RFC 7643 sections 4.1 to 4.3; beyond them only externalId."""
    found = {attribute["name"] for attribute in SCHEMAS[urn]["attributes"]}

    assert found - {"externalId"} == set(names.split())


@pytest.mark.parametrize(("urn", "name"), [(USER_URN, "User"), (GROUP_URN, "Group"), (ENTERPRISE_URN, "EnterpriseUser")])
def test_a_schema_is_a_resource(urn: str, name: str) -> None:
    """RFC 7643 section 7: the id is the URN."""
    schema = SCHEMAS[urn]

    assert (schema["id"], schema["schemas"]) == (urn, ["urn:ietf:params:scim:schemas:core:2.0:Schema"])
    assert schema["name"].replace(" ", "") == name
    assert schema["meta"] == {"resourceType": "Schema", "location": f"{BASE}/Schemas/{urn}"}


def test_every_schema_is_listed_once() -> None:
    """RFC 7643 section 7."""
    assert [schema.id for schema in STANDARD.schemas.values()] == [USER_URN, ENTERPRISE_URN, GROUP_URN]


@pytest.mark.parametrize(
    ("name", "endpoint", "schema", "extensions"),
    [("User", "/Users", USER_URN, [{"schema": ENTERPRISE_URN, "required": False}]), ("Group", "/Groups", GROUP_URN, None)],
)
def test_resource_types_name_endpoint_and_schemas(name: str, endpoint: str, schema: str, extensions: object) -> None:
    """RFC 7643 section 6."""
    found = TYPES[name]

    assert found["schemas"] == ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"]
    assert (found["id"], found["name"], found["endpoint"], found["schema"]) == (name, name, endpoint, schema)
    assert found.get("schemaExtensions") == extensions
    assert found["meta"] == {"resourceType": "ResourceType", "location": f"{BASE}/ResourceTypes/{name}"}


def test_the_configuration_states_every_feature() -> None:
    """RFC 7643 section 5: each REQUIRED member with its own REQUIRED members."""
    assert CONFIG["schemas"] == ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"]
    assert {name: type(CONFIG[name]["supported"]) for name in ("patch", "bulk", "filter", "changePassword", "sort", "etag")} == dict.fromkeys(
        ("patch", "bulk", "filter", "changePassword", "sort", "etag"), bool
    )
    assert type(CONFIG["bulk"]["maxOperations"]) is type(CONFIG["bulk"]["maxPayloadSize"]) is int
    assert CONFIG["filter"] == {"supported": True, "maxResults": 200}
    assert CONFIG["patch"]["supported"] is True
    assert [scheme["type"] for scheme in CONFIG["authenticationSchemes"]] == ["oauthbearertoken", "oauth2"]
    assert [scheme["primary"] for scheme in CONFIG["authenticationSchemes"]] == [True, False]
    assert all({"name", "description", "type"} <= scheme.keys() for scheme in CONFIG["authenticationSchemes"])
    assert CONFIG["meta"]["location"] == f"{BASE}/ServiceProviderConfig"


def test_schemas_are_sent_as_a_list() -> None:
    """RFC 7644 section 4: /Schemas and /ResourceTypes answer with a ListResponse."""
    body = json.loads(encode_list([encode(schema) for schema in SCHEMAS.values()], total=3, start_index=1))

    assert (body["totalResults"], body["itemsPerPage"], body["startIndex"]) == (3, 3, 1)
    assert [schema["id"] for schema in body["Resources"]] == list(SCHEMAS)
