"""What a turn answers when it is no new question: an old one again, a changed one, or an answer that was cut
off and goes on.

Knows nothing of models. Every function works within the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import ChatRef, MessageEdited
from adapters.types import MessageRef as Place
from bot import texts
from bot.i18n import _
from bot.store import branches, history, inbox
from bot.store.inbox import Entry
from bot.store.models import Conversation, Message, MessageRef
from inference import FinishReason

CUT = (FinishReason.LENGTH, FinishReason.CANCELLED, FinishReason.EXPIRED)
"""How an answer ended that can be gone on with."""


class NothingToDo(Exception):
    """There is nothing to answer. The message is for the person; empty where nothing is to be said."""


@dataclass(frozen=True, slots=True)
class Tip:
    """The end of the branch that the model reads, a question's id. `cut` is the answer that it goes on with,
    if it does; `tries` how many answers the question was given before."""

    question: int
    cut: Message | None = None
    tries: int = 0


async def retried(session: AsyncSession, conversation: Conversation) -> Tip:
    """The question of the last answer."""
    answer = await branches.last_answer(session, conversation)
    question = None if answer is None else await branches.question_of(session, answer)
    if question is None:
        raise NothingToDo(_(texts.NOTHING_TO_RETRY))
    return Tip(question.id, tries=len(await branches.answers_to(session, question)))


async def continued(session: AsyncSession, conversation: Conversation) -> Tip:
    """The last answer, if it was cut off."""
    answer = await branches.last_answer(session, conversation)
    if answer is None:
        raise NothingToDo(_(texts.NOTHING_TO_CONTINUE))
    if answer.finish_reason not in CUT or not answer.text:
        raise NothingToDo(_(texts.COMPLETE))
    question = await branches.question_of(session, answer)
    if question is None:
        raise NothingToDo(_(texts.NOTHING_TO_CONTINUE))
    return Tip(question.id, cut=answer)


async def changed(
    session: AsyncSession, conversation: Conversation, entry: Entry, event: MessageEdited, now: datetime
) -> Tip:
    """The changed question. Where it was the last, the old answer's messages wait for the new answer."""
    if not event.text.strip():
        raise NothingToDo("")
    author = await history.person(session, event.author, event.chat.platform, now)
    found = await branches.change(
        session, conversation, event.message.message, author, event.text.strip(), now
    )
    if found is None:
        raise NothingToDo("")
    question, replaced = found
    if replaced is not None:
        for part, place in enumerate(await branches.places(session, replaced)):
            await inbox.add_placeholder(session, entry, part, Place(event.chat, place))
    return Tip(question.id)


async def knows(session: AsyncSession, chat: ChatRef, platform_message: str) -> bool:
    """Whether a message on its platform is a question that is stored."""
    found = await session.scalar(
        select(Message.id)
        .join(MessageRef, MessageRef.message_id == Message.id)
        .join(Conversation, Conversation.id == MessageRef.conversation_id)
        .where(
            Conversation.platform == chat.platform,
            Conversation.chat == chat.chat,
            Conversation.thread == (chat.thread or ""),
            MessageRef.platform_message == platform_message,
            Message.role == "user",
        )
    )
    return found is not None
