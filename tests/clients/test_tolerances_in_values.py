"""The rows L09 to L17 of the tolerance matrix (client catalogue section 8): values, roles, unknown names and text."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.recordings import ENTERPRISE, PATCH_OP, USER, content, element, forms, recorded, refused
from tests.servers.service import ScimClient

FJORDLINE = "urn:ietf:params:scim:schemas:extension:Fjordline:2.0:User"


@pytest.mark.tolerance("L09")
@pytest.mark.parametrize(
    ("listed", "left"),
    [
        ([{"value": "+47 55 10 20 30"}], ["(+47) 998-77.665"]),
        ([{"type": "mobile", "value": "(+47) 998-77.665"}], ["+47 55 10 20 30"]),
        ([{"value": "+47 55 10 20 30"}, {"value": "+47 55 10 20 30"}, {"value": "unheard of"}], ["(+47) 998-77.665"]),
        ([{"value": "unheard of"}], ["+47 55 10 20 30", "(+47) 998-77.665"]),
        ("(+47) 998-77.665", ["+47 55 10 20 30"]),
        ([], ["+47 55 10 20 30", "(+47) 998-77.665"]),
    ],
    ids=["by value", "by value and type", "twice and unknown", "unknown", "text", "empty list"],
)
async def test_remove_with_a_value_list_takes_the_listed_ones_only(acme: ScimClient, sunniva: dict[str, Any], listed: Any, left: list[str]) -> None:
    """L09: on every multi-valued attribute; a list of nobody removes nobody."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Remove", "path": "phoneNumbers", "value": listed})

    assert response.status_code == 200, response.text
    after = content(await acme.get_user(sunniva["id"]))
    assert [phone["value"] for phone in after["phoneNumbers"]] == left
    assert after | {"phoneNumbers": sunniva["phoneNumbers"]} == content(sunniva)


