"""Users as Microsoft Entra writes them: client catalogue section 3."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.recordings import ENTERPRISE, LIST, USER, content, filled, forms, recorded, refused
from tests.servers.service import ScimClient

FJORDLINE = "urn:ietf:params:scim:schemas:extension:Fjordline:2.0:User"
OBJECT_ID = "5d1c07be94aa4e0f8b6230f1ce77d9a2"


@pytest.mark.parametrize("matching", ["userName", "externalId", "emails%5btype+eq+%22work%22%5d.value", "displayName"])
async def test_a_probe_for_a_random_user_gets_an_empty_list(acme: ScimClient, sunniva: dict[str, Any], matching: str) -> None:
    """Section 3.1: 200 with an empty ListResponse; a 404 would quarantine the job (rule 3)."""
    response = await acme.http.get(f"{acme.base_url}/Users?filter={matching}+eq+%22{uuid4()}%22")

    assert response.status_code == 200
    assert response.json() == {"schemas": [LIST], "totalResults": 0, "startIndex": 1, "itemsPerPage": 0, "Resources": []}


async def test_a_user_matches_in_any_letter_case_also_while_inactive(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """Section 3.2: Entra matches case-insensitively, and inactive users must be found."""
    await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Replace", "path": "active", "value": "False"})

    response = await acme.http.get(acme.base_url + "/Users?filter=userName+eq+%22SUNNIVA.haug%40Fjordline.example%22")

    assert [found["id"] for found in response.json()["Resources"]] == [sunniva["id"]]
    assert response.json()["Resources"][0] == await acme.get_user(sunniva["id"])


async def test_a_created_user_is_answered_with_location_and_all_that_was_sent(acme: ScimClient) -> None:
    """Section 3.3: 201, Location, the whole representation with an id; empty lists are left out (section 6)."""
    sent = recorded("entra/create_user.json")

    response = await acme.post("/Users", sent, headers={"content-type": "application/scim+json; charset=utf-8"})

    assert response.status_code == 201
    made = response.json()
    assert response.headers["location"] == made["meta"]["location"] == f"{acme.base_url}/Users/{made['id']}"
    del sent["roles"], sent["meta"]
    assert content(made) == {**sent, "id": made["id"], "schemas": [USER, ENTERPRISE, FJORDLINE]}
    assert await acme.get_user(made["id"]) == made


@pytest.mark.parametrize("form", forms("entra/create_user_with_nulls.json"))
async def test_a_create_with_entra_s_oddities_keeps_what_it_means(acme: ScimClient, torkel: dict[str, Any], form: dict[str, Any]) -> None:
    """Section 3.3, "variations to accept"."""
    form = filled(form, manager=torkel["id"])

    response = await acme.post("/Users", form["body"])

    assert response.status_code == 201
    made = content(await acme.get_user(response.json()["id"]))
    manager = made.get(ENTERPRISE, {}).get("manager", {})
    manager.pop("$ref", None)
    manager.pop("displayName", None)
    assert made.pop("id") not in ("0001", "")
    assert made == {**form["kept"], "schemas": [USER, *(name for name in form["kept"] if name.startswith("urn:"))]}


async def test_a_create_of_a_user_that_exists_is_a_conflict(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """Section 3.3: 409 uniqueness, the first user unharmed."""
    again = recorded("entra/create_user.json") | {"userName": "Sunniva.HAUG@fjordline.example", "title": "Impostor"}

    response = await acme.post("/Users", again)

    refused(response, 409, "uniqueness")
    assert await acme.get_user(sunniva["id"]) == sunniva
    assert len(await acme.find("Users", 'userName eq "sunniva.haug@fjordline.example"')) == 1


@pytest.mark.parametrize("dialect", ["update_without_flag", "update_with_flag"])
async def test_both_patch_dialects_lead_to_the_same_user(acme: ScimClient, sunniva: dict[str, Any], dialect: str) -> None:
    """Sections 3.5 and 3.6: one operation per attribute, or one path-less object with dotted and URN keys."""
    response = await acme.patch(f"/Users/{sunniva['id']}", recorded(f"entra/{dialect}.json"))

    assert response.status_code == 200
    after = await acme.get_user(sunniva["id"])
    assert response.json() == after
    wanted = content(sunniva) | {"title": "Senior pilot", "nickName": "Sunni", "externalId": "haug.s"}
    wanted["name"] = {"givenName": "Sunniva", "familyName": "Håug-Øye", "formatted": "Sunniva Haug"}
    wanted["emails"] = [{"primary": True, "type": "work", "value": "s.haug@fjordline.example"}]
    wanted["addresses"] = [{**sunniva["addresses"][0], "locality": "Florø"}]
    wanted["phoneNumbers"] = [*sunniva["phoneNumbers"], {"type": "fax", "value": "+47 55 10 20 39"}]
    wanted[ENTERPRISE] = {"employeeNumber": "30817", "department": "Traffic", "costCenter": "P-11"}
    wanted[FJORDLINE] = {"berth": "N5"}
    assert content(after) == wanted


async def test_an_update_sent_twice_changes_nothing_the_second_time(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """Section 3.4: what was stored verbatim is not PATCHed again; a repeated PATCH leaves even the version alone."""
    await acme.patch(f"/Users/{sunniva['id']}", recorded("entra/update_without_flag.json"))
    once = await acme.get_user(sunniva["id"])

    response = await acme.patch(f"/Users/{sunniva['id']}", recorded("entra/update_with_flag.json"))

    assert response.status_code == 200
    assert await acme.get_user(sunniva["id"]) == once


async def test_an_update_of_one_user_leaves_the_others_and_the_neighbour_alone(
    acme: ScimClient, globex: ScimClient, sunniva: dict[str, Any], torkel: dict[str, Any]
) -> None:
    """One PATCH, one resource: same names in another tenant are another resource."""
    twin = (await globex.post("/Users", recorded("entra/create_user.json"))).json()

    await acme.patch(f"/Users/{sunniva['id']}", recorded("entra/update_without_flag.json"))

    assert await acme.get_user(torkel["id"]) == torkel
    assert await globex.get_user(twin["id"]) == twin
    refused(await globex.patch(f"/Users/{sunniva['id']}", recorded("entra/update_without_flag.json")), 404)


async def test_remove_of_a_filtered_value_ignores_the_value_beside_it(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """Section 3.5: `Remove` with a value removes regardless of whether the value matches."""
    response = await acme.patch_operations(
        f"/Users/{sunniva['id']}", {"op": "Remove", "path": 'emails[type eq "work"].value', "value": "long.gone@fjordline.example"}
    )

    assert response.status_code == 200
    wanted = content(sunniva)
    del wanted["emails"]
    assert content(await acme.get_user(sunniva["id"])) == wanted


# -- section 3.7: roles


@pytest.mark.parametrize("form", forms("entra/roles.json"))
async def test_roles_arrive_in_every_form_of_entra(acme: ScimClient, sunniva: dict[str, Any], form: dict[str, Any]) -> None:
    """Section 3.7: single, JSON inside text (adds only) and authoritative; an `id` inside a role is opaque."""
    for operation in form["operations"]:
        response = await acme.patch_operations(f"/Users/{sunniva['id']}", operation)
        assert response.status_code == 200, response.text

    after = content(await acme.get_user(sunniva["id"]))
    assert [{name: part for name, part in role.items() if name != "id"} for role in after.pop("roles")] == form["roles"]
    assert after == content(sunniva)


@pytest.mark.parametrize("form", forms("entra/roles_in_post.json"))
async def test_roles_in_a_create_arrive_in_every_form(acme: ScimClient, form: dict[str, Any]) -> None:
    """Section 3.7: POST forms use `displayName` or `display`, and an unexpected `id`."""
    user = await acme.create_user(userName="ragna.dahl@fjordline.example", roles=form["sent"])

    kept = (await acme.get_user(user["id"])).get("roles", [])

    assert [{name: part for name, part in role.items() if name != "id"} for role in kept] == form["kept"]


async def test_a_role_is_known_by_its_value(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """Section 3.7: roles are de-duplicated by `value`, whatever their display."""
    for body in recorded("entra/same_role_twice.json"):
        response = await acme.patch(f"/Users/{sunniva['id']}", body)
        assert response.status_code == 200, response.text

    assert sorted(role["value"] for role in (await acme.get_user(sunniva["id"]))["roles"]) == ["cook", "stoker"]


# -- section 3.8: manager


@pytest.mark.parametrize("form", forms("entra/manager_set.json"))
async def test_a_manager_is_set_in_every_form(acme: ScimClient, sunniva: dict[str, Any], torkel: dict[str, Any], form: dict[str, Any]) -> None:
    """Section 3.8: text, list or object, by URN, bare name or sub-attribute; answered as an object (section 6)."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", filled(form, manager=torkel["id"]))

    assert response.status_code == 200, response.text
    after = content(await acme.get_user(sunniva["id"]))
    assert after[ENTERPRISE].pop("manager")["value"] == torkel["id"]
    assert after == content(sunniva)
    assert [user["id"] for user in await acme.find("Users", f'manager eq "{torkel["id"]}"')] == [sunniva["id"]]


