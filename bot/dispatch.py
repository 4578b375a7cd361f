"""From the inbox to turns and commands: in order within a conversation, beside one another across them.

Knows nothing of models or of how an answer is made. `publish` is what adapters call.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta

from adapters.types import ChatRef, CommandInvoked, Event, MessageCreated
from bot import texts
from bot.commands import ASK, Command, CommandContext, find_command
from bot.config import Settings
from bot.delivery import OutboxWorker
from bot.store import history, inbox
from bot.store.inbox import Entry
from bot.store.session import Database
from bot.turn import Turns, concerns

log = logging.getLogger(__name__)


class Dispatcher:
    """Runs what comes in. Its tasks live in the task group that it is given: one for each conversation that
    has something to do, and one for each command that does not wait."""

    def __init__(
        self,
        database: Database,
        turns: Turns,
        worker: OutboxWorker,
        settings: Settings,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._database = database
        self._turns = turns
        self._worker = worker
        self._settings = settings
        self._tasks = tasks
        self._live: set[str] = set()  # platforms whose events are worked on as they come
        self._queues: dict[ChatRef, deque[Entry]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._closing = False

    async def publish(self, event: Event) -> None:
        """Take an event in. Returns once it is stored; what was stored before is passed over."""
        if not concerns(event):
            return
        async with self._database.write() as session:
            entry = await inbox.add(session, event, datetime.now(UTC))
            live = event.chat.platform in self._live
        if entry is not None and live:
            self._schedule(entry)

    async def go_live(self, platform: str) -> None:
        """The platform can be answered now. Takes up what an earlier run left unanswered and what has come in
        since, in its order; the transaction keeps events from coming in between."""
        async with self._database.write() as session:
            entries = await inbox.pending(session, platform)
            self._live.add(platform)
        for entry in entries:
            self._schedule(entry)

    async def idle(self) -> None:
        """Returns when nothing is being worked on."""
        while self._running:
            await asyncio.wait(self._running)

    async def close(self, grace: timedelta) -> None:
        """Begin nothing new, give what runs a while to end, and leave the rest in the inbox."""
        self._closing = True
        self._live.clear()
        if self._running:
            _, unfinished = await asyncio.wait(self._running, timeout=grace.total_seconds())
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    def _schedule(self, entry: Entry) -> None:
        command = _command(entry.event)
        stopped = command is not None and command.stops and self._turns.stop(entry.event.chat)
        if command is not None and command.at_once:
            work = self._run_command(entry, command, stopped=stopped)
            self._start(_surviving(work, entry), f"command {entry.id}")
            return
        queue = self._queues.get(entry.event.chat)
        if queue is not None:
            queue.append(entry)
            return
        self._queues[entry.event.chat] = deque([entry])
        self._start(self._work_off(entry.event.chat), f"conversation {entry.event.chat}")

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        task = self._tasks.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _work_off(self, chat: ChatRef) -> None:
        queue = self._queues[chat]
        try:
            while queue and not self._closing:
                await _surviving(self._run(queue[0]), queue[0])
                queue.popleft()
        finally:
            del self._queues[chat]

    async def _run(self, entry: Entry) -> None:
        match entry.event:
            case MessageCreated(text=text):
                await self._turns.run(entry, text)
            case CommandInvoked(name=ASK.name, arguments=arguments):
                question = arguments.get(ASK.params[0].name, "").strip()
                if question:
                    await self._turns.run(entry, question)
                else:
                    await self._turns.say(entry, texts.NO_QUESTION)
            case CommandInvoked():
                await self._run_command(entry, _command(entry.event), stopped=False)

    async def _run_command(self, entry: Entry, command: Command | None, *, stopped: bool) -> None:
        """The handler's changes, its answer and the end of its event are one transaction."""
        event = entry.event
        assert isinstance(event, CommandInvoked)
        if command is None:
            await self._turns.say(entry, texts.unknown_command(event.name))
            return
        try:
            if stopped:  # its result stands before the word that it was stopped
                await self._turns.over(event.chat)
            async with self._database.write() as session:
                now = datetime.now(UTC)
                conversation = await history.conversation(session, event.chat, now)
                context = CommandContext(event, conversation, session, self._settings, stopped)
                await self._turns.enqueue_text(session, entry, await command.handler(context))
                await inbox.close(session, entry, now)
            self._worker.notify(event.chat)
        except Exception as error:
            log.exception("/%s in %s has failed", event.name, event.chat)
            await self._turns.say(entry, texts.for_error(error))


async def _surviving(work: Coroutine[None, None, None], entry: Entry) -> None:
    """Do the work; if not even a word of regret can be stored, the event is left for the next run."""
    try:
        await work
    except Exception:
        log.exception("event %s stays unanswered for now", entry.event.id)


def _command(event: Event) -> Command | None:
    return find_command(event.name) if isinstance(event, CommandInvoked) else None
