"""A tenant's pages for looking: health, users, groups, and what its identity provider did, as it happens."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Stream

from rollhouse.activity import health, request_log
from rollhouse.activity.changes import steps_of
from rollhouse.activity.explanations import explain
from rollhouse.activity.request_log import LoggedRequest, Wanted
from rollhouse.database.pool import Database
from rollhouse.directory import browsing, roles
from rollhouse.directory.browsing import Found, Page, State
from rollhouse.journal import audit
from rollhouse.journal.audit import Cause, Entry
from rollhouse.portal import charts
from rollhouse.portal.forms import PageRequest, id_in, parameter, portal_of, position, read_form
from rollhouse.portal.live_pages import stream
from rollhouse.portal.pages import go_to, render, render_part
from rollhouse.portal.resource_pages import places_of
from rollhouse.scim.errors import NotFound
from rollhouse.scim.schemas import GROUP, USER, ResourceType
from rollhouse.tenancy import credentials
from rollhouse.tenancy.sessions import Session
from rollhouse.tenancy.tenants import Tenant

DAY = timedelta(hours=24)
LINES = 50
GROUPS_IN_PICTURE = 40
AUDITED = 200
_STATES: dict[str, State] = {"active": "active", "inactive": "inactive"}
_KINDS = ("created", "updated", "deactivated", "deleted", "read", "refused", "failed")


@get("/portal/{slug:str}", opt={"audience": "tenant"})
async def show_health(request: PageRequest) -> Response[bytes]:
    """How the tenant's provisioning is, at a glance."""
    tenant: Tenant = request.scope["state"]["tenant"]
    known = await health.health_of(portal_of(request).database, tenant.id)
    hours = await health.hours_of(portal_of(request).database, tenant.id, _hours_ago(24))
    async with portal_of(request).database.transaction(tenant.id) as tx:
        counts = await browsing.count_resources(tx)
        failures = await request_log.list_requests(tx, Wanted(only_failures=True, limit=5))
    values: dict[str, Any] = {"bars": charts.bars_of(hours), "sums": charts.sums_of(hours), "failures": failures}
    own = (await portal_of(request).registries.of(tenant)).own_types
    others = sum(counts.get(one.name, 0) for one in own) if own else None
    return render(request, "health.html", health=known, counts=counts, others=others, explain=explain, **values)


@get("/portal/{slug:str}/users", opt={"audience": "tenant"})
async def list_users(request: PageRequest) -> Response[bytes]:
    """The users, the newest first, or those whose names begin with what was typed."""
    return await _list(request, USER, "users.html")


@get("/portal/{slug:str}/groups", opt={"audience": "tenant"})
async def list_groups(request: PageRequest) -> Response[bytes]:
    """The groups with their sizes as a picture and as a list."""
    return await _list(request, GROUP, "groups.html")


async def _list(request: PageRequest, resource_type: ResourceType, template: str) -> Response[bytes]:
    tenant: Tenant = request.scope["state"]["tenant"]
    text, state = parameter(request, "q").strip(), _STATES.get(parameter(request, "state"))
    is_user = resource_type is USER
    async with portal_of(request).database.transaction(tenant.id) as tx:
        if text:
            page = Page(await browsing.search_resources(tx, resource_type, text, state=state), None)
        else:
            page = await browsing.newest_resources(tx, resource_type.name, before=position(request, "before"), state=state)
        count = (await browsing.count_resources(tx)).get(resource_type.name, 0)
        inactive = await browsing.count_inactive(tx) if is_user else 0
        sizes = await browsing.sizes_of(tx, [one.id for one in page.found]) if not is_user else {}
    boxes = [charts.Box(one.name, sizes.get(one.id, 0), f"/portal/{tenant.slug}/groups/{one.id}") for one in page.found[:GROUPS_IN_PICTURE]]
    values: dict[str, Any] = {"count": count, "inactive": inactive, "counted": browsing.INACTIVE_COUNTED, "sizes": sizes, "boxes": boxes}
    return render(request, template, found=page.found, more=page.more, q=text, state=state, **values)


@get("/portal/{slug:str}/users/{resource_id:str}", opt={"audience": "tenant"})
async def show_user(request: PageRequest, resource_id: FromPath[str]) -> Response[bytes]:
    """One user: who he is, his groups, and everything that was done to him."""
    tenant: Tenant = request.scope["state"]["tenant"]
    async with portal_of(request).database.transaction(tenant.id) as tx:
        user = _there(await browsing.find_resource(tx, id_in(resource_id)), USER)
        groups = await browsing.groups_of(tx, user.id)
        steps = steps_of(await request_log.writes_of(tx, user.id, limit=LINES))
        changes = await audit.entries_of_target(tx, str(user.id), limit=LINES)
    return render(request, "user.html", user=user, groups=groups, steps=steps, changes=changes)


@get("/portal/{slug:str}/groups/{resource_id:str}", opt={"audience": "tenant"})
async def show_group(request: PageRequest, resource_id: FromPath[str]) -> Response[bytes]:
    """One group: its members by page, and everything that was done to it."""
    tenant: Tenant = request.scope["state"]["tenant"]
    async with portal_of(request).database.transaction(tenant.id) as tx:
        group = _there(await browsing.find_resource(tx, id_in(resource_id)), GROUP)
        members = await browsing.members_of(tx, group.id, after=position(request, "after"))
        size = (await browsing.sizes_of(tx, [group.id])).get(group.id, 0)
        changes = await audit.entries_of_target(tx, str(group.id), limit=AUDITED)
        role = await roles.role_of(tx, group.id)
    more = members[-1].id if len(members) == browsing.PAGE else None
    return render(request, "group.html", group=group, members=members, size=size, sizes=_sizes(size, changes), role=role, more=more, changes=changes[:LINES])


