"""Creating resources (RFC 7644 section 3.3): what the server assigns, ignores, demands and refuses."""

from rollhouse.conformance.checks.finding import endpoint_of, find_all, full_body, group_of, make, sample, types, user_with
from rollhouse.conformance.checks.judging import (
    expect_duplicate,
    expect_gone,
    expect_refused,
    expect_status,
    listed,
    path_of,
    read,
    refuses_users,
    relative,
)
from rollhouse.conformance.probe import USER_URN, Json, Probe
from rollhouse.conformance.requirement import NotApplicable, expect, requirement


async def post_user(probe: Probe, **attributes: Json) -> Json:
    """A new user, made of just these attributes."""
    reply = await probe.post("/Users", {"schemas": [USER_URN], **attributes})
    expect_status(reply, f"POST /Users with {', '.join(attributes)}", 201)
    return reply.json


async def expect_same_name(probe: Probe, name: str, other: str, difference: str) -> None:
    """A user is not made when its userName differs from another's in this only."""
    await post_user(probe, userName=name)
    reply = await probe.post("/Users", {"schemas": [USER_URN], "userName": other})
    expect_duplicate(reply, f"POST of a userName that differs from another only in {difference}")


@requirement("7643-3.1-02", "RFC 7643 3.1", "MUST", "The server assigns id and the meta sub-attributes; no representation lacks its id.")
async def the_server_assigns_id_and_meta(probe: Probe) -> None:
    user = await probe.new_user()
    missing = [name for name in ("resourceType", "created", "lastModified", "location") if not (user.get("meta") or {}).get(name)]
    expect(user["id"] and not missing, f"the new user has no meta.{', meta.'.join(missing)}")
    lacking = [one for one in await listed(probe, "/Users") if not one.get("id")]
    expect(not lacking, f"GET /Users shows a user without id: {lacking[:1]}")


@requirement("7643-3.1-04", "RFC 7643 3.1", "MUST", "A client cannot choose the id.")
async def a_client_cannot_choose_the_id(probe: Probe) -> None:
    chosen = probe.name("id")
    user = await post_user(probe, userName=probe.name("user"), id=chosen)
    expect(user["id"] != chosen, f"the server took the id {chosen} of the client")
    await expect_gone(probe, f"/Users/{chosen}")


@requirement("7643-3.1-06", "RFC 7643 3.1", "MUST", "The server neither makes up an externalId nor forces it to be unique.")
async def an_external_id_is_the_clients(probe: Probe) -> None:
    user = await probe.new_user()
    shown = await read(probe, path_of(user))
    expect(not user.get("externalId") and not shown.get("externalId"), f"the server made up the externalId {shown.get('externalId')}")
    external = probe.name("external")
    for _ in range(2):
        user = await post_user(probe, userName=probe.name("user"), externalId=external)
        expect(user.get("externalId") == external, f"the externalId {external} is shown as {user.get('externalId')}")


@requirement("7643-4.1.1-01", "RFC 7643 4.1.1", "MUST", "A User needs a non-empty userName.")
async def a_user_needs_a_name(probe: Probe) -> None:
    reply = await probe.post("/Users", {"schemas": [USER_URN]})
    expect_refused(reply, "POST /Users without userName", "invalidValue")
    await refuses_users(probe, "invalidValue", an_empty_userName={"userName": ""}, the_userName_null={"userName": None})


@requirement("7643-4.1.1-02", "RFC 7643 4.1.1", "MUST", "userName uniqueness disregards letter case.")
async def user_names_differ_by_more_than_case(probe: Probe) -> None:
    name = probe.name("user")
    await expect_same_name(probe, name, name.upper(), "letter case")


@requirement("7643-6-02", "RFC 7643 6", "MUST", "A required extension must be there with its required attributes; another may be left out.")
async def required_extensions_are_demanded(probe: Probe) -> None:
    demanding = []
    for kind in await types(probe):
        await make(probe, kind, await full_body(probe, kind))
        demanding += [(kind, one) for one in kind.get("schemaExtensions") or [] if one.get("required")]
    if not demanding:
        raise NotApplicable("no resource type has a required extension")
    for kind, extension in demanding:
        endpoint, uri = endpoint_of(kind), extension["schema"]
        whole = await full_body(probe, kind)
        without = {name: value for name, value in whole.items() if name != uri}
        without["schemas"] = [one for one in whole["schemas"] if one != uri]
        expect_refused(await probe.post(endpoint, without), f"POST {endpoint} without the extension {uri}")
        for name in whole.get(uri, {}):
            partial = {**whole, uri: {other: value for other, value in whole[uri].items() if other != name}}
            expect_refused(await probe.post(endpoint, partial), f"POST {endpoint} without {uri}:{name}")


