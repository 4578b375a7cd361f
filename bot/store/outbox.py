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

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from sqlalchemy import delete, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import ChatRef, MessageRef, Part
from bot.store.models import OutboxRow, OutboxState
from bot.store.statement import Statement, stamp


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
    it was under way when the process that made it ended; `begun`: it is marked as being sent."""

    id: int
    chat: ChatRef
    key: str
    outgoing: Outgoing
    message_id: int | None
    in_doubt: bool = False
    begun: bool = False


AT_ONCE = 10  # messages of a chat that are read together

_ROWS = OutboxRow.__table__.c

# Written out, since SQLite takes a partial index only where the query says the same words.
WAITING = _ROWS.state.in_([literal_column("'pending'"), literal_column("'sending'")])

_ADD = Statement("""
INSERT INTO outbox (inbox_id, message_id, platform, chat, thread, payload, key, state, doubtful, created_at)
VALUES ((SELECT id FROM inbox WHERE id = :inbox_id), (SELECT id FROM messages WHERE id = :message_id),
    :platform, :chat, :thread, :payload, :key, 'pending', 0, :at)
""")  # what it answers may be gone: people can have theirs deleted at any time
_NEXT = Statement("""
SELECT id, platform, chat, thread, key, payload, message_id, state FROM outbox
WHERE platform = :platform AND chat = :chat AND state IN ('pending', 'sending')
ORDER BY id LIMIT :most
""")
_SENDING = Statement("UPDATE outbox SET state = 'sending' WHERE id = :id")
_DOUBTFUL = Statement("UPDATE outbox SET doubtful = doubtful + 1 WHERE id = :id")
_OPENED = Statement("UPDATE outbox SET state = 'pending', payload = :payload WHERE id = :id")
_SENT = Statement("UPDATE outbox SET state = 'sent', sent_at = :at WHERE id = :id")
_FAILED = Statement("UPDATE outbox SET state = 'failed', error = :error WHERE id = :id")

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
        await _ADD.run(
            session,
            {
                "inbox_id": inbox_id,
                "message_id": message_id,
                "platform": chat.platform,
                "chat": chat.chat,
                "thread": chat.thread or "",
                "payload": _payload(one),
                "key": key,
                "at": stamp(now),
            },
        )


async def take(session: AsyncSession, platform: str, chat: str, *, repeatable: bool = True) -> list[Delivery]:
    """The oldest messages of a chat that are still to be sent, in order; if fewer than `AT_ONCE`, all. The
    first is about to be: if that is a send and not `repeatable`, it is marked."""
    waiting = await _waiting(session, platform, chat)
    if repeatable or not waiting or waiting[0].outgoing.action is not Action.SEND:
        return waiting
    first = replace(waiting[0], begun=True)
    await mark_sending(session, first)
    return [first, *waiting[1:]]


async def _waiting(session: AsyncSession, platform: str, chat: str) -> list[Delivery]:
    rows = await _NEXT.rows(session, {"platform": platform, "chat": chat, "most": AT_ONCE})
    return [
        Delivery(
            id=row_id,
            chat=ChatRef(platform, chat, thread or None),
            key=key,
            outgoing=PAYLOAD.validate_python([json.loads(payload)])[0],
            message_id=message_id,
            in_doubt=state == OutboxState.SENDING,
        )
        for row_id, platform, chat, thread, key, payload, message_id, state in rows
    ]


async def waiting_chats(session: AsyncSession, platform: str) -> Sequence[str]:
    """Chats for which something is to be sent."""
    rows = await session.scalars(select(_ROWS.chat).where(_ROWS.platform == platform, WAITING).distinct())
    return list(rows)


async def mark_sending(session: AsyncSession, delivery: Delivery) -> None:
    """What can't be recognised when it is repeated is about to be sent."""
    await _SENDING.run(session, {"id": delivery.id})


async def mark_doubtful(session: AsyncSession, delivery: Delivery) -> None:
    """It is not known whether it was sent, so that it is sent again."""
    await _DOUBTFUL.run(session, {"id": delivery.id})


async def mark_opened(session: AsyncSession, delivery: Delivery, message: MessageRef) -> Delivery:
    """Its opening stands in the chat as `message`; what remains is an edit of that."""
    chat = replace(delivery.chat, chat=message.chat.chat)  # a group may have moved meanwhile
    opened = replace(
        delivery,
        chat=chat,
        outgoing=replace(delivery.outgoing, action=Action.EDIT, target=message.message),
        in_doubt=False,
    )
    await _OPENED.run(session, {"id": delivery.id, "payload": _payload(opened.outgoing)})
    return opened


async def mark_sent(session: AsyncSession, delivery: Delivery, now: datetime) -> None:
    await _SENT.run(session, {"id": delivery.id, "at": stamp(now)})


async def mark_failed(session: AsyncSession, delivery: Delivery, error: str) -> None:
    """It can never be sent; `error` says why."""
    await _FAILED.run(session, {"id": delivery.id, "error": error})


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


def _payload(outgoing: Outgoing) -> str:
    return json.dumps(PAYLOAD.dump_python([outgoing], mode="json")[0])


def target_of(delivery: Delivery) -> MessageRef | None:
    """The message that a delivery edits or deletes."""
    target = delivery.outgoing.target
    return None if target is None else MessageRef(delivery.chat, target)


def reply_of(delivery: Delivery) -> MessageRef | None:
    """The message that a delivery answers."""
    reply_to = delivery.outgoing.reply_to
    return None if reply_to is None else MessageRef(delivery.chat, reply_to)
