"""Bounds of a request and the shape of every refusal (RFC 7644 section 3.12)."""

import json
from typing import Any

import pytest

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.tenancy import tenants
from tests.servers.service import ScimClient, Serving


def check_error(response: Any, status: int, scim_type: str | None = None) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/scim+json"
    body = response.json()
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert body["status"] == str(status)
    assert body["detail"]
    assert body.get("scimType") == scim_type
    assert not any(word in response.text for word in ("Traceback", "asyncpg", "SELECT ", "rollhouse."))


@pytest.mark.threat("T43")
@pytest.mark.tolerance("L35")
async def test_every_kind_of_refusal_is_a_scim_error(acme: ScimClient, service: Serving) -> None:
    user = await acme.create_user(userName="ann")
    check_error(await acme.get("/Nonsense"), 404)
    check_error(await acme.get("/Users/nonsense"), 404)
    check_error(await acme.http.get(f"{service.url}/nowhere"), 404)
    check_error(await acme.http.get(f"{service.url}/t/x/scim/v1/Users"), 404)
    check_error(await acme.request("PUT", "/Users", {}), 405)
    check_error(await acme.request("POST", f"/Users/{user['id']}", {}), 405)
    check_error(await acme.post("/Users", {"userName": "ANN"}), 409, "uniqueness")
    check_error(await acme.post("/Users", {}), 400, "invalidValue")
    check_error(await acme.request("POST", "/Users", content=b"{"), 400, "invalidSyntax")
    check_error(await acme.request("POST", "/Users", content=b""), 400, "invalidSyntax")
    check_error(await acme.get("/Users", params={"filter": "userName eq"}), 400, "invalidFilter")
    check_error(await acme.get("/Users", params={"filter": 'shoeSize eq "9"'}), 400, "invalidFilter")
    check_error(await acme.get("/Users", params={"count": "many"}), 400, "invalidValue")
    check_error(await acme.get("/Users?filter=%ff"), 400, "invalidSyntax")
    check_error(await acme.patch(f"/Users/{user['id']}", {"Operations": [{"op": "move"}]}), 400, "invalidSyntax")
    check_error(await acme.patch_operations(f"/Users/{user['id']}", {"op": "replace", "path": "id", "value": "x"}), 400, "mutability")
    check_error(await acme.patch_operations(f"/Users/{user['id']}", {"op": "replace", "path": "emails[", "value": "x"}), 400, "invalidPath")
    check_error(await acme.delete(f"/Users/{user['id']}", headers={"if-match": 'W/"7"'}), 412)
    check_error(await acme.get("/Schemas", params={"filter": "x pr"}), 403)


@pytest.mark.threat("T23")
@pytest.mark.threat("T24")
@pytest.mark.parametrize(
    ("content", "scim_type"),
    [
        (b'{"userName":"\xff"}', "invalidSyntax"),
        (b'{"userName":"a\\u0000b"}', "invalidValue"),
        (b'{"userName":"\\ud800"}', "invalidValue"),
        (b'{"userName":"a\\u0007"}', "invalidValue"),
        (b'{"userName":"a","x":' + b"[" * 40 + b"]" * 40 + b"}", "invalidSyntax"),
        (b'{"userName":"a","x":' + b"[" * 170_000 + b"]" * 170_000 + b"}", "tooMany"),
        (b'{"userName":"a","title":1e999}', "invalidValue"),
        (b"[]", "invalidSyntax"),
        (b'"x"', "invalidSyntax"),
        (b'{"userName":"' + b"a" * 5000 + b'"}', "invalidValue"),
    ],
)
async def test_what_cannot_be_stored_is_refused_and_leaves_nothing(acme: ScimClient, content: bytes, scim_type: str) -> None:
    check_error(await acme.request("POST", "/Users", content=content), 400, scim_type)
    assert (await acme.get("/Users")).json()["totalResults"] == 0


@pytest.mark.threat("T22")
async def test_of_a_repeated_key_the_last_one_counts(acme: ScimClient) -> None:
    response = await acme.request("POST", "/Users", content=b'{"userName":"first","userName":"last"}')

    assert response.json()["userName"] == "last"


@pytest.mark.threat("T12")
async def test_filters_over_the_limits_are_refused(acme: ScimClient) -> None:
    deep = "(" * 17 + "active pr" + ")" * 17
    check_error(await acme.get("/Users", params={"filter": deep}), 400, "invalidFilter")
    check_error(await acme.get("/Users", params={"filter": " or ".join(["active pr"] * 101)}), 400, "invalidFilter")
    check_error(await acme.get("/Users", params={"filter": f'userName eq "{"x" * 4100}"'}), 400, "invalidFilter")
    assert (await acme.get("/Users", params={"filter": " or ".join(["active pr"] * 100)})).status_code == 200


@pytest.mark.threat("T16")
async def test_a_patch_of_a_hundred_operations_passes_and_one_more_does_not(acme: ScimClient) -> None:
    user = await acme.create_user(userName="ann")
    operations = [{"op": "replace", "path": "title", "value": str(number)} for number in range(101)]

    check_error(await acme.patch_operations(f"/Users/{user['id']}", *operations), 400, "tooMany")
    assert "title" not in await acme.get_user(user["id"])
    assert (await acme.patch_operations(f"/Users/{user['id']}", *operations[:100])).status_code == 200


