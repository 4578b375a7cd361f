"""From the inbox to turns and commands: in order within a conversation, beside one another across them.

    publish ──▶ inbox ──▶ backlog (who waits) ──a slot is free──▶ claim ──▶ worked on ──▶ closed
                  └──nobody waits: claimed as it is stored────────────────────▶──┘

Only conversations' names wait in memory; events are read from the inbox as they are claimed. Knows nothing of
models or of how an answer is made. `publish` is what adapters call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import ChatRef, CommandInvoked, Event, MessageCreated, MessageEdited, Unreadable
from bot import again, texts
from bot.attempts import TRIES, Attempts
from bot.backlog import Backlog, Party
from bot.delivery import OutboxWorker, Sleep
from bot.events import (
    author_of,
    concerns,
    is_at_once,
    is_cut,
    language_of,
    party_of,
    stop_key,
    stops,
    together,
)
from bot.gate import Gate
from bot.i18n import speaking
from bot.replies import Replies
from bot.services import Services
from bot.store import inbox
from bot.store.inbox import Entry
from bot.turn import Turns

log = logging.getLogger(__name__)

SETTLED = timedelta(seconds=5)
"""A run that has lived so long is not one of many that are ended from outside, and only then makes last
tries: an event is not to be blamed for the end of every process that happened to work on it."""
RENEWAL = inbox.LEASE / 3
PASTE_PAUSE = timedelta(seconds=1.5)  # for the rest of a paste that the person's client has cut
USUAL_TURN = 5.0  # seconds; a guess until turns have been measured


class RunEnded(Exception):
    """The run is over: no task can be begun any more."""


class Dispatcher:
    """Runs what comes in. Its tasks live in the task group that it is given: one for each conversation that
    is being answered, and one for each event that does not wait."""

    def __init__(
        self,
        services: Services,
        gate: Gate,
        turns: Turns,
        replies: Replies,
        attempts: Attempts,
        worker: OutboxWorker,
        tasks: asyncio.TaskGroup,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._database = services.database
        self._services = services
        self._settings = services.settings
        self._gate = gate
        self._turns = turns
        self._replies = replies
        self._attempts = attempts
        self._worker = worker
        self._tasks = tasks
        self._clock = services.clock
        self._sleep = sleep
        self._holder = inbox.new_holder()
        limits = services.settings.limits
        self._backlog = Backlog(limits.waiting_per_person, limits.waiting)
        self._live: set[str] = set()  # platforms whose events are worked on as they come
        self._caught_up: set[str] = set()  # those of which the backlog knows all that waits
        self._working: set[ChatRef] = set()  # conversations that are being answered
        self._held: dict[ChatRef, asyncio.Task[None]] = {}  # conversations that have to wait a while
        self._telling: dict[ChatRef, asyncio.Task[None]] = {}  # people who are being told to wait
        self._running: set[asyncio.Task[None]] = set()
        self._turn_seconds = USUAL_TURN
        self._began = time.monotonic()
        self._closing = False

    # Taking in

    async def publish(self, event: Event) -> None:
        """Take an event in. Returns once it is stored; what was stored before is passed over. When too many
        wait already it is stored with its refusal. Raises when it could not be stored."""
        languages = self._services.languages
        event = languages.told(self._services.pairing.sealed(event))
        if not await self._wanted(event):
            return
        platform = event.chat.platform
        too_much = self._is_too_much(event)
        refusal = self._refusal(event) if too_much else None
        straight = not too_much and self._goes_straight(event)
        if straight:  # from here on others of its conversation wait for it
            self._working.add(event.chat)

        async def take(session: AsyncSession) -> tuple[Entry | None, bool]:
            live = platform in self._live
            holder = self._holder if straight or (live and is_at_once(event)) else None
            entry = await inbox.add(session, event, self._clock(), holder=holder)
            await languages.keep(session, event)
            if entry is not None and too_much:
                if refusal is not None:
                    await self._replies.enqueue_text(session, entry, refusal)
                await inbox.close(session, entry, self._clock(), reason="too many were waiting")
            return entry, live

        entry = None
        try:
            entry, live = await self._database.transact(take)
        finally:
            if straight and entry is None:
                self._leave(event.chat, party_of(event))
        languages.kept(event)
        refused = entry is not None and too_much
        if entry is None and refusal is not None:
            self._backlog.untell(author_of(event))
        at_once = live and is_at_once(event)
        if isinstance(event, Unreadable):
            log.error("an event of %s can't be read and is set aside: %s", platform, event.reason)
        elif refused:
            self._worker.notify(event.chat)
        elif entry is not None and live:
            stopped = stops(event) and self._turns.stop(event.chat, stop_key(event))
            if at_once:
                self._start(self._attempts.see_through(entry, stopped=stopped), f"event {entry.id}")
            elif straight:
                self._start(self._attend(event.chat, party_of(event), entry), f"conversation {event.chat}")
            else:
                self._wait(entry)

    async def _wanted(self, event: Event) -> bool:
        if isinstance(event, MessageCreated):
            return concerns(event) and await self._gate.concerns(event)
        if isinstance(event, MessageEdited):
            return await self._is_question(event)
        return concerns(event)

    async def _is_question(self, event: MessageEdited) -> bool:
        """Whether what was changed is a question, or may be one that is still waiting."""
        if event.chat in self._working or self._backlog.waiting_in(event.chat):
            return True
        place = event.message.message
        return await self._database.look(lambda session: again.knows(session, event.chat, place))

    def _is_too_much(self, event: Event) -> bool:
        """Whether an event asks for work while too much waits already."""
        asks = isinstance(event, MessageCreated | CommandInvoked) and not stops(event)
        return asks and self._backlog.is_full(author_of(event))

    def _goes_straight(self, event: Event) -> bool:
        """Whether nobody is before this event: it is claimed as it is stored, and gets its turn at once."""
        chat = event.chat
        return (
            chat.platform in self._caught_up
            and not self._closing
            and self._backlog.queued == 0
            and len(self._working) < self._settings.limits.concurrent_turns
            and chat not in self._working
            and chat not in self._held
            and not self._backlog.waiting_in(chat)
            and not is_at_once(event)
            and not isinstance(event, Unreadable)
            and not (isinstance(event, MessageCreated) and is_cut(event))
        )

    def _refusal(self, event: Event) -> str | None:
        """What is said where too many wait: once until there is room again, and to whom a command's answer is
        due."""
        if not self._backlog.tell(author_of(event)) and not isinstance(event, CommandInvoked):
            return None
        limits = self._settings.limits
        with speaking(language_of(event)):
            mine = len(self._backlog) < limits.waiting
            return texts.too_many_waiting(limits.waiting_per_person) if mine else texts.too_busy()

    def _wait(self, entry: Entry) -> None:
        """The event's conversation gets its turn; that of a paste not before the rest may have come."""
        event = entry.event
        chat = event.chat
        self._backlog.add(chat, author_of(event))
        if (held := self._held.pop(chat, None)) is not None:
            held.cancel()
        if isinstance(event, MessageCreated) and is_cut(event):
            self._hold(chat, party_of(event), PASTE_PAUSE)
        else:
            self._ready(chat, party_of(event))
            self._tell_place(entry)

    def _hold(self, chat: ChatRef, party: Party, pause: timedelta) -> None:
        """Let a conversation wait for so long before its turn."""

        async def wait() -> None:
            await self._sleep(pause.total_seconds())
            del self._held[chat]
            self._ready(chat, party)

        self._held[chat] = self._start(wait(), f"pause of {chat}")

    def _tell_place(self, entry: Entry) -> None:
        """Tell a person who has to wait for others where in the queue they are."""
        chat = entry.event.chat
        place = self._backlog.place(chat)
        slots = self._settings.limits.concurrent_turns
        if place == 0 or chat in self._telling or self._backlog.waiting_in(chat) > 1:
            return
        seconds = self._turn_seconds * (1 + (place - 1) // slots)
        with speaking(language_of(entry.event)):
            text = texts.place_in_queue(place, seconds)
        self._telling[chat] = self._start(self._replies.tell(entry, text), f"place of {chat}")

    async def cursors(self, platform: str) -> Mapping[str, str]:
        """See `adapters.base.Cursors`."""
        async with self._database.read() as session:
            return await inbox.cursors(session, platform)

    # Starting and ending

    async def go_live(self, platform: str) -> None:
        """The platform can be answered now. Takes up what an earlier run left unanswered and what has come in
        since; the transaction keeps events from coming in between."""

        async def begin(session: AsyncSession) -> list[inbox.Waiting]:
            await inbox.release(session, platform, self._holder, self._clock())
            self._live.add(platform)
            return list(await inbox.waiting(session, platform))

        self._take_up(await self._database.insist(begin, sleep=self._sleep))
        self._caught_up.add(platform)  # only now can an event be known to be its conversation's first

    async def keep(self) -> None:
        """Renew the leases of what is being worked on, and take over those that have run out, until
        cancelled."""
        while True:
            await self._sleep(RENEWAL.total_seconds())
            try:
                async with self._database.write() as session:
                    await inbox.renew(session, self._holder, self._clock())
                    freed = [
                        platform
                        for platform in self._live
                        if await inbox.release(session, platform, self._holder, self._clock())
                    ]
                for platform in freed:
                    await self._take_up_again(platform)
            except SQLAlchemyError as error:
                log.info("leases could not be renewed: %s", error)

    async def _take_up_again(self, platform: str) -> None:
        """Count anew what waits, for there is more than this run has taken in."""
        async with self._database.read() as session:
            waiting = await inbox.waiting(session, platform)
        self._take_up([one for one in waiting if not self._backlog.waiting_in(one.chat)])

    def _take_up(self, waiting: list[inbox.Waiting]) -> None:
        for one in waiting:
            author = (one.chat.platform, one.author or "")
            self._backlog.add(one.chat, author, one.count)
            self._ready(one.chat, (one.chat.platform, one.server or one.author or one.chat.chat))

    async def idle(self) -> None:
        """Returns when nothing is being worked on."""
        while self._running:
            await asyncio.wait(self._running)

    async def close(self, grace: timedelta) -> None:
        """Begin nothing new, give what runs a while to end, and leave the rest in the inbox."""
        self._closing = True
        self._live.clear()
        for task in [*self._held.values(), *self._telling.values()]:
            task.cancel()
        if self._running:
            _, unfinished = await asyncio.wait(self._running, timeout=grace.total_seconds())
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        try:
            async with self._database.write() as session:
                await inbox.park(session, self._holder)
        except SQLAlchemyError as error:
            log.warning("what is unanswered keeps its lease until the next start: %s", error)

    # Turns of conversations

    def _ready(self, chat: ChatRef, party: Party) -> None:
        if chat not in self._working:  # it is looked after when its turn ends
            self._backlog.queue(chat, party)
            self._fill()

    def _fill(self) -> None:
        """Give free slots to those whose turn it is."""
        while not self._closing and len(self._working) < self._settings.limits.concurrent_turns:
            following = self._backlog.next()
            if following is None:
                return
            chat, party = following
            if chat not in self._held:
                self._working.add(chat)
                self._start(self._attend(chat, party), f"conversation {chat}")

    def _start(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        try:
            task = self._tasks.create_task(work, name=name)
        except RuntimeError as error:  # the task group has ended
            work.close()
            raise RunEnded from error
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _attend(self, chat: ChatRef, party: Party, entry: Entry | None = None) -> None:
        """One turn of a conversation: of `entry`, if that is claimed already."""
        over = False
        try:
            telling = self._telling.pop(chat, None)
            if telling is not None:  # what is being said there becomes the answer
                await asyncio.wait([telling])
            entry = entry or await self._claim(chat, party)
            if entry is not None:
                began = time.monotonic()
                await self._attempts.see_through(entry)
                self._turn_seconds += (time.monotonic() - began - self._turn_seconds) / 10
        except GeneratorExit:  # the event loop is gone, and with it whatever could go on
            over = True
            raise
        finally:
            if not over:
                self._leave(chat, party)

    def _leave(self, chat: ChatRef, party: Party) -> None:
        """A conversation's turn has ended; its slot is free."""
        self._working.discard(chat)
        with suppress(RunEnded):  # nothing new begins
            if self._backlog.waiting_in(chat):
                self._ready(chat, party)
            self._fill()

    async def _claim(self, chat: ChatRef, party: Party) -> Entry | None:
        age = timedelta(seconds=time.monotonic() - self._began)
        at_most = None if age >= SETTLED else TRIES - 1

        async def claim(session: AsyncSession) -> Entry | None:
            return await inbox.claim(
                session, chat, self._holder, self._clock(), together=together, at_most=at_most
            )

        try:
            entry = await self._database.insist(claim, sleep=self._sleep)
        except inbox.TriedOften:
            self._hold(chat, party, SETTLED - age)
            return None
        if entry is None:
            self._backlog.forget(chat)
        else:
            self._backlog.take(chat, [author_of(one.event) for one in entry.all])
        return entry
