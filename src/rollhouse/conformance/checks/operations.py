"""PATCH: what add, remove and replace do to each kind of attribute (RFC 7644 sections 3.5.2.1 to 3.5.2.3)."""

from rollhouse.conformance.checks.finding import group_of, need
from rollhouse.conformance.checks.judging import patched, path_of, values_of
from rollhouse.conformance.checks.patching import patchable, refuses, take
from rollhouse.conformance.checks.samples import Family
from rollhouse.conformance.probe import Json, Probe
from rollhouse.conformance.requirement import expect, requirement

EMAILS: Json = [{"value": "x@a.example", "type": "work"}, {"value": "y@b.example", "type": "work"}, {"value": "z@a.example", "type": "home"}]
NAME: Json = {"givenName": "Ann", "middleName": "Bea", "familyName": "Clay"}


async def members_after(probe: Probe, group: Json, *operations: Json) -> set[str]:
    """The ids of a group's members after operations that the server took."""
    await need(probe, "patch")
    return set(values_of(await patched(probe, path_of(group, "/Groups"), *operations), "members"))


def expect_members(found: set[str], tried: str, *wanted: Json) -> None:
    """A group has just these members."""
    expect(found == {one["id"] for one in wanted}, f"{tried} leaves {len(found)} members {sorted(found)} instead of {[one['id'] for one in wanted]}")


def expect_shown(shown: Json, **wanted: Json) -> None:
    """A resource has these values; None stands for none."""
    for name, value in wanted.items():
        expect((shown.get(name) or None) == value, f"{name} is {shown.get(name)!r} instead of {value!r}")


@requirement("7644-3.5.2.1-02", "RFC 7644 3.5.2.1", "MUST", "add without a path merges the given attributes into the resource.")
async def add_merges(probe: Probe) -> None:
    user = await patchable(probe, title="Engineer", emails=[{"value": "a@example.com"}])
    shown = await take(probe, user, {"op": "add", "value": {"nickName": "N", "emails": [{"value": "n@example.com"}]}})
    expect_shown(shown, nickName="N", title="Engineer", displayName="Ann", userName=user["userName"])
    expect(sorted(values_of(shown, "emails")) == ["a@example.com", "n@example.com"], f"add of an email leaves {shown.get('emails')}")


@requirement("7644-3.5.2.1-03", "RFC 7644 3.5.2.1", "MUST", "add to a single-valued attribute sets it, or replaces what is there.")
async def add_sets(probe: Probe) -> None:
    user = await patchable(probe)
    for title in ("Boss", "Chief"):
        expect_shown(await take(probe, user, {"op": "add", "path": "title", "value": title}), title=title, displayName="Ann")


@requirement("7644-3.5.2.1-04", "RFC 7644 3.5.2.1", "MUST", "add to a complex attribute takes an object of sub-attributes.")
async def add_takes_sub_attributes(probe: Probe) -> None:
    user = await patchable(probe, name=NAME)
    shown = await take(probe, user, {"op": "add", "path": "name", "value": {"honorificPrefix": "Dr."}})
    expect_shown(shown.get("name") or {}, honorificPrefix="Dr.", **NAME)
    await refuses(probe, user, "invalidValue", op="add", path="name", value="text")


@requirement("7644-3.5.2.1-05", "RFC 7644 3.5.2.1", "MUST", "add to a multi-valued attribute appends.")
async def add_appends(probe: Probe) -> None:
    one, other = await probe.new_user(), await probe.new_user()
    operation = {"op": "add", "path": "members", "value": [{"value": other["id"]}]}
    expect_members(await members_after(probe, await group_of(probe, one), operation), "add of a second member", one, other)
    user = await patchable(probe, emails=EMAILS)
    shown = await take(probe, user, {"op": "add", "path": "emails", "value": [{"value": "n@c.example", "type": "other"}]})
    wanted = [*(email["value"] for email in EMAILS), "n@c.example"]
    expect(sorted(values_of(shown, "emails")) == sorted(wanted), f"add of a fourth email leaves {shown.get('emails')}")


@requirement("7644-3.5.2.2-02", "RFC 7644 3.5.2.2", "MUST", "remove of a single-valued attribute or sub-attribute unassigns just that.")
async def remove_unassigns(probe: Probe) -> None:
    await need(probe, "patch")
    family = await Family.of(probe, u={"title": "Engineer", "name": NAME, "displayName": "Ann"})
    shown = await take(probe, family.users["u"], {"op": "remove", "path": "title"}, {"op": "remove", "path": "name.middleName"})
    expect_shown(shown, title=None, displayName="Ann")
    expect_shown(shown.get("name") or {}, **{**NAME, "middleName": None})
    await family.expect_found("title pr or name.middleName pr")


