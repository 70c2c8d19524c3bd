"""The admin API's reads of a tenant for the operator's own product: users, groups, memberships, usage and audit."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from rollhouse.directory import reading, resources, roles
from rollhouse.directory.reading import Related
from rollhouse.directory.resources import Scope
from rollhouse.http.api_calls import Call, Outcome
from rollhouse.http.api_credentials import CredentialView, credential_view
from rollhouse.http.api_operations import next_of, operation, paged
from rollhouse.journal import audit
from rollhouse.scim.projection import Projection
from rollhouse.scim.representation import Record, location, represent
from rollhouse.scim.schemas import GROUP, RESOURCE_TYPES, USER, ResourceType
from rollhouse.tenancy import credentials

_ID_PAGE = paged("id", "01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff")
_TYPES = {known.name: known for known in RESOURCE_TYPES}


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


@operation("GET", "/tenants/{slug}/users", scope="directory:read", answer=ResourcePage, query=_ID_PAGE)
async def list_users(call: Call) -> Outcome:
    """List a tenant's users in order of creation, without their groups."""
    return await _page_of(call, USER)


@operation("GET", "/tenants/{slug}/users/{user}", scope="directory:read", answer=Resource)
async def get_user(call: Call) -> Outcome:
    """Read one user, without its groups."""
    return await _one_of(call, USER, "user")


@operation("GET", "/tenants/{slug}/users/{user}/groups", scope="directory:read", answer=ReferencePage, query=_ID_PAGE)
async def list_groups_of_user(call: Call) -> Outcome:
    """List the groups that a user is a direct member of."""
    limit = call.limit
    scope = await _scope(call, USER)
    return _references(scope, await reading.page_of_groups(scope, call.path("user"), after=call.after_id, limit=limit), limit)


@operation("GET", "/tenants/{slug}/groups", scope="directory:read", answer=ResourcePage, query=_ID_PAGE)
async def list_groups(call: Call) -> Outcome:
    """List a tenant's groups in order of creation, without their members."""
    return await _page_of(call, GROUP)


@operation("GET", "/tenants/{slug}/groups/{group}", scope="directory:read", answer=Resource)
async def get_group(call: Call) -> Outcome:
    """Read one group, without its members."""
    return await _one_of(call, GROUP, "group")


@operation("GET", "/tenants/{slug}/groups/{group}/members", scope="directory:read", answer=ReferencePage, query=_ID_PAGE)
async def list_members(call: Call) -> Outcome:
    """List the direct members of a group."""
    limit = call.limit
    scope = await _scope(call, GROUP)
    return _references(scope, await reading.page_of_members(scope, call.path("group"), after=call.after_id, limit=limit), limit)


@operation("GET", "/tenants/{slug}/usage", scope="usage:read", answer=UsageView)
async def get_usage(call: Call) -> Outcome:
    """Read how much a tenant holds, its limits, its live SCIM secrets with their last use, and when it last wrote."""
    tenant = await call.tenant()
    usage = await reading.measure(call.database, tenant.id)
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


async def _scope(call: Call, resource_type: ResourceType) -> Scope:
    tenant = await call.tenant()
    return Scope(call.database, tenant.id, resource_type, call.service.public_url + tenant.path, call.cause)


def _represented(scope: Scope, record: Record) -> bytes:
    return represent(record, scope.resource_type, scope.base_url, Projection(scope.resource_type, None, scope.resource_type.relation))


async def _page_of(call: Call, resource_type: ResourceType) -> Outcome:
    limit = call.limit
    after = call.after_id
    scope = await _scope(call, resource_type)
    found = await reading.page_of_resources(scope, after=after, limit=limit)
    shown = [msgspec.Raw(_represented(scope, record)) for record in found]
    return Outcome(body=ResourcePage(shown, next_of([str(record.id) for record in found], limit)))


async def _one_of(call: Call, resource_type: ResourceType, name: str) -> Outcome:
    scope = await _scope(call, resource_type)
    record = await resources.get_resource(scope, call.path(name), with_relation=False)
    return Outcome(body=_represented(scope, record), version=record.version)


def _references(scope: Scope, found: list[Related], limit: int) -> Outcome:
    kind = "direct" if scope.resource_type is USER else None
    shown = [Reference(one.id, location(scope.base_url, _TYPES[one.resource_type], one.id), kind or one.resource_type) for one in found]
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


OPERATIONS = (list_users, get_user, list_groups_of_user, list_groups, get_group, list_members, get_usage, list_audit, list_roles, list_platform_audit)
