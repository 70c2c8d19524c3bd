"""The SCIM routes (RFC 7644 section 3): each handler reads the request, calls one verb of the directory, and answers."""

import msgspec
from litestar import Controller, delete, get, patch, post, put
from litestar.params import FromPath

from rollhouse.directory import resources
from rollhouse.directory.resources import Scope
from rollhouse.http.answers import Answer, ScimRequest, answer
from rollhouse.http.exchange import COST_OF_READ, COST_OF_SEARCH, Exchange, exchange_of
from rollhouse.scim import discovery, messages
from rollhouse.scim.errors import Forbidden, NotFound, quoted
from rollhouse.scim.representation import Record, etag, location, represent
from rollhouse.scim.schemas import RESOURCE_TYPES


class DiscoveryController(Controller):
    """What this service can do and which schemas it knows (RFC 7644 section 4)."""

    @get("/ServiceProviderConfig")
    async def get_service_provider_config(self, request: ScimRequest) -> Answer:
        """The features of the service (RFC 7643 section 5)."""
        exchange = _unfiltered(request)
        return answer(request, messages.encode(discovery.service_provider_config(exchange.base_url, exchange.service.page_size_limit)))

    @get("/ResourceTypes")
    async def list_resource_types(self, request: ScimRequest) -> Answer:
        """The kinds of resources of the tenant."""
        exchange = _unfiltered(request)
        described = [messages.encode(discovery.describe_resource_type(exchange.base_url, known)) for known in RESOURCE_TYPES]
        return answer(request, messages.encode_list(described, total=len(described), start_index=1))

    @get("/ResourceTypes/{name:str}")
    async def get_resource_type(self, request: ScimRequest, name: FromPath[str]) -> Answer:
        """One kind of resources."""
        exchange = _unfiltered(request)
        for known in RESOURCE_TYPES:
            if known.name.lower() == name.lower():
                return answer(request, messages.encode(discovery.describe_resource_type(exchange.base_url, known)))
        raise NotFound(f"There is no resource type {quoted(name)}.")

    @get("/Schemas")
    async def list_schemas(self, request: ScimRequest) -> Answer:
        """Every schema of the tenant."""
        exchange = _unfiltered(request)
        described = [messages.encode(discovery.describe_schema(exchange.base_url, schema)) for schema in discovery.schemas_of(RESOURCE_TYPES)]
        return answer(request, messages.encode_list(described, total=len(described), start_index=1))

    @get("/Schemas/{urn:str}")
    async def get_schema(self, request: ScimRequest, urn: FromPath[str]) -> Answer:
        """One schema."""
        exchange = _unfiltered(request)
        for schema in discovery.schemas_of(RESOURCE_TYPES):
            if schema.id.lower() == urn.lower():
                return answer(request, messages.encode(discovery.describe_schema(exchange.base_url, schema)))
        raise NotFound(f"There is no schema {quoted(urn)}.")


