"""People ask what is kept about them, take it along, and are forgotten: on both platforms."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import inference
from bot.store.models import Base, Message, SummaryRow
from bot.summaries import WISH
from inference import ChatMessage
from tests.bot.conftest import Chorus
from tests.bot.talking import OnDiscord, OnTelegram, Talk
from tests.fakes.discord import FakeDiscord
from tests.fakes.engine import ScriptedEngine
from tests.fakes.telegram import FakeTelegram

SECRET = "Xanthippe"


@pytest.fixture(params=["telegram", "discord"])
async def talk(request: pytest.FixtureRequest) -> AsyncIterator[Talk]:
    if request.param == "telegram":
        async with FakeTelegram() as telegram:
            yield OnTelegram(telegram, name="Quentin")
    else:
        async with FakeDiscord() as discord:
            yield OnDiscord(discord, name="Quentin")


def stored_bytes(folder: Path) -> bytes:
    """All that the database's files hold, free pages and the write-ahead log included."""
    return b"".join(file.read_bytes() for file in sorted(folder.glob("chorus.sqlite3*")))


async def test_what_is_kept_is_told(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server, database={"url": chorus.database_url, "keep_days": 30}):
        told = talk.text_of(await talk.uses("privacy"))
    assert "deleted after 30 days" in told
    assert "/mydata" in told
    assert "/forget" in told


async def test_everything_about_oneself_as_a_file(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server):
        await talk.answer(await talk.says(f"I am {SECRET}"), lambda text: text == f"You said: I am {SECRET}")
        name, content = talk.file_of(await talk.uses("mydata", lambda text: "Everything" in text))
    assert name == "mydata.json"
    found = json.loads(content)
    assert [row["name"] for row in found["people"]] == ["Quentin"]
    assert {row["text"] for row in found["messages"]} == {f"I am {SECRET}", f"You said: I am {SECRET}"}
    assert {"inbox", "outbox", "message_refs", "charges", "usage_totals"} <= found.keys()


async def test_who_is_forgotten_is_in_no_file_any_more(chorus: Chorus, talk: Talk, tmp_path: Path) -> None:
    def answer(messages: Sequence[ChatMessage]) -> str:
        last = messages[-1].content
        return f"{SECRET}, in short." if last == WISH else f"You said: {last}"

    chorus.engine = ScriptedEngine(answer, context_length=800)
    async with chorus.serving(talk.server, model={"max_tokens": 20}):
        for number in range(6):
            question = await talk.says(f"{number} I am {SECRET} " + "and more " * 30)
            await talk.answer(question, lambda text: text.startswith("You said: "))
        await chorus.until_stored(SummaryRow.message_id > 0)
        assert SECRET.encode() in stored_bytes(tmp_path)
        assert b"Quentin" in stored_bytes(tmp_path)

        asked = await talk.uses("forget")
        kept = await talk.presses(asked, "No", lambda text: "everything stays" in text)
        assert talk.labels_of(kept) == []
        assert await chorus.count(Message.id > 0) == 12

        asked = await talk.uses("forget")
        again = await talk.presses(asked, "Delete everything", lambda text: "Really everything?" in text)
        assert await chorus.count(Message.id > 0) == 12
        await talk.presses(again, "Yes, for good", lambda text: "I have forgotten you" in text)
        await talk.answer(await talk.says("Hello"), lambda text: text == "You said: Hello")
        assert chorus.engine.prompts[-1][1:] == ["user: Hello"], "nothing is remembered"
        assert SECRET.encode() not in stored_bytes(tmp_path)
    assert SECRET.encode() not in stored_bytes(tmp_path)
    assert await chorus.count(Message.id > 0) == 2


async def test_what_is_not_said_again_leaves_no_name_either(
    chorus: Chorus, talk: Talk, tmp_path: Path
) -> None:
    async with chorus.serving(talk.server):
        await talk.answer(await talk.says("Hello"), lambda text: text == "You said: Hello")
        again = await talk.presses(
            await talk.uses("forget"), "Delete everything", lambda text: "Really everything?" in text
        )
        await talk.presses(again, "Yes, for good", lambda text: "I have forgotten you" in text)
    left = stored_bytes(tmp_path)
    assert b"Quentin" not in left
    assert b"Hello" not in left


