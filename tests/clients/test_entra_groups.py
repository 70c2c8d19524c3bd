"""Groups as Microsoft Entra writes them: client catalogue section 4."""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.recordings import GROUP, LIST, content, filled, forms, recorded, refused
from tests.servers.service import ScimClient


@pytest.fixture
async def crew(acme: ScimClient) -> dict[str, Any]:
    """A group as Entra creates one: without members."""
    response = await acme.post("/Groups", recorded("entra/create_group.json"))
    assert response.status_code == 201, response.text
    return response.json()


@pytest.fixture
async def people(acme: ScimClient) -> list[str]:
    """The ids of three users."""
    return [(await acme.create_user(userName=f"{name}@fjordline.example"))["id"] for name in ("torkel", "ragna", "odd")]


async def test_a_group_probe_gets_an_empty_list(acme: ScimClient, crew: dict[str, Any]) -> None:
    """Section 3.1: the second half of "Test connection"."""
    response = await acme.http.get(f"{acme.base_url}/Groups?excludedAttributes=members&filter=displayName+eq+%22{uuid4()}%22")

    assert response.status_code == 200
    assert response.json() == {"schemas": [LIST], "totalResults": 0, "startIndex": 1, "itemsPerPage": 0, "Resources": []}


async def test_a_group_is_created_with_microsoft_s_own_schema_urn(acme: ScimClient) -> None:
    """Section 4 and standards.md, suites that contradict each other, item 5: the ADSCIM URN is accepted, not answered."""
    response = await acme.post("/Groups", recorded("entra/create_group.json"))

    assert response.status_code == 201
    made = response.json()
    assert response.headers["location"] == made["meta"]["location"]
    assert content(made) == {
        "schemas": [GROUP],
        "id": made["id"],
        "externalId": "f7b40e11-52aa-4e60-9c3d-0cf1d1a2b3c4",
        "displayName": "Harbour Crew",
    }
    assert await acme.get_group(made["id"]) == made


async def test_a_group_with_an_empty_list_of_members_is_created(acme: ScimClient) -> None:
    """Section 4: "no members, or `members: []`"."""
    response = await acme.post("/Groups", recorded("entra/create_group.json") | {"members": []})

    assert response.status_code == 201
    assert "members" not in await acme.get_group(response.json()["id"])


@pytest.mark.parametrize(
    "query",
    [
        "excludedAttributes=members&filter=displayName+eq+%22harbour+CREW%22",
        "filter=displayName+eq+%22Harbour+Crew%22&excludedAttributes=members",
        "excludedAttributes=members&filter=DisplayName%20eq%20%22Harbour%20Crew%22",
        "excludedAttributes=members&filter=externalId+eq+%22f7b40e11-52aa-4e60-9c3d-0cf1d1a2b3c4%22",
    ],
)
async def test_a_group_matches_and_its_members_are_really_absent(acme: ScimClient, crew: dict[str, Any], people: list[str], query: str) -> None:
    """Sections 4 and 6: members that were excluded must not be there; they would be an error in Entra's log."""
    await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": [{"value": people[0]}]})

    response = await acme.http.get(f"{acme.base_url}/Groups?{query}")

    assert response.status_code == 200
    assert response.json()["totalResults"] == 1
    assert content(response.json()["Resources"][0]) == content(crew)


async def test_a_group_is_read_with_and_without_members(acme: ScimClient, crew: dict[str, Any], people: list[str]) -> None:
    """Section 4, "state": Entra always excludes them; others read them with value, $ref and type."""
    await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": [{"value": people[0]}]})

    without = (await acme.get(f"/Groups/{crew['id']}?excludedAttributes=members")).json()
    whole = await acme.get_group(crew["id"])

    assert content(without) == content(crew)
    (member,) = whole.pop("members")
    assert content(whole) == content(crew)
    assert (member["value"], member["$ref"], member["type"]) == (people[0], f"{acme.base_url}/Users/{people[0]}", "User")


