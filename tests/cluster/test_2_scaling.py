"""The autoscaler under a real load: from one pod to the most within a minute, back without flapping, and an upgrade in between that keeps its pods."""

import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from k8s.cluster.processes import wait_for
from loadtests.keys import SCOPES

from tests.cluster.stage import NAMESPACE, Stage

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


def test_a_load_brings_the_most_pods_within_a_minute_and_its_end_takes_them_back_without_a_failed_request(
    scaled: Stage, sender: tuple[str, str], tmp_path: Path
) -> None:
    watch = Watch(scaled)
    try:
        with scaled.traffic(*sender, kept=10, new=10, pause=0.005) as sent:
            began = time.monotonic()
            wait_for("the most pods", lambda: len(scaled.ready_pods()) == MOST, 90)
            up = time.monotonic() - began
            scaled.install(**AUTOSCALING | {"commonLabels": {"upgraded": "1"}})
            assert scaled.cluster.get("deploy", "rollhouse-web", "-n", NAMESPACE)["spec"]["replicas"] == MOST, "an upgrade keeps what the autoscaler set"
        with scaled.traffic(*sender, kept=2, new=2, pause=0.2) as after:
            began = time.monotonic()
            wait_for("one pod", lambda: len(scaled.pods()) == 1, 180)
            down = time.monotonic() - began
    finally:
        seen = watch.end()
    scaled.note("autoscaling", up_seconds=up, down_seconds=down, requests=sent.requests, failed=len(sent.failures), longest=sent.longest, replicas=seen)
    scaled.note("scale-down by the autoscaler", requests=after.requests, failed=len(after.failures), longest=after.longest)
    assert up <= 60
    assert sent.failures == []
    assert after.failures == []
    assert turns(seen) == 1


def test_locust_runs_against_the_cluster_in_one_command(scaled: Stage, tmp_path: Path) -> None:
    key = scaled.operator_key(*SCOPES)
    command = ["-m", "loadtests", "--profile", "baseline", "--url", f"http://{scaled.address()}", "--tenants", "3", "--minutes", "0.4"]
    result, picture = tmp_path / "result.json", tmp_path / "result.svg"
    done = scaled.inside(*command, "--plan", str(tmp_path / "plan.json"), "--json", str(result), "--picture", str(picture), ROLLHOUSE_OPERATOR_KEY=key)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "<svg" in picture.read_text()
    scaled.note("locust", said=done.stdout.strip().splitlines()[-1][:200])


def test_back_to_fixed_replicas(scaled: Stage) -> None:
    """The autoscaler owns `replicas` by then, and Helm asks before it takes them back: docs/kubernetes.md."""
    scaled.install("upgrade", "--force-conflicts")
    scaled.wait_ready(2)
    assert "replicas" in scaled.cluster.get("deploy", "rollhouse-web", "-n", NAMESPACE)["spec"]
