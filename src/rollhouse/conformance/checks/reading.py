"""Reading resources: what an answer holds, by default and when attributes are asked for or left out (RFC 7644 section 3.9)."""

from rollhouse.conformance.checks.finding import endpoint_of, find, full_body, make, make_with, places, read_again, types, user_with
from rollhouse.conformance.checks.judging import expect_status, listed, path_of, read, relative
from rollhouse.conformance.checks.samples import full_attributes
from rollhouse.conformance.probe import ENTERPRISE_URN, USER_URN, Json, Probe
from rollhouse.conformance.requirement import expect, requirement


def expect_only(shown: Json, wanted: set[str], tried: str) -> None:
    """A resource has its id and these attributes, perhaps "schemas", and no others."""
    missing = (wanted | {"id"}) - set(shown)
    extra = set(shown) - wanted - {"id", "schemas"}
    expect(not missing and not extra, f"{tried} shows {sorted(shown)} instead of id and {sorted(wanted)}")


async def full_user(probe: Probe) -> Json:
    """A new user with every attribute of the standard that the server has."""
    return await user_with(probe, **await full_attributes(probe))


async def always_returned(probe: Probe) -> set[str]:
    """The User attributes that the server always returns."""
    return {one.name for one in await places(probe) if one.kind["name"] == "User" and one.definition["returned"] == "always"}


@requirement("7643-3.1-08", "RFC 7643 3.1", "MUST", "meta.location is the resource's URI and agrees with Content-Location.")
async def locations_lead_to_resources(probe: Probe) -> None:
    for kind in await types(probe):
        await make(probe, kind, await full_body(probe, kind))
        for one in await listed(probe, endpoint_of(kind), count="5"):
            location = str((one.get("meta") or {}).get("location"))
            reply = await probe.get(relative(probe, location))
            expect(reply.status == 200 and reply.json.get("id") == one["id"], f"GET {location} gives {reply.told}")
            stated = reply.headers.get("content-location", location)
            expect(stated == location, f"the Content-Location of {location} is {stated}")


@requirement("7643-7-07", "RFC 7643 7", "MUST", 'A "request" attribute comes in reads only when named, and after writes that set it.')
async def attributes_on_request_come_when_named(probe: Probe) -> None:
    place = await find(probe, returned="request", type="string", multiValued=False, mutability="readWrite")
    body = place.with_value(await full_body(probe, place.kind), "asked for")
    made = await make(probe, place.kind, body)
    expect(place.value_in(made) == "asked for", f"the answer to a POST that sets {place.path} does not show it: {made}")
    expect(place.value_in(await read_again(probe, place, made)) is None, f"GET shows {place.path} without being asked")
    shown = await read_again(probe, place, made, attributes=place.path)
    expect(place.value_in(shown) == "asked for", f"GET with attributes={place.path} shows {shown}")
    reply = await probe.send("PUT", path_of(made, place.endpoint), body)
    expect(reply.status == 200 and place.value_in(reply.json) == "asked for", f"the answer to a PUT that sets {place.path} is {reply.told}")


@requirement("7644-3.1-02", "RFC 7644 3.1", "MUST", "Answers show the resource as the server holds it.")
async def answers_show_what_is_held(probe: Probe) -> None:
    user = await full_user(probe)
    path = path_of(user)
    shown = await read(probe, path)
    expect(user == shown, f"POST /Users answers {_difference(user, shown)} otherwise than the following GET")
    reply = await probe.send("PUT", path, {**shown, "displayName": "Somebody else", "title": None})
    expect_status(reply, f"PUT {path}", 200)
    shown = await read(probe, path)
    expect(reply.json == shown, f"PUT answers {_difference(reply.json, shown)} otherwise than the following GET")


def _difference(one: Json, other: Json) -> list[str]:
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


@requirement("7644-3.4.1-01", "RFC 7644 3.4.1", "MUST", "Reading an existing resource gives 200 and the resource itself.")
async def a_resource_is_read_by_itself(probe: Probe) -> None:
    for kind in await types(probe):
        made = await make(probe, kind, await full_body(probe, kind))
        shown = await read(probe, path_of(made, endpoint_of(kind)))
        expect(shown.get("id") == made["id"] and "Resources" not in shown, f"GET of {made['id']} shows {shown}")


