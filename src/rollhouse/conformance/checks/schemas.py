"""What schemas say of attributes, and what they have in common: names, characteristics, extensions and the "schemas" attribute."""

import re
from collections.abc import Iterator

from rollhouse.conformance.checks.finding import DEFAULTS, endpoint_of, find, full_body, has_enterprise, make, need, schemas, types, user_with
from rollhouse.conformance.checks.judging import changed, expect_refused, expect_status, listed, path_of, read, relative
from rollhouse.conformance.probe import ENTERPRISE_URN, USER_URN, Json, Probe
from rollhouse.conformance.requirement import NotApplicable, expect, requirement

NAME = re.compile(r"[A-Za-z][A-Za-z0-9$_-]*|\$ref")
SCHEMA_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Schema"
TYPES = {"string", "boolean", "decimal", "integer", "datetime", "binary", "reference", "complex"}
KEYWORDS = {
    "type": TYPES,
    "mutability": {"readonly", "readwrite", "immutable", "writeonly"},
    "returned": {"always", "never", "default", "request"},
    "uniqueness": {"none", "server", "global"},
}
STATED = ("name", "type", "multiValued", "description", "required", "mutability", "returned")
ENTERPRISE = {"employeeNumber": "701984", "costCenter": "4130", "organization": "Studios", "division": "Parks", "department": "Tours"}


async def all_definitions(probe: Probe) -> list[tuple[str, Json]]:
    """Each attribute and sub-attribute that a schema defines, with its full name."""

    def below(prefix: str, attributes: list[Json]) -> Iterator[tuple[str, Json]]:
        for one in attributes:
            yield f"{prefix}{one.get('name')}", one
            yield from below(f"{prefix}{one.get('name')}.", one.get("subAttributes") or [])

    found = [pair for schema in (await schemas(probe)).values() for pair in below(f"{schema['id']}:", schema.get("attributes") or [])]
    expect(found, "GET /Schemas shows no attribute at all")
    return found


async def user_schema(probe: Probe) -> dict[str, Json]:
    """The attributes of the User schema by name."""
    schema = (await schemas(probe)).get(USER_URN.casefold())
    if schema is None:
        raise NotApplicable("/Schemas has no User schema")
    return {one["name"]: one for one in schema["attributes"]}


@requirement("7643-2.1-01", "RFC 7643 2.1", "MUST", "Attribute names in request bodies match whatever their letter case.")
async def attribute_names_ignore_letter_case(probe: Probe) -> None:
    name = probe.name("user")
    reply = await probe.post("/Users", {"schemas": [USER_URN], "USERNAME": name})
    expect_status(reply, 'POST /Users with "USERNAME"', 201)
    shown = await read(probe, path_of(reply.json))
    expect(shown.get("userName") == name, f'a user made with "USERNAME" is shown as {shown}')


@requirement(
    "7643-2.2-01",
    "RFC 7643 2.2",
    "MUST",
    "An attribute with unstated characteristics is optional, modifiable, case-insensitive, returned by default and not unique.",
)
async def ordinary_attributes_behave_as_by_default(probe: Probe) -> None:
    await need(probe, "filter")
    place = await find(probe, **DEFAULTS)
    value = probe.name("Ordinary")
    first = await make(probe, place.kind, await full_body(probe, place.kind))
    await make(probe, place.kind, place.with_value(await full_body(probe, place.kind), value))
    path = path_of(first, place.endpoint)
    reply = await probe.send("PUT", path, place.with_value(first, value))
    expect_status(reply, f"PUT of a new {place.path}, which another resource has too,", 200)
    shown = await read(probe, path)
    expect(place.value_in(shown) == value, f"{place.path} was set to {value}, and GET shows {shown}")
    found = await listed(probe, place.endpoint, filter=f'{place.path} eq "{value.upper()}"')
    expect(first["id"] in [one["id"] for one in found], f"the filter {place.path} eq in capitals does not find {value}")


@requirement("7643-2.3.8-02", "RFC 7643 2.3.8", "MUST", "Simple attributes have no sub-attributes; complex ones hold no complex sub-attribute.")
async def only_complex_attributes_have_parts(probe: Probe) -> None:
    for name, one in await all_definitions(probe):
        parts = one.get("subAttributes") or []
        expect(not parts or one.get("type") == "complex", f"{name} is no complex attribute and has subAttributes")
        complex_parts = [part["name"] for part in parts if part.get("type") == "complex"]
        expect(not complex_parts or name.startswith(SCHEMA_SCHEMA), f"{name} has the complex sub-attributes {complex_parts}")