@pytest.mark.parametrize("form", forms("entra/members_add.json"))
async def test_members_are_added_in_every_form(acme: ScimClient, crew: dict[str, Any], people: list[str], form: list[Any]) -> None:
    """Section 4: 204 without a body; adding the same again is 204 and changes nothing."""
    operations = filled(form, first=people[0], second=people[1])
    wanted = {people[0], people[1]} if any(people[1] in str(operation) for operation in operations) else {people[0]}

    first = await acme.patch_operations(f"/Groups/{crew['id']}", *operations)
    once = await acme.get_group(crew["id"])
    again = await acme.patch_operations(f"/Groups/{crew['id']}", *operations)

    assert [(answer.status_code, answer.content) for answer in (first, again)] == [(204, b""), (204, b"")]
    assert {member["value"] for member in once["members"]} == wanted
    assert len(once["members"]) == len(wanted)
    assert await acme.members(crew["id"]) == wanted
    assert {name: once[name] for name in crew if name != "meta"} == content(crew)


@pytest.mark.parametrize("form", forms("entra/members_remove.json"))
async def test_a_member_is_removed_in_every_form_and_the_others_stay(acme: ScimClient, crew: dict[str, Any], people: list[str], form: list[Any]) -> None:
    """Section 4, "Critical": a value list removes the listed members only; removing again is 204 (L10)."""
    await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": [{"value": person} for person in people]})
    operations = filled(form, first=people[0], unknown=str(uuid4()))

    first = await acme.patch_operations(f"/Groups/{crew['id']}", *operations)
    again = await acme.patch_operations(f"/Groups/{crew['id']}", *operations)

    assert [(answer.status_code, answer.content) for answer in (first, again)] == [(204, b""), (204, b"")]
    assert await acme.members(crew["id"]) == set(people[1:])


@pytest.mark.parametrize("form", forms("entra/members_clear.json"))
async def test_members_are_all_removed_without_a_value_list(acme: ScimClient, crew: dict[str, Any], people: list[str], form: list[Any]) -> None:
    """RFC 7644 section 3.5.2.2: `remove` of `members` without a value removes all of them, and nothing else."""
    await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": [{"value": person} for person in people]})

    response = await acme.patch_operations(f"/Groups/{crew['id']}", *form)

    assert (response.status_code, response.content) == (204, b"")
    assert content(await acme.get_group(crew["id"])) == content(crew)


async def test_replace_of_members_is_a_whole_replacement(acme: ScimClient, crew: dict[str, Any], people: list[str]) -> None:
    """Section 4, "Replace members": as the RFC has it."""
    await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": [{"value": people[0]}, {"value": people[1]}]})

    response = await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Replace", "path": "members", "value": [{"value": people[1]}, {"value": people[2]}]})

    assert (response.status_code, response.content) == (204, b"")
    assert await acme.members(crew["id"]) == {people[1], people[2]}


@pytest.mark.parametrize("form", forms("entra/rename_group.json"))
async def test_a_rename_keeps_members_and_external_id(acme: ScimClient, crew: dict[str, Any], people: list[str], form: dict[str, Any]) -> None:
    """Section 4: 204; a path-less replace without `members` never empties the group (S35)."""
    await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": [{"value": people[0]}]})

    response = await acme.patch_operations(f"/Groups/{crew['id']}", filled(form, group=crew["id"]))

    assert (response.status_code, response.content) == (204, b"")
    after = await acme.get_group(crew["id"])
    assert [member["value"] for member in after.pop("members")] == [people[0]]
    assert content(after) == content(crew) | {"displayName": "Harbour Crew North"}
    assert await acme.find("Groups", 'displayName eq "Harbour Crew"') == []


async def test_a_patch_that_asks_for_attributes_gets_the_group(acme: ScimClient, crew: dict[str, Any], people: list[str]) -> None:
    """Last table of standards.md: "PATCH with `attributes=` 200"."""
    response = await acme.patch_operations(f"/Groups/{crew['id']}?attributes=displayName", {"op": "Add", "path": "members", "value": [{"value": people[0]}]})

    assert response.status_code == 200
    assert response.json() == {"schemas": [GROUP], "id": crew["id"], "displayName": "Harbour Crew"}
    assert await acme.members(crew["id"]) == {people[0]}


