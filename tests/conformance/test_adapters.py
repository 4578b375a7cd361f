"""Every adapter keeps the same promises."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.base import Adapter
from adapters.console import ConsoleAdapter
from adapters.discord import DiscordAdapter
from adapters.telegram import TelegramAdapter
from adapters.types import ChatRef, Event, MessageRef
from tests.conformance.adapters import AdapterConformance, EditingConformance, Stage
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram import FakeTelegram


@asynccontextmanager
async def running(adapter: Adapter) -> AsyncIterator[None]:
    async def publish(event: Event) -> None:
        raise AssertionError("nobody has said anything")

    task = asyncio.create_task(adapter.run(publish))
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


class TestDiscord(EditingConformance):
    @pytest.fixture
    async def stage(self) -> AsyncIterator[Stage]:
        clock = Impatient()
        async with FakeDiscord() as discord:
            dm = discord.direct(discord.person("Alice"))
            adapter = DiscordAdapter(
                discord.token,
                api_url=discord.api_url,
                gateway_url=discord.gateway_url,
                clock=clock,
                sleep=clock.sleep,
            )
            chat = ChatRef("discord", dm.id)
            async with running(adapter):
                yield Stage(
                    adapter,
                    chat,
                    texts=lambda: dm.texts,
                    gone=MessageRef(chat, "404"),
                    menu_writes=lambda: sum(request.method == "PUT" for request in discord.requests),
                )


class TestTelegram(EditingConformance):
    """In a group: there previews are edits."""

    @pytest.fixture
    async def stage(self) -> AsyncIterator[Stage]:
        clock = Impatient()
        async with FakeTelegram() as telegram:
            group = telegram.group("Friends")
            adapter = TelegramAdapter(
                telegram.token,
                api_url=telegram.api_url,
                file_url=telegram.file_url,
                clock=clock,
                sleep=clock.sleep,
            )
            chat = ChatRef("telegram", str(group.id))
            async with running(adapter):
                yield Stage(
                    adapter,
                    chat,
                    texts=lambda: [message.text for message in group.visible],
                    gone=MessageRef(chat, "404"),
                    menu_writes=lambda: len(telegram.calls("setMyCommands")),
                )


class TestConsole(AdapterConformance):
    @pytest.fixture
    def stage(self) -> Stage:
        output = io.StringIO()
        shown: list[str] = []
        adapter = ConsoleAdapter([], output, show=lambda text, facts: shown.append(text))
        chat = ChatRef("console", "here")
        return Stage(adapter, chat, texts=lambda: shown, gone=MessageRef(chat, "404"), menu_writes=lambda: 0)
