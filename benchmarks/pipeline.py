"""How much the bot itself can carry: messages a second through all but a model. `make bench-pipeline`.

The local platform servers and the people are in this process, the bot in another, with the real adapters, the
real database and a model that needs no time. In each conversation someone writes, reads the answer and writes
again; half of the conversations are on each platform. The time from a message's being handed to the bot until
its whole answer stands in the chat is taken here, every `LOOK`, so that the servers' own work counts too. Of
the processor's time each of the two processes takes its part, which is told for a message: what the servers
take is not the bot's. With `--bare` the platforms' libraries answer by themselves (`benchmarks.bare`): what
they cost, no bot with them can go below.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.instant import Place
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram import FakeTelegram

WARM_UP = 3.0  # seconds
LOOK = 0.005  # seconds between two looks at what was answered
START = 60.0  # seconds until the first answer
PLATFORMS = ("telegram", "discord")


@dataclass(slots=True)
class Talk:
    """A conversation in which one message at a time waits for its answer."""

    number: int
    say: Callable[[str], Awaitable[object]]
    last: Callable[[], str]
    count: int = 0
    waiting_for: str = ""
    since: float = 0.0

    async def go_on(self) -> None:
        self.count += 1
        words = f"message {self.number} {self.count}"
        self.waiting_for = f"You said: {words}"
        self.since = time.perf_counter()
        await self.say(words)


def conversations(
    discord: FakeDiscord, telegram: FakeTelegram, count: int, platforms: Sequence[str] = PLATFORMS
) -> list[Talk]:
    """So many conversations, on the platforms in turn."""
    talks: list[Talk] = []
    for number in range(count):
        if platforms[number % len(platforms)] == "discord":
            dora = discord.person(f"Dora{number}")
            channel = discord.direct(dora)
            talks.append(
                Talk(
                    number,
                    lambda text, to=channel, by=dora: to.says(by, text),  # type: ignore[misc]
                    lambda of=channel: of.messages[-1].text,  # type: ignore[misc]
                )
            )
        else:
            tim = telegram.person(f"Tim{number}")
            chat = telegram.direct(tim)
            talks.append(
                Talk(
                    number,
                    lambda text, to=chat, by=tim: to.says(by, text),  # type: ignore[misc]
                    lambda of=chat: of.messages[-1].text,  # type: ignore[misc]
                )
            )
    return talks


async def talk(talks: Sequence[Talk], seconds: float) -> list[float]:
    """Let all of them talk for so long; gives how long each answer took, in seconds."""
    took: list[float] = []
    ends = time.perf_counter() + seconds
    while (now := time.perf_counter()) < ends:
        for one in talks:
            if one.last() == one.waiting_for:
                took.append(now - one.since)
                await one.go_on()
        await asyncio.sleep(LOOK)
    return took


def busy(process: int) -> float:
    """Seconds of a processor that a process has used; 0 where the system does not tell."""
    status = Path(f"/proc/{process}/stat")
    if not status.is_file():
        return 0.0
    fields = status.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: int) -> float:
    """Resident memory of a process in MiB; 0 where the system does not tell."""
    status = Path(f"/proc/{process}/statm")
    if not status.is_file():
        return 0.0
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measure(count: int, seconds: float, program: str, platforms: Sequence[str]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="pipeline-"))
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        discord = await stack.enter_async_context(FakeDiscord())
        telegram = await stack.enter_async_context(FakeTelegram())
        talks = conversations(discord, telegram, count, platforms)
        place = Place(
            database=str(folder / "chorus.sqlite3"),
            discord_token=discord.token,
            discord_api=discord.api_url,
            discord_gateway=discord.gateway_url,
            telegram_token=telegram.token,
            telegram_api=telegram.api_url,
            telegram_file=telegram.file_url,
            log=str(folder / "chorus.log"),
        )
        bot = await asyncio.create_subprocess_exec(sys.executable, "-m", program, place.argument())
        try:
            await asyncio.wait_for(discord.until(lambda: discord.gateway.connected, START), START)
            for one in talks:
                await one.go_on()
            await talk(talks, WARM_UP)
            began, by_us, by_bot = time.perf_counter(), time.process_time(), busy(bot.pid)
            took = sorted(await talk(talks, seconds))
            lasted = time.perf_counter() - began
            by_us, by_bot = time.process_time() - by_us, busy(bot.pid) - by_bot
            resident = memory(bot.pid)
        finally:
            bot.send_signal(signal.SIGTERM)
            await bot.wait()
    if not took:
        print(f"{count} conversations: no answer within {seconds:.0f} s")
        return
    print(
        f"{count:5} conversations: {len(took) / lasted:6.1f} messages/s, "
        f"p50 {took[len(took) // 2] * 1000:6.0f} ms, p99 {took[int(len(took) * 0.99)] * 1000:6.0f} ms, "
        f"{resident:4.0f} MiB; of a processor a message: bot {by_bot / len(took) * 1000:.2f} ms, "
        f"servers and people {by_us / len(took) * 1000:.2f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--platforms", nargs="+", choices=PLATFORMS, default=PLATFORMS)
    parser.add_argument("--bare", action="store_true", help="the platforms' libraries alone")
    options = parser.parse_args()
    program = "benchmarks.bare" if options.bare else "benchmarks.instant"
    for count in options.conversations:
        asyncio.run(measure(count, options.seconds, program, options.platforms))


if __name__ == "__main__":
    main()
