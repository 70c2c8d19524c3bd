"""The rows L01 to L08 of the tolerance matrix (client catalogue section 8): operations, paths and empty values."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.recordings import ENTERPRISE, USER, content, forms, recorded, refused
from tests.servers.service import ScimClient

FJORDLINE = "urn:ietf:params:scim:schemas:extension:Fjordline:2.0:User"


@pytest.mark.tolerance("L01")
@pytest.mark.parametrize("form", forms("matrix/op_case.json"))
async def test_op_names_and_message_keys_have_any_letter_case(acme: ScimClient, sunniva: dict[str, Any], form: dict[str, Any]) -> None:
    """L01: "Replace", `operations`, `Schemas`."""
    response = await acme.patch(f"/Users/{sunniva['id']}", form)

    assert response.status_code == 200, response.text
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva) | {"title": "Lock keeper"}


@pytest.mark.tolerance("L01")
async def test_capital_ops_are_counted_and_lower_case_ones_are_not(acme: ScimClient, sunniva: dict[str, Any], counted: Callable[[str], float]) -> None:
    """L01: the tolerance has a counter."""
    start = counted("op_case")
    await acme.patch(f"/Users/{sunniva['id']}", recorded("matrix/op_case.json")["Replace"])
    after_capital = counted("op_case")
    await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "replace", "path": "title", "value": "Bosun"})

    assert (after_capital, counted("op_case")) == (start + 1, start + 1)


@pytest.mark.tolerance("L01")
async def test_capital_remove_removes(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L01: "Remove"."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Remove", "path": "title"})

    assert response.status_code == 200
    assert "title" not in await acme.get_user(sunniva["id"])


@pytest.mark.parametrize("op", ["move", "", None, "replace "])
async def test_an_unknown_op_is_refused(acme: ScimClient, sunniva: dict[str, Any], op: str | None) -> None:
    """RFC 7644 section 3.5.2: op is one of add, remove, replace; tolerance ends at letter case."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": op, "path": "title", "value": "x"})

    refused(response, 400, "invalidSyntax")
    assert await acme.get_user(sunniva["id"]) == sunniva


@pytest.mark.tolerance("L02")
@pytest.mark.parametrize("form", forms("matrix/message_schemas.json"))
async def test_schemas_of_a_message_are_never_a_reason_to_refuse(acme: ScimClient, form: dict[str, Any]) -> None:
    """L02: missing, extra or unknown on POST, PUT and PATCH; the answer's own are right."""
    made = await acme.post("/Users", {**form, "userName": "ragna@fjordline.example"})
    path = f"/Users/{made.json()['id']}"
    put = await acme.put(path, {**form, "userName": "ragna@fjordline.example", "title": "Cook"})
    patched = await acme.patch(path, {**form, "Operations": [{"op": "add", "path": "nickName", "value": "R"}]})

    assert (made.status_code, put.status_code, patched.status_code) == (201, 200, 200)
    after = content((await acme.get(path)).json())
    assert after == {"schemas": [USER], "id": made.json()["id"], "userName": "ragna@fjordline.example", "active": True, "title": "Cook", "nickName": "R"}


@pytest.mark.tolerance("L03")
@pytest.mark.parametrize(("sent", "kept"), [("True", True), ("true", True), ("False", False), ("false", False), (True, True), (False, False)])
async def test_booleans_may_be_text(acme: ScimClient, torkel: dict[str, Any], sent: bool | str, kept: bool) -> None:
    """L03: for `active` and `primary`, in POST, PATCH with a path and without."""
    made = await acme.create_user(userName="ragna@fjordline.example", active=sent, emails=[{"value": "r@fjordline.example", "primary": sent}])
    await acme.patch_operations(f"/Users/{torkel['id']}", {"op": "Replace", "path": "active", "value": sent})
    await acme.patch_operations(f"/Users/{torkel['id']}", {"op": "Add", "value": {"phoneNumbers": [{"value": "1", "primary": sent}]}})

    ragna, after = await acme.get_user(made["id"]), await acme.get_user(torkel["id"])
    assert (ragna["active"], ragna["emails"]) == (kept, [{"value": "r@fjordline.example", "primary": kept}])
    assert (after["active"], after["phoneNumbers"]) == (kept, [{"value": "1", "primary": kept}])


