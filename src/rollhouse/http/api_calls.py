"""One request to the admin API as the handlers see it: who sends it, its parameters, preconditions and body."""

import re
from typing import TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec

from rollhouse.http.answers import ScimRequest, header
from rollhouse.http.deadlines import Deadline
from rollhouse.http.problems import API_PATH
from rollhouse.http.service import Service
from rollhouse.journal.audit import Cause
from rollhouse.scim.errors import InvalidSyntax, InvalidValue, Unauthorized, quoted
from rollhouse.scim.memberships import is_resource_id
from rollhouse.tenancy import idempotency, tenants
from rollhouse.tenancy.operators import Operator
from rollhouse.tenancy.tenants import Tenant

BODY_SECONDS = 5.0
PAGE_LIMIT = 200
PAGE_DEFAULT = 100
_ECHO_LIMIT = 100
_ETAG = re.compile(r'(?:W/)?"([0-9]{1,18})"')
_NO_VERSION = -1
_REQUIRED = "This path needs an operator's key. Send one as Authorization: Bearer; make one with: rollhouse api-key create --scope SCOPE"

Body = TypeVar("Body")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler answers; `kept` is what a repeat is answered instead, where the body holds a secret."""

    body: object
    version: int | None = None
    location: str | None = None
    kept: object = None
    headers: tuple[tuple[str, str], ...] = ()


class Call:
    """A request whose key has been verified and has the scope that the operation needs.

    `concerns` is the id of the tenant that it is about, once that is known: what is kept of the request goes when the tenant does.
    """

    def __init__(self, service: Service, operator: Operator | None, request: ScimRequest) -> None:
        self.service = service
        self.database = service.database
        self.concerns: UUID | None = None
        self._operator = operator
        self._request = request
        self._body = b""

    @property
    def operator(self) -> Operator:
        """Who sends the request.

        Raises:
            Unauthorized: the operation is an open one, and nobody was asked.
        """
        if self._operator is None:
            raise Unauthorized(_REQUIRED)
        return self._operator

    @property
    def cause(self) -> Cause:
        """Who does what this request does, for the audit."""
        return Cause(f"operator-key:{self.operator.key_id}", self.request_id)

    @property
    def request_id(self) -> str:
        """The id that the answer carries as X-Request-Id, too."""
        return str(self._request.scope["state"]["request_id"])

    def path(self, name: str) -> str:
        """A parameter of the path."""
        return str(self._request.scope["path_params"][name])

    async def tenant(self) -> Tenant:
        """The tenant that the path names.

        Raises:
            NotFound: there is none.
        """
        found = await tenants.find_tenant(self.database, self.path("slug"))
        self.concerns = found.id
        return found

    def parameter(self, name: str) -> str | None:
        """A parameter of the query, None without it.

        Raises:
            InvalidSyntax: the query is not UTF-8.
        """
        try:
            return dict(parse_qsl(self._request.scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="strict")).get(name)
        except ValueError:
            raise InvalidSyntax("The query of the URL is not valid UTF-8 in percent-encoding.") from None

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number of the query.

        Raises:
            InvalidValue: it is none, or out of bounds.
        """
        text = self.parameter(name)
        if text is None:
            return default
        if re.fullmatch(r"[0-9]{1,9}", text) is None or not least <= int(text) <= most:
            raise InvalidValue(f"{name} must be a whole number from {least} to {most}, not {quoted(text)}.")
        return int(text)

    @property
    def limit(self) -> int:
        """Most items of a page: 1 to 200."""
        return self.number("limit", PAGE_DEFAULT, least=1, most=PAGE_LIMIT)

    @property
    def after_id(self) -> UUID | None:
        """The id behind which a page begins.

        Raises:
            InvalidValue: it is no id.
        """
        text = self.parameter("after")
        if text is not None and not is_resource_id(text):
            raise InvalidValue(f"after must be `next` of the page before, not {quoted(text)}.")
        return UUID(text) if text is not None else None

    @property
    def expected_version(self) -> int | None:
        """The version that If-Match demands (RFC 9110 section 13.1.1); None without one (or with `*`), -1 for one that nothing can have."""
        value = header(self._request.scope, b"if-match").decode("latin-1").strip()
        if not value or value == "*":
            return None
        match = _ETAG.fullmatch(value)
        return int(match[1]) if match else _NO_VERSION

    def body(self, kind: type[Body]) -> Body:
        """The body as a Struct; no body is an empty object.

        Raises:
            InvalidSyntax: it is not JSON.
            InvalidValue: a member is unknown, missing, or not what it must be.
        """
        try:
            return msgspec.json.decode(self._body or b"{}", type=kind)
        except msgspec.ValidationError as error:
            raise InvalidValue(f"The body does not fit: {str(error)[:_ECHO_LIMIT]}. See {API_PATH}/docs for its members.") from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise InvalidSyntax("The body is not valid JSON in UTF-8. Send a JSON object.") from None

    async def read_body(self) -> None:
        """Wait for the body, of which `body` and `request_hash` are made.

        A client that takes longer than 5 seconds to send it is refused with RequestTimeout.
        """
        deadline: Deadline = self._request.scope["state"]["deadline"]
        self._body = await deadline.body(self._request.body(), BODY_SECONDS)

    @property
    def idempotency_key(self) -> str | None:
        """What the request's header Idempotency-Key says, None without it."""
        return header(self._request.scope, b"idempotency-key").decode("latin-1") or None

    @property
    def request_hash(self) -> bytes:
        """What makes this request equal to another one; call `read_body` first."""
        return idempotency.hash_request(self._request.method, self._request.scope["path"], self._body)
