"""Who speaks which language, kept between events and runs: Discord tells it with commands and presses, not
with messages.

It is kept among the person's settings, apart from the one that they choose themselves, which counts for more.
Where a person's is not known, that of the server is taken. Knows nothing of what is said.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import ButtonPressed, CommandInvoked, Event, MessageDeleted, Unreadable
from bot.scopes import ScopeKind
from bot.store import settings as stored

KEY = "app_language"  # among a person's settings
MOST = 10_000


@dataclass(slots=True)
class _Known:
    """What was told of one person, by platform and id; `kept`: also in the database."""

    whose: tuple[str, str]
    tag: str
    kept: bool


class Languages:
    """What platforms said of people's languages, of the last MOST people."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    async def load(self, session: AsyncSession, platform: str) -> None:
        """Recall what earlier runs were told; what this one was told already counts for more."""
        for person, tag in await stored.values_of(session, platform, ScopeKind.PERSON, KEY, MOST):
            whose = (platform, person)
            self._known.setdefault(whose, _Known(whose, tag, kept=True))

    def told(self, event: Event) -> Event:
        """The event, with its author's language as it was told before, or the server's, if this event does
        not tell."""
        if isinstance(event, MessageDeleted | Unreadable):
            return event
        author = event.author
        key = (event.chat.platform, author.id)
        known = self._known.get(key)
        if author.language is None:
            tag = known.tag if known is not None else getattr(event, "server_language", None)
            return event if tag is None else replace(event, author=replace(author, language=tag))
        if known is None or known.tag != author.language:
            self._known[key] = _Known(key, author.language, kept=False)
        self._known.move_to_end(key)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return event

    async def keep(self, session: AsyncSession, event: Event) -> None:
        """Write down what a command or press told of its person's language, if it is news, in the caller's
        transaction. Messages tell it each time, if at all."""
        if (known := self._news(event)) is not None:
            platform, person = known.whose
            await stored.put(session, platform, ScopeKind.PERSON, person, KEY, known.tag)

    def kept(self, event: Event) -> None:
        """That is committed."""
        if (known := self._news(event)) is not None:
            known.kept = True

    def _news(self, event: Event) -> _Known | None:
        if not isinstance(event, CommandInvoked | ButtonPressed):
            return None
        known = self._known.get((event.chat.platform, event.author.id))
        return None if known is None or known.kept else known

    def forget(self, platform: str, person: str) -> None:
        """The person wants nothing to be known of them."""
        self._known.pop((platform, person), None)
