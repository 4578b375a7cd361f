"""Hours of random chatter on the embedded model, to find what is lost slowly: `make soak`.

Clients come and go at random, ask at any length, and many leave before their answer is complete. At regular
intervals all are held back until the engine is idle; then every block and every stream must be accounted for,
and memory must not have grown. Meanwhile a heartbeat shows for how long the event loop was ever held. Ends
with exit code 1 and the reason at the first failure.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import Enum, auto

from inference import EMBEDDED, Finished, Request, SamplingParams, open_engine
from inference.bench.measure import Memory, resident_memory
from inference.bench.shapes import vocabulary
from inference.embedded import FOLDER
from inference.local.engine import LocalEngine
from inference.local.statistics import EngineStats

MAX_RUNNING = 8  # requests at once
CLIENTS = 12  # more than that, so that some wait
PAUSE = 0.5  # seconds between a client's requests, on average
CACHE_MB = 16  # small, so that blocks are evicted and sequences preempted all the time
TOPICS = 20  # prompts begin with one of these
LONGEST_TOPIC, LONGEST_QUESTION, LONGEST_ANSWER = 200, 60, 120  # tokens
LEAVING_AFTER = 2.0  # seconds at most, for those who don't wait for the end
STREAM_LIMIT = 120.0  # seconds after which a stream that hasn't ended is taken for lost
IDLE_LIMIT = 30.0  # seconds within which an engine that nobody asks has let go of everything
IDLE_POLL = 0.05  # seconds
HEARTBEAT = 0.01  # seconds
REPORTS = 10  # at least; one a minute if the soak is longer
WARM_UP = 6.0  # minutes in which memory may grow: oneDNN keeps what it built for each size of step it has met
GROWTH, GROWTH_MB = 1.10, 30  # after it, memory has grown if it did by this factor and by this much


class SoakFailed(Exception):
    """What must never happen did."""


class Leaving(Enum):
    """How a client ends: half of them wait for the whole answer."""

    NOT = auto()
    CANCEL = auto()  # Engine.cancel, then waits for the end
    CLOSE = auto()  # closes the iterator after some tokens
    ABANDON = auto()  # is cancelled while it waits


@dataclass(slots=True)
class Counts:
    """Of the whole run so far."""

    leaving: Counter[Leaving] = field(default_factory=Counter)
    tokens: int = 0
    late: Counter[int] = field(default_factory=Counter)  # ms by which a heartbeat was late -> how often

    def late_ms(self, part: float) -> int:
        """The smallest lateness that at least this part of the heartbeats did not exceed."""
        left = part * self.late.total()
        for ms, beats in sorted(self.late.items()):
            left -= beats
            if left <= 0:
                return ms
        return 0


class Soak:
    """The clients of an engine, and what they count."""

    def __init__(self, engine: LocalEngine, seed: int) -> None:
        self.counts = Counts()
        self._engine = engine
        self._random = random.Random(seed)
        self._vocabulary = vocabulary(FOLDER)
        self._topics = [self._tokens(LONGEST_TOPIC) for _ in range(TOPICS)]
        self._open = asyncio.Event()  # clear while clients are held back
        self._open.set()
        self._talking = 0
        self._silent = asyncio.Event()

    async def client(self) -> None:
        """Asks for ever. Raises SoakFailed."""
        while True:
            await asyncio.sleep(self._random.expovariate(1 / PAUSE))
            await self._open.wait()
            self._talking += 1
            self._silent.clear()
            try:
                async with asyncio.timeout(STREAM_LIMIT):
                    await self._talk()
            except TimeoutError as error:
                raise SoakFailed(f"a stream has not ended within {STREAM_LIMIT:.0f} s") from error
            self._talking -= 1
            if not self._talking:
                self._silent.set()

    async def heartbeat(self) -> None:
        """Counts for ever how late the event loop comes back."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(HEARTBEAT)
            late = time.perf_counter() - before - HEARTBEAT
            self.counts.late[int(1000 * late)] += 1

    async def check_idle(self) -> EngineStats:
        """Hold the clients back, see that nothing is held any more, and let them go on. Raises SoakFailed."""
        self._open.clear()
        await self._silent.wait()
        try:
            async with asyncio.timeout(IDLE_LIMIT):
                stats = self._engine.stats()
                while stats.held_blocks or stats.running or stats.waiting:
                    await asyncio.sleep(IDLE_POLL)
                    stats = self._engine.stats()
        except TimeoutError as error:
            raise SoakFailed(
                f"nobody asks any more, but the engine still holds something: {stats}"
            ) from error
        if stats.free_blocks + stats.cached_blocks != stats.total_blocks:
            raise SoakFailed(f"the blocks don't add up: {stats}")
        self._open.set()
        return stats

    async def _talk(self) -> None:
        leaving = Leaving.NOT
        if self._random.random() < 0.5:
            leaving = self._random.choice((Leaving.CANCEL, Leaving.CLOSE, Leaving.ABANDON))
        self.counts.leaving[leaving] += 1
        request = self._request()
        patience = self._random.uniform(0, LEAVING_AFTER)
        match leaving:
            case Leaving.NOT:
                await self._read(request)
            case Leaving.CANCEL:
                timer = asyncio.get_running_loop().call_later(patience, self._engine.cancel, request.id)
                await self._read(request)
                timer.cancel()
            case Leaving.CLOSE:
                await self._read(request, at_most=self._random.randint(1, LONGEST_ANSWER))
            case Leaving.ABANDON:
                reading = asyncio.create_task(self._read(request))
                await asyncio.wait([reading], timeout=patience)
                reading.cancel()
                await asyncio.wait([reading])
                if not reading.cancelled():
                    await reading  # it ended by itself, well or badly

    async def _read(self, request: Request, at_most: int | None = None) -> None:
        got = ends = 0
        async with aclosing(self._engine.generate(request)) as stream:
            async for output in stream:
                if isinstance(output, Finished):
                    ends += 1
                    continue
                got += len(output.token_ids)
                self.counts.tokens += len(output.token_ids)
                if at_most is not None and got >= at_most:
                    return
        if ends != 1:
            raise SoakFailed(f"a stream had {ends} ends")

    def _request(self) -> Request:
        prompt = self._random.choice(self._topics) + self._tokens(LONGEST_QUESTION)
        sampling = SamplingParams(
            max_tokens=self._random.randint(1, LONGEST_ANSWER),
            temperature=self._random.choice((0.0, 0.8)),
            ignore_eos=True,
        )
        return Request(prompt_token_ids=prompt, sampling=sampling)

    def _tokens(self, longest: int) -> list[int]:
        return [self._random.randrange(self._vocabulary) for _ in range(self._random.randint(1, longest))]


