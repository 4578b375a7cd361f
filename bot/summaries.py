"""Summaries of conversations that come near the end of the context, made while nobody waits for them.

The model is given the very prompt that it answered last, its answer, and a wish at the end: all but the wish
is in its cache already. Knows nothing of how a summary is read again; `prompt` does that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from sqlalchemy.exc import IntegrityError

from bot import thinking
from bot.models import Models
from bot.prompt import Prompt
from bot.store import summaries
from bot.store.session import Database
from bot.store.summaries import Summary
from inference import ChatMessage, Delta, Engine, InferenceError, Request, SamplingParams

log = logging.getLogger(__name__)

NEARLY_FULL = 0.7  # of the room; what is said until it is full is read beside the summary, word for word
SHARE = 8  # a summary has at most one in so many tokens of the context
WISH = (
    "Summarise our whole conversation up to here in a few sentences, in its own language. Keep names, facts, "
    "numbers, decisions and open questions. Write the summary only."
)
CLIENT = "summaries"
PRIORITY = -1


class Summaries:
    """Makes summaries, one a conversation at a time. Its tasks live in the task group that it is given and
    end with `close`: one that is lost is made again after the next answer."""

    def __init__(self, database: Database, models: Models, tasks: asyncio.TaskGroup) -> None:
        self._database = database
        self._models = models
        self._tasks = tasks
        self._running: dict[int, asyncio.Task[None]] = {}  # by conversation

    def consider(
        self, conversation_id: int, answer_id: int, prompt: Prompt, answer: str, model: str | None = None
    ) -> None:
        """Make a summary of what was said up to an answer, by the model that gave it, if it is time."""
        if prompt.tokens < NEARLY_FULL * prompt.room or not answer or conversation_id in self._running:
            return
        work = self._make(conversation_id, answer_id, prompt, answer, model)
        task = self._tasks.create_task(work, name=f"summary of {conversation_id}")
        self._running[conversation_id] = task
        task.add_done_callback(lambda _: self._running.pop(conversation_id))

    def forget(self, conversation_id: int) -> None:
        """What is being written about a conversation shall not be kept."""
        if task := self._running.get(conversation_id):
            task.cancel()

    async def close(self) -> None:
        """End what is being written."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(
        self, conversation_id: int, answer_id: int, prompt: Prompt, answer: str, model: str | None
    ) -> None:
        messages = [*prompt.messages, ChatMessage("assistant", answer), ChatMessage("user", WISH)]
        try:
            async with self._models.lease(model) as engine:
                said = await _said(engine, messages, str(conversation_id))
                if said:
                    tokens = await engine.count_tokens([ChatMessage("user", said)])
                    await self._keep(conversation_id, Summary(answer_id, said, tokens))
        except InferenceError as error:
            log.info("conversation %s is not summarised now: %s", conversation_id, error)
        except IntegrityError:
            log.info("conversation %s was deleted while it was summarised", conversation_id)
        except Exception:
            log.exception("conversation %s could not be summarised", conversation_id)

    async def _keep(self, conversation_id: int, summary: Summary) -> None:
        async with self._database.write() as session:
            await summaries.add(session, conversation_id, summary, datetime.now(UTC))


async def _said(engine: Engine, messages: Sequence[ChatMessage], topic: str) -> str:
    """The model's summary; empty where there is no room for one."""
    longest = max(engine.context_length // SHARE, 1)
    if await engine.count_tokens(messages) + longest > engine.context_length:
        return ""
    sampling = SamplingParams(max_tokens=longest, temperature=0)
    request = Request(messages=messages, sampling=sampling, topic=topic, client=CLIENT, priority=PRIORITY)
    text = ""
    async with aclosing(engine.generate(request)) as outputs:
        async for output in outputs:
            if isinstance(output, Delta):
                text += output.text
    return thinking.apart(text).said
