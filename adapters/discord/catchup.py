"""Messages that were missed: fetched from Discord's history, on every new session.

A session that is resumed delivers what happened meanwhile; a new one (after a restart, or when Discord has
given the old one up) does not. Then each chat is read on from its cursor, the newest message of it that is
stored. A channel of which nothing was ever stored is read on from some minutes before the newest message of
all; such channels are read first, side by side and in the messages' order, so that this cursor does not run
ahead of what is stored.

Not found again are: what lies more than a day back, edits and deletions, commands and pressed buttons, and a
private chat of which nothing was ever stored (Discord does not list them). Knows nothing of where cursors are
kept.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing
from datetime import timedelta
from typing import Any

import discord

from adapters.base import Cursors
from adapters.discord.connection import Connection
from adapters.discord.intake import Intake
from adapters.errors import AdapterError, Forbidden, NotFound, RateLimited, Unreachable
from adapters.ratelimit import Sleep
from adapters.types import Event

log = logging.getLogger(__name__)

Convert = Callable[[discord.abc.Messageable, Mapping[str, Any]], Event | None]
"""A message of a channel as an event; None if it is none. Never raises."""

_FARTHEST = timedelta(hours=24)
_MOST = 1000  # messages of a chat
_PAGE = 100  # the most that Discord gives at once
_AT_ONCE = 4  # requests; answers shall not have to wait behind them
_HELD = 10_000  # messages in memory while channels are read side by side

_OVERLAP = timedelta(minutes=5)
"""Before the cursor of all chats: while one chat's message is still on its way (the connection is half dead,
the database was busy) another chat's may be stored. What is found again is known by its id."""

_TRIES = 24  # some ten minutes
_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=30)


