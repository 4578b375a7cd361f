"""The seam between the core and the forward pass: a ragged batch of token rows in, logits out.

Knows nothing of scheduling or text, and nothing of how a step is computed: `runner.TorchRunner` does it on
torch, `native.runner.NativeRunner` in C, `recurrent.RecurrentRunner` for models that keep a state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

BLOCK_SIZE = 16  # tokens a block: short chats share prefixes to within 15 tokens


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence's share of a step: `tokens` stand at positions start, start + 1, ... Logits are wanted for
    the last `logits` of them (0: an unfinished prefill).

    `blocks` has room for the keys and values of start + len(tokens) tokens. Of a recurrent model its first
    block holds the state before these tokens (nothing where start is 0), and its last takes the one after.
    """

    tokens: Sequence[int]
    start: int
    blocks: Sequence[int]
    logits: int


class Runner(Protocol):
    """Computes steps on a pool of cache blocks. Used by the model thread alone."""

    @property
    def block_bytes(self) -> int:
        """Memory of what one block holds, over all layers."""
        ...

    def allocate(self, blocks: int) -> None:
        """Make the pool. Called once, before the first step."""
        ...

    def step(self, rows: Sequence[Row]) -> Tensor:
        """Compute all rows' tokens, store what they leave behind, and give the logits that were asked for:
        (sum of row.logits, V) float32, in the order of the rows."""
        ...

    def copy_block(self, source: int, target: int) -> None:
        """Let block `target` hold what block `source` holds, over all layers."""
        ...

    def read_block(self, block: int) -> dict[str, Tensor]:
        """A copy of what a block holds, on the CPU, by names that `write_block` understands."""
        ...

    def write_block(self, block: int, tensors: Mapping[str, Tensor]) -> None:
        """The reverse of `read_block`. Raises ValueError, having changed nothing, if names, shapes or dtypes
        are not those of this model's blocks."""
        ...
