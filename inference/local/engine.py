"""The engine over a model in this process: the event loop's side of one model thread.

Knows nothing of the forward pass. All waiting for the model happens in `await`; tokenizing runs in a thread
of its own, because a long prompt takes milliseconds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inference.errors import ContextTooLong, EngineUnavailable, Overloaded
from inference.local.beam import BeamSearch
from inference.local.cache import BlockManager, Cache
from inference.local.core import Core, Outputs
from inference.local.generation import Ending, Generation, Output, Sampling, Searching
from inference.local.load import LoadedModel, LoadOptions, load_model
from inference.local.locate import Progress
from inference.local.row import BLOCK_SIZE
from inference.local.scheduler import Scheduler
from inference.local.sequence import Decoding
from inference.local.sequence import Sequence as ModelSequence
from inference.local.spill import BlockSpill
from inference.local.states import StateManager
from inference.local.statistics import Counters, EngineStats
from inference.local.worker import Worker
from inference.types import ChatMessage, Delta, Finished, FinishReason, Request, Usage

log = logging.getLogger(__name__)

MIB = 1 << 20
MOST_STATES = 1 << 16  # of a recurrent model: far more than conversations that are under way at once
SMOOTHING = 0.1  # weight of the newest answer in the average that retry_after is estimated from


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How a local model is served.

    `dtype`: auto, float32, bfloat16, float16 or int8. `device`: auto, cpu, cuda. `cache_dtype`: of keys and
    values on the native step, bfloat16 or int8. `cache_mb`: bound of the cache in MiB. `context_length`:
    tokens that prompt and answer may have, at most what the model was made for. `max_running`: sequences in a
    step. `max_waiting`: requests beyond that before Overloaded. `step_tokens`: tokens in a step; more makes
    long prompts quicker and the pauses of running answers longer. `speculate`: tokens guessed ahead by prompt
    lookup while few sequences run, 0 for none; the answer stays the same. `invariant`: an answer is the same
    bit for bit whatever else runs, at some cost in speed. `spill_folder`: where evicted blocks are kept, up
    to `spill_mb` MiB; None keeps none. `native`: whether models that it serves run on the native step, which
    is always invariant, on `threads` threads (None: one a core); `packed_folder`: where it keeps large
    models' weights as it reads them.

    Recurrent models were made for any length, are always invariant, and are never guessed ahead for: a wrong
    guess can't be taken back out of a state.
    """

    dtype: str = "auto"
    device: str = "auto"
    cache_dtype: str = "bfloat16"
    cache_mb: float = 512
    context_length: int | None = None
    max_running: int = 32
    max_waiting: int = 1000
    step_tokens: int = 256
    speculate: int = 4
    invariant: bool = False
    spill_folder: Path | None = None
    spill_mb: float = 1024
    native: bool = True
    threads: int | None = None
    packed_folder: Path | None = None
    progress: Progress = lambda _: None


