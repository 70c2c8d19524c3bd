"""How Microsoft's validation turns /Schemas into the names of mapping targets: client catalogue section 5."""

from typing import Any

from tests.clients.recordings import ENTERPRISE, GROUP, USER
from tests.servers.service import ScimClient

BARE = ("manager", "members")


def mapping_names(schema: dict[str, Any]) -> list[str]:
    """The names that one schema gives, in its order."""
    prefix = "" if schema["id"] in (USER, GROUP) else schema["id"] + ":"
    return [name for attribute in schema["attributes"] for name in _names(attribute, prefix)]


def _names(attribute: dict[str, Any], prefix: str) -> list[str]:
    name = attribute["name"]
    if name in BARE:
        return [name]
    if attribute["type"] == "reference":
        return []
    if attribute["type"] != "complex":
        return [prefix + name]
    parts = attribute["subAttributes"]
    if not attribute["multiValued"]:
        return [f"{prefix}{name}.{part['name']}" for part in parts if part["type"] not in ("complex", "reference")]
    kinds = next((part.get("canonicalValues", []) for part in parts if part["name"] == "type"), [])
    if kinds:
        return [f'{name}[type eq "{kind}"].{part["name"]}' for kind in kinds for part in parts if part["name"] not in ("type", "primary")]
    return [f'{name}[primary eq "True"].{part["name"]}' for part in parts if part["name"] != "primary"]


async def schemas_of(client: ScimClient) -> dict[str, dict[str, Any]]:
    """The schemas in the ListResponse of /Schemas, by id."""
    response = await client.get("/Schemas", headers={"accept": "application/scim+json"})
    assert response.status_code == 200
    return {schema["id"]: schema for schema in response.json()["Resources"]}


async def targets(client: ScimClient, resource: str) -> list[str]:
    """The mapping targets of "User" or "Group"."""
    schemas = await schemas_of(client)
    return mapping_names(schemas[GROUP]) if resource == "Group" else mapping_names(schemas[USER]) + mapping_names(schemas[ENTERPRISE])


def value_at(resource: dict[str, Any], target: str) -> Any:
    """What a resource holds under a mapping name, None when nothing."""
    node: Any = resource
    if target.startswith("urn:"):
        urn, _, target = target.rpartition(":")
        node = node.get(urn, {})
    if "[" in target:
        attribute, _, rest = target.partition("[")
        condition, _, part = rest.partition("].")
        name, wanted = condition.split(" eq ")
        elements = [element for element in node.get(attribute, []) if str(element.get(name)).lower() == wanted.strip('"').lower()]
        assert len(elements) <= 1
        return _member(elements[0], part) if elements else None
    for part in target.split("."):
        node = _member(node, part) if isinstance(node, dict) else None
    return node


def _member(node: dict[str, Any], name: str) -> Any:
    return next((value for key, value in node.items() if key.lower() == name.lower()), None)
