"""Every refusal the protocol knows, one class per status or scimType (RFC 7644 section 3.12).

ScimError
├── BadRequest (400)
│   ├── InvalidFilter  InvalidPath  InvalidSyntax  InvalidValue
│   ├── InvalidCursor  ExpiredCursor  InvalidCount
│   └── Mutability  NoTarget  TooMany
├── Unauthorized (401)      Forbidden (403)        NotFound (404)
├── MethodNotAllowed (405)  RequestTimeout (408)   Uniqueness (409)
├── PreconditionFailed (412)
├── PayloadTooLarge (413)   TooManyRequests (429)
└── InternalError (500)     NotImplementedHere (501)  Unavailable (503)
"""

import re
from typing import ClassVar

ECHO_LIMIT = 64
"""At most this many characters of a client's input appear in an error's detail."""

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def quoted(text: object) -> str:
    """The input in double quotes for a detail, cut at 64 characters, with line breaks and controls escaped."""
    shown = str(text)
    if len(shown) > ECHO_LIMIT:
        shown = shown[:ECHO_LIMIT] + "..."
    return '"' + shown.encode("unicode_escape").decode("ascii").replace('"', "'") + '"' if not shown.isprintable() else f'"{shown}"'


def check_characters(text: str) -> None:
    """Hold a text to what can be stored and shown: no control characters but tab and line breaks (threat T24).

    Raises:
        InvalidValue: it has one.
    """
    if not text.isprintable() and _CONTROLS.search(text):
        raise InvalidValue(f"{quoted(text)} holds a control character, which cannot be stored. Mend the value at its source.")


class ScimError(Exception):
    """A refusal with a status, an optional scimType and a detail that tells the client's administrator what to do."""

    status: ClassVar[int] = 500
    scim_type: ClassVar[str | None] = None

    def __init__(self, detail: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds


class BadRequest(ScimError):
    """The request cannot be processed as it is (RFC 7644 section 3.12, status 400)."""

    status = 400


class InvalidFilter(BadRequest):
    """The filter's syntax is wrong, or attribute and operator do not go together (RFC 7644 table 9)."""

    scim_type = "invalidFilter"


class InvalidPath(BadRequest):
    """The PATCH path is malformed (RFC 7644 table 9)."""

    scim_type = "invalidPath"


class InvalidSyntax(BadRequest):
    """The body is not JSON, or not the JSON structure that the request needs (RFC 7644 table 9)."""

    scim_type = "invalidSyntax"


class InvalidValue(BadRequest):
    """A required value is missing, or a value does not fit its attribute (RFC 7644 table 9)."""

    scim_type = "invalidValue"


class InvalidCursor(BadRequest):
    """The cursor is none of ours, or belongs to another query (RFC 9865 table 3)."""

    scim_type = "invalidCursor"


class ExpiredCursor(BadRequest):
    """The cursor is too old (RFC 9865 table 3)."""

    scim_type = "expiredCursor"


class InvalidCount(BadRequest):
    """`count` is no number, or another than that of the query's first page (RFC 9865 table 3)."""

    scim_type = "invalidCount"


class Mutability(BadRequest):
    """The change would touch a read-only attribute or remove a required one (RFC 7644 table 9)."""

    scim_type = "mutability"


class NoTarget(BadRequest):
    """A PATCH operation names nothing that it could act on (RFC 7644 table 9)."""

    scim_type = "noTarget"


class TooMany(BadRequest):
    """The request would yield or process more than the server is willing to (RFC 7644 table 9)."""

    scim_type = "tooMany"


class Unauthorized(ScimError):
    """The credential is proven bad; the same answer for every reason (threat T01, RFC 6750 section 3.1)."""

    status = 401


class Forbidden(ScimError):
    """The credential is good, but what is asked is not allowed (RFC 7644 section 3.12)."""

    status = 403


class NotFound(ScimError):
    """There is no such resource or endpoint in this tenant."""

    status = 404


class MethodNotAllowed(ScimError):
    """The endpoint exists, the method does not."""

    status = 405


class RequestTimeout(ScimError):
    """The client was too slow in sending its request."""

    status = 408


class Conflict(ScimError):
    """The request does not fit the present state."""

    status = 409


class Uniqueness(ScimError):
    """A value that must be unique in the tenant is taken (RFC 7644 table 9)."""

    status = 409
    scim_type = "uniqueness"


class PreconditionFailed(ScimError):
    """If-Match names a version that is no longer the current one (RFC 7644 section 3.14)."""

    status = 412


class PayloadTooLarge(ScimError):
    """The body is larger than the server takes."""

    status = 413


class TooManyRequests(ScimError):
    """The tenant is over its rate limit."""

    status = 429


class InternalError(ScimError):
    """A fault of the service: always a bug, always logged."""

    status = 500


class NotImplementedHere(ScimError):
    """The standard has it, this service does not, or not for this credential (RFC 7644 section 3.11)."""

    status = 501


class Unavailable(ScimError):
    """A dependency is down or busy; the same request is worth another try after Retry-After seconds."""

    status = 503
