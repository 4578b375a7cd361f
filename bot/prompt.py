"""Persona and history, fitted into the model's context. Knows nothing of storage or platforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from bot.store.history import Said
from inference import ChatMessage, ContextTooLong, Engine
from inference.types import Role

STEPS = 4  # history is dropped in quarters of the room for it


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is given. `dropped` messages at the beginning did not fit."""

    messages: list[ChatMessage]
    tokens: int
    dropped: int


def as_chat(branch: Sequence[Said]) -> list[ChatMessage]:
    """A branch as the model reads it. Names are told only where several people speak."""
    several = len({said.author for said in branch if said.author is not None}) > 1
    return [
        ChatMessage(
            cast(Role, said.role),
            f"{said.author}: {said.text}" if several and said.author is not None else said.text,
        )
        for said in branch
    ]


async def build(engine: Engine, system: str, branch: Sequence[Said], answer_tokens: int) -> Prompt:
    """Fit system prompt and branch into the context, leaving `answer_tokens` for the answer.

    What does not fit goes, oldest first. More than needed is dropped at once, down to a fixed part of the
    room, so that the beginning of the prompt, and with it the cached prefix, stays the same for the next
    turns. Raises ContextTooLong when not even the last message fits.
    """
    head = ChatMessage("system", system)
    chat = as_chat(branch)
    room = max(engine.context_length - answer_tokens, engine.context_length // 2)
    total = await engine.count_tokens([head, *chat])
    if total <= room:
        return Prompt([head, *chat], total, 0)
    start = await _first_that_fits(engine, head, chat, room, total)
    messages = [head, *chat[start:]]
    return Prompt(messages, await engine.count_tokens(messages), start)


async def _first_that_fits(
    engine: Engine, head: ChatMessage, chat: Sequence[ChatMessage], room: int, total: int
) -> int:
    """Index of the oldest message to keep: the first user's message from which on at least as much is gone as
    the smallest sufficient multiple of a quarter of the room. It moves only when another quarter is full."""
    counts = [await engine.count_tokens([head, message]) for message in chat]
    fixed = await engine.count_tokens([head, ChatMessage("user", "")])
    sizes = [max(1, count - fixed) for count in counts]
    quarter = max(1, room // STEPS)
    excess = total - room
    to_drop = -(-excess // quarter) * quarter
    gone = 0
    last = len(chat) - 1
    for index, size in enumerate(sizes):
        enough = gone >= to_drop or index == last
        if enough and chat[index].role == "user":
            tokens = await engine.count_tokens([head, *chat[index:]])
            if tokens <= room:
                return index
        gone += size
    tokens = await engine.count_tokens([head, chat[last]])
    if tokens >= engine.context_length:
        raise ContextTooLong(tokens, engine.context_length - 1)
    return last
