"""People ask who they are, what they can do and have used, and administrators how the bot fares."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot import plots
from bot.services import utc_now
from bot.store import access
from bot.store.access import GrantKind
from tests.bot.conftest import Chorus
from tests.bot.talking import OnDiscord, OnTelegram, Talk
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram import FakeTelegram

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(params=["telegram", "discord"])
async def talk(request: pytest.FixtureRequest) -> AsyncIterator[Talk]:
    if request.param == "telegram":
        async with FakeTelegram() as telegram:
            yield OnTelegram(telegram)
    else:
        async with FakeDiscord() as discord:
            yield OnDiscord(discord)


async def own(chorus: Chorus, talk: Talk) -> None:
    """Alice is the bot's owner."""
    async with chorus.database() as database, database.write() as session:
        owner = str(talk.person.id)
        await access.grant(session, talk.platform, owner, GrantKind.OWNER, utc_now(), name="Alice")


async def test_help_lists_what_one_may_use(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server):
        listed = talk.text_of(await talk.uses("help"))
        assert "I am Chorus" in listed
        for name in ("ask", "retry", "continue", "forget", "usage"):
            assert f"/{name} - " in listed
        assert "administration" not in listed
        one = talk.text_of(await talk.uses("help", command="history"))
        assert "/history [format]" in one
        assert "(md, json)" in one
        assert "no command /admin here" in talk.text_of(await talk.uses("help", command="admin"))


async def test_help_lists_administration_to_the_owner(chorus: Chorus, talk: Talk) -> None:
    await own(chorus, talk)
    root = "chorus" if talk.platform == "discord" else "admin"
    async with chorus.serving(talk.server):
        assert f"/{root} - administration" in talk.text_of(await talk.uses("help"))
        listed = talk.text_of(await talk.uses("help", command=root))
        assert f"/{root} stats [days] [scope]" in listed


async def test_who_one_is(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server):
        told = talk.text_of(await talk.uses("whoami"))
    assert f"You are Alice, {talk.person.id} on {talk.platform}." in told.replace("`", "")
    assert "owner" not in told


async def test_who_one_is_in_a_server_with_its_roles(chorus: Chorus) -> None:
    async with FakeDiscord() as discord:
        server = discord.server("Home")
        talk = OnDiscord(discord, server.channel("general"))
        gardener = server.role("Gardener")
        server.grant(talk.person, gardener)
        async with chorus.serving(discord):
            told = (await talk.uses("whoami")).text
    assert f"This server or group is `{server.id}`." in told
    assert f"Your roles: `{gardener.id}`" in told


async def test_commands_are_called_as_the_platform_calls_them(chorus: Chorus, talk: Talk) -> None:
    root = "chorus" if talk.platform == "discord" else "admin"
    async with chorus.serving(talk.server):
        assert "/pair - " in talk.text_of(await talk.uses("help"))
        refused = talk.text_of(await talk.uses("admin status"))
        assert refused.startswith(f"/{root} status needs my owner here")
    await own(chorus, talk)
    async with chorus.serving(talk.server):
        told = talk.text_of(await talk.uses("help"))
        assert "/pair - " not in told, "there is an owner"
        assert f"/help {root} lists them" in told
        listed = talk.text_of(await talk.uses("help", command=root))
        assert f"/{root} status - How I am doing" in listed
        nobody = talk.text_of(await talk.uses("admin access approve", code="abc"))
        assert f"/{root} access list shows who does" in nobody


async def test_what_one_has_used_and_may_use(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server, quota={"messages_per_day": 50}):
        await talk.answer(await talk.says("Hello"), lambda text: text == "You said: Hello")
        told = talk.text_of(await talk.uses("usage"))
    assert "Today you have used 1 message and " in told
    assert "you: 1 of 50 messages a day, anew in" in told


async def test_the_owner_has_no_limits(chorus: Chorus, talk: Talk) -> None:
    await own(chorus, talk)
    async with chorus.serving(talk.server):
        assert "no limits" in talk.text_of(await talk.uses("usage"))


async def test_how_the_bot_fares(chorus: Chorus, talk: Talk) -> None:
    await own(chorus, talk)
    async with chorus.serving(talk.server):
        told = talk.text_of(await talk.uses("admin status"))
    assert "I have been running for" in told
    assert "Model scripted: 0 answers under way" in told
    assert "not delivered: 0" in told


async def test_statistics_with_a_picture(chorus: Chorus, talk: Talk) -> None:
    await own(chorus, talk)
    async with chorus.serving(talk.server):
        await talk.answer(await talk.says("Hello"), lambda text: text == "You said: Hello")
        shown = await talk.uses("admin stats", lambda text: "message" in text, days="7")
        assert "The last 7 days:" in talk.text_of(shown)
        assert "1 message\n" in talk.text_of(shown)
        name, content = talk.file_of(shown)
    assert name == "stats.png"
    assert content.startswith(PNG)


async def test_statistics_without_matplotlib_are_text(
    chorus: Chorus, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "available", lambda: False)
    await own(chorus, talk)
    async with chorus.serving(talk.server):
        shown = talk.text_of(await talk.uses("admin stats", lambda text: "messages" in text))
    assert "chorus[plots]" in shown


async def test_a_servers_administrator_sees_its_statistics_alone(chorus: Chorus) -> None:
    async with FakeTelegram() as telegram:
        group, other = telegram.group("Friends"), telegram.group("Strangers")
        alice, bob = OnTelegram(telegram, group, "Alice"), OnTelegram(telegram, other, "Bob")
        group.joins(alice.person, "administrator")
        async with chorus.serving(telegram):
            await bob.answer(await bob.says("@chorus_bot Hello"), lambda text: text.endswith("Hello"))
            shown = await alice.uses("admin stats", lambda text: "messages" in text, days="7")
            assert "0 messages" in shown.text
            everywhere = await alice.uses("admin stats", days="7", scope="all")
            assert "Only my owner" in everywhere.text
            refused = await bob.uses("admin stats")
            assert "needs an administrator" in refused.text
