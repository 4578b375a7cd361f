"""The same answer whatever the load: alone, in any batch, from the cache, after preemption, after a spill.

A test plays the model thread: it decides at which step which request arrives or is cancelled, how many blocks
there are and how large a step is. Log-probabilities are compared bit for bit, so that not only the tokens but
what they were chosen from is the same.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.local.beam import BeamSearch
from inference.local.cache import BlockManager, Cache
from inference.local.core import Core
from inference.local.generation import Ending, Generation, Sampling, Searching
from inference.local.recurrent import RecurrentRunner
from inference.local.row import BLOCK_SIZE, Runner
from inference.local.runner import TorchRunner
from inference.local.scheduler import Scheduler
from inference.local.sequence import Decoding, Sequence
from inference.local.spill import BlockSpill
from inference.local.states import StateManager
from inference.local.statistics import Counters
from inference.types import Delta, Finished
from tests import models
from tests.inference import recurrent
from tests.inference.native import native_runner

LONGEST = 60  # tokens of prompt and answer


@dataclass(frozen=True)
class Asked:
    """A request: which prompt it has, how it is decoded, and when it comes."""

    shared: int  # tokens of the prefix that all prompts have in common
    own: tuple[int, ...]
    output: int
    temperature: float
    penalty: float
    seed: int
    beams: int
    arrives: int  # steps after the request before
    cancelled_after: int | None  # steps after its arrival
    client: int

    @property
    def prompt(self) -> list[int]:
        prefix = [6 + n * 7 % 300 for n in range(self.shared)]
        return prefix + list(self.own)


asked = st.builds(
    Asked,
    shared=st.sampled_from([0, 16, 33]),
    own=st.lists(st.integers(6, 20), min_size=1, max_size=12).map(tuple),
    output=st.integers(1, 12),
    temperature=st.sampled_from([0.0, 0.0, 1.0]),
    penalty=st.sampled_from([1.0, 1.2]),
    seed=st.integers(0, 3),
    beams=st.sampled_from([1, 1, 1, 2]),
    arrives=st.integers(0, 4),
    cancelled_after=st.none() | st.none() | st.integers(0, 6),
    client=st.integers(0, 2),
)


class Machine:
    """An engine without its thread, on one runner."""

    def __init__(self, runner: Runner, total: int, spill: BlockSpill | None = None, **options: int) -> None:
        manager: type[StateManager | BlockManager] = BlockManager
        if isinstance(runner, RecurrentRunner):
            manager, options = StateManager, {**options, "speculate": 0}
        self.blocks: Cache[Any] = manager(total, BLOCK_SIZE, spill)
        self.counters = Counters()
        scheduler = Scheduler(self.blocks, **{"max_running": 4, "step_tokens": 24, "speculate": 0, **options})
        self.core = Core(scheduler, runner, self.counters, clock=lambda: 0.0)
        self.answers: dict[str, list[Any]] = {}

    def add(self, name: str, one: Asked) -> None:
        decoding = Decoding(
            temperature=one.temperature,
            top_p=0.95,
            top_k=0,
            repetition_penalty=one.penalty,
            logprobs=0 if one.beams == 1 else None,
        )
        sequence = Sequence(
            name, one.prompt, max_output=one.output, decoding=decoding, seed=one.seed, client=str(one.client)
        )
        ending = Ending(decode=lambda tokens: " ".join(map(str, tokens)), stop=(), stop_tokens=frozenset())
        common: dict[str, Any] = {"received": 0.0, "clock": lambda: 0.0, "counters": self.counters}
        generation: Generation = Sampling(sequence, ending, **common)
        if one.beams > 1:
            search = BeamSearch(sequence, width=one.beams, length_penalty=1.0, stop_tokens=frozenset())
            generation = Searching(sequence, ending, search, **common)
        self.answers[name] = []
        self.core.add(generation)

    def cancel(self, name: str) -> None:
        self._take(self.core.cancel(name))

    def step(self) -> None:
        self._take(self.core.step())
        self.blocks.check_integrity()

    def run(self) -> None:
        for _ in range(5000):
            if self.core.idle:
                return
            self.step()
        raise AssertionError("it does not end")

    def _take(self, outputs: list[tuple[str, Any]]) -> None:
        for name, output in outputs:
            assert not any(isinstance(one, Finished) for one in self.answers[name]), "something after the end"
            self.answers[name].append(output)

    def answer(self, name: str) -> tuple[list[int], list[float]]:
        deltas = [one for one in self.answers[name] if isinstance(one, Delta)]
        assert isinstance(self.answers[name][-1], Finished), "a request without an end"
        tokens = [token for delta in deltas for token in delta.token_ids]
        return tokens, [one.logprob for delta in deltas for one in delta.logprobs]


def play(machine: Machine, script: list[Asked], *, cancels: bool = True) -> None:
    """Let the requests come and go at their steps."""
    gone: dict[int, list[str]] = {}
    steps = itertools.count()
    now = next(steps)
    for number, one in enumerate(script):
        for _ in range(one.arrives):
            machine.step()
            now = next(steps)
            for name in gone.pop(now, []):
                machine.cancel(name)
        machine.add(str(number), one)
        if cancels and one.cancelled_after is not None:
            gone.setdefault(now + 1 + one.cancelled_after, []).append(str(number))
    while gone:
        machine.step()
        now = next(steps)
        for name in gone.pop(now, []):
            machine.cancel(name)
    machine.run()


RUNNERS = [
    "llama on torch",
    "gpt2 on torch",
    "mistral on torch",
    "llama in int8",
    "mistral in int8",
    "llama in bfloat16",
    "qwen3 in bfloat16 with an int8 cache",
    "rnn with a state",
    "lstm with a state",
    "gru with a state",
    "gru with a state in bfloat16",
]


@pytest.fixture(scope="module", params=RUNNERS)
def runner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    family, _, how = request.param.partition(" ")
    folder = tmp_path_factory.mktemp(family)
    made: Runner
    if how.startswith("with a state"):
        dtype = torch.bfloat16 if "bfloat16" in how else torch.float32
        made = RecurrentRunner(recurrent.reference(recurrent.build(folder, family), dtype))
        made.allocate(64)
        return made
    models.build(folder, family)
    if how == "on torch":
        made = TorchRunner(models.reference(folder), invariant=True)
    else:
        cache = "int8" if "cache" in how else "bfloat16"
        made = native_runner(folder, precision=how.split()[1], cache=cache, threads=2)
    made.allocate(64)
    return made


def alone(runner: Runner, one: Asked) -> tuple[list[int], list[float]]:
    """The answer on a machine that has nothing else to do, and nothing cached."""
    machine = Machine(runner, 64, step_tokens=1000)
    machine.add("alone", one)
    machine.run()
    return machine.answer("alone")


def schedules(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Random schedules: so many of them."""
    arguments = given(
        script=st.lists(asked, min_size=1, max_size=6),
        total=st.integers(6, 24),
        max_running=st.integers(1, 6),
        step_tokens=st.integers(1, 40),
        speculate=st.sampled_from([0, 3]),
        spilled=st.booleans(),
    )
    return lambda test: settings(max_examples=examples, deadline=None)(arguments(test))


