"""The service in the cluster: what it needs outside, its release, and clients that send while something is done to it."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from k8s.cluster.cluster import FIRST, Cluster
from k8s.cluster.processes import wait_for

from rollhouse.journal.sealing import new_audit_key
from rollhouse.tenancy.secrets import new_pepper
from tests.servers.outside import PASSWORDS, OutsidePostgres, OutsideRedis

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "rollhouse"
NAMESPACE = "rollhouse"
INSIDE = ("nsenter", f"--net=/run/netns/{FIRST.name}")
POSTGRES_PORT, REDIS_PORT = 5432, 6379
CONNECTIONS = 150
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


@dataclass
class Sent:
    """What clients sent and what failed."""

    requests: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    longest: float = 0.0
    seconds: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.requests.values())


class Stage:
    """One namespace with the Secrets, and servers beside the cluster."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.postgres = OutsidePostgres(folder / "pg", FIRST.address, POSTGRES_PORT, prefix=INSIDE, connections=CONNECTIONS)
        self.redis = OutsideRedis(folder / "redis", FIRST.address, REDIS_PORT, prefix=INSIDE)
        self.figures: dict[str, Any] = {}

    def note(self, name: str, **figures: Any) -> None:
        """Keep a figure for the table."""
        self.figures[name] = figures

    def start(self) -> None:
        self.postgres.start()
        self.redis.start()
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": RESTRICTED}})
        self.secret("rollhouse-database", app=PASSWORDS["rollhouse_app"], migrator=PASSWORDS["rollhouse_migrator"])
        self.secret("rollhouse-redis", password=PASSWORDS["redis"])
        self.secret("rollhouse-keys", **{"peppers": new_pepper(), "audit-key": new_audit_key()})

    def stop(self) -> None:
        self.redis.stop()
        self.postgres.stop()

    def secret(self, name: str, **values: str) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        self.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data})

    def values(self, **more: Any) -> dict[str, Any]:
        """The small example's values with what this cluster has."""
        from tests.helm.charts import EXAMPLES, merged

        here = {
            "publicUrl": "https://scim.example.com",
            "image": {"repository": "localhost/rollhouse", "tag": "test", "pullPolicy": "Never"},
            "database": {"host": FIRST.address, "maxConnections": CONNECTIONS},
            "redis": {"host": FIRST.address},
            "networkPolicy": {"dns": [{"ipBlock": {"cidr": f"{FIRST.address}/32"}}]},
            "web": {"resources": {"requests": {"cpu": "100m", "memory": "192Mi"}}, "replicas": 2, "drainSeconds": 8, "preStopSeconds": 2},
        }
        return merged(EXAMPLES["small"], here, more)

    def write(self, values: dict[str, Any], name: str = "values") -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    def install(self, verb: str = "upgrade", *options: str, chart: Path = CHART, check: bool = True, **more: Any) -> "subprocess.CompletedProcess[str]":
        values = self.write(self.values(**more))
        if verb == "upgrade":
            options = ("--install", *options)
        return self.cluster.helm(verb, "rollhouse", str(chart), "-n", NAMESPACE, "-f", str(values), "--wait", "--timeout", "150s", *options, check=check)

    def is_installed(self) -> bool:
        return "rollhouse" in self.cluster.helm("list", "-n", NAMESPACE, "-q").stdout

    def pods(self, component: str = "web") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cluster.get("pods", "-n", NAMESPACE, "-l", f"app.kubernetes.io/component={component}")["items"]
        return found

    def ready_pods(self, component: str = "web") -> list[str]:
        return [one["metadata"]["name"] for one in self.pods(component) if self.is_ready(one)]

    @staticmethod
    def is_ready(pod: dict[str, Any]) -> bool:
        conditions = pod["status"].get("conditions", [])
        return "deletionTimestamp" not in pod["metadata"] and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def serving_nodes(self) -> set[str]:
        """The nodes of the pods to which the Service leads."""
        slices = self.cluster.get("endpointslices", "-n", NAMESPACE, "-l", "kubernetes.io/service-name=rollhouse-web")["items"]
        return {point["nodeName"] for one in slices for point in one["endpoints"] or [] if point["conditions"]["ready"]}

    def exec(self, *command: str) -> str:
        return self.cluster.kubectl("exec", "-n", NAMESPACE, "deploy/rollhouse-web", "--", *command)

    def address(self) -> str:
        return str(self.cluster.get("service", "rollhouse-web", "-n", NAMESPACE)["spec"]["clusterIP"])

    def new_tenant(self, slug: str, rate: int = 0, burst: int = 0) -> str:
        """The secret of a new tenant, made as the notes of the chart say; with a rate of 0 it has no limit."""
        self.exec("rollhouse", "tenant", "create", slug, "--name", slug)
        self.exec("rollhouse", "tenant", "set-limit", slug, "--rate", str(rate), "--burst", str(burst))
        made = json.loads(self.exec("rollhouse", "secret", "create", slug, "--label", "test", "--json"))
        return str(made["secret"])

    def operator_key(self, *scopes: str) -> str:
        """A key for the admin API."""
        options = [part for scope in scopes for part in ("--scope", scope)]
        made = json.loads(self.exec("rollhouse", "api-key", "create", *options, "--label", "test", "--expires", "1d", "--json"))
        return str(made["key"])

    def hpa(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.get("hpa", "rollhouse-web", "-n", NAMESPACE)
        return found

    def inside(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """A run of Python in the cluster's network."""
        command = [*INSIDE, sys.executable, *arguments]
        return subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=300)

    @contextlib.contextmanager
    def traffic(self, slug: str, secret: str, *, kept: int = 4, new: int = 4, pause: float = 0.01, refused: bool = False) -> Iterator[Sent]:
        """Clients that send for the length of the block; afterwards the result says how it went."""
        url = f"http://{self.address()}/t/{slug}/scim/v2"
        options = ("--url", url, "--secret", secret, "--kept", str(kept), "--new", str(new), "--pause", str(pause), *(["--refused"] if refused else []))
        command = [*INSIDE, sys.executable, "-m", "tests.cluster.traffic", *options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        sent = Sent()
        time.sleep(2)
        try:
            yield sent
        finally:
            process.send_signal(signal.SIGTERM)
            output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        told = json.loads(output)
        sent.requests, sent.failures, sent.longest, sent.seconds = told["requests"], told["failures"], told["longest"], told["seconds"]

    def wait_ready(self, count: int, component: str = "web", seconds: float = 90) -> None:
        wait_for(f"{count} ready pods of {component}", lambda: len(self.ready_pods(component)) == count, seconds)
