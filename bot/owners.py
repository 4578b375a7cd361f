"""Tells the bot's owner what needs a person: in the private chat in which they became the owner.

The same line is told once an hour at most, and only so many lines. The log has them all.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from adapters.types import ChatRef
from bot.delivery import final
from bot.services import Services
from bot.store import access, outbox
from bot.store.access import GrantKind

log = logging.getLogger(__name__)

HOUR = timedelta(hours=1)
MOST = 20  # lines in an hour


class Owners:
    """Whom to tell."""

    def __init__(self, services: Services, notify: Callable[[ChatRef], None]) -> None:
        self._services = services
        self._notify = notify
        self._told: deque[tuple[datetime, str]] = deque()

    async def tell(self, text: str) -> None:
        """Put a line into every owner's chat. Best effort: never raises for want of a database."""
        now = self._services.clock()
        while self._told and self._told[0][0] <= now - HOUR:
            self._told.popleft()
        if len(self._told) >= MOST or any(line == text for _, line in self._told):
            return
        self._told.append((now, text))
        chats = []
        try:
            async with self._services.database.write() as session:
                for grant in await access.grants(session):
                    adapter = self._services.adapters.get(grant.platform)
                    if grant.kind == GrantKind.OWNER and adapter is not None:
                        chat = ChatRef(grant.platform, grant.note)
                        parts = adapter.parts(text)
                        await outbox.enqueue(
                            session, chat, final(secrets.token_hex(8), parts, [], reply_to=None), now
                        )
                        chats.append(chat)
        except SQLAlchemyError as error:
            log.warning("the owner could not be told: %s", error)
        for chat in chats:
            self._notify(chat)
