"""Budgets: how much may be sent to a chat, before the platform has to say so.

A token bucket fills at `rate` tokens a second up to `capacity`. Finals wait for their token; previews take
one only when more than `reserve` are left, so that an answer is never held up by its own previews. A
platform's retry_after empties a bucket for as long as it asks. Knows nothing of platforms.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from datetime import timedelta

Clock = Callable[[], float]
"""Seconds that never run backwards, as time.monotonic."""
Sleep = Callable[[float], Awaitable[None]]


class TokenBucket:
    """One budget. Used from one event loop; waiting callers are served in the order they came."""

    def __init__(self, rate: float, capacity: float, clock: Clock, *, reserve: float = 0.0) -> None:
        if rate <= 0 or capacity < 1 or reserve >= capacity:
            raise ValueError("a bucket needs rate > 0, capacity >= 1 and reserve < capacity")
        self._rate = rate  # tokens a second
        self._capacity = capacity
        self._reserve = reserve
        self._clock = clock
        self._tokens = capacity
        self._updated = clock()
        self._blocked_until = self._updated
        self._turn = asyncio.Lock()

    def _refill(self) -> None:
        now = self._clock()
        since = max(self._updated, self._blocked_until)
        if now > since:
            self._tokens = min(self._capacity, self._tokens + (now - since) * self._rate)
        self._updated = now

    def wait(self) -> float:
        """Seconds until a token is there, 0 if one is there now."""
        self._refill()
        blocked = max(0.0, self._blocked_until - self._updated)
        return blocked + max(0.0, 1.0 - self._tokens) / self._rate

    def try_take(self) -> bool:
        """Take a token for something droppable: only beyond the reserve, and only if nobody waits."""
        if self._turn.locked() or self.wait() > 0 or self._tokens < 1 + self._reserve:
            return False
        self._tokens -= 1
        return True

    async def take(self, sleep: Sleep = asyncio.sleep) -> None:
        """Wait for a token and take it."""
        async with self._turn:
            while (pause := self.wait()) > 0:
                await sleep(pause)
            self._tokens -= 1

    def block(self, pause: timedelta) -> None:
        """The platform asked for a pause: no token until it is over."""
        self._refill()
        self._tokens = min(self._tokens, 1.0)
        self._blocked_until = max(self._blocked_until, self._clock() + pause.total_seconds())


class Buckets:
    """A bucket for each key, made on demand; the longest unused go when there are more than `limit`."""

    def __init__(self, make: Callable[[Hashable], TokenBucket], *, limit: int = 10_000) -> None:
        self._make = make
        self._limit = limit
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def __getitem__(self, key: Hashable) -> TokenBucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = self._make(key)
            if len(self._buckets) > self._limit:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket
