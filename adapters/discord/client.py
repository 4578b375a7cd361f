"""The Discord adapter: events out of the connection, messages into it.

Knows nothing of why a message is sent. The connection is kept in `connection`, what arrives is converted in
`convert`, the answers to slash commands are `responses`.
"""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from adapters.base import Capabilities, Publish
from adapters.commands import CommandSpec, find
from adapters.discord.commands import payload, same
from adapters.discord.connection import Connection
from adapters.discord.convert import PLATFORM, command_invoked, message_created
from adapters.discord.errors import translated
from adapters.discord.responses import Response
from adapters.errors import AdapterError, NotFound, RateLimited, Rejected, Unreachable
from adapters.markup import discord_parts, discord_text, plain_text
from adapters.ratelimit import Buckets, Clock, Sleep, TokenBucket
from adapters.types import ChatRef, MessageRef, Part

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

_NOT_STORED = "Sorry, I can't take that in just now. Please try again in a moment."


class DiscordAdapter:
    """`adapters.base.Adapter` for Discord.

    `api_url` and `gateway_url` name a server other than Discord's own; discord.py knows one for the whole
    process. `commands` says which answers are private until `publish_commands` says so.
    """

    platform = PLATFORM

    def __init__(
        self,
        token: str,
        *,
        api_url: str | None = None,
        gateway_url: str | None = None,
        commands: Sequence[CommandSpec] = (),
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if api_url is not None:
            Route.BASE = api_url
        if gateway_url is not None:
            DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway_url)
        self._connection = Connection(token, clock=clock, sleep=sleep)
        self._commands = tuple(commands)
        self._sleep = sleep
        self._writes = Buckets(
            lambda _: TokenBucket(_WRITES_A_SECOND, _WRITES_AT_ONCE, clock, reserve=_WRITES_RESERVED)
        )
        self._previews = Buckets(lambda _: TokenBucket(1 / _EDIT_INTERVAL.total_seconds(), 1, clock))
        self._edits: WeakValueDictionary[MessageRef, asyncio.Lock] = WeakValueDictionary()
        self._acknowledging: dict[MessageRef, asyncio.Event] = {}

    # Receiving

    async def run(self, publish: Publish) -> None:
        """See `Adapter.run`. A message that can't be published is logged and lost: it is sent once."""
        await self._connection.run(partial(self._on_message, publish), partial(self._on_interaction, publish))

    async def ready(self) -> None:
        await self._connection.ready()

    async def _on_message(self, publish: Publish, message: discord.Message, me: discord.ClientUser) -> None:
        event = message_created(message, me)
        if event is not None:
            await publish(event)

    async def _on_interaction(self, publish: Publish, interaction: discord.Interaction) -> None:
        """Publish, then acknowledge. Whoever edits the placeholder waits for the acknowledgement."""
        ephemeral = self._is_ephemeral(interaction)
        event = command_invoked(interaction, ephemeral=ephemeral)
        if event is None or event.placeholder is None:
            return
        acknowledged = self._acknowledging[event.placeholder] = asyncio.Event()
        try:
            await publish(event)
        except Exception:
            log.exception("/%s could not be stored", event.name)
            await _acknowledge(interaction.response.send_message(_NOT_STORED, ephemeral=True))
        else:
            await _acknowledge(interaction.response.defer(ephemeral=ephemeral, thinking=True))
        finally:
            del self._acknowledging[event.placeholder]
            acknowledged.set()

    def _is_ephemeral(self, interaction: discord.Interaction) -> bool:
        """A direct message is private as it is, and there an ephemeral answer would vanish for nothing."""
        if interaction.guild_id is None or interaction.data is None:
            return False
        spec = find(self._commands, str(interaction.data.get("name")))
        return spec is None or spec.private

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
        answer. Those have no key: a repetition shows twice. When the command's 15 minutes are over it becomes
        an ordinary message, except for what one person alone may see: that raises `NotFound`."""
        await self._writes[chat].take(self._sleep)
        response = Response.parse(reply_to.message) if reply_to else None
        if reply_to is not None and response is not None:
            try:
                return await self._follow_up(reply_to, response, part)
            except NotFound:
                if response.private:
                    raise
                reply_to = None
        return await _formatted(part, lambda content: self._post(chat, content, part, key, reply_to))

    async def edit(
        self, message: MessageRef, part: Part, *, facts: Mapping[str, object] | None = None
    ) -> MessageRef:
        """See `Adapter.edit`. Raises `NotFound` for a placeholder whose 15 minutes are over."""
        async with self._edit_lock(message):
            await self._writes[message.chat].take(self._sleep)
            return await self._replace(message, part)

    async def preview(self, message: MessageRef, part: Part) -> bool:
        lock = self._edit_lock(message)
        if lock.locked() or message in self._acknowledging:
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
                await _ordinary(client, message).delete()

    @asynccontextmanager
    async def typing(self, chat: ChatRef) -> AsyncIterator[None]:
        task = asyncio.create_task(self._keep_typing(chat))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def publish_commands(self, commands: Sequence[CommandSpec]) -> None:
        self._commands = tuple(commands)
        with self._requesting() as client:
            assert client.application_id is not None  # known from the login on
            known = await client.http.get_global_commands(client.application_id)
            if same(known, commands):
                return
            wanted = [payload(spec) for spec in commands]
            await client.http.bulk_upsert_global_commands(client.application_id, payload=wanted)
            log.info("registered %d commands at Discord", len(wanted))

    # One request each

    @contextmanager
    def _requesting(self, chat: ChatRef | None = None) -> Iterator[discord.Client]:
        """The client to make a request with. Raises `AdapterError` only; a pause that Discord asks for also
        holds whatever else is written to `chat`."""
        client = self._connection.client
        try:
            with translated():
                yield client
        except RateLimited as error:
            if chat is not None:
                self._writes[chat].block(error.retry_after)
            raise
        except RuntimeError as error:
            if not client.is_closed():
                raise
            raise Unreachable("the connection to Discord was closed meanwhile") from error

    async def _post(
        self, chat: ChatRef, content: str, part: Part, key: str, reply_to: MessageRef | None
    ) -> MessageRef:
        with self._requesting(chat) as client:
            channel = client.get_partial_messageable(int(chat.chat))
            reference = _reference(reply_to) if reply_to else None
            message = await channel.send(
                content or None,
                files=_files(part),
                nonce=key,  # discord.py adds enforce_nonce
                reference=reference,  # type: ignore[arg-type]  # None is its default, but in no overload
                mention_author=False,
                suppress_embeds=True,
            )
            if message.content != content.strip():
                # Sent before with this key: what stands there is from that time.
                await channel.get_partial_message(message.id).edit(content=content, attachments=_files(part))
        return MessageRef(chat, str(message.id))

    async def _follow_up(self, placeholder: MessageRef, response: Response, part: Part) -> MessageRef:
        await self._acknowledged(placeholder)

        async def follow_up(content: str) -> MessageRef:
            with self._requesting(placeholder.chat) as client:
                message = await response.follow_up(client, content, _files(part))
            return MessageRef(placeholder.chat, str(message))

        return await _formatted(part, follow_up)

    async def _replace(self, message: MessageRef, part: Part) -> MessageRef:
        await self._acknowledged(message)
        response = Response.parse(message.message)

        async def replace(content: str) -> MessageRef:
            with self._requesting(message.chat) as client:
                if response is None:
                    # Without flags in the request, link previews stay suppressed.
                    await _ordinary(client, message).edit(content=content, attachments=_files(part))
                    return message
                lasting = await response.edit(client, content, _files(part))
            # What one person alone sees can only be reached through its interaction.
            return message if response.private else MessageRef(message.chat, str(lasting))

        return await _formatted(part, replace)

    async def _acknowledged(self, message: MessageRef) -> None:
        """Returns when `message` is no placeholder that is still being made."""
        if (acknowledged := self._acknowledging.get(message)) is not None:
            await acknowledged.wait()

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


async def _acknowledge(response: Coroutine[Any, Any, object]) -> None:
    """Answer an interaction. When that fails there is no placeholder, and an edit of it raises `NotFound`."""
    try:
        with translated():
            await response
    except AdapterError as error:
        log.warning("a command could not be acknowledged: %s", error)


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


def _ordinary(client: discord.Client, message: MessageRef) -> discord.PartialMessage:
    return client.get_partial_messageable(int(message.chat.chat)).get_partial_message(int(message.message))


def _reference(message: MessageRef) -> discord.MessageReference:
    """A reply to a message that may be gone."""
    return discord.MessageReference(
        message_id=int(message.message), channel_id=int(message.chat.chat), fail_if_not_exists=False
    )


def _files(part: Part) -> list[discord.File]:
    """Made anew for each request, which reads and closes them."""
    if part.file is None:
        return []
    return [discord.File(io.BytesIO(part.file.content), filename=part.file.name)]
