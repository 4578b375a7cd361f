"""What an engine refuses, and what to do then.

InferenceError
├── ContextTooLong     the prompt leaves no room for an answer: shorten it
├── Overloaded         too much is waiting: again after `retry_after` seconds
├── EngineUnavailable  the engine failed or is closed: again later, or with another
└── ModelNotFound      no such model, or one that can't be served: choose another
"""

from __future__ import annotations


class InferenceError(Exception):
    """The root: everything that an engine raises on purpose."""


class ContextTooLong(InferenceError):
    """Raised before any work is done. `tokens` are what came, `limit` what fits with one token of answer."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(f"{tokens} tokens are more than the {limit} that fit into the model's context")
        self.tokens = tokens
        self.limit = limit


class Overloaded(InferenceError):
    """The queue is full: `waiting` requests are in it. `retry_after` in seconds is an estimate from the
    present speed."""

    def __init__(self, waiting: int, retry_after: float) -> None:
        super().__init__(f"{waiting} requests are waiting; try again in {retry_after:.0f} s")
        self.waiting = waiting
        self.retry_after = retry_after


class EngineUnavailable(InferenceError):
    """The engine is closed, or its model thread has failed."""


class ModelNotFound(InferenceError):
    """The name leads to no model that can be served. The message says what to do."""
