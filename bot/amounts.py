"""How much there is of something, as people read it: in their language, one or many. Knows nothing of what it
is counted for."""

from __future__ import annotations

from math import ceil

from bot.i18n import _n

MINUTE, HOUR, DAY = 60, 3600, 86_400  # seconds


def messages(count: int) -> str:
    return _n("{count} message", "{count} messages", count).format(count=count)


def tokens(count: int) -> str:
    return _n("{count} token", "{count} tokens", count).format(count=count)


def duration(seconds: float) -> str:
    """A time to wait or that has passed: never less than it is. It can stand behind "in" and "for"."""
    if seconds < 1.5 * MINUTE:
        count = max(1, ceil(seconds))
        return _n("{count} second", "{count} seconds", count).format(count=count)
    if seconds < 1.5 * HOUR:
        count = ceil(seconds / MINUTE)
        return _n("{count} minute", "{count} minutes", count).format(count=count)
    if seconds < 1.5 * DAY:
        count = ceil(seconds / HOUR)
        return _n("{count} hour", "{count} hours", count).format(count=count)
    count = ceil(seconds / DAY)
    return _n("{count} day", "{count} days", count).format(count=count)
