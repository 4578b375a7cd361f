"""The whole bot on local platforms, as in the dialogues; pauses before another try are short here."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.bot.conftest import chorus as usual_chorus
from tests.bot.conftest import discord, telegram
from tests.bot.talking import OnDiscord, OnTelegram, Talk
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram import FakeTelegram
from tests.faults.conftest import chorus

__all__ = ["chorus", "discord", "telegram", "usual_chorus"]


@pytest.fixture(params=["telegram", "discord"])
async def talk(request: pytest.FixtureRequest) -> AsyncIterator[Talk]:
    """Mallory in private with the bot."""
    if request.param == "telegram":
        async with FakeTelegram() as telegram:
            yield OnTelegram(telegram, name="Mallory")
    else:
        async with FakeDiscord() as discord:
            yield OnDiscord(discord, name="Mallory")
