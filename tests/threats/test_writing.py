"""What an identity provider can write, and what it can never reach by writing: ids, other people's accounts, rights, secrets (RFC 7644 section 7)."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Cluster
from tests.servers.service import ScimClient, Serving
from tests.threats.stored import DIRECTORY, rights, rows_by_table

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
CANARY = "c4n4ry-Pa55word-9f3d"
ADMIN_ROLES = {
    "roles": [{"value": "admin", "primary": True}, {"value": "operator"}],
    "entitlements": [{"value": "tenants:write"}],
    "userType": "Administrator",
    "groups": [{"value": "00000000-0000-0000-0000-000000000000", "display": "Administrators"}],
    f"{ENTERPRISE}:department": "Operators",
    "urn:example:rights:2.0:User": {"admin": True, "tenant_id": "00000000-0000-0000-0000-000000000000"},
}


def no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of an answer, which names no member twice, in whatever letter case."""
    assert len({name.lower() for name, _ in pairs}) == len(pairs), [name for name, _ in pairs]
    return dict(pairs)


@pytest.mark.threat("T05")
async def test_a_resource_is_never_found_under_its_external_id(acme: ScimClient) -> None:
    """An external id may be another resource's id, a number or a tenant's id: it stays a text of the client's."""
    ann = await acme.create_user(userName="ann")
    for number, external_id in enumerate([ann["id"], "1", "0", acme.tenant_id, "me", ".search"]):
        made = await acme.create_user(userName=f"user{number}", externalId=external_id)
        reached = await acme.get(f"/Users/{external_id}")

        assert made["id"] != external_id
        assert reached.status_code in (404, 405) or reached.json()["id"] == ann["id"]
        assert [user["id"] for user in await acme.find("Users", f'externalId eq "{external_id}"')] == [made["id"]]

    assert await acme.get_user(ann["id"]) == ann


@pytest.mark.threat("T05")
async def test_writes_to_an_external_id_reach_nobody(acme: ScimClient) -> None:
    made = await acme.create_user(userName="ann", externalId="12345")
    group = await acme.create_group(displayName="g", externalId="777")

    answers = [
        await acme.put("/Users/12345", {"userName": "x"}),
        await acme.patch_operations("/Users/12345", {"op": "replace", "path": "active", "value": False}),
        await acme.delete("/Users/12345"),
        await acme.delete("/Groups/777"),
        await acme.patch_operations(f"/Groups/{group['id']}", {"op": "add", "path": "members", "value": [{"value": "12345"}]}),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404, 404, 400]
    assert await acme.get_user(made["id"]) == made
    assert await acme.members(group["id"]) == set()


@pytest.mark.threat("T06")
async def test_an_account_of_the_same_name_and_address_elsewhere_is_never_adopted(acme: ScimClient, globex: ScimClient) -> None:
    theirs = await globex.create_user(userName="ann@example.com", emails=[{"value": "ann@example.com", "primary": True}], externalId="e")
    mine = await acme.create_user(userName="other@example.com")

    await acme.put(f"/Users/{mine['id']}", {"userName": "ann@example.com", "emails": [{"value": "ann@example.com"}], "externalId": "e", "id": theirs["id"]})
    await acme.patch_operations(f"/Users/{mine['id']}", {"op": "replace", "path": "active", "value": False})
    taken = await acme.create_user(userName="ANN2@example.com", emails=[{"value": "ann@example.com"}])
    await acme.delete(f"/Users/{mine['id']}")

    assert await globex.get_user(theirs["id"]) == theirs
    assert theirs["id"] not in (mine["id"], taken["id"])
    assert [user["id"] for user in await globex.find("Users", 'userName eq "ann@example.com"')] == [theirs["id"]]


@pytest.mark.threat("T06")
async def test_a_freed_user_name_is_a_new_account(acme: ScimClient) -> None:
    """Who leaves takes the account along: the next of that name has another id and none of the old memberships."""
    first = await acme.create_user(userName="ann", externalId="e")
    group = await acme.create_group(displayName="g", members=[{"value": first["id"]}])
    await acme.delete(f"/Users/{first['id']}")

    second = await acme.create_user(userName="ann", externalId="e")

    assert second["id"] != first["id"]
    assert "groups" not in await acme.get_user(second["id"])
    assert await acme.members(group["id"]) == set()


