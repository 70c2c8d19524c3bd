"""Every route of the application, asked by a tenant for what is another's. The list comes from the router: a new route fails until it stands here."""

import re
from typing import Any

import httpx
import pytest

from rollhouse.http.app import assemble
from rollhouse.http.service import Service
from rollhouse.settings import Settings
from rollhouse.tenancy.secrets import OPERATOR_KEY_PREFIX, mint_secret, new_pepper
from tests.portal.pages import PAGES
from tests.servers.service import ScimClient

RANDOM_ID = "01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff"
PATCH_BODY = {"Operations": [{"op": "replace", "path": "displayName", "value": "taken"}]}
MEMBER_BODY = {"Operations": [{"op": "add", "path": "members", "value": [{"value": RANDOM_ID}]}]}

SCIM = "/t/{tenant:str}/scim/v2"
ONE = f"{SCIM}/{{endpoint:str}}/{{resource_id:str}}"
MANY = f"{SCIM}/{{endpoint:str}}"
PROTECTED = {
    ("GET", f"{SCIM}/ServiceProviderConfig"),
    ("GET", f"{SCIM}/ResourceTypes"),
    ("GET", f"{SCIM}/ResourceTypes/{{name:str}}"),
    ("GET", f"{SCIM}/Schemas"),
    ("GET", f"{SCIM}/Schemas/{{urn:str}}"),
    ("GET", MANY),
    ("POST", MANY),
    ("POST", f"{MANY}/.search"),
    ("POST", f"{SCIM}/.search"),
    ("GET", SCIM),
    ("POST", f"{SCIM}/Bulk"),
    ("POST", f"{SCIM}/Me"),
    ("GET", f"{SCIM}/Me"),
    ("PUT", f"{SCIM}/Me"),
    ("PATCH", f"{SCIM}/Me"),
    ("DELETE", f"{SCIM}/Me"),
    ("GET", ONE),
    ("PUT", ONE),
    ("PATCH", ONE),
    ("DELETE", ONE),
}
PUBLIC = {
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/startupz"),
    ("GET", "/.well-known/oauth-authorization-server/t/{tenant:str}"),
    ("GET", "/t/{tenant:str}/.well-known/oauth-authorization-server"),
    ("POST", "/t/{tenant:str}/oauth2/token"),
    ("POST", "/t/{tenant:str}/oauth2/revoke"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/api/v1/docs"),
    ("GET", "/api/v1/docs.css"),
}
"""Routes that carry nothing of any tenant, or that authenticate a client themselves (tests/oauth)."""

TENANT = "/api/v1/tenants/{slug:str}"
ADMIN = {
    ("GET", "/api/v1/tenants"),
    ("POST", "/api/v1/tenants"),
    ("GET", TENANT),
    ("PATCH", TENANT),
    ("DELETE", TENANT),
    ("POST", f"{TENANT}/suspend"),
    ("POST", f"{TENANT}/resume"),
    ("POST", f"{TENANT}/restore"),
    ("GET", f"{TENANT}/credentials"),
    ("POST", f"{TENANT}/credentials"),
    ("DELETE", f"{TENANT}/credentials/{{credential:str}}"),
    ("GET", f"{TENANT}/users"),
    ("GET", f"{TENANT}/users/{{user:str}}"),
    ("GET", f"{TENANT}/users/{{user:str}}/groups"),
    ("GET", f"{TENANT}/groups"),
    ("GET", f"{TENANT}/groups/{{group:str}}"),
    ("GET", f"{TENANT}/groups/{{group:str}}/members"),
    ("GET", f"{TENANT}/resources/{{resource_type:str}}"),
    ("GET", f"{TENANT}/resources/{{resource_type:str}}/{{resource:str}}"),
    *(("GET", f"{TENANT}/{kind}") for kind in ("schemas", "resource-types", "profile")),
    *(("POST", f"{TENANT}/{kind}{more}") for kind in ("schemas", "resource-types") for more in ("", "/validate")),
    *((method, f"{TENANT}/schemas/{{urn:str}}") for method in ("GET", "DELETE")),
    *((method, f"{TENANT}/resource-types/{{resource_type:str}}") for method in ("GET", "DELETE")),
    ("PUT", f"{TENANT}/profile"),
    ("GET", f"{TENANT}/usage"),
    ("GET", f"{TENANT}/roles"),
    ("GET", f"{TENANT}/audit"),
    ("GET", "/api/v1/keys"),
    ("POST", "/api/v1/keys"),
    ("DELETE", "/api/v1/keys/{key:str}"),
    ("GET", "/api/v1/audit"),
}
"""Routes for operators, who may see every tenant; a tenant's secret opens none of them."""


def routes() -> set[tuple[str, str]]:
    settings = Settings(database_url="postgresql://nobody@/none", peppers=new_pepper(), public_url="https://scim.example")
    litestar: Any = assemble(Service(settings))._app
    return {(method, route.path) for route in litestar.routes for method in getattr(route, "methods", ()) if method != "OPTIONS"}


def test_every_route_is_listed() -> None:
    assert routes() == PROTECTED | PUBLIC | ADMIN | set(PAGES)


def masked(response: httpx.Response, resource_id: str) -> tuple[int, str, list[tuple[str, str]]]:
    headers = [(name, value.replace(resource_id, "<id>")) for name, value in response.headers.items() if name not in ("date", "content-length", "x-request-id")]
    return response.status_code, response.text.replace(resource_id, "<id>"), headers


@pytest.mark.threat("T01")
@pytest.mark.parametrize("endpoint", ["Users", "Groups"])
@pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("PUT", {"userName": "x", "displayName": "x"}), ("PATCH", PATCH_BODY), ("PATCH", MEMBER_BODY), ("DELETE", None)]
)
async def test_a_foreign_id_is_answered_like_one_that_never_was(acme: ScimClient, globex: ScimClient, endpoint: str, method: str, body: Any) -> None:
    user = await globex.create_user(userName="bob", displayName="Bob")
    group = await globex.create_group(displayName="Staff", members=[{"value": user["id"]}])
    foreign = user["id"] if endpoint == "Users" else group["id"]
    before = [await globex.get_user(user["id"]), await globex.get_group(group["id"])]

    answers = [masked(await acme.request(method, f"/{endpoint}/{one}", body), one) for one in (foreign, RANDOM_ID)]

    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert [await globex.get_user(user["id"]), await globex.get_group(group["id"])] == before


