"""The values: typed and described all through, generated from one place, and refused where they cannot work."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml
from helm_python import Chart, HelmError, lint

from rollhouse.cli.root import whole
from rollhouse.settings import Settings
from tests.helm.charts import CHART, EXAMPLES, LEAST, ROOT, merged, rendered, with_value

sys.path.insert(0, str(ROOT / "helm"))
import generate
import schema

SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def values_of(one: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, value in one.get("properties", {}).items():
        found += [(f"{path}{name}", value), *values_of(value, f"{path}{name}.")]
    return found


@pytest.mark.parametrize("path", generate.files())
def test_what_is_generated_is_as_generated(path: str) -> None:
    assert (ROOT / path).read_text() == generate.files()[path], "cure: make chart"


def test_the_schema_is_a_schema_and_types_and_describes_every_value() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    values = values_of(SCHEMA)

    assert len(values) > 120
    for path, value in values:
        assert value.get("type"), path
        assert len(value.get("description", "")) > 8, path
        if value["type"] == "object" and path != "global":
            assert "additionalProperties" in value, path
        if value["type"] == "array":
            assert value["items"]["type"], path


def test_values_yaml_holds_the_defaults_of_the_schema() -> None:
    written = yaml.safe_load((CHART / "values.yaml").read_text())

    assert written == generate.defaults(schema.VALUES)
    jsonschema.validate(written, SCHEMA)


def test_every_setting_of_the_service_can_be_set_or_is_fixed_by_the_chart() -> None:
    offered = set(SCHEMA["properties"]["settings"]["properties"])

    assert offered | schema.ELSEWHERE == set(Settings.__struct_fields__)
    assert not offered & schema.ELSEWHERE


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_pass_the_schema_and_the_linter(example: str) -> None:
    Chart.load(CHART).validate_schema(EXAMPLES[example])
    told = lint(CHART, EXAMPLES[example], strict=True)

    assert told["errors"] == []
    assert [one for one in told["messages"] if one["severity"] > 1] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("web.replica", 2),
        ("replicaCount", 2),
        ("web.replicas", "2"),
        ("web.replicas", -1),
        ("publicUrl", "scim.example.com"),
        ("publicUrl", "https://scim.example.com/?a=b"),
        ("image.digest", "sha256:12"),
        ("image.tag", "a b"),
        ("database.port", 70000),
        ("database.password", "secret"),
        ("secrets.peppers.value", "1:key"),
        ("settings.rate_per_sec", 5),
        ("settings.log_format", "xml"),
        ("settings.page_size_limit", 0),
        ("settings.database_url", "postgresql://..."),
        ("migration.mode", "post-install"),
        ("service.type", "ExternalName"),
        ("web.resources.requests", {"cpu": "one"}),
        ("serviceMonitor.interval", "15"),
        ("web.autoscaling.cpuPercent", 0),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_the_schema(path: str, value: Any) -> None:
    with pytest.raises(HelmError):
        Chart.load(CHART).validate_schema(merged(LEAST, with_value(path, value)))


IMPOSSIBLE = {
    "no public URL": (with_value("publicUrl", ""), "publicUrl is not set"),
    "no database": (with_value("database.host", ""), "database.host is not set"),
    "no peppers": (with_value("secrets.peppers.name", ""), "secrets.peppers.name is not set"),
    "workers without the key": (with_value("secrets.auditKey.name", ""), "rollhouse audit key"),
    "maximum under minimum": (with_value("web.autoscaling", {"enabled": True, "minReplicas": 5, "maxReplicas": 3}), "less than minReplicas"),
    "more connections than Postgres takes": (
        merged(with_value("web.autoscaling", {"enabled": True, "maxReplicas": 20}), with_value("database.maxConnections", 300)),
        "up to 691 connections are needed",
    ),
    "connections of fixed replicas": (merged(with_value("web.replicas", 6), with_value("database.maxConnections", 100)), "up to 215 connections are needed"),
    "a share of no request": (
        merged(with_value("web.autoscaling.enabled", True), with_value("web.resources.requests", {"cpu": None, "memory": "1Gi"})),
        "web.resources.requests.cpu",
    ),
    "an ingress without a host": (with_value("ingress.enabled", True), "ingress.hosts"),
    "a route without a gateway": (with_value("httpRoute.enabled", True), "httpRoute.parentRefs"),
    "a name that no Service may have": (with_value("nameOverride", ""), "set fullnameOverride"),
    "latest": (with_value("image.tag", "latest"), "cannot be rolled back"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_values_that_cannot_work_are_refused_with_what_to_do(name: str) -> None:
    values, told = IMPOSSIBLE[name]

    with pytest.raises(HelmError, match=told):
        rendered(values, name="9.scim" if "name" in name else "rollhouse")


def test_the_connections_that_are_counted_are_those_that_processes_open() -> None:
    """One more than the pool for a web pod, which listens for changes; a worker has its own number."""
    from rollhouse.cli.worker import CONNECTIONS

    checks = (CHART / "templates" / "checks.yaml").read_text()
    assert f"(mul 2 $values.worker.replicas {CONNECTIONS})" in checks
    most = with_value("database.maxConnections", 2 * 2 * 17 + 2 * CONNECTIONS + 3)
    assert rendered(most)
    with pytest.raises(HelmError, match="connections are needed"):
        rendered(merged(most, with_value("database.maxConnections", 2 * 2 * 17 + 2 * CONNECTIONS + 2)))


def test_notes_name_the_next_command() -> None:
    notes = Chart.load(CHART).render(LEAST, name="rollhouse", namespace="rollhouse")
    text = next(content for path, content in notes.items() if path.endswith("NOTES.txt"))

    assert "helm test rollhouse --namespace rollhouse" in text
    assert "exec deploy/rollhouse-web -- rollhouse tenant create" in text
    assert "Nothing leads to it from outside yet" in text
    for line in re.findall(r"-- rollhouse (\S+) (\S+)", text):
        group = whole().commands[line[0]]
        assert isinstance(group, click.Group)
        assert line[1] in group.commands
    assert "There is no Redis" not in text


def test_the_readme_of_the_chart_has_a_row_for_every_value() -> None:
    text = (CHART / "README.md").read_text()
    for path, value in values_of(schema.VALUES):
        if "properties" not in value:
            assert f"| `{path}` |" in text


def test_the_chart_and_the_package_have_one_version() -> None:
    import tomllib

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dockerfile = (ROOT / "Dockerfile").read_text()

    assert chart["appVersion"] == project["version"]
    assert f"ARG VERSION={project['version']}\n" in dockerfile
    assert Path(CHART / "README.md").exists()
