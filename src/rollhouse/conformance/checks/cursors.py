"""Paging by cursor (RFC 9865)."""

import asyncio
import re
import string

from rollhouse.conformance.checks.judging import expect_refused, expect_status, list_of, listed, resources_of
from rollhouse.conformance.checks.samples import Family, numbered_family, store_users
from rollhouse.conformance.probe import Json, Probe
from rollhouse.conformance.requirement import NotApplicable, expect, requirement

UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")
PATIENCE = 20
"""How many seconds a check may wait for a cursor to run out."""


async def paging(probe: Probe) -> Json:
    """What the server says of its paging."""
    stated = (await probe.known("/ServiceProviderConfig")).get("pagination")
    return stated if isinstance(stated, dict) else {}


async def need_cursors(probe: Probe) -> None:
    """Go on if the server says that it has cursors."""
    if (await paging(probe)).get("cursor") is not True:
        raise NotApplicable("/ServiceProviderConfig says of no paging by cursor")


async def first_page(probe: Probe, family: Family, **query: str) -> Json:
    """The first page of two members of a family."""
    return await list_of(probe, "/Users", filter=family.filter, cursor="", count="2", **query)


async def next_page(probe: Probe, family: Family, cursor: str, **query: str) -> Json:
    """The page of two members that a cursor leads to."""
    return await list_of(probe, "/Users", filter=family.filter, cursor=cursor, count="2", **query)


async def all_pages(probe: Probe, family: Family, **query: str) -> list[Json]:
    """All pages of a family, two members each, as far as cursors lead."""
    await need_cursors(probe)
    answers = [await first_page(probe, family, **query)]
    while "nextCursor" in answers[-1]:
        expect(len(answers) <= len(family.users), f"cursors lead to more than {len(answers)} pages of {len(family.users)} users")
        answers.append(await next_page(probe, family, answers[-1]["nextCursor"], **query))
    return answers


async def started(probe: Probe) -> tuple[Family, str]:
    """A family, and the cursor to its second page."""
    await need_cursors(probe)
    family = await numbered_family(probe)
    cursor = (await first_page(probe, family)).get("nextCursor")
    expect(isinstance(cursor, str) and cursor, f"the first page of 2 of 5 users has the nextCursor {cursor!r}")
    return family, str(cursor)


def forged(cursor: str) -> str:
    """A cursor with one character changed."""
    middle = len(cursor) // 2
    other = next(one for one in string.ascii_letters if one != cursor[middle])
    return f"{cursor[:middle]}{other}{cursor[middle + 1 :]}"


@requirement("9865-2-01", "RFC 9865 2", "MUST", "An empty cursor starts a cursor query; nextCursor brings the following page.")
async def an_empty_cursor_starts(probe: Probe) -> None:
    family, cursor = await started(probe)
    first = family.called((await first_page(probe, family))["Resources"])
    second = family.called((await next_page(probe, family, cursor))["Resources"])
    expect(len(first) == len(second) == 2 and not set(first) & set(second), f"the first pages of five users are {first} and {second}")
    reply = await probe.send("GET", "/Users?cursor&count=1")
    expect(reply.status == 200 and reply.json.get("nextCursor"), f"GET /Users?cursor&count=1 among several users gives {reply.told}")


@requirement("9865-2-02", "RFC 9865 2", "MUST", "No more than count resources are in a cursor page; count 0 or below gives the total only.")
async def count_limits_a_cursor_page(probe: Probe) -> None:
    await need_cursors(probe)
    family = await numbered_family(probe)
    lengths = [len(answer.get("Resources") or []) for answer in await all_pages(probe, family)]
    expect(max(lengths) <= 2, f"cursor pages with count=2 hold {lengths} resources")
    for count in ("0", "-1"):
        reply = await probe.get("/Users", filter=family.filter, cursor="", count=count)
        if count == "-1" and reply.status == 400:
            expect_refused(reply, "count=-1 with a cursor", "invalidCount", named=True)
            continue
        expect(not resources_of(reply, f"count={count} with a cursor"), f"count={count} with a cursor gives {reply.told}")
        expect(reply.json.get("totalResults", 5) == 5, f"count={count} with a cursor among 5 users gives {reply.told}")


@requirement("9865-2-03", "RFC 9865 2", "MUST", "Every page but the last has a nextCursor, the last has none.")
async def the_last_page_has_no_cursor(probe: Probe) -> None:
    family = await numbered_family(probe)
    answers = await all_pages(probe, family)
    found = family.called([one for answer in answers for one in answer.get("Resources") or []])
    expect(sorted(found) == sorted(family.users), f"the pages of u1 to u5 hold {found}")
    whole = await list_of(probe, "/Users", filter=family.filter, cursor="", count="5")
    expect(len(whole["Resources"]) < 5 or "nextCursor" not in whole, "a query that fits one page has a nextCursor")


@requirement("9865-2-04", "RFC 9865 2", "MUST", "The first page has no previousCursor; a later one's leads back.")
async def previous_cursors_lead_back(probe: Probe) -> None:
    family, cursor = await started(probe)
    first = await first_page(probe, family)
    expect("previousCursor" not in first, "the first page has a previousCursor")
    second = await next_page(probe, family, cursor)
    if "previousCursor" in second:
        back = family.called((await next_page(probe, family, second["previousCursor"]))["Resources"])
        expect(back == family.called(first["Resources"]), f"previousCursor leads to {back} instead of the first page")


