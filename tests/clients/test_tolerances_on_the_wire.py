"""The rows L24 to L30 and L32 to L35 of the tolerance matrix (client catalogue section 8): sizes, media types, URLs, races, errors."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.recordings import ENTERPRISE, GROUP, SCIM_JSON, USER, content, recorded, refused
from tests.servers.service import ScimClient, Serving

FLAGS = ["aadOptscim062020", "aadOptscim062020=", "AzureAdScimPatch062020", "AzureAdScimPatch2017", "unheardOf=1&also"]


@pytest.mark.tolerance("L24")
@pytest.mark.parametrize("length", [145, 256, 1024])
async def test_long_names_are_kept_whole_and_found(acme: ScimClient, length: int) -> None:
    """L24: userName at least 256 (a UPN of 113 with its tombstone is 145), displayName 256."""
    name = "ø" * (length - 18) + "@fjordline.example"
    user = await acme.create_user(userName=name, displayName="D" * 256, title="T" * 1024)
    group = await acme.create_group(displayName="G" * 256)

    after = await acme.get_user(user["id"])
    assert (len(name), after["userName"], after["displayName"], after["title"]) == (length, name, "D" * 256, "T" * 1024)
    assert [found["id"] for found in await acme.find("Users", f'userName eq "{name.upper()}"')] == [user["id"]]
    assert [found["id"] for found in await acme.find("Groups", 'displayName eq "{}"'.format("g" * 256))] == [group["id"]]


@pytest.mark.tolerance("L24")
@pytest.mark.parametrize("attribute", ["userName", "displayName", "title", "externalId"])
async def test_over_long_text_is_refused_by_name_and_never_cut(acme: ScimClient, sunniva: dict[str, Any], attribute: str) -> None:
    """L24: 400 `invalidValue` naming the attribute."""
    patched = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Replace", "path": attribute, "value": "x" * 5000})
    made = await acme.post("/Users", {"schemas": [USER], "userName": "ragna@fjordline.example", attribute: "x" * 5000})

    assert attribute in refused(patched, 400, "invalidValue")
    assert attribute in refused(made, 400, "invalidValue")
    assert await acme.get_user(sunniva["id"]) == sunniva
    assert (await acme.get("/Users?count=0")).json()["totalResults"] == 1


@pytest.mark.tolerance("L25")
async def test_a_body_of_a_mebibyte_is_read(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L25: a large group's body, here with a `$ref` for each of 9,000 members."""
    group = await acme.create_group(displayName="Everybody")
    members = [{"$ref": f"{acme.base_url}/Users/{one}", "value": one} for one in [sunniva["id"], *(str(uuid4()) for _ in range(8_999))]]
    body = {"Operations": [{"op": "Add", "path": "members", "value": members}]}
    assert len(json.dumps(body)) > 2**20

    response = await acme.patch(f"/Groups/{group['id']}", body)

    assert (response.status_code, response.content) == (204, b"")
    assert await acme.members(group["id"]) == {sunniva["id"]}


@pytest.mark.tolerance("L25")
@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
async def test_a_body_above_four_mebibytes_is_too_large(acme: ScimClient, sunniva: dict[str, Any], verb: str) -> None:
    """L25, and 4 MiB by the last table of standards.md: 413 as a SCIM error (L35)."""
    body = json.dumps(recorded("entra/create_user.json")).encode() + b" " * (4 * 2**20)

    response = await acme.request(verb, "/Users" if verb == "POST" else f"/Users/{sunniva['id']}", content=body)

    refused(response, 413)
    assert await acme.get_user(sunniva["id"]) == sunniva


@pytest.mark.tolerance("L26")
@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        (None, SCIM_JSON),
        ("*/*", SCIM_JSON),
        (SCIM_JSON, SCIM_JSON),
        ("text/html", SCIM_JSON),
        ("image/png;q=0.8", SCIM_JSON),
        ("application/*", SCIM_JSON),
        ("", SCIM_JSON),
        ("application/json", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        ("application/json, application/scim+json", SCIM_JSON),
        ("application/json, text/plain, */*", SCIM_JSON),
    ],
)
async def test_any_accept_header_is_answered(acme: ScimClient, sunniva: dict[str, Any], accept: str | None, answered: str) -> None:
    """L26: `application/scim+json` but for a client that lists only `application/json`; never 406."""
    headers = {"accept": accept} if accept is not None else {}
    answers = []
    for path in (f"/Users/{sunniva['id']}", "/Users?filter=userName+eq+%22nobody%22", "/Schemas", "/ServiceProviderConfig", f"/Users/{uuid4()}"):
        request = acme.http.build_request("GET", acme.base_url + path, headers=headers)
        if accept is None:
            del request.headers["accept"]
        answers.append(await acme.http.send(request))

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 404]
    assert {answer.headers["content-type"].split(";")[0] for answer in answers} == {answered}


