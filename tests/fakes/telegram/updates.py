"""The queue of updates behind getUpdates, with the platform's own meaning of an offset."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Signal:
    """Wakes everyone who waits for the next change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        await self._event.wait()


OPTIONAL = frozenset(
    {
        "message",
        "edited_message",
        "channel_post",
        "edited_channel_post",
        "callback_query",
        "my_chat_member",
        "chat_member",
        "stopped_message_generation",
    }
)
"""Kinds of updates that a bot gets only if it asks for them (by `allowed_updates`, once it names any)."""


class AnotherPoll(Exception):
    """A newer getUpdates took over."""


class Updates:
    """Updates until they are confirmed, that is until a poll asks for a higher offset."""

    def __init__(self, changed: Signal) -> None:
        self.pending: list[dict[str, Any]] = []
        self.allowed: frozenset[str] | None = None  # the kinds the bot asked for
        self._changed = changed
        self._last_id = 1000
        self._newest_poll = 0

    def add(self, update: dict[str, Any]) -> int:
        self._last_id += 1
        if self.allowed is not None and OPTIONAL & update.keys() - self.allowed:
            return self._last_id
        self.pending.append({"update_id": self._last_id, **update})
        self._changed.notify()
        return self._last_id

    async def poll(
        self, offset: int, limit: int, timeout: float, closing: Callable[[], bool]
    ) -> list[dict[str, Any]]:
        """Confirm what is below `offset`, then wait up to `timeout` seconds for the rest. Raises AnotherPoll
        when a newer poll comes meanwhile: Telegram ends the older one."""
        if offset < 0:
            self.pending = self.pending[offset:]
        else:
            self.pending = [update for update in self.pending if update["update_id"] >= offset]
        self._newest_poll += 1
        mine = self._newest_poll
        self._changed.notify()
        try:
            async with asyncio.timeout(timeout):
                while not self.pending and self._newest_poll == mine and not closing():
                    await self._changed.wait()
        except TimeoutError:
            return []
        if self._newest_poll != mine:
            raise AnotherPoll
        return self.pending[:limit]
