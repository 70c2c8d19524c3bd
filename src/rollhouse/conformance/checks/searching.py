"""Queries by POST to /.search (RFC 7644 section 3.4.3)."""

from rollhouse.conformance.checks.cursors import need_cursors
from rollhouse.conformance.checks.finding import endpoint_of, group_of, need, types, user_with
from rollhouse.conformance.checks.judging import expect_refused, expect_status, listed, resources_of, search
from rollhouse.conformance.checks.querying import ids_of, need_index
from rollhouse.conformance.checks.samples import Family, numbered_family
from rollhouse.conformance.probe import LIST_URN, USER_URN, Json, Probe
from rollhouse.conformance.requirement import expect, requirement


@requirement("7644-3.4.3-01", "RFC 7644 3.4.3", "MUST", "POST to /.search under the root or any resource endpoint runs a query.")
async def queries_can_be_posted(probe: Probe) -> None:
    await need(probe, "filter")
    user, group = await probe.new_user(), await group_of(probe)
    either = f'id eq "{user["id"]}" or id eq "{group["id"]}"'
    wanted = {endpoint_of(kind): set() for kind in await types(probe)} | {"/Users": {user["id"]}, "/Groups": {group["id"]}, "": {user["id"], group["id"]}}
    for endpoint, ids in wanted.items():
        reply = await search(probe, endpoint, filter=either)
        expect_status(reply, f"POST {endpoint}/.search", 200)
        expect(LIST_URN in reply.json.get("schemas", []) and set(ids_of(reply.json)) == ids, f"POST {endpoint}/.search gives {reply.told}")


@requirement("7644-3.4.3-02", "RFC 7644 3.4.3", "MUST", "A search body must name the SearchRequest schema.")
async def searches_name_their_schema(probe: Probe) -> None:
    bodies: list[Json] = [{"count": 1}, {"schemas": [], "count": 1}, {"schemas": [USER_URN], "count": 1}]
    for body in bodies:
        reply = await probe.send("POST", "/Users/.search", body)
        expect_refused(reply, f"POST /Users/.search with {body}", "invalidSyntax", "invalidValue")


@requirement("7644-3.4.3-03", "RFC 7644 3.4.3", "MUST", "filter, attributes and excludedAttributes work in a search body.")
async def searches_filter_and_choose_attributes(probe: Probe) -> None:
    await need(probe, "filter")
    user = await user_with(probe, displayName="Ann", emails=[{"value": f"{probe.name()}@example.com"}])
    filter_ = f'userName eq "{user["userName"]}"'
    tried = "POST /Users/.search with attributes"
    shown = resources_of(await search(probe, "/Users", filter=filter_, attributes=["userName"]), tried)
    expect([set(one) - {"schemas"} for one in shown] == [{"id", "userName"}], f"{tried} userName shows {shown}")
    tried = "POST /Users/.search with excludedAttributes"
    shown = resources_of(await search(probe, "/Users", filter=filter_, excludedAttributes=["emails", "id"]), tried)
    expect(len(shown) == 1 and {"id", "displayName"} <= set(shown[0]) and "emails" not in shown[0], f"{tried} emails and id shows {shown}")


@requirement("7644-3.4.3-04", "RFC 7644 3.4.3", "MUST", "Sorting and index paging work in a search body.")
async def searches_sort_and_page(probe: Probe) -> None:
    await need(probe, "sort")
    await need_index(probe)
    family = await Family.of(probe, b={}, c={}, a={}, d={})
    reply = await search(probe, "/Users", filter=family.filter, sortBy="userName", sortOrder="descending", startIndex=2, count=2)
    found = family.called(resources_of(reply, "POST /Users/.search with sortBy and startIndex"))
    expect(found == ["c", "b"], f"the second and third of d, c, b, a are said to be {found}")
    stated = reply.json.get("startIndex"), reply.json.get("totalResults")
    expect(stated == (2, 4), f"the second and third of four have startIndex and totalResults {stated}")


@requirement("9865-3-01", "RFC 9865 3", "MUST", "Cursor paging works in a search body.")
async def searches_page_by_cursor(probe: Probe) -> None:
    await need_cursors(probe)
    family = await numbered_family(probe)
    found: list[str] = []
    cursor = ""
    for length in (2, 2, 1):
        reply = await search(probe, "/Users", filter=family.filter, cursor=cursor, count=2)
        found += family.called(resources_of(reply, f"POST /Users/.search with the cursor {cursor!r}"))
        cursor = reply.json.get("nextCursor", "")
        expect(bool(cursor) is (length == 2), f"a page of {length} of 5 users has the nextCursor {cursor!r}")
    expect(sorted(found) == sorted(family.users), f"three pages of 5 users hold {found}")
    expect(set(found) == set(family.called(await listed(probe, "/Users", filter=family.filter))), "GET finds others than the search")
