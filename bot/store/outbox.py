"""Answers on their way out: written in the transaction that closes their event, sent afterwards.

    enqueue (with the answer and the inbox row, one transaction) ──▶ pending
        ──send or edit at the platform──▶ sent
        ──a crash in between──▶ pending still: repeated; an edit or a send with the same key does no harm

Where the platform can't recognise a send that is repeated:

    pending ──mark_sending──▶ sending ──the opening is sent──▶ mark_opened: pending, as an edit of the opening
                                 └──a crash, or no answer came──▶ doubtful: the opening is sent again

Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from sqlalchemy import bindparam, delete, insert, literal_column, select, update
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
    """A stored Outgoing. `message_id` is the history's message that it shows, if any. `in_doubt`: a send of
    it was under way when the process that made it ended."""

    id: int
    chat: ChatRef
    key: str
    outgoing: Outgoing
    message_id: int | None
    in_doubt: bool = False


AT_ONCE = 10  # messages of a chat that are read together

_ROWS = OutboxRow.__table__.c

# Written out, since SQLite takes a partial index only where the query says the same words.
WAITING = _ROWS.state.in_([literal_column("'pending'"), literal_column("'sending'")])

# Statements of every answer are built once, and of tables: what the mapper adds costs more than they do.
_ADD = insert(OutboxRow.__table__)  # type: ignore[arg-type]
_NEXT = (
    select(OutboxRow.__table__)
    .where(_ROWS.platform == bindparam("platform"), _ROWS.chat == bindparam("chat"), WAITING)
    .order_by(_ROWS.id)
    .limit(AT_ONCE)
)
_ROW = update(OutboxRow.__table__).where(_ROWS.id == bindparam("delivery"))  # type: ignore[arg-type]
_SENDING = _ROW.values(state=OutboxState.SENDING)
_DOUBTFUL = _ROW.values(doubtful=_ROWS.doubtful + 1)
_OPENED = _ROW.values(state=OutboxState.PENDING, payload=bindparam("opened"))
_SENT = _ROW.values(state=OutboxState.SENT, sent_at=bindparam("at"))
_FAILED = _ROW.values(state=OutboxState.FAILED, error=bindparam("because"))

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
    rows = [
        {
            "inbox_id": inbox_id,
            "message_id": message_id,
            "platform": chat.platform,
            "chat": chat.chat,
            "thread": chat.thread or "",
            "payload": PAYLOAD.dump_python([one], mode="json")[0],
            "key": key,
            "state": OutboxState.PENDING,
            "created_at": now,
        }
        for key, one in outgoing
    ]
    if rows:
        await session.execute(_ADD, rows)


async def next_for(session: AsyncSession, platform: str, chat: str) -> list[Delivery]:
    """The oldest messages of a chat that are still to be sent, in order; if fewer than `AT_ONCE`, all."""
    rows = await session.execute(_NEXT, {"platform": platform, "chat": chat})
    return [
        Delivery(
            id=row.id,
            chat=ChatRef(row.platform, row.chat, row.thread or None),
            key=row.key,
            outgoing=PAYLOAD.validate_python([row.payload])[0],
            message_id=row.message_id,
            in_doubt=row.state == OutboxState.SENDING,
        )
        for row in rows
    ]


async def waiting_chats(session: AsyncSession, platform: str) -> Sequence[str]:
    """Chats for which something is to be sent."""
    rows = await session.scalars(select(_ROWS.chat).where(_ROWS.platform == platform, WAITING).distinct())
    return list(rows)


async def mark_sending(session: AsyncSession, delivery: Delivery) -> None:
    """What can't be recognised when it is repeated is about to be sent."""
    await session.execute(_SENDING, {"delivery": delivery.id})


async def mark_doubtful(session: AsyncSession, delivery: Delivery) -> None:
    """It is not known whether it was sent, so that it is sent again."""
    await session.execute(_DOUBTFUL, {"delivery": delivery.id})


async def mark_opened(session: AsyncSession, delivery: Delivery, message: MessageRef) -> Delivery:
    """Its opening stands in the chat as `message`; what remains is an edit of that."""
    chat = replace(delivery.chat, chat=message.chat.chat)  # a group may have moved meanwhile
    opened = replace(
        delivery,
        chat=chat,
        outgoing=replace(delivery.outgoing, action=Action.EDIT, target=message.message),
        in_doubt=False,
    )
    payload = PAYLOAD.dump_python([opened.outgoing], mode="json")[0]
    await session.execute(_OPENED, {"delivery": delivery.id, "opened": payload})
    return opened


async def mark_sent(session: AsyncSession, delivery: Delivery, now: datetime) -> None:
    await session.execute(_SENT, {"delivery": delivery.id, "at": now})


async def mark_failed(session: AsyncSession, delivery: Delivery, error: str) -> None:
    """It can never be sent; `error` says why."""
    await session.execute(_FAILED, {"delivery": delivery.id, "because": error})


async def prune(session: AsyncSession, after: int, before: datetime, most: int) -> int | None:
    """Of the next `most` rows behind row `after`, delete those that were sent, or given up, and are older
    than a time. Returns the last row looked at; None when there is nothing older to look at."""
    rows = (
        await session.execute(
            select(OutboxRow.id, OutboxRow.state, OutboxRow.created_at)
            .where(OutboxRow.id > after)
            .order_by(OutboxRow.id)
            .limit(most)
        )
    ).all()
    old = [row for row in rows if row.created_at < before]
    over = [row.id for row in old if row.state in (OutboxState.SENT, OutboxState.FAILED)]
    if over:
        await session.execute(
            delete(OutboxRow).where(OutboxRow.id.in_(over)).execution_options(synchronize_session=False)
        )
    return old[-1].id if old and len(old) == len(rows) else None


def target_of(delivery: Delivery) -> MessageRef | None:
    """The message that a delivery edits or deletes."""
    target = delivery.outgoing.target
    return None if target is None else MessageRef(delivery.chat, target)


def reply_of(delivery: Delivery) -> MessageRef | None:
    """The message that a delivery answers."""
    reply_to = delivery.outgoing.reply_to
    return None if reply_to is None else MessageRef(delivery.chat, reply_to)
