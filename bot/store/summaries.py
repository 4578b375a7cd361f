"""What long conversations were about: summaries beside the messages, never instead of them.

Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.models import SummaryRow
from bot.store.statement import Statement

_OF_CONVERSATION = Statement("""
SELECT message_id, text, tokens FROM summaries WHERE conversation_id = :conversation ORDER BY message_id
""")


@dataclass(frozen=True, slots=True)
class Summary:
    """What was said on a branch up to and with `message_id`."""

    message_id: int
    text: str
    tokens: int


async def of_branch(session: AsyncSession, conversation_id: int, branch: Collection[int]) -> list[Summary]:
    """The summaries that were made of a branch, given by its messages' ids; the shortest beginning first."""
    rows = await _OF_CONVERSATION.rows(session, {"conversation": conversation_id})
    return [Summary(message, text, tokens) for message, text, tokens in rows if message in branch]


async def add(session: AsyncSession, conversation_id: int, summary: Summary, now: datetime) -> None:
    """Keep a summary; one that was made of the same messages before is replaced."""
    await session.merge(
        SummaryRow(
            conversation_id=conversation_id,
            message_id=summary.message_id,
            text=summary.text,
            tokens=summary.tokens,
            created_at=now,
        )
    )