@requirement("9865-2-05", "RFC 9865 2", "MUST", "Cursors use only unreserved URL characters.")
async def cursors_are_safe_in_urls(probe: Probe) -> None:
    for answer in await all_pages(probe, await numbered_family(probe)):
        for name in ("nextCursor", "previousCursor"):
            expect(name not in answer or UNRESERVED.fullmatch(answer[name]), f"{name} is {answer.get(name)!r}")


@requirement("9865-2-06", "RFC 9865 2", "SHOULD", "totalResults in cursor pages is the true total, or left out.")
async def totals_are_true(probe: Probe) -> None:
    totals = [answer.get("totalResults", 5) for answer in await all_pages(probe, await numbered_family(probe))]
    expect(set(totals) == {5}, f"cursor pages of 5 users have the totalResults {totals}")


@requirement("9865-2.1-01", "RFC 9865 2.1", "SHOULD", "An invalid or forged cursor gives 400 and invalidCursor.")
async def invalid_cursors_are_refused(probe: Probe) -> None:
    family, cursor = await started(probe)
    for wrong in ("thisIsNoCursor", forged(cursor)):
        reply = await probe.get("/Users", filter=family.filter, cursor=wrong, count="2")
        expect_refused(reply, f"the cursor {wrong}", "invalidCursor", named=True)
        expect("Resources" not in reply.json, f"the cursor {wrong} gives {reply.told}")


@requirement("9865-2.1-02", "RFC 9865 2.1", "SHOULD", "An expired cursor gives 400 and expiredCursor.")
async def expired_cursors_are_refused(probe: Probe) -> None:
    lasting = await _short_timeout(probe)
    family, cursor = await started(probe)
    await asyncio.sleep(lasting + PATIENCE / 4)
    reply = await probe.get("/Users", filter=family.filter, cursor=cursor, count="2")
    if reply.status != 200:
        expect_refused(reply, f"a cursor of more than {lasting} seconds", "expiredCursor", "invalidCursor", named=True)


async def _short_timeout(probe: Probe) -> int:
    await need_cursors(probe)
    lasting = (await paging(probe)).get("cursorTimeout")
    if not isinstance(lasting, int) or lasting > PATIENCE / 2:
        raise NotApplicable(f"cursors are published to last {lasting or 'no stated number of'} seconds, too long to wait for")
    return lasting


@requirement("9865-2.1-03", "RFC 9865 2.1", "SHOULD", "A count that is no number, or changes between pages, gives 400 and invalidCount.")
async def invalid_counts_are_refused(probe: Probe) -> None:
    family, cursor = await started(probe)
    for query in ({"cursor": "", "count": "abc"}, {"cursor": cursor, "count": "3"}):
        reply = await probe.get("/Users", filter=family.filter, **query)
        expect_refused(reply, f"count={query['count']}, the count before being 2,", "invalidCount", named=True)


@requirement("9865-2.4-01", "RFC 9865 2.4", "MUST", "With both methods on offer, one of them is the fixed default.")
async def one_method_is_the_default(probe: Probe) -> None:
    stated = await paging(probe)
    if not (stated.get("cursor") is True and stated.get("index") is True):
        raise NotApplicable("/ServiceProviderConfig does not say that there are both methods of paging")
    family = await numbered_family(probe)
    found = [await list_of(probe, "/Users", filter=family.filter, count="2") for _ in range(3)]
    kinds = {"cursor" if "nextCursor" in answer else "index" for answer in found}
    expect(len(kinds) == 1, f"without a parameter of paging the method is now {' and now '.join(sorted(kinds))}")
    published = stated.get("defaultPaginationMethod", *kinds)
    expect({published} == kinds, f"the published default method is {published}, and the method in use {kinds}")


@requirement("9865-4-03", "RFC 9865 4", "MUST", "Page lengths keep to defaultPageSize and maxPageSize.")
async def page_lengths_are_kept(probe: Probe) -> None:
    await need_cursors(probe)
    stated = await paging(probe)
    usual, most = stated.get("defaultPageSize"), stated.get("maxPageSize")
    if usual is None and most is None:
        raise NotApplicable("no defaultPageSize and no maxPageSize is published")
    await store_users(probe, max(usual or 0, most or 0) + 1)
    if usual is not None:
        found = len(await listed(probe, "/Users", cursor=""))
        expect(found == usual, f"a page without count has {found} resources, and defaultPageSize is {usual}")
    if most is not None:
        reply = await probe.get("/Users", cursor="", count=str(most + 1))
        if reply.status == 400:
            return expect_refused(reply, f"count={most + 1}", "invalidCount", named=True)
        expect(len(resources_of(reply, f"count={most + 1}")) <= most, f"a page has more resources than the maxPageSize {most}")
    return None


@requirement("9865-4-04", "RFC 9865 4", "MUST", "A cursor stays valid for at least cursorTimeout seconds.")
async def cursors_last(probe: Probe) -> None:
    lasting = await _short_timeout(probe)
    family, cursor = await started(probe)
    await asyncio.sleep(lasting * 0.8)
    await next_page(probe, family, cursor)


@requirement("9865-5.2-01", "RFC 9865 5.2", "MUST", "Holding a cursor gives no access by itself.")
async def a_cursor_gives_no_access(probe: Probe) -> None:
    family, cursor = await started(probe)
    query = {"filter": family.filter, "cursor": cursor, "count": "2"}
    wrong = {"authorization": f"Bearer {probe.name('wrong')}"}
    for reply in (await probe.send("GET", "/Users", query=query, with_secret=False), await probe.send("GET", "/Users", query=query, headers=wrong)):
        expect_status(reply, "GET of a cursor's page without the secret", 401, 403)
        expect(not isinstance(reply.json, dict) or "Resources" not in reply.json, f"a cursor without the secret gives {reply.told}")
