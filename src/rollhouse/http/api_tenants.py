"""The admin API's operations on tenants: list, create, read, change, suspend, resume, delete, restore."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from rollhouse.http.api_calls import Call, Outcome
from rollhouse.http.api_operations import Parameter, next_of, operation, paged
from rollhouse.http.problems import API_PATH
from rollhouse.limits.limit import RATE_LIMIT
from rollhouse.scim.errors import InvalidValue
from rollhouse.tenancy import lifecycle, tenants
from rollhouse.tenancy.lifecycle import GRACE_DAYS, MOST_GRACE_DAYS
from rollhouse.tenancy.tenants import Tenant

_GRACE = Parameter("grace_days", "query", f"Days until the purge, 0 to {MOST_GRACE_DAYS}; {GRACE_DAYS} without it.", "30", "integer")

Rate = Annotated[int, msgspec.Meta(ge=0, le=RATE_LIMIT, description="Sustained requests a second; 0 is no limit, null the service's default.")]
Burst = Annotated[int, msgspec.Meta(ge=1, le=RATE_LIMIT, description="Requests at once after a pause; null is the service's default.")]


class TenantView(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant. `status` is active, suspended or deleting; `version` counts its changes and is its ETag."""

    id: UUID
    slug: str
    name: str
    status: str
    scim_url: str
    rate_per_second: int | None
    burst: int | None
    reads_while_suspended: bool
    purge_after: datetime | None
    version: int
    created: datetime | None
    last_modified: datetime | None


class TenantPage(msgspec.Struct, frozen=True):
    """Tenants in order of slug; `next` is null on the last page."""

    items: list[TenantView]
    next: str | None


class TenantRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant to create: its slug is part of its SCIM URL for ever."""

    slug: str
    name: str


class TenantChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of a tenant; what is left out stays."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    rate_per_second: Rate | msgspec.UnsetType | None = msgspec.UNSET
    burst: Burst | msgspec.UnsetType | None = msgspec.UNSET


class Suspension(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to suspend a tenant: `reads` lets its identity provider go on reading."""

    reads: bool = False


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An empty object; the body may be left out, too."""


def view_of(call: Call, found: Tenant) -> TenantView:
    """The tenant as the API shows it."""
    return TenantView(
        id=found.id,
        slug=found.slug,
        name=found.name,
        status=found.status,
        scim_url=call.service.public_url + found.path,
        rate_per_second=found.rate_per_second,
        burst=found.burst,
        reads_while_suspended=found.reads_while_suspended,
        purge_after=found.purge_after,
        version=found.version,
        created=found.created,
        last_modified=found.last_modified,
    )


@operation("GET", "/tenants", scope="tenants:read", answer=TenantPage, query=paged("slug", "acme"))
async def list_tenants(call: Call) -> Outcome:
    """List tenants in order of slug."""
    limit = call.limit
    found = await tenants.page_of_tenants(call.database, after=call.parameter("after") or "", limit=limit)
    return Outcome(body=TenantPage([view_of(call, one) for one in found], next_of([one.slug for one in found], limit)))


@operation("POST", "/tenants", scope="tenants:write", status=201, body=TenantRequest, answer=TenantView, example={"slug": "acme", "name": "Acme Ltd"})
async def create_tenant(call: Call) -> Outcome:
    """Create a tenant; its SCIM URL is there at once."""
    asked = call.body(TenantRequest)
    made = await tenants.create_tenant(call.database, asked.slug, asked.name, cause=call.cause)
    return _outcome(call, made, location=f"{API_PATH}/tenants/{made.slug}")


@operation("GET", "/tenants/{slug}", scope="tenants:read", answer=TenantView)
async def get_tenant(call: Call) -> Outcome:
    """Read one tenant."""
    return _outcome(call, await call.tenant())


@operation(
    "PATCH",
    "/tenants/{slug}",
    scope="tenants:write",
    body=TenantChange,
    answer=TenantView,
    takes_if_match=True,
    example={"name": "Acme Group", "rate_per_second": 100, "burst": 400},
)
async def change_tenant(call: Call) -> Outcome:
    """Change a tenant's name or its rate limit; effective within five seconds everywhere."""
    asked = call.body(TenantChange)
    values = {name: value for name in TenantChange.__struct_fields__ if (value := getattr(asked, name)) is not msgspec.UNSET}
    if not values:
        raise InvalidValue("The body changes nothing. Send name, rate_per_second or burst.")
    if isinstance(asked.name, str):
        tenants.check_name(asked.name)
    action = "tenant.renamed" if list(values) == ["name"] else "tenant.changed" if "name" in values else "tenant.limited"
    expected = call.expected_version
    return _outcome(call, await tenants.change_tenant(call.database, call.path("slug"), values, action=action, cause=call.cause, expected=expected))


@operation("POST", "/tenants/{slug}/suspend", scope="tenants:write", body=Suspension, answer=TenantView, takes_if_match=True, example={"reads": True})
async def suspend_tenant(call: Call) -> Outcome:
    """Suspend a tenant: provisioning is refused until it is resumed."""
    reads = call.body(Suspension).reads
    return _outcome(call, await lifecycle.suspend_tenant(call.database, call.path("slug"), cause=call.cause, reads=reads, expected=call.expected_version))


@operation("POST", "/tenants/{slug}/resume", scope="tenants:write", body=Nothing, answer=TenantView, takes_if_match=True)
async def resume_tenant(call: Call) -> Outcome:
    """Resume a suspended tenant."""
    call.body(Nothing)
    return _outcome(call, await lifecycle.resume_tenant(call.database, call.path("slug"), cause=call.cause, expected=call.expected_version))


@operation("DELETE", "/tenants/{slug}", scope="tenants:write", answer=TenantView, takes_if_match=True, query=(_GRACE,))
async def delete_tenant(call: Call) -> Outcome:
    """Delete a tenant: it is refused at once, and purged when its days of grace are over."""
    days = call.number("grace_days", GRACE_DAYS, least=0, most=MOST_GRACE_DAYS)
    found = await lifecycle.delete_tenant(call.database, call.path("slug"), cause=call.cause, grace_days=days, expected=call.expected_version)
    return _outcome(call, found)


@operation("POST", "/tenants/{slug}/restore", scope="tenants:write", body=Nothing, answer=TenantView, takes_if_match=True)
async def restore_tenant(call: Call) -> Outcome:
    """Restore a tenant that is being deleted, while its grace lasts."""
    call.body(Nothing)
    return _outcome(call, await lifecycle.restore_tenant(call.database, call.path("slug"), cause=call.cause, expected=call.expected_version))


def _outcome(call: Call, found: Tenant, *, location: str | None = None) -> Outcome:
    call.concerns = found.id
    return Outcome(body=view_of(call, found), version=found.version, location=location)


OPERATIONS = (list_tenants, create_tenant, get_tenant, change_tenant, suspend_tenant, resume_tenant, delete_tenant, restore_tenant)
