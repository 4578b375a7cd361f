"""Our engine and its peers at the same work, interleaved in one run: `make bench-engine`.

Round after round each server runs once in each of its precisions, in a process of its own, so that a noisy
machine is unfair to all alike; what is shown is each figure's median over the rounds. A peer that is not
installed, fails or takes too long is shown as such. Knows nothing of how a server does its work.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from inference.bench.shapes import SHAPES, model_folder, vocabulary
from inference.bench.work import Work

ROOT = Path(__file__).parents[1]
LIMIT = 600  # seconds that one run of one server may take, its start included

Figures = dict[str, Any]


class Failed(Exception):
    """A run gave no figures. The message says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A server to be run, in one precision of its weights. `environment` is its virtual environment below
    .bench, or None for our own."""

    name: str
    precision: str
    module: str
    environment: str | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.precision}"

    def run(self, shape: str, work: Work) -> Figures:
        """Raises Failed."""
        python = Path(sys.executable)
        if self.environment is not None:
            python = ROOT / ".bench" / self.environment / "bin" / "python"
            if not (python.parents[1] / ".installed").is_file():
                raise Failed(f"not installed: .bench/{self.environment}.log tells why")
        folder = model_folder(shape)
        output = _output_of(
            [str(python), "-m", self.module, str(folder), self.precision, json.dumps(asdict(work))]
        )
        figures: Figures = json.loads(output.splitlines()[-1])
        return figures


PRECISIONS = ("int8", "bf16")
OURS = tuple(Contender("chorus", precision, "benchmarks.peers.chorus") for precision in PRECISIONS)
PEERS = (
    Contender("transformers-generate", "bf16", "benchmarks.peers.transformers_generate"),
    Contender("transformers-batching", "bf16", "benchmarks.peers.transformers_batching"),
    Contender("llama", "bf16", "benchmarks.peers.llama", "llama"),
    Contender("llama", "int8", "benchmarks.peers.llama", "llama"),
    Contender("openvino", "int8", "benchmarks.peers.openvino", "openvino"),
    Contender("vllm", "bf16", "benchmarks.peers.vllm", "vllm"),
)


def _output_of(command: Sequence[str]) -> str:
    """Standard output of a program that is ended, children and all, when its time is over. Raises Failed."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=LIMIT)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise Failed(f"took more than {LIMIT} s") from error
            raise
    if process.returncode:
        raise Failed(f"failed: {(errors.strip() or 'without a word').splitlines()[-1]}")
    return output


def compare(
    contenders: Sequence[Contender], shape: str, work: Work, rounds: int
) -> dict[Contender, Figures | str]:
    """Each contender's medians, or in a few words why it has none."""
    results: dict[Contender, list[Figures]] = {one: [] for one in contenders}
    failures: dict[Contender, str] = {}
    for turn in range(1, rounds + 1):
        for one in contenders:
            if one in failures:
                continue
            try:
                figures = one.run(shape, work)
            except Failed as failure:
                failures[one] = str(failure)
                told = str(failure)
            else:
                results[one].append(figures)
                told = f"{figures['tokens_per_second']:.1f} tokens/s"
            print(f"N = {work.conversations}, round {turn}: {one}: {told}", file=sys.stderr, flush=True)
    return {one: failures.get(one) or _medians(runs) for one, runs in results.items()}


def _medians(runs: Sequence[Figures]) -> Figures:
    """Of each figure that every run has."""
    return {
        key: statistics.median(run[key] for run in runs)
        for key in runs[0]
        if all(isinstance(run[key], int | float) for run in runs)
    }


COLUMNS = {
    "tokens/s": "tokens_per_second",
    "TTFT first": "ttft_first_p50_ms",
    "TTFT later": "ttft_later_p50_ms",
    "ITL p50": "itl_p50_ms",
    "ITL p99": "itl_p99_ms",
    "MiB": "rss_peak_mb",
}
RATIOS = {"x tokens/s": "tokens_per_second", "x TTFT": "ttft_later_p50_ms", "x ITL": "itl_p50_ms"}


def _table(title: str) -> Table:
    caption = "x: ours of the same precision / peer's; times in ms"
    server = Column("server", min_width=max(len(one.name) for one in (*OURS, *PEERS)))
    table = Table("N", server, "", title=title, caption=caption)
    for name in (*COLUMNS, *RATIOS):
        table.add_column(name, justify="right")
    return table


def _add(table: Table, conversations: int, one: Contender, figures: Figures | str, ours: Figures) -> None:
    start = (str(conversations), one.name, one.precision)
    if isinstance(figures, str):
        table.add_row(*start, figures)
        return
    cells = [f"{figures[key]:.1f}" if key in figures else "-" for key in COLUMNS.values()]
    for key in RATIOS.values():
        comparable = key in ours and key in figures
        cells.append(f"{ours[key] / figures[key]:.2f}" if comparable else "-")
    table.add_row(*start, *cells)


def main() -> None:
    """Exit code 1 if our own engine gave no figures in a precision."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by way of those that clean up
    names = sorted({peer.name for peer in PEERS})
    parser = argparse.ArgumentParser(description="Compare our engine with its peers.")
    parser.add_argument("--shape", choices=SHAPES, default="smol")
    parser.add_argument("--conversations", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--answer", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="*", choices=names, default=names)
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    asked = parser.parse_args()
    servers = (*OURS, *(peer for peer in PEERS if peer.name in asked.peers))
    contenders = [one for one in servers if one.precision in asked.precisions]
    folder = model_folder(asked.shape)
    table = _table(f"{asked.shape}: {asked.turns} turns, answers of {asked.answer} tokens")
    failed = False
    for conversations in asked.conversations:
        work = Work(vocabulary(folder), conversations, turns=asked.turns, answer=asked.answer)
        results = compare(contenders, asked.shape, work, asked.rounds)
        ours = {
            one.precision: figures
            for one, figures in results.items()
            if one in OURS and not isinstance(figures, str)
        }
        failed = failed or any(one in OURS and isinstance(figures, str) for one, figures in results.items())
        for one in contenders:
            _add(table, conversations, one, results[one], ours.get(one.precision, {}))
        table.add_section()
    Console(width=140).print(table)
    sys.exit(failed)


if __name__ == "__main__":
    main()
