"""A whole platform under observation: Postgres, Redis, a service, a worker, tenants that send, and a Prometheus that looks at them."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rollhouse.cli.embedded import EmbeddedPostgres, embedded_programs
from rollhouse.database.migrations import migrate
from rollhouse.database.pool import Database
from tests.audit.working import Working
from tests.conftest import PEPPER, Cluster, new_client
from tests.limits.conftest import RedisServer
from tests.servers.service import ScimClient, Serving

TENANTS = 6
CONNECTIONS = 4
"""Of the service to Postgres: few, so that all of them can be held."""


class Platform:
    """The servers, the tenants' clients, and how their requests were answered."""

    def __init__(self, cluster: Cluster, redis: RedisServer, serving: Serving, worker: Working, database: Database, clients: list[ScimClient]) -> None:
        self.cluster, self.redis, self.serving, self.worker, self.database, self.clients = cluster, redis, serving, worker, database, clients
        self.statuses: dict[int, int] = {}

    async def send(self, client: ScimClient, user: str, number: int) -> None:
        """One request of an identity provider: mostly reads, some changes, now and then something that is not there."""
        match number % 8:
            case 0:
                made = await client.post("/Users", {"userName": f"u{time.time_ns()}", "active": "True"})
                status = made.status_code
            case 1:
                operation = {"op": "Replace", "path": "title", "value": str(number)}
                status = (await client.patch(f"/Users/{user}", {"Operations": [operation]})).status_code
            case 2:
                status = (await client.get(f'/Users?filter=userName eq "u{number}"')).status_code
            case 3:
                status = (await client.get("/Users/none")).status_code
            case _:
                status = (await client.get(f"/Users/{user}")).status_code
        self.statuses[status] = self.statuses.get(status, 0) + 1

    @contextlib.asynccontextmanager
    async def traffic(self, pause: float = 0.05) -> AsyncIterator[None]:
        """Requests of all tenants, one after the other each, for the length of the block."""

        async def one(client: ScimClient) -> None:
            user = (await client.create_user(userName=f"first{time.time_ns()}"))["id"]
            for number in itertools.count():
                with contextlib.suppress(httpx.HTTPError):
                    await self.send(client, user, number)
                await asyncio.sleep(pause)

        tasks = [asyncio.create_task(one(client)) for client in self.clients]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(outcome, asyncio.CancelledError), outcome


def settings_of(cluster: Cluster, redis: RedisServer) -> dict[str, str]:
    return {
        "ROLLHOUSE_DATABASE_URL": cluster.app_url,
        "ROLLHOUSE_PEPPERS": PEPPER,
        "ROLLHOUSE_REDIS_URL": redis.url,
        "ROLLHOUSE_DATABASE_CONNECTIONS": str(CONNECTIONS),
    }


@contextlib.asynccontextmanager
async def running_platform(folder: Path) -> AsyncIterator[Platform]:
    """All of it, its files in a folder with a short path that Postgres may enter."""
    server = EmbeddedPostgres(folder / "pg", embedded_programs())
    server.start()
    cluster = Cluster(server)
    await migrate(cluster.migrator_url)
    redis = RedisServer(folder)
    redis.start()
    serving = Serving(folder / "service.log", settings_of(cluster, redis))
    serving.start()
    worker = Working(cluster, folder / "worker.log")
    database = Database(cluster.app_url, connections=4)
    await database.open()
    clients = [await new_client(serving, database) for _ in range(TENANTS)]
    yield Platform(cluster, redis, serving, worker, database, clients)
    for client in clients:
        await client.close()
    await database.close()
    worker.end()
    serving.stop()
    redis.stop()
    server.stop()


@pytest.fixture
async def platform(folder: Path, tmp_path: Path) -> AsyncIterator[Platform]:
    place = folder / tmp_path.name[-20:]
    place.mkdir(mode=0o755)
    async with running_platform(place) as found:
        yield found


async def until(what: Any, seconds: float, said: Any) -> None:
    """Wait until something holds; `said` tells what was seen instead."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(what):
        assert time.monotonic() < deadline, said()
        await asyncio.sleep(0.25)
