"""Files that came with messages, fetched from where Discord keeps them.

Only from there: an address is part of a stored event, and whoever could forge one would have the bot open
whatever it can reach. Knows nothing of what is in a file.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

import aiohttp
import yarl

from adapters.errors import Forbidden, NotFound, Rejected, Unreachable
from adapters.types import Attachment

CDN = frozenset({yarl.URL("https://cdn.discordapp.com"), yarl.URL("https://media.discordapp.net")})
"""Discord's file servers."""

_TIMEOUT = timedelta(minutes=1)
_CHUNK = 64 << 10  # bytes


async def fetch(attachment: Attachment, limit: int, servers: Collection[yarl.URL]) -> bytes:
    """A file of at most `limit` bytes from one of `servers`. Raises `AdapterError`."""
    if attachment.size > limit:
        raise _too_large(attachment, limit)
    url = _address(attachment, servers)
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_TIMEOUT.total_seconds())) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            _check(response.status, attachment)
            if (response.content_length or 0) > limit:
                raise _too_large(attachment, limit)
            content = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                content += chunk
                if len(content) > limit:
                    raise _too_large(attachment, limit)
            return bytes(content)
    except (aiohttp.ClientError, OSError) as error:  # a time-out is an OSError
        raise Unreachable(f"{attachment.name} could not be fetched: {type(error).__name__}") from error


def _address(attachment: Attachment, servers: Collection[yarl.URL]) -> yarl.URL:
    try:
        url = yarl.URL(attachment.handle)
        if url.origin() in servers:
            return url
    except ValueError:
        pass
    raise Rejected(f"{attachment.name} does not lie on Discord's servers")


def _check(status: int, attachment: Attachment) -> None:
    if status in (404, 410):
        raise NotFound(f"{attachment.name} is not there any more")
    if status == 403:
        raise Forbidden(f"Discord refuses to hand {attachment.name} out")
    if status >= 500 or status == 429:
        raise Unreachable(f"Discord could not hand {attachment.name} out just now: {status}")
    if status != 200:
        raise Rejected(f"Discord did not hand {attachment.name} out: {status}")


def _too_large(attachment: Attachment, limit: int) -> Rejected:
    return Rejected(f"{attachment.name} is larger than {limit} bytes")
