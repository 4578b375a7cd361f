"""discord.py's errors as the adapters' own. The one place where they are translated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import aiohttp
import discord

from adapters.errors import Forbidden, Misconfigured, NotFound, RateLimited, Rejected, Unreachable

LOGIN_REFUSED = (
    "Discord refuses the bot's token. In the Developer Portal open your application -> Bot -> Reset Token, "
    "and put the new token into CHORUS_DISCORD__TOKEN."
)

INVALID_WEBHOOK_TOKEN = 50027
"""Discord's error code for an interaction whose 15 minutes are over."""

_BLOCKED_FOR = timedelta(minutes=1)
"""A 429 without a retry_after is Cloudflare's, who block for minutes and don't say how many."""


@contextmanager
def translated() -> Iterator[None]:
    """Raises `AdapterError` in place of whatever discord.py and aiohttp raise for a request."""
    try:
        yield
    except discord.RateLimited as error:
        raise RateLimited(str(error), timedelta(seconds=error.retry_after)) from error
    except discord.Forbidden as error:
        raise Forbidden(str(error)) from error
    except discord.NotFound as error:
        raise NotFound(str(error)) from error
    except discord.HTTPException as error:
        if error.code == INVALID_WEBHOOK_TOKEN:
            raise NotFound(str(error)) from error
        if error.status == 429:
            raise RateLimited(str(error), _BLOCKED_FOR) from error
        if error.status == 401:
            raise Misconfigured(LOGIN_REFUSED) from error
        if error.status >= 500:
            raise Unreachable(str(error)) from error
        raise Rejected(str(error)) from error
    except (aiohttp.ClientError, OSError) as error:  # a time-out is an OSError
        raise Unreachable(f"no answer from Discord: {type(error).__name__}") from error
