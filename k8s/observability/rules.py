"""From the specification to Prometheus' rules, their tests and the runbooks; `python k8s/observability/generate.py` writes them all."""

import re
from typing import Any

from spec import ALERTS, BURNS, OBJECTIVES, RECORDED, WINDOWS, Alert, Burn, Objective

_DURATION = re.compile(r"\{(\d+)([smhd])\}")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
INTERVAL_SECONDS = 30


def scaled(duration: str, factor: float = 1) -> str:
    """A duration such as 5m divided by the factor, in a form that Prometheus reads."""
    milliseconds = round(int(duration[:-1]) * _UNITS[duration[-1]] * 1000 / factor)
    return duration if factor == 1 else f"{milliseconds}ms"


def _fill(expr: str, factor: float) -> str:
    return _DURATION.sub(lambda found: scaled(found[1] + found[2], factor), expr)


def sli(objective: Objective, window: str) -> str:
    """The name under which the share of bad events in a window is recorded."""
    return f"slo:{objective.name}:errors_{window}"


def burn_expr(objective: Objective, burn: Burn, factor: float) -> str:
    """A budget that burns in both windows, unless an alert of its cause has fired in the short one: one fault, one page."""
    least = round(burn.factor * (1 - objective.target), 6)
    return f"({sli(objective, burn.long)} > {least} and {sli(objective, burn.short)} > {least}){_excuse(burn.short, factor)}"


def _excuse(window: str, factor: float) -> str:
    causes = "|".join(alert.name for alert in ALERTS if alert.is_cause)
    return f' unless on () (count(max_over_time(ALERTS{{alertname=~"{causes}"}}[{scaled(window, factor)}])) > 0)'


def expression(alert: Alert, factor: float = 1) -> str:
    """When an alert's condition holds."""
    expr = _fill(alert.expr, factor)
    return f"({expr}){_excuse('5m', factor)}" if alert.is_excused else expr


def rules(factor: float = 1) -> dict[str, Any]:
    """All rules; with a factor over 1 every window and every `for` is that many times shorter."""
    recorded = [{"record": name, "expr": _fill(expr, factor)} for name, expr in RECORDED.items()]
    recorded += [
        {"record": sli(objective, window), "expr": objective.errors.replace("WINDOW", scaled(window, factor))} for objective in OBJECTIVES for window in WINDOWS
    ]
    burns = [
        {
            "alert": objective.alert,
            "expr": burn_expr(objective, burn, factor),
            "for": scaled(burn.lasting, factor),
            "labels": {"severity": burn.severity, "window": burn.long},
            "annotations": {"summary": objective.promise, "runbook": runbook_path(objective.alert)},
        }
        for objective in OBJECTIVES
        for burn in BURNS
    ]
    symptoms = [
        {
            "alert": alert.name,
            "expr": expression(alert, factor),
            "for": scaled(alert.lasting, factor),
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "runbook": runbook_path(alert.name)},
        }
        for alert in ALERTS
    ]
    return {
        "groups": [
            {"name": "rollhouse-objectives", "rules": recorded},
            {"name": "rollhouse-symptoms", "rules": symptoms},
            {"name": "rollhouse-burns", "rules": burns},
        ]
    }


def runbook_path(alert: str) -> str:
    """Where the page about an alert is."""
    return f"docs/runbooks/{alert}.md"


def tests(rule_file: str) -> dict[str, Any]:
    """For promtool: each alert fires on its series and does not on the others."""
    cases = [_case(alert, fires=fires) for alert in ALERTS for fires in (True, False)]
    cases += [_burn_case(objective, is_spoilt=is_spoilt) for objective in OBJECTIVES for is_spoilt in (True, False)]
    cases += [_excused(), _ended()]
    return {"rule_files": [rule_file], "evaluation_interval": "1m", "tests": cases}


def _series(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"series": series, "values": text} for series, text in values.items()]


