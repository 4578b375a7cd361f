"""The protocol that every engine follows, local or remote."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from types import TracebackType
from typing import Protocol, Self

from inference.types import ChatMessage, Delta, Finished, Request


class Engine(Protocol):
    """Answers requests, many at once. Used from one event loop; open it with `async with`."""

    @property
    def model(self) -> str:
        """The model's name, for people."""
        ...

    @property
    def context_length(self) -> int:
        """Tokens that prompt and answer together may have."""
        ...

    def generate(self, request: Request) -> AsyncGenerator[Delta | Finished, None]:
        """Stream an answer: deltas, then one Finished.

        Closing the iterator cancels the request and frees what it holds before the next step. Raises
        ContextTooLong and Overloaded before the first delta, EngineUnavailable at any time.
        """
        ...

    def cancel(self, request_id: str) -> bool:
        """End a running request: its stream gives what is decoded, then Finished(CANCELLED). False if no such
        request runs."""
        ...

    def forget(self, topics: Collection[str]) -> None:
        """Drop what is kept of earlier requests about these topics, in memory and on disk: soon, at the
        latest when the engine is closed. What still runs ends as usual and is not kept."""
        ...

    async def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        """Tokens of the prompt that `messages` make, the template's own included."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
