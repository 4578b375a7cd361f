"""What one message costs the database: a guard against statements that creep in, on real platforms."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from sqlalchemy import Engine, event, func, literal_column, select

from bot.store.models import OutboxRow, OutboxState
from tests.bot.conftest import Chorus
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram import FakeTelegram

MESSAGES = 4


class Counted:
    """What the bot asked of its database: statements without BEGIN and COMMIT, and transactions that stored
    something."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.commits = 0

    def __str__(self) -> str:
        return "\n".join(" ".join(one.split())[:100] for one in self.statements)


@contextmanager
def counting() -> Iterator[Counted]:
    counted = Counted()

    def execute(*about: object) -> None:
        statement = str(about[2])
        if not statement.startswith(("BEGIN", "SAVEPOINT", "RELEASE")):
            counted.statements.append(statement)

    def commit(_connection: object) -> None:
        counted.commits += 1

    event.listen(Engine, "before_cursor_execute", execute)
    event.listen(Engine, "commit", commit)
    try:
        yield counted
    finally:
        event.remove(Engine, "before_cursor_execute", execute)
        event.remove(Engine, "commit", commit)


async def test_a_message_on_discord_costs_few_statements(chorus: Chorus, discord: FakeDiscord) -> None:
    dora = discord.person("Dora")
    dm = discord.direct(dora)
    async with chorus.serving(discord):
        await dm.answer(to=await dm.says(dora, "What I know of you is remembered"))
        await _sent(chorus, 1)
        with counting() as counted:
            for number in range(MESSAGES):
                await dm.answer(to=await dm.says(dora, f"Message {number}"))
                await _sent(chorus, 2 + number)
    assert 0 < len(counted.statements) <= 26 * MESSAGES, str(counted)
    assert 0 < counted.commits <= 5 * MESSAGES


async def test_a_message_on_telegram_costs_few_statements(chorus: Chorus, telegram: FakeTelegram) -> None:
    tim = telegram.person("Tim")
    dm = telegram.direct(tim)
    async with chorus.serving(telegram):
        await dm.answer(to=await dm.says(tim, "What I know of you is remembered"))
        await _sent(chorus, 1)
        with counting() as counted:
            for number in range(MESSAGES):
                await dm.answer(to=await dm.says(tim, f"Message {number}"))
                await _sent(chorus, 2 + number)
    assert 0 < len(counted.statements) <= 28 * MESSAGES, str(counted)
    assert 0 < counted.commits <= 7 * MESSAGES


async def _sent(chorus: Chorus, count: int) -> None:
    """Wait, unseen by who counts, until so many answers are known to have arrived."""
    sent = select(func.count()).where(OutboxRow.state == literal_column(f"'{OutboxState.SENT}'"))
    async with asyncio.timeout(20):
        with closing(sqlite3.connect(chorus.folder / "chorus.sqlite3")) as database:
            while database.execute(str(sent)).fetchone()[0] < count:
                await asyncio.sleep(0)