def check(
    runner: Runner,
    script: list[Asked],
    total: int,
    max_running: int,
    step_tokens: int,
    speculate: int,
    spilled: bool,
) -> None:
    """Batches, chunks, preemption, guesses, beams beside, cancels beside, evictions and spills."""
    wanted = [alone(runner, one) for one in script]
    options = {"max_running": max_running, "step_tokens": step_tokens, "speculate": speculate}
    with tempfile.TemporaryDirectory() as folder:
        spill = BlockSpill(Path(folder), runner, limit=1 << 20, fingerprint="x") if spilled else None
        for _ in range(2 if spilled else 1):  # the second time after a restart, from the disk
            machine = Machine(runner, total, spill, **options)
            play(machine, script)
            for number, one in enumerate(script):
                tokens, logprobs = machine.answer(str(number))
                if one.cancelled_after is None:
                    assert (tokens, logprobs) == wanted[number]
                elif one.beams == 1:
                    assert tokens == wanted[number][0][: len(tokens)]
                    assert logprobs == wanted[number][1][: len(tokens)]
            assert machine.blocks.held == 0
            machine.blocks.clear()
        if spill is not None:
            spill.flush()


@schedules(100)
def test_the_same_answer_whatever_the_load(runner: Runner, **schedule: Any) -> None:
    check(runner, **schedule)


@pytest.mark.slow
@schedules(300)
def test_the_same_answer_whatever_the_load_at_length(runner: Runner, **schedule: Any) -> None:
    check(runner, **schedule)
