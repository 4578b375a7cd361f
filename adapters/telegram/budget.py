"""How much this bot may send, as Telegram's FAQ tells: "My bot is hitting limits, how do I avoid this?"

    a private chat   1 message a second; short bursts are let through
    a group          20 messages a minute, edits included
    all together     30 messages a second

A bucket lets through at most its capacity plus rate x time, so capacity and rate are chosen to keep the sum
within each limit. Drafts have a budget of their own: they are no messages, and about 5 a second are
sustained. Knows nothing of the Bot API's calls.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import timedelta

from adapters.ratelimit import Buckets, Clock, Sleep, TokenBucket

DRAFT_INTERVAL = timedelta(seconds=0.4)
GROUP_EDIT_INTERVAL = timedelta(seconds=4)
PRIVATE_EDIT_INTERVAL = timedelta(seconds=1.5)


def is_private(chat: str) -> bool:
    """People have positive ids, groups and channels negative ones."""
    return not chat.startswith("-")


@dataclass(frozen=True, slots=True)
class Limits:
    """How many messages go out at most, as above. A Bot API server of one's own may allow more, and paid
    broadcasts do."""

    a_second: float = 30
    a_second_in_private: float = 1
    a_minute_in_group: float = 20


TELEGRAMS_LIMITS = Limits()


class Budget:
    """The bot's budget and each chat's. A chat is named by its id; topics share their group's budget."""

    def __init__(self, clock: Clock, sleep: Sleep, limits: Limits = TELEGRAMS_LIMITS) -> None:
        self._clock = clock
        self._sleep = sleep
        self._limits = limits
        capacity = limits.a_second / 6  # of 30: 5 + 25 x 1 s
        self._all = TokenBucket(limits.a_second - capacity, capacity, clock, reserve=0.4 * capacity)
        self._chats = Buckets(self._chat_bucket)
        self._drafts = Buckets(self._draft_bucket)

    def _chat_bucket(self, chat: Hashable) -> TokenBucket:
        if is_private(str(chat)):
            rate = self._limits.a_second_in_private
            return TokenBucket(rate, 3 * rate, self._clock, reserve=rate)
        capacity = self._limits.a_minute_in_group / 4  # of 20: 5 + 0.25 x 60 s
        rate = (self._limits.a_minute_in_group - capacity) / 60
        return TokenBucket(rate, capacity, self._clock, reserve=0.4 * capacity)

    def _draft_bucket(self, _: Hashable) -> TokenBucket:
        rate = self._limits.a_second_in_private / DRAFT_INTERVAL.total_seconds()
        return TokenBucket(rate, 2, self._clock)

    async def take(self, chat: str) -> None:
        """Wait for room for a message or a final edit."""
        await self._chats[chat].take(self._sleep)
        await self._all.take(self._sleep)

    def try_take(self, chat: str) -> bool:
        """Room for a preview, beyond what is reserved for finals?"""
        return self._chats[chat].try_take() and self._all.try_take()

    def try_take_draft(self, chat: str) -> bool:
        """Room for a draft?"""
        return self._drafts[chat].try_take() and self._all.try_take()

    def has_room(self, chat: str) -> bool:
        """Whether a message could be sent to the chat now."""
        return self._chats[chat].wait() == 0

    def block(self, chat: str, pause: timedelta) -> None:
        """Telegram asked for a pause in this chat; the others go on."""
        self._chats[chat].block(pause)
        self._drafts[chat].block(pause)
