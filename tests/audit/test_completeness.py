"""One row of the audit for each effect of the SCIM routes, and none without one; names and ids, never values (threat T31)."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from rollhouse.database.pool import Database
from rollhouse.journal.audit import Entry, list_entries
from tests.servers.service import ScimClient

pytestmark = pytest.mark.threat("T31")

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
MARK = "zqx-never-in-the-audit"
"""Part of every value that is sent."""


class Watched:
    """A tenant whose audit is read after each request."""

    def __init__(self, client: ScimClient, database: Database, actor: str, last: UUID) -> None:
        self.client = client
        self._database = database
        self._tenant_id = UUID(client.tenant_id)
        self._actor = actor
        self._last = last

    async def effects(self, response: httpx.Response) -> list[Entry]:
        """The rows since the last call, each held to be of this request and of the tenant's credential."""
        found = await list_entries(self._database, self._tenant_id, after=self._last)
        self._last = found[-1].id if found else self._last
        assert [(row.actor, row.request_id) for row in found] == [(self._actor, response.headers["x-request-id"])] * len(found)
        return found

    async def effect(self, response: httpx.Response) -> tuple[str, str, list[str], set[str], set[str]]:
        """Action, target, attribute names, ids added and removed of the only row since the last call."""
        assert response.is_success, response.text
        found = await self.effects(response)
        assert len(found) == 1, found
        row = found[0]
        return row.action, f"{row.target_type} {row.target_id}", row.attributes, {str(one) for one in row.added}, {str(one) for one in row.removed}

    async def make_user(self, user_name: str, **attributes: Any) -> str:
        response = await self.client.post("/Users", {"schemas": [USER], "userName": f"{user_name}-{MARK}", **attributes})
        assert len(await self.effects(response)) == 1, response.text
        return response.json()["id"]

    async def make_group(self, *members: str) -> str:
        body = {"schemas": [GROUP], "displayName": f"group-{MARK}", "members": [{"value": member} for member in members]}
        response = await self.client.post("/Groups", body)
        assert len(await self.effects(response)) == 1, response.text
        return response.json()["id"]


@pytest.fixture
async def watched(acme: ScimClient, service_database: Database) -> AsyncIterator[Watched]:
    tenant_id = UUID(acme.tenant_id)
    rows = await list_entries(service_database, tenant_id)
    credential = next(row.target_id for row in rows if row.action == "secret.created")
    yield Watched(acme, service_database, f"credential:{credential}", rows[-1].id)
    async with service_database.transaction(tenant_id) as tx:
        written = [row[0] for row in await tx.fetch("SELECT to_jsonb(a)::text FROM rollhouse.audit a")]
    assert [line for line in written if MARK in line] == [], "a value stands in the audit"


async def test_creating_a_user_is_one_row_with_the_names_of_what_was_given(watched: Watched) -> None:
    body = {"schemas": [USER, ENTERPRISE], "userName": f"ann-{MARK}", "name": {"familyName": MARK}, "password": MARK, ENTERPRISE: {"department": MARK}}
    response = await watched.client.post("/Users", body)

    effect = await watched.effect(response)
    assert effect[:2] == ("resource.created", f"User {response.json()['id']}")
    assert {"userName", "name"} <= set(effect[2])
    assert effect[3:] == (set(), set())


async def test_creating_a_group_names_its_members_by_id(watched: Watched) -> None:
    users = [await watched.make_user(str(number)) for number in range(3)]
    body = {"schemas": [GROUP], "displayName": MARK, "members": [{"value": user, "display": MARK} for user in users]}
    response = await watched.client.post("/Groups", body)

    effect = await watched.effect(response)
    assert effect[:2] == ("resource.created", f"Group {response.json()['id']}")
    assert effect[3:] == (set(users), set())


@pytest.mark.parametrize(
    ("operation", "names"),
    [
        ({"op": "replace", "path": "active", "value": False}, ["active"]),
        ({"op": "add", "path": "title", "value": MARK}, ["title"]),
        ({"op": "replace", "path": "name.familyName", "value": f"b-{MARK}"}, ["name"]),
        ({"op": "remove", "path": "nickName"}, ["nickName"]),
        ({"op": "add", "path": 'emails[type eq "work"].value', "value": f"{MARK}@b.example"}, ["emails"]),
        ({"op": "add", "path": f"{ENTERPRISE}:department", "value": MARK}, [f"{ENTERPRISE}:department"]),
        ({"op": "replace", "value": {"userName": f"b-{MARK}", "displayName": MARK}}, ["displayName", "userName"]),
    ],
)
async def test_a_patch_of_a_user_is_one_row_with_the_names_of_what_changed(watched: Watched, operation: dict[str, Any], names: list[str]) -> None:
    extension = {"schemas": [USER, ENTERPRISE], ENTERPRISE: {"costCenter": MARK}}
    user = await watched.make_user(
        "ann", nickName=MARK, active=True, name={"familyName": MARK}, emails=[{"type": "work", "value": f"{MARK}@a.example"}], **extension
    )

    response = await watched.client.patch_operations(f"/Users/{user}", operation)

    assert await watched.effect(response) == ("resource.updated", f"User {user}", names, set(), set())