@pytest.mark.tolerance("L27")
@pytest.mark.parametrize(
    "media_type",
    ["application/scim+json", "application/scim+json; charset=utf-8", "application/json", "application/json;charset=UTF-8", "text/json", "text/plain", None],
)
async def test_a_body_that_parses_is_read_whatever_its_media_type(acme: ScimClient, sunniva: dict[str, Any], media_type: str | None) -> None:
    """L27: POST, PUT and PATCH; also without a Content-Type."""

    async def send(verb: str, path: str, body: Any) -> int:
        headers = {"content-type": media_type} if media_type else {}
        return (await acme.http.request(verb, acme.base_url + path, content=json.dumps(body).encode(), headers=headers)).status_code

    posted = await send("POST", "/Users", {"userName": "ragna@fjordline.example"})
    put = await send("PUT", f"/Users/{sunniva['id']}", recorded("entra/create_user.json") | {"title": "Put"})
    patched = await send("PATCH", f"/Users/{sunniva['id']}", {"Operations": [{"op": "add", "path": "nickName", "value": "Patched"}]})

    assert (posted, put, patched) == (201, 200, 200)
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva) | {"title": "Put", "nickName": "Patched"}


@pytest.mark.tolerance("L27")
async def test_a_plain_json_body_is_counted(acme: ScimClient, sunniva: dict[str, Any], counted: Callable[[str], float]) -> None:
    """L27: the tolerance has a counter."""
    before = counted("plain_json")

    await acme.put(f"/Users/{sunniva['id']}", recorded("entra/create_user.json"), headers={"content-type": "application/json"})

    assert counted("plain_json") == before + 1


@pytest.mark.tolerance("L28")
@pytest.mark.parametrize("form", ["//Users{0}", "/Users{0}/", "//Users/{0}//", "/Users//{0}", "///Users{0}"])
async def test_double_and_trailing_slashes_mean_nothing(acme: ScimClient, sunniva: dict[str, Any], form: str, counted: Callable[[str], float]) -> None:
    """L28: no redirect, the same resource, the query kept."""
    before = counted("loose_path")
    one, several = form.format("/" + sunniva["id"]), form.format("")

    read = await acme.get(one)
    found = await acme.http.get(f"{acme.base_url}{several}?filter=userName+eq+%22sunniva.haug@fjordline.example%22")
    patched = await acme.patch_operations(one, {"op": "Replace", "path": "active", "value": "False"})
    posted = await acme.post(several, {"userName": "ragna@fjordline.example"})

    assert (read.status_code, found.status_code, patched.status_code, posted.status_code) == (200, 200, 200, 201)
    assert read.json() == sunniva
    assert found.json()["Resources"] == [sunniva]
    assert posted.headers["location"] == f"{acme.base_url}/Users/{posted.json()['id']}"
    assert counted("loose_path") > before


@pytest.mark.tolerance("L28")
@pytest.mark.parametrize("flag", FLAGS)
async def test_unknown_query_parameters_mean_nothing(acme: ScimClient, sunniva: dict[str, Any], flag: str) -> None:
    """L28 and section 2.1: the flag of the Tenant URL may appear on any request, before or behind the filter."""
    wanted = "filter=userName+eq+%22sunniva.haug@fjordline.example%22"
    found = [(await acme.http.get(f"{acme.base_url}/Users?{query}")).json()["Resources"] for query in (f"{flag}&{wanted}", f"{wanted}&{flag}")]
    read = await acme.get(f"/Users/{sunniva['id']}?{flag}")
    posted = await acme.post(f"/Groups?{flag}", recorded("entra/create_group.json"))
    patched = await acme.patch_operations(f"/Users/{sunniva['id']}?{flag}", {"op": "Replace", "path": "title", "value": "Flagged"})
    deleted = await acme.delete(f"/Groups/{posted.json()['id']}?{flag}")

    assert found == [[sunniva], [sunniva]]
    assert read.json() == sunniva
    assert (posted.status_code, patched.status_code, deleted.status_code) == (201, 200, 204)
    assert patched.json()["title"] == "Flagged"
    assert "members" not in posted.json()


