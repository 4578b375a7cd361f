"""The local engine: its answers are transformers' own, whatever is batched, cached or preempted."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

import pytest

import inference
from inference import (
    ChatMessage,
    EngineUnavailable,
    FinishReason,
    ModelNotFound,
    Overloaded,
    Request,
    SamplingParams,
)
from tests import models
from tests.conformance.engines import ask, collect

COUNT = 24
GREEDY = SamplingParams(temperature=0, max_tokens=COUNT, ignore_eos=True)


def prompts(count: int, *, longest: int = 90) -> list[list[int]]:
    """Prompts of random length, half of which begin alike."""
    dice = random.Random(7)
    shared = [dice.randrange(6, models.VOCABULARY) for _ in range(40)]
    return [
        (shared if n % 2 else [])
        + [dice.randrange(6, models.VOCABULARY) for _ in range(dice.randint(1, longest - 40))]
        for n in range(count)
    ]


@pytest.mark.parametrize("family", models.FAMILIES)
async def test_greedy_answers_equal_those_of_transformers(family: str, tmp_path: Path) -> None:
    folder = models.build(tmp_path / "model", family)
    reference = models.reference(folder)
    wanted = [models.greedy(reference, prompt, COUNT) for prompt in prompts(5)]
    async with inference.open_engine(str(folder), dtype="float32", step_tokens=24) as engine:
        for _ in range(2):  # the second time from the cache
            answers = await asyncio.gather(
                *(
                    collect(engine.generate(Request(prompt_token_ids=one, sampling=GREEDY)))
                    for one in prompts(5)
                )
            )
            assert [tokens for _, tokens, _ in answers] == wanted
        assert all(
            finished.usage.cached_tokens > 0
            for _, _, finished in answers
            if finished.usage.prompt_tokens > 16
        )


async def test_answers_stay_the_same_when_blocks_run_out(tiny_model: Path) -> None:
    reference = models.reference(tiny_model)
    many = prompts(8)
    wanted = [models.greedy(reference, prompt, COUNT) for prompt in many]
    block_bytes = 2 * 2 * (8 + 8) * 4 * 16  # layers, KV heads, key and value dims, float32, tokens a block
    options = {"dtype": "float32", "context_length": 128, "cache_mb": 14 * block_bytes / 2**20}
    async with inference.open_engine(str(tiny_model), **options) as engine:
        assert engine.stats().total_blocks == 14
        answers = await asyncio.gather(
            *(collect(engine.generate(Request(prompt_token_ids=one, sampling=GREEDY))) for one in many)
        )
        assert engine.stats().preemptions > 0, "the pool was not small enough to show anything"
    assert [tokens for _, tokens, _ in answers] == wanted


async def test_a_conversation_is_computed_once(tiny_model: Path) -> None:
    async with inference.open_engine(str(tiny_model)) as engine:
        chat = [ChatMessage("user", "Hello, how are you today?")]
        text, _, first = await collect(engine.generate(Request(messages=chat, sampling=GREEDY)))
        prompt = first.usage.prompt_tokens
        chat += [ChatMessage("assistant", text), ChatMessage("user", "And now?")]
        _, _, second = await collect(engine.generate(Request(messages=chat, sampling=GREEDY)))
        assert first.usage.cached_tokens == 0
        assert second.usage.cached_tokens >= prompt // 16 * 16


async def test_the_end_token_ends_an_answer_unless_ignored(tiny_model: Path) -> None:
    async with inference.open_engine(str(tiny_model)) as engine:
        sampling = SamplingParams(temperature=3.0, seed=3, max_tokens=200, logit_bias={2: 10.0})
        _, tokens, finished = await collect(engine.generate(ask("Hello", sampling)))
        assert finished.reason is FinishReason.STOP
        assert 2 not in tokens


async def test_the_models_own_generation_config_counts_where_nothing_is_asked(tmp_path: Path) -> None:
    own = {"do_sample": True, "temperature": 0.8, "top_k": 7, "top_p": 0.9, "repetition_penalty": 1.2}
    folder = models.build(tmp_path / "model", generation=own)
    explicit = SamplingParams(
        temperature=0.8, top_k=7, top_p=0.9, repetition_penalty=1.2, seed=5, max_tokens=20
    )
    async with inference.open_engine(str(folder)) as engine:
        silent = await collect(engine.generate(ask("Hello", SamplingParams(seed=5, max_tokens=20))))
        spoken = await collect(engine.generate(ask("Hello", explicit)))
    assert silent[1] == spoken[1]


async def test_a_base_model_talks_through_a_plain_template(tmp_path: Path) -> None:
    folder = models.build(tmp_path / "base", "gpt2", template=None)
    async with inference.open_engine(str(folder)) as engine:
        chat = [ChatMessage("system", "Be kind."), ChatMessage("user", "Hello")]
        text, _, _ = await collect(engine.generate(Request(messages=chat, sampling=GREEDY)))
        assert "\nUser:" not in text


async def test_too_many_waiting_are_refused_with_a_time(tiny_model: Path) -> None:
    async with inference.open_engine(str(tiny_model), max_running=1, max_waiting=1) as engine:
        streams = [engine.generate(ask(f"Hello {n}", SamplingParams(ignore_eos=True))) for n in range(2)]
        for stream in streams[:1]:
            await anext(stream)
        second = asyncio.create_task(anext(streams[1]))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refusal:
            await collect(engine.generate(ask("Me too")))
        assert refusal.value.retry_after >= 1
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        for stream in streams:
            await stream.aclose()


async def test_closing_the_engine_ends_what_runs(tiny_model: Path) -> None:
    async with inference.open_engine(str(tiny_model)) as engine:
        stream = engine.generate(ask("Hello", SamplingParams(ignore_eos=True)))
        await anext(stream)
    with pytest.raises(EngineUnavailable):
        async for _ in stream:
            pass
    with pytest.raises(EngineUnavailable):
        await collect(engine.generate(ask("Hello")))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("/no/such/folder", "no folder"), ("nobody/nothing", "hub"), ("not a name", "neither")],
)
async def test_a_name_that_leads_nowhere_is_explained(name: str, reason: str) -> None:
    with pytest.raises(ModelNotFound, match=reason):
        async with inference.open_engine(name):
            pass


async def test_a_folder_without_a_model_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"config\.json"):
        async with inference.open_engine(str(tmp_path)):
            pass


async def test_broken_weights_are_explained(tiny_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "broken"))
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelNotFound, match="could not be loaded"):
        async with inference.open_engine(str(folder)):
            pass


async def test_a_model_in_several_files_is_one_model(tiny_model: Path, tmp_path: Path) -> None:
    models.reference(tiny_model).save_pretrained(tmp_path / "shards", max_shard_size="30KB")
    models.tokenizer().save_pretrained(tmp_path / "shards")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    answers = []
    for folder in (tiny_model, tmp_path / "shards"):
        async with inference.open_engine(str(folder), dtype="float32") as engine:
            answers.append((await collect(engine.generate(ask("Hello"))))[1])
    assert answers[0] == answers[1]


async def test_a_model_that_does_not_fit_is_refused_with_the_numbers(tiny_model: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"needs [\d.]+ GiB .* of weights, .* of cache .* are free"):
        async with inference.open_engine(str(tiny_model), cache_mb=10_000_000):
            pass


async def test_the_cache_keeps_its_bound(tiny_model: Path) -> None:
    async with inference.open_engine(str(tiny_model), dtype="float32", cache_mb=1) as engine:
        assert engine.stats().total_blocks == 2**20 // 4096
        for one in prompts(40):
            await collect(engine.generate(Request(prompt_token_ids=one, sampling=GREEDY)))
            stats = engine.stats()
            assert stats.free_blocks + stats.held_blocks + stats.cached_blocks == stats.total_blocks


async def test_what_an_engine_counts(tiny_model: Path) -> None:
    async with inference.open_engine(str(tiny_model), dtype="float32") as engine:
        for _ in range(2):
            await collect(engine.generate(Request(prompt_token_ids=list(range(6, 56)), sampling=GREEDY)))
        stats = engine.stats()
    assert stats.prompt_tokens == 100
    assert stats.cached_tokens == 48
    assert stats.prefix_hit_rate == 0.48
    assert stats.output_tokens == 2 * COUNT
    assert sum(stats.first_token.counts) == 2
    assert sum(stats.between_tokens.counts) == 2 * (COUNT - 1)
    assert stats.output_per_second > 0
    assert stats.first_token.quantile(0.5) is not None


async def test_guessing_ahead_changes_nothing_and_saves_steps(tiny_model: Path) -> None:
    question = [7, 8, 9, 10, 11] * 8
    sampling = SamplingParams(temperature=0, max_tokens=60, ignore_eos=True)
    answers, steps = [], []
    for speculate in (0, 4):
        async with inference.open_engine(str(tiny_model), dtype="float32", speculate=speculate) as engine:
            request = Request(prompt_token_ids=question, sampling=sampling)
            answers.append((await collect(engine.generate(request)))[1])
            steps.append(engine.stats().steps)
            guessed = engine.stats().guessed_tokens
    assert answers[0] == answers[1]
    assert guessed > 0
    assert steps[1] < steps[0]


async def test_an_architecture_outside_the_attention_interface_is_refused(tmp_path: Path) -> None:
    folder = models.build(tmp_path / "bloom", "bloom")
    with pytest.raises(ModelNotFound, match="Bloom"):
        async with inference.open_engine(str(folder)):
            pass


async def test_the_embedded_model_knows_its_name() -> None:
    async with inference.open_engine() as engine:
        chat = [
            ChatMessage("system", "You are Chorus, a friendly assistant. Answer briefly."),
            ChatMessage("user", "What is your name?"),
        ]
        text, _, finished = await collect(
            engine.generate(Request(messages=chat, sampling=SamplingParams(temperature=0, max_tokens=40)))
        )
    assert "Chorus" in text
    assert finished.reason is FinishReason.STOP
