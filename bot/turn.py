"""One turn: from a message to its answer. Gate, gather, generate, deliver.

Knows nothing of queues or of how a platform is reached. A turn that dies anywhere leaves its inbox row
claimed and runs again: what it stored before is found again by the message's place on its platform.
Messages that are answered together are a chain of questions with one answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.base import Adapter
from adapters.errors import AdapterError
from adapters.types import (
    ButtonPressed,
    ChatRef,
    CommandInvoked,
    Event,
    MessageCreated,
    MessageEdited,
    MessageRef,
    Part,
    StopRequested,
    Unreadable,
)
from bot import again, attachments, personas, prompt, texts, thinking
from bot.access import TALK, Refused, place_of
from bot.again import NothingToDo, Tip
from bot.attachments import Reading
from bot.commands.base import Reply
from bot.commands.conversation import CONTINUE, RETRY, feedback_buttons, stop_buttons
from bot.commands.registry import action_of, find_turn
from bot.config import Settings
from bot.decisions import Verdict
from bot.delivery import OutboxWorker, Preview, Sleep, draft_number, final, part_key
from bot.gate import Admitted, Gate
from bot.i18n import _, speaking
from bot.quotas import Limit
from bot.scopes import Resolved
from bot.services import Services
from bot.store import branches, history, inbox, outbox, summaries
from bot.store import personas as made_personas
from bot.store import usage as charges
from bot.store.history import Said
from bot.store.inbox import Entry
from bot.store.models import Conversation, Message
from bot.store.session import Database
from bot.store.summaries import Summary
from inference import (
    Delta,
    Engine,
    EngineUnavailable,
    Finished,
    FinishReason,
    InferenceError,
    Overloaded,
    Request,
    SamplingParams,
)

log = logging.getLogger(__name__)

FRESH = 0.8  # temperature of an answer that is given anew where the first was the likeliest
PATIENCE = 5  # times that a turn waits for an engine that has too much to do


class _QuotaReached(Exception):
    """The person has used up what they may use."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.limit = limit


class _Withdrawn(Exception):
    """The person does not want the answer any more, and none of it is written yet."""


