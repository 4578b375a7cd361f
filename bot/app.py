"""The composition root: builds everything, owns the one task group and the order of shutdown.

database ── engine ── outbox worker, turns, dispatcher ── adapters
opened in this order, closed in the reverse
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any

from adapters.base import Adapter
from adapters.errors import Misconfigured
from bot import menus
from bot.attempts import Attempts
from bot.commands.admin_models import reopen
from bot.commands.running import Commands
from bot.commands.suggesting import Suggestions
from bot.config import Settings
from bot.delivery import OutboxWorker, Sleep
from bot.dispatch import Dispatcher
from bot.gate import Gate
from bot.housekeeping import Housekeeper
from bot.i18n import translated
from bot.models import Models, Opener
from bot.owners import Owners
from bot.replies import Replies
from bot.services import Clock, Services, make_services, utc_now
from bot.store.session import Database
from bot.turn import Turns
from inference import Engine

log = logging.getLogger(__name__)

GRACE = timedelta(seconds=3)
"""At the end, for answers and for deliveries each: a service manager waits ten seconds before it kills."""


SELDOM = (20_000, 20, 20)
"""Objects made until the youngest are searched for garbage, and searches of each age until the next older."""


def collect_seldom() -> None:
    """Let Python search for cycles of garbage seldom, and not in what is loaded by now. For a process that
    only serves: the searches take a tenth of what a message costs."""
    gc.freeze()
    gc.set_threshold(*SELDOM)


class NothingToServe(Exception):
    """Every platform ended with a mistake in its set-up. The message says what to change."""


class App:
    """Chorus, from start to end of one run."""

    def __init__(
        self,
        settings: Settings,
        adapters: Sequence[Adapter],
        engine: AbstractAsyncContextManager[Engine],
        *,
        on_open: Callable[[], None] = lambda: None,
        open_model: Opener | None = None,
        announce: Callable[[str], None] | None = None,
        clock: Clock = utc_now,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._adapters = adapters
        self._engine = engine
        self._on_open = on_open  # told when the model is loaded and the platforms are next
        self._open_model = open_model  # further models, by name
        self._announce = announce  # told the code that makes someone the bot's owner
        self._clock = clock
        self._sleep = sleep
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End the run: what is being sent is sent, what is being answered is finished or left for the next
        run, within `GRACE` each."""
        self._stopping.set()

    async def run(self) -> None:
        """Serve until `stop`, or until every platform has ended and what it asked is answered.

        Raises DatabaseError, ModelNotFound and NothingToServe; each says what to do. Whatever ends the run,
        unfinished questions and undelivered answers stay stored for the next one.
        """
        async with AsyncExitStack() as resources:
            database = await resources.enter_async_context(Database(self._settings.database.url))
            opening = asyncio.ensure_future(resources.enter_async_context(self._engine))
            if await self._stopped_before(opening):
                opening.cancel()
                return
            engine = opening.result()
            self._on_open()
            tasks = await resources.enter_async_context(asyncio.TaskGroup())
            adapters = {adapter.platform: adapter for adapter in self._adapters}
            worker = OutboxWorker(database, adapters, tasks, sleep=self._sleep)
            models = await resources.enter_async_context(Models(engine, self._open_model))
            services = make_services(self._settings, database, adapters, models, tasks, self._clock)
            gate = Gate(services)
            replies = Replies(database, adapters, worker, sleep=self._sleep)
            turns = Turns(services, gate, worker, replies, sleep=self._sleep)
            commands = Commands(services, gate, replies, turns.over, worker.notify)
            tell_admins = Owners(services, worker.notify).tell
            attempts = Attempts(
                services, turns, replies, commands, worker, tell_admins=tell_admins, sleep=self._sleep
            )
            dispatcher = Dispatcher(
                services, gate, turns, replies, attempts, worker, tasks, sleep=self._sleep
            )
            await self._pair(services)
            upkeep = [
                tasks.create_task(dispatcher.keep(), name="leases"),
                tasks.create_task(services.decisions.run(), name="decisions"),
                tasks.create_task(reopen(services), name="models"),
                tasks.create_task(
                    Housekeeper(database, self._settings.database.keep_days).run(), name="housekeeping"
                ),
            ]
            serving = [
                tasks.create_task(self._serve(one, dispatcher, worker, services)) for one in self._adapters
            ]
            stopped = await self._stopped_before(*serving)
            for task in upkeep:
                task.cancel()
            if stopped:
                await dispatcher.close(GRACE)
                await worker.close(GRACE)
                await services.summaries.close()
                for platform in serving:
                    platform.cancel()
                return
            await dispatcher.idle()
            await worker.all_drained()
            await services.summaries.close()
        mistakes = [task.result() for task in serving]
        if all(mistakes):
            raise NothingToServe("; ".join(str(mistake) for mistake in mistakes))

    async def _pair(self, services: Services) -> None:
        """While there is a platform without an owner, whoever started the bot is shown the code for one."""
        owned = {platform for platform, _ in (await services.access.policy()).owners}
        if self._announce is not None and not owned.issuperset(services.adapters):
            self._announce(services.pairing.begin())

    async def _stopped_before(self, *work: asyncio.Future[Any]) -> bool:
        """Wait until `work` is done or `stop` is called; True if that was `stop`. The work goes on."""
        stopping = asyncio.create_task(self._stopping.wait())
        pending = set(work)
        try:
            while pending and not stopping.done():
                await asyncio.wait([*pending, stopping], return_when=asyncio.FIRST_COMPLETED)
                pending = {one for one in pending if not one.done()}
            return bool(pending)
        finally:
            stopping.cancel()

    async def _serve(
        self, adapter: Adapter, dispatcher: Dispatcher, worker: OutboxWorker, services: Services
    ) -> Misconfigured | None:
        """Run an adapter to its end. One that is set up wrongly does not keep the others from serving."""
        async with services.database.read() as session:
            await services.languages.load(session, adapter.platform)
        async with asyncio.TaskGroup() as tasks:
            welcome = tasks.create_task(self._welcome(adapter, dispatcher, worker, services))
            try:
                await adapter.run(
                    dispatcher.publish,
                    cursors=partial(dispatcher.cursors, adapter.platform),
                    suggest=Suggestions(services),
                    translate=translated,
                )
            except Misconfigured as mistake:
                log.error("%s: %s", adapter.platform, mistake)
                return mistake
            finally:
                welcome.cancel()
        return None

    async def _welcome(
        self, adapter: Adapter, dispatcher: Dispatcher, worker: OutboxWorker, services: Services
    ) -> None:
        """Once the platform is there: what was left over first, then its menus."""
        await adapter.ready()
        await worker.recover(adapter.platform)
        await dispatcher.go_live(adapter.platform)
        await menus.publish(adapter, services)
