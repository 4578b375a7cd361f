"""The model thread: takes requests in, runs steps, hands pieces of answers out.

Knows nothing of event loops: what comes out goes to `emit`, which must be safe to call from this thread.
One thread owns scheduler, cache and runner; others reach it only through its queue of commands, which is
emptied before each step. While there is nothing to do it waits on that queue and burns no CPU.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from inference.errors import EngineUnavailable
from inference.local.detokenize import Decode, Detokenizer, StopStrings
from inference.local.runner import Row, Runner
from inference.local.sampler import sample
from inference.local.scheduler import Scheduler
from inference.local.sequence import Sequence
from inference.types import Delta, Finished, FinishReason, Usage

log = logging.getLogger(__name__)

Output = Delta | Finished | EngineUnavailable
Emit = Callable[[list[tuple[str, Output]]], None]
"""Takes the outputs of a step, each with its request's id."""


class Generation:
    """A sequence with what turns its tokens into an answer."""

    def __init__(
        self,
        sequence: Sequence,
        *,
        decode: Decode,
        stop: Iterable[str],
        stop_tokens: frozenset[int],
        received: float,
    ) -> None:
        self.sequence = sequence
        self._text = Detokenizer(decode)
        self._stop = StopStrings(tuple(stop))
        self._stop_tokens = stop_tokens
        self._received = received  # time.monotonic() when the engine took the request in
        self._first_token: float | None = None
        self._given = 0  # tokens handed out

    def accept(self, token: int) -> list[Delta | Finished]:
        """Take a sampled token: what the stream shows of it, and the end if it was the last."""
        if self._first_token is None:
            self._first_token = time.monotonic()
        if token in self._stop_tokens:
            return self.end(FinishReason.STOP)
        self.sequence.tokens.append(token)
        self._given += 1
        delta = Delta(self._stop.add(self._text.add(token)), (token,))
        if self._stop.hit:
            return [delta, self._finished(FinishReason.STOP)]
        if self.sequence.output_length >= self.sequence.max_output:
            return [delta, *self.end(FinishReason.LENGTH)]
        return [delta]

    def end(self, reason: FinishReason) -> list[Delta | Finished]:
        """What was held back, and the end."""
        rest = self._stop.add(self._text.flush())
        if not self._stop.hit:
            rest += self._stop.flush()
        return [*([Delta(rest, ())] if rest else []), self._finished(reason)]

    def _finished(self, reason: FinishReason) -> Finished:
        now = time.monotonic()
        first = None if self._first_token is None else self._first_token - self._received
        return Finished(
            reason,
            Usage(
                prompt_tokens=self.sequence.prompt_length,
                cached_tokens=self.sequence.cached_tokens,
                output_tokens=self._given,
                first_token=first,
                total=now - self._received,
            ),
        )


@dataclass(frozen=True, slots=True)
class _Cancel:
    request_id: str


class _Close:
    """The last command."""


class Worker:
    """Runs the model thread from `start` to `close`."""

    def __init__(self, scheduler: Scheduler, runner: Runner, emit: Emit) -> None:
        self.scheduler = scheduler
        self._runner = runner
        self._emit = emit
        self._commands: queue.SimpleQueue[Generation | _Cancel | _Close] = queue.SimpleQueue()
        self._generations: dict[str, Generation] = {}
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self.failed = False

    def start(self) -> None:
        self._thread.start()

    def add(self, generation: Generation) -> None:
        self._commands.put(generation)

    def cancel(self, request_id: str) -> None:
        """End a request before the next step. One that has ended already is no error."""
        self._commands.put(_Cancel(request_id))

    def close(self) -> None:
        """End the thread and wait for it; what still runs ends with EngineUnavailable. Blocks for a step."""
        self._commands.put(_Close())
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._take_commands():
                self._step()
        except Exception:
            self.failed = True
            log.exception("the model thread has failed")
            self._end_all(EngineUnavailable("the model has failed; its log tells why"))
        else:
            self._end_all(EngineUnavailable("the engine is closed"))

    def _take_commands(self) -> bool:
        """Carry out what has been asked; waits while there is nothing to compute. False at the end."""
        while True:
            try:
                command = self._commands.get(block=self.scheduler.idle)
            except queue.Empty:
                return True
            match command:
                case Generation():
                    self._generations[command.sequence.id] = command
                    self.scheduler.add(command.sequence)
                case _Cancel():
                    self._cancel(command.request_id)
                case _Close():
                    return False

    def _cancel(self, request_id: str) -> None:
        generation = self._generations.pop(request_id, None)
        if generation is not None:
            self.scheduler.remove(generation.sequence)
            self._emit([(request_id, output) for output in generation.end(FinishReason.CANCELLED)])

    def _step(self) -> None:
        plan = self.scheduler.plan()
        rows = [
            Row(
                tokens=step.sequence.tokens[step.sequence.computed : step.sequence.computed + step.count],
                start=step.sequence.computed,
                blocks=step.sequence.table.blocks,
                logits=1 if step.samples else 0,
            )
            for step in plan
        ]
        logits = self._runner.step(rows)
        sampling = [step.sequence for step in plan if step.samples]
        for step in plan:
            self.scheduler.complete(step)
        if not sampling:
            return
        outputs: list[tuple[str, Output]] = []
        for sequence, token in zip(sampling, sample(logits, sampling), strict=True):
            accepted = self._generations[sequence.id].accept(token)
            outputs.extend((sequence.id, output) for output in accepted)
            if isinstance(accepted[-1], Finished):
                del self._generations[sequence.id]
                self.scheduler.remove(sequence)
        self._emit(outputs)

    def _end_all(self, error: EngineUnavailable) -> None:
        self._emit([(request_id, error) for request_id in self._generations])
        self._generations.clear()
