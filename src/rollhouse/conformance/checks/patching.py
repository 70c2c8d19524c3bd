"""PATCH: the form of a request, what it may not touch, and what it answers (RFC 7644 section 3.5.2)."""

import asyncio

from rollhouse.conformance.checks.finding import TEXT, find, full_body, has_enterprise, lacks, make, need, need_attributes, user_with
from rollhouse.conformance.checks.judging import expect_refused, expect_status, patched, path_of, read, values_of
from rollhouse.conformance.checks.versions import TICK
from rollhouse.conformance.probe import ENTERPRISE_URN, PATCH_URN, USER_URN, Json, Probe, Reply
from rollhouse.conformance.requirement import NotApplicable, expect, requirement

REPLACE: Json = {"op": "replace", "path": "displayName", "value": "Bob"}


async def patchable(probe: Probe, **attributes: Json) -> Json:
    """A new user to PATCH, named Ann."""
    await need(probe, "patch")
    return await user_with(probe, displayName="Ann", **attributes)


async def refuses(probe: Probe, user: Json, *kinds: str, named: bool = False, **operation: Json) -> None:
    """A user does not take an operation, and stays as it is."""
    before = await read(probe, path_of(user))
    reply = await probe.patch(path_of(user), operation)
    expect_refused(reply, f"PATCH {operation}", *kinds, named=named)
    after = await read(probe, path_of(user))
    expect(after == before, f"PATCH {operation} was refused, and changed the user to {after}")


async def take(probe: Probe, user: Json, *operations: Json) -> Json:
    """A user after operations that the server took."""
    return await patched(probe, path_of(user), *operations)


@requirement("7644-3.5-01", "RFC 7644 3.5", "SHOULD", "PATCH is supported.")
async def patch_is_supported(probe: Probe) -> None:
    expect(await probe.supports("patch"), "/ServiceProviderConfig says that PATCH is not supported")
    shown = await take(probe, await patchable(probe), REPLACE)
    expect(shown.get("displayName") == "Bob", f"PATCH of the displayName to Bob leaves {shown.get('displayName')}")


@requirement("7644-3.5.2-01", "RFC 7644 3.5.2", "MUST", "A PATCH body names the PatchOp schema and holds Operations.")
async def patch_bodies_have_their_form(probe: Probe) -> None:
    user = await patchable(probe)
    bodies: list[Json] = [
        {"Operations": [REPLACE]},
        {"schemas": [USER_URN], "Operations": [REPLACE]},
        {"schemas": [PATCH_URN]},
        {"schemas": [PATCH_URN], "Operations": []},
    ]
    for body in bodies:
        expect_refused(await probe.send("PATCH", path_of(user), body), f"PATCH with the body {body}", "invalidSyntax", "invalidValue")


@requirement("7644-3.5.2-02", "RFC 7644 3.5.2", "MUST", 'Each operation has one "op": add, remove or replace.')
async def operations_are_known(probe: Probe) -> None:
    user = await patchable(probe)
    await refuses(probe, user, path="displayName", value="Bob")
    for op in ("move", "copy", "test"):
        await refuses(probe, user, **{**REPLACE, "op": op})


@requirement("7644-3.5.2-03", "RFC 7644 3.5.2", "MUST", "Array positions are no part of a path.")
async def paths_have_no_positions(probe: Probe) -> None:
    user = await patchable(probe, emails=[{"value": "a@example.com"}])
    await refuses(probe, user, "invalidPath", "invalidFilter", "noTarget", op="replace", path="emails[0].value", value="b@example.com")
    await refuses(probe, user, "invalidPath", "invalidFilter", "noTarget", op="replace", path="emails/0", value={"value": "b@example.com"})


@requirement("7644-3.5.2-04", "RFC 7644 3.5.2", "MUST", "Changing a read-only attribute is an error.")
async def read_only_attributes_cannot_be_changed(probe: Probe) -> None:
    user = await patchable(probe)
    changes: Json = {"id": "forged", "meta.created": "1999-01-01T00:00:00Z", "groups": [{"value": user["id"]}]}
    for path, value in changes.items():
        if not await lacks(probe, path.partition(".")[0]):
            await refuses(probe, user, "mutability", op="replace", path=path, value=value)


