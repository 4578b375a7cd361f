"""Statistics, counted and drawn."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from adapters.types import ChatRef
from adapters.types import Person as Someone
from bot import i18n, plots
from bot.plots import NoPlots, picture_of
from bot.stats import Channel, Stats, collect
from bot.store import history
from bot.store.history import New
from bot.store.models import Feedback
from bot.store.session import Database
from tests.bot.conftest import Chorus

NOW = datetime(2026, 5, 20, 15, tzinfo=UTC)


async def seed(database: Database) -> None:
    """Two servers and a private chat over three days."""
    async with database.write() as session:
        for chat, server, person, day, first_token in (
            ("a", "S", "Alice", 0, 0.5),
            ("a", "S", "Alice", 0, 1.5),
            ("a", "S", "Bob", 2, 0.2),
            ("b", "T", "Bob", 2, 4.0),
            ("c", None, "Alice", 2, 1.0),
            ("c", None, "Alice", 40, 9.0),
        ):
            at = NOW - timedelta(days=day)
            place = await history.head(session, ChatRef("telegram", chat), at, server)
            who = await history.person(session, Someone(person, person), "telegram", at)
            asked = New(place.conversation_id, "user", "?", at, person_id=who)
            answer = New(
                place.conversation_id,
                "assistant",
                "!",
                at,
                parent_id=await history.add(session, asked),
                prompt_tokens=90,
                output_tokens=10,
                first_token=first_token,
            )
            said = await history.add(session, answer)
            session.add(Feedback(message_id=said, person_id=who, good=day == 0, given_at=at))


async def counted(chorus: Chorus, **scope: str) -> Stats:
    async with chorus.database() as database:
        await seed(database)
        async with database.read() as session:
            return await collect(session, NOW, 7, **scope)


async def test_days_without_messages_are_there_too(chorus: Chorus) -> None:
    stats = await counted(chorus)
    assert [day.messages for day in stats.days] == [0, 0, 0, 0, 3, 0, 2]
    assert [day.people for day in stats.days] == [0, 0, 0, 0, 2, 0, 1]
    assert [day.tokens for day in stats.days] == [0, 0, 0, 0, 300, 0, 200]
    assert [day.first_token for day in stats.days] == [None, None, None, None, 1.0, None, 1.0]
    assert stats.days[-1].day == NOW.date()
    assert (stats.messages, stats.people, stats.tokens) == (5, 2, 500)
    assert (stats.liked, stats.disliked) == (2, 3)


async def test_private_chats_are_one_channel_without_a_name(chorus: Chorus) -> None:
    stats = await counted(chorus)
    assert set(stats.channels) == {
        Channel("telegram", "a", 3, 300),
        Channel("telegram", "b", 1, 100),
        Channel("telegram", None, 1, 100),
    }


async def test_one_server_alone(chorus: Chorus) -> None:
    stats = await counted(chorus, platform="telegram", server="S")
    assert (stats.messages, stats.people) == (3, 2)
    assert stats.channels == (Channel("telegram", "a", 3, 300),)


async def test_the_picture_is_drawn_elsewhere_while_others_are_served(chorus: Chorus) -> None:
    stats = await counted(chorus)
    picture = picture_of(stats, lambda: "A week", lambda platform, chat: f"{platform} {chat}")
    turns = 0

    async def serve() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    serving = asyncio.create_task(serve())
    drawn = await plots.draw(picture)
    serving.cancel()
    assert drawn.startswith(b"\x89PNG")
    assert turns > 100, "the event loop went on"


async def test_without_matplotlib_there_is_no_picture(
    chorus: Chorus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "available", lambda: False)
    picture = picture_of(await counted(chorus), lambda: "A week", lambda platform, chat: platform)
    with pytest.raises(NoPlots):
        await plots.draw(picture)


async def test_a_script_that_the_font_lacks_gives_way_to_english(
    chorus: Chorus, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {"zh": {"Messages": "消息"}}
    monkeypatch.setattr(
        i18n, "_catalogue", lambda language: i18n.Catalogue(texts.get(language, {}), {}, lambda _count: 0)
    )
    stats = await counted(chorus)
    with i18n.speaking("zh"):
        assert i18n._("Messages") == "消息"
        picture = picture_of(stats, lambda: i18n._("Messages"), lambda platform, chat: platform)
    assert (picture.title, picture.headings[0]) == ("Messages", "Messages")
