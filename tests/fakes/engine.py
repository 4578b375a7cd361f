"""An engine whose answers the test writes: for tests of everything but inference.

It streams word by word, counts words as tokens, and stops in mid-answer where a test wants to look.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from types import TracebackType
from typing import Self

from inference import ChatMessage, ContextTooLong, Delta, Finished, FinishReason, Request, Usage

Answer = Callable[[Sequence[ChatMessage]], str]


class ScriptedEngine:
    """Answers with what `answer` says to the messages; by default it repeats the question.

    `hold` makes answers pause after their first word until `release`. `failures` are raised first, one each.
    """

    model = "scripted"

    def __init__(self, answer: Answer | None = None, *, context_length: int = 10_000) -> None:
        self.context_length = context_length
        self.requests: list[Request] = []
        self.failures: list[Exception] = []
        self.forgotten: list[str] = []  # topics
        self._answer = answer or (lambda messages: f"You said: {messages[-1].content}")
        self._go = asyncio.Event()
        self._go.set()
        self._running: dict[str, asyncio.Event] = {}

    @property
    def prompts(self) -> list[list[str]]:
        """What the model was given each time, as "role: text" lines."""
        return [[f"{one.role}: {one.content}" for one in request.messages or ()] for request in self.requests]

    def hold(self) -> None:
        self._go.clear()

    def release(self) -> None:
        self._go.set()

    async def generate(self, request: Request) -> AsyncGenerator[Delta | Finished, None]:
        assert request.messages is not None
        self.requests.append(request)
        if self.failures:
            raise self.failures.pop(0)
        prompt = await self.count_tokens(request.messages)
        if prompt >= self.context_length:
            raise ContextTooLong(prompt, self.context_length - 1)
        cancelled = self._running[request.id] = asyncio.Event()
        words = re.findall(r"\S+\s*|\s+", self._answer(request.messages))
        given = 0
        try:
            for word in words:
                if given:
                    await self._going_or(cancelled)
                if cancelled.is_set():
                    break
                given += 1
                yield Delta(word, (given,))
            reason = FinishReason.CANCELLED if cancelled.is_set() else FinishReason.STOP
            yield Finished(reason, Usage(prompt, 0, given, 0.01, 0.02))
        finally:
            del self._running[request.id]

    async def _going_or(self, cancelled: asyncio.Event) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (self._go, cancelled)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def cancel(self, request_id: str) -> bool:
        if request_id not in self._running:
            return False
        self._running[request_id].set()
        return True

    def forget(self, topics: Collection[str]) -> None:
        self.forgotten.extend(topics)

    async def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        return sum(1 + len(one.content.split()) for one in messages)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass
