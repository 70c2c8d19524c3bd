"""A tenant's reports: how many people there are, how punctual the provider is, what fails most, and what in the directory somebody should look at."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from rollhouse.activity import health
from rollhouse.directory import browsing, integrity
from rollhouse.directory.integrity import FINDINGS, Finding
from rollhouse.portal.forms import PageRequest, portal_of
from rollhouse.portal.pages import render
from rollhouse.scim.errors import NotFound
from rollhouse.tenancy.tenants import Tenant

WEEK_HOURS = 7 * 24
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NOT_SUCCESS = ("failed", "refused")


@get("/portal/{slug:str}/reports", opt={"audience": "tenant"})
async def show_reports(request: PageRequest) -> Response[bytes]:
    """The pictures, and the way to each finding."""
    tenant: Tenant = request.scope["state"]["tenant"]
    portal = portal_of(request)
    now = datetime.now(UTC)
    heads = await health.headcounts_of(portal.database, tenant.id, now.date() - health.MONTH)
    async with portal.database.transaction(tenant.id) as tx:
        counts = await browsing.count_resources(tx)
    hours = await health.hours_of(portal.database, tenant.id, now - timedelta(hours=WEEK_HOURS))
    came = {one.hour for one in hours if one.kind not in _NOT_SUCCESS}
    last = now.replace(minute=0, second=0, microsecond=0)
    week = [last - timedelta(hours=back) for back in range(WEEK_HOURS - 1, -1, -1)]
    by_hour: dict[datetime, int] = {}
    for one in hours:
        by_hour[one.hour] = by_hour.get(one.hour, 0) + one.count
    limit = tenant.rate_per_second if tenant.rate_per_second is not None else portal.default_limit.rate_per_second
    values: dict[str, Any] = {
        "people": health.growth_of(heads, "User", counts.get("User", 0), now.date()),
        "punctual": [(f"{hour:%Y-%m-%d %H}:00 UTC", hour in came) for hour in week],
        "hours_seen": len(came),
        "failures": await health.failures_of(portal.database, tenant.id, now - health.MONTH),
        "busiest": max(by_hour.values(), default=0),
        "limit": limit,
    }
    return render(request, "reports.html", findings=FINDINGS, **values)


@get("/portal/{slug:str}/reports/{finding:str}", opt={"audience": "tenant"})
async def show_finding(request: PageRequest, finding: FromPath[str]) -> Response[bytes]:
    """The users or groups of a finding."""
    shown, is_cut = await _found(request, _known(finding), browsing.PAGE)
    return render(request, "finding.html", finding=finding, found=shown, is_cut=is_cut)


@get("/portal/{slug:str}/reports/{finding:str}/csv", opt={"audience": "tenant"})
async def download_finding(request: PageRequest, finding: FromPath[str]) -> Response[bytes]:
    """The same as a table for a spreadsheet, which runs no cell of it (threat T35)."""
    shown, _ = await _found(request, _known(finding), integrity.LIMIT)
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(["id", "name", "user name", "e-mail", "external id"])
    writer.writerows([[harmless(cell) for cell in (str(one.id), one.name, one.user_name, one.email, one.external_id)] for one in shown])
    headers = {"content-disposition": f'attachment; filename="{finding}.csv"', "cache-control": "no-store"}
    return Response(text.getvalue().encode(), media_type="text/csv; charset=utf-8", headers=headers)


async def _found(request: PageRequest, finding: Finding, limit: int) -> tuple[list[browsing.Found], bool]:
    tenant: Tenant = request.scope["state"]["tenant"]
    database = portal_of(request).database
    found = await integrity.search(database, tenant.id, finding)
    async with database.transaction(tenant.id) as tx:
        resources = await browsing.find_resources(tx, found.ids[:limit])
    return [resources[one] for one in found.ids[:limit] if one in resources], found.is_cut or len(found.ids) > limit


def harmless(cell: str) -> str:
    """The cell as a spreadsheet shows it and never runs it: what begins like a formula begins with an apostrophe."""
    return "'" + cell if cell.startswith(_FORMULA) else cell


def _known(text: str) -> Finding:
    for finding in FINDINGS:
        if text == finding:
            return finding
    raise NotFound("There is no such report.")


ROUTES: list[HTTPRouteHandler] = [show_reports, show_finding, download_finding]
