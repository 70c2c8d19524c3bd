"""A tenant that floods the running service is held by its own bounds; its neighbours notice nothing (threat T38)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.tenancy import credentials, tenants
from rollhouse.tenancy.secrets import Peppers
from tests.conftest import PEPPER, Cluster, new_tenant
from tests.servers.service import ScimClient, Serving

RATE = 50
NEIGHBOURS = 20
SECONDS = 3


@pytest.fixture
async def serving(embedded_cluster: Cluster, folder: Path) -> AsyncIterator[Serving]:
    """A service of its own with eight connections, two of them for one tenant at most."""
    settings = {"ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url, "ROLLHOUSE_PEPPERS": PEPPER, "ROLLHOUSE_DATABASE_CONNECTIONS": "8"}
    one = Serving(folder / "fair.log", settings)
    one.start()
    yield one
    assert one.stop() == 0


async def client_of(serving: Serving, database: Database, *, rate: int) -> ScimClient:
    tenant = await new_tenant(database)
    await tenants.set_limit(database, tenant.slug, rate, rate, cause=UNATTENDED)
    made = await credentials.create_secret(database, Peppers.parse(PEPPER), tenant, cause=UNATTENDED)
    return ScimClient(serving.url + tenant.path, made.minted.secret)


async def send(client: ScimClient, per_second: int) -> Counter[int]:
    """The statuses of requests sent at a steady rate, whatever the answers take; half of them write."""
    asked = []
    for number in range(per_second * SECONDS):
        body = {"userName": f"user{number}"}
        asked.append(asyncio.create_task(client.post("/Users", body) if number % 2 else client.get("/Users?count=1")))
        await asyncio.sleep(1 / per_second)
    return Counter(answer.status_code for answer in await asyncio.gather(*asked))


@pytest.mark.threat("T38")
async def test_a_flood_at_ten_times_its_limit_costs_the_neighbours_no_request(serving: Serving, service_database: Database) -> None:
    flooder = await client_of(serving, service_database, rate=RATE)
    neighbours = [await client_of(serving, service_database, rate=RATE) for _ in range(NEIGHBOURS)]

    flood, *calm = await asyncio.gather(send(flooder, 10 * RATE), *(send(neighbour, 5) for neighbour in neighbours))

    assert flood[429] > flood.total() / 2
    assert set(flood) <= {200, 201, 429}
    assert all(set(answers) <= {200, 201} for answers in calm)
    assert sum(answers.total() for answers in calm) == NEIGHBOURS * 5 * SECONDS
    for client in (flooder, *neighbours):
        await client.close()
