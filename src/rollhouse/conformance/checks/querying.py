"""Lists of resources: what a query answers, and paging by index (RFC 7644 sections 3.4.2 and 3.4.2.4)."""

from rollhouse.conformance.checks.finding import find_all, group_of, make_with, need, user_with
from rollhouse.conformance.checks.judging import expect_refused, expect_status, list_of, listed
from rollhouse.conformance.checks.samples import Family, numbered_family, store_users
from rollhouse.conformance.probe import LIST_URN, Json, Probe
from rollhouse.conformance.requirement import NotApplicable, expect, requirement


async def need_index(probe: Probe) -> None:
    """Go on unless the server says that it pages by cursors alone."""
    paging = (await probe.known("/ServiceProviderConfig")).get("pagination") or {}
    if paging.get("index") is False:
        raise NotApplicable("/ServiceProviderConfig says that there is no paging by index")


async def page(probe: Probe, family: Family, **query: str) -> Json:
    """The answer to a query for a part of a family."""
    return await list_of(probe, "/Users", filter=family.filter, **query)


def ids_of(answer: Json) -> list[str]:
    """The ids of the resources in a list."""
    return [one["id"] for one in answer.get("Resources") or []]


async def at_root(probe: Probe, filter_: str) -> list[Json]:
    """What a query at the root finds; a server may have none."""
    await need(probe, "filter")
    reply = await probe.get("/", filter=filter_)
    if reply.status in {404, 405, 501}:
        raise NotApplicable("there are no queries at the root")
    expect_status(reply, f"GET / with the filter {filter_}", 200)
    return reply.json.get("Resources") or []


@requirement("7643-5-04", "RFC 7643 5", "MUST", "An answer never holds more resources than filter.maxResults.")
async def lists_keep_to_max_results(probe: Probe) -> None:
    most: Json = ((await probe.known("/ServiceProviderConfig")).get("filter") or {}).get("maxResults")
    expect(isinstance(most, int), f"filter.maxResults is {most!r}")
    await store_users(probe, most + 1)
    for query in ({"count": str(most + 1)}, {}):
        found = len(await listed(probe, "/Users", **query))
        expect(found <= most, f"GET /Users with {query} gives {found} resources, and filter.maxResults is {most}")


@requirement("7644-3.4.2-01", "RFC 7644 3.4.2", "SHOULD", "Unknown query parameters are ignored.")
async def unknown_parameters_are_ignored(probe: Probe) -> None:
    await probe.new_user()
    plain, other = [(await list_of(probe, "/Users", **query)).get("totalResults") for query in ({}, {"foo": "bar"})]
    expect(isinstance(plain, int) and plain == other, f"GET /Users has the totalResults {plain!r}, and with foo=bar {other!r}")


@requirement("7644-3.4.2-02", "RFC 7644 3.4.2", "MUST", "Lists carry the ListResponse URI, and Resources when there are results.")
async def lists_carry_their_uri(probe: Probe) -> None:
    await probe.new_user()
    answer = await list_of(probe, "/Users")
    expect(answer.get("schemas") == [LIST_URN], f"GET /Users has the schemas {answer.get('schemas')}")
    expect(isinstance(answer.get("Resources"), list) and answer["Resources"], "GET /Users has no Resources though there is a user")
    expect(isinstance(answer.get("totalResults"), int), f"GET /Users has the totalResults {answer.get('totalResults')!r}")


@requirement("7644-3.4.2-03", "RFC 7644 3.4.2", "MUST", "totalResults counts all matches, not just the page.")
async def total_results_counts_all(probe: Probe) -> None:
    answer = await page(probe, await numbered_family(probe), count="2")
    expect(answer.get("totalResults") == 5, f"a page of 2 of 5 users has the totalResults {answer.get('totalResults')}")


@requirement("7644-3.4.2-04", "RFC 7644 3.4.2", "MUST", "A partial list states startIndex, and itemsPerPage as the number of resources in it.")
async def partial_lists_state_their_place(probe: Probe) -> None:
    await need_index(probe)
    family = await numbered_family(probe)
    for start, length in ((1, 2), (5, 1)):
        answer = await page(probe, family, startIndex=str(start), count="2")
        stated = answer.get("startIndex"), answer.get("itemsPerPage"), len(ids_of(answer))
        expect(stated == (start, length, length), f"from {start} on, 2 of 5 users, has startIndex, itemsPerPage and length {stated}")


@requirement("7644-3.4.2-05", "RFC 7644 3.4.2", "MUST", "A query with no match is a success with totalResults 0.")
async def no_match_is_a_success(probe: Probe) -> None:
    await need(probe, "filter")
    answer = await list_of(probe, "/Users", filter=f'userName eq "{probe.name()}"')
    expect(answer.get("totalResults") == 0 and not answer.get("Resources"), f"a query for nobody answers {answer}")


