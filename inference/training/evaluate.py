"""How well a model foretells a held-out file: perplexity, bits a byte, and how often it finds the next turn.

Read in one pass; memory is that of a batch. Knows nothing of how the model was made.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from inference.errors import ModelNotFound
from inference.training.corpus import Document, Message
from inference.training.errors import CorpusError
from inference.training.judge import Judge, TokenSequence

AHEAD = 16  # batches that are sorted by length together
TURNS = 200  # that the next-turn accuracy is measured with at most


@dataclass(frozen=True, slots=True)
class Report:
    """`tokens` are those that count: a text's, and of chats what the assistant says. `bytes` are theirs in
    UTF-8 without the tokens that end turns, while `bits_per_byte` has the cost of those too.

    `token_accuracy`: how often the token that came was the likeliest. `next_turn_accuracy`: how often, of the
    turn that followed and `candidates - 1` that followed elsewhere, the right one was the likeliest by the
    mean of its tokens; None without chats, or with too few.
    """

    documents: int
    tokens: int
    bytes: int
    perplexity: float
    bits_per_byte: float
    token_accuracy: float
    next_turn_accuracy: float | None
    turns: int
    candidates: int
    parameters: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Turn:
    """What was said, and the turn that followed; which document it stands in."""

    prompt: str
    answer: str
    document: int


def evaluate(
    judge: Judge,
    documents: Iterable[Document],
    *,
    batch: int = 8,
    candidates: int = 4,
    turns: int = TURNS,
    seed: int = 0,
) -> Report:
    """Judge every document. Blocks. Raises CorpusError where nothing counts, ModelNotFound for a model whose
    template can't be used."""
    began = time.perf_counter()
    sampled = _Reservoir(turns, seed)
    nats = 0.0
    count = tokens = size = hits = 0
    documents = iter(documents)
    while some := list(islice(documents, batch * AHEAD)):
        sequences = []
        for document in some:
            sequences += _read(judge, document)
            size += _bytes(document)
            for turn in _turns(judge, document, count):
                sampled.offer(turn)
            count += 1
        for sequence, verdict in zip(sequences, judge.judge(sequences, batch), strict=True):
            counted = np.array(sequence.counted[1:], np.bool_)
            nats += float(verdict.nats[counted].sum())
            hits += int(verdict.likeliest[counted].sum())
            tokens += int(counted.sum())
    if not tokens or not size:
        raise CorpusError(
            "there is nothing to judge in this file: no text, and nothing that an assistant says"
        )
    found = _next_turns(judge, sampled.kept, batch, candidates, seed)
    return Report(
        documents=count,
        tokens=tokens,
        bytes=size,
        perplexity=math.exp(min(nats / tokens, 700.0)),
        bits_per_byte=nats / math.log(2) / size,
        token_accuracy=hits / tokens,
        next_turn_accuracy=sum(found) / len(found) if found else None,
        turns=len(found),
        candidates=candidates,
        parameters=judge.parameters,
        seconds=time.perf_counter() - began,
    )


def _read(judge: Judge, document: Document) -> list[TokenSequence]:
    from jinja2 import TemplateError

    try:
        return [sequence for sequence in judge.read(document) if len(sequence.tokens) > 1]
    except TemplateError as error:
        raise ModelNotFound(f"the model's chat template refuses these chats: {error}") from error


def _bytes(document: Document) -> int:
    said = [message.content.strip() for message in document.messages if message.role == "assistant"]
    return sum(len(text.encode()) for text in said) if document.messages else len(document.text.encode())


def _turns(judge: Judge, document: Document, number: int) -> Iterator[_Turn]:
    """The assistant's turns that answer something."""
    messages = document.messages
    for place, message in enumerate(messages):
        if message.role == "assistant" and _asked(messages[:place]):
            yield _Turn(judge.prompt(messages[:place]), judge.ended(message.content), number)


def _asked(messages: tuple[Message, ...]) -> bool:
    return bool(messages) and messages[-1].role == "user"


class _Reservoir:
    """A fair sample of so many out of a stream (Vitter's algorithm R)."""

    def __init__(self, size: int, seed: int) -> None:
        self.kept: list[_Turn] = []
        self._size = size
        self._seen = 0
        self._chance = random.Random(seed)

    def offer(self, turn: _Turn) -> None:
        self._seen += 1
        if len(self.kept) < self._size:
            self.kept.append(turn)
        elif (place := self._chance.randrange(self._seen)) < self._size:
            self.kept[place] = turn


def _next_turns(judge: Judge, turns: list[_Turn], batch: int, candidates: int, seed: int) -> list[bool]:
    """Of each turn whether it was told from `candidates - 1` others; none where there are too few others."""
    chance = random.Random(seed)
    found = []
    for turn in turns:
        elsewhere = sorted(
            {one.answer for one in turns if one.document != turn.document and one.answer != turn.answer}
        )
        if len(elsewhere) < candidates - 1 or candidates < 2:
            continue
        answers = [turn.answer, *chance.sample(elsewhere, candidates - 1)]
        sequences = [_behind(judge, turn.prompt, answer) for answer in answers]
        costs = [
            float(verdict.nats[np.array(sequence.counted[1:], np.bool_)].mean())
            for sequence, verdict in zip(sequences, judge.judge(sequences, batch), strict=True)
        ]
        found.append(costs[0] < min(costs[1:]))
    return found


def _behind(judge: Judge, prompt: str, answer: str) -> TokenSequence:
    """The answer behind as much of the prompt's end as fits into the window."""
    said = judge.encode(answer)[: judge.window - 1]
    before = judge.encode(prompt)[-(judge.window - len(said)) :]
    return TokenSequence([*before, *said], [False] * len(before) + [True] * len(said))
