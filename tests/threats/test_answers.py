"""What every answer holds and what none does: no cache may keep one, none says how the service is built, no header of a client enters a URL."""

import json
from typing import Any

import httpx
import pytest

from tests.isolation.test_routes_from_another_tenant import PROTECTED, PUBLIC
from tests.servers.service import ScimClient, Serving
from tests.threats.connection import PROBE, answers, talk

TELLING = (
    "traceback",
    "asyncpg",
    "sqlalchemy",
    "postgres",
    "redis",
    "litestar",
    "granian",
    "hyper/",
    "msgspec",
    "python",
    ".py",
    "site-packages",
    "select ",
    "insert into",
    "update rollhouse",
    "rollhouse.",
    "rollhouse_",
    "sqlstate",
    "constraint",
    "resource_keys",
    "tenant_id",
    "0x7f",
    "exception",
)
"""Words that would say which parts the service is made of, or show its inside."""


def path_of(client: ScimClient) -> str:
    return "/t/" + client.base_url.partition("/t/")[2]


def filled(route: str, client: ScimClient, resource_id: str) -> str:
    slug = client.base_url.split("/")[4]
    filled_in = route.replace("{tenant:str}", slug).replace("{endpoint:str}", "Users").replace("{resource_id:str}", resource_id)
    return filled_in.replace("{name:str}", "User").replace("{urn:str}", "urn:ietf:params:scim:schemas:core:2.0:User")


PATHS = ("/", "/nowhere", "/t/", "/metrics", "/openapi.json", "/schema", "/docs", "/.env", "/t/%00/scim/v2/Users", "/t/a%ff/scim/v2/Users")
NO_RESOURCES = (
    "/Users/'",
    "/Users/%27%20or%201=1",
    f"/Users/{'0' * 36}",
    f"/Groups/{'f' * 2000}",
    "/Users/%ff",
    "/Nothing/1",
    "/Schemas/x",
    "/ResourceTypes/x",
)
QUERIES = ("filter=x", "filter=(", "filter=userName%20eq%20%22%00%22", "sortBy=nothing", "count=x", "%ff", "attributes=" + "x," * 500, "startIndex=1e9")
BODIES: list[Any] = [{"userName": "ANN"}, {"userName": "\0"}, {"userName": {"a": 1}}, {"userName": "b", "emails": "x"}, {"userName": "c", "members": 1}, []]
PATCH_PATHS = ("id", "meta.created", "emails[", "nothing", "groups", "userName.x", "'; DROP TABLE x --")
MEMBERS = ("nobody", "0" * 36, "f" * 2000)


async def every_kind_of_answer(client: ScimClient, service: Serving) -> list[httpx.Response]:
    """Each route with and without its secret, and each way to be refused before, in and behind a route."""
    user = await client.create_user(userName="ann", externalId="e")
    one = f"/Users/{user['id']}"
    found = [
        *[await client.http.request(method, client.base_url + "/Users") for method in ("HEAD", "TRACE", "PUT", "BREW")],
        *[await client.http.get(service.url + path) for path in PATHS],
        *[await client.get(path) for path in NO_RESOURCES],
        *[await client.get("/Users?" + query) for query in QUERIES],
        *[await client.get("/Schemas?filter=x")],
        *[await client.post("/Users", body) for body in BODIES],
        *[await client.patch_operations(one, {"op": "replace", "path": path, "value": "x"}) for path in PATCH_PATHS],
        *[await client.post("/Groups", {"displayName": "g", "members": [{"value": value}]}) for value in MEMBERS],
        await client.request("POST", "/Users", content=b"x" * (5 * 1024 * 1024)),
    ]
    for method, route in sorted(PROTECTED | PUBLIC, key=lambda pair: (pair[0] == "DELETE", *pair)):
        url = service.url + filled(route, client, user["id"])
        bodies = (b"{}", b"{", b"") if method in ("POST", "PUT", "PATCH") else (None,)
        for headers in ({}, {"authorization": "Bearer x"}, {"accept": "application/json"}):
            found += [await client.http.request(method, url, content=body, headers=headers) for body in bodies]
    return found


