"""Prints docs/kubernetes.md: its words, and the table of what `make test-cluster` measured last. With --picture the number of pods over time, as SVG."""

import json
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
MEASURED: dict[str, Any] = json.loads((DOCS / "figures" / "kubernetes.json").read_text())
FIGURES: dict[str, Any] = MEASURED["figures"]
WIDTH, HEIGHT, LEFT, BOTTOM = 760, 240, 46, 34
STAYS = {"dashboards", "pod", "locust", "install", "after an outage of Postgres", "a lost node"}
"""Figures that are told elsewhere on the page."""


def rows() -> str:
    """A line for each thing that was done to the service."""
    lines = []
    for name, one in FIGURES.items():
        if name in STAYS or name == "sum":
            continue
        sent = f"{sum(one['requests'].values()):,}" if "requests" in one else ""
        failed = str(one.get("failed", ""))
        longest = f"{one['longest'] * 1000:.0f} ms" if "longest" in one else ""
        seconds = next((f"{value:.1f} s" for key, value in one.items() if key.endswith("seconds")), "")
        lines.append(f"| {name} | {sent} | {failed} | {longest} | {seconds} |")
    return "\n".join(lines)


def picture() -> str:
    """Pods that were wanted and that were ready, over the seconds of the run."""
    seen = FIGURES["autoscaling"]["replicas"]
    end, most = seen[-1][0], max(max(one[1:]) for one in seen)

    def line(column: int, colour: str) -> str:
        points, before = [], seen[0][column]
        for second, *numbers in seen:
            number = numbers[column - 1]
            x = LEFT + (WIDTH - LEFT - 10) * second / end
            points += [(x, before), (x, number)]
            before = number
        path = " ".join(f"{x:.1f},{HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 30) * number / most:.1f}" for x, number in points)
        return f'<polyline fill="none" stroke="{colour}" stroke-width="2.5" points="{path}"/>'

    ticks = "".join(
        f'<text x="{LEFT - 8}" y="{HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 30) * number / most + 4:.0f}" text-anchor="end">{number}</text>'
        for number in range(most + 1)
    )
    times = "".join(
        f'<text x="{LEFT + (WIDTH - LEFT - 10) * second / end:.0f}" y="{HEIGHT - 12}" text-anchor="middle">{second} s</text>'
        for second in range(0, int(end), 20)
    )
    axis = f'<path d="M{LEFT} 20 V{HEIGHT - BOTTOM} H{WIDTH - 10}" fill="none" stroke="#8a94a6"/>'
    words = f'<text x="{LEFT + 10}" y="16" fill="#5b6b86">pods wanted</text><text x="{LEFT + 120}" y="16" fill="#0f7b53">pods ready</text>'
    style = 'font-family="system-ui, sans-serif" font-size="12"'
    title = "<title>Pods over time: a load comes and goes</title>"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {style}>{title}<rect width="100%" height="100%" fill="#ffffff"/>'
        f"{axis}{ticks}{times}{words}{line(1, '#5b6b86')}{line(2, '#0f7b53')}</svg>\n"
    )


def page() -> str:
    """The whole page."""
    scaling, install, panels = FIGURES["autoscaling"], FIGURES["install"], FIGURES["dashboards"]
    total = sum(sum(one["requests"].values()) for name, one in FIGURES.items() if "requests" in one and name != "sum")
    failed = sum(one["failed"] for name, one in FIGURES.items() if "requests" in one and name != "sum")
    told = {
        "commit": MEASURED["commit"],
        "day": MEASURED["day"],
        "kubernetes": MEASURED["kubernetes"],
        "ready": f"{MEASURED['cluster']['two nodes ready']:.0f}",
        "install": f"{install['seconds']:.1f}",
        "outage": f"{FIGURES['after an outage of Postgres']['seconds']:.0f}",
        "away": f"{FIGURES['a lost node']['traffic_away_seconds']:.0f}",
        "whole": f"{FIGURES['a lost node']['whole_again_seconds']:.0f}",
        "pod": f"{FIGURES['pod']['seconds']:.0f}",
        "rows": rows(),
        "total": f"{total:,}",
        "failed": str(failed),
        "up": f"{scaling['up_seconds']:.0f}",
        "down": f"{scaling['down_seconds']:.0f}",
        "most": str(max(one[1] for one in scaling["replicas"])),
        "panels": f"{panels['shown']} of {panels['panels']}",
        "empty": ", ".join(f"*{name.partition(': ')[2]}* ({name.partition(':')[0].removeprefix('rollhouse-')})" for name in panels["empty"]) or "none",
    }
    text = (DOCS / "kubernetes.head.md").read_text()
    for name, value in told.items():
        text = text.replace("{" + name + "}", value)
    return text


if __name__ == "__main__":
    sys.stdout.write(picture() if "--picture" in sys.argv else page())
