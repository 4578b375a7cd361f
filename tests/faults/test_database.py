"""The disk is full, read-only, or held by another process: nothing is acknowledged, and it goes on after."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from bot.store import session as sessions
from bot.store.errors import DatabaseError
from bot.store.models import InboxRow
from bot.store.session import Database
from tests.bot.conftest import Chorus
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram import FakeTelegram

USUAL = sessions.PRAGMAS


class Opened(Database):
    """The database of the bot that runs."""

    now: Database | None = None

    def __init__(self, url: str) -> None:
        super().__init__(url)
        Opened.now = self


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[None]]:
    """Lets the writer's connection, and each that follows, have these further settings; none ends that."""
    monkeypatch.setattr("bot.app.Database", Opened)

    async def apply(*pragmas: str) -> None:
        monkeypatch.setattr(sessions, "PRAGMAS", (*USUAL, *pragmas))
        if pragmas:
            assert Opened.now is not None
            with suppress(OperationalError):  # the transaction that it is set in may meet it already
                async with Opened.now.write() as session:
                    for pragma in pragmas:
                        await session.execute(text(f"PRAGMA {pragma}"))

    return apply


def _troubles(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "bot.store.writer" and record.levelname in ("ERROR", "WARNING")
    ]


async def _pages(chorus: Chorus) -> int:
    async with chorus.database() as database, database.read() as session:
        return int(await session.scalar(text("PRAGMA page_count")) or 0)


@pytest.mark.parametrize("trouble", ["full", "readonly"])
async def test_a_full_disk_and_a_read_only_database(
    trouble: str,
    chorus: Chorus,
    telegram: FakeTelegram,
    limit: Callable[..., Awaitable[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    async with chorus.serving(telegram):
        await dm.answer(to=await dm.says(alice, "Hello"))
        pragma = f"max_page_count = {await _pages(chorus)}" if trouble == "full" else "query_only = ON"
        await limit(pragma)
        question = await dm.says(alice, "x" * 3900)
        polls = len(telegram.calls("getUpdates"))
        await telegram.until(lambda: len(telegram.calls("getUpdates")) >= polls + 5)
        assert len(telegram.updates.pending) == 1, "what could not be stored is not acknowledged"
        assert len(_troubles(caplog)) == 1, "said once"
        assert "can't be written" in _troubles(caplog)[0]
        await limit()
        answer = await dm.answer(to=question)
        assert answer.text.startswith("You said: xxx")
    assert _troubles(caplog)[1:] == ["the database can be written again"]
    assert await chorus.count(InboxRow.id > 0) == 2


@asynccontextmanager
async def held_by_another_process(file: str) -> AsyncIterator[None]:
    """Waits off the event loop: a transaction of the bot's may be under way, and has to end first."""
    program = (
        "import sqlite3, sys; held = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "held.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", program, file]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == b"held\n"
        yield


async def test_a_database_locked_by_another_process_for_longer_than_anyone_waits(
    chorus: Chorus,
    telegram: FakeTelegram,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sessions, "PRAGMAS", (*USUAL, "busy_timeout = 50"))
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    file = chorus.database_url.removeprefix("sqlite+aiosqlite:///")
    chorus.engine.hold()
    async with chorus.serving(telegram):
        question = await dm.says(alice, "Hello")
        await telegram.until(lambda: dm.drafts)
        async with held_by_another_process(file):
            chorus.engine.release()
            further = await dm.says(alice, "Are you there?")
            async with asyncio.timeout(20):
                while len(_troubles(caplog)) == 0:
                    await asyncio.sleep(0)
            assert dm.visible == [question, further]
        answers = ["You said: Hello", "You said: Are you there?"]
        await telegram.until(lambda: [one.text for one in dm.visible[2:]] == answers)
    assert len(chorus.engine.requests) == 2, "what was generated was not generated anew"
    assert "database is locked" in _troubles(caplog)[0]


async def test_what_discord_said_while_the_disk_was_full_is_answered_even_after_a_kill(
    chorus: Chorus, discord: FakeDiscord, limit: Callable[..., Awaitable[None]]
) -> None:
    alice, bob = discord.person("Alice"), discord.person("Bob")
    dm = discord.direct(alice)
    channel = discord.server("Home").channel("general")
    async with chorus.serving(discord):
        await dm.answer(to=await dm.says(alice, "Hello"), finished=lambda one: one.text == "You said: Hello")
        await limit(f"max_page_count = {await _pages(chorus)}")
        question = await dm.says(alice, "x" * 3900)
        refused = await channel.command(bob, "ask", question="y" * 5900)
        assert "try again in a moment" in (await refused.answer()).text
        assert dm.visible[-1] == question
    await limit()
    async with chorus.serving(discord):
        await discord.until(lambda: sum(one.text.count("x") for one in dm.answers(to=question)) == 3900)
    assert await chorus.count(InboxRow.id > 0) == 2


async def test_commands_are_acknowledged_in_time_while_the_database_is_locked_and_many_wait(
    chorus: Chorus, discord: FakeDiscord
) -> None:
    discord.patience = 3.0  # seconds, as Discord's own
    people = [discord.person(f"Person {number}") for number in range(30)]
    rooms = [discord.direct(person) for person in people]
    file = chorus.database_url.removeprefix("sqlite+aiosqlite:///")
    async with chorus.serving(discord, limits={"concurrent_turns": 8}):
        async with held_by_another_process(file):
            for room, person in zip(rooms, people, strict=True):
                await room.says(person, "Tell me something")
            used = [
                await room.command(person, "ask", question=f"Number {number}?")
                for number, (room, person) in enumerate(zip(rooms, people, strict=True))
            ]
            for one in used:
                assert (await one.acknowledged()).thinking
        for number, one in enumerate(used):
            answer = await one.answer(lambda message, said=f"Number {number}?": message.text.endswith(said))
            assert answer.text == f"You said: Number {number}?"
        for room in rooms:
            await discord.until(lambda room=room: "You said: Tell me something" in room.texts)
    assert all(len(room.visible) == 3 for room in rooms)


async def test_a_file_that_is_no_database_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "chorus.sqlite3"
    file.write_bytes(b"this is no database" * 1000)
    with pytest.raises(DatabaseError, match="can't be opened"):
        async with Database(f"sqlite+aiosqlite:///{file}"):
            pass