@requirement("7643-3-01", "RFC 7643 3", "MUST", 'Every representation has a non-empty "schemas", with the base schema of its type among them.')
async def representations_name_their_schemas(probe: Probe) -> None:
    await probe.new_user()
    for kind in await types(probe):
        for one in await listed(probe, endpoint_of(kind), count="10"):
            told = f"a resource of {kind['endpoint']} has the schemas {one.get('schemas')}"
            expect(isinstance(one.get("schemas"), list) and kind["schema"] in one["schemas"], told)
    for endpoint in ("/ResourceTypes", "/Schemas"):
        for one in await listed(probe, endpoint):
            expect(isinstance(one.get("schemas"), list) and one["schemas"], f"{one.get('id')} of {endpoint} has the schemas {one.get('schemas')}")


@requirement("7643-3-02", "RFC 7643 3", "MUST", '"schemas" is required in what clients send.')
async def schemas_are_required(probe: Probe) -> None:
    reply = await probe.post("/Users", {"userName": probe.name("user")})
    expect_refused(reply, "POST /Users without schemas", "invalidSyntax", "invalidValue")


@requirement("7643-3-03", "RFC 7643 3", "MUST", '"schemas" names only schemas of the resource type, each once, in an order without meaning.')
async def schemas_are_those_of_the_type(probe: Probe) -> None:
    offered = {"urn:none"}
    for kind in await types(probe):
        if kind["name"] == "User":
            offered = {kind["schema"], *(one["schema"] for one in kind.get("schemaExtensions") or [])}
    for sent in ([USER_URN, USER_URN], [USER_URN, "urn:example:nope"]):
        reply = await probe.post("/Users", {"schemas": sent, "userName": probe.name("user")})
        expect_status(reply, f"POST /Users with the schemas {sent}", 201, 400)
        shown = (await read(probe, path_of(reply.json)))["schemas"] if reply.status == 201 else [USER_URN]
        expect(len(shown) == len(set(shown)) and set(shown) <= offered, f"a user sent with the schemas {sent} is shown with {shown}")
    for sent in ([USER_URN, ENTERPRISE_URN], [ENTERPRISE_URN, USER_URN]) if await has_enterprise(probe) else ():
        reply = await probe.post("/Users", {"schemas": sent, "userName": probe.name("user"), ENTERPRISE_URN: {"department": "d"}})
        expect_status(reply, f"POST /Users with the schemas {sent}", 201)
        expect((reply.json.get(ENTERPRISE_URN) or {}).get("department") == "d", f"with the schemas {sent} the extension is lost: {reply.told}")


@requirement("7643-3.1-01", "RFC 7643 3.1", "MUST", "Every resource type, tenant-defined ones included, has id, externalId and meta and is served alike.")
async def all_types_are_served_alike(probe: Probe) -> None:
    for kind in await types(probe):
        sent = {**await full_body(probe, kind), "externalId": probe.name("external")}
        made = await make(probe, kind, sent)
        path = path_of(made, endpoint_of(kind))
        shown = await read(probe, path)
        expect(shown.get("id") == made["id"] and shown.get("externalId") == sent["externalId"], f"GET {path} shows {shown}")
        expect(shown.get("meta", {}).get("resourceType") == kind["name"] and kind["schema"] in shown["schemas"], f"GET {path} shows {shown}")
        expect_status(await probe.send("PUT", path, {**sent, **shown}), f"PUT {path}", 200)
        expect_status(await probe.send("DELETE", path), f"DELETE {path}", 204)


@requirement("7643-3.1-03", "RFC 7643 3.1", "MUST", 'An id is unique over all types, never changes, is not reused and does not contain "bulkId".')
async def ids_are_unique_and_lasting(probe: Probe) -> None:
    made = [await make(probe, kind, await full_body(probe, kind)) for kind in await types(probe)]
    user = await user_with(probe, displayName="before")
    again = await changed(probe, path_of(user), displayName="after")
    expect(again["id"] == user["id"], f"the id {user['id']} became {again['id']} by a change")
    reply = await probe.send("PUT", path_of(user), {"schemas": [USER_URN], "userName": user["userName"]})
    expect(reply.status == 200 and reply.json["id"] == user["id"], f"PUT of the user {user['id']} gives {reply.told}")
    await probe.send("DELETE", path_of(user))
    ids = [one["id"] for one in (*made, user, await user_with(probe, userName=user["userName"]))]
    expect(len(set(ids)) == len(ids), f"an id is there twice, or is used again: {ids}")
    expect(not any("bulkid" in one.casefold() for one in ids), f'an id contains "bulkId": {ids}')


@requirement("7643-3.3-01", "RFC 7643 3.3", "MUST", 'Extension attributes sit in an object named after the extension URI, which "schemas" then lists.')
async def extensions_are_set_apart(probe: Probe) -> None:
    user = await user_with(probe, **{ENTERPRISE_URN: {"employeeNumber": "42"}})
    shown = await read(probe, path_of(user))
    expect((shown.get(ENTERPRISE_URN) or {}).get("employeeNumber") == "42", f"the extension is shown as {shown.get(ENTERPRISE_URN)}")
    expect("employeeNumber" not in shown and ENTERPRISE_URN in shown["schemas"], f"GET shows {shown}")


