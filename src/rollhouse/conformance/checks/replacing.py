"""Replacing by PUT, and deleting (RFC 7644 sections 3.5.1 and 3.6)."""

from rollhouse.conformance.checks.finding import TEXT, find, full_body, group_of, make, make_with, need, read_again, user_with
from rollhouse.conformance.checks.judging import (
    expect_duplicate,
    expect_gone,
    expect_refused,
    expect_status,
    is_taken,
    path_of,
    read,
    resources_of,
    search,
    values_of,
)
from rollhouse.conformance.checks.samples import full_attributes
from rollhouse.conformance.probe import ERROR_URN, PATCH_URN, USER_URN, Json, Probe
from rollhouse.conformance.requirement import expect, requirement


async def put(probe: Probe, path: str, body: Json) -> Json:
    """The answer to a PUT that the server took."""
    reply = await probe.send("PUT", path, body)
    expect(reply.status == 200 and isinstance(reply.json, dict), f"PUT {path} gives {reply.told}")
    return reply.json


async def deleted(probe: Probe) -> tuple[str, Json]:
    """The path of a user that was deleted, and the user."""
    user = await probe.new_user()
    expect_status(await probe.send("DELETE", path_of(user)), "DELETE of a user", 204)
    return path_of(user), user


@requirement("7644-3.5.1-01", "RFC 7644 3.5.1", "MUST", "PUT does not create resources.")
async def put_does_not_create(probe: Probe) -> None:
    name = probe.name("user")
    path = f"/Users/{probe.name('nobody')}"
    expect_refused(await probe.send("PUT", path, {"schemas": [USER_URN], "userName": name}), "PUT to an unknown id", status=(404,))
    await expect_gone(probe, path)
    expect(not await probe.supports("filter") or not await is_taken(probe, name), "PUT to an unknown id made a user")


@requirement("7644-3.5.1-02", "RFC 7644 3.5.1", "MUST", "Values in a PUT replace the stored ones; null and [] clear.")
async def put_replaces_values(probe: Probe) -> None:
    emails = [{"value": f"{probe.name('a')}@example.com", "type": "work"}, {"value": f"{probe.name('b')}@example.com", "type": "home"}]
    user = await user_with(probe, displayName="Ann", nickName="Annie", roles=[{"value": "staff"}], emails=emails)
    other = f"{probe.name('c')}@example.com"
    change: Json = {"displayName": "Bob", "emails": [{"value": other, "type": "work"}], "nickName": None, "roles": []}
    await put(probe, path_of(user), {"schemas": [USER_URN], "userName": user["userName"], **change})
    shown = await read(probe, path_of(user))
    expect(shown.get("displayName") == "Bob", f"a PUT of the displayName Bob leaves {shown.get('displayName')}")
    expect(values_of(shown, "emails") == [other], f"a PUT of another email leaves {shown.get('emails')}")
    expect(not shown.get("nickName") and not shown.get("roles"), f"nickName null and roles [] leave {shown}")


@requirement("7644-3.5.1-03", "RFC 7644 3.5.1", "SHOULD", "Another value for a set immutable attribute gives 400 and mutability.")
async def put_keeps_immutable_values(probe: Probe) -> None:
    place = await find(probe, mutability="immutable", **TEXT)
    made = await make_with(probe, place, "first")
    path = path_of(made, place.endpoint)
    expect_refused(await probe.send("PUT", path, place.with_value(made, "second")), f"PUT of another {place.path}", "mutability", named=True)
    shown = place.value_in(await read(probe, path))
    expect(shown == "first", f"the immutable {place.path} became {shown!r}")


@requirement("7644-3.5.1-04", "RFC 7644 3.5.1", "MUST", "An immutable attribute may be repeated unchanged, or set by PUT if it was unset.")
async def put_repeats_and_sets_immutable_values(probe: Probe) -> None:
    place = await find(probe, mutability="immutable", required=False, **TEXT)
    made = await make_with(probe, place, "first")
    await put(probe, path_of(made, place.endpoint), place.with_value(made, "first"))
    bare = await make(probe, place.kind, await full_body(probe, place.kind))
    await put(probe, path_of(bare, place.endpoint), place.with_value(bare, "late"))
    shown = place.value_in(await read_again(probe, place, bare))
    expect(shown == "late", f"PUT of an immutable {place.path} that was not set leaves {shown!r}")


