"""A tenant's pages for the resource types that it has defined itself: which there are, how many of each, and what was done to one."""

from datetime import UTC, datetime
from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from rollhouse.activity import health, request_log
from rollhouse.activity.changes import steps_of
from rollhouse.directory import browsing
from rollhouse.directory.browsing import Page
from rollhouse.journal import audit
from rollhouse.portal import charts
from rollhouse.portal.forms import PageRequest, id_in, parameter, portal_of, position
from rollhouse.portal.pages import render
from rollhouse.scim.errors import NotFound
from rollhouse.scim.registry import STANDARD, Registry
from rollhouse.scim.schemas import ResourceType
from rollhouse.tenancy.tenants import Tenant

LINES = 50


def places_of(registry: Registry) -> dict[str, str]:
    """Where the pages of a tenant's resources are, by type: below the tenant's own page, followed by `/` and the id."""
    return {one.name: one.endpoint.lower() for one in STANDARD.resource_types} | {one.name: f"resources/{one.endpoint}" for one in registry.own_types}


@get("/portal/{slug:str}/resources", opt={"audience": "tenant"})
async def list_types(request: PageRequest) -> Response[bytes]:
    """The tenant's own types, each with how many resources there are of it."""
    tenant: Tenant = request.scope["state"]["tenant"]
    types = (await portal_of(request).registries.of(tenant)).own_types
    async with portal_of(request).database.transaction(tenant.id) as tx:
        counts = await browsing.count_resources(tx)
    boxes = [charts.Box(one.name, counts.get(one.name, 0), f"/portal/{tenant.slug}/resources/{one.endpoint}") for one in types]
    return render(request, "resource_types.html", types=types, counts=counts, boxes=boxes)


@get("/portal/{slug:str}/resources/{endpoint:str}", opt={"audience": "tenant"})
async def list_resources(request: PageRequest, endpoint: FromPath[str]) -> Response[bytes]:
    """The resources of one type, the newest first, or those one of whose names begins with what was typed."""
    tenant: Tenant = request.scope["state"]["tenant"]
    resource_type = await _type(request, endpoint)
    text, today = parameter(request, "q").strip(), datetime.now(UTC).date()
    heads = await health.headcounts_of(portal_of(request).database, tenant.id, today - health.MONTH)
    async with portal_of(request).database.transaction(tenant.id) as tx:
        if text:
            page = Page(await browsing.search_resources(tx, resource_type, text), None)
        else:
            page = await browsing.newest_resources(tx, resource_type.name, before=position(request, "before"))
        count = (await browsing.count_resources(tx)).get(resource_type.name, 0)
    values: dict[str, Any] = {"count": count, "growth": health.growth_of(heads, resource_type.name, count, today)}
    names = [one.label for one in resource_type.names[: browsing.SEARCHED_NAMES]]
    return render(request, "resources.html", resource_type=resource_type, names=names, found=page.found, more=page.more, q=text, **values)


@get("/portal/{slug:str}/resources/{endpoint:str}/{resource_id:str}", opt={"audience": "tenant"})
async def show_resource(request: PageRequest, endpoint: FromPath[str], resource_id: FromPath[str]) -> Response[bytes]:
    """One resource, and everything that was done to it."""
    tenant: Tenant = request.scope["state"]["tenant"]
    resource_type = await _type(request, endpoint)
    async with portal_of(request).database.transaction(tenant.id) as tx:
        found = await browsing.find_resource(tx, id_in(resource_id))
        if found is None or found.resource_type != resource_type.name:
            raise NotFound(f"There is no such {resource_type.name} any more.")
        steps = steps_of(await request_log.writes_of(tx, found.id, limit=LINES))
        changes = await audit.entries_of_target(tx, str(found.id), limit=LINES)
    return render(request, "resource.html", resource_type=resource_type, resource=found, steps=steps, changes=changes)


async def _type(request: PageRequest, endpoint: str) -> ResourceType:
    registry = await portal_of(request).registries.of(request.scope["state"]["tenant"])
    for one in registry.own_types:
        if one.endpoint == endpoint:
            return one
    raise NotFound("This tenant has defined no resource type of that address.")


ROUTES: list[HTTPRouteHandler] = [list_types, list_resources, show_resource]
