"""Keeps the database small: what is over is deleted after a while, its space goes back to the disk.

Everything is done in small steps, so that no message waits for it. Knows nothing of what the rows mean.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store import decisions, history, inbox, outbox, usage
from bot.store.models import InboxState
from bot.store.session import Database

log = logging.getLogger(__name__)

KEPT = timedelta(days=7)  # events and deliveries that are over; platforms repeat an event for a day at most
FIRST = timedelta(minutes=1)  # after the start
BETWEEN = timedelta(minutes=10)
BATCH = 500  # rows looked at in one transaction
PAUSE = timedelta(seconds=0.1)  # between two of them

Prune = Callable[[AsyncSession, int, datetime, int], Awaitable[int | None]]
"""Deletes what is older than a time, of so many rows behind a row; see `inbox.prune`."""


class Housekeeper:
    """`keep_days` is for messages, and events that were set aside; None keeps them."""

    def __init__(
        self,
        database: Database,
        keep_days: int | None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._keep_days = keep_days
        self._clock = clock
        self._sleep = sleep

    async def run(self) -> None:
        """Tidy up now and then, until cancelled."""
        await self._sleep(FIRST.total_seconds())
        while True:
            try:
                await self.tidy()
            except SQLAlchemyError as error:
                log.warning("the database could not be tidied up: %s", error)
            await self._sleep(BETWEEN.total_seconds())

    async def tidy(self) -> None:
        now = self._clock()
        await self._prune(inbox.prune, now - KEPT)
        await self._prune(outbox.prune, now - KEPT)
        async with self._database.write() as session:
            await usage.prune(session, now)
            await decisions.prune(session, now - KEPT)
        if self._keep_days is not None:
            before = now - timedelta(days=self._keep_days)
            await self._prune(history.prune, before)
            await self._prune(partial(inbox.prune, state=InboxState.ASIDE), before)
        await self._database.tidy()

    async def _prune(self, prune: Prune, before: datetime) -> None:
        last: int | None = 0
        while last is not None:
            async with self._database.write() as session:
                last = await prune(session, last, before, BATCH)
            await self._sleep(PAUSE.total_seconds())
