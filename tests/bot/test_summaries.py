"""Long conversations are summarised while nobody waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bot import texts
from bot.store import settings
from bot.store.models import Message, SummaryRow
from bot.summaries import CLIENT, WISH
from inference import ChatMessage, Overloaded
from tests.bot.conftest import Chorus
from tests.bot.talking import OnTelegram
from tests.fakes.engine import ScriptedEngine
from tests.fakes.telegram import FakeTelegram

SUMMARY = "They counted together."


def answering(summary: Callable[[], str]) -> Callable[[Sequence[ChatMessage]], str]:
    def answer(messages: Sequence[ChatMessage]) -> str:
        return summary() if messages[-1].content == WISH else f"You said: {messages[-1].content}"

    return answer


async def count_to(talk: OnTelegram, numbers: range) -> list[str]:
    """Say so many long messages; the bot's answers."""
    answers = []
    for number in numbers:
        question = await talk.says(f"{number} " + "and so on " * 20)
        answers.append((await talk.answer(question, lambda text: text.startswith("You said: "))).text)
    return answers


async def test_older_turns_are_read_as_a_summary_and_stay_stored(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    chorus.engine = ScriptedEngine(answering(lambda: f"<think>Well.</think>{SUMMARY}"), context_length=800)
    talk = OnTelegram(telegram)
    async with chorus.serving(telegram, model={"max_tokens": 50}):
        first = await count_to(talk, range(5))
        await chorus.until_stored(SummaryRow.text == SUMMARY)
        later = await count_to(talk, range(5, 8))
    wished = next(request for request in chorus.engine.requests if request.client == CLIENT)
    before = chorus.engine.requests[chorus.engine.requests.index(wished) - 1]
    assert wished.messages is not None
    assert before.messages is not None
    assert wished.messages[: len(before.messages)] == before.messages, "all of it is in the cache already"
    assert wished.priority < before.priority
    answered = [request for request in chorus.engine.requests if request.client != CLIENT]
    assert answered[-1].messages is not None
    assert answered[-1].messages[0].content.endswith(SUMMARY)
    assert len(answered[-1].messages) < len(before.messages)
    assert await chorus.count(Message.role == "user") == 8, "nothing is lost"
    assert sum(texts.SUMMARISED in answer for answer in first + later) == 1, "it is told once"


async def test_without_a_summary_the_oldest_is_dropped(chorus: Chorus, telegram: FakeTelegram) -> None:
    def overloaded() -> str:
        raise Overloaded(10, 1.0)

    chorus.engine = ScriptedEngine(answering(overloaded), context_length=800)
    talk = OnTelegram(telegram)
    async with chorus.serving(telegram, model={"max_tokens": 50}):
        answers = await count_to(talk, range(9))
    assert sum(texts.DROPPED in answer for answer in answers) == 1
    assert await chorus.count(SummaryRow.message_id > 0) == 0


async def test_where_it_is_switched_off_nothing_is_summarised(chorus: Chorus, telegram: FakeTelegram) -> None:
    async with chorus.database() as database, database.write() as session:
        await settings.put(session, "telegram", "platform", "", "summarise", "off")
    chorus.engine = ScriptedEngine(answering(lambda: SUMMARY), context_length=800)
    async with chorus.serving(telegram, model={"max_tokens": 50}):
        await count_to(OnTelegram(telegram), range(6))
    assert all(request.client != CLIENT for request in chorus.engine.requests)


async def test_a_summary_under_way_ends_with_the_bot(chorus: Chorus, telegram: FakeTelegram) -> None:
    chorus.engine = ScriptedEngine(answering(lambda: SUMMARY), context_length=800)
    talk = OnTelegram(telegram)
    async with chorus.serving(telegram, model={"max_tokens": 50}):
        await count_to(talk, range(5))
        chorus.engine.hold()
        await talk.says("5 " + "and so on " * 20)
        await talk.says("6 " + "and so on " * 20)
        await talk.until(lambda: talk.chat.drafts)
    assert not chorus.engine._running, "what was generated was cancelled"