@pytest.mark.tolerance("L09")
async def test_remove_of_members_with_an_empty_list_removes_nobody(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L09 and section 4, "Critical": a value list that lists nobody must not empty the group."""
    group = await acme.create_group(displayName="Pilots", members=[{"value": sunniva["id"]}])

    response = await acme.patch_operations(f"/Groups/{group['id']}", {"op": "Remove", "path": "members", "value": []})

    assert (response.status_code, response.content) == (204, b"")
    assert await acme.members(group["id"]) == {sunniva["id"]}


@pytest.mark.tolerance("L09")
async def test_remove_without_a_value_takes_all(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L09: of that attribute, and of no other."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Remove", "path": "phoneNumbers"})

    assert response.status_code == 200
    wanted = content(sunniva)
    del wanted["phoneNumbers"]
    assert content(await acme.get_user(sunniva["id"])) == wanted


@pytest.mark.tolerance("L10")
@pytest.mark.parametrize(
    "path", ['emails[type eq "home"]', 'emails[type eq "home"].value', 'roles[primary eq "True"]', 'ims[value eq "x"].display', "nickName", "photos"]
)
async def test_removing_what_is_not_there_is_a_success(acme: ScimClient, sunniva: dict[str, Any], path: str) -> None:
    """L10: 200, and not even the version changes."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "remove", "path": path})

    assert response.status_code == 200, response.text
    assert await acme.get_user(sunniva["id"]) == sunniva


@pytest.mark.tolerance("L10")
async def test_removing_a_member_that_is_none_is_a_success(acme: ScimClient, sunniva: dict[str, Any], torkel: dict[str, Any]) -> None:
    """L10 on `members`: 204."""
    group = await acme.create_group(displayName="Pilots", members=[{"value": sunniva["id"]}])

    response = await acme.patch_operations(f"/Groups/{group['id']}", {"op": "remove", "path": f'members[value eq "{torkel["id"]}"]'})

    assert (response.status_code, response.content) == (204, b"")
    assert await acme.members(group["id"]) == {sunniva["id"]}


@pytest.mark.tolerance("L11")
@pytest.mark.parametrize("form", forms("matrix/value_shapes.json"))
async def test_values_of_the_wrong_shape_are_understood(acme: ScimClient, sunniva: dict[str, Any], form: dict[str, Any]) -> None:
    """L11: `[{"value": x}]`, `{"value": x}` and `[x]` for x; text for a complex value; an object for a list."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Replace", "path": form["path"], "value": form["value"]})

    assert response.status_code == 200, response.text
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva) | form["changed"]


@pytest.mark.tolerance("L11")
async def test_values_of_the_wrong_shape_are_understood_in_a_create(acme: ScimClient) -> None:
    """L11 in POST."""
    made = await acme.create_user(
        userName=["ragna@fjordline.example"],
        displayName={"value": "Ragna"},
        emails={"value": "r@fjordline.example", "primary": True},
        phoneNumbers="12 34",
        manager="m-1",
    )

    assert content(await acme.get_user(made["id"])) == {
        "schemas": [USER, ENTERPRISE],
        "id": made["id"],
        "userName": "ragna@fjordline.example",
        "displayName": "Ragna",
        "active": True,
        "emails": [{"value": "r@fjordline.example", "primary": True}],
        "phoneNumbers": [{"value": "12 34"}],
        ENTERPRISE: {"manager": {"value": "m-1"}},
    }


@pytest.mark.tolerance("L12")
async def test_roles_as_json_in_text_are_parsed(acme: ScimClient, sunniva: dict[str, Any], counted: Callable[[str], float]) -> None:
    """L12: `displayName` is `display`; every other form is in test_entra_users."""
    before = counted("role_json")

    for operation in recorded("entra/roles.json")["JSON inside text"]["operations"]:
        await acme.patch_operations(f"/Users/{sunniva['id']}", operation)

    roles = (await acme.get_user(sunniva["id"]))["roles"]
    assert [(role["value"], role["display"]) for role in roles] == [("stoker", "Stoker"), ("cook", "Ship's cook")]
    assert counted("role_json") == before + 1


@pytest.mark.tolerance("L12")
async def test_a_role_that_only_begins_like_json_stays_text(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L12: nothing is lost of a value that cannot be parsed."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Add", "path": "roles", "value": [{"value": "{deck"}]})

    assert response.status_code == 200
    assert (await acme.get_user(sunniva["id"]))["roles"] == [{"value": "{deck"}]


@pytest.mark.tolerance("L13")
@pytest.mark.parametrize("op", ["Add", "add"])
async def test_adding_a_value_that_is_there_changes_nothing(acme: ScimClient, sunniva: dict[str, Any], op: str) -> None:
    """L13 and RFC 7644 section 3.5.2.1: no duplicate, no new version."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": op, "path": "emails", "value": sunniva["emails"]})

    assert response.status_code == 200
    assert await acme.get_user(sunniva["id"]) == sunniva


@pytest.mark.tolerance("L13")
@pytest.mark.parametrize(
    "operation",
    [
        {"op": "Add", "path": "phoneNumbers", "value": [{"type": "home", "value": "1", "primary": True}]},
        {"op": "add", "value": {"phoneNumbers": [{"type": "home", "value": "1", "primary": "True"}]}},
        {"op": "Add", "path": 'phoneNumbers[type eq "home"]', "value": {"value": "1", "primary": True}},
    ],
    ids=["list", "pathless", "filter"],
)
async def test_a_second_primary_demotes_the_first(acme: ScimClient, sunniva: dict[str, Any], operation: dict[str, Any]) -> None:
    """L13 and RFC 7643 section 2.4: `true` no more than once."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", operation)

    assert response.status_code == 200
    after = await acme.get_user(sunniva["id"])
    assert [(phone["type"], phone["primary"]) for phone in after["phoneNumbers"]] == [("work", False), ("mobile", False), ("home", True)]


@pytest.mark.tolerance("L13")
async def test_a_second_primary_by_a_sub_attribute_demotes_the_first(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L13 with the path ending in `primary`."""
    await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Replace", "path": 'phoneNumbers[type eq "mobile"].primary', "value": "True"})

    assert element(await acme.get_user(sunniva["id"]), "phoneNumbers", "mobile")["primary"] is True
    assert element(await acme.get_user(sunniva["id"]), "phoneNumbers", "work")["primary"] is False


