"""How the bot's owner becomes its owner: by a code that is shown where the bot was started.

The code exists in that terminal alone. Here only its digest is known, under a key that is forgotten with the
process; an event that carries the code is sealed before it is stored, so that no database, log or backup
ever holds it. A code makes one owner; a new start makes a new one, until there is an owner on each platform.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from adapters.types import CommandInvoked, Event, MessageCreated

COMMAND = "pair"
LINKED = "payload"  # the argument of /start that a link to a Telegram bot carries: t.me/BOT?start=CODE
TRIES = 5  # of one person in an hour
ALL_TRIES = 200  # of all people together
HOUR = timedelta(hours=1)

_CODE = re.compile(r"\s*([0-9a-f]{4})[-\s]?([0-9a-f]{4})\s*", re.IGNORECASE)


class Pairing:
    """One run's code. `open` while there is one to be given."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._digest: str | None = None
        self._tries: dict[tuple[str, str], deque[datetime]] = defaultdict(deque)
        self._all_tries: deque[datetime] = deque()

    @property
    def open(self) -> bool:
        return self._digest is not None

    def begin(self) -> str:
        """A new code, to be shown to whoever started the bot and to nobody else."""
        code = secrets.token_hex(4)
        self._digest = self._seal(code)
        return f"{code[:4]}-{code[4:]}"

    def end(self) -> None:
        """There is an owner."""
        self._digest = None

    def sealed(self, event: Event) -> Event:
        """The event as it may be stored: what could be the code is replaced by its digest, and a private
        message that is nothing else becomes the command."""
        if not self.open:
            return event
        if isinstance(event, CommandInvoked) and _CODE.fullmatch(event.arguments.get(LINKED, "")):
            event = replace(event, name=COMMAND, arguments={"code": event.arguments[LINKED]})
        if isinstance(event, CommandInvoked) and event.name == COMMAND:
            given = {name: self._seal_text(value) for name, value in event.arguments.items()}
            return replace(event, arguments=given)
        if isinstance(event, MessageCreated) and event.private and _CODE.fullmatch(event.text):
            return CommandInvoked(
                id=event.id,
                chat=event.chat,
                author=event.author,
                name=COMMAND,
                sent_at=event.sent_at,
                arguments={"code": self._seal_text(event.text)},
                message=event.message,
                private=True,
            )
        return event

    def may_try(self, platform: str, person: str) -> bool:
        """Count a try; False when there were too many within the hour."""
        now = self._clock()
        mine = self._tries[platform, person]
        for tries in (mine, self._all_tries):
            while tries and tries[0] <= now - HOUR:
                tries.popleft()
        if len(mine) >= TRIES or len(self._all_tries) >= ALL_TRIES:
            return False
        mine.append(now)
        self._all_tries.append(now)
        return True

    def matches(self, sealed: str) -> bool:
        """Whether what `sealed` has made of a code is this run's."""
        return self._digest is not None and hmac.compare_digest(sealed.encode(), self._digest.encode())

    def _seal_text(self, text: str) -> str:
        found = _CODE.fullmatch(text)
        return self._seal(found[1] + found[2]) if found else self._seal(text)

    def _seal(self, code: str) -> str:
        return hmac.new(self._key, code.lower().encode(), hashlib.sha256).hexdigest()