@requirement("7644-3.5.2.2-03", "RFC 7644 3.5.2.2", "MUST", "A multi-valued attribute emptied by remove is unassigned.")
async def remove_empties(probe: Probe) -> None:
    await need(probe, "patch")
    family = await Family.of(probe, u={"emails": EMAILS}, v={"emails": EMAILS[:1]})
    for called, path in (("u", "emails"), ("v", 'emails[value eq "x@a.example"]')):
        expect_shown(await take(probe, family.users[called], {"op": "remove", "path": path}), emails=None)
    await family.expect_found("emails pr")


@requirement("7644-3.5.2.2-04", "RFC 7644 3.5.2.2", "MUST", "remove with a filter takes away only the matching elements.")
async def remove_takes_what_matches(probe: Probe) -> None:
    one, other = await probe.new_user(), await probe.new_user()
    operation = {"op": "remove", "path": f'members[value eq "{one["id"]}"]'}
    expect_members(await members_after(probe, await group_of(probe, one, other), operation), "remove of one member", other)
    user = await patchable(probe, emails=EMAILS)
    shown = await take(probe, user, {"op": "remove", "path": 'emails[type eq "work" and value ew "a.example"]'})
    expect(sorted(values_of(shown, "emails")) == ["y@b.example", "z@a.example"], f"remove of one email leaves {shown.get('emails')}")


@requirement("7644-3.5.2.3-01", "RFC 7644 3.5.2.3", "MUST", "replace without a path replaces the given attributes and no others.")
async def replace_without_path_replaces_the_given(probe: Probe) -> None:
    user = await patchable(probe, nickName="Annie", title="Engineer", emails=EMAILS)
    shown = await take(probe, user, {"op": "replace", "value": {"nickName": "N", "emails": [{"value": "only@c.example"}]}})
    expect_shown(shown, nickName="N", title="Engineer", displayName="Ann", userName=user["userName"])
    expect(values_of(shown, "emails") == ["only@c.example"], f"replace of the emails leaves {shown.get('emails')}")


@requirement("7644-3.5.2.3-02", "RFC 7644 3.5.2.3", "MUST", "replace of a single-valued attribute sets the new value, also if it was unset.")
async def replace_sets(probe: Probe) -> None:
    user = await patchable(probe)
    for name in ("N", "M"):
        expect_shown(await take(probe, user, {"op": "replace", "path": "nickName", "value": name}), nickName=name, displayName="Ann")


@requirement("7644-3.5.2.3-03", "RFC 7644 3.5.2.3", "MUST", "replace of a multi-valued attribute without filter replaces all its values.")
async def replace_replaces_all(probe: Probe) -> None:
    users = [await probe.new_user() for _ in range(3)]
    operation = {"op": "replace", "path": "members", "value": [{"value": users[2]["id"]}]}
    expect_members(await members_after(probe, await group_of(probe, *users[:2]), operation), "replace of two members by a third", users[2])
    shown = await take(probe, await patchable(probe, emails=EMAILS), {"op": "replace", "path": "emails", "value": [{"value": "n@c.example"}]})
    expect(values_of(shown, "emails") == ["n@c.example"], f"replace of three emails by a fourth leaves {shown.get('emails')}")


@requirement("7644-3.5.2.3-04", "RFC 7644 3.5.2.3", "MUST", "replace of a complex attribute keeps the sub-attributes not named.")
async def replace_keeps_other_sub_attributes(probe: Probe) -> None:
    user = await patchable(probe, name={"givenName": "Ann", "familyName": "Clay"})
    shown = await take(probe, user, {"op": "replace", "path": "name", "value": {"givenName": "G2", "middleName": "M"}})
    expect_shown(shown.get("name") or {}, givenName="G2", middleName="M", familyName="Clay")


@requirement("7644-3.5.2.3-05", "RFC 7644 3.5.2.3", "MUST", "replace with a filter changes every matching element, or the named sub-attribute in each.")
async def replace_changes_every_match(probe: Probe) -> None:
    home = {"type": "home", "streetAddress": "H", "locality": "L"}
    work = [{"type": "work", "streetAddress": street, "locality": "L"} for street in ("W1", "W2")]
    user = await patchable(probe, addresses=[*work, home])
    shown = await take(probe, user, {"op": "replace", "path": 'addresses[type eq "work"].streetAddress', "value": "S"})
    expect(_addresses(shown) == [("home", "H", "L"), ("work", "S", "L"), ("work", "S", "L")], f"two streets were replaced: {shown.get('addresses')}")
    user = await patchable(probe, addresses=[*work, home])
    shown = await take(probe, user, {"op": "replace", "path": 'addresses[type eq "work"]', "value": {"type": "work", "locality": "L2"}})
    kinds = {(kind, locality) for kind, _, locality in _addresses(shown)}
    expect(kinds == {("home", "L"), ("work", "L2")}, f"two addresses were replaced: {shown.get('addresses')}")


def _addresses(shown: Json) -> list[tuple[str, str, str]]:
    return sorted((one.get("type", ""), one.get("streetAddress", ""), one.get("locality", "")) for one in shown.get("addresses") or [])
