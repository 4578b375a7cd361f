"""Staying connected to Discord: what the bot asks to receive, and what happens when the connection ends.

discord.py itself reconnects and resumes after a lost socket. Here is what it leaves to its user: an intent
that is not enabled, a wrong token, ends that it did not expect, and events that it can't read. Knows nothing
of what becomes of what arrives.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, Protocol

import aiohttp
import discord

from adapters.discord.errors import LOGIN_REFUSED, translated
from adapters.discord.logs import without_tokens
from adapters.errors import Misconfigured, Unreachable
from adapters.ratelimit import Clock, Sleep

log = logging.getLogger(__name__)

_AUTHENTICATION_FAILED = 4004  # the gateway's close code for a bad token

_LONGEST_RATE_LIMIT = timedelta(seconds=30)
"""Longer ones are raised instead of slept on. The shortest that discord.py accepts."""

_SHORTEST_PAUSE = timedelta(seconds=2)
_LONGEST_PAUSE = timedelta(minutes=2)
"""Between two connections. Discord resets the token of a bot that identifies 1000 times in a day."""

_STEADY = timedelta(minutes=5)
"""After this long the next failure is a new one, and its first pause is short again."""

_HANDLERS_MAY_TAKE = timedelta(seconds=2)
"""For events in hand when the connection is closed. Messages not stored by then are fetched later."""

_NO_MESSAGE_CONTENT = (
    "Discord does not let this bot read messages freely. It goes on without: it answers direct messages, "
    "mentions and replies to its own messages, but can't follow a thread by itself. To allow it: "
    "Developer Portal -> your application -> Bot -> Privileged Gateway Intents -> "
    '"Message Content Intent", then restart.'
)

_NO_INTENT_LEFT = (
    "Discord refuses the bot's intents although it asks for no privileged one. Look at "
    "Developer Portal -> your application -> Bot -> Privileged Gateway Intents."
)

_INVITED_WITH = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    attach_files=True,
    read_message_history=True,
)

Payload = Mapping[str, Any]

_payload: ContextVar[Payload] = ContextVar("payload")


def payload() -> Payload:
    """What the gateway sent, for whoever works on an event that was made of it."""
    return _payload.get({})


class Receiver(Protocol):
    """Takes what arrives. What raises is logged."""

    def noticed(self, name: str, data: Payload) -> None:
        """An event of that name was read; told at once, before the next one is read."""

    def all_there(self) -> None:
        """The session is complete: servers that are still missing have an outage."""

    async def catch_up(self) -> None:
        """Runs beside each client, to fetch what was missed."""

    async def message(self, message: discord.Message, me: discord.ClientUser) -> None:
        """`me` is the bot's own account."""

    async def edited(self, update: discord.RawMessageUpdateEvent) -> None: ...

    async def deleted(self, channel: int, messages: Sequence[int], server: int | None) -> None: ...

    async def interaction(self, interaction: discord.Interaction) -> None: ...

    async def unreadable(self, data: Payload, error: Exception) -> None:
        """An event that discord.py could not read."""


class Connection:
    """A `discord.Client` that is kept connected, for as long as `run` runs."""

    def __init__(self, token: str, *, clock: Clock, sleep: Sleep) -> None:
        without_tokens()
        self._token = token
        self._clock = clock
        self._sleep = sleep
        self._client: discord.Client | None = None
        self._ready = asyncio.Event()
        self._invited = False

    @property
    def client(self) -> discord.Client:
        """The client of this moment. Raises `Unreachable` while there is none."""
        if self._client is None or not self._ready.is_set() or self._client.is_closed():
            raise Unreachable("not connected to Discord")
        return self._client

    async def ready(self) -> None:
        """Returns once connected."""
        await self._ready.wait()

    @contextmanager
    def requesting(self) -> Iterator[discord.Client]:
        """The client to make a request with. Raises `AdapterError` only."""
        client = self.client
        try:
            with translated():
                yield client
        except RuntimeError as error:
            if not client.is_closed():
                raise
            raise Unreachable("the connection to Discord was closed meanwhile") from error

    def read(
        self, channel: discord.abc.Messageable, data: Payload
    ) -> tuple[discord.Message, discord.ClientUser]:
        """A message from a channel's history, and the bot's own account. Raises what discord.py raises."""
        client = self.client
        assert client.user is not None  # READY, which comes first, says who the bot is
        return client._connection.create_message(channel=channel, data=data), client.user  # type: ignore[arg-type]

    async def run(self, receiver: Receiver) -> None:
        """Connect, and connect again, until cancelled. Raises `Misconfigured` when that can't succeed."""
        message_content = True
        failures = 0
        while True:
            started = self._clock()
            try:
                await self._live(
                    _Client(self._session_begun, receiver, message_content=message_content), receiver
                )
            except discord.PrivilegedIntentsRequired:
                if not message_content:
                    raise Misconfigured(_NO_INTENT_LEFT) from None
                message_content = False
                log.warning(_NO_MESSAGE_CONTENT)
                continue
            except discord.LoginFailure as error:
                raise Misconfigured(LOGIN_REFUSED) from error
            except discord.ConnectionClosed as error:
                if error.code == _AUTHENTICATION_FAILED:
                    raise Misconfigured(LOGIN_REFUSED) from error
                log.warning("Discord closed the connection with code %s", error.code)
            except (aiohttp.ClientError, OSError, discord.DiscordException) as error:
                log.warning("can't connect to Discord: %s: %s", type(error).__name__, error)
            except Exception:
                log.exception("the connection to Discord ended unexpectedly")
            if self._clock() - started > _STEADY.total_seconds():
                failures = 0
            pause = min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2**failures) * random.uniform(0.5, 1.0)
            failures = min(failures + 1, 16)
            log.info("connecting to Discord again in %.0f s", pause.total_seconds())
            await self._sleep(pause.total_seconds())

    async def _live(self, client: discord.Client, receiver: Receiver) -> None:
        """One client's life, from the login until the connection ends for good."""
        self._client = client
        catching_up = asyncio.create_task(receiver.catch_up(), name="catching up with Discord")
        catching_up.add_done_callback(_log_failure)
        try:
            async with client:
                await client.start(self._token)
        finally:
            self._ready.clear()
            catching_up.cancel()
            await asyncio.wait([catching_up])

    def _session_begun(self, client: discord.Client) -> None:
        self._ready.set()
        log.info("connected to Discord as %s", client.user)
        if not client.guilds and client.application_id is not None and not self._invited:
            self._invited = True
            url = discord.utils.oauth_url(
                client.application_id, permissions=_INVITED_WITH, scopes=("bot", "applications.commands")
            )
            log.info("this bot is in no server yet. Invite it: %s", url)


