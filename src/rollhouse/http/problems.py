"""Refusals of the admin API as problem details (RFC 9457), whatever raised them."""

from collections.abc import Callable
from typing import Any

import msgspec
from litestar.exceptions import HTTPException

from rollhouse.http.answers import Answer, ScimRequest
from rollhouse.portal.routes import is_portal
from rollhouse.scim import errors
from rollhouse.telemetry.refusals import note_refusal

API_PATH = "/api/v1"
PROBLEM_JSON = "application/problem+json"
ALWAYS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Kind(msgspec.Struct, frozen=True):
    """One kind of problem: its anchor in the documentation, its title, and what to do about it."""

    anchor: str
    title: str
    cure: str


KINDS = {
    400: Kind("bad-request", "The request cannot be read", "Mend what the detail names, then send the request again."),
    401: Kind("unauthorized", "No valid key", "Send a live operator's key as Authorization: Bearer."),
    403: Kind("forbidden", "The key lacks a scope", "Use a key that has the scope that the detail names."),
    404: Kind("not-found", "There is no such thing", "Check the slug, the id and the path."),
    405: Kind("method-not-allowed", "The path does not have this method", "Use a method that the header Allow names."),
    408: Kind("request-timeout", "The body did not arrive in time", "Send the request again."),
    409: Kind("conflict", "The present state does not allow it", "Read it again and decide anew; with Retry-After, send the same again."),
    412: Kind("precondition-failed", "The version is another", "Read it again and send its current ETag in If-Match."),
    413: Kind("content-too-large", "The body is too large", "Send at most 64 KiB."),
    422: Kind("idempotency-key-reused", "The Idempotency-Key stands for another request", "Make a new key for every new request."),
    429: Kind("too-many-requests", "Too many requests", "Wait for the seconds of Retry-After, then send the same request again."),
    500: Kind("fault", "A fault of the service", "Report the instance to whoever runs the service; the log names it."),
    503: Kind("unavailable", "The service is busy or starting", "Wait for the seconds of Retry-After, then send the same request again."),
}
"""Every status of a refusal."""


class Problem(msgspec.Struct, frozen=True):
    """Problem details (RFC 9457 section 3.1): `type` points into the documentation, `instance` is the id of the request."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


_BY_STATUS: dict[int, errors.ScimError] = {
    404: errors.NotFound(f"There is no such path. See {API_PATH}/docs for those there are."),
    405: errors.MethodNotAllowed(f"This path does not have this method. See {API_PATH}/docs."),
    413: errors.PayloadTooLarge("The body is larger than 64 KiB. Send less."),
}


def problem_of(error: errors.ScimError, request_id: str) -> Problem:
    """The problem details that a refusal stands for."""
    kind = KINDS[error.status]
    return Problem(f"{API_PATH}/docs#{kind.anchor}", kind.title, error.status, error.detail, request_id)


def refuse_api(request: ScimRequest, error: errors.ScimError) -> Answer:
    """The answer to a refusal raised anywhere below the admin API."""
    body = msgspec.json.encode(problem_of(error, request.scope["state"]["request_id"]))
    headers = [*ALWAYS, (b"content-type", PROBLEM_JSON.encode()), (b"content-length", b"%d" % len(body))]
    if error.retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
    if isinstance(error, errors.Unauthorized):
        headers.append((b"www-authenticate", b'Bearer realm="Rollhouse API"'))
    note_refusal(request.scope, error)
    return Answer(error.status, headers, body)


def refuse_api_framework_error(request: ScimRequest, error: HTTPException) -> Answer:
    """The answer to what Litestar itself refuses: unknown paths, methods and bodies over the limit."""
    response = refuse_api(request, _BY_STATUS.get(error.status_code) or errors.BadRequest("The request cannot be read. Check its path, query and body."))
    response.headers += [(b"allow", value.encode()) for name, value in (error.headers or {}).items() if name.lower() == "allow"]
    return response


def refuse_api_fault(request: ScimRequest, error: Exception) -> Answer:
    """The answer to an exception that nobody expected: a bug, logged without the request's data."""
    fault = errors.InternalError("The service met a fault of its own; it has been logged.")
    fault.__cause__ = error
    return refuse_api(request, fault)


def by_path(scim: Callable[..., Answer], api: Callable[..., Answer], page: Callable[..., Any]) -> Callable[[ScimRequest, Any], Any]:
    """A handler of refusals that answers in the words of the API under /api, in a page under the portal's addresses, of SCIM elsewhere.

    Unknown paths belong to no router.
    """

    def refuse(request: ScimRequest, error: Any) -> Any:
        path = request.scope["path"]
        if path == "/api" or path.startswith("/api/"):
            return api(request, error)
        return (page if is_portal(path) else scim)(request, error)

    return refuse


API_REFUSALS: dict[int | type[Exception], Any] = {
    errors.ScimError: refuse_api,
    HTTPException: refuse_api_framework_error,
    Exception: refuse_api_fault,
}
