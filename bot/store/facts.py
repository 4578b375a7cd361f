"""Single things to be remembered from run to run, each under a key.

Every function works within the caller's transaction.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.models import Fact


async def get(session: AsyncSession, key: str) -> str | None:
    fact = await session.get(Fact, key)
    return None if fact is None else fact.value


async def put(session: AsyncSession, key: str, value: str, now: datetime) -> None:
    changed = {"value": value, "at": now}
    await session.execute(
        insert(Fact).values(key=key, **changed).on_conflict_do_update(index_elements=["key"], set_=changed)
    )
