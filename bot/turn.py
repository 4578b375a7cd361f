"""One turn: from a message to its answer. Gate, gather, generate, deliver.

Knows nothing of queues or of how a platform is reached. A turn that dies anywhere leaves its inbox row
claimed and runs again: what it stored before is found again by the message's place on its platform.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import ChatRef, CommandInvoked, MessageCreated, MessageEdited, MessageRef
from bot import answer, texts, thinking
from bot.access import TALK, Refused
from bot.again import NothingToDo
from bot.answer import Answer, decide
from bot.commands.registry import action_of, find_turn
from bot.decisions import Verdict
from bot.delivery import OutboxWorker, Sleep
from bot.gate import Admitted, Gate
from bot.generation import Generation, Withdrawn
from bot.i18n import speaking
from bot.question import Question, Questions, QuotaReached
from bot.replies import Replies
from bot.services import Services
from bot.store import inbox
from bot.store import usage as charges
from bot.store.inbox import Entry
from inference import EngineUnavailable, InferenceError

log = logging.getLogger(__name__)


class Turns:
    """Runs turns. `stop` ends the one that runs in a chat."""

    def __init__(
        self,
        services: Services,
        gate: Gate,
        worker: OutboxWorker,
        replies: Replies,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._services = services
        self._database = services.database
        self._gate = gate
        self._worker = worker
        self._replies = replies
        self._questions = Questions(services, gate)
        self._generation = Generation(services, worker, replies, sleep=sleep)
        self._ending: dict[ChatRef, asyncio.Event] = {}  # set when a chat's turn is over
        self._sleep = sleep

    def stop(self, chat: ChatRef, key: str | None = None) -> bool:
        """See `Generation.stop`."""
        return self._generation.stop(chat, key)

    async def over(self, chat: ChatRef) -> None:
        """Returns when no turn runs in the chat: its answer, such as it is, is on its way."""
        ending = self._ending.get(chat)
        if ending is not None:
            await ending.wait()

    @property
    def generating(self) -> int:
        """How many turns have the engine at work."""
        return self._generation.generating

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
                await self._replies.enqueue_text(session, entry, text or refused.text)
            await decide(session, self._services, entry, Verdict.REFUSED, refused.missing)
            await inbox.close(session, entry, datetime.now(UTC), reason=refused.missing)
        self._worker.notify(event.chat)

    async def _answer(self, entry: Entry, text: str, admitted: Admitted) -> None:
        event = entry.event
        try:
            async with self._services.models.lease(admitted.model) as engine:
                question = await self._questions.gather(entry, text, admitted, engine)
                said, previews = await self._generation.generate(entry, question, engine)
            await self._deliver(entry, question, said, previews)
        except EngineUnavailable:
            raise
        except QuotaReached as reached:
            text = reached.limit.text(self._services.clock())
            told = text if self._gate.tells_of(event, admitted, reached.limit) else ""
            await self._regret(entry, told, Verdict.QUOTA, text)
        except NothingToDo as nothing:
            await self._regret(entry, str(nothing), Verdict.ANSWERED)
        except Withdrawn:
            await self._regret(entry, "", Verdict.STOPPED)
        except InferenceError as error:
            log.warning("no answer in %s: %s", event.chat, error)
            await self._regret(entry, texts.for_error(error), Verdict.FAILED, str(error))

    async def _regret(self, entry: Entry, text: str, verdict: Verdict, detail: str = "") -> None:
        """Say why there is no answer, and take back what was reserved for it."""

        async def write(session: AsyncSession) -> None:
            await charges.release(session, entry.key)
            await decide(session, self._services, entry, verdict, detail or text)
            await self._replies.enqueue_text(session, entry, text)
            await inbox.close(session, entry, datetime.now(UTC), reason=verdict)

        await self._database.insist(write, sleep=self._sleep)
        self._worker.notify(entry.event.chat)

    async def gave_up(self, session: AsyncSession, entry: Entry, reason: str) -> None:
        """The entry is set aside, in the caller's transaction: it costs nobody anything."""
        await charges.release(session, entry.key)
        await decide(session, self._services, entry, Verdict.FAILED, reason)

    async def _deliver(
        self, entry: Entry, question: Question, said: Answer, previews: Sequence[MessageRef]
    ) -> None:
        """Store the answer, however long that takes: it is not generated anew because the disk is full."""

        async def store(session: AsyncSession) -> int:
            return await answer.keep(session, self._services, entry, question, said, previews)

        answer_id = await self._database.insist(store, sleep=self._sleep)
        self._worker.notify(entry.event.chat)
        if question.scoped.summarise and question.cut is None:
            text = thinking.apart(said.text).said
            self._services.summaries.consider(
                question.conversation_id, answer_id, said.prompt, text, question.model
            )
