"""People talk to Chorus on Telegram."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from bot import texts
from bot.generation import PATIENCE
from bot.store import history
from bot.store.history import Said
from bot.store.models import InboxRow, InboxState, Message, OutboxRow, OutboxState, Placeholder
from inference import EngineUnavailable, Overloaded
from tests.bot.conftest import Chorus
from tests.fakes.engine import ScriptedEngine
from tests.fakes.telegram import FakeTelegram


async def test_a_question_is_answered_and_streamed_as_a_draft(chorus: Chorus, telegram: FakeTelegram) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    chorus.engine.hold()
    async with chorus.serving(telegram):
        question = await dm.says(alice, "Good morning")
        await telegram.until(lambda: dm.drafts)
        assert dm.drafts[0] == "You"
        chorus.engine.release()
        answer = await dm.answer(to=question)
        assert answer.text == "You said: Good morning"
        assert dm.visible == [question, answer]


async def test_the_system_prompt_tells_the_bots_name(chorus: Chorus, telegram: FakeTelegram) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    async with chorus.serving(telegram, persona={"name": "Polly"}):
        await dm.answer(to=await dm.says(alice, "Hello"))
    assert chorus.engine.prompts[0][0] == "system: You are Polly, a friendly assistant. Answer briefly."


async def test_a_conversation_goes_on_after_a_restart(chorus: Chorus, telegram: FakeTelegram) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    async with chorus.serving(telegram):
        await dm.answer(to=await dm.says(alice, "One"))
    async with chorus.serving(telegram):
        await dm.answer(to=await dm.says(alice, "Two"))
    assert chorus.engine.prompts[-1][1:] == ["user: One", "assistant: You said: One", "user: Two"]


async def test_a_reply_to_an_earlier_message_branches_from_there(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    async with chorus.serving(telegram):
        first = await dm.answer(to=await dm.says(alice, "One"))
        await dm.answer(to=await dm.says(alice, "Two"))
        await dm.answer(to=await dm.says(alice, "Other two", reply_to=first))
        await dm.answer(to=await dm.says(alice, "Three"))
    branch = ["user: One", "assistant: You said: One", "user: Other two"]
    assert chorus.engine.prompts[2][1:] == branch
    assert chorus.engine.prompts[3][1:] == [*branch, "assistant: You said: Other two", "user: Three"]


async def test_a_reply_to_somebody_elses_message_takes_that_along(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice, bob = telegram.person("Alice"), telegram.person("Bob")
    group = telegram.group("Friends")
    async with chorus.serving(telegram):
        said = await group.says(bob, "The moon is made of cheese.")
        await group.answer(to=await group.says(alice, "@chorus_bot Is that so?", reply_to=said))
    assert chorus.engine.prompts[0][1:] == [
        "user: Bob: The moon is made of cheese.\n\nAlice: Is that so?"
    ] or (
        chorus.engine.prompts[0][1:] == ["user: Bob: The moon is made of cheese.", "user: Alice: Is that so?"]
    )


async def test_in_a_group_only_what_is_said_to_the_bot_is_answered_or_kept(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    telegram.privacy = False
    alice, bob = telegram.person("Alice"), telegram.person("Bob")
    group = telegram.group("Friends")
    async with chorus.serving(telegram):
        await group.says(bob, "A word among friends")
        question = await group.says(alice, "@chorus_bot Hello")
        answer = await group.answer(to=question, until=lambda message: message.text == "You said: Hello")
        assert answer.reply_to == question
    assert await chorus.count(InboxRow.id > 0) == 1
    assert await chorus.count(Message.id > 0) == 2


async def test_several_people_are_told_apart_by_name(chorus: Chorus, telegram: FakeTelegram) -> None:
    alice, bob = telegram.person("Alice"), telegram.person("Bob")
    group = telegram.group("Friends")
    async with chorus.serving(telegram):
        first = await group.answer(to=await group.says(alice, "@chorus_bot Hello"))
        await telegram.until(lambda: first.text == "You said: Hello")
        await group.answer(to=await group.says(bob, "Hello too", reply_to=first))
    assert chorus.engine.prompts[0][1:] == ["user: Hello"]
    assert chorus.engine.prompts[1][1:] == [
        "user: Alice: Hello",
        "assistant: You said: Hello",
        "user: Bob: Hello too",
    ]


async def test_each_topic_is_a_conversation_of_its_own(chorus: Chorus, telegram: FakeTelegram) -> None:
    alice = telegram.person("Alice")
    forum = telegram.group("Forum", forum=True)
    cats, dogs = forum.topic("Cats"), forum.topic("Dogs")
    async with chorus.serving(telegram):
        await cats.answer(to=await cats.says(alice, "@chorus_bot Meow"))
        await dogs.answer(to=await dogs.says(alice, "@chorus_bot Woof"))
    assert chorus.engine.prompts[1][1:] == ["user: Woof"]


async def test_commands(chorus: Chorus, telegram: FakeTelegram) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    async with chorus.serving(telegram):
        welcome = await dm.answer(to=await dm.says(alice, "/start"))
        assert "I am Chorus" in welcome.text
        await dm.answer(to=await dm.says(alice, "One"))

        done = await dm.answer(to=await dm.says(alice, "/reset"))
        assert done.text == texts.RESET
        await dm.answer(to=await dm.says(alice, "Two"))
        assert chorus.engine.prompts[-1][1:] == ["user: Two"]

        chosen = await dm.answer(to=await dm.says(alice, "/persona witty"))
        assert "witty" in chosen.text
        await dm.answer(to=await dm.says(alice, "/ask Three"))
        assert chorus.engine.prompts[-1][0] == "system: You are Chorus, a witty assistant. Answer briefly."
        assert chorus.engine.prompts[-1][-1] == "user: Three"

        listed = await dm.answer(to=await dm.says(alice, "/persona"))
        assert "witty now" in listed.text
        assert "calm" in listed.text
        wrong = await dm.answer(to=await dm.says(alice, "/persona grumpy"))
        assert "no persona called grumpy" in wrong.text
        empty = await dm.answer(to=await dm.says(alice, "/ask"))
        assert empty.text == texts.NO_QUESTION
        unknown = await dm.answer(to=await dm.says(alice, "/dance"))
        assert unknown.text == texts.unknown_command("dance")
        idle = await dm.answer(to=await dm.says(alice, "/stop"))
        assert idle.text == texts.NOTHING_TO_STOP


async def test_stop_ends_the_answer_and_keeps_what_is_written(chorus: Chorus, telegram: FakeTelegram) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    chorus.engine.hold()
    async with chorus.serving(telegram):
        question = await dm.says(alice, "Tell me everything")
        await telegram.until(lambda: dm.drafts)
        await dm.says(alice, "/stop")
        await telegram.until(lambda: [message.text for message in dm.visible[2:]] == ["You", texts.STOPPED])
    assert dm.visible[0] == question


async def test_questions_of_a_chat_are_answered_in_order_and_of_others_meanwhile(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice, bob = telegram.person("Alice"), telegram.person("Bob")
    hers, his = telegram.direct(alice), telegram.direct(bob)
    chorus.engine.hold()
    async with chorus.serving(telegram):
        await hers.says(alice, "One")
        await telegram.until(lambda: hers.drafts)
        await hers.says(alice, "Two")
        await his.says(bob, "Three")
        await telegram.until(lambda: his.drafts)
        assert [prompt[-1] for prompt in chorus.engine.prompts] == ["user: One", "user: Three"]
        chorus.engine.release()
        answers = ["You said: One", "You said: Two"]
        await telegram.until(lambda: [message.text for message in hers.visible[2:]] == answers)
        await telegram.until(lambda: his.visible[-1].text == "You said: Three")


@pytest.mark.parametrize(
    ("error", "tries", "sentence"),
    [(EngineUnavailable("gone"), 2, "not available"), (RuntimeError("a bug"), 3, "tried several times")],
)
async def test_what_fails_again_and_again_is_one_friendly_sentence_and_a_log_line(
    error: Exception,
    tries: int,
    sentence: str,
    chorus: Chorus,
    telegram: FakeTelegram,
    caplog: pytest.LogCaptureFixture,
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    chorus.engine.failures.extend([error] * tries)
    async with chorus.serving(telegram):
        answer = await dm.answer(to=await dm.says(alice, "Hello"))
        assert sentence in answer.text
        assert str(error) not in answer.text
        after = await dm.answer(to=await dm.says(alice, "And now?"))
        assert after.text == "You said: And now?"
    logged = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert any(str(error) in logging.Formatter().format(record) for record in logged)
    assert await chorus.count(InboxRow.state == InboxState.ASIDE) == 1


async def test_who_waits_for_a_busy_model_is_told_the_place_and_then_answered(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    chorus.engine.failures.append(Overloaded(40, 0.5))
    async with chorus.serving(telegram):
        question = await dm.says(alice, "Hello")
        await telegram.until(lambda: dm.drafts)
        assert "you are number 41 in the queue" in dm.drafts[0]
        answer = await dm.answer(to=question)
        assert answer.text == "You said: Hello"


async def test_a_model_that_stays_busy_is_said_in_the_end(chorus: Chorus, telegram: FakeTelegram) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    chorus.engine.failures.extend([Overloaded(40, 0.01)] * PATIENCE + [Overloaded(40, 12.4)])
    async with chorus.serving(telegram):
        answer = await dm.answer(to=await dm.says(alice, "Hello"))
        assert "about 13 seconds" in answer.text


async def test_a_message_longer_than_the_context_is_refused_with_numbers(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    chorus.engine = ScriptedEngine(context_length=100)
    async with chorus.serving(telegram, model={"max_tokens": 10}):
        answer = await dm.answer(to=await dm.says(alice, "word " * 150))
    assert re.search(r"it has \d+ tokens, and I can read 99 at once", answer.text)


async def test_what_no_longer_fits_is_dropped_and_told_once(chorus: Chorus, telegram: FakeTelegram) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    chorus.engine = ScriptedEngine(context_length=100)
    answers = []
    async with chorus.serving(telegram, model={"max_tokens": 10}):
        for number in range(12):
            question = await dm.says(alice, f"Message number {number} of this long conversation")
            answers.append(await dm.answer(to=question))
    assert sum(texts.DROPPED in answer.text for answer in answers) == 1
    newest = chorus.engine.prompts[-1]
    assert newest[0].startswith("system: ")
    assert newest[1].startswith("user: "), "a prompt does not begin with an answer"
    assert newest[-1] == "user: Message number 11 of this long conversation"
    assert not any("number 0 " in line for line in newest)


async def test_an_answer_that_a_crash_cut_off_is_given_once_after_the_restart(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    group = telegram.group("Friends")
    chorus.engine.hold()
    async with chorus.serving(telegram):
        question = await group.says(alice, "@chorus_bot Hello")
        begun = await group.answer(to=question, until=lambda message: True)
        assert begun.text == "You …"
        await chorus.until_stored(Placeholder.platform_message == str(begun.id))
    chorus.engine = ScriptedEngine()
    async with chorus.serving(telegram):
        answer = await group.answer(to=question, until=lambda message: message.text == "You said: Hello")
        assert answer is begun, "the message that stood there became the answer"
        await chorus.until_stored(OutboxRow.state == OutboxState.SENT)
    assert len(group.visible) == 2
    assert await chorus.count(Message.id > 0) == 2
    assert await chorus.count(InboxRow.state == InboxState.DONE) == 1
    assert await chorus.count(OutboxRow.id > 0) == 1


async def test_an_update_that_is_delivered_again_is_not_answered_again(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    async with chorus.serving(telegram):
        question = await dm.says(alice, "Hello")
        update = telegram.updates.pending[-1]
        await dm.answer(to=question)
        await chorus.until_stored(OutboxRow.state == OutboxState.SENT)
    telegram.updates.pending.append(update)  # as if the bot had died before it confirmed
    async with chorus.serving(telegram):
        await dm.answer(to=await dm.says(alice, "Next"))
    assert [message.text for message in dm.visible[1:]] == ["You said: Hello", "Next", "You said: Next"]


async def test_a_final_that_could_not_be_sent_is_sent_when_the_platform_is_back(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    telegram.fail_next("sendMessage", status=502, times=1)
    async with chorus.serving(telegram):
        answer = await dm.answer(to=await dm.says(alice, "Hello"))
    assert answer.text == "You said: Hello"
    assert len(telegram.calls("sendMessage")) == 2


async def test_a_chat_that_threw_the_bot_out_holds_nothing_up(
    chorus: Chorus, telegram: FakeTelegram, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = telegram.person("Alice"), telegram.person("Bob")
    hers, his = telegram.direct(alice), telegram.direct(bob)
    telegram.fail_next("sendMessage", status=403, description="Forbidden: bot was blocked by the user")
    async with chorus.serving(telegram):
        await hers.says(alice, "Hello")
        await telegram.until(lambda: telegram.calls("sendMessage"))
        await his.answer(to=await his.says(bob, "Hello"))
        await hers.answer(to=await hers.says(alice, "Hello again"))
    assert "can't be delivered" in caplog.text
    assert await chorus.count(OutboxRow.state == OutboxState.FAILED) == 1


async def test_a_long_answer_comes_in_parts_with_nothing_missing(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    words = [f"word{number}" for number in range(1500)]
    chorus.engine = ScriptedEngine(lambda _: " ".join(words))
    async with chorus.serving(telegram):
        question = await dm.says(alice, "Everything, please")
        await telegram.until(lambda: dm.visible[-1].text.endswith(words[-1]))
    parts = [message for message in dm.visible if message is not question]
    assert len(parts) > 2
    assert " ".join(part.text for part in parts).split() == words
    assert parts[1].reply_to is None


async def test_a_database_that_fails_for_a_moment_keeps_nobody_else_waiting(
    chorus: Chorus, telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = telegram.person("Alice"), telegram.person("Bob")
    hers, his = telegram.direct(alice), telegram.direct(bob)
    working = history.branch
    failures = [True]

    async def failing(session: AsyncSession, tip: int) -> Sequence[Said]:
        if failures:
            failures.pop()
            raise OperationalError("SELECT", {}, Exception("disk I/O error"))
        return await working(session, tip)

    monkeypatch.setattr(history, "branch", failing)
    async with chorus.serving(telegram):
        question = await hers.says(alice, "Hello")
        await telegram.until(lambda: not failures)
        await his.answer(to=await his.says(bob, "Hello"))
        answer = await hers.answer(to=question)
        assert answer.text == "You said: Hello"
        after = await hers.answer(to=await hers.says(alice, "Again"))
        assert after.text == "You said: Again"
    assert "disk I/O error" in caplog.text
