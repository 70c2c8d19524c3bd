"""What a verb costs, as structure: round trips, plan nodes under row-level security as the app role, rows touched whatever the sizes."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from rollhouse.database.pool import Database
from rollhouse.directory import bulk, resources
from rollhouse.directory.queries import Position, page_statement
from rollhouse.directory.resources import Query, Scope
from rollhouse.scim.conditions import resolve_filter
from rollhouse.scim.definitions import Definitions
from rollhouse.scim.filters import parse_filter
from rollhouse.scim.patching import Operation
from rollhouse.scim.schemas import GROUP, USER
from tests.conftest import Cluster, new_tenant, scope_of
from tests.http.protocol import things as with_things

THING_REGISTRY = with_things(Definitions()).registry(1)


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that reach Postgres."""
    seen: list[str] = []
    for name in ("fetch", "execute"):
        original = getattr(asyncpg.Connection, name)

        async def counted(self: Any, sql: str, *arguments: Any, _original: Any = original, **keywords: Any) -> Any:
            seen.append(sql)
            return await _original(self, sql, *arguments, **keywords)

        monkeypatch.setattr(asyncpg.Connection, name, counted)
    return seen


async def test_each_verb_makes_its_round_trips_and_no_more(users: Scope, groups: Scope, trips: list[str]) -> None:
    async def cost(work: Any) -> tuple[Any, int]:
        trips.clear()
        return await work, len(trips)

    ann, create = await cost(resources.create_resource(users, {"userName": "ann", "emails": [{"value": "a@x"}]}, set()))
    staff, _ = await cost(resources.create_resource(groups, {"displayName": "Staff"}, set()))
    who, where = str(ann.id), str(staff.id)
    found = resolve_filter(USER, parse_filter('userName eq "ann"', set()))
    composed = resolve_filter(USER, parse_filter("title pr or active eq true", set()))
    replace = [Operation("replace", "title", "x")]
    join = [Operation("add", "members", [{"value": who}])]

    costs = {
        "create": create,
        "get": (await cost(resources.get_resource(users, who, with_relation=True)))[1],
        "find": (await cost(resources.list_resources(users, Query(found), with_relation=True)))[1],
        "patch": (await cost(resources.patch_resource(users, who, replace, set(), expected=None)))[1],
        "patch of nothing new": (await cost(resources.patch_resource(users, who, replace, set(), expected=None)))[1],
        "join": (await cost(resources.patch_resource(groups, where, join, set(), expected=None)))[1],
        "page": (await cost(resources.list_resources(users, Query(), with_relation=True)))[1],
        "page further on": (await cost(resources.list_resources(users, Query(start_index=2), with_relation=True)))[1],
        "page by cursor": (await cost(resources.list_resources(users, Query(after=Position(ann.id)), with_relation=True)))[1],
        "page of groups without members": (await cost(resources.list_resources(groups, Query(), with_relation=False)))[1],
        "page of groups with members": (await cost(resources.list_resources(groups, Query(), with_relation=True)))[1],
        "composed filter": (await cost(resources.list_resources(users, Query(composed), with_relation=True)))[1],
        "delete": (await cost(resources.delete_resource(users, who, expected=None)))[1],
    }

    assert costs == dict.fromkeys(costs, 1) | {"patch": 2, "composed filter": 3, "page of groups with members": 4}


@pytest.fixture(scope="module")
async def skewed(cluster: Cluster, database: Database) -> tuple[Scope, Scope, list[Any]]:
    """One tenant of 3,000 users and a group of 2,000 among 40 small ones, with fresh statistics: the planner takes tenants for small."""
    for _ in range(40):
        small = await new_tenant(database)
        ids = await bulk.insert_resources(database, small.id, USER, [{"schemas": [], "userName": f"u{number}"} for number in range(5)])
        group = (await bulk.insert_resources(database, small.id, GROUP, [{"schemas": [], "displayName": "g"}]))[0]
        await bulk.insert_members(database, small.id, group, ids)
    large = await new_tenant(database)
    people = [{"schemas": [], "userName": f"u{number}", "emails": [{"value": f"u{number}@x", "type": "work"}], "displayName": "same"} for number in range(3000)]
    ids = []
    for start in range(0, 3000, 1000):
        ids += await bulk.insert_resources(database, large.id, USER, people[start : start + 1000])
    group = (await bulk.insert_resources(database, large.id, GROUP, [{"schemas": [], "displayName": "all"}]))[0]
    await bulk.insert_members(database, large.id, group, ids[:2000])
    admin = await asyncpg.connect(cluster.superuser_url)
    await admin.execute("ANALYZE rollhouse.resources, rollhouse.resource_keys, rollhouse.memberships")
    await admin.close()
    return scope_of(database, large, USER), scope_of(database, large, GROUP), [group, *ids]


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ('userName eq "u7"', "resource_keys_"),
        ('userName sw "u777"', "resource_keys_"),
        ('emails.value eq "u7@x"', "resource_keys_"),
        ('emails[type eq "work"].value eq "u7@x"', "resource_keys_"),
        ('emails[type eq "work"].value eq "u7@x" and active eq true', "resource_keys_"),
        ('id eq "01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff"', "resources_"),
        ('groups eq "01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff"', "memberships_"),
    ],
)
async def test_an_indexed_filter_is_an_index_condition_under_row_level_security(skewed: Any, text: str, index: str) -> None:
    """`lower(x) =`, LIKE and jsonb operators would scan the tenant (house invariant 2); the plan shows that ours do not."""
    users, _, _ = skewed
    condition = resolve_filter(USER, parse_filter(text, set()))
    bound = {"tenant": users.tenant_id, "type": "User", "base_url": "", "limit": 100, "offset": 0}
    statement = page_statement(condition, None, relation=None, **bound)
    async with users.database.transaction(users.tenant_id) as tx:
        plan = "\n".join(row[0] for row in await tx.fetch("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) " + statement.sql, *statement.arguments))
    assert "Seq Scan" not in plan, plan
    assert index in plan, plan
    assert "Rows Removed by Filter: 2" not in plan, plan


