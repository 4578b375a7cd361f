"""A request inside the engine: sequences, and what turns their tokens into an answer.

Knows nothing of scheduling or tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from inference.errors import EngineUnavailable
from inference.local.beam import BeamSearch, Hypothesis
from inference.local.detokenize import Decode, Detokenizer, StopStrings
from inference.local.sequence import Sequence
from inference.local.statistics import Counters
from inference.types import Delta, Finished, FinishReason, TokenLogprob, Usage

Output = Delta | Finished | EngineUnavailable
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Ending:
    """When an answer ends, and how its tokens read. `deadline` is a time on the engine's clock."""

    decode: Decode
    stop: tuple[str, ...]
    stop_tokens: frozenset[int]
    deadline: float | None = None


class Generation:
    """One request and its times. `received` is when the engine took it in, on `clock`."""

    def __init__(
        self, sequence: Sequence, ending: Ending, *, received: float, clock: Clock, counters: Counters
    ) -> None:
        self.sequence = sequence
        self.ending = ending
        self._received = received
        self._clock = clock
        self._counters = counters
        self._first_token: float | None = None
        self._latest_token = received

    @property
    def request_id(self) -> str:
        return self.sequence.request_id

    @property
    def sequences(self) -> Iterable[Sequence]:
        """All that the scheduler holds for this request."""
        return [self.sequence]

    def end(self, reason: FinishReason) -> list[Delta | Finished]:
        """What was held back, and the end."""
        raise NotImplementedError

    def _token_came(self) -> None:
        now = self._clock()
        if self._first_token is None:
            self._first_token = now
            self._counters.first_token.add(now - self._received)
        else:
            self._counters.between_tokens.add(now - self._latest_token)
        self._latest_token = now

    def _finished(self, reason: FinishReason, output_tokens: int) -> Finished:
        usage = Usage(
            prompt_tokens=self.sequence.prompt_length,
            cached_tokens=self.sequence.cached_tokens,
            output_tokens=output_tokens,
            first_token=None if self._first_token is None else self._first_token - self._received,
            total=self._clock() - self._received,
        )
        self._counters.prompt_tokens += usage.prompt_tokens
        self._counters.cached_tokens += usage.cached_tokens
        return Finished(reason, usage)


class Sampling(Generation):
    """A request that is answered token by token."""

    def __init__(
        self, sequence: Sequence, ending: Ending, *, received: float, clock: Clock, counters: Counters
    ) -> None:
        super().__init__(sequence, ending, received=received, clock=clock, counters=counters)
        self._text = Detokenizer(ending.decode)
        self._stop = StopStrings(ending.stop)

    def accept(self, token: int, logprob: TokenLogprob | None) -> list[Delta | Finished]:
        """Take the next token: what the stream shows of it, and the end if it was the last."""
        self._token_came()
        if token in self.ending.stop_tokens:
            return self.end(FinishReason.STOP)
        self.sequence.tokens.append(token)
        text = self._stop.add(self._text.add(token))
        delta = Delta(text, (token,), () if logprob is None else (logprob,))
        if self._stop.hit:
            return [delta, self._finished(FinishReason.STOP, self.sequence.output_length)]
        if self.sequence.output_length >= self.sequence.max_output:
            return [delta, *self.end(FinishReason.LENGTH)]
        return [delta]

    def end(self, reason: FinishReason) -> list[Delta | Finished]:
        rest = self._stop.add(self._text.flush())
        if not self._stop.hit:
            rest += self._stop.flush()
        shown = [Delta(rest, ())] if rest else []
        return [*shown, self._finished(reason, self.sequence.output_length)]


class Searching(Generation):
    """A request that is answered by beam search: all at once, when the search ends."""

    def __init__(
        self,
        sequence: Sequence,
        ending: Ending,
        search: BeamSearch,
        *,
        received: float,
        clock: Clock,
        counters: Counters,
    ) -> None:
        super().__init__(sequence, ending, received=received, clock=clock, counters=counters)
        self.search = search

    @property
    def sequences(self) -> Iterable[Sequence]:
        return list(self.search.beams)

    def conclude(self) -> list[Delta | Finished]:
        """The best answer, now that the search is done."""
        best = self.search.best()
        full = len(best.tokens) >= self.sequence.max_output
        return self._answer(best, FinishReason.LENGTH if full else FinishReason.STOP)

    def end(self, reason: FinishReason) -> list[Delta | Finished]:
        return self._answer(self.search.best(), reason)

    def _answer(self, best: Hypothesis, reason: FinishReason) -> list[Delta | Finished]:
        self._token_came()
        stop = StopStrings(self.ending.stop)
        text = stop.add(self.ending.decode(best.tokens))
        if stop.hit:
            reason = FinishReason.STOP
        else:
            text += stop.flush()
        return [Delta(text, tuple(best.tokens)), self._finished(reason, len(best.tokens))]
