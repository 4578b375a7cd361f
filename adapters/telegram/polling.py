"""Receiving: one long poll after another, nothing lost.

Telegram keeps an update until getUpdates is called with a higher offset, for 24 hours at most. The offset
therefore moves only after all updates below it were handled: those of one chat one after another, those of
different chats beside one another. What could not be stored is fetched again, together with what came after
it.

Knows nothing of what is in an update.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from telegram import Bot, Update

from adapters.errors import AdapterError, Misconfigured, RateLimited
from adapters.ratelimit import Sleep
from adapters.telegram.errors import AnotherPoller, translated

log = logging.getLogger(__name__)

LONG_POLL = timedelta(seconds=30)
# Always named: an unset list would keep an earlier process's choice, and some come only when named.
ALLOWED_UPDATES = (
    "message",
    "edited_message",
    "callback_query",
    "my_chat_member",
    "chat_member",
    "stopped_message_generation",
)
CONFIRM_WITHIN = 2.0  # seconds; stopping must not wait for a dead network

T = TypeVar("T")
Handle = Callable[[Update], Awaitable[None]]
"""Returns once the update may be forgotten by Telegram; when it raises, the same update comes again."""


class Backoff:
    """Growing pauses between attempts: 1 to 2 seconds first, 15 to 30 at last, random within their range."""

    def __init__(self) -> None:
        self._longest = 1.0

    def next(self) -> float:
        """Seconds to wait before the next attempt."""
        self._longest = min(30.0, self._longest * 2)
        return random.uniform(self._longest / 2, self._longest)


async def insist(call: Callable[[], Awaitable[T]], sleep: Sleep) -> T:
    """The call's result, however long Telegram takes to answer. That it does not answer is said once, and
    once that it does again.

    Raises Misconfigured when waiting won't help. Another poller is believed only after the third time: a
    process that is just being replaced shows up once or twice.
    """
    backoff = Backoff()
    conflicts = 0
    warned = False
    while True:
        try:
            result = await call()
        except Misconfigured as error:
            conflicts += 1
            if not isinstance(error, AnotherPoller) or conflicts > 2:
                raise
            log.debug("%s", error)
            pause = backoff.next()
        except AdapterError as error:
            pause = error.retry_after.total_seconds() if isinstance(error, RateLimited) else backoff.next()
            if not warned:
                log.warning("%s. Trying again until it works, next in %.0f s", error, pause)
            warned = True
        else:
            if warned:
                log.warning("Telegram answers again")
            return result
        await sleep(pause)


async def poll(bot: Bot, handle: Handle, sleep: Sleep) -> None:
    """Receive until cancelled."""
    offset: int | None = None
    left: dict[int, None] = {}  # ids of a batch's updates that are not handled, in their order

    async def fetch() -> Sequence[Update]:
        with translated(bot.token):
            return await bot.get_updates(offset, timeout=LONG_POLL, allowed_updates=ALLOWED_UPDATES)

    backoff = Backoff()
    failing = False
    try:
        while True:
            updates = await insist(fetch, sleep)
            if not updates:
                continue
            left = dict.fromkeys(update.update_id for update in updates)
            offset = updates[-1].update_id + 1
            error = await _handled(updates, handle, left)
            if error is None:
                if failing:
                    log.warning("What comes from Telegram is stored again")
                backoff, failing = Backoff(), False
                continue
            offset, left = next(iter(left), offset), {}
            pause = backoff.next()
            if not failing:
                log.error(
                    "What comes from Telegram can't be stored: %s. Telegram keeps it meanwhile; trying again "
                    "until it works, next in %.0f s",
                    error,
                    pause,
                    exc_info=error,
                )
            failing = True
            await sleep(pause)
    except asyncio.CancelledError:
        if offset is not None:
            await _confirm(bot, next(iter(left), offset))
        raise


async def _handled(updates: Sequence[Update], handle: Handle, left: dict[int, None]) -> Exception | None:
    """Handle a batch, taking each update that is handled from `left`. What went wrong, if anything did: no
    more of that chat is handled then."""

    async def in_order(chat: Sequence[Update]) -> Exception | None:
        for update in chat:
            try:
                await handle(update)
            except Exception as error:  # whatever storage raises
                return error
            left.pop(update.update_id, None)
        return None

    chats: dict[str, list[Update]] = {}
    for update in updates:
        chat = update.effective_chat
        chats.setdefault(str(chat.id) if chat else "", []).append(update)
    errors = await asyncio.gather(*map(in_order, chats.values()))
    return next((error for error in errors if error is not None), None)


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


class Errands:
    """Small things that receiving must not wait for, at most `limit` at a time: more are left undone. They
    end with the `async with`."""

    def __init__(self, limit: int = 100) -> None:
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, errand: Coroutine[Any, Any, None]) -> None:
        """Begin an errand; what goes wrong in it is logged."""
        if len(self._tasks) >= self._limit:
            errand.close()
            return
        task = asyncio.create_task(self._logged(errand))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _logged(errand: Coroutine[Any, Any, None]) -> None:
        try:
            await errand
        except AdapterError as error:
            log.info("Left undone at Telegram: %s", error)
        except Exception:
            log.exception("Something small could not be done at Telegram")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
