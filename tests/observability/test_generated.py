"""What is generated is what is committed; the rules pass promtool; every query names metrics that there are."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from rollhouse.telemetry.metrics import REGISTRY
from rollhouse.telemetry.traffic import TRAFFIC
from tests.servers.prometheus import program

ROOT = Path(__file__).parents[2]
HERE = ROOT / "k8s" / "observability"
FILES = ROOT / "helm" / "rollhouse" / "files"
sys.path.insert(0, str(HERE))

import dashboards
import generate
import rules
import spec

BOARDS = dashboards.dashboards()
METRICS_OF_PROMETHEUS = {"up", "ALERTS"}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str, str]]:
    """Board, panel and expression of every query, with the choices of the board filled in."""
    return [
        (uid, panel["title"], target["expr"].replace("$__rate_interval", "1m").replace("$tenant", ".+"))
        for uid, board in BOARDS.items()
        for panel in panels(board)
        for target in panel["targets"]
    ]


def names_in(expr: str) -> set[str]:
    """The metrics that an expression asks for; it raises ValueError where it cannot be parsed."""
    found: set[str] = set()
    waiting: list[Any] = [promql_parser.parse(expr)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, promql_parser.VectorSelector):
            found.add(node.name)
        waiting += [below for name in ("vector_selector", "expr", "lhs", "rhs", "param") if (below := getattr(node, name, None)) is not None]
        waiting += getattr(node, "args", None) or []
    return found


def known() -> set[str]:
    names = set(METRICS_OF_PROMETHEUS) | set(spec.RECORDED) | {rules.sli(one, window) for one in spec.OBJECTIVES for window in spec.WINDOWS}
    for metric in [*REGISTRY.collect(), *TRAFFIC.collect()]:
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",), "info": ("_info",)}[metric.type]
        names |= {metric.name + suffix for suffix in suffixes}
    return names


def test_what_is_generated_is_committed() -> None:
    for name, text in generate.files().items():
        assert (ROOT / name).read_text() == text, f"{name}; cure: make observability"
    pages = {path.name for path in (ROOT / "docs/runbooks").iterdir()}
    assert pages == {Path(name).name for name in generate.files() if name.startswith("docs/runbooks/")}


def test_promtool_accepts_the_rules_and_their_tests_pass() -> None:
    promtool = program("promtool")
    subprocess.run([promtool, "check", "rules", "--lint=all", "--lint-fatal", str(FILES / "rules.yaml")], check=True, capture_output=True)
    done = subprocess.run([promtool, "test", "rules", str(HERE / "rollhouse.tests.yaml")], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_alert_has_a_runbook_and_a_test_for_firing_and_for_not() -> None:
    cases = rules.tests("x")["tests"]
    for alert in {one.name for one in spec.ALERTS} | {one.alert for one in spec.OBJECTIVES}:
        asked = [part["exp_alerts"] for case in cases for part in case["alert_rule_test"] if part["alertname"] == alert]
        assert any(asked), f"{alert} fires in no test"
        assert not all(asked), f"{alert} is quiet in no test"
        text = (ROOT / rules.runbook_path(alert)).read_text()
        assert all(f"## {part}" in text for part in ("What it means", "Where to look", "What to do", "When it fires"))


def test_a_test_of_the_rules_can_fail(tmp_path: Path) -> None:
    """The same tests against rules whose thresholds were turned round do not pass."""
    text = (FILES / "rules.yaml").read_text()
    (tmp_path / "rules.yaml").write_text(text.replace(" > ", " < "))
    named = (HERE / "rollhouse.tests.yaml").read_text()
    assert named.count("../../helm/rollhouse/files/rules.yaml") == 1
    (tmp_path / "tests.yaml").write_text(named.replace("../../helm/rollhouse/files/rules.yaml", "rules.yaml"))
    done = subprocess.run([program("promtool"), "test", "rules", str(tmp_path / "tests.yaml")], check=False, capture_output=True)
    assert done.returncode == 1


@pytest.mark.parametrize(("uid", "title", "expr"), queries())
def test_every_query_parses_and_names_metrics_that_there_are(uid: str, title: str, expr: str) -> None:
    assert names_in(expr) <= known(), (uid, title, names_in(expr) - known())


def test_every_rule_names_metrics_that_there_are() -> None:
    for group in rules.rules()["groups"]:
        for rule in group["rules"]:
            assert names_in(rule["expr"]) <= known(), rule


@pytest.mark.parametrize("uid", BOARDS)
def test_a_dashboard_says_what_it_shows(uid: str) -> None:
    board = BOARDS[uid]
    assert board["uid"] == uid
    assert board["description"]
    assert len(panels(board)) <= 20
    assert any(one["name"] == "datasource" for one in board["templating"]["list"])
    assert board["links"], "a way to the other dashboards"
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith((".", ")"))
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert set(re.findall(r"[}\w]\[([^\]]*)\]", target["expr"])) <= {"$__rate_interval"}, "rates follow the width of the picture"
    assert len({panel["id"] for panel in panels(board)}) == len(panels(board))
    assert json.loads((FILES / "dashboards" / f"{uid}.json").read_text()) == board
