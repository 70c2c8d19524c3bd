"""The values of attributes: their JSON forms, what each type takes, and what the standard says of single ones."""

import base64
import re

from rollhouse.conformance.checks.finding import find, find_all, full_body, lacks, make_with, need_attributes, places, read_again, user_with
from rollhouse.conformance.checks.judging import changed, expect_refused, expect_status, is_taken, patched, path_of, read, refuses_users, values_of
from rollhouse.conformance.checks.samples import CERTIFICATE, Family, full_attributes
from rollhouse.conformance.probe import USER_URN, Json, Probe
from rollhouse.conformance.requirement import NotApplicable, expect, requirement

FORMS: dict[str, type | tuple[type, ...]] = {"boolean": bool, "decimal": (int, float), "integer": int, "complex": dict}
"""The JSON form of each type; all others are strings."""
COUNTS = re.compile(rb'"(?:maxOperations|maxPayloadSize|maxResults|totalResults|itemsPerPage|startIndex)"\s*:\s*([^\s,}]+)')
DATE_TIME = re.compile(r"-?\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")


def fits(definition: Json, value: Json) -> bool:
    """Whether a value has the JSON form that its definition asks for."""
    if definition.get("multiValued"):
        return isinstance(value, list) and all(fits({**definition, "multiValued": False}, one) for one in value)
    kind = definition.get("type", "string")
    if not isinstance(value, FORMS.get(kind, str)) or (isinstance(value, bool) and kind != "boolean"):
        return False
    return not isinstance(value, dict) or all(fits(part, value[part["name"]]) for part in definition.get("subAttributes") or [] if part["name"] in value)


async def refuses_values(probe: Probe, kind: str, *values: Json) -> None:
    """An attribute of a type does not take any of these values."""
    place = await find(probe, type=kind, multiValued=False, mutability="readWrite")
    for value in values:
        reply = await probe.post(place.endpoint, place.with_value(await full_body(probe, place.kind), value))
        expect_refused(reply, f"POST {place.endpoint} with the {place.name} {value!r}", "invalidValue")


@requirement(
    "7643-2.3-01", "RFC 7643 2.3", "MUST", "Each value goes out in the JSON form of its declared type; multi-valued ones are arrays even with one element."
)
async def values_have_their_form(probe: Probe) -> None:
    user = await user_with(probe, **await full_attributes(probe))
    shown = await read(probe, path_of(user))
    for place in await places(probe):
        if place.kind["name"] == "User" and place.value_in(shown) is not None:
            expect(fits(place.definition, place.value_in(shown)), f"{place.path} is shown as {place.value_in(shown)!r}")
    expect(isinstance(shown.get("emails", []), list), f"emails is shown as {shown.get('emails')!r}")
    for place in await find_all(probe, type="decimal", mutability="readWrite", multiValued=False):
        again = await read_again(probe, place, await make_with(probe, place, 0.5))
        expect(place.value_in(again) == 0.5, f"the {place.path} 0.5 is shown as {place.value_in(again)!r}")


@requirement("7643-2.3.2-01", "RFC 7643 2.3.2", "MUST", "A boolean takes nothing but the two JSON literals.")
async def booleans_are_literals(probe: Probe) -> None:
    await need_attributes(probe, "active")
    name = probe.name("user")
    values: tuple[Json, ...] = ("maybe", {}, 7)
    for wrong in values:
        reply = await probe.post("/Users", {"schemas": [USER_URN], "userName": name, "active": wrong})
        expect_refused(reply, f"POST /Users with active {wrong!r}", "invalidValue")
    expect(not await is_taken(probe, name), "a user was made although the POST was refused")


@requirement("7643-2.3.4-01", "RFC 7643 2.3.4", "MUST", "An integer has no fraction or exponent part, coming in or going out.")
async def integers_are_whole(probe: Probe) -> None:
    await probe.new_user()
    for reply in (await probe.get("/ServiceProviderConfig"), await probe.get("/Users", count="2", startIndex="1")):
        counts = COUNTS.findall(reply.raw)
        expect(counts, f"there is no integer in {reply.told}")
        for count in counts:
            expect(re.fullmatch(rb"-?\d+", count), f"an integer is written as {count.decode()}")
    if await find_all(probe, type="integer", mutability="readWrite", multiValued=False):
        await refuses_values(probe, "integer", 1.5)


@requirement("7643-2.3.5-01", "RFC 7643 2.3.5", "MUST", "A dateTime is a valid xsd:dateTime with both date and time.")
async def times_have_date_and_time(probe: Probe) -> None:
    meta = (await read(probe, path_of(await probe.new_user()))).get("meta") or {}
    for name in ("created", "lastModified"):
        expect(DATE_TIME.fullmatch(str(meta.get(name))), f"meta.{name} is {meta.get(name)!r}")
    if await find_all(probe, type="dateTime", mutability="readWrite", multiValued=False):
        await refuses_values(probe, "dateTime", "2011-05-13", "2011-13-45T04:42:34Z", "yesterday")


