"""The admin API's operations on what a tenant defines: its schemas, its resource types, and its compatibility profile."""

from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec

from rollhouse.directory import registries
from rollhouse.directory.registries import Edit
from rollhouse.http.api_calls import Call, Outcome
from rollhouse.http.api_operations import operation
from rollhouse.http.problems import API_PATH
from rollhouse.scim import definitions
from rollhouse.scim.definitions import TypeDefinition
from rollhouse.scim.errors import InvalidValue
from rollhouse.scim.profile import Profile
from rollhouse.scim.registry import STANDARD
from rollhouse.scim.schemas import Schema
from rollhouse.tenancy import tenants
from rollhouse.tenancy.tenants import Tenant

_BADGE = {"id": "urn:example:params:scim:schemas:Badge", "name": "Badge", "attributes": [{"name": "serial", "uniqueness": "server"}]}


class SchemaRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A schema as RFC 7643 section 7 writes it; with `extends` it becomes an extension of that resource type, `required` or not."""

    definition: dict[str, Any]
    extends: str | None = None
    required: bool = False


class ResourceTypeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A resource type as RFC 7643 section 6 writes it."""

    definition: dict[str, Any]


class Definition(msgspec.Struct, frozen=True):
    """What a tenant has defined, as the RFC writes it."""

    definition: dict[str, Any]


class DefinitionList(msgspec.Struct, frozen=True):
    """Everything of a kind that a tenant has defined; there is no further page."""

    items: list[Definition]


class OffenceView(msgspec.Struct, frozen=True):
    """A resource that a change would break, and why."""

    resource_type: str
    id: UUID
    reason: str


class Verdict(msgspec.Struct, frozen=True):
    """What is in the way of a change: the first hundred resources; none: it can be made."""

    offences: list[OffenceView]


@operation("GET", "/tenants/{slug}/schemas", scope="schemas:read", answer=DefinitionList)
async def list_schemas(call: Call) -> Outcome:
    """List the schemas that a tenant has defined."""
    found, _ = await registries.read_definitions(call.database, (await call.tenant()).id)
    return Outcome(body=DefinitionList([Definition(definitions.described(one)) for one in found.schemas.values()]))


@operation(
    "POST",
    "/tenants/{slug}/schemas",
    scope="schemas:write",
    status=201,
    body=SchemaRequest,
    answer=Definition,
    example={"definition": _BADGE, "extends": STANDARD.resource_types[0].name, "required": False},
)
async def add_schema(call: Call) -> Outcome:
    """Add a schema to a tenant, or replace the one of the same URN; refused where a resource would not fit it."""
    schema, edit = _schema_edit(call.body(SchemaRequest))
    await _change(call, await call.tenant(), edit, "schema.defined", ("Schema", schema.id))
    return Outcome(body=Definition(definitions.described(schema)), location=f"{API_PATH}/tenants/{call.path('slug')}/schemas/{quote(schema.id, safe=':')}")


@operation("GET", "/tenants/{slug}/schemas/{urn}", scope="schemas:read", answer=Definition)
async def get_schema(call: Call) -> Outcome:
    """Read one schema that a tenant has defined."""
    found, _ = await registries.read_definitions(call.database, (await call.tenant()).id)
    return Outcome(body=Definition(definitions.described(found.schema(call.path("urn")))))


@operation("POST", "/tenants/{slug}/schemas/validate", scope="schemas:write", body=SchemaRequest, answer=Verdict, example={"definition": _BADGE})
async def validate_schema(call: Call) -> Outcome:
    """Say what would be in the way of adding a schema; nothing is changed."""
    return await _tried(call, _schema_edit(call.body(SchemaRequest))[1])


@operation("DELETE", "/tenants/{slug}/schemas/{urn}", scope="schemas:write", answer=DefinitionList)
async def remove_schema(call: Call) -> Outcome:
    """Remove a schema from a tenant; refused while a resource has values of it."""
    urn = call.path("urn")
    await _change(call, await call.tenant(), lambda known: known.without_schema(urn), "schema.removed", ("Schema", urn))
    return await list_schemas.act(call)


@operation("GET", "/tenants/{slug}/resource-types", scope="schemas:read", answer=DefinitionList)
async def list_resource_types(call: Call) -> Outcome:
    """List the resource types that a tenant has defined, and those of all tenants that it has extended."""
    found, _ = await registries.read_definitions(call.database, (await call.tenant()).id)
    return Outcome(body=DefinitionList([_type_view(one) for one in found.resource_types.values()]))


