"""When Postgres is away: 503 with Retry-After, never 401, 404 or 500; and service again without a restart (house invariant 6)."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rollhouse.cli.embedded import EmbeddedPostgres, embedded_programs
from rollhouse.database.migrations import migrate
from rollhouse.database.pool import Database
from tests.conftest import PEPPER, new_client
from tests.servers.service import ScimClient, Serving


class Stage:
    """A Postgres and a service on it that a test may break."""

    def __init__(self, folder: Path) -> None:
        self.postgres = EmbeddedPostgres(folder / "pg", embedded_programs())
        self.service = Serving(folder / "log", {"ROLLHOUSE_DATABASE_URL": self.postgres.url("rollhouse_app"), "ROLLHOUSE_PEPPERS": PEPPER})

    async def client(self) -> ScimClient:
        database = Database(self.postgres.url("rollhouse_app"), connections=1)
        await database.open()
        client = await new_client(self.service, database)
        await database.close()
        return client


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    folder = Path(tempfile.mkdtemp(prefix="rf-"))
    await asyncio.to_thread(folder.chmod, 0o755)
    made = Stage(folder)
    await asyncio.to_thread(made.postgres.start)
    await migrate(made.postgres.url("rollhouse_migrator"))
    await asyncio.to_thread(made.service.start)
    yield made
    assert await asyncio.to_thread(made.service.stop) == 0
    await asyncio.to_thread(made.postgres.stop)
    shutil.rmtree(folder)


def check_unavailable(response: object) -> None:
    assert response.status_code == 503, response.text  # type: ignore[attr-defined]
    assert int(response.headers["retry-after"]) > 0  # type: ignore[attr-defined]
    assert response.headers["content-type"] == "application/scim+json"  # type: ignore[attr-defined]
    assert response.json()["status"] == "503"  # type: ignore[attr-defined]


@pytest.mark.threat("T25")
async def test_a_stopped_postgres_is_503_everywhere_and_heals_without_a_restart(stage: Stage) -> None:
    client = await stage.client()
    stranger = await stage.client()  # its secret is not in the cache
    user = await client.create_user(userName="ann")
    await asyncio.to_thread(stage.postgres.stop)

    for request in (
        client.get(f"/Users/{user['id']}"),
        client.get("/Users", params={"filter": 'userName eq "ann"'}),
        client.post("/Users", {"userName": "bob"}),
        client.patch_operations(f"/Users/{user['id']}", {"op": "replace", "path": "title", "value": "x"}),
        client.delete(f"/Users/{user['id']}"),
        stranger.get("/Users"),
    ):
        check_unavailable(await request)
    assert (await client.http.get(f"{stage.service.url}/livez")).status_code == 200
    assert (await client.http.get(f"{stage.service.url}/readyz")).status_code == 503
    assert (await client.http.get(f"{stage.service.url}/readyz?exclude=postgres")).status_code == 200, "it can still say that Postgres is away"

    await asyncio.to_thread(stage.postgres.start)
    deadline = time.monotonic() + 15
    while (await client.get(f"/Users/{user['id']}")).status_code != 200:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    assert (await client.get("/Users")).json()["totalResults"] == 1
    assert (await client.http.get(f"{stage.service.url}/readyz")).status_code == 200
    await client.close()
    await stranger.close()


async def test_terminated_backends_and_a_read_only_server_are_503_and_pass(stage: Stage) -> None:
    import asyncpg

    client = await stage.client()
    user = await client.create_user(userName="ann")
    admin = await asyncpg.connect(stage.postgres.url("postgres"))

    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rollhouse_app'")
    answers = [(await client.get(f"/Users/{user['id']}")).status_code for _ in range(20)]
    assert set(answers) <= {200, 503}
    assert answers[-1] == 200

    await admin.execute("ALTER ROLE rollhouse_app SET default_transaction_read_only = on")
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rollhouse_app'")
    for _ in range(20):
        await client.get(f"/Users/{user['id']}")
    check_unavailable(await client.post("/Users", {"userName": "bob"}))
    assert (await client.get(f"/Users/{user['id']}")).status_code == 200
    await admin.execute("ALTER ROLE rollhouse_app RESET default_transaction_read_only")
    await admin.close()
    await client.close()


async def test_a_locked_row_is_503_after_the_lock_timeout_and_nothing_is_half_done(stage: Stage) -> None:
    import asyncpg

    client = await stage.client()
    user = await client.create_user(userName="ann")
    admin = await asyncpg.connect(stage.postgres.url("postgres"))
    async with admin.transaction():
        await admin.execute("SELECT FROM rollhouse.resources FOR UPDATE")
        response = await client.patch_operations(f"/Users/{user['id']}", {"op": "replace", "path": "userName", "value": "bob"})
        check_unavailable(response)
    await admin.close()

    found = await client.get_user(user["id"])
    assert (found["userName"], found["meta"]["version"]) == ("ann", user["meta"]["version"])
    assert await client.find("Users", 'userName eq "bob"') == []
    await client.close()
