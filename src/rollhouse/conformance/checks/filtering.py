"""Filters: what each operator and each type of attribute matches (RFC 7644 section 3.4.2.2)."""

from datetime import datetime, timedelta, timezone

from rollhouse.conformance.checks.finding import find_all, group_of, lacks, make_with, need, need_attributes, user_with
from rollhouse.conformance.checks.judging import expect_refused, listed, path_of, read, resources_of, search
from rollhouse.conformance.checks.samples import CERTIFICATE, Family
from rollhouse.conformance.probe import ENTERPRISE_URN, USER_URN, Json, Probe
from rollhouse.conformance.requirement import NotApplicable, expect, requirement


async def refuses_filters(probe: Probe, *filters: str, endpoint: str = "/Users", named: bool = True) -> None:
    """The server answers each of these filters with 400 and `invalidFilter`, and with no resources."""
    await need(probe, "filter")
    for filter_ in filters:
        reply = await probe.get(endpoint, filter=filter_)
        expect_refused(reply, f"the filter {filter_}", "invalidFilter", named=named)
        expect(not isinstance(reply.json, dict) or not reply.json.get("Resources"), f"the filter {filter_} is refused, and finds {reply.told}")


async def expect_id_found(probe: Probe, filter_: str, resource: Json, *, is_found: bool = True, endpoint: str = "/Users") -> None:
    """A filter finds this resource, or does not."""
    ids = [one["id"] for one in await listed(probe, endpoint, filter=f'({filter_}) and id eq "{resource["id"]}"')]
    expect((ids == [resource["id"]]) is is_found and len(ids) <= 1, f"the filter {filter_} finds {ids or 'nothing'} among {resource['id']} alone")


@requirement("7643-2.3.7-03", "RFC 7643 2.3.7", "MUST", "References and binary values compare with regard to letter case.")
async def references_and_binaries_are_case_exact(probe: Probe) -> None:
    family = await Family.of(probe, u={"profileUrl": "https://e.example/Path"})
    await family.expect_found('profileUrl eq "https://e.example/Path"', "u")
    await family.expect_found('profileUrl eq "https://e.example/path"')
    if await lacks(probe, "x509Certificates"):
        return
    family = await Family.of(probe, u={"x509Certificates": [{"value": CERTIFICATE}]})
    await family.expect_found(f'x509Certificates.value eq "{CERTIFICATE}"', "u")
    await family.expect_found(f'x509Certificates.value eq "{CERTIFICATE[0].lower()}{CERTIFICATE[1:]}"')


@requirement("7643-3.1-05", "RFC 7643 3.1", "MUST", "id, externalId and meta.resourceType are case-exact, and their letter case is kept.")
async def common_attributes_are_case_exact(probe: Probe) -> None:
    family = await Family.of(probe, u={"externalId": "AbC-1"})
    user = await read(probe, path_of(family.users["u"]))
    expect(user.get("externalId") == "AbC-1", f"the externalId AbC-1 is shown as {user.get('externalId')!r}")
    exact = {"externalId": "AbC-1", "id": user["id"], "meta.resourceType": user["meta"]["resourceType"]}
    for name, value in exact.items():
        await family.expect_found(f'{name} eq "{value}"', "u")
        if value.swapcase() != value:
            await family.expect_found(f'{name} eq "{value.swapcase()}"')


@requirement("7644-3.4.2.2-01", "RFC 7644 3.4.2.2", "MUST", "eq and ne test for identical values, letter case counting only for case-exact attributes.")
async def eq_and_ne_compare_whole_values(probe: Probe) -> None:
    family = await Family.of(probe, f1={"externalId": "Ext-1"}, f2={"externalId": "Ext-2"})
    name = family.name("f1")
    await family.expect_found(f'userName eq "{name.upper()}"', "f1")
    await family.expect_found(f'userName eq "{family.marker}"')
    await family.expect_found(f'userName ne "{name.upper()}"', "f2")
    await family.expect_found('externalId eq "Ext-1"', "f1")
    await family.expect_found('externalId eq "EXT-1"')
    await family.expect_found('externalId ne "EXT-1"', "f1", "f2")


@requirement("7644-3.4.2.2-02", "RFC 7644 3.4.2.2", "MUST", "Attribute names and operators in filters disregard letter case.")
async def filter_words_disregard_case(probe: Probe) -> None:
    family = await Family.of(probe, f1={}, f2={})
    await family.expect_found(f'USERNAME Eq "{family.name("f1")}" AND username PR', "f1")
    await family.expect_found(f'NOT (uSERnAME eQ "{family.name("f1")}")', "f2")


