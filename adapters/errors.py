"""What can go wrong at a platform, and what to do about it. Foreign errors are translated here once.

AdapterError
├── RateLimited    wait `retry_after`, then the same again
├── Unreachable    the platform did not answer: the same again, later
│   └── InDoubt    the same, but it may have acted: what is repeated may come twice
├── Forbidden      the bot may not do this here: stop trying
├── NotFound       the chat or message is gone: stop trying, or send anew
├── Rejected       the platform refuses this content: send something simpler
└── Misconfigured  the bot can't run as it is set up: tell its owner what to change, and stop
"""

from __future__ import annotations

from datetime import timedelta


class AdapterError(Exception):
    """The root: everything that an adapter raises on purpose."""


class RateLimited(AdapterError):
    """The platform asks for a pause. `retry_after` is how long."""

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(AdapterError):
    """No answer, or one that only says that the platform is in trouble."""


class InDoubt(Unreachable):
    """The request left, and what came of it is not known: no answer came, or none that can be read."""


class Forbidden(AdapterError):
    """Blocked, kicked or without the permission."""


class NotFound(AdapterError):
    """The chat, thread or message does not exist any more, or its token has expired."""


class Rejected(AdapterError):
    """The request was understood and refused: too long, empty, malformed."""


class Misconfigured(AdapterError):
    """A wrong token, a missing intent, a second process on one token. The message says what to change."""
