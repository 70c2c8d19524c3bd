"""A drill: six faults in a running platform, each of which fires the alert that is meant for it, and no other.

The rules are the real ones with every window and every `for` a hundred times shorter; promtool tests the real ones.
"""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from rollhouse.journal.audit import UNATTENDED
from rollhouse.tenancy import tenants
from tests.audit.chains import as_superuser
from tests.observability.conftest import Platform, settings_of, until
from tests.servers.prometheus import Prometheus
from tests.servers.service import Serving

sys.path.insert(0, str(Path(__file__).parents[2] / "k8s" / "observability"))

from rules import rules

FACTOR = 100
WATCH_SECONDS = 0.3
EVALUATED_SECONDS = 2.0
"""Until the rules, which are evaluated once a second, know that an alert has fired."""
AHEAD = "AvailabilityBurns"
"""May fire before the alert of its cause, which excuses it then: its two minutes are 1.2 s here, and processes look at what they need every 5 s."""
SETTLE_SECONDS = 4.0
"""How long others have to fire, too, after the one that was meant."""


class Drill:
    def __init__(self, platform: Platform, prometheus: Prometheus, second: Serving) -> None:
        self.platform, self.prometheus, self.second = platform, prometheus, second
        self.log: list[str] = []
        self.fired: set[str] = set()
        """What has fired since the last fault began."""

    async def watch(self) -> None:
        """Note whatever fires, if only for a moment; the rules are evaluated once a second."""
        while True:
            self.fired |= (await asyncio.to_thread(self.prometheus.alerts))["firing"]
            await asyncio.sleep(WATCH_SECONDS)

    async def expect(self, alert: str, seconds: float = 60) -> None:
        began = time.monotonic()
        await until(lambda: alert in self.prometheus.alerts()["firing"], seconds, lambda: (alert, self.prometheus.alerts(), self.platform.statuses))
        took = time.monotonic() - began
        await asyncio.sleep(EVALUATED_SECONDS)
        assert self.fired <= {alert, AHEAD}, f"{alert} was meant, {self.fired} fired before it"
        self.fired.clear()
        await asyncio.sleep(SETTLE_SECONDS)
        assert self.fired == {alert}, f"{alert} was meant, {self.fired} fired"
        self.log.append(f"{alert}: fired after {took:.1f} s, and no other")

    async def calm(self) -> None:
        """Until nothing fires or is about to."""
        await until(lambda: not any(self.prometheus.alerts().values()), 90, lambda: (self.prometheus.alerts(), self.platform.statuses))


async def postgres_is_down(drill: Drill) -> None:
    drill.platform.cluster.server.stop()
    try:
        await drill.expect("PostgresDown")
    finally:
        drill.platform.cluster.server.start()


async def redis_is_down(drill: Drill) -> None:
    drill.platform.redis.send(signal.SIGKILL)
    try:
        await drill.expect("RedisDown")
    finally:
        drill.platform.redis.start()


@asynccontextmanager
async def locked(platform: Platform, table: str) -> AsyncIterator[None]:
    """Somebody's forgotten transaction."""
    connection = await asyncpg.connect(platform.cluster.superuser_url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(f"LOCK TABLE rollhouse.{table} IN ACCESS EXCLUSIVE MODE")
    try:
        yield
    finally:
        await transaction.rollback()
        await connection.close()


async def the_pool_is_exhausted(drill: Drill) -> None:
    async with locked(drill.platform, "resources"):
        await drill.expect("PoolExhausted")


async def a_tenant_is_hot(drill: Drill) -> None:
    client = drill.platform.clients[0]
    slug = client.base_url.split("/")[4]
    await tenants.set_limit(drill.platform.database, slug, 1, 1, cause=UNATTENDED)
    try:
        await drill.expect("HotTenant")
    finally:
        await tenants.set_limit(drill.platform.database, slug, 0, 0, cause=UNATTENDED)


async def migrations_are_pending(drill: Drill) -> None:
    """A process of the next release starts before its migrations were run; the others go on."""
    cluster = drill.platform.cluster
    ((revision,),) = await as_superuser(cluster, "SELECT version_num FROM rollhouse.alembic_version")
    await as_superuser(cluster, "UPDATE rollhouse.alembic_version SET version_num = '0001'")
    await asyncio.to_thread(drill.second.launch)
    try:
        await drill.expect("MigrationsPending")
    finally:
        await as_superuser(cluster, "UPDATE rollhouse.alembic_version SET version_num = $1", revision)


async def a_release_is_broken(drill: Drill) -> None:
    cluster = drill.platform.cluster
    ((body,),) = await as_superuser(cluster, "SELECT pg_get_functiondef('rollhouse.get_resources(uuid,text,text,text,uuid[])'::regprocedure)")
    head, _, rest = body.partition("RETURNS ")
    returns = rest.partition("\n")[0]
    await as_superuser(cluster, f"{head}RETURNS {returns} LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$")
    try:
        await drill.expect("AvailabilityBurns")
    finally:
        await as_superuser(cluster, body)


FAULTS = (postgres_is_down, redis_is_down, the_pool_is_exhausted, a_tenant_is_hot, migrations_are_pending, a_release_is_broken)
"""The broken release last: its burn is in the long windows for a while."""


async def test_each_of_six_faults_fires_its_own_alert_and_no_other(platform: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = Serving(tmp_path / "second.log", settings_of(platform.cluster, platform.redis))
    serving = [platform.serving.metrics_port, second.metrics_port]
    prometheus = Prometheus(tmp_path / "prometheus", {"rollhouse": serving, "worker": [platform.worker.metrics_port]}, rules(FACTOR))
    drill = Drill(platform, prometheus, second)
    try:
        async with platform.traffic():
            await asyncio.to_thread(prometheus.wait_for_targets, 2)
            watching = asyncio.create_task(drill.watch())
            for fault in FAULTS:
                await drill.calm()
                drill.fired.clear()
                await fault(drill)
            assert not watching.done(), "what fired was watched to the end"
            watching.cancel()
    finally:
        prometheus.stop()
        if second.process is not None:
            second.stop()
    with capsys.disabled():
        print(f"\nThe drill, windows and `for` divided by {FACTOR}:", *drill.log, sep="\n")
    assert len(drill.log) == len(FAULTS)
