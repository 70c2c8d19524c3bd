"""The direct SCIM checks of Microsoft's gallery validation: client catalogue section 9.2 (check 1 is in test_discovery_for_entra)."""

from typing import Any

import pytest

from tests.clients.mapping_names import schemas_of, targets, value_at
from tests.clients.recordings import ENTERPRISE, GROUP, SCIM_JSON, USER, content, recorded
from tests.servers.service import ScimClient

HEADERS = {"accept": SCIM_JSON}
MANAGER = f"{ENTERPRISE}:manager"
EXCLUDED_FROM_NULL = ("userName", "active", "externalId", "manager", "members")


def _operations(values: dict[str, Any], verbose: bool, op: str) -> list[dict[str, Any]]:
    """One operation each, or bracket operations and one path-less map (section 9.2, check 2)."""
    if verbose:
        return [{"op": op, "path": target, "value": value} for target, value in values.items()]
    filtered = [{"op": op, "path": target, "value": value} for target, value in values.items() if "[" in target]
    return [*filtered, {"op": op, "value": {target: value for target, value in values.items() if "[" not in target}}]


@pytest.mark.parametrize("op", ["replace", "Replace"])
@pytest.mark.parametrize("verbose", [True, False], ids=["verbose", "compact"])
async def test_null_update_clears_every_optional_attribute(acme: ScimClient, verbose: bool, op: str) -> None:
    """Check 2: all optional mapped attributes to "", then to null; the rest of the user stays."""
    made = await acme.post("/Users", recorded("entra/gallery_user.json"), headers=HEADERS)
    assert made.status_code == 201
    path = f"/Users/{made.json()['id']}"
    optional = [name for name in recorded("entra/default_mapping.json")["User"] if name not in EXCLUDED_FROM_NULL and not name.startswith("roles")]
    assert [name for name in optional if value_at(made.json(), name) in (None, "")] == []

    for empty in ("", None):
        response = await acme.patch_operations(path, *_operations(dict.fromkeys(optional, empty), verbose, op), headers=HEADERS)

        assert response.status_code == 200, response.text
        after = (await acme.get(path, headers=HEADERS)).json()
        assert [name for name in optional if value_at(after, name) not in (None, "")] == []
        sent = recorded("entra/gallery_user.json")
        kept = {name: sent[name] for name in ("userName", "externalId", "active", "roles")}
        assert content(after) == {"schemas": [USER], "id": made.json()["id"], **kept}


@pytest.mark.parametrize("op", ["replace", "Add"])
@pytest.mark.parametrize("verbose", [True, False], ids=["verbose", "compact"])
async def test_null_update_on_what_is_already_empty_is_a_success(acme: ScimClient, torkel: dict[str, Any], verbose: bool, op: str) -> None:
    """Check 2 and row L08: "unset of absent = success"."""
    optional = [name for name in recorded("entra/default_mapping.json")["User"] if name not in EXCLUDED_FROM_NULL]

    response = await acme.patch_operations(f"/Users/{torkel['id']}", *_operations(dict.fromkeys(optional, ""), verbose, op))

    assert response.status_code == 200, response.text
    assert await acme.get_user(torkel["id"]) == torkel


async def test_user_create_answers_with_an_id_and_the_same_name(acme: ScimClient) -> None:
    """Check 3."""
    response = await acme.post("/Users", recorded("entra/gallery_user.json"), headers=HEADERS)

    assert response.status_code == 201
    assert isinstance(response.json()["id"], str)
    sent = recorded("entra/gallery_user.json")
    assert content(response.json()) == sent | {"id": response.json()["id"]}
    assert (await acme.get(f"/Users/{response.json()['id']}")).json() == response.json()


@pytest.mark.parametrize("op", ["replace", "Replace"])
@pytest.mark.parametrize("verbose", [True, False], ids=["verbose", "compact"])
async def test_user_update_changes_every_single_valued_attribute_of_the_schemas(acme: ScimClient, torkel: dict[str, Any], verbose: bool, op: str) -> None:
    """Check 4: generated values for string, integer, dateTime and boolean attributes; GET equals exactly."""
    schemas = await schemas_of(acme)
    generated = {"string": "Æ gen 42", "integer": 42, "dateTime": "2026-02-03T04:05:06Z", "boolean": False}
    values = {
        (f"{urn}:" if urn == ENTERPRISE else "") + attribute["name"]: generated[attribute["type"]]
        for urn in (USER, ENTERPRISE)
        for attribute in schemas[urn]["attributes"]
        if attribute["type"] in generated and not attribute["multiValued"] and attribute["mutability"] == "readWrite"
    }
    assert {"userName", "title", "active", f"{ENTERPRISE}:costCenter"} <= values.keys()

    response = await acme.patch_operations(f"/Users/{torkel['id']}", *_operations(values, verbose, op), headers=HEADERS)

    assert response.status_code == 200, response.text
    after = await acme.get_user(torkel["id"])
    assert {name: value_at(after, name) for name in values} == values