@requirement("7644-3.9-01", "RFC 7644 3.9", "MUST", 'By default an answer holds the "always" and the "default" attributes.')
async def answers_hold_the_default_attributes(probe: Probe) -> None:
    attributes = await full_attributes(probe)
    shown = await read(probe, path_of(await user_with(probe, **attributes)))
    for place in await places(probe):
        if place.kind["name"] != "User" or place.is_extension:
            continue
        returned = place.definition["returned"]
        if returned in {"request", "never"}:
            expect(place.name not in shown, f"GET shows {place.name}, which is returned on request or never")
        elif place.name in attributes and place.definition["mutability"] in {"readWrite", "immutable"}:
            expect(place.name in shown, f"GET does not show {place.name}, which has a value and is returned {returned}")
    for place in await places(probe):
        if place.definition["returned"] == "always" and place.definition["type"] == "string":
            made = await make_with(probe, place, "x" if place.definition["multiValued"] is False else ["x"])
            expect(place.value_in(await read_again(probe, place, made, attributes="id")), f"{place.path} is always returned, and not shown")


@requirement("7644-3.9-02", "RFC 7644 3.9", "MUST", '"attributes" gives the minimum set and the named ones on any operation; sub-attributes can be named.')
async def named_attributes_are_returned(probe: Probe) -> None:
    always = await always_returned(probe)
    user = await full_user(probe)
    shown = await read(probe, path_of(user), attributes="name.givenName")
    expect_only(shown, {"name"} | always, "GET with attributes=name.givenName")
    expect(shown["name"] == {"givenName": "Ann"}, f"GET with attributes=name.givenName shows the name {shown['name']}")
    body = {"schemas": [USER_URN], "userName": probe.name("user"), "displayName": "Ann"}
    reply = await probe.send("POST", "/Users?attributes=userName", body)
    probe.note_made("/Users", reply)
    expect_status(reply, "POST with attributes=userName", 201)
    expect_only(reply.json, {"userName"} | always, "POST with attributes=userName")
    reply = await probe.send("PUT", f"{path_of(reply.json)}?attributes=userName", body)
    expect_status(reply, "PUT with attributes=userName", 200)
    expect_only(reply.json, {"userName"} | always, "PUT with attributes=userName")


@requirement("7644-3.9-03", "RFC 7644 3.9", "MUST", '"excludedAttributes" drops the named defaults from any operation\'s answer and keeps the minimum set.')
async def excluded_attributes_are_left_out(probe: Probe) -> None:
    user = await full_user(probe)
    body = {name: value for name, value in user.items() if name not in {"id", "meta"}}
    query = {"excludedAttributes": "displayName,emails,id"}
    path = path_of(user)
    replies = {"GET": await probe.get(path, **query), "PUT": await probe.send("PUT", path, body, query=query)}
    if await probe.supports("patch"):
        replies["PATCH"] = await probe.patch(path, {"op": "replace", "path": "title", "value": "Chief"}, query=query)
    for method, reply in replies.items():
        expect_status(reply, f"{method} with excludedAttributes", 200, 204)
        if reply.status == 200:
            expect(not {"displayName", "emails"} & set(reply.json), f"{method} with {query} shows {sorted(reply.json)}")
            expect({"id", "userName", "title"} <= set(reply.json), f"{method} with {query} shows {sorted(reply.json)}")
    expect((await read(probe, path)).get("displayName"), "attributes that were excluded from an answer are lost")


@requirement("7644-3.10-02", "RFC 7644 3.10", "MUST", '"attributes" takes URN-qualified names in any letter case.')
async def attributes_take_full_names(probe: Probe) -> None:
    extension = {"employeeNumber": "42", "department": "Tours"}
    user = await user_with(probe, name={"givenName": "Ann", "familyName": "Clay"}, displayName="Ann", **{ENTERPRISE_URN: extension})
    asked = f"{ENTERPRISE_URN}:employeeNumber,{USER_URN.upper()}:NAME.GIVENNAME"
    shown = await read(probe, path_of(user), attributes=asked)
    expect_only(shown, {"name", ENTERPRISE_URN} | await always_returned(probe), f"GET with attributes={asked}")
    expect(shown["name"] == {"givenName": "Ann"}, f"the name is shown as {shown['name']}")
    expect(shown[ENTERPRISE_URN] == {"employeeNumber": "42"}, f"the extension is shown as {shown[ENTERPRISE_URN]}")