def _case(alert: Alert, *, fires: bool) -> dict[str, Any]:
    found = {
        "exp_labels": {"severity": alert.severity} | alert.labels,
        "exp_annotations": {"summary": _with_labels(alert.summary, alert.labels), "runbook": runbook_path(alert.name)},
    }
    return {
        "name": f"{alert.name} {'fires' if fires else 'is quiet'}",
        "interval": "1m",
        "input_series": _series((_ALIVE if alert.is_excused else {}) | (alert.fires if fires else alert.quiet)),
        "alert_rule_test": [{"eval_time": "25m", "alertname": alert.name, "exp_alerts": [found] if fires else []}],
    }


def _burn_case(objective: Objective, *, is_spoilt: bool) -> dict[str, Any]:
    """After four hours of nothing but bad (or good) events all four burns fire (or none does)."""
    return {
        "name": f"{objective.alert} {'fires' if is_spoilt else 'is quiet'}",
        "interval": "1m",
        "input_series": _series(_ALIVE | (objective.spoils if is_spoilt else objective.keeps)),
        "alert_rule_test": [
            {"eval_time": "250m", "alertname": objective.alert, "exp_alerts": [_burning(objective, burn) for burn in BURNS] if is_spoilt else []}
        ],
    }


def _burning(objective: Objective, burn: Burn) -> dict[str, Any]:
    return {
        "exp_labels": {"severity": burn.severity, "window": burn.long},
        "exp_annotations": {"summary": objective.promise, "runbook": runbook_path(objective.alert)},
    }


_ALIVE = {"http_server_active_requests": "1+0x260"}
"""A service that runs: without it, that nothing serves would be the cause of everything."""


def _excused() -> dict[str, Any]:
    """Failed requests while Postgres is down page once: for Postgres."""
    objective = OBJECTIVES[0]
    return {
        "name": f"{objective.alert} is quiet while PostgresDown fires",
        "interval": "1m",
        "input_series": _series(_ALIVE | objective.spoils | {'rollhouse_dependency_up{dependency="postgres"}': "0+0x260"}),
        "alert_rule_test": [{"eval_time": "250m", "alertname": objective.alert, "exp_alerts": []}],
    }


def _ended() -> dict[str, Any]:
    """An hour of failures that ended twenty minutes ago: the fastest burn is over, the next two are not, the slowest has not lasted."""
    objective = OBJECTIVES[0]
    ended = {series: text.replace("+10x260", "+10x60 600+0x60") for series, text in objective.spoils.items()}
    return {
        "name": f"{objective.alert} lets go of what is over",
        "interval": "1m",
        "input_series": _series(_ALIVE | ended),
        "alert_rule_test": [{"eval_time": "80m", "alertname": objective.alert, "exp_alerts": [_burning(objective, burn) for burn in BURNS[1:3]]}],
    }


def _with_labels(text: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        text = text.replace(f"{{{{ $labels.{name} }}}}", value)
    return text


def runbook(alert: Alert | Objective) -> str:
    """The page about an alert: what it means, where to look, what to do."""
    if isinstance(alert, Alert):
        name, said, severity = alert.name, alert.summary.replace("{{ $labels.tenant }}", "TENANT").replace("{{ $labels.instance }}", "POD"), alert.severity
        when = f"The expression holds for {alert.lasting}:\n\n```promql\n{expression(alert)}\n```"
    else:
        name, said, severity = alert.alert, f"Broken faster than promised: {alert.promise}", "page or ticket"
        lines = "\n".join(f"| {one.long} and {one.short} | {one.factor} x | {one.lasting} | {one.severity} |" for one in BURNS)
        when = (
            f"The budget of 30 days ({100 * (1 - alert.target):.1f} %) burns in both windows, and no alert of a cause has fired in the short one:\n\n"
            f"| windows | faster than allowed by | for | severity |\n|---|---|---|---|\n{lines}\n\nThe share of bad events:\n\n"
            f"```promql\n{alert.errors.replace('WINDOW', '5m')}\n```"
        )
    look = "\n".join(f"{number}. {one}" for number, one in enumerate(alert.look, start=1))
    cure = "\n".join(f"- {one}" for one in alert.cure)
    parts = {"What it means": alert.meaning, "Where to look": look, "What to do": cure, "When it fires": when}
    return f"# {name}\n\n{said} ({severity})\n" + "".join(f"\n## {title}\n\n{text}\n" for title, text in parts.items())