@requirement("7643-2.3.6-01", "RFC 7643 2.3.6", "MUST", "Binary values are base64 text.")
async def binaries_are_base64(probe: Probe) -> None:
    binaries = await find_all(probe, type="binary", mutability="readWrite", multiValued=False)
    for place in binaries:
        reply = await probe.post(place.endpoint, place.with_value(await full_body(probe, place.kind), "***not base64***"))
        expect_refused(reply, f"POST with the {place.path} ***not base64***", "invalidValue")
        again = await read_again(probe, place, await make_with(probe, place, "AQID/w=="))
        expect(str(place.value_in(again)).rstrip("=") == "AQID/w", f"the {place.path} AQID/w== is shown as {place.value_in(again)!r}")
    if binaries and await lacks(probe, "x509Certificates"):
        return
    await need_attributes(probe, "x509Certificates")
    await refuses_users(probe, "invalidValue", a_certificate_that_is_no_base64={"x509Certificates": [{"value": "***not base64***"}]})
    shown = await read(probe, path_of(await user_with(probe, x509Certificates=[{"value": CERTIFICATE}])))
    values = [str(one).rstrip("=") for one in values_of(shown, "x509Certificates")]
    expect(values == [CERTIFICATE.rstrip("=")], f"a certificate is shown as {shown.get('x509Certificates')}")


@requirement("7643-2.3.7-01", "RFC 7643 2.3.7", "MUST", "A reference value must be an absolute or relative URI.")
async def references_are_uris(probe: Probe) -> None:
    await refuses_values(probe, "reference", "http://[bad uri")


@requirement("7643-2.3.8-01", "RFC 7643 2.3.8", "MUST", "The order of members in a JSON object makes no difference.")
async def member_order_means_nothing(probe: Probe) -> None:
    attributes = await full_attributes(probe)
    shown = []
    for turned in (False, True):
        body = {"schemas": [USER_URN], "userName": probe.name("user"), **attributes}
        reply = await probe.post("/Users", _reversed(body) if turned else body)
        expect_status(reply, f"POST /Users with members in {'reverse' if turned else 'usual'} order", 201)
        again = await read(probe, path_of(reply.json))
        await probe.send("DELETE", path_of(reply.json))
        shown.append({name: value for name, value in again.items() if name not in {"id", "meta", "userName"}})
    expect(shown[0] == shown[1], f"in usual order the user is {shown[0]}, in reverse order {shown[1]}")


def _reversed(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _reversed(value[name]) for name in reversed(value)}
    return [_reversed(one) for one in value] if isinstance(value, list) else value


@requirement("7643-2.4-01", "RFC 7643 2.4", "MUST", "At most one element of a multi-valued attribute is primary.")
async def one_element_is_primary(probe: Probe) -> None:
    await need_attributes(probe, "emails")
    emails = [{"value": "a@example.com", "type": "work", "primary": True}, {"value": "b@example.com", "type": "home", "primary": True}]
    reply = await probe.post("/Users", {"schemas": [USER_URN], "userName": probe.name("user"), "emails": emails})
    if reply.status != 201:
        return expect_refused(reply, "POST /Users with two primary emails", "invalidValue")
    primaries = values_of(await read(probe, path_of(reply.json)), "emails", "primary")
    return expect(primaries.count(True) <= 1, f"two emails are shown as primary: {primaries}")


@requirement("7643-2.4-02", "RFC 7643 2.4", "MUST", 'An element with no "primary" counts as not primary.')
async def elements_are_not_primary_by_themselves(probe: Probe) -> None:
    family = await Family.of(probe, u={"emails": [{"value": "a@example.com"}]})
    shown = await read(probe, path_of(family.users["u"]))
    expect(values_of(shown, "emails", "primary") in ([None], [False]), f"an email sent without primary is shown as {shown.get('emails')}")
    filter_ = 'emails[value eq "a@example.com" and primary eq false]'
    reply = await probe.get("/Users", filter=filter_)
    if reply.status == 400:
        raise NotApplicable("the server takes no filters with square brackets, which it may")
    await family.expect_found(filter_, "u")


@requirement("7643-2.4-03", "RFC 7643 2.4", "SHOULD", "The same (type, value) pair is not returned twice in one attribute.")
async def pairs_are_shown_once(probe: Probe) -> None:
    await need_attributes(probe, "emails")
    emails = [{"value": "a@example.com", "type": "work"}] * 2
    reply = await probe.post("/Users", {"schemas": [USER_URN], "userName": probe.name("user"), "emails": emails})
    expect_status(reply, "POST /Users with the same email twice", 201, 400)
    if reply.status == 201:
        shown = values_of(await read(probe, path_of(reply.json)), "emails")
        expect(len(shown) == 1, f"the same email is shown {len(shown)} times")


@requirement("7643-2.5-01", "RFC 7643 2.5", "MUST", "Null, an empty array and a missing attribute are the same state, and null unassigns.")
async def null_unassigns(probe: Probe) -> None:
    family = await Family.of(probe, u={"nickName": None, "emails": [], "title": "Engineer"})
    path = path_of(family.users["u"])
    shown = await read(probe, path)
    expect(shown.get("nickName") is None and not shown.get("emails"), f"nickName null and emails [] are shown as {shown}")
    shown = await changed(probe, path, title=None)
    expect(shown.get("title") is None, f"the title was set to null and is shown as {shown.get('title')!r}")
    for name in ("nickName", "emails", "title"):
        await family.expect_found(f"{name} pr")


