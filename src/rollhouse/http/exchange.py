"""One authenticated SCIM request as the handlers see it: tenant, query parameters, preconditions, tolerances used."""

import re
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from rollhouse.directory.queries import Position, Sort
from rollhouse.directory.scopes import Query, Scope
from rollhouse.http.answers import ScimRequest, header
from rollhouse.http.cursors import Cursor, about, seal, unseal
from rollhouse.http.deadlines import Deadline
from rollhouse.http.service import Service
from rollhouse.journal.audit import Cause
from rollhouse.limits.limit import Limit
from rollhouse.scim.conditions import field_of, resolve_filter
from rollhouse.scim.errors import (
    BadRequest,
    InvalidCount,
    InvalidCursor,
    InvalidSyntax,
    InvalidValue,
    NotFound,
    TooManyRequests,
    quoted,
)
from rollhouse.scim.filters import parse_filter
from rollhouse.scim.keys import index_text
from rollhouse.scim.messages import SEARCH_URN, check_schemas, names_in
from rollhouse.scim.projection import Projection
from rollhouse.scim.registry import Registry
from rollhouse.scim.schemas import ResourceType
from rollhouse.scim.tolerances import Strict, Tolerance
from rollhouse.telemetry.metrics import RATE_LIMITED
from rollhouse.tenancy.access import Access

_ETAG = re.compile(r'\s*(?:W/)?"?([0-9]{1,18})"?\s*')
_NO_VERSION = -1
BODY_SECONDS = 10
COST_OF_READ = 1
COST_OF_WRITE = 2
COST_OF_SEARCH = 2
"""What a filter costs that no index answers; it is charged when the filter has been read."""


