"""What the bot itself has to say in a chat: texts that are no part of the history.

They go the way of every answer, through the outbox, and edit what stands in the chat for them. Knows nothing
of models.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.base import Adapter
from adapters.errors import AdapterError
from adapters.types import ButtonPressed, CommandInvoked, MessageRef, Part
from bot.commands.base import Reply
from bot.delivery import OutboxWorker, Sleep, draft_number, final, part_key
from bot.events import reply_target
from bot.store import inbox, outbox
from bot.store.inbox import Entry
from bot.store.session import Database

log = logging.getLogger(__name__)


class Replies:
    """Says it: in a transaction of its own, or in the caller's."""

    def __init__(
        self,
        database: Database,
        adapters: Mapping[str, Adapter],
        worker: OutboxWorker,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._worker = worker
        self._sleep = sleep

    async def say(self, entry: Entry, text: str) -> None:
        """Answer with a text of the bot's own, which is not part of the history. An empty one only removes
        what stands there for the answer."""

        async def write(session: AsyncSession) -> None:
            await self.enqueue_text(session, entry, text)
            await inbox.close(session, entry, datetime.now(UTC))

        await self._database.insist(write, sleep=self._sleep)
        self._worker.notify(entry.event.chat)

    async def tell(self, entry: Entry, text: str) -> None:
        """Show something while the entry waits for its turn: the answer takes its place. Best effort."""
        event = entry.event
        adapter = self._adapters[event.chat.platform]
        capabilities = adapter.capabilities(event.chat)
        deferred = event.placeholder if isinstance(event, CommandInvoked) else None
        try:
            if deferred is not None:
                await adapter.preview(deferred, Part(text))
            elif capabilities.drafts:
                await adapter.draft(event.chat, draft_number(entry.key), text)
            elif capabilities.edit_interval is not None:
                message = await adapter.send(
                    event.chat, Part(text), key=part_key(entry.key, 0), reply_to=reply_target(event)
                )
                await self.save_placeholder(entry, 0, message)
        except (AdapterError, SQLAlchemyError) as error:
            log.info("nobody in %s was told to wait: %s", event.chat, error)

    async def enqueue_text(self, session: AsyncSession, entry: Entry, text: str) -> None:
        """Write such a text to the outbox, within the caller's transaction."""
        await self.enqueue_reply(session, entry, Reply(text))

    async def enqueue_reply(self, session: AsyncSession, entry: Entry, reply: Reply) -> None:
        """Write an answer of the bot's own to the outbox, within the caller's transaction: its files and
        buttons go with its last message."""
        event = entry.event
        parts = with_extras(self._adapters[event.chat.platform].parts(reply.text), reply)
        shown = await standing(session, entry)
        if reply.replaces and isinstance(event, ButtonPressed) and event.placeholder is None:
            shown = [event.message, *shown]
        outgoing = final(entry.key, parts, shown, reply_to=reply_target(entry.last.event))
        await outbox.enqueue(session, event.chat, outgoing, datetime.now(UTC), inbox_id=entry.id)

    async def save_placeholder(self, entry: Entry, part: int, message: MessageRef) -> None:
        """Remember a preview of the entry's answer, before the next one is sent."""
        await self._database.transact(lambda session: inbox.add_placeholder(session, entry, part, message))


async def standing(session: AsyncSession, entry: Entry) -> list[MessageRef]:
    """Messages of ours that wait in the chat for this answer: a command's deferred response first."""
    saved = await inbox.placeholders(session, entry)
    event = entry.event
    deferred = event.placeholder if isinstance(event, CommandInvoked | ButtonPressed) else None
    return [deferred, *saved] if deferred is not None else saved


def with_extras(parts: Sequence[Part], reply: Reply) -> list[Part]:
    """The parts of a reply with its files and buttons: one file a message, the buttons under the last."""
    if not reply.files and not reply.buttons:
        return list(parts)
    whole = list(parts) or [Part("")]
    for index, file in enumerate(reply.files):
        if index == 0 and whole[-1].file is None:
            whole[-1] = replace(whole[-1], file=file)
        else:
            whole.append(Part("", file))
    whole[-1] = replace(whole[-1], buttons=reply.buttons)
    return whole
