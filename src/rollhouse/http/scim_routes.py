"""The SCIM routes (RFC 7644 section 3): each handler reads the request, calls one verb of the directory, and answers."""

import msgspec
from litestar import Controller, delete, get, patch, post, put
from litestar.params import FromPath

from rollhouse.directory import resources
from rollhouse.directory.scopes import Page, Query, Scope
from rollhouse.http.answers import Answer, ScimRequest, answer
from rollhouse.http.bulk import Bulk
from rollhouse.http.cursors import Cursor
from rollhouse.http.exchange import COST_OF_READ, COST_OF_SEARCH, Exchange, exchange_of
from rollhouse.scim import discovery, messages
from rollhouse.scim.errors import Forbidden, NotFound, NotImplementedHere, PayloadTooLarge, PreconditionFailed, quoted
from rollhouse.scim.registry import DISCOVERY
from rollhouse.scim.representation import Record, etag, location, represent
from rollhouse.scim.schemas import ResourceType


class DiscoveryController(Controller):
    """What this service can do and which schemas the tenant knows (RFC 7644 section 4)."""

    @get("/ServiceProviderConfig")
    async def get_service_provider_config(self, request: ScimRequest) -> Answer:
        """The features of the service (RFC 7643 section 5)."""
        exchange = _unfiltered(request)
        return answer(request, messages.encode(discovery.service_provider_config(exchange.base_url, exchange.service.limits)))

    @get("/ResourceTypes")
    async def list_resource_types(self, request: ScimRequest) -> Answer:
        """The kinds of resources of the tenant."""
        exchange = _unfiltered(request)
        described = [messages.encode(discovery.describe_resource_type(exchange.base_url, known)) for known in exchange.registry.resource_types]
        return answer(request, messages.encode_list(described, total=len(described)))

    @get("/ResourceTypes/{name:str}")
    async def get_resource_type(self, request: ScimRequest, name: FromPath[str]) -> Answer:
        """One kind of resources."""
        exchange = _unfiltered(request)
        for known in exchange.registry.resource_types:
            if known.name.lower() == name.lower():
                return answer(request, messages.encode(discovery.describe_resource_type(exchange.base_url, known)))
        raise NotFound(f"There is no resource type {quoted(name)}.")

    @get("/Schemas")
    async def list_schemas(self, request: ScimRequest) -> Answer:
        """Every schema of the tenant; those of discovery itself only for a strict one, since clients offer what is listed for mapping."""
        exchange = _unfiltered(request)
        listed = [*exchange.registry.schemas.values(), *(DISCOVERY if exchange.tenant.profile.strict else ())]
        described = [messages.encode(discovery.describe_schema(exchange.base_url, schema)) for schema in listed]
        return answer(request, messages.encode_list(described, total=len(described)))

    @get("/Schemas/{urn:str}")
    async def get_schema(self, request: ScimRequest, urn: FromPath[str]) -> Answer:
        """One schema."""
        exchange = _unfiltered(request)
        schema = exchange.registry.schemas.get(urn.lower()) or next((one for one in DISCOVERY if one.id.lower() == urn.lower()), None)
        if schema is None:
            raise NotFound(f"There is no schema {quoted(urn)}.")
        return answer(request, messages.encode(discovery.describe_schema(exchange.base_url, schema)))


class EverythingController(Controller):
    """What concerns all resource types at once: queries at the root, and bulk."""

    @get("/")
    async def list_everything(self, request: ScimRequest) -> Answer:
        """A page of resources of every type (RFC 7644 section 3.4.2.1), type after type; a type without the filter's attributes has no match."""
        return await _list(request, exchange_of(request), exchange_of(request).searches())

    @post("/.search")
    async def search_everything(self, request: ScimRequest) -> Answer:
        """The same, with the query in the body (RFC 7644 section 3.4.3)."""
        exchange = await _asked(request)
        return await _list(request, exchange, exchange.searches())

    @post("/Bulk")
    async def do_bulk(self, request: ScimRequest) -> Answer:
        """Many operations in one request, each for itself (RFC 7644 section 3.7)."""
        exchange = exchange_of(request)
        limit = exchange.service.limits.bulk_bytes
        body = await exchange.body(request)
        if len(body) > limit:
            raise PayloadTooLarge(
                f"The body has {len(body)} bytes; at most {limit} are taken (maxPayloadSize in /ServiceProviderConfig). Send several requests."
            )
        return answer(request, messages.encode(await Bulk(exchange).carry_out(messages.decode_object(body))))


