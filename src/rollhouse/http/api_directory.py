"""The admin API's reads of a tenant for the operator's own product: users, groups, memberships, usage and audit."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from rollhouse.directory import reading, resources, roles
from rollhouse.directory.reading import Related
from rollhouse.directory.scopes import Scope
from rollhouse.http.api_calls import Call, Outcome
from rollhouse.http.api_credentials import CredentialView, credential_view
from rollhouse.http.api_operations import Operation, next_of, operation, paged
from rollhouse.journal import audit
from rollhouse.scim.errors import NotFound, quoted
from rollhouse.scim.projection import Projection
from rollhouse.scim.registry import STANDARD
from rollhouse.scim.representation import Record, location, represent
from rollhouse.scim.schemas import ResourceType
from rollhouse.tenancy import credentials

_ID_PAGE = paged("id", "01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff")


class ResourcePage(msgspec.Struct, frozen=True):
    """Resources as SCIM represents them (RFC 7643), without members and groups, in order of creation; `next` is null on the last page."""

    items: list[msgspec.Raw]
    next: str | None


class Resource(msgspec.Struct, frozen=True):
    """A resource as SCIM represents it (RFC 7643 section 3), without members and groups; it has the attributes of its schemas besides these."""

    id: UUID
    schemas: list[str]
    meta: dict[str, Any]


class Reference(msgspec.Struct, frozen=True):
    """A member of a group, or a group of a user, as SCIM refers to it (RFC 7643 section 2.4)."""

    value: UUID
    ref: str = msgspec.field(name="$ref")
    type: str


class ReferencePage(msgspec.Struct, frozen=True):
    """Members or groups in order of id; `next` is null on the last page."""

    items: list[Reference]
    next: str | None


class Limits(msgspec.Struct, frozen=True):
    """A tenant's rate limit; null is the service's default, a rate of 0 no limit."""

    rate_per_second: int | None
    burst: int | None


class UsageView(msgspec.Struct, frozen=True):
    """What a tenant holds: resources by type, live SCIM secrets, its limits, and when a resource was last written."""

    resources: dict[str, int]
    limits: Limits
    live_credentials: list[CredentialView]
    last_write: datetime | None


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the audit: names of attributes and ids, never values; `before` and `after` are SHA-256 of the resource, in hexadecimal."""

    id: UUID
    at: datetime
    actor: str
    action: str
    target_type: str
    target_id: str
    attributes: list[str]
    added: list[UUID]
    removed: list[UUID]
    request_id: str
    before: str | None
    after: str | None


class EntryPage(msgspec.Struct, frozen=True):
    """Rows of the audit in order of time; `next` is null on the last page."""

    items: list[EntryView]
    next: str | None


def _operations_on(resource_type: ResourceType) -> Iterator[Operation]:
    """The reads of a resource type that every tenant has: all of it, one resource, and what memberships relate to one."""
    name, many = resource_type.name.lower(), resource_type.endpoint.lower()
    path = f"/tenants/{{slug}}/{many}"

    async def list_all(call: Call) -> Outcome:
        return await _page_of(await _scope(call, resource_type), call)

    async def get_one(call: Call) -> Outcome:
        return await _one_of(await _scope(call, resource_type), call, name)

    list_all.__name__, list_all.__doc__ = f"list_{many}", f"List a tenant's {many} in order of creation, without their {resource_type.relation}."
    get_one.__name__, get_one.__doc__ = f"get_{name}", f"Read one {name}, without its {resource_type.relation}."
    yield operation("GET", path, scope="directory:read", answer=ResourcePage, query=_ID_PAGE)(list_all)
    yield operation("GET", f"{path}/{{{name}}}", scope="directory:read", answer=Resource)(get_one)
    if resource_type.relation is None:
        return

    async def list_related(call: Call) -> Outcome:
        limit = call.limit
        scope = await _scope(call, resource_type)
        page = reading.page_of_members if resource_type.memberships is not None else reading.page_of_groups
        return _references(scope, await page(scope, call.path(name), after=call.after_id, limit=limit), limit)

    has_members = resource_type.memberships is not None
    list_related.__name__ = f"list_{resource_type.relation}" if has_members else f"list_{resource_type.relation}_of_{name}"
    list_related.__doc__ = f"List the direct members of a {name}." if has_members else f"List the {resource_type.relation} that a {name} is a direct member of."
    yield operation("GET", f"{path}/{{{name}}}/{resource_type.relation}", scope="directory:read", answer=ReferencePage, query=_ID_PAGE)(list_related)


@operation("GET", "/tenants/{slug}/resources/{resource_type}", scope="directory:read", answer=ResourcePage, query=_ID_PAGE)
async def list_resources(call: Call) -> Outcome:
    """List a tenant's resources of any type, its own ones too, in order of creation, without memberships."""
    return await _page_of(await _scope(call), call)


