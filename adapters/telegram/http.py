"""HTTP for the Bot API: python-telegram-bot's requests over aiohttp, which discord.py brings along.

A request over httpx, python-telegram-bot's own choice, costs several times as much of the processor. What
goes wrong is raised as that library raises it, and the cause tells what only a network library knows: whether
the request has left. No error repeats an address, which holds the token. Knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import io
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from telegram.error import NetworkError, TimedOut
from telegram.request import BaseRequest, RequestData

from adapters.errors import Unreachable

KEPT_IDLE = 5.0
"""Seconds after which an idle connection is not used again: a request on one that Telegram is just closing
would leave its sender in doubt."""

_CONNECTING = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)


class NotSent(Exception):
    """Nothing of the request has left."""


class Lost(Exception):
    """The request may have left, and its answer did not come."""


class Http(BaseRequest):
    """Connections, at most `connections` at once. `timeout` is in seconds: to connect, and for the server to
    go on answering."""

    def __init__(self, *, connections: int, timeout: float = 5.0) -> None:
        self._connections = connections
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    @property
    def read_timeout(self) -> float:
        return self._timeout

    @property
    def session(self) -> aiohttp.ClientSession:
        """What requests are made with. Raises RuntimeError before `initialize` and after `shutdown`."""
        if self._session is None:
            raise RuntimeError("the connections to Telegram are closed")
        return self._session

    async def initialize(self) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEPT_IDLE),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self.USER_AGENT},
            )

    async def shutdown(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: Any = BaseRequest.DEFAULT_NONE,
        write_timeout: Any = BaseRequest.DEFAULT_NONE,
        connect_timeout: Any = BaseRequest.DEFAULT_NONE,
        pool_timeout: Any = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        """See BaseRequest. To wait for a free connection is a part of connecting."""
        timeout = _limits(self._seconds(connect_timeout), self._seconds(read_timeout))
        for _turn in range(2):  # of the event loop: it hears of connections that Telegram has closed
            await asyncio.sleep(0)
        try:
            async with self.session.request(
                method,
                url,
                data=_body(request_data),
                timeout=timeout,
                allow_redirects=False,
                proxy=_proxy(_origin(url)),
            ) as response:
                return response.status, await response.read()
        except _CONNECTING as error:
            raise NetworkError(type(error).__name__) from NotSent(type(error).__name__)
        except TimeoutError as error:
            raise TimedOut from Lost(type(error).__name__)
        except (aiohttp.ClientError, OSError) as error:
            raise NetworkError(type(error).__name__) from Lost(type(error).__name__)

    async def fetch(self, url: str, limit: int) -> bytes | None:
        """What lies at an address, or its beginning if that is more than `limit` bytes; None if there is
        nothing. Raises Unreachable."""
        try:
            limits = _limits(self._timeout, self._timeout)
            async with self.session.get(url, timeout=limits, proxy=_proxy(_origin(url))) as response:
                if response.status >= 500:
                    raise Unreachable(f"Telegram is in trouble ({response.status})")
                if response.status != 200:
                    return None
                content = bytearray()
                async for chunk in response.content.iter_any():
                    content += chunk
                    if len(content) >= limit:
                        break
                return bytes(content[:limit])
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"the file could not be fetched ({type(error).__name__})") from None

    def _seconds(self, timeout: Any) -> float:
        """A timeout as python-telegram-bot gives it, which has a word for none being given."""
        return float(timeout) if isinstance(timeout, int | float) else self._timeout


def _limits(connect: float, read: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_read=read)


def _origin(url: str) -> str:
    """Scheme and server of an address."""
    return "/".join(url.split("/", 3)[:3])


@cache
def _proxy(origin: str) -> str | None:
    """The proxy that the system has set for a server. aiohttp's own way to it takes a thread each time."""
    server = urlsplit(origin)
    return None if proxy_bypass(server.hostname or "") else getproxies().get(server.scheme)


def _body(request: RequestData | None) -> aiohttp.FormData | dict[str, str] | None:
    if request is None:
        return None
    if not request.contains_files:
        return request.json_parameters
    form = aiohttp.FormData(request.json_parameters)
    for name, (filename, content, media_type) in request.multipart_data.items():
        file = io.BytesIO(content) if isinstance(content, bytes) else content
        form.add_field(name, file, filename=filename, content_type=media_type)
    return form
