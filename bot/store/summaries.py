"""What long conversations were about: summaries beside the messages, never instead of them.

Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.models import SummaryRow

_ROWS = SummaryRow.__table__.c
_OF_CONVERSATION = (
    select(_ROWS.message_id, _ROWS.text, _ROWS.tokens)
    .where(_ROWS.conversation_id == bindparam("conversation"))
    .order_by(_ROWS.message_id)
)


@dataclass(frozen=True, slots=True)
class Summary:
    """What was said on a branch up to and with `message_id`."""

    message_id: int
    text: str
    tokens: int


async def of_branch(session: AsyncSession, conversation_id: int, branch: Collection[int]) -> list[Summary]:
    """The summaries that were made of a branch, given by its messages' ids; the shortest beginning first."""
    rows = await session.execute(_OF_CONVERSATION, {"conversation": conversation_id})
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