@pytest.mark.parametrize(("quote", "member"), [("", "members"), ("%22", "members"), ("%22", "members.value"), ("", "members.value")])
async def test_entra_checks_a_member_before_it_writes_one(acme: ScimClient, crew: dict[str, Any], people: list[str], quote: str, member: str) -> None:
    """Section 4, "member check": `id eq <gid> and members eq <uid>&attributes=id`."""
    url = f"{acme.base_url}/Groups?filter=id+eq+{quote}{crew['id']}{quote}+and+{member}+eq+{quote}{people[0]}{quote}&attributes=id"
    before = (await acme.http.get(url)).json()
    await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": [{"value": people[0]}]})

    after = (await acme.http.get(url)).json()

    assert (before["totalResults"], after["totalResults"]) == (0, 1)
    assert after["Resources"] == [{"schemas": [GROUP], "id": crew["id"]}]


async def test_of_members_of_which_some_are_unknown_the_others_are_added(
    acme: ScimClient, globex: ScimClient, crew: dict[str, Any], people: list[str], counted: Callable[[str], float]
) -> None:
    """Section 4, "unknown member id": a stale id or another tenant's user is left out and counted."""
    stranger = (await globex.create_user(userName="spy@globex.example"))["id"]
    before = counted("unknown_member")

    response = await acme.patch_operations(
        f"/Groups/{crew['id']}",
        {"op": "Add", "path": "members", "value": [{"value": str(uuid4())}, {"value": people[0]}, {"value": "no-id-of-ours"}, {"value": stranger}]},
    )

    assert (response.status_code, response.content) == (204, b"")
    assert await acme.members(crew["id"]) == {people[0]}
    assert counted("unknown_member") == before + 1


@pytest.mark.parametrize("unknown", ["0b9a2f4e-1111-4c4c-9d9d-123456789abc", "no-id-of-ours"])
@pytest.mark.parametrize("op", ["Add", "Replace"])
async def test_members_of_which_none_is_known_are_refused_by_name(acme: ScimClient, crew: dict[str, Any], people: list[str], op: str, unknown: str) -> None:
    """Section 4: 400 invalidValue naming the ids; nothing is changed."""
    await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": [{"value": people[0]}]})
    before = await acme.get_group(crew["id"])

    response = await acme.patch_operations(f"/Groups/{crew['id']}", {"op": op, "path": "members", "value": [{"value": unknown}]})

    assert unknown in refused(response, 400, "invalidValue")
    assert await acme.get_group(crew["id"]) == before


async def test_a_member_of_another_tenant_is_nobody(acme: ScimClient, globex: ScimClient, crew: dict[str, Any]) -> None:
    """Section 4 and isolation: the same answer as for an id that was never given."""
    stranger = (await globex.create_user(userName="spy@globex.example"))["id"]

    response = await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": [{"value": stranger}]})

    refused(response, 400, "invalidValue")
    assert "groups" not in await globex.get_user(stranger)


async def test_removing_only_unknown_members_is_a_success(acme: ScimClient, crew: dict[str, Any], people: list[str]) -> None:
    """Rows L09 and L10: absent ids in a removal are ignored."""
    await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": [{"value": people[0]}]})

    for gone in (str(uuid4()), "no-id-of-ours", people[1]):
        response = await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Remove", "path": "members", "value": [{"value": gone}]})
        assert (response.status_code, response.content) == (204, b"")

    assert await acme.members(crew["id"]) == {people[0]}


async def test_ten_thousand_members_pass_in_one_patch(acme: ScimClient, crew: dict[str, Any], people: list[str]) -> None:
    """Last table of standards.md: 10,000 members pass; the one that exists is added, quickly (section 6: hard cap 5 s)."""
    values = [{"$ref": None, "value": person} for person in [*people, *(str(uuid4()) for _ in range(9_997))]]
    started = time.monotonic()

    response = await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": values})

    assert (response.status_code, response.content) == (204, b"")
    assert await acme.members(crew["id"]) == set(people)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("op", ["Add", "Replace", "Remove"])
async def test_above_ten_thousand_members_are_too_many(acme: ScimClient, crew: dict[str, Any], people: list[str], op: str) -> None:
    """Last table of standards.md: 413, whose detail says to send several PATCHes; nothing is changed."""
    values = [{"value": person} for person in [people[0], *(str(uuid4()) for _ in range(10_000))]]

    response = await acme.patch_operations(f"/Groups/{crew['id']}", {"op": op, "path": "members", "value": values})

    assert "several PATCH" in refused(response, 413)
    assert await acme.get_group(crew["id"]) == crew