async def write_password(client: ScimClient) -> list[str]:
    """All bodies that are answered when a password is sent through every door."""
    shown = [await client.post("/Users", {"schemas": [USER_URN], "userName": "ann", "password": CANARY})]
    one = f"/Users/{shown[0].json()['id']}"
    shown += [
        await client.put(one, {"userName": "ann", "PassWord": CANARY}),
        await client.put(one, {"userName": "ann", f"{USER_URN}:password": CANARY}),
        await client.patch_operations(one, {"op": "replace", "path": "password", "value": CANARY}),
        await client.patch_operations(one, {"op": "add", "path": f"{USER_URN}:password", "value": CANARY}),
        await client.patch_operations(one, {"op": "Replace", "value": {"password": CANARY, "title": "t"}}),
        await client.patch_operations(one, {"op": "add", "value": {f"{USER_URN}:password": CANARY, USER_URN: {"password": CANARY}}}),
        await client.patch_operations(one, {"op": "replace", "path": "password", "value": {"value": CANARY}}),
        await client.post("/Users", {"userName": "ANN", "password": CANARY}),
        await client.request("POST", "/Users", content=f'{{"userName":"x","password":"{CANARY}",'.encode()),
        await client.get(one, params={"attributes": "password,userName"}),
        await client.get("/Users", params={"filter": f'password eq "{CANARY}"'}),
        await client.get("/Users", params={"sortBy": "password"}),
        await client.post("/.search", {"filter": f'password eq "{CANARY}"'}),
    ]
    assert all(answer.status_code < 500 for answer in shown)
    return [answer.text for answer in shown]


@pytest.mark.threat("T07")
async def test_a_password_is_taken_and_kept_nowhere(acme: ScimClient, service: Serving, embedded_cluster: Cluster) -> None:
    """Neither in an answer nor in the database, the log or a metric; it is not even in the audit that one was sent with a value."""
    shown = await write_password(acme)
    stored = await rows_by_table(embedded_cluster)
    metrics = (await acme.http.get(service.metrics_url)).text

    assert [text for text in shown if CANARY in text] == []
    assert [name for name, rows in stored.items() if any(CANARY in row for row in rows)] == []
    assert stored["resources"]
    assert CANARY not in service.log.read_text()
    assert CANARY not in metrics


@pytest.mark.threat("T07")
async def test_no_filter_answers_questions_about_a_password(acme: ScimClient) -> None:
    await acme.create_user(userName="ann", password=CANARY)
    for text in (f'password eq "{CANARY}"', 'password sw "c"', "password pr", "not (password pr)", f'{USER_URN}:password eq "{CANARY}"'):
        answer = await acme.get("/Users", params={"filter": text})
        assert answer.status_code == 400 or answer.json()["totalResults"] in (0, 1)
        assert CANARY not in answer.text.replace("\\", "") or answer.status_code == 400

    assert (await acme.get("/Users", params={"filter": 'password sw "c"'})).json().get("totalResults", 0) == 0
    assert (await acme.get("/ServiceProviderConfig")).json()["changePassword"] == {"supported": False}


READ_ONLY = ["id", "meta", "groups", "schemas", "meta.location", "meta.created", "meta.version", "tenant_id", "tenantId", "tenant", "version", "document"]
NAMES = st.one_of(
    st.sampled_from([*READ_ONLY, "created", "lastModified", "comparable", "is_unique", "__proto__", "constructor", "__class__", "$ref", "_id", "ID", "Meta"]),
    st.sampled_from(READ_ONLY).map(lambda name: f"{USER_URN}:{name}"),
    st.sampled_from(READ_ONLY).map(str.swapcase),
    st.sampled_from(READ_ONLY).map(lambda name: f"{ENTERPRISE}:{name}"),
)
VALUES = st.recursive(
    st.sampled_from(["00000000-0000-0000-0000-000000000000", "x", 1, True, None, "2001-01-01T00:00:00Z", 'W/"99"']),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=4,
)


