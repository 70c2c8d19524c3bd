"""Signing in and out: by one-time link, with a password and a second factor, or by an identity provider; language and theme, which anybody may choose."""

import base64
import re
from typing import Any

import msgspec
import pyotp
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from rollhouse.journal.audit import Cause
from rollhouse.portal.forms import PageRequest, parameter, portal_of, read_form
from rollhouse.portal.pages import cookie_of, go_to, render
from rollhouse.portal.parts import Portal
from rollhouse.portal.words import languages
from rollhouse.scim.errors import InvalidValue, NotFound, Unauthorized
from rollhouse.scim.keys import fold_text
from rollhouse.tenancy import openid, people, sessions
from rollhouse.tenancy.openid import ATTEMPT_SECONDS, Attempt, Provider
from rollhouse.tenancy.sessions import Person, Session
from rollhouse.tenancy.tenants import Tenant, find_tenant, tenant_by_id

YEAR_SECONDS = 365 * 24 * 3600
_THEMES = ("light", "dark", "system")
_ATTEMPT = "rollhouse-attempt"
_CODE_LIMIT = 4096
_TENANT_PAGE = re.compile(r"/portal/([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:/|$)")
_TOTP_SECRET = re.compile("[A-Z2-7]{32}")


def _form(request: PageRequest, then: str, error: Unauthorized | None) -> Response[bytes]:
    slug = _tenant_in(then)
    has_provider = bool(slug) or portal_of(request).provider is not None
    return render(request, "sign_in.html", status=200 if error is None else error.status, next=then, slug=slug, has_provider=has_provider, error=error)


async def begin_session(request: PageRequest, person: Person, then: str) -> Response[Any]:
    """A session for a person in place of the one there was, and the way to where he goes on."""
    old: Session | None = request.scope["state"]["session"]
    if old is not None:
        await sessions.end_session(portal_of(request).database, old.id)
    started = await sessions.start_session(portal_of(request).database, person)
    return go_to(then, cookie=cookie_of(portal_of(request), portal_of(request).cookie, started.token, seconds=None))


@get("/signin", opt={"audience": "anybody"})
async def show_sign_in(request: PageRequest) -> Response[bytes]:
    """The form to sign in with."""
    return _form(request, _own_path(parameter(request, "next")), None)


@post("/signin", opt={"audience": "anybody"})
async def sign_in(request: PageRequest) -> Response[Any]:
    """A session for an operator whose password, and code if he has a second factor, is right."""
    form = await read_form(request)
    email = form.get("email", "")
    portal = portal_of(request)
    await portal.tries.count(fold_text(email, case_exact=False)[: people.EMAIL_LIMIT], portal.source_of(request.scope))
    try:
        operator = await people.verify_operator(portal.database, portal.peppers, email, form.get("password", ""), form.get("code", "").strip())
    except Unauthorized as error:
        return _form(request, _own_path(form.get("next", "")), error)
    return await begin_session(request, Person(operator_id=operator.id), _own_path(form.get("next", "")) or "/admin")


@get("/signin/link/{token:str}", opt={"audience": "anybody"})
async def show_link(request: PageRequest, token: FromPath[str]) -> Response[bytes]:
    """A button, not the sign-in itself: programs that look at links in mails must not use them up."""
    return render(request, "sign_in_link.html", token=token[: sessions.TOKEN_CHARACTERS])


@post("/signin/link", opt={"audience": "anybody"})
async def use_link(request: PageRequest) -> Response[Any]:
    """A session for whoever the link was made for; the link is used up."""
    form = await read_form(request)
    person = await sessions.use_sign_in_link(portal_of(request).database, form.get("token", ""))
    then = "/admin"
    if person.tenant_id is not None:
        then = f"/portal/{(await _tenant_of(portal_of(request), person)).slug}"
    return await begin_session(request, person, then)


@get("/signin/oidc", opt={"audience": "anybody"})
async def go_to_provider(request: PageRequest) -> Response[Any]:
    """The way to the identity provider of a tenant, or of the platform; what comes back is compared with the cookie."""
    portal = portal_of(request)
    slug, then = parameter(request, "tenant", 63), _own_path(parameter(request, "next"))
    provider = await _provider(portal, slug)
    if provider is None:
        raise NotFound("There is no sign-in by an identity provider here. Ask an operator for a link.")
    url, attempt = await portal.sign_in.begin(provider, slug=slug, then=then)
    kept = base64.urlsafe_b64encode(msgspec.json.encode(attempt)).decode().rstrip("=")
    return go_to(url, cookie=cookie_of(portal, _ATTEMPT, kept, seconds=ATTEMPT_SECONDS))


@get("/signin/oidc/callback", opt={"audience": "anybody"})
async def come_back(request: PageRequest) -> Response[Any]:
    """A session for whom the identity provider vouches for."""
    portal = portal_of(request)
    attempt = _attempt(request.scope["state"]["cookies"].get(_ATTEMPT, ""))
    provider = await _provider(portal, attempt.slug)
    code = parameter(request, "code", _CODE_LIMIT)
    if provider is None or not code:
        raise Unauthorized("The identity provider did not let you in. Sign in again from the start.")
    identity = await portal.sign_in.finish(provider, attempt, state=parameter(request, "state"), code=code)
    if attempt.slug:
        tenant = await find_tenant(portal.database, attempt.slug)
        person = await openid.member_of(portal.database, tenant, identity)
        return await begin_session(request, person, attempt.then or f"/portal/{tenant.slug}")
    person = await openid.operator_of(portal.database, portal.operators, identity, cause=Cause("portal", request.scope["state"]["request_id"]))
    return await begin_session(request, person, attempt.then or "/admin")