async def test_several_operations_of_one_request_are_one_effect(watched: Watched) -> None:
    user, member = await watched.make_user("ann"), await watched.make_user("bob")
    group = await watched.make_group(member)

    response = await watched.client.patch_operations(
        f"/Groups/{group}",
        {"op": "replace", "path": "displayName", "value": f"other-{MARK}"},
        {"op": "add", "path": "members", "value": [{"value": user}]},
        {"op": "remove", "path": f'members[value eq "{member}"]'},
    )

    assert await watched.effect(response) == ("resource.updated", f"Group {group}", ["displayName", "members"], {user}, {member})


@pytest.mark.parametrize(
    ("method", "before", "operations", "added", "removed"),
    [
        ("PATCH", "", [("add", "ab")], "ab", ""),
        ("PATCH", "a", [("add", "ab")], "b", ""),
        ("PATCH", "abc", [("remove", "ab")], "", "ab"),
        ("PATCH", "ab", [("remove", "bc")], "", "b"),
        ("PATCH", "ab", [("replace", "bc")], "c", "a"),
        ("PATCH", "ab", [("clear", "")], "", "ab"),
        ("PATCH", "a", [("add", "b"), ("remove", "a")], "b", "a"),
        ("PUT", "ab", [("replace", "bc")], "c", "a"),
        ("PUT", "ab", [("replace", "")], "", "ab"),
        ("PUT", "", [("replace", "c")], "c", ""),
    ],
)
async def test_changed_members_are_named_by_id_and_no_others(
    watched: Watched, method: str, before: str, operations: list[tuple[str, str]], added: str, removed: str
) -> None:
    ids = {letter: await watched.make_user(letter) for letter in "abc"}
    group = await watched.make_group(*(ids[letter] for letter in before))

    if method == "PUT":
        members = [{"value": ids[letter]} for letter in operations[0][1]]
        response = await watched.client.put(f"/Groups/{group}", {"schemas": [GROUP], "displayName": f"group-{MARK}", "members": members})
    else:
        response = await watched.client.patch_operations(f"/Groups/{group}", *(operation_of(kind, [ids[letter] for letter in who]) for kind, who in operations))

    effect = await watched.effect(response)
    assert effect == ("resource.updated", f"Group {group}", ["members"], {ids[letter] for letter in added}, {ids[letter] for letter in removed})


def operation_of(kind: str, members: list[str]) -> dict[str, Any]:
    if kind == "clear":
        return {"op": "remove", "path": "members"}
    return {"op": kind, "path": "members", "value": [{"value": member} for member in members]}


async def test_replacing_a_user_is_one_row_with_the_names_of_what_differs(watched: Watched) -> None:
    user = await watched.make_user("ann", title=MARK, nickName=MARK)

    response = await watched.client.put(f"/Users/{user}", {"schemas": [USER], "userName": f"ann-{MARK}", "title": f"b-{MARK}"})

    assert await watched.effect(response) == ("resource.updated", f"User {user}", ["nickName", "title"], set(), set())


async def test_deleting_a_user_names_the_groups_it_left_and_deleting_a_group_its_members(watched: Watched) -> None:
    user, other = await watched.make_user("ann"), await watched.make_user("bob")
    groups = [await watched.make_group(user, other), await watched.make_group(user)]

    gone = await watched.client.delete(f"/Users/{user}")
    assert await watched.effect(gone) == ("resource.deleted", f"User {user}", [], set(), set(groups))

    gone = await watched.client.delete(f"/Groups/{groups[0]}")
    assert await watched.effect(gone) == ("resource.deleted", f"Group {groups[0]}", [], set(), {other})


async def test_the_hashes_before_and_after_join_the_rows_of_a_resource(watched: Watched, service_database: Database) -> None:
    response = await watched.client.post("/Users", {"schemas": [USER], "userName": f"ann-{MARK}"})
    rows = await watched.effects(response)
    user = response.json()["id"]
    for title in ("a", "b"):
        rows += await watched.effects(await watched.client.patch_operations(f"/Users/{user}", {"op": "add", "path": "title", "value": title + MARK}))
    async with service_database.transaction(UUID(watched.client.tenant_id)) as tx:
        document = (await tx.fetch("SELECT document FROM rollhouse.resources WHERE id = $1", UUID(user)))[0][0]
    rows += await watched.effects(await watched.client.delete(f"/Users/{user}"))

    assert [row.action.partition(".")[2] for row in rows] == ["created", "updated", "updated", "deleted"]
    assert [row.after for row in rows[:-1]] == [row.before for row in rows[1:]]
    assert (rows[0].before, rows[-1].after) == (None, None)
    assert rows[-1].before == hashlib.sha256(document.encode()).digest()


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "active", "value": True},
        {"op": "add", "path": "title", "value": MARK},
        {"op": "remove", "path": "nickName"},
        {"op": "replace", "value": {"userName": f"ann-{MARK}"}},
    ],
)
async def test_a_patch_of_a_user_that_changes_nothing_is_no_effect(watched: Watched, operation: dict[str, Any]) -> None:
    user = await watched.make_user("ann", active=True, title=MARK)

    response = await watched.client.patch_operations(f"/Users/{user}", operation)

    assert response.is_success, response.text
    assert await watched.effects(response) == []


