"""News for many chats, and which chats they are for.

Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.models import Broadcast, Conversation, Message, Person


@dataclass(frozen=True, slots=True)
class Recipient:
    """A conversation that was used lately. `person` is who wrote last in it."""

    platform: str
    chat: str
    thread: str | None
    server: str | None
    person: str | None


async def ask(
    session: AsyncSession, platform: str, realm: str, person: str, text: str, now: datetime
) -> Broadcast:
    """Write news down until they are confirmed."""
    asked = Broadcast(platform=platform, realm=realm, person=person, text=text, asked_at=now)
    session.add(asked)
    await session.flush()
    return asked


async def find(session: AsyncSession, broadcast_id: int) -> Broadcast | None:
    return await session.get(Broadcast, broadcast_id)


async def recipients(
    session: AsyncSession, since: datetime, *, server: tuple[str, str] | None = None
) -> Sequence[Recipient]:
    """Each private chat in which something was said since then, and of each server (the one of a platform, if
    `server` names it) the chat that was used last."""
    newest = select(func.max(Message.id)).where(Message.conversation_id == Conversation.id).scalar_subquery()
    said_by = (
        select(func.max(Message.id))
        .where(Message.conversation_id == Conversation.id, Message.person_id.is_not(None))
        .scalar_subquery()
    )
    last, asked = Message.__table__.alias("last"), Message.__table__.alias("asked")
    statement = (
        select(
            Conversation.platform,
            Conversation.chat,
            Conversation.thread,
            Conversation.server,
            Person.platform_id,
        )
        .select_from(Conversation)
        .join(last, last.c.id == newest)
        .outerjoin(asked, asked.c.id == said_by)
        .outerjoin(Person, Person.id == asked.c.person_id)
        .where(last.c.created_at >= since)
        .order_by(last.c.id.desc())
    )
    if server is not None:
        statement = statement.where(Conversation.platform == server[0], Conversation.server == server[1])
    found: dict[tuple[str, str], Recipient] = {}
    for platform, chat, thread, in_server, person in await session.execute(statement):
        place = (platform, f"server {in_server}" if in_server else f"chat {chat}")
        found.setdefault(place, Recipient(platform, chat, thread or None, in_server, person))
    return list(found.values())