@operation("GET", "/tenants/{slug}/resources/{resource_type}/{resource}", scope="directory:read", answer=Resource)
async def get_resource(call: Call) -> Outcome:
    """Read one resource of any type, without memberships."""
    return await _one_of(await _scope(call), call, "resource")


@operation("GET", "/tenants/{slug}/usage", scope="usage:read", answer=UsageView)
async def get_usage(call: Call) -> Outcome:
    """Read how much a tenant holds, its limits, its live SCIM secrets with their last use, and when it last wrote."""
    tenant = await call.tenant()
    usage = await reading.measure(call.database, tenant.id, await call.service.registries.of(tenant))
    live = [credential_view(one) for one in await credentials.list_secrets(call.database, tenant) if one.state == "active"]
    return Outcome(body=UsageView(usage.resources, Limits(tenant.rate_per_second, tenant.burst), live, usage.last_write))


@operation("GET", "/tenants/{slug}/audit", scope="audit:read", answer=EntryPage, query=_ID_PAGE)
async def list_audit(call: Call) -> Outcome:
    """List the rows of a tenant's audit in order of time: who changed what, never to which value."""
    limit = call.limit
    after = call.after_id
    found = await audit.list_entries(call.database, (await call.tenant()).id, after=after, limit=limit)
    return Outcome(body=EntryPage([_entry_view(one) for one in found], next_of([str(one.id) for one in found], limit)))


class RoleView(msgspec.Struct, frozen=True):
    """A group, and the role that its members have in the product."""

    group_id: UUID
    role: str


class RolePage(msgspec.Struct, frozen=True):
    """The groups of a tenant that have a role; at most 1,000, and no further page."""

    items: list[RoleView]


@operation("GET", "/tenants/{slug}/roles", scope="directory:read", answer=RolePage)
async def list_roles(call: Call) -> Outcome:
    """List the groups that have a role in your product, as the tenant's administrators set it in the portal."""
    found = await roles.list_roles(call.database, (await call.tenant()).id)
    return Outcome(body=RolePage([RoleView(one.group_id, one.role) for one in found]))


@operation("GET", "/audit", scope="audit:read", answer=EntryPage, query=_ID_PAGE)
async def list_platform_audit(call: Call) -> Outcome:
    """List the rows of the platform's own audit in order of time: operators' keys, and tenants that were purged."""
    limit = call.limit
    found = await audit.list_entries(call.database, audit.PLATFORM, after=call.after_id, limit=limit)
    return Outcome(body=EntryPage([_entry_view(one) for one in found], next_of([str(one.id) for one in found], limit)))


async def _scope(call: Call, resource_type: ResourceType | None = None) -> Scope:
    """The tenant's resources of a type: the given one as the tenant has extended it, else that which the path names."""
    tenant = await call.tenant()
    registry = await call.service.registries.of(tenant)
    name = resource_type.name if resource_type is not None else call.path("resource_type")
    found = registry.by_name.get(name)
    if found is None or found.is_membership:
        there = ", ".join(one.name for one in registry.resource_types if not one.is_membership)
        raise NotFound(f"The tenant has no resource type {quoted(name)}; it has {there}.")
    return Scope(call.database, tenant.id, found, call.service.public_url + tenant.path, call.cause, registry.revision)


def _represented(scope: Scope, record: Record) -> bytes:
    return represent(record, scope.resource_type, scope.base_url, Projection(scope.resource_type, None, scope.resource_type.relation))


async def _page_of(scope: Scope, call: Call) -> Outcome:
    limit = call.limit
    found = await reading.page_of_resources(scope, after=call.after_id, limit=limit)
    shown = [msgspec.Raw(_represented(scope, record)) for record in found]
    return Outcome(body=ResourcePage(shown, next_of([str(record.id) for record in found], limit)))


async def _one_of(scope: Scope, call: Call, name: str) -> Outcome:
    record = await resources.get_resource(scope, call.path(name), with_relation=False)
    return Outcome(body=_represented(scope, record), version=record.version)


def _references(scope: Scope, found: list[Related], limit: int) -> Outcome:
    kind = "direct" if scope.resource_type.derived is not None else None
    shown = [Reference(one.id, location(scope.base_url, STANDARD.by_name[one.resource_type], one.id), kind or one.resource_type) for one in found]
    return Outcome(body=ReferencePage(shown, next_of([str(one.id) for one in found], limit)))


def _entry_view(found: audit.Entry) -> EntryView:
    return EntryView(
        id=found.id,
        at=found.at,
        actor=found.actor,
        action=found.action,
        target_type=found.target_type,
        target_id=found.target_id,
        attributes=found.attributes,
        added=found.added,
        removed=found.removed,
        request_id=found.request_id,
        before=found.before.hex() if found.before is not None else None,
        after=found.after.hex() if found.after is not None else None,
    )


OPERATIONS = (
    *(made for known in STANDARD.resource_types for made in _operations_on(known)),
    list_resources,
    get_resource,
    get_usage,
    list_audit,
    list_roles,
    list_platform_audit,
)
