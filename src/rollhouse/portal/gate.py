"""The gate before every page: who looks, whether the page is for him, whether a form comes from our own page, and the headers of every answer."""

from http.cookies import CookieError, SimpleCookie
from typing import Any, Literal
from urllib.parse import urlsplit

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from rollhouse.portal.parts import Portal
from rollhouse.scim.errors import Forbidden, NotFound, Unauthorized
from rollhouse.tenancy.sessions import Session, find_session
from rollhouse.tenancy.tenants import Tenant, find_tenant

Audience = Literal["file", "anybody", "operator", "tenant", "manager", "fresh-manager", "setup"]
"""For whom a route is: anybody (and a file, for which no session is looked up), a tenant's members and operators (`tenant`),
those of them who may change things (`manager`), those of them who signed in a moment ago (`fresh-manager`), or a guest by
setup link (`setup`)."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"x-frame-options", b"DENY"),
)
STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")
_READS = ("GET", "HEAD")
_NOBODY = "Sign in first."
_NOT_YOURS = "This page is not for you. Ask an administrator of your company."
_STALE = "For this you must have signed in within the last 15 minutes. Sign in again."


class SignInAgain(Forbidden):
    """The session is too old for what was asked (threat T28)."""


class PageGate(ASGIMiddleware):
    """Puts `session` and, on the pages of a tenant, `tenant` into the request's state; lets nobody through whom the route is not for."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Find out who asks and go on.

        Raises:
            Unauthorized: nobody is signed in. Forbidden: the page is not for him, or the form is not from our page.
            NotFound: there is no such tenant, as far as he may know.
        """
        portal: Portal = scope["litestar_app"].state["portal"]
        state: dict[str, Any] = scope["state"]
        headers = {name: value for name, value in scope["headers"] if name in (b"cookie", b"origin", b"sec-fetch-site", b"accept-language")}
        state["cookies"] = cookies = _cookies(headers.get(b"cookie", b""))
        state["language"] = headers.get(b"accept-language", b"").decode("latin-1")
        is_file = scope["route_handler"].opt["audience"] == "file"
        session = await find_session(portal.database, cookies.get(portal.cookie, "")) if not is_file else None
        state["session"] = session
        if scope["method"] not in _READS:  # type: ignore[typeddict-item]
            _require_own_page(portal, headers)
        await _admit(portal, scope, session)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in headers_of(portal) if one[0] not in given)]
            await send(message)

        await next_app(scope, receive, send_with_headers)


def headers_of(portal: Portal) -> list[tuple[bytes, bytes]]:
    """The headers of every page, refusals too."""
    return [*HEADERS, *([STRICT_TRANSPORT] if portal.is_secure else [])]


async def _admit(portal: Portal, scope: Scope, session: Session | None) -> None:
    audience: Audience = scope["route_handler"].opt["audience"]
    if audience in ("file", "anybody"):
        return
    if session is None:
        raise Unauthorized(_NOBODY)
    if audience in ("operator", "setup"):
        if session.role != audience:
            raise Forbidden(_NOT_YOURS)
        return
    slug = scope["path_params"]["slug"]
    tenant = await _tenant(portal, slug) if session.role != "setup" else None
    if tenant is None or (session.tenant_id is not None and session.tenant_id != tenant.id):
        raise NotFound("There is nothing under this address.")
    if audience != "tenant" and not session.manages:
        raise Forbidden(_NOT_YOURS)
    if audience == "fresh-manager" and not session.is_fresh:
        raise SignInAgain(_STALE)
    scope["state"]["tenant"] = tenant


async def _tenant(portal: Portal, slug: str) -> Tenant | None:
    try:
        return await find_tenant(portal.database, slug)
    except NotFound:
        return None


def _require_own_page(portal: Portal, headers: dict[bytes, bytes]) -> None:
    """Let only forms of our own pages through (threat T36): browsers say where a form comes from, and the session's token is asked for besides."""
    site = headers.get(b"sec-fetch-site", b"same-origin")
    origin = headers.get(b"origin")
    parts = urlsplit(portal.public_url)
    if site != b"same-origin" or (origin is not None and origin.decode("latin-1") != f"{parts.scheme}://{parts.netloc}"):
        raise Forbidden("This form was sent from another site. Open the page itself.")


def _cookies(header: bytes) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header.decode("latin-1")[:4096]).items()}
    except CookieError:
        return {}
