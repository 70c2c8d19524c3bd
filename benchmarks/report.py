"""Tables of medians, and what one side is to the other."""

from statistics import median


def row(name: str, *cells: object, widths: tuple[int, ...]) -> str:
    shown = [f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells]
    return f"{name:<28}" + "".join(f"{cell:>{width}}" for cell, width in zip(shown, widths, strict=True))


def middle(values: list[float]) -> float:
    return float(median(values))
