"""Conversations as trees of messages: a reply is a child of what it answers.

Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from adapters import types
from bot.store.models import Conversation, Message, MessageRef, Person

LONGEST_BRANCH = 1000  # messages read back at most; no context holds more

_READ = case(
    (Message.attached.is_(None), Message.text),
    (Message.text == "", Message.attached),
    else_=Message.text + "\n\n" + Message.attached,
)
"""What the model reads of a message."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a branch, with who said it (None: the bot)."""

    id: int
    role: str
    text: str
    author: str | None


async def conversation(
    session: AsyncSession, chat: types.ChatRef, now: datetime, server: str | None = None
) -> Conversation:
    """The conversation of a chat or thread, begun if there is none. `server` is what it lies in, if known."""
    thread = chat.thread or ""
    found = await session.scalar(
        select(Conversation).where(
            Conversation.platform == chat.platform,
            Conversation.chat == chat.chat,
            Conversation.thread == thread,
        )
    )
    if found is None:
        found = Conversation(
            platform=chat.platform, chat=chat.chat, thread=thread, server=server, created_at=now
        )
        session.add(found)
        await session.flush()
    elif server is not None and found.server != server:
        found.server = server
    return found


async def person(session: AsyncSession, who: types.Person, platform: str, now: datetime) -> Person:
    """The person, with the name and language that they have now."""
    found = await session.scalar(
        select(Person).where(Person.platform == platform, Person.platform_id == who.id)
    )
    if found is None:
        found = Person(
            platform=platform, platform_id=who.id, name=who.name, language=who.language, first_seen=now
        )
        session.add(found)
        await session.flush()
    elif (found.name, found.language) != (who.name, who.language):
        found.name, found.language = who.name, who.language
    return found


async def find(
    session: AsyncSession, conversation: Conversation, platform_message: str | None
) -> Message | None:
    """The message that stands at that place on the platform, if the bot took part in it."""
    if platform_message is None:
        return None
    return await session.scalar(
        select(Message)
        .join(MessageRef, MessageRef.message_id == Message.id)
        .where(MessageRef.conversation_id == conversation.id, MessageRef.platform_message == platform_message)
    )


async def add(session: AsyncSession, message: Message, *, platform_message: str | None = None) -> Message:
    """Store a message, and where it stands on its platform."""
    session.add(message)
    await session.flush()
    if platform_message is not None:
        await add_ref(session, message.conversation_id, message.id, platform_message)
    return message


async def add_ref(
    session: AsyncSession, conversation_id: int, message_id: int, platform_message: str
) -> None:
    """Remember where a message stands; remembering it again is harmless."""
    await session.merge(
        MessageRef(conversation_id=conversation_id, platform_message=platform_message, message_id=message_id)
    )


async def branch(session: AsyncSession, tip: int) -> Sequence[Said]:
    """The path from the root to `tip`, root first; of a very long one the newest messages."""
    path = select(Message.id, Message.parent_id).where(Message.id == tip).cte("path", recursive=True)
    parent = aliased(Message)
    path = path.union_all(select(parent.id, parent.parent_id).join(path, parent.id == path.c.parent_id))
    rows = await session.execute(
        select(Message.id, Message.role, _READ, Person.name)
        .join(path, path.c.id == Message.id)
        .outerjoin(Person, Person.id == Message.person_id)
        .order_by(Message.id.desc())
        .limit(LONGEST_BRANCH)
    )
    return [Said(*row) for row in reversed(rows.all())]


async def prune(session: AsyncSession, after: int, before: datetime, most: int) -> int | None:
    """Of the next `most` messages behind message `after`, delete those that are older than a time. Returns
    the last one looked at; None when there is nothing older to look at."""
    rows = (
        await session.execute(
            select(Message.id, Message.created_at).where(Message.id > after).order_by(Message.id).limit(most)
        )
    ).all()
    old = [row.id for row in rows if row.created_at < before]
    if old:
        await session.execute(
            delete(Message).where(Message.id.in_(old)).execution_options(synchronize_session=False)
        )
    return old[-1] if old and len(old) == len(rows) else None