@pytest.mark.tolerance("L31")
async def test_pages_are_bounded(acme: ScimClient) -> None:
    for number in range(3):
        await acme.create_user(userName=f"user{number}")

    assert (await acme.get("/Users", params={"count": "100000"})).json()["itemsPerPage"] == 3
    assert (await acme.get("/Users", params={"count": "-1"})).json()["Resources"] == []
    far = (await acme.get("/Users", params={"startIndex": "999999999999999"})).json()
    assert (far["totalResults"], far["Resources"]) == (3, [])


@pytest.mark.threat("T25")
@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Basic eDp5",
        "Bearer a b",
        "Token {secret}",
        "Bearer {secret}x",
        "Bearer x{secret}",
        "{secret}",
        "Bearer {secret},Bearer {secret}",
        "Bearer \xe9",
    ],
)
async def test_a_malformed_authorization_is_401(acme: ScimClient, value: str) -> None:
    response = await acme.http.get(acme.base_url + "/Users", headers={"authorization": value.format(secret=acme.secret).encode("latin-1")})

    check_error(response, 401)


@pytest.mark.threat("T25")
async def test_two_authorization_headers_are_401(acme: ScimClient) -> None:
    import httpx

    async with httpx.AsyncClient() as http:
        response = await http.get(acme.base_url + "/Users", headers=[("authorization", f"Bearer {acme.secret}"), ("authorization", "Bearer x")])

    check_error(response, 401)


@pytest.mark.parametrize("value", ["bearer {secret}", "BEARER {secret}", "Bearer  {secret}", "Bearer Bearer {secret}"])
async def test_a_pasted_prefix_and_white_space_are_forgiven(acme: ScimClient, value: str) -> None:
    response = await acme.http.get(acme.base_url + "/Users", headers={"authorization": value.format(secret=acme.secret)})

    assert response.status_code == 200


@pytest.mark.threat("T39")
async def test_absolute_urls_come_from_the_settings_alone(acme: ScimClient) -> None:
    headers = {"host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "ftp", "forwarded": "host=evil.example"}

    response = await acme.post("/Users", {"userName": "ann"}, headers=headers)

    assert response.status_code == 201
    assert "evil" not in response.text
    assert response.headers["location"].startswith(acme.base_url)


@pytest.mark.threat("T37")
async def test_a_tenant_over_its_limit_gets_429_with_retry_after(acme: ScimClient, service_database: Database) -> None:
    found = next(tenant for tenant in await tenants.list_tenants(service_database) if str(tenant.id) == acme.tenant_id)
    await tenants.set_limit(service_database, found.slug, 1, 3, cause=UNATTENDED)
    responses = []
    for number in range(600):
        responses.append(await acme.get("/Users", headers={"x-forwarded-for": f"10.0.0.{number % 250}"}))
        if responses[-1].status_code == 429:
            break
    check_error(responses[-1], 429)
    assert int(responses[-1].headers["retry-after"]) >= 1
    assert {response.status_code for response in responses[:-1]} == {200}


@pytest.mark.tolerance("L25")
async def test_etags_decide_reads_and_writes(acme: ScimClient) -> None:
    """RFC 7644 section 3.14."""
    user = await acme.create_user(userName="ann")
    path, tag = f"/Users/{user['id']}", user["meta"]["version"]

    assert (await acme.get(path, headers={"if-none-match": tag})).status_code == 304
    assert (await acme.get(path, headers={"if-none-match": '"7", ' + tag})).status_code == 304
    assert (await acme.get(path, headers={"if-none-match": 'W/"7"'})).status_code == 200
    check_error(await acme.put(path, {"userName": "bob"}, headers={"if-match": 'W/"7"'}), 412)
    check_error(await acme.patch_operations(path, {"op": "replace", "path": "userName", "value": "ann"}, headers={"if-match": 'W/"7"'}), 412)
    check_error(await acme.put(path, {"userName": "bob"}, headers={"if-match": "nonsense"}), 412)
    changed = await acme.put(path, {"userName": "bob"}, headers={"if-match": tag})
    assert (changed.status_code, changed.headers["etag"]) == (200, 'W/"2"')
    assert (await acme.put(path, {"userName": "bob"}, headers={"if-match": "*"})).headers["etag"] == 'W/"2"'
    check_error(await acme.delete(path, headers={"if-match": tag}), 412)
    assert (await acme.delete(path, headers={"if-match": 'W/"2"'})).status_code == 204


async def test_metrics_count_refusals_and_tolerances_too(acme: ScimClient, service: Serving) -> None:
    await acme.request("POST", "/Users", content=json.dumps({"userName": "ann", "active": "True"}).encode())
    await acme.request("PUT", "/Users", {})

    text = (await acme.http.get(service.metrics_url)).text

    assert 'rollhouse_tolerances_total{tolerance="text_boolean"}' in text
    assert 'http_response_status_code="405"' in text
    assert acme.secret not in text
