"""The guide that an IT administrator follows by setup link, without an account: ten steps, each ticked by what really arrived."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Stream

from rollhouse.activity import health, request_log
from rollhouse.activity.explanations import explain
from rollhouse.activity.health import Health
from rollhouse.activity.request_log import LoggedRequest, Wanted
from rollhouse.directory import browsing
from rollhouse.directory.browsing import Found
from rollhouse.journal.audit import Cause
from rollhouse.portal.connection import PROVIDERS
from rollhouse.portal.forms import PageRequest, portal_of, read_form
from rollhouse.portal.gate import SignInAgain
from rollhouse.portal.live_pages import stream
from rollhouse.portal.pages import render, render_part
from rollhouse.portal.parts import Portal
from rollhouse.portal.sign_in import begin_session
from rollhouse.scim.errors import ScimError
from rollhouse.tenancy import credentials, sessions, setup_links, tenants
from rollhouse.tenancy.sessions import Person, Session
from rollhouse.tenancy.setup_links import SetupLink
from rollhouse.tenancy.tenants import Tenant

REACHED_STEP, SECRET_STEP, TESTED_STEP, PILOT_STEP, CONNECTED_STEP = 4, 5, 6, 9, 10
NEWEST = 8
CYCLES_OF_A_CONNECTION = 2
"""A connection is one when the provider has come back by itself."""
_REOPEN = "To make a secret, open the link from your mail once more: it was opened more than 15 minutes ago."


class Progress(msgspec.Struct, frozen=True):
    """What has really happened since the link was made: the requests that tick a step, and the newest ones."""

    health: Health
    tested: LoggedRequest | None
    pilot_request: LoggedRequest | None
    pilot: Found | None
    newest: list[LoggedRequest]
    users: int
    groups: int

    @property
    def is_connected(self) -> bool:
        """Whether the provider came back for a second cycle."""
        return self.health.cycles >= CYCLES_OF_A_CONNECTION

    @property
    def step(self) -> int:
        """The furthest step that is proven."""
        if self.is_connected:
            return CONNECTED_STEP
        if self.pilot_request is not None:
            return PILOT_STEP
        if self.tested is not None:
            return TESTED_STEP
        if self.newest:
            return SECRET_STEP if any(one.kind != "refused" for one in self.newest) else REACHED_STEP
        return 0

    @property
    def fails_at(self) -> int | None:
        """The step that the newest request says is wrong: a secret that was refused."""
        return SECRET_STEP if self.newest and self.newest[0].kind == "refused" else None

    def is_done(self, step: int) -> bool:
        """Whether a step is ticked: it is proven, or a later one is."""
        return step <= self.step


async def progress_of(portal: Portal, tenant: Tenant, since: UUID) -> Progress:
    """How far a tenant's connection has come, by its requests after an id (whose order is the order of time)."""
    known = await health.health_of(portal.database, tenant.id)
    async with portal.database.transaction(tenant.id) as tx:
        tested = await request_log.first_request(tx, since, kind="read")
        pilot_request = await request_log.first_request(tx, since, kind="created", resource_type="User")
        pilot = await browsing.find_resource(tx, pilot_request.resource_id) if pilot_request is not None and pilot_request.resource_id is not None else None
        newest = await request_log.list_requests(tx, Wanted(after=since, limit=NEWEST))
        counts = await browsing.count_resources(tx)
    return Progress(known, tested, pilot_request, pilot, newest, counts.get("User", 0), counts.get("Group", 0))


@get("/setup/{token:str}", opt={"audience": "anybody"})
async def show_link(request: PageRequest, token: FromPath[str]) -> Response[bytes]:
    """A button, not the session itself: no other site is to begin one by a link or a picture."""
    return render(request, "setup_link.html", token=token[: sessions.TOKEN_CHARACTERS])


@post("/setup", opt={"audience": "anybody"})
async def open_link(request: PageRequest) -> Response[Any]:
    """A session for a guest, and an address without the token in it."""
    form = await read_form(request)
    link = await setup_links.open_setup_link(portal_of(request).database, form.get("token", ""))
    return await begin_session(request, Person(tenant_id=link.tenant_id, setup_link_id=link.id), "/setup")


@get("/setup", opt={"audience": "setup"})
async def show_guide(request: PageRequest) -> Response[bytes]:
    """The whole guide."""
    return await _guide(request)


async def _guide(request: PageRequest, *, status: int = 200, **made: Any) -> Response[bytes]:
    link, tenant = await _guest(request)
    progress = await progress_of(portal_of(request), tenant, link.id)
    values: dict[str, Any] = {
        "guide_tenant": tenant,
        "provider": next(one for one in PROVIDERS if one.key == link.provider),
        "progress": progress,
        "scim_url": portal_of(request).scim_url(tenant.slug),
        "explain": explain,
        "new_secret": None,
        "error": None,
    }
    return render(request, "setup.html", status=status, **(values | made))


async def _guest(request: PageRequest) -> tuple[SetupLink, Tenant]:
    session: Session = request.scope["state"]["session"]
    assert session.setup_link_id is not None  # noqa: S101 - the gate lets guests through only
    link = await setup_links.find_setup_link(portal_of(request).database, session.setup_link_id)
    return link, await tenants.tenant_by_id(portal_of(request).database, link.tenant_id)


@post("/setup/secret", opt={"audience": "setup"})
async def create_secret(request: PageRequest) -> Response[Any]:
    """A new secret for the connection, shown on this one page."""
    await read_form(request)
    session: Session = request.scope["state"]["session"]
    if not session.is_fresh:
        raise SignInAgain(_REOPEN)
    _, tenant = await _guest(request)
    cause = Cause(session.actor, request.scope["state"]["request_id"])
    try:
        made = await credentials.create_secret(portal_of(request).database, portal_of(request).peppers, tenant, label="made by setup link", cause=cause)
    except ScimError as error:
        return await _guide(request, status=error.status, error=error)
    return await _guide(request, status=201, new_secret=made)


@get("/setup/live", opt={"audience": "setup"})
async def follow(request: PageRequest) -> Stream:
    """The ticks and what has just arrived, again whenever something arrives."""
    link, tenant = await _guest(request)
    reached = link.step

    async def draw() -> str:
        nonlocal reached
        progress = await progress_of(portal_of(request), tenant, link.id)
        if progress.step > reached:
            reached = progress.step
            await setup_links.reach_step(portal_of(request).database, link.id, reached)
        return render_part(request, "setup_live.html", progress=progress, explain=explain)

    return stream(portal_of(request), tenant, request.scope["state"]["session"], draw)


ROUTES: list[HTTPRouteHandler] = [
    show_link,
    open_link,
    show_guide,
    create_secret,
    follow,
]
