"""The fake's gateway: sessions over a WebSocket, with heartbeat, identify, resume and their refusals.

A session outlives its socket, as Discord's do: what happens meanwhile is replayed when it is resumed. What
happens while there is no session at all is in the channels' history only.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from aiohttp import WSMsgType, web

from tests.fakes.discord.world import Payload

MEMBERS, MESSAGE_CONTENT = 1 << 1, 1 << 15  # intents
AUTHENTICATION_FAILED, DISALLOWED_INTENTS = 4004, 4014  # close codes


class Op(IntEnum):
    DISPATCH = 0
    HEARTBEAT = 1
    IDENTIFY = 2
    RESUME = 6
    RECONNECT = 7
    INVALID_SESSION = 9
    HELLO = 10
    HEARTBEAT_ACK = 11


@dataclass(eq=False)
class Link:
    """One WebSocket. What is to be sent waits in `outbox`: packets, or a code to close with."""

    request: web.Request
    outbox: asyncio.Queue[Payload | int] = field(default_factory=asyncio.Queue)

    def send(self, op: Op, data: object) -> None:
        self.outbox.put_nowait({"op": op, "d": data, "s": None, "t": None})


@dataclass(eq=False)
class Session:
    id: str
    intents: int
    link: Link | None  # None while the socket is lost
    packets: list[Payload] = field(default_factory=list)

    def dispatch(self, event: str, data: Payload) -> None:
        packet = {"op": Op.DISPATCH, "t": event, "s": len(self.packets) + 1, "d": data}
        self.packets.append(packet)
        if self.link is not None:
            self.link.outbox.put_nowait(packet)


class Gateway:
    """Sessions of the one bot. `greeting` gives the events that follow READY."""

    def __init__(
        self,
        token: str,
        bot: str,
        *,
        message_content: bool,
        ready: Callable[[str], Payload],
        greeting: Callable[[], list[tuple[str, Payload]]],
        changed: Callable[[], None],
    ) -> None:
        self.message_content = message_content  # the portal's switch
        self.identified: list[Payload] = []  # what each IDENTIFY carried
        self.resumed = 0  # how many times a session was resumed
        self._token = token
        self._bot = bot
        self._ready = ready
        self._greeting = greeting
        self._changed = changed
        self._session: Session | None = None
        self._links: set[Link] = set()
        self._numbers = itertools.count(1)

    @property
    def connected(self) -> bool:
        return self._session is not None and self._session.link is not None

    def dispatch(self, event: str, data: Payload) -> None:
        """To the session, be it connected or lost; to nobody if there is none."""
        if self._session is not None:
            if event.startswith("GUILD_MEMBER_") and not self._session.intents & MEMBERS:
                return
            if event in ("MESSAGE_CREATE", "MESSAGE_UPDATE") and not self._may_read(data):
                data = {**data, "content": "", "attachments": [], "embeds": []}
            self._session.dispatch(event, copy.deepcopy(data))

    def _may_read(self, message: Payload) -> bool:
        """Without the intent, content arrives for direct messages, the bot's own, and what mentions it."""
        assert self._session is not None
        return (
            bool(self._session.intents & MESSAGE_CONTENT)
            or "guild_id" not in message
            or message["author"]["id"] == self._bot
            or any(person["id"] == self._bot for person in message["mentions"])
        )

    # What can befall a connection

    def drop(self) -> None:
        """The network fails."""
        for link in self._links:
            if link.request.transport is not None:
                link.request.transport.abort()

    def ask_to_reconnect(self) -> None:
        for link in self._links:
            link.send(Op.RECONNECT, None)

    def forget(self) -> None:
        """The session is over, which the bot learns when it wants to resume it."""
        self._session = None

    def invalidate(self) -> None:
        """The session is over, and can't be resumed."""
        self.forget()
        for link in self._links:
            link.send(Op.INVALID_SESSION, False)

    def close(self, code: int) -> None:
        for link in self._links:
            link.outbox.put_nowait(code)

    # The protocol

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        link = Link(request)
        self._links.add(link)
        link.send(Op.HELLO, {"heartbeat_interval": 41_250})
        writer = asyncio.create_task(self._write(link, socket))
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    self._receive(link, frame.json())
        finally:
            writer.cancel()
            await asyncio.wait([writer])
            self._links.discard(link)
            if self._session is not None and self._session.link is link:
                self._session.link = None
                if socket.close_code in (1000, 1001):  # the client ended the session
                    self._session = None
            self._changed()
        return socket

    async def _write(self, link: Link, socket: web.WebSocketResponse) -> None:
        while True:
            item = await link.outbox.get()
            if socket.closed:
                return
            if isinstance(item, int):
                await socket.close(code=item)
                return
            await socket.send_json(item)

    def _receive(self, link: Link, packet: Payload) -> None:
        data = packet["d"]
        match packet["op"]:
            case Op.HEARTBEAT:
                link.send(Op.HEARTBEAT_ACK, None)
            case Op.IDENTIFY:
                self._identify(link, data)
            case Op.RESUME:
                self._resume(link, data)
        self._changed()

    def _identify(self, link: Link, data: Payload) -> None:
        self.identified.append(data)
        if data["token"] != self._token:
            link.outbox.put_nowait(AUTHENTICATION_FAILED)
            return
        if data["intents"] & MESSAGE_CONTENT and not self.message_content:
            link.outbox.put_nowait(DISALLOWED_INTENTS)
            return
        self._session = Session(f"session-{next(self._numbers)}", data["intents"], link)
        self._session.dispatch("READY", self._ready(self._session.id))
        for event, payload in self._greeting():
            self._session.dispatch(event, payload)

    def _resume(self, link: Link, data: Payload) -> None:
        session = self._session
        if session is None or session.id != data["session_id"] or data["token"] != self._token:
            link.send(Op.INVALID_SESSION, False)
            return
        session.link = link
        for packet in session.packets[data["seq"] :]:
            link.outbox.put_nowait(packet)
        self.resumed += 1
        session.dispatch("RESUMED", {})
