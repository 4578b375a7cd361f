"""One claimed event, worked on until it is closed: again when it fails, aside when it fails for good.

    try ──▶ closed
     ├──fails: again, three times in all, then aside: the person and the bot's people are told
     └──the database fails: again, and it counts for nothing

Knows nothing of what waits or whose turn it is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import timedelta
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import ButtonPressed, ChatRef, CommandInvoked, MessageCreated, MessageEdited
from bot import texts
from bot.commands import ASK
from bot.commands.conversation import CONTINUE, RETRY
from bot.commands.running import Commands
from bot.delivery import OutboxWorker, Sleep
from bot.events import language_of
from bot.i18n import _, speaking
from bot.replies import Replies
from bot.services import Services
from bot.store import inbox
from bot.store.errors import is_unavailable
from bot.store.inbox import Entry
from bot.turn import Turns
from inference import EngineUnavailable

log = logging.getLogger(__name__)

TRIES = 3  # at an event, in all; an event that ends the process counts by its claim
FIRST_PAUSE = timedelta(seconds=0.5)  # before the next try
LONGEST_PAUSE = timedelta(seconds=15)
SAME_DEATH = 0.2  # seconds within which turns fail by the same death of their model

TellAdmins = Callable[[str], Awaitable[None]]
"""Brings a line to the people who look after the bot."""


class Attempts:
    """Works on events. `tell_admins` hears of those that were set aside."""

    def __init__(
        self,
        services: Services,
        turns: Turns,
        replies: Replies,
        commands: Commands,
        worker: OutboxWorker,
        *,
        tell_admins: TellAdmins,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._database = services.database
        self._turns = turns
        self._replies = replies
        self._commands = commands
        self._worker = worker
        self._tell_admins = tell_admins
        self._clock = services.clock
        self._sleep = sleep
        self._last_try = asyncio.Lock()  # one at a time, so that none falls with another
        self._model_died = -SAME_DEATH  # when a turn last failed by it; monotonic seconds

    async def see_through(self, entry: Entry, *, stopped: bool = False) -> None:
        """Work on a claimed event until it is closed: again when it fails, aside when it fails for good."""
        if entry.attempts > TRIES:
            await self._set_aside(entry, f"Chorus has ended {TRIES} times while it worked on this")
            return
        pause = FIRST_PAUSE
        while True:
            failure = await self._try(entry, stopped=stopped)
            if failure is None:
                return
            if not is_unavailable(failure):
                if self._is_lost(entry, failure):
                    await self._set_aside(entry, repr(failure), failure)
                    return
                entry = await self._database.insist(partial(inbox.try_again, entry=entry), sleep=self._sleep)
            await self._sleep(pause.total_seconds())
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _try(self, entry: Entry, *, stopped: bool) -> Exception | None:
        """One try; gives what it failed by. The last one is made alone, lest it fall with others."""
        with speaking(language_of(entry.event)):
            try:
                async with self._last_try if entry.attempts >= TRIES else nullcontext():
                    await self._run(entry, stopped=stopped)
            except Exception as error:
                if is_unavailable(error):
                    log.info("event %s waits for the database: %s", entry.event.id, error)
                else:
                    log.exception("event %s has failed, try %d", entry.event.id, entry.attempts)
                return error
        return None

    def _is_lost(self, entry: Entry, failure: Exception) -> bool:
        """Whether not to try again. A model that dies takes all its turns with it: who was alone with it
        the second time is to blame."""
        if not isinstance(failure, EngineUnavailable):
            return entry.attempts >= TRIES
        now = time.monotonic()
        alone = self._turns.generating == 0 and now - self._model_died > SAME_DEATH
        self._model_died = now
        return entry.attempts >= (TRIES - 1 if alone else TRIES)

    async def _set_aside(self, entry: Entry, reason: str, failure: Exception | None = None) -> None:
        """Give an event up: the person and the people who look after the bot are told."""
        event = entry.event
        log.error("event %s in %s is set aside: %s", event.id, event.chat, reason)
        with speaking(language_of(event)):
            text = texts.for_error(failure) if isinstance(failure, EngineUnavailable) else texts.given_up()

        async def write(session: AsyncSession, *, telling: bool) -> None:
            if telling:
                await self._replies.enqueue_text(session, entry, text)
            await self._turns.gave_up(session, entry, reason)
            await inbox.set_aside(session, entry, self._clock(), reason)

        try:
            await self._database.insist(partial(write, telling=True), sleep=self._sleep)
        except Exception:  # it may be the very telling that fails
            log.exception("nobody in %s could be told", event.chat)
            await self._database.insist(partial(write, telling=False), sleep=self._sleep)
        self._worker.notify(event.chat)
        await self._tell_admins(f"I have set an event in {_place(event.chat)} aside: {reason}")

    async def _run(self, entry: Entry, *, stopped: bool) -> None:
        match entry.event:
            case MessageCreated(text=text):
                await self._turns.run(entry, text)
            case CommandInvoked(name=ASK.name, arguments=arguments):
                question = arguments.get(ASK.params[0].name, "").strip()
                if question:
                    await self._turns.run(entry, question)
                else:
                    await self._replies.say(entry, _(texts.NO_QUESTION))
            case CommandInvoked(name=RETRY.name | CONTINUE.name):
                await self._turns.run(entry, "")
            case MessageEdited(text=text):
                await self._turns.run(entry, text)
            case CommandInvoked() | ButtonPressed():
                await self._commands.run(entry, stopped=stopped)
            case _:
                await self._close(entry)

    async def _close(self, entry: Entry) -> None:
        """Any other event: what was asked for has happened already, such as a stop."""
        async with self._database.write() as session:
            await inbox.close(session, entry, self._clock())


def _place(chat: ChatRef) -> str:
    return " ".join(part for part in (chat.platform, chat.chat, chat.thread) if part)