@requirement("7643-4.1.1-03", "RFC 7643 4.1.1", "SHOULD", "name.formatted and the name parts describe the same name.")
async def a_formatted_name_follows_its_parts(probe: Probe) -> None:
    user = await user_with(probe, name={"formatted": "Ann Clay", "givenName": "Ann", "familyName": "Clay"})
    if await probe.supports("patch"):
        shown = await patched(probe, path_of(user), {"op": "replace", "path": "name.familyName", "value": "Dell"})
    else:
        shown = await changed(probe, path_of(user), name={"givenName": "Ann", "familyName": "Dell"})
    formatted = (shown.get("name") or {}).get("formatted")
    expect(formatted is None or "Dell" in formatted, f"Clay became Dell, and name.formatted is {formatted!r}")


@requirement("7643-4.1.1-04", "RFC 7643 4.1.1", "MUST", "preferredLanguage, locale and timezone follow their standard formats.")
async def localities_follow_their_formats(probe: Probe) -> None:
    await user_with(probe, preferredLanguage="da, en-GB;q=0.8", locale="es-419", timezone="America/Los_Angeles")
    await refuses_users(
        probe,
        "invalidValue",
        the_locale_en_US_with_a_space={"locale": "en US"},
        the_timezone_Not_A_Zone={"timezone": "Not A Zone!"},
        the_preferredLanguage_of_a_sentence={"preferredLanguage": "I speak; nothing=at all"},
    )


@requirement("7643-4.1.1-05", "RFC 7643 4.1.1", "MUST", "A password, or any never-returned attribute, stays hidden in every answer, even when asked for.")
async def passwords_stay_hidden(probe: Probe) -> None:
    word = probe.name("Pa55")
    name = probe.name("user")
    body = {"schemas": [USER_URN], "userName": name, "password": word}
    replies = [await probe.post("/Users", body)]
    expect_status(replies[0], "POST /Users with a password", 201)
    path = path_of(replies[0].json)
    replies += [await probe.send("PUT", path, body), await probe.get(path), await probe.get(path, attributes="password,userName")]
    if await probe.supports("patch"):
        replies.append(await probe.patch(path, {"op": "replace", "path": "password", "value": word}))
    replies.append(await probe.get("/Users", filter=f'userName eq "{name}"', attributes="password"))
    for reply in replies:
        expect(word.encode() not in reply.raw and b'"password"' not in reply.raw.lower(), f"a password is shown: {reply.told}")
    for place in [one for one in await places(probe) if one.definition["returned"] == "never" and one.definition["type"] == "string"]:
        hidden = probe.name("hidden")
        made = await make_with(probe, place, hidden)
        shown = await read_again(probe, place, made, attributes=place.path)
        expect(hidden not in f"{made}{shown}", f"{place.path} is returned never, and is shown in {made} or {shown}")


@requirement("7643-4.1.2-01", "RFC 7643 4.1.2", "SHOULD", "Emails, phone numbers and messaging addresses are returned in canonical form.")
async def addresses_are_canonical(probe: Probe) -> None:
    sent: Json = {
        "emails": ({"value": "b@EXAMPLE.COM", "type": "WORK"}, "b@example.com"),
        "phoneNumbers": ({"value": "+1-201-555-0123", "type": "work"}, "tel:+1-201-555-0123"),
        "ims": ({"value": " Some Handle ", "type": "xmpp"}, "somehandle"),
    }
    shown = await read(probe, path_of(await user_with(probe, **{name: [element] for name, (element, _) in sent.items()})))
    for name, (element, canonical) in sent.items():
        forms = values_of(shown, name) + values_of(shown, name, "display")
        expect(canonical in forms, f"the value {element['value']!r} of {name} is shown as {shown.get(name)}")
    expect(values_of(shown, "emails", "type") == ["work"], f"the type WORK is shown as {values_of(shown, 'emails', 'type')}")


@requirement("7643-4.1.2-03", "RFC 7643 4.1.2", "MUST", "addresses.country is an ISO 3166-1 two-letter code.")
async def countries_are_codes(probe: Probe) -> None:
    await user_with(probe, addresses=[{"country": "US"}])
    await refuses_users(probe, "invalidValue", the_country_USA={"addresses": [{"country": "USA"}]})


@requirement("7643-4.1.2-06", "RFC 7643 4.1.2", "MUST", "Each x509Certificates value is exactly one DER certificate.")
async def a_certificate_is_one(probe: Probe) -> None:
    await user_with(probe, x509Certificates=[{"value": CERTIFICATE}])
    two = base64.b64encode(base64.b64decode(CERTIFICATE) * 2).decode()
    hello = base64.b64encode(b"hello").decode()
    await refuses_users(
        probe, "invalidValue", two_certificates_in_one={"x509Certificates": [{"value": two}]}, no_certificate={"x509Certificates": [{"value": hello}]}
    )
