"""The description in OpenAPI and the page of documentation: open to everybody, complete, and true."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from rollhouse.http.api import OPERATIONS
from rollhouse.http.api_operations import Operation
from rollhouse.http.app import assemble
from rollhouse.http.problems import KINDS
from rollhouse.http.service import Service
from rollhouse.settings import Settings
from rollhouse.tenancy.operators import SCOPES
from rollhouse.tenancy.secrets import new_pepper
from tests.api.conftest import ApiClient, fresh_slug
from tests.servers.service import ScimClient, Serving


@pytest.fixture
async def anybody(service: Serving) -> Any:
    """A client without a key."""
    async with httpx.AsyncClient(base_url=service.url) as client:
        yield client


@pytest.fixture
async def document(anybody: httpx.AsyncClient) -> dict[str, Any]:
    response = await anybody.get("/api/v1/openapi.json")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    return response.json()


def described(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(method.upper(), path): found for path, methods in document["paths"].items() for method, found in methods.items()}


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(document: dict[str, Any], reference: str) -> Any:
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def mismatches(document: dict[str, Any], schema: dict[str, Any], value: Any, at: str = "$") -> list[str]:
    """Where a value is not what a schema says: the part of JSON Schema that the document uses."""
    if "$ref" in schema:
        return mismatches(document, resolve(document, schema["$ref"]), value, at)
    if "anyOf" in schema:
        found = [mismatches(document, one, value, at) for one in schema["anyOf"]]
        return [] if [] in found else found[0]
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
    if "type" in schema and not isinstance(value, kinds[schema["type"]]):
        return [f"{at} is no {schema['type']}"]
    wrong = [f"{at}.{name} is missing" for name in schema.get("required", []) if name not in value]
    for name, inner in schema.get("properties", {}).items():
        if name in value:
            wrong += mismatches(document, inner, value[name], f"{at}.{name}")
    if schema.get("type") == "array":
        for position, item in enumerate(value):
            wrong += mismatches(document, schema.get("items", {}), item, f"{at}[{position}]")
    return wrong


async def test_the_document_lists_exactly_the_routes_of_the_router(document: dict[str, Any]) -> None:
    settings = Settings(database_url="postgresql://nobody@/none", peppers=new_pepper(), public_url="https://scim.example")
    litestar: Any = assemble(Service(settings))._app
    routes = {(method, route.path.replace(":str}", "}")) for route in litestar.routes for method in getattr(route, "methods", ()) if method != "OPTIONS"}

    assert set(described(document)) == {(method, path) for method, path in routes if path.startswith("/api/")}


async def test_the_document_is_the_same_each_time_and_refers_to_nothing_that_is_not_there(anybody: httpx.AsyncClient, document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert (await anybody.get("/api/v1/openapi.json")).json() == document
    found = set(references(document))
    assert "#/components/schemas/TenantView" in found
    for reference in found:
        assert resolve(document, reference)


async def test_every_operation_names_its_scope_its_refusals_and_an_own_id(document: dict[str, Any]) -> None:
    found = described(document)

    assert len({one["operationId"] for one in found.values()}) == len(found)
    for one in OPERATIONS:
        operation = found[one.method, "/api/v1" + one.path]
        assert operation["security"] == ([{"operatorKey": [one.scope]}] if one.scope else [])
        assert [name for name in operation["responses"] if int(name) >= 400], one.name
        in_path = {parameter["name"] for parameter in operation["parameters"] if parameter.get("in") == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", one.path))
        if one.scope:
            assert {"400", "401", "403", "405", "429", "500", "503"} <= set(operation["responses"])
    assert all(scope in document["components"]["securitySchemes"]["operatorKey"]["description"] for scope in SCOPES)
    assert len(document["components"]["responses"]) == len(KINDS)


async def filled(one: Operation, operator: ApiClient, acme: ScimClient) -> tuple[str, dict[str, Any] | None]:
    """The operation's example with names that exist, in a state that lets it be carried out."""
    slug = acme.base_url.split("/")[4]
    path = one.path.replace("{slug}", slug)
    if "{user}" in path:
        path = path.replace("{user}", (await acme.create_user(userName="ann"))["id"])
    if "{group}" in path:
        path = path.replace("{group}", (await acme.create_group(displayName="Staff"))["id"])
    if "{credential}" in path:
        path = path.replace("{credential}", (await operator.post(f"/tenants/{slug}/credentials")).json()["id"])
    if "{key}" in path:
        path = path.replace("{key}", (await operator.post("/keys", {"scopes": ["usage:read"]})).json()["id"])
    badge = next(other.example for other in OPERATIONS if other.name == "add_schema")
    badges = next(other.example for other in OPERATIONS if other.name == "add_resource_type")
    if "resource-types" in path or "{urn}" in path or "{resource_type}" in path:
        assert (await operator.post(f"/tenants/{slug}/schemas", {**badge, "extends": None})).status_code == 201
    if "{resource_type}" in path:
        assert (await operator.post(f"/tenants/{slug}/resource-types", badges)).status_code == 201
    if "{resource}" in path:
        made = await acme.post("/Badges", {"schemas": [badge["definition"]["id"]], "serial": "1"})
        path = path.replace("{resource}", made.json()["id"])
    path = path.replace("{urn}", badge["definition"]["id"]).replace("{resource_type}", badges["definition"]["name"])
    if one.name == "restore_tenant":
        await operator.request("DELETE", f"/tenants/{slug}")
    example = {**one.example, "slug": fresh_slug()} if one.name == "create_tenant" and one.example else one.example
    example = badges if one.name == "validate_resource_type" else example
    return path, example if example is not None else ({} if one.body else None)