@pytest.mark.parametrize("verbose", [True, False], ids=["verbose", "compact"])
async def test_user_update_changes_every_mapping_target(acme: ScimClient, verbose: bool) -> None:
    """Checks 1 and 4 together: each name that section 5 derives for a writable attribute can be written and read back."""
    made = (await acme.post("/Users", recorded("entra/gallery_user.json"))).json()
    names = [name for name in await targets(acme, "User") if not name.startswith(("groups", "password", "manager", "x509Certificates", "photos", "active"))]
    values = {name: f"written {number}" for number, name in enumerate(names)}

    for start in range(0, len(names), 50):
        part = {name: values[name] for name in names[start : start + 50]}
        response = await acme.patch_operations(f"/Users/{made['id']}", *_operations(part, verbose, "replace"))
        assert response.status_code == 200, response.text

    after = await acme.get_user(made["id"])
    assert {name: value_at(after, name) for name in names} == values


@pytest.mark.parametrize("verbose", [True, False], ids=["verbose", "compact"])
@pytest.mark.parametrize("op", ["replace", "Replace"])
async def test_group_create_and_update(acme: ScimClient, verbose: bool, op: str) -> None:
    """Checks 5 and 6: created with its displayName, updated likewise."""
    made = await acme.post("/Groups", recorded("entra/create_group.json"), headers=HEADERS)
    assert made.status_code == 201
    assert (made.json()["displayName"], type(made.json()["id"])) == ("Harbour Crew", str)

    response = await acme.patch_operations(
        f"/Groups/{made.json()['id']}", *_operations({"displayName": "Gen 7", "externalId": "gen-7"}, verbose, op), headers=HEADERS
    )

    assert (response.status_code, response.content) == (204, b"")
    assert content(await acme.get_group(made.json()["id"])) == {"schemas": [GROUP], "id": made.json()["id"], "displayName": "Gen 7", "externalId": "gen-7"}


@pytest.mark.parametrize("op", ["replace", "Add"])
@pytest.mark.parametrize("verbose", [True, False], ids=["path", "pathless"])
async def test_manager_is_set_changed_and_cleared(acme: ScimClient, sunniva: dict[str, Any], torkel: dict[str, Any], verbose: bool, op: str) -> None:
    """Check 7: plain text on the URN path; GET shows `...:User.manager.value`, then the other one, then nothing."""
    other = await acme.create_user(userName="other.boss@fjordline.example")
    path, shown = f"/Users/{sunniva['id']}", []

    for value in (torkel["id"], other["id"], ""):
        response = await acme.patch_operations(path, *_operations({MANAGER: value}, verbose, op), headers=HEADERS)
        assert response.status_code == 200, response.text
        shown.append((await acme.get_user(sunniva["id"]))[ENTERPRISE].get("manager", {}).get("value"))

    assert shown == [torkel["id"], other["id"], None]
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva)


@pytest.mark.parametrize(("endpoint", "name"), [("/Users", "userName"), ("/Groups", "displayName")])
async def test_pages_echo_their_start_index_and_show_everybody_once(acme: ScimClient, endpoint: str, name: str) -> None:
    """Checks 8 and 9: at least 11 of them, `startIndex=N&count=5`."""
    made = {(await acme.post(endpoint, {name: f"page {number:02}"})).json()["id"] for number in range(12)}
    assert len(made) == 12
    seen: list[str] = []

    for start in (1, 6, 11):
        page = (await acme.get(f"{endpoint}?startIndex={start}&count=5", headers=HEADERS)).json()
        assert (page["startIndex"], page["totalResults"]) == (start, 12)
        assert page["itemsPerPage"] == len(page["Resources"]) == min(5, 13 - start)
        seen += [resource["id"] for resource in page["Resources"]]

    assert (len(seen), set(seen)) == (12, made)


async def test_a_user_is_unassigned_and_assigned_again(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """Section 9.2, "Restore (unassign -> reassign)": disabled, found, enabled; the same id throughout."""
    path = f"/Users/{sunniva['id']}"
    await acme.patch_operations(path, {"op": "Replace", "path": "active", "value": "False"})
    found = await acme.find("Users", 'userName eq "sunniva.haug@fjordline.example"')

    response = await acme.patch_operations(path, {"op": "Replace", "path": "active", "value": "True"})

    assert [(user["id"], user["active"]) for user in found] == [(sunniva["id"], False)]
    assert response.status_code == 200
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva)


async def test_a_group_is_deleted_and_created_again(acme: ScimClient) -> None:
    """Section 9.2, group delete and restore: groups have no soft delete, so a new id."""
    first = (await acme.post("/Groups", recorded("entra/create_group.json"))).json()
    deleted = await acme.delete(f"/Groups/{first['id']}")

    second = await acme.post("/Groups", recorded("entra/create_group.json"))

    assert (deleted.status_code, second.status_code) == (204, 201)
    assert second.json()["id"] != first["id"]
    assert (await acme.get(f"/Groups/{first['id']}")).status_code == 404
