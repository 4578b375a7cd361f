"""Beam search finds what transformers' own finds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch

import inference
from inference import FinishReason, Request, SamplingParams
from tests import models
from tests.conformance.engines import collect
from tests.inference.test_local_engine import prompts


def reference(
    model: Any, prompt: list[int], *, width: int, length_penalty: float, eos: int | None
) -> list[int]:
    output = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
        do_sample=False,
        num_beams=width,
        length_penalty=length_penalty,
        early_stopping=False,
        max_new_tokens=20,
        eos_token_id=eos,
        pad_token_id=0,
    )
    tokens = [int(token) for token in output[0, len(prompt) :]]
    return tokens[: tokens.index(eos)] if eos in tokens else tokens


@pytest.mark.parametrize(("width", "length_penalty"), [(2, 1.0), (4, 1.0), (3, 0.5), (3, 2.0)])
@pytest.mark.parametrize("ends", [False, True])
async def test_beams_equal_those_of_transformers(
    width: int, length_penalty: float, ends: bool, tiny_model: Path
) -> None:
    model = models.reference(tiny_model)
    many = prompts(4)
    often = 270  # a token that this model says often, to see hypotheses end early
    wanted = [
        reference(model, one, width=width, length_penalty=length_penalty, eos=often if ends else None)
        for one in many
    ]
    sampling = SamplingParams(
        max_tokens=20,
        beam_width=width,
        length_penalty=length_penalty,
        ignore_eos=True,
        stop_token_ids=(often,) if ends else (),
    )
    async with inference.open_engine(str(tiny_model), dtype="float32") as engine:
        answers = await asyncio.gather(
            *(collect(engine.generate(Request(prompt_token_ids=one, sampling=sampling))) for one in many)
        )
        stats = engine.stats()
    assert [tokens for _, tokens, _ in answers] == wanted
    assert stats.held_blocks == 0


async def test_beams_share_the_blocks_of_what_they_have_in_common(tiny_model: Path) -> None:
    sampling = SamplingParams(max_tokens=12, beam_width=8, ignore_eos=True)
    async with inference.open_engine(str(tiny_model), dtype="float32", cache_mb=16 * 4096 / 2**20) as engine:
        assert engine.stats().total_blocks == 16
        request = Request(prompt_token_ids=list(range(6, 86)), sampling=sampling)  # 5 blocks
        _, tokens, _ = await collect(engine.generate(request))
        assert engine.stats().preemptions == 0
    assert len(tokens) == 12


async def test_a_search_that_runs_out_of_blocks_finds_the_same(tiny_model: Path) -> None:
    sampling = SamplingParams(max_tokens=40, beam_width=4, ignore_eos=True)
    request = {"prompt_token_ids": list(range(6, 40)), "sampling": sampling}
    async with inference.open_engine(str(tiny_model), dtype="float32") as engine:
        _, wanted, _ = await collect(engine.generate(Request(**request)))
    options = {"dtype": "float32", "context_length": 80, "cache_mb": 7 * 4096 / 2**20}
    async with inference.open_engine(str(tiny_model), **options) as engine:
        _, tokens, _ = await collect(engine.generate(Request(**request)))
        assert engine.stats().preemptions > 0
    assert tokens == wanted


async def test_a_cancelled_search_gives_the_best_so_far(tiny_model: Path) -> None:
    sampling = SamplingParams(beam_width=4, ignore_eos=True)
    async with inference.open_engine(str(tiny_model)) as engine:
        request = Request(prompt_token_ids=[7, 8, 9], sampling=sampling)
        answer = asyncio.create_task(collect(engine.generate(request)))
        while engine.stats().running < 4:
            await asyncio.sleep(0)
        assert engine.cancel(request.id)
        _, _, finished = await answer
        assert finished.reason is FinishReason.CANCELLED
        await collect(engine.generate(Request(prompt_token_ids=[7], sampling=SamplingParams(max_tokens=1))))
        assert engine.stats().held_blocks == 0
