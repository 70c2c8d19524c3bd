"""A tenant's own resource type with a required extension, end to end: every characteristic, in every verb, filter, sort and projection alike."""

from typing import Any

import pytest

from rollhouse.database.pool import Database
from tests.http.protocol import NOTE_URN, THING_URN, define_things, set_profile, thing
from tests.servers.service import ScimClient

UNKNOWN = "01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff"


@pytest.fixture
async def maker(acme: ScimClient, service_database: Database) -> ScimClient:
    await define_things(service_database, acme)
    return acme


async def made(client: ScimClient, **attributes: Any) -> dict[str, Any]:
    response = await client.post("/Things", thing(**attributes))
    assert response.status_code == 201, response.text
    return response.json()


async def refused(client: ScimClient, scim_type: str, status: int = 400, **attributes: Any) -> str:
    response = await client.post("/Things", thing(**attributes))
    assert (response.status_code, response.json()["scimType"]) == (status, scim_type), response.text
    return response.json()["detail"]


async def found(client: ScimClient, text: str, **parameters: str) -> list[str]:
    response = await client.get("/Things", params={"filter": text, **parameters})
    assert response.status_code == 200, response.text
    return [one["serial"] for one in response.json()["Resources"]]


async def test_it_is_shown_to_this_tenant_and_to_no_other(maker: ScimClient, globex: ScimClient) -> None:
    shown = (await maker.get("/ResourceTypes/Thing")).json()

    assert (shown["endpoint"], shown["schema"], shown["schemaExtensions"]) == ("/Things", THING_URN, [{"schema": NOTE_URN, "required": True}])
    schema = (await maker.get(f"/Schemas/{THING_URN}")).json()
    assert {one["name"]: one["uniqueness"] for one in schema["attributes"]}["serial"] == "server"
    assert "indexed" not in str(schema)
    for path in ("/ResourceTypes/Thing", f"/Schemas/{THING_URN}", "/Things"):
        assert (await globex.get(path)).status_code == 404, path
    assert [one["name"] for one in (await globex.get("/ResourceTypes")).json()["Resources"]] == ["User", "Group"]


async def test_a_life(maker: ScimClient) -> None:
    one = await made(maker, height=3, tags=["a", "b"], externalId="x1")
    path = f"/Things/{one['id']}"

    assert one["meta"]["resourceType"] == "Thing"
    assert one["meta"]["location"].endswith(path)
    assert (await maker.get(path)).json() == one
    replaced = await maker.put(path, thing(height=4))
    assert replaced.json()["height"] == 4
    assert "tags" not in replaced.json()
    patched = await maker.patch_operations(path, {"op": "add", "path": "tags", "value": ["c"]}, {"op": "replace", "path": f"{NOTE_URN}:rank", "value": 7})
    assert patched.json()["tags"] == ["c"]
    assert patched.json()[NOTE_URN] == {"text": "a note", "rank": 7}
    assert (await maker.delete(path)).status_code == 204
    assert (await maker.get(path)).status_code == 404


async def test_a_required_extension_and_required_attributes_are_required_everywhere(maker: ScimClient) -> None:
    assert NOTE_URN in await refused(maker, "invalidValue", **{NOTE_URN: None})
    assert "text" in await refused(maker, "invalidValue", **{NOTE_URN: {"rank": 1}})
    assert "serial" in await refused(maker, "invalidValue", serial=None)
    assert "parts.value" in await refused(maker, "invalidValue", parts=[{"type": "x"}])
    path = f"/Things/{(await made(maker))['id']}"
    for operation in (
        {"op": "remove", "path": NOTE_URN},
        {"op": "remove", "path": f"{NOTE_URN}:text"},
        {"op": "add", "path": "parts", "value": [{"type": "x"}]},
    ):
        assert (await maker.patch_operations(path, operation)).status_code == 400, operation
    assert (await maker.put(path, {"schemas": [THING_URN], "serial": "s1"})).json()["scimType"] == "invalidValue"