@pytest.mark.tolerance("L03")
@pytest.mark.parametrize("text", ['primary eq "True"', 'primary eq "true"', "primary eq true", "primary eq True"])
async def test_text_booleans_in_filters_equal_real_ones(acme: ScimClient, sunniva: dict[str, Any], torkel: dict[str, Any], text: str) -> None:
    """L03: `[primary eq "True"]` in filters and in PATCH paths."""
    found = await acme.find("Users", f"emails[{text}]")
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Replace", "path": f"emails[{text}].value", "value": "n@fjordline.example"})

    assert [user["id"] for user in found] == [sunniva["id"]]
    assert response.status_code == 200
    assert (await acme.get_user(sunniva["id"]))["emails"] == [{"primary": True, "type": "work", "value": "n@fjordline.example"}]


@pytest.mark.tolerance("L03")
async def test_the_activity_filter_takes_text(acme: ScimClient, sunniva: dict[str, Any], torkel: dict[str, Any]) -> None:
    """L03: `active eq "False"`."""
    await acme.patch_operations(f"/Users/{torkel['id']}", {"op": "Replace", "path": "active", "value": "False"})

    assert [user["id"] for user in await acme.find("Users", 'active eq "False"')] == [torkel["id"]]
    assert [user["id"] for user in await acme.find("Users", "active eq true")] == [sunniva["id"]]


@pytest.mark.tolerance("L03")
@pytest.mark.parametrize("sent", ["yes", "1", 1, 0])
async def test_text_that_is_no_boolean_is_refused(acme: ScimClient, sunniva: dict[str, Any], sent: Any) -> None:
    """L03 ends at true and false: guessing would switch people on or off."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Replace", "path": "active", "value": sent})

    assert "active" in refused(response, 400, "invalidValue")
    assert await acme.get_user(sunniva["id"]) == sunniva


@pytest.mark.tolerance("L04")
async def test_numbers_for_text_are_kept_as_text(acme: ScimClient, sunniva: dict[str, Any], counted: Callable[[str], float]) -> None:
    """L04: employeeNumber and postal codes arrive as JSON numbers."""
    before = counted("number_text")

    made = await acme.create_user(userName="ragna@fjordline.example", externalId=4711, addresses=[{"type": "work", "postalCode": 5003}], department=12)
    await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Replace", "path": f"{ENTERPRISE}:employeeNumber", "value": 8080})

    ragna = await acme.get_user(made["id"])
    assert (ragna["externalId"], ragna["addresses"], ragna[ENTERPRISE]) == ("4711", [{"type": "work", "postalCode": "5003"}], {"department": "12"})
    assert (await acme.get_user(sunniva["id"]))[ENTERPRISE] == {"employeeNumber": "8080", "department": "Pilotage"}
    assert [user["id"] for user in await acme.find("Users", f"{ENTERPRISE}:employeeNumber eq 8080")] == [sunniva["id"]]
    assert counted("number_text") == before + 2


@pytest.mark.tolerance("L05")
@pytest.mark.parametrize("form", forms("matrix/paths.json"))
async def test_a_path_has_every_form(acme: ScimClient, sunniva: dict[str, Any], form: dict[str, Any]) -> None:
    """L05: the path grammar, bare enterprise names, any letter case of names and of `work`."""
    changed = form["changed"]

    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {name: form[name] for name in ("op", "path", "value")})

    assert response.status_code == 200, response.text
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva) | changed


@pytest.mark.tolerance("L05")
@pytest.mark.parametrize(
    "path", ['emails[type eq "work"', "emails[]", "emails[type]", "name..givenName[", 'emails[type eq "work"]value', "[", 'emails[type zz "work"].value']
)
async def test_a_malformed_path_is_refused(acme: ScimClient, sunniva: dict[str, Any], path: str) -> None:
    """RFC 7644 table 9: `invalidPath`; nothing of the PATCH counts."""
    response = await acme.patch_operations(
        f"/Users/{sunniva['id']}", {"op": "replace", "path": "title", "value": "x"}, {"op": "add", "path": path, "value": "x"}
    )

    refused(response, 400, "invalidPath")
    assert await acme.get_user(sunniva["id"]) == sunniva


@pytest.mark.tolerance("L06")
@pytest.mark.parametrize("op", ["replace", "Add"])
@pytest.mark.parametrize("form", forms("matrix/pathless.json"))
async def test_a_value_without_a_path_has_keys_of_every_form(acme: ScimClient, sunniva: dict[str, Any], form: dict[str, Any], op: str) -> None:
    """L06: dotted, URN and bracket keys, nested objects, whole extensions; read-only keys are ignored."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": op, "value": form["value"]})

    assert response.status_code == 200, response.text
    after = await acme.get_user(sunniva["id"])
    assert content(after) == content(sunniva) | form["changed"]
    assert after["meta"]["created"] == sunniva["meta"]["created"]


