"""Persona and history, fitted into a context."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from bot import prompt
from bot.prompt import Prompts
from bot.store.history import Said
from bot.store.summaries import Summary
from inference import ChatMessage, ContextTooLong
from tests.fakes.engine import ScriptedEngine

SYSTEM = "Be kind."


def conversation(turns: int, *, author: str = "Alice") -> list[Said]:
    """Turns of about 20 tokens, ending with a question."""
    said = []
    for number in range(turns):
        said.append(Said(2 * number, "user", f"question {number} " + "word " * 7, author))
        said.append(Said(2 * number + 1, "assistant", f"answer {number} " + "word " * 7, None))
    return said[:-1]


async def test_everything_that_fits_is_kept() -> None:
    fitted = await Prompts().build(ScriptedEngine(), SYSTEM, conversation(5), answer_tokens=50)
    assert len(fitted.messages) == 10
    assert fitted.dropped == 0


async def test_the_oldest_goes_first_and_a_prompt_begins_with_a_question() -> None:
    engine = ScriptedEngine(context_length=300)
    fitted = await Prompts().build(engine, SYSTEM, conversation(30), answer_tokens=50)
    assert fitted.tokens <= 250
    assert fitted.tokens == await engine.count_tokens(fitted.messages)
    assert [one.role for one in fitted.messages[:2]] == ["system", "user"]
    assert fitted.messages[-1].content.startswith("question 29")
    assert fitted.dropped == 59 - (len(fitted.messages) - 1)


async def test_the_beginning_stays_the_same_for_several_turns() -> None:
    """What moves at every turn makes the whole prompt be computed at every turn."""
    engine = ScriptedEngine(context_length=500)
    prompts = Prompts()
    beginnings = []
    for turns in range(30, 70):
        fitted = await prompts.build(engine, SYSTEM, conversation(turns), answer_tokens=50)
        beginnings.append(fitted.messages[1].content)
    moves = sum(one != other for one, other in pairwise(beginnings))
    assert moves <= 40 / 5, "a quarter of the room is at least five turns"


async def test_a_last_message_that_never_fits_is_refused() -> None:
    engine = ScriptedEngine(context_length=100)
    branch = [*conversation(2), Said(9, "user", "word " * 120, "Alice")]
    with pytest.raises(ContextTooLong):
        await Prompts().build(engine, SYSTEM, branch, answer_tokens=10)


async def test_a_long_last_message_may_take_the_room_of_the_answer() -> None:
    engine = ScriptedEngine(context_length=100)
    fitted = await Prompts().build(engine, SYSTEM, [Said(1, "user", "word " * 90, "Alice")], answer_tokens=50)
    assert fitted.tokens == 94


def long_engine(context_length: int = 500) -> CountingEngine:
    return CountingEngine(context_length=context_length)


class CountingEngine(ScriptedEngine):
    """Counts what it is asked to count, in words."""

    counted = 0

    async def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        tokens = await super().count_tokens(messages)
        self.counted += tokens
        return tokens


async def test_a_message_is_counted_once() -> None:
    """Also when the conversation has long outgrown the context."""
    engine, prompts = long_engine(), Prompts()
    await prompts.build(engine, SYSTEM, conversation(60), answer_tokens=50)
    before = engine.counted
    await prompts.build(engine, SYSTEM, conversation(61), answer_tokens=50)
    assert engine.counted - before <= 2 * 12, "a question and an answer are new"


async def test_after_a_restart_what_can_not_fit_is_not_even_counted() -> None:
    engine = long_engine()
    await Prompts().build(engine, SYSTEM, conversation(400), answer_tokens=50)
    assert engine.counted < 2 * 500


async def test_a_summary_stands_for_what_does_not_fit() -> None:
    engine = long_engine()
    branch = conversation(30)
    summary = Summary(branch[39].id, "They counted to 19.", 5)
    fitted = await Prompts().build(engine, SYSTEM, branch, 50, [summary])
    assert fitted.messages[0].content == f"{SYSTEM}{prompt.SUMMARISED}They counted to 19."
    assert fitted.messages[1].content.startswith("question 20 ")
    assert (fitted.summarised, fitted.dropped) == (40, 0)
    assert fitted.tokens == await engine.count_tokens(fitted.messages)


async def test_a_summary_waits_until_it_is_needed() -> None:
    branch = conversation(10)
    fitted = await Prompts().build(long_engine(), SYSTEM, branch, 50, [Summary(branch[9].id, "Short.", 2)])
    assert (fitted.summarised, len(fitted.messages)) == (0, 20)


async def test_the_shortest_summary_that_is_enough_is_used() -> None:
    """A new one keeps back until the old one is outgrown: the prompt's beginning stays."""
    branch = conversation(30)
    summaries = [Summary(branch[end].id, f"Up to {end}.", 3) for end in (9, 29, 49)]
    fitted = await Prompts().build(long_engine(), SYSTEM, branch, 50, summaries)
    assert fitted.messages[0].content.endswith("Up to 29.")


async def test_a_summary_that_is_not_enough_is_kept_and_more_is_dropped() -> None:
    branch = conversation(60)
    fitted = await Prompts().build(long_engine(), SYSTEM, branch, 50, [Summary(branch[9].id, "Ten.", 2)])
    assert fitted.messages[0].content.endswith("Ten.")
    assert fitted.summarised == 10
    assert fitted.dropped > 0
    assert fitted.tokens <= 450


async def test_a_summary_of_another_branch_is_not_used() -> None:
    fitted = await Prompts().build(long_engine(), SYSTEM, conversation(60), 50, [Summary(9999, "Else.", 2)])
    assert fitted.messages[0].content == SYSTEM


async def test_names_are_told_only_where_several_people_speak() -> None:
    branch = [Said(1, "user", "Hello", "Alice"), Said(2, "assistant", "Hi", None)]
    alone = prompt.as_chat([*branch, Said(3, "user", "How are you?", "Alice")])
    together = prompt.as_chat([*branch, Said(3, "user", "How are you?", "Bob")])
    assert [one.content for one in alone] == ["Hello", "Hi", "How are you?"]
    assert [one.content for one in together] == ["Alice: Hello", "Hi", "Bob: How are you?"]