@post("/signout", opt={"audience": "anybody"})
async def sign_out(request: PageRequest) -> Response[Any]:
    """The end of the session."""
    session: Session | None = request.scope["state"]["session"]
    await read_form(request)
    if session is not None:
        await sessions.end_session(portal_of(request).database, session.id)
    return go_to("/signin", cookie=cookie_of(portal_of(request), portal_of(request).cookie, "", seconds=0))


@get("/admin/account", opt={"audience": "operator"})
async def show_account(request: PageRequest) -> Response[bytes]:
    """The operator's own password and second factor."""
    return await _account(request, None)


@post("/admin/account", opt={"audience": "operator"})
async def set_password(request: PageRequest) -> Response[Any]:
    """A new password; with a second factor if its first code is right."""
    form = await read_form(request)
    session: Session = request.scope["state"]["session"]
    assert session.operator_id is not None  # noqa: S101 - the gate lets operators through only
    if not session.is_fresh:
        raise Unauthorized("For this you must have signed in within the last 15 minutes. Sign out, and in again.")
    secret = form.get("totp_secret") if form.get("code", "").strip() else None
    try:
        _check_code(secret, form.get("code", "").strip())
        await people.set_password(
            portal_of(request).database,
            portal_of(request).peppers,
            session.operator_id,
            form.get("password", ""),
            totp_secret=secret,
            session_id=session.id,
            cause=Cause(session.actor, request.scope["state"]["request_id"]),
        )
    except InvalidValue as error:
        return await _account(request, error)
    return go_to("/admin/account")


@post("/choices", opt={"audience": "anybody"})
async def choose(request: PageRequest) -> Response[Any]:
    """Language or theme, kept in a cookie."""
    form = await read_form(request)
    back = _own_path(form.get("next", "")) or "/"
    if form.get("theme") in _THEMES:
        return go_to(back, cookie=cookie_of(portal_of(request), "theme", form["theme"], seconds=YEAR_SECONDS))
    if form.get("language") in languages():
        return go_to(back, cookie=cookie_of(portal_of(request), "language", form["language"], seconds=YEAR_SECONDS))
    return go_to(back)


@get("/", opt={"audience": "anybody"})
async def go_home(request: PageRequest) -> Response[Any]:
    """The page that somebody begins at."""
    session: Session | None = request.scope["state"]["session"]
    if session is None:
        return go_to("/signin")
    if session.role == "setup":
        return go_to("/setup")
    return go_to("/admin" if session.tenant_id is None else f"/portal/{(await _tenant_of(portal_of(request), session)).slug}")


def _check_code(secret: str | None, code: str) -> None:
    """Let a second factor be set only once its first code is right: nobody is to lock himself out."""
    if secret is not None and not (_TOTP_SECRET.fullmatch(secret) and pyotp.TOTP(secret).verify(code, valid_window=1)):
        raise InvalidValue("The code is wrong. Enter the one that your app shows now, or leave it empty to go without.")


async def _account(request: PageRequest, error: InvalidValue | None) -> Response[bytes]:
    session: Session = request.scope["state"]["session"]
    assert session.operator_id is not None  # noqa: S101 - the gate lets operators through only
    operator = await people.find_operator(portal_of(request).database, session.operator_id)
    secret = pyotp.random_base32()
    return render(request, "account.html", status=200 if error is None else error.status, operator=operator, totp_secret=secret, error=error)


async def _tenant_of(portal: Portal, person: Person | Session) -> Tenant:
    assert person.tenant_id is not None  # noqa: S101 - asked only for those who have one
    return await tenant_by_id(portal.database, person.tenant_id)


async def _provider(portal: Portal, slug: str) -> Provider | None:
    """Who vouches for people of a tenant, or of the platform when none is named; an unknown tenant has nobody."""
    if not slug:
        return portal.provider
    try:
        tenant = await find_tenant(portal.database, slug)
    except NotFound:
        return None
    return await openid.provider_of(portal.database, portal.peppers, tenant) or portal.provider


def _attempt(kept: str) -> Attempt:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(kept + "=" * (-len(kept) % 4)), type=Attempt)
    except (ValueError, msgspec.DecodeError):
        raise Unauthorized("Sign in from the start: this browser has not begun to, or more than ten minutes ago.") from None


def _tenant_in(path: str) -> str:
    """The slug of the tenant whose page somebody wants to go on to, "" for any other page."""
    match = _TENANT_PAGE.match(path)
    return match[1] if match is not None else ""


def _own_path(text: str) -> str:
    """A path of ours to go on to; "" for anything that a browser might take for another site's."""
    is_own = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if is_own else ""


ROUTES: list[HTTPRouteHandler] = [
    show_sign_in,
    sign_in,
    show_link,
    use_link,
    go_to_provider,
    come_back,
    sign_out,
    show_account,
    set_password,
    choose,
    go_home,
]