@pytest.mark.parametrize(("kind", "who"), [("add", "a"), ("remove", "b"), ("replace", "a")])
async def test_a_patch_of_a_group_that_changes_nothing_is_no_effect(watched: Watched, kind: str, who: str) -> None:
    ids = {letter: await watched.make_user(letter) for letter in "ab"}
    group = await watched.make_group(ids["a"])

    response = await watched.client.patch_operations(f"/Groups/{group}", operation_of(kind, [ids[who]]))

    assert response.is_success, response.text
    assert await watched.effects(response) == []


async def test_replacing_by_the_same_is_no_effect(watched: Watched) -> None:
    user = await watched.make_user("ann", title=MARK)
    group = await watched.make_group(user)

    for path, body in (
        (f"/Users/{user}", {"schemas": [USER], "userName": f"ann-{MARK}", "title": MARK}),
        (f"/Groups/{group}", {"schemas": [GROUP], "displayName": f"group-{MARK}", "members": [{"value": user}]}),
    ):
        response = await watched.client.put(path, body)
        assert response.is_success, response.text
        assert await watched.effects(response) == []


NOBODY = "01890000-0000-7000-8000-000000000000"
TITLE = {"op": "add", "path": "title", "value": MARK}


@pytest.mark.parametrize(
    ("status", "method", "path", "body", "headers"),
    [
        (400, "POST", "/Users", {"schemas": [USER]}, {}),
        (400, "POST", "/Groups", {"schemas": [GROUP], "displayName": MARK, "members": [{"value": NOBODY}]}, {}),
        (409, "POST", "/Users", {"schemas": [USER], "userName": f"ann-{MARK}"}, {}),
        (401, "POST", "/Users", {"schemas": [USER], "userName": f"bob-{MARK}"}, {"authorization": f"Bearer {MARK}"}),
        (404, "POST", "/Robots", {"userName": MARK}, {}),
        (400, "PUT", "/Users/{user}", {"schemas": [USER]}, {}),
        (404, "PUT", f"/Users/{NOBODY}", {"schemas": [USER], "userName": f"bob-{MARK}"}, {}),
        (409, "PUT", "/Users/{other}", {"schemas": [USER], "userName": f"ann-{MARK}"}, {}),
        (412, "PUT", "/Users/{user}", {"schemas": [USER], "userName": f"new-{MARK}"}, {"if-match": 'W/"99"'}),
        (400, "PATCH", "/Users/{user}", {"Operations": [{"op": "replace", "path": "id", "value": MARK}]}, {}),
        (400, "PATCH", "/Users/{user}", {"Operations": [TITLE, {"op": "remove"}]}, {}),
        (404, "PATCH", f"/Users/{NOBODY}", {"Operations": [TITLE]}, {}),
        (412, "PATCH", "/Users/{user}", {"Operations": [TITLE]}, {"if-match": 'W/"99"'}),
        (400, "PATCH", "/Groups/{group}", {"Operations": [operation_of("add", [NOBODY])]}, {}),
        (412, "PATCH", "/Groups/{group}", {"Operations": [operation_of("clear", [])]}, {"if-match": 'W/"99"'}),
        (404, "DELETE", f"/Users/{NOBODY}", None, {}),
        (412, "DELETE", "/Users/{user}", None, {"if-match": 'W/"99"'}),
        (404, "DELETE", "/Groups/{user}", None, {}),
        (405, "DELETE", "/Users", None, {}),
        (200, "GET", "/Users/{user}", None, {}),
        (200, "GET", "/Groups", None, {}),
        (200, "POST", "/Users/.search", {"filter": 'userName eq "x"'}, {}),
    ],
)
async def test_a_refused_request_and_a_read_are_no_effect(
    watched: Watched, status: int, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]
) -> None:
    user, other = await watched.make_user("ann"), await watched.make_user("bob")
    group = await watched.make_group(user)

    response = await watched.client.request(method, path.format(user=user, other=other, group=group), body, headers=headers)

    assert response.status_code == status, response.text
    assert await watched.effects(response) == []


async def test_of_concurrent_requests_each_with_an_effect_has_its_row(watched: Watched, service_database: Database) -> None:
    """Twenty writers of one group: as many rows as answers that were not refused, each by the id of its own request."""
    import asyncio

    users = [await watched.make_user(str(number)) for number in range(20)]
    group = await watched.make_group()
    before = len(await list_entries(service_database, UUID(watched.client.tenant_id)))

    responses = await asyncio.gather(*(watched.client.patch_operations(f"/Groups/{group}", operation_of("add", [user])) for user in users))

    rows = (await list_entries(service_database, UUID(watched.client.tenant_id)))[before:]
    assert all(response.is_success for response in responses)
    assert {row.request_id: {str(one) for one in row.added} for row in rows} == {
        response.headers["x-request-id"]: {user} for response, user in zip(responses, users, strict=True)
    }
