"""People ask again, go on, change what they asked, and choose how the bot is: on both platforms."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence

import pytest

from bot import texts
from bot.store import settings
from bot.store.models import Feedback, Message
from inference import ChatMessage
from tests.bot.conftest import Chorus
from tests.bot.talking import OnDiscord, OnTelegram, Talk
from tests.fakes.discord import FakeDiscord
from tests.fakes.engine import ScriptedEngine
from tests.fakes.telegram import FakeTelegram


@pytest.fixture(params=["telegram", "discord"])
async def talk(request: pytest.FixtureRequest) -> AsyncIterator[Talk]:
    if request.param == "telegram":
        async with FakeTelegram() as telegram:
            yield OnTelegram(telegram)
    else:
        async with FakeDiscord() as discord:
            yield OnDiscord(discord)


class Counting(ScriptedEngine):
    """Numbers its answers, so that each is another."""

    def __init__(self) -> None:
        super().__init__(lambda messages: f"{messages[-1].content}, answer {len(self.requests)}")


async def test_retry_gives_another_answer_to_the_same_question(chorus: Chorus, talk: Talk) -> None:
    chorus.engine = Counting()
    async with chorus.serving(talk.server, model={"seed": 7, "temperature": 0}):
        await talk.answer(await talk.says("Hello"), lambda text: text == "Hello, answer 1")
        await talk.uses("retry", lambda text: text == "Hello, answer 2")
        await talk.uses("retry", lambda text: text == "Hello, answer 3")
        await talk.answer(await talk.says("Go on"), lambda text: text == "Go on, answer 4")
    prompts = [prompt[1:] for prompt in chorus.engine.prompts]
    assert prompts[0] == prompts[1] == prompts[2] == ["user: Hello"]
    assert prompts[3] == ["user: Hello", "assistant: Hello, answer 3", "user: Go on"]
    sampling = [request.sampling for request in chorus.engine.requests[:3]]
    assert len({one.seed for one in sampling}) == 3, "never the same seed"
    assert sampling[0].temperature == 0
    assert sampling[1].temperature, "the likeliest answer would be the same again"


async def test_without_an_answer_there_is_nothing_to_retry_or_continue(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server):
        assert talk.text_of(await talk.uses("retry")) == texts.NOTHING_TO_RETRY
        assert talk.text_of(await talk.uses("continue")) == texts.NOTHING_TO_CONTINUE
        await talk.answer(await talk.says("Hello"), lambda text: text == "You said: Hello")
        assert talk.text_of(await talk.uses("continue")) == texts.COMPLETE


async def test_continue_goes_on_from_the_very_words_that_were_written(chorus: Chorus, talk: Talk) -> None:
    def answer(messages: Sequence[ChatMessage]) -> str:
        return " and away." if messages[-1].role == "assistant" else "Far and far away."

    chorus.engine = ScriptedEngine(answer)
    chorus.engine.hold()
    async with chorus.serving(talk.server):
        question = await talk.says("Tell me")
        await talk.until(lambda: chorus.engine.requests)
        await chorus.until_stored(Message.role == "user")
        await talk.until(lambda: len(talk.visible()) > 1 or talk.platform == "telegram")
        await talk.uses("stop", lambda text: text == texts.STOPPED)
        await talk.answer(question, lambda text: text == "Far")
        chorus.engine.release()
        await talk.uses("continue", lambda text: text == "and away.")
        await talk.answer(await talk.says("Thanks"), lambda text: text == "Far and far away.")
    assert chorus.engine.prompts[1][1:] == ["user: Tell me", "assistant: Far"]
    assert chorus.engine.prompts[2][1:] == ["user: Tell me", "assistant: Far and away.", "user: Thanks"]


async def test_a_changed_question_gets_its_new_answer_where_the_old_one_stood(
    chorus: Chorus, talk: Talk
) -> None:
    async with chorus.serving(talk.server):
        question = await talk.says("One")
        answer = await talk.answer(question, lambda text: text == "You said: One")
        await talk.changes(question, "Two")
        await talk.until(lambda: talk.text_of(answer) == "You said: Two")
        assert talk.visible() == ["Two", "You said: Two"]
        await talk.answer(await talk.says("Three"), lambda text: text == "You said: Three")
    assert chorus.engine.prompts[-1][1:] == ["user: Two", "assistant: You said: Two", "user: Three"]
    assert await chorus.count(Message.text == "One") == 1, "what was said before stays as a branch"


async def test_an_earlier_question_that_changes_is_answered_anew_and_branches(
    chorus: Chorus, talk: Talk
) -> None:
    async with chorus.serving(talk.server):
        first = await talk.says("One")
        await talk.answer(first, lambda text: text == "You said: One")
        await talk.answer(await talk.says("Two"), lambda text: text == "You said: Two")
        await talk.changes(first, "Other one")
        await talk.until(lambda: talk.visible()[-1] == "You said: Other one")
        await talk.answer(await talk.says("Three"), lambda text: text == "You said: Three")
    assert talk.visible()[1] == "You said: One", "the old answer stands where it stood"
    assert chorus.engine.prompts[-1][1:] == [
        "user: Other one",
        "assistant: You said: Other one",
        "user: Three",
    ]


async def test_a_change_that_changes_nothing_is_passed_over(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server):
        question = await talk.says("One")
        await talk.answer(question, lambda text: text == "You said: One")
        await talk.changes(question, "One")
        await talk.answer(await talk.says("Two"), lambda text: text == "You said: Two")
    assert len(chorus.engine.requests) == 2


async def test_the_stop_button_ends_the_answer_under_it(chorus: Chorus) -> None:
    async with FakeDiscord() as discord:
        talk = OnDiscord(discord)
        chorus.engine.hold()
        async with chorus.serving(discord):
            question = await talk.says("Tell me everything")
            begun = await talk.answer(question, lambda text: text == "You")
            await talk.until(lambda: talk.labels_of(begun) == ["Stop"])
            await talk.presses(begun, "Stop")
            await talk.until(lambda: not talk.labels_of(begun))
            await talk.until(lambda: talk.visible() == ["Tell me everything", "You"])
            chorus.engine.release()
            await talk.answer(await talk.says("More"), lambda text: text == "You said: More")


async def test_an_old_stop_button_stops_nothing_else(chorus: Chorus) -> None:
    async with FakeTelegram() as telegram:
        group = telegram.group("Friends")
        talk = OnTelegram(telegram, group)
        async with chorus.serving(telegram):
            answer = await talk.answer(
                await talk.says("@chorus_bot Hello"), lambda text: text.endswith("Hello")
            )
            chorus.engine.hold()
            await talk.says("@chorus_bot More")
            await talk.until(lambda: len(group.visible) == 4)
            begun = group.visible[-1]
            answer.pressed(talk.person, "stop:0123456789abcdef")
            chorus.engine.release()
            await talk.until(lambda: begun.text == "You said: More")


async def test_a_persona_is_chosen_for_oneself(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server):
        assert "witty - likes a joke" in talk.text_of(await talk.uses("persona")).replace("• ", "")
        assert "From now on I am witty" in talk.text_of(await talk.uses("persona", name="Witty"))
        await talk.answer(await talk.says("Hello"), lambda text: text == "You said: Hello")
        assert chorus.engine.prompts[-1][0] == "system: You are Chorus, a witty assistant. Answer briefly."
        assert "witty now" in talk.text_of(await talk.uses("persona"))
        assert "no persona called grumpy" in talk.text_of(await talk.uses("persona", name="grumpy"))
        chosen = await talk.presses(
            await talk.uses("persona"), "calm", lambda text: text.startswith("From now on I am calm")
        )
        assert talk.labels_of(chosen) == []
        await talk.answer(await talk.says("Bye"), lambda text: text == "You said: Bye")
        assert chorus.engine.prompts[-1][0] == "system: You are Chorus, a calm assistant. Answer briefly."


async def test_the_language_of_the_bots_own_texts(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server):
        assert "language of your app" in talk.text_of(await talk.uses("language"))
        await talk.uses("language", name="de")
        assert "Deutsch" in talk.text_of(await talk.uses("language"))
        await talk.uses("language", name="auto")
        assert "language of your app" in talk.text_of(await talk.uses("language"))


async def test_a_model_is_chosen_among_those_that_there_are(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server):
        assert "scripted answers you" in talk.text_of(await talk.uses("model"))
        assert "can't use a model called gpt here" in talk.text_of(await talk.uses("model", name="gpt"))
        assert "From now on scripted answers you" in talk.text_of(await talk.uses("model", name="scripted"))


async def test_the_conversation_as_a_file(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server):
        assert "nothing in this conversation" in talk.text_of(await talk.uses("history"))
        await talk.answer(await talk.says("Hello"), lambda text: text == "You said: Hello")
        name, content = talk.file_of(await talk.uses("history", lambda text: "2 messages" in text))
        assert name == "conversation.md"
        assert b"## Alice, " in content
        assert content.endswith(b"You said: Hello")
        name, content = talk.file_of(
            await talk.uses("history", lambda text: "2 messages" in text, format="json")
        )
        assert name == "conversation.json"
        assert [(one["role"], one["author"], one["text"]) for one in json.loads(content)] == [
            ("user", "Alice", "Hello"),
            ("assistant", None, "You said: Hello"),
        ]


async def test_feedback_is_one_word_a_person_and_can_change(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server):
        plain = await talk.answer(await talk.says("One"), lambda text: text == "You said: One")
        assert talk.labels_of(plain) == []
        async with chorus.database() as database, database.write() as session:
            await settings.put(session, talk.platform, "platform", "", "feedback", "on")
    async with chorus.serving(talk.server):
        answer = await talk.answer(await talk.says("Two"), lambda text: text == "You said: Two")
        await talk.until(lambda: talk.labels_of(answer) == ["👍", "👎"])
        await talk.presses(answer, "👍")
        await chorus.until_stored(Feedback.good.is_(True))
        await talk.presses(answer, "👎")
        await chorus.until_stored(Feedback.good.is_(False))
    assert await chorus.count(Feedback.message_id > 0) == 1


async def test_on_telegram_an_own_prompt_is_typed(chorus: Chorus) -> None:
    async with FakeTelegram() as telegram:
        talk = OnTelegram(telegram)
        async with chorus.serving(telegram):
            await talk.uses("system", prompt="You are a pirate.\nSay arr.")
            await talk.answer(await talk.says("Hello"), lambda text: text == "You said: Hello")
            assert chorus.engine.prompts[-1][0] == "system: You are a pirate.\nSay arr."
            assert "no prompt of yours any more" in talk.text_of(await talk.uses("system"))
            await talk.answer(await talk.says("Hello again"), lambda text: text == "You said: Hello again")
            assert "friendly" in chorus.engine.prompts[-1][0]


async def test_on_discord_an_own_prompt_is_a_form(chorus: Chorus) -> None:
    async with FakeDiscord() as discord:
        talk = OnDiscord(discord)
        async with chorus.serving(discord):
            form = await (await talk.chat.command(talk.person, "system")).opened()
            sent = await talk.chat.fill_in(talk.person, form, prompt="You are a pirate.")
            assert "I follow your prompt" in (await sent.answer()).text
            await talk.answer(await talk.says("Hello"), lambda text: text == "You said: Hello")
            assert chorus.engine.prompts[-1][0] == "system: You are a pirate."


async def test_thinking_is_hidden_stored_apart_and_never_given_back(chorus: Chorus, talk: Talk) -> None:
    chorus.engine = ScriptedEngine(
        lambda messages: f"<think>Hm, {messages[-1].content}?</think>\n\nHello you."
    )
    async with chorus.serving(talk.server):
        await talk.answer(await talk.says("One"), lambda text: text == "Hello you.")
        await talk.answer(await talk.says("Two"), lambda text: text == "Hello you.")
    assert chorus.engine.prompts[1][1:] == ["user: One", "assistant: Hello you.", "user: Two"]
    assert await chorus.count(Message.thinking == "Hm, One?") == 1


async def test_thinking_is_shown_as_a_spoiler_where_that_is_set(chorus: Chorus) -> None:
    chorus.engine = ScriptedEngine(lambda _: "<think>Hm.</think>\n\nHello you.")
    async with chorus.database() as database, database.write() as session:
        for platform in ("telegram", "discord"):
            await settings.put(session, platform, "platform", "", "show_thinking", "on")
    async with FakeTelegram() as telegram, FakeDiscord() as discord:
        there, here = OnTelegram(telegram), OnDiscord(discord)
        async with chorus.serving(telegram, discord):
            answer = await there.answer(await there.says("Hi"), lambda text: text.endswith("Hello you."))
            assert answer.text == "Hm.\n\nHello you."
            assert [entity["type"] for entity in answer.entities] == ["spoiler"]
            answer = await here.answer(await here.says("Hi"), lambda text: text.endswith("Hello you."))
            assert answer.text == "||Hm.||\n\nHello you."


async def test_where_files_are_switched_off_they_are_not_read(chorus: Chorus, talk: Talk) -> None:
    async with chorus.database() as database, database.write() as session:
        await settings.put(session, talk.platform, "platform", "", "attachments", "off")
    async with chorus.serving(talk.server):
        answer = await talk.answer(await talk.says("", file=("notes.txt", b"Buy milk")))
        assert talk.text_of(answer) == texts.FILES_OFF
    assert not chorus.engine.requests


async def test_a_file_is_read_and_a_picture_is_told_to_be_unseen(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server):
        question = await talk.says("What is this?", file=("notes.txt", b"Buy milk"))
        await talk.answer(question, lambda text: text.startswith("You said: What is this?"))
        assert chorus.engine.prompts[0][1] == "user: What is this?\n\n[notes.txt]\n```\nBuy milk\n```"
        await talk.changes(question, "Is that all?")
        await talk.until(lambda: chorus.engine.requests[1:])
        assert chorus.engine.prompts[1][1] == "user: Is that all?\n\n[notes.txt]\n```\nBuy milk\n```"


async def test_a_model_that_sees_no_pictures_says_so(chorus: Chorus) -> None:
    async with FakeTelegram() as telegram:
        talk = OnTelegram(telegram)
        async with chorus.serving(telegram):
            alone = await talk.answer(await talk.says("", picture=True))
            assert alone.text == "I can't see pictures: my language model reads text only."
            both = await talk.answer(await talk.says("Who is that?", picture=True))
            assert both.text.startswith("You said: Who is that?")
            assert both.text.endswith("I can't see pictures: my language model reads text only.")
    assert chorus.engine.prompts == [chorus.engine.prompts[0]]