@pytest.mark.parametrize("one", OPERATIONS, ids=lambda one: one.name)
async def test_an_operation_answers_its_example_as_described(one: Operation, document: dict[str, Any], operator: ApiClient, acme: ScimClient) -> None:
    path, body = await filled(one, operator, acme)
    said = described(document)[one.method, "/api/v1" + one.path]["responses"]

    response = await operator.request(one.method, path, json=body)

    assert str(response.status_code) in said
    assert response.status_code == one.status, response.text
    content = said[str(one.status)]["content"]
    assert list(content) == [response.headers["content-type"]]
    if one.answer not in (None, str):
        assert mismatches(document, content["application/json"]["schema"], response.json()) == []
    assert set(said[str(one.status)]["headers"]) >= {"X-Request-Id"}


async def test_a_refusal_is_as_described(document: dict[str, Any], operator: ApiClient) -> None:
    response = await operator.get("/tenants/never-was")
    schema = document["components"]["responses"]["NotFound"]["content"]["application/problem+json"]["schema"]

    assert mismatches(document, schema, response.json()) == []
    assert mismatches(document, schema, {"type": 1}) != [], "the check itself can fail"


class Page(HTMLParser):
    """Elements, ids and addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "action"):
                self.addresses.append(value or "")


@pytest.fixture
async def page(anybody: httpx.AsyncClient) -> httpx.Response:
    response = await anybody.get("/api/v1/docs")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    return response


async def test_the_page_has_a_strict_policy_no_script_and_no_address_elsewhere(page: httpx.Response) -> None:
    parsed = Page()
    parsed.feed(page.text)

    policy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    assert page.headers["content-security-policy"] == policy
    assert not {"script", "iframe", "form", "img", "style", "object"} & set(parsed.tags)
    assert not [name for name in parsed.attributes if name.startswith("on") or name == "style"]
    assert parsed.addresses
    assert [one for one in parsed.addresses if not one.startswith(("#", "/api/v1/"))] == []


async def test_every_link_of_the_page_leads_somewhere(page: httpx.Response, anybody: httpx.AsyncClient) -> None:
    parsed = Page()
    parsed.feed(page.text)

    assert len(set(parsed.ids)) == len(parsed.ids)
    for address in set(parsed.addresses):
        if address.startswith("#"):
            assert address[1:] in parsed.ids
        else:
            assert (await anybody.get(address)).status_code == 200, address


async def test_the_page_shows_every_operation_scope_and_kind_of_problem(page: httpx.Response) -> None:
    for one in OPERATIONS:
        assert f'<article id="{one.name}">' in page.text
        assert f"curl -X {one.method} " in page.text
        assert all(f"<code>{parameter.name}</code>" in page.text for parameter in one.parameters)
    assert all(f"<dt><code>{scope}</code></dt>" in page.text for scope in SCOPES)
    assert all(f'<dt id="{kind.anchor}">' in page.text for kind in KINDS.values())


async def test_the_style_sheet_is_ours_and_loads_nothing(anybody: httpx.AsyncClient) -> None:
    response = await anybody.get("/api/v1/docs.css")

    assert (response.status_code, response.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert not re.search(r"url\(|@import|https?:", response.text)


async def test_a_problems_type_leads_to_its_place_in_the_page(page: httpx.Response, operator: ApiClient) -> None:
    found = (await operator.get("/tenants/never-was")).json()

    address, _, anchor = found["type"].partition("#")
    assert address == "/api/v1/docs"
    assert f'id="{anchor}"' in page.text
