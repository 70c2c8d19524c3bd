"""What a request costs a tenant, and what every answer says about it, on the running service."""

import asyncio
import re
import time
from typing import Any

import pytest

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.tenancy import tenants
from tests.servers.service import ScimClient

SEARCH = ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]
DEAR = 'title co "x"'


async def limit(database: Database, client: ScimClient, rate_per_second: int, burst: int) -> None:
    await tenants.set_limit(database, client.base_url.split("/")[4], rate_per_second, burst, cause=UNATTENDED)


def left_of(response: Any) -> int:
    """What the answer says may still be spent."""
    found = re.fullmatch(r'"tenant";r=(\d+);t=(\d+)', response.headers["ratelimit"])
    assert found is not None
    return int(found[1])


async def limited(database: Database, client: ScimClient) -> ScimClient:
    """The client when the service has heard of a limit that gives nothing back while the test runs: one token a second of a burst of a hundred."""
    await limit(database, client, 1, 100)
    while "ratelimit" not in (await client.get("/ServiceProviderConfig")).headers:
        pass
    return client


async def test_a_search_that_is_let_in_is_answered(acme: ScimClient, service_database: Database) -> None:
    """Charged in two parts and refused for the second, it would pass never for a tenant that goes on asking."""
    await limit(service_database, acme, 1, 1)
    while "ratelimit" not in (answer := await acme.get("/ServiceProviderConfig")).headers or answer.status_code == 200:
        pass
    statuses = []
    until = time.monotonic() + 20
    while statuses.count(200) < 2 and time.monotonic() < until:
        await asyncio.sleep(0.2)
        statuses.append((await acme.get("/Users", params={"filter": DEAR})).status_code)

    assert statuses.count(200) == 2
    assert set(statuses) == {200, 429}


@pytest.mark.parametrize(
    ("method", "path", "body", "cost"),
    [
        ("GET", "/Users?count=1", None, 1),
        ("GET", "/Users?filter=userName+eq+%22ann%22", None, 1),
        ("GET", "/Users/00000000-0000-0000-0000-000000000000", None, 1),
        ("POST", "/Users/.search", {"schemas": SEARCH, "count": 1}, 1),
        ("POST", "/Users", {"userName": "ann"}, 2),
        ("PATCH", "/Users/00000000-0000-0000-0000-000000000000", {"Operations": []}, 2),
        ("DELETE", "/Users/00000000-0000-0000-0000-000000000000", None, 2),
        ("GET", "/Users?filter=title+co+%22x%22", None, 2),
        ("POST", "/Users/.search", {"schemas": SEARCH, "filter": DEAR}, 2),
        ("POST", "/.search", {"schemas": SEARCH, "filter": DEAR}, 2),
    ],
)
async def test_reads_cost_one_writes_and_filters_without_an_index_two(
    acme: ScimClient, service_database: Database, method: str, path: str, body: Any, cost: int
) -> None:
    client = await limited(service_database, acme)
    tries = []
    for _ in range(3):  # a token may come back in between; hardly thrice
        before = left_of(await client.get("/Users?count=0"))
        tries.append(before - left_of(await client.request(method, path, body)))

    assert cost in tries
    assert max(tries) <= cost


@pytest.mark.threat("T37")
async def test_every_answer_says_what_is_left_and_a_refusal_when_to_come_back(acme: ScimClient, service_database: Database) -> None:
    """draft-ietf-httpapi-ratelimit-headers-10; Retry-After in whole seconds (RFC 9110 section 10.2.3); the error body of RFC 7644 section 3.12."""
    await limit(service_database, acme, 1, 5)
    passed = await acme.get("/Users?count=0")
    while "ratelimit" not in passed.headers:
        passed = await acme.get("/Users?count=0")
    refused = passed
    for _ in range(50):
        refused = await acme.get("/Users?count=0")
        if refused.status_code != 200:
            break

    assert passed.status_code == 200
    assert passed.headers["ratelimit-policy"] == refused.headers["ratelimit-policy"] == '"tenant";q=5;w=5'
    assert left_of(passed) == 4
    assert refused.status_code == 429
    assert left_of(refused) == 0
    assert re.fullmatch(r"[1-9]\d*", refused.headers["retry-after"])
    assert refused.headers["content-type"] == "application/scim+json"
    assert refused.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert refused.json()["status"] == "429"
    assert "Wait and send the same request again" in refused.json()["detail"]


async def test_one_tenants_limit_is_not_anothers(acme: ScimClient, globex: ScimClient, service_database: Database) -> None:
    await limit(service_database, acme, 1, 3)
    await limit(service_database, globex, 1, 300)
    for client in (acme, globex):
        while "ratelimit" not in (await client.get("/Users?count=0")).headers:
            pass

    statuses = {name: {(await client.get("/Users?count=0")).status_code for _ in range(10)} for name, client in (("acme", acme), ("globex", globex))}

    assert 429 in statuses["acme"]
    assert statuses["globex"] == {200}
