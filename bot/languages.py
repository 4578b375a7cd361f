"""Who speaks which language, remembered between events: Discord tells it with commands, not with messages.

Knows nothing of what is said.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from adapters.types import Event, MessageDeleted, Unreadable

MOST = 10_000


class Languages:
    """What platforms said of people's languages, of the last MOST people."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()

    def told(self, event: Event) -> Event:
        """The event, with its author's language as it was told before if this event does not tell."""
        if isinstance(event, MessageDeleted | Unreadable):
            return event
        author = event.author
        key = (event.chat.platform, author.id)
        if author.language is not None:
            self._known[key] = author.language
            self._known.move_to_end(key)
            if len(self._known) > MOST:
                self._known.popitem(last=False)
            return event
        known = self._known.get(key)
        return event if known is None else replace(event, author=replace(author, language=known))
