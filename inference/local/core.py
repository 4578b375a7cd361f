"""One step after another: plan, compute, choose, hand out. Knows nothing of threads or event loops.

Everything here belongs to the model thread; a test may play that thread.
"""

from __future__ import annotations

import heapq
from collections import defaultdict

from torch import Tensor

from inference.local.beam import Step
from inference.local.generation import Clock, Generation, Output, Sampling, Searching
from inference.local.row import Row, Runner
from inference.local.sampler import beam_candidates, choose, likeliest
from inference.local.scheduler import Scheduled, Scheduler
from inference.local.sequence import PromptLookup, Sequence
from inference.local.statistics import Counters
from inference.types import Delta, Finished, FinishReason

Outputs = list[tuple[str, Output]]
"""What a step gives, each with its request's id."""


class Core:
    """Requests under way, and how a step brings them on."""

    def __init__(self, scheduler: Scheduler, runner: Runner, counters: Counters, clock: Clock) -> None:
        self.scheduler = scheduler
        self._runner = runner
        self._counters = counters
        self._clock = clock
        self._generations: dict[str, Generation] = {}
        self._deadlines: list[tuple[float, str]] = []  # a heap; ended requests stay in it until their time

    @property
    def idle(self) -> bool:
        return self.scheduler.idle

    @property
    def requests(self) -> list[str]:
        """The ids of all requests under way."""
        return list(self._generations)

    def add(self, generation: Generation) -> None:
        """Take a request in; it waits for its turn."""
        self._generations[generation.request_id] = generation
        if self.scheduler.speculate and isinstance(generation, Sampling):
            generation.sequence.lookup = PromptLookup()
        if generation.ending.deadline is not None:
            heapq.heappush(self._deadlines, (generation.ending.deadline, generation.request_id))
        self.scheduler.add(generation.sequence)

    def cancel(self, request_id: str, reason: FinishReason = FinishReason.CANCELLED) -> Outputs:
        """End a request now: what it has, and its end. Nothing if it has ended already."""
        generation = self._generations.get(request_id)
        if generation is None:
            return []
        outputs = generation.end(reason)
        self._forget(generation)
        return [(request_id, output) for output in outputs]

    def step(self) -> Outputs:
        """Compute one step. Its outputs end with what expired."""
        outputs: Outputs = self._expire()
        plan = self.scheduler.plan()
        if not plan:
            return outputs
        logits = self._runner.step([_row(step) for step in plan])
        for step in plan:
            self.scheduler.complete(step)
        given = len(outputs)
        sampling = [step for step in plan if self._wants_logits(step)]
        greedy = self._greedy_tokens(logits, sampling)
        first = 0
        for step in sampling:
            rows = slice(first, first + 1 + len(step.draft))
            first = rows.stop
            generation = self._generations[step.sequence.request_id]
            if isinstance(generation, Sampling):
                outputs.extend(self._sample(generation, step, logits[rows], greedy[rows]))
            elif isinstance(generation, Searching):
                outputs.extend(self._search(generation, step.sequence, logits[rows.start]))
        tokens = sum(len(one.token_ids) for _, one in outputs[given:] if isinstance(one, Delta))
        self._counters.step(len(plan), sum(step.count for step in plan), tokens)
        return outputs

    def _wants_logits(self, step: Scheduled) -> bool:
        return step.sequence.pending == 0  # `complete` has been called

    def _greedy_tokens(self, logits: Tensor, sampling: list[Scheduled]) -> list[int]:
        """The likeliest token of every row, if any sequence is after it: one operator for all."""
        if any(step.sequence.decoding.plain_greedy for step in sampling):
            return likeliest(logits)
        return [-1] * logits.shape[0]

    def _sample(
        self, generation: Sampling, step: Scheduled, rows: Tensor, greedy: list[int]
    ) -> list[tuple[str, Output]]:
        """The sequence's next token, and as many more as its guess has right: each is chosen from the logits
        that it would have been chosen from without the guess."""
        sequence = step.sequence
        outputs: list[tuple[str, Output]] = []
        accepted = 0
        for index, row in enumerate(rows):
            if sequence.decoding.plain_greedy:
                token, logprob = greedy[index], None
            else:
                token, logprob = choose(row, sequence)
            given = generation.accept(token, logprob)
            outputs.extend((sequence.request_id, output) for output in given)
            if isinstance(given[-1], Finished):
                self._forget(generation)
                break
            if index == len(step.draft) or token != step.draft[index]:
                break
            accepted += 1
            self.scheduler.advance(sequence, 1)
        if step.draft and sequence.lookup is not None:
            sequence.lookup.learn(len(step.draft), accepted)
            self._counters.guessed_tokens += len(step.draft)
            self._counters.accepted_tokens += accepted
        return outputs

    def _search(self, generation: Searching, beam: Sequence, row: Tensor) -> Outputs:
        """Take a beam's candidates; when they were the last that was waited for, grow all beams."""
        step = generation.search.offer(beam, beam_candidates(row, generation.search.wanted))
        if step is None:
            return []
        generation.search.become(self._grow(generation, step))
        if not generation.search.done:
            return []
        outputs = generation.conclude()
        self._forget(generation)
        return [(generation.request_id, output) for output in outputs]

    def _grow(self, generation: Searching, step: Step) -> dict[Sequence, float]:
        """Each new beam behind its parent: the first in its place, others on blocks shared with it."""
        children: dict[Sequence, list[tuple[int, float]]] = defaultdict(list)
        for parent, token, total in step.grown:
            children[parent].append((token, total))
        beams: dict[Sequence, float] = {}
        for parent, ((token, total), *others) in children.items():
            for other_token, other_total in others:
                child = self._fork(parent)
                child.tokens.append(other_token)
                beams[child] = other_total
            parent.tokens.append(token)
            self.scheduler.resume(parent)
            beams[parent] = total
        for parent in generation.sequences:
            if parent not in beams:
                self.scheduler.remove(parent)
        return beams

    def _fork(self, parent: Sequence) -> Sequence:
        child = parent.fork()
        forked = self.scheduler.blocks.fork(parent.table) if parent.computed else None
        if forked is None:  # no blocks, or the parent has none itself just now: computed again when there are
            self.scheduler.add(child)
            return child
        child.table, copies = forked
        child.computed = parent.computed
        for source, target in copies:
            self._runner.copy_block(source, target)
        self.scheduler.adopt(child)
        return child

    def _expire(self) -> Outputs:
        outputs: Outputs = []
        while self._deadlines and self._deadlines[0][0] <= self._clock():
            outputs.extend(self.cancel(heapq.heappop(self._deadlines)[1], FinishReason.EXPIRED))
        return outputs

    def _forget(self, generation: Generation) -> None:
        for sequence in generation.sequences:
            self.scheduler.remove(sequence)
        del self._generations[generation.request_id]


def _row(step: Scheduled) -> Row:
    sequence = step.sequence
    tokens = sequence.tokens[sequence.computed : sequence.computed + step.count]
    return Row(
        tokens=tokens + step.draft,
        start=sequence.computed,
        blocks=sequence.table.blocks,
        logits=1 + len(step.draft) if step.samples else 0,
    )
