"""`chorus bench`: the work on our own engine, and what was measured as a table or as JSON."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from inference.bench.measure import Report, measure, report_json
from inference.bench.ours import open_ours
from inference.bench.shapes import model_folder, vocabulary
from inference.bench.work import Work

TITLES = {
    "tokens_per_second": "Tokens a second, all conversations together",
    "ttft_first_p50_ms": "Median time to first token, first turn (ms)",
    "ttft_later_p50_ms": "Median time to first token, later turns (ms)",
    "itl_p50_ms": "Median time between tokens (ms)",
    "itl_p99_ms": "99 % of the times between tokens are below (ms)",
    "rss_peak_mb": "Memory at most (MiB)",
    "rss_after_mb": "Memory at the end (MiB)",
    "prompt_tokens": "Prompt tokens",
    "cached_tokens": "  found in the cache",
    "computed_tokens": "  computed",
    "output_tokens": "Answer tokens",
    "wall_seconds": "Seconds in all",
}


def run_bench(shape: str, precision: str, *, as_json: bool, **lengths: int) -> None:
    """Measure and print. `lengths` are the fields of Work. Blocks until done.

    Raises ModelNotFound, and ValueError for an unknown shape or lengths that the model's context can't hold.
    """
    folder = Path(shape) if (Path(shape) / "config.json").is_file() else model_folder(shape)
    work = Work(vocabulary(folder), **lengths)
    report = asyncio.run(_measure_ours(folder, work, precision))
    if as_json:
        typer.echo(report_json(shape, precision, work, report))
    else:
        Console().print(_table(shape, precision, work, report))


async def _measure_ours(folder: Path, work: Work, precision: str) -> Report:
    async with open_ours(folder, work, precision) as server:
        return await measure(work, server)


def _table(shape: str, precision: str, work: Work, report: Report) -> Table:
    title = (
        f"{shape}, {precision}: {work.conversations} conversations of {work.turns} turns, "
        f"{work.system}+{work.history} tokens before, {work.question} asked, {work.answer} answered"
    )
    table = Table("Measured", "", title=title)
    table.columns[1].justify = "right"
    for key, value in asdict(report).items():
        table.add_row(
            TITLES[key], "-" if value is None else f"{value:,.{0 if isinstance(value, int) else 1}f}"
        )
    return table