@requirement("7644-3.5.1-05", "RFC 7644 3.5.1", "MUST", "Read-only values in a PUT are ignored.")
async def put_ignores_read_only_values(probe: Probe) -> None:
    user, group = await probe.new_user(), await group_of(probe)
    forged = {"id": "forged", "groups": [{"value": group["id"]}], "meta": {**user["meta"], "created": "1999-01-01T00:00:00Z", "resourceType": "Group"}}
    await put(probe, path_of(user), {**user, **forged})
    shown = await read(probe, path_of(user))
    expect(shown["id"] == user["id"] and not shown.get("groups"), f"id or groups of the client were taken: {shown}")
    expect({**shown["meta"], "lastModified": "", "version": ""} == {**user["meta"], "lastModified": "", "version": ""}, f"meta is {shown['meta']}")
    expect(not (await read(probe, path_of(group, "/Groups"))).get("members"), "a PUT of a user's groups made it a member")


@requirement("7644-3.5.1-06", "RFC 7644 3.5.1", "MUST", "A PUT must hold the required attributes.")
async def put_needs_required_attributes(probe: Probe) -> None:
    user = await user_with(probe, displayName="Ann")
    reply = await probe.send("PUT", path_of(user), {"schemas": [USER_URN], "displayName": "Bob"})
    expect_refused(reply, "PUT without userName", "invalidValue")
    shown = await read(probe, path_of(user))
    expect(shown == user, f"a refused PUT changed the user to {shown}")


@requirement("7644-3.5.1-07", "RFC 7644 3.5.1", "MUST", "A successful PUT answers 200 with the whole resource.")
async def put_shows_the_resource(probe: Probe) -> None:
    user = await probe.new_user()
    attributes = await full_attributes(probe)
    shown = await put(probe, path_of(user), {"schemas": [USER_URN], "userName": user["userName"], **attributes})
    missing = {"id", "schemas", "meta", "userName", *attributes} - set(shown)
    expect(not missing and shown["id"] == user["id"], f"the answer to a PUT lacks {sorted(missing)}")


@requirement("7644-3.12-06", "RFC 7644 3.12", "SHOULD", 'PUT and PATCH report a taken value with "uniqueness".')
async def changes_to_taken_values_are_refused(probe: Probe) -> None:
    one, other = await probe.new_user(), await probe.new_user()
    reply = await probe.send("PUT", path_of(other), {"schemas": [USER_URN], "userName": one["userName"]})
    expect_duplicate(reply, "PUT of a userName that another user has")
    if await probe.supports("patch"):
        reply = await probe.patch(path_of(other), {"op": "replace", "path": "userName", "value": one["userName"]})
        expect_duplicate(reply, "PATCH of a userName that another user has")
    shown = await read(probe, path_of(other))
    expect(shown == other, f"a refused change left {shown}")


@requirement("7644-3.6-01", "RFC 7644 3.6", "MUST", "A successful DELETE answers 204.")
async def delete_answers_no_content(probe: Probe) -> None:
    user = await probe.new_user()
    reply = await probe.send("DELETE", path_of(user))
    expect(reply.status == 204 and not reply.raw, f"DELETE gives {reply.told}")


@requirement("7644-3.6-02", "RFC 7644 3.6", "MUST", "Every operation on a deleted resource gives 404.")
async def deleted_resources_are_not_found(probe: Probe) -> None:
    path, user = await deleted(probe)
    operation = {"schemas": [PATCH_URN], "Operations": [{"op": "replace", "path": "displayName", "value": "Ann"}]}
    for method, body in (("GET", None), ("PUT", {"schemas": [USER_URN], "userName": user["userName"]}), ("PATCH", operation), ("DELETE", None)):
        if method != "PATCH" or await probe.supports("patch"):
            reply = await probe.send(method, path, body)
            expect_refused(reply, f"{method} of a deleted user", status=(404,))
            expect(isinstance(reply.json, dict) and ERROR_URN in reply.json.get("schemas", []), f"{method} of a deleted user gives {reply.told}")


@requirement("7644-3.6-03", "RFC 7644 3.6", "MUST", "A deleted resource is gone from queries.")
async def deleted_resources_are_not_listed(probe: Probe) -> None:
    await need(probe, "filter")
    _, user = await deleted(probe)
    filter_ = f'userName eq "{user["userName"]}"'
    for reply in (await probe.get("/Users", filter=filter_), await search(probe, "/Users", filter=filter_)):
        found = resources_of(reply, "a query for a deleted user")
        expect(not found and reply.json.get("totalResults") == 0, f"a query for a deleted user gives {reply.told}")


@requirement("7644-3.6-04", "RFC 7644 3.6", "SHOULD", "A deleted resource does not cause conflicts.")
async def deleted_resources_leave_their_names(probe: Probe) -> None:
    _, user = await deleted(probe)
    reply = await probe.post("/Users", {"schemas": [USER_URN], "userName": user["userName"]})
    expect_status(reply, "POST /Users with the userName of a deleted user", 201)
