"""A release's life on a real cluster: installed, upgraded, rolled back, scaled, drained, robbed of a node, removed. In this order."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from k8s.cluster.cluster import FIRST
from k8s.cluster.processes import wait_for

from rollhouse.database.roles import login_script
from tests.cluster.stage import NAMESPACE, Stage
from tests.servers.outside import PASSWORDS

ENOUGH = 10_000
"""Requests over all that is done to the service; none of them may fail."""


def test_an_install_is_ready_within_a_minute_and_leaves_no_migration_behind(stage: Stage) -> None:
    began = time.monotonic()
    stage.install("install")
    seconds = time.monotonic() - began

    stage.note("install", seconds=seconds, goal=60)
    assert seconds < 60
    assert len(stage.ready_pods("web")) == 2
    assert len(stage.ready_pods("worker")) == 1
    assert stage.cluster.get("jobs", "-n", NAMESPACE)["items"] == []
    stage.note("pod", seconds=max(ready_after(one) for one in stage.pods()), goal=5)


def ready_after(pod: dict[str, Any]) -> float:
    """Seconds from a pod's place on a node to its readiness; Kubernetes tells whole ones."""
    at = {one["type"]: datetime.fromisoformat(one["lastTransitionTime"]) for one in pod["status"]["conditions"]}
    return (at["Ready"] - at["PodScheduled"]).total_seconds()


def test_the_pods_of_web_are_on_both_nodes(stage: Stage) -> None:
    assert len({one["spec"]["nodeName"] for one in stage.pods("web")}) == 2


def test_helm_test_says_that_all_is_right(stage: Stage) -> None:
    told = stage.cluster.helm("test", "rollhouse", "-n", NAMESPACE, "--timeout", "120s")
    assert "Phase:          Succeeded" in told.stdout


def test_what_the_notes_say_makes_a_tenant_that_can_be_used(stage: Stage, sender: tuple[str, str]) -> None:
    with stage.traffic(*sender, pause=0.005) as sent:
        time.sleep(5)
    assert sent.failures == []
    assert sent.count > 100


def test_a_roll_out_fails_no_request(stage: Stage, sender: tuple[str, str]) -> None:
    before = set(stage.ready_pods())
    with stage.traffic(*sender) as sent:
        began = time.monotonic()
        stage.install(web={"podAnnotations": {"rolled": "1"}})
        seconds = time.monotonic() - began
        wait_for("the old pods' end", lambda: not before & {one["metadata"]["name"] for one in stage.pods()})
    stage.note("roll-out", requests=sent.requests, failed=len(sent.failures), longest=sent.longest, seconds=seconds)
    assert sent.failures == []


def test_a_migration_that_fails_leaves_the_old_pods_serving(stage: Stage, sender: tuple[str, str]) -> None:
    before = set(stage.ready_pods())
    stage.secret("wrong", password="not the migrator's")
    with stage.traffic(*sender) as sent:
        refused = stage.install(
            check=False,
            secrets={"migratorPassword": {"name": "wrong", "key": "password"}},
            migration={"backoffLimit": 0},
            web={"podAnnotations": {"rolled": "2"}},
        )
    stage.note("failed migration", requests=sent.requests, failed=len(sent.failures))
    assert refused.returncode != 0
    assert sent.failures == []
    assert set(stage.ready_pods()) == before
    told = stage.cluster.kubectl("logs", "-n", NAMESPACE, "job/rollhouse-migration")
    assert "Postgres refuses the migrator" in told


def test_after_a_failed_upgrade_the_next_one_goes_through(stage: Stage) -> None:
    stage.install(web={"podAnnotations": {"rolled": "3"}})
    assert len(stage.ready_pods()) == 2


def test_as_an_ordinary_job_the_migration_does_not_deadlock_with_wait(stage: Stage, sender: tuple[str, str]) -> None:
    with stage.traffic(*sender) as sent:
        stage.install(migration={"mode": "job"}, web={"podAnnotations": {"rolled": "4"}})
    assert sent.failures == []
    jobs = stage.cluster.get("jobs", "-n", NAMESPACE)["items"]
    assert [one["status"].get("succeeded") for one in jobs] == [1]


def test_a_rollback_fails_no_request(stage: Stage, sender: tuple[str, str]) -> None:
    before = set(stage.ready_pods())
    with stage.traffic(*sender) as sent:
        stage.cluster.helm("rollback", "rollhouse", "-n", NAMESPACE, "--wait", "--timeout", "150s")
        wait_for("the old pods' end", lambda: not before & {one["metadata"]["name"] for one in stage.pods()})
    stage.note("rollback", requests=sent.requests, failed=len(sent.failures), longest=sent.longest)
    assert sent.failures == []


