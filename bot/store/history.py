"""Conversations as trees of messages: a reply is a child of what it answers.

Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, bindparam, case, delete, insert, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from adapters import types
from bot.store.models import Conversation, Message, MessageRef, Person

LONGEST_BRANCH = 1000  # messages read back at most; no context holds more

# Statements of every message are built once, and of tables: what the mapper adds costs more than they do.
_MESSAGES, _PEOPLE, _REFS = Message.__table__.c, Person.__table__.c, MessageRef.__table__.c

_READ = case(
    (_MESSAGES.attached.is_(None), _MESSAGES.text),
    (_MESSAGES.text == "", _MESSAGES.attached),
    else_=_MESSAGES.text + "\n\n" + _MESSAGES.attached,
)
"""What the model reads of a message."""

_CONVERSATION = select(Conversation).where(
    Conversation.platform == bindparam("platform"),
    Conversation.chat == bindparam("chat"),
    Conversation.thread == bindparam("thread"),
)
_PERSON = select(Person).where(
    Person.platform == bindparam("platform"), Person.platform_id == bindparam("platform_id")
)
_AT_PLACE = (
    select(Message)
    .join(MessageRef, MessageRef.message_id == Message.id)
    .where(
        MessageRef.conversation_id == bindparam("conversation"),
        MessageRef.platform_message == bindparam("place"),
    )
)
_ADD = insert(Message.__table__).returning(_MESSAGES.id)  # type: ignore[arg-type]
_COLUMNS = [column.key for column in _MESSAGES if not column.primary_key]
_NEW_REF = sqlite.insert(MessageRef.__table__)  # type: ignore[arg-type]
_ADD_REF = _NEW_REF.on_conflict_do_update(
    index_elements=[_REFS.conversation_id, _REFS.platform_message],
    set_={"message_id": _NEW_REF.excluded.message_id},
)


_ADD_PLACE = _NEW_REF.from_select(
    ["conversation_id", "platform_message", "message_id"],
    select(_MESSAGES.conversation_id, bindparam("place"), _MESSAGES.id).where(
        _MESSAGES.id == bindparam("message")
    ),
).on_conflict_do_update(
    index_elements=[_REFS.conversation_id, _REFS.platform_message],
    set_={"message_id": _NEW_REF.excluded.message_id},
)
_CONVERSATIONS = Conversation.__table__.c
_GO_ON = (
    update(Conversation.__table__)  # type: ignore[arg-type]
    .where(_CONVERSATIONS.id == bindparam("conversation"))
    .values(head_id=bindparam("head"))
)


def _branch() -> Select[int, str, str, str | None]:
    path = select(_MESSAGES.id, _MESSAGES.parent_id).where(_MESSAGES.id == bindparam("tip"))
    found = path.cte("path", recursive=True)
    parent = Message.__table__.alias("parent")
    found = found.union_all(
        select(parent.c.id, parent.c.parent_id).join(found, parent.c.id == found.c.parent_id)
    )
    return (
        select(_MESSAGES.id, _MESSAGES.role, _READ, _PEOPLE.name)
        .select_from(Message.__table__)
        .join(found, found.c.id == _MESSAGES.id)
        .outerjoin(Person.__table__, _PEOPLE.id == _MESSAGES.person_id)
        .order_by(_MESSAGES.id.desc())
        .limit(LONGEST_BRANCH)
    )


_BRANCH = _branch()


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
    place = {"platform": chat.platform, "chat": chat.chat, "thread": thread}
    found = await session.scalar(_CONVERSATION, place)
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
    """The person, with the name that they have now, and the language that was last told."""
    found = await session.scalar(_PERSON, {"platform": platform, "platform_id": who.id})
    if found is None:
        found = Person(
            platform=platform, platform_id=who.id, name=who.name, language=who.language, first_seen=now
        )
        session.add(found)
        await session.flush()
    elif (found.name, found.language) != (who.name, who.language or found.language):
        found.name, found.language = who.name, who.language or found.language
    return found


async def find(
    session: AsyncSession, conversation: Conversation, platform_message: str | None
) -> Message | None:
    """The message that stands at that place on the platform, if the bot took part in it."""
    if platform_message is None:
        return None
    place = {"conversation": conversation.id, "place": platform_message}
    return await session.scalar(_AT_PLACE, place)


async def add(session: AsyncSession, message: Message, *, platform_message: str | None = None) -> Message:
    """Store a message, and where it stands on its platform. The session does not look after it further."""
    await session.flush()
    message.id = await session.scalar(_ADD, {name: getattr(message, name) for name in _COLUMNS})
    if platform_message is not None:
        await add_ref(session, message.conversation_id, message.id, platform_message)
    return message


async def add_ref(
    session: AsyncSession, conversation_id: int, message_id: int, platform_message: str
) -> None:
    """Remember where a message stands; remembering it again is harmless."""
    await session.execute(
        _ADD_REF,
        {"conversation_id": conversation_id, "platform_message": platform_message, "message_id": message_id},
    )


async def add_place(session: AsyncSession, message_id: int, platform_message: str) -> None:
    """Remember where a message stands, if it is still there: people may have theirs deleted at any time."""
    await session.execute(_ADD_PLACE, {"message": message_id, "place": platform_message})


async def go_on(session: AsyncSession, conversation_id: int, head: int) -> None:
    """The next message of a conversation follows message `head`."""
    await session.execute(_GO_ON, {"conversation": conversation_id, "head": head})


async def tell_dropped(session: AsyncSession, conversation_id: int) -> bool:
    """Remember that people know that not all of a conversation is read any more; False if they did."""
    told = await session.execute(
        update(Conversation)
        .where(Conversation.id == conversation_id, Conversation.told_dropped.is_(False))
        .values(told_dropped=True)
        .returning(Conversation.id)
        .execution_options(synchronize_session=False)
    )
    return told.first() is not None


async def branch(session: AsyncSession, tip: int) -> Sequence[Said]:
    """The path from the root to `tip`, root first; of a very long one the newest messages."""
    rows = await session.execute(_BRANCH, {"tip": tip})
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