class CatchUp:
    """Fills `intake.missed` at the beginning of each session, and empties it."""

    def __init__(
        self, connection: Connection, intake: Intake, cursors: Cursors, convert: Convert, sleep: Sleep
    ) -> None:
        self._connection = connection
        self._intake = intake
        self._cursors = cursors
        self._convert = convert
        self._sleep = sleep
        self._awaited: set[str] = set()  # servers of this session that have not said what they hold
        self._servers_known = asyncio.Event()
        self._moved: dict[str, tuple[int, int]] = {}  # by channel: its last message, when the bot came there
        self._private_due = False
        self._due = asyncio.Event()

    # What the gateway tells; all of it at once, before any message of the session is looked at

    def session_begun(self, ready: Mapping[str, Any]) -> None:
        """A new session: until it is known what was missed, nothing is stored."""
        self._intake.open.clear()
        self._moved.clear()
        self._private_due = True
        self._awaited = {str(server["id"]) for server in ready["guilds"]}
        self._servers_known.clear()
        self._there(None)
        self._due.set()

    def server_there(self, server: Mapping[str, Any]) -> None:
        """What a server holds: at the beginning of a session, when the bot is invited, after an outage."""
        since = discord.utils.parse_time(server.get("joined_at"))
        joined = discord.utils.time_snowflake(since) if since else 0
        for channel in (*server.get("channels", ()), *server.get("threads", ())):
            if channel.get("last_message_id") is not None:
                self._moved[str(channel["id"])] = int(channel["last_message_id"]), joined
        if self._servers_known.is_set():
            self._intake.open.clear()
            self._due.set()
        self._there(str(server["id"]))

    def all_there(self) -> None:
        """No further servers are to be waited for: they have an outage."""
        self._awaited.clear()
        self._there(None)

    def _there(self, server: str | None) -> None:
        self._awaited.discard(server or "")
        if not self._awaited:
            self._servers_known.set()

    # Catching up

    async def run(self) -> None:
        """Catch up whenever there is something to catch up with, for as long as one client lives. What has to
        be fetched may take long; finding out what that is, which live messages wait for, does not."""
        await self._connection.ready()
        await asyncio.gather(self._plan_when_due(), self._fetch_when_missed())

    async def _plan_when_due(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._plan()
            except Exception:
                log.exception("it can't be told what was missed at Discord; what comes now is stored")
            if not self._due.is_set():
                self._intake.open.set()

    async def _fetch_when_missed(self) -> None:
        while True:
            await self._intake.news.wait()
            self._intake.news.clear()
            missed = self._intake.missed
            latest_first = iter(sorted(missed, key=lambda chat: missed[chat], reverse=True))
            await asyncio.gather(*(self._fetch_all(latest_first) for _ in range(_AT_ONCE)))

    async def _plan(self) -> None:
        """Store what was missed in channels without a cursor, then note what was missed since the cursors.
        The other way round the cursor of all chats would move past what those channels still miss."""
        cursors = await self._load()
        if not cursors:
            return
        await self._servers_known.wait()
        moved, self._moved = self._moved, {}
        farthest = discord.utils.time_snowflake(discord.utils.utcnow() - _FARTHEST)
        known: dict[str, int] = {}
        fresh: dict[str, int] = {}
        for chat, (last, joined) in moved.items():
            own = cursors.get(chat)
            after = max(own or _earlier(cursors.get("", last)), farthest, joined)
            if after < last and self._readable(chat):
                (known if own else fresh)[chat] = after
        if self._private_due:
            self._private_due = False
            for chat in cursors.keys() - {""}:
                if not self._is_server_channel(chat):
                    known[chat] = max(cursors[chat], farthest)
        try:
            await self._store_in_order(fresh)
        finally:
            for chat, after in known.items():
                self._intake.miss(chat, after)

    async def _load(self) -> dict[str, int]:
        """The cursors, as numbers. While they can't be read nothing can be stored either."""
        pause = _FIRST_PAUSE
        while True:
            try:
                return {chat: int(last) for chat, last in (await self._cursors()).items() if last.isdecimal()}
            except Exception as error:
                log.error("can't tell what was missed at Discord (%s); asking again", error)
            await self._sleep(pause.total_seconds())
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _is_server_channel(self, chat: str) -> bool:
        channel = self._connection.client.get_channel(int(chat)) if chat.isdecimal() else None
        return isinstance(channel, discord.abc.GuildChannel | discord.Thread) or not chat.isdecimal()

    def _readable(self, chat: str) -> bool:
        channel = self._connection.client.get_channel(int(chat))
        if not isinstance(
            channel, discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.Thread
        ):
            return False
        if channel.guild.me is None or (isinstance(channel, discord.Thread) and channel.parent is None):
            return True  # Discord knows better
        may = channel.permissions_for(channel.guild.me)
        return may.view_channel and may.read_message_history

    async def _store_in_order(self, chats: Mapping[str, int]) -> None:
        """Store what was missed in several chats, as one stream in the order of its ids."""
        page = max(10, min(_PAGE, _HELD // max(1, len(chats))))
        async with AsyncExitStack() as stack:
            streams = [
                await stack.enter_async_context(aclosing(self._missing(chat, after, page)))
                for chat, after in chats.items()
            ]
            room = asyncio.Semaphore(_AT_ONCE)
            heads = await asyncio.gather(*(_next(stream, room) for stream in streams))
            heap = [(head[0], index, head[1]) for index, head in enumerate(heads) if head is not None]
            heapq.heapify(heap)
            while heap:
                _, index, event = heapq.heappop(heap)
                if event is not None:
                    await self._intake.store(event)
                if (head := await _next(streams[index], room)) is not None:
                    heapq.heappush(heap, (head[0], index, head[1]))

    async def _fetch_all(self, chats: Iterator[str]) -> None:
        for chat in chats:
            async with self._intake.turn(chat):
                await self.fetch(chat)

    async def fetch(self, chat: str) -> None:
        """Store what was missed in a chat. The caller holds its turn. What is missed meanwhile
        stays noted."""
        after = self._intake.missed.pop(chat, None)
        if after is None:
            return
        complete = False
        try:
            async with aclosing(self._missing(chat, after, _PAGE)) as missing:
                async for message, event in missing:
                    if event is not None:
                        await self._intake.store(event)
                    after = message
            complete = True
        except Exception:
            log.exception("what was missed in %s can't be read", chat)
            complete = True  # a repetition would end like this
        finally:
            if not complete:
                self._intake.miss(chat, after)

    # One chat's messages

    async def _missing(
        self, chat: str, after: int, page: int
    ) -> AsyncGenerator[tuple[int, Event | None], None]:
        """A chat's messages later than `after`, oldest first: their ids, and what they are as events."""
        channel: discord.abc.Messageable | None = None
        for start in range(0, _MOST, page):
            messages = await self._repeated(lambda after=after: self._page(chat, after, page))  # type: ignore[misc]
            if channel is None and messages:
                channel = await self._repeated(lambda: self._channel(chat))
            if not messages or channel is None:
                return
            for data in messages:
                after = int(data["id"])
                yield after, self._convert(channel, data)
            if len(messages) < page:
                return
            if start + page >= _MOST:
                log.warning("more than %d messages were missed in %s; the later ones are lost", _MOST, chat)

    async def _page(self, chat: str, after: int, limit: int) -> list[Mapping[str, Any]]:
        with self._connection.requesting() as client:
            messages = await client.http.logs_from(int(chat), limit, after=after)
        return sorted(messages, key=lambda message: int(message["id"]))

    async def _channel(self, chat: str) -> discord.abc.Messageable | None:
        with self._connection.requesting() as client:
            channel = client.get_channel(int(chat)) or await client.fetch_channel(int(chat))
        return channel if isinstance(channel, discord.abc.Messageable) else None

    async def _repeated(self, request: Callable[[], Awaitable[Any]]) -> Any:
        """What a request gives, None if it is refused. Repeated while Discord is in trouble, though not for
        ever: nothing else is stored in the chat meanwhile."""
        pause = _FIRST_PAUSE
        for _ in range(_TRIES):
            wait = pause
            try:
                return await request()
            except (Forbidden, NotFound) as error:
                log.info("what was missed there can't be read: %s", error)
                return None
            except RateLimited as limited:
                wait = max(pause, limited.retry_after)
            except Unreachable as error:
                log.info("what was missed can't be read yet: %s", error)
            except AdapterError as error:
                log.error("what was missed can't be read: %s", error)
                return None
            await self._sleep(wait.total_seconds())
            pause = min(pause * 2, _LONGEST_PAUSE)
        log.error("Discord did not say what was missed, %d times; messages may be lost", _TRIES)
        return None


def _earlier(cursor: int) -> int:
    return max(0, cursor - (int(_OVERLAP.total_seconds() * 1000) << 22))


async def _next(
    stream: AsyncIterator[tuple[int, Event | None]], room: asyncio.Semaphore
) -> tuple[int, Event | None] | None:
    async with room:
        return await anext(stream, None)