@requirement("7644-3.4.2.2-03", "RFC 7644 3.4.2.2", "MUST", "co, sw and ew match a part, a beginning and an end; the whole value fits too.")
async def parts_of_texts_match(probe: Probe) -> None:
    family = await Family.of(probe, u={"title": "startmidend"})
    for expression in ('co "mid"', 'sw "start"', 'ew "end"', 'co "startmidend"', 'sw "startmidend"', 'ew "startmidend"'):
        await family.expect_found(f"title {expression}", "u")
    for expression in ('co "mix"', 'sw "mid"', 'ew "mid"', 'co "startmidends"'):
        await family.expect_found(f"title {expression}")


@requirement("7644-3.4.2.2-04", "RFC 7644 3.4.2.2", "MUST", "pr matches attributes with a value, complex ones when some part is filled.")
async def pr_matches_what_has_a_value(probe: Probe) -> None:
    family = await Family.of(probe, a={"title": "Engineer", "name": {"givenName": "Ann"}, "emails": [{"value": "a@example.com"}]}, b={})
    for name in ("title", "name", "name.givenName", "emails", "emails.value"):
        await family.expect_found(f"{name} pr", "a")
    await family.expect_found("userName pr", "a", "b")


@requirement("7644-3.4.2.2-05", "RFC 7644 3.4.2.2", "MUST", "gt and lt leave equality out, ge and le include it.")
async def orderings_treat_equality_rightly(probe: Probe) -> None:
    await need(probe, "filter")
    user = await probe.new_user()
    moment = (await read(probe, path_of(user)))["meta"]["lastModified"]
    for operator in ("gt", "lt", "ge", "le"):
        await expect_id_found(probe, f'meta.lastModified {operator} "{moment}"', user, is_found=operator in {"ge", "le"})


@requirement("7644-3.4.2.2-06", "RFC 7644 3.4.2.2", "MUST", "Ordering compares strings as text, dateTimes by time, integers by number.")
async def orderings_follow_the_type(probe: Probe) -> None:
    family = await Family.of(probe, u={"title": "10"})
    await family.expect_found('title lt "9"', "u")
    moment = datetime.fromisoformat((await read(probe, path_of(family.users["u"])))["meta"]["lastModified"])
    for minutes, operators in ((1, "lt"), (-1, "gt")):
        elsewhere = (moment + timedelta(minutes=minutes)).astimezone(timezone(timedelta(hours=2)))
        await family.expect_found(f'meta.lastModified {operators} "{elsewhere.isoformat()}"', "u")
    for place in await find_all(probe, type="integer", multiValued=False, mutability="readWrite"):
        low, high = await make_with(probe, place, 9), await make_with(probe, place, 10)
        await expect_id_found(probe, f"{place.path} gt 9", high, endpoint=place.endpoint)
        await expect_id_found(probe, f"{place.path} gt 9", low, endpoint=place.endpoint, is_found=False)


@requirement("7644-3.4.2.2-07", "RFC 7644 3.4.2.2", "MUST", "Ordering comparisons on booleans and binaries fail with 400 and invalidFilter.")
async def booleans_and_binaries_have_no_order(probe: Probe) -> None:
    await need_attributes(probe, "active")
    await refuses_filters(probe, *(f"active {operator} true" for operator in ("gt", "ge", "lt", "le")))
    if not await lacks(probe, "x509Certificates"):
        await refuses_filters(probe, *(f'x509Certificates.value {operator} "AAAA"' for operator in ("gt", "ge", "lt", "le")))


@requirement(
    "7644-3.4.2.2-11", "RFC 7644 3.4.2.2", "MUST", "On a multi-valued attribute one matching value is enough, also when it is named without sub-attribute."
)
async def one_value_of_many_is_enough(probe: Probe) -> None:
    emails = [{"value": "x@first.example", "type": "work"}, {"value": "y@second.example", "type": "home"}]
    family = await Family.of(probe, u={"emails": emails}, v={"emails": emails[:1]})
    await family.expect_found('emails.value eq "y@second.example"', "u")
    await family.expect_found('emails co "second.example"', "u")


@requirement("7644-3.4.2.2-12", "RFC 7644 3.4.2.2", "MUST", "A single complex attribute is compared only through a sub-attribute.")
async def complex_attributes_are_compared_by_parts(probe: Probe) -> None:
    family = await Family.of(probe, u={"name": {"familyName": "O'Malley"}}, v={"name": {"familyName": "Malley"}})
    await family.expect_found('name.familyName co "O\'Malley"', "u")
    await refuses_filters(probe, 'name eq "x"')


