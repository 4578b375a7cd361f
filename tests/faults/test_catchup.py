"""What Discord does not deliver again is found again, wherever and whenever the bot was ended."""

from __future__ import annotations

from bot.store.models import InboxRow, InboxState
from tests.bot.conftest import Chorus
from tests.fakes.discord import FakeDiscord
from tests.fakes.discord.world import Channel

MINUTE = 60.0  # seconds
HISTORY = "GET /channels/{channel_id}/messages"
LONG_AGO = "2020-01-01T00:00:00+00:00"


def channels(discord: FakeDiscord, *names: str) -> list[Channel]:
    """Of a server that the bot was invited to long ago."""
    home = discord.server("Home")
    home.joined_at = LONG_AGO
    return [home.channel(name) for name in names]


async def test_what_was_said_in_a_channel_never_heard_of_minutes_before_the_newest_is_answered(
    chorus: Chorus, discord: FakeDiscord
) -> None:
    """A connection that is half dead, or a database that is busy, lets one channel's message overtake
    another's."""
    alice, mention = discord.person("Alice"), discord.bot.mention
    known, fresh = channels(discord, "known", "fresh")
    async with chorus.serving(discord):
        question = await known.says(alice, f"{mention} Hello")
        await known.answer(to=question, finished=lambda one: one.text == "You said: Hello")
    overtaken = await fresh.says(alice, f"{mention} Is anyone here?", ago=4 * MINUTE)
    for _ in range(2):  # and found again it is answered once
        async with chorus.serving(discord):
            await fresh.answer(to=overtaken, finished=lambda one: one.text.endswith("anyone here?"))
            question = await known.says(alice, f"{mention} Bye")
            await known.answer(to=question, finished=lambda one: one.text == "You said: Bye")
    assert len(fresh.visible) == 2
    assert await chorus.count(InboxRow.state == InboxState.DONE) == 4


async def test_a_kill_while_it_catches_up_loses_nothing_of_channels_never_heard_of(
    chorus: Chorus, discord: FakeDiscord
) -> None:
    alice, mention = discord.person("Alice"), discord.bot.mention
    dm = discord.direct(alice)
    known, fresh = channels(discord, "known", "fresh")
    async with chorus.serving(discord):
        question = await known.says(alice, f"{mention} Hello", ago=50 * MINUTE)
        await known.answer(to=question, finished=lambda one: one.text == "You said: Hello")
    earlier = await fresh.says(alice, f"{mention} Is anyone here?", ago=40 * MINUTE)
    later = await known.says(alice, f"{mention} Are you back?")
    release = discord.hold_next(HISTORY)
    async with chorus.serving(discord):
        await discord.until(lambda: discord.requested(HISTORY))
        for _ in range(5):  # commands don't wait for what was missed, and each takes some time
            await (await dm.command(alice, "help")).answer()
    release.set()
    async with chorus.serving(discord):
        await fresh.answer(to=earlier, finished=lambda one: one.text.endswith("anyone here?"))
        await known.answer(to=later, finished=lambda one: one.text.endswith("you back?"))
    assert (len(fresh.visible), len(known.visible)) == (2, 4)
