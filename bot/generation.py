"""The model at work on a turn: the answer is streamed, and the chat watches.

An engine with too much to do is asked again; `stop` ends a chat's answer where it is. Knows nothing of how an
answer is stored.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial

from adapters.types import ChatRef, CommandInvoked, MessageCreated, MessageEdited, MessageRef
from bot import prompt, texts, thinking
from bot.answer import Answer
from bot.commands.conversation import stop_buttons
from bot.delivery import OutboxWorker, Preview, Sleep
from bot.events import reply_target
from bot.question import Question
from bot.replies import Replies
from bot.scopes import Resolved
from bot.services import Services
from bot.store.inbox import Entry
from inference import Delta, Engine, Finished, Overloaded, Request, SamplingParams

FRESH = 0.8  # temperature of an answer that is given anew where the first was the likeliest
PATIENCE = 5  # times that a turn waits for an engine that has too much to do


class Withdrawn(Exception):
    """The person does not want the answer any more, and none of it is written yet."""


class Generation:
    """Every answer that is being written."""

    def __init__(
        self, services: Services, worker: OutboxWorker, replies: Replies, *, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._services = services
        self._worker = worker
        self._replies = replies
        self._sleep = sleep
        self._prompts = prompt.Prompts()
        self._running: dict[ChatRef, str] = {}  # the engine's request for each chat's turn
        self._patience: dict[ChatRef, asyncio.Event] = {}  # of turns that wait for the engine; ends that

    def stop(self, chat: ChatRef, key: str | None = None) -> bool:
        """End the chat's running answer where it is, or only that to the event of this key; what is written
        stays. False if none runs."""
        if key is not None and self._running.get(chat) != key:
            return False
        waiting = self._patience.get(chat)
        if waiting is not None:
            waiting.set()
            return True
        request_id = self._running.get(chat)
        return request_id is not None and self._services.models.cancel(request_id)

    @property
    def generating(self) -> int:
        """How many turns have the engine at work."""
        return len(self._running)

    async def generate(
        self, entry: Entry, question: Question, engine: Engine
    ) -> tuple[Answer, list[MessageRef]]:
        """Let the model answer while the chat watches; gives the answer and the previews that stand.
        Raises Withdrawn, and what the engine raises."""
        event = entry.event
        assert isinstance(event, MessageCreated | MessageEdited | CommandInvoked)
        adapter = self._services.adapters[event.chat.platform]
        scoped = question.scoped
        fitted = await self._prompts.build(
            engine, question.system, question.branch, scoped.max_tokens, question.summaries
        )
        request = Request(
            messages=fitted.messages,
            sampling=_sampling(scoped, self._services.settings.model.seed, question.tries),
            id=entry.key,
            topic=str(question.conversation_id),
            client=f"{event.chat.platform}:{event.author.id}",
        )
        preview = Preview(
            adapter,
            event.chat,
            entry.key,
            reply_to=reply_target(entry.last.event),
            messages=question.standing,
            save=lambda part, message: self._replies.save_placeholder(entry, part, message),
            begin=lambda: self._worker.drained(event.chat),
            buttons=stop_buttons(entry.key),
        )
        self._running[event.chat] = request.id
        try:
            async with preview:
                text, finished = await self._admitted(event.chat, request, preview, engine, scoped)
        finally:
            del self._running[event.chat]
        return Answer(text, finished, fitted, engine.model), preview.messages

    async def _admitted(
        self, chat: ChatRef, request: Request, preview: Preview, engine: Engine, scoped: Resolved
    ) -> tuple[str, Finished]:
        """Stream the answer as soon as the engine takes the request. An engine with too much to do says when
        to come again: the person is told so and keeps waiting; after `PATIENCE` tries that is the answer."""
        for _attempt in range(PATIENCE):
            try:
                return await self._stream(request, preview, engine, scoped)
            except Overloaded as busy:
                place = texts.place_in_queue(busy.waiting + 1, busy.retry_after)
                preview.show(lambda place=place: place)  # type: ignore[misc]
                await self._wait(chat, busy.retry_after)
        return await self._stream(request, preview, engine, scoped)

    async def _wait(self, chat: ChatRef, seconds: float) -> None:
        """Sleep for a turn that waits for the engine. Raises Withdrawn when it is stopped meanwhile."""
        stopped = self._patience[chat] = asyncio.Event()
        waits = [asyncio.ensure_future(self._sleep(seconds)), asyncio.create_task(stopped.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._patience[chat]
            for wait in waits:
                wait.cancel()
        if stopped.is_set():
            raise Withdrawn

    async def _stream(
        self, request: Request, preview: Preview, engine: Engine, scoped: Resolved
    ) -> tuple[str, Finished]:
        text = ""
        async with aclosing(engine.generate(request)) as outputs:
            async for output in outputs:
                match output:
                    case Delta():
                        text += output.text
                        if scoped.stream:
                            show = scoped.show_thinking
                            preview.show(partial(thinking.shown, text, ended=False, show_thinking=show))
                    case Finished():
                        return text, output
        raise AssertionError("an engine's stream ends with Finished")


def _sampling(scoped: Resolved, seed: int | None, tries: int) -> SamplingParams:
    """How an answer is drawn. One that is given anew has another seed, and is never the likeliest."""
    return SamplingParams(
        max_tokens=scoped.max_tokens,
        temperature=(scoped.temperature or FRESH) if tries else scoped.temperature,
        top_p=scoped.top_p,
        seed=None if seed is None else seed + tries,
    )
