"""Every object against the strict schemas of every Kubernetes that the chart names, and values that nobody thought of."""

import functools
from typing import Any

import kubernetes_validate
import pytest
from helm_python import HelmError
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.helm.charts import EXAMPLES, containers, merged, of_kind, pods, rendered, with_value
from tests.helm.test_values import SCHEMA, values_of

kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)  # it reads two files for every object
VERSIONS = ("1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
BUILT_IN = ("v1", "apps/v1", "batch/v1", "autoscaling/v2", "policy/v1", "networking.k8s.io/v1")
NEWEST = VERSIONS[-1]
CASES = 1000
"""Sets of values; each renders the chart and holds every object to the newest schemas."""


def valid(objects: list[dict[str, Any]], version: str) -> None:
    for one in objects:
        if one["apiVersion"] in BUILT_IN:
            kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("example", EXAMPLES)
def test_every_object_is_one_of_that_kubernetes(example: str, version: str) -> None:
    valid(rendered(EXAMPLES[example]), version)


LISTS: dict[str, st.SearchStrategy[Any]] = {
    "image.pullSecrets": st.just([{"name": "registry"}]),
    "ingress.hosts": st.lists(st.from_regex(r"[a-z]{1,9}\.example\.com", fullmatch=True), max_size=3, unique=True),
    "httpRoute.hostnames": st.lists(st.from_regex(r"[a-z]{1,9}\.example\.com", fullmatch=True), max_size=3),
    "httpRoute.parentRefs": st.just([{"name": "public", "namespace": "gateways"}]),
    "extraEnv": st.just([{"name": "A", "value": "b"}, {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
    "networkPolicy.clients": st.just([{"ipBlock": {"cidr": "10.0.0.0/8"}}]),
    "networkPolicy.egress": st.just([{"ports": [{"port": 25, "protocol": "TCP"}]}]),
}
MAPS = st.dictionaries(st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True), st.text("abc: {}\"'%#\n0é", max_size=20), max_size=3)
LABELS = st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.sampled_from(["yes", "1", "true", "null", "0x1", "1e3", ""]), max_size=3)


def strategy_of(path: str, value: dict[str, Any]) -> st.SearchStrategy[Any] | None:
    """Values of one place, or None where it is left alone."""
    if path in LISTS:
        return LISTS[path]
    match value["type"]:
        case "boolean":
            return st.booleans()
        case "integer":
            least = value["minimum"]
            return st.integers(least, min(value.get("maximum", 10**6), least + 10**6))
        case "string" if "enum" in value:
            return st.sampled_from(value["enum"])
        case "string" if "pattern" in value:
            return st.from_regex(value["pattern"].removeprefix("^").removesuffix("$"), fullmatch=True).filter(lambda text: len(text) < 200)
        case "string":
            return st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=60)
        case "object" if "properties" not in value and path != "global":
            return LABELS if "abel" in path or path.endswith("nodeSelector") else MAPS if path.endswith("nnotations") else None
    return None


PLACES = {path: found for path, value in values_of(SCHEMA) if (found := strategy_of(path, value)) is not None}


@st.composite
def overrides(draw: st.DrawFn) -> dict[str, Any]:
    """Up to a dozen places with values of their type, over one of the examples."""
    chosen = draw(st.lists(st.sampled_from(sorted(PLACES)), max_size=12, unique=True))
    return merged(EXAMPLES[draw(st.sampled_from(sorted(EXAMPLES)))], *(with_value(path, draw(PLACES[path])) for path in chosen))


@hypothesis_settings(max_examples=CASES, deadline=None)
@given(overrides())
def test_values_of_the_right_types_make_valid_objects_or_are_refused_with_a_reason(values: dict[str, Any]) -> None:
    try:
        objects = rendered(values)
    except HelmError as refused:
        told = str(refused)
        assert "the schema" not in told, told
        assert any(word in told for word in ("set", "raise", "needs", "latest", "name the gateway")), told
        assert "<nil>" not in told
        assert "can't evaluate" not in told
        assert "YAML parse error" not in told
        return
    valid(objects, NEWEST)
    for container in containers(objects):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
    for _, spec in pods(objects):
        assert spec["securityContext"]["runAsNonRoot"] is True
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        scaled = next(one for one in of_kind(objects, "Deployment") if one["metadata"]["name"] == scaler["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in scaled["spec"]
