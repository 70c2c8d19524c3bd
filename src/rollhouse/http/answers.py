"""Every answer of the SCIM edge: media type, headers, and errors of any origin as RFC 7644 section 3.12 bodies."""

from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException

from rollhouse.scim import errors
from rollhouse.scim.messages import SCIM_JSON, encode_error
from rollhouse.telemetry.logs import log_fault

_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_BY_STATUS: dict[int, errors.ScimError] = {
    404: errors.NotFound("There is no such endpoint. SCIM lives under /t/<tenant>/scim/v2, e.g. /t/<tenant>/scim/v2/Users."),
    405: errors.MethodNotAllowed("This endpoint does not have this method."),
    413: errors.PayloadTooLarge("The body is larger than this service takes. Send it in several requests."),
}


def media_type(accept: bytes) -> str:
    """`application/scim+json`, but `application/json` for a client that accepts only that (L26)."""
    if b"application/json" in accept and b"scim" not in accept and b"*" not in accept:
        return "application/json"
    return SCIM_JSON


def header(scope: Any, name: bytes) -> bytes:  # noqa: ANN401 - an ASGI scope
    """The first value of a request header, b"" when absent."""
    return next((value for key, value in scope["headers"] if key == name), b"")


def answer(request: Request[Any, Any, Any], body: bytes, *, status: int = 200, etag: str | None = None, location: str | None = None) -> Response[bytes]:
    """A SCIM answer; an empty body has no media type."""
    headers = dict(_HEADERS)
    if etag is not None:
        headers["etag"] = etag
    if location is not None:
        headers["location"] = location
    return Response(body, status_code=status, headers=headers, media_type=media_type(header(request.scope, b"accept")) if body else None)


def refuse(request: Request[Any, Any, Any], error: errors.ScimError) -> Response[bytes]:
    """The answer to a refusal raised anywhere below."""
    headers = dict(_HEADERS)
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(error.retry_after_seconds)
    if isinstance(error, errors.Unauthorized):
        headers["www-authenticate"] = 'Bearer realm="SCIM"'
    if isinstance(error, errors.InternalError):
        log_fault("request.fault", error, method=request.method, route=request.scope.get("path_template"))
    return Response(encode_error(error), status_code=error.status, headers=headers, media_type=media_type(header(request.scope, b"accept")))


def refuse_framework_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """The answer to what Litestar itself refuses: unknown routes, methods and bodies over the limit."""
    response = refuse(request, _BY_STATUS.get(error.status_code) or errors.BadRequest("The request cannot be read."))
    for name, value in (error.headers or {}).items():
        if name.lower() == "allow":
            response.headers["allow"] = value
    return response


def refuse_fault(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The answer to an exception that nobody expected: a bug, logged without the request's data."""
    fault = errors.InternalError("The service met a fault of its own; it has been logged.")
    fault.__cause__ = error
    return refuse(request, fault)