@operation(
    "POST",
    "/tenants/{slug}/resource-types",
    scope="schemas:write",
    status=201,
    body=ResourceTypeRequest,
    answer=Definition,
    example={"definition": {"name": "Badge", "endpoint": "/Badges", "schema": _BADGE["id"], "schemaExtensions": []}},
)
async def add_resource_type(call: Call) -> Outcome:
    """Add a resource type with an endpoint of its own, or replace the one of the same name; refused where a resource would not fit it."""
    one = definitions.read_resource_type(call.body(ResourceTypeRequest).definition)
    await _change(call, await call.tenant(), lambda known: known.with_type(one), "resource_type.defined", ("ResourceType", one.name))
    return Outcome(body=_type_view(one), location=f"{API_PATH}/tenants/{call.path('slug')}/resource-types/{one.name}")


@operation("GET", "/tenants/{slug}/resource-types/{resource_type}", scope="schemas:read", answer=Definition)
async def get_resource_type(call: Call) -> Outcome:
    """Read one resource type that a tenant has defined, or what it has said of one that all tenants have."""
    found, _ = await registries.read_definitions(call.database, (await call.tenant()).id)
    return Outcome(body=_type_view(found.own_type(call.path("resource_type"))))


@operation("POST", "/tenants/{slug}/resource-types/validate", scope="schemas:write", body=ResourceTypeRequest, answer=Verdict)
async def validate_resource_type(call: Call) -> Outcome:
    """Say what would be in the way of adding a resource type; nothing is changed."""
    one = definitions.read_resource_type(call.body(ResourceTypeRequest).definition)
    return await _tried(call, lambda known: known.with_type(one))


@operation("DELETE", "/tenants/{slug}/resource-types/{resource_type}", scope="schemas:write", answer=DefinitionList)
async def remove_resource_type(call: Call) -> Outcome:
    """Remove a resource type, or what the tenant said of one that all tenants have; refused while there are resources that need it."""
    name = call.path("resource_type")
    await _change(call, await call.tenant(), lambda known: known.without_type(name), "resource_type.removed", ("ResourceType", name))
    return await list_resource_types.act(call)


@operation("GET", "/tenants/{slug}/profile", scope="schemas:read", answer=Profile)
async def get_profile(call: Call) -> Outcome:
    """Read how a tenant is answered where the standards or its client leave a choice."""
    tenant = await call.tenant()
    return Outcome(body=tenants.profile_view(tenant.profile), version=tenant.version)


@operation(
    "PUT",
    "/tenants/{slug}/profile",
    scope="schemas:write",
    body=Profile,
    answer=Profile,
    takes_if_match=True,
    example={"strict": False, "patch_answer": "usual", "indirect_groups": True, "group_members": True, "members_shown": 1000},
)
async def set_profile(call: Call) -> Outcome:
    """Say how a tenant is answered; what is left out is as for every tenant. Effective within five seconds everywhere."""
    found = await tenants.set_profile(call.database, call.path("slug"), call.body(Profile), cause=call.cause, expected=call.expected_version)
    call.concerns = found.id
    call.service.gate.forget(f"tenant:{found.id}")
    return Outcome(body=tenants.profile_view(found.profile), version=found.version)


def _schema_edit(asked: SchemaRequest) -> tuple[Schema, Edit]:
    schema = definitions.read_schema(asked.definition)
    if asked.required and asked.extends is None:
        raise InvalidValue("An extension is required of a resource type: name that in extends.")
    return schema, lambda known: known.with_schema(schema, extends=asked.extends, required=asked.required)


async def _change(call: Call, tenant: Tenant, edit: Edit, action: str, target: tuple[str, str]) -> None:
    await registries.change_definitions(call.database, tenant, edit, cause=call.cause, action=action, target=target)
    call.service.gate.forget(f"tenant:{tenant.id}")  # the other processes hear of it


async def _tried(call: Call, edit: Edit) -> Outcome:
    offences = await registries.try_definitions(call.database, await call.tenant(), edit, cause=call.cause)
    return Outcome(body=Verdict([OffenceView(one.resource_type, one.id, one.reason) for one in offences]))


def _type_view(one: TypeDefinition) -> Definition:
    return Definition(msgspec.to_builtins(msgspec.structs.replace(one, endpoint=f"/{one.endpoint}")))


OPERATIONS = (
    list_schemas,
    add_schema,
    get_schema,
    validate_schema,
    remove_schema,
    list_resource_types,
    add_resource_type,
    get_resource_type,
    validate_resource_type,
    remove_resource_type,
    get_profile,
    set_profile,
)
