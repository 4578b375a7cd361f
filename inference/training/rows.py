"""Rows of a fixed number of tokens, packed with whole documents so that little room is left.

A row remembers which token belongs to which document: attention and positions begin anew with each. Knows
nothing of models.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.training.order import Order
from inference.training.shards import Shards

UNCOUNTED = -100  # a label that costs nothing
POOL = 512  # documents to choose from


@dataclass(frozen=True, slots=True)
class Rows:
    """Every array is (B, R) int64. `tokens`: padded with `pad`. `documents`: the number of the document in
    its row, -1 for padding. `positions`: within the document. `labels`: the token that follows, or UNCOUNTED.
    """

    tokens: NDArray[np.int64]
    documents: NDArray[np.int64]
    positions: NDArray[np.int64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def counted(self) -> int:
        """Tokens that have a loss."""
        return int((self.labels != UNCOUNTED).sum())

    def part(self, start: int, count: int) -> Rows:
        """Some of the rows."""
        chosen = slice(start, start + count)
        return Rows(self.tokens[chosen], self.documents[chosen], self.positions[chosen], self.labels[chosen])


class RowStream:
    """Packs the documents of an order, without end: into a row goes the one that has waited longest, and then
    each time the longest that still fits (best fit)."""

    def __init__(
        self,
        corpora: Sequence[Shards],
        order: Order,
        *,
        row: int,
        pad: int,
        all_count: bool,
        pool: int = POOL,
    ) -> None:
        self._corpora = corpora
        self._order = order
        self._row = row
        self._pad = pad
        self._all_count = all_count
        self._pool = pool
        self._next = 0  # position in the order
        self._waiting: dict[int, int] = {}  # position: tokens; the one that has waited longest is first
        self._by_length: list[tuple[int, int]] = []  # (tokens, position), the shortest first

    def take(self, count: int) -> Rows:
        """The next rows."""
        rows = [self._pack() for _ in range(count)]
        return Rows(*(np.stack(arrays) for arrays in zip(*rows, strict=True)))

    def state(self) -> dict[str, Any]:
        """What `resume` needs to go on as if nothing had happened."""
        return {"next": self._next, "waiting": list(self._waiting)}

    def resume(self, state: dict[str, Any]) -> None:
        self._next = state["next"]
        self._waiting.clear()
        self._by_length.clear()
        for position in state["waiting"]:
            self._await(position)

    def _await(self, position: int) -> None:
        corpus, document = self._order[position]
        length = self._corpora[corpus].length(document)
        self._waiting[position] = length
        insort(self._by_length, (length, position))

    def _choose(self) -> list[int]:
        """Positions of the documents of the next row."""
        while len(self._waiting) < self._pool:
            self._await(self._next)
            self._next += 1
        oldest = next(iter(self._waiting))
        chosen = [oldest]
        room = self._row - self._leave(oldest)
        while self._by_length and self._by_length[0][0] <= room:
            fitting = bisect_right(self._by_length, room, key=lambda one: one[0]) - 1
            chosen.append(self._by_length[fitting][1])
            room -= self._leave(chosen[-1])
        return chosen

    def _leave(self, position: int) -> int:
        """Take a document out of the pool; how long it is."""
        length = self._waiting.pop(position)
        self._by_length.remove((length, position))
        return length

    def _pack(self) -> tuple[NDArray[np.int64], ...]:
        """tokens, documents, positions and labels of one row, each (R,)."""
        tokens = np.full(self._row, self._pad, np.int64)
        documents = np.full(self._row, -1, np.int64)
        positions = np.zeros(self._row, np.int64)
        labels = np.full(self._row, UNCOUNTED, np.int64)
        start = 0
        for number, position in enumerate(self._choose()):
            corpus, document = self._order[position]
            said = self._corpora[corpus].tokens(document).astype(np.int64)
            counted = self._corpora[corpus].counted(document)[1:].astype(bool) | self._all_count
            end = start + len(said)
            tokens[start:end] = said
            documents[start:end] = number
            positions[start:end] = np.arange(len(said))
            labels[start : end - 1] = np.where(counted, said[1:], UNCOUNTED)
            start = end
        return tokens, documents, positions, labels
