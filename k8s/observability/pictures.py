"""A dashboard as an SVG picture, drawn from a Prometheus' own answers to the queries of its panels."""

import json
import math
import urllib.parse
import urllib.request
from html import escape
from typing import Any

WIDTH, HEIGHT, GAP, COLUMNS = 380, 180, 14, 3
COLOURS = ("#2f6fb0", "#1f8a6c", "#b9770e", "#8a5bb5", "#c0392b", "#5d6d7e", "#0e7490", "#a04000")
MOST_LINES = 8
_UNITS = {"reqps": "/s", "ops": "/s", "s": " s", "percentunit": "", "bytes": "", "short": ""}

Points = list[tuple[float, float]]


def series(url: str, expr: str, start: float, end: float, step: float) -> list[tuple[dict[str, str], Points]]:
    """The series of a query over a time, each with its labels; values that are no numbers are left out."""
    asked = urllib.parse.urlencode({"query": expr, "start": start, "end": end, "step": step})
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{asked}", timeout=30) as answer:  # noqa: S310 - the caller's own server
        found = json.load(answer)["data"]["result"]
    lines = [(one["metric"], [(float(at), float(value)) for at, value in one["values"] if math.isfinite(float(value))]) for one in found]
    return [(labels, points) for labels, points in lines if points]


def told(value: float, unit: str) -> str:
    """A value with its unit, in three digits."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s" and abs(value) < 1:
        return f"{value * 1000:.3g} ms"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {letter}{_UNITS[unit].strip()}"
    return f"{value:.3g}{_UNITS[unit]}"


def _named(legend: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        legend = legend.replace(f"{{{{{name}}}}}", value)
    return legend


def _panel(panel: dict[str, Any], lines: list[tuple[str, Points]], x: int, y: int, span: tuple[float, float]) -> str:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    shown = sorted(lines, key=lambda line: -line[1][-1][1])[:MOST_LINES]
    most = max((value for _, points in shown for _, value in points), default=0.0) or 1.0
    least = min(0.0, min((value for _, points in shown for _, value in points), default=0.0))
    left, top, wide, high = x + 8, y + 30, WIDTH - 16, HEIGHT - 62
    parts = [f'<rect class="panel" x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>']
    parts.append(f'<text class="title" x="{x + 8}" y="{y + 19}">{escape(panel["title"])}</text>')
    parts.append(f'<text class="small" x="{x + WIDTH - 8}" y="{y + 19}" text-anchor="end">{escape(told(most, unit))}</text>')
    for number, (_, points) in enumerate(shown):
        path = " ".join(
            f"{left + (at - span[0]) / (span[1] - span[0]) * wide:.1f},{top + high - (value - least) / (most - least) * high:.1f}" for at, value in points
        )
        parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[number]}" stroke-width="1.6"/>')
    parts.append(f'<line class="axis" x1="{left}" y1="{top + high}" x2="{left + wide}" y2="{top + high}"/>')
    for number, (name, points) in enumerate(shown[:4]):
        at = left + (number % 2) * (wide // 2)
        down = y + HEIGHT - 18 + (number // 2) * 13
        parts.append(f'<circle cx="{at + 4}" cy="{down - 3}" r="3.5" fill="{COLOURS[number]}"/>')
        parts.append(f'<text class="small" x="{at + 11}" y="{down}">{escape(name[:24])} {escape(told(points[-1][1], unit))}</text>')
    return "".join(parts)


def draw(board: dict[str, Any], url: str, start: float, end: float, *, rate_interval: str, step: float) -> str:
    """The whole dashboard as SVG; `rate_interval` stands for Grafana's, and every tenant for the choice of tenants."""
    parts, y, column = [], 44, 0
    for panel in board["panels"]:
        if panel["type"] == "row":
            y += (HEIGHT + GAP) if column else 0
            column = 0
            parts.append(f'<text class="row" x="{GAP}" y="{y + 18}">{escape(panel["title"])}</text>')
            y += 28
            continue
        if column == COLUMNS:
            column, y = 0, y + HEIGHT + GAP
        lines: list[tuple[str, Points]] = []
        for target in panel["targets"]:
            expr = target["expr"].replace("$__rate_interval", rate_interval).replace("$tenant", ".+")
            lines += [(_named(target.get("legendFormat", ""), labels), points) for labels, points in series(url, expr, start, end, step)]
        parts.append(_panel(panel, lines, GAP + column * (WIDTH + GAP), y, (start, end)))
        column += 1
    width, height = GAP + COLUMNS * (WIDTH + GAP), y + HEIGHT + GAP
    style = (
        "text{font-family:system-ui,sans-serif;fill:#2c3540}.title{font-size:13px;font-weight:600}.small{font-size:11px;fill:#5b6470}"
        ".row{font-size:14px;font-weight:600}.head{font-size:18px;font-weight:700}.panel{fill:#fff;stroke:#d5dbe1}.axis{stroke:#d5dbe1}"
    )
    head = f'<text class="head" x="{GAP}" y="30">{escape(board["title"])}</text>'
    body = "".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"><style>{style}</style>'
        f'<rect width="{width}" height="{height}" fill="#f6f8fa"/>{head}{body}</svg>\n'
    )