@pytest.mark.tolerance("L06")
@pytest.mark.parametrize("path", ["id", "meta.created", "groups", "meta"])
async def test_a_path_on_a_read_only_attribute_is_refused(acme: ScimClient, sunniva: dict[str, Any], path: str) -> None:
    """Last table of standards.md: an explicit PATCH path on a read-only attribute is 400 `mutability`."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Replace", "path": path, "value": "x"})

    refused(response, 400, "mutability")
    assert await acme.get_user(sunniva["id"]) == sunniva


@pytest.mark.tolerance("L07")
@pytest.mark.parametrize("op", ["Add", "Replace", "add", "replace"])
@pytest.mark.parametrize("form", forms("matrix/created_by_filter.json"))
async def test_an_unmatched_value_filter_creates_the_element(acme: ScimClient, sunniva: dict[str, Any], form: dict[str, Any], op: str) -> None:
    """L07: with the filter's equality terms, beside the elements that are there (contrary to RFC 7644 section 3.5.2.3)."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": op, "path": form["path"], "value": form["value"]})

    assert response.status_code == 200, response.text
    wanted = content(sunniva)
    wanted[form["attribute"]] = [*wanted.get(form["attribute"], []), form["element"]]
    assert content(await acme.get_user(sunniva["id"])) == wanted


@pytest.mark.tolerance("L07")
async def test_two_operations_on_one_unmatched_filter_make_one_element(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L07: section 3.5 sends an address as one operation per part."""
    parts = {"streetAddress": "Kaien 1", "locality": "Florø", "country": "NO"}
    operations = [{"op": "Add", "path": f'addresses[type eq "home"].{name}', "value": value} for name, value in parts.items()]

    response = await acme.patch_operations(f"/Users/{sunniva['id']}", *operations)

    assert response.status_code == 200
    assert (await acme.get_user(sunniva["id"]))["addresses"] == [*sunniva["addresses"], {"type": "home", **parts}]


@pytest.mark.tolerance("L08")
@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize("op", ["replace", "Add"])
@pytest.mark.parametrize("form", forms("matrix/empty_clears.json"))
async def test_an_empty_value_unassigns(acme: ScimClient, sunniva: dict[str, Any], form: dict[str, Any], op: str, empty: str | None) -> None:
    """L08: single values, filtered sub-attributes (the element goes when only type and primary remain), absent ones."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": op, "path": form["path"], "value": empty})

    assert response.status_code == 200, response.text
    wanted = content(sunniva) | form["kept"]
    for name in form["gone"]:
        del wanted[name]
    assert content(await acme.get_user(sunniva["id"])) == wanted


@pytest.mark.tolerance("L08")
@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize("form", forms("matrix/empty_clears.json"))
async def test_an_empty_value_unassigns_without_a_path(acme: ScimClient, sunniva: dict[str, Any], form: dict[str, Any], empty: str | None) -> None:
    """L08 with the keys of L06."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "replace", "value": {form["path"]: empty}})

    assert response.status_code == 200, response.text
    wanted = content(sunniva) | form["kept"]
    for name in form["gone"]:
        del wanted[name]
    assert content(await acme.get_user(sunniva["id"])) == wanted


@pytest.mark.tolerance("L08")
@pytest.mark.parametrize("operation", [{"op": "replace", "path": "userName", "value": ""}, {"op": "Remove", "path": "userName"}])
async def test_a_required_attribute_is_not_unassigned(acme: ScimClient, sunniva: dict[str, Any], operation: dict[str, Any]) -> None:
    """RFC 7644 section 3.5.2.2: removing a required attribute is 400; nothing is changed."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", operation)

    assert response.status_code == 400
    assert response.json()["scimType"] in ("mutability", "invalidValue")
    assert await acme.get_user(sunniva["id"]) == sunniva