class MeController(Controller):
    """The resource for which the credential speaks (RFC 7644 section 3.11), under a name of its own."""

    path = "/Me"

    @get("/")
    async def get_me(self, request: ScimRequest) -> Answer:
        """It, as under its own address."""
        return await _read(request, *await _subject(request), is_alias=True)

    @put("/")
    async def replace_me(self, request: ScimRequest) -> Answer:
        """It, replaced."""
        return await _replace(request, *await _subject(request), is_alias=True)

    @patch("/")
    async def patch_me(self, request: ScimRequest) -> Answer:
        """It, changed in parts."""
        return await _patch(request, *await _subject(request), is_alias=True)

    @delete("/", status_code=200)
    async def delete_me(self, request: ScimRequest) -> Answer:
        """It, gone."""
        return await _delete(request, *await _subject(request))

    @post("/")
    async def create_me(self, request: ScimRequest) -> Answer:
        """Nobody can make himself here."""
        raise NotImplementedHere(f"{request.method} on /Me: a resource is made by its identity provider, at the endpoint of its type.")


class ResourceController(Controller):
    """Every resource type of a tenant: the engine knows schemas, not classes of resources."""

    @get("/{endpoint:str}")
    async def list_resources(self, request: ScimRequest, endpoint: FromPath[str]) -> Answer:
        """A page of resources (RFC 7644 section 3.4.2)."""
        exchange = exchange_of(request)
        scope = exchange.directory(endpoint)
        return await _list(request, exchange, [(scope, exchange.query(scope.resource_type))])

    @post("/{endpoint:str}/.search")
    async def search_resources(self, request: ScimRequest, endpoint: FromPath[str]) -> Answer:
        """A page of resources whose query is in the body, out of logs and URLs (RFC 7644 section 3.4.3)."""
        exchange = await _asked(request)
        scope = exchange.directory(endpoint)
        return await _list(request, exchange, [(scope, exchange.query(scope.resource_type))])

    @post("/{endpoint:str}")
    async def create_resource(self, request: ScimRequest, endpoint: FromPath[str]) -> Answer:
        """A new resource (RFC 7644 section 3.3)."""
        exchange = exchange_of(request)
        scope = exchange.directory(endpoint)
        body = messages.decode_resource(scope.resource_type, await exchange.body(request), exchange.noted)
        return _shown(request, exchange, scope, await resources.create_resource(scope, body, exchange.noted), status=201)

    @get("/{endpoint:str}/{resource_id:str}")
    async def get_resource(self, request: ScimRequest, endpoint: FromPath[str], resource_id: FromPath[str]) -> Answer:
        """One resource (RFC 7644 section 3.4.1)."""
        return await _read(request, exchange_of(request).directory(endpoint), resource_id)

    @put("/{endpoint:str}/{resource_id:str}")
    async def replace_resource(self, request: ScimRequest, endpoint: FromPath[str], resource_id: FromPath[str]) -> Answer:
        """One resource, replaced (RFC 7644 section 3.5.1)."""
        return await _replace(request, exchange_of(request).directory(endpoint), resource_id)

    @patch("/{endpoint:str}/{resource_id:str}")
    async def patch_resource(self, request: ScimRequest, endpoint: FromPath[str], resource_id: FromPath[str]) -> Answer:
        """One resource, changed in parts (RFC 7644 section 3.5.2); the tenant's profile says how it is answered."""
        return await _patch(request, exchange_of(request).directory(endpoint), resource_id)

    @delete("/{endpoint:str}/{resource_id:str}", status_code=200)
    async def delete_resource(self, request: ScimRequest, endpoint: FromPath[str], resource_id: FromPath[str]) -> Answer:
        """One resource, gone (RFC 7644 section 3.6)."""
        return await _delete(request, exchange_of(request).directory(endpoint), resource_id)


