"""Persona and history, fitted into a context."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bot import prompt
from bot.store.history import Said
from inference import ContextTooLong
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
    fitted = await prompt.build(ScriptedEngine(), SYSTEM, conversation(5), answer_tokens=50)
    assert len(fitted.messages) == 10
    assert fitted.dropped == 0


async def test_the_oldest_goes_first_and_a_prompt_begins_with_a_question() -> None:
    engine = ScriptedEngine(context_length=300)
    fitted = await prompt.build(engine, SYSTEM, conversation(30), answer_tokens=50)
    assert fitted.tokens <= 250
    assert fitted.tokens == await engine.count_tokens(fitted.messages)
    assert [one.role for one in fitted.messages[:2]] == ["system", "user"]
    assert fitted.messages[-1].content.startswith("question 29")
    assert fitted.dropped == 59 - (len(fitted.messages) - 1)


async def test_the_beginning_stays_the_same_for_several_turns() -> None:
    """What moves at every turn makes the whole prompt be computed at every turn."""
    engine = ScriptedEngine(context_length=500)
    beginnings = []
    for turns in range(30, 70):
        fitted = await prompt.build(engine, SYSTEM, conversation(turns), answer_tokens=50)
        beginnings.append(fitted.messages[1].content)
    moves = sum(one != other for one, other in pairwise(beginnings))
    assert moves <= 40 / 5, "a quarter of the room is at least five turns"


async def test_a_last_message_that_never_fits_is_refused() -> None:
    engine = ScriptedEngine(context_length=100)
    branch = [*conversation(2), Said(9, "user", "word " * 120, "Alice")]
    with pytest.raises(ContextTooLong):
        await prompt.build(engine, SYSTEM, branch, answer_tokens=10)


async def test_a_long_last_message_may_take_the_room_of_the_answer() -> None:
    engine = ScriptedEngine(context_length=100)
    fitted = await prompt.build(engine, SYSTEM, [Said(1, "user", "word " * 90, "Alice")], answer_tokens=50)
    assert fitted.tokens == 94


async def test_names_are_told_only_where_several_people_speak() -> None:
    branch = [Said(1, "user", "Hello", "Alice"), Said(2, "assistant", "Hi", None)]
    alone = prompt.as_chat([*branch, Said(3, "user", "How are you?", "Alice")])
    together = prompt.as_chat([*branch, Said(3, "user", "How are you?", "Bob")])
    assert [one.content for one in alone] == ["Hello", "Hi", "How are you?"]
    assert [one.content for one in together] == ["Alice: Hello", "Hi", "Bob: How are you?"]
