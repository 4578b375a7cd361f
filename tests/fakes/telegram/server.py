"""The fake Telegram itself: the Bot API over HTTP, who is there, and what was asked."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web

from tests.fakes.telegram import spec
from tests.fakes.telegram.chats import JSON, Chat, Person
from tests.fakes.telegram.methods import METHODS, ApiError
from tests.fakes.telegram.spec import Upload
from tests.fakes.telegram.updates import Signal, Updates

TEXTS = {
    "text",
    "caption",
    "action",
    "file_id",
    "callback_query_id",
    "parse_mode",
    "language_code",
}  # form values that are no JSON


CHUNK = 65_536  # bytes


@dataclass(frozen=True)
class Request:
    """A call as it came. `time` is the event loop's, in seconds."""

    method: str
    parameters: dict[str, Any]
    time: float


@dataclass
class Fault:
    """What goes wrong at the next call of a method (in one chat, if one is named)."""

    method: str
    chat: int | None
    error: ApiError | None
    drop: Literal["before", "after"] | None
    hang: bool
    body: str | None
    times: int

    def matches(self, method: str, parameters: dict[str, Any]) -> bool:
        return self.method == method and self.chat in (None, parameters.get("chat_id"))


class FakeTelegram:
    """A Telegram with one bot. Serves in the test's event loop, to bots of any process on this machine.

    `privacy`: the bot's privacy mode in groups. Requests that break the platform's rules are collected in
    `violations` and fail the test at the end of `async with`.
    """

    def __init__(self, *, privacy: bool = True) -> None:
        self.privacy = privacy
        self.token = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"  # the form of Telegram's own example
        self.bot = Person(110201543, "Chorus", "chorus_bot", is_bot=True)
        self.chats: dict[int, Chat] = {}
        self.people: dict[int, Person] = {self.bot.id: self.bot}
        self.menus: dict[tuple[str, str], list[JSON]] = {}  # by scope and language, "" for all others
        self.waiting_queries: list[str] = []  # of presses that the bot has not answered
        self.files: dict[str, Upload] = {}  # by id
        self.lost_files: set[str] = set()  # known by getFile, yet not to be fetched
        self.webhook: str | None = None
        self.down = False  # no request is served, every connection broken off
        self.bytes_sent = 0  # of files
        self.tells_sizes = True  # of files, in getFile; the property is optional
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.closing = False
        self._signal = Signal()
        self.updates = Updates(self._signal)
        self._faults: list[Fault] = []
        self._ids = itertools.count(1001)

    # Who is there

    def person(self, name: str, **properties: Any) -> Person:
        """Someone on Telegram; `properties` are Person's."""
        person = Person(next(self._ids), name, **properties)
        self.people[person.id] = person
        return person

    def direct(self, person: Person) -> Chat:
        """The private chat with a person."""
        return self._keep(Chat(self, person.id, person.name, person=person))

    def group(self, title: str, *, forum: bool = False) -> Chat:
        """A group that the bot is a member of."""
        return self._keep(Chat(self, -1_001_000_000_000 - next(self._ids), title, forum=forum))

    def _keep(self, chat: Chat) -> Chat:
        return self.chats.setdefault(chat.id, chat)

    def keep_file(self, file: Upload) -> str:
        """A file's id, by which it can be fetched."""
        file_id = f"file{id(file)}"
        self.files[file_id] = file
        return file_id

    @property
    def commands(self) -> list[JSON]:
        """The menu that people see where no other is set."""
        return self.menus.get(("default", ""), [])

    def press(self, person: Person, message: JSON, data: str) -> str:
        """A press of a button, whatever is in it. Returns the query's id."""
        query = str(4_000_000_000_000_000_000 + next(self._ids))
        self.waiting_queries.append(query)
        told = {"id": query, "from": person.payload(), "message": message, "data": data}
        self.deliver({"callback_query": told | {"chat_instance": "1"}})
        return query

    def deliver(self, update: JSON) -> int:
        """An update to the bot, whatever is in it. It waits until a bot asks. Returns its id."""
        return self.updates.add(update)

    # What happens

    def changed(self) -> None:
        self._signal.notify()

    async def until(self, condition: Callable[[], object], timeout: float = 20) -> None:
        """Wait until the condition holds; it is tried at each change here."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    await self._signal.wait()
        except TimeoutError:
            raise AssertionError(f"It did not happen within {timeout} s.\n{self}") from None

    def calls(self, method: str) -> list[dict[str, Any]]:
        """The parameters of each call of a method so far."""
        return [request.parameters for request in self.requests if request.method == method]

    def fail_next(
        self,
        method: str,
        *,
        status: int | None = None,
        description: str = "Injected",
        retry_after: int | None = None,
        drop: Literal["before", "after"] | None = None,
        hang: bool = False,
        body: str | None = None,
        chat: Chat | None = None,
        times: int = 1,
    ) -> None:
        """Let the next calls fail: with a status; with 429 and `retry_after` seconds; by dropping the
        connection before or after acting; by not answering at all; or with another answer's body."""
        error = None
        if retry_after is not None:
            text = f"Too Many Requests: retry after {retry_after}"
            error = ApiError(429, text, retry_after=retry_after)
        elif status is not None:
            error = ApiError(status, description)
        self._faults.append(Fault(method, chat.id if chat else None, error, drop, hang, body, times))

    def _next_fault(self, method: str, parameters: dict[str, Any]) -> Fault | None:
        fault = next((fault for fault in self._faults if fault.matches(method, parameters)), None)
        if fault is not None:
            fault.times -= 1
            if fault.times == 0:
                self._faults.remove(fault)
        return fault

    def __str__(self) -> str:
        """The whole of it, for a failing test."""
        called = ", ".join(request.method for request in self.requests[-20:])
        return "\n".join([*map(str, self.chats.values()), f"Last requests: {called or 'none'}"])

    # The server

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/bot"

    @property
    def file_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/file/bot"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/bot{token}/{method}", self._serve)
        app.router.add_get("/file/bot{token}/documents/{file}", self._serve_file)
        # A poll whose bot went away must end: cancelled handlers. Its answer would be lost otherwise.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.closing = True
        self.changed()
        await self._runner.cleanup()
        if error is None and self.violations:
            raise AssertionError("Telegram's rules were broken:\n" + "\n".join(self.violations))

    def goes_down(self) -> None:
        """Every connection is broken off, those on which a poll waits too, until it `comes_back`."""
        self.down = True
        self.changed()

    def comes_back(self) -> None:
        self.down = False

    async def vanish(self) -> None:
        """Nothing listens any more."""
        self.closing = True
        self.changed()
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["token"] != self.token:
            return _answer(ApiError(401, "Unauthorized"))
        if self.down:
            self.changed()
            return _dropped(request)
        method = request.match_info["method"]
        parameters = await _parameters(request)
        self.requests.append(Request(method, parameters, asyncio.get_running_loop().time()))
        self.violations += spec.violations(method, parameters)
        self.changed()

        fault = self._next_fault(method, parameters)
        if fault is not None and fault.hang:
            await self.until(lambda: self.closing, timeout=math.inf)
        if fault is not None and (fault.hang or fault.drop == "before"):
            return _dropped(request)
        if fault is not None and fault.error is not None:
            return _answer(fault.error)
        if method not in METHODS:
            return _answer(ApiError(404, "Not Found"))
        try:
            result = await METHODS[method](self, parameters)
        except ApiError as error:
            return _answer(error)
        self.changed()
        if self.down or (fault is not None and fault.drop == "after"):
            return _dropped(request)
        if fault is not None and fault.body is not None:
            return web.Response(text=fault.body)
        return web.json_response({"ok": True, "result": result})

    async def _serve_file(self, request: web.Request) -> web.StreamResponse:
        file_id = request.match_info["file"]
        if request.match_info["token"] != self.token or file_id in self.lost_files:
            return _answer(ApiError(404, "Not Found"))
        response = web.StreamResponse()
        await response.prepare(request)
        content = self.files[file_id].content
        for start in range(0, len(content), CHUNK):
            await response.write(content[start : start + CHUNK])
            self.bytes_sent += len(content[start : start + CHUNK])
        await response.write_eof()
        return response


def _answer(error: ApiError) -> web.Response:
    return web.json_response(error.payload, status=error.status)


def _dropped(request: web.Request) -> web.Response:
    """Break the connection off instead of answering."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _parameters(request: web.Request) -> dict[str, Any]:
    """A request's parameters: JSON, or a form whose nested values are JSON strings."""
    if request.content_type == "application/json":
        return dict(await request.json())
    parameters: dict[str, Any] = {}
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            parameters[name] = Upload(value.filename, value.file.read())
        else:
            parameters[name] = value if name in TEXTS else _decoded(str(value))
    return parameters


def _decoded(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value