Wanted = list[tuple[Scope, Query]]
"""The resource types of a list, in order, each with what is asked of it."""


async def _list(request: ScimRequest, exchange: Exchange, wanted: Wanted) -> Answer:
    """One page over one or several resource types, the later ones behind the earlier, by index or by cursor."""
    if not all(query.is_cheap for _, query in wanted):
        await exchange.charge(COST_OF_SEARCH - COST_OF_READ, has_begun=True)
    cursor = exchange.cursor
    if cursor is not None:
        return await _list_by_cursor(request, exchange, wanted, cursor)
    shown: list[bytes] = []
    total = 0
    for scope, query in wanted:
        part = msgspec.structs.replace(query, start_index=max(query.start_index - total, 1), count=query.count - len(shown))
        page = await _page(exchange, scope, part, shown)
        total += page.total
    return answer(request, messages.encode_list(shown, total=total, start_index=wanted[0][1].start_index))


async def _list_by_cursor(request: ScimRequest, exchange: Exchange, wanted: Wanted, cursor: Cursor) -> Answer:
    """The page that a cursor leads to. Each costs the same wherever it stands; how many there are in all is counted for the first one alone."""
    place, after, shown = cursor.place, cursor.after, list[bytes]()
    known = cursor.total if cursor.total >= 0 else None
    total = known or 0
    while place < len(wanted) and len(shown) < cursor.count:
        scope, query = wanted[place]
        page = await _page(exchange, scope, msgspec.structs.replace(query, count=cursor.count - len(shown), after=after, total=known), shown)
        total += page.total if known is None else 0
        after = page.next
        place += after is None
    for scope, query in wanted[place + (after is not None) :] if known is None else ():
        total += (await _page(exchange, scope, msgspec.structs.replace(query, count=0), [])).total
    next_cursor = exchange.next_cursor(place, after, cursor.count, total) if cursor.count and place < len(wanted) else None
    return answer(request, messages.encode_cursor_list(shown, total=total, next_cursor=next_cursor))


async def _page(exchange: Exchange, scope: Scope, query: Query, shown: list[bytes]) -> Page:
    """The page, whose resources are appended to `shown` as their projection wants them."""
    projection = exchange.projection(scope.resource_type)
    page = await resources.list_resources(scope, query, with_relation=projection.shows_relation)
    shown += [represent(record, scope.resource_type, scope.base_url, projection) for record in page.records]
    return page


async def _asked(request: ScimRequest) -> Exchange:
    """The exchange of a search, with the query of its body."""
    exchange = exchange_of(request)
    exchange.ask_for(messages.decode_object(await exchange.body(request)))
    return exchange


async def _read(request: ScimRequest, scope: Scope, resource_id: str, *, is_alias: bool = False) -> Answer:
    exchange = exchange_of(request)
    projection = exchange.projection(scope.resource_type)
    record = await resources.get_resource(scope, resource_id, with_relation=projection.shows_relation)
    if exchange.has_version(record.version):
        return answer(request, b"", status=304, etag=etag(record.version))
    return _shown(request, exchange, scope, record, is_alias=is_alias)


async def _replace(request: ScimRequest, scope: Scope, resource_id: str, *, is_alias: bool = False) -> Answer:
    exchange = exchange_of(request)
    body = messages.decode_resource(scope.resource_type, await exchange.body(request), exchange.noted)
    await _check_versions(exchange, scope, resource_id)
    record = await resources.replace_resource(scope, resource_id, body, exchange.noted, expected=exchange.expected_version)
    if scope.resource_type.memberships is not None and exchange.projection(scope.resource_type).shows_relation and exchange.prefers != "minimal":
        record = await resources.get_resource(scope, resource_id, with_relation=True)
    return _shown(request, exchange, scope, record, is_alias=is_alias)