@pytest.mark.tolerance("L14")
async def test_a_patch_without_operations_changes_nothing(acme: ScimClient, sunniva: dict[str, Any], counted: Callable[[str], float]) -> None:
    """L14: Microsoft's old validator sends it; a user answers 200 with itself, a group 204."""
    before = counted("empty_operations")
    group = await acme.create_group(displayName="Pilots", members=[{"value": sunniva["id"]}])
    user = await acme.get_user(sunniva["id"])

    of_user, of_group = await acme.patch_operations(f"/Users/{sunniva['id']}"), await acme.patch_operations(f"/Groups/{group['id']}")

    assert (of_user.status_code, of_user.json()) == (200, user)
    assert (of_group.status_code, of_group.content) == (204, b"")
    assert await acme.get_group(group["id"]) == group
    assert counted("empty_operations") == before + 2


@pytest.mark.tolerance("L14")
async def test_operations_on_one_attribute_apply_in_their_order(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L14 and RFC 7644 section 3.5.2."""
    operations = [
        {"op": "Replace", "path": "title", "value": "First"},
        {"op": "Remove", "path": "title"},
        {"op": "Add", "path": "title", "value": "Second"},
        {"op": "Add", "path": "emails", "value": [{"type": "home", "value": "a@home.example"}]},
        {"op": "Replace", "path": 'emails[type eq "home"].value', "value": "b@home.example"},
    ]

    response = await acme.patch_operations(f"/Users/{sunniva['id']}", *operations)

    assert response.status_code == 200
    emails = [*sunniva["emails"], {"type": "home", "value": "b@home.example"}]
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva) | {"title": "Second", "emails": emails}


@pytest.mark.tolerance("L14")
async def test_of_a_patch_with_one_bad_operation_nothing_counts(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """RFC 7644 section 3.5.2: a PATCH is atomic."""
    response = await acme.patch_operations(
        f"/Users/{sunniva['id']}", {"op": "Replace", "path": "title", "value": "First"}, {"op": "Replace", "path": "active", "value": "perhaps"}
    )

    refused(response, 400, "invalidValue")
    assert await acme.get_user(sunniva["id"]) == sunniva


@pytest.mark.tolerance("L15")
@pytest.mark.parametrize("form", forms("matrix/unknown_attributes.json"))
async def test_an_unknown_attribute_is_ignored_and_the_rest_applied(
    acme: ScimClient, sunniva: dict[str, Any], form: dict[str, Any], counted: Callable[[str], float]
) -> None:
    """L15 and rule 4: one unsupported path must not sink the `active=false` that travels with it."""
    tolerance = "unknown_path" if "path" in form else "unknown_attribute"
    before = counted(tolerance)

    response = await acme.patch_operations(f"/Users/{sunniva['id']}", form, {"op": "Replace", "path": "active", "value": "False"})

    assert response.status_code == 200, response.text
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva) | {"active": False}
    assert counted(tolerance) == before + 1


@pytest.mark.tolerance("L15")
async def test_an_unknown_attribute_in_a_create_or_replacement_is_ignored(acme: ScimClient) -> None:
    """L15 in POST and PUT, for users and groups."""
    user = await acme.create_user(userName="ragna@fjordline.example", shoeSize=44, name={"givenName": "Ragna", "shipName": "X"})
    put = await acme.put(f"/Users/{user['id']}", {"userName": "ragna@fjordline.example", "shoeSize": 45})
    group = await acme.create_group(displayName="Pilots", colour="blue")

    assert content(user) == {"schemas": [USER], "id": user["id"], "userName": "ragna@fjordline.example", "active": True, "name": {"givenName": "Ragna"}}
    assert put.status_code == 200
    assert "shoeSize" not in await acme.get_user(user["id"])
    assert "colour" not in await acme.get_group(group["id"])


@pytest.mark.tolerance("L16")
async def test_unknown_extensions_are_kept_as_sent_and_change_by_path(acme: ScimClient, sunniva: dict[str, Any], counted: Callable[[str], float]) -> None:
    """L16: returned, so that Entra's comparison converges; by URN path, in full and without a path."""
    path, before = f"/Users/{sunniva['id']}", counted("opaque_extension")
    other = "urn:fjordline:hr:1.0:User"
    steps = [
        {"op": "Add", "path": f"{FJORDLINE}:keys", "value": "A7"},
        {"op": "replace", "value": {f"{FJORDLINE}:berth": "N6"}},
        {"op": "add", "path": other, "value": {"grade": {"level": 3}, "tags": ["x", "y"]}},
    ]

    for step in steps:
        assert (await acme.patch_operations(path, step)).status_code == 200

    after = await acme.get_user(sunniva["id"])
    assert after[FJORDLINE] == {"berth": "N6", "keys": "A7"}
    assert after[other] == {"grade": {"level": 3}, "tags": ["x", "y"]}
    assert set(after["schemas"]) == {USER, ENTERPRISE, FJORDLINE, other}
    assert counted("opaque_extension") == before + 3


@pytest.mark.tolerance("L16")
async def test_unknown_extensions_can_be_removed(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L16 with L08: by empty text or Remove; the URN leaves `schemas` with the last value."""
    cleared = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "replace", "path": f"{FJORDLINE}:berth", "value": ""})

    assert cleared.status_code == 200
    wanted = content(sunniva) | {"schemas": [USER, ENTERPRISE]}
    del wanted[FJORDLINE]
    assert content(await acme.get_user(sunniva["id"])) == wanted


@pytest.mark.tolerance("L16")
async def test_unknown_extensions_are_capped_in_size(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L16: "size-capped"; refused by name, nothing is cut."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "add", "path": f"{FJORDLINE}:berth", "value": "N" * 70_000})

    assert "Fjordline" in refused(response, 400, "invalidValue")
    assert await acme.get_user(sunniva["id"]) == sunniva


@pytest.mark.tolerance("L17")
@pytest.mark.parametrize("text", forms("matrix/verbatim.json"))
async def test_text_is_kept_as_sent(acme: ScimClient, sunniva: dict[str, Any], text: str) -> None:
    """L17: no normalisation, no trimming, no escaping; in users, groups and what a filter finds."""
    user = await acme.create_user(userName=f"{text}@fjordline.example", externalId=text, displayName=text, phoneNumbers=[{"value": text, "type": "work"}])
    group = await acme.create_group(displayName=text)
    await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Replace", "path": "name.familyName", "value": text})

    after = await acme.get_user(user["id"])
    assert (after["userName"], after["externalId"], after["displayName"]) == (f"{text}@fjordline.example", text, text)
    assert after["phoneNumbers"] == [{"value": text, "type": "work"}]
    assert (await acme.get_group(group["id"]))["displayName"] == text
    assert (await acme.get_user(sunniva["id"]))["name"]["familyName"] == text


@pytest.mark.tolerance("L17")
async def test_time_zones_locales_and_languages_are_not_judged(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L17: the validator sends random ones."""
    sent = {"timezone": "QZ/pdV 31", "locale": "zz_99", "preferredLanguage": "!klingon"}

    response = await acme.patch(f"/Users/{sunniva['id']}", {"schemas": [PATCH_OP], "Operations": [{"op": "replace", "value": sent}]})

    assert response.status_code == 200
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva) | sent
