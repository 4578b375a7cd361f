"""Why a message was answered or not, remembered for a week: `diagnose` reads it.

What was not for the bot at all is by far the most; it is kept in memory and written down now and then, many
at once. What came to a turn is written with that turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import ChatRef
from bot.access import Place
from bot.store import decisions as stored
from bot.store.session import Database

log = logging.getLogger(__name__)

EVERY = timedelta(seconds=10)  # what is kept in memory is written down
IN_MEMORY = 5000  # decisions; beyond that the oldest is forgotten
AT_ONCE = 500  # rows of one transaction


class Verdict(StrEnum):
    ANSWERED = "answered"
    STOPPED = "stopped"  # by a person, in mid-answer
    NOT_ADDRESSED = "not addressed"
    NEVER = "never"  # the channel's setting `when`
    NO_THREAD = "no thread"  # likewise: only in threads
    REFUSED = "refused"  # by access
    QUOTA = "quota"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one message. `detail` is for the reader: a refusal, an error, timings."""

    place: Place
    message: str
    person: str
    verdict: Verdict
    detail: str
    at: datetime


class Decisions:
    """Remembers decisions; `run` writes those of the memory down. What dies with the process before that is
    not known afterwards."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._waiting: deque[Decision] = deque(maxlen=IN_MEMORY)

    def passed_over(self, place: Place, message: str, person: str, verdict: Verdict) -> None:
        """A message that the bot does not take in. Costs no query."""
        self._waiting.append(Decision(place, message, person, verdict, "", self._clock()))

    async def record(
        self,
        session: AsyncSession,
        place: Place,
        message: str,
        person: str,
        verdict: Verdict,
        detail: str = "",
    ) -> None:
        """A message that was taken in, within the caller's transaction. The last word on it counts."""
        await _put(session, Decision(place, message, person, verdict, detail, self._clock()))

    async def find(
        self, session: AsyncSession, chat: ChatRef, message: str
    ) -> tuple[Verdict, str, datetime] | None:
        """What became of a message, if that is still known."""
        for one in reversed(self._waiting):
            if (one.place.chat.platform, one.place.chat.chat, one.message) == (
                chat.platform,
                chat.chat,
                message,
            ):
                return one.verdict, one.detail, one.at
        row = await stored.find(session, chat.platform, chat.chat, message)
        return None if row is None else (Verdict(row.verdict), row.detail, row.at)

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Write down what waits, now and then, until cancelled."""
        while True:
            await sleep(EVERY.total_seconds())
            try:
                await self.write_down()
            except SQLAlchemyError:
                log.exception("what became of messages could not be written down; again soon")

    async def write_down(self) -> None:
        """Write down what waits in memory."""
        while self._waiting:
            batch = [self._waiting[index] for index in range(min(AT_ONCE, len(self._waiting)))]
            async with self._database.write() as session:
                for one in batch:
                    await _put(session, one)
            for one in batch:
                if self._waiting and self._waiting[0] is one:
                    self._waiting.popleft()


async def _put(session: AsyncSession, decision: Decision) -> None:
    chat = decision.place.chat
    row = {
        "platform": chat.platform,
        "chat": chat.chat,
        "platform_message": decision.message,
        "realm": decision.place.realm,
        "person": decision.person,
        "verdict": str(decision.verdict),
        "detail": str(decision.detail),
    }
    await stored.put(session, row, decision.at)
