"""Writes what is made of the chart's values: the schema, values.yaml and the README. Run by `make chart`."""

import json
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart
from schema import VALUES, Schema

ROOT = Path(__file__).parents[1]
CHART = "helm/rollhouse"
WIDTH = 140


def defaults(schema: Schema) -> Any:
    """The values as they stand where nobody sets them."""
    if "properties" in schema:
        return {name: defaults(one) for name, one in schema["properties"].items() if "default" in one or "properties" in one}
    return schema["default"]


def rows(schema: Schema, path: str = "") -> list[tuple[str, str, str, str]]:
    """Path, type, default and meaning of every value."""
    found = []
    for name, one in schema["properties"].items():
        here = f"{path}.{name}" if path else name
        if "properties" in one:
            found += rows(one, here)
        else:
            default = json.dumps(one["default"]) if "default" in one else ""
            words = one["description"] + (f" One of {', '.join(f'`{word}`' for word in one['enum'])}." if "enum" in one else "")
            found.append((here, str(one["type"]), default if len(default) < 60 else "see values.yaml", words))
    return found


def _values(schema: Schema, depth: int = 0) -> list[str]:
    """The lines of values.yaml, each value with its meaning above it."""
    lines = []
    for name, one in schema["properties"].items():
        pad = "  " * depth
        words = f"# {one['description']}"
        if "properties" in one:
            body = _values(one, depth + 1)
            known = any(not line.lstrip().startswith("#") for line in body)
            lines += [pad + words, f"{pad}{name}:{'' if known else ' {}'}", *body]
        elif "default" not in one:
            lines += [pad + words, f"{pad}# {name}:"]
        else:
            written = yaml.safe_dump({name: one["default"]}, sort_keys=False, width=WIDTH).rstrip().splitlines()
            lines += [pad + words, *(pad + line for line in written)]
        if depth == 0:
            lines.append("")
    return lines


def _row(path: str, kind: str, default: str, words: str) -> str:
    said = words.replace("|", "\\|")
    return f"| `{path}` | {kind} | {f'`{default}`' if default else ''} | {said} |\n"


def _readme() -> str:
    table = "".join(_row(*one) for one in rows(VALUES))
    return (Path(__file__).parent / "README.head.md").read_text() + "\n| value | type | default | meaning |\n|---|---|---|---|\n" + table


def _rendered() -> str:
    """The objects of the small example as plain manifests, the migration as an ordinary Job, without the pod of `helm test`."""
    values = yaml.safe_load((ROOT / "k8s" / "examples" / "small.yaml").read_text()) | {"migration": {"mode": "job"}}
    made = Chart.load(ROOT / CHART).render(values, name="rollhouse", namespace="rollhouse")
    texts = [text.strip().removeprefix("---\n") for path, text in sorted(made.items()) if path.endswith(".yaml") and "/tests/" not in path and "kind:" in text]
    head = "# Made by `make chart` from the chart with the values of k8s/examples/small.yaml.\n---\n"
    return head + "\n---\n".join(texts).replace("app.kubernetes.io/managed-by: Helm", "app.kubernetes.io/managed-by: kustomize") + "\n"


def files() -> dict[str, str]:
    """The text of every generated file, by its path from the top of the project."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Values of the chart rollhouse"} | VALUES
    schema["properties"] = schema["properties"] | {"global": {"type": "object", "description": "Values of a chart above this one; none is read."}}
    return {
        f"{CHART}/values.schema.json": json.dumps(schema, indent=1) + "\n",
        f"{CHART}/values.yaml": "# Made by `make chart` from helm/schema.py; what is not set below keeps these values.\n\n"
        + "\n".join(_values(VALUES)).rstrip()
        + "\n",
        f"{CHART}/README.md": _readme(),
        "k8s/rendered/rollhouse.yaml": _rendered(),
    }


def main() -> None:
    """Write them."""
    for name, text in files().items():
        (ROOT / name).write_text(text)


if __name__ == "__main__":
    main()
