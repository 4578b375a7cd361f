"""The fake Discord as one server: its world, its gateway, its HTTP API, its faults and its checks."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web

from tests.fakes.discord.api import Api, ApiError, Request
from tests.fakes.discord.gateway import Gateway
from tests.fakes.discord.specification import specification
from tests.fakes.discord.world import (
    CONTENT_LIMIT,
    Channel,
    ChannelType,
    File,
    Invocation,
    Payload,
    Person,
    Server,
    T,
    snowflake,
)

_log = logging.getLogger(__name__)

WITHOUT_BOT_TOKEN = ("/interactions/", "/webhooks/")
"""Routes that carry their own token."""


@dataclass(frozen=True)
class RateLimit:
    """So many requests of a route to a channel in so many seconds."""

    requests: int
    per: float


@dataclass
class Window:
    """What one route to one channel has used of its limit."""

    used: int = 0
    ends: float = 0.0  # loop seconds

    def use(self, limit: RateLimit, now: float) -> tuple[int, float]:
        """Count a request. Returns how many more there may be and the seconds until all may be again."""
        if now >= self.ends:
            self.used, self.ends = 0, now + limit.per
        self.used = min(self.used + 1, limit.requests + 1)
        return limit.requests - self.used, self.ends - now


@dataclass(frozen=True)
class Fault:
    """What happens to a request instead of the usual, or after it."""

    status: int = 500
    body: object = None
    headers: Mapping[str, str] | None = None
    drop: Literal["before", "after"] | None = None  # the connection breaks before or after the request acts
    hold: asyncio.Event | None = None  # nothing goes wrong, but only when this is set


class FakeDiscord:
    """Discord for one bot, on a free port of 127.0.0.1, from `async with` on.

    `message_content`: whether the Developer Portal's switch for that intent is on. `limit`: what a
    channel takes; without it, anything. Leaving the context fails if any request was not as Discord's
    API description, or this fake's own checks, want it.
    """

    def __init__(self, *, message_content: bool = True, limit: RateLimit | None = None) -> None:
        self.token = "MTE4NjIyNDgz.GfAkE0.dHlwZS1vZi10aGUtYm90LXRva2Vu"
        self.bot = Person(snowflake(), "Chorus", is_bot=True)
        self.application_id = self.bot.id
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.down = False  # while it is, every request of the API fails
        self.patience: float | None = None  # seconds in which to acknowledge an interaction; Discord's are 3
        self.invocations: dict[str, Invocation] = {}
        self.gateway = Gateway(
            self.token,
            self.bot.id,
            message_content=message_content,
            ready=self._ready,
            greeting=lambda: [("GUILD_CREATE", server.payload()) for server in self._servers],
            changed=self._change,
        )
        self._limits: dict[tuple[str, str], Window] = defaultdict(Window)
        self._limit = limit
        self._api = Api(self, self._channels, lambda: {server.id: server for server in self._servers})
        self._people: dict[str, Person] = {self.bot.id: self.bot}
        self._directs: list[Channel] = []
        self._servers: list[Server] = []
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._changed = asyncio.Event()
        self._port = 0

    # The world

    def person(self, name: str, *, bot: bool = False, locale: str = "en-GB") -> Person:
        person = Person(snowflake(), name, is_bot=bot, locale=locale)
        self._people[person.id] = person
        return person

    def direct(self, person: Person) -> Channel:
        """The private chat of a person with the bot."""
        people = {person.id: person, self.bot.id: self.bot}
        channel = Channel(self, ChannelType.DIRECT, person.name, people)
        self._directs.append(channel)
        return channel

    def server(self, name: str) -> Server:
        """A server that the bot is in, and everybody else too."""
        server = Server(self, name, self.person("Olivia"), self._people)
        self._servers.append(server)
        self.emit("GUILD_CREATE", server.payload())
        return server

    @property
    def commands(self) -> list[Payload]:
        """The slash commands that are registered."""
        return self._api.commands

    def requested(self, route: str) -> list[Request]:
        return [request for request in self.requests if request.route == route]

    # What a test waits for

    async def until(self, condition: Callable[[], T], timeout: float = 20) -> T:
        """Returns what `condition` gives as soon as that is true. It is looked at after each change of the
        server's state. `timeout` in seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not (value := condition()):
                    await self._changed.wait()
                return value
        except TimeoutError:
            raise AssertionError(f"waited in vain for {timeout} s:\n{self}") from None

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def __str__(self) -> str:
        lines = [str(channel) for channel in self._channels().values()]
        lines += [f"{request.method} {request.path} {request.body}" for request in self.requests[-20:]]
        return "\n".join([f"connected: {self.gateway.connected}", *lines])

    # Faults

    def fail_next(
        self,
        route: str,
        *,
        status: int = 500,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        drop: Literal["before", "after"] | None = None,
        times: int = 1,
    ) -> None:
        """Let the next `times` requests to a route ("POST /channels/{channel_id}/messages") go wrong."""
        self._faults_of(route).extend([Fault(status, body, headers, drop)] * times)

    def limit_next(self, route: str, *, retry_after: float) -> None:
        """Let the next request to a route meet a rate limit. `retry_after` in seconds."""
        self.fail_next(route, status=429, body=_limited(retry_after), headers={"Via": "1.1 google"})

    def hold_next(self, route: str) -> asyncio.Event:
        """Let the next request to a route wait until the event that is returned is set."""
        release = asyncio.Event()
        self._faults_of(route).append(Fault(hold=release))
        return release

    def _faults_of(self, route: str) -> deque[Fault]:
        if route not in self._api.routes:
            raise ValueError(f"the fake has no route {route!r}")
        return self._faults[route]

    # Platform

    def emit(self, event: str, data: Payload) -> None:
        self.gateway.dispatch(event, data)
        self._change()

    async def deliver(self, event: str, data: Payload) -> None:
        if not self.gateway.identified:
            await self.until(lambda: self.gateway.connected)
        self.emit(event, data)

    def _channels(self) -> dict[str, Channel]:
        channels = self._directs + [channel for server in self._servers for channel in server.channels]
        return {channel.id: channel for channel in channels}

    def _ready(self, session: str) -> Payload:
        return {
            "v": 10,
            "user": self.bot.payload(),
            "session_id": session,
            "resume_gateway_url": self.gateway_url,
            "guilds": [{"id": server.id, "unavailable": True} for server in self._servers],
            "application": {"id": self.application_id, "flags": 0},
        }

    # The server

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/api/v10"

    @property
    def cdn_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def gateway_url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/gateway"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.router.add_get("/gateway", self.gateway.serve)
        app.router.add_get("/attachments/{id}/{name}", self._file)
        for route, handler in self._api.routes.items():
            method, path = route.split()
            app.router.add_route(method, "/api/v10" + path, self._handler(route, handler))
        app.router.add_route("*", "/api/v10/{path:.*}", self._unknown_route)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        if specification() is None:
            _log.warning("Discord's API description is absent: requests are not checked against it")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gateway.drop()
        await self._runner.cleanup()
        if self.violations:
            found = "requests that Discord would not take:\n" + "\n".join(self.violations)
            if error is None:
                raise AssertionError(found)
            error.add_note(found)

    def _handler(self, route: str, handler: Callable[[Request], object]) -> Callable[[web.Request], Any]:
        async def handle(raw: web.Request) -> web.Response:
            request = await self._read(route, raw)
            self.requests.append(request)
            self.violations.extend(f"{raw.method} {raw.path}: {fault}" for fault in _wrong(request))
            faults = self._faults[route]
            fault = faults.popleft() if faults else None
            if fault is not None and fault.hold is not None:
                self._change()
                await fault.hold.wait()
                fault = None
            try:
                return self._answer(raw, request, handler, fault)
            finally:
                self._change()

        return handle

    def _answer(
        self, raw: web.Request, request: Request, handler: Callable[[Request], object], fault: Fault | None
    ) -> web.Response:
        carries_token = request.path.startswith(WITHOUT_BOT_TOKEN)
        if not carries_token and raw.headers.get("Authorization") != f"Bot {self.token}":
            return _json(401, {"code": 0, "message": "401: Unauthorized"})
        if self.down:
            return _json(503, {"code": 0, "message": "Service Unavailable"})
        if fault is not None and fault.drop is None:
            return _json(fault.status, fault.body, fault.headers)
        headers = self._rate(request)
        if headers.get("X-RateLimit-Remaining") == "-1":
            pause = float(headers["X-RateLimit-Reset-After"])
            return _json(429, _limited(pause), {**headers, "Via": "1.1 google"})
        if fault is None or fault.drop == "after":
            try:
                answer = handler(request)
            except ApiError as error:
                return _json(error.status, error.body)
        if fault is not None:
            assert raw.transport is not None
            raw.transport.abort()
            return web.Response()
        return web.Response(status=204, headers=headers) if answer is None else _json(200, answer, headers)

    def _rate(self, request: Request) -> dict[str, str]:
        """Discord's words on how much more a channel takes; -1 is too much."""
        if self._limit is None or "channel_id" not in request.ids:
            return {}
        window = self._limits[request.route, request.ids["channel_id"]]
        remaining, reset_after = window.use(self._limit, request.at)
        return {
            "X-RateLimit-Limit": str(self._limit.requests),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset-After": f"{reset_after:.3f}",
            "X-RateLimit-Bucket": request.route,
        }

    async def _read(self, route: str, raw: web.Request) -> Request:
        body: Any = None
        files = []
        if raw.content_type == "multipart/form-data":
            form = await raw.post()
            body = json.loads(str(form["payload_json"]))
            files = [
                File(field.filename, field.file.read())
                for field in form.values()
                if isinstance(field, web.FileField)
            ]
        elif raw.can_read_body:
            body = await raw.json()
        path = raw.path.removeprefix("/api/v10")
        return Request(
            raw.method, route, path, dict(raw.match_info), dict(raw.query), body, files, self.now()
        )

    async def _file(self, raw: web.Request) -> web.Response:
        """Files are handed out to whoever has their address."""
        for channel in self._channels().values():
            for message in channel.messages:
                for file in message.files:
                    if file.id == raw.match_info["id"]:
                        answer = web.Response(body=file.content)
                        answer.enable_chunked_encoding()  # nobody is told how much it is
                        return answer
        return web.Response(status=404)

    async def _unknown_route(self, raw: web.Request) -> web.Response:
        self.violations.append(f"{raw.method} {raw.path}: the fake has no such route")
        return _json(404, {"code": 0, "message": "404: Not Found"})


def _json(status: int, body: object, headers: Mapping[str, str] | None = None) -> web.Response:
    # discord.py wants this content type to the letter, without a charset.
    return web.Response(
        status=status, body=json.dumps(body).encode(), content_type="application/json", headers=headers
    )


def _limited(retry_after: float) -> Payload:
    return {"message": "You are being rate limited.", "retry_after": retry_after, "global": False}


def _wrong(request: Request) -> Iterator[str]:
    """What Discord's description, its limits or good manners have against a request."""
    document = specification()
    if document is not None:
        path = request.route.split()[1]
        yield from document.violations(request.method, path, request.query, request.body)
    message = request.body
    if isinstance(message, dict) and "/callback" in request.route:
        message = message.get("data")
    if not isinstance(message, dict) or message.get("content") is None:
        return
    if len(message["content"]) > CONTENT_LIMIT:
        yield f"content of {len(message['content'])} characters"
    mentions = message.get("allowed_mentions")
    if (
        not mentions
        or mentions["parse"]
        or any(mentions.get(kind) for kind in ("users", "roles", "replied_user"))
    ):
        yield f"mentions are not forbidden: {mentions}"
