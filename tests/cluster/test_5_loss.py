"""What is lost without a warning: a pod's process, Postgres, a whole node. The service comes back by itself."""

import signal
import time

from k8s.cluster.processes import wait_for

from tests.cluster.stage import NAMESPACE, Stage


def test_a_killed_process_is_started_again_and_the_other_pod_serves(stage: Stage, sender: tuple[str, str]) -> None:
    stage.install()
    stage.wait_ready(2)
    victim = stage.ready_pods()[0]
    with stage.traffic(*sender, pause=0.02) as sent:
        stage.cluster.kubectl("exec", "-n", NAMESPACE, victim, "--", "python", "-c", "import os, signal; os.kill(1, signal.SIGTERM)", check=False)
        wait_for("a restart", lambda: stage.cluster.get("pod", victim, "-n", NAMESPACE)["status"]["containerStatuses"][0]["restartCount"] == 1, 60)
        stage.wait_ready(2)
    stage.note("kill -TERM of a process", requests=sent.requests, failed=len(sent.failures), longest=sent.longest)
    assert sent.failures == []


def test_an_outage_of_postgres_restarts_no_pod_and_heals(stage: Stage, sender: tuple[str, str]) -> None:
    restarts = [one["status"]["containerStatuses"][0]["restartCount"] for one in stage.pods()]
    stage.postgres.stop(signal.SIGQUIT)
    time.sleep(12)
    stage.postgres.start()
    began = time.monotonic()
    stage.wait_ready(2)
    with stage.traffic(*sender, pause=0.02) as sent:
        time.sleep(3)
    stage.note("after an outage of Postgres", seconds=time.monotonic() - began, failed=len(sent.failures))
    assert sent.failures == []
    assert [one["status"]["containerStatuses"][0]["restartCount"] for one in stage.pods()] == restarts


def test_a_lost_node_costs_its_pods_and_nothing_else(stage: Stage, sender: tuple[str, str]) -> None:
    """Its kubelet ends and its wire is cut; other pods take its place on the node that is left."""
    cluster = stage.cluster
    lost = cluster.second()
    cluster.cut(lost.node)
    lost.stop_kubelet()
    began = time.monotonic()
    wait_for("no endpoint on the lost node", lambda: stage.serving_nodes() == {"rollhouse-a"}, 60)
    away = time.monotonic() - began
    wait_for(
        "two pods on the node that is left",
        lambda: len([one for one in stage.pods() if one["spec"]["nodeName"] == "rollhouse-a" and stage.is_ready(one)]) == 2,
        120,
    )
    whole = time.monotonic() - began
    with stage.traffic(*sender, pause=0.02) as sent:
        time.sleep(5)
    stage.note("a lost node", traffic_away_seconds=away, whole_again_seconds=whole, failed=len(sent.failures))
    assert sent.failures == []
    cluster.join(lost)
    wait_for("the node again", lambda: len(cluster.ready_nodes()) == 2, 60)
