"""What every engine must do. A test class of an engine inherits from EngineConformance and gives `engine`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from inference import (
    ChatMessage,
    ContextTooLong,
    Delta,
    Engine,
    Finished,
    FinishReason,
    Request,
    SamplingParams,
)

GREEDY = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)


async def collect(stream: AsyncIterator[Delta | Finished]) -> tuple[str, list[int], Finished]:
    """All of a stream: its text, its tokens, its end. Exactly one Finished comes, as the last."""
    outputs = [output async for output in stream]
    *deltas, finished = outputs
    assert isinstance(finished, Finished)
    text, tokens = "", []
    for delta in deltas:
        assert isinstance(delta, Delta), "something came before the end that is no delta"
        text += delta.text
        tokens.extend(delta.token_ids)
    return text, tokens, finished


def ask(text: str, sampling: SamplingParams = GREEDY, **more: Any) -> Request:
    return Request(messages=[ChatMessage("user", text)], sampling=sampling, **more)


class EngineConformance:
    """The promises of `inference.engine.Engine`."""

    async def test_an_answer_ends_with_its_reason_and_usage(self, engine: Engine) -> None:
        _, tokens, finished = await collect(engine.generate(ask("Hello")))
        assert finished.reason is FinishReason.LENGTH
        assert len(tokens) == 12
        assert finished.usage.output_tokens == 12
        assert finished.usage.prompt_tokens == await engine.count_tokens([ChatMessage("user", "Hello")])
        assert finished.usage.first_token is not None
        assert finished.usage.first_token <= finished.usage.total

    async def test_the_same_seed_gives_the_same_answer_and_another_seed_another(self, engine: Engine) -> None:
        free = {"temperature": 1.5, "max_tokens": 16, "ignore_eos": True}
        first = await collect(engine.generate(ask("Hello", SamplingParams(seed=1, **free))))
        again = await collect(engine.generate(ask("Hello", SamplingParams(seed=1, **free))))
        other = await collect(engine.generate(ask("Hello", SamplingParams(seed=2, **free))))
        assert first[1] == again[1]
        assert first[1] != other[1]

    async def test_many_at_once_get_what_each_alone_would(self, engine: Engine) -> None:
        questions = [f"Question {n}: " + "why? " * n for n in range(8)]
        alone = [(await collect(engine.generate(ask(one))))[1] for one in questions]
        together = await asyncio.gather(*(collect(engine.generate(ask(one))) for one in questions))
        assert [tokens for _, tokens, _ in together] == alone

    async def test_a_stop_string_ends_the_answer_and_is_never_shown(self, engine: Engine) -> None:
        text, _, _ = await collect(engine.generate(ask("Hello")))
        stop = text[3:6]
        sampling = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True, stop=(stop,))
        shown, _, finished = await collect(engine.generate(ask("Hello", sampling)))
        assert finished.reason is FinishReason.STOP
        assert shown == text[: text.index(stop)]

    async def test_a_prompt_that_leaves_no_room_is_refused(self, engine: Engine) -> None:
        prompt = [10] * engine.context_length
        with pytest.raises(ContextTooLong) as refusal:
            await collect(engine.generate(Request(prompt_token_ids=prompt)))
        assert refusal.value.tokens == engine.context_length
        assert refusal.value.limit == engine.context_length - 1

    async def test_an_answer_goes_no_further_than_the_context(self, engine: Engine) -> None:
        prompt = [10] * (engine.context_length - 3)
        sampling = SamplingParams(temperature=0, ignore_eos=True)
        _, tokens, finished = await collect(
            engine.generate(Request(prompt_token_ids=prompt, sampling=sampling))
        )
        assert len(tokens) == 3
        assert finished.reason is FinishReason.LENGTH

    async def test_cancel_gives_what_there_is_and_an_end(self, engine: Engine) -> None:
        request = ask("Hello", SamplingParams(ignore_eos=True))
        outputs = []
        async for output in engine.generate(request):
            outputs.append(output)
            if len(outputs) == 3:
                assert engine.cancel(request.id)
        finished = outputs[-1]
        assert isinstance(finished, Finished)
        assert finished.reason is FinishReason.CANCELLED
        assert finished.usage.output_tokens >= 3
        assert not engine.cancel(request.id), "a request that has ended can't be cancelled"

    async def test_cancel_before_the_first_token_gives_an_end_too(self, engine: Engine) -> None:
        request = ask("Hello " * 30)
        answer = asyncio.create_task(collect(engine.generate(request)))
        while not engine.cancel(request.id):
            await asyncio.sleep(0)
        _, _, finished = await answer
        assert finished.reason is FinishReason.CANCELLED

    async def test_closing_the_stream_lets_the_others_go_on(self, engine: Engine) -> None:
        expected = (await collect(engine.generate(ask("Stay"))))[1]
        async with aclosing(engine.generate(ask("Leave", SamplingParams(ignore_eos=True)))) as leaving:
            staying = asyncio.create_task(collect(engine.generate(ask("Stay"))))
            await anext(leaving)
        assert (await staying)[1] == expected

    async def test_a_request_is_not_taken_twice(self, engine: Engine) -> None:
        request = ask("Hello", id="the-same")
        async with aclosing(engine.generate(request)) as first:
            await anext(first)
            with pytest.raises(ValueError, match="the-same"):
                await anext(aiter(engine.generate(request)))

    async def test_a_deadline_that_passed_ends_a_request(self, engine: Engine) -> None:
        request = ask("Hello", SamplingParams(ignore_eos=True), deadline=timedelta(0))
        _, _, finished = await collect(engine.generate(request))
        assert finished.reason is FinishReason.EXPIRED

    async def test_a_stop_token_ends_the_answer(self, engine: Engine) -> None:
        _, tokens, _ = await collect(engine.generate(ask("Hello")))
        position = next(i for i, token in enumerate(tokens) if token not in tokens[:i] and i > 2)
        sampling = SamplingParams(
            temperature=0, max_tokens=12, ignore_eos=True, stop_token_ids=(tokens[position],)
        )
        _, shown, finished = await collect(engine.generate(ask("Hello", sampling)))
        assert shown == tokens[:position]
        assert finished.reason is FinishReason.STOP

    async def test_log_probabilities_come_with_each_token(self, engine: Engine) -> None:
        sampling = SamplingParams(temperature=0, max_tokens=5, ignore_eos=True, logprobs=3)
        outputs = [output async for output in engine.generate(ask("Hello", sampling))]
        told = [one for output in outputs if isinstance(output, Delta) for one in output.logprobs]
        assert len(told) == 5
        for one in told:
            assert one.token == one.top[0][0], "greedy takes the likeliest"
            assert one.logprob == one.top[0][1] < 0
            assert len(one.top) == 3
