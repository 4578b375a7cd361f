"""Units of work that share a transaction in the database's thread: each is stored whole or not at all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store import facts
from bot.store.session import Database

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def test_one_of_several_that_fails_takes_nobody_with_it(tmp_path: Path) -> None:
    async def keep(session: AsyncSession, key: str) -> str:
        await facts.put(session, key, "kept", NOW)
        if key == "b":
            raise ValueError("not this one")
        return key

    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'units.sqlite3'}") as database:
        commits: list[object] = []
        event.listen(database._writing.sync_engine, "commit", commits.append)
        units = [database.transact(lambda session, key=key: keep(session, key)) for key in "abc"]  # type: ignore[misc]
        a, b, c = await asyncio.gather(*units, return_exceptions=True)
        assert (a, c) == ("a", "c")
        assert isinstance(b, ValueError)
        stored = [await database.look(lambda session, key=key: facts.get(session, key)) for key in "abc"]  # type: ignore[misc]
        assert stored == ["kept", None, "kept"]
    assert len(commits) == 1


async def test_a_unit_that_waits_for_something_else_is_refused(tmp_path: Path) -> None:
    async def dawdle(session: AsyncSession) -> None:
        await facts.put(session, "a", "kept", NOW)
        await asyncio.sleep(0)

    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'units.sqlite3'}") as database:
        with pytest.raises(RuntimeError, match="may wait for nothing"):
            await database.transact(dawdle)
        assert await database.look(lambda session: facts.get(session, "a")) is None