class LocalEngine:
    """Serves one model. Use it from the event loop that entered its context."""

    def __init__(self, name: str, options: LocalOptions) -> None:
        self._name = name
        self._options = options
        self._loaded: LoadedModel | None = None
        self._worker: Worker | None = None
        self._streams: dict[str, asyncio.Queue[Output]] = {}
        self._admitted: set[str] = set()  # requests that the model thread knows
        self._typical_seconds = 1.0  # running average of an answer's time
        self._counters = Counters()
        self._spill: BlockSpill | None = None

    @property
    def model(self) -> str:
        return self._name

    @property
    def context_length(self) -> int:
        return self._context_length

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._tokenizing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenizer")
        try:
            await self._in_daemon_thread(self._open)
        except BaseException:
            self._tokenizing.shutdown(wait=False, cancel_futures=True)
            raise
        return self

    async def _in_daemon_thread(self, work: Callable[[], None]) -> None:
        """Run `work` in a thread that does not keep the process from ending: a download can take minutes."""
        done: asyncio.Future[None] = self._loop.create_future()

        def finish(error: BaseException | None) -> None:
            if done.cancelled():
                return
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        def run() -> None:
            error: BaseException | None = None
            try:
                work()
            except BaseException as raised:
                error = raised
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                self._loop.call_soon_threadsafe(finish, error)

        threading.Thread(target=run, name="model loading", daemon=True).start()
        await done

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await asyncio.to_thread(worker.close)
        self._tokenizing.shutdown(wait=False, cancel_futures=True)
        self._loaded = None

    def _open(self) -> None:
        options = self._options
        loaded = load_model(
            self._name,
            LoadOptions(
                dtype=options.dtype,
                device=options.device,
                cache_dtype=options.cache_dtype,
                room=int(options.cache_mb * MIB),
                invariant=options.invariant,
                native=options.native,
                threads=options.threads,
                packed_folder=options.packed_folder,
                progress=options.progress,
            ),
        )
        runner = loaded.runner
        wanted = min(options.context_length or loaded.context_length, loaded.context_length)
        blocks = int(options.cache_mb * MIB / runner.block_bytes)
        if loaded.recurrent:
            blocks = min(max(2, blocks), MOST_STATES)
            self._context_length = wanted
        else:
            # More than every running sequence at full length could never be used.
            blocks = min(max(1, blocks), options.max_running * -(-wanted // BLOCK_SIZE))
            self._context_length = min(wanted, blocks * BLOCK_SIZE)
        runner.allocate(blocks)
        if options.spill_folder is not None:
            self._spill = BlockSpill(
                options.spill_folder,
                runner,
                limit=int(options.spill_mb * MIB),
                fingerprint=loaded.fingerprint,
            )
        self._blocks = blocks
        self._loaded = loaded
        log.info("%s: %s, %d blocks of cache", self._name, loaded.computed, blocks)
        self._start(loaded)

    def _start(self, loaded: LoadedModel) -> Worker:
        """A model thread over an empty cache."""
        manager: Callable[..., Cache[Any]] = StateManager if loaded.recurrent else BlockManager
        self._scheduler = Scheduler(
            manager(self._blocks, BLOCK_SIZE, self._spill),
            max_running=self._options.max_running,
            step_tokens=self._options.step_tokens,
            speculate=0 if loaded.recurrent else self._options.speculate,
        )
        core = Core(self._scheduler, loaded.runner, self._counters, time.monotonic)
        at_end = partial(self._spill_cache, loaded.runner.block_bytes)
        self._worker = worker = Worker(core, self._emit, at_end=at_end)
        worker.start()
        return worker

    def _spill_cache(self, block_bytes: int) -> None:
        """On the model thread, at the end: keep what the next run may want."""
        if self._spill is not None:
            self._spill.thorough = True
            self._scheduler.blocks.spill_newest(int(self._options.spill_mb * MIB) // block_bytes)
            self._spill.flush()

    async def generate(self, request: Request) -> AsyncGenerator[Delta | Finished, None]:
        """See `Engine.generate`."""
        received = time.monotonic()
        self._check_room()
        if request.id in self._streams:
            raise ValueError(f"the request {request.id} is running already")
        stream = self._streams[request.id] = asyncio.Queue()
        finished = False
        try:
            loaded, worker = self._serving()
            prompt = await self._prompt(request, loaded)
            if stream.empty():  # else it was cancelled before it began
                self._admitted.add(request.id)
                worker.add(self._generation(request, prompt, loaded, received))
            while not finished:
                output = await stream.get()
                if isinstance(output, EngineUnavailable):
                    finished = True
                    raise output
                if isinstance(output, Finished):
                    finished = True
                    self._typical_seconds += SMOOTHING * (output.usage.total - self._typical_seconds)
                yield output
        finally:
            del self._streams[request.id]
            self._admitted.discard(request.id)
            if not finished and self._worker is not None:
                self._worker.cancel(request.id)

    def cancel(self, request_id: str) -> bool:
        """See `Engine.cancel`."""
        stream = self._streams.get(request_id)
        if stream is None or self._worker is None:
            return False
        if request_id in self._admitted:
            self._worker.cancel(request_id)
        else:
            stream.put_nowait(Finished(FinishReason.CANCELLED, Usage(0, 0, 0, None, 0.0)))
        return True

    def forget(self, topics: Collection[str]) -> None:
        """See `Engine.forget`."""
        if self._loaded is not None:
            _, worker = self._serving()
            for topic in topics:
                worker.forget(topic)

    async def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        """See `Engine.count_tokens`."""
        loaded, _ = self._serving()
        tokens = await self._loop.run_in_executor(self._tokenizing, loaded.template.tokenize, messages)
        return len(tokens)

    def stats(self) -> EngineStats:
        """A snapshot. The numbers are the model thread's and may be a step apart while it runs."""
        loaded, _ = self._serving()
        scheduler, blocks, counters = self._scheduler, self._scheduler.blocks, self._counters
        computed, output = counters.rates()
        return EngineStats(
            waiting=len(scheduler.waiting),
            running=len(scheduler.running),
            max_running=scheduler.max_running,
            free_blocks=blocks.free,
            held_blocks=blocks.held,
            cached_blocks=blocks.cached,
            total_blocks=blocks.total,
            block_bytes=loaded.runner.block_bytes,
            preemptions=scheduler.preemptions,
            spilled_blocks=self._spill.spilled if self._spill else 0,
            restored_blocks=self._spill.restored if self._spill else 0,
            steps=counters.steps,
            mean_rows=counters.rows / counters.steps if counters.steps else 0.0,
            prompt_tokens=counters.prompt_tokens,
            cached_tokens=counters.cached_tokens,
            output_tokens=counters.output_tokens,
            guessed_tokens=counters.guessed_tokens,
            accepted_tokens=counters.accepted_tokens,
            computed_per_second=computed,
            output_per_second=output,
            first_token=counters.first_token.snapshot(),
            between_tokens=counters.between_tokens.snapshot(),
        )

    def _serving(self) -> tuple[LoadedModel, Worker]:
        if self._loaded is None or self._worker is None:
            raise EngineUnavailable("the engine is not open")
        if self._worker.failed:  # what it ran has ended with EngineUnavailable; what comes now runs again
            log.warning("the model thread of %s is started anew", self._name)
            return self._loaded, self._start(self._loaded)
        return self._loaded, self._worker

    def _check_room(self) -> None:
        waiting = len(self._streams) - self._options.max_running
        if waiting >= self._options.max_waiting:
            seconds = max(1.0, self._typical_seconds * waiting / self._options.max_running)
            raise Overloaded(waiting, seconds)

    async def _prompt(self, request: Request, loaded: LoadedModel) -> list[int]:
        if request.prompt_token_ids is not None:
            prompt = list(request.prompt_token_ids)
        else:
            assert request.messages is not None
            prompt = await self._loop.run_in_executor(
                self._tokenizing, loaded.template.tokenize, request.messages
            )
        if len(prompt) >= self._context_length:
            raise ContextTooLong(len(prompt), self._context_length - 1)
        return prompt

    def _generation(
        self, request: Request, prompt: list[int], loaded: LoadedModel, received: float
    ) -> Generation:
        sampling = request.sampling
        room = self._context_length - len(prompt)
        sequence = ModelSequence(
            request.id,
            prompt,
            max_output=min(sampling.max_tokens or room, room),
            decoding=Decoding.resolve(sampling, loaded.decoding),
            seed=sampling.seed,
            topic=request.topic,
            client=request.client,
            priority=request.priority,
        )
        own_stop = loaded.template.stop if request.messages is not None else ()
        stop_tokens = frozenset() if sampling.ignore_eos else loaded.stop_tokens
        ending = Ending(
            decode=loaded.tokenizer.decode,
            stop=(*sampling.stop, *own_stop),
            stop_tokens=stop_tokens | frozenset(sampling.stop_token_ids),
            deadline=None if request.deadline is None else received + request.deadline.total_seconds(),
        )
        common: dict[str, Any] = {"received": received, "clock": time.monotonic, "counters": self._counters}
        if sampling.beam_width == 1:
            return Sampling(sequence, ending, **common)
        search = BeamSearch(
            sequence,
            width=sampling.beam_width,
            length_penalty=sampling.length_penalty,
            stop_tokens=ending.stop_tokens,
        )
        return Searching(sequence, ending, search, **common)

    def _emit(self, outputs: Outputs) -> None:
        """From the model thread: one crossing to the event loop for all of a step's outputs."""
        self._loop.call_soon_threadsafe(self._deliver, outputs)

    def _deliver(self, outputs: Outputs) -> None:
        for request_id, output in outputs:
            stream = self._streams.get(request_id)
            if stream is not None:
                stream.put_nowait(output)