async def test_a_unique_value_is_held_by_the_database_and_letter_case_counts_where_it_is_exact(maker: ScimClient) -> None:
    first = await made(maker, serial="A")
    second = await made(maker, serial="a")

    assert 'serial "A"' in await refused(maker, "uniqueness", 409, serial="A")
    clash = await maker.patch_operations(f"/Things/{second['id']}", {"op": "replace", "path": "serial", "value": "A"})
    assert clash.status_code == 409
    assert await found(maker, 'serial eq "A"') == ["A"]
    await maker.delete(f"/Things/{first['id']}")
    assert (await maker.patch_operations(f"/Things/{second['id']}", {"op": "replace", "path": "serial", "value": "A"})).status_code == 200


async def test_mutability(maker: ScimClient) -> None:
    one = await made(maker, born="here", stamp="mine", maker={"name": "m", "country": "de"})
    path = f"/Things/{one['id']}"

    assert "stamp" not in one
    assert (await maker.patch_operations(path, {"op": "replace", "path": "born", "value": "there"})).json()["scimType"] == "mutability"
    assert (await maker.patch_operations(path, {"op": "replace", "path": "maker.country", "value": "fr"})).json()["scimType"] == "mutability"
    assert (await maker.patch_operations(path, {"op": "replace", "path": "maker.name", "value": "n"})).json()["maker"] == {"name": "n", "country": "de"}
    assert (await maker.patch_operations(path, {"op": "replace", "path": "stamp", "value": "x"})).json()["scimType"] == "mutability"
    assert (await maker.put(path, thing(born="there"))).json()["scimType"] == "mutability"
    assert (await maker.put(path, thing())).json()["born"] == "here"
    later = await made(maker, serial="s2")
    assert (await maker.patch_operations(f"/Things/{later['id']}", {"op": "add", "path": "born", "value": "now"})).json()["born"] == "now"


async def test_what_is_never_returned_is_kept_nowhere(maker: ScimClient) -> None:
    one = await made(maker, pin="12345678", parts=[{"value": "p", "secret": "87654321"}])

    shown = await maker.get(f"/Things/{one['id']}", params={"attributes": "pin,parts"})
    assert "pin" not in shown.json()
    assert shown.json()["parts"] == [{"value": "p"}]
    assert (await maker.get("/Things", params={"filter": 'pin eq "12345678"'})).json()["scimType"] == "invalidFilter"


async def test_returned(maker: ScimClient) -> None:
    one = await made(maker, always="a", onRequest="r", colour="red")
    path = f"/Things/{one['id']}"

    assert one["onRequest"] == "r", "what a write names it shows (RFC 7643 section 7)"
    assert "onRequest" not in (await maker.get(path)).json()
    patched = await maker.patch_operations(path, {"op": "replace", "path": "onRequest", "value": "q"})
    assert patched.json()["onRequest"] == "q"
    assert "onRequest" not in (await maker.patch_operations(path, {"op": "replace", "path": "height", "value": 1})).json()
    assert "onRequest" not in (await maker.patch_operations(path, {"op": "replace", "path": "colour", "value": "red"})).json()
    found = (await maker.post("/Things/.search", {"filter": "onRequest pr"})).json()["Resources"]
    assert [(each["id"], "onRequest" in each) for each in found] == [(one["id"], False)], "a search writes nothing"
    asked = (await maker.get(path, params={"attributes": "onRequest"})).json()
    assert {name for name in asked if name not in ("id", "schemas")} == {"onRequest", "always"}
    without = (await maker.get(path, params={"excludedAttributes": "always,colour"})).json()
    assert without["always"] == "a"
    assert "colour" not in without


@pytest.mark.parametrize(
    ("attribute", "good", "bad"),
    [
        ("colour", "RED", "blue"),
        ("height", 3, 3.5),
        ("height", -7, "tall"),
        ("weight", 3.5, "heavy"),
        ("valid", False, "perhaps"),
        ("issued", "2026-01-23T04:56:22Z", "yesterday"),
        ("blob", "QUJD", "not base64!"),
        ("owner", f"https://x.example/t/acme/scim/v2/Users/{UNKNOWN}", f"https://x.example/Groups/{UNKNOWN}"),
        ("owner", f"../Users/{UNKNOWN}", "somebody"),
        ("home", "https://home.example/", "/just/a/path"),
    ],
)
async def test_types_choices_and_references_bind(maker: ScimClient, attribute: str, good: Any, bad: Any) -> None:
    one = await made(maker, **{attribute: good})

    assert one[attribute] == good
    await refused(maker, "invalidValue", serial="s2", **{attribute: bad})
    path = f"/Things/{one['id']}"
    assert (await maker.patch_operations(path, {"op": "replace", "path": attribute, "value": bad})).json()["scimType"] == "invalidValue"
    assert (await maker.put(path, thing(**{attribute: bad}))).json()["scimType"] == "invalidValue"
    assert (await maker.get(path)).json() == one


