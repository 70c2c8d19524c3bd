"""Discovery: the configuration, the resource types and the schemas that a server publishes (RFC 7644 section 4)."""

from rollhouse.conformance.checks.finding import endpoint_of, need_type, types
from rollhouse.conformance.checks.judging import changed, expect_refused, expect_status, list_of, listed, path_of, read
from rollhouse.conformance.probe import BULK_URN, GROUP_URN, LIST_URN, PATCH_URN, USER_URN, Json, Probe
from rollhouse.conformance.requirement import NotApplicable, expect, requirement

CONFIG = "/ServiceProviderConfig"
CONFIG_URN = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
TYPE_URN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
SCHEMA_URN = "urn:ietf:params:scim:schemas:core:2.0:Schema"
MESSAGES = "urn:ietf:params:scim:api:"
FLAGS = ("patch", "bulk", "filter", "changePassword", "sort", "etag")
LIMITS = (("bulk", "maxOperations"), ("bulk", "maxPayloadSize"), ("filter", "maxResults"))
SCHEMES = {"oauth", "oauth2", "oauthbearertoken", "httpbasic", "httpdigest"}


def is_text(value: Json) -> bool:
    """Whether a value is a text that is not empty."""
    return isinstance(value, str) and bool(value.strip())


def named_schemas(kinds: list[Json]) -> set[str]:
    """The URIs of all schemas that these resource types name."""
    return {kind["schema"] for kind in kinds} | {one["schema"] for kind in kinds for one in kind.get("schemaExtensions") or []}


async def lists_alike(probe: Probe, endpoint: str, **query: str) -> None:
    """A list of discovery is the same with these parameters."""
    plain = {one.get("id", one.get("name")) for one in await listed(probe, endpoint)}
    found = {one.get("id", one.get("name")) for one in await listed(probe, endpoint, **query)}
    expect(found == plain, f"GET {endpoint} with {query} shows {sorted(found)} of {sorted(plain)}")


@requirement("7643-5-01", "RFC 7643 5", "MUST", "The configuration gives all required flags and limits.")
async def the_configuration_is_whole(probe: Probe) -> None:
    config = await read(probe, CONFIG)
    for flag in FLAGS:
        expect(isinstance((config.get(flag) or {}).get("supported"), bool), f"{flag} is published as {config.get(flag)}")
    for flag, limit in LIMITS:
        value = (config.get(flag) or {}).get(limit)
        expect(isinstance(value, int) and not isinstance(value, bool), f"{flag}.{limit} is published as {value!r}")
    expect(isinstance(config.get("authenticationSchemes"), list), f"authenticationSchemes is {config.get('authenticationSchemes')!r}")


@requirement("7643-5-02", "RFC 7643 5", "MUST", "Each authentication scheme has a defined type, a name and a description.")
async def authentication_schemes_are_described(probe: Probe) -> None:
    for scheme in (await read(probe, CONFIG)).get("authenticationSchemes") or []:
        expect(scheme.get("type") in SCHEMES, f"an authentication scheme has the type {scheme.get('type')!r}")
        expect(is_text(scheme.get("name")) and is_text(scheme.get("description")), f"an authentication scheme is {scheme}")
        for name in ("specUri", "documentationUri"):
            expect(name not in scheme or str(scheme[name]).startswith(("http://", "https://")), f"{name} is {scheme.get(name)!r}")


@requirement("7643-5-03", "RFC 7643 5", "SHOULD", "authenticationSchemes can be read without logging in.")
async def authentication_schemes_are_public(probe: Probe) -> None:
    reply = await probe.send("GET", CONFIG, with_secret=False)
    expect(reply.status == 200 and reply.json.get("authenticationSchemes"), f"GET {CONFIG} without a secret gives {reply.told}")


@requirement("7643-5-05", "RFC 7643 5", "MUST", "Feature flags tell the truth.")
async def flags_tell_the_truth(probe: Probe) -> None:
    user = await probe.new_user()
    path = path_of(user)
    operation = {"op": "add", "path": "displayName", "value": "Ann"}
    bulk = {"schemas": [BULK_URN], "Operations": [{"method": "PATCH", "path": path, "data": {"schemas": [PATCH_URN], "Operations": [operation]}}]}
    answers = {
        "patch": await probe.patch(path, operation),
        "bulk": await probe.send("POST", "/Bulk", bulk),
        "filter": await probe.get("/Users", filter=f'userName eq "{user["userName"]}"'),
        "sort": await probe.get("/Users", sortBy="userName", count="2"),
        "etag": await probe.send("PUT", path, user, headers={"if-match": (await probe.get(path)).headers.get("etag", "")}),
    }
    for feature, reply in answers.items():
        if await probe.supports(feature):
            expect_status(reply, f"{feature} is published as supported, and a request of that kind", 200, 204)
        elif feature in {"patch", "bulk"}:
            expect_status(reply, f"{feature} is published as not supported, and a request of that kind", 501)
    if await probe.supports("changePassword"):
        await changed(probe, path, password=probe.name("Pa55"))