@pytest.mark.parametrize("verb", ["post", "put"])
async def test_above_ten_thousand_members_are_too_many_in_a_whole_group_too(acme: ScimClient, crew: dict[str, Any], verb: str) -> None:
    """Last table of standards.md: "above 10,000 members in a request"."""
    body = {"schemas": [GROUP], "displayName": "Everybody", "members": [{"value": str(uuid4())} for _ in range(10_001)]}

    response = await (acme.post("/Groups", body) if verb == "post" else acme.put(f"/Groups/{crew['id']}", body))

    assert "several PATCH" in refused(response, 413)
    assert await acme.find("Groups", 'displayName eq "Everybody"') == []


async def test_one_member_per_patch_in_parallel_loses_nobody(acme: ScimClient, crew: dict[str, Any]) -> None:
    """Section 4, "Batching": non-gallery apps write one member per PATCH, in parallel, on one group (rule 6)."""
    people = [(await acme.create_user(userName=f"hand{number}@fjordline.example"))["id"] for number in range(40)]
    await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": [{"value": person} for person in people[:10]]})

    adds = [acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": [{"$ref": None, "value": one}]}) for one in people[10:]]
    removes = [acme.patch_operations(f"/Groups/{crew['id']}", {"op": "remove", "path": f'members[value eq "{one}"]'}) for one in people[:10]]
    answers = await asyncio.gather(*adds, *removes)

    assert {answer.status_code for answer in answers} == {204}
    assert await acme.members(crew["id"]) == set(people[10:])


async def test_a_group_may_be_a_member_of_a_group(acme: ScimClient, crew: dict[str, Any]) -> None:
    """Section 4: group-in-group ids are stored as type Group; cycles are storable (last table of standards.md)."""
    inner = await acme.create_group(displayName="Tug crew")

    outward = await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": [{"value": inner["id"]}]})
    inward = await acme.patch_operations(f"/Groups/{inner['id']}", {"op": "Add", "path": "members", "value": [{"value": crew["id"]}]})

    assert (outward.status_code, inward.status_code) == (204, 204)
    (member,) = (await acme.get_group(crew["id"]))["members"]
    assert (member["value"], member["type"], member["$ref"]) == (inner["id"], "Group", f"{acme.base_url}/Groups/{inner['id']}")
    assert await acme.members(inner["id"]) == {crew["id"]}


async def test_an_unassigned_group_is_deleted_and_its_users_stay(acme: ScimClient, crew: dict[str, Any], people: list[str]) -> None:
    """Section 4, "delete / unassign": 204, then 404; the users lose the group and nothing else."""
    await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": [{"value": people[0]}]})

    first, second = await acme.delete(f"/Groups/{crew['id']}"), await acme.delete(f"/Groups/{crew['id']}")

    assert (first.status_code, first.content) == (204, b"")
    refused(second, 404)
    refused(await acme.get(f"/Groups/{crew['id']}?excludedAttributes=members"), 404)
    refused(await acme.patch_operations(f"/Groups/{crew['id']}", {"op": "Add", "path": "members", "value": [{"value": people[0]}]}), 404)
    assert "groups" not in await acme.get_user(people[0])


async def test_groups_of_one_name_are_both_found(acme: ScimClient, crew: dict[str, Any]) -> None:
    """Last table of standards.md: displayName is not unique by default; both rows are returned."""
    twin = (await acme.post("/Groups", recorded("entra/create_group.json"))).json()

    assert {group["id"] for group in await acme.find("Groups", 'displayName eq "Harbour Crew"')} == {crew["id"], twin["id"]}


async def test_a_user_is_no_group(acme: ScimClient, crew: dict[str, Any], people: list[str]) -> None:
    """An id belongs to one resource type."""
    refused(await acme.get(f"/Groups/{people[0]}"), 404)
    refused(await acme.get(f"/Users/{crew['id']}"), 404)
    refused(await acme.delete(f"/Users/{crew['id']}"), 404)
    assert await acme.get_group(crew["id"]) == crew