def test_the_exchange_of_the_database_password_fails_no_request(stage: Stage, sender: tuple[str, str]) -> None:
    """By a second login, as docs/kubernetes.md says; both are good until no pod has a session of the first."""
    stage.postgres.sql(login_script("rollhouse_app_2"), "postgres")
    stage.postgres.sql("ALTER ROLE rollhouse_app_2 PASSWORD 'an$ther %one'", "postgres")
    stage.secret("rollhouse-database", app=PASSWORDS["rollhouse_app"], migrator=PASSWORDS["rollhouse_migrator"], **{"app-2": "an$ther %one"})
    of_the_first = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'rollhouse_app' AND datname = 'rollhouse'"
    with stage.traffic(*sender) as sent:
        stage.install(database={"user": "rollhouse_app_2"}, secrets={"databasePassword": {"key": "app-2"}})
        wait_for("the end of the first login's sessions", lambda: stage.postgres.sql(of_the_first, "postgres") == "0")
        stage.postgres.sql("ALTER ROLE rollhouse_app PASSWORD NULL", "postgres")
        time.sleep(2)
    stage.note("exchange of the database password", requests=sent.requests, failed=len(sent.failures), longest=sent.longest)
    assert sent.failures == []
    stage.postgres.give_passwords()
    stage.install()


def test_scaling_down_and_the_end_of_single_pods_fail_no_request(stage: Stage, sender: tuple[str, str]) -> None:
    cluster = stage.cluster
    cluster.kubectl("scale", "-n", NAMESPACE, "deploy/rollhouse-web", "--replicas=3")
    stage.wait_ready(3)
    with stage.traffic(*sender) as sent:
        cluster.kubectl("scale", "-n", NAMESPACE, "deploy/rollhouse-web", "--replicas=2")
        wait_for("two pods", lambda: len(stage.pods()) == 2)
        victim = stage.ready_pods()[0]
        cluster.kubectl("delete", "pod", "-n", NAMESPACE, victim, "--wait=true")
        stage.wait_ready(2)
    stage.note("scale-down and deletion", requests=sent.requests, failed=len(sent.failures), longest=sent.longest)
    assert sent.failures == []


def test_a_drain_of_the_node_that_has_both_pods_takes_one_at_a_time_and_fails_no_request(stage: Stage, sender: tuple[str, str]) -> None:
    cluster, node = stage.cluster, stage.cluster.second().node.name
    cluster.kubectl("cordon", FIRST.name)
    cluster.kubectl("rollout", "restart", "-n", NAMESPACE, "deploy/rollhouse-web")
    cluster.kubectl("rollout", "status", "-n", NAMESPACE, "deploy/rollhouse-web", "--timeout=120s")
    wait_for("both pods on one node", lambda: [one["spec"]["nodeName"] for one in stage.pods()] == [node, node])
    cluster.kubectl("uncordon", FIRST.name)
    fewest = 2
    with stage.traffic(*sender) as sent:
        began = time.monotonic()
        with ThreadPoolExecutor(1) as drain:
            draining = drain.submit(cluster.kubectl, "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")
            while not draining.done():
                fewest = min(fewest, len(stage.ready_pods()))
            draining.result()
        seconds = time.monotonic() - began
        stage.wait_ready(2)
        assert {one["spec"]["nodeName"] for one in stage.pods() if "deletionTimestamp" not in one["metadata"]} == {FIRST.name}
    cluster.kubectl("uncordon", node)
    stage.note("drain of the node with both pods", requests=sent.requests, failed=len(sent.failures), longest=sent.longest, seconds=seconds)
    assert fewest == 1, "one was taken, and the other only after it was replaced"
    assert sent.failures == []


def test_a_budget_lets_one_pod_go_at_a_time(stage: Stage) -> None:
    allowed = stage.cluster.get("pdb", "rollhouse-web", "-n", NAMESPACE)["status"]["disruptionsAllowed"]
    assert allowed == 1


def test_all_that_was_done_so_far_was_done_under_enough_requests(stage: Stage) -> None:
    figures = {name: one for name, one in stage.figures.items() if "requests" in one}
    requests = sum(sum(one["requests"].values()) for one in figures.values())
    stage.note("sum", requests={kind: sum(one["requests"][kind] for one in figures.values()) for kind in ("kept", "new")}, failed=0)
    print(json.dumps(stage.figures, indent=1))
    assert requests >= ENOUGH
