"""A conversation's tree beyond its newest message: asking again, asking something else, and going on.

Nothing is ever overwritten: what is said instead becomes a branch beside what was said. Every function works
within the caller's transaction, and doing it twice finds what was done before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from bot.store import history
from bot.store.models import Conversation, Message, MessageRef, Person


@dataclass(frozen=True, slots=True)
class Spoken:
    """A message as people read it; `author` None is the bot."""

    role: str
    text: str
    author: str | None
    at: datetime


async def last_answer(session: AsyncSession, conversation: Conversation) -> Message | None:
    """The newest answer of the branch that the conversation is on."""
    if conversation.head_id is None:
        return None
    head = await session.get(Message, conversation.head_id)
    return head if head is not None and head.role == "assistant" else None


async def question_of(session: AsyncSession, answer: Message) -> Message | None:
    """What an answer answers, if that is still there."""
    return None if answer.parent_id is None else await session.get(Message, answer.parent_id)


async def answers_to(session: AsyncSession, question: Message) -> Sequence[Message]:
    """All answers that a question was given, oldest first."""
    found = await session.scalars(
        select(Message)
        .where(Message.parent_id == question.id, Message.role == "assistant")
        .order_by(Message.id)
    )
    return list(found)


async def whole(session: AsyncSession, conversation: Conversation) -> Sequence[Spoken]:
    """The branch that the conversation is on, from its root, however long."""
    path = select(Message.id, Message.parent_id).where(Message.id == conversation.head_id)
    found = path.cte("path", recursive=True)
    parent = aliased(Message)
    found = found.union_all(select(parent.id, parent.parent_id).join(found, parent.id == found.c.parent_id))
    rows = await session.execute(
        select(Message.role, Message.text, Person.name, Message.created_at)
        .join(found, found.c.id == Message.id)
        .outerjoin(Person, Person.id == Message.person_id)
        .order_by(Message.id)
    )
    return [Spoken(*row) for row in rows]


async def places(session: AsyncSession, message: Message) -> list[str]:
    """Where a message stands on its platform, in the order in which its parts were sent."""
    found = await session.scalars(
        select(MessageRef.platform_message)
        .where(MessageRef.message_id == message.id)
        .order_by(func.length(MessageRef.platform_message), MessageRef.platform_message)  # numbers, as text
    )
    return list(found)


async def move_places(session: AsyncSession, old: int, new: int) -> None:
    """What stands on the platform for message `old` stands for message `new` from now on."""
    await session.execute(update(MessageRef).where(MessageRef.message_id == old).values(message_id=new))


async def change(
    session: AsyncSession,
    conversation: Conversation,
    platform_message: str,
    person_id: int,
    text: str,
    now: datetime,
) -> tuple[Message, Message | None] | None:
    """A person has changed a question: the new one beside the old, with what was said together with it, and
    the answer that is to be replaced where the old one stood: that of the last exchange. None if it is no
    question of theirs, or says what it said."""
    stored = await history.find(session, conversation, platform_message)
    if stored is None or stored.role != "user" or stored.person_id != person_id:
        return None
    if stored.text == text:
        last = await _last_of_run(session, stored)
        return None if await answers_to(session, last) else (last, None)
    answer = await last_answer(session, conversation)
    followers = await _run_behind(session, stored)
    old_end = followers[-1] if followers else stored
    changed = _copy(stored, stored.parent_id, text, now)
    session.add(changed)
    await session.flush()
    await history.add_ref(session, conversation.id, changed.id, platform_message)
    for follower in followers:
        copied = _copy(follower, changed.id, follower.text, now)
        session.add(copied)
        await session.flush()
        await move_places(session, follower.id, copied.id)
        changed = copied
    replaced = answer if answer is not None and answer.parent_id == old_end.id else None
    return changed, replaced


def _copy(message: Message, parent_id: int | None, text: str, now: datetime) -> Message:
    return Message(
        conversation_id=message.conversation_id,
        parent_id=parent_id,
        person_id=message.person_id,
        role=message.role,
        text=text,
        attached=message.attached,
        created_at=now,
    )


async def _run_behind(session: AsyncSession, question: Message) -> list[Message]:
    """What the same person said behind a question before they were answered."""
    run: list[Message] = []
    last = question
    while True:
        follower = await session.scalar(
            select(Message)
            .where(
                Message.parent_id == last.id,
                Message.role == "user",
                Message.person_id == question.person_id,
            )
            .order_by(Message.id.desc())
            .limit(1)
        )
        if follower is None or await answers_to(session, last):
            return run
        run.append(follower)
        last = follower


async def _last_of_run(session: AsyncSession, question: Message) -> Message:
    run = await _run_behind(session, question)
    return run[-1] if run else question
