"""Writes everything that is made of the specification: rules, their tests, runbooks and dashboards. Run by `make observability`."""

import json
from pathlib import Path

import yaml
from dashboards import dashboards
from rules import rules, runbook, tests
from spec import ALERTS, OBJECTIVES

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RULES = "helm/rollhouse/files/rules.yaml"
MADE = "# Made by `make observability` from k8s/observability/spec.py.\n"


def files() -> dict[str, str]:
    """The text of every generated file, by its path from the top of the project."""
    made = {
        RULES: MADE + yaml.safe_dump(rules(), sort_keys=False, width=1000),
        "k8s/observability/rollhouse.tests.yaml": MADE + yaml.safe_dump(tests(f"../../{RULES}"), sort_keys=False, width=1000),
    }
    made |= {f"helm/rollhouse/files/dashboards/{name}.json": json.dumps(found, indent=1, sort_keys=True) + "\n" for name, found in dashboards().items()}
    listed = sorted([(alert.name, alert.summary) for alert in ALERTS] + [(one.alert, one.promise) for one in OBJECTIVES])
    index = "# Runbooks\n\nA page for each alert: what it means, where to look, what to do.\n\n"
    index += "".join(f"- [{name}]({name}.md): {_plain(said)}\n" for name, said in listed)
    return made | {"docs/runbooks/README.md": index} | {f"docs/runbooks/{name}.md": runbook(one) for name, one in _named().items()}


def _named() -> dict[str, object]:
    return {one.name: one for one in ALERTS} | {one.alert: one for one in OBJECTIVES}


def _plain(text: str) -> str:
    return text.replace("{{ $labels.tenant }}", "TENANT").replace("{{ $labels.instance }}", "POD")


def main() -> None:
    """Write them, and remove what is made no more."""
    made = files()
    for folder in ("docs/runbooks", "helm/rollhouse/files/dashboards"):
        for path in (ROOT / folder).glob("*"):
            if str(path.relative_to(ROOT)) not in made:
                path.unlink()
    for name, text in made.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