@requirement("7644-3.5.2-05", "RFC 7644 3.5.2", "MUST", "An immutable attribute takes a first value by PATCH, but no other later.")
async def immutable_attributes_are_set_once(probe: Probe) -> None:
    await need(probe, "patch")
    place = await find(probe, mutability="immutable", required=False, **TEXT)
    made = await make(probe, place.kind, await full_body(probe, place.kind))
    path = path_of(made, place.endpoint)
    shown = await patched(probe, path, {"op": "add", "path": place.path, "value": "first"})
    expect(place.value_in(shown) == "first", f"PATCH add of {place.path}, which had no value, leaves {shown}")
    reply = await probe.patch(path, {"op": "replace", "path": place.path, "value": "second"})
    expect_refused(reply, f"PATCH replace of the immutable {place.path}", "mutability")
    expect(place.value_in(await read(probe, path)) == "first", f"a refused PATCH changed {place.path}")


@requirement("7644-3.5.2-06", "RFC 7644 3.5.2", "MUST", "A value that breaks the schema is an error.")
async def values_have_to_fit_the_schema(probe: Probe) -> None:
    user = await patchable(probe, active=True)
    await refuses(probe, user, "invalidValue", op="replace", path="active", value="maybe")
    await refuses(probe, user, "invalidValue", op="replace", path="displayName", value={"text": "Bob"})
    await refuses(probe, user, "invalidValue", op="replace", path="displayName", value=["Bob", "Bert"])


@requirement("7644-3.5.2-07", "RFC 7644 3.5.2", "MUST", 'Adding an attribute by its extension URN adds the URN to "schemas".')
async def extensions_come_with_their_urn(probe: Probe) -> None:
    user = await patchable(probe)
    if not await has_enterprise(probe):
        raise NotApplicable("the User type does not have the enterprise extension")
    shown = await take(probe, user, {"op": "add", "path": f"{ENTERPRISE_URN}:employeeNumber", "value": "7"})
    expect((shown.get(ENTERPRISE_URN) or {}).get("employeeNumber") == "7", f"PATCH of an extension's attribute leaves {shown}")
    expect(ENTERPRISE_URN in shown["schemas"], f"PATCH of an extension's attribute leaves the schemas {shown['schemas']}")


@requirement("7644-3.5.2-08", "RFC 7644 3.5.2", "MUST", "Operations are applied one after another in order.")
async def operations_are_applied_in_order(probe: Probe) -> None:
    user = await patchable(probe, emails=[{"value": "old@example.com"}])
    await need_attributes(probe, "nickName")
    shown = await take(
        probe,
        user,
        {"op": "add", "path": "nickName", "value": "A"},
        {"op": "replace", "path": "nickName", "value": "B"},
        {"op": "remove", "path": "emails"},
        {"op": "add", "path": "emails", "value": [{"value": "new@example.com"}]},
    )
    found = shown.get("nickName"), values_of(shown, "emails")
    expect(found == ("B", ["new@example.com"]), f"add, replace, remove and add leave the nickName and emails {found}")


@requirement("7644-3.5.2-09", "RFC 7644 3.5.2", "MUST", "Making one value primary makes the others not primary.")
async def there_is_one_primary(probe: Probe) -> None:
    user = await patchable(probe, emails=[{"value": "a@example.com", "type": "work", "primary": True}])
    shown = await take(probe, user, {"op": "add", "path": "emails", "value": [{"value": "n@example.com", "type": "home", "primary": True}]})
    primaries = {one["value"]: one.get("primary", False) for one in shown.get("emails") or []}
    expect(primaries == {"a@example.com": False, "n@example.com": True}, f"after a second primary email the emails are {shown.get('emails')}")


@requirement("7644-3.5.2-10", "RFC 7644 3.5.2", "MUST", "A PATCH is all or nothing.")
async def patches_are_atomic(probe: Probe) -> None:
    user, other = await patchable(probe), await probe.new_user()
    before = await read(probe, path_of(user))
    for failing in ({"op": "remove", "path": "userName"}, {"op": "replace", "path": "userName", "value": other["userName"]}):
        reply = await probe.patch(path_of(user), REPLACE, failing)
        expect_refused(reply, f"PATCH whose second operation is {failing}", status=(400, 409))
        expect(await read(probe, path_of(user)) == before, "a PATCH whose second operation failed changed the user")


async def patch_displayed(probe: Probe, **query: str) -> Reply:
    """The answer to a PATCH with query parameters."""
    user = await patchable(probe)
    return await probe.patch(path_of(user), REPLACE, query=query or None)


