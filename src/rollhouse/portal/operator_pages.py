"""The operator's pages: how all tenants are, what needs him, and the platform itself."""

import platform
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from rollhouse.activity import health, request_log
from rollhouse.activity.explanations import explain
from rollhouse.activity.health import Health
from rollhouse.database.revisions import newest_revision
from rollhouse.journal.audit import Cause
from rollhouse.portal import charts
from rollhouse.portal.forms import PageRequest, parameter, portal_of, read_form
from rollhouse.portal.pages import go_to, render
from rollhouse.scim.errors import ScimError
from rollhouse.tenancy import tenants
from rollhouse.tenancy.sessions import Session
from rollhouse.tenancy.tenants import Tenant

TILES = 200
ATTENTION = 10
TAIL = 50
WEEK = timedelta(days=7)
PACKAGES = ("rollhouse", "litestar", "granian", "asyncpg", "sqlalchemy", "redis", "msgspec")


class Tile(msgspec.Struct, frozen=True):
    """One tenant among all."""

    tenant: Tenant
    health: Health

    @property
    def state(self) -> str:
        """The state of its provisioning, or that it is suspended or being deleted."""
        return self.health.state() if self.tenant.status == "active" else self.tenant.status


ENDING_DAYS = 30


async def _tiles(request: PageRequest, text: str = "") -> list[Tile]:
    found = await tenants.page_of_tenants(portal_of(request).database, after=parameter(request, "after"), text=text, limit=TILES)
    known = await health.health_of_many(portal_of(request).database, [one.id for one in found])
    return [Tile(one, known.get(one.id, Health(one.id))) for one in found]


@get("/admin", opt={"audience": "operator"})
async def show_overview(request: PageRequest) -> Response[bytes]:
    """A tile for each tenant, the day as lines, and what needs somebody."""
    tiles = await _tiles(request)
    hours = await health.hours_of_all(portal_of(request).database, datetime.now(UTC) - timedelta(hours=24))
    series: dict[str, list[float]] = {"requests": [], "writes": [], "failed": [], "refused": []}
    for back in range(23, -1, -1):
        moment = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=back)
        counts = {one.kind: one.count for one in hours if one.hour == moment}
        series["requests"].append(sum(counts.values()))
        series["writes"].append(sum(count for kind, count in counts.items() if kind not in ("read", "failed", "refused")))
        series["failed"].append(counts.get("failed", 0))
        series["refused"].append(counts.get("refused", 0))
    attention = await health.needs_of_all(portal_of(request).database, ending_days=ENDING_DAYS, limit=ATTENTION)
    more = tiles[-1].tenant.slug if len(tiles) == TILES else None
    return render(request, "overview.html", tiles=tiles, series=series, attention=attention, more=more)


@get("/admin/tenants", opt={"audience": "operator"})
async def list_tenants(request: PageRequest) -> Response[bytes]:
    """Tenants by slug, and the form for a new one."""
    return await _tenants(request, None)


async def _tenants(request: PageRequest, error: ScimError | None) -> Response[bytes]:
    text = parameter(request, "q").strip()
    tiles = await _tiles(request, text)
    more = tiles[-1].tenant.slug if len(tiles) == TILES else None
    return render(request, "tenants.html", status=200 if error is None else error.status, tiles=tiles, q=text, more=more, error=error)


@post("/admin/tenants", opt={"audience": "operator"})
async def create_tenant(request: PageRequest) -> Response[Any]:
    """A new tenant, and its connection to go on with."""
    form = await read_form(request)
    session: Session = request.scope["state"]["session"]
    try:
        cause = Cause(session.actor, request.scope["state"]["request_id"])
        made = await tenants.create_tenant(portal_of(request).database, form.get("slug", "").strip().lower(), form.get("name", "").strip(), cause=cause)
    except ScimError as error:
        return await _tenants(request, error)
    return go_to(f"/portal/{made.slug}/integrations")


@get("/admin/requests", opt={"audience": "operator"})
async def show_requests(request: PageRequest) -> Response[bytes]:
    """Failures of all tenants, the same ones together, and the newest requests of all."""
    clusters = await health.failure_clusters(portal_of(request).database, datetime.now(UTC) - WEEK)
    newest = await request_log.newest_of_all(portal_of(request).database, limit=TAIL)
    hours = await health.hours_of_all(portal_of(request).database, datetime.now(UTC) - timedelta(hours=24))
    pictured: dict[str, Any] = {"bars": charts.bars_of(hours), "sums": charts.sums_of(hours)}
    return render(request, "requests.html", clusters=clusters, newest=newest, explain=explain, **pictured)


@get("/admin/platform", opt={"audience": "operator"})
async def show_platform(request: PageRequest) -> Response[bytes]:
    """What the service finds wrong with itself, and what it is made of."""
    findings = await portal_of(request).findings()
    versions = {name: version(name) for name in PACKAGES} | {"python": platform.python_version(), "schema": newest_revision()}
    versions["postgres"] = (await portal_of(request).database.query("SHOW server_version"))[0][0]
    return render(request, "platform.html", findings=findings, versions=versions)


ROUTES: list[HTTPRouteHandler] = [
    show_overview,
    list_tenants,
    create_tenant,
    show_requests,
    show_platform,
]
