"""Kills the bot at random moments, hundreds of times, while people talk to it on two platforms.

The local platform servers and the people live in this process, the bot in another, with the real adapters,
the real database and a model that needs no time. It is killed (SIGKILL) at a random moment from its start on
and started again. When the last one has come to rest, each message must have been answered exactly once, and
in each conversation in order. On Telegram nobody can know after a kill whether a message that was being sent
has arrived; what is left of that are openings ("You said …"), never whole answers, and they are counted. Ends
with exit code 1 if anything is lost, doubled or out of order. `make chaos` runs it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.instant import Place
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram import FakeTelegram

CHATS = 8  # of each of four kinds
SHORTEST_LIFE, LONGEST_LIFE = 0.3, 3.5  # seconds from a start to the kill
PAUSE = 5.0  # seconds between a person's messages, on average
THINKING = 0.03  # seconds of the model for a word, at most
REST = 60.0  # seconds without any further answer, after which what is unanswered is lost
END = 10.0  # seconds within which SIGTERM ends the bot
REPORTS = 10
WORD = re.compile(r"message-\d+-\d+")
UNFINISHED = "…"


@dataclass
class Talk:
    """One conversation: how a person says something, and what the bot has said."""

    number: int
    say: Callable[[str], Awaitable[object]]
    heard: Callable[[], Sequence[str]]
    said: list[str] = field(default_factory=list)

    async def go_on(self) -> None:
        word = f"message-{self.number}-{len(self.said)}"
        self.said.append(word)
        await self.say(word)

    def answered(self) -> list[str]:
        """What was answered, in the order of the answers."""
        return [word for text in self.heard() if not text.endswith(UNFINISHED) for word in WORD.findall(text)]

    def openings(self) -> int:
        return sum(text.endswith(UNFINISHED) for text in self.heard())


@dataclass
class Verdict:
    messages: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    openings: int = 0
    merged: int = 0

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.disordered)


def judge(talks: Sequence[Talk]) -> Verdict:
    verdict = Verdict()
    for talk in talks:
        answered = talk.answered()
        times = Counter(answered)
        verdict.messages += len(talk.said)
        verdict.lost += sum(times[word] == 0 for word in talk.said)
        verdict.doubled += sum(times[word] > 1 for word in talk.said)
        verdict.disordered += answered != sorted(answered, key=talk.said.index)
        verdict.openings += talk.openings()
        verdict.merged += sum(len(WORD.findall(text)) - 1 for text in talk.heard() if WORD.search(text))
    return verdict


def conversations(discord: FakeDiscord, telegram: FakeTelegram) -> list[Talk]:
    """Private chats and groups on both platforms, one person in each."""
    talks: list[Talk] = []
    server = discord.server("Home")
    mention = discord.bot.mention
    for number in range(CHATS):
        someone, other = discord.person(f"Dora{number}"), telegram.person(f"Tim{number}")
        private, channel = discord.direct(someone), server.channel(f"room-{number}")
        chat, group = telegram.direct(other), telegram.group(f"Group {number}")
        ways: list[tuple[Callable[[str], Awaitable[object]], Callable[[], Sequence[str]]]] = [
            (
                lambda text, to=private, by=someone: to.says(by, text),
                lambda of=private: [one.text for one in of.messages if one.author == discord.bot],
            ),
            (
                lambda text, to=channel, by=someone: to.says(by, f"{mention} {text}"),
                lambda of=channel: [one.text for one in of.messages if one.author == discord.bot],
            ),
            (
                lambda text, to=chat, by=other: to.says(by, text),
                lambda of=chat: [one.text for one in of.messages if one.author == telegram.bot],
            ),
            (
                lambda text, to=group, by=other: to.says(by, f"@chorus_bot {text}"),
                lambda of=group: [one.text for one in of.messages if one.author == telegram.bot],
            ),
        ]
        talks += [Talk(len(talks) + index, say, heard) for index, (say, heard) in enumerate(ways)]
    return talks


async def chatter(talk: Talk) -> None:
    while True:
        await asyncio.sleep(random.expovariate(1 / PAUSE))
        await talk.go_on()


async def start(place: Place) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.instant", place.argument())


async def all_answered(talks: Sequence[Talk]) -> bool:
    """Wait until nothing is left to answer; False if no more answers come."""
    answered, ends = -1, time.monotonic() + REST
    while time.monotonic() < ends:
        now = sum(len(set(talk.answered())) for talk in talks)
        if now == sum(len(talk.said) for talk in talks):
            return True
        if now > answered:
            answered, ends = now, time.monotonic() + REST
        await asyncio.sleep(0.2)
    return False


async def torture(kills: int, place: Place, talks: Sequence[Talk]) -> None:
    """Let everyone meet the bot once in peace, then kill it again and again."""
    process = await start(place)
    for talk in talks:
        await talk.go_on()
    if not await all_answered(talks):
        raise SystemExit("the bot did not even answer in peace; see " + place.log)
    people = [asyncio.create_task(chatter(talk)) for talk in talks]
    for number in range(1, kills + 1):
        await asyncio.sleep(random.uniform(SHORTEST_LIFE, LONGEST_LIFE))
        if process.returncode is not None:
            raise SystemExit(f"the bot has ended by itself with {process.returncode}; see {place.log}")
        process.kill()
        await process.wait()
        process = await start(place)
        if number % max(1, kills // REPORTS) == 0:
            said = sum(len(talk.said) for talk in talks)
            print(f"{number} kills, {said} messages", flush=True)
    for person in people:
        person.cancel()
    await all_answered(talks)
    await asyncio.sleep(2)  # something doubled might still come
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(END):
        code = await process.wait()
    if code:
        raise SystemExit(f"SIGTERM ended the bot with exit code {code}; see {place.log}")


def doubts(database: str) -> tuple[int, int]:
    """How many sends were made again because nobody knew whether they had arrived, and how many events are
    set aside."""
    with sqlite3.connect(database) as connection:
        (doubtful,) = connection.execute("SELECT coalesce(sum(doubtful), 0) FROM outbox").fetchone()
        (aside,) = connection.execute("SELECT count(*) FROM inbox WHERE state = 'aside'").fetchone()
    return doubtful, aside


async def run(kills: int, folder: Path) -> bool:
    async with FakeDiscord() as discord, FakeTelegram() as telegram:
        place = Place(
            database=str(folder / "chorus.sqlite3"),
            discord_token=discord.token,
            discord_api=discord.api_url,
            discord_gateway=discord.gateway_url,
            telegram_token=telegram.token,
            telegram_api=telegram.api_url,
            telegram_file=telegram.file_url,
            log=str(folder / "chorus.log"),
            pause=THINKING,
        )
        talks = conversations(discord, telegram)
        await torture(kills, place, talks)
        verdict = judge(talks)
        doubtful, aside = doubts(place.database)
        print(
            f"kills {kills}, messages {verdict.messages}, lost {verdict.lost}, doubled {verdict.doubled}, "
            f"conversations out of order {verdict.disordered}"
        )
        print(
            f"answered together with the one before: {verdict.merged}; "
            f"sends on Telegram in doubt: {doubtful}; openings left behind: {verdict.openings}; "
            f"set aside: {aside}"
        )
        if not verdict.is_good:
            for talk in talks:
                if talk.answered() != talk.said:
                    print(f"conversation {talk.number}: {list(talk.heard())}")
        return verdict.is_good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", action="store_true", help="keep the database and the log")
    options = parser.parse_args()
    random.seed(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        good = asyncio.run(run(options.kills, folder))
    finally:
        if options.keep:
            print(folder)
        else:
            shutil.rmtree(folder)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
