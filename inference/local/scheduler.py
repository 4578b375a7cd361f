"""Which sequences compute which tokens in the next step. Knows nothing of tensors, text or streams.

Continuous batching: every step carries one token for each decoding sequence and, in what is left of the
step's token budget, chunks of prompts.

Fairness: the next sequence is that of the highest priority, then that of the client that was served the
fewest tokens (start-time fair queueing, Goyal et al. 1996), then the oldest. When every place is taken and a
client waits that has none while another has several, that other's newest sequence makes room.

Preemption: when blocks run out, or for fairness, a running sequence loses its blocks and keeps its tokens;
it is computed again later, from what the cache still has of it.

Everything here belongs to the model thread; nothing is locked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from inference.local.cache import Cache
from inference.local.sequence import Sequence

FEW = 2  # sequences up to which a step has room to verify guesses for nearly nothing


@dataclass(frozen=True, slots=True)
class Scheduled:
    """`count` of a sequence's pending tokens, to be computed in this step, and behind them the tokens of
    `draft`: a guess at what follows, verified by the step's own logits."""

    sequence: Sequence
    count: int
    draft: list[int] = field(default_factory=list)

    @property
    def samples(self) -> bool:
        """Whether the step leaves nothing pending, so that its logits give the next token."""
        return self.count == self.sequence.pending


