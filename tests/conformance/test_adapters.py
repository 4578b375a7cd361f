"""Every adapter keeps the same promises."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest

from adapters.base import Adapter
from adapters.console import ConsoleAdapter
from adapters.discord import DiscordAdapter
from adapters.telegram import TelegramAdapter
from adapters.types import ChatRef, Person
from bot.commands import COMMANDS
from tests.conformance.adapters import AdapterConformance, PlatformConformance, PlatformStage, Stage
from tests.fakes.discord import FakeDiscord
from tests.fakes.discord import world as discord_chats
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram import chats as telegram_chats
from tests.fakes.telegram.spec import Upload


@asynccontextmanager
async def running(adapter: Adapter, stage: Stage) -> AsyncIterator[None]:
    task = asyncio.create_task(adapter.run(stage.publish))
    try:
        async with asyncio.timeout(20):
            await adapter.ready()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Impatient:
    """A clock on which a waiting sender's time passes at once."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class DiscordStage(PlatformStage):
    """In a private chat; the group is a channel of a server."""

    def __init__(self, discord: FakeDiscord, clock: Impatient) -> None:
        super().__init__()
        self._discord = discord
        self._alice = discord.person("Alice")
        self._dm = discord.direct(self._alice)
        self._server = discord.server("Garden")
        channel = self._server.channel("general")
        self.chat = self.private = ChatRef("discord", self._dm.id)
        self.group = ChatRef("discord", channel.id)
        self.administrator = Person(self._server.owner.id, "Olivia")
        self.member = Person(self._alice.id, "Alice")
        self.adapter = DiscordAdapter(
            discord.token,
            api_url=discord.api_url,
            gateway_url=discord.gateway_url,
            clock=clock,
            sleep=clock.sleep,
        )

    def texts(self) -> list[str]:
        return [message.text for message in self._mine()]

    def _mine(self) -> list[discord_chats.Message]:
        return [message for message in self._dm.visible if message.author == self._discord.bot]

    async def files(self) -> list[tuple[str, bytes]]:
        return [(file.name, file.content) for message in self._mine() for file in message.files]

    async def writes(self, text: str) -> None:
        await self._dm.says(self._alice, text)

    def labels(self) -> list[list[str]]:
        return self._mine()[-1].buttons

    async def press(self, label: str) -> None:
        await self._dm.press(self._alice, self._mine()[-1], label)

    async def writes_with_file(self, text: str, name: str, content: bytes) -> None:
        await self._dm.says(self._alice, text, files={name: content})

    async def rewrites(self, text: str) -> None:
        [*_, newest] = [message for message in self._dm.visible if message.author == self._alice]
        await newest.rewrite(text)

    def menu_writes(self) -> int:
        return sum(request.method == "PUT" for request in self._discord.requests)


class TelegramStage(PlatformStage):
    """In a group: there previews are edits."""

    def __init__(self, telegram: FakeTelegram, clock: Impatient) -> None:
        super().__init__()
        self._telegram = telegram
        self._alice, olivia = telegram.person("Alice"), telegram.person("Olivia")
        self._group = telegram.group("Friends")
        self._group.joins(self._alice)
        self._group.joins(olivia, "administrator")
        self.chat = self.group = ChatRef("telegram", str(self._group.id))
        self.private = ChatRef("telegram", str(telegram.direct(olivia).id))
        self.administrator = Person(str(olivia.id), "Olivia")
        self.member = Person(str(self._alice.id), "Alice")
        self.adapter = TelegramAdapter(
            telegram.token,
            api_url=telegram.api_url,
            file_url=telegram.file_url,
            clock=clock,
            sleep=clock.sleep,
        )

    def _to_bot(self, text: str) -> str:
        return f"@{self._telegram.bot.username} {text}"

    def texts(self) -> list[str]:
        return [message.text for message in self._mine()]

    def _mine(self) -> list[telegram_chats.Message]:
        return [message for message in self._group.visible if message.author == self._telegram.bot]

    async def files(self) -> list[tuple[str, bytes]]:
        return [(message.file.name, message.file.content) for message in self._mine() if message.file]

    async def writes(self, text: str) -> None:
        await self._group.says(self._alice, self._to_bot(text))

    def labels(self) -> list[list[str]]:
        return self._mine()[-1].labels

    async def press(self, label: str) -> None:
        await self._mine()[-1].press(self._alice, label)

    async def writes_with_file(self, text: str, name: str, content: bytes) -> None:
        await self._group.says(self._alice, self._to_bot(text), file=Upload(name, content))

    async def rewrites(self, text: str) -> None:
        [*_, newest] = [message for message in self._group.visible if message.author == self._alice]
        await newest.becomes(self._to_bot(text))

    def menu_writes(self) -> int:
        return len(self._telegram.calls("setMyCommands"))


class ConsoleStage(Stage):
    """A terminal into which the person types."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._shown: list[str] = []
        self._folder = folder
        self.chat = self.private = ChatRef("console", "here")
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self.adapter = ConsoleAdapter(
            iter(self._lines.get, None),
            io.StringIO(),
            chat="here",
            show=lambda text, facts: self._shown.append(text),
            folder=folder,
        )

    def texts(self) -> list[str]:
        return self._shown

    async def files(self) -> list[tuple[str, bytes]]:
        return [(path.name, path.read_bytes()) for path in sorted(self._folder.iterdir(), key=_number)]

    async def writes(self, text: str) -> None:
        self._lines.put(text)

    def hangs_up(self) -> None:
        self._lines.put(None)


def _number(path: Path) -> int:
    return int(path.stem.partition("-")[2] or 1)


class TestDiscord(PlatformConformance):
    @pytest.fixture
    async def stage(self) -> AsyncIterator[PlatformStage]:
        async with FakeDiscord() as discord:
            stage = DiscordStage(discord, Impatient())
            async with running(stage.adapter, stage):
                yield stage


class TestTelegram(PlatformConformance):
    @pytest.fixture
    async def stage(self) -> AsyncIterator[PlatformStage]:
        async with FakeTelegram() as telegram:
            stage = TelegramStage(telegram, Impatient())
            async with running(stage.adapter, stage):
                yield stage


class TestConsole(AdapterConformance):
    @pytest.fixture
    async def stage(self, tmp_path: Path) -> AsyncIterator[Stage]:
        folder = tmp_path / "files"
        folder.mkdir()
        stage = ConsoleStage(folder)
        await stage.adapter.publish_commands(COMMANDS)
        async with running(stage.adapter, stage):
            yield stage
            stage.hangs_up()
