"""What a page asks the database: a bounded number of statements, and never a walk over a whole directory."""

import re
from typing import Any
from uuid import UUID

import pytest

from rollhouse.activity import request_log
from rollhouse.activity.live import Live
from rollhouse.activity.request_log import RequestLog, Wanted
from rollhouse.database.pool import Database
from rollhouse.directory import browsing
from rollhouse.directory.bulk import insert_members, insert_resources
from rollhouse.directory.resources import Scope
from rollhouse.scim.schemas import GROUP, GROUP_URN, USER, USER_URN
from tests.activity.test_request_log import entry

PEOPLE = 3000


@pytest.fixture
async def crowd(database: Database, users: Scope) -> Scope:
    """A tenant of three thousand people, all of them in one group."""
    tenant_id = users.tenant_id
    people = [
        {"schemas": [USER_URN], "userName": f"user{number}@acme.example", "displayName": f"User {number}", "active": number % 3 != 0}
        for number in range(PEOPLE)
    ]
    ids: list[UUID] = []
    for start in range(0, PEOPLE, 1000):
        ids += await insert_resources(database, tenant_id, USER, people[start : start + 1000])
    group = (await insert_resources(database, tenant_id, GROUP, [{"schemas": [GROUP_URN], "displayName": "All"}]))[0]
    await insert_members(database, tenant_id, group, ids)
    slug = (await database.query("SELECT slug FROM rollhouse.tenants WHERE id = $1", tenant_id))[0]["slug"]
    log = RequestLog(database, Live(None), gap_seconds=300)
    for number in range(PEOPLE):
        log.note(entry(slug, status=404 if number % 10 == 0 else 200))
    await log.flush()
    return users


class Watched:
    """A transaction that remembers its statements, and explains each."""

    def __init__(self, tx: Any) -> None:
        self.tx = tx
        self.tenant_id = tx.tenant_id
        self.asked: list[str] = []
        self.most_rows = 0
        self.worst = ""

    async def fetch(self, sql: str, *arguments: object) -> Any:
        self.asked.append(sql)
        plan = "\n".join(row[0] for row in await self.tx.fetch("EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) " + sql, *arguments))
        found = [int(rows) * int(loops) for rows, loops in re.findall(r"actual rows=(\d+)(?:\.\d+)? loops=(\d+)", plan)]
        found += [int(removed) for removed in re.findall(r"Rows Removed by Filter: (\d+)", plan)]
        if max(found) > self.most_rows:
            self.most_rows, self.worst = max(found), plan
        return await self.tx.fetch(sql, *arguments)


LOOKS: dict[str, Any] = {
    "the newest": lambda tx: browsing.newest_resources(tx, "User"),
    "the next page": lambda tx: browsing.newest_resources(tx, "User", before=UUID(int=(1 << 128) - 1)),
    "the inactive": lambda tx: browsing.newest_resources(tx, "User", state="inactive"),
    "few found": lambda tx: browsing.search_resources(tx, USER, "user2999"),
    "many found": lambda tx: browsing.search_resources(tx, USER, "user"),
    "nobody found": lambda tx: browsing.search_resources(tx, USER, "zzz"),
    "counts": browsing.count_resources,
    "requests": lambda tx: request_log.list_requests(tx, Wanted()),
    "failures": lambda tx: request_log.list_requests(tx, Wanted(only_failures=True)),
    "a rare kind": lambda tx: request_log.list_requests(tx, Wanted(kind="deleted")),
    "the pilot": lambda tx: request_log.first_request(tx, UUID(int=0), kind="created", resource_type="User"),
}


async def test_a_page_of_the_active_reads_ids_up_to_its_bound_and_the_documents_of_a_page(database: Database, crowd: Scope) -> None:
    async with database.transaction(crowd.tenant_id) as tx:
        watched = Watched(tx)
        page = await browsing.newest_resources(watched, "User", state="active")  # type: ignore[arg-type]
    assert (len(page.found), len(watched.asked)) == (browsing.PAGE, 3)
    assert watched.most_rows <= browsing.LOOKED_AT, watched.worst


@pytest.mark.parametrize("name", LOOKS)
async def test_a_look_reads_a_page_and_not_the_directory(database: Database, crowd: Scope, name: str) -> None:
    async with database.transaction(crowd.tenant_id) as tx:
        watched = Watched(tx)
        await LOOKS[name](watched)

    assert len(watched.asked) <= 2
    assert watched.most_rows <= 4 * browsing.FOUND_LIMIT + browsing.PAGE, watched.worst


async def test_a_page_of_a_large_group_reads_its_own_members_alone(database: Database, crowd: Scope) -> None:
    async with database.transaction(crowd.tenant_id) as tx:
        (group,) = (await browsing.newest_resources(tx, "Group")).found
        watched = Watched(tx)
        first = await browsing.members_of(watched, group.id)  # type: ignore[arg-type]
        second = await browsing.members_of(watched, group.id, after=first[-1].id)  # type: ignore[arg-type]
    assert len(first) == len(second) == browsing.PAGE
    assert {one.id for one in first} & {one.id for one in second} == set()
    assert watched.most_rows <= 2 * browsing.PAGE, watched.worst
