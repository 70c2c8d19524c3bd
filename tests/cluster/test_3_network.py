"""Network policies as a real controller enforces them: who reaches what, and who does not."""

import json
from typing import Any

import pytest
from k8s.cluster.cluster import FIRST
from k8s.cluster.processes import wait_for

from tests.cluster.stage import NAMESPACE, POSTGRES_PORT, REDIS_PORT, RESTRICTED, Stage

LOOK = """
import json, socket, sys
found = {}
for place in sys.argv[1:]:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 3).close()
        found[place] = True
    except OSError:
        found[place] = False
print(json.dumps(found))
"""
LISTEN = "import socket, time; server = socket.create_server(('', 8080)); time.sleep(3600)"


def pod(name: str, namespace: str, image: str) -> dict[str, Any]:
    """A pod that listens on 8080, as restricted as the service's."""
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "look",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["python", "-c", LISTEN],
        "securityContext": security,
    }
    spec = {"containers": [container], "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec | {"terminationGracePeriodSeconds": 0}}


def reached(stage: Stage, where: str, namespace: str, *places: str) -> dict[str, bool]:
    """What a pod can open a connection to."""
    return json.loads(stage.cluster.kubectl("exec", "-n", namespace, where, "--", "python", "-c", LOOK, *places))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def looking(stage: Stage, sender: tuple[str, str]) -> Stage:
    """Two namespaces with a pod each: the gateway's, and a stranger's."""
    for name in ("gateways", "strangers"):
        stage.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}})
        stage.cluster.apply(pod("look", name, "localhost/rollhouse:test"))
    for name in ("gateways", "strangers"):
        stage.cluster.kubectl("wait", "-n", name, "--for=condition=Ready", "pod/look", "--timeout=60s")
    allowed = {"clients": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateways"}}}], "https": False}
    scrapers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    stage.install(networkPolicy=allowed | {"scrapers": scrapers})
    return stage


def test_only_the_gateway_reaches_the_service_and_nobody_its_metrics(looking: Stage) -> None:
    service, metrics = f"{looking.address()}:80", f"{looking.pods()[0]['status']['podIP']}:9090"

    wait_for("the gateway's way in", lambda: reached(looking, "look", "gateways", service)[service], 60)
    wait_for("the stranger's refusal", lambda: not reached(looking, "look", "strangers", service)[service], 60)
    assert reached(looking, "look", "gateways", service, metrics) == {service: True, metrics: False}
    assert reached(looking, "look", "strangers", service, metrics) == {service: False, metrics: False}


def test_a_pod_of_the_service_reaches_its_servers_and_nothing_else(looking: Stage) -> None:
    postgres, redis = f"{FIRST.address}:{POSTGRES_PORT}", f"{FIRST.address}:{REDIS_PORT}"
    api, stranger = f"{FIRST.address}:6443", f"{looking.cluster.get('pod', 'look', '-n', 'strangers')['status']['podIP']}:8080"

    wait_for("a stranger that can be reached", lambda: reached(looking, "look", "gateways", stranger, api) == {stranger: True, api: True}, 30)
    for component in ("web", "worker"):
        found = reached(looking, f"deploy/rollhouse-{component}", NAMESPACE, postgres, redis, api, stranger)
        assert found == {postgres: True, redis: True, api: False, stranger: False}, component


def test_helm_test_passes_under_the_policies(looking: Stage) -> None:
    told = looking.cluster.helm("test", "rollhouse", "-n", NAMESPACE, "--timeout", "120s")
    assert "Phase:          Succeeded" in told.stdout


def test_a_pod_that_is_not_restricted_is_not_admitted_beside_it(looking: Stage) -> None:
    loose = pod("loose", NAMESPACE, "localhost/rollhouse:test")
    del loose["spec"]["securityContext"]
    with pytest.raises(RuntimeError, match="violates PodSecurity"):
        looking.cluster.apply(loose)