@pytest.mark.tolerance("L29")
async def test_a_create_with_the_name_of_an_inactive_user_is_a_conflict(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L29: Entra would have matched it; the user is neither revived nor changed."""
    await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Replace", "path": "active", "value": "False"})
    before = await acme.get_user(sunniva["id"])

    response = await acme.post("/Users", recorded("entra/create_user.json"))

    refused(response, 409, "uniqueness")
    assert await acme.get_user(sunniva["id"]) == before


@pytest.mark.tolerance("L29")
async def test_a_create_after_a_delete_never_revives_the_old_id(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L29: also when the client sends the old id."""
    await acme.delete(f"/Users/{sunniva['id']}")

    response = await acme.post("/Users", recorded("entra/create_user.json") | {"id": sunniva["id"]})

    assert response.status_code == 201
    assert response.json()["id"] != sunniva["id"]
    refused(await acme.get(f"/Users/{sunniva['id']}"), 404)


@pytest.mark.tolerance("L30")
@pytest.mark.parametrize("active", [True, False])
async def test_put_replaces_all_but_an_unnamed_active(acme: ScimClient, sunniva: dict[str, Any], active: bool) -> None:
    """L30: absent attributes are cleared, `password` is taken and never shown, read-only ones are ignored, `active` stays."""
    await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "replace", "path": "active", "value": active})
    group = await acme.create_group(displayName="Pilots", members=[{"value": sunniva["id"]}])

    response = await acme.put(f"/Users/{sunniva['id']}", recorded("matrix/put.json"))

    assert response.status_code == 200
    after = await acme.get_user(sunniva["id"])
    assert [found["value"] for found in after["groups"]] == [group["id"]]
    assert {name: value for name, value in content(after).items() if name != "groups"} == {
        "schemas": [USER],
        "id": sunniva["id"],
        "userName": "sunniva.haug@fjordline.example",
        "displayName": "Sunniva H.",
        "name": {"givenName": "Sunniva"},
        "active": active,
        "emails": [{"type": "home", "value": "sunniva@home.example", "primary": True}],
    }
    assert after["meta"]["created"] == sunniva["meta"]["created"]
    assert "Rorbu-8841-x" not in response.text


@pytest.mark.tolerance("L30")
async def test_put_of_a_group_replaces_its_members(acme: ScimClient, sunniva: dict[str, Any], torkel: dict[str, Any]) -> None:
    """L30 and RFC 7644 section 3.5.1: the members it names, and nobody when it names none."""
    group = await acme.create_group(displayName="Pilots", externalId="p-1", members=[{"value": sunniva["id"]}])
    path = f"/Groups/{group['id']}"

    named = await acme.put(path, {"schemas": [GROUP], "displayName": "Pilots", "members": [{"value": torkel["id"], "display": "T"}]})
    then = await acme.members(group["id"])
    silent = await acme.put(path, {"schemas": [GROUP], "displayName": "Pilots"})

    assert (named.status_code, silent.status_code) == (200, 200)
    assert then == {torkel["id"]}
    assert content(await acme.get_group(group["id"])) == {"schemas": [GROUP], "id": group["id"], "displayName": "Pilots"}