@pytest.mark.threat("T01")
async def test_lists_and_filters_show_nothing_foreign(acme: ScimClient, globex: ScimClient) -> None:
    user = await globex.create_user(userName="bob", displayName="Bob", emails=[{"value": "bob@globex.example"}])
    group = await globex.create_group(displayName="Staff", members=[{"value": user["id"]}])

    for endpoint, texts in {
        "Users": [
            "",
            'userName eq "bob"',
            'userName sw "b"',
            f'id eq "{user["id"]}"',
            'emails[value eq "bob@globex.example"]',
            f'groups eq "{group["id"]}"',
            "id pr",
        ],
        "Groups": ["", 'displayName eq "Staff"', f'members eq "{user["id"]}"', 'displayName co "t"', "members pr"],
    }.items():
        for text in texts:
            found = (await acme.get(f"/{endpoint}", params={"filter": text} if text else {})).json()
            assert (found["totalResults"], found["Resources"]) == (0, []), text


@pytest.mark.threat("T01")
async def test_a_foreign_user_cannot_become_a_member(acme: ScimClient, globex: ScimClient) -> None:
    foreign = await globex.create_user(userName="bob")
    group = await acme.create_group(displayName="Staff")

    response = await acme.patch_operations(f"/Groups/{group['id']}", {"op": "add", "path": "members", "value": [{"value": foreign["id"]}]})

    assert response.status_code == 400
    assert response.json()["scimType"] == "invalidValue"
    assert await acme.members(group["id"]) == set()
    assert "groups" not in await globex.get_user(foreign["id"])


@pytest.mark.threat("T20")
async def test_the_same_user_name_is_free_in_every_tenant(acme: ScimClient, globex: ScimClient) -> None:
    await globex.create_user(userName="bob", externalId="1")

    assert (await acme.create_user(userName="bob", externalId="1"))["userName"] == "bob"