async def soak(minutes: float, seed: int) -> None:
    """Raises SoakFailed, inside an ExceptionGroup."""
    start = time.monotonic()
    interval = min(1.0, minutes / REPORTS)
    settled: float | None = None  # MiB after the warm-up
    async with (
        open_engine(EMBEDDED, cache_mb=CACHE_MB, max_running=MAX_RUNNING) as engine,
        asyncio.TaskGroup() as group,
    ):
        run = Soak(engine, seed)
        tasks = [group.create_task(run.client()) for _ in range(CLIENTS)]
        tasks.append(group.create_task(run.heartbeat()))
        elapsed = 0.0
        while elapsed < minutes:
            await asyncio.sleep(60 * interval)
            stats = await run.check_idle()
            memory = resident_memory()
            elapsed = (time.monotonic() - start) / 60
            _report(elapsed, run.counts, stats, memory)
            if memory is None or elapsed < WARM_UP:
                continue
            settled = settled or memory.now
            if memory.now > settled * GROWTH and memory.now > settled + GROWTH_MB:
                raise SoakFailed(f"memory has grown from {settled:.0f} to {memory.now:.0f} MiB")
        for task in tasks:
            task.cancel()


def _report(minutes: float, counts: Counts, stats: EngineStats, memory: Memory | None) -> None:
    left = ", ".join(f"{counts.leaving[way]} {way.name.lower()}" for way in Leaving if way is not Leaving.NOT)
    print(
        f"{minutes:6.1f} min: {counts.leaving.total()} requests ({left}), {counts.tokens} tokens; "
        f"{'-' if memory is None else f'{memory.now:.0f}'} MiB; "
        f"blocks {stats.free_blocks} free + {stats.cached_blocks} cached = {stats.total_blocks}, "
        f"{stats.preemptions} preemptions; "
        f"event loop held p99 {counts.late_ms(0.99)} ms, at most {counts.late_ms(1)} ms",
        flush=True,
    )


def main() -> None:
    """Exit code 1 after a failure."""
    parser = argparse.ArgumentParser(description="Soak the embedded model in random requests.")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    try:
        asyncio.run(soak(asked.minutes, asked.seed))
    except* SoakFailed as failures:
        for failure in failures.exceptions:
            print(f"failed: {failure}", file=sys.stderr)
        sys.exit(1)
    print("nothing was lost")


if __name__ == "__main__":
    main()
