"""HTTP for the Bot API: python-telegram-bot's requests over aiohttp, which discord.py brings along.

A request costs a third of the processor's time that it costs over httpx, python-telegram-bot's own choice.
What goes wrong is raised as that library raises it, with aiohttp's error as its cause: `errors` tells by it
whether a request has left. Knows nothing of what is asked. No error repeats an address: it holds the token.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from telegram.error import NetworkError, TimedOut
from telegram.request import BaseRequest, RequestData

KEPT_IDLE = 5.0
"""Seconds after which an idle connection is not used again: a request on one that Telegram is just closing
would leave its sender in doubt."""


class Http(BaseRequest):
    """Connections, at most `connections` at once. `timeout` is in seconds: to connect, and between two
    answers of the server."""

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
            connector = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEPT_IDLE)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self.USER_AGENT},
                trust_env=True,  # the system's proxy
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
        """See BaseRequest."""
        timeout = aiohttp.ClientTimeout(
            connect=self._seconds(connect_timeout), sock_read=self._seconds(read_timeout)
        )
        try:
            async with self.session.request(
                method, url, data=_body(request_data), timeout=timeout, allow_redirects=False
            ) as response:
                return response.status, await response.read()
        except TimeoutError as error:
            raise TimedOut from error
        except (aiohttp.ClientError, OSError) as error:
            raise NetworkError(type(error).__name__) from error

    def _seconds(self, timeout: Any) -> float | None:
        return timeout if timeout is None or isinstance(timeout, int | float) else self._timeout


def _body(request: RequestData | None) -> aiohttp.FormData | dict[str, str] | None:
    if request is None:
        return None
    if not request.contains_files:
        return request.json_parameters
    form = aiohttp.FormData(request.json_parameters)
    for name, (filename, content, media_type) in request.multipart_data.items():
        form.add_field(name, content, filename=filename, content_type=media_type)
    return form
