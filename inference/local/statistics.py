"""What an engine counts. Written by the model thread, read by any: single numbers, each right by itself."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the histograms' buckets in seconds; a last bucket takes what is above."""

WINDOW = 10.0  # seconds over which rates are taken


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often a duration fell under each of BOUNDS, and above the last."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    total: float = 0.0  # seconds

    def quantile(self, share: float) -> float | None:
        """The bound under which that share of the durations lies; None before the first."""
        wanted = share * sum(self.counts)
        reached = 0
        for bound, count in zip((*BOUNDS, float("inf")), self.counts, strict=True):
            reached += count
            if reached and reached >= wanted:
                return bound
        return None


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What an engine is doing now and has done since it opened.

    free_blocks + held_blocks + cached_blocks = total_blocks. Rates are tokens a second over the last ten.
    """

    waiting: int
    running: int
    max_running: int
    free_blocks: int
    held_blocks: int
    cached_blocks: int
    total_blocks: int
    block_bytes: int  # memory of one
    preemptions: int
    spilled_blocks: int
    restored_blocks: int
    steps: int
    mean_rows: float  # sequences in a step
    prompt_tokens: int
    cached_tokens: int  # of prompt_tokens, not computed again
    output_tokens: int
    guessed_tokens: int
    accepted_tokens: int  # of guessed_tokens, right
    computed_per_second: float
    output_per_second: float
    first_token: Histogram
    between_tokens: Histogram

    @property
    def prefix_hit_rate(self) -> float:
        """Share of the prompts' tokens that the cache had."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0


class Timings:
    """A histogram that grows."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._total = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._total += seconds

    def snapshot(self) -> Histogram:
        return Histogram(tuple(self._counts), self._total)


@dataclass(slots=True)
class Counters:
    """The model thread's side of EngineStats."""

    clock: Callable[[], float] = time.monotonic
    steps: int = 0
    rows: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    guessed_tokens: int = 0
    accepted_tokens: int = 0
    first_token: Timings = field(default_factory=Timings)
    between_tokens: Timings = field(default_factory=Timings)
    _recent: deque[tuple[float, int, int]] = field(default_factory=deque)

    def step(self, rows: int, computed: int, output: int) -> None:
        """A step of so many sequences computed so many tokens and gave so many of output."""
        self.steps += 1
        self.rows += rows
        self.output_tokens += output
        now = self.clock()
        self._recent.append((now, computed, output))
        while self._recent[0][0] < now - WINDOW:
            self._recent.popleft()

    def rates(self) -> tuple[float, float]:
        """Tokens computed and given a second, over the last ten seconds."""
        since = self.clock() - WINDOW
        recent = [one for one in tuple(self._recent) if one[0] >= since]
        return sum(one[1] for one in recent) / WINDOW, sum(one[2] for one in recent) / WINDOW
