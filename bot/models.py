"""The open language models: one that the bot was started with, and others that its owner loads beside it.

A turn leases the model that it is answered by. One that is unloaded is given to no further turn and closes
when the turns that lease it have ended. Knows nothing of who may choose which.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self

from inference import ChatMessage, Delta, Engine, Finished, InferenceError, ModelNotFound, Request

log = logging.getLogger(__name__)

Opener = Callable[[str], AbstractAsyncContextManager[Engine]]
"""An engine by its model's name; the model is loaded on entering it."""


class _Open:
    """An engine that is open. `leases` are the turns that it answers."""

    def __init__(self, name: str, engine: Engine, stack: AsyncExitStack) -> None:
        self.name = name
        self.engine = engine
        self.stack = stack
        self.leases = 0
        self.free = asyncio.Event()
        self.free.set()


class Models:
    """`inference.Engine` for the model that the bot was started with, and the way to the others. Open it with
    `async with`: leaving closes what was loaded, not the first engine, which is its opener's."""

    def __init__(self, engine: Engine, opener: Opener | None = None) -> None:
        self._first = _Open(engine.model, engine, AsyncExitStack())
        self._opener = opener
        self._others: dict[str, _Open] = {}
        self._loading = asyncio.Lock()

    @property
    def names(self) -> Sequence[str]:
        """What is open, the first one first."""
        return [self._first.name, *self._others]

    def is_open(self, name: str) -> bool:
        return name in self.names

    def using(self, name: str) -> int:
        """How many turns a model answers now."""
        return self._find(name).leases

    async def load(self, name: str) -> bool:
        """Open a model; False if it is open already. Raises ModelNotFound and EngineUnavailable."""
        if self._opener is None:
            raise ModelNotFound("no further model can be loaded here")
        async with self._loading:
            if self.is_open(name):
                return False
            stack = AsyncExitStack()
            engine = await stack.enter_async_context(self._opener(name))
            self._others[name] = _Open(name, engine, stack)
            return True

    async def reopen(self, names: Sequence[str]) -> None:
        """Open what an earlier run had open; what can't be opened any more is only logged."""
        for name in names:
            try:
                await self.load(name)
            except InferenceError as error:
                log.warning("the model %s could not be loaded again: %s", name, error)

    async def unload(self, name: str) -> None:
        """Close a model when its turns have ended. Raises ModelNotFound for one that is not open, or is the
        first: something has to answer."""
        if name == self._first.name:
            raise ModelNotFound(f"{name} is the model that I was started with; it stays")
        if name not in self._others:
            raise ModelNotFound(f"no model called {name} is loaded; there are: {', '.join(self.names)}")
        closing = self._others.pop(name)
        await closing.free.wait()
        await closing.stack.aclose()

    @asynccontextmanager
    async def lease(self, name: str | None) -> AsyncIterator[Engine]:
        """The engine for one turn: the named one if it is open, else the first."""
        leased = self._find(name)
        leased.leases += 1
        leased.free.clear()
        try:
            yield leased.engine
        finally:
            leased.leases -= 1
            if not leased.leases:
                leased.free.set()

    def stats(self, name: str | None = None) -> Any:
        """What an engine tells of itself; None for one that tells nothing."""
        stats = getattr(self._find(name).engine, "stats", None)
        return None if stats is None else stats()

    def _find(self, name: str | None) -> _Open:
        return self._others.get(name or "", self._first)

    # The first engine's own

    @property
    def model(self) -> str:
        return self._first.name

    @property
    def context_length(self) -> int:
        return self._first.engine.context_length

    def generate(self, request: Request) -> AsyncGenerator[Delta | Finished, None]:
        return self._first.engine.generate(request)

    def cancel(self, request_id: str) -> bool:
        """End a request, whichever model answers it."""
        return any(one.engine.cancel(request_id) for one in (self._first, *self._others.values()))

    def forget(self, topics: Collection[str]) -> None:
        """Let every model drop what it keeps of requests about these topics."""
        for one in (self._first, *self._others.values()):
            one.engine.forget(topics)

    async def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        return await self._first.engine.count_tokens(messages)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in list(self._others.values()):
            await one.stack.aclose()
        self._others.clear()
