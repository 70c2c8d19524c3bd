"""The chart as its objects: rendered without a cluster, and what a reader asks of them."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "rollhouse"
EXAMPLES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "k8s" / "examples").glob("*.yaml")) if "publicUrl" in path.read_text()}
"""The example values by name."""
LEAST: dict[str, Any] = EXAMPLES["small"]

ROOMY: dict[str, Any] = {"database": {"maxConnections": 0}}
"""Connections are not counted."""

Object = dict[str, Any]


class _Strict(yaml.CSafeLoader):
    """Refuses a mapping that says the same key twice, which YAML's other readers hide."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key twice: {keys}"
        return super().construct_mapping(node, deep)


def merged(*values: dict[str, Any]) -> dict[str, Any]:
    """Values over values, as Helm lays them."""
    result: dict[str, Any] = {}
    for one in values:
        for key, value in one.items():
            held = result.get(key)
            result[key] = merged(held, value) if isinstance(held, dict) and isinstance(value, dict) else copy.deepcopy(value)
    return result


def with_value(path: str, value: Any) -> dict[str, Any]:
    """A single value at a path such as web.replicas."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def rendered(*values: dict[str, Any], name: str = "rollhouse", chart: Path = CHART, revision: int = 1) -> list[Object]:
    """The objects, over the values of the small example.

    Raises:
        helm_python.HelmError: the values are refused; the message says why.
    """
    files = Chart.load(chart).render(merged(LEAST, *values), name=name, namespace="rollhouse", revision=revision)
    found = []
    for path, text in sorted(files.items()):
        if not path.endswith((".txt", ".tpl")):
            found += [one for one in yaml.load_all(text, _Strict) if one]
    return found


def of_kind(objects: list[Object], kind: str, component: str | None = None) -> list[Object]:
    """The objects of a kind, and of a component if one is named."""
    return [one for one in objects if one["kind"] == kind and component in (None, one["metadata"]["labels"].get("app.kubernetes.io/component"))]


def the(objects: list[Object], kind: str, component: str | None = None) -> Object:
    """The only one."""
    found = of_kind(objects, kind, component)
    assert len(found) == 1, (kind, component, len(found))
    return found[0]


def pods(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """Every pod's metadata and specification."""
    for one in objects:
        if one["kind"] == "Pod":
            yield one["metadata"], one["spec"]
        elif one["kind"] in ("Deployment", "Job"):
            yield one["spec"]["template"]["metadata"], one["spec"]["template"]["spec"]


def containers(objects: list[Object]) -> Iterator[Object]:
    """Every container."""
    for _, spec in pods(objects):
        yield from spec.get("initContainers", [])
        yield from spec["containers"]


def environment(container: Object) -> dict[str, str]:
    """Its variables."""
    return {one["name"]: one.get("value") for one in container["env"]}