@requirement("7643-6-01", "RFC 7643 6", "MUST", "A resource type has the ResourceType schema, a name, endpoint and schema.")
async def resource_types_are_described(probe: Probe) -> None:
    kinds = await listed(probe, "/ResourceTypes")
    expect(kinds, "GET /ResourceTypes shows none")
    for kind in kinds:
        expect(TYPE_URN in (kind.get("schemas") or []), f"a resource type has the schemas {kind.get('schemas')}")
        missing = [name for name in ("name", "endpoint", "schema") if not is_text(kind.get(name))]
        expect(not missing and isinstance(kind.get("description", ""), str), f"the resource type {kind.get('name')} has no {', '.join(missing)}")
        for one in kind.get("schemaExtensions") or []:
            expect(is_text(one.get("schema")) and isinstance(one.get("required"), bool), f"{kind['name']} has the schemaExtension {one}")


@requirement("7643-6-03", "RFC 7643 6", "MUST", "A resource type's endpoint, relative to the base URL, works.")
async def endpoints_work(probe: Probe) -> None:
    for kind in await listed(probe, "/ResourceTypes"):
        answer = await list_of(probe, endpoint_of(kind), count="1")
        expect(LIST_URN in (answer.get("schemas") or []), f"GET {kind['endpoint']} shows {answer}")


@requirement("7643-7-01", "RFC 7643 7", "MUST", "Every schema URI used in resources has a Schema resource whose id equals it.")
async def every_schema_in_use_can_be_read(probe: Probe) -> None:
    kinds = await listed(probe, "/ResourceTypes")
    used = named_schemas(kinds) | {CONFIG_URN, TYPE_URN, SCHEMA_URN}
    for kind in kinds:
        used |= {uri for one in await listed(probe, endpoint_of(kind), count="10") for uri in one.get("schemas") or []}
    replies = {uri: await probe.get(f"/Schemas/{uri}") for uri in sorted(used)}
    missing = [uri for uri, reply in replies.items() if reply.status != 200 or reply.json.get("id") != uri]
    expect(not missing, f"/Schemas has none of {', '.join(missing)}")


@requirement("7643-7-02", "RFC 7643 7", "MUST", "Configuration, resource types and schemas are read-only.")
async def discovery_is_read_only(probe: Probe) -> None:
    kind = await need_type(probe, "User")
    for path in (CONFIG, f"/ResourceTypes/{kind.get('id', 'User')}", f"/Schemas/{USER_URN}"):
        before = await read(probe, path)
        operation = {"op": "replace", "path": "description", "value": "changed"}
        replies = [await probe.send("PUT", path, before), await probe.patch(path, operation), await probe.send("DELETE", path)]
        expect(all(400 <= reply.status < 600 for reply in replies), f"PUT, PATCH and DELETE of {path} give {[reply.status for reply in replies]}")
        expect(await read(probe, path) == before, f"{path} was changed")


@requirement("7643-7-03", "RFC 7643 7", "MUST", "A schema has the Schema schema, an id that is a URI, a name, description and attributes.")
async def schemas_are_described(probe: Probe) -> None:
    found = await listed(probe, "/Schemas")
    ids = [str(one.get("id")) for one in found]
    expect(found and len(ids) == len(set(ids)) and all(":" in one for one in ids), f"the ids of the schemas are {ids}")
    for one in found:
        expect(SCHEMA_URN in (one.get("schemas") or []), f"{one['id']} has the schemas {one.get('schemas')}")
        expect(is_text(one.get("name")) and isinstance(one.get("description", ""), str), f"{one['id']} has no name")
        expect(isinstance(one.get("attributes"), list) and one["attributes"], f"{one['id']} has no attributes")


@requirement("7644-3.1-01", "RFC 7644 3.1", "MUST", "Protocol message schemas are not found under /Schemas.")
async def messages_have_no_schema(probe: Probe) -> None:
    found = [one["id"] for one in await listed(probe, "/Schemas") if one["id"].startswith(MESSAGES)]
    expect(not found, f"GET /Schemas shows {found}")
    expect_refused(await probe.get(f"/Schemas/{LIST_URN}"), f"GET /Schemas/{LIST_URN}", status=(404,))


@requirement("7644-3.2-01", "RFC 7644 3.2", "SHOULD", 'Endpoints of extended types are the resource name plus "s".')
async def endpoints_are_plurals(probe: Probe) -> None:
    extended = [kind for kind in await types(probe) if kind["name"] not in {"User", "Group"}]
    if not extended:
        raise NotApplicable("there are no types but User and Group")
    for kind in extended:
        expect(endpoint_of(kind) == f"/{kind['name']}s", f"the endpoint of {kind['name']} is {kind['endpoint']}")


