"""Answers on their way out: written in the transaction that closes their event, sent afterwards.

    enqueue (with the answer and the inbox row, one transaction) ──▶ pending
        ──send or edit at the platform──▶ mark_sent
        ──a crash in between──▶ pending still: repeated; an edit or a send with the same key does no harm

Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import ChatRef, MessageRef, Part
from bot.store.models import OutboxRow, OutboxState


class Action(StrEnum):
    SEND = "send"
    EDIT = "edit"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is to be done at the platform. `target` is the message to edit or delete; an edit whose target is
    gone becomes a send. `facts` is what is known of the answer."""

    action: Action
    part: Part
    target: str | None = None
    reply_to: str | None = None
    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A stored Outgoing. `message_id` is the history's message that it shows, if any."""

    id: int
    chat: ChatRef
    key: str
    outgoing: Outgoing
    message_id: int | None


PAYLOAD: TypeAdapter[list[Outgoing]] = TypeAdapter(  # in a list of one: only so does the configuration count
    list[Outgoing], config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
)


async def enqueue(
    session: AsyncSession,
    chat: ChatRef,
    outgoing: Sequence[tuple[str, Outgoing]],
    now: datetime,
    *,
    inbox_id: int | None = None,
    message_id: int | None = None,
) -> None:
    """Put messages, each with its key, at the end of the chat's queue."""
    for key, one in outgoing:
        session.add(
            OutboxRow(
                inbox_id=inbox_id,
                message_id=message_id,
                platform=chat.platform,
                chat=chat.chat,
                thread=chat.thread or "",
                payload=PAYLOAD.dump_python([one], mode="json")[0],
                key=key,
                state=OutboxState.PENDING,
                created_at=now,
            )
        )


async def next_for(session: AsyncSession, platform: str, chat: str) -> Delivery | None:
    """The oldest message of a chat that is still to be sent."""
    row = await session.scalar(
        select(OutboxRow)
        .where(OutboxRow.platform == platform, OutboxRow.chat == chat, OutboxRow.state == OutboxState.PENDING)
        .order_by(OutboxRow.id)
        .limit(1)
    )
    if row is None:
        return None
    return Delivery(
        id=row.id,
        chat=ChatRef(row.platform, row.chat, row.thread or None),
        key=row.key,
        outgoing=PAYLOAD.validate_python([row.payload])[0],
        message_id=row.message_id,
    )


async def waiting_chats(session: AsyncSession, platform: str) -> Sequence[str]:
    """Chats for which something is to be sent."""
    rows = await session.scalars(
        select(OutboxRow.chat)
        .where(OutboxRow.platform == platform, OutboxRow.state == OutboxState.PENDING)
        .distinct()
    )
    return list(rows)


async def mark_sent(session: AsyncSession, delivery: Delivery, now: datetime) -> None:
    await session.execute(
        update(OutboxRow).where(OutboxRow.id == delivery.id).values(state=OutboxState.SENT, sent_at=now)
    )


async def mark_failed(session: AsyncSession, delivery: Delivery, error: str) -> None:
    """It can never be sent; `error` says why."""
    await session.execute(
        update(OutboxRow).where(OutboxRow.id == delivery.id).values(state=OutboxState.FAILED, error=error)
    )


def target_of(delivery: Delivery) -> MessageRef | None:
    """The message that a delivery edits or deletes."""
    target = delivery.outgoing.target
    return None if target is None else MessageRef(delivery.chat, target)


def reply_of(delivery: Delivery) -> MessageRef | None:
    """The message that a delivery answers."""
    reply_to = delivery.outgoing.reply_to
    return None if reply_to is None else MessageRef(delivery.chat, reply_to)
