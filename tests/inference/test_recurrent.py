"""Recurrent models in the engine: what the model itself says, with a state that never grows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import inference
from inference import ModelNotFound, Request, SamplingParams
from inference.local.engine import LocalEngine
from inference.local.recurrent import RecurrentRunner
from inference.local.row import Row
from inference.local.states import LATEST
from tests import models
from tests.conformance.engines import EngineConformance, ask, collect
from tests.inference import recurrent
from tests.inference.recurrent import CELLS

COUNT = 24
GREEDY = SamplingParams(temperature=0, max_tokens=COUNT, ignore_eos=True)
dice = random.Random(5)
TEXTS = [
    [dice.randrange(6, models.VOCABULARY) for _ in range(length)] for length in (1, 3, 16, 40, 41, 70) * 4
]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {cell: recurrent.build(tmp_path_factory.mktemp(cell), cell) for cell in CELLS}


def runner(folder: Path, dtype: torch.dtype = torch.float32, blocks: int = 64) -> RecurrentRunner:
    made = RecurrentRunner(recurrent.reference(folder, dtype))
    made.allocate(blocks)
    return made


@cache
def wanted(folder: Path) -> list[Tensor]:
    """What the model itself gives for each text: (length, V)."""
    model = recurrent.reference(folder)
    with torch.inference_mode():
        return [model(torch.tensor([text])).logits[0] for text in TEXTS]


def chunk(text: int, start: int, count: int, logits: int | None = None) -> Row:
    """Some of a text's tokens, its state being read and written in the block of its number."""
    tokens = TEXTS[text][start : start + count]
    return Row(tokens, start, [text], len(tokens) if logits is None else logits)


def prompts(count: int) -> list[list[int]]:
    """Of which half begin alike."""
    chance = random.Random(7)
    shared = [chance.randrange(6, models.VOCABULARY) for _ in range(40)]
    return [
        (shared if n % 2 else [])
        + [chance.randrange(6, models.VOCABULARY) for _ in range(chance.randint(1, 50))]
        for n in range(count)
    ]


# The step


@pytest.mark.parametrize("cell", CELLS)
def test_a_mixed_step_gives_the_models_own_logits(cell: str, folders: dict[str, Path]) -> None:
    right, one = wanted(folders[cell]), runner(folders[cell])
    one.step([chunk(text, 0, 30, logits=0) for text in (3, 4, 5)])
    given = one.step(
        [chunk(5, 30, 1), chunk(2, 0, 16), chunk(4, 30, 11, logits=2), chunk(0, 0, 1, 0), chunk(3, 30, 4)]
    )
    expected = torch.cat([right[5][30:31], right[2], right[4][39:41], right[3][30:34]])
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_a_step_takes_more_texts_than_go_together(cell: str, folders: dict[str, Path]) -> None:
    given = runner(folders[cell]).step([chunk(text, 0, 70, logits=1) for text in range(len(TEXTS))])
    expected = torch.stack([logits[-1] for logits in wanted(folders[cell])])
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=20, deadline=None)
@given(
    schedule=st.lists(
        st.lists(
            st.tuples(st.integers(0, len(TEXTS) - 1), st.integers(1, 50), st.integers(0, 50)),
            min_size=1,
            max_size=len(TEXTS),
            unique_by=lambda one: one[0],
        ),
        min_size=1,
        max_size=5,
    )
)
def test_company_and_chunks_change_no_bit(
    cell: str, dtype: torch.dtype, folders: dict[str, Path], schedule: list[list[tuple[int, int, int]]]
) -> None:
    one, alone = token_by_token(folders[cell], dtype)
    done = [0] * len(TEXTS)
    for step in schedule:
        rows, expected = [], []
        for text, most, logits in step:
            count = min(most, len(TEXTS[text]) - done[text])
            if count:
                rows.append(chunk(text, done[text], count, logits=min(count, logits)))
                done[text] += count
                expected.append(alone[text][done[text] - min(count, logits) : done[text]])
        if rows:
            assert torch.equal(one.step(rows), torch.cat(expected))


@cache
def token_by_token(folder: Path, dtype: torch.dtype) -> tuple[RecurrentRunner, list[Tensor]]:
    """A runner, and what it gives for each text when every token is computed alone: (length, V)."""
    one = runner(folder, dtype)
    return one, [
        torch.cat([one.step([chunk(n, at, 1)]) for at in range(len(text))]) for n, text in enumerate(TEXTS)
    ]


@pytest.mark.parametrize("cell", CELLS)
def test_a_state_that_was_read_can_be_copied_and_written_elsewhere(
    cell: str, folders: dict[str, Path]
) -> None:
    first, second = runner(folders[cell]), runner(folders[cell])
    first.step([Row(TEXTS[3], 0, [3], 0)])
    first.copy_block(3, 9)
    second.write_block(8, first.read_block(3))
    right = first.step([Row([9], 40, [3, 5], 1)])
    assert torch.equal(first.step([Row([9], 40, [9], 1)]), right)
    assert torch.equal(second.step([Row([9], 40, [8], 1)]), right)
    assert torch.equal(first.step([Row([9], 40, [3], 1)]), right), "what was only read is what it was"