@pytest.mark.tolerance("L30")
async def test_put_without_a_required_attribute_is_refused(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """RFC 7644 section 3.5.1: required attributes are required; nothing is changed."""
    response = await acme.put(f"/Users/{sunniva['id']}", {"schemas": [USER], "displayName": "Nobody"})

    assert "userName" in refused(response, 400, "invalidValue")
    assert await acme.get_user(sunniva["id"]) == sunniva


@pytest.mark.tolerance("L32")
async def test_patches_of_one_user_at_once_all_count(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L32: no lost update, no 500."""
    parts = ["title", "nickName", "locale", "timezone", "userType", "displayName", "name.middleName", f"{ENTERPRISE}:division", f"{ENTERPRISE}:costCenter"]

    answers = await asyncio.gather(
        *(acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Add", "path": part, "value": f"new {part}"}) for part in parts),
        *(
            acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Add", "path": "ims", "value": [{"type": f"t{number}", "value": f"v{number}"}]})
            for number in range(6)
        ),
    )

    assert {answer.status_code for answer in answers} == {200}
    after = await acme.get_user(sunniva["id"])
    assert {part: after[part] for part in parts[:6]} == {part: f"new {part}" for part in parts[:6]}
    assert (after["name"]["middleName"], after[ENTERPRISE]["department"]) == ("new name.middleName", "Pilotage")
    assert (after[ENTERPRISE]["division"], after[ENTERPRISE]["costCenter"]) == (f"new {parts[7]}", f"new {parts[8]}")
    assert {entry["value"] for entry in after["ims"]} == {f"v{number}" for number in range(6)}


@pytest.mark.tolerance("L32")
async def test_the_same_create_at_once_makes_one_user(acme: ScimClient) -> None:
    """L32: exactly one 201, the others 409 uniqueness."""
    body = recorded("entra/create_user.json")

    answers = await asyncio.gather(*(acme.post("/Users", body | {"userName": body["userName"].upper() if odd else body["userName"]}) for odd in (0, 1) * 6))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 11
    assert {answer.json()["scimType"] for answer in answers if answer.status_code == 409} == {"uniqueness"}
    (winner,) = (answer.json() for answer in answers if answer.status_code == 201)
    assert [user["id"] for user in await acme.find("Users", f'userName eq "{body["userName"]}"')] == [winner["id"]]


@pytest.mark.tolerance("L32")
async def test_two_users_who_take_each_other_s_name_at_once_never_share_one(acme: ScimClient, sunniva: dict[str, Any], torkel: dict[str, Any]) -> None:
    """L32 with L21: of two renames to one free name, one wins."""
    answers = await asyncio.gather(
        *(
            acme.patch_operations(f"/Users/{user['id']}", {"op": "Replace", "path": "userName", "value": "pilot@fjordline.example"})
            for user in (sunniva, torkel)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert len(await acme.find("Users", 'userName eq "pilot@fjordline.example"')) == 1


@pytest.mark.tolerance("L32")
async def test_deletes_at_once_answer_one_204_and_else_404(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L32 with L33."""
    answers = await asyncio.gather(*(acme.delete(f"/Users/{sunniva['id']}") for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404, 404]


@pytest.mark.tolerance("L33")
@pytest.mark.parametrize(("endpoint", "body"), [("/Users", "entra/create_user.json"), ("/Groups", "entra/create_group.json")])
async def test_what_is_deleted_is_gone_for_every_verb(acme: ScimClient, endpoint: str, body: str) -> None:
    """L33: DELETE again, GET, PATCH and PUT are 404; filters and lists do not find it."""
    made = (await acme.post(endpoint, recorded(body))).json()
    path = f"{endpoint}/{made['id']}"

    response = await acme.delete(path)

    assert (response.status_code, response.content) == (204, b"")
    refused(await acme.delete(path), 404)
    refused(await acme.get(path), 404)
    refused(await acme.put(path, recorded(body)), 404)
    refused(await acme.patch_operations(path, {"op": "Replace", "path": "displayName", "value": "x"}), 404)
    assert (await acme.get(endpoint)).json()["totalResults"] == 0
    assert await acme.find(endpoint[1:], f'displayName eq "{made["displayName"]}"') == []


@pytest.mark.tolerance("L34")
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", "Bearer rh_000000000000_wrong", "Basic c3Vubml2YTpoYXVn", "Bearer " + "x" * 5000, "Bearer ø"],
    ids=["none", "empty", "no secret", "wrong", "wrong form", "Basic", "long", "no ASCII"],
)
async def test_a_bad_secret_is_unauthorized_everywhere(acme: ScimClient, sunniva: dict[str, Any], authorization: str | None) -> None:
    """L34: 401 as a SCIM error with `WWW-Authenticate: Bearer`; discovery too (last table of standards.md)."""
    for path in ("/Users", f"/Users/{sunniva['id']}", "/ServiceProviderConfig", "/Schemas", "/ResourceTypes"):
        request = acme.http.build_request("GET", acme.base_url + path, headers=[(b"Authorization", (authorization or "").encode())])
        if authorization is None:
            del request.headers["authorization"]
        response = await acme.http.send(request)

        refused(response, 401)
        assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.tolerance("L34")
async def test_a_neighbour_s_path_and_an_unknown_one_are_refused_alike(acme: ScimClient, globex: ScimClient, service: Serving, sunniva: dict[str, Any]) -> None:
    """L34: no existence leak; the answers differ in nothing."""
    own = {"authorization": f"Bearer {acme.secret}"}

    of_neighbour = await globex.http.get(globex.base_url + "/Users", headers=own)
    of_nobody = await globex.http.get(f"{service.url}/t/no-such-tenant/scim/v2/Users", headers=own)
    of_write = await globex.http.post(globex.base_url + "/Users", json=recorded("entra/create_user.json"), headers=own)

    for response in (of_neighbour, of_nobody, of_write):
        refused(response, 401)
        assert response.headers["www-authenticate"].startswith("Bearer")
    assert of_neighbour.content == of_nobody.content
    assert (await globex.get("/Users")).json()["totalResults"] == 0


@pytest.mark.tolerance("L34")
@pytest.mark.parametrize("form", ["Bearer Bearer {0}", "bearer {0}", "BEARER {0}", "Bearer   {0}", "Bearer bearer {0}"])
async def test_a_pasted_prefix_is_forgiven(acme: ScimClient, sunniva: dict[str, Any], form: str) -> None:
    """Section 1.1: administrators paste the secret with "Bearer " or blanks; the scheme has any letter case (RFC 9110 section 11.1)."""
    response = await acme.get(f"/Users/{sunniva['id']}", headers={"authorization": form.format(acme.secret)})

    assert response.status_code == 200
    assert response.json() == sunniva


@pytest.mark.tolerance("L35")
@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/Nothing", 404),
        ("GET", "/Users/1/2/3", 404),
        ("POST", "/", 405),
        ("POST", "/Nothing", 404),
        ("DELETE", "/Users", 405),
        ("PATCH", "/Groups", 405),
        ("PUT", "/Users", 405),
        ("DELETE", "/Schemas", 405),
        ("POST", "/ServiceProviderConfig", 405),
        ("GET", "/Users?filter=%FF", 400),
        ("GET", "/Users/%00", 404),
        ("GET", "/Users/%2e%2e%2fGroups", 404),
    ],
)
async def test_every_refusal_is_a_scim_error(acme: ScimClient, verb: str, path: str, status: int) -> None:
    """L35: never a redirect, never HTML; unknown endpoints, methods and encodings too."""
    response = await acme.request(verb, path, {"userName": "x"} if verb in ("POST", "PUT", "PATCH") else None)

    assert response.status_code == status, response.text
    assert len(response.json()["detail"]) > 10


