"""A whole Chorus in the test's process: real adapters, a real database, scripted answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ColumnElement, func, select

from adapters.base import Adapter
from adapters.discord import DiscordAdapter
from adapters.telegram import TelegramAdapter
from bot.app import App
from bot.commands import COMMANDS
from bot.config import Settings, load_settings
from bot.store.session import Database
from tests.fakes.discord import FakeDiscord
from tests.fakes.engine import ScriptedEngine
from tests.fakes.telegram import FakeTelegram


class Chorus:
    """Starts and stops bots on one database; `engine` serves the next that starts."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url
        self.engine = ScriptedEngine()

    def settings(self, **overrides: Any) -> Settings:
        return load_settings({"database": {"url": self.database_url}, **overrides})

    @asynccontextmanager
    async def serving(self, *platforms: FakeDiscord | FakeTelegram, **overrides: Any) -> AsyncIterator[None]:
        """A bot that is connected to the platforms. Leaving kills it where it stands."""
        adapters = [_adapter(platform) for platform in platforms]
        running = asyncio.create_task(App(self.settings(**overrides), adapters, self.engine).run())
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


def _adapter(platform: FakeDiscord | FakeTelegram) -> Adapter:
    if isinstance(platform, FakeDiscord):
        return DiscordAdapter(
            platform.token,
            api_url=platform.api_url,
            gateway_url=platform.gateway_url,
            commands=COMMANDS,
        )
    return TelegramAdapter(
        platform.token, api_url=platform.api_url, file_url=platform.file_url, commands=COMMANDS
    )


@pytest.fixture
def chorus(tmp_path: Path) -> Chorus:
    return Chorus(f"sqlite+aiosqlite:///{tmp_path / 'chorus.sqlite3'}")


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram() as telegram:
        yield telegram


@pytest.fixture
async def discord() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as discord:
        yield discord