async def test_a_limit_is_not_escaped_by_being_forgotten(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server, quota={"messages_per_day": 1}):
        await talk.answer(await talk.says("Hello"), lambda text: text == "You said: Hello")
        again = await talk.presses(
            await talk.uses("forget"), "Delete everything", lambda text: "Really everything?" in text
        )
        await talk.presses(again, "Yes, for good", lambda text: "for how much you have used" in text)
        assert "limit of 1 message today" in talk.text_of(await talk.answer(await talk.says("Hello anew")))
        assert "Today you have used 1 message and" in talk.text_of(await talk.uses("usage"))
        assert "you: 1 of 1 message a day" in talk.text_of(await talk.uses("usage"))


async def test_what_the_model_computed_of_a_forgotten_conversation_is_on_no_disk(
    chorus: Chorus, tiny_model: Path, tmp_path: Path
) -> None:
    def topics() -> set[str]:
        return {file.stem.partition("-")[2] for file in (tmp_path / "spill").rglob("*.safetensors")}

    def engine() -> Any:
        return inference.open_engine(str(tiny_model), dtype="float32", spill_folder=tmp_path / "spill")

    short = {"model": {"max_tokens": 5}, "persona": {"prompt": "Hi"}}
    async with FakeTelegram() as telegram:
        alice, bob = OnTelegram(telegram, name="Alice"), OnTelegram(telegram, name="Bob")
        chorus.engine = engine()
        async with chorus.serving(telegram, **short):
            for who in (alice, bob):
                await who.answer(await who.says(f"I am {who.person.name}, and I like the quick brown fox"))
        assert len(topics()) == 2, "both conversations are kept"

        chorus.engine = engine()
        async with chorus.serving(telegram, **short):
            asked = await alice.presses(
                await alice.uses("forget"), "Delete everything", lambda text: "Really everything?" in text
            )
            await alice.presses(asked, "Yes, for good", lambda text: "forgotten you" in text)
            async with asyncio.timeout(20):
                while len(topics()) > 1:
                    await asyncio.sleep(0)
        chorus.engine = engine()
        async with chorus.serving(telegram, **short):
            await bob.answer(await bob.says("Do you still know?"))
            assert chorus.engine.stats().restored_blocks > 0, "Bob's is there as before"
        assert len(topics()) == 1


async def test_the_words_of_others_remain(chorus: Chorus) -> None:
    async with FakeTelegram() as telegram:
        group = telegram.group("Friends")
        alice, bob = OnTelegram(telegram, group, "Alice"), OnTelegram(telegram, group, "Bob")
        async with chorus.serving(telegram):
            for who, said in ((alice, "Apples"), (bob, "Bananas"), (alice, "Cherries")):
                await who.answer(await who.says(f"@chorus_bot {said}"), lambda text: text.endswith(said))  # noqa: B023
            asked = await alice.uses("forget")
            await asked.press(bob.person, "Delete everything")
            await telegram.until(lambda: "for somebody else" in group.visible[-1].text)
            again = await alice.presses(asked, "Delete everything", lambda text: "Really" in text)
            await alice.presses(again, "Yes, for good", lambda text: "forgotten you" in text)
    assert await chorus.count(Message.text == "Bananas") == 1
    assert await chorus.count(Message.id > 0) == 2


async def test_my_data_is_not_shown_in_a_group(chorus: Chorus) -> None:
    async with FakeTelegram() as telegram:
        talk = OnTelegram(telegram, telegram.group("Friends"))
        async with chorus.serving(telegram):
            assert "in a private chat" in talk.text_of(await talk.uses("mydata"))


def test_every_table_is_looked_through() -> None:
    """A new table has to be thought about: is it about people?"""
    from bot.store.privacy import _all

    looked = {about.table.__tablename__ for about in _all("telegram", "1")}
    about_nobody = {"conversations", "placeholders", "cursors", "personas", "facts"}
    assert looked | about_nobody == set(Base.metadata.tables)
