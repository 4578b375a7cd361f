"""What is older than `keep_days` goes, nothing else does, and its space goes back to the disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from bot.housekeeping import Housekeeper
from bot.store import settings
from bot.store.models import Feedback, Message, SummaryRow
from bot.store.session import VACUUM_PAGES, Database
from bot.summaries import WISH
from inference import ChatMessage
from tests.bot.conftest import Chorus
from tests.fakes.engine import ScriptedEngine
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram.chats import Chat, Person

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=31)
KEEP_DAYS = 30
OLD, NEW = "antediluvian", "recent"
PAGE = 4096  # bytes


async def at_once(seconds: float) -> None:
    pass


async def tidy(database: Database, keep_days: int | None = KEEP_DAYS) -> None:
    await Housekeeper(database, keep_days, clock=lambda: NOW, sleep=at_once).tidy()


def everything_is_from(when: datetime, file: Path) -> None:
    """Put the file's rows back to another day."""
    days = {
        "messages": ("created_at",),
        "inbox": ("received_at", "done_at"),
        "outbox": ("created_at", "sent_at"),
        "summaries": ("created_at",),
        "feedback": ("given_at",),
    }
    with closing(sqlite3.connect(file)) as database, database:
        for table, columns in days.items():
            for column in columns:
                database.execute(f"UPDATE {table} SET {column} = ?", [f"{when:%Y-%m-%d %H:%M:%S.%f}"])


def rows(file: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute(query).fetchall()


def words(file: Path) -> bytes:
    return b"".join(one.read_bytes() for one in file.parent.glob(f"{file.name}*"))


async def ask_for_feedback(chorus: Chorus) -> None:
    async with chorus.database() as database, database.write() as session:
        await settings.put(session, "telegram", "platform", "", "feedback", "on")


async def talk(dm: Chat, who: Person, word: str, times: int) -> None:
    for number in range(times):
        question = await dm.says(who, f"{number} I am {word} " + "and more " * 30)
        answer = await dm.answer(to=question, until=lambda one: bool(one.buttons))
        assert word in answer.text
    await answer.press(who, "👍")


async def test_old_words_go_with_all_that_hangs_on_them_and_nothing_else_does(
    chorus: Chorus, telegram: FakeTelegram, tmp_path: Path
) -> None:
    def answer(messages: Sequence[ChatMessage]) -> str:
        last = messages[-1].content
        if "can't be done" in last:
            raise ValueError("this was not foreseen")
        return f"In short: {OLD}." if last == WISH else f"You said: {last}"

    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    file = tmp_path / "chorus.sqlite3"
    await ask_for_feedback(chorus)
    chorus.engine = ScriptedEngine(answer, context_length=800)
    async with chorus.serving(telegram, model={"max_tokens": 20}):
        await talk(dm, alice, OLD, 6)
        await chorus.until_stored(SummaryRow.message_id > 0)
        await dm.answer(to=await dm.says(alice, f"This {OLD} thing can't be done"))
        await dm.answer(to=await dm.says(alice, "/persona calm"))
        await chorus.until_stored(Feedback.message_id > 0)
    everything_is_from(LONG_AGO, file)
    chorus.engine = ScriptedEngine()
    async with chorus.serving(telegram):
        await talk(dm, alice, NEW, 2)
        async with asyncio.timeout(20):
            while rows(file, "SELECT count(*) FROM feedback") != [(2,)]:
                await asyncio.sleep(0)
    chorus.engine = ScriptedEngine()
    chorus.engine.hold()
    async with chorus.serving(telegram):  # leaving it is a kill
        waiting = await dm.says(alice, f"An {OLD} question that was never answered")
        await telegram.until(lambda: dm.drafts)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE inbox SET received_at = '2020-01-01 00:00:00' WHERE state != 'done'")

    async with chorus.database() as database:
        await tidy(database)
    kept = rows(file, "SELECT role, text FROM messages ORDER BY id")
    assert [role for role, _ in kept] == ["user", "assistant"] * 2 + ["user"]
    assert all(NEW in str(text) for _, text in kept[:4])
    assert rows(file, "SELECT count(*) FROM message_refs") == [(5,)]
    assert rows(file, "SELECT count(*) FROM summaries") == [(0,)]
    assert rows(file, "SELECT count(*) FROM feedback") == [(1,)]
    assert rows(file, "SELECT name FROM people") == [("Alice",)]
    assert rows(file, "SELECT value FROM settings WHERE key = 'persona'") == [("calm",)]
    assert rows(file, "PRAGMA foreign_key_check") == []
    assert OLD.encode() not in words(file).replace(waiting.text.encode(), b""), "it is overwritten"
    chorus.engine = ScriptedEngine()
    async with chorus.serving(telegram):
        answered = await dm.answer(to=waiting)
        assert answered.text == f"You said: {waiting.text}", "what waits is not old, whenever it came"


async def test_without_keep_days_no_word_goes(chorus: Chorus, telegram: FakeTelegram, tmp_path: Path) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    await ask_for_feedback(chorus)
    async with chorus.serving(telegram):
        await talk(dm, alice, OLD, 2)
    everything_is_from(LONG_AGO, tmp_path / "chorus.sqlite3")
    async with chorus.database() as database:
        await tidy(database, keep_days=None)
    assert await chorus.count(Message.text.contains(OLD)) == 4


async def test_the_space_of_what_is_gone_goes_back_to_the_disk_in_small_steps(
    chorus: Chorus, tmp_path: Path
) -> None:
    file = tmp_path / "chorus.sqlite3"
    async with chorus.database():
        pass
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "INSERT INTO conversations (id, platform, chat, thread, told_dropped, created_at)"
            " VALUES (1, 'telegram', '1', '', 0, '2020-01-01 00:00:00')"
        )
        database.executemany(
            "INSERT INTO messages (conversation_id, role, text, created_at) VALUES (1, 'user', ?, ?)",
            (("x" * 4000, f"{LONG_AGO:%Y-%m-%d %H:%M:%S.%f}") for _ in range(4000)),
        )
    sizes = [file.stat().st_size]
    async with chorus.database() as database:
        await tidy(database)
        while rows(file, "PRAGMA freelist_count") != [(0,)]:
            sizes.append(file.stat().st_size)
            await tidy(database)
        sizes.append(file.stat().st_size)
    steps = [before - after for before, after in pairwise(sizes)]
    assert sizes[0] > 16_000_000
    assert sizes[-1] < 1_000_000
    assert 0 <= min(steps) <= max(steps) <= (VACUUM_PAGES + 1) * PAGE, "a page of the file's own may go too"
