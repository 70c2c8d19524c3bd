"""The autoscaler under locust: from one pod to the most within a minute, back without flapping, and an upgrade in between that keeps its pods."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from k8s.cluster.processes import wait_for
from loadtests.keys import SCOPES

from tests.cluster.stage import INSIDE, NAMESPACE, ROOT, Stage

MOST = 4
QUICK = {"scaleDown": {"stabilizationWindowSeconds": 15, "policies": [{"type": "Percent", "value": 50, "periodSeconds": 15}]}}
"""Back sooner than the chart's five minutes; up as the chart has it."""
AUTOSCALING = {
    "web": {"autoscaling": {"enabled": True, "minReplicas": 1, "maxReplicas": MOST, "cpuPercent": 60, "behavior": QUICK}},
    "database": {"connections": 16, "maxConnections": 150},
}


class Watch:
    """How many pods are wanted and ready, every second."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.seen = stage, []
        self._ended = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(1):
            status = self.stage.cluster.get("deploy", "rollhouse-web", "-n", NAMESPACE)
            ready = status["status"].get("readyReplicas", 0)
            self.seen.append((round(time.monotonic() - self._began, 1), status["spec"]["replicas"], ready))

    def end(self) -> list[tuple[float, int, int]]:
        self._ended.set()
        self._thread.join()
        return self.seen


@pytest.fixture(scope="module")
def scaled(stage: Stage, sender: tuple[str, str]) -> Stage:
    stage.install(**AUTOSCALING)
    wait_for(
        "figures of the pods' CPU",
        lambda: "<unknown>" not in stage.cluster.kubectl("get", "hpa", "-n", NAMESPACE) and stage.hpa()["status"].get("currentMetrics"),
    )
    wait_for("one pod", lambda: len(stage.pods()) == 1)
    return stage


def turns(seen: list[tuple[float, int, int]]) -> int:
    """How often the wanted number changed its direction."""
    wanted = [one[1] for one in seen]
    steps = [1 if after > before else -1 for before, after in pairwise(wanted) if after != before]
    return sum(before != after for before, after in pairwise(steps))


@contextlib.contextmanager
def locust(stage: Stage, folder: Path, profile: str, tenants: int, minutes: float) -> Iterator[dict[str, Any]]:
    """A run of the load tests against the cluster, in one command; the block begins when it sends, and the result is whole after it."""
    result = folder / f"{profile}.json"
    command = ["-m", "loadtests", "--profile", profile, "--url", f"http://{stage.address()}", "--tenants", str(tenants), "--minutes", str(minutes)]
    command += ["--plan", str(folder / "plan.json"), "--json", str(result), "--picture", str(folder / f"{profile}.svg")]
    with (folder / "locust.err").open("wb") as errors:
        run = [*INSIDE, sys.executable, *command]
        process = subprocess.Popen(run, cwd=ROOT, env=os.environ | {"ROLLHOUSE_OPERATOR_KEY": stage.operator_key(*SCOPES)}, stdout=errors, stderr=errors)
    found: dict[str, Any] = {}
    try:
        wait_for("locust's first requests", lambda: f"{tenants} tenants, " in (folder / "locust.err").read_text(), 60)
        yield found
        process.wait(minutes * 60 + 120)
    finally:
        process.kill()
        process.wait()
    assert result.exists(), (folder / "locust.err").read_text()[-3000:]
    found |= json.loads(result.read_text())


def test_locust_brings_the_most_pods_within_a_minute_and_its_end_takes_them_back_without_a_failed_request(
    scaled: Stage, sender: tuple[str, str], tmp_path: Path
) -> None:
    watch = Watch(scaled)
    try:
        with scaled.traffic(*sender, kept=2, new=2, pause=0.1) as sent:
            with locust(scaled, tmp_path, "certification", 16, 1.2) as load:
                began = time.monotonic()
                wait_for("the most pods", lambda: len(scaled.ready_pods()) == MOST, 90)
                up = time.monotonic() - began
                scaled.install(**AUTOSCALING | {"commonLabels": {"upgraded": "1"}})
                assert scaled.cluster.get("deploy", "rollhouse-web", "-n", NAMESPACE)["spec"]["replicas"] == MOST, "an upgrade keeps what the autoscaler set"
            began = time.monotonic()
            wait_for("one pod", lambda: len(scaled.pods()) == 1, 180)
            down = time.monotonic() - began
    finally:
        seen = watch.end()
    (role,) = load["roles"].values()
    scaled.note("autoscaling", up_seconds=up, down_seconds=down, requests=sent.requests, failed=len(sent.failures), longest=sent.longest, replicas=seen)
    scaled.note("autoscaling, locust's requests", requests={"kept": role["requests"], "new": 0}, failed=role["errors"], p99_ms=role["p99_ms"])
    assert up <= 60
    assert sent.failures == []
    assert role["errors"] == 0, load["reasons"]
    assert turns(seen) == 1


def test_the_baseline_passes_against_the_cluster(scaled: Stage, tmp_path: Path) -> None:
    with locust(scaled, tmp_path, "baseline", 3, 0.4) as load:
        pass
    assert load["passed"], load["conditions"]
    assert "<svg" in (tmp_path / "baseline.svg").read_text()


def test_back_to_fixed_replicas(scaled: Stage) -> None:
    """As docs/kubernetes.md has it: the autoscaler goes first, else it sets the pods once more; and Helm asks before it takes them back."""
    scaled.cluster.kubectl("delete", "hpa", "-n", NAMESPACE, "rollhouse-web")
    scaled.install("upgrade", "--force-conflicts")
    scaled.wait_ready(2)
    assert "replicas" in scaled.cluster.get("deploy", "rollhouse-web", "-n", NAMESPACE)["spec"]
