"""The Discord adapter: events out of the connection, messages into it.

The connection is kept in `connection`; what arrives goes through `receiving`; what is sent has its form from
`responses`. Knows nothing of why a message is sent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from adapters.base import Capabilities, Cursors, Publish, Suggest, no_cursors, no_suggestions
from adapters.commands import CommandSpec
from adapters.discord.commands import payloads, same
from adapters.discord.connection import Connection
from adapters.discord.convert import PLATFORM
from adapters.discord.files import CDN, fetch
from adapters.discord.interactions import Interactions
from adapters.discord.members import Members
from adapters.discord.receiving import DiscordReceiver
from adapters.discord.responses import Response, parameters
from adapters.errors import AdapterError, Forbidden, NotFound, RateLimited, Rejected
from adapters.markup import discord_parts, discord_text, plain_text
from adapters.ratelimit import Buckets, Clock, Sleep, TokenBucket
from adapters.texts import Translate, english
from adapters.types import Attachment, ChatRef, MessageRef, Part, Person, Standing

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_EDIT_INTERVAL = timedelta(seconds=1.2)
"""Between two previews in a channel."""

_WRITES_A_SECOND = 1.0
_WRITES_AT_ONCE = 5
_WRITES_RESERVED = 2
"""A channel takes about 5 messages and edits in 5 seconds. Previews leave two of them to finals."""

_TYPING_INTERVAL = timedelta(seconds=8)
"""The indicator lasts 10 seconds."""


class DiscordAdapter:
    """`adapters.base.Adapter` for Discord.

    `api_url` and `gateway_url` name a server other than Discord's own; discord.py knows one for the whole
    process, and files are then taken from there too. `commands` says which answers are private and which
    commands have a form, until `publish_commands` says so.
    """

    platform = PLATFORM

    def __init__(
        self,
        token: str,
        *,
        api_url: str | None = None,
        gateway_url: str | None = None,
        commands: Sequence[CommandSpec] = (),
        writes_a_second: float = _WRITES_A_SECOND,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if api_url is not None:
            Route.BASE = api_url
        if gateway_url is not None:
            DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway_url)
        self._file_servers = CDN if api_url is None else CDN | {yarl.URL(api_url).origin()}
        self._connection = Connection(token, clock=clock, sleep=sleep)
        self._interactions = Interactions(self._connection, commands)
        self._members = Members(self._connection, clock)
        self._sleep = sleep
        self._writes = Buckets(
            lambda _: TokenBucket(
                writes_a_second, _WRITES_AT_ONCE * writes_a_second, clock, reserve=_WRITES_RESERVED
            )
        )
        self._previews = Buckets(lambda _: TokenBucket(1 / _EDIT_INTERVAL.total_seconds(), 1, clock))
        self._edits: WeakValueDictionary[MessageRef, asyncio.Lock] = WeakValueDictionary()

    # Receiving

    async def run(
        self,
        publish: Publish,
        *,
        cursors: Cursors = no_cursors,
        suggest: Suggest = no_suggestions,
        translate: Translate = english,
    ) -> None:
        """See `Adapter.run`. What can't be published is tried again until it can. Commands and presses that
        can't be are refused at once, and their author is told."""
        self._interactions.translate = translate
        receiver = DiscordReceiver(
            self._connection,
            self._interactions,
            self._members,
            publish=publish,
            cursors=cursors,
            suggest=suggest,
            sleep=self._sleep,
        )
        await self._connection.run(receiver)

    async def ready(self) -> None:
        await self._connection.ready()

    async def download(self, attachment: Attachment, limit: int) -> bytes:
        """See `Adapter.download`. Files are there for a day or so; then it raises `NotFound`."""
        return await fetch(attachment, limit, self._file_servers)

    async def permissions_of(self, chat: ChatRef, who: Person) -> Standing:
        return await self._members.standing(chat.chat, who.id)

    # Sending

    def capabilities(self, chat: ChatRef) -> Capabilities:
        return Capabilities(edit_interval=_EDIT_INTERVAL, idempotent_send=True)

    def parts(self, markdown: str) -> Sequence[Part]:
        return discord_parts(markdown)

    async def send(
        self,
        chat: ChatRef,
        part: Part,
        *,
        key: str,
        reply_to: MessageRef | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> MessageRef:
        """See `Adapter.send`. With a placeholder as `reply_to` it is a further message after the command's
        answer: an ordinary one, which has its key, or, where the bot may not write, one through the command.

        Through the command also goes what one person alone may see. That has no key: whether a request whose
        answer was lost did arrive can't be known, and a repetition shows twice. When the command's 15 minutes
        are over, this raises `NotFound`."""
        await self._writes[chat].take(self._sleep)
        response = Response.parse(reply_to.message) if reply_to else None
        if reply_to is None or response is None:
            return await self._post(chat, part, key, reply_to)
        if response.private:
            return await self._follow_up(reply_to, response, part)
        try:
            return await self._post(chat, part, key, None)
        except (Forbidden, NotFound) as error:
            try:
                return await self._follow_up(reply_to, response, part)
            except NotFound:
                raise error from None

    async def edit(
        self, message: MessageRef, part: Part, *, facts: Mapping[str, object] | None = None
    ) -> MessageRef:
        """See `Adapter.edit`. Raises `NotFound` for a placeholder whose 15 minutes are over."""
        async with self._edit_lock(message):
            await self._writes[message.chat].take(self._sleep)
            return await self._replace(message, part)

    async def preview(self, message: MessageRef, part: Part) -> bool:
        lock = self._edit_lock(message)
        if lock.locked() or self._interactions.acknowledging(message):
            return False
        if not (self._previews[message.chat].try_take() and self._writes[message.chat].try_take()):
            return False
        async with lock:
            try:
                await self._replace(message, part)
            except RateLimited:
                return False
        return True

    async def draft(self, chat: ChatRef, draft: int, text: str) -> bool:
        """Discord has no drafts."""
        return False

    async def delete(self, message: MessageRef) -> None:
        response = Response.parse(message.message)
        with suppress(NotFound), self._requesting(message.chat) as client:
            if response is not None:
                await response.delete(client)
            else:
                await client.http.delete_message(int(message.chat.chat), int(message.message))

    @asynccontextmanager
    async def typing(self, chat: ChatRef) -> AsyncIterator[None]:
        task = asyncio.create_task(self._keep_typing(chat))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def publish_commands(self, commands: Sequence[CommandSpec]) -> None:
        self._interactions.commands = tuple(commands)
        wanted: list[Any] = payloads(commands)
        with self._requesting() as client:
            assert client.application_id is not None  # known from the login on
            listing = Route(
                "GET", "/applications/{application_id}/commands", application_id=client.application_id
            )
            if same(await client.http.request(listing, params={"with_localizations": "true"}), commands):
                return
            await client.http.bulk_upsert_global_commands(client.application_id, payload=wanted)
            log.info("registered %d commands at Discord", len(wanted))

    # One request each

    @contextmanager
    def _requesting(self, chat: ChatRef | None = None) -> Iterator[discord.Client]:
        """The client to make a request with. Raises `AdapterError` only; a pause that Discord asks for also
        holds whatever else is written to `chat`."""
        try:
            with self._connection.requesting() as client:
                yield client
        except RateLimited as error:
            if chat is not None:
                self._writes[chat].block(error.retry_after)
            raise

    async def _post(self, chat: ChatRef, part: Part, key: str, reply_to: MessageRef | None) -> MessageRef:
        channel = int(chat.chat)
        reference = _reference(reply_to) if reply_to else None

        async def post(content: str) -> MessageRef:
            with self._requesting(chat) as client:
                with parameters(content, part, key=key, reference=reference) as message:
                    sent: Mapping[str, Any] = await client.http.send_message(channel, params=message)
                if sent["content"] != content.strip():
                    # Sent before with this key: what stands there is from that time.
                    with parameters(content, part, flags=False) as message:
                        await client.http.edit_message(channel, int(sent["id"]), params=message)
            return MessageRef(chat, str(sent["id"]))

        return await _formatted(part, post)

    async def _follow_up(self, placeholder: MessageRef, response: Response, part: Part) -> MessageRef:
        await self._interactions.acknowledged(placeholder)

        async def follow_up(content: str) -> MessageRef:
            with self._requesting(placeholder.chat) as client:
                message = await response.follow_up(client, content, part)
            return MessageRef(placeholder.chat, str(message))

        return await _formatted(part, follow_up)

    async def _replace(self, message: MessageRef, part: Part) -> MessageRef:
        await self._interactions.acknowledged(message)
        response = Response.parse(message.message)

        async def replace(content: str) -> MessageRef:
            with self._requesting(message.chat) as client:
                if response is None:
                    # Without flags in the request, link previews stay suppressed.
                    with parameters(content, part, flags=False) as changed:
                        await client.http.edit_message(
                            int(message.chat.chat), int(message.message), params=changed
                        )
                    return message
                lasting = await response.edit(client, content, part)
            # What one person alone sees can only be reached through its interaction.
            return message if response.private else MessageRef(message.chat, str(lasting))

        return await _formatted(part, replace)

    async def _keep_typing(self, chat: ChatRef) -> None:
        while True:
            try:
                with self._requesting() as client:
                    await client.get_partial_messageable(int(chat.chat)).typing()
            except AdapterError as error:
                log.debug("no typing indicator in %s: %s", chat.chat, error)
            await self._sleep(_TYPING_INTERVAL.total_seconds())

    def _edit_lock(self, message: MessageRef) -> asyncio.Lock:
        """One edit of a message at a time, so that the last one asked for is the last one made."""
        return self._edits.setdefault(message, asyncio.Lock())


async def _formatted(part: Part, write: Callable[[str], Awaitable[_T]]) -> _T:
    """Write a part's text; without its formatting if Discord refuses that."""
    content = discord_text(part.text)
    try:
        return await write(content)
    except Rejected as error:
        plain = plain_text(part.text)
        if plain == content:
            raise
        log.warning("Discord refused a formatted message, it goes out as plain text: %s", error)
        return await write(plain)


def _reference(message: MessageRef) -> Mapping[str, Any]:
    """A reply to a message that may be gone."""
    return {
        "message_id": int(message.message),
        "channel_id": int(message.chat.chat),
        "fail_if_not_exists": False,
    }
