"""Prometheus finds every pod by what the cluster knows, and no panel of any dashboard is empty but those of failures."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from k8s.cluster.cluster import FIRST
from k8s.cluster.processes import inside, wait_for

from tests.cluster.stage import NAMESPACE, ROOT, Stage
from tests.helm.charts import rendered
from tests.servers.prometheus import Prometheus, program

sys.path.insert(0, str(ROOT / "k8s" / "observability"))

import dashboards

PORT = 9099
FAULTS = {"rollhouse-dependencies: Errors", "rollhouse-overview: By status", "rollhouse-top-tenants: Failing most"}
"""Panels that show failures alone: none was made here."""


class InCluster(Prometheus):
    """Prometheus in the cluster's network; its targets are the endpoints of the Service for metrics, as a ServiceMonitor selects them."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.stage, self.port, self.url = stage, PORT, f"http://127.0.0.1:{PORT}"
        folder.mkdir()
        self.targets = folder / "targets.json"
        self.look()
        # Debian's Prometheus is built without the discovery of Kubernetes: what that does with endpoint slices is done in `look`.
        job = {"job_name": "rollhouse", "file_sd_configs": [{"files": [str(self.targets)], "refresh_interval": "1s"}]}
        config = {"global": {"scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s"}, "scrape_configs": [job]}
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config | {"rule_files": [str(ROOT / "helm" / "rollhouse" / "files" / "rules.yaml")]}))
        command = [program("prometheus"), f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}", "--log.level=warn"]
        stage.cluster.processes.start("prometheus", [*command, f"--web.listen-address=127.0.0.1:{PORT}"], namespace=FIRST.name)

    def look(self) -> None:
        """Find the targets as a ServiceMonitor selects them: the endpoints of Services with its labels, at the port that it names."""
        (monitor,) = (one for one in rendered({"serviceMonitor": {"enabled": True}}) if one["kind"] == "ServiceMonitor")
        wanted = ",".join(f"{name}={value}" for name, value in monitor["spec"]["selector"]["matchLabels"].items())
        found = []
        for service in self.stage.cluster.get("services", "-n", NAMESPACE, "-l", wanted)["items"]:
            for one in self.stage.cluster.get("endpointslices", "-n", NAMESPACE, "-l", f"kubernetes.io/service-name={service['metadata']['name']}")["items"]:
                for port in (port["port"] for port in one["ports"] if port["name"] == monitor["spec"]["endpoints"][0]["port"]):
                    found += [{"targets": [f"{point['addresses'][0]}:{port}"], "labels": {"pod": point["targetRef"]["name"]}} for point in one["endpoints"]]
        self.targets.write_text(json.dumps(found))

    def _ask(self, path: str, **parameters: str) -> Any:
        return inside(FIRST.name, lambda: Prometheus._ask(self, path, **parameters))

    def stop(self) -> None:
        self.stage.cluster.processes.stop("prometheus")


@pytest.fixture(scope="module")
def prometheus(stage: Stage, sender: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[InCluster]:
    # It runs beside the cluster, so what it scrapes from is no pod's address.
    stage.install(networkPolicy={"scrapers": [{"namespaceSelector": {}}, {"ipBlock": {"cidr": f"{FIRST.address}/32"}}]})
    stage.wait_ready(2)
    made = InCluster(stage, tmp_path_factory.mktemp("watch") / "prometheus")
    yield made
    made.stop()


def test_every_pod_is_scraped_and_known_by_its_name(stage: Stage, prometheus: InCluster) -> None:
    pods = {*stage.ready_pods("web"), *stage.ready_pods("worker")}
    wait_for("every pod", lambda: prometheus.look() or {one["metric"]["pod"] for one in prometheus.query("up == 1")} == pods, 60)


def test_the_panels_of_all_dashboards_show_the_cluster(stage: Stage, prometheus: InCluster, sender: tuple[str, str]) -> None:
    """Panels on faults stay empty where there is none: those are filled by the drill of `make test-observability`."""
    limited = "limited", stage.new_tenant("limited", rate=5, burst=5)
    stage.new_tenant("silent")
    stage.exec("rollhouse", "secret", "create", "silent", "--label", "ending", "--expires", "5d")
    stage.postgres.sql(
        "INSERT INTO rollhouse.tenant_health (tenant_id, last_success, failures_since_success, cycles)"
        " SELECT id, now() - interval '3 hours', 0, 1 FROM rollhouse.tenants WHERE slug = 'silent'"
    )
    with stage.traffic(*sender, pause=0.02), stage.traffic(*limited, kept=2, new=0, pause=0.02, refused=True):
        time.sleep(15)
        wait_for("the worker's look at the tenants", lambda: prometheus.query("rollhouse_tenant_stalled_seconds > 0"), 90)
        found = {}
        for uid, board in dashboards.dashboards().items():
            for panel in (one for one in board["panels"] if one["type"] != "row"):
                queries = [target["expr"].replace("$__rate_interval", "10s").replace("$tenant", f"{sender[0]}|limited") for target in panel["targets"]]
                found[f"{uid}: {panel['title']}"] = any(prometheus.query(expr) for expr in queries)
    shown = sum(found.values())
    stage.note("dashboards", panels=len(found), shown=shown, empty=sorted(name for name, one in found.items() if not one))
    assert {name for name, one in found.items() if not one} <= FAULTS


def test_nothing_is_wrong_with_a_healthy_cluster(prometheus: InCluster) -> None:
    assert prometheus.alerts()["firing"] == set()
