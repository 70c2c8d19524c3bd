"""How a tenant and a request want to be answered: /Me, preferences, conditions, PATCH answers, memberships as resources, groups through groups."""

from typing import Any
from uuid import UUID

import pytest

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.scim.errors import NotFound
from rollhouse.tenancy import credentials, tenants
from rollhouse.tenancy.secrets import Peppers
from tests.conftest import PEPPER
from tests.http.protocol import set_profile, slug_of
from tests.servers.service import ScimClient, Serving

UNKNOWN = "01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff"
TITLE = {"op": "replace", "path": "title", "value": "t"}


async def speaking_for(client: ScimClient, database: Database, resource_id: str) -> ScimClient:
    tenant = await tenants.find_tenant(database, slug_of(client))
    made = await credentials.create_secret(database, Peppers.parse(PEPPER), tenant, cause=UNATTENDED, subject_id=UUID(resource_id))
    return ScimClient(client.base_url, made.minted.secret)


async def test_me_is_the_credentials_own_subject(acme: ScimClient, service_database: Database) -> None:
    user = await acme.create_user(userName="ann")
    ann = await speaking_for(acme, service_database, user["id"])

    me = await ann.get("/Me")
    assert me.json() == user
    assert me.headers["content-location"] == user["meta"]["location"]
    changed = await ann.patch_operations("/Me", TITLE)
    assert changed.json()["title"] == "t"
    assert (await ann.put("/Me", {"userName": "anna"})).json()["userName"] == "anna"
    assert (await ann.post("/Me", {"userName": "x"})).status_code == 501
    assert (await ann.delete("/Me")).status_code == 204
    assert (await ann.get("/Me")).status_code == 404
    await ann.close()


async def test_without_a_subject_there_is_no_me(acme: ScimClient) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE", "POST"):
        response = await acme.request(method, "/Me", {} if method in ("PUT", "PATCH", "POST") else None)
        assert response.status_code == 501, method
        assert response.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
        assert "/Me" in response.json()["detail"]


async def test_a_secret_speaks_for_a_resource_of_its_tenant_alone(acme: ScimClient, globex: ScimClient, service: Serving, service_database: Database) -> None:
    foreign = await globex.create_user(userName="bob")
    with pytest.raises(NotFound, match="no resource"):
        await speaking_for(acme, service_database, foreign["id"])


async def test_preferences(acme: ScimClient) -> None:
    minimal, whole = {"prefer": "return=minimal"}, {"prefer": 'respond-async, return="representation"'}
    created = await acme.post("/Users", {"userName": "ann"}, headers=minimal)
    assert (created.status_code, created.content, created.headers["preference-applied"]) == (201, b"", "return=minimal")
    path = created.headers["location"].removeprefix(acme.base_url)

    assert (await acme.patch_operations(path, TITLE, headers=minimal)).status_code == 204
    assert (await acme.put(path, {"userName": "ann"}, headers=minimal)).status_code == 204
    group = await acme.create_group(displayName="g")
    shown = await acme.patch_operations(f"/Groups/{group['id']}", {"op": "replace", "path": "displayName", "value": "h"}, headers=whole)
    assert (shown.status_code, shown.json()["displayName"], shown.headers["preference-applied"]) == (200, "h", "return=representation")
    assert "preference-applied" not in (await acme.get(path, headers=minimal)).headers


async def test_conditions(acme: ScimClient) -> None:
    user = await acme.create_user(userName="ann")
    path, current, other = f"/Users/{user['id']}", {"if-none-match": 'W/"1"'}, {"if-none-match": 'W/"7"'}

    assert (await acme.get(path, headers=current)).status_code == 304
    assert (await acme.get(path, headers=other)).status_code == 200
    for method, body in (("PUT", {"userName": "ann"}), ("PATCH", {"Operations": [TITLE]}), ("DELETE", None)):
        assert (await acme.request(method, path, body, headers=current)).status_code == 412, method
        assert (await acme.request(method, path, body, headers={"if-none-match": "*"})).status_code == 412, method
    assert (await acme.get_user(user["id"])) == user
    assert (await acme.patch_operations(path, TITLE, headers=other)).status_code == 200