@requirement("7644-3.5.2-11", "RFC 7644 3.5.2", "MUST", "A successful PATCH answers 200 with the whole resource, or 204 with no body.")
async def patches_answer_wholly_or_not_at_all(probe: Probe) -> None:
    reply = await patch_displayed(probe)
    expect_status(reply, "PATCH", 200, 204)
    if reply.status == 204:
        return expect(not reply.raw, f"PATCH gives {reply.told}")
    missing = {"id", "schemas", "userName", "displayName", "meta"} - set(reply.json)
    return expect(not missing and reply.json["displayName"] == "Bob", f"PATCH gives {reply.told}")


@requirement("7644-3.5.2-12", "RFC 7644 3.5.2", "MUST", 'With "attributes" given, PATCH answers 200 and obeys it.')
async def patches_show_what_is_asked(probe: Probe) -> None:
    reply = await patch_displayed(probe, attributes="displayName")
    expect_status(reply, "PATCH with attributes=displayName", 200)
    expect({"id", "displayName"} <= set(reply.json) and "userName" not in reply.json, f"PATCH with attributes=displayName gives {reply.told}")


@requirement("7644-3.5.2.1-01", "RFC 7644 3.5.2.1", "MUST", "add needs a value.")
async def add_needs_a_value(probe: Probe) -> None:
    await refuses(probe, await patchable(probe, nickName="N"), op="add", path="nickName")


@requirement("7644-3.5.2.1-07", "RFC 7644 3.5.2.1", "MUST", "Adding what is already there leaves the modification time alone.")
async def adding_the_same_is_no_change(probe: Probe) -> None:
    user = await patchable(probe)
    await asyncio.sleep(TICK)
    shown = await take(probe, user, {"op": "add", "path": "displayName", "value": "Ann"})
    moments = user["meta"]["lastModified"], shown["meta"]["lastModified"]
    expect(moments[0] == moments[1], f"adding what was there moved lastModified from {moments[0]} to {moments[1]}")


@requirement("7644-3.5.2.2-01", "RFC 7644 3.5.2.2", "MUST", "remove without a path gives 400 and noTarget.")
async def remove_needs_a_path(probe: Probe) -> None:
    await refuses(probe, await patchable(probe), "noTarget", named=True, op="remove")


@requirement("7644-3.5.2.2-05", "RFC 7644 3.5.2.2", "MUST", "Required and read-only attributes cannot be removed.")
async def required_attributes_cannot_be_removed(probe: Probe) -> None:
    user = await patchable(probe)
    for path in ("userName", "meta.created", "groups"):
        if not await lacks(probe, path.partition(".")[0]):
            await refuses(probe, user, "mutability", named=True, op="remove", path=path)


@requirement("7644-3.5.2.3-06", "RFC 7644 3.5.2.3", "MUST", "replace with a filter that finds nothing gives 400 and noTarget.")
async def filters_have_to_find_something(probe: Probe) -> None:
    user = await patchable(probe, emails=[{"value": "a@example.com", "type": "work"}])
    path = 'emails[type eq "nosuch"]'
    await refuses(probe, user, "noTarget", named=True, op="replace", path=f"{path}.value", value="z@example.com")
    await refuses(probe, user, "noTarget", named=True, op="replace", path=path, value={"value": "z@example.com"})


@requirement("7644-3.10-03", "RFC 7644 3.10", "MUST", "A PATCH path may be fully qualified and in any letter case.")
async def paths_may_be_full_names(probe: Probe) -> None:
    user = await patchable(probe, name={"givenName": "Ann", "familyName": "Clay"})
    shown = await take(probe, user, {"op": "replace", "path": f"{USER_URN}:NAME.givenname", "value": "G"})
    expect(shown.get("name", {}).get("givenName") == "G", f"PATCH of {USER_URN}:NAME.givenname leaves the name {shown.get('name')}")


@requirement("7644-3.12-05", "RFC 7644 3.12", "SHOULD", "A malformed path, or one naming no attribute, is refused.")
async def malformed_paths_are_refused(probe: Probe) -> None:
    user = await patchable(probe, emails=[{"value": "a@example.com", "type": "work"}])
    await refuses(probe, user, "invalidPath", named=True, op="replace", path="name..givenName", value="G")
    await refuses(probe, user, "invalidPath", "invalidFilter", named=True, op="replace", path="emails[type eq", value="z@example.com")
    await refuses(probe, user, "noTarget", "invalidPath", named=True, op="replace", path="noSuchAttribute", value="x")
