"""A platform fails in every way it can; each message is answered once all the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import discord as library
import pytest
from sqlalchemy import select

from bot.store.models import InboxRow, InboxState, OutboxRow, OutboxState
from tests.bot.conftest import Chorus
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram import FakeTelegram

POST = "POST /channels/{channel_id}/messages"
EDIT = "PATCH /channels/{channel_id}/messages/{message_id}"


async def test_telegram_down_for_minutes(chorus: Chorus, telegram: FakeTelegram) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    chorus.engine.hold()
    async with chorus.serving(telegram):
        question = await dm.says(alice, "Are you there?")
        await telegram.until(lambda: dm.drafts)
        for method in ("sendMessage", "sendMessageDraft", "getUpdates"):
            telegram.fail_next(method, drop="before", times=12)
        chorus.engine.release()
        answer = await dm.answer(to=question)
        assert answer.text == "You said: Are you there?"
        assert len(telegram.calls("sendMessage")) == 13
        after = await dm.answer(to=await dm.says(alice, "And now?"))
        assert after.text == "You said: And now?"


async def test_discord_down_for_minutes(chorus: Chorus, discord: FakeDiscord) -> None:
    alice = discord.person("Alice")
    dm = discord.direct(alice)
    async with chorus.serving(discord):
        await dm.answer(to=await dm.says(alice, "Hello"), finished=lambda one: one.text == "You said: Hello")
        discord.fail_next(POST, status=503, body={"code": 0, "message": "down"}, times=8)
        question = await dm.says(alice, "Are you there?")
        await dm.answer(to=question, finished=lambda one: one.text.endswith("there?"), timeout=60)
        assert len(dm.answers(to=question)) == 1


async def test_a_connection_reset_in_mid_request(
    chorus: Chorus, telegram: FakeTelegram, discord: FakeDiscord
) -> None:
    alice, bob = telegram.person("Alice"), discord.person("Bob")
    hers, his = telegram.direct(alice), discord.direct(bob)
    telegram.fail_next("sendMessage", drop="before")
    telegram.fail_next("editMessageText", drop="before")
    discord.fail_next(POST, drop="before")
    async with chorus.serving(telegram, discord):
        answer = await hers.answer(to=await hers.says(alice, "Hello"))
        assert answer.text == "You said: Hello"
        question = await his.says(bob, "Hello")
        await his.answer(to=question, finished=lambda one: one.text == "You said: Hello")
    assert len(hers.visible) == 2
    assert len(his.visible) == 2


async def test_an_answer_lost_after_discord_acted_is_not_sent_twice(
    chorus: Chorus, discord: FakeDiscord
) -> None:
    alice = discord.person("Alice")
    dm = discord.direct(alice)
    discord.fail_next(POST, drop="after", times=2)
    async with chorus.serving(discord):
        question = await dm.says(alice, "Hello")
        await dm.answer(to=question, finished=lambda one: one.text == "You said: Hello")
        await chorus.until_stored(OutboxRow.state == OutboxState.SENT)
    assert len(dm.visible) == 2
    assert len(discord.requested(POST)) >= 2


async def test_an_answer_lost_after_telegram_acted_leaves_an_opening_and_is_counted(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    telegram.fail_next("sendMessage", drop="after")
    async with chorus.serving(telegram):
        await dm.says(alice, "Hello you there")
        await telegram.until(lambda: dm.visible[-1].text == "You said: Hello you there")
        await chorus.until_stored(OutboxRow.state == OutboxState.SENT)
    whole = [message for message in dm.visible if message.text == "You said: Hello you there"]
    assert len(whole) == 1, "a whole answer stands there once"
    assert [message.text for message in dm.visible if message.text.endswith("…")] == ["You said: …"]
    assert await chorus.count(OutboxRow.doubtful == 1) == 1


async def test_an_edit_whose_answer_was_lost_is_made_again_unseen(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    telegram.fail_next("editMessageText", drop="after")
    async with chorus.serving(telegram):
        answer = await dm.answer(to=await dm.says(alice, "Hello"))
        assert answer.text == "You said: Hello"
        await chorus.until_stored(OutboxRow.state == OutboxState.SENT)
    assert len(dm.visible) == 2
    assert await chorus.count(OutboxRow.doubtful > 0) == 0


async def test_a_kill_while_a_message_is_being_sent_leaves_one_whole_answer(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    telegram.fail_next("sendMessage", hang=True)
    async with chorus.serving(telegram):
        await dm.says(alice, "Hello")
        await telegram.until(lambda: telegram.calls("sendMessage"))
        await chorus.until_stored(OutboxRow.state == OutboxState.SENDING)
    async with chorus.serving(telegram):
        await telegram.until(lambda: dm.visible[-1].text == "You said: Hello")
        await chorus.until_stored(OutboxRow.state == OutboxState.SENT)
    assert len(dm.visible) == 2
    assert await chorus.count(OutboxRow.doubtful == 1) == 1


async def test_a_long_pause_asked_for_one_chat_holds_no_other_up(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice, bob = telegram.person("Alice"), telegram.person("Bob")
    hers, his = telegram.direct(alice), telegram.direct(bob)
    telegram.fail_next("sendMessage", retry_after=900, chat=hers)
    chorus.sleep = asyncio.sleep  # 15 minutes are 15 minutes
    async with chorus.serving(telegram):
        await hers.says(alice, "Hello")
        await telegram.until(lambda: telegram.calls("sendMessage"))
        for text in ("One", "Two"):
            answer = await his.answer(to=await his.says(bob, text))
            assert answer.text == f"You said: {text}"
        assert len(hers.visible) == 1
    assert await chorus.count(OutboxRow.chat == str(hers.id), OutboxRow.state != OutboxState.SENT) == 1


async def test_a_long_pause_that_discord_asks_for_holds_no_other_channel_up(
    chorus: Chorus, discord: FakeDiscord
) -> None:
    alice, bob = discord.person("Alice"), discord.person("Bob")
    hers, his = discord.direct(alice), discord.direct(bob)
    discord.limit_next(POST, retry_after=900)
    chorus.sleep = asyncio.sleep  # 15 minutes are 15 minutes
    async with chorus.serving(discord):
        await hers.says(alice, "Hello")
        await discord.until(lambda: discord.requested(POST))
        for text in ("One", "Two"):
            question = await his.says(bob, text)
            await his.answer(to=question, finished=lambda one, text=text: one.text == f"You said: {text}")
        assert len(hers.visible) == 1
    assert await chorus.count(OutboxRow.chat == hers.id, OutboxRow.state != OutboxState.SENT) == 1


async def test_of_two_bots_with_one_token_the_first_says_so_once_and_leaves_telegram(
    chorus: Chorus,
    telegram: FakeTelegram,
    discord: FakeDiscord,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    alice, bob = telegram.person("Alice"), discord.person("Bob")
    hers, his = telegram.direct(alice), discord.direct(bob)
    (tmp_path / "other").mkdir()
    other = Chorus(tmp_path / "other")
    other.sleep = chorus.sleep

    def said() -> list[str]:
        return [one.getMessage() for one in caplog.records if "another process" in one.getMessage()]

    async with chorus.serving(telegram, discord):
        assert (await hers.answer(to=await hers.says(alice, "Hello"))).text == "You said: Hello"
        async with other.serving(telegram):
            async with asyncio.timeout(20):
                while not said():
                    await asyncio.sleep(0)
            answer = await hers.answer(to=await hers.says(alice, "Who is there?"))
            assert answer.text == "You said: Who is there?"
            question = await his.says(bob, "And here?")
            await his.answer(to=question, finished=lambda one: one.text == "You said: And here?")
        polls = len(telegram.calls("getUpdates"))
        await his.answer(to=await his.says(bob, "Bye"), finished=lambda one: one.text == "You said: Bye")
        assert len(telegram.calls("getUpdates")) == polls, "whoever has stopped polls no more"
    [only] = said()
    assert "stop it, or give this one a bot of its own" in only
    assert len(hers.visible) == 4


@pytest.mark.parametrize("befalls", ["drop", "ask_to_reconnect", "invalidate", "forget"])
async def test_a_gateway_that_drops_ends_or_forgets_a_session(
    befalls: str, chorus: Chorus, discord: FakeDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(*_: object, **__: object) -> None:
        """discord.py's own pause is 5 seconds."""

    monkeypatch.setattr(library.Client, "before_identify_hook", at_once)
    alice = discord.person("Alice")
    dm = discord.direct(alice)
    channel = discord.server("Home").channel("general")
    mention = discord.bot.mention
    async with chorus.serving(discord):
        await dm.answer(to=await dm.says(alice, "Hello"))
        await channel.answer(to=await channel.says(alice, f"{mention} Hello"))
        for number in range(3):
            question = await dm.says(alice, f"Before {number}")
            getattr(discord.gateway, befalls)()
            if befalls == "forget":
                discord.gateway.drop()
            meanwhile = await channel.says(alice, f"{mention} Meanwhile {number}")
            await dm.answer(
                to=question, finished=lambda one, number=number: one.text == f"You said: Before {number}"
            )
            await channel.answer(
                to=meanwhile, finished=lambda one, number=number: one.text.endswith(f"Meanwhile {number}")
            )
            await discord.until(lambda: discord.gateway.connected)
    assert (len(dm.visible), len(channel.visible)) == (8, 8)
    assert (discord.gateway.resumed > 0) == (befalls in ("drop", "ask_to_reconnect"))
    assert (len(discord.gateway.identified) > 1) == (befalls in ("invalidate", "forget"))


