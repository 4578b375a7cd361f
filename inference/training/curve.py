"""The loss over the steps, as text for a terminal and as a picture. Knows nothing of where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

BARS = " ▁▂▃▄▅▆▇█"
WIDTH, HEIGHT, DPI = 9.0, 4.5, 110  # inches
COLOUR, PALE = "#5865F2", "#C9CEFB"
SMOOTH = 0.97  # share of the smoothed loss that stays at each step


def lines(losses: Sequence[float], width: int, height: int) -> list[str]:
    """The losses as bars: `height` lines of `width` characters at most, the highest above."""
    points = _thinned(losses, width)
    if not points:
        return []
    low, high = min(points), max(points)
    reach = (high - low) or 1.0
    eighths = [1 + round((point - low) / reach * (8 * height - 1)) for point in points]
    return [
        "".join(BARS[max(0, min(8, value - 8 * line))] for value in eighths)
        for line in range(height - 1, -1, -1)
    ]


def smoothed(losses: Sequence[float]) -> list[float]:
    """An exponential mean that is fair to the beginning."""
    smooth: list[float] = []
    total = weight = 0.0
    for loss in losses:
        total = SMOOTH * total + (1 - SMOOTH) * loss
        weight = SMOOTH * weight + (1 - SMOOTH)
        smooth.append(total / weight)
    return smooth


def picture(losses: Sequence[float], title: str, file: Path) -> bool:
    """Draw the losses as a PNG. False where matplotlib isn't there; it is an extra ("plots")."""
    if find_spec("matplotlib") is None or not losses:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    steps = range(1, len(losses) + 1)
    axis.plot(steps, losses, color=PALE, linewidth=0.8)
    axis.plot(steps, smoothed(losses), color=COLOUR, linewidth=1.6)
    axis.set_title(title)
    axis.set_xlabel("Step")
    axis.set_ylabel("Loss of a token (nats)")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", linewidth=0.5)
    figure.savefig(file)
    return True


def _thinned(losses: Sequence[float], count: int) -> list[float]:
    """At most `count` means of neighbours."""
    if len(losses) <= count:
        return list(losses)
    edges = [len(losses) * number // count for number in range(count + 1)]
    return [sum(losses[first:last]) / (last - first) for first, last in pairwise(edges)]
