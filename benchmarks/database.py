"""What a message costs the database, empty and with millions of messages in it: `make bench-database`.

Fills a file by SQL; then takes messages in and starts their turns, in conversations anywhere in it, and does
the same with a database that holds next to nothing but conversations of that length. Both must cost the same:
nothing may look at more than its own conversation. The two are measured alternately.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import Addressed, ChatRef, MessageCreated, MessageRef, Person
from bot.store import history, inbox
from bot.store.history import New
from bot.store.inbox import Entry
from bot.store.session import Database

ROUNDS = 5
BATCH = 100  # messages in a round
SECTION = 100_000  # rows filled in at once

CONVERSATIONS = """
INSERT INTO conversations (id, platform, chat, thread, told_dropped, created_at)
SELECT value, 'telegram', value, '', 0, '2026-01-01 00:00:00.000000' FROM generate WHERE value <= :most
"""
PEOPLE = """
INSERT INTO people (id, platform, platform_id, name, first_seen)
SELECT value, 'telegram', value, 'Alice', '2026-01-01 00:00:00.000000' FROM generate WHERE value <= :most
"""
MESSAGES = """
INSERT INTO messages (id, conversation_id, parent_id, person_id, role, text, created_at)
SELECT value, (value - 1) / :length + 1,
       CASE WHEN (value - 1) % :length = 0 THEN NULL ELSE value - 1 END,
       CASE WHEN value % 2 THEN (value - 1) / :length + 1 END,
       CASE WHEN value % 2 THEN 'user' ELSE 'assistant' END,
       'message ' || value || ' says something of the length that people write to each other here',
       '2026-01-01 00:00:00.000000'
FROM generate WHERE value <= :most
"""
PLACES = """
INSERT INTO message_refs (conversation_id, platform_message, message_id)
SELECT (value - 1) / :length + 1, value, value FROM generate WHERE value <= :most
"""


def fill(file: Path, conversations: int, messages: int) -> None:
    """So many messages in so many conversations, each a chain."""
    length = max(1, messages // conversations)
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        for pragma in ("foreign_keys = OFF", "synchronous = OFF", "cache_size = -200000"):
            database.execute(f"PRAGMA {pragma}")
        for statement, most in (
            (CONVERSATIONS, conversations),
            (PEOPLE, conversations),
            (MESSAGES, conversations * length),
            (PLACES, conversations * length),
        ):
            for start in range(1, most + 1, SECTION):
                numbers = (
                    f"WITH RECURSIVE generate(value) AS (SELECT {start} UNION ALL SELECT value + 1 "
                    f"FROM generate WHERE value < {start + SECTION - 1})"
                )
                database.execute("BEGIN")
                database.execute(f"{numbers} {statement}", {"most": most, "length": length})
                database.execute("COMMIT")
        database.execute(
            "UPDATE conversations SET head_id = id * :length WHERE id <= :conversations",
            {"length": length, "conversations": conversations},
        )


async def turn(database: Database, number: int, chat: str) -> tuple[float, float]:
    """Take a message in and start its turn; gives the seconds of both."""
    now = datetime.now(UTC)
    where = ChatRef("telegram", chat)
    author = Person(chat, "Alice")
    event = MessageCreated(
        id=f"update:{number}",
        message=MessageRef(where, str(10**9 + number)),
        author=author,
        text="How much does this cost?",
        addressed=Addressed.DIRECT,
        sent_at=now,
        private=True,
    )

    async def take(session: AsyncSession) -> Entry | None:
        return await inbox.add(session, event, now)

    async def claim(session: AsyncSession) -> Entry | None:
        return await inbox.claim(session, where, "benchmark", now)

    async def start(session: AsyncSession) -> None:
        head = await history.head(session, where, now)
        person = await history.person(session, author, "telegram", now)
        assert await history.at_place(session, head.conversation_id, event.message.message) is None
        asked = New(
            head.conversation_id, "user", event.text, now, parent_id=head.message_id, person_id=person
        )
        await history.branch(
            session, await history.add(session, asked, platform_message=event.message.message)
        )

    began = time.perf_counter()
    await database.transact(take)
    stored = time.perf_counter()
    entry = await database.transact(claim)
    assert entry is not None
    await database.transact(start)
    started = time.perf_counter()
    await database.transact(lambda session: inbox.close(session, entry, now))
    return stored - began, started - stored


async def measure(folder: Path, conversations: int, messages: int) -> None:
    files = {"empty": folder / "empty.sqlite3", "filled": folder / "filled.sqlite3"}
    for file in files.values():
        async with Database(f"sqlite+aiosqlite:///{file}"):
            pass
    length = max(1, messages // conversations)
    began = time.perf_counter()
    fill(files["filled"], conversations, messages)
    fill(
        files["empty"], BATCH, BATCH * length
    )  # the conversations that are used have the same length in both
    size = files["filled"].stat().st_size / 2**20
    print(f"{conversations} conversations, {messages} messages, {size:.0f} MiB,", end=" ")
    print(f"filled in {time.perf_counter() - began:.0f} s")
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in files}
    number = 0
    for _ in range(ROUNDS):
        for name, file in files.items():
            async with Database(f"sqlite+aiosqlite:///{file}") as database:
                await turn(database, (number := number + 1), "1")  # the connection's first
                for one in range(BATCH):
                    chat = one + 1 if name == "empty" else random.randint(1, conversations)
                    costs[name].append(await turn(database, (number := number + 1), str(chat)))
    for name, pairs in costs.items():
        line = [f"{name:7}"]
        for what, seconds in zip(("taken in", "turn started"), zip(*pairs, strict=True), strict=True):
            ordered = sorted(seconds)
            median, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
            line.append(f"{what}: median {median * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms;")
        print(" ".join(line))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=5_000_000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    random.seed(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="database-"))
    try:
        asyncio.run(measure(folder, options.conversations, options.messages))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
