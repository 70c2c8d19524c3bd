"""What the operator's own product reads of a tenant: users, groups, memberships, usage and audit, page by page."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from tests.api.conftest import ApiClient, problem
from tests.servers.service import ScimClient

UNKNOWN = "01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff"


def slug_of(client: ScimClient) -> str:
    return client.base_url.split("/")[4]


async def every(operator: ApiClient, path: str, limit: int) -> list[dict[str, Any]]:
    """The items of all pages; every page but the last is full."""
    found: list[dict[str, Any]] = []
    parameters: dict[str, Any] = {"limit": limit}
    while True:
        response = await operator.get(path, params=parameters)
        assert response.status_code == 200, response.text
        page = response.json()
        found += page["items"]
        if page["next"] is None:
            return found
        assert len(page["items"]) == limit
        parameters["after"] = page["next"]


async def test_users_are_listed_page_by_page_as_scim_shows_them(operator: ApiClient, acme: ScimClient) -> None:
    made = [await acme.create_user(userName=f"user{n}", emails=[{"value": f"u{n}@acme.example"}]) for n in range(7)]
    await acme.create_group(displayName="Staff", members=[{"value": made[0]["id"]}])

    listed = await every(operator, f"/tenants/{slug_of(acme)}/users", 3)
    one = await operator.get(f"/tenants/{slug_of(acme)}/users/{made[0]['id']}")

    assert listed == made
    assert one.json() == {name: value for name, value in (await acme.get_user(made[0]["id"])).items() if name != "groups"}
    assert one.headers["etag"] == '"1"'


async def test_a_groups_members_are_listed_page_by_page_and_never_with_the_group(operator: ApiClient, acme: ScimClient) -> None:
    users = [(await acme.create_user(userName=f"user{n}"))["id"] for n in range(7)]
    group = await acme.create_group(displayName="Staff", members=[{"value": one} for one in users])
    path = f"/tenants/{slug_of(acme)}/groups"

    members = await every(operator, f"{path}/{group['id']}/members", 2)

    assert members == sorted(group["members"], key=lambda one: one["value"])
    for shown in (*(await every(operator, path, 5)), (await operator.get(f"{path}/{group['id']}")).json()):
        assert shown["displayName"] == "Staff"
        assert "members" not in shown


async def test_the_groups_of_a_user_are_listed_page_by_page(operator: ApiClient, acme: ScimClient) -> None:
    user = await acme.create_user(userName="ann")
    for n in range(5):
        await acme.create_group(displayName=f"Group {n}", members=[{"value": user["id"]}])

    groups = await every(operator, f"/tenants/{slug_of(acme)}/users/{user['id']}/groups", 2)

    assert groups == (await acme.get_user(user["id"]))["groups"]
    assert len(groups) == 5


@pytest.mark.threat("T01")
async def test_another_tenants_resources_are_not_found_under_this_one(operator: ApiClient, acme: ScimClient, globex: ScimClient) -> None:
    user = await globex.create_user(userName="bob")
    group = await globex.create_group(displayName="Staff", members=[{"value": user["id"]}])
    mine = f"/tenants/{slug_of(acme)}"

    for path in (f"/users/{user['id']}", f"/users/{user['id']}/groups", f"/groups/{group['id']}", f"/groups/{group['id']}/members"):
        foreign = problem(await operator.get(mine + path), 404)
        unknown = problem(await operator.get((mine + path).replace(user["id"], UNKNOWN).replace(group["id"], UNKNOWN)), 404)
        assert foreign["detail"].replace(user["id"], UNKNOWN).replace(group["id"], UNKNOWN) == unknown["detail"]
    assert await every(operator, f"{mine}/users", 50) == []
    assert await every(operator, f"{mine}/groups", 50) == []


@pytest.mark.parametrize("name", ["users", "groups"])
async def test_a_resource_of_the_other_type_is_not_found(operator: ApiClient, acme: ScimClient, name: str) -> None:
    user, group = await acme.create_user(userName="ann"), await acme.create_group(displayName="Staff")
    wrong = group["id"] if name == "users" else user["id"]
    tail = "groups" if name == "users" else "members"

    problem(await operator.get(f"/tenants/{slug_of(acme)}/{name}/{wrong}"), 404)
    problem(await operator.get(f"/tenants/{slug_of(acme)}/{name}/{wrong}/{tail}"), 404)
    problem(await operator.get(f"/tenants/{slug_of(acme)}/{name}/not-an-id/{tail}"), 404)


@pytest.mark.parametrize("tail", ["users", "groups", "audit", f"users/{UNKNOWN}/groups", f"groups/{UNKNOWN}/members"])
async def test_a_page_that_begins_behind_nonsense_is_refused(operator: ApiClient, acme: ScimClient, tail: str) -> None:
    problem(await operator.get(f"/tenants/{slug_of(acme)}/{tail}", params={"after": "nonsense"}), 400)


async def test_usage_counts_resources_and_names_live_secrets_with_their_last_use(operator: ApiClient, acme: ScimClient) -> None:
    path = f"/tenants/{slug_of(acme)}/usage"
    before = (await operator.get(path)).json()
    users = [await acme.create_user(userName=f"user{n}") for n in range(3)]
    group = await acme.create_group(displayName="Staff")
    await acme.delete(f"/Users/{users[0]['id']}")
    made = (await operator.post(f"/tenants/{slug_of(acme)}/credentials")).json()
    await operator.request("DELETE", f"/tenants/{slug_of(acme)}/credentials/{made['id']}")

    usage = (await operator.get(path)).json()

    assert (before["resources"], before["last_write"]) == ({"User": 0, "Group": 0}, None)
    assert usage["resources"] == {"User": 2, "Group": 1}
    assert usage["limits"] == {"rate_per_second": 0, "burst": 0}
    assert [acme.secret.startswith(one["prefix"]) for one in usage["live_credentials"]] == [True]
    assert usage["last_write"] >= group["meta"]["lastModified"]


async def test_usage_says_when_a_secret_was_last_used(operator: ApiClient, acme: ScimClient) -> None:
    await acme.create_user(userName="ann")

    for _ in range(150):
        last_used = (await operator.get(f"/tenants/{slug_of(acme)}/usage")).json()["live_credentials"][0]["last_used"]
        if last_used is not None:
            break
        await asyncio.sleep(0.2)

    assert last_used is not None


async def test_the_audit_is_listed_page_by_page_with_names_and_never_values(operator: ApiClient, acme: ScimClient) -> None:
    user = await acme.create_user(userName="ann", displayName="Very Private Name")
    group = await acme.create_group(displayName="Staff", members=[{"value": user["id"]}])
    for active in (False, True, False):
        await acme.patch_operations(f"/Users/{user['id']}", {"op": "replace", "path": "active", "value": active})

    rows = await every(operator, f"/tenants/{slug_of(acme)}/audit", 2)

    told = [(row["action"], row["target_id"]) for row in rows if row["target_type"] in ("User", "Group")]
    assert told == [("resource.created", user["id"]), ("resource.created", group["id"]), *[("resource.updated", user["id"])] * 3]
    assert [row["added"] for row in rows if row["target_id"] == group["id"]] == [[user["id"]]]
    assert sorted(UUID(row["id"]) for row in rows) == [UUID(row["id"]) for row in rows]
    assert "Very Private Name" not in str(rows)
    assert acme.secret not in str(rows)