class ResourceController(Controller):
    """Every resource type of a tenant: the engine knows schemas, not classes of resources."""

    @get("/{endpoint:str}")
    async def list_resources(self, request: ScimRequest, endpoint: FromPath[str]) -> Answer:
        """A page of resources (RFC 7644 section 3.4.2)."""
        exchange = exchange_of(request)
        return await self._list(request, exchange, exchange.directory(endpoint))

    async def _list(self, request: ScimRequest, exchange: Exchange, scope: Scope) -> Answer:
        projection = exchange.projection(scope.resource_type)
        query = exchange.query(scope.resource_type)
        if not query.is_cheap:
            await exchange.charge(COST_OF_SEARCH - COST_OF_READ)
        page = await resources.list_resources(scope, query, with_relation=projection.shows_relation)
        shown = [represent(record, scope.resource_type, scope.base_url, projection) for record in page.records]
        return answer(request, messages.encode_list(shown, total=page.total, start_index=query.start_index))

    @post("/{endpoint:str}")
    async def create_resource(self, request: ScimRequest, endpoint: FromPath[str]) -> Answer:
        """A new resource (RFC 7644 section 3.3)."""
        exchange = exchange_of(request)
        scope = exchange.directory(endpoint)
        body = messages.decode_resource(scope.resource_type, await exchange.body(request), exchange.noted)
        return _resource(request, exchange, scope, await resources.create_resource(scope, body, exchange.noted), status=201)

    @post("/.search")
    async def search_everything(self, request: ScimRequest) -> Answer:
        """A page of resources of every type (RFC 7644 section 3.4.3), type after type; a type without the filter's attributes has no match."""
        exchange = exchange_of(request)
        exchange.ask_for(messages.decode_object(await exchange.body(request)))
        shown: list[bytes] = []
        total = 0
        wanted = exchange.searches()
        if not all(query.is_cheap for _, query in wanted):
            await exchange.charge(COST_OF_SEARCH - COST_OF_READ)
        for scope, query in wanted:
            projection = exchange.projection(scope.resource_type)
            skipped = max(query.start_index - 1 - total, 0)
            part = msgspec.structs.replace(query, start_index=skipped + 1, count=query.count - len(shown))
            page = await resources.list_resources(scope, part, with_relation=projection.shows_relation)
            shown += [represent(record, scope.resource_type, scope.base_url, projection) for record in page.records]
            total += page.total
        return answer(request, messages.encode_list(shown, total=total, start_index=wanted[0][1].start_index))

    @post("/{endpoint:str}/.search")
    async def search_resources(self, request: ScimRequest, endpoint: FromPath[str]) -> Answer:
        """A page of resources whose query is in the body, out of logs and URLs (RFC 7644 section 3.4.3)."""
        exchange = exchange_of(request)
        exchange.ask_for(messages.decode_object(await exchange.body(request)))
        return await self._list(request, exchange, exchange.directory(endpoint))

    @get("/{endpoint:str}/{resource_id:str}")
    async def get_resource(self, request: ScimRequest, endpoint: FromPath[str], resource_id: FromPath[str]) -> Answer:
        """One resource (RFC 7644 section 3.4.1)."""
        exchange = exchange_of(request)
        scope = exchange.directory(endpoint)
        projection = exchange.projection(scope.resource_type)
        record = await resources.get_resource(scope, resource_id, with_relation=projection.shows_relation)
        if exchange.has_version(record.version):
            return answer(request, b"", status=304, etag=etag(record.version))
        return answer(request, represent(record, scope.resource_type, scope.base_url, projection), etag=etag(record.version))

    @put("/{endpoint:str}/{resource_id:str}")
    async def replace_resource(self, request: ScimRequest, endpoint: FromPath[str], resource_id: FromPath[str]) -> Answer:
        """One resource, replaced (RFC 7644 section 3.5.1)."""
        exchange = exchange_of(request)
        scope = exchange.directory(endpoint)
        body = messages.decode_resource(scope.resource_type, await exchange.body(request), exchange.noted)
        record = await resources.replace_resource(scope, resource_id, body, exchange.noted, expected=exchange.expected_version)
        if scope.resource_type.memberships is not None and exchange.projection(scope.resource_type).shows_relation:
            record = await resources.get_resource(scope, resource_id, with_relation=True)
        return _resource(request, exchange, scope, record)

    @patch("/{endpoint:str}/{resource_id:str}")
    async def patch_resource(self, request: ScimRequest, endpoint: FromPath[str], resource_id: FromPath[str]) -> Answer:
        """One resource, changed in parts (RFC 7644 section 3.5.2): a user is answered with 200, a group with 204 unless attributes are asked for."""
        exchange = exchange_of(request)
        scope = exchange.directory(endpoint)
        operations = messages.decode_patch(scope.resource_type, await exchange.body(request), exchange.noted)
        record = await resources.patch_resource(scope, resource_id, operations, exchange.noted, expected=exchange.expected_version)
        if scope.resource_type.memberships is None and record is not None:
            return _resource(request, exchange, scope, record)
        if "attributes" not in exchange.parameters:
            return answer(request, b"", status=204, etag=etag(record.version) if record is not None else None)
        with_relation = exchange.projection(scope.resource_type).shows_relation
        return _resource(request, exchange, scope, await resources.get_resource(scope, resource_id, with_relation=with_relation))

    @delete("/{endpoint:str}/{resource_id:str}", status_code=200)
    async def delete_resource(self, request: ScimRequest, endpoint: FromPath[str], resource_id: FromPath[str]) -> Answer:
        """One resource, gone (RFC 7644 section 3.6)."""
        exchange = exchange_of(request)
        await resources.delete_resource(exchange.directory(endpoint), resource_id, expected=exchange.expected_version)
        return answer(request, b"", status=204)


def _unfiltered(request: ScimRequest) -> Exchange:
    """The exchange of a discovery request.

    Raises:
        Forbidden: it carries a filter (RFC 7644 section 4).
    """
    exchange = exchange_of(request)
    if exchange.parameters.get("filter"):
        raise Forbidden("Discovery endpoints take no filter (RFC 7644 section 4).")
    return exchange


def _resource(request: ScimRequest, exchange: Exchange, scope: Scope, record: Record, *, status: int = 200) -> Answer:
    shown = represent(record, scope.resource_type, scope.base_url, exchange.projection(scope.resource_type))
    return answer(request, shown, status=status, etag=etag(record.version), location=location(scope.base_url, scope.resource_type, record.id))