@pytest.mark.threat("T05")
@pytest.mark.parametrize("external_id", ["1", "0", "-1", "admin", RANDOM_ID])
async def test_an_external_id_is_never_taken_for_an_id(acme: ScimClient, external_id: str) -> None:
    other = await acme.create_user(userName="other")

    made = await acme.create_user(userName="made", externalId=external_id, id=other["id"])

    assert made["id"] not in (external_id, other["id"])
    assert (await acme.get_user(other["id"]))["userName"] == "other"


@pytest.mark.threat("T02")
@pytest.mark.threat("T50")
async def test_no_secret_and_wrong_secrets_are_refused_alike_on_every_route(acme: ScimClient, globex: ScimClient) -> None:
    """Secret of another tenant, unknown tenant, wrong secret, no secret: the same bytes, for existing and unknown tenants."""
    answers = set()
    for method, path in sorted(PROTECTED):
        for slug, secret in [
            (acme.base_url.split("/")[4], globex.secret),
            ("never-was", globex.secret),
            (acme.base_url.split("/")[4], acme.secret[:-8] + "AAAAAAAA"),
            (acme.base_url.split("/")[4], "x"),
            ("never-was", None),
        ]:
            host = acme.base_url.partition("/t/")[0]
            filled = path.replace("{tenant:str}", slug).replace("{endpoint:str}", "Users").replace("{resource_id:str}", RANDOM_ID)
            filled = filled.replace("{name:str}", "User").replace("{urn:str}", "urn:x")
            headers = {"authorization": f"Bearer {secret}"} if secret else {"authorization": ""}
            response = await acme.http.request(method, host + filled, headers=headers, content=b"{}" if method in ("POST", "PUT", "PATCH") else None)
            answers.add(
                (
                    response.status_code,
                    response.content,
                    tuple(sorted((name, value) for name, value in response.headers.items() if name not in ("date", "x-request-id"))),
                )
            )
    assert len({(status, body) for status, body, _ in answers}) == 1
    assert len(answers) == 1, "\n".join(str(headers) for _, _, headers in answers)
    status, _, headers = next(iter(answers))
    assert status == 401
    assert ("content-type", "application/scim+json") in headers
    assert any(name == "www-authenticate" and value.startswith("Bearer") for name, value in headers)


@pytest.mark.threat("T02")
async def test_no_key_a_wrong_key_and_a_scim_secret_are_refused_alike_on_every_route_for_operators(acme: ScimClient) -> None:
    """Also where the tenant is the secret's own, and where there is none: the same words, naming the same cure."""
    host, _, rest = acme.base_url.partition("/t/")
    wrong = mint_secret(OPERATOR_KEY_PREFIX).secret
    details = set()
    for method, path in sorted(ADMIN):
        for slug, key in [(rest.split("/")[0], acme.secret), (rest.split("/")[0], wrong), ("never-was", wrong[:-1]), ("never-was", None)]:
            filled = re.sub(r"\{\w+:str\}", RANDOM_ID, path.replace("{slug:str}", slug))
            headers = {"authorization": f"Bearer {key}" if key else ""}
            response = await acme.http.request(method, host + filled, headers=headers, content=b"{}" if method in ("POST", "PATCH") else None)
            assert (response.status_code, response.headers["content-type"]) == (401, "application/problem+json"), f"{method} {path}"
            assert response.headers["www-authenticate"].startswith("Bearer")
            details.add(response.json()["detail"])
    assert len(details) == 1


@pytest.mark.threat("T02")
@pytest.mark.parametrize("form", ["{upper}", "{slug}.", "{slug}%2f", "{slug}%00", "%20{slug}", "..%2f{slug}", "{slug};x"])
async def test_no_spelling_of_a_foreign_slug_lets_a_secret_in(acme: ScimClient, globex: ScimClient, form: str) -> None:
    slug = globex.base_url.split("/")[4]
    host = acme.base_url.partition("/t/")[0]

    response = await acme.http.get(f"{host}/t/{form.format(slug=slug, upper=slug.upper())}/scim/v2/Users")

    assert response.status_code in (401, 404)
    assert response.headers["content-type"] == "application/scim+json"
