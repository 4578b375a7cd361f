"""Why messages were answered or not. Knows nothing of the reasons.

Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.models import DecisionRow
from bot.store.statement import Statement, stamp

_PUT = Statement("""
INSERT INTO decisions (platform, chat, platform_message, realm, person, verdict, detail, at)
VALUES (:platform, :chat, :platform_message, :realm, :person, :verdict, :detail, :at)
ON CONFLICT (platform, chat, platform_message) DO UPDATE SET realm = excluded.realm,
    person = excluded.person, verdict = excluded.verdict, detail = excluded.detail, at = excluded.at
""")


async def put(session: AsyncSession, row: Mapping[str, Any], at: datetime) -> None:
    """Write a decision down, in place of an earlier one on the same message."""
    await _PUT.run(session, {**row, "at": stamp(at)})


async def find(session: AsyncSession, platform: str, chat: str, message: str) -> DecisionRow | None:
    return await session.get(DecisionRow, (platform, chat, message))


async def prune(session: AsyncSession, before: datetime) -> None:
    await session.execute(delete(DecisionRow).where(DecisionRow.at < before))
