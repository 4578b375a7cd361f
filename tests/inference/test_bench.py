"""The work, its measurement, and `chorus bench`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.__main__ import cli
from inference.bench.measure import Report, measure, percentile
from inference.bench.ours import open_ours
from inference.bench.shapes import build, cached_values, vocabulary
from inference.bench.work import Work

WORK = Work(vocabulary=384, conversations=3, turns=2, system=40, question=5, answer=6)
WARM_UP = -1  # the conversation that isn't one


class Scribe:
    """A server that answers at once, keeps what it was asked and says that a third was cached."""

    def __init__(self, *, answer_length: int | None = None) -> None:
        self.asked: dict[int, list[list[int]]] = {}
        self.answered: dict[int, list[list[int]]] = {}
        self.counts: dict[int, list[int]] = {}
        self.cached_tokens: int | None = 0
        self._answer_length = answer_length

    async def answer(
        self, conversation: int, prompt: list[int], count: int
    ) -> AsyncGenerator[Sequence[int], None]:
        self.asked.setdefault(conversation, []).append(prompt)
        self.counts.setdefault(conversation, []).append(count)
        if self.cached_tokens is not None:
            self.cached_tokens += len(prompt) // 3
        tokens = [(len(prompt) + i) % 7 for i in range(self._answer_length or count)]
        self.answered.setdefault(conversation, []).append(tokens)
        yield tokens[:1]
        yield []
        yield tokens[1:]


class Gathering(Scribe):
    """Answers nobody before all conversations have asked."""

    def __init__(self, conversations: int) -> None:
        super().__init__()
        self._all_here = asyncio.Barrier(conversations)

    async def answer(
        self, conversation: int, prompt: list[int], count: int
    ) -> AsyncGenerator[Sequence[int], None]:
        if conversation != WARM_UP:
            async with asyncio.timeout(10):
                await self._all_here.wait()
        async for piece in super().answer(conversation, prompt, count):
            yield piece


async def test_each_turn_asks_with_all_that_was_said_before() -> None:
    server = Scribe()
    await measure(WORK, server)
    for conversation in range(WORK.conversations):
        first, second = server.asked[conversation]
        assert first == WORK.opening(conversation) + WORK.ask(conversation, 0)
        assert second == first + server.answered[conversation][0] + WORK.ask(conversation, 1)
        assert len(second) + WORK.answer == WORK.context_length


async def test_conversations_share_the_system_prompt_and_nothing_else() -> None:
    work = replace(WORK, history=10)
    one, two = work.opening(0), work.opening(1)
    assert one[: work.system] == two[: work.system]
    assert one[work.system :] != two[work.system :]
    assert len({tuple(work.ask(conversation, turn)) for conversation in (0, 1) for turn in (0, 1)}) == 4
    assert work.warm_up() != work.opening(0)[: work.system]


def test_the_seed_decides_what_is_asked() -> None:
    assert Work(384).ask(0, 0) == Work(384).ask(0, 0)
    assert Work(384, seed=1).ask(0, 0) != Work(384).ask(0, 0)


async def test_conversations_run_at_once() -> None:
    await measure(WORK, Gathering(WORK.conversations))


async def test_the_warm_up_is_not_counted() -> None:
    server = Scribe()
    report = await measure(WORK, server)
    prompts = [prompt for conversation in range(3) for prompt in server.asked[conversation]]
    assert report.prompt_tokens == sum(map(len, prompts))
    assert report.cached_tokens == sum(len(prompt) // 3 for prompt in prompts)
    assert report.computed_tokens == report.prompt_tokens - report.cached_tokens
    assert report.output_tokens == 3 * 2 * 6


async def test_a_history_is_computed_before_the_clock_starts() -> None:
    work = replace(WORK, history=50)
    server = Scribe()
    report = await measure(work, server)
    for conversation in range(work.conversations):
        assert server.asked[conversation][0] == work.opening(conversation)
        assert server.counts[conversation] == [1, 6, 6]
    asked = [prompt for conversation in range(3) for prompt in server.asked[conversation][1:]]
    assert report.prompt_tokens == sum(map(len, asked))


async def test_what_a_server_does_not_tell_is_not_made_up() -> None:
    server = Scribe()
    server.cached_tokens = None
    report = await measure(replace(WORK, turns=1, answer=1), server)
    assert report.cached_tokens is None
    assert report.computed_tokens is None
    assert report.ttft_later_p50_ms is None
    assert report.itl_p50_ms is None


async def test_an_answer_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="5 tokens instead of 6"):
        await measure(WORK, Scribe(answer_length=5))


@pytest.mark.parametrize("wrong", [{"turns": 0}, {"answer": 0}, {"history": -1}, {"conversations": 0}])
def test_lengths_that_mean_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"at least 1|0 tokens or more"):
        Work(384, **wrong)


def test_percentiles_are_values_that_were_measured() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, percent) for percent in (1, 20, 50, 99, 100)] == [1.0, 1.0, 3.0, 5.0, 5.0]


async def test_our_engine_computes_only_what_is_new(tiny_model: Path) -> None:
    async with open_ours(tiny_model, WORK, "f32") as server:
        report = await measure(WORK, server)
    assert report.output_tokens == 36
    assert report.cached_tokens is not None
    # A first turn computes 40 + 5 + 5 tokens (the last one's logits end the answer): three full blocks.
    assert report.cached_tokens >= WORK.conversations * 48
    assert report.computed_tokens == report.prompt_tokens - report.cached_tokens


async def test_conversations_that_outgrow_the_context_are_refused(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="grow to 402 tokens each, but the model's context holds 256"):
        async with open_ours(tiny_model, replace(WORK, answer=176), "f32"):
            pass


async def test_a_built_model_can_be_served(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "small"
    settings = {
        "model_type": "llama",
        "vocab_size": 500,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
    }
    build(folder, settings)
    assert [one.name for one in folder.parent.iterdir()] == ["small"]
    assert vocabulary(folder) == 500
    assert cached_values(folder) == 2 * 2 * 2 * 32  # keys and values, layers, heads, head dim padded
    work = Work(vocabulary(folder), conversations=2, turns=1, answer=2)
    async with open_ours(folder, work, "bf16") as server:
        report = await measure(work, server)
    assert report.output_tokens == 4


def bench(*options: str) -> tuple[int, str]:
    """Exit code and output of `chorus bench`."""
    result = CliRunner().invoke(cli, ["bench", *options], env={"COLUMNS": "200"})
    return result.exit_code, result.output


SHORT = ("--conversations", "2", "--turns", "2", "--system", "20", "--question", "4", "--answer", "3")


def test_the_command_prints_one_json_object(tiny_model: Path) -> None:
    code, output = bench("--shape", str(tiny_model), "--precision", "f32", "--json", *SHORT)
    assert code == 0
    shown = json.loads(output)
    assert set(Report.__dataclass_fields__) < set(shown)
    assert shown["precision"] == "f32"
    assert shown["conversations"] == 2
    assert shown["output_tokens"] == 2 * 2 * 3


def test_the_command_prints_a_table(tiny_model: Path) -> None:
    code, output = bench("--shape", str(tiny_model), "--precision", "bf16", *SHORT)
    assert code == 0
    assert "Tokens a second" in output
    assert "Answer tokens" in output


def test_the_command_says_what_it_cannot_do(tiny_model: Path) -> None:
    code, output = bench("--precision", "int4")
    assert code == 2
    assert "'int4' is not one of 'f32', 'bf16', 'int8'" in output
    code, output = bench("--shape", "huge")
    assert code == 1
    assert "'huge' is neither a shape (smol, qwen) nor the folder of a model" in output
    code, output = bench("--shape", str(tiny_model), "--history", "5000")
    assert code == 1
    assert "ask for fewer turns or shorter ones" in output


@pytest.mark.slow
async def test_a_short_soak_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.soak import soak

    await soak(minutes=0.2, seed=1)
    assert "requests" in capsys.readouterr().out