@pytest.mark.parametrize("form", forms("entra/manager_clear.json"))
async def test_a_manager_is_cleared_in_every_form(acme: ScimClient, sunniva: dict[str, Any], torkel: dict[str, Any], form: dict[str, Any]) -> None:
    """Section 3.8: empty text, null or Remove; clearing again is a success."""
    path = f"/Users/{sunniva['id']}"
    await acme.patch_operations(path, filled(recorded("entra/manager_set.json", manager=torkel["id"])["add of an object"]))
    form = filled(form, manager=torkel["id"])

    first, second = await acme.patch_operations(path, form), await acme.patch_operations(path, form)

    assert (first.status_code, second.status_code) == (200, 200)
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva)
    assert await acme.find("Users", f'manager eq "{torkel["id"]}"') == []


async def test_a_manager_is_an_object_with_a_reference_to_the_user(acme: ScimClient, sunniva: dict[str, Any], torkel: dict[str, Any]) -> None:
    """Section 6 and RFC 7643 section 4.3: `{"value", "$ref"}`; a `$ref` that was sent as null is not answered as null."""
    operation = recorded("entra/manager_set.json", manager=torkel["id"])["Add of a list with a $ref on the bare name"]
    operation["value"][0]["$ref"] = f"{acme.base_url}/Users/{torkel['id']}"

    response = await acme.patch_operations(f"/Users/{sunniva['id']}", operation)

    assert response.json()[ENTERPRISE]["manager"] == {"value": torkel["id"], "$ref": f"{acme.base_url}/Users/{torkel['id']}"}


