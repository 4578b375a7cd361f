"""What one message costs the database: a guard against statements that creep in, on real platforms."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from sqlalchemy import func, literal_column, select

from bot.store import driver
from bot.store.models import OutboxRow, OutboxState
from tests.bot.conftest import Chorus
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram import FakeTelegram

MESSAGES = 4
CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA")


class Counted:
    """What the bot asks of its database: statements, and transactions that stored something."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.commits = 0
        self._counting = False

    @contextmanager
    def counting(self) -> Iterator[None]:
        self._counting = True
        try:
            yield
        finally:
            self._counting = False

    def note(self, statement: str) -> None:
        """As SQLite itself tells it, in the connection's thread."""
        if not self._counting or statement.startswith("--"):
            return
        if statement.startswith("COMMIT"):
            self.commits += 1
        if not statement.startswith(CONTROL):
            self.statements.append(statement)

    def __str__(self) -> str:
        return "\n".join(" ".join(one.split())[:100] for one in self.statements)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted = Counted()

    def traced(opens: Callable[[], sqlite3.Connection]) -> Callable[[], sqlite3.Connection]:
        def opened() -> sqlite3.Connection:
            connection = opens()
            connection.set_trace_callback(counted.note)
            return connection

        return opened

    def connect(database: str, **options: Any) -> driver.OneStepConnection:
        connection = driver.connect(database, **options)
        connection._connector = traced(connection._connector)
        return connection

    monkeypatch.setattr("bot.store.session.connect", connect)
    return counted


async def test_a_message_on_discord_costs_few_statements(
    chorus: Chorus, discord: FakeDiscord, counted: Counted
) -> None:
    dora = discord.person("Dora")
    dm = discord.direct(dora)
    async with chorus.serving(discord):
        await dm.answer(to=await dm.says(dora, "What I know of you is remembered"))
        await _sent(chorus, 1)
        with counted.counting():
            for number in range(MESSAGES):
                await dm.answer(to=await dm.says(dora, f"Message {number}"))
                await _sent(chorus, 2 + number)
    assert 0 < len(counted.statements) <= 24 * MESSAGES, str(counted)
    assert 0 < counted.commits <= 5 * MESSAGES


async def test_a_message_on_telegram_costs_few_statements(
    chorus: Chorus, telegram: FakeTelegram, counted: Counted
) -> None:
    tim = telegram.person("Tim")
    dm = telegram.direct(tim)
    async with chorus.serving(telegram):
        await dm.answer(to=await dm.says(tim, "What I know of you is remembered"))
        await _sent(chorus, 1)
        with counted.counting():
            for number in range(MESSAGES):
                await dm.answer(to=await dm.says(tim, f"Message {number}"))
                await _sent(chorus, 2 + number)
    assert 0 < len(counted.statements) <= 27 * MESSAGES, str(counted)
    assert 0 < counted.commits <= 7 * MESSAGES


async def _sent(chorus: Chorus, count: int) -> None:
    """Wait, unseen by who counts, until so many answers are known to have arrived."""
    sent = select(func.count()).where(OutboxRow.state == literal_column(f"'{OutboxState.SENT}'"))
    async with asyncio.timeout(20):
        with closing(sqlite3.connect(chorus.folder / "chorus.sqlite3")) as database:
            while database.execute(str(sent)).fetchone()[0] < count:
                await asyncio.sleep(0)
