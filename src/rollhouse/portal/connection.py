"""Integrations: what connects a tenant with its identity provider - URL, secrets, links for the IT administrator - and its settings and members."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from rollhouse.activity import health, request_log
from rollhouse.database.identifiers import id_at
from rollhouse.directory import browsing
from rollhouse.journal.audit import Cause
from rollhouse.limits.limit import RATE_LIMIT
from rollhouse.portal.forms import PageRequest, id_in, portal_of, read_form
from rollhouse.portal.pages import go_to, render
from rollhouse.scim.errors import Forbidden, InvalidValue, NotFound, ScimError
from rollhouse.tenancy import credentials, lifecycle, oauth, openid, people, setup_links, tenants
from rollhouse.tenancy.federation import Trust
from rollhouse.tenancy.sessions import Session
from rollhouse.tenancy.tenants import Tenant

USES_SHOWN = timedelta(minutes=15)
"""How far back the uses of old and new secrets are counted while they are exchanged."""


class Provider(msgspec.Struct, frozen=True):
    """An identity provider that a card stands for; one that cannot push says so instead of leading anywhere."""

    key: str
    name: str
    can_push: bool = True


PROVIDERS = (
    Provider("entra", "Microsoft Entra ID"),
    Provider("okta", "Okta"),
    Provider("onelogin", "OneLogin"),
    Provider("jumpcloud", "JumpCloud"),
    Provider("pingone", "PingOne"),
    Provider("other", "SCIM 2.0"),
    Provider("google", "Google Workspace", can_push=False),
)
_BY_KEY = {one.key: one for one in PROVIDERS if one.can_push}


@get("/portal/{slug:str}/integrations", opt={"audience": "tenant"})
async def show_integrations(request: PageRequest) -> Response[bytes]:
    """A card for each identity provider, and the state of what is connected."""
    tenant: Tenant = request.scope["state"]["tenant"]
    known = await health.health_of(portal_of(request).database, tenant.id)
    async with portal_of(request).database.transaction(tenant.id) as tx:
        counts = await browsing.count_resources(tx)
    return render(request, "integrations.html", providers=PROVIDERS, health=known, counts=counts, scim_url=portal_of(request).scim_url(tenant.slug))


@get("/portal/{slug:str}/integrations/{provider:str}", opt={"audience": "tenant"})
async def show_connection(request: PageRequest, provider: FromPath[str]) -> Response[bytes]:
    """URL, secrets and links of a connection."""
    return await _connection(request, _provider(provider))


async def _connection(request: PageRequest, provider: Provider, *, status: int = 200, **made: Any) -> Response[bytes]:
    tenant: Tenant = request.scope["state"]["tenant"]
    secrets = await credentials.list_secrets(portal_of(request).database, tenant)
    live = [one for one in secrets if one.state == "active"]
    async with portal_of(request).database.transaction(tenant.id) as tx:
        uses = await request_log.uses_of(tx, [one.id for one in live], id_at(datetime.now(UTC) - USES_SHOWN))
    values: dict[str, Any] = {
        "provider": provider,
        "scim_url": portal_of(request).scim_url(tenant.slug),
        "secrets": secrets,
        "live": live,
        "uses": uses,
        "usual": credentials.USUAL_SECRETS,
        "links": await setup_links.list_setup_links(portal_of(request).database, tenant),
        "clients": await oauth.list_clients(portal_of(request).database, tenant),
        "token_url": f"{portal_of(request).public_url}/t/{tenant.slug}/oauth2/token",
        "health": await health.health_of(portal_of(request).database, tenant.id),
        "new_secret": None,
        "new_link": None,
        "new_client": None,
        "new_client_secret": None,
        "error": None,
    }
    return render(request, "connection.html", status=status, **(values | made))


@post("/portal/{slug:str}/integrations/{provider:str}/secrets", opt={"audience": "fresh-manager"})
async def create_secret(request: PageRequest, provider: FromPath[str]) -> Response[Any]:
    """A new secret, shown on this one page and never again."""
    form = await read_form(request)
    found = _provider(provider)
    portal, tenant = portal_of(request), request.scope["state"]["tenant"]
    label = form.get("label", "").strip() or None
    try:
        made = await credentials.create_secret(portal.database, portal.peppers, tenant, label=label, cause=_cause(request))
    except ScimError as error:
        return await _connection(request, found, status=error.status, error=error)
    return await _connection(request, found, status=201, new_secret=made)


@post("/portal/{slug:str}/integrations/{provider:str}/secrets/revoke", opt={"audience": "manager"})
async def revoke_secret(request: PageRequest, provider: FromPath[str]) -> Response[Any]:
    """The end of a secret, everywhere within a second."""
    form = await read_form(request)
    tenant: Tenant = request.scope["state"]["tenant"]
    await credentials.revoke_secret(portal_of(request).database, tenant, form.get("name", ""), cause=_cause(request))
    return go_to(f"/portal/{tenant.slug}/integrations/{_provider(provider).key}#secrets")


@post("/portal/{slug:str}/integrations/{provider:str}/links", opt={"audience": "fresh-manager"})
async def create_link(request: PageRequest, provider: FromPath[str]) -> Response[Any]:
    """A link for the customer's IT administrator, shown on this one page."""
    await read_form(request)
    found = _provider(provider)
    try:
        _, token = await setup_links.create_setup_link(portal_of(request).database, request.scope["state"]["tenant"], found.key, cause=_cause(request))
    except ScimError as error:
        return await _connection(request, found, status=error.status, error=error)
    return await _connection(request, found, status=201, new_link=f"{portal_of(request).public_url}/setup/{token}")


