"""Why messages were answered or not. Knows nothing of the reasons.

Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.models import DecisionRow

_NEW = insert(DecisionRow.__table__)  # type: ignore[arg-type]
_PUT = _NEW.on_conflict_do_update(
    index_elements=["platform", "chat", "platform_message"],
    set_={name: _NEW.excluded[name] for name in ("realm", "person", "verdict", "detail", "at")},
)


async def put(session: AsyncSession, rows: Sequence[Mapping[str, object]]) -> None:
    """Write decisions down, each in place of an earlier one on the same message."""
    newest = {(row["platform"], row["chat"], row["platform_message"]): row for row in rows}
    await session.execute(_PUT, [dict(row) for row in newest.values()])


async def find(session: AsyncSession, platform: str, chat: str, message: str) -> DecisionRow | None:
    return await session.get(DecisionRow, (platform, chat, message))


async def prune(session: AsyncSession, before: datetime) -> None:
    await session.execute(delete(DecisionRow).where(DecisionRow.at < before))
