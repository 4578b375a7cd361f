"""Receiving: one long poll after another, nothing lost.

Telegram keeps an update until getUpdates is called with a higher offset, for 24 hours at most. The offset
therefore moves only after an update was handled. What could not be stored is fetched again; what can't be
read is logged and stepped over.

Knows nothing of what is in an update.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from telegram import Bot, Update
from telegram.request import HTTPXRequest

from adapters.errors import AdapterError, Misconfigured, RateLimited
from adapters.ratelimit import Sleep
from adapters.telegram.errors import AnotherPoller, translated

log = logging.getLogger(__name__)

LONG_POLL = timedelta(seconds=30)
ALLOWED_UPDATES = ("message",)  # always named: an unset list would keep an earlier process's choice
CONFIRM_WITHIN = 2.0  # seconds; stopping must not wait for a dead network

T = TypeVar("T")


class PollingRequest(HTTPXRequest):
    """The connection for getUpdates.

    One update that python-telegram-bot can't read would make the whole batch unreadable, again and again.
    Here it arrives empty but for its id, so that it is stepped over.
    """

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        answer = HTTPXRequest.parse_json_payload(payload)
        if isinstance(answer.get("result"), list):
            answer["result"] = [_readable(update) for update in answer["result"]]
        return answer


def _readable(update: dict[str, Any]) -> dict[str, Any]:
    try:
        Update.de_json(update)
    except Exception:
        log.exception("Update %s can't be read and is stepped over", update["update_id"])
        return {"update_id": update["update_id"]}
    return update


class Backoff:
    """Growing pauses between attempts: 1 to 2 seconds first, 15 to 30 at last, random within their range."""

    def __init__(self) -> None:
        self._longest = 1.0

    def next(self) -> float:
        """Seconds to wait before the next attempt."""
        self._longest = min(30.0, self._longest * 2)
        return random.uniform(self._longest / 2, self._longest)


async def insist(call: Callable[[], Awaitable[T]], sleep: Sleep) -> T:
    """The call's result, however long Telegram takes to answer.

    Raises Misconfigured when waiting won't help. Another poller is believed only after the third time: a
    process that is just being replaced shows up once or twice.
    """
    backoff = Backoff()
    conflicts = 0
    while True:
        try:
            return await call()
        except Misconfigured as error:
            conflicts += 1
            if not isinstance(error, AnotherPoller) or conflicts > 2:
                raise
            pause, reason = backoff.next(), str(error)
        except RateLimited as error:
            pause, reason = error.retry_after.total_seconds(), str(error)
        except AdapterError as error:
            pause, reason = backoff.next(), str(error)
        log.warning("%s. Trying again in %.0f s", reason, pause)
        await sleep(pause)


async def poll(bot: Bot, handle: Callable[[Update], Awaitable[None]], sleep: Sleep) -> None:
    """Receive until cancelled. `handle` returns once the update may be forgotten by Telegram; when it raises,
    the same update comes again."""
    offset: int | None = None

    async def fetch() -> Sequence[Update]:
        with translated(bot.token):
            return await bot.get_updates(offset, timeout=LONG_POLL, allowed_updates=ALLOWED_UPDATES)

    backoff = Backoff()
    try:
        while True:
            for update in await insist(fetch, sleep):
                try:
                    await handle(update)
                except Exception:  # whatever storage raises
                    pause = backoff.next()
                    log.exception("Update %d is not stored; fetched again in %.0f s", update.update_id, pause)
                    await sleep(pause)
                    break
                offset = update.update_id + 1
                backoff = Backoff()
    except asyncio.CancelledError:
        if offset is not None:
            await _confirm(bot, offset)
        raise


async def _confirm(bot: Bot, offset: int) -> None:
    """Tell Telegram what was handled, so that the next process does not get it again. Best effort: events
    have stable ids, so that a repetition does no harm."""
    with suppress(AdapterError), translated(bot.token):
        await bot.get_updates(
            offset,
            limit=1,
            timeout=0,
            allowed_updates=ALLOWED_UPDATES,
            connect_timeout=CONFIRM_WITHIN,
            read_timeout=CONFIRM_WITHIN,
            write_timeout=CONFIRM_WITHIN,
            pool_timeout=CONFIRM_WITHIN,
        )
