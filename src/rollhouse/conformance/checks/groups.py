"""Groups: what they have to have, how members are shown and changed, and what a user sees of them."""

from rollhouse.conformance.checks.finding import group_of, need, need_attributes, need_type, schemas
from rollhouse.conformance.checks.judging import expect_refused, expect_status, patched, path_of, read, relative, values_of
from rollhouse.conformance.probe import GROUP_URN, Json, Probe
from rollhouse.conformance.requirement import NotApplicable, expect, requirement


async def member_parts(probe: Probe) -> dict[str, Json]:
    """The sub-attributes of members, as the Group schema defines them."""
    for one in (await schemas(probe)).get(GROUP_URN.casefold(), {}).get("attributes") or []:
        if one["name"] == "members":
            return {part["name"]: part for part in one.get("subAttributes") or []}
    return {}


async def read_group(probe: Probe, group: Json) -> Json:
    """A group as it is now."""
    return await read(probe, path_of(group, "/Groups"))


async def user_groups(probe: Probe, user: Json) -> dict[str, Json]:
    """What a user shows of each of its groups, by the group's id."""
    return {one.get("value"): one for one in (await read(probe, path_of(user))).get("groups") or []}


@requirement("7643-2.3.7-02", "RFC 7643 2.3.7", "MUST", "A reference URI, relative ones resolved from the service root, leads to its target.")
async def member_references_lead_to_members(probe: Probe) -> None:
    user = await probe.new_user()
    member = (await read_group(probe, await group_of(probe, user)))["members"][0]
    if not member.get("$ref"):
        raise NotApplicable("members are shown without $ref, which is optional")
    found = await read(probe, relative(probe, member["$ref"]))
    expect(found.get("id") == member.get("value") == user["id"], f"{member['$ref']} leads to {found.get('id')} instead of {user['id']}")


@requirement("7643-4.1.2-04", "RFC 7643 4.1.2", "MUST", "A user's groups show each Group's id and URI.")
async def a_user_shows_its_groups(probe: Probe) -> None:
    await need_attributes(probe, "groups")
    user = await probe.new_user()
    group = await group_of(probe, user)
    shown = await user_groups(probe, user)
    expect(group["id"] in shown, f"the user is in the group {group['id']} and shows the groups {list(shown)}")
    uri = shown[group["id"]].get("$ref")
    expect(uri and relative(probe, uri) == path_of(group, "/Groups"), f"the $ref of the group {group['id']} is {uri}")


@requirement("7643-4.1.2-05", "RFC 7643 4.1.2", "MUST", "Direct and nested memberships are both listed and told apart.")
async def nested_memberships_are_told_apart(probe: Probe) -> None:
    await need_attributes(probe, "groups")
    user = await probe.new_user()
    inner = await group_of(probe, user)
    reply = await probe.post("/Groups", {"schemas": [GROUP_URN], "displayName": probe.name("group"), "members": [{"value": inner["id"]}]})
    shown = await user_groups(probe, user)
    expect(inner["id"] in shown, f"the user shows the groups {list(shown)} and not the one it is in")
    outer = shown.get(reply.json.get("id")) if reply.status == 201 else None
    direct = shown[inner["id"]].get("type", "" if outer else "direct")
    expect(direct == "direct", f"the group that the user is in has the type {direct or 'missing'}")
    expect(outer is None or outer.get("type") == "indirect", f"the group round the user's group is shown as {outer}")
    if await probe.supports("patch"):
        await patched(probe, path_of(inner, "/Groups"), {"op": "remove", "path": f'members[value eq "{user["id"]}"]'})
        expect(inner["id"] not in await user_groups(probe, user), "the user left its group and shows it still")


@requirement("7643-4.2-01", "RFC 7643 4.2", "MUST", "A Group without displayName is refused, unless the Group schema calls it optional.")
async def a_group_needs_a_name(probe: Probe) -> None:
    await need_type(probe, "Group")
    user = await probe.new_user()
    reply = await probe.post("/Groups", {"schemas": [GROUP_URN], "members": [{"value": user["id"]}]})
    attributes = (await schemas(probe)).get(GROUP_URN.casefold(), {}).get("attributes") or []
    if reply.status != 201 or any(one["name"] == "displayName" and one.get("required") for one in attributes):
        expect_refused(reply, "POST /Groups without displayName", "invalidValue")


@requirement("7643-4.2-02", "RFC 7643 4.2", "MUST", "A member shows the id and URI of its resource, be it a User or a Group.")
async def members_show_id_and_uri(probe: Probe) -> None:
    user = await probe.new_user()
    inner = await group_of(probe)
    parts = await member_parts(probe)
    nests = "Group" in (parts.get("$ref", {}).get("referenceTypes") or ["Group"])
    members = {user["id"]: path_of(user), **({inner["id"]: path_of(inner, "/Groups")} if nests else {})}
    shown = (await read_group(probe, await group_of(probe, user, *([inner] if nests else [])))).get("members") or []
    expect({one.get("value") for one in shown} == set(members), f"the members {list(members)} are shown as {shown}")
    for one in shown:
        uri = one.get("$ref")
        expect(not parts or "$ref" not in parts or uri, f"the member {one} has no $ref, though the schema publishes it")
        expect(not uri or relative(probe, uri) == members[one["value"]], f"the $ref of the member {one['value']} is {uri}")


@requirement("7643-4.2-03", "RFC 7643 4.2", "MUST", "Sub-attributes of a member cannot be altered once set.")
async def members_cannot_be_altered(probe: Probe) -> None:
    await need(probe, "patch")
    one, other = await probe.new_user(), await probe.new_user()
    group = await group_of(probe, one)
    path = f'members[value eq "{one["id"]}"].value'
    reply = await probe.patch(path_of(group, "/Groups"), {"op": "replace", "path": path, "value": other["id"]})
    expect_refused(reply, "PATCH of a member's value", "mutability")
    shown = values_of(await read_group(probe, group), "members")
    expect(shown == [one["id"]], f"the members {[one['id']]} became {shown} though the PATCH was refused")


@requirement("7644-3.5.2.1-06", "RFC 7644 3.5.2.1", "SHOULD", "Adding a member that is there already succeeds and changes nothing.")
async def adding_a_member_twice_changes_nothing(probe: Probe) -> None:
    await need(probe, "patch")
    user = await probe.new_user()
    group = await group_of(probe, user)
    reply = await probe.patch(path_of(group, "/Groups"), {"op": "add", "path": "members", "value": [{"value": user["id"]}]})
    expect_status(reply, "PATCH add of a member that is there already", 200, 204)
    shown = values_of(await read_group(probe, group), "members")
    expect(shown == [user["id"]], f"one member, added again, is shown as {shown}")


@requirement("7644-3.5.2.2-06", "RFC 7644 3.5.2.2", "SHOULD", "Removing someone who is no member succeeds and changes nothing.")
async def removing_a_stranger_changes_nothing(probe: Probe) -> None:
    await need(probe, "patch")
    user, stranger = await probe.new_user(), await probe.new_user()
    group = await group_of(probe, user)
    reply = await probe.patch(path_of(group, "/Groups"), {"op": "remove", "path": f'members[value eq "{stranger["id"]}"]'})
    expect_status(reply, "PATCH remove of someone who is no member", 200, 204)
    shown = values_of(await read_group(probe, group), "members")
    expect(shown == [user["id"]], f"the members {[user['id']]} became {shown}")