@requirement("7643-4.1.1-06", "RFC 7643 4.1.1", "MUST", "The User schema publishes userName as required and unique, password as hidden, groups as read-only.")
async def the_user_schema_says_so(probe: Probe) -> None:
    defined = await user_schema(probe)
    wanted: Json = {
        "userName": {"required": (True,), "caseExact": (False,), "uniqueness": ("server", "global")},
        "password": {"mutability": ("writeOnly",), "returned": ("never",)},
        "groups": {"mutability": ("readOnly",)},
    }
    expect("userName" in defined, "the User schema has no userName")
    for name, characteristics in wanted.items():
        stated = DEFAULTS | defined.get(name, {})
        for which, allowed in characteristics.items():
            expect(name not in defined or stated[which] in allowed, f"{name} is published with {which} {stated[which]}")


@requirement("7643-4.1.2-02", "RFC 7643 4.1.2", "SHOULD", "The canonical types of addresses, photos, groups and messaging addresses are published.")
async def canonical_types_are_published(probe: Probe) -> None:
    defined = await user_schema(probe)
    wanted = {
        "addresses": {"work", "home", "other"},
        "photos": {"photo", "thumbnail"},
        "groups": {"direct", "indirect"},
        "ims": {"aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"},
    }
    for name, types_wanted in wanted.items():
        parts = {one["name"]: one for one in defined.get(name, {}).get("subAttributes") or []}
        published = set(parts.get("type", {}).get("canonicalValues") or [])
        expect(name not in defined or types_wanted <= published, f"the canonical types of {name} are {sorted(published) or 'not published'}")


@requirement("7643-4.3-01", "RFC 7643 4.3", "MUST", "The enterprise extension offers its six attributes; manager.displayName is read-only.")
async def the_enterprise_extension_is_whole(probe: Probe) -> None:
    boss = await user_with(probe, displayName="The Boss")
    user = await user_with(probe, **{ENTERPRISE_URN: {**ENTERPRISE, "manager": {"value": boss["id"], "displayName": "Forged"}}})
    shown = (await read(probe, path_of(user))).get(ENTERPRISE_URN) or {}
    lost = {name for name, value in ENTERPRISE.items() if shown.get(name) != value}
    expect(not lost, f"the extension lost {sorted(lost)}")
    manager = shown.get("manager") or {}
    expect(manager.get("value") == boss["id"], f"the manager is shown as {manager}")
    expect(manager.get("displayName", "The Boss") == "The Boss", f"the client's manager.displayName was taken: {manager}")


@requirement("7643-4.3-02", "RFC 7643 4.3", "SHOULD", "manager carries both the id and the URI of the managing user.")
async def a_manager_has_id_and_uri(probe: Probe) -> None:
    boss = await probe.new_user()
    user = await user_with(probe, **{ENTERPRISE_URN: {"manager": {"value": boss["id"]}}})
    manager = ((await read(probe, path_of(user))).get(ENTERPRISE_URN) or {}).get("manager") or {}
    expect(manager.get("value") == boss["id"] and manager.get("$ref"), f"the manager is shown as {manager}")
    found = await read(probe, relative(probe, manager["$ref"]))
    expect(found["id"] == boss["id"], f"{manager['$ref']} leads to {found['id']}, not to the manager {boss['id']}")


@requirement("7643-7-04", "RFC 7643 7", "MUST", "Each attribute definition states its characteristics and a description.")
async def definitions_state_all(probe: Probe) -> None:
    for name, one in await all_definitions(probe):
        wanted = (*STATED, "caseExact", "uniqueness") if one.get("type") == "string" else STATED
        missing = [characteristic for characteristic in wanted if characteristic not in one]
        expect(not missing, f"the definition of {name} does not state {missing}")


@requirement("7643-7-05", "RFC 7643 7", "MUST", "Attribute definitions use only well-formed names and defined words.")
async def definitions_use_defined_words(probe: Probe) -> None:
    kinds = {"User", "Group", "external", "uri", *(kind["name"] for kind in await types(probe))}
    for name, one in await all_definitions(probe):
        expect(NAME.fullmatch(str(one.get("name"))), f"{name} is no well-formed name")
        for which, words in KEYWORDS.items():
            expect(which not in one or str(one[which]).casefold() in words, f"{name} has the {which} {one.get(which)}")
        referred = one.get("referenceTypes") or []
        expect(not referred or one.get("type") == "reference", f"{name} is no reference and has referenceTypes")
        expect(set(referred) <= kinds, f"{name} refers to {referred}")


@requirement("7643-7-06", "RFC 7643 7", "SHOULD", "A complex attribute's definition lists its sub-attributes.")
async def complex_definitions_list_their_parts(probe: Probe) -> None:
    for name, one in await all_definitions(probe):
        expect(one.get("type") != "complex" or one.get("subAttributes"), f"{name} is complex and lists no subAttributes")
