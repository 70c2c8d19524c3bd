"""After a load run every query of every panel answers with at least one sample of the run's own series, from a real Prometheus."""

import asyncio
import math
import sys
import time
from pathlib import Path

from rollhouse.journal.audit import UNATTENDED
from rollhouse.tenancy import credentials, tenants
from rollhouse.tenancy.secrets import Peppers
from tests.audit.chains import as_superuser
from tests.conftest import PEPPER
from tests.observability.conftest import Platform, until
from tests.observability.test_drill import locked
from tests.servers.prometheus import Prometheus

sys.path.insert(0, str(Path(__file__).parents[2] / "k8s" / "observability"))

import dashboards
from pictures import draw
from rules import rules

FACTOR = 100
RATE_INTERVAL = "8s"
LOAD_SECONDS = 8


async def a_busy_day(platform: Platform, prometheus: Prometheus) -> None:
    """Everything that a panel can show: load, a tenant over its limit, one that stalls, a secret that ends, waits, and errors."""
    hot, stalled = (client.base_url.split("/")[4] for client in platform.clients[:2])
    await tenants.set_limit(platform.database, hot, 1, 1, cause=UNATTENDED)
    soon = (await platform.database.query("SELECT clock_timestamp() + interval '5 days'"))[0][0]
    ending = await tenants.find_tenant(platform.database, stalled)
    await credentials.create_secret(platform.database, Peppers.parse(PEPPER), ending, cause=UNATTENDED, expires=soon)
    quiet = await tenants.create_tenant(platform.database, "silent", "Silent", cause=UNATTENDED)
    await as_superuser(
        platform.cluster,
        "INSERT INTO rollhouse.tenant_health (tenant_id, last_success, failures_since_success, cycles) VALUES ($1, now() - interval '3 hours', 0, 1)",
        quiet.id,
    )
    async with platform.traffic(pause=0.02):
        await asyncio.sleep(LOAD_SECONDS / 2)
        async with locked(platform, "resources"):
            await asyncio.sleep(2.5)  # longer than a lock or a connection is waited for
        await asyncio.sleep(LOAD_SECONDS / 2)
        await platform.clients[0].http.get(f"{platform.serving.url}/livez")
        await until(lambda: prometheus.query('rollhouse_tenants{state="stalled"} >= 1'), 45, lambda: prometheus.query("rollhouse_tenants"))
        await until(lambda: prometheus.query("rollhouse_tenant_stalled_seconds"), 5, lambda: "")


def empty(prometheus: Prometheus) -> list[tuple[str, str, str]]:
    """The queries that answer with nothing, or with no number."""
    found = []
    for uid, board in dashboards.dashboards().items():
        for panel in (one for one in board["panels"] if one["type"] != "row"):
            for target in panel["targets"]:
                expr = target["expr"].replace("$__rate_interval", RATE_INTERVAL).replace("$tenant", ".+")
                assert "vector(" not in expr
                assert "absent(" not in expr
                samples = prometheus.query(expr)
                if not any(math.isfinite(float(sample["value"][1])) for sample in samples):
                    found.append((uid, panel["title"], expr))
    return found


async def test_no_panel_is_empty_after_a_load_run(platform: Platform, tmp_path: Path) -> None:
    targets = {"rollhouse": [platform.serving.metrics_port], "worker": [platform.worker.metrics_port]}
    prometheus = Prometheus(tmp_path / "prometheus", targets, rules(FACTOR))
    try:
        await asyncio.to_thread(prometheus.wait_for_targets, 2)
        await a_busy_day(platform, prometheus)
        await until(lambda: empty(prometheus) == [], 10, lambda: empty(prometheus))
        assert platform.statuses.get(429), "one tenant was over its limit"
        picture = draw(dashboards.dashboards()["rollhouse-overview"], prometheus.url, time.time() - 20, time.time(), rate_interval=RATE_INTERVAL, step=1)
        assert picture.count("<polyline") >= 10
    finally:
        prometheus.stop()


async def test_exemplars_lead_from_a_metric_to_its_trace(platform: Platform, tmp_path: Path) -> None:
    platform.serving.stop()
    platform.serving.environment |= {"ROLLHOUSE_OTLP_ENDPOINT": "http://127.0.0.1:9", "ROLLHOUSE_TRACE_ONE_IN": "1"}
    platform.serving.start()
    prometheus = Prometheus(tmp_path / "prometheus", {"rollhouse": [platform.serving.metrics_port]})
    try:
        await asyncio.to_thread(prometheus.wait_for_targets, 1)
        answer = await platform.clients[0].get("/Users")
        trace = answer.headers["x-request-id"].rjust(32, "0")

        def has_come() -> bool:
            found = prometheus.exemplars("http_server_request_duration_seconds_bucket")
            return any(one["labels"]["trace_id"] == trace for series in found for one in series["exemplars"])

        await until(has_come, 10, lambda: prometheus.exemplars("http_server_request_duration_seconds_bucket"))
    finally:
        prometheus.stop()