@requirement("7644-3.4.2.1-01", "RFC 7644 3.4.2.1", "MUST", "A query at the root covers all types, and meta.resourceType can narrow it.")
async def the_root_covers_all_types(probe: Probe) -> None:
    user, group = await probe.new_user(), await group_of(probe)
    either = f'(id eq "{user["id"]}" or id eq "{group["id"]}")'
    found = {one["id"] for one in await at_root(probe, either)}
    expect(found == {user["id"], group["id"]}, f"of a user and a group, a query at the root finds {len(found)}")
    for kind, wanted in (("User", user), ("Group", group)):
        found = {one["id"] for one in await at_root(probe, f'meta.resourceType eq "{kind}" and {either}')}
        expect(found == {wanted["id"]}, f"at the root meta.resourceType eq {kind} does not find just the {kind}")


@requirement("7644-3.4.2.1-02", "RFC 7644 3.4.2.1", "MUST", "A query with too many results is refused with 400 and tooMany.")
async def too_many_results_are_refused(probe: Probe) -> None:
    await probe.new_user()
    for path in ("/Users", "/"):
        reply = await probe.get(path)
        if reply.status != 200 and not (path == "/" and reply.status in {404, 405, 501}):
            expect_refused(reply, f"GET {path}", "tooMany", named=True)


@requirement("7644-3.4.2.5-01", "RFC 7644 3.4.2.5", "MUST", 'Queries support "attributes" and "excludedAttributes"; always-returned ones cannot be excluded.')
async def queries_choose_attributes(probe: Probe) -> None:
    user = await user_with(probe, displayName="Ann", emails=[{"value": f"{probe.name()}@example.com"}])
    shown = await listed(probe, "/Users", filter=f'userName eq "{user["userName"]}"', attributes="userName")
    expect(all({"id", "userName"} <= set(one) and not {"emails", "displayName"} & set(one) for one in shown), f"attributes=userName shows {shown}")
    shown += await listed(probe, "/Users", filter=f'userName eq "{user["userName"]}"', excludedAttributes="emails,id")
    expect(len(shown) == 2, f"{user['userName']} is found {len(shown)} times by two queries")
    expect({"id", "userName", "displayName"} <= set(shown[1]) and "emails" not in shown[1], f"excludedAttributes=emails,id shows {shown[1]}")
    for place in await find_all(probe, returned="always", type="string", multiValued=False):
        made = await make_with(probe, place, "always")
        shown = await listed(probe, place.endpoint, filter=f'id eq "{made["id"]}"', excludedAttributes=place.path)
        expect([place.value_in(one) for one in shown] == ["always"], f"{place.path}, which is always returned, can be excluded")


@requirement("7644-3.4.2.4-01", "RFC 7644 3.4.2.4", "MUST", "A missing startIndex, or one below 1, means 1.")
async def paging_starts_at_one(probe: Probe) -> None:
    await need_index(probe)
    family = await numbered_family(probe)
    first = await page(probe, family, count="2", startIndex="1")
    for query in ({"startIndex": "0"}, {"startIndex": "-5"}, {}):
        answer = await page(probe, family, count="2", **query)
        if query or "nextCursor" not in answer:
            expect(answer.get("startIndex") == 1, f"with {query} the startIndex is {answer.get('startIndex')}")
            expect(ids_of(answer) == ids_of(first), f"with {query} the first page is not that of startIndex=1")


@requirement("7644-3.4.2.4-02", "RFC 7644 3.4.2.4", "MUST", "No more than count resources are returned; a negative count means 0, and 0 only gives the total.")
async def count_limits_the_page(probe: Probe) -> None:
    await need_index(probe)
    family = await numbered_family(probe)
    found = ids_of(await page(probe, family, startIndex="1", count="2"))
    expect(len(found) <= 2, f"count=2 gives {len(found)} resources")
    for count in ("0", "-3"):
        reply = await probe.get("/Users", filter=family.filter, startIndex="1", count=count)
        if count != "0" and reply.status == 400:
            expect_refused(reply, "count=-3", "invalidCount", named=True)
            continue
        expect_status(reply, f"count={count}", 200)
        expect(not reply.json.get("Resources") and reply.json.get("totalResults") == 5, f"count={count} among 5 users gives {reply.told}")


@requirement("7644-3.4.2.4-03", "RFC 7644 3.4.2.4", "MUST", "startIndex is the position of the first result, so pages together give every result.")
async def pages_give_every_result(probe: Probe) -> None:
    await need_index(probe)
    family = await numbered_family(probe)
    order = {"sortBy": "id"} if await probe.supports("sort") else {}
    found: list[str] = []
    for start in ("1", "3", "5"):
        answer = await page(probe, family, startIndex=start, count="2", **order)
        expect(answer.get("startIndex") == int(start), f"startIndex={start} is answered with the startIndex {answer.get('startIndex')}")
        found += ids_of(answer)
    expect(sorted(found) == sorted(one["id"] for one in family.users.values()), f"three pages of 5 users hold {len(set(found))} of them, {len(found)} in all")


@requirement("9865-2.4-02", "RFC 9865 2.4", "MUST", "startIndex asks for index paging even where cursors exist.")
async def start_index_asks_for_index_paging(probe: Probe) -> None:
    await need_index(probe)
    family = await numbered_family(probe)
    for start in (1, 3):
        answer = await page(probe, family, startIndex=str(start), count="2")
        expect(answer.get("startIndex") == start and len(ids_of(answer)) == 2, f"startIndex={start} is answered with {answer}")
        expect("nextCursor" not in answer, f"startIndex={start} is answered with a cursor")