@post("/portal/{slug:str}/integrations/{provider:str}/links/revoke", opt={"audience": "manager"})
async def revoke_link(request: PageRequest, provider: FromPath[str]) -> Response[Any]:
    """The end of a link and of the sessions that it began."""
    form = await read_form(request)
    tenant: Tenant = request.scope["state"]["tenant"]
    await setup_links.revoke_setup_link(portal_of(request).database, tenant, id_in(form.get("id", "")), cause=_cause(request))
    return go_to(f"/portal/{tenant.slug}/integrations/{_provider(provider).key}#links")


@post("/portal/{slug:str}/integrations/{provider:str}/clients", opt={"audience": "fresh-manager"})
async def create_client(request: PageRequest, provider: FromPath[str]) -> Response[Any]:
    """A new OAuth client: one with a secret, shown on this one page, or one that Entra ID vouches for."""
    form = await read_form(request)
    found = _provider(provider)
    portal, tenant = portal_of(request), request.scope["state"]["tenant"]
    label = form.get("label", "").strip() or None
    secret = None
    try:
        if form.get("kind") == "federated":
            trust = entra_trust(form.get("entra_tenant", "").strip(), form.get("subject", "").strip(), form.get("audience", "").strip())
            made = await oauth.create_client(
                portal.database, tenant, kind="federated", hosts=portal.sign_in.hosts, trust=trust, label=label, cause=_cause(request)
            )
        else:
            made = await oauth.create_client(portal.database, tenant, kind="secret", hosts=portal.sign_in.hosts, label=label, cause=_cause(request))
            secret = await oauth.create_client_secret(portal.database, portal.peppers, tenant, str(made.id), cause=_cause(request))
    except ScimError as error:
        return await _connection(request, found, status=error.status, error=error)
    return await _connection(request, found, status=201, new_client=made, new_client_secret=secret)


@post("/portal/{slug:str}/integrations/{provider:str}/clients/revoke", opt={"audience": "manager"})
async def revoke_client(request: PageRequest, provider: FromPath[str]) -> Response[Any]:
    """The end of a client, its secrets and its tokens."""
    form = await read_form(request)
    tenant: Tenant = request.scope["state"]["tenant"]
    await oauth.revoke_client(portal_of(request).database, tenant, form.get("id", ""), cause=_cause(request))
    return go_to(f"/portal/{tenant.slug}/integrations/{_provider(provider).key}#oauth")


@get("/portal/{slug:str}/settings", opt={"audience": "manager"})
async def show_settings(request: PageRequest) -> Response[bytes]:
    """Name, limit against use, state, and members."""
    return await _settings(request, None)


async def _settings(request: PageRequest, error: ScimError | None, **made: Any) -> Response[bytes]:
    tenant: Tenant = await tenants.find_tenant(portal_of(request).database, request.scope["state"]["tenant"].slug)
    hours = await health.hours_of(portal_of(request).database, tenant.id, datetime.now(UTC) - timedelta(hours=24))
    by_hour: dict[datetime, int] = {}
    for one in hours:
        by_hour[one.hour] = by_hour.get(one.hour, 0) + one.count
    limit = tenant.rate_per_second if tenant.rate_per_second is not None else portal_of(request).default_limit.rate_per_second
    values: dict[str, Any] = {
        "tenant": tenant,
        "limit": limit,
        "most": RATE_LIMIT,
        "burst": tenant.burst if tenant.burst is not None else portal_of(request).default_limit.burst,
        "busiest": max(by_hour.values(), default=0),
        "members": await people.list_members(portal_of(request).database, tenant),
        "provider": await openid.provider_of(portal_of(request).database, portal_of(request).peppers, tenant),
        "redirect_uri": f"{portal_of(request).public_url}/signin/oidc/callback",
        "new_link": None,
        "error": error,
    }
    return render(request, "settings.html", status=200 if error is None else error.status, **(values | made))


