"""The comparison as a picture: CPU of one request on a logarithmic scale, in tones that can be read on light and on dark."""

from html import escape
from math import log10

from benchmarks.peer_servers.goals import LARGE
from benchmarks.peer_servers.operations import CONNECTIONS, FIND, GET, PAGE, PATCH, POST, add_to
from benchmarks.peer_servers.samples import Found, Key, median_total

COLOURS = {"Rollhouse": "#2f8f83", "pgbench": "#8a8a8a", "scim2-server": "#c0763a", "django-scim2": "#8467b8"}
TEXT = "#777777"
FIRST, LAST = 1, 7
"""Powers of ten of a microsecond, from left to right."""
LEFT, WIDTH, RIGHT = 190, 460, 90
BAR, GAP, TOP = 15, 16, 70
TICKS = {1: "10 us", 2: "100 us", 3: "1 ms", 4: "10 ms", 5: "100 ms", 6: "1 s", 7: "10 s"}


def draw(found: Found, sizes: list[int], group: int) -> str:
    """An SVG of the directory of 100,000 users, or of the largest that all have."""
    users = LARGE if LARGE in sizes else sizes[0]
    blocks = []
    for operation in (GET, FIND, PAGE, POST, PATCH, add_to(group)):
        keys = [(name, Key(operation, users, name, CONNECTIONS.get(operation, 1))) for name in COLOURS]
        blocks.append((operation, [(name, median_total(found[key])) for name, key in keys if key in found]))
    height = TOP + sum(len(bars) * BAR + GAP for _, bars in blocks) + 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}" font-family="sans-serif" font-size="12" fill="{TEXT}" role="img">',
        f"<title>CPU of one request, {users:,} users</title>",
        f'<text x="12" y="22" font-size="15">CPU of one request (server and Postgres), {users:,} users; less is better</text>',
    ]
    for at, (name, colour) in enumerate(COLOURS.items()):
        lines.append(f'<rect x="{12 + at * 130}" y="36" width="11" height="11" fill="{colour}"/><text x="{28 + at * 130}" y="46">{escape(name)}</text>')
    for power, text in TICKS.items():
        x = place(10**power)
        lines.append(f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{TOP - 6}" y2="{height - 24}" stroke="{TEXT}" stroke-opacity="0.3"/>')
        lines.append(f'<text x="{x:.0f}" y="{height - 8}" text-anchor="middle">{text}</text>')
    y = TOP
    for operation, bars in blocks:
        lines.append(f'<text x="{LEFT - 10}" y="{y + len(bars) * BAR / 2 + 4:.0f}" text-anchor="end">{escape(operation)}</text>')
        for name, microseconds in bars:
            end = place(microseconds)
            lines.append(f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR - 3}" fill="{COLOURS[name]}"/>')
            lines.append(f'<text x="{end + 5:.1f}" y="{y + 10}" font-size="11">{escape(readable(microseconds))}</text>')
            y += BAR
        y += GAP
    return "\n".join([*lines, "</svg>", ""])


def place(microseconds: float) -> float:
    part = (log10(max(microseconds, 10**FIRST)) - FIRST) / (LAST - FIRST)
    return LEFT + min(part, 1.0) * WIDTH


def readable(microseconds: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:.3g} {unit}"
    return f"{microseconds:.3g} us"
