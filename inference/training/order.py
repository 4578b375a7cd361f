"""Which document comes next: every corpus of a mix as often as its weight says, in a shuffled order that a
seed decides. Nothing is kept in memory for it: the place of each document is computed.

Knows nothing of tokens.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

WORD = 2**64 - 1
ROUNDS = 4


class Order:
    """An endless sequence of (corpus, document). `sizes`: documents of each corpus; `weights`: how often each
    of its documents comes in an epoch, in proportion; the smallest weight is brought to once at least."""

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], seed: int) -> None:
        self._sizes = tuple(sizes)
        self._seed = seed
        self._firsts = [
            0,
            *accumulate(
                max(1, round(size * weight / min(weights)))
                for size, weight in zip(sizes, weights, strict=True)
            ),
        ]

    @property
    def epoch(self) -> int:
        """Documents until every corpus has come as often as its weight says."""
        return self._firsts[-1]

    def __getitem__(self, position: int) -> tuple[int, int]:
        epoch, place = divmod(position, self.epoch)
        place = permuted(place, self.epoch, _mixed(self._seed, epoch))
        corpus = bisect_right(self._firsts, place) - 1
        size = self._sizes[corpus]
        again, document = divmod(place - self._firsts[corpus], size)
        return corpus, permuted(document, size, _mixed(self._seed, epoch, corpus, again))


def permuted(place: int, count: int, key: int) -> int:
    """Where `place` of range(count) goes in the permutation that the key names.

    A Feistel network over the next power of four, walked on until it falls into the range (Black and Rogaway,
    "Ciphers with arbitrary finite domains", 2002).
    """
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    low = (1 << half) - 1
    while True:
        left, right = place >> half, place & low
        for turn in range(ROUNDS):
            left, right = right, left ^ (_mixed(key, turn, right) & low)
        place = left << half | right
        if place < count:
            return place


def _mixed(*numbers: int) -> int:
    """64 bits that depend on every one of the numbers (the finaliser of splitmix64)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & WORD
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & WORD
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & WORD
        state ^= state >> 31
    return state
