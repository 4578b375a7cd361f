"""Conversations as trees of messages: a reply is a child of what it answers.

Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from adapters import types
from bot.store.models import Conversation, Message
from bot.store.statement import Statement, stamp

LONGEST_BRANCH = 1000  # messages read back at most; no context holds more

_CONVERSATION = Statement("""
SELECT id, head_id, server FROM conversations WHERE platform = :platform AND chat = :chat AND thread = :thread
""")
_BEGIN = Statement("""
INSERT INTO conversations (platform, chat, thread, server, told_dropped, created_at)
VALUES (:platform, :chat, :thread, :server, 0, :at) RETURNING id
""")
_PERSON = Statement("""
SELECT id, name, language FROM people WHERE platform = :platform AND platform_id = :platform_id
""")
_NEW_PERSON = Statement("""
INSERT INTO people (platform, platform_id, name, language, first_seen)
VALUES (:platform, :platform_id, :name, :language, :at) RETURNING id
""")
_AT_PLACE = Statement("""
SELECT message_id FROM message_refs WHERE conversation_id = :conversation AND platform_message = :place
""")
_ADD = Statement("""
INSERT INTO messages (conversation_id, parent_id, person_id, role, text, attached, created_at, model,
    finish_reason, prompt_tokens, cached_tokens, output_tokens, first_token, thinking)
VALUES (:conversation_id, :parent_id, :person_id, :role, :text, :attached, :created_at, :model,
    :finish_reason, :prompt_tokens, :cached_tokens, :output_tokens, :first_token, :thinking)
RETURNING id
""")
_ADD_REF = Statement("""
INSERT INTO message_refs (conversation_id, platform_message, message_id)
VALUES (:conversation, :place, :message)
ON CONFLICT (conversation_id, platform_message) DO UPDATE SET message_id = excluded.message_id
""")
_ADD_PLACE = Statement("""
INSERT INTO message_refs (conversation_id, platform_message, message_id)
SELECT conversation_id, :place, id FROM messages WHERE id = :message
ON CONFLICT (conversation_id, platform_message) DO UPDATE SET message_id = excluded.message_id
""")
_MOVE = Statement("UPDATE conversations SET server = :server WHERE id = :conversation")
_RENAME = Statement(
    "UPDATE people SET name = :name, language = coalesce(:language, language) WHERE id = :person"
)
_GO_ON = Statement("UPDATE conversations SET head_id = :head WHERE id = :conversation")
_BRANCH = Statement("""
WITH RECURSIVE path (id, parent_id) AS (
    SELECT id, parent_id FROM messages WHERE id = :tip
    UNION ALL
    SELECT parent.id, parent.parent_id FROM messages AS parent JOIN path ON parent.id = path.parent_id
    LIMIT :most
)
SELECT messages.id, messages.role, messages.text, messages.attached, people.name
FROM path JOIN messages ON messages.id = path.id LEFT JOIN people ON people.id = messages.person_id
ORDER BY messages.id DESC LIMIT :most
""")


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a branch, with who said it (None: the bot)."""

    id: int
    role: str
    text: str
    author: str | None


@dataclass(frozen=True, slots=True)
class Head:
    """Where a conversation goes on: the message that the next one follows, None at its beginning."""

    conversation_id: int
    message_id: int | None


@dataclass(frozen=True, slots=True)
class New:
    """A message that is to be stored; see `models.Message`."""

    conversation_id: int
    role: str
    text: str
    created_at: datetime
    parent_id: int | None = None
    person_id: int | None = None
    attached: str | None = None
    thinking: str | None = None
    model: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    first_token: float | None = None


async def conversation(session: AsyncSession, chat: types.ChatRef, now: datetime) -> Conversation:
    """The conversation of a chat or thread, begun if there is none."""
    begun = await head(session, chat, now)
    return await session.get_one(Conversation, begun.conversation_id)


async def head(session: AsyncSession, chat: types.ChatRef, now: datetime, server: str | None = None) -> Head:
    """Where the conversation of a chat or thread goes on; it is begun if there is none. `server` is what it
    lies in, if known."""
    place = {"platform": chat.platform, "chat": chat.chat, "thread": chat.thread or ""}
    found = await _CONVERSATION.row(session, place)
    if found is None:
        begun = await _BEGIN.row(session, {**place, "server": server, "at": stamp(now)})
        assert begun is not None
        return Head(begun[0], None)
    conversation_id, message_id, known = found
    if server is not None and known != server:
        await _MOVE.run(session, {"conversation": conversation_id, "server": server})
    return Head(conversation_id, message_id)


async def person(session: AsyncSession, who: types.Person, platform: str, now: datetime) -> int:
    """The person's id. They have the name that they have now, and the language that was last told."""
    found = await _PERSON.row(session, {"platform": platform, "platform_id": who.id})
    told = {"name": who.name, "language": who.language}
    if found is None:
        added = await _NEW_PERSON.row(
            session, {"platform": platform, "platform_id": who.id, **told, "at": stamp(now)}
        )
        assert added is not None
        return int(added[0])
    person_id, name, language = found
    if (name, language) != (who.name, who.language or language):
        await _RENAME.run(session, {"person": person_id, **told})
    return int(person_id)


async def find(
    session: AsyncSession, conversation: Conversation, platform_message: str | None
) -> Message | None:
    """The message that stands at that place on the platform, if the bot took part in it."""
    found = await at_place(session, conversation.id, platform_message)
    return None if found is None else await session.get(Message, found)


async def at_place(session: AsyncSession, conversation_id: int, platform_message: str | None) -> int | None:
    """The id of the message that stands at that place on the platform, if the bot took part in it."""
    if platform_message is None:
        return None
    found = await _AT_PLACE.row(session, {"conversation": conversation_id, "place": platform_message})
    return None if found is None else int(found[0])


async def add(session: AsyncSession, message: New, *, platform_message: str | None = None) -> int:
    """Store a message, and where it stands on its platform; gives its id."""
    values = {name: getattr(message, name) for name in New.__slots__}
    added = await _ADD.row(session, values | {"created_at": stamp(message.created_at)})
    assert added is not None
    if platform_message is not None:
        await add_ref(session, message.conversation_id, added[0], platform_message)
    return int(added[0])


async def add_ref(
    session: AsyncSession, conversation_id: int, message_id: int, platform_message: str
) -> None:
    """Remember where a message stands; remembering it again is harmless."""
    await _ADD_REF.run(
        session, {"conversation": conversation_id, "place": platform_message, "message": message_id}
    )


async def add_place(session: AsyncSession, message_id: int, platform_message: str) -> None:
    """Remember where a message stands, if it is still there: people may have theirs deleted at any time."""
    await _ADD_PLACE.run(session, {"message": message_id, "place": platform_message})


async def go_on(session: AsyncSession, conversation_id: int, message_id: int) -> None:
    """The next message of a conversation follows that message."""
    await _GO_ON.run(session, {"conversation": conversation_id, "head": message_id})


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
    rows = await _BRANCH.rows(session, {"tip": tip, "most": LONGEST_BRANCH})
    return [
        Said(message, role, _read(words, attached), author)
        for message, role, words, attached, author in reversed(rows)
    ]


def _read(text: str, attached: str | None) -> str:
    """What the model reads of a message."""
    if not attached:
        return text
    return f"{text}\n\n{attached}" if text else attached


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