@pytest.fixture(scope="module")
async def things(skewed: Any, database: Database) -> Scope:
    """3,000 resources of a type of the same tenant's own, with values of every kind that an index can hold, multi-valued ones and parts included."""
    own = THING_REGISTRY.by_name["Thing"]
    made = [
        {
            "schemas": [own.schema.id],
            "serial": f"s{number}",
            "height": number,
            "weight": number + 0.5,
            "issued": f"2026-01-{number % 28 + 1:02}T00:{number // 60 % 60:02}:{number % 60:02}Z",
            "tags": [f"t{number}", "all"],
            "externalId": f"e{number}",
            "parts": [{"value": f"p{number}", "type": "x"}],
        }
        for number in range(3000)
    ]
    for start in range(0, 3000, 1000):
        await bulk.insert_resources(database, skewed[0].tenant_id, own, made[start : start + 1000])
    return Scope(database, skewed[0].tenant_id, own, "https://scim.example")


@pytest.mark.parametrize("name", sorted(THING_REGISTRY.by_name["Thing"].index_paths))
async def test_every_equality_on_a_marked_attribute_is_an_index_condition(things: Scope, name: str) -> None:
    value = {"serial": '"s7"', "height": "7", "weight": "7.5", "issued": '"2026-01-08T00:00:07Z"', "tags": '"t7"', "externalid": '"e7"', "parts.value": '"p7"'}
    condition = resolve_filter(things.resource_type, parse_filter(f"{name} eq {value[name]}", set()))
    bound = {"tenant": things.tenant_id, "type": "Thing", "base_url": "", "limit": 100, "offset": 0}
    statement = page_statement(condition, None, relation=None, **bound)
    async with things.database.transaction(things.tenant_id) as tx:
        plan = "\n".join(row[0] for row in await tx.fetch("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) " + statement.sql, *statement.arguments))
    assert "Seq Scan" not in plan, plan
    assert "resource_keys_" in plan, plan
    assert "Rows Removed by Filter: 2" not in plan, plan
    (found,) = (await resources.list_resources(things, Query(condition), with_relation=False)).records
    assert '"s7"' in found.document


@pytest.mark.parametrize("place", [0, 1500, 2800])
async def test_a_page_by_cursor_reads_its_own_rows_wherever_it_stands(skewed: Any, place: int) -> None:
    """The structural cause of the benchmark's figure: what lies before the page is not read."""
    users, _, ids = skewed
    after = Position(sorted(ids[1:])[place])
    bound = {"tenant": users.tenant_id, "type": "User", "base_url": "", "limit": 101, "offset": 0}
    statement = page_statement(None, None, relation=None, after=after, **bound)

    assert await _touched(users.database, users.tenant_id, statement.sql, *statement.arguments) <= 2 * 101 + 10


@pytest.mark.parametrize("relation", [None, "groups"])
@pytest.mark.parametrize("place", [0, 1500, 2800])
@pytest.mark.parametrize("by", ["cursor", "index"])
async def test_a_page_of_everything_reads_the_resources_that_it_shows(skewed: Any, by: str, place: int, relation: str | None) -> None:
    """By index, too: what is skipped is walked in the index alone (here where no vacuum has marked its pages, so each is looked at once)."""
    users, _, ids = skewed
    after, skipped = (sorted(ids[1:])[place], 0) if by == "cursor" else (UUID(int=0), place)

    for total in (None, 3000):
        touched = await _touched(users.database, users.tenant_id, resources._LIST, users.tenant_id, "User", after, skipped, 101, relation, "", total)
        assert touched <= 101 + skipped + 101 * (relation is not None) + 20


