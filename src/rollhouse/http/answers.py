"""Every answer of the SCIM edge: media type, headers, and errors of any origin as RFC 7644 section 3.12 bodies."""

from typing import Any

from litestar import Request
from litestar.exceptions import HTTPException
from litestar.types import Receive, Scope, Send

from rollhouse.scim import errors
from rollhouse.scim.messages import SCIM_JSON, encode_error
from rollhouse.telemetry.refusals import note_refusal

_ALWAYS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_SCIM_TYPE = (b"content-type", SCIM_JSON.encode())
_JSON_TYPE = (b"content-type", b"application/json")
_BY_STATUS: dict[int, errors.ScimError] = {
    404: errors.NotFound(
        "There is no such endpoint. Under the Tenant URL, /t/<tenant>/scim/v2, there are those of /ResourceTypes, /ServiceProviderConfig, /Schemas and /Bulk."
    ),
    405: errors.MethodNotAllowed("This endpoint does not have this method."),
    413: errors.PayloadTooLarge("The body is larger than this service takes. Send it in several requests."),
}

ScimRequest = Request[Any, Any, Any]


class Answer:
    """Status, headers and body, sent as they are; the framework's own response object costs a request 10 us of CPU more."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the interface of ASGI
        """Send the answer, as an ASGI application."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})

    def to_asgi_response(self, **_: object) -> "Answer":
        """What Litestar asks of the answer of an exception handler: the answer is an ASGI application already."""
        return self


def header(scope: Any, name: bytes) -> bytes:
    """The first value of a request header, b"" when absent."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


def _headers(scope: Any, body: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of every answer: `application/scim+json`, but `application/json` for a client that accepts only that (L26)."""
    if not body:
        return [*_ALWAYS]
    accept = header(scope, b"accept")
    only_json = b"application/json" in accept and b"scim" not in accept and b"*" not in accept
    return [*_ALWAYS, _JSON_TYPE if only_json else _SCIM_TYPE, (b"content-length", b"%d" % len(body))]


def answer(
    request: ScimRequest,
    body: bytes,
    *,
    status: int = 200,
    etag: str | None = None,
    location: str | None = None,
    content_location: str | None = None,
    preferred: str | None = None,
) -> Answer:
    """A SCIM answer; an empty body has no media type. `preferred` is what was applied of the client's preferences (RFC 7240)."""
    headers = _headers(request.scope, body)
    if etag is not None:
        headers.append((b"etag", etag.encode()))
    if location is not None:
        headers.append((b"location", location.encode()))
    if content_location is not None:
        headers.append((b"content-location", content_location.encode()))
    if preferred is not None:
        headers.append((b"preference-applied", b"return=" + preferred.encode()))
    return Answer(status, headers, body)


def refuse(request: ScimRequest, error: errors.ScimError) -> Answer:
    """The answer to a refusal raised anywhere below."""
    body = encode_error(error)
    headers = _headers(request.scope, body)
    note_refusal(request.scope, error)
    if error.retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
    if isinstance(error, errors.Unauthorized):
        headers.append((b"www-authenticate", b'Bearer realm="SCIM"'))
    return Answer(error.status, headers, body)


def refuse_framework_error(request: ScimRequest, error: HTTPException) -> Answer:
    """The answer to what Litestar itself refuses: unknown routes, methods and bodies over the limit."""
    response = refuse(request, _BY_STATUS.get(error.status_code) or errors.BadRequest("The request cannot be read."))
    response.headers += [(b"allow", value.encode()) for name, value in (error.headers or {}).items() if name.lower() == "allow"]
    return response


def refuse_fault(request: ScimRequest, error: Exception) -> Answer:
    """The answer to an exception that nobody expected: a bug, logged without the request's data."""
    fault = errors.InternalError("The service met a fault of its own; it has been logged.")
    fault.__cause__ = error
    return refuse(request, fault)
