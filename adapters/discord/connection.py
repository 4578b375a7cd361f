"""Staying connected to Discord: what the bot asks to receive, and what happens when the connection ends.

discord.py itself reconnects and resumes after a lost socket. Here is what it leaves to its user: an intent
that is not enabled, a wrong token, and ends that it did not expect. Knows nothing of what arrives.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import aiohttp
import discord

from adapters.discord.errors import LOGIN_REFUSED
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

_HANDLERS_MAY_TAKE = timedelta(seconds=5)
"""For events in hand when the connection is closed."""

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

OnMessage = Callable[[discord.Message, discord.ClientUser], Awaitable[None]]
"""Takes a message and the bot's own account."""
OnInteraction = Callable[[discord.Interaction], Awaitable[None]]


class Connection:
    """A `discord.Client` that is kept connected, for as long as `run` runs."""

    def __init__(self, token: str, *, clock: Clock, sleep: Sleep) -> None:
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

    async def run(self, on_message: OnMessage, on_interaction: OnInteraction) -> None:
        """Connect, and connect again, until cancelled. Raises `Misconfigured` when that can't succeed."""
        message_content = True
        failures = 0
        while True:
            started = self._clock()
            try:
                await self._live(
                    _Client(self._session_begun, on_message, on_interaction, message_content=message_content)
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
                # One event that discord.py can't read ends the whole connection; the next one may be well.
                log.exception("the connection to Discord ended unexpectedly")
            if self._clock() - started > _STEADY.total_seconds():
                failures = 0
            pause = min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2**failures) * random.uniform(0.5, 1.0)
            failures = min(failures + 1, 16)
            log.info("connecting to Discord again in %.0f s", pause.total_seconds())
            await self._sleep(pause.total_seconds())

    async def _live(self, client: discord.Client) -> None:
        """One client's life, from the login until the connection ends for good."""
        self._client = client
        try:
            async with client:
                await client.start(self._token)
        finally:
            self._ready.clear()

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
        handle_message: OnMessage,
        handle_interaction: OnInteraction,
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
        self._handle_message = handle_message
        self._handle_interaction = handle_interaction
        self._handling: set[asyncio.Task[object]] = set()

    async def on_connect(self) -> None:
        self._session_begun(self)

    async def on_message(self, message: discord.Message) -> None:
        assert self.user is not None  # READY, which comes first, says who the bot is
        with self._in_hand():
            await self._handle_message(message, self.user)

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        with self._in_hand():
            await self._handle_interaction(interaction)

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
        await super().close()
