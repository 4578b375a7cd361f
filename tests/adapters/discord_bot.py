"""An application around the Discord adapter that only remembers what it was given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from adapters.base import Cursors, Suggest, no_cursors, no_suggestions
from adapters.commands import CommandSpec, Param
from adapters.discord import DiscordAdapter
from adapters.texts import Translate, english
from adapters.types import ButtonPressed, ChatRef, CommandInvoked, Event, MessageCreated, MessageRef
from tests.fakes.discord import FakeDiscord, Message

ASK = CommandSpec("ask", "Ask the model", (Param("question", "What to ask"),), private=False)
PRIVACY = CommandSpec("privacy", "What is kept of you", private=True)


class Bot:
    """The adapter, and what it published."""

    def __init__(self, adapter: DiscordAdapter) -> None:
        self.adapter = adapter
        self.events: list[Event] = []
        self.run: asyncio.Task[None] | None = None
        self._new: asyncio.Queue[Event] = asyncio.Queue()
        self.failures = 0  # how many events can't be stored

    async def publish(self, event: Event) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the disk is full")
        self.events.append(event)
        self._new.put_nowait(event)

    async def receives(self) -> Event:
        async with asyncio.timeout(20):
            return await self._new.get()

    async def receives_message(self) -> MessageCreated:
        event = await self.receives()
        assert isinstance(event, MessageCreated)
        return event

    async def receives_texts(self, count: int) -> list[str]:
        return [(await self.receives_message()).text for _ in range(count)]

    async def receives_press(self) -> ButtonPressed:
        event = await self.receives()
        assert isinstance(event, ButtonPressed)
        return event

    async def receives_command(self) -> CommandInvoked:
        event = await self.receives()
        assert isinstance(event, CommandInvoked)
        return event


@asynccontextmanager
async def running(
    server: FakeDiscord,
    token: str | None = None,
    *,
    commands: Sequence[CommandSpec] = (ASK, PRIVACY),
    cursors: Cursors = no_cursors,
    suggest: Suggest = no_suggestions,
    translate: Translate = english,
    **options: object,
) -> AsyncIterator[Bot]:
    """A bot that is connected until the end of the context."""
    adapter = DiscordAdapter(
        token or server.token,
        api_url=server.api_url,
        gateway_url=server.gateway_url,
        commands=commands,
        **options,  # type: ignore[arg-type]  # clock and sleep
    )
    bot = Bot(adapter)

    async def publish(event: Event) -> None:
        await bot.publish(event)  # looked up each time: a test may put another in its place

    bot.run = asyncio.create_task(adapter.run(publish, cursors=cursors, suggest=suggest, translate=translate))
    try:
        yield bot
    finally:
        bot.run.cancel()
        await asyncio.wait([bot.run])


def ref(message: Message) -> MessageRef:
    return MessageRef(ChatRef("discord", message.channel.id), message.id)
