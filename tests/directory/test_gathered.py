"""A tenant's reads and changes in company: fewer statements, the same answers and refusals as for each by itself."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from rollhouse.database.pool import Database
from rollhouse.directory import resources
from rollhouse.directory.scopes import Query, Scope
from rollhouse.scim.conditions import resolve_filter
from rollhouse.scim.definitions import Definitions, read_resource_type, read_schema
from rollhouse.scim.errors import InvalidValue, NotFound, PreconditionFailed, ScimError, Uniqueness
from rollhouse.scim.filters import parse_filter
from rollhouse.scim.patching import Operation
from rollhouse.scim.schemas import USER
from tests.conftest import Cluster


@pytest.fixture
def users(users: Scope) -> Scope:
    return msgspec.structs.replace(users, in_company=True)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    original = asyncpg.Connection.fetch

    async def counted(self: Any, sql: str, *arguments: Any, **keywords: Any) -> Any:
        seen.append(sql.partition("rollhouse.")[2].partition("(")[0])
        return await original(self, sql, *arguments, **keywords)

    monkeypatch.setattr(asyncpg.Connection, "fetch", counted)
    return seen


@pytest.fixture
async def other_process(cluster: Cluster) -> AsyncIterator[Database]:
    opened = Database(cluster.app_url, connections=8)
    await opened.open()
    yield opened
    await opened.close()


async def create(scope: Scope, number: int) -> list[str]:
    return [str((await resources.create_resource(scope, {"userName": f"user{at}", "title": "old"}, set())).id) for at in range(number)]


def patch(scope: Scope, resource_id: str, attribute: str, value: Any, expected: int | None = None) -> Any:
    return resources.patch_resource(scope, resource_id, [Operation("replace", attribute, value)], set(), expected=expected)


async def each(*work: Any) -> list[Any]:
    return await asyncio.gather(*work, return_exceptions=True)


def documents(records: list[Any]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(record.document) for record in records]


async def test_reads_at_once_are_one_statement(users: Scope, groups: Scope, statements: list[str]) -> None:
    ids = await create(users, 8)
    await resources.create_resource(groups, {"displayName": "Staff", "members": [{"value": ids[3]}]}, set())
    statements.clear()

    found = await each(*(resources.get_resource(users, one, with_relation=True) for one in ids))

    assert statements == ["get_resources"]
    assert [str(record.id) for record in found] == ids
    assert [record.relation is not None for record in found] == [number == 3 for number in range(8)]
    for record in found:
        alone = await users.database.read(resources._GET_RELATED, users.tenant_id, "User", str(record.id), "groups", users.base_url, None)
        assert record == resources._record(alone[0])


async def test_who_is_not_there_is_missed_by_himself(users: Scope, database: Database, other_tenant: Any, statements: list[str]) -> None:
    """Nor does company lead into another tenant."""
    ids = await create(users, 2)
    theirs = await create(Scope(database, other_tenant.id, USER, users.base_url), 1)
    statements.clear()

    found = await each(*(resources.get_resource(users, one, with_relation=False) for one in (ids[0], theirs[0], ids[1])))

    assert statements == ["get_resources"]
    assert [type(one) for one in found] == [resources.Record, NotFound, resources.Record]


def named(name: str) -> Query:
    return Query(resolve_filter(USER, parse_filter(f"userName eq {msgspec.json.encode(name).decode()}", set())))


async def test_names_looked_up_at_once_are_one_statement(users: Scope, groups: Scope, database: Database, other_tenant: Any, statements: list[str]) -> None:
    """Whoever has a name is found by it alone, in his own letters or not; nobody is found in another tenant."""
    ids = await create(users, 8)
    await create(Scope(database, other_tenant.id, USER, users.base_url), 9)
    await resources.create_resource(groups, {"displayName": "Staff", "members": [{"value": ids[3]}]}, set())
    statements.clear()

    wanted = [*(f"USER{number}" if number % 2 else f"user{number}" for number in range(9)), 'a"\\{},b', "", "user0", "User0"]
    found = await each(*(resources.list_resources(users, named(name), with_relation=True) for name in wanted))

    assert statements == ["find_unique"]
    assert [[str(record.id) for record in page.records] for page in found] == [*([one] for one in ids), [], [], [], [ids[0]], [ids[0]]]
    assert [page.total for page in found] == [1] * 8 + [0] * 3 + [1] * 2
    assert [page.records[0].relation is not None for page in found[:8]] == [number == 3 for number in range(8)]
    for name, page in zip(wanted, found, strict=True):
        by_any = await users.database.read(resources._FIND, users.tenant_id, "User", "username", name.lower(), 100, "groups", users.base_url, None)
        assert page.records == [resources._record(row) for row in by_any]


async def test_what_several_may_have_is_not_looked_up_in_company(users: Scope, statements: list[str]) -> None:
    for name in ("ada", "bob"):
        await resources.create_resource(users, {"userName": name, "displayName": "Same"}, set())
    wanted = Query(resolve_filter(USER, parse_filter('displayName eq "same"', set())))
    statements.clear()

    for page in await each(*(resources.list_resources(users, wanted, with_relation=False) for _ in range(2))):
        assert page.total == 2

    assert statements == ["find_resources"] * 2


async def test_members_of_a_group_are_not_waited_for(groups: Scope, statements: list[str]) -> None:
    scope = msgspec.structs.replace(groups, in_company=True)
    one = str((await resources.create_resource(scope, {"displayName": "One"}, set())).id)
    statements.clear()
    await each(*(resources.get_resource(scope, one, with_relation=shown) for shown in (True, False, True, False)))
    assert sorted(statements) == ["get_resource", "get_resource", "get_resources"]


async def test_changes_at_once_are_one_statement_of_reading_and_one_of_writing(users: Scope, statements: list[str]) -> None:
    ids = await create(users, 8)
    statements.clear()

    changed = await each(*(patch(users, one, "title", f'{number} "quoted" \\ back, {{braces}}\nä') for number, one in enumerate(ids)))

    assert statements == ["get_resources", "update_resources"]
    assert [record.version for record in changed] == [2] * 8
    read = [await resources.get_resource(users, one, with_relation=False) for one in ids]
    assert [document["title"] for document in documents(read)] == [f'{number} "quoted" \\ back, {{braces}}\nä' for number in range(8)]
    assert [record.last_modified for record in read] == [record.last_modified for record in changed]


async def test_what_is_changed_in_company_is_found_and_audited(users: Scope, statements: list[str]) -> None:
    ids = await create(users, 3)
    values = [f'a{number}"\\{{}},@x.example' for number in range(3)]
    await each(*(patch(users, one, "emails", [{"value": value}]) for one, value in zip(ids, values, strict=True)))
    await each(*(patch(users, one, "externalId", value) for one, value in zip(ids, values, strict=True)))

    assert (statements.count("update_resources"), statements.count("update_resource")) == (2, 0)
    for number, value in enumerate(values):
        for attribute in ("emails.value", "externalId"):
            wanted = resolve_filter(USER, parse_filter(f"{attribute} eq {msgspec.json.encode(value).decode()}", set()))
            page = await resources.list_resources(users, Query(wanted), with_relation=False)
            assert [str(record.id) for record in page.records] == [ids[number]], attribute
    async with users.database.transaction(users.tenant_id) as tx:
        rows = await tx.fetch("SELECT target_id, attributes FROM rollhouse.audit WHERE tenant_id = $1 AND action = 'resource.updated'", users.tenant_id)
    assert sorted((row["target_id"], *row["attributes"]) for row in rows) == sorted((one, name) for one in ids for name in ("emails", "externalId"))


async def test_resources_made_at_once_are_one_statement(users: Scope, statements: list[str]) -> None:
    from rollhouse.directory.scopes import Query

    bodies = [{"userName": f'ann{number}"\\{{}},@x', "externalId": f"{number}", "emails": [{"value": f"{number}@x"}]} for number in range(8)]
    made = await each(*(resources.create_resource(users, body, set()) for body in bodies))
    assert statements == ["create_resources"]
    read = [await resources.get_resource(users, str(record.id), with_relation=False) for record in made]
    assert read == made
    assert [document["userName"] for document in documents(read)] == [body["userName"] for body in bodies]
    page = await resources.list_resources(users, Query(count=0), with_relation=False)
    assert page.total == 8
    async with users.database.transaction(users.tenant_id) as tx:
        audit = await tx.fetch("SELECT target_id, action FROM rollhouse.audit WHERE tenant_id = $1 AND target_id IS NOT NULL", users.tenant_id)
    assert sorted(row["target_id"] for row in audit if row["action"] == "resource.created") == sorted(str(record.id) for record in made)


async def test_a_name_that_is_taken_is_refused_to_whom_it_is_taken_from(users: Scope) -> None:
    """Whether it was there before, or two of those who go together want it."""
    from rollhouse.directory.scopes import Query

    await create(users, 1)
    names = ["new", "user0", "twice", "TWICE", "fine"]
    made = await each(*(resources.create_resource(users, {"userName": name}, set()) for name in names))
    refused = [isinstance(one, Uniqueness) for one in made]
    assert (refused[0], refused[1], sorted(refused[2:4]), refused[4]) == (False, True, [False, True], False)
    assert "Another User of this tenant has the" in str(made[1])
    page = await resources.list_resources(users, Query(count=0), with_relation=False)
    assert page.total == 4


async def test_groups_with_members_and_large_documents_are_written_by_themselves(users: Scope, groups: Scope, statements: list[str]) -> None:
    scope = msgspec.structs.replace(groups, in_company=True)
    one = (await create(users, 1))[0]
    statements.clear()
    emails = [{"value": f"{number}{'x' * (resources.TOGETHER_LIMIT // 100)}@x"} for number in range(100)]
    bodies = [(scope, {"displayName": "A"}), (scope, {"displayName": "B", "members": [{"value": one}]}), (users, {"userName": "large", "emails": emails})]
    made = await each(*(resources.create_resource(where, body, set()) for where, body in bodies))
    assert all(isinstance(record, resources.Record) for record in made), made
    assert sorted(statements) == ["create_resource", "create_resource", "create_resources", "get_resource"]
    statements.clear()
    changed = await each(patch(users, one, "emails", emails), patch(scope, str(made[0].id), "displayName", "Other"))
    assert all(isinstance(record, resources.Record) for record in changed), changed
    assert statements.count("update_resource") == 2


async def test_two_changes_of_one_resource_at_once_are_both_made(users: Scope) -> None:
    one = (await create(users, 1))[0]
    names = ["title", "displayName", "nickName", "locale"]
    changed = await each(*(patch(users, one, name, f"new {name}") for name in names))
    assert sorted(record.version for record in changed) == [2, 3, 4, 5]
    document = documents([await resources.get_resource(users, one, with_relation=False)])[0]
    assert {name: document[name] for name in names} == {name: f"new {name}" for name in names}


async def test_who_expects_another_version_is_refused_by_himself(users: Scope, statements: list[str]) -> None:
    ids = await create(users, 3)
    statements.clear()
    changed = await each(*(patch(users, one, "title", "new", expected=expected) for one, expected in zip(ids, (1, 7, -1), strict=True)))
    assert [type(one) for one in changed] == [resources.Record, PreconditionFailed, PreconditionFailed]
    assert statements == ["get_resources", "update_resources"]


async def test_a_version_that_is_expected_to_come_is_not_written_over(users: Scope) -> None:
    """Both read version 1; the second would match version 2, which the first makes, with a document that was made of version 1."""
    one = (await create(users, 1))[0]
    changed = await each(patch(users, one, "title", "first"), patch(users, one, "nickName", "second", expected=2))
    assert [type(found) for found in changed] == [resources.Record, PreconditionFailed]
    document = documents([await resources.get_resource(users, one, with_relation=False)])[0]
    assert (document["title"], document.get("nickName")) == ("first", None)


async def test_a_locked_resource_is_waited_for_by_its_own_request_alone(users: Scope, cluster: Cluster) -> None:
    ids = await create(users, 5)
    admin = await asyncpg.connect(cluster.superuser_url)
    try:
        async with admin.transaction():
            await admin.execute("SELECT FROM rollhouse.resources WHERE id = $1 FOR UPDATE", UUID(ids[2]))
            changes = [asyncio.create_task(patch(users, one, "title", "new")) for one in ids]
            done, waiting = await asyncio.wait(changes, timeout=1)
            assert waiting == {changes[2]}
            assert {task.result().version for task in done} == {2}
        assert (await changes[2]).version == 2
    finally:
        await admin.close()


async def test_a_name_that_another_is_just_taking_holds_up_only_who_wants_it(users: Scope, other_process: Database) -> None:
    async with other_process.transaction(users.tenant_id) as tx:
        await tx.fetch(
            "INSERT INTO rollhouse.resource_keys (tenant_id, resource_type, attribute, key, resource_id, is_unique)"
            " VALUES ($1, 'User', 'username', 'b', $2, true)",
            users.tenant_id,
            UUID(int=7),
        )
        wanted = {name: asyncio.create_task(resources.create_resource(users, {"userName": name}, set())) for name in "abc"}
        done, waiting = await asyncio.wait(wanted.values(), timeout=1)
        assert waiting == {wanted["b"]}
        assert {type(task.result()) for task in done} == {resources.Record}
    assert isinstance((await each(wanted["b"]))[0], Uniqueness)


async def test_what_is_cancelled_while_it_waits_for_a_connection_is_not_done(users: Scope, cluster: Cluster) -> None:
    database = Database(cluster.app_url, connections=4)
    await database.open()
    scope = msgspec.structs.replace(users, database=database)
    try:
        async with database.connection(users.tenant_id):  # the one that the tenant may have
            making = [asyncio.create_task(resources.create_resource(scope, {"userName": name}, set())) for name in ("left", "stayed")]
            await asyncio.sleep(0.05)
            making[0].cancel()
            await asyncio.wait(making[:1])
        assert isinstance(await making[1], resources.Record)
        found = [msgspec.json.decode(row["document"])["userName"] for row in await _all(users)]
        assert found == ["stayed"]
    finally:
        await database.close()


async def _all(users: Scope) -> list[Any]:
    async with users.database.transaction(users.tenant_id) as tx:
        return await tx.fetch("SELECT document FROM rollhouse.resources WHERE tenant_id = $1", users.tenant_id)


async def test_a_unique_value_is_given_up_by_itself(users: Scope, statements: list[str]) -> None:
    """Who takes it meanwhile would wait for all who go with the one who gives it up."""
    urn = "urn:example:badges"
    known = Definitions().with_schema(read_schema({"id": urn, "name": "Badge", "attributes": [{"name": "number", "uniqueness": "server"}]}))
    badge = known.with_type(read_resource_type({"name": "Badge", "endpoint": "/Badges", "schema": urn})).registry(0).by_name["Badge"]
    badges = msgspec.structs.replace(users, resource_type=badge)
    made = await each(*(resources.create_resource(badges, {"schemas": [urn], "number": f"{number}"}, set()) for number in range(2)))
    statements.clear()
    gone = [Operation("remove", "number", None)]
    changed = await each(
        resources.patch_resource(badges, str(made[0].id), gone, set(), expected=None), patch(badges, str(made[1].id), "externalId", "x", expected=None)
    )
    assert all(isinstance(record, resources.Record) for record in changed), changed
    assert sorted(statements) == ["get_resources", "update_resource", "update_resources"]


async def test_a_change_that_cannot_be_stored_spoils_no_other(users: Scope) -> None:
    """The server undoes all of them for the sake of one, so each is made by itself."""
    ids = await create(users, 3)
    values = ["fine", "no\u0000good", "fine too"]
    changed = await each(*(patch(users, one, "nickName", value) for one, value in zip(ids, values, strict=True)))
    assert isinstance(changed[1], InvalidValue), changed[1]
    read = documents([await resources.get_resource(users, one, with_relation=False) for one in ids])
    assert [document.get("nickName") for document in read] == ["fine", None, "fine too"]


async def test_a_unique_value_is_changed_by_itself(users: Scope, statements: list[str]) -> None:
    """Two statements that each hold several unique values may wait for each other."""
    ids = await create(users, 3)
    statements.clear()
    changed = await each(*(patch(users, one, "userName", name) for one, name in zip(ids, ("new0", "user0", "new2"), strict=True)))
    assert statements.count("update_resource") == 3
    assert not any(isinstance(one, ScimError) for one in (changed[0], changed[2]))


async def test_two_processes_that_change_the_same_people_do_not_block_each_other(users: Scope, other_process: Database) -> None:
    async def deadlocks() -> int:
        return (await users.database.query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))[0][0]

    ids = await create(users, 12)
    before = await deadlocks()
    theirs = msgspec.structs.replace(users, database=other_process)
    for number in range(6):
        ours = [patch(users, one, "title", f"ours {number}") for one in ids]
        others = [patch(theirs, one, "nickName", f"theirs {number}") for one in reversed(ids)]
        refused = [one for one in await each(*ours, *others) if isinstance(one, BaseException)]
        assert refused == []
    await users.database.query("SELECT pg_stat_force_next_flush()")
    assert await deadlocks() == before
    read = documents([await resources.get_resource(users, one, with_relation=False) for one in ids])
    assert {(document["title"], document["nickName"]) for document in read} == {("ours 5", "theirs 5")}


async def test_changes_end_where_the_registry_has_changed_and_are_not_tried_one_by_one(users: Scope, statements: list[str]) -> None:
    ids = await create(users, 2)
    async with users.database.transaction(users.tenant_id) as tx:
        await tx.fetch("UPDATE rollhouse.tenants SET registry = registry + 1 WHERE id = $1", users.tenant_id)
    statements.clear()
    changed = await each(*(patch(users, one, "title", "new") for one in ids))
    assert [type(one).__name__ for one in changed] == ["Unavailable", "Unavailable"]
    assert statements == ["get_resources", "update_resources"]