@pytest.mark.threat("T08")
@given(extra=st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), how=st.sampled_from(["post", "put", "patch", "patch path"]))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_nothing_read_only_or_unknown_can_be_set(acme: ScimClient, extra: dict[str, Any], how: str) -> None:
    """A write with such members is refused whole, or done without them."""
    made = await acme.create_user(userName=f"user-{how}-{hash(json.dumps(extra))}")
    group = await acme.create_group(displayName="g", members=[{"value": made["id"]}])
    one = f"/Users/{made['id']}"
    before = await acme.get_user(made["id"])
    match how:
        case "post":
            answer = await acme.post("/Users", {**extra, "userName": made["userName"] + "-2"})
        case "put":
            answer = await acme.put(one, {**extra, "userName": made["userName"]})
        case "patch":
            answer = await acme.patch_operations(one, {"op": "replace", "value": extra})
        case _:
            answer = await acme.patch_operations(one, *[{"op": "add", "path": name, "value": value} for name, value in extra.items()])

    assert answer.status_code in (200, 201, 400), answer.text
    shown = await acme.get(one)
    after = json.loads(shown.text, object_pairs_hook=no_twins)
    assert (after["id"], after["userName"], after["groups"]) == (before["id"], before["userName"], before["groups"])
    assert {**after["meta"], "lastModified": "", "version": ""} == {**before["meta"], "lastModified": "", "version": ""}
    assert after["meta"]["lastModified"] >= before["meta"]["lastModified"]
    assert int(after["meta"]["version"][3:-1]) - int(before["meta"]["version"][3:-1]) in (0, 1)
    assert USER_URN in after["schemas"]
    assert not {"tenant_id", "tenantid", "tenant", "version", "document", "comparable", "__proto__"} & {name.lower() for name in after}
    if answer.status_code == 201:
        new = json.loads(answer.text, object_pairs_hook=no_twins)
        assert new["id"] not in ("00000000-0000-0000-0000-000000000000", "x", made["id"])
        assert new["meta"]["version"] == 'W/"1"'
        assert "groups" not in new
        await acme.delete(f"/Users/{new['id']}")
    await acme.delete(f"/Groups/{group['id']}")
    await acme.delete(one)


@pytest.mark.threat("T08")
@pytest.mark.parametrize("path", ["id", "meta", "meta.created", "meta.version", "groups", "ID", f"{USER_URN}:id", f"{USER_URN}:groups", "groups.value"])
async def test_a_patch_that_names_a_read_only_attribute_is_refused_whole(acme: ScimClient, path: str) -> None:
    """RFC 7644 section 3.5.2: the operation before it is not done either."""
    user = await acme.create_user(userName="ann")

    answer = await acme.patch_operations(
        f"/Users/{user['id']}", {"op": "replace", "path": "title", "value": "t"}, {"op": "replace", "path": path, "value": [{"value": "x"}]}
    )

    assert (answer.status_code, answer.json()["scimType"]) == (400, "mutability")
    assert await acme.get_user(user["id"]) == user


@pytest.mark.threat("T09")
async def test_roles_and_groups_named_like_rights_give_none(acme: ScimClient, globex: ScimClient, embedded_cluster: Cluster) -> None:
    """Through each door: what says `admin` in a directory is data about a person, and nothing in the service reads it."""
    before = await rights(embedded_cluster)

    user = await acme.create_user(userName="admin", **ADMIN_ROLES)
    one = f"/Users/{user['id']}"
    done = [
        await acme.put(one, {"userName": "root", **ADMIN_ROLES}),
        await acme.patch_operations(one, {"op": "add", "value": ADMIN_ROLES | {"groups": None}}),
        await acme.patch_operations(one, {"op": "add", "path": "roles", "value": [{"value": "superuser"}]}),
        await acme.post("/Groups", {"displayName": "Administrators", "members": [{"value": user["id"]}]}),
        await acme.post("/Groups", {"displayName": "rollhouse_owner", "externalId": "operators"}),
    ]

    assert {answer.status_code for answer in done} <= {200, 201, 400}
    assert await rights(embedded_cluster) == before
    assert (await acme.http.get(globex.base_url + "/Users")).status_code == 401


