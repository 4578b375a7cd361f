"""Beam search: the answer that is likeliest as a whole, among those that a few beams find.

Knows nothing of blocks or tensors: the core tells it each beam's candidates and does what it decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from inference.local.sequence import Sequence

Candidates = list[tuple[int, float]]
"""Tokens with their log-probabilities, the best first."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """An answer that has ended. `tokens` are its output, without the token that ended it."""

    tokens: list[int]
    score: float


@dataclass(frozen=True, slots=True)
class Step:
    """What the beams become: each new beam is a token behind an old one. Old ones without one are done."""

    grown: list[tuple[Sequence, int, float]]  # parent, token, sum of log-probabilities


class BeamSearch:
    """The beams of one request. All of them take their next token at once, when each has its candidates.

    A hypothesis' score is the sum of its log-probabilities over length ** `length_penalty`, the length being
    that of the output with the token that ended it, as transformers has it (`BeamSearchScorer`). The search
    ends when `width` hypotheses have ended and no beam can still overtake the worst of them, or at the
    longest output.
    """

    def __init__(
        self, sequence: Sequence, *, width: int, length_penalty: float, stop_tokens: frozenset[int]
    ) -> None:
        self.width = width
        self._length_penalty = length_penalty
        self._stop_tokens = stop_tokens
        self._max_output = sequence.max_output
        self.beams: dict[Sequence, float] = {sequence: 0.0}  # each with its sum of log-probabilities
        self._candidates: dict[Sequence, Candidates] = {}
        self.ended: list[Hypothesis] = []

    @property
    def wanted(self) -> int:
        """Candidates that each beam has to bring: enough for a full set of beams though all others end."""
        return self.width * (1 + len(self._stop_tokens))

    def offer(self, beam: Sequence, candidates: Candidates) -> Step | None:
        """A beam's candidates; the step, once the last beam has brought its own."""
        self._candidates[beam] = candidates
        if len(self._candidates) < len(self.beams):
            return None
        ranked = sorted(
            (
                (total + logprob, beam, token)
                for beam, total in self.beams.items()
                for token, logprob in self._candidates[beam]
            ),
            key=lambda one: -one[0],
        )
        self._candidates.clear()
        grown: list[tuple[Sequence, int, float]] = []
        for rank, (total, parent, token) in enumerate(ranked):
            if len(grown) == self.width:
                break
            if token not in self._stop_tokens:
                grown.append((parent, token, total))
            elif rank < self.width:  # an end counts only if it would have been a beam
                self._end(parent.tokens[parent.prompt_length :], total, parent.output_length + 1)
        return Step(grown)

    def become(self, beams: dict[Sequence, float]) -> None:
        """The beams after a step was carried out."""
        self.beams = beams

    @property
    def done(self) -> bool:
        """Whether the best answer is known."""
        length = max(beam.output_length for beam in self.beams)
        if length >= self._max_output:
            for beam, total in self.beams.items():
                self._end(beam.tokens[beam.prompt_length :], total, beam.output_length)
            return True
        if len(self.ended) < self.width:
            return False
        best_to_come: float = max(self.beams.values()) / length**self._length_penalty
        return self.ended[-1].score >= best_to_come

    def best(self) -> Hypothesis:
        """The answer; of an unfinished search the best beam so far."""
        if self.ended:
            return self.ended[0]
        beam = max(self.beams, key=lambda one: self.beams[one])
        return Hypothesis(beam.tokens[beam.prompt_length :], self.beams[beam])

    def _end(self, tokens: list[int], total: float, length: int) -> None:
        self.ended.append(Hypothesis(list(tokens), total / max(1, length) ** self._length_penalty))
        self.ended.sort(key=lambda one: -one.score)
        del self.ended[self.width :]
