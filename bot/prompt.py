"""Persona, summary and history, fitted into the model's context. Knows nothing of storage or platforms."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from bot.store.history import Said
from bot.store.summaries import Summary
from inference import ChatMessage, ContextTooLong, Engine
from inference.types import Role

FULL_AGAIN = 0.75  # of the room is filled when old messages had to go, so that the next ones need not
REMEMBERED = 50_000  # messages whose tokens are counted once
SUMMARISED = "\n\nWhat was said before, in short: "

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is given. Of the branch, a summary stands for `summarised` messages, and `dropped` more
    behind them did not fit. `tokens` is counted message by message, which is near enough; `room` is what it
    may have."""

    messages: list[ChatMessage]
    tokens: int
    room: int
    dropped: int = 0
    summarised: int = 0


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


class Prompts:
    """Builds prompts. Remembers, bounded, what messages cost and where prompts began: each message is
    counted once, and a prompt's beginning, and with it the cached prefix, stays for as long as it fits."""

    def __init__(self) -> None:
        self._counts: OrderedDict[Hashable, int] = OrderedDict()
        self._starts: OrderedDict[int, None] = OrderedDict()

    async def build(
        self,
        engine: Engine,
        system: str,
        branch: Sequence[Said],
        answer_tokens: int,
        summaries: Sequence[Summary] = (),
    ) -> Prompt:
        """Fit system prompt and branch into the context, leaving `answer_tokens` for the answer.

        Where it does not fit, the shortest of the branch's `summaries` (in their order) that is enough stands
        for its beginning; where none is enough, the oldest messages behind the longest one go. Raises
        ContextTooLong when not even the last question fits.
        """
        chat = as_chat(branch)
        room = max(engine.context_length - answer_tokens, engine.context_length // 2)
        question = _last_question(branch)
        sizes = await self._sizes(engine, branch, chat, room)  # of the newest messages, as many as may fit
        first = len(chat) - len(sizes)
        head, fixed, covered = ChatMessage("system", system), 0, 0
        for summary in (None, *summaries):
            if summary is not None:
                upto = _covered(branch, question, summary)
                if not upto:
                    continue
                head, covered = ChatMessage("system", f"{system}{SUMMARISED}{summary.text}"), upto
            fixed = await self._fixed(engine, head)
            tokens = fixed + sum(sizes[max(covered - first, 0) :])
            if first <= covered and tokens <= room:
                return Prompt([head, *chat[covered:]], tokens, room, 0, covered)
        start = self._start(branch, sizes, room - fixed, max(first, covered), question)
        tokens = fixed + sum(sizes[start - first :])
        if start == question and tokens >= engine.context_length:
            raise ContextTooLong(tokens, engine.context_length - 1)
        return Prompt([head, *chat[start:]], tokens, room, start - covered, covered)

    def _start(
        self, branch: Sequence[Said], sizes: Sequence[int], room: int, oldest: int, question: int
    ) -> int:
        """Index of the oldest message to keep, a question, from `oldest` on: where a prompt began before, or
        else where there is space for more to come."""
        first = len(branch) - len(sizes)
        tokens = sum(sizes[oldest - first :])
        spacious = question
        for index in range(oldest, question):
            if branch[index].role == "user" and tokens <= room:
                if branch[index].id in self._starts:
                    return index
                if tokens <= room * FULL_AGAIN:
                    spacious = min(spacious, index)
            tokens -= sizes[index - first]
        _remember(self._starts, branch[spacious].id, None)
        return spacious

    async def _sizes(
        self, engine: Engine, branch: Sequence[Said], chat: Sequence[ChatMessage], room: int
    ) -> list[int]:
        """Tokens of each of the newest messages, until they are more than `room`; the last question and what
        follows it in any case."""
        between = await self._between(engine)
        empty = await self._count(engine, "empty", [ChatMessage("user", "")])
        question = _last_question(branch)
        sizes: list[int] = []
        total = 0
        for index in range(len(chat) - 1, -1, -1):
            if total > room and index < question:
                break
            content = chat[index].content
            alone = await self._count(
                engine, (branch[index].id, hash(content)), [ChatMessage("user", content)]
            )
            sizes.append(max(0, alone - empty) + between)
            total += sizes[-1]
        return sizes[::-1]

    async def _between(self, engine: Engine) -> int:
        """Tokens that the template spends on each message."""
        nothing = [ChatMessage("user", ""), ChatMessage("assistant", ""), ChatMessage("user", "")]
        three = await self._count(engine, "three", nothing)
        one = await self._count(engine, "empty", nothing[:1])
        return -(-(three - one) // 2)

    async def _fixed(self, engine: Engine, head: ChatMessage) -> int:
        """Tokens of a prompt with no message in it yet."""
        with_one = await self._count(engine, ("head", hash(head)), [head, ChatMessage("user", "")])
        return max(0, with_one - await self._between(engine))

    async def _count(self, engine: Engine, key: Hashable, messages: Sequence[ChatMessage]) -> int:
        whole = (engine.model, key)
        known = self._counts.get(whole)
        if known is None:
            known = await engine.count_tokens(messages)
        _remember(self._counts, whole, known)
        return known


def _last_question(branch: Sequence[Said]) -> int:
    """Index of the last message that a person said: it is what is answered."""
    return next((i for i in range(len(branch) - 1, -1, -1) if branch[i].role == "user"), len(branch) - 1)


def _covered(branch: Sequence[Said], question: int, summary: Summary) -> int:
    """How many messages the summary stands for; none if it was made of another branch, or of too much."""
    upto = next((i for i, said in enumerate(branch) if said.id == summary.message_id), -1)
    return upto + 1 if upto < question else 0


def _remember(known: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > REMEMBERED:
        known.popitem(last=False)