@pytest.mark.parametrize(("wanted", "statuses"), [("usual", (200, 204)), ("resource", (200, 200)), ("nothing", (204, 204))])
async def test_patch_answers(acme: ScimClient, service_database: Database, wanted: str, statuses: tuple[int, int]) -> None:
    user, group = await acme.create_user(userName="ann"), await acme.create_group(displayName="g")
    await set_profile(service_database, acme, patch_answer=wanted)

    answers = [
        await acme.patch_operations(f"/Users/{user['id']}", TITLE),
        await acme.patch_operations(f"/Groups/{group['id']}", {"op": "add", "path": "members", "value": [{"value": user["id"]}]}),
    ]
    assert tuple(one.status_code for one in answers) == statuses
    assert all(one.headers["etag"] == 'W/"2"' for one in answers if one.status_code == 200)


async def test_groups_through_groups_end_at_a_visited_one(acme: ScimClient, service_database: Database) -> None:
    user = await acme.create_user(userName="ann")
    inner = await acme.create_group(displayName="inner", members=[{"value": user["id"]}])
    middle = await acme.create_group(displayName="middle", members=[{"value": inner["id"]}])
    outer = await acme.create_group(displayName="outer", members=[{"value": middle["id"]}, {"value": user["id"]}])
    await acme.patch_operations(f"/Groups/{inner['id']}", {"op": "add", "path": "members", "value": [{"value": outer["id"]}]})  # a circle

    async def groups() -> dict[str, str]:
        one, listed = await acme.get_user(user["id"]), (await acme.get("/Users")).json()["Resources"][0]
        found = (await acme.get("/Users", params={"filter": 'userName eq "ann"'})).json()["Resources"][0]
        assert one == listed == found
        return {each["value"]: each["type"] for each in one["groups"]}

    assert await groups() == {inner["id"]: "direct", outer["id"]: "direct"}
    await set_profile(service_database, acme, indirect_groups=True)
    assert await groups() == {inner["id"]: "direct", outer["id"]: "direct", middle["id"]: "indirect"}


async def test_a_group_is_shown_with_so_many_members_and_no_more(acme: ScimClient, service_database: Database) -> None:
    ids = sorted([(await acme.create_user(userName=f"u{number}"))["id"] for number in range(5)])
    group = await acme.create_group(displayName="g", members=[{"value": one} for one in ids])
    await set_profile(service_database, acme, members_shown=2)

    shown = [await acme.get_group(group["id"]), (await acme.get("/Groups")).json()["Resources"][0]]
    shown.append((await acme.get("/Groups", params={"filter": 'displayName eq "g"'})).json()["Resources"][0])
    assert all([each["value"] for each in one["members"]] == ids[:2] for one in shown)
    await acme.patch_operations(f"/Groups/{group['id']}", {"op": "replace", "path": "displayName", "value": "h"})
    await set_profile(service_database, acme)
    assert len((await acme.get_group(group["id"]))["members"]) == 5, "who is not shown is a member all the same"


