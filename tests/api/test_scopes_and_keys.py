"""Who may use the admin API: every operation by every scope, and what becomes of a key (threats T27, T28)."""

import asyncio
import json
import re
import subprocess
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from rollhouse.database.pool import Database
from rollhouse.http.api import OPERATIONS
from rollhouse.http.api_operations import Operation
from rollhouse.journal import audit
from rollhouse.journal.audit import PLATFORM, UNATTENDED
from rollhouse.scim.errors import InvalidValue
from rollhouse.tenancy import operators
from rollhouse.tenancy.operators import SCOPES
from rollhouse.tenancy.secrets import Peppers
from tests.api.conftest import ApiClient, new_operator, problem
from tests.conftest import PEPPER
from tests.servers.service import ROLLHOUSE, ScimClient, Serving

UNKNOWN = "01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff"
GUARDED = [one for one in OPERATIONS if one.scope is not None]


def path_to_nothing(operation: Operation) -> str:
    """The operation's path with names that nobody has: a request that passes the gate changes nothing."""
    path = operation.path.replace("{slug}", "never-was")
    return re.sub(r"\{\w+\}", UNKNOWN, path)


@pytest.fixture(scope="module")
async def by_scope(service: Serving, service_database: Database) -> AsyncIterator[dict[str, ApiClient]]:
    """A client for each scope, which has no other."""
    clients = {scope: await new_operator(service, service_database, [scope]) for scope in SCOPES}
    yield clients
    for client in clients.values():
        await client.close()


@pytest.mark.threat("T28")
@pytest.mark.parametrize("operation", GUARDED, ids=lambda one: one.name)
async def test_an_operation_takes_its_own_scope_and_no_other(operation: Operation, by_scope: dict[str, ApiClient]) -> None:
    """With the right scope the request gets past the gate: to an answer, a refusal of its empty body, or the tenant that never was."""
    for scope, client in by_scope.items():
        response = await client.request(operation.method, path_to_nothing(operation), content=b"{}" if operation.body else None)
        if scope == operation.scope:
            assert response.status_code in (200, 400, 404), response.text
        else:
            assert operation.scope in problem(response, 403)["detail"]


def test_every_scope_opens_something() -> None:
    assert {one.scope for one in GUARDED} == set(SCOPES)


@pytest.mark.threat("T28")
async def test_a_key_hands_on_only_scopes_it_has(by_scope: dict[str, ApiClient]) -> None:
    response = await by_scope["keys:write"].post("/keys", {"scopes": ["keys:write", "tenants:write"]})

    assert "tenants:write" in problem(response, 403)["detail"]


async def test_an_unknown_scope_is_refused_with_those_there_are(operator: ApiClient, service_database: Database) -> None:
    detail = problem(await operator.post("/keys", {"scopes": ["everything"]}), 400)["detail"]

    assert '"everything"' in detail
    assert all(scope in detail for scope in SCOPES)
    with pytest.raises(InvalidValue):
        await operators.create_key(service_database, Peppers.parse(PEPPER), scopes=[], cause=UNATTENDED)


@pytest.mark.threat("T27")
async def test_a_key_is_shown_once_and_lists_show_its_prefix_alone(operator: ApiClient) -> None:
    made = (await operator.post("/keys", {"scopes": ["usage:read"], "label": "billing"})).json()

    listed = await operator.get("/keys", params={"limit": 200})

    assert made["key"].startswith(made["prefix"] + "_")
    assert made["key"] not in listed.text
    assert made["id"] in listed.text


@pytest.mark.threat("T29")
async def test_a_revoked_key_is_refused_at_the_next_request(operator: ApiClient, service: Serving) -> None:
    made = (await operator.post("/keys", {"scopes": ["tenants:read"]})).json()
    bearer = {"authorization": f"Bearer {made['key']}"}
    assert (await operator.get("/tenants", headers=bearer)).status_code == 200

    revoked = await operator.request("DELETE", f"/keys/{made['prefix']}")

    assert (revoked.status_code, revoked.json()["state"]) == (200, "revoked")
    refused = await operator.get("/tenants", headers=bearer)
    problem(refused, 401)
    assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_an_expired_key_is_refused(operator: ApiClient, service: Serving, service_database: Database) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    made = await operators.create_key(service_database, Peppers.parse(PEPPER), scopes=["tenants:read"], expires=soon, cause=UNATTENDED)
    bearer = {"authorization": f"Bearer {made.minted.secret}"}
    assert (await operator.get("/tenants", headers=bearer)).status_code == 200

    deadline = time.monotonic() + 10
    response = await operator.get("/tenants", headers=bearer)
    while response.status_code == 200 and time.monotonic() < deadline:
        await asyncio.sleep(0.02)  # a key may send 100 requests a second
        response = await operator.get("/tenants", headers=bearer)

    problem(response, 401)
    assert datetime.now(UTC) >= soon


async def test_an_expiry_in_the_past_is_refused(operator: ApiClient) -> None:
    problem(await operator.post("/keys", {"scopes": ["tenants:read"], "expires": "2020-01-01T00:00:00Z"}), 400)
    problem(await operator.post("/keys", {"scopes": ["tenants:read"], "expires": "2099-01-01T00:00:00"}), 400)