@requirement("7644-3.4.2.2-13", "RFC 7644 3.4.2.2", "MUST", "A defaulted attribute is filtered by the value the client was shown.")
async def defaults_are_filtered_as_shown(probe: Probe) -> None:
    family = await Family.of(probe, u={})
    shown = family.users["u"].get("active")
    if shown is None:
        await family.expect_found("active pr")
    else:
        await family.expect_found(f"active eq {str(shown).lower()}", "u")
        await family.expect_found(f"active eq {str(not shown).lower()}")
        await family.expect_found("active pr", "u")


@requirement("7644-3.4.2.2-15", "RFC 7644 3.4.2.2", "MUST", '"schemas" can be filtered on.')
async def schemas_can_be_filtered_on(probe: Probe) -> None:
    family = await Family.of(probe, plain={}, extended={ENTERPRISE_URN: {"department": "d"}})
    await family.expect_found(f'schemas eq "{ENTERPRISE_URN}"', "extended")
    await family.expect_found(f'schemas eq "{USER_URN}"', "plain", "extended")


@requirement("7644-3.4.2.2-16", "RFC 7644 3.4.2.2", "MUST", "Comparison values follow JSON: escaped strings, booleans, numbers and null.")
async def values_in_filters_follow_json(probe: Probe) -> None:
    family = await Family.of(probe, u={"displayName": 'a "q" \u00e9 \\'}, v={"displayName": "a"})
    await family.expect_found(r'displayName eq "a \"q\" \u00e9 \\"', "u")
    await family.expect_found(r'displayName eq "\u0061"', "v")
    await need_attributes(probe, "active", "nickName")
    family = await Family.of(probe, on={"active": True}, off={"active": False})
    await family.expect_found("active eq true", "on")
    await family.expect_found("active eq false", "off")
    await listed(probe, "/Users", filter="nickName eq null")


@requirement("7644-3.10-01", "RFC 7644 3.10", "MUST", "Filters accept core and extension attributes written with their schema URN.")
async def filters_take_full_names(probe: Probe) -> None:
    boss = await probe.new_user()
    family = await Family.of(probe, a={"displayName": "a"}, b={"displayName": "b"})
    await family.expect_found(f'{USER_URN}:displayName eq "a"', "a")
    await family.expect_found(f'{USER_URN.upper()}:DISPLAYNAME eq "b"', "b")
    family = await Family.of(probe, a={ENTERPRISE_URN: {"manager": {"value": boss["id"]}}}, b={})
    await family.expect_found(f'{ENTERPRISE_URN}:manager.value eq "{boss["id"]}"', "a")


@requirement("7644-7.5.2-01", "RFC 7644 7.5.2", "SHOULD", "A GET filter on sensitive data is refused with 403.")
async def sensitive_filters_are_forbidden(probe: Probe) -> None:
    await need(probe, "filter")
    await need_attributes(probe, "password")
    word = probe.name("Pa55")
    await user_with(probe, password=word)
    reply = await probe.get("/Users", filter=f'password eq "{word}"')
    expect(not isinstance(reply.json, dict) or not reply.json.get("totalResults"), f"a GET filter on password finds {reply.told}")
    expect_refused(reply, "a GET filter on password", "sensitive", status=(403,))


@requirement("7644-7.8-01", "RFC 7644 7.8", "MUST", "Filters prepare Unicode strings before comparing.")
async def filters_prepare_unicode(probe: Probe) -> None:
    await need(probe, "filter")
    name = probe.name("user")
    user = await user_with(probe, userName=f"{name}-ren\u00e9")
    await expect_id_found(probe, f'userName eq "{name}-rene\u0301"', user)


@requirement("7644-3.4.2.1-03", "RFC 7644 3.4.2.1", "MUST", "In a mixed-type query an attribute the type lacks counts as having no value.")
async def missing_attributes_have_no_value(probe: Probe) -> None:
    user, group = await probe.new_user(), await group_of(probe)
    reply = await search(probe, "", count=1)
    if reply.status in {404, 501}:
        raise NotApplicable("there are no queries at the root")
    either = f'(id eq "{user["id"]}" or id eq "{group["id"]}")'
    for filter_, wanted in (("userName pr", user), ("not (userName pr)", group)):
        found = [one["id"] for one in resources_of(await search(probe, "", filter=f"{filter_} and {either}"), f"the filter {filter_} at the root")]
        expect(found == [wanted["id"]], f"of a user and a group the filter {filter_} at the root finds {found} instead of {wanted['id']}")