@pytest.fixture(scope="module")
async def collected() -> dict[str, list[httpx.Response]]:
    """The answers of one round, for the tests that look at all of them."""
    return {}


async def round_of(collected: dict[str, list[httpx.Response]], client: ScimClient, service: Serving) -> list[httpx.Response]:
    if not collected:
        collected["answers"] = await every_kind_of_answer(client, service)
        assert {200, 204, 400, 401, 403, 404, 405, 409, 413} <= {answer.status_code for answer in collected["answers"]}
    return collected["answers"]


@pytest.mark.threat("T40")
async def test_no_answer_may_be_kept_by_a_cache(acme: ScimClient, service: Serving, collected: dict[str, Any]) -> None:
    keeping = [
        (answer.request.method, str(answer.request.url), answer.status_code)
        for answer in await round_of(collected, acme, service)
        if answer.headers.get("cache-control") != "no-store"
    ]

    assert keeping == []


@pytest.mark.threat("T40")
async def test_one_url_is_answered_to_each_secret_anew(acme: ScimClient, globex: ScimClient) -> None:
    """No answer to the right secret is given to the next one who asks for the same URL."""
    user = await acme.create_user(userName="ann")
    url = f"{acme.base_url}/Users/{user['id']}"

    statuses = [(await client.http.get(url)).status_code for client in (acme, globex, acme, globex)]

    assert statuses == [200, 401, 200, 401]


@pytest.mark.threat("T43")
async def test_no_answer_tells_what_the_service_is_made_of(acme: ScimClient, service: Serving, collected: dict[str, Any]) -> None:
    """Refusals anywhere, and whatever a SCIM client sees; the operators' handbook may name settings."""
    telling = []
    for answer in await round_of(collected, acme, service):
        if answer.is_success and not answer.url.path.startswith("/t/"):
            continue
        headers = {name: value for name, value in answer.headers.items() if name != "server"}
        shown = (answer.text + json.dumps(headers)).lower().replace(service.url, "")
        telling += [(answer.request.method, str(answer.request.url), word) for word in TELLING if word in shown]

    assert telling == []
    assert not any(
        {"x-powered-by", "via"} & set(answer.headers) or set(answer.headers.get("server", "")) & set("0123456789/") for answer in collected["answers"]
    )


@pytest.mark.threat("T43")
async def test_no_refusal_repeats_more_than_a_few_words_of_the_request(acme: ScimClient) -> None:
    """A long input would fill logs with what an attacker wrote; 64 characters are enough to find it."""
    long = "<script>" + "A" * 500
    user = await acme.create_user(userName="ann")
    refusals = [
        await acme.get(f"/{long}"),
        await acme.get(f"/Users/{long}"),
        await acme.get("/Users", params={"filter": f'{long} eq "x"'}),
        await acme.get("/Users", params={"sortBy": long}),
        await acme.get("/Users", params={"count": long}),
        await acme.get(f"/Schemas/{long}"),
        await acme.post("/Users", {"userName": "x", "active": long}),
        await acme.patch_operations(f"/Users/{user['id']}", {"op": long, "value": 1}),
        await acme.patch_operations(f"/Users/{user['id']}", {"op": "replace", "path": f"{long}[", "value": 1}),
        await acme.post("/Groups", {"displayName": "g", "members": [{"value": long}]}),
    ]

    assert {answer.status_code for answer in refusals} == {400, 404}
    assert [answer.text for answer in refusals if "A" * 65 in answer.text] == []
    assert {answer.headers["x-content-type-options"] for answer in refusals} == {"nosniff"}


FORGED = {
    "host": "evil.example",
    "x-forwarded-host": "evil.example",
    "x-forwarded-proto": "evil",
    "x-forwarded-port": "666",
    "x-forwarded-prefix": "/evil",
    "x-forwarded-server": "evil.example",
    "x-original-url": "/evil",
    "x-rewrite-url": "/evil",
    "x-original-host": "evil.example",
    "forwarded": "host=evil.example;proto=evil",
    "x-http-method-override": "DELETE",
    "x-method-override": "DELETE",
}