async def test_filters_and_sorting_know_the_types(maker: ScimClient) -> None:
    await made(maker, serial="1", height=10, weight=2, issued="2026-01-01T00:00:00Z", tags=["Red"], parts=[{"value": "v", "type": "t", "codes": ["x", "y"]}])
    await made(maker, serial="2", height=9, weight=2.5, issued="2026-01-01T01:00:00+02:00", valid=True, parts=[{"value": "v", "type": "u"}])
    await made(maker, serial="3")

    assert await found(maker, "height gt 9") == ["1"]
    assert await found(maker, "height eq 9") == ["2"]
    assert await found(maker, "weight eq 2.0") == ["1"]
    assert await found(maker, 'issued eq "2025-12-31T23:00:00Z"') == ["2"]
    assert await found(maker, 'tags eq "red"') == ["1"]
    assert await found(maker, 'parts[value eq "v" and type eq "t"]') == ["1"]
    assert await found(maker, 'parts[codes eq "y"]') == ["1"]
    assert await found(maker, 'parts.codes co "X"') == ["1"]
    assert await found(maker, "not (height pr)") == ["3"]
    assert await found(maker, f"{NOTE_URN}:text pr", sortBy="height") == ["2", "1", "3"]
    assert await found(maker, f"{THING_URN}:height pr", sortBy="issued", sortOrder="descending") == ["1", "2"]
    assert (await maker.get("/Things", params={"filter": "valid gt true"})).json()["scimType"] == "invalidFilter"


async def test_parts_with_several_values_are_added_to_and_removed_from(maker: ScimClient) -> None:
    one = await made(maker, parts=[{"value": "v", "codes": ["x"]}])
    path = f"/Things/{one['id']}"

    added = await maker.patch_operations(path, {"op": "add", "path": 'parts[value eq "v"].codes', "value": ["y", "x"]})
    assert added.json()["parts"] == [{"value": "v", "codes": ["x", "y"]}]
    replaced = await maker.patch_operations(path, {"op": "replace", "path": 'parts[value eq "v"].codes', "value": ["z"]})
    assert replaced.json()["parts"] == [{"value": "v", "codes": ["z"]}]
    assert (await maker.patch_operations(path, {"op": "remove", "path": 'parts[value eq "v"].codes'})).json()["parts"] == [{"value": "v"}]


async def test_a_query_at_the_root_and_a_search_see_every_type(maker: ScimClient) -> None:
    user = await maker.create_user(userName="ann", externalId="same")
    one = await made(maker, externalId="same")

    at_root = (await maker.get("/", params={"filter": 'externalId eq "same"'})).json()
    searched = (await maker.post("/.search", {"filter": 'externalId eq "same"'})).json()
    assert [found["id"] for found in at_root["Resources"]] == [user["id"], one["id"]]
    assert searched == at_root
    assert (await maker.post("/Things/.search", {"filter": "height pr"})).json()["totalResults"] == 0


async def test_a_strict_tenant_refuses_what_no_schema_declares(maker: ScimClient, service_database: Database) -> None:
    one = await made(maker)
    await set_profile(service_database, maker, strict=True)

    assert "strict" in await refused(maker, "invalidSyntax", serial="s2", unheard="x")
    assert "strict" in await refused(maker, "invalidValue", serial="s2", valid="True")
    unknown = await maker.patch_operations(f"/Things/{one['id']}", {"op": "add", "path": "unheard", "value": "x"})
    assert unknown.json()["scimType"] == "invalidPath"
