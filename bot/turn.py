"""One turn: from a message to its answer. Gate, gather, generate, deliver.

Knows nothing of queues or of how a platform is reached. A turn that dies anywhere leaves its inbox row
pending and runs again after a restart: what it stored before is found again by the message's place on its
platform.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.base import Adapter
from adapters.types import Addressed, ChatRef, CommandInvoked, Event, MessageCreated, MessageRef
from bot import personas, prompt, texts
from bot.config import Settings
from bot.delivery import OutboxWorker, Preview, final
from bot.store import history, inbox, outbox
from bot.store.history import Said
from bot.store.inbox import Entry
from bot.store.models import Conversation, Message
from bot.store.session import Database
from inference import Delta, Engine, Finished, InferenceError, Request, SamplingParams

log = logging.getLogger(__name__)


def concerns(event: Event) -> bool:
    """Whether an event is for the bot at all. What is not is never stored."""
    match event:
        case MessageCreated():
            return event.addressed is not Addressed.NOT and bool(event.text.strip())
        case CommandInvoked():
            return True
        case _:
            return False


@dataclass(frozen=True, slots=True)
class Question:
    """A stored question with what answering it needs. `branch` ends with it."""

    conversation_id: int
    message_id: int
    branch: list[Said]
    system: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said."""

    text: str
    finished: Finished
    dropped: int  # messages of the branch that it did not get to read