@post("/portal/{slug:str}/settings", opt={"audience": "manager"})
async def change_settings(request: PageRequest) -> Response[Any]:
    """Another name; for operators another limit or state."""
    form = await read_form(request)
    tenant: Tenant = request.scope["state"]["tenant"]
    session: Session = request.scope["state"]["session"]
    try:
        if "name" in form:
            await tenants.rename_tenant(portal_of(request).database, tenant.slug, form["name"], cause=_cause(request))
        elif form.keys().isdisjoint(("issuer", "rate", "state")):
            raise InvalidValue("The form says nothing that could be changed here. Open the page again.")
        elif session.role != "operator":
            raise Forbidden("Only an operator of the platform may change this. Ask one.")
        elif "issuer" in form:
            await _set_provider(request, tenant, form)
        else:
            await _operate(request, tenant, form, _cause(request))
    except ScimError as error:
        return await _settings(request, error)
    return go_to(f"/portal/{tenant.slug}/settings")


async def _set_provider(request: PageRequest, tenant: Tenant, form: dict[str, str]) -> None:
    portal = portal_of(request)
    issuer = form["issuer"].strip()
    provider = openid.Provider(issuer, form.get("client_id", "").strip(), form.get("client_secret", "").strip() or None) if issuer else None
    await openid.set_provider(portal.database, portal.peppers, portal.sign_in.hosts, tenant, provider, cause=_cause(request))


async def _operate(request: PageRequest, tenant: Tenant, form: dict[str, str], cause: Cause) -> None:
    if "rate" in form:
        await tenants.set_limit(portal_of(request).database, tenant.slug, _number(form["rate"]), max(_number(form.get("burst", "0")), 1), cause=cause)
    elif form.get("state") == "suspended":
        await lifecycle.suspend_tenant(portal_of(request).database, tenant.slug, cause=cause, reads=True)
    elif form.get("state") == "active":
        await lifecycle.resume_tenant(portal_of(request).database, tenant.slug, cause=cause)


@post("/portal/{slug:str}/settings/members", opt={"audience": "fresh-manager"})
async def add_member(request: PageRequest) -> Response[Any]:
    """A new member, and a link by which he signs in."""
    form = await read_form(request)
    tenant: Tenant = request.scope["state"]["tenant"]
    try:
        role: people.MemberRole = "admin" if form.get("role") == "admin" else "viewer"
        made = await people.add_member(portal_of(request).database, tenant, form.get("email", ""), role, cause=_cause(request))
    except ScimError as error:
        return await _settings(request, error)
    return await _link_of(request, made.id)


@post("/portal/{slug:str}/settings/members/link", opt={"audience": "fresh-manager"})
async def create_member_link(request: PageRequest) -> Response[Any]:
    """A new link for a member who has no other way in."""
    form = await read_form(request)
    return await _link_of(request, id_in(form.get("id", "")))


async def _link_of(request: PageRequest, member_id: UUID) -> Response[bytes]:
    token = await people.create_member_link(portal_of(request).database, request.scope["state"]["tenant"], member_id, cause=_cause(request))
    return await _settings(request, None, new_link=f"{portal_of(request).public_url}/signin/link/{token}")


@post("/portal/{slug:str}/settings/members/remove", opt={"audience": "manager"})
async def remove_member(request: PageRequest) -> Response[Any]:
    """The end of a membership and of its sessions."""
    form = await read_form(request)
    tenant: Tenant = request.scope["state"]["tenant"]
    await people.remove_member(portal_of(request).database, tenant, id_in(form.get("id", "")), cause=_cause(request))
    return go_to(f"/portal/{tenant.slug}/settings")


def entra_trust(entra_tenant: str, subject: str, audience: str) -> Trust:
    """Whom Entra ID vouches for: the enterprise application (`subject`) of one Entra tenant, for one audience."""
    issuer = f"https://login.microsoftonline.com/{entra_tenant}/v2.0"
    keys = f"https://login.microsoftonline.com/{entra_tenant}/discovery/v2.0/keys"
    return Trust(issuer=issuer, jwks_url=keys, subject=subject, audience=audience, entra_tenant=entra_tenant)


def _provider(key: str) -> Provider:
    found = _BY_KEY.get(key)
    if found is None:
        raise NotFound("There is no such identity provider.")
    return found


def _cause(request: PageRequest) -> Cause:
    session: Session = request.scope["state"]["session"]
    return Cause(session.actor, request.scope["state"]["request_id"])


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > len(str(RATE_LIMIT)) or int(text) > RATE_LIMIT:
        raise InvalidValue(f"A limit is a whole number from 0 to {RATE_LIMIT}.")
    return int(text)


ROUTES: list[HTTPRouteHandler] = [
    show_integrations,
    show_connection,
    create_secret,
    revoke_secret,
    create_link,
    revoke_link,
    create_client,
    revoke_client,
    show_settings,
    change_settings,
    add_member,
    create_member_link,
    remove_member,
]
