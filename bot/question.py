"""A turn's question: what is attached is read, and what was said takes its place in the conversation's tree.

    admitted ─▶ files read ─▶ charged, stored, its branch read (one transaction) ─▶ Question

What an earlier try stored is found again by the message's place on its platform. Messages that are answered
together are a chain of questions with one answer. Knows nothing of how an answer is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import CommandInvoked, Event, MessageCreated, MessageEdited, MessageRef
from bot import again, attachments, personas, texts
from bot.again import NothingToDo, Tip
from bot.attachments import Reading
from bot.commands.conversation import CONTINUE, RETRY
from bot.events import reply_target, said_in
from bot.gate import Admitted, Gate
from bot.i18n import _
from bot.quotas import Limit
from bot.replies import standing
from bot.scopes import Resolved
from bot.services import Services
from bot.store import history, summaries
from bot.store import personas as made_personas
from bot.store.history import Head, New, Said
from bot.store.inbox import Entry
from bot.store.summaries import Summary
from inference import Engine


class QuotaReached(Exception):
    """The person has used up what they may use."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Question:
    """A stored question with what answering it needs. `branch` ends with it, or with the answer to it that
    was cut off and goes on: `cut`, its id, and `partial`, its text. `tries` are the answers that it was given
    before; `standing` are messages that wait in the chat for the answer; `remarks` is what the person is told
    of their files."""

    conversation_id: int
    message_id: int
    branch: list[Said]
    system: str
    scoped: Resolved
    summaries: list[Summary]
    model: str | None  # None where the first one answers
    standing: list[MessageRef]
    cut: int | None = None
    partial: str = ""
    tries: int = 0
    remarks: tuple[str, ...] = ()


class Questions:
    """Gathers what a turn answers."""

    def __init__(self, services: Services, gate: Gate) -> None:
        self._services = services
        self._gate = gate

    async def gather(self, entry: Entry, text: str, admitted: Admitted, engine: Engine) -> Question:
        """Read what is attached, store the question in the conversation's tree and read its branch. Raises
        QuotaReached, and NothingToDo where there is no question."""
        event = entry.event
        now = datetime.now(UTC)
        readings = [await self._read(one.event, admitted.scoped, engine) for one in entry.all]
        remarks = tuple(dict.fromkeys(remark for one in readings for remark in one.remarks))
        own = self._services.settings.persona

        async def store(session: AsyncSession) -> Question:
            tokens = admitted.scoped.max_tokens
            reached = await self._gate.charge(session, entry.key, admitted, tokens, self._services.clock())
            if reached is not None:
                raise QuotaReached(reached)
            head = await history.head(session, event.chat, now, admitted.place.server)
            named = admitted.scoped.persona is not None
            realm = admitted.place.realm
            made = await made_personas.of_realm(session, event.chat.platform, realm) if named else {}
            tip = await self._tip(session, head, entry, text, readings, now)
            branch = await history.branch(session, tip.cut.id if tip.cut else tip.question)
            return Question(
                head.conversation_id,
                tip.question,
                list(branch),
                personas.system_prompt(admitted.scoped, made, own.prompt, own.name),
                admitted.scoped,
                await summaries.of_branch(session, head.conversation_id, {said.id for said in branch}),
                admitted.model,
                await standing(session, entry),
                cut=tip.cut.id if tip.cut else None,
                partial=tip.cut.text if tip.cut else "",
                tries=tip.tries,
                remarks=remarks,
            )

        return await self._services.database.transact(store)

    async def _read(self, event: Event, scoped: Resolved, engine: Engine) -> Reading:
        """What is attached to a message."""
        if not isinstance(event, MessageCreated) or not event.attachments:
            return Reading()
        if not scoped.attachments:
            return Reading(remarks=(_(texts.FILES_OFF),))
        return await attachments.read(
            event.attachments, self._services.adapters[event.chat.platform].download, engine
        )

    async def _tip(
        self,
        session: AsyncSession,
        head: Head,
        entry: Entry,
        text: str,
        readings: Sequence[Reading],
        now: datetime,
    ) -> Tip:
        """What is to be answered: the messages that came, or something that was said before."""
        match entry.event:
            case CommandInvoked(name=RETRY.name) as event:
                return await again.retried(session, await history.conversation(session, event.chat, now))
            case CommandInvoked(name=CONTINUE.name) as event:
                return await again.continued(session, await history.conversation(session, event.chat, now))
            case MessageEdited() as event:
                conversation = await history.conversation(session, event.chat, now)
                return await again.changed(session, conversation, entry, event, now)
        asked: int | None = None
        for one, reading in zip(entry.all, readings, strict=True):
            said = (text if one is entry else said_in(one.event)).strip()
            if said or reading.text:
                asked = await _question(session, head, one.event, said, reading.text, now, after=asked)
        if asked is None:
            raise NothingToDo("\n".join(remark for reading in readings for remark in reading.remarks))
        return Tip(asked)


async def _question(
    session: AsyncSession,
    head: Head,
    event: Event,
    text: str,
    attached: str,
    now: datetime,
    *,
    after: int | None = None,
) -> int:
    """The question's id: that of an earlier try, or of a new one where it belongs in the tree: behind message
    `after`, if that is given."""
    assert isinstance(event, MessageCreated | CommandInvoked)
    place = reply_target(event)
    stands_at = place.message if place else event.id
    stored = await history.at_place(session, head.conversation_id, stands_at)
    if stored is not None:
        return stored
    author = await history.person(session, event.author, event.chat.platform, now)
    asked = New(
        conversation_id=head.conversation_id,
        role="user",
        text=text,
        created_at=now,
        parent_id=after or await _parent(session, head, event, now),
        person_id=author,
        attached=attached or None,
    )
    return await history.add(session, asked, platform_message=stands_at)


async def _parent(session: AsyncSession, head: Head, event: Event, now: datetime) -> int | None:
    """What a message follows: what it replies to, else the last answer. A reply to a message that the bot has
    never seen begins a new tree with that message."""
    if not isinstance(event, MessageCreated) or event.reply_to is None:
        return head.message_id
    answered = await history.at_place(session, head.conversation_id, event.reply_to.message)
    if answered is not None:
        return answered
    if event.quoted is None or not event.quoted.text.strip():
        return head.message_id
    quoted = event.quoted
    author = None
    if not quoted.by_bot:
        author = await history.person(session, quoted.author, event.chat.platform, now)
    root = New(
        conversation_id=head.conversation_id,
        role="assistant" if author is None else "user",
        text=quoted.text,
        created_at=now,
        person_id=author,
    )
    return await history.add(session, root, platform_message=event.reply_to.message)