class Turns:
    """Runs turns. `stop` ends the one that runs in a chat."""

    def __init__(
        self,
        database: Database,
        adapters: Mapping[str, Adapter],
        engine: Engine,
        worker: OutboxWorker,
        settings: Settings,
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._engine = engine
        self._worker = worker
        self._settings = settings
        self._running: dict[ChatRef, str] = {}  # the engine's request for each chat's turn
        self._ending: dict[ChatRef, asyncio.Event] = {}  # set when a chat's turn is over

    def stop(self, chat: ChatRef) -> bool:
        """End the chat's running answer where it is; what is written stays. False if none runs."""
        request_id = self._running.get(chat)
        return request_id is not None and self._engine.cancel(request_id)

    async def over(self, chat: ChatRef) -> None:
        """Returns when no turn runs in the chat: its answer, such as it is, is on its way."""
        ending = self._ending.get(chat)
        if ending is not None:
            await ending.wait()

    async def run(self, entry: Entry, text: str) -> None:
        """Answer `text`, said in the entry's event. Whatever goes wrong is told in one sentence."""
        ending = self._ending[entry.event.chat] = asyncio.Event()
        try:
            await self._answer(entry, text)
        finally:
            del self._ending[entry.event.chat]
            ending.set()

    async def _answer(self, entry: Entry, text: str) -> None:
        event = entry.event
        try:
            question = await self._gather(entry, text)
            answer, previews = await self._generate(entry, question)
            await self._deliver(entry, question, answer, previews)
        except InferenceError as error:
            log.warning("no answer in %s: %s", event.chat, error)
            await self.say(entry, texts.for_error(error))
        except Exception as error:
            log.exception("a turn in %s has failed", event.chat)
            await self.say(entry, texts.for_error(error))

    async def say(self, entry: Entry, text: str) -> None:
        """Answer with a text of the bot's own, which is not part of the history."""
        async with self._database.write() as session:
            await self.enqueue_text(session, entry, text)
            await inbox.close(session, entry, datetime.now(UTC))
        self._worker.notify(entry.event.chat)

    async def enqueue_text(self, session: AsyncSession, entry: Entry, text: str) -> None:
        """Write such a text to the outbox, within the caller's transaction."""
        event = entry.event
        parts = self._adapters[event.chat.platform].parts(text)
        standing = await self._standing(session, entry)
        outgoing = final(entry.key, parts, standing, reply_to=reply_target(event))
        await outbox.enqueue(session, event.chat, outgoing, datetime.now(UTC), inbox_id=entry.id)

    async def _gather(self, entry: Entry, text: str) -> Question:
        """Store the question in the conversation's tree and read its branch."""
        event = entry.event
        now = datetime.now(UTC)
        async with self._database.write() as session:
            conversation = await history.conversation(session, event.chat, now)
            asked = await self._question(session, conversation, event, text, now)
            branch = await history.branch(session, asked.id)
        persona = personas.choose(conversation.persona, self._settings.persona.prompt)
        system = persona.system(self._settings.persona.name)
        return Question(conversation.id, asked.id, list(branch), system)

    async def _question(
        self, session: AsyncSession, conversation: Conversation, event: Event, text: str, now: datetime
    ) -> Message:
        """The question's row: the one of an earlier try, or a new one where it belongs in the tree."""
        place = reply_target(event)
        stored = await history.find(session, conversation, place.message if place else event.id)
        if stored is not None:
            return stored
        author = await history.person(session, event.author, event.chat.platform, now)
        asked = Message(
            conversation_id=conversation.id,
            parent_id=await self._parent(session, conversation, event, now),
            person_id=author.id,
            role="user",
            text=text,
            created_at=now,
        )
        return await history.add(session, asked, platform_message=place.message if place else event.id)

    async def _parent(
        self, session: AsyncSession, conversation: Conversation, event: Event, now: datetime
    ) -> int | None:
        """What a message follows: what it replies to, else the last answer. A reply to a message that the bot
        has never seen begins a new tree with that message."""
        if not isinstance(event, MessageCreated) or event.reply_to is None:
            return conversation.head_id
        answered = await history.find(session, conversation, event.reply_to.message)
        if answered is not None:
            return answered.id
        if event.quoted is None or not event.quoted.text.strip():
            return conversation.head_id
        quoted = event.quoted
        author = None
        if not quoted.by_bot:
            author = await history.person(session, quoted.author, event.chat.platform, now)
        root = Message(
            conversation_id=conversation.id,
            person_id=author.id if author else None,
            role="user" if author else "assistant",
            text=quoted.text,
            created_at=now,
        )
        return (await history.add(session, root, platform_message=event.reply_to.message)).id

    async def _generate(self, entry: Entry, question: Question) -> tuple[Answer, list[MessageRef]]:
        """Let the model answer while the chat watches; gives the answer and the previews that stand."""
        event = entry.event
        adapter = self._adapters[event.chat.platform]
        model = self._settings.model
        fitted = await prompt.build(self._engine, question.system, question.branch, model.max_tokens)
        request = Request(
            messages=fitted.messages,
            sampling=SamplingParams(
                max_tokens=model.max_tokens, temperature=model.temperature, seed=model.seed
            ),
            client=f"{event.chat.platform}:{event.author.id}",
        )
        async with self._database.read() as session:
            standing = await self._standing(session, entry)
        preview = Preview(
            adapter,
            event.chat,
            entry.key,
            reply_to=reply_target(event),
            messages=standing,
            save=lambda part, message: self._save_placeholder(entry, part, message),
            begin=lambda: self._worker.drained(event.chat),
        )
        self._running[event.chat] = request.id
        try:
            async with adapter.typing(event.chat), preview:
                text, finished = await self._stream(request, preview)
        finally:
            del self._running[event.chat]
        return Answer(text, finished, fitted.dropped), preview.messages

    async def _stream(self, request: Request, preview: Preview) -> tuple[str, Finished]:
        text = ""
        async with aclosing(self._engine.generate(request)) as outputs:
            async for output in outputs:
                match output:
                    case Delta():
                        text += output.text
                        preview.show(text)
                    case Finished():
                        return text.strip(), output
        raise AssertionError("an engine's stream ends with Finished")

    async def _deliver(
        self, entry: Entry, question: Question, answer: Answer, previews: list[MessageRef]
    ) -> None:
        """The answer, what it cost, its way to the chat and the end of its event: one transaction."""
        event = entry.event
        usage = answer.finished.usage
        now = datetime.now(UTC)
        async with self._database.write() as session:
            conversation = await session.get_one(Conversation, question.conversation_id)
            said = await history.add(
                session,
                Message(
                    conversation_id=conversation.id,
                    parent_id=question.message_id,
                    role="assistant",
                    text=answer.text,
                    created_at=now,
                    model=self._engine.model,
                    finish_reason=answer.finished.reason,
                    prompt_tokens=usage.prompt_tokens,
                    cached_tokens=usage.cached_tokens,
                    output_tokens=usage.output_tokens,
                ),
            )
            conversation.head_id = said.id
            shown = answer.text or texts.NOTHING_SAID
            if answer.dropped and not conversation.told_dropped:
                conversation.told_dropped = True
                shown = f"{shown}\n\n{texts.DROPPED}"
            outgoing = final(
                entry.key,
                self._adapters[event.chat.platform].parts(shown),
                previews,
                reply_to=reply_target(event),
                facts=_facts(answer.finished),
            )
            await outbox.enqueue(session, event.chat, outgoing, now, inbox_id=entry.id, message_id=said.id)
            await inbox.close(session, entry, now)
        self._worker.notify(event.chat)

    async def _standing(self, session: AsyncSession, entry: Entry) -> list[MessageRef]:
        """Messages of ours that wait in the chat for this answer: a command's deferred response first."""
        saved = await inbox.placeholders(session, entry)
        event = entry.event
        deferred = event.placeholder if isinstance(event, CommandInvoked) else None
        return [deferred, *saved] if deferred is not None else saved

    async def _save_placeholder(self, entry: Entry, part: int, message: MessageRef) -> None:
        async with self._database.write() as session:
            await inbox.add_placeholder(session, entry, part, message)


def _facts(finished: Finished) -> dict[str, object]:
    """What a platform may show beside the answer."""
    usage = finished.usage
    return {
        "finish_reason": finished.reason,
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "seconds_to_first_token": usage.first_token,
        "seconds": usage.total,
    }


def reply_target(event: Event) -> MessageRef | None:
    """The message that an answer replies to; none where a command came without one."""
    return event.message
