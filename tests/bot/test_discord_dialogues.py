"""People talk to Chorus on Discord."""

from __future__ import annotations

from bot import texts
from tests.bot.conftest import Chorus
from tests.fakes.discord import FakeDiscord
from tests.fakes.engine import ScriptedEngine


async def test_a_direct_message_is_answered_and_the_answer_grows_by_edits(
    chorus: Chorus, discord: FakeDiscord
) -> None:
    alice = discord.person("Alice")
    dm = discord.direct(alice)
    chorus.engine.hold()
    async with chorus.serving(discord):
        question = await dm.says(alice, "Good morning")
        answer = await dm.answer(to=question)
        assert answer.text == "You"
        chorus.engine.release()
        await discord.until(lambda: answer.text == "You said: Good morning")
        assert dm.visible == [question, answer]
        assert dm.typing, "the bot was typing while it thought"


async def test_in_a_server_a_mention_and_a_reply_are_answered_and_the_rest_is_not(
    chorus: Chorus, discord: FakeDiscord
) -> None:
    alice, bob = discord.person("Alice"), discord.person("Bob")
    channel = discord.server("Home").channel("general")
    async with chorus.serving(discord):
        await channel.says(bob, "Hello everyone")
        question = await channel.says(alice, f"{discord.bot.mention} One")
        answer = await channel.answer(to=question, finished=lambda message: message.text == "You said: One")
        assert answer.reply_to is question
        follow = await channel.says(bob, "Two", reply_to=answer)
        await channel.answer(to=follow, finished=lambda message: message.text.endswith("Two"))
    assert chorus.engine.prompts[1][1:] == ["user: Alice: One", "assistant: You said: One", "user: Bob: Two"]


async def test_slash_commands(chorus: Chorus, discord: FakeDiscord) -> None:
    alice = discord.person("Alice")
    channel = discord.server("Home").channel("general")
    async with chorus.serving(discord):
        await discord.until(lambda: discord.commands)
        assert {command["name"] for command in discord.commands} >= {"ask", "help", "reset"}

        asked = await channel.command(alice, "ask", question="What is new?")
        answer = await asked.answer(lambda message: message.text == "You said: What is new?")
        assert not answer.ephemeral, "an answer is for everybody"

        reset = await channel.command(alice, "reset")
        done = await reset.answer()
        assert done.text == texts.RESET
        assert done.ephemeral, "a command's result is for who used it"

        await (await channel.command(alice, "ask", question="And now?")).answer(
            lambda message: message.text.endswith("now?")
        )
        assert chorus.engine.prompts[-1][1:] == ["user: And now?"]

        helped = await (await channel.command(alice, "help")).answer()
        assert "/persona" in helped.text


async def test_an_interaction_that_expired_is_answered_by_a_normal_message(
    chorus: Chorus, discord: FakeDiscord
) -> None:
    alice = discord.person("Alice")
    channel = discord.server("Home").channel("general")
    chorus.engine.hold()
    async with chorus.serving(discord):
        asked = await channel.command(alice, "ask", question="A hard one")
        await asked.acknowledged()
        asked.expire()
        chorus.engine.release()
        await discord.until(lambda: "You said: A hard one" in channel.texts)


async def test_a_long_answer_goes_on_in_further_messages_while_it_streams(
    chorus: Chorus, discord: FakeDiscord
) -> None:
    alice = discord.person("Alice")
    dm = discord.direct(alice)
    words = [f"word{number}" for number in range(700)]
    chorus.engine = ScriptedEngine(lambda _: " ".join(words))
    async with chorus.serving(discord):
        question = await dm.says(alice, "Everything, please")
        await discord.until(lambda: dm.texts[-1].endswith(words[-1]))
    parts = dm.answers(to=question)
    assert " ".join(part.text for part in parts).split() == words
    assert all(len(part.text) <= 2000 for part in parts)


async def test_a_crash_between_preview_and_answer_leaves_one_message(
    chorus: Chorus, discord: FakeDiscord
) -> None:
    alice = discord.person("Alice")
    dm = discord.direct(alice)
    chorus.engine.hold()
    async with chorus.serving(discord):
        question = await dm.says(alice, "Hello")
        begun = await dm.answer(to=question)
    chorus.engine = ScriptedEngine()
    async with chorus.serving(discord):
        await discord.until(lambda: begun.text == "You said: Hello")
    assert dm.visible == [question, begun]
