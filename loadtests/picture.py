"""A run as a picture: requests a second and latency over time, written as SVG."""

import math
from collections.abc import Callable
from html import escape
from itertools import count, cycle
from typing import Any

WIDTH, PANEL_HEIGHT, LEFT, RIGHT, TOP, GAP = 960, 200, 64, 24, 96, 64
HEIGHT = TOP + 2 * PANEL_HEIGHT + GAP + 56
MOST_POINTS = 240
LINES = 4
COLOURS = ("#2563eb", "#d97706", "#059669")
WRONG = "#dc2626"
STYLE = "text{font:12px system-ui,sans-serif;fill:#475569}.title{font-size:16px;font-weight:600;fill:#0f172a}.grid{stroke:#e2e8f0}"

Moment = dict[str, Any]
Bins = list[list[Moment]]
Value = Callable[[list[Moment]], float]
Points = list[tuple[float, float]]
Curve = tuple[str, str, Points]
"""Colour, dashes, points."""


def draw_picture(document: dict[str, Any]) -> str:
    """The SVG of a run's document; each role has a colour, errors and 429 stand in red."""
    timeline: dict[str, list[dict[str, Any]]] = document["timeline"]
    seconds = max([one["second"] for moments in timeline.values() for one in moments], default=0) + 1
    width = max(1, math.ceil(seconds / MOST_POINTS))
    bins = [_binned(moments, seconds, width) for moments in timeline.values()]
    together = [[one for found in parts for one in found] for parts in zip(*bins, strict=True)]
    rates = _curves(bins, width, lambda part: sum(one["requests"] for one in part) / width)
    wrong = (WRONG, "", _points(together, width, lambda part: sum(one["errors"] + one["throttled"] for one in part) / width))
    slowest = _curves(bins, width, lambda part: max((one["p99_ms"] for one in part), default=0.0))
    middles = _curves(bins, width, lambda part: max((one["p50_ms"] for one in part), default=0.0), dashes="3 3")
    outcome = "passed" if document["passed"] else "failed"
    title = escape(f"{document['profile']}: {document['tenants']} tenants, {document['seconds']:.0f} s, {outcome}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
        f'<style>{STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text class="title" x="{LEFT}" y="32">{title}</text>',
        *_legend(list(timeline)),
        *_panel(TOP, "requests a second", seconds, [*rates, wrong]),
        *_panel(TOP + PANEL_HEIGHT + GAP, "ms to the answer: p99 of each second, dashed p50", seconds, [*slowest, *middles]),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _binned(moments: list[Moment], seconds: int, width: int) -> Bins:
    bins: Bins = [[] for _ in range(math.ceil(seconds / width))]
    for one in moments:
        bins[one["second"] // width].append(one)
    return bins


def _points(bins: Bins, width: int, value: Value) -> Points:
    return [(position * width, value(part)) for position, part in enumerate(bins)]


def _curves(bins: list[Bins], width: int, value: Value, *, dashes: str = "") -> list[Curve]:
    """One curve for each role, in its colour."""
    return [(colour, dashes, _points(found, width, value)) for colour, found in zip(cycle(COLOURS), bins, strict=False)]


def _legend(roles: list[str]) -> list[str]:
    entries = [*zip(cycle(COLOURS), roles, strict=False), (WRONG, "errors and 429")]
    return [
        f'<rect x="{at}" y="46" width="12" height="12" rx="2" fill="{colour}"/><text x="{at + 18}" y="57">{escape(name)}</text>'
        for at, (colour, name) in zip(count(LEFT, 150), entries, strict=False)
    ]


def _panel(top: int, title: str, seconds: int, curves: list[Curve]) -> list[str]:
    """One pair of axes with its curves; the scale begins at zero."""
    most = _round_up(max((value for _, _, points in curves for _, value in points), default=0.0))
    across = (WIDTH - LEFT - RIGHT) / max(1, seconds - 1)
    parts = [f'<text x="{LEFT}" y="{top - 8}">{escape(title)}</text>']
    for line in range(LINES + 1):
        y = top + PANEL_HEIGHT - line * PANEL_HEIGHT / LINES
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{most * line / LINES:g}</text>')
        at = seconds * line / LINES
        parts.append(f'<text x="{LEFT + line * (WIDTH - LEFT - RIGHT) / LINES:.1f}" y="{top + PANEL_HEIGHT + 18}" text-anchor="middle">{at:.0f} s</text>')
    for colour, dashes, points in curves:
        path = " ".join(f"{LEFT + second * across:.1f},{top + PANEL_HEIGHT * (1 - value / most):.1f}" for second, value in points)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" stroke-linejoin="round"{dashed} points="{path}"/>')
    return parts


def _round_up(value: float) -> float:
    """The next 1, 2, 4 or 8 times a power of ten: a scale whose quarters read well."""
    step = 1.0
    while step * 8 < value:
        step *= 10
    return next(step * factor for factor in (1, 2, 4, 8) if step * factor >= value)
