"""Cursor paging (RFC 9865): whole crawls under writers, sealed cursors that belong to one tenant and one query, and the errors of table 3."""

import asyncio
from typing import Any

import pytest

from rollhouse.database.pool import Database
from rollhouse.directory import bulk
from rollhouse.http import cursors
from rollhouse.http.cursors import Cursor
from rollhouse.scim.errors import ExpiredCursor
from rollhouse.scim.schemas import USER
from rollhouse.tenancy import tenants
from rollhouse.tenancy.secrets import Peppers
from tests.conftest import PEPPER
from tests.http.protocol import slug_of
from tests.servers.service import ScimClient


async def crawl(client: ScimClient, path: str = "/Users", **parameters: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """The ids on all pages, and the pages."""
    found: list[str] = []
    pages: list[dict[str, Any]] = []
    cursor = ""
    while True:
        response = await client.get(path, params={"cursor": cursor, **parameters})
        assert response.status_code == 200, response.text
        pages.append(response.json())
        found += [one["id"] for one in pages[-1]["Resources"]]
        if "nextCursor" not in pages[-1]:
            return found, pages
        cursor = pages[-1]["nextCursor"]


async def some_users(client: ScimClient, database: Database, count: int) -> list[str]:
    tenant = await tenants.find_tenant(database, slug_of(client))
    people = [{"schemas": [USER.schema.id], "userName": f"u{number}", "title": "abc"[number % 3], "active": True} for number in range(count)]
    return [str(one) for start in range(0, count, 2000) for one in await bulk.insert_resources(database, tenant.id, USER, people[start : start + 2000])]


async def test_a_crawl_meets_everybody_once_and_ends(acme: ScimClient, service_database: Database) -> None:
    ids = await some_users(acme, service_database, 25)

    found, pages = await crawl(acme, count=10)

    assert found == sorted(ids)
    assert [page["itemsPerPage"] for page in pages] == [10, 10, 5]
    assert [page["totalResults"] for page in pages] == [25, 25, 25]
    assert all("startIndex" not in page and "previousCursor" not in page for page in pages)
    assert all(set(page["nextCursor"]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") for page in pages[:-1])


async def test_index_paging_stays_the_default(acme: ScimClient) -> None:
    page = (await acme.get("/Users")).json()

    assert page["startIndex"] == 1
    assert "nextCursor" not in page
    told = (await acme.get("/ServiceProviderConfig")).json()["pagination"]
    assert told == {"cursor": True, "index": True, "defaultPaginationMethod": "index", "defaultPageSize": 100, "maxPageSize": 200, "cursorTimeout": 3600}


async def test_filters_sorting_and_searches_are_crawled_too(acme: ScimClient, service_database: Database) -> None:
    ids = await some_users(acme, service_database, 12)

    filtered, pages = await crawl(acme, count=2, filter='title eq "a"')
    assert filtered == [one for number, one in enumerate(ids) if number % 3 == 0]
    assert {page["totalResults"] for page in pages} == {4}
    by_title, _ = await crawl(acme, count=5, sortBy="title", sortOrder="descending")
    assert by_title == [ids[number] for remainder in (2, 1, 0) for number in range(12) if number % 3 == remainder]
    first = (await acme.post("/Users/.search", {"cursor": "", "count": 7})).json()
    second = (await acme.post("/Users/.search", {"cursor": first["nextCursor"], "count": 7})).json()
    assert [one["id"] for page in (first, second) for one in page["Resources"]] == ids
    assert "nextCursor" not in second


async def test_a_crawl_by_long_texts_ends(acme: ScimClient, service_database: Database) -> None:
    """A position is bounded whatever is sorted by: two texts that are alike for 512 characters come in order of id."""
    alike = [(await acme.create_user(userName=f"a{number}", title="x" * 4000 + str(9 - number)))["id"] for number in range(3)]
    first = (await acme.create_user(userName="b", title="a" * 4000))["id"]

    found, pages = await crawl(acme, count=1, sortBy="title")

    assert found == [first, *alike]
    assert all(len(page["nextCursor"]) < 2000 for page in pages[:-1])


async def test_a_crawl_of_everything_goes_from_type_to_type(acme: ScimClient, service_database: Database) -> None:
    ids = await some_users(acme, service_database, 5)
    groups = [(await acme.create_group(displayName=f"g{number}"))["id"] for number in range(3)]

    for count in (1, 2, 5, 8, 20):
        found, pages = await crawl(acme, "/", count=count)
        assert found == [*ids, *groups], count
        assert {page["totalResults"] for page in pages} == {8}


async def test_each_resource_that_lives_through_a_crawl_is_met_once_under_writers(acme: ScimClient, service_database: Database) -> None:
    """Writers create, change and delete meanwhile; who was there before and stays is met exactly once."""
    ids = await some_users(acme, service_database, 3000)
    going, staying = ids[::10], [one for at, one in enumerate(ids) if at % 10]
    ending = asyncio.Event()

    async def write() -> int:
        done = 0
        while not ending.is_set():
            await acme.create_user(userName=f"new{done}", title="new")
            await acme.patch_operations(f"/Users/{staying[done % len(staying)]}", {"op": "replace", "path": "title", "value": f"t{done}"})
            if done < len(going):
                await acme.delete(f"/Users/{going[done]}")
            done += 1
        return done

    writer = asyncio.create_task(write())
    found, _ = await crawl(acme, count=5, attributes="userName")
    ending.set()

    assert await writer > 10
    assert len(set(found)) == len(found)
    assert set(staying) <= set(found)


async def test_a_cursor_opens_for_its_tenant_and_query_alone(acme: ScimClient, globex: ScimClient, service_database: Database) -> None:
    for client in (acme, globex):
        await some_users(client, service_database, 5)
    cursor = (await acme.get("/Users", params={"cursor": "", "count": 2})).json()["nextCursor"]

    async def refused(client: ScimClient, path: str = "/Users", **parameters: Any) -> str:
        response = await client.get(path, params={"cursor": cursor, "count": 2, **parameters})
        assert response.status_code == 400, response.text
        return response.json()["scimType"]

    assert await refused(globex) == "invalidCursor"
    assert await refused(acme, "/Groups") == "invalidCursor"
    assert await refused(acme, filter="title pr") == "invalidCursor"
    assert await refused(acme, sortBy="title") == "invalidCursor"
    assert await refused(acme, startIndex=3) == "invalidCursor"
    assert await refused(acme, count=3) == "invalidCount"
    assert await refused(acme, count="two") == "invalidCount"
    assert (await acme.get("/Users", params={"cursor": cursor})).json()["itemsPerPage"] == 2, "the count of the first page"
    at = len(cursor) // 2
    for forged in (cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :], cursor[:-4], "x", "ä", "." * 5000):
        response = await acme.get("/Users", params={"cursor": forged, "count": 2})
        assert (response.status_code, response.json()["scimType"]) == (400, "invalidCursor"), forged


async def test_counts_at_the_edge(acme: ScimClient, service_database: Database) -> None:
    await some_users(acme, service_database, 3)

    for count, size in (("0", 0), ("-1", 0), ("3", 3), ("100000", 3)):
        page = (await acme.get("/Users", params={"cursor": "", "count": count})).json()
        assert (page["totalResults"], page["itemsPerPage"]) == (3, size)
        assert "nextCursor" not in page


def test_a_cursor_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    peppers, about = Peppers.parse(PEPPER), cursors.about("tenant", "users")
    text = cursors.seal(peppers, about, Cursor(0, None, 10, 5))
    assert cursors.unseal(peppers, about, text).total == 5

    now = cursors.time.time()
    monkeypatch.setattr(cursors.time, "time", lambda: now + cursors.CURSOR_SECONDS + 1)
    with pytest.raises(ExpiredCursor):
        cursors.unseal(peppers, about, text)


def test_a_cursor_outlives_the_exchange_of_a_pepper() -> None:
    """Sealed by the old one, opened by a process that has the new one in front of it."""
    about = cursors.about("tenant", "users")
    old = Peppers.parse(PEPPER)
    text = cursors.seal(old, about, Cursor(0, None, 10, 5))
    both = Peppers.parse(f"2:{'A' * 43},{PEPPER}")

    assert cursors.unseal(both, about, text).total == 5