@requirement("7643-7-08", "RFC 7643 7", "SHOULD", "Values of an attribute with uniqueness server or global are not shared by two resources.")
async def unique_values_are_not_shared(probe: Probe) -> None:
    texts = [one for one in await find_all(probe, type="string") if one.definition["mutability"] != "readOnly"]
    unique = [one for one in texts if one.definition["uniqueness"] in {"server", "global"}]
    if not unique:
        raise NotApplicable("no schema has a modifiable text attribute whose values are unique")
    for place in unique:
        value = await sample(probe, place.definition)
        await make(probe, place.kind, place.with_value(await full_body(probe, place.kind), value))
        reply = await probe.post(place.endpoint, place.with_value(await full_body(probe, place.kind), value))
        expect_duplicate(reply, f"POST {place.endpoint} with a {place.path} that another resource has")


@requirement("7644-3.3-01", "RFC 7644 3.3", "MUST", "A create answers 201, with the new URI in Location and in meta.location.")
async def a_create_says_where(probe: Probe) -> None:
    for kind in await types(probe):
        endpoint = endpoint_of(kind)
        reply = await probe.post(endpoint, await full_body(probe, kind))
        expect_status(reply, f"POST {endpoint}", 201)
        location = reply.headers.get("location")
        expect(location and location == (reply.json.get("meta") or {}).get("location"), f"Location is {location}, and the body {reply.told}")
        shown = await read(probe, relative(probe, str(location)))
        expect(shown["id"] == reply.json["id"], f"{location} leads to {shown['id']} instead of {reply.json['id']}")


@requirement("7644-3.3-02", "RFC 7644 3.3", "SHOULD", "The answer to a create holds the new resource.")
async def a_create_shows_the_resource(probe: Probe) -> None:
    name = probe.name("user")
    user = await post_user(probe, userName=name, displayName="Ann Clay")
    expect(USER_URN in user["schemas"] and user.get("id") and user.get("meta"), f"the answer to POST /Users is {user}")
    expect(user.get("userName") == name and user.get("displayName") == "Ann Clay", f"the answer to POST /Users is {user}")


@requirement("7644-3.3-03", "RFC 7644 3.3", "MUST", "Read-only attributes in a create body are ignored.")
async def a_create_ignores_read_only_attributes(probe: Probe) -> None:
    group = await group_of(probe)
    forged = {"groups": [{"value": group["id"]}], "meta": {"created": "1999-01-01T00:00:00Z", "lastModified": "1999-01-01T00:00:00Z"}}
    user = await user_with(probe, **forged)
    shown = await read(probe, path_of(user))
    expect(not shown.get("groups"), f"a new user is in the groups {shown.get('groups')} that the client sent")
    expect(not (await read(probe, path_of(group, "/Groups"))).get("members"), "the group that the client sent with a user has a member now")
    expect(not shown["meta"]["created"].startswith("1999"), f"the client's meta.created was taken: {shown['meta']}")
    for place in await find_all(probe, mutability="readOnly", type="string", multiValued=False):
        made = await make(probe, place.kind, place.with_value(await full_body(probe, place.kind), "forged"))
        expect(place.value_in(made) != "forged", f"the client's {place.path}, which is read-only, was taken")


@requirement("7644-3.3-04", "RFC 7644 3.3", "MUST", 'A duplicate is refused with 409 and "uniqueness".')
async def duplicates_are_refused(probe: Probe) -> None:
    user = await probe.new_user()
    reply = await probe.post("/Users", {"schemas": [USER_URN], "userName": user["userName"]})
    expect_duplicate(reply, "POST /Users with a userName that another user has")


@requirement("7644-3.3.1-01", "RFC 7644 3.3.1", "MUST", "The endpoint decides meta.resourceType.")
async def the_endpoint_decides_the_type(probe: Probe) -> None:
    user = await post_user(probe, userName=probe.name("user"), meta={"resourceType": "Group"})
    expect(user["meta"]["resourceType"] == "User", f"POST /Users makes a {user['meta']['resourceType']}")
    for kind in await types(probe):
        made = await make(probe, kind, {**await full_body(probe, kind), "meta": {"resourceType": "Other"}})
        expect(made["meta"]["resourceType"] == kind["name"], f"POST {kind['endpoint']} makes a {made['meta']['resourceType']}")


@requirement("7644-5-01", "RFC 7644 5", "MUST", "userName uniqueness holds across Unicode composition forms and letter widths.")
async def user_names_differ_by_more_than_form(probe: Probe) -> None:
    name = probe.name("user")
    await expect_same_name(probe, f"{name}-ren\u00e9", f"{name}-rene\u0301", "the composition of an accent")
    await expect_same_name(probe, f"{name}-width1", f"{name}-\uff57idth1", "the width of a letter")
