"""Many clients at once on one name, one user, one group: nothing lost, nothing doubled, no 5xx."""

import asyncio
import collections
import random

import pytest

from tests.servers.service import ScimClient


@pytest.mark.threat("T19")
@pytest.mark.tolerance("L32")
async def test_of_fifty_posts_of_one_user_name_one_wins(acme: ScimClient) -> None:
    """Letter case and Unicode forms varied: U+00E9 against e + U+0301, full-width letters, the Kelvin sign."""
    forms = [
        "renée.kay@acme.example",
        "RENÉE.KAY@ACME.EXAMPLE",
        "rene\u0301e.kay@acme.example",
        "\uff52en\u00e9e.\u212aay@acme.example",
        "Renée.\uff2bay@acme.example",
    ]
    responses = await asyncio.gather(*(acme.post("/Users", {"userName": forms[number % len(forms)]}) for number in range(50)))

    assert collections.Counter(response.status_code for response in responses) == {201: 1, 409: 49}
    assert {response.json()["scimType"] for response in responses if response.status_code == 409} == {"uniqueness"}
    assert (await acme.get("/Users")).json()["totalResults"] == 1


@pytest.mark.threat("T17")
@pytest.mark.tolerance("L32")
async def test_thirty_two_writers_adding_members_lose_none(acme: ScimClient) -> None:
    """Entra writes one member per PATCH, in parallel, on the same group (client catalogue, rule 6)."""
    users = [(await acme.create_user(userName=f"user{number}"))["id"] for number in range(32)]
    group = (await acme.create_group(displayName="Staff"))["id"]

    for round_number in range(20):
        responses = await asyncio.gather(
            *(acme.patch_operations(f"/Groups/{group}", {"op": "Add", "path": "members", "value": [{"$ref": None, "value": user}]}) for user in users)
        )
        assert {response.status_code for response in responses} == {204}
        assert await acme.members(group) == set(users), round_number
        responses = await asyncio.gather(
            *(acme.patch_operations(f"/Groups/{group}", {"op": "Remove", "path": "members", "value": [{"value": user}]}) for user in users)
        )
        assert {response.status_code for response in responses} == {204}
        assert await acme.members(group) == set()


@pytest.mark.threat("T17")
async def test_crossing_adds_and_removes_end_where_each_member_was_left(acme: ScimClient) -> None:
    users = [(await acme.create_user(userName=f"user{number}"))["id"] for number in range(24)]
    group = (await acme.create_group(displayName="Staff", members=[{"value": user} for user in users]))["id"]
    chance = random.Random(7)

    async def churn(mine: list[str]) -> set[str]:
        left = set(mine)
        for _ in range(10):
            some = chance.sample(mine, 3)
            op = chance.choice(["add", "remove"])
            response = await acme.patch_operations(f"/Groups/{group}", {"op": op, "path": "members", "value": [{"value": user} for user in some]})
            assert response.status_code == 204
            left = left | set(some) if op == "add" else left - set(some)
        return left

    left = await asyncio.gather(*(churn(users[start : start + 6]) for start in range(0, 24, 6)))

    assert await acme.members(group) == set().union(*left)


@pytest.mark.threat("T17")
async def test_parallel_patches_of_one_user_all_take_effect(acme: ScimClient) -> None:
    user = (await acme.create_user(userName="ann"))["id"]
    paths = ["title", "nickName", "locale", "timezone", "userType", "displayName", "name.givenName", "name.familyName", "externalId", "preferredLanguage"]

    responses = await asyncio.gather(*(acme.patch_operations(f"/Users/{user}", {"op": "replace", "path": path, "value": path}) for path in paths))

    assert {response.status_code for response in responses} == {200}
    found = await acme.get_user(user)
    assert all(found[path] == path for path in paths if "." not in path)
    assert found["name"] == {"givenName": "name.givenName", "familyName": "name.familyName"}
    assert found["meta"]["version"] == f'W/"{1 + len(paths)}"'


@pytest.mark.threat("T18")
async def test_of_two_writers_with_one_etag_exactly_one_wins(acme: ScimClient) -> None:
    for number in range(10):
        user = await acme.create_user(userName=f"ann{number}")
        headers = {"if-match": user["meta"]["version"]}

        responses = await asyncio.gather(
            *(acme.patch_operations(f"/Users/{user['id']}", {"op": "replace", "path": "title", "value": title}, headers=headers) for title in ("a", "b"))
        )

        assert sorted(response.status_code for response in responses) == [200, 412]


async def test_creating_and_deleting_members_while_they_join_ends_clean(acme: ScimClient) -> None:
    group = (await acme.create_group(displayName="Staff"))["id"]

    async def live(number: int) -> None:
        user = (await acme.create_user(userName=f"user{number}"))["id"]
        joined, gone = await asyncio.gather(
            acme.patch_operations(f"/Groups/{group}", {"op": "add", "path": "members", "value": [{"value": user}]}),
            acme.delete(f"/Users/{user}"),
        )
        assert gone.status_code == 204
        assert joined.status_code in (204, 400)  # 400: none of the members exists any more

    await asyncio.gather(*(live(number) for number in range(40)))

    assert await acme.members(group) == set()
    assert (await acme.get("/Users")).json()["totalResults"] == 0


@pytest.mark.threat("T17")
async def test_of_two_replacements_of_all_members_one_is_last(acme: ScimClient) -> None:
    users = [(await acme.create_user(userName=f"user{number}"))["id"] for number in range(2)]
    group = (await acme.create_group(displayName="Staff"))["id"]

    for _ in range(15):
        responses = await asyncio.gather(
            *(acme.patch_operations(f"/Groups/{group}", {"op": "replace", "path": "members", "value": [{"value": user}]}) for user in users)
        )
        assert {response.status_code for response in responses} == {204}
        assert len(await acme.members(group)) == 1


async def test_leavers_are_deleted_while_they_are_removed_from_their_group(acme: ScimClient) -> None:
    """Both lock the group first: no deadlock, so no 503."""
    for round_number in range(4):
        users = [(await acme.create_user(userName=f"user{round_number}-{number}"))["id"] for number in range(12)]
        group = (await acme.create_group(displayName="Staff", members=[{"value": user} for user in users]))["id"]

        responses = await asyncio.gather(
            *(acme.delete(f"/Users/{user}") for user in users),
            *(acme.patch_operations(f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{user}"]'}) for user in users),
        )

        assert {response.status_code for response in responses} == {204}
        assert await acme.members(group) == set()


async def test_a_group_that_is_its_own_member_can_be_deleted_with_its_etag(acme: ScimClient) -> None:
    group = await acme.create_group(displayName="Staff")
    await acme.patch_operations(f"/Groups/{group['id']}", {"op": "add", "path": "members", "value": [{"value": group["id"]}]})
    tag = (await acme.get_group(group["id"]))["meta"]["version"]

    assert (await acme.delete(f"/Groups/{group['id']}", headers={"if-match": tag})).status_code == 204