async def test_an_unknown_manager_does_not_fail_the_other_operations(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """Section 3.8: a stale id is stored or dropped, never an error."""
    stale = recorded("entra/manager_set.json", manager=str(uuid4()))["Add of text on the URN path"]

    response = await acme.patch_operations(f"/Users/{sunniva['id']}", stale, {"op": "Replace", "path": "title", "value": "Relief pilot"})

    assert response.status_code == 200
    assert (await acme.get_user(sunniva["id"]))["title"] == "Relief pilot"


@pytest.mark.parametrize("quote", ["", "%22"])
async def test_entra_checks_a_manager_before_it_writes_one(acme: ScimClient, sunniva: dict[str, Any], torkel: dict[str, Any], quote: str) -> None:
    """Section 3.8: `id eq <uid> and manager eq <mid>&attributes=id`, unquoted; minimal resources come back."""
    url = f"{acme.base_url}/Users?filter=id+eq+{quote}{sunniva['id']}{quote}+and+manager+eq+{quote}{torkel['id']}{quote}&attributes=id"
    before = (await acme.http.get(url)).json()
    await acme.patch_operations(f"/Users/{sunniva['id']}", recorded("entra/manager_set.json", manager=torkel["id"])["Add of text on the URN path"])

    after = (await acme.http.get(url)).json()

    assert (before["totalResults"], after["totalResults"]) == (0, 1)
    assert [{name for name in user if name not in ("id", "schemas")} for user in after["Resources"]] == [set()]
    assert after["Resources"][0]["id"] == sunniva["id"]


# -- section 3.9: disable, soft delete, restore, delete


@pytest.mark.parametrize("form", forms("entra/disable_user.json"))
async def test_a_user_is_disabled_in_every_form(acme: ScimClient, sunniva: dict[str, Any], form: dict[str, Any]) -> None:
    """Section 3.9: text or boolean, with or without a path; a GET and a filter still find the user (section 6)."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", form)

    assert response.status_code == 200
    assert response.json()["active"] is False
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva) | {"active": False}
    assert [user["active"] for user in await acme.find("Users", 'userName eq "sunniva.haug@fjordline.example"')] == [False]


async def test_a_disabled_user_stays_in_its_groups_and_returns_to_them(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """Section 3.9: memberships are not sent again after a restore, so they must survive."""
    group = await acme.create_group(displayName="Night watch", members=[{"value": sunniva["id"]}])

    await acme.patch(f"/Users/{sunniva['id']}", recorded("entra/tombstone.json"))
    while_gone = await acme.members(group["id"])
    await acme.patch(f"/Users/{sunniva['id']}", recorded("entra/restore.json"))

    assert while_gone == await acme.members(group["id"]) == {sunniva["id"]}
    assert [found["value"] for found in (await acme.get_user(sunniva["id"]))["groups"]] == [group["id"]]


async def test_a_soft_deleted_user_takes_the_sent_name_and_keeps_everything_else(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """Section 3.9 and the last table of standards.md: the sent userName is stored, the e-mail is not touched."""
    response = await acme.patch(f"/Users/{sunniva['id']}", recorded("entra/tombstone.json"))

    assert response.status_code == 200
    name = f"{OBJECT_ID}sunniva.haug@fjordline.example"
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva) | {"userName": name, "active": False}
    assert [user["id"] for user in await acme.find("Users", f'userName eq "{name}"')] == [sunniva["id"]]
    assert await acme.find("Users", 'userName eq "sunniva.haug@fjordline.example"') == []


async def test_a_restore_gives_back_the_user_as_it_was(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """Section 3.9: userName back and `active` "True"."""
    await acme.patch(f"/Users/{sunniva['id']}", recorded("entra/tombstone.json"))

    response = await acme.patch(f"/Users/{sunniva['id']}", recorded("entra/restore.json"))

    assert response.status_code == 200
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva)


async def test_the_name_of_a_soft_deleted_user_is_free_and_a_restore_then_a_conflict(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """Last table of standards.md: the clean name is free; on restore a clash is 409 and changes nothing."""
    await acme.patch(f"/Users/{sunniva['id']}", recorded("entra/tombstone.json"))
    buried = await acme.get_user(sunniva["id"])
    newcomer = await acme.post("/Users", recorded("entra/create_user.json"))
    assert newcomer.status_code == 201

    response = await acme.patch(f"/Users/{sunniva['id']}", recorded("entra/restore.json"))

    refused(response, 409, "uniqueness")
    assert await acme.get_user(sunniva["id"]) == buried
    assert newcomer.json()["id"] != sunniva["id"]


async def test_a_purged_user_is_gone_and_its_name_makes_a_new_user(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """Section 3.9: DELETE 204, again 404; a re-created user gets a new id and no old memberships (L29)."""
    group = await acme.create_group(displayName="Night watch", members=[{"value": sunniva["id"]}])
    await acme.patch(f"/Users/{sunniva['id']}", recorded("entra/tombstone.json"))

    first, second = await acme.delete(f"/Users/{sunniva['id']}"), await acme.delete(f"/Users/{sunniva['id']}")
    newcomer = (await acme.post("/Users", recorded("entra/create_user.json"))).json()

    assert (first.status_code, first.content) == (204, b"")
    refused(second, 404)
    refused(await acme.get(f"/Users/{sunniva['id']}"), 404)
    assert newcomer["id"] != sunniva["id"]
    assert await acme.members(group["id"]) == set()


async def test_two_jobs_that_disable_and_rename_a_user_at_once_both_succeed(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """Section 7: one customer may run several jobs against one tenant; no update is lost."""
    path = f"/Users/{sunniva['id']}"

    answers = await asyncio.gather(
        acme.patch_operations(path, recorded("entra/disable_user.json")["replace with false"]),
        acme.patch_operations(path, {"op": "Replace", "path": "title", "value": "Relief pilot"}),
    )

    assert [answer.status_code for answer in answers] == [200, 200]
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva) | {"active": False, "title": "Relief pilot"}


@pytest.mark.parametrize("unknown", [str(uuid4()), "0", "sunniva.haug@fjordline.example", "a" * 300], ids=["uuid", "digit", "userName", "long"])
async def test_an_id_that_was_never_given_is_not_found(acme: ScimClient, unknown: str) -> None:
    """Section 6: 404 with an Error, whether the id looks like one of ours or not."""
    refused(await acme.get(f"/Users/{unknown}"), 404)
    refused(await acme.patch(f"/Users/{unknown}", recorded("entra/restore.json")), 404)
    refused(await acme.put(f"/Users/{unknown}", recorded("entra/create_user.json")), 404)
    refused(await acme.delete(f"/Users/{unknown}"), 404)