class Scheduler:
    """Holds waiting and running sequences, and their blocks."""

    def __init__(self, blocks: Cache[Any], *, max_running: int, step_tokens: int, speculate: int = 0) -> None:
        self.blocks = blocks
        self.max_running = max_running
        self.step_tokens = step_tokens  # at most so many tokens a step, decoding rows included
        self.speculate = speculate  # tokens that are guessed at most
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []  # in order of admission
        self._parked: set[Sequence] = set()  # lost their blocks while nothing was pending
        self.preemptions = 0
        self._served: dict[str, float] = {}  # client -> virtual time: tokens, from where it came in

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.running

    def add(self, sequence: Sequence) -> None:
        """Let a sequence wait for its turn."""
        if sequence.client not in self._clients():
            # Who comes anew starts where the least served is now: time away earns no credit.
            now = min((self._served[one] for one in self._clients()), default=0.0)
            self._served[sequence.client] = max(self._served.get(sequence.client, 0.0), now)
        self.waiting.append(sequence)

    def adopt(self, sequence: Sequence) -> None:
        """Let a sequence run at once that holds its blocks already: a beam beside the one it came from."""
        self.running.append(sequence)

    def resume(self, sequence: Sequence) -> None:
        """Something is pending again in a sequence that had to wait for others."""
        if sequence in self._parked:
            self._parked.remove(sequence)
            self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """The sequence has ended, for whatever reason; its blocks are free or cached from now on."""
        self._parked.discard(sequence)
        if sequence in self.running:
            self.running.remove(sequence)
            self.blocks.release(sequence.table)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        if self.idle:
            self._served.clear()

    def plan(self) -> list[Scheduled]:
        """The next step. Empty only when nothing has tokens pending."""
        plan: list[Scheduled] = []
        budget = self.step_tokens
        # Decoding rows first: an answer under way never waits for somebody's long prompt.
        for sequence in sorted(self.running, key=lambda one: (one.pending > 1, *self._rank(one))):
            if sequence.pending == 0 or sequence not in self.running:  # or preempted for one before it
                continue
            if budget == 0:
                break
            count = self.blocks.chunk(sequence.table, sequence.computed, min(sequence.pending, budget))
            if self._make_room(sequence, sequence.computed + count, plan):
                plan.append(Scheduled(sequence, count))
                budget -= count
        while self.waiting and budget > 0:
            sequence = min(self.waiting, key=self._rank)
            if len(self.running) >= self.max_running and not self._yield_place(sequence, plan):
                break
            admitted = self._admit(sequence, budget)
            if admitted is None:
                if self._yield_place(sequence, plan):
                    continue
                break
            plan.append(admitted)
            budget -= admitted.count
        if not plan and self.waiting and self.running:
            # Beams that wait for another one of their search hold the blocks which that one needs.
            self._preempt(self._victim(), plan)
            return self.plan()
        for step in plan:
            self._served[step.sequence.client] += step.count
        if self.speculate and len(self.running) <= FEW:
            plan = [self._with_draft(step) for step in plan]
        return plan

    def complete(self, step: Scheduled) -> None:
        """The step's pending tokens have been computed. Called before a sampled token is appended."""
        self.advance(step.sequence, step.count)

    def advance(self, sequence: Sequence, count: int) -> None:
        """The cache knows `count` further tokens."""
        sequence.computed += count
        self.blocks.commit(sequence.table, sequence.tokens, sequence.computed)

    def _clients(self) -> set[str]:
        return {one.client for one in self._all()}

    def _all(self) -> Iterable[Sequence]:
        yield from self.running
        yield from self.waiting
        yield from self._parked

    def _rank(self, sequence: Sequence) -> tuple[int, float]:
        """Smaller goes first; equals go in their order."""
        return (-sequence.priority, self._served[sequence.client])

    def _make_room(self, sequence: Sequence, length: int, plan: list[Scheduled]) -> bool:
        """Blocks for `length` tokens, at the cost of others. False if the sequence itself had to give way."""
        while not self.blocks.reserve(sequence.table, length):
            victim = self._victim()
            self._preempt(victim, plan)
            if victim is sequence:
                return False
        return True

    def _victim(self) -> Sequence:
        """Of the lowest priority, of the client with the most running, the one admitted last."""
        places = Counter(one.client for one in self.running)
        return min(reversed(self.running), key=lambda one: (one.priority, -places[one.client]))

    def _yield_place(self, newcomer: Sequence, plan: list[Scheduled]) -> bool:
        """Let a client that has several sequences running give one up for a client that has none."""
        places = Counter(one.client for one in self.running)
        if places[newcomer.client]:
            return False
        generous = [
            one for one in self.running if places[one.client] > 1 and one.priority <= newcomer.priority
        ]
        if not generous:
            return False
        self._preempt(max(generous, key=lambda one: places[one.client]), plan)
        return True

    def _preempt(self, sequence: Sequence, plan: list[Scheduled]) -> None:
        self.running.remove(sequence)
        self.blocks.release(sequence.table)
        if sequence.pending == 0:
            self._parked.add(sequence)
        else:
            self.waiting.insert(0, sequence)
        sequence.computed = 0
        self.preemptions += 1
        plan[:] = [step for step in plan if step.sequence is not sequence]

    def _admit(self, sequence: Sequence, budget: int) -> Scheduled | None:
        """Start a waiting sequence on what the cache has of it; None if there is no room now.

        Room for all its tokens is asked for before it starts, so that prompts don't preempt one another. A
        sequence alone always finds it: no sequence is longer than the pool.
        """
        table = sequence.table = self.blocks.acquire(sequence.tokens, sequence.topic)
        cached = self.blocks.prefix(table)
        if not self.blocks.has_room(table, len(sequence.tokens)):
            self.blocks.release(table)
            return None
        count = self.blocks.chunk(table, cached, min(len(sequence.tokens) - cached, budget))
        self.blocks.reserve(table, cached + count)
        self.waiting.remove(sequence)
        self.running.append(sequence)
        sequence.computed = cached
        if sequence.output_length == 0:
            sequence.cached_tokens = cached
        return Scheduled(sequence, count)

    def _with_draft(self, step: Scheduled) -> Scheduled:
        """The step with a guess at what follows, if there is one and free room for it."""
        sequence = step.sequence
        if not step.samples or sequence.output_length == 0 or sequence.lookup is None:
            return step
        most = min(self.speculate, sequence.max_output - sequence.output_length - 1)
        draft = sequence.lookup.propose(sequence.tokens, most) if most > 0 else []
        room = len(sequence.tokens) + len(draft)
        if not draft or not self.blocks.reserve(sequence.table, room):
            return step
        return Scheduled(sequence, step.count, draft)