async def _patch(request: ScimRequest, scope: Scope, resource_id: str, *, is_alias: bool = False) -> Answer:
    exchange = exchange_of(request)
    operations = messages.decode_patch(scope.resource_type, await exchange.body(request), exchange.noted)
    await _check_versions(exchange, scope, resource_id)
    record = await resources.patch_resource(scope, resource_id, operations, exchange.noted, expected=exchange.expected_version)
    if not _wants_resource(exchange, scope.resource_type):
        return answer(request, b"", status=204, etag=etag(record.version) if record is not None else None, preferred=exchange.prefers)
    if record is None or scope.resource_type.memberships is not None:
        with_relation = exchange.projection(scope.resource_type).shows_relation
        record = await resources.get_resource(scope, resource_id, with_relation=with_relation)
    return _shown(request, exchange, scope, record, is_alias=is_alias)


def _wants_resource(exchange: Exchange, resource_type: ResourceType) -> bool:
    """Whether a PATCH is answered with the resource: as the request prefers, else as the tenant's profile says."""
    if exchange.prefers is not None:
        return exchange.prefers == "representation"
    if "attributes" in exchange.parameters:
        return True
    wanted = exchange.tenant.profile.patch_answer
    return resource_type.memberships is None if wanted == "usual" else wanted == "resource"


async def _delete(request: ScimRequest, scope: Scope, resource_id: str) -> Answer:
    exchange = exchange_of(request)
    await _check_versions(exchange, scope, resource_id)
    await resources.delete_resource(scope, resource_id, expected=exchange.expected_version)
    return answer(request, b"", status=204)


async def _check_versions(exchange: Exchange, scope: Scope, resource_id: str) -> None:
    """Hold a change to its If-None-Match.

    Raises:
        PreconditionFailed: it names the resource's version (RFC 9110 section 13.1.2).
    """
    if exchange.names_versions:
        record = await resources.get_resource(scope, resource_id, with_relation=False)
        if exchange.has_version(record.version):
            raise PreconditionFailed("If-None-Match names the resource's present version, so nothing is changed.")


async def _subject(request: ScimRequest) -> tuple[Scope, str]:
    """Where the resource is for which the credential speaks.

    Raises:
        NotImplementedHere: it speaks for none.
        NotFound: that resource is gone.
    """
    exchange = exchange_of(request)
    if exchange.subject_id is None:
        raise NotImplementedHere(
            "This secret is the identity provider's and speaks for no single resource, so there is no /Me. Use its own address, or a secret made for a subject."
        )
    name = await resources.type_of(exchange.service.database, exchange.tenant.id, exchange.subject_id)
    return exchange.scope_of(exchange.registry.by_name[name]), str(exchange.subject_id)


def _unfiltered(request: ScimRequest) -> Exchange:
    """The exchange of a discovery request.

    Raises:
        Forbidden: it carries a filter (RFC 7644 section 4).
    """
    exchange = exchange_of(request)
    if exchange.parameters.get("filter"):
        raise Forbidden("Discovery endpoints take no filter (RFC 7644 section 4).")
    return exchange


def _shown(request: ScimRequest, exchange: Exchange, scope: Scope, record: Record, *, status: int = 200, is_alias: bool = False) -> Answer:
    """The answer with the resource, or without where a change was asked for that prefers so."""
    at = location(scope.base_url, scope.resource_type, record.id)
    is_read = request.method in ("GET", "HEAD")
    preferred = None if is_read else exchange.prefers
    if preferred == "minimal":
        return answer(request, b"", status=201 if status == 201 else 204, etag=etag(record.version), location=at, preferred=preferred)  # noqa: PLR2004
    body = represent(record, scope.resource_type, scope.base_url, exchange.projection(scope.resource_type))
    places = {"location": at if is_alias or not is_read else None, "content_location": at if is_alias else None}
    return answer(request, body, status=status, etag=etag(record.version), preferred=preferred, **places)