class _Client(discord.Client):
    """discord.py's client: what it receives, and its handlers waited for when it closes."""

    def __init__(
        self,
        session_begun: Callable[[discord.Client], None],
        receiver: Receiver,
        *,
        message_content: bool,
    ) -> None:
        # discord.py would warn at each start that it can't speak without them.
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        super().__init__(
            intents=discord.Intents(
                guilds=True, guild_messages=True, dm_messages=True, message_content=message_content
            ),
            allowed_mentions=discord.AllowedMentions.none(),
            max_ratelimit_timeout=_LONGEST_RATE_LIMIT.total_seconds(),
        )
        self._session_begun = session_begun
        self._receiver = receiver
        self._handling: set[asyncio.Task[object]] = set()
        parsers = self._connection.parsers
        for name, parse in parsers.items():
            parsers[name] = self._guarded(name, parse)

    def _guarded(self, name: str, parse: Callable[[Any], None]) -> Callable[[Any], None]:
        """What reads one kind of event, so that one that can't be read does not end the connection. A session
        whose beginning can't be read is none."""

        def read(data: Any) -> None:
            reading = _payload.set(data)
            try:
                parse(data)
                self._receiver.noticed(name, data)
            except Exception as error:
                if name == "READY":
                    raise
                self.dispatch("unreadable", data, error)
            finally:
                _payload.reset(reading)

        return read

    async def on_connect(self) -> None:
        self._session_begun(self)

    async def on_ready(self) -> None:
        self._receiver.all_there()

    async def on_message(self, message: discord.Message) -> None:
        assert self.user is not None  # READY, which comes first, says who the bot is
        with self._in_hand():
            await self._receiver.message(message, self.user)

    async def on_raw_message_edit(self, update: discord.RawMessageUpdateEvent) -> None:
        with self._in_hand():
            await self._receiver.edited(update)

    async def on_raw_message_delete(self, gone: discord.RawMessageDeleteEvent) -> None:
        with self._in_hand():
            await self._receiver.deleted(gone.channel_id, [gone.message_id], gone.guild_id)

    async def on_raw_bulk_message_delete(self, gone: discord.RawBulkMessageDeleteEvent) -> None:
        with self._in_hand():
            await self._receiver.deleted(gone.channel_id, sorted(gone.message_ids), gone.guild_id)

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        with self._in_hand():
            await self._receiver.interaction(interaction)

    async def on_unreadable(self, data: Payload, error: Exception) -> None:
        with self._in_hand():
            await self._receiver.unreadable(data, error)

    async def on_error(self, event_method: str, /, *args: object, **kwargs: object) -> None:
        log.exception("%s failed", event_method)

    @contextmanager
    def _in_hand(self) -> Iterator[None]:
        """discord.py starts a task for each event and keeps none of them."""
        task = asyncio.current_task()
        assert task is not None
        self._handling.add(task)
        try:
            yield
        finally:
            self._handling.discard(task)

    async def close(self) -> None:
        if self._handling:
            _, late = await asyncio.wait(self._handling, timeout=_HANDLERS_MAY_TAKE.total_seconds())
            for task in late:
                task.cancel()
        if self._connection._ready_task is not None:
            self._connection._ready_task.cancel()  # discord.py forgets it, and it fails without a client
        await super().close()


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("what was missed at Discord is not fetched any more", exc_info=error)
