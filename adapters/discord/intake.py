"""What has come in, until it is stored: in its order within a chat, and again and again while storing fails.

Discord delivers a message once. Whatever becomes of it here before it is stored (the disk is full, too many
wait, the connection ends), the chat is noted in `missed`, and `catchup` fetches it again. Knows nothing of
Discord but that ids of messages grow with time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from weakref import WeakValueDictionary

from adapters.base import Publish
from adapters.ratelimit import Sleep
from adapters.types import UNREADABLE_LENGTH, ButtonPressed, CommandInvoked, Event, Unreadable

log = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Events in hand; what comes beyond is fetched when there is room."""

_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=30)

_TRIES = 10
"""An event that fails so often while others are stored is itself what is wrong."""

Fetch = Callable[[str], Awaitable[None]]
"""Stores what was missed in a chat."""


class Intake:
    """Hands events to `publish`, those of one chat one after the other.

    `missed`: by chat, the id after which messages may be missing; `news` is set when a chat is added. While
    `open` is not set only catching up stores messages.
    """

    def __init__(self, publish: Publish, sleep: Sleep) -> None:
        self.missed: dict[str, int] = {}
        self.news = asyncio.Event()
        self.open = asyncio.Event()
        self._publish = publish
        self._sleep = sleep
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._waiting = 0
        self._again = asyncio.Lock()  # held by the one event that is tried again
        self._failing = False
        self._stored = 0

    async def take(self, event: Event, message: int, fetch: Fetch) -> None:
        """Store what has come of a message, after all that came before it in its chat and after what was
        missed there. `message` is its id."""
        chat = event.chat.chat
        if self._waiting >= MOST_WAITING:
            self.miss(chat, message - 1)
            return
        stored = False
        self._waiting += 1
        try:
            async with self.turn(chat):
                await self.open.wait()
                if self.missed.get(chat, message) < message:
                    await fetch(chat)
                await self.store(event)
                stored = True
        finally:
            self._waiting -= 1
            if not stored:
                self.miss(chat, message - 1)

    def turn(self, chat: str) -> asyncio.Lock:
        """Whoever holds this stores the chat's next message. Given in the order of asking."""
        return self._turns.setdefault(chat, asyncio.Lock())

    def miss(self, chat: str, after: int) -> None:
        """Messages later than `after` may be missing."""
        self.missed[chat] = min(after, self.missed.get(chat, after))
        self.news.set()

    async def publish(self, event: Event) -> None:
        """Store it now. Raises whatever storing raises."""
        await self._publish(event)
        self._stored += 1

    async def store(self, event: Event) -> None:
        """Store it, however often that has to be tried. Only one event is tried again at a time. One that
        can't be stored although others can is set aside as `Unreadable`."""
        try:
            await self.publish(event)
        except Exception as error:
            self._complain(error)
            async with self._again:
                await self._store_again(event)

    async def _store_again(self, event: Event) -> None:
        pause, others, tries = _FIRST_PAUSE, self._stored, 0
        while True:
            tries += 1
            try:
                await self.publish(event)
            except Exception as error:
                self._complain(error)
                if tries >= _TRIES and self._stored > others:
                    await self._set_aside(event, error)
                    return
            else:
                break
            await self._sleep(pause.total_seconds())
            pause = min(pause * 2, _LONGEST_PAUSE)
        if self._failing:
            self._failing = False
            log.info("what comes from Discord is stored again")

    def _complain(self, error: Exception) -> None:
        """Once, until it goes well again."""
        if not self._failing:
            self._failing = True
            log.error(
                "what comes from Discord can't be stored (%s: %s). Nothing is lost: it is tried until it can",
                type(error).__name__,
                error,
            )

    async def _set_aside(self, event: Event, error: Exception) -> None:
        log.error("event %s can't be stored although others can; it is set aside: %s", event.id, error)
        aside = unreadable(event, repr(error))
        try:
            await self.publish(aside)
        except Exception:
            log.exception("event %s can't even be set aside", event.id)


def unreadable(event: Event, reason: str) -> Unreadable:
    """An event that can't be stored, as one that can."""
    if isinstance(event, CommandInvoked | ButtonPressed):
        event = replace(event, placeholder=None)  # it holds a token
    raw = repr(event).encode("ascii", "backslashreplace").decode("ascii")
    return Unreadable(
        id=f"unreadable:{event.id}",
        chat=event.chat,
        raw=raw[:UNREADABLE_LENGTH],
        reason=reason,
        sent_at=datetime.now(UTC),
        server=event.server,
    )