class Exchange:
    """A request of a tenant whose secret has been verified."""

    def __init__(self, service: Service, access: Access, scope: Any, deadline: Deadline, registry: Registry) -> None:
        tenant = access.tenant
        self.service = service
        self.tenant = tenant
        self.registry = registry
        self.subject_id = access.subject_id
        if tenant.profile.strict:
            scope["state"]["noted"] = Strict(scope["state"]["noted"])
        self.noted: set[Tolerance] = scope["state"]["noted"]
        self.credential_id = access.credential_id
        self.cause = Cause(f"credential:{access.credential_id}", scope["state"]["request_id"])
        self.read_body = b""
        self.looked_for: str | None = None
        self._scope = scope
        self._deadline = deadline
        self._parameters: dict[str, str] | None = None
        self._projected: tuple[ResourceType, Projection] | None = None
        self.base_url = service.public_url + tenant.path

    @property
    def seconds_left(self) -> float:
        """Until the request is answered with 503, whatever it is at."""
        return self._deadline.at - time.monotonic()

    async def charge(self, cost: int, *, has_begun: bool = False) -> None:
        """Take the cost of the request from what the tenant may spend; all answers then say what is left.

        What a request turns out to cost beside what it was let in for (`has_begun`) is taken whatever is left.

        Raises:
            TooManyRequests: the tenant is over its limit.
        """
        limit = self.service.default_limit
        rate, burst = self.tenant.rate_per_second, self.tenant.burst
        if rate is not None or burst is not None:
            limit = Limit(rate if rate is not None else limit.rate_per_second, burst if burst is not None else limit.burst)
        if limit.rate_per_second == 0:
            return
        decision = await self.service.limiter.admit(str(self.tenant.id), limit, cost, has_begun=has_begun)
        self._scope["state"]["rate_limit"] = limit, decision
        if not decision.allowed:
            RATE_LIMITED.inc()
            raise TooManyRequests(
                f"This tenant is over its limit of {limit.rate_per_second} requests a second. Wait and send the same request again.",
                retry_after_seconds=decision.retry_after_seconds,
            )

    @property
    def parameters(self) -> dict[str, str]:
        """The query parameters, names in lower case; a form-encoded value is decoded once. Unknown ones are ignored (L28).

        Raises:
            InvalidSyntax: they are not UTF-8.
        """
        if self._parameters is not None:
            return self._parameters
        text = self._scope["query_string"].decode("latin-1")
        try:
            self._parameters = {name.lower(): value for name, value in parse_qsl(text, keep_blank_values=True, errors="strict")} if text else {}
        except (UnicodeDecodeError, ValueError):
            raise InvalidSyntax("The query of the URL is not valid UTF-8 in percent-encoding.") from None
        return self._parameters

    def ask_for(self, message: dict[str, Any]) -> None:
        """Take the query from a SearchRequest (RFC 7644 section 3.4.3), whose members have the names of the URL's parameters.

        Raises:
            InvalidValue: a member is neither text, a number, nor a list of texts.
        """
        check_schemas(message, SEARCH_URN, self.noted)
        asked = {}
        for name, value in message.items():
            if isinstance(value, list) and all(isinstance(part, str) for part in value):
                asked[name.lower()] = ",".join(value)
            elif isinstance(value, str | int):
                asked[name.lower()] = str(value)
            elif value is not None:
                raise InvalidValue(f"{quoted(name)} in a search must be text, a number or a list of texts.")
        self._parameters = asked

    def directory(self, endpoint: str) -> Scope:
        """The tenant's resources behind an endpoint such as `Users`.

        Raises:
            NotFound: there is no such endpoint.
        """
        resource_type = self.registry.by_endpoint.get(endpoint.lower())
        if resource_type is None:
            raise NotFound(f"There is no endpoint {quoted(endpoint)}; see /ResourceTypes for those there are.")
        return self.scope_of(resource_type)

    def scope_of(self, resource_type: ResourceType) -> Scope:
        """The tenant's resources of a type."""
        tenant = self.tenant
        in_company = self.service.in_flight.taken_by(tenant.id) > self.service.database.turns.share
        return Scope(self.service.database, tenant.id, resource_type, self.base_url, self.cause, self.registry.revision, tenant.profile, in_company)

    def searches(self) -> list[tuple[Scope, Query]]:
        """The same query for each resource type; an attribute that a type lacks has no value there (RFC 7644 section 3.4.2.1).

        Raises:
            InvalidFilter: no type has it, the filter is malformed, or does not fit one of the types that have it.
        """
        types = [one for one in self.registry.resource_types if not one.is_membership]
        return [(self.scope_of(one), self.query(one, among=types)) for one in types]

    def projection(self, resource_type: ResourceType) -> Projection:
        """Which attributes the answer is to show."""
        if self._projected is None or self._projected[0] is not resource_type:
            self._projected = resource_type, self._project(resource_type)
        return self._projected[1]

    def _project(self, resource_type: ResourceType) -> Projection:
        is_write = self._scope["method"] in ("POST", "PUT", "PATCH") and not self._scope["path"].endswith("/.search")
        named = names_in(msgspec.json.decode(self.read_body)) if is_write and resource_type.shown_on_request else set()
        written = frozenset(one.index_name for one in resource_type.shown_on_request if one.leaf.key in named)
        return Projection(resource_type, self.parameters.get("attributes"), self.parameters.get("excludedattributes"), written=written)

    def query(self, resource_type: ResourceType, *, among: Sequence[ResourceType] = ()) -> Query:
        """What a list request asks for, of this type or of it `among` others.

        Raises:
            InvalidFilter: the filter or sortBy cannot be run.
            InvalidValue: startIndex or count is no whole number.
        """
        text = self.parameters.get("filter", "")
        condition = resolve_filter(resource_type, parse_filter(text, self.noted), among=among) if text.strip() else None
        by = self.parameters.get("sortby", "").strip()
        sort = Sort(field_of(resource_type, by, among=among), self.parameters.get("sortorder", "").lower() == "descending") if by else None
        found = Query(condition, sort, self._start_index(), self._count())
        self.looked_for = index_text(found.key.value) if found.key is not None else None
        return found

    @property
    def cursor(self) -> Cursor | None:
        """Where a crawl by cursor stands, None for a list by index; an empty cursor begins one (RFC 9865 section 2).

        Raises:
            InvalidCursor, ExpiredCursor: the cursor does not lead on.
            InvalidCount: count is not that of the first page.
        """
        text = self.parameters.get("cursor")
        if text is None:
            return None
        if self._start_index() != 1:
            raise InvalidCursor("A list is asked for by startIndex or by cursor, not by both.")
        if not text:
            return Cursor(0, None, self._count(), -1)
        found = unseal(self.service.peppers, self._about, text)
        if "count" in self.parameters and self._count() != found.count:
            raise InvalidCount(f"count was {found.count} on the first page of this query and must stay so.")
        return found

    def next_cursor(self, place: int, after: Position | None, count: int, total: int) -> str:
        """The sealed cursor of the page that begins behind a position in the resource type at that place."""
        return seal(self.service.peppers, self._about, Cursor(place, after, count, total))

    @property
    def _about(self) -> bytes:
        asked = [self.parameters.get(name, "").strip() for name in ("filter", "sortby", "sortorder")]
        return about(self.tenant.id, self._listed, str(self.registry.revision), *asked)

    @property
    def _listed(self) -> str:
        """What is listed: the endpoint, the same for a GET and its `.search`; "" for everything."""
        return str(self._scope["path_params"].get("endpoint", "")).lower()

    def _start_index(self) -> int:
        asked = self._integer("startindex", 1)
        if asked < 1:
            self.noted.add(Tolerance.PAGE_BOUNDS)
        return min(max(asked, 1), 2**31)

    def _count(self) -> int:
        refusal = InvalidCount if "cursor" in self.parameters else InvalidValue
        asked = self._integer("count", self.service.limits.page_size_default, refusal)
        count = min(max(asked, 0), self.service.limits.page_size)
        if count != asked:
            self.noted.add(Tolerance.PAGE_BOUNDS)
        return count

    def _integer(self, name: str, default: int, refusal: type[BadRequest] = InvalidValue) -> int:
        text = self.parameters.get(name)
        if text is None or not (text := text.strip()):
            return default
        if re.fullmatch(r"[+-]?[0-9]{1,18}", text) is None:
            raise refusal(f"{name} must be a whole number of at most 18 digits, not {quoted(text)}.")
        return int(text)

    @property
    def prefers(self) -> str | None:
        """`minimal` or `representation`, if the client prefers one of them to be returned (RFC 7240 section 4.2)."""
        for part in header(self._scope, b"prefer").decode("latin-1").lower().split(","):
            name, _, value = part.partition(";")[0].partition("=")
            if name.strip() == "return" and value.strip().strip('"') in ("minimal", "representation"):
                return value.strip().strip('"')
        return None

    @property
    def expected_version(self) -> int | None:
        """The version that If-Match demands; None without one (or with `*`), -1 for one that no resource can have."""
        return version_in(header(self._scope, b"if-match").decode("latin-1"))

    @property
    def names_versions(self) -> bool:
        """Whether the request has an If-None-Match."""
        return bool(header(self._scope, b"if-none-match"))

    def has_version(self, version: int) -> bool:
        """Whether If-None-Match names this version: the client has it already (RFC 7644 section 3.14), or wants no change of it."""
        if not self.names_versions:
            return False
        value = header(self._scope, b"if-none-match").decode("latin-1").strip()
        return value == "*" or any((match := _ETAG.fullmatch(tag)) is not None and int(match[1]) == version for tag in value.split(","))

    async def body(self, request: ScimRequest) -> bytes:
        """The request's body; its media type is never a reason to refuse it (L27).

        A client that takes longer than 10 seconds to send it is refused with RequestTimeout.
        """
        if not header(self._scope, b"content-type").startswith(b"application/scim+json"):
            self.noted.add(Tolerance.PLAIN_JSON)
        self.read_body = await self._deadline.body(request.body(), BODY_SECONDS)
        return self.read_body


def exchange_of(request: ScimRequest) -> Exchange:
    """The exchange that the tenant gate put into the request's state."""
    found: Exchange = request.scope["state"]["exchange"]
    return found


def version_in(text: str) -> int | None:
    """The version in an ETag that must be the current one: None if none must (or `*`), -1 for one that no resource can have."""
    if not text.strip() or text.strip() == "*":
        return None
    match = _ETAG.fullmatch(text)
    return int(match[1]) if match else _NO_VERSION
