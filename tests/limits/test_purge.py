"""What Redis holds of a tenant goes with it."""

import time
from pathlib import Path
from uuid import UUID

import pytest
import redis

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.limits.gcra import connect
from rollhouse.limits.limit import Limit
from rollhouse.tenancy import tenants
from rollhouse.tenancy.tenants import Tenant
from tests.audit.working import run, wait_until, working
from tests.conftest import Cluster, new_client
from tests.lifecycle.conftest import age
from tests.limits.conftest import RedisServer
from tests.servers.service import Serving


@pytest.mark.threat("T47")
async def test_a_purge_leaves_no_key_in_redis(
    embedded_cluster: Cluster, counting_service: Serving, redis_server: RedisServer, service_database: Database, tmp_path: Path
) -> None:
    """By command and by the worker: a scan of all keys finds none of the tenant's."""
    for by_worker in (False, True):
        client = await new_client(counting_service, service_database)
        slug = client.base_url.split("/")[4]
        await tenants.set_limit(service_database, slug, 1, 1000, cause=UNATTENDED)
        deadline = time.monotonic() + 5
        while not keys_of(redis_server, client.tenant_id):
            assert (await client.get("/Users?count=1")).status_code == 200
            assert time.monotonic() < deadline
        for _ in range(100):  # a count that lasts longer than this test
            await client.get("/Users?count=1")
        limiter = connect(redis_server.url)
        for _ in range(20):  # and one of the tokens that a client of the tenant fetched
            await limiter.admit(f"{client.tenant_id}:tokens:{UUID(int=1)}", Limit(1, 1000))
        assert await limiter.forget("nobody")
        await limiter.close()  # type: ignore[attr-defined]
        assert len(keys_of(redis_server, client.tenant_id)) == 2
        await client.close()
        assert run(embedded_cluster, "tenant", "delete", slug, "--grace-days", "0", "--yes").returncode == 0
        await age(service_database, Tenant(id=UUID(client.tenant_id), slug=slug, name="", status="deleting"))
        assert keys_of(redis_server, client.tenant_id)

        if by_worker:
            with working(embedded_cluster, tmp_path / "log", ROLLHOUSE_REDIS_URL=redis_server.url) as worker:
                wait_until(lambda slug=slug, worker=worker: any(line["slug"] == slug for line in worker.events("tenant.purged")))
                assert worker.end() == 0
        else:
            assert run(embedded_cluster, "tenant", "purge", slug, "--yes", ROLLHOUSE_REDIS_URL=redis_server.url).returncode == 0

        assert keys_of(redis_server, client.tenant_id) == []


def keys_of(server: RedisServer, tenant_id: str) -> list[bytes]:
    with redis.Redis(port=server.port, protocol=2) as connection:
        return [key for key in connection.scan_iter() if tenant_id.encode() in key]