@pytest.mark.tolerance("L35")
@pytest.mark.parametrize(
    ("body", "scim_type"),
    [
        (b"", "invalidSyntax"),
        (b"<html></html>", "invalidSyntax"),
        (b'{"userName":', "invalidSyntax"),
        (b"[]", "invalidSyntax"),
        (b'"text"', "invalidSyntax"),
        (b'{"userName":"\xff"}', "invalidSyntax"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "invalidSyntax"),
        (b'{"userName":"a\\u0000b"}', "invalidValue"),
        (b'{"userName":"a\\ud800b"}', "invalidValue"),
        (b"{}", "invalidValue"),
        (b'{"userName":{"a":{"b":1}}}', "invalidValue"),
    ],
    ids=["empty", "HTML", "cut", "list", "text", "no UTF-8", "deep", "NUL", "surrogate", "no attributes", "object for text"],
)
async def test_a_body_that_is_no_resource_is_a_scim_error(acme: ScimClient, body: bytes, scim_type: str) -> None:
    """L35 and RFC 7644 table 9: 400, never 500, nothing created."""
    refused(await acme.request("POST", "/Users", content=body), 400, scim_type)

    assert (await acme.get("/Users?count=0")).json()["totalResults"] == 0


@pytest.mark.tolerance("L35")
async def test_paths_outside_any_tenant_answer_json(acme: ScimClient, service: Serving) -> None:
    """L35: also where no tenant's gate stands."""
    for path in ("/scim/v2/Users", "/t", "/t/x", "/favicon.ico", "/t/x/scim/v1/Users"):
        refused(await acme.http.get(service.url + path), 404)
