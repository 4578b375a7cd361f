"""A whole Chorus in the test's process: real adapters, a real database, scripted answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ColumnElement, func, select

from adapters.base import Adapter
from adapters.discord import DiscordAdapter
from adapters.telegram import TelegramAdapter
from adapters.telegram.budget import TELEGRAMS_LIMITS, Limits
from adapters.types import Event
from bot.app import App
from bot.commands.registry import specs_for
from bot.config import Settings, load_settings
from bot.delivery import Sleep
from bot.services import Clock, utc_now
from bot.store.session import Database
from inference import ModelNotFound
from tests.fakes.discord import FakeDiscord
from tests.fakes.engine import ScriptedEngine
from tests.fakes.telegram import FakeTelegram


class Chorus:
    """Starts and stops bots on one database; `engine` serves the next that starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # of everything that it writes
        self.database_url = f"sqlite+aiosqlite:///{folder / 'chorus.sqlite3'}"
        self.engine = ScriptedEngine()
        self.models: dict[str, ScriptedEngine] = {}  # further ones that can be loaded
        self.codes: list[str] = []  # shown at the start, to become the owner
        self.clock: Clock = utc_now
        self.hurried = True  # the platforms take any number of messages, or else as many as they say
        self.sleep: Sleep = asyncio.sleep  # of whatever waits before it tries again

    def settings(self, **overrides: Any) -> Settings:
        return load_settings({"database": {"url": self.database_url}, **overrides})

    @asynccontextmanager
    async def serving(self, *platforms: FakeDiscord | FakeTelegram, **overrides: Any) -> AsyncIterator[None]:
        """A bot that is connected to the platforms. Leaving kills it where it stands."""
        adapters = [_adapter(platform, self.sleep, hurried=self.hurried) for platform in platforms]
        app = App(
            self.settings(**overrides),
            adapters,
            self.engine,
            open_model=self._open_model,
            announce=self.codes.append,
            clock=self._now,
            sleep=self.sleep,
        )
        running = asyncio.create_task(app.run())
        ready = asyncio.gather(*(adapter.ready() for adapter in adapters))
        await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            ready.cancel()
            running.result()
        try:
            yield
            assert not running.done(), "the bot has ended by itself"
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def _now(self) -> datetime:
        return self.clock()

    def _open_model(self, name: str) -> ScriptedEngine:
        if name not in self.models:
            raise ModelNotFound(f"there is no model called {name}")
        return self.models[name]

    async def count(self, *conditions: ColumnElement[bool]) -> int:
        """How many rows of the conditions' table are stored now."""
        async with self.database() as database, database.read() as session:
            return await session.scalar(select(func.count()).where(*conditions)) or 0

    async def until_stored(self, *conditions: ColumnElement[bool]) -> None:
        """Wait until there is such a row: a person can't see when the bot has written something down."""
        async with asyncio.timeout(20), self.database() as database:
            while True:
                async with database.read() as session:
                    if await session.scalar(select(func.count()).where(*conditions)):
                        return

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        async with Database(self.database_url) as database:
            yield database


@asynccontextmanager
async def connected(platform: FakeDiscord | FakeTelegram) -> AsyncIterator[Adapter]:
    """An adapter on its own, connected, whose events nobody takes."""

    async def take(event: Event) -> None:
        raise RuntimeError("nobody is to say anything here")

    adapter = _adapter(platform, asyncio.sleep)
    running = asyncio.create_task(adapter.run(take))
    try:
        await adapter.ready()
        yield adapter
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _adapter(platform: FakeDiscord | FakeTelegram, sleep: Sleep, *, hurried: bool = False) -> Adapter:
    if isinstance(platform, FakeDiscord):
        return DiscordAdapter(
            platform.token,
            api_url=platform.api_url,
            gateway_url=platform.gateway_url,
            commands=specs_for("discord"),
            writes_a_second=1000 if hurried else 1,
            sleep=sleep,
        )
    return TelegramAdapter(
        platform.token,
        api_url=platform.api_url,
        file_url=platform.file_url,
        commands=specs_for("telegram"),
        limits=Limits(1000, 1000, 10_000) if hurried else TELEGRAMS_LIMITS,
        sleep=sleep,
    )


@pytest.fixture
def chorus(tmp_path: Path) -> Chorus:
    return Chorus(tmp_path)


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram() as telegram:
        yield telegram


@pytest.fixture
async def discord() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as discord:
        yield discord