@pytest.mark.threat("T39")
async def test_no_header_of_a_request_enters_a_url_or_changes_the_method(acme: ScimClient) -> None:
    user = await acme.create_user(userName="ann")
    group = await acme.create_group(displayName="g", members=[{"value": user["id"]}])
    answered = [
        await acme.get("/Users", headers=FORGED),
        await acme.get(f"/Users/{user['id']}", headers=FORGED),
        await acme.get(f"/Groups/{group['id']}", headers=FORGED),
        await acme.post("/Users", {"userName": "bob"}, headers=FORGED),
        await acme.put(f"/Users/{user['id']}", {"userName": "ann2"}, headers=FORGED),
        await acme.patch_operations(f"/Users/{user['id']}", {"op": "add", "path": "title", "value": "t"}, headers=FORGED),
        await acme.post("/.search", {}, headers=FORGED),
        await acme.get("/ServiceProviderConfig", headers=FORGED),
        await acme.get("/ResourceTypes", headers=FORGED),
        await acme.get("/Schemas", headers=FORGED),
    ]

    assert {answer.status_code for answer in answered} == {200, 201}
    for answer in answered:
        assert "evil" not in answer.text + str(answer.headers)
        assert answer.headers.get("location", acme.base_url).startswith(acme.base_url)
    assert (await acme.get(f"/Users/{user['id']}")).status_code == 200


@pytest.mark.threat("T39")
@pytest.mark.parametrize("host", ["", "evil.example", "evil.example:1@x", "[::1", "a b", "x/../y", "x\\y"])
async def test_an_absolute_url_or_an_odd_host_changes_no_location(acme: ScimClient, service: Serving, host: str) -> None:
    path = path_of(acme)
    body = json.dumps({"userName": "ann"}).encode()
    head = f"POST http://evil.example{path}/Users HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {acme.secret}\r\ncontent-length: {len(body)}\r\n\r\n"

    status, headers, shown = answers(await talk(service.port, head.encode() + body + PROBE))[0]

    assert status in (201, 400)
    assert b"evil" not in shown
    if status == 201:
        assert headers["location"].startswith(acme.base_url)


@pytest.mark.threat("T39")
async def test_a_path_with_a_double_slash_is_never_answered_with_a_redirect(acme: ScimClient, service: Serving, collected: dict[str, Any]) -> None:
    for path in ("//evil.example/%2e%2e", "//evil.example", "/\\evil.example", "/%0d%0alocation:%20http://evil.example"):
        answer = await acme.http.get(service.url + path)
        assert answer.status_code == 404
        assert "location" not in answer.headers
    # The portal's own way from its first page to the form for signing in is the one that there is.
    ways = {answer.headers["location"] for answer in await round_of(collected, acme, service) if 300 <= answer.status_code < 400}
    assert ways <= {"/signin"}


@pytest.mark.threat("T50")
@pytest.mark.parametrize("path", ["/ServiceProviderConfig", "/ResourceTypes", "/ResourceTypes/User", "/Schemas", "/serviceproviderconfig", "/Schemas/"])
async def test_discovery_is_refused_without_a_secret_whether_the_tenant_exists_or_not(acme: ScimClient, service: Serving, path: str) -> None:
    async with httpx.AsyncClient() as stranger:
        found = [await stranger.get(service.url + base + path) for base in (path_of(acme), "/t/never-was/scim/v2")]

    assert [answer.status_code for answer in found] == [401, 401]
    assert found[0].content == found[1].content
    assert found[0].headers["www-authenticate"] == found[1].headers["www-authenticate"]


@pytest.mark.threat("T50")
async def test_what_needs_no_secret_says_nothing_of_any_tenant(acme: ScimClient, service: Serving) -> None:
    await acme.create_user(userName="ann")
    async with httpx.AsyncClient() as stranger:
        shown = [(await stranger.get(service.url + path)).text for _, path in sorted(PUBLIC)]
        metrics = (await stranger.get(service.metrics_url)).text

    slug = acme.base_url.split("/")[4]
    assert acme.tenant_id not in metrics, "the metrics, on a port of their own, name the busiest tenants by slug, and nobody else"
    assert "ann" not in metrics.split()
    assert [text for text in shown if f'"{slug}"' in text or acme.tenant_id in text or "ann" in text.split()] == []
