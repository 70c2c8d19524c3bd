"""When Postgres is away, the OAuth endpoints say 503 with Retry-After, never 401: Entra quarantines a job at its first 401 (house invariant 6)."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from rollhouse.cli.embedded import EmbeddedPostgres, embedded_programs
from rollhouse.database.migrations import migrate
from rollhouse.database.pool import Database
from rollhouse.tenancy.federation import KeyHosts
from tests.conftest import PEPPER
from tests.oauth.conftest import Party, new_party
from tests.oauth.issuer import Issuer, sign
from tests.servers.service import Serving


@pytest.fixture
async def postgres() -> AsyncIterator[EmbeddedPostgres]:
    """A Postgres that the test may stop and start."""
    folder = Path(tempfile.mkdtemp(prefix="ro-"))
    await asyncio.to_thread(folder.chmod, 0o755)
    server = EmbeddedPostgres(folder / "pg", embedded_programs())
    await asyncio.to_thread(server.start)
    await migrate(server.url("rollhouse_migrator"))
    yield server
    await asyncio.to_thread(server.stop)
    shutil.rmtree(folder)


@pytest.fixture
async def fragile_party(postgres: EmbeddedPostgres, issuer: Issuer, hosts: KeyHosts) -> AsyncIterator[Party]:
    environment = {
        "ROLLHOUSE_DATABASE_URL": postgres.url("rollhouse_app"),
        "ROLLHOUSE_PEPPERS": PEPPER,
        "ROLLHOUSE_FEDERATION_HOSTS": issuer.origin,
    }
    serving = Serving(Path(postgres.folder).parent / "log", environment)
    await asyncio.to_thread(serving.start)
    database = Database(postgres.url("rollhouse_app"), connections=2)
    await database.open()
    made = await new_party(serving, database, hosts)
    yield made
    await made.http.aclose()
    await database.close()
    assert await asyncio.to_thread(serving.stop) == 0


async def test_a_stopped_postgres_is_503_at_every_endpoint_and_heals(fragile_party: Party, postgres: EmbeddedPostgres, issuer: Issuer, hosts: KeyHosts) -> None:
    client = await fragile_party.federate(hosts, issuer.publish(issuer.key))
    assert (await fragile_party.assert_with(client, sign(issuer.key))).status_code == 200
    token = await fragile_party.token()
    await asyncio.to_thread(postgres.stop)

    for request in (
        fragile_party.post(fragile_party.form()),
        fragile_party.assert_with(client, sign(issuer.key)),
        fragile_party.post(fragile_party.form(token=token), url=fragile_party.revocation_url),
    ):
        check_unavailable(await request)
    assert (await fragile_party.post(fragile_party.form(client_secret="no secret at all"))).status_code == 401

    await asyncio.to_thread(postgres.start)
    deadline = time.monotonic() + 15
    while (await fragile_party.post(fragile_party.form())).status_code != 200:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


def check_unavailable(response: httpx.Response) -> None:
    assert (response.status_code, response.json()["error"]) == (503, "temporarily_unavailable")
    assert int(response.headers["retry-after"]) >= 1
    assert response.headers["cache-control"] == "no-store"