@requirement("7644-4-01", "RFC 7644 4", "MUST", "/ServiceProviderConfig answers one object with its schema URI.")
async def the_configuration_is_one_object(probe: Probe) -> None:
    config = await read(probe, CONFIG)
    expect(CONFIG_URN in (config.get("schemas") or []) and "Resources" not in config, f"GET {CONFIG} has the schemas {config.get('schemas')}")


@requirement("7644-4-02", "RFC 7644 4", "MUST", "/Schemas lists all supported schemas; each can be read by its URI.")
async def schemas_can_be_read(probe: Probe) -> None:
    answer = await list_of(probe, "/Schemas")
    listed_here = {one["id"]: one for one in answer.get("Resources") or []}
    expect(LIST_URN in (answer.get("schemas") or []), f"GET /Schemas has the schemas {answer.get('schemas')}")
    missing = named_schemas(await listed(probe, "/ResourceTypes")) - set(listed_here)
    expect(not missing, f"GET /Schemas leaves out {sorted(missing)}")
    for uri, one in listed_here.items():
        expect(await read(probe, f"/Schemas/{uri}") == one, f"GET /Schemas/{uri} is another than in the list")


@requirement("7644-4-03", "RFC 7644 4", "MUST", "/ResourceTypes lists all resource types; each can be read by itself.")
async def resource_types_can_be_read(probe: Probe) -> None:
    answer = await list_of(probe, "/ResourceTypes")
    expect(LIST_URN in (answer.get("schemas") or []), f"GET /ResourceTypes has the schemas {answer.get('schemas')}")
    for kind in answer.get("Resources") or []:
        if "id" in kind:
            expect(await read(probe, f"/ResourceTypes/{kind['id']}") == kind, f"GET /ResourceTypes/{kind['id']} is another than in the list")
    shown = {kind["schema"] for kind in answer.get("Resources") or []}
    for endpoint, schema in (("/Users", USER_URN), ("/Groups", GROUP_URN)):
        expect(schema in shown or (await probe.get(endpoint, count="1")).status == 404, f"{endpoint} works, and is no resource type")


@requirement("7644-4-04", "RFC 7644 4", "MUST", "Sorting and paging parameters are ignored on discovery endpoints.")
async def discovery_ignores_paging(probe: Probe) -> None:
    for endpoint in ("/Schemas", "/ResourceTypes"):
        await lists_alike(probe, endpoint, startIndex="2", count="1")
        await lists_alike(probe, endpoint, sortBy="name", sortOrder="descending")


@requirement("7644-4-05", "RFC 7644 4", "SHOULD", "A filter on a discovery endpoint is answered with 403, or ignored.")
async def discovery_takes_no_filters(probe: Probe) -> None:
    query = {"filter": 'name eq "User"'}
    for endpoint in ("/Schemas", "/ResourceTypes", CONFIG):
        reply = await probe.get(endpoint, **query)
        expect_status(reply, f"GET {endpoint} with a filter", 403, 200)
        if reply.status == 200:
            expect(reply.json == (await probe.get(endpoint)).json, f"GET {endpoint} filters: {reply.told}")


@requirement("9865-4-01", "RFC 9865 4", "SHOULD", 'A server with cursor paging publishes "pagination".')
async def paging_is_published(probe: Probe) -> None:
    stated = (await read(probe, CONFIG)).get("pagination")
    if stated is None:
        await probe.new_user()
        await probe.new_user()
        reply = await probe.get("/Users", cursor="", count="1")
        if reply.status != 200 or "nextCursor" not in reply.json:
            raise NotApplicable("there is no paging by cursor")
    expect(isinstance(stated, dict), f"there is paging by cursor, and pagination is published as {stated!r}")


@requirement("9865-4-02", "RFC 9865 4", "MUST", '"pagination" has booleans cursor and index, and a valid default method.')
async def published_paging_is_whole(probe: Probe) -> None:
    stated = (await read(probe, CONFIG)).get("pagination")
    if stated is None:
        raise NotApplicable("no pagination is published")
    expect(isinstance(stated.get("cursor"), bool) and isinstance(stated.get("index"), bool), f"pagination is {stated}")
    method = stated.get("defaultPaginationMethod")
    expect(method is None or stated.get(method) is True, f"pagination is {stated}")
    for name in ("defaultPageSize", "maxPageSize", "cursorTimeout"):
        expect(name not in stated or (isinstance(stated[name], int) and stated[name] > 0), f"pagination.{name} is {stated.get(name)!r}")
