"""Nothing lost, nothing twice: what people see of it, and the store below."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event as database_event
from sqlalchemy import func, select, text

from adapters.types import Addressed, ChatRef, MessageCreated, MessageRef, Person, Unreadable
from bot.backlog import Backlog
from bot.housekeeping import Housekeeper
from bot.store import inbox, outbox, upkeep
from bot.store.models import InboxRow, InboxState, Message, OutboxRow
from bot.store.schema import newest_schema
from bot.store.session import Database
from tests.bot.conftest import Chorus
from tests.fakes.discord import FakeDiscord
from tests.fakes.engine import ScriptedEngine
from tests.fakes.telegram import FakeTelegram

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CHAT = ChatRef("telegram", "7")


def said(number: int, chat: ChatRef = CHAT, author: str = "1", words: str = "Hello") -> MessageCreated:
    return MessageCreated(
        id=f"update:{number}",
        message=MessageRef(chat, str(number)),
        author=Person(author, "Alice"),
        text=words,
        addressed=Addressed.DIRECT,
        sent_at=NOW,
        private=True,
    )


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'chorus.sqlite3'}"


# Answered together


async def test_what_is_said_while_the_bot_thinks_is_answered_together(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    chorus.engine.hold()
    async with chorus.serving(telegram):
        first = await dm.says(alice, "One")
        await telegram.until(lambda: dm.drafts)
        second = await dm.says(alice, "Two")
        third = await dm.says(alice, "Three")
        await chorus.until_stored(InboxRow.event_id == "update:1003")
        chorus.engine.release()
        await telegram.until(lambda: dm.visible[-1].text == "You said: Three")
        assert [one.text for one in dm.visible[3:]] == ["You said: One", "You said: Three"]
        assert chorus.engine.prompts[1][1:] == [
            "user: One",
            "assistant: You said: One",
            "user: Two",
            "user: Three",
        ]
        # Each keeps its place: a reply to the second goes on from there.
        await dm.answer(to=await dm.says(alice, "Four", reply_to=second))
        assert chorus.engine.prompts[2][1:] == [*chorus.engine.prompts[1][1:4], "user: Four"]
    assert (first, third) == (dm.visible[0], dm.visible[2])
    assert await chorus.count(InboxRow.state == InboxState.DONE) == 4


async def test_another_person_is_answered_for_themselves(chorus: Chorus, telegram: FakeTelegram) -> None:
    alice, bob = telegram.person("Alice"), telegram.person("Bob")
    group = telegram.group("Friends")
    chorus.engine.hold()
    async with chorus.serving(telegram):
        await group.says(alice, "@chorus_bot One")
        await telegram.until(lambda: len(group.visible) == 2)
        await group.says(alice, "@chorus_bot Two")
        await group.says(bob, "@chorus_bot Three")
        await chorus.until_stored(InboxRow.event_id == "update:1003")
        chorus.engine.release()
        await telegram.until(lambda: group.visible[-1].text == "You said: Bob: Three")
    assert [prompt[-1] for prompt in chorus.engine.prompts] == ["user: One", "user: Two", "user: Bob: Three"]


async def test_a_long_paste_that_the_client_has_cut_is_one_question(
    chorus: Chorus, discord: FakeDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.dispatch.PASTE_PAUSE", timedelta(minutes=5))  # however slow the machine is
    alice = discord.person("Alice")
    dm = discord.direct(alice)
    async with chorus.serving(discord):
        await dm.says(alice, "a" * 2000)
        await chorus.until_stored(InboxRow.state == InboxState.PENDING)
        last = await dm.says(alice, "and the end of it")
        await dm.answer(to=last, finished=lambda one: one.text.endswith("the end of it"))
    assert len(chorus.engine.requests) == 1
    assert chorus.engine.prompts[0][-2:] == ["user: " + "a" * 2000, "user: and the end of it"]


async def test_what_was_answered_together_is_tried_together_again(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    await dm.says(alice, "One")
    await dm.says(alice, "Two")
    chorus.engine.hold()
    async with chorus.serving(telegram):
        await chorus.until_stored(InboxRow.attempts == 1, InboxRow.event_id == "update:1002")
        await telegram.until(lambda: dm.drafts)
    chorus.engine = ScriptedEngine()
    async with chorus.serving(telegram):
        await telegram.until(lambda: dm.visible[-1].text == "You said: Two")
    assert [line for line in chorus.engine.prompts[0] if line.startswith("user")] == [
        "user: One",
        "user: Two",
    ]
    assert await chorus.count(Message.role == "user") == 2
    assert await chorus.count(Message.role == "assistant") == 1


# Too much at once


async def test_who_has_too_much_waiting_is_told_once_and_the_rest_is_answered(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    chorus.engine.hold()
    async with chorus.serving(telegram, limits={"waiting_per_person": 3}):
        await dm.says(alice, "Zero")
        await telegram.until(lambda: dm.drafts)
        for number in range(6):
            await dm.says(alice, f"Number {number}")
        await telegram.until(lambda: any("3 messages waiting" in one.text for one in dm.visible))
        await chorus.until_stored(InboxRow.event_id == "update:1007", InboxRow.state == InboxState.DONE)
        chorus.engine.release()
        await telegram.until(lambda: dm.visible[-1].text == "You said: Number 2")
    assert sum("messages waiting" in one.text for one in dm.visible) == 1
    assert await chorus.count(InboxRow.reason == "too many were waiting") == 3


async def test_who_must_wait_for_others_is_told_the_place_and_then_answered(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice, bob = telegram.person("Alice"), telegram.person("Bob")
    hers = telegram.direct(alice)
    group = telegram.group("Friends")
    chorus.engine.hold()
    async with chorus.serving(telegram, limits={"concurrent_turns": 1}):
        await hers.says(alice, "A long story")
        await telegram.until(lambda: hers.drafts)
        question = await group.says(bob, "@chorus_bot Hello")
        told = await group.answer(to=question)
        assert "you are number 1 in the queue" in told.text
        chorus.engine.release()
        await telegram.until(lambda: told.text == "You said: Hello")
    assert len(group.visible) == 2, "the answer took the place of what was told"


def test_turns_go_round_robin_over_people_and_servers() -> None:
    backlog = Backlog(per_person=20, total=1000)
    chats = [ChatRef("discord", str(number)) for number in range(7)]
    for number, party in enumerate(["loud", "loud", "loud", "loud", "quiet", "other", "quiet"]):
        backlog.add(chats[number], ("discord", party))
        backlog.queue(chats[number], ("discord", party))
    expected = [0, 4, 5, 1, 6, 2, 3]
    assert [backlog.place(chats[number]) for number in expected] == [1, 2, 3, 4, 5, 6, 7]
    turns = [backlog.next() for _ in chats]
    assert [chats.index(turn[0]) for turn in turns if turn] == expected
    assert backlog.next() is None


# The store


async def test_units_share_a_commit_and_fail_alone(url: str) -> None:
    async with Database(url) as database:

        async def store(number: int) -> None:
            async with database.write() as session:
                await inbox.add(session, said(number), NOW)
                if number % 5 == 0:
                    raise ValueError(number)

        commits = []
        engine = database._writing.sync_engine
        database_event.listen(engine, "commit", commits.append)
        results = await asyncio.gather(*(store(number) for number in range(100)), return_exceptions=True)
        assert sum(isinstance(one, ValueError) for one in results) == 20
        assert sum(one is None for one in results) == 80
        async with database.read() as session:
            assert await session.scalar(select(func.count()).select_from(InboxRow)) == 80
        assert len(commits) < 20, "they shared their commits"


async def test_a_unit_that_is_cancelled_takes_no_other_with_it(url: str) -> None:
    async with Database(url) as database:
        began = asyncio.Event()

        async def cancelled() -> None:
            async with database.write() as session:
                await inbox.add(session, said(1), NOW)
                began.set()
                await asyncio.Event().wait()

        async def stored() -> None:
            async with database.write() as session:
                await inbox.add(session, said(2), NOW)

        first = asyncio.create_task(cancelled())
        await began.wait()
        second = asyncio.create_task(stored())
        first.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert second.exception() is None
        async with database.read() as session:
            assert list(await session.scalars(select(InboxRow.event_id))) == ["update:2"]


async def test_cursors_move_with_the_event_and_never_back(url: str) -> None:
    other = ChatRef("telegram", "8")
    async with Database(url) as database:
        for event in (said(9), said(100, other), said(12), said(11)):
            async with database.write() as session:
                await inbox.add(session, event, NOW)
        async with database.read() as session:
            assert await inbox.cursors(session, "telegram") == {"7": "12", "8": "100", "": "100"}


async def test_an_unreadable_event_is_set_aside_at_once(url: str) -> None:
    event = Unreadable("update:1", CHAT, raw="{]", reason="no JSON", sent_at=NOW)
    async with Database(url) as database:
        async with database.write() as session:
            await inbox.add(session, event, NOW)
            await inbox.add(session, event, NOW)
        async with database.write() as session:
            assert await inbox.claim(session, CHAT, "me", NOW) is None
            rows = list(await session.scalars(select(InboxRow)))
    assert [(row.state, row.reason) for row in rows] == [(InboxState.ASIDE, "no JSON")]


@pytest.mark.parametrize(
    ("holder", "later", "released"),
    [
        ("elsewhere:1:ab", timedelta(seconds=30), 0),
        ("elsewhere:1:ab", timedelta(seconds=61), 1),
        ("elsewhere:1:ab", timedelta(days=-1), 1),  # the clock was set back
        (f"{os.uname().nodename}:{os.getpid()}:ab", timedelta(), 1),  # an earlier run with the same number
        (f"{os.uname().nodename}:{os.getppid()}:ab", timedelta(), 0),  # a process that lives
        ("me", timedelta(days=1), 0),
    ],
)
async def test_a_lease_ends_with_its_time_or_its_holder(
    holder: str, later: timedelta, released: int, url: str
) -> None:
    async with Database(url) as database:
        async with database.write() as session:
            await inbox.add(session, said(1), NOW, holder=holder)
        async with database.write() as session:
            assert await inbox.release(session, "telegram", "me", NOW + later) == released
            again = await inbox.claim(session, CHAT, "me", NOW + later)
            assert (again is not None) == bool(released)
            assert again is None or again.attempts == 2


async def test_what_was_parked_did_not_fail(url: str) -> None:
    async with Database(url) as database, database.write() as session:
        await inbox.add(session, said(1), NOW)
        assert (await inbox.claim(session, CHAT, "me", NOW)) is not None
        await inbox.park(session, "me")
        again = await inbox.claim(session, CHAT, "you", NOW)
    assert again is not None
    assert again.attempts == 1


async def test_old_rows_go_and_waiting_ones_stay(url: str) -> None:
    async with Database(url) as database:
        async with database.write() as session:
            for number in range(1200):
                entry = await inbox.add(session, said(number), NOW)
                assert entry is not None
                if number % 100:
                    await inbox.close(session, entry, NOW)
        await Housekeeper(database, None, clock=lambda: NOW + timedelta(days=6), sleep=_at_once).tidy()
        async with database.read() as session:
            assert await session.scalar(select(func.count()).select_from(InboxRow)) == 1200
        await Housekeeper(database, None, clock=lambda: NOW + timedelta(days=8), sleep=_at_once).tidy()
        async with database.read() as session:
            assert await session.scalar(select(func.count()).select_from(InboxRow)) == 12
            assert await session.scalar(text("PRAGMA auto_vacuum")) == 2


async def _at_once(seconds: float) -> None:
    pass


async def test_every_query_of_the_way_in_and_out_uses_an_index(url: str) -> None:
    """A scan would cost more with each message that is stored."""
    async with Database(url) as database:
        statements: list[tuple[str, object]] = []

        @database_event.listens_for(database._writing.sync_engine, "before_cursor_execute")
        def note(_c: object, _k: object, statement: str, parameters: object, *_: object) -> None:
            statements.append((statement, parameters))

        async with database.write() as session:
            entry = await inbox.add(session, said(1), NOW)
            assert entry is not None
            await inbox.waiting(session, "telegram")
            await inbox.release(session, "telegram", "me", NOW)
            await inbox.renew(session, "me", NOW)
            claimed = await inbox.claim(session, CHAT, "me", NOW)
            assert claimed is not None
            await inbox.placeholders(session, claimed)
            await inbox.close(session, claimed, NOW)
            await outbox.take(session, "telegram", "7")
            await outbox.waiting_chats(session, "telegram")
        plans = []
        async with database.read() as session:
            connection = await session.connection()
            for statement, parameters in statements:
                if statement.split()[0] in ("SELECT", "UPDATE", "INSERT"):
                    rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]
                    plans += [(statement, row[3]) for row in rows]
    assert len(plans) > 8
    scans = [plan for plan in plans if _is_scan(plan[1])]
    assert scans == []


def _is_scan(step: str) -> bool:
    return step.startswith("SCAN") and "INDEX" not in step and "CONSTANT ROW" not in step


async def test_a_database_of_the_first_version_is_brought_up_with_its_rows(tmp_path: Path) -> None:
    file = tmp_path / "old.sqlite3"
    first = Path(__file__).with_name("first_schema.sql").read_text()
    with sqlite3.connect(file) as old:
        old.executescript(first)
    old.close()
    async with Database(f"sqlite+aiosqlite:///{file}") as database:
        async with database.write() as session:
            waiting = await inbox.waiting(session, "telegram")
            entry = await inbox.claim(session, CHAT, "me", NOW)
            [delivery] = await outbox.take(session, "telegram", "7")
        async with database.read() as session:
            assert await session.scalar(text("SELECT version_num FROM alembic_version")) == newest_schema()
            assert await session.scalar(text("PRAGMA auto_vacuum")) == 2
            assert await session.scalar(select(func.count()).select_from(OutboxRow)) == 1
    assert [(one.chat, one.author, one.count) for one in waiting] == [(CHAT, "1", 1)]
    assert entry is not None
    assert delivery.outgoing.part.text == "Not sent yet"


async def test_a_backup_of_a_database_that_is_being_written_is_whole(tmp_path: Path, url: str) -> None:
    copy = tmp_path / "copy.sqlite3"
    async with Database(url) as database:
        assert database.file is not None
        async with database.write() as session:
            for number in range(3000):
                await inbox.add(session, said(number, words="x" * 1000), NOW)

        progress: list[tuple[int, int]] = []
        copying = asyncio.create_task(
            asyncio.to_thread(upkeep.backup, database.file, copy, lambda *pages: progress.append(pages))
        )
        number = 3000
        while not copying.done():
            async with database.write() as session:
                await inbox.add(session, said(number), NOW)
            number += 1
        await copying
        assert list(upkeep.check(database.file)) == []
    assert progress[-1][0] == progress[-1][1] > 0
    assert list(upkeep.check(copy)) == []
    with closing(sqlite3.connect(copy)) as copied:
        (rows,) = copied.execute("SELECT count(*) FROM inbox").fetchone()
    assert 3000 <= rows <= number


async def test_the_check_finds_rows_that_belong_nowhere_and_damage(url: str, tmp_path: Path) -> None:
    file = tmp_path / "chorus.sqlite3"
    async with Database(url):
        pass
    with closing(sqlite3.connect(file)) as database:
        database.execute("INSERT INTO placeholders VALUES (77, 0, '1')")
        database.execute("UPDATE alembic_version SET version_num = '0001'")
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    found = list(upkeep.check(file))
    assert "the schema is version 0001" in found[0]
    assert "placeholders" in found[1]
    content = bytearray(file.read_bytes())
    content[4096:12288] = bytes(8192)
    file.write_bytes(content)
    assert any("damaged" in line for line in upkeep.check(file))