@pytest.mark.parametrize("change", ["nothing", "wrong", "another kind", "two headers", "basic"])
async def test_a_wrong_key_is_refused_whatever_is_wrong_with_it(operator: ApiClient, acme: ScimClient, service: Serving, change: str) -> None:
    wrong = {
        "nothing": {},
        "wrong": {"authorization": f"Bearer {operator.key[:-8]}AAAAAAAA"},
        "another kind": {"authorization": f"Bearer {acme.secret}"},
        "two headers": [("authorization", f"Bearer {operator.key}"), ("authorization", f"Bearer {operator.key}")],
        "basic": {"authorization": f"Basic {operator.key}"},
    }[change]
    async with httpx.AsyncClient() as client:
        found = problem(await client.get(f"{service.url}/api/v1/tenants", headers=wrong), 401)

    assert "rollhouse api-key create" in found["detail"]


async def test_guesses_at_one_key_are_slowed_down(operator: ApiClient, service: Serving) -> None:
    guess = operators.mint_secret(operators.OPERATOR_KEY_PREFIX).secret
    async with httpx.AsyncClient() as client:
        for _ in range(130):
            response = await client.get(f"{service.url}/api/v1/tenants", headers={"authorization": f"Bearer {guess}"})
            if response.status_code == 429:
                break

    problem(response, 429)
    assert int(response.headers["retry-after"]) >= 1
    assert (await operator.get("/tenants")).status_code == 200


async def test_a_key_that_sends_too_much_is_told_to_wait(service: Serving, service_database: Database) -> None:
    client = await new_operator(service, service_database, ["usage:read"])
    statuses: set[int] = set()
    for _ in range(50):
        answers = await asyncio.gather(*(client.get("/tenants") for _ in range(200)))
        statuses |= {one.status_code for one in answers}
        if 429 in statuses:
            break
    await client.close()

    assert statuses == {403, 429}
    refused = next(one for one in answers if one.status_code == 429)
    assert "Wait" in problem(refused, 429)["detail"]
    assert int(refused.headers["retry-after"]) >= 1


async def test_the_last_use_of_a_key_is_written_at_most_once_a_minute(operator: ApiClient, service_database: Database) -> None:
    async def last_used() -> datetime | None:
        rows = await service_database.query("SELECT last_used FROM rollhouse.operator_keys WHERE id::text = $1", operator.key_id)
        return rows[0]["last_used"]

    assert await last_used() is None
    await operator.get("/tenants")
    first = await last_used()
    await operator.get("/tenants")

    assert first is not None
    assert await last_used() == first


async def test_making_and_revoking_a_key_is_in_the_audit_of_the_platform(operator: ApiClient, service_database: Database) -> None:
    made = (await operator.post("/keys", {"scopes": ["usage:read", "audit:read"]})).json()
    await operator.request("DELETE", f"/keys/{made['id']}")

    rows = []
    while page := await audit.list_entries(service_database, PLATFORM, after=rows[-1].id if rows else None):
        rows += page
    told = [(row.action, row.actor, row.attributes) for row in rows if row.target_id == made["id"]]
    assert told == [
        ("operator_key.created", f"operator-key:{operator.key_id}", ["audit:read", "usage:read"]),
        ("operator_key.revoked", f"operator-key:{operator.key_id}", []),
    ]


async def test_keys_are_listed_page_by_page_without_gap_or_repeat(operator: ApiClient) -> None:
    made = [(await operator.post("/keys", {"scopes": ["usage:read"]})).json()["id"] for _ in range(5)]

    seen: list[str] = []
    after: str | None = operator.key_id
    while after is not None:
        page = (await operator.get("/keys", params={"limit": 2, "after": after})).json()
        seen += [one["id"] for one in page["items"]]
        after = page["next"]

    assert seen == made


async def test_keys_are_made_listed_and_revoked_on_the_command_line(operator: ApiClient, service: Serving) -> None:
    made = service.run("api-key", "create", "--scope", "tenants:read", "--scope", "usage:read", "--label", "ops", "--expires", "30d")
    bearer = {"authorization": f"Bearer {made['key']}"}

    assert set(made) == {"id", "key", "prefix"}
    assert (await operator.get("/tenants", headers=bearer)).status_code == 200
    listed = {one["id"]: one for one in service.run("api-key", "list")}[made["id"]]
    assert (listed["scopes"], listed["label"], listed["state"]) == (["tenants:read", "usage:read"], "ops", "active")
    assert service.run("api-key", "revoke", made["prefix"])["state"] == "revoked"
    assert (await operator.get("/tenants", headers=bearer)).status_code == 401


def test_the_command_line_refuses_an_unknown_scope_and_an_unknown_key(service: Serving) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([ROLLHOUSE, "api-key", *arguments], env=service.environment, capture_output=True, text=True, check=False, timeout=60)

    refused = run("create", "--scope", "everything")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "tenants:read" in refused.stderr
    assert run("revoke", "scimok_nobody").returncode == 1


async def test_no_line_of_the_log_holds_a_key(operator: ApiClient, service: Serving) -> None:
    await operator.get("/tenants")
    await operator.post("/tenants", {"slug": "x x", "name": json.dumps(operator.key)})

    assert operator.key not in service.log.read_text()
