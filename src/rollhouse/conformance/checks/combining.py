"""Filters: how expressions are combined, and which filters are refused (RFC 7644 sections 3.4.2.2 and 3.12)."""

from rollhouse.conformance.checks.filtering import refuses_filters
from rollhouse.conformance.checks.samples import Family
from rollhouse.conformance.probe import Json, Probe
from rollhouse.conformance.requirement import NotApplicable, expect, requirement


async def titled(probe: Probe, **titles: str) -> tuple[Family, dict[str, str]]:
    """A family of users with these titles, and for each the expression that finds just it."""
    family = await Family.of(probe, **{called: {"title": title} for called, title in titles.items()})
    return family, {called: f'userName eq "{family.name(called)}"' for called in titles}


@requirement("7644-3.4.2.2-08", "RFC 7644 3.4.2.2", "MUST", "and, or and not work as logical operators.")
async def logical_operators_work(probe: Probe) -> None:
    family, named = await titled(probe, f1="A", f2="B")
    await family.expect_found(f"{named['f1']} or {named['f2']}", "f1", "f2")
    await family.expect_found(f'({named["f1"]} or {named["f2"]}) and title eq "A"', "f1")
    await family.expect_found(f"{named['f1']} and {named['f2']}")
    await family.expect_found(f"not ({named['f1']})", "f2")
    await family.expect_found(f'not ({named["f1"]} or title eq "B")')


@requirement("7644-3.4.2.2-09", "RFC 7644 3.4.2.2", "MUST", "Parentheses go first, then not, then and, then or.")
async def operators_have_their_order(probe: Probe) -> None:
    family, named = await titled(probe, f1="A", f2="B")
    await family.expect_found(f'{named["f1"]} or {named["f2"]} and title eq "C"', "f1")
    await family.expect_found(f'title eq "C" and {named["f2"]} or {named["f1"]}', "f1")
    await family.expect_found(f'({named["f1"]} or {named["f2"]}) and title eq "C"')
    await family.expect_found(f'not ({named["f1"]}) and title eq "A"')
    await family.expect_found(f'not ({named["f1"]}) or title eq "A"', "f1", "f2")


@requirement("7644-3.4.2.2-10", "RFC 7644 3.4.2.2", "MUST", "An expression in square brackets holds within one element, and combines with logical operators.")
async def brackets_hold_within_one_element(probe: Probe) -> None:
    emails: Json = [{"value": "x@a.example", "type": "work"}, {"value": "y@b.example", "type": "home"}]
    family = await Family.of(probe, u={"emails": emails}, v={"displayName": "v"})
    if (await probe.get("/Users", filter='emails[type eq "work"]')).status == 400:
        raise NotApplicable("the server takes no filters with square brackets, which it may")
    await family.expect_found('emails[type eq "work" and value co "b.example"]')
    await family.expect_found('emails[type eq "work" and value co "a.example"]', "u")
    await family.expect_found('emails[type eq "work" and value co "a.example"] or displayName eq "v"', "u", "v")
    await family.expect_found('emails[type eq "home" and not (value co "a.example")]', "u")
    await family.expect_found('emails[type eq "work" and value co "a.example"] or emails[type eq "xmpp" and value co "b.example"]', "u")
    await family.expect_found('emails.type eq "work" and emails.value co "b.example"', "u")


@requirement("7644-3.4.2.2-14", "RFC 7644 3.4.2.2", "MUST", "An unknown operator gives 400, invalidFilter and a readable explanation.")
async def unknown_operators_are_explained(probe: Probe) -> None:
    filter_ = 'userName regex "f.*"'
    await refuses_filters(probe, filter_)
    detail = (await probe.get("/Users", filter=filter_)).json.get("detail")
    expect(isinstance(detail, str) and detail.strip(), f"the filter {filter_} is refused with the detail {detail!r}")


@requirement("7644-3.12-04", "RFC 7644 3.12", "SHOULD", "A malformed filter gives 400 and invalidFilter.")
async def malformed_filters_are_refused(probe: Probe) -> None:
    await refuses_filters(probe, "userName eq", "(userName pr", 'userName "x"', "userName pr and", 'userName eq "x', 'emails[type eq "work"')
