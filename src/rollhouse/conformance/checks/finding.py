"""Finds in a server's schemas what a requirement applies to, and makes resources of any type from its schema alone."""

from typing import Any

import msgspec

from rollhouse.conformance.checks.judging import expect_status, path_of, read
from rollhouse.conformance.probe import ENTERPRISE_URN, GROUP_URN, USER_URN, Json, Probe
from rollhouse.conformance.requirement import NotApplicable

DEFAULTS: dict[str, Json] = {
    "type": "string",
    "multiValued": False,
    "required": False,
    "caseExact": False,
    "mutability": "readWrite",
    "returned": "default",
    "uniqueness": "none",
    "canonicalValues": [],
}
"""What an attribute is where its definition does not say (RFC 7643 section 2.2)."""
TEXT: dict[str, Json] = {"type": "string", "multiValued": False, "canonicalValues": []}
COMMON = {"schemas", "id", "externalid", "meta"}
SIMPLE: dict[str, Json] = {"boolean": True, "integer": 7, "decimal": 0.5, "dateTime": "2011-05-13T04:42:34Z", "binary": "AQID"}


class Place(msgspec.Struct, frozen=True):
    """An attribute of a resource type: the type, the schema that defines it, and its definition, completed by the defaults."""

    kind: Json
    schema: str
    definition: Json

    @property
    def name(self) -> str:
        """The attribute's name."""
        return str(self.definition["name"])

    @property
    def path(self) -> str:
        """The attribute as filters and PATCH paths name it."""
        return f"{self.schema}:{self.name}" if self.is_extension else self.name

    @property
    def is_extension(self) -> bool:
        """Whether an extension defines it."""
        return self.schema.casefold() != str(self.kind["schema"]).casefold()

    @property
    def endpoint(self) -> str:
        """Where resources of the type are."""
        return endpoint_of(self.kind)

    def with_value(self, body: Json, value: Json) -> Json:
        """A body in which the attribute has this value."""
        if not self.is_extension:
            return {**body, self.name: value}
        schemas = body["schemas"] if self.schema in body["schemas"] else [*body["schemas"], self.schema]
        return {**body, "schemas": schemas, self.schema: {**body.get(self.schema, {}), self.name: value}}

    def value_in(self, resource: Json) -> Json:
        """The attribute's value in a resource, None without one."""
        return ((resource.get(self.schema) or {}) if self.is_extension else resource).get(self.name)


def endpoint_of(kind: Json) -> str:
    """The endpoint of a resource type, with a slash at the beginning."""
    return "/" + str(kind["endpoint"]).strip("/")


async def types(probe: Probe) -> list[Json]:
    """All resource types of the server."""
    return (await probe.known("/ResourceTypes")).get("Resources") or []


async def schemas(probe: Probe) -> dict[str, Json]:
    """All schemas of the server, by their URI in lower case."""
    return {str(one["id"]).casefold(): one for one in (await probe.known("/Schemas")).get("Resources") or []}


async def places(probe: Probe) -> list[Place]:
    """Each attribute of each resource type, but the common ones."""
    defined = await schemas(probe)
    found = []
    for kind in await types(probe):
        for schema in [kind["schema"], *(one["schema"] for one in kind.get("schemaExtensions") or [])]:
            attributes = defined.get(schema.casefold(), {}).get("attributes") or []
            found += [Place(kind, schema, {**DEFAULTS, **one}) for one in attributes if one["name"].casefold() not in COMMON]
    return found


async def find_all(probe: Probe, **wanted: Json) -> list[Place]:
    """The attributes with these characteristics, perhaps none."""
    return [one for one in await places(probe) if all(one.definition.get(name) == value for name, value in wanted.items())]


async def find(probe: Probe, **wanted: Json) -> Place:
    """The first attribute with these characteristics.

    Raises:
        NotApplicable: the server has none.
    """
    found = await find_all(probe, **wanted)
    if not found:
        raise NotApplicable(f"no schema has an attribute with {', '.join(f'{name} {value}' for name, value in wanted.items())}")
    return found[0]


async def need(probe: Probe, *features: str) -> None:
    """Go on if the server says that it has these features."""
    for feature in features:
        if not await probe.supports(feature):
            raise NotApplicable(f"/ServiceProviderConfig says that {feature} is not supported")


async def need_type(probe: Probe, name: str) -> Json:
    """The resource type of this name, which the server says that it has."""
    for kind in await types(probe):
        if kind.get("name") == name:
            return kind
    raise NotApplicable(f"/ResourceTypes has no {name}")


