"""Every example's objects against a real API server: its own validation, the custom resources' definitions, and Pod Security."""

import json
from typing import Any

import pytest
import yaml
from k8s.cluster.cluster import Cluster
from k8s.cluster.processes import wait_for
from k8s.cluster.tools import definitions

from tests.cluster.stage import RESTRICTED, ROOT
from tests.helm.charts import EXAMPLES, rendered

ELSEWHERE = ("external-secrets.io", "gateway.envoyproxy.io")
"""Kinds of operators whose definitions are not installed."""


@pytest.fixture(scope="module")
def strict(cluster: Cluster) -> Cluster:
    """A namespace of the highest level, and the definitions of routes, monitors and rules."""
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tried", "labels": RESTRICTED}})
    cluster.apply({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000})
    for path in definitions():
        cluster.kubectl("apply", "--server-side", "-f", str(path))
    kinds = ("httproutes", "servicemonitors", "prometheusrules")
    wait_for("the new kinds", lambda: all(cluster.kubectl("get", kind, "-A") or True for kind in kinds))
    return cluster


def tried(cluster: Cluster, objects: list[dict[str, Any]]) -> str:
    """What the server says of objects that it is only asked about."""
    for one in objects:
        one["metadata"]["namespace"] = "tried"
    if accounts := [one for one in objects if one["kind"] == "ServiceAccount"]:
        cluster.apply(*accounts)  # a pod is not even tried without its account
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    return cluster.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "-f", "-", stdin=listed)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_server_takes_every_object_of_an_example(strict: Cluster, example: str) -> None:
    objects = [one for one in rendered(EXAMPLES[example]) if not one["apiVersion"].startswith(ELSEWHERE)]

    told = tried(strict, objects)

    assert len(told.splitlines()) == len(objects)


def test_the_server_takes_the_manifests_that_are_made_without_helm(strict: Cluster) -> None:
    made = strict.kubectl("kustomize", str(ROOT / "k8s" / "rendered"))
    objects = [one for one in yaml.safe_load_all(made) if one]
    assert {one["kind"] for one in objects} >= {"Deployment", "Job", "Service", "NetworkPolicy", "PodDisruptionBudget"}
    tried(strict, objects)


def test_the_server_refuses_what_a_definition_does_not_know(strict: Cluster) -> None:
    objects = [one for one in rendered(EXAMPLES["production"]) if one["kind"] == "HTTPRoute"]
    objects[0]["spec"]["rules"][0]["timeouts"] = {"request": "soon"}
    with pytest.raises(RuntimeError, match="timeouts"):
        tried(strict, objects)