@pytest.mark.threat("T09")
async def test_a_user_cannot_join_a_group_by_writing_the_user(acme: ScimClient) -> None:
    """`groups` is read-only (RFC 7643 section 4.1.2); the door of /Users has the same lock as the door of /Groups."""
    group = await acme.create_group(displayName="Administrators")
    joined = [{"value": group["id"], "type": "direct"}]
    user = await acme.create_user(userName="ann", groups=joined)
    one = f"/Users/{user['id']}"

    statuses = [
        (await acme.put(one, {"userName": "ann", "groups": joined})).status_code,
        (await acme.patch_operations(one, {"op": "add", "path": "groups", "value": joined})).status_code,
        (await acme.patch_operations(one, {"op": "add", "value": {"groups": joined, "members": joined}})).status_code,
        (await acme.put(one, {"userName": "ann", "members": joined, "memberships": joined})).status_code,
    ]

    assert statuses[1] == 400
    assert set(statuses) <= {200, 400}
    assert await acme.members(group["id"]) == set()


@pytest.mark.threat("T09")
async def test_one_type_is_not_reached_through_the_endpoint_of_another(acme: ScimClient) -> None:
    user = await acme.create_user(userName="ann")
    group = await acme.create_group(displayName="g", members=[{"value": user["id"]}])

    answers = [
        await acme.get(f"/Groups/{user['id']}"),
        await acme.put(f"/Groups/{user['id']}", {"displayName": "x"}),
        await acme.patch_operations(f"/Users/{group['id']}", {"op": "replace", "path": "active", "value": False}),
        await acme.put(f"/Users/{group['id']}", {"userName": "x"}),
        await acme.delete(f"/Users/{group['id']}"),
        await acme.delete(f"/Groups/{user['id']}"),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert await acme.members(group["id"]) == {user["id"]}


@pytest.mark.threat("T11")
async def test_what_is_a_wildcard_to_like_is_a_letter_here(acme: ScimClient) -> None:
    names = ["a%b", "a_b", "a\\b", "axb", "%", "_", "a*b"]
    for name in names:
        await acme.create_user(userName=name, title=name)

    for attribute in ("userName", "title"):
        for part in ("%", "_", "\\", "a%", "a_", "%b", "_b", "*", "a\\"):
            quoted = json.dumps(part)
            for operator, meets in (("co", str.__contains__), ("sw", str.startswith), ("ew", str.endswith), ("eq", str.__eq__)):
                found = {user["userName"] for user in await acme.find("Users", f"{attribute} {operator} {quoted}")}
                assert found == {name for name in names if meets(name, part)}, f"{attribute} {operator} {quoted}"


@pytest.mark.threat("T13")
async def test_the_price_of_a_search_is_bounded_whatever_it_asks_for(acme: ScimClient) -> None:
    """Page, terms, length of the filter and depth have each a limit, for GET and for .search alike."""
    for number in range(3):
        await acme.create_user(userName=f"user{number}")
    wide = " or ".join(['title co "x"'] * 101)
    for filter_text in (wide, "(" * 17 + "title pr" + ")" * 17, f'title co "{"x" * 5000}"'):
        statuses = [(await acme.get("/Users", params={"filter": filter_text})).status_code]
        statuses += [(await acme.post(f"{endpoint}/.search", {"filter": filter_text})).status_code for endpoint in ("", "/Users")]
        assert statuses == [400, 400, 400]

    for count in (201, 10**9):
        page = (await acme.post("/Users/.search", {"count": count})).json()
        assert (page["itemsPerPage"], page["totalResults"]) == (3, 3)


@pytest.mark.threat("T16")
@pytest.mark.parametrize("how", ["post", "put", "patch", "patch in parts"])
async def test_one_request_names_ten_thousand_members_and_no_more(acme: ScimClient, how: str) -> None:
    """Refused whole: the group is as before."""
    user = await acme.create_user(userName="ann")
    group = await acme.create_group(displayName="g", members=[{"value": user["id"]}])
    one = f"/Groups/{group['id']}"
    many = [{"value": f"00000000-0000-4000-8000-{number:012d}"} for number in range(10_001)]
    match how:
        case "post":
            answer = await acme.post("/Groups", {"displayName": "many", "members": many})
        case "put":
            answer = await acme.put(one, {"displayName": "many", "members": many})
        case "patch":
            answer = await acme.patch_operations(one, {"op": "add", "path": "members", "value": many})
        case _:
            parts = [{"op": "add", "path": "members", "value": many[:5001]}, {"op": "add", "path": "members", "value": many[5001:]}]
            answer = await acme.patch_operations(one, {"op": "replace", "path": "displayName", "value": "many"}, *parts)

    assert answer.status_code == 413, answer.text
    assert await acme.get_group(group["id"]) == group
    assert (await acme.get("/Groups")).json()["totalResults"] == 1


SAME = [("ann", "ANN"), ("straße", "STRASSE"), ("\u212aim", "kim"), ("ﬁn", "fin"), ("e\u0301va", "\u00e9va"), ("\uff41lice", "alice"), ("ſam", "sam")]
OTHER = [("ann", "an\u0144"), ("admin", "\u0430dmin"), ("paypal", "paypa1"), ("a b", "ab"), ("ann", "ann@x"), ("i", "\u0131")]


@pytest.mark.threat("T21")
@pytest.mark.parametrize(("first", "second"), SAME)
async def test_two_spellings_of_one_user_name_are_one_name_to_every_door(acme: ScimClient, first: str, second: str) -> None:
    """POST, PUT, PATCH and a filter agree (RFC 7643 section 4.1.1, RFC 7644 section 7.8)."""
    made = await acme.create_user(userName=first)
    other = await acme.create_user(userName="somebody-else")

    answers = [
        await acme.post("/Users", {"userName": second}),
        await acme.put(f"/Users/{other['id']}", {"userName": second}),
        await acme.patch_operations(f"/Users/{other['id']}", {"op": "replace", "path": "userName", "value": second}),
    ]

    assert [(answer.status_code, answer.json()["scimType"]) for answer in answers] == [(409, "uniqueness")] * 3
    assert [user["id"] for user in await acme.find("Users", f"userName eq {json.dumps(second)}")] == [made["id"]]


@pytest.mark.threat("T21")
@pytest.mark.parametrize(("first", "second"), OTHER)
async def test_names_that_only_look_alike_stay_two_people(acme: ScimClient, first: str, second: str) -> None:
    one, two = await acme.create_user(userName=first), await acme.create_user(userName=second)

    assert [user["id"] for user in await acme.find("Users", f"userName eq {json.dumps(first)}")] == [one["id"]]
    assert [user["id"] for user in await acme.find("Users", f"userName eq {json.dumps(second)}")] == [two["id"]]


@pytest.mark.threat("T22")
async def test_of_repeated_members_the_same_one_counts_everywhere(acme: ScimClient, embedded_cluster: Cluster) -> None:
    """The last one: in the answer, in what is stored, in what a filter finds; the other value leaves no trace."""
    body = b'{"userName":"first-4711","name":{"familyName":"first-4711","familyName":"last-4711"},"userName":"last-4711","title":"t","title":null}'
    made = (await acme.request("POST", "/Users", content=body)).json()
    operations = b'{"Operations":[],"Operations":[{"op":"remove","op":"add","path":"title","path":"nickName","value":"first-4711","value":"last-4711"}]}'
    patched = await acme.request("PATCH", f"/Users/{made['id']}", content=operations)
    stored = await rows_by_table(embedded_cluster)

    assert patched.status_code == 200
    assert (made["userName"], made["name"], patched.json()["nickName"]) == ("last-4711", {"familyName": "last-4711"}, "last-4711")
    assert await acme.find("Users", 'userName eq "first-4711"') == []
    assert [name for name in DIRECTORY & set(stored) if any("first-4711" in row for row in stored[name])] == []
