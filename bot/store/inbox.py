"""Events on their way in: stored before they are acknowledged, closed together with their answer.

    publish ──add──▶ pending ──(turn or command, one transaction)──▶ done
                        └──after a crash: pending rows run again

Every function works within the caller's transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field, TypeAdapter
from sqlalchemy import select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import Event, MessageRef
from bot.store.models import InboxRow, InboxState, Placeholder

EVENTS: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored event. `key` is random and short: what is sent for the event is named after it."""

    id: int
    key: str
    event: Event


async def add(session: AsyncSession, event: Event, now: datetime) -> Entry | None:
    """Store an event; None if it is there already."""
    key = secrets.token_hex(8)
    statement = (
        insert(InboxRow)
        .values(
            platform=event.chat.platform,
            event_id=event.id,
            chat=event.chat.chat,
            thread=event.chat.thread or "",
            payload=EVENTS.dump_python(event, mode="json"),
            key=key,
            state=InboxState.PENDING,
            received_at=now,
        )
        .on_conflict_do_nothing()
        .returning(InboxRow.id)
    )
    row_id = await session.scalar(statement)
    return None if row_id is None else Entry(row_id, key, event)


async def pending(session: AsyncSession, platform: str) -> Sequence[Entry]:
    """What is unanswered, oldest first."""
    rows = await session.scalars(
        select(InboxRow)
        .where(InboxRow.platform == platform, InboxRow.state == InboxState.PENDING)
        .order_by(InboxRow.id)
    )
    return [Entry(row.id, row.key, EVENTS.validate_python(row.payload)) for row in rows]


async def close(session: AsyncSession, entry: Entry, now: datetime) -> None:
    """The event is answered; it will not run again."""
    await session.execute(
        update(InboxRow).where(InboxRow.id == entry.id).values(state=InboxState.DONE, done_at=now)
    )


async def placeholders(session: AsyncSession, entry: Entry) -> list[MessageRef]:
    """The previews that stand in the chat already, in order."""
    rows = await session.scalars(
        select(Placeholder.platform_message)
        .where(Placeholder.inbox_id == entry.id)
        .order_by(Placeholder.part)
    )
    return [MessageRef(entry.event.chat, message) for message in rows]


async def add_placeholder(session: AsyncSession, entry: Entry, part: int, message: MessageRef) -> None:
    """Remember a preview, so that the answer edits it even after a crash."""
    session.add(Placeholder(inbox_id=entry.id, part=part, platform_message=message.message))