@pytest.mark.parametrize("is_shown", [True, False])
@pytest.mark.parametrize(("start_index", "count"), [(1, 0), (1, 1), (1, 100), (2, 7), (2990, 11), (2990, 100), (3000, 1), (3001, 5), (9000, 5), (2**31, 5)])
async def test_a_page_of_everything_is_the_page_that_a_filter_for_everything_finds(skewed: Any, start_index: int, count: int, is_shown: bool) -> None:
    users, _, _ = skewed
    everybody = resolve_filter(USER, parse_filter("userName pr", set()))

    found = await resources.list_resources(users, Query(start_index=start_index, count=count), with_relation=is_shown)

    assert found == await resources.list_resources(users, Query(everybody, start_index=start_index, count=count), with_relation=is_shown)


async def test_a_deep_page_of_everything_has_the_time_of_a_composed_one(skewed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the limit of what is skipped it is ended after two seconds and told so, not after five as an outage that is worth another try."""
    users, _, _ = skewed
    times: list[int] = []
    begin = users.database.transaction

    def transaction(tenant_id: UUID, *, statement_timeout_milliseconds: int) -> Any:
        times.append(statement_timeout_milliseconds)
        return begin(tenant_id, statement_timeout_milliseconds=statement_timeout_milliseconds)

    monkeypatch.setattr(users.database, "transaction", transaction)
    query = Query(start_index=100, count=5)
    quick = await resources.list_resources(users, query, with_relation=True)
    assert times == []
    monkeypatch.setattr(resources, "SKIPPED_LIMIT", 99)

    assert await resources.list_resources(users, query, with_relation=True) == quick
    assert times == [resources.READ_TIMEOUT_MILLISECONDS]


async def test_pages_by_position_meet_everybody_once_and_know_the_total(skewed: Any) -> None:
    users, _, ids = skewed
    met: list[Any] = []
    position, total = None, None
    while position is not None or not met:
        page = await resources.list_resources(users, Query(count=700, after=position, total=total), with_relation=True)
        met += [record.id for record in page.records]
        position, total = page.next, page.total

    assert (met, total) == (sorted(ids[1:]), 3000)


async def _touched(database: Database, tenant_id: Any, sql: str, *arguments: Any) -> int:
    """Rows of all tables that a statement reads, by Postgres's own count within the transaction."""
    count = "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::int FROM pg_stat_xact_user_tables WHERE schemaname = 'rollhouse'"
    async with database.transaction(tenant_id) as tx:
        before = (await tx.fetch(count))[0][0]
        await tx.fetch(sql, *arguments)
        return (await tx.fetch(count))[0][0] - before


async def test_adding_or_removing_a_member_touches_a_few_rows_of_a_large_group(skewed: Any) -> None:
    _, groups, ids = skewed
    group, member = ids[0], ids[2500]
    arguments = (groups.tenant_id, "cli", "r", "Group", group, None, None, None, None, None, None, None, None, False)
    for _ in range(8):  # long enough for a plan to be kept
        added = await _touched(groups.database, groups.tenant_id, resources._UPDATE, *arguments, [member], [], [], 0, False)
        removed = await _touched(groups.database, groups.tenant_id, resources._UPDATE, *arguments, None, [member], [], 0, False)
        assert added < 40
        assert removed < 40


async def test_excluded_members_are_never_read(skewed: Any) -> None:
    """House invariant 3, by Postgres's own count of the rows that it read."""
    _, groups, ids = skewed

    assert await _touched(groups.database, groups.tenant_id, resources._GET, groups.tenant_id, "Group", None, "", [ids[0]]) <= 2
    assert await _touched(groups.database, groups.tenant_id, resources._GET_RELATED, groups.tenant_id, "Group", ids[0], "members", "", None) >= 2000


async def test_reading_many_by_their_ids_touches_a_few_rows_for_each(skewed: Any) -> None:
    users, _, ids = skewed
    for _ in range(8):  # long enough for a plan to be kept
        assert await _touched(users.database, users.tenant_id, resources._GET, users.tenant_id, "User", "groups", "", ids[1:21]) <= 80


async def test_a_find_touches_a_few_rows_of_a_large_tenant(skewed: Any) -> None:
    users, _, _ = skewed
    for number in range(8):
        by_name = "User", "username", f"u{number}", 100, "groups", "", None
        assert await _touched(users.database, users.tenant_id, resources._FIND, users.tenant_id, *by_name) < 20


async def test_finding_many_by_unique_values_touches_a_few_rows_for_each(skewed: Any) -> None:
    users, _, _ = skewed
    names = [f"u{number}" for number in range(20)]
    for _ in range(8):  # long enough for a plan to be kept
        touched = await _touched(users.database, users.tenant_id, resources._FIND_UNIQUE, users.tenant_id, "User", "username", "groups", "", names)
        assert 20 <= touched <= 120


async def test_statements_for_one_shape_of_filter_are_compiled_once(users: Scope) -> None:
    from rollhouse.directory.queries import _compile_page

    conditions = [resolve_filter(USER, parse_filter(f'title co "{number}" and not (nickName eq "{number}")', set())) for number in range(20)]
    await resources.list_resources(users, Query(conditions[0]), with_relation=False)
    before = _compile_page.cache_info().misses
    await asyncio.gather(*(resources.list_resources(users, Query(condition), with_relation=False) for condition in conditions))

    assert _compile_page.cache_info().misses == before
