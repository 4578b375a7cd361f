"""Which sequences compute which tokens in the next step. Knows nothing of tensors, text or streams.

Continuous batching: every step carries one token for each decoding sequence and, in what is left of the
step's token budget, chunks of prompts. Admission is first come, first served; when blocks run out, the
sequence that was admitted last is preempted: its blocks go, its tokens stay, and it is computed again later.

Everything here belongs to the model thread; nothing is locked.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from inference.local.cache import BlockManager
from inference.local.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Scheduled:
    """`count` of a sequence's pending tokens, to be computed in this step."""

    sequence: Sequence
    count: int

    @property
    def samples(self) -> bool:
        """Whether the step leaves nothing pending, so that the last logits give the next token."""
        return self.count == self.sequence.pending


class Scheduler:
    """Holds waiting and running sequences, and their blocks."""

    def __init__(self, blocks: BlockManager, *, max_running: int, step_tokens: int) -> None:
        self.blocks = blocks
        self.max_running = max_running
        self.step_tokens = step_tokens  # at most so many tokens a step, decoding rows included
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.preemptions = 0

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.running

    def add(self, sequence: Sequence) -> None:
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """The sequence has ended, for whatever reason; its blocks are free or cached from now on."""
        if sequence in self.running:
            self.running.remove(sequence)
            self.blocks.release(sequence.table)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def plan(self) -> list[Scheduled]:
        """The next step. Empty only when idle."""
        plan: list[Scheduled] = []
        budget = self.step_tokens
        # Decoding rows first: an answer under way never waits for somebody's long prompt.
        for sequence in sorted(self.running, key=lambda one: one.pending > 1):
            if budget == 0:
                break
            if sequence not in self.running:  # preempted for one before it
                continue
            count = min(sequence.pending, budget)
            if self._make_room(sequence, sequence.computed + count, plan):
                plan.append(Scheduled(sequence, count))
                budget -= count
        while self.waiting and budget > 0 and len(self.running) < self.max_running:
            admitted = self._admit(self.waiting[0], budget)
            if admitted is None:
                break
            plan.append(admitted)
            budget -= admitted.count
        return plan

    def complete(self, step: Scheduled) -> None:
        """The step's tokens have been computed. Called before the sampled token is appended."""
        sequence = step.sequence
        sequence.computed += step.count
        self.blocks.commit(sequence.table, sequence.tokens, sequence.computed)

    def _make_room(self, sequence: Sequence, length: int, plan: list[Scheduled]) -> bool:
        """Blocks for `length` tokens, at the cost of those admitted last. False if it was itself the last."""
        while not self.blocks.reserve(sequence.table, length):
            victim = self.running[-1]
            self._preempt(victim)
            plan[:] = [step for step in plan if step.sequence is not victim]
            if victim is sequence:
                return False
        return True

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self.blocks.release(sequence.table)
        sequence.computed = 0
        self.waiting.appendleft(sequence)
        self.preemptions += 1

    def _admit(self, sequence: Sequence, budget: int) -> Scheduled | None:
        """Start a waiting sequence on what the prefix tree has of it; None if there is no room now.

        Room for all its tokens is asked for before it starts, so that prompts don't preempt one another. A
        sequence alone always finds it: no sequence is longer than the pool.
        """
        table = sequence.table = self.blocks.acquire(sequence.tokens)
        cached = len(table) * self.blocks.size
        count = min(len(sequence.tokens) - cached, budget)
        missing = -(-len(sequence.tokens) // self.blocks.size) - len(table)
        if missing > self.blocks.free + self.blocks.cached:
            self.blocks.release(table)
            return None
        self.blocks.reserve(table, cached + count)
        self.waiting.popleft()
        self.running.append(sequence)
        sequence.computed = cached
        if sequence.output_length == 0:
            sequence.cached_tokens = cached
        return Scheduled(sequence, count)