def _without_a_part(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if name != "cells"}


def _of_other_shape(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**state, "cells": state["cells"][:1]}


def _of_other_dtype(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**state, "cells": state["cells"].to(torch.bfloat16)}


@pytest.mark.parametrize("spoil", [_without_a_part, _of_other_shape, _of_other_dtype])
def test_a_state_of_another_model_is_refused(spoil: Any, folders: dict[str, Path]) -> None:
    one = runner(folders["lstm"])
    before = one.read_block(2)
    with pytest.raises(ValueError, match="this model"):
        one.write_block(2, spoil({name: torch.ones_like(part) for name, part in before.items()}))
    after = one.read_block(2)
    assert all(torch.equal(after[name], before[name]) for name in before)


# The engine


class TestRecurrentEngine(EngineConformance):
    @pytest.fixture
    async def engine(self, folders: dict[str, Path]) -> AsyncIterator[LocalEngine]:
        options = {"dtype": "float32", "step_tokens": 32, "context_length": 256}
        async with inference.open_engine(str(folders["lstm"]), **options) as engine:
            yield engine
            await collect(engine.generate(ask("The last one")))  # what was cancelled before it is gone by now
            stats = engine.stats()
        assert (stats.waiting, stats.running, stats.held_blocks) == (0, 0, 0), "a request left blocks behind"


@pytest.mark.parametrize("cell", CELLS)
async def test_greedy_answers_are_the_models_own(cell: str, folders: dict[str, Path]) -> None:
    model, many = recurrent.reference(folders[cell]), prompts(6)
    right = [recurrent.greedy(model, prompt, COUNT) for prompt in many]
    async with inference.open_engine(str(folders[cell]), dtype="float32", step_tokens=24) as engine:
        for _ in range(2):  # the second time from the cache
            answers = await asyncio.gather(
                *(collect(engine.generate(Request(prompt_token_ids=one, sampling=GREEDY))) for one in many)
            )
            assert [tokens for _, tokens, _ in answers] == right
        for _, _, finished in answers:
            assert finished.usage.cached_tokens == (finished.usage.prompt_tokens - 1) // 16 * 16


async def test_answers_stay_the_same_when_states_run_out(folders: dict[str, Path]) -> None:
    model, many = recurrent.reference(folders["gru"]), prompts(8)
    right = [recurrent.greedy(model, prompt, COUNT) for prompt in many]
    options = {"dtype": "float32", "cache_mb": 5 * 2 * 24 * 4 / 2**20}  # layers, width, bytes
    async with inference.open_engine(str(folders["gru"]), **options) as engine:
        assert engine.stats().total_blocks == 5
        answers = await asyncio.gather(
            *(collect(engine.generate(Request(prompt_token_ids=one, sampling=GREEDY))) for one in many)
        )
        assert engine.stats().preemptions > 0, "there were too many to show anything"
    assert [tokens for _, tokens, _ in answers] == right


async def test_a_conversation_goes_on_after_a_restart(folders: dict[str, Path], tmp_path: Path) -> None:
    prompt = prompts(4)[3]
    answers, found = [], []
    for _ in range(2):
        options = {"dtype": "float32", "spill_folder": tmp_path}
        async with inference.open_engine(str(folders["lstm"]), **options) as engine:
            request = Request(prompt_token_ids=prompt, sampling=GREEDY)
            _, tokens, finished = await collect(engine.generate(request))
            answers.append(tokens)
            found.append(finished.usage.cached_tokens)
    assert answers[0] == answers[1]
    assert found == [0, (len(prompt) - 1) // 16 * 16]


async def test_memory_does_not_grow_with_the_conversation(folders: dict[str, Path]) -> None:
    async with inference.open_engine(str(folders["lstm"]), dtype="float32") as engine:
        assert engine.context_length > 100_000, "the model's 512 limit nothing"
        said, kept = [9], []
        for number in range(40):
            said += [6 + (number * n) % 300 for n in range(35)]
            request = Request(prompt_token_ids=list(said), sampling=GREEDY)
            _, answer, finished = await collect(engine.generate(request))
            assert finished.usage.cached_tokens >= len(said) - 35 - 16 if number else True
            said += answer
            stats = engine.stats()
            kept.append(stats.held_blocks + stats.cached_blocks)
    assert len(said) > 2000
    assert set(kept[2:]) == {LATEST}


async def test_a_wrong_precision_is_explained(folders: dict[str, Path]) -> None:
    with pytest.raises(ModelNotFound, match="recurrent"):
        async with inference.open_engine(str(folders["lstm"]), dtype="int8"):
            pass