async def test_messages_of_the_time_without_a_connection_are_answered_in_order(
    chorus: Chorus, discord: FakeDiscord
) -> None:
    alice = discord.person("Alice")
    channel = discord.server("Home").channel("general")
    mention = discord.bot.mention
    async with chorus.serving(discord):
        first = await channel.says(alice, f"{mention} One")
        await channel.answer(to=first, finished=lambda one: one.text == "You said: One")
    await channel.says(alice, f"{mention} Two")
    await channel.says(alice, f"{mention} Three")
    async with chorus.serving(discord):
        await discord.until(lambda: any("Three" in one.text for one in channel.answers(to=first)))
    asked = [line for prompt in chorus.engine.prompts[1:] for line in prompt if line.startswith("user: ")]
    assert asked[-2:] == ["user: Two", "user: Three"]
    assert await chorus.count(InboxRow.state == InboxState.DONE) == 3


async def test_what_nobody_can_read_is_kept_and_holds_nothing_up(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    async with chorus.serving(telegram):
        telegram.deliver({"message": {"message_id": "no number", "chat": 7}})
        answer = await dm.answer(to=await dm.says(alice, "Hello"))
        assert answer.text == "You said: Hello"
    async with chorus.database() as database, database.read() as session:
        row = await session.scalar(select(InboxRow).where(InboxRow.state == InboxState.ASIDE))
    assert row is not None
    assert "no number" in row.payload["raw"]
    assert row.reason
