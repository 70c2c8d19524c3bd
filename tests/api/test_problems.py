"""Every refusal of the admin API is problem details (RFC 9457), whoever refuses."""

import asyncio
import json

import httpx
import pytest
from litestar import Litestar, get

from rollhouse.http.app import assemble
from rollhouse.http.edge import Edge
from rollhouse.http.problems import API_REFUSALS
from rollhouse.http.service import Service
from rollhouse.settings import Settings
from rollhouse.tenancy.secrets import new_pepper
from tests.api.conftest import ApiClient, fresh_slug, problem
from tests.servers.service import ScimClient, Serving


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v1", "/api/v2/tenants", "/api/v1/nothing", "/api/v1/tenants/a/b/c/d", "/api/v1/tenants/acme/secrets"])
async def test_an_unknown_path_is_a_problem(operator: ApiClient, service: Serving, path: str) -> None:
    found = problem(await operator.http.get(service.url + path), 404)

    assert "/api/v1/docs" in found["detail"]


async def test_paths_outside_speak_scim_still(operator: ApiClient, service: Serving) -> None:
    for path in ("/nothing", "/apis", "/t/acme/nothing"):
        assert (await operator.http.get(service.url + path)).headers["content-type"] == "application/scim+json"


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/tenants"), ("DELETE", "/keys"), ("PATCH", "/docs"), ("POST", "/tenants/acme/audit"), ("GET", "/tenants/acme/suspend")]
)
async def test_an_unknown_method_is_a_problem_that_names_those_there_are(operator: ApiClient, method: str, path: str) -> None:
    response = await operator.request(method, path)

    problem(response, 405)
    assert response.headers["allow"]


async def test_the_instance_is_the_id_of_the_request(operator: ApiClient) -> None:
    response = await operator.get("/tenants/never-was")

    assert problem(response, 404)["instance"] == response.headers["x-request-id"]


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"\xff\xfe",
        b'{"slug": 1, "name": "x"}',
        b'{"slug": "x"}',
        b'{"slug": "x", "name": "y", "admin": true}',
        b'{"slug": "x", "name": "\\ud800"}',
        b'{"slug": "x", "name": "\\u0000"}',
        b"[" * 30_000,
        b'{"a":' * 10_000,
    ],
    ids=lambda content: content[:12].decode("latin-1"),
)
async def test_a_body_that_does_not_fit_is_a_bad_request(operator: ApiClient, content: bytes) -> None:
    problem(await operator.request("POST", "/tenants", content=content), 400)


async def test_a_refusal_echoes_little_of_the_request(operator: ApiClient) -> None:
    found = problem(await operator.request("POST", "/tenants", content=json.dumps({"x" * 5000: 1}).encode()), 400)

    assert len(found["detail"]) < 300


async def test_a_body_over_64_kib_is_refused_with_413(operator: ApiClient) -> None:
    problem(await operator.post("/tenants", {"slug": fresh_slug(), "name": "x" * 65_536}), 413)


async def test_a_body_that_does_not_arrive_is_refused_with_408(operator: ApiClient, service: Serving) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    head = f"POST /api/v1/tenants HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {operator.key}\r\ncontent-length: 99\r\nconnection: close\r\n\r\n"
    writer.write(head.encode() + b"{")

    async with asyncio.timeout(30):
        status = await reader.readline()
    writer.close()
    await writer.wait_closed()

    assert b" 408 " in status


async def test_a_query_that_is_not_utf_8_is_a_bad_request(operator: ApiClient, service: Serving) -> None:
    problem(await operator.http.get(f"{service.url}/api/v1/tenants?after=%ff"), 400)


async def test_hostile_names_in_a_path_are_not_found(operator: ApiClient, service: Serving, acme: ScimClient) -> None:
    slug = acme.base_url.split("/")[4]
    for name in ("%00", "a%00b", "..%2f..", "'%20or%201=1--", "%ff", "x" * 2000, slug.upper()):
        assert (await operator.http.get(f"{service.url}/api/v1/tenants/{name}")).status_code in (400, 404), name
        assert (await operator.http.get(f"{service.url}/api/v1/tenants/{slug}/users/{name}")).status_code in (400, 404), name


async def test_until_the_database_is_verified_every_request_with_a_key_is_unavailable() -> None:
    settings = Settings(database_url="postgresql://nobody@127.0.0.1:9/none", peppers=new_pepper(), public_url="https://scim.example")
    transport = httpx.ASGITransport(assemble(Service(settings)))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="https://scim.example") as client:
        response = await client.get("/api/v1/tenants")
        assert (await client.get("/api/v1/docs")).status_code == 200

    problem(response, 503)
    assert int(response.headers["retry-after"]) >= 1


async def test_a_fault_of_ours_is_a_problem_that_tells_nothing_of_its_cause() -> None:
    @get("/api/v1/broken")
    async def broken() -> None:
        raise ValueError("private words")

    settings = Settings(database_url="postgresql://nobody@127.0.0.1:9/none", peppers=new_pepper(), public_url="https://scim.example")
    edge = Edge(Litestar([broken], exception_handlers=API_REFUSALS, openapi_config=None, logging_config=None), Service(settings))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="https://scim.example") as client:  # type: ignore[arg-type]
        response = await client.get("/api/v1/broken")

    assert problem(response, 500)["instance"] == response.headers["x-request-id"]
    assert "private" not in response.text


@pytest.mark.threat("T40")
async def test_no_answer_may_be_cached(operator: ApiClient, acme: ScimClient) -> None:
    for path in ("/tenants", f"/tenants/{acme.base_url.split('/')[4]}/users", "/keys", "/openapi.json", "/docs", "/nothing"):
        response = await operator.get(path)
        assert response.headers["cache-control"] == "no-store", path
        assert response.headers["x-content-type-options"] == "nosniff", path
