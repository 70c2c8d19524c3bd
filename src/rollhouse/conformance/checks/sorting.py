"""Sorted lists (RFC 7644 section 3.4.2.3)."""

from rollhouse.conformance.checks.cursors import all_pages, need_cursors
from rollhouse.conformance.checks.finding import endpoint_of, find, make_with, need
from rollhouse.conformance.checks.judging import listed, path_of, read
from rollhouse.conformance.checks.samples import Family
from rollhouse.conformance.probe import Json, Probe
from rollhouse.conformance.requirement import expect, requirement


async def expect_order(family: Family, attribute: str, wanted: str, **query: str) -> None:
    """A family sorted by an attribute is in this order, its members being called by single letters."""
    found = "".join(await family.sorted_by(attribute, **query))
    expect(found == wanted, f"sorted by {attribute} {query.get('sortOrder', '')} the users come as {found} instead of {wanted}")


@requirement("7644-3.4.2.3-01", "RFC 7644 3.4.2.3", "MUST", "sortBy orders ascending unless sortOrder says descending; a sub-attribute path works.")
async def sort_by_orders(probe: Probe) -> None:
    await need(probe, "sort")
    family = await Family.of(probe, b={"name": {"givenName": "Zoe"}}, c={"name": {"givenName": "Ann"}}, a={"name": {"givenName": "Max"}})
    await expect_order(family, "userName", "abc")
    await expect_order(family, "userName", "abc", sortOrder="ascending")
    await expect_order(family, "userName", "cba", sortOrder="descending")
    await expect_order(family, "name.givenName", "cab")
    await expect_order(family, "NAME.GIVENNAME", "bac", sortOrder="descending")


@requirement("7644-3.4.2.3-02", "RFC 7644 3.4.2.3", "MUST", "A multi-valued attribute sorts by its primary value, else by its first.")
async def many_values_sort_by_the_primary(probe: Probe) -> None:
    await need(probe, "sort")
    sent: Json = {"a": ["b@x.example", "z@x.example"], "b": ["d@x.example", "a@x.example"], "c": ["c@x.example"]}
    emails: Json = {called: {"emails": [{"value": value, "primary": value[0] == "z"} for value in values]} for called, values in sent.items()}
    family = await Family.of(probe, **emails)
    shown = (await read(probe, path_of(family.users["b"])))["emails"]
    await expect_order(family, "emails.value", "cba" if shown[0]["value"].startswith("d") else "bca")


@requirement("7644-3.4.2.3-03", "RFC 7644 3.4.2.3", "MUST", "Resources without the key come last when ascending, first when descending.")
async def missing_values_come_last(probe: Probe) -> None:
    await need(probe, "sort")
    family = await Family.of(probe, a={}, b={"title": "x"}, c={"title": "y"})
    await expect_order(family, "title", "bca")
    await expect_order(family, "title", "acb", sortOrder="descending")


@requirement("7644-3.4.2.3-04", "RFC 7644 3.4.2.3", "MUST", "Letter case counts in sorting only for case-exact attributes.")
async def sorting_minds_case_where_it_counts(probe: Probe) -> None:
    await need(probe, "sort")
    family = await Family.of(probe, c={"displayName": "cherry"}, b={"displayName": "Banana"}, a={"displayName": "apple"})
    await expect_order(family, "displayName", "abc")
    family = await Family.of(probe, a={"externalId": "a1"}, b={"externalId": "B1"}, c={"externalId": "A1"})
    found = "".join(await family.sorted_by("externalId"))
    expect(found in {"cba", "acb", "cab"}, f"the externalIds a1, B1 and A1, called a, b and c, come as {found}")


@requirement("7644-3.4.2.3-05", "RFC 7644 3.4.2.3", "MUST", "Sorting follows the attribute's type.")
async def sorting_follows_the_type(probe: Probe) -> None:
    await need(probe, "sort", "filter")
    place = await find(probe, type="integer", multiValued=False, mutability="readWrite")
    high, low = await make_with(probe, place, 10), await make_with(probe, place, 9)
    either = f'id eq "{high["id"]}" or id eq "{low["id"]}"'
    found = [place.value_in(one) for one in await listed(probe, endpoint_of(place.kind), filter=either, sortBy=place.path)]
    expect(found == [9, 10], f"sorted by {place.path}, the integers 9 and 10 come as {found}")


@requirement("9865-2.2-01", "RFC 9865 2.2", "SHOULD", "Cursor pages are sorted when sorting is asked for.")
async def cursor_pages_are_sorted(probe: Probe) -> None:
    await need(probe, "sort")
    await need_cursors(probe)
    family = await Family.of(probe, d={}, b={}, e={}, a={}, c={})
    answers = await all_pages(probe, family, sortBy="userName")
    found = "".join(family.called([one for answer in answers for one in answer["Resources"]]))
    expect(found == "abcde", f"cursor pages sorted by userName bring {found} instead of abcde")