async def has_enterprise(probe: Probe) -> bool:
    """Whether users can have the enterprise extension."""
    kind = await need_type(probe, "User")
    return ENTERPRISE_URN in [one["schema"] for one in kind.get("schemaExtensions") or []]


async def lacks(probe: Probe, *names: str) -> list[str]:
    """Those of these User attributes that the server's schema has not: it may have a part of the standard ones only."""
    defined = {one["name"] for one in (await schemas(probe)).get(USER_URN.casefold(), {}).get("attributes") or []}
    missing = [name for name in names if defined and name not in defined and name != ENTERPRISE_URN and name.casefold() not in COMMON]
    return missing + ([ENTERPRISE_URN] if ENTERPRISE_URN in names and not await has_enterprise(probe) else [])


async def need_attributes(probe: Probe, *names: str) -> None:
    """Go on if the server's User schema has these attributes."""
    missing = await lacks(probe, *names)
    if missing:
        raise NotApplicable(f"the User type has no {', '.join(missing)}")


async def user_with(probe: Probe, **attributes: Json) -> Json:
    """A new user with these attributes, all of which the server's schema has."""
    await need_attributes(probe, *attributes)
    if ENTERPRISE_URN in attributes:
        attributes["schemas"] = [USER_URN, ENTERPRISE_URN]
    reply = await probe.post("/Users", {"schemas": [USER_URN], "userName": probe.name("user"), **attributes})
    expect_status(reply, f"POST /Users with {', '.join(attributes)}", 201)
    return reply.json


async def group_of(probe: Probe, *members: Json) -> Json:
    """A new group of these resources."""
    await need_type(probe, "Group")
    body: Json = {"schemas": [GROUP_URN], "displayName": probe.name("group")}
    if members:
        body["members"] = [{"value": one["id"]} for one in members]
    reply = await probe.post("/Groups", body)
    expect_status(reply, f"POST /Groups with {len(members)} members", 201)
    return reply.json


async def full_body(probe: Probe, kind: Json) -> Json:
    """The body of a new resource of a type: all that its schemas require, and no more."""
    body: Json = {"schemas": [kind["schema"]]}
    required = [one["schema"] for one in kind.get("schemaExtensions") or [] if one.get("required")]
    for place in await places(probe):
        if place.kind["name"] != kind["name"] or not place.definition["required"] or place.definition["mutability"] == "readOnly":
            continue
        if not place.is_extension or place.schema in required:
            body = place.with_value(body, await sample(probe, place.definition))
    body["schemas"] += [one for one in required if one not in body["schemas"]]
    return body


async def sample(probe: Probe, definition: Json) -> Json:
    """A value that an attribute can have; texts without canonical values are new each time."""
    if definition.get("multiValued"):
        return [await sample(probe, {**definition, "multiValued": False})]
    kind = definition.get("type", "string")
    if kind == "complex":
        wanted = [one for one in definition.get("subAttributes") or [] if one.get("required") or one["name"] == "value"]
        return {one["name"]: await sample(probe, one) for one in wanted if one.get("mutability") != "readOnly"}
    if kind == "reference":
        return await _sample_reference(probe, definition.get("referenceTypes") or [])
    if kind in SIMPLE:
        return SIMPLE[kind]
    return (definition.get("canonicalValues") or [probe.name("value")])[0]


async def _sample_reference(probe: Probe, kinds: list[Any]) -> Json:
    if "User" in kinds:
        return (await probe.new_user())["meta"]["location"]
    if "Group" in kinds:
        return (await group_of(probe))["meta"]["location"]
    return "https://example.com/probe"


async def make(probe: Probe, kind: Json, body: Json) -> Json:
    """A new resource of any type, as the server answered."""
    endpoint = endpoint_of(kind)
    reply = await probe.post(endpoint, body)
    expect_status(reply, f"POST {endpoint} with all that its schemas require", 201)
    return reply.json


async def make_with(probe: Probe, place: Place, value: Json) -> Json:
    """A new resource in which an attribute has this value, as the server answered."""
    return await make(probe, place.kind, place.with_value(await full_body(probe, place.kind), value))


async def read_again(probe: Probe, place: Place, resource: Json, **query: str) -> Json:
    """A resource of the place's type as it is now."""
    return await read(probe, path_of(resource, place.endpoint), **query)
