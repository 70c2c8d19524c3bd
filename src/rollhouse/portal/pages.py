"""Templates to answers: every page has the same frame, headers and words, whoever looks and whatever went wrong."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from litestar import Response
from litestar.exceptions import HTTPException
from litestar.response import Redirect

from rollhouse.portal import charts
from rollhouse.portal.forms import PageRequest
from rollhouse.portal.gate import SignInAgain, headers_of
from rollhouse.portal.parts import Portal
from rollhouse.portal.words import languages, words_for
from rollhouse.scim import errors
from rollhouse.scim.errors import InternalError, MethodNotAllowed, NotFound, PayloadTooLarge, ScimError, Unauthorized
from rollhouse.telemetry.refusals import note_refusal

STATIC_PATH = "/static"
STATIC = Path(__file__).with_name("static")
HTML = "text/html; charset=utf-8"
_SIGN_IN = "/signin"
_THEMES = ("light", "dark")
_BY_STATUS: dict[int, ScimError] = {
    404: NotFound("There is nothing under this address."),
    405: MethodNotAllowed("This page cannot be asked in this way."),
    413: PayloadTooLarge("The form is too large."),
}


def _ago(moment: datetime | None) -> str:
    """How long ago something was, in the largest unit that fits: 12 s, 5 min, 3 h, 2 d."""
    if moment is None:
        return ""
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _until(moment: datetime) -> str:
    """How long until something is to be, in minutes and seconds; 0:00 when it is due. The script of the pages counts on from there."""
    seconds = max(0, int((moment - datetime.now(UTC)).total_seconds()))
    return f"{seconds // 60}:{seconds % 60:02}"


def _pretty(text: str | None) -> str:
    """JSON over several lines; what is none stays as it is."""
    try:
        return json.dumps(json.loads(text or ""), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text or ""


def environment() -> Environment:
    """The templates; every value is escaped, a missing one is an error."""
    made = Environment(
        loader=PackageLoader("rollhouse.portal"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"ago": _ago, "until": _until, "pretty": _pretty, "urlquery": urlencode}
    made.globals |= {"charts": charts, "languages": languages, "static": STATIC_PATH}
    return made


_ENVIRONMENT = environment()


def render(request: PageRequest, template: str, *, status: int = 200, **values: Any) -> Response[bytes]:
    """A page; it is stored nowhere on its way."""
    state = request.scope["state"]
    chosen = state.get("cookies", {})
    words = words_for(chosen.get("language", ""), state.get("language", ""))
    theme = chosen.get("theme", "")
    path = request.scope["path"]
    frame = {
        "session": state.get("session"),
        "tenant": state.get("tenant"),
        "path": path,
        "back": path if request.method == "GET" else path.rsplit("/", 1)[0] or "/",
        "theme": theme if theme in _THEMES else None,
        "language": words.language,
        "request_id": state["request_id"],
        "_": words.gettext,
        "gettext": words.gettext,
        "ngettext": words.ngettext,
    }
    body = _ENVIRONMENT.get_template(template).render(frame | values).encode()
    return Response(body, media_type=HTML, status_code=status, headers={"cache-control": "no-store"})


def render_part(request: PageRequest, template: str, **values: Any) -> str:
    """A part of a page, in the words of whoever looks at it."""
    state = request.scope["state"]
    words = words_for(state["cookies"].get("language", ""), state["language"])
    return _ENVIRONMENT.get_template(template).render({"_": words.gettext, "gettext": words.gettext, "ngettext": words.ngettext, **values})


def cookie_of(portal: Portal, name: str, value: str, *, seconds: int | None) -> str:
    """A cookie for this host alone, which no script reads; without `seconds` it ends with the browser."""
    age = "" if seconds is None else f"; Max-Age={seconds}"
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}{'; Secure' if portal.is_secure else ''}"


def go_to(path: str, *, cookie: str | None = None) -> Response[Any]:
    """The way from a form to the page that shows what it did (303)."""
    answer = Redirect(path, status_code=303)
    answer.headers["cache-control"] = "no-store"
    if cookie is not None:
        answer.headers["set-cookie"] = cookie
    return answer


def refuse_page(request: PageRequest, error: ScimError) -> Response[Any]:
    """The page for a refusal; somebody who is not signed in is asked to, and comes back to where he wanted to go."""
    path = request.scope["path"]
    if isinstance(error, Unauthorized) and request.method == "GET" and not path.startswith(("/setup", _SIGN_IN)):
        return go_to(f"{_SIGN_IN}?{urlencode({'next': path})}")
    if isinstance(error, SignInAgain):
        return render(request, "sign_in_again.html", status=error.status, error=error)
    note_refusal(request.scope, error)
    answer = render(request, "refusal.html", status=error.status, error=error)
    if error.retry_after_seconds is not None:
        answer.headers["retry-after"] = str(error.retry_after_seconds)
    return answer


def refuse_framework_page(request: PageRequest, error: HTTPException) -> Response[Any]:
    """The page for what the framework itself refuses: unknown addresses and methods; a form's address asked for again leads to its page."""
    if error.status_code == errors.MethodNotAllowed.status and request.method == "GET":
        return go_to(request.scope["path"].rsplit("/", 1)[0] or "/")
    return refuse_page(request, _BY_STATUS.get(error.status_code) or errors.BadRequest("The request cannot be read."))


def refuse_page_fault(request: PageRequest, error: Exception) -> Response[Any]:
    """The page for an exception that nobody expected: a bug, logged without the request's data."""
    fault = InternalError("The service met a fault of its own; it has been logged.")
    fault.__cause__ = error
    return refuse_page(request, fault)


def guarded(portal: Portal, refuse: Callable[..., Response[Any]]) -> Callable[..., Response[Any]]:
    """A handler of refusals whose pages carry the headers of all pages: a refusal of the gate has not passed it."""

    def answer(request: PageRequest, error: Any) -> Response[Any]:
        made = refuse(request, error)
        for name, value in headers_of(portal):
            made.headers.setdefault(name.decode(), value.decode())
        return made

    return answer