def concerns(event: Event) -> bool:
    """Whether an event is for the bot at all. What is not is never stored."""
    match event:
        case MessageCreated():
            return bool(event.text.strip() or event.attachments)
        case CommandInvoked() | ButtonPressed() | StopRequested() | Unreadable():
            return True
        case _:
            return False


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


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said."""

    text: str  # as it came, with what was thought
    finished: Finished
    prompt: prompt.Prompt
    model: str


class Turns:
    """Runs turns. `stop` ends the one that runs in a chat."""

    def __init__(
        self,
        database: Database,
        adapters: Mapping[str, Adapter],
        engine: Engine,
        worker: OutboxWorker,
        settings: Settings,
        services: Services,
        gate: Gate,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._engine = engine
        self._worker = worker
        self._settings = settings
        self._services = services
        self._gate = gate
        self._prompts = prompt.Prompts()
        self._running: dict[ChatRef, str] = {}  # the engine's request for each chat's turn
        self._ending: dict[ChatRef, asyncio.Event] = {}  # set when a chat's turn is over
        self._sleep = sleep
        self._patience: dict[ChatRef, asyncio.Event] = {}  # of turns that wait for the engine; ends that

    def stop(self, chat: ChatRef, key: str | None = None) -> bool:
        """End the chat's running answer where it is, or only that to the event of this key; what is written
        stays. False if none runs."""
        if key is not None and self._running.get(chat) != key:
            return False
        waiting = self._patience.get(chat)
        if waiting is not None:
            waiting.set()
            return True
        request_id = self._running.get(chat)
        return request_id is not None and self._services.models.cancel(request_id)

    async def over(self, chat: ChatRef) -> None:
        """Returns when no turn runs in the chat: its answer, such as it is, is on its way."""
        ending = self._ending.get(chat)
        if ending is not None:
            await ending.wait()

    @property
    def generating(self) -> int:
        """How many turns have the engine at work."""
        return len(self._running)

    async def run(self, entry: Entry, text: str) -> None:
        """Answer `text`, said in the entry's event, and what was said after it in `entry.more`. What the
        engine refuses is told in one sentence. Raises EngineUnavailable and whatever else goes wrong: the
        event is unanswered then, and running it again does no harm."""
        ending = self._ending[entry.event.chat] = asyncio.Event()
        try:
            await self._admit(entry, text)
        finally:
            del self._ending[entry.event.chat]
            ending.set()

    async def _admit(self, entry: Entry, text: str) -> None:
        """Gate: whoever may not talk to the bot here is told so, and nothing of theirs is kept."""
        event = entry.event
        assert isinstance(event, MessageCreated | MessageEdited | CommandInvoked)
        turn = find_turn(event.name) if isinstance(event, CommandInvoked) else None
        admitted = await self._gate.admit(event, TALK if turn is None else action_of(turn))
        if isinstance(admitted, Refused):
            with speaking(event.author.language):
                await self._refuse(entry, event, admitted)
            return
        with speaking(admitted.scoped.language or event.author.language):
            await self._answer(entry, text, admitted)

    async def _refuse(
        self, entry: Entry, event: MessageCreated | MessageEdited | CommandInvoked, refused: Refused
    ) -> None:
        async with self._database.write() as session:
            text = await self._gate.refusal(session, event, refused)
            waiting = isinstance(event, CommandInvoked) and event.placeholder is not None
            if text is not None or waiting:
                await self.enqueue_text(session, entry, text or refused.text)
            await self._decide(session, entry, Verdict.REFUSED, refused.missing)
            await inbox.close(session, entry, datetime.now(UTC), reason=refused.missing)
        self._worker.notify(event.chat)

    async def _answer(self, entry: Entry, text: str, admitted: Admitted) -> None:
        event = entry.event
        try:
            async with self._services.models.lease(admitted.model) as engine:
                question = await self._gather(entry, text, admitted, engine)
                answer, previews = await self._generate(entry, question, engine)
            await self._deliver(entry, question, answer, previews)
        except EngineUnavailable:
            raise
        except _QuotaReached as reached:
            await self._regret(entry, reached.limit.text(self._services.clock()), Verdict.QUOTA)
        except NothingToDo as nothing:
            await self._regret(entry, str(nothing), Verdict.ANSWERED)
        except _Withdrawn:
            await self._regret(entry, "", Verdict.STOPPED)
        except InferenceError as error:
            log.warning("no answer in %s: %s", event.chat, error)
            await self._regret(entry, texts.for_error(error), Verdict.FAILED, str(error))

    async def _regret(self, entry: Entry, text: str, verdict: Verdict, detail: str = "") -> None:
        """Say why there is no answer, and take back what was reserved for it."""

        async def write(session: AsyncSession) -> None:
            await charges.release(session, entry.key)
            await self._decide(session, entry, verdict, detail or text)
            await self.enqueue_text(session, entry, text)
            await inbox.close(session, entry, datetime.now(UTC), reason=verdict)

        await self._database.insist(write, sleep=self._sleep)
        self._worker.notify(entry.event.chat)

    async def gave_up(self, session: AsyncSession, entry: Entry, reason: str) -> None:
        """The entry is set aside, in the caller's transaction: it costs nobody anything."""
        await charges.release(session, entry.key)
        await self._decide(session, entry, Verdict.FAILED, reason)

    async def _decide(self, session: AsyncSession, entry: Entry, verdict: Verdict, detail: str) -> None:
        """Remember what became of the messages, for `diagnose`."""
        for event in (one.event for one in entry.all):
            if isinstance(event, MessageCreated):
                place, message = place_of(event), event.message.message
                await self._services.decisions.record(
                    session, place, message, event.author.id, verdict, detail
                )

    async def say(self, entry: Entry, text: str) -> None:
        """Answer with a text of the bot's own, which is not part of the history. An empty one only removes
        what stands there for the answer."""

        async def write(session: AsyncSession) -> None:
            await self.enqueue_text(session, entry, text)
            await inbox.close(session, entry, datetime.now(UTC))

        await self._database.insist(write, sleep=self._sleep)
        self._worker.notify(entry.event.chat)

    async def tell(self, entry: Entry, text: str) -> None:
        """Show something while the entry waits for its turn: the answer takes its place. Best effort."""
        event = entry.event
        adapter = self._adapters[event.chat.platform]
        capabilities = adapter.capabilities(event.chat)
        deferred = event.placeholder if isinstance(event, CommandInvoked) else None
        try:
            if deferred is not None:
                await adapter.preview(deferred, Part(text))
            elif capabilities.drafts:
                await adapter.draft(event.chat, draft_number(entry.key), text)
            elif capabilities.edit_interval is not None:
                message = await adapter.send(
                    event.chat, Part(text), key=part_key(entry.key, 0), reply_to=reply_target(event)
                )
                await self._save_placeholder(entry, 0, message)
        except (AdapterError, SQLAlchemyError) as error:
            log.info("nobody in %s was told to wait: %s", event.chat, error)

    async def enqueue_text(self, session: AsyncSession, entry: Entry, text: str) -> None:
        """Write such a text to the outbox, within the caller's transaction."""
        await self.enqueue_reply(session, entry, Reply(text))

    async def enqueue_reply(self, session: AsyncSession, entry: Entry, reply: Reply) -> None:
        """Write an answer of the bot's own to the outbox, within the caller's transaction: its files and
        buttons go with its last message."""
        event = entry.event
        parts = _with_extras(self._adapters[event.chat.platform].parts(reply.text), reply)
        standing = await self._standing(session, entry)
        if reply.replaces and isinstance(event, ButtonPressed) and event.placeholder is None:
            standing = [event.message, *standing]
        outgoing = final(entry.key, parts, standing, reply_to=reply_target(entry.last.event))
        await outbox.enqueue(session, event.chat, outgoing, datetime.now(UTC), inbox_id=entry.id)

    async def _gather(self, entry: Entry, text: str, admitted: Admitted, engine: Engine) -> Question:
        """Read what is attached, store the question in the conversation's tree and read its branch."""
        event = entry.event
        now = datetime.now(UTC)
        readings = [await self._read(one.event, admitted.scoped, engine) for one in entry.all]
        remarks = tuple(dict.fromkeys(remark for one in readings for remark in one.remarks))
        own = self._settings.persona

        async def store(session: AsyncSession) -> Question:
            tokens = admitted.scoped.max_tokens
            reached = await self._gate.charge(session, entry.key, admitted, tokens, self._services.clock())
            if reached is not None:
                raise _QuotaReached(reached)
            conversation = await history.conversation(session, event.chat, now, admitted.place.server)
            named = admitted.scoped.persona is not None
            realm = admitted.place.realm
            made = await made_personas.of_realm(session, event.chat.platform, realm) if named else {}
            tip = await self._tip(session, conversation, entry, text, readings, now)
            end = tip.cut or tip.message
            branch = await history.branch(session, end.id)
            return Question(
                conversation.id,
                tip.message.id,
                list(branch),
                personas.system_prompt(admitted.scoped, made, own.prompt, own.name),
                admitted.scoped,
                await summaries.of_branch(session, conversation.id, {said.id for said in branch}),
                admitted.model,
                await self._standing(session, entry),
                cut=tip.cut.id if tip.cut else None,
                partial=tip.cut.text if tip.cut else "",
                tries=tip.tries,
                remarks=remarks,
            )

        return await self._database.transact(store)

    async def _read(self, event: Event, scoped: Resolved, engine: Engine) -> Reading:
        """What is attached to a message."""
        if not isinstance(event, MessageCreated) or not event.attachments:
            return Reading()
        if not scoped.attachments:
            return Reading(remarks=(_(texts.FILES_OFF),))
        return await attachments.read(event.attachments, self._adapters[event.chat.platform].download, engine)

    async def _tip(
        self,
        session: AsyncSession,
        conversation: Conversation,
        entry: Entry,
        text: str,
        readings: Sequence[Reading],
        now: datetime,
    ) -> Tip:
        """What is to be answered: the messages that came, or something that was said before."""
        match entry.event:
            case CommandInvoked(name=RETRY.name):
                return await again.retried(session, conversation)
            case CommandInvoked(name=CONTINUE.name):
                return await again.continued(session, conversation)
            case MessageEdited() as event:
                return await again.changed(session, conversation, entry, event, now)
        asked: Message | None = None
        for one, reading in zip(entry.all, readings, strict=True):
            said = (text if one is entry else said_in(one.event)).strip()
            if said or reading.text:
                asked = await self._question(
                    session,
                    conversation,
                    one.event,
                    said,
                    reading.text,
                    now,
                    after=asked.id if asked else None,
                )
        if asked is None:
            raise NothingToDo("\n".join(remark for reading in readings for remark in reading.remarks))
        return Tip(asked)

    async def _question(
        self,
        session: AsyncSession,
        conversation: Conversation,
        event: Event,
        text: str,
        attached: str,
        now: datetime,
        *,
        after: int | None = None,
    ) -> Message:
        """The question's row: the one of an earlier try, or a new one where it belongs in the tree: behind
        message `after`, if that is given."""
        assert isinstance(event, MessageCreated | CommandInvoked)
        place = reply_target(event)
        stored = await history.find(session, conversation, place.message if place else event.id)
        if stored is not None:
            return stored
        author = await history.person(session, event.author, event.chat.platform, now)
        asked = Message(
            conversation_id=conversation.id,
            parent_id=after or await self._parent(session, conversation, event, now),
            person_id=author.id,
            role="user",
            text=text,
            attached=attached or None,
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

    async def _generate(
        self, entry: Entry, question: Question, engine: Engine
    ) -> tuple[Answer, list[MessageRef]]:
        """Let the model answer while the chat watches; gives the answer and the previews that stand."""
        event = entry.event
        assert isinstance(event, MessageCreated | MessageEdited | CommandInvoked)
        adapter = self._adapters[event.chat.platform]
        scoped = question.scoped
        fitted = await self._prompts.build(
            engine, question.system, question.branch, scoped.max_tokens, question.summaries
        )
        request = Request(
            messages=fitted.messages,
            sampling=_sampling(scoped, self._settings.model.seed, question.tries),
            id=entry.key,
            client=f"{event.chat.platform}:{event.author.id}",
        )
        preview = Preview(
            adapter,
            event.chat,
            entry.key,
            reply_to=reply_target(entry.last.event),
            messages=question.standing,
            save=lambda part, message: self._save_placeholder(entry, part, message),
            begin=lambda: self._worker.drained(event.chat),
            buttons=stop_buttons(entry.key),
        )
        self._running[event.chat] = request.id
        try:
            async with preview:
                text, finished = await self._admitted(event.chat, request, preview, engine, scoped)
        finally:
            del self._running[event.chat]
        return Answer(text, finished, fitted, engine.model), preview.messages

    async def _admitted(
        self, chat: ChatRef, request: Request, preview: Preview, engine: Engine, scoped: Resolved
    ) -> tuple[str, Finished]:
        """Stream the answer as soon as the engine takes the request. An engine with too much to do says when
        to come again: the person is told so and keeps waiting; after `PATIENCE` tries that is the answer."""
        for _attempt in range(PATIENCE):
            try:
                return await self._stream(request, preview, engine, scoped)
            except Overloaded as busy:
                preview.show(texts.place_in_queue(busy.waiting + 1, busy.retry_after))
                await self._wait(chat, busy.retry_after)
        return await self._stream(request, preview, engine, scoped)

    async def _wait(self, chat: ChatRef, seconds: float) -> None:
        """Sleep for a turn that waits for the engine. Raises _Withdrawn when it is stopped meanwhile."""
        stopped = self._patience[chat] = asyncio.Event()
        waits = [asyncio.ensure_future(self._sleep(seconds)), asyncio.create_task(stopped.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._patience[chat]
            for wait in waits:
                wait.cancel()
        if stopped.is_set():
            raise _Withdrawn

    async def _stream(
        self, request: Request, preview: Preview, engine: Engine, scoped: Resolved
    ) -> tuple[str, Finished]:
        text = ""
        async with aclosing(engine.generate(request)) as outputs:
            async for output in outputs:
                match output:
                    case Delta():
                        text += output.text
                        if scoped.stream:
                            show = scoped.show_thinking
                            preview.show(thinking.shown(text, ended=False, show_thinking=show))
                    case Finished():
                        return text, output
        raise AssertionError("an engine's stream ends with Finished")

    async def _deliver(
        self, entry: Entry, question: Question, answer: Answer, previews: list[MessageRef]
    ) -> None:
        """Store the answer, however long that takes: it is not generated anew because the disk is full."""

        async def store(session: AsyncSession) -> int:
            return await self._store(session, entry, question, answer, previews)

        answer_id = await self._database.insist(store, sleep=self._sleep)
        self._worker.notify(entry.event.chat)
        if question.scoped.summarise and question.cut is None:
            said = thinking.apart(answer.text).said
            self._services.summaries.consider(
                question.conversation_id, answer_id, answer.prompt, said, question.model
            )

    async def _store(
        self,
        session: AsyncSession,
        entry: Entry,
        question: Question,
        answer: Answer,
        previews: list[MessageRef],
    ) -> int:
        """The answer, what it cost, its way to the chat and the end of its event: one transaction. Gives the
        answer's id."""
        event = entry.event
        usage = answer.finished.usage
        now = datetime.now(UTC)
        parts = thinking.apart(answer.text)
        said = await history.add(
            session,
            Message(
                conversation_id=question.conversation_id,
                parent_id=question.message_id,
                role="assistant",
                text=_joined(question.partial, answer.text),
                thinking=parts.thinking or None,
                created_at=now,
                model=answer.model,
                finish_reason=answer.finished.reason,
                prompt_tokens=usage.prompt_tokens,
                cached_tokens=usage.cached_tokens,
                output_tokens=usage.output_tokens,
                first_token=usage.first_token,
            ),
        )
        if question.cut is not None:
            await branches.move_places(session, question.cut, said.id)
        await history.go_on(session, question.conversation_id, said.id)
        shown = "\n\n".join([_shown(answer, question.scoped), *question.remarks])
        fitted = answer.prompt
        if (fitted.dropped or fitted.summarised) and await history.tell_dropped(
            session, question.conversation_id
        ):
            shown = f"{shown}\n\n{_(texts.DROPPED if fitted.dropped else texts.SUMMARISED)}"
        buttons = feedback_buttons(said.id) if question.scoped.feedback else ()
        outgoing = final(
            entry.key,
            _with_extras(self._adapters[event.chat.platform].parts(shown), Reply("", buttons)),
            previews,
            reply_to=reply_target(entry.last.event),
            facts=_facts(answer.finished),
        )
        await outbox.enqueue(session, event.chat, outgoing, now, inbox_id=entry.id, message_id=said.id)
        await charges.settle(session, entry.key, usage.prompt_tokens + usage.output_tokens)
        await self._decide(session, entry, *_verdict(answer.finished))
        await inbox.close(session, entry, now)
        return said.id

    async def _standing(self, session: AsyncSession, entry: Entry) -> list[MessageRef]:
        """Messages of ours that wait in the chat for this answer: a command's deferred response first."""
        saved = await inbox.placeholders(session, entry)
        event = entry.event
        deferred = event.placeholder if isinstance(event, CommandInvoked | ButtonPressed) else None
        return [deferred, *saved] if deferred is not None else saved

    async def _save_placeholder(self, entry: Entry, part: int, message: MessageRef) -> None:
        await self._database.transact(lambda session: inbox.add_placeholder(session, entry, part, message))


def _with_extras(parts: Sequence[Part], reply: Reply) -> list[Part]:
    """The parts of a reply with its files and buttons: one file a message, the buttons under the last."""
    if not reply.files and not reply.buttons:
        return list(parts)
    whole = list(parts) or [Part("")]
    for index, file in enumerate(reply.files):
        if index == 0 and whole[-1].file is None:
            whole[-1] = replace(whole[-1], file=file)
        else:
            whole.append(Part("", file))
    whole[-1] = replace(whole[-1], buttons=reply.buttons)
    return whole


def _sampling(scoped: Resolved, seed: int | None, tries: int) -> SamplingParams:
    """How an answer is drawn. One that is given anew has another seed, and is never the likeliest."""
    return SamplingParams(
        max_tokens=scoped.max_tokens,
        temperature=(scoped.temperature or FRESH) if tries else scoped.temperature,
        top_p=scoped.top_p,
        seed=None if seed is None else seed + tries,
    )


def _joined(partial: str, text: str) -> str:
    """What was said at last: behind `partial`, exactly as it came."""
    said = thinking.apart(text).said
    begun = text[: len(text) - len(text.lstrip())] if partial and said else ""
    return f"{partial}{begun}{said}"


def _shown(answer: Answer, scoped: Resolved) -> str:
    """What people get to see of an answer."""
    parts = thinking.apart(answer.text)
    if parts.open and not parts.said:
        return _(texts.STILL_THINKING)
    shown = thinking.shown(answer.text, ended=True, show_thinking=scoped.show_thinking)
    return shown or _(texts.NOTHING_SAID)


def _verdict(finished: Finished) -> tuple[Verdict, str]:
    """What `diagnose` is told of an answer: how it ended, what it cost and how long it took."""
    usage = finished.usage
    verdict = Verdict.STOPPED if finished.reason is FinishReason.CANCELLED else Verdict.ANSWERED
    first = "-" if usage.first_token is None else f"{usage.first_token:.2f} s"
    cost = f"{usage.prompt_tokens} ({usage.cached_tokens}) + {usage.output_tokens} tokens"
    return verdict, f"{finished.reason}; {cost}; {first} / {usage.total:.2f} s"


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


def said_in(event: Event) -> str:
    """The text of a message."""
    return event.text if isinstance(event, MessageCreated) else ""


def reply_target(event: Event) -> MessageRef | None:
    """The message that an answer replies to; none where a command came without one."""
    return event.message