async def test_memberships_are_resources_where_the_tenant_wants_it(acme: ScimClient, globex: ScimClient, service_database: Database) -> None:
    users = sorted([(await acme.create_user(userName=f"u{number}"))["id"] for number in range(5)])
    group = await acme.create_group(displayName="g", members=[{"value": one} for one in users[:4]])
    other = await acme.create_group(displayName="h", members=[{"value": group["id"]}, {"value": users[0]}])
    assert (await acme.get("/GroupMembers")).status_code == 404
    await set_profile(service_database, acme, group_members=True)

    async def members(text: str = "", **parameters: Any) -> list[str]:
        response = await acme.get("/GroupMembers", params={**({"filter": text} if text else {}), **parameters})
        assert response.status_code == 200, response.text
        return [one["member"]["value"] for one in response.json()["Resources"]]

    assert "GroupMember" in [one["name"] for one in (await acme.get("/ResourceTypes")).json()["Resources"]]
    assert await members(f'group.value eq "{group["id"]}"') == users[:4]
    assert await members(f'group.value eq "{group["id"]}"', startIndex=2, count=2) == users[1:3]
    assert sorted(await members()) == sorted([*users[:4], group["id"], users[0]])
    of_user = (await acme.get("/GroupMembers", params={"filter": f'member.value eq "{users[0]}"'})).json()
    assert [one["group"]["value"] for one in of_user["Resources"]] == sorted([group["id"], other["id"]])
    first = (await acme.get("/GroupMembers", params={"cursor": "", "count": 4})).json()
    second = (await acme.get("/GroupMembers", params={"cursor": first["nextCursor"], "count": 4})).json()
    assert len({one["id"] for page in (first, second) for one in page["Resources"]}) == 6 == first["totalResults"]

    made = await acme.post("/GroupMembers", {"group": {"value": group["id"]}, "member": {"value": users[4]}})
    assert made.status_code == 201
    assert made.json()["member"]["type"] == "User"
    path = made.headers["location"].removeprefix(acme.base_url)
    assert (await acme.get(path)).json() == made.json()
    assert len((await acme.get_group(group["id"]))["members"]) == 5
    assert (await acme.get(f"/Groups/{group['id']}")).headers["etag"] == 'W/"2"'
    again = await acme.post("/GroupMembers", {"group": {"value": group["id"]}, "member": {"value": users[4]}})
    assert (again.status_code, again.json()["scimType"]) == (409, "uniqueness")
    for body in ({"group": {"value": UNKNOWN}, "member": {"value": users[4]}}, {"group": {"value": group["id"]}, "member": {"value": UNKNOWN}}, {"group": {}}):
        assert (await acme.post("/GroupMembers", body)).json()["scimType"] == "invalidValue", body
    assert (await acme.put(path, made.json())).status_code == 405
    assert (await acme.delete(path, headers={"if-match": 'W/"7"'})).status_code == 412
    assert (await acme.get(path)).status_code == 200
    assert (await acme.delete(path)).status_code == 204
    assert (await acme.delete(path)).status_code == 404
    assert len((await acme.get_group(group["id"]))["members"]) == 4
    assert (await acme.get("/GroupMembers", params={"filter": "group pr"})).json()["scimType"] == "invalidFilter"
    await set_profile(service_database, globex, group_members=True)
    assert (await globex.get(f"/GroupMembers/{group['id']}.{users[0]}")).status_code == 404
    assert (await globex.get("/GroupMembers")).json()["totalResults"] == 0


async def test_a_query_at_the_root_leaves_memberships_out(acme: ScimClient, service_database: Database) -> None:
    user = await acme.create_user(userName="ann")
    await acme.create_group(displayName="g", members=[{"value": user["id"]}])
    await set_profile(service_database, acme, group_members=True)

    assert (await acme.get("/")).json()["totalResults"] == 2


async def test_a_strict_tenant_takes_a_members_list_wholly_or_not_at_all(acme: ScimClient, service_database: Database) -> None:
    await set_profile(service_database, acme, strict=True)
    user = await acme.create_user(userName="ann")
    schemas = ["urn:ietf:params:scim:schemas:core:2.0:Group"]
    group = await acme.create_group(displayName="g")
    both = [{"value": user["id"]}, {"value": UNKNOWN}]

    refusals = [
        await acme.post("/Groups", {"schemas": schemas, "displayName": "h", "members": both}),
        await acme.patch_operations(f"/Groups/{group['id']}", {"op": "add", "path": "members", "value": both}),
        await acme.put(f"/Groups/{group['id']}", {"schemas": schemas, "displayName": "i", "members": both}),
    ]

    for one in refusals:
        assert (one.status_code, one.json()["scimType"]) == (400, "invalidValue"), one.text
        assert UNKNOWN in one.json()["detail"]
    assert (await acme.get("/Groups")).json()["Resources"] == [group]
