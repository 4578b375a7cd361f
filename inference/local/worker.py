"""The model thread: takes requests in, runs steps, hands pieces of answers out.

Knows nothing of event loops: what comes out goes to `emit`, which must be safe to call from this thread.
One thread owns the core; others reach it only through its queue of commands, which is emptied before each
step. While there is nothing to do it waits on that queue and burns no CPU.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from inference.errors import EngineUnavailable
from inference.local.core import Core, Outputs
from inference.local.generation import Generation

log = logging.getLogger(__name__)

Emit = Callable[[Outputs], None]
"""Takes the outputs of a step."""


@dataclass(frozen=True, slots=True)
class _Cancel:
    request_id: str


@dataclass(frozen=True, slots=True)
class _Forget:
    topic: str


class _Close:
    """The last command."""


class Worker:
    """Runs the model thread from `start` to `close`. `at_end` is called on it when its last step is done."""

    def __init__(self, core: Core, emit: Emit, *, at_end: Callable[[], None]) -> None:
        self._core = core
        self._emit = emit
        self._at_end = at_end
        self._commands: queue.SimpleQueue[Generation | _Cancel | _Forget | _Close] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._failing = threading.Lock()  # held where a request is given to the thread, and where that ends
        self.failed = False

    def start(self) -> None:
        self._thread.start()

    def add(self, generation: Generation) -> None:
        """Have a request computed. Where the thread has failed meanwhile it ends as all others have."""
        with self._failing:
            if not self.failed:
                self._commands.put(generation)
                return
        self._hand_out([(generation.request_id, _failure())])

    def cancel(self, request_id: str) -> None:
        """End a request before the next step. One that has ended already is no error."""
        self._commands.put(_Cancel(request_id))

    def forget(self, topic: str) -> None:
        """Keep nothing of what was computed for a topic, from before the next step on."""
        self._commands.put(_Forget(topic))

    def close(self) -> None:
        """End the thread and wait for it; what still runs ends with EngineUnavailable. Blocks for a step."""
        self._commands.put(_Close())
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._take_commands():
                self._hand_out(self._core.step())
        except Exception:
            with self._failing:
                self.failed = True
            log.exception("the model thread has failed")
            self._take_rest()
            self._end_all(_failure())
            return
        self._end_all(EngineUnavailable("the engine is closed"))
        self._at_end()

    def _take_commands(self) -> bool:
        """Carry out what has been asked; waits while there is nothing to compute. False at the end."""
        while True:
            try:
                command = self._commands.get(block=self._core.idle)
            except queue.Empty:
                return True
            match command:
                case Generation():
                    self._core.add(command)
                case _Cancel():
                    self._hand_out(self._core.cancel(command.request_id))
                case _Forget():
                    self._core.scheduler.blocks.forget(command.topic)
                case _Close():
                    return False

    def _take_rest(self) -> None:
        """Know all requests that were given to the thread, so that each of them is ended."""
        while not self._commands.empty():
            command = self._commands.get()
            if isinstance(command, Generation):
                self._core.add(command)

    def _hand_out(self, outputs: Outputs) -> None:
        if outputs:
            self._emit(outputs)

    def _end_all(self, error: EngineUnavailable) -> None:
        requests = self._core.requests
        for request_id in requests:
            self._core.cancel(request_id)
        self._hand_out([(request_id, error) for request_id in requests])


def _failure() -> EngineUnavailable:
    return EngineUnavailable("the model has failed; its log tells why")
