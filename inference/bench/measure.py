"""Runs the work on a server and measures what its users would feel. Knows nothing of models.

TTFT is the time from a question to the first token of its answer, ITL the time between two tokens of one
answer; both as seen by the event loop that reads the answers, waiting in a queue included.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from inference.bench.work import Work

WARM_UP_TOKENS = 8
KIB_PER_MIB = 1024


class Server(Protocol):
    """What is measured."""

    @property
    def cached_tokens(self) -> int | None:
        """Tokens, of all prompts so far, that were not computed again; None if the server doesn't tell."""
        ...

    def answer(self, conversation: int, prompt: list[int], count: int) -> AsyncGenerator[Sequence[int], None]:
        """Exactly `count` greedy tokens, in pieces as they come. `prompt` begins with all that this
        conversation's earlier prompts and answers were."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured. Times in the unit of their name; memory of the process and its children, in MiB,
    None where the system doesn't tell."""

    tokens_per_second: float  # of all answers together
    ttft_first_p50_ms: float  # of the conversations' first turns
    ttft_later_p50_ms: float | None  # of all other turns; None if there are none
    itl_p50_ms: float | None  # None if answers have one token
    itl_p99_ms: float | None
    rss_peak_mb: float | None
    rss_after_mb: float | None
    prompt_tokens: int
    cached_tokens: int | None  # None if the server doesn't tell
    computed_tokens: int | None  # prompt tokens that were not cached
    output_tokens: int
    wall_seconds: float


def report_json(shape: str, precision: str, work: Work, report: Report) -> str:
    """One JSON object of what was asked and what was measured."""
    return json.dumps({"shape": shape, "precision": precision, **asdict(work), **asdict(report)})


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process and its children, in MiB. What they share is counted for each."""

    peak: float
    now: float


@dataclass(slots=True)
class _Times:
    """All in seconds."""

    ttft_first: list[float] = field(default_factory=list)
    ttft_later: list[float] = field(default_factory=list)
    itl: list[float] = field(default_factory=list)
    prompt_tokens: int = 0


async def measure(work: Work, server: Server) -> Report:
    """Run all conversations at once, each in its own task, after a warm-up that is not counted.

    Raises ValueError if an answer has another length than the work asks for.
    """
    await _read(server, -1, work.warm_up(), min(WARM_UP_TOKENS, work.answer))
    if work.history:
        for conversation in range(work.conversations):
            await _read(server, conversation, work.opening(conversation), 1)
    times = _Times()
    cached_before = server.cached_tokens
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for conversation in range(work.conversations):
            group.create_task(_converse(work, server, conversation, times))
    wall = time.perf_counter() - start
    cached = server.cached_tokens
    if cached is not None and cached_before is not None:
        cached -= cached_before
    output = work.conversations * work.turns * work.answer
    memory = resident_memory()
    return Report(
        tokens_per_second=output / wall,
        ttft_first_p50_ms=1000 * percentile(times.ttft_first, 50),
        ttft_later_p50_ms=1000 * percentile(times.ttft_later, 50) if times.ttft_later else None,
        itl_p50_ms=1000 * percentile(times.itl, 50) if times.itl else None,
        itl_p99_ms=1000 * percentile(times.itl, 99) if times.itl else None,
        rss_peak_mb=None if memory is None else memory.peak,
        rss_after_mb=None if memory is None else memory.now,
        prompt_tokens=times.prompt_tokens,
        cached_tokens=cached,
        computed_tokens=None if cached is None else times.prompt_tokens - cached,
        output_tokens=output,
        wall_seconds=wall,
    )


async def _converse(work: Work, server: Server, conversation: int, times: _Times) -> None:
    said = work.opening(conversation)
    for turn in range(work.turns):
        said += work.ask(conversation, turn)
        times.prompt_tokens += len(said)
        asked = time.perf_counter()
        answer, arrivals = await _read(server, conversation, list(said), work.answer)
        (times.ttft_later if turn else times.ttft_first).append(arrivals[0] - asked)
        times.itl.extend(after - before for before, after in pairwise(arrivals))
        said += answer


async def _read(
    server: Server, conversation: int, prompt: list[int], count: int
) -> tuple[list[int], list[float]]:
    """An answer and when each of its tokens came. Tokens that come together share the time since the one
    before them evenly: a reader sees them at one speed."""
    tokens: list[int] = []
    arrivals: list[float] = []
    async with aclosing(server.answer(conversation, prompt, count)) as pieces:
        async for piece in pieces:
            if not piece:
                continue
            now = time.perf_counter()
            gap = (now - arrivals[-1]) / len(piece) if arrivals else 0.0
            arrivals.extend(now - gap * left for left in range(len(piece) - 1, -1, -1))
            tokens.extend(piece)
    if len(tokens) != count:
        raise ValueError(f"an answer has {len(tokens)} tokens instead of {count}")
    return tokens, arrivals


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` % of the values don't exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1]


def resident_memory() -> Memory | None:
    """Of this process and its children, from /proc; None on systems without it."""
    if not Path("/proc/self/status").is_file():
        return None
    family = [status for process in _family(Path("/proc/self")) if "VmRSS" in (status := _status(process))]
    return Memory(
        peak=sum(_mib(status["VmHWM"]) for status in family),
        now=sum(_mib(status["VmRSS"]) for status in family),
    )


def _family(process: Path) -> list[Path]:
    """The process and all that descend from it."""
    children = [
        Path("/proc", child)
        for thread in process.glob("task/*/children")
        for child in _contents(thread).split()
    ]
    return [process, *(one for child in children for one in _family(child))]


def _status(process: Path) -> dict[str, str]:
    """Empty for one that has ended."""
    return dict(line.split(":", 1) for line in _contents(process / "status").splitlines())


def _contents(file: Path) -> str:
    """What /proc says; nothing of threads and processes that have ended since they were listed."""
    try:
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _mib(size: str) -> float:
    """From proc's `1234 kB`."""
    return int(size.split(maxsplit=1)[0]) / KIB_PER_MIB
