"""The whole bot on local platforms, as in the dialogues; pauses before another try are short here."""

from __future__ import annotations

import asyncio

import pytest

from tests.bot.conftest import Chorus, discord, telegram
from tests.bot.conftest import chorus as usual_chorus

__all__ = ["discord", "telegram", "usual_chorus"]

LONGEST_PAUSE = 0.02  # seconds


async def _briefly(seconds: float) -> None:
    await asyncio.sleep(min(seconds, LONGEST_PAUSE))


@pytest.fixture
def chorus(usual_chorus: Chorus) -> Chorus:
    usual_chorus.sleep = _briefly
    return usual_chorus
