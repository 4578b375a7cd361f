"""Draws docs/stats.png: what `/admin stats` sends, of made-up numbers. Part of `docs/generate.py`."""

from __future__ import annotations

import math
import random
from datetime import date, timedelta
from pathlib import Path

from bot.plots import picture_of, render
from bot.stats import Channel, Day, Stats

PICTURE = Path(__file__).with_name("stats.png")

SEED = 7
LAST_DAY = date(2026, 5, 31)
DAYS = 30
CHANNELS = (
    ("discord", "general", 640),
    ("telegram", None, 410),
    ("discord", None, 355),
    ("telegram", "book club", 240),
    ("discord", "homework", 175),
    ("discord", "games", 90),
)


def stats() -> Stats:
    """A month that grows, with quiet weekends and one day on which the bot was switched off."""
    chance = random.Random(SEED)
    days = []
    for number in range(DAYS):
        day = LAST_DAY - timedelta(days=DAYS - 1 - number)
        if number == 11:
            days.append(Day(day))
            continue
        busy = (0.6 if day.weekday() > 4 else 1) * (1 + number / DAYS)
        messages = round(42 * busy * chance.uniform(0.8, 1.2))
        people = round(3 * math.sqrt(messages) * chance.uniform(0.5, 0.7))
        tokens = round(messages * chance.uniform(380, 560))
        days.append(Day(day, messages, people, tokens, 0.2 * busy * chance.uniform(0.8, 1.5)))
    channels = tuple(Channel(platform, chat, count, count * 450) for platform, chat, count in CHANNELS)
    return Stats(tuple(days), channels, people=63, liked=58, disliked=9)


def draw() -> bytes:
    """The picture, as PNG."""

    def name_of(platform: str, chat: str | None) -> str:
        return f"{platform}, private chats" if chat is None else f"{platform} {chat}"

    return render(picture_of(stats(), lambda: f"Chorus, the last {DAYS} days", name_of))
