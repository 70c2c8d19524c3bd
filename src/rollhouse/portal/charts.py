"""Pictures made on the server: SVG without script or style, each with a sentence that says the same."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from markupsafe import Markup, escape

from rollhouse.activity.health import Hour

WIDTH, HEIGHT = 640, 120
KINDS = ("created", "updated", "deactivated", "deleted", "failed", "refused")
"""What the bars of an hour are made of, from below; reads are left out, since nothing changes by them."""


class Bar(msgspec.Struct, frozen=True):
    """One column: its parts from below, as kind and count."""

    label: str
    parts: dict[str, int]

    @property
    def total(self) -> int:
        """The height of the whole column."""
        return sum(self.parts.values())


def bars_of(hours: Sequence[Hour], *, now: datetime | None = None, count: int = 24) -> list[Bar]:
    """A column for each of the last hours, also for those in which nothing happened."""
    last = (now or datetime.now(UTC)).replace(minute=0, second=0, microsecond=0)
    found: dict[datetime, dict[str, int]] = {}
    for one in hours:
        if one.kind in KINDS:
            found.setdefault(one.hour, {})[one.kind] = one.count
    moments = [last - timedelta(hours=back) for back in range(count - 1, -1, -1)]
    return [Bar(f"{moment:%H:%M}", found.get(moment, {})) for moment in moments]


def sums_of(hours: Sequence[Hour]) -> dict[str, int]:
    """How many requests there were of each kind."""
    found: dict[str, int] = {}
    for one in hours:
        found[one.kind] = found.get(one.kind, 0) + one.count
    return found


def stacked_bars(bars: Sequence[Bar], sentence: str) -> Markup:
    """Columns of stacked parts; `sentence` says in words what they show."""
    most = max((bar.total for bar in bars), default=0) or 1
    step = WIDTH / max(len(bars), 1)
    shapes = []
    for number, bar in enumerate(bars):
        y = float(HEIGHT)
        for kind in KINDS:
            if value := bar.parts.get(kind, 0):
                height = max(2.0, value / most * (HEIGHT - 4))
                y -= height
                title = f"<title>{escape(bar.label)}: {value} {escape(kind)}</title>"
                place = f'x="{number * step + 1:.1f}" y="{max(y, 0):.1f}" width="{max(step - 2, 1):.1f}" height="{height:.1f}"'
                shapes.append(f'<rect class="kind-{kind}" {place}>{title}</rect>')
    axis = f'<line class="axis" x1="0" y1="{HEIGHT}" x2="{WIDTH}" y2="{HEIGHT}"/>'
    return _svg("chart", WIDTH, HEIGHT + 1, sentence, axis + "".join(shapes))


def area(values: Sequence[tuple[str, int]], sentence: str) -> Markup:
    """An area under the values in order, each named by its label."""
    most = max((value for _, value in values), default=0) or 1
    step = WIDTH / max(len(values) - 1, 1)
    points = [(number * step, HEIGHT - value / most * (HEIGHT - 6)) for number, (_, value) in enumerate(values)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    marks = "".join(
        f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{escape(label)}: {value}</title></circle>'
        for (x, y), (label, value) in zip(points, values, strict=True)
    )
    shape = f'<polygon class="area" points="0,{HEIGHT} {line} {WIDTH},{HEIGHT}"/><polyline class="line" points="{line}"/>'
    return _svg("chart", WIDTH, HEIGHT + 1, sentence, (shape if len(points) > 1 else "") + marks)


def strip(hours: Sequence[tuple[str, bool]], sentence: str) -> Markup:
    """One tick for each hour in which the provider came, a gap for each in which it did not."""
    step = WIDTH / max(len(hours), 1)
    ticks = "".join(
        f'<rect class="{"tick-on" if came else "tick-off"}" x="{number * step:.2f}" y="0" width="{max(step - 0.6, 0.6):.2f}" height="28">'
        f"<title>{escape(label)}</title></rect>"
        for number, (label, came) in enumerate(hours)
    )
    return _svg("chart", WIDTH, 28, sentence, ticks)


def sparkline(values: Sequence[float], sentence: str) -> Markup:
    """A line of the values in order."""
    width, height = 160, 36
    most = max(values, default=0) or 1
    step = width / max(len(values) - 1, 1)
    points = " ".join(f"{number * step:.1f},{height - 2 - value / most * (height - 4):.1f}" for number, value in enumerate(values))
    return _svg("spark", width, height, sentence, f'<polyline class="line" points="{points}"/>')


def progress_bar(part: float, whole: float, sentence: str) -> Markup:
    """How much of the whole a part is, as a band."""
    share = min(max(part / whole, 0.0), 1.0) if whole else 0.0
    shapes = (
        f'<rect class="band" x="0" y="0" width="320" height="14" rx="7"/><rect class="band-part" x="0" y="0" width="{share * 320:.1f}" height="14" rx="7"/>'
    )
    return _svg("meter", 320, 14, sentence, shapes)


class Box(msgspec.Struct, frozen=True):
    """One piece of a treemap: what it is called, how large it is, and where it leads."""

    label: str
    size: int
    href: str


def treemap(boxes: Sequence[Box], sentence: str) -> Markup:
    """Rectangles whose areas are in proportion to their sizes, the largest first (slices along the longer side in turn)."""
    x, y, width, height = 0.0, 0.0, float(WIDTH), 240.0
    left = float(sum(box.size for box in boxes)) or 1.0
    shapes = []
    for box in sorted(boxes, key=lambda one: -one.size):
        if box.size <= 0:
            continue
        share = box.size / left
        left -= box.size
        w, h = (width * share, height) if width >= height else (width, height * share)
        text = f"{escape(box.label)}: {box.size}"
        shown = escape(_fitting(box.label, w))
        caption = f'<text x="{x + 6:.1f}" y="{y + 18:.1f}">{shown}</text>' if w > 40 and h > 24 and shown else ""  # noqa: PLR2004 - room for a word
        area = f'<rect x="{x + 1:.1f}" y="{y + 1:.1f}" width="{max(w - 2, 1):.1f}" height="{max(h - 2, 1):.1f}" rx="4"/>'
        shapes.append(f'<a href="{escape(box.href)}" aria-label="{text}"><title>{text}</title>{area}{caption}</a>')
        if width >= height:
            x, width = x + w, width - w
        else:
            y, height = y + h, height - h
    return _svg("treemap", WIDTH, 240, sentence, "".join(shapes), role="group")


def _fitting(label: str, width: float) -> str:
    room = math.floor((width - 12) / 8)
    return label if len(label) <= room else label[: max(room - 1, 0)] + ("\N{HORIZONTAL ELLIPSIS}" if room > 1 else "")


def _svg(name: str, width: int, height: int, sentence: str, inner: str, role: str = "img") -> Markup:
    return Markup(f'<svg class="{name}" viewBox="0 0 {width} {height}" role="{role}" aria-label="{escape(sentence)}">{inner}</svg>')  # noqa: S704 - every value is escaped or a number
