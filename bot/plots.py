"""Statistics as pictures. Knows nothing of where the numbers come from.

matplotlib is an extra ("plots") and slow to load. It is imported in the process that draws, which is one of
its own, so that neither its import nor its drawing holds anybody up, and which ends with its picture.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from io import BytesIO
from typing import Any

from bot.i18n import DEFAULT, _, speaking
from bot.stats import Stats

TIME = timedelta(seconds=60)
WIDTH, HEIGHT = 10.0, 7.2  # inches
DPI = 110
COLOURS = ("#5865F2", "#2AABEE", "#3BA55D", "#F0A132")
INK, GRID = "#2E3338", "#E3E5E8"
LONGEST_LABEL = 28
FIRST_UNSHOWN = 0x2E80  # East Asian scripts begin here


class NoPlots(Exception):
    """There is no picture: matplotlib is missing, or could not draw."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn: texts, and numbers by day and by channel."""

    title: str
    headings: tuple[str, ...]  # messages, people, tokens, seconds to the first token, channels
    days: tuple[str, ...]  # ISO dates
    series: tuple[tuple[float | None, ...], ...]  # one for each heading but the last
    channels: tuple[tuple[str, float], ...]


def available() -> bool:
    return find_spec("matplotlib") is not None


def picture_of(stats: Stats, title: Callable[[], str], name_of: Callable[[str, str | None], str]) -> Picture:
    """What is to be drawn of statistics; `name_of` names a channel by its platform and id. Texts that
    matplotlib's own font can't show (Chinese) are in English."""
    picture = _picture_of(stats, title(), name_of)
    if all(ord(character) < FIRST_UNSHOWN for text in picture.headings for character in text):
        return picture
    with speaking(DEFAULT):
        return _picture_of(stats, title(), name_of)


def _picture_of(stats: Stats, title: str, name_of: Callable[[str, str | None], str]) -> Picture:
    return Picture(
        title=title,
        headings=(
            _("Messages"),
            _("People"),
            _("Tokens"),
            _("Seconds to the first token (median)"),
            _("Messages by channel"),
        ),
        days=tuple(day.day.isoformat() for day in stats.days),
        series=(
            tuple(day.messages for day in stats.days),
            tuple(day.people for day in stats.days),
            tuple(day.tokens for day in stats.days),
            tuple(day.first_token for day in stats.days),
        ),
        channels=tuple((name_of(one.platform, one.chat), one.messages) for one in stats.channels),
    )


async def draw(picture: Picture) -> bytes:
    """The picture as PNG. Raises NoPlots."""
    if not available():
        raise NoPlots("matplotlib is not installed")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot.plots",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(TIME.total_seconds()):
            drawn, errors = await process.communicate(json.dumps(asdict(picture)).encode())
    except TimeoutError:
        raise NoPlots(f"drawing took more than {TIME}") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise NoPlots(errors.decode(errors="replace").strip().rpartition("\n")[2])
    return drawn


def render(picture: Picture) -> bytes:
    """Draw it here and now, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained", facecolor="white")
    figure.suptitle(picture.title, color=INK, fontsize=13, fontweight="bold")
    axes = figure.subplot_mosaic([["0", "1"], ["2", "3"], ["4", "4"]], height_ratios=[1, 1, 1.2])
    days = [date.fromisoformat(day) for day in picture.days]
    for number, (colour, values) in enumerate(zip(COLOURS, picture.series, strict=True)):
        axis = axes[str(number)]
        _by_day(axis, days, values, colour, as_line=number == len(COLOURS) - 1)
        axis.set_title(picture.headings[number], color=INK, fontsize=10, loc="left")
    _by_channel(axes["4"], picture.channels)
    axes["4"].set_title(picture.headings[-1], color=INK, fontsize=10, loc="left")
    written = BytesIO()
    figure.savefig(written, format="png", metadata={"Software": None})
    return written.getvalue()


def _by_day(
    axis: Any, days: Sequence[date], values: Sequence[float | None], colour: str, *, as_line: bool
) -> None:
    from matplotlib import dates
    from matplotlib.ticker import MaxNLocator

    if as_line:
        known = [(day, value) for day, value in zip(days, values, strict=True) if value is not None]
        axis.plot([day for day, _value in known], [value for _day, value in known], color=colour, marker=".")
    else:
        axis.bar(days, values, color=colour, width=0.8)
        axis.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    library: Any = dates  # which has no types
    locator = library.AutoDateLocator(maxticks=7)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(library.ConciseDateFormatter(locator, show_offset=False))
    axis.set_xlim(days[0] - timedelta(days=1), days[-1] + timedelta(days=1))
    axis.set_ylim(bottom=0)
    _plain(axis, "y")


def _by_channel(axis: Any, channels: Sequence[tuple[str, float]]) -> None:
    names = [name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…" for name, _ in channels]
    places = range(len(names))
    axis.barh(places, [count for _name, count in channels], color=COLOURS[0], height=0.7)
    axis.set_yticks(places, names)
    axis.invert_yaxis()
    _plain(axis, "x")


def _plain(axis: Any, grid: str) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8, colors=INK)
    axis.grid(axis=grid, color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)


def main() -> None:
    """Read a picture's values from the standard input and write its PNG to the standard output."""
    sys.stdout.buffer.write(render(Picture(**json.load(sys.stdin))))


if __name__ == "__main__":
    main()