@get("/portal/{slug:str}/activity", opt={"audience": "tenant"})
async def show_activity(request: PageRequest) -> Response[bytes]:
    """What the identity provider did: by hour as a picture, and each request as a sentence."""
    tenant: Tenant = request.scope["state"]["tenant"]
    kind = parameter(request, "kind")
    wanted = Wanted(kind=kind if kind in _KINDS else None, only_failures=kind == "failures", before=position(request, "before"), limit=LINES)
    hours = await health.hours_of(portal_of(request).database, tenant.id, _hours_ago(24))
    requests, found = await _sentences(portal_of(request).database, tenant, wanted)
    places = places_of(await portal_of(request).registries.of(tenant))
    more = requests[-1].id if len(requests) == LINES else None
    values: dict[str, Any] = {"requests": requests, "found": found, "places": places, "more": more, "kind": kind}
    values |= {"bars": charts.bars_of(hours), "sums": charts.sums_of(hours)}
    return render(request, "activity.html", kinds=_KINDS, explain=explain, live=wanted.before is None, **values)


@get("/portal/{slug:str}/activity/live", opt={"audience": "tenant"})
async def follow_activity(request: PageRequest) -> Stream:
    """The newest sentences, again whenever something arrives."""
    tenant: Tenant = request.scope["state"]["tenant"]
    session: Session = request.scope["state"]["session"]
    kind = parameter(request, "kind")
    wanted = Wanted(kind=kind if kind in _KINDS else None, only_failures=kind == "failures", limit=LINES)

    async def draw() -> str:
        requests, found = await _sentences(portal_of(request).database, tenant, wanted)
        places = places_of(await portal_of(request).registries.of(tenant))
        return render_part(request, "activity_list.html", requests=requests, found=found, places=places, slug=tenant.slug, explain=explain)

    return stream(portal_of(request), tenant, session, draw)


@get("/portal/{slug:str}/activity/{row_id:str}", opt={"audience": "tenant"})
async def show_request(request: PageRequest, row_id: FromPath[str]) -> Response[bytes]:
    """One request with what was sent and answered, what it means, and what to do."""
    tenant: Tenant = request.scope["state"]["tenant"]
    async with portal_of(request).database.transaction(tenant.id) as tx:
        found = await request_log.find_request(tx, id_in(row_id))
    if found is None:
        raise NotFound("This request is not in the log any more.")
    return render(request, "request.html", found=found, explanation=explain(found.status, found.scim_type, found.reason) if found.status >= 400 else None)  # noqa: PLR2004 - refusals begin there


@get("/portal/{slug:str}/audit", opt={"audience": "tenant"})
async def show_audit(request: PageRequest) -> Response[bytes]:
    """Who changed what, the newest first."""
    tenant: Tenant = request.scope["state"]["tenant"]
    places = places_of(await portal_of(request).registries.of(tenant))
    async with portal_of(request).database.transaction(tenant.id) as tx:
        entries = await audit.newest_entries(tx, before=position(request, "before"), limit=LINES)
        # Other targets, such as a Schema, may be called like a resource type of the tenant's.
        found = await browsing.find_resources(tx, [UUID(one.target_id) for one in entries if one.action.startswith("resource.")])
    secrets = {f"credential:{one.id}": one.label or one.prefix for one in await credentials.list_secrets(portal_of(request).database, tenant)}
    resources = {str(one.id): one for one in found.values() if one.resource_type in places}
    more = entries[-1].id if len(entries) == LINES else None
    return render(request, "audit.html", entries=entries, secrets=secrets, resources=resources, places=places, more=more)


def _sizes(now: int, changes: list[Entry]) -> list[tuple[str, int]]:
    """How many members the group had after each change of the last 30 days, the oldest first, by walking back from today."""
    since = datetime.now(UTC) - health.MONTH
    found = [("", now)]
    for one in changes:
        if one.at < since:
            break
        if one.added or one.removed:
            found[-1] = (f"{one.at:%Y-%m-%d %H:%M}", found[-1][1])
            found.append(("", found[-1][1] - len(one.added) + len(one.removed)))
    return found[::-1]


@post("/portal/{slug:str}/groups/{resource_id:str}/role", opt={"audience": "manager"})
async def set_role(request: PageRequest, resource_id: FromPath[str]) -> Response[Any]:
    """The role that the members of a group have in the product; an empty one takes it away."""
    form = await read_form(request)
    tenant: Tenant = request.scope["state"]["tenant"]
    session: Session = request.scope["state"]["session"]
    cause = Cause(session.actor, request.scope["state"]["request_id"])
    await roles.set_role(portal_of(request).database, tenant.id, id_in(resource_id), form.get("role", "").strip(), cause=cause)
    return go_to(f"/portal/{tenant.slug}/groups/{resource_id}")


async def _sentences(database: Database, tenant: Tenant, wanted: Wanted) -> tuple[list[LoggedRequest], dict[UUID, Found]]:
    """Requests, and the resources they are about, those that still exist."""
    async with database.transaction(tenant.id) as tx:
        requests = await request_log.list_requests(tx, wanted)
        return requests, await browsing.find_resources(tx, [one.resource_id for one in requests if one.resource_id is not None])


def _there(found: Found | None, resource_type: ResourceType) -> Found:
    if found is None or found.resource_type != resource_type.name:
        raise NotFound("There is no such user or group any more.")
    return found


def _hours_ago(count: int) -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=count - 1)


ROUTES: list[HTTPRouteHandler] = [
    show_health,
    list_users,
    list_groups,
    show_user,
    show_group,
    set_role,
    show_activity,
    follow_activity,
    show_request,
    show_audit,
]
