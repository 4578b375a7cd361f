"""The forward pass: a ragged batch of token rows in, logits out. Knows nothing of scheduling or text.

`Runner` is the seam at which another implementation of the step can take the place of torch's. `TorchRunner`
serves any transformers causal model that speaks transformers' attention interface: the model's own forward
runs over all rows' tokens laid end to end, as one sequence of T tokens, and at each layer our attention
function stores the new keys and values in the paged cache and lets each row attend to its own blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface

from inference.errors import ModelNotFound

ATTENTION = "chorus_paged"  # the name under which transformers knows our attention function
BLOCK_SIZE = 16  # tokens a block: short chats share prefixes to within 15 tokens


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence's share of a step: `tokens` stand at positions start, start + 1, ... and `blocks` has room
    for start + len(tokens). Logits are wanted for the last `logits` of them (0: an unfinished prefill)."""

    tokens: Sequence[int]
    start: int
    blocks: Sequence[int]
    logits: int


class Runner(Protocol):
    """Computes steps on a pool of cache blocks. Used by the model thread alone."""

    @property
    def block_bytes(self) -> int:
        """Memory of one block's keys and values, over all layers."""
        ...

    def allocate(self, blocks: int) -> None:
        """Make the pool. Called once, before the first step."""
        ...

    def step(self, rows: Sequence[Row]) -> Tensor:
        """Compute all rows' tokens, store their keys and values, and give the logits that were asked for:
        (sum of row.logits, V) float32, in the order of the rows."""
        ...


@dataclass(frozen=True, slots=True)
class _Segment:
    """Where a row lies in the step's T tokens, and where its context lies in the pool."""

    first: int
    count: int
    context: Tensor  # 1D int64: the slots of all its tokens so far, the new ones included


class _PagedCache:
    """Keys and values of all layers. A slot is a token's place: block * BLOCK_SIZE + offset."""

    def __init__(self, shapes: dict[int, tuple[int, int, int]], blocks: int, like: Tensor) -> None:
        slots = blocks * BLOCK_SIZE
        self.keys: dict[int, Tensor] = {}  # layer -> (slots, kv heads, key dim)
        self.values: dict[int, Tensor] = {}  # layer -> (slots, kv heads, value dim)
        for layer, (heads, key_dim, value_dim) in shapes.items():
            self.keys[layer] = like.new_zeros(slots, heads, key_dim)
            self.values[layer] = like.new_zeros(slots, heads, value_dim)
        self.slots = torch.empty(0, dtype=torch.int64)  # (T,) where this step's tokens go
        self.segments: list[_Segment] = []

    def plan(self, rows: Sequence[Row], device: torch.device) -> None:
        """Prepare a step: every index that all layers need, computed once."""
        offsets = torch.arange(BLOCK_SIZE)
        self.segments = []
        first = 0
        for row in rows:
            end = row.start + len(row.tokens)
            blocks = torch.tensor(row.blocks[: -(-end // BLOCK_SIZE)], dtype=torch.int64)
            context = (blocks[:, None] * BLOCK_SIZE + offsets).flatten()[:end].to(device)
            self.segments.append(_Segment(first, len(row.tokens), context))
            first += len(row.tokens)
        self.slots = torch.cat([segment.context[-segment.count :] for segment in self.segments])


class _ShapeProbe:
    """Takes the cache's place in one tiny forward, to learn each layer's shapes."""

    def __init__(self) -> None:
        self.shapes: dict[int, tuple[int, int, int]] = {}


def _attend(
    module: Any,
    query: Tensor,  # (1, heads, T, key dim)
    key: Tensor,  # (1, kv heads, T, key dim), of the new tokens alone
    value: Tensor,  # (1, kv heads, T, value dim)
    attention_mask: Tensor | None,
    *,
    paged: _PagedCache | _ShapeProbe,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface over the paged cache; gives (1, T, heads, value dim)."""
    if s_aux is not None:
        raise ModelNotFound("models with attention sinks can't be served yet")
    layer = module.layer_idx
    if isinstance(paged, _ShapeProbe):
        paged.shapes[layer] = (key.shape[1], key.shape[3], value.shape[3])
        return query.new_zeros(1, query.shape[2], query.shape[1], value.shape[3]), None
    keys, values = paged.keys[layer], paged.values[layer]
    keys.index_copy_(0, paged.slots, key[0].transpose(0, 1))
    values.index_copy_(0, paged.slots, value[0].transpose(0, 1))
    outputs = []
    for segment in paged.segments:
        context = segment.context
        if sliding_window is not None:
            context = context[-(sliding_window + segment.count - 1) :]
        attended = _attend_segment(
            query[0, :, segment.first : segment.first + segment.count],
            keys.index_select(0, context).transpose(0, 1),
            values.index_select(0, context).transpose(0, 1),
            scaling,
            sliding_window,
            softcap,
        )
        outputs.append(attended)
    return torch.cat(outputs, dim=1).transpose(0, 1)[None], None


def _attend_segment(
    query: Tensor,  # (heads, q, key dim)
    keys: Tensor,  # (kv heads, k, key dim); the last q of them stand beside the queries
    values: Tensor,  # (kv heads, k, value dim)
    scaling: float | None,
    sliding_window: int | None,
    softcap: float | None,
) -> Tensor:
    """Causal attention of a row's q new tokens to its last k tokens; gives (heads, q, value dim)."""
    heads, count = query.shape[:2]
    kv_heads, length = keys.shape[:2]
    # Query heads that share a KV head become further queries of it: keys and values are read once for all.
    group = heads // kv_heads
    query = query.reshape(kv_heads, group * count, query.shape[2])
    mask = None
    if count > 1:
        at = torch.arange(length - count, length, device=query.device)[:, None]
        of = torch.arange(length, device=query.device)[None, :]
        mask = of <= at
        if sliding_window is not None:
            mask &= of > at - sliding_window
        mask = mask.repeat(group, 1)
    if softcap is None:
        attended = F.scaled_dot_product_attention(
            query[None], keys[None], values[None], attn_mask=mask, scale=scaling
        )[0]
    else:
        scores = (query @ keys.transpose(1, 2)) * (scaling if scaling is not None else query.shape[2] ** -0.5)
        scores = torch.tanh(scores / softcap) * softcap
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        attended = scores.softmax(dim=-1, dtype=torch.float32).to(values.dtype) @ values
    return attended.reshape(heads, count, values.shape[2])


class TorchRunner:
    """The step on plain torch operators, over `model`: a transformers causal language model in eval mode."""

    def __init__(self, model: Any) -> None:
        if not getattr(model, "_supports_attention_backend", False):
            raise ModelNotFound(
                f"{type(model).__name__} does not go through transformers' attention interface, so Chorus "
                "can't serve it; choose a model of the Llama, Qwen, Mistral, Gemma, Phi or GPT families"
            )
        AttentionInterface.register(ATTENTION, _attend)
        model.set_attn_implementation(ATTENTION)
        self._model = model
        self._device: torch.device = model.device
        self._shapes = self._probe()
        self._cache: _PagedCache | None = None

    @property
    def block_bytes(self) -> int:
        values = sum(heads * (key_dim + value_dim) for heads, key_dim, value_dim in self._shapes.values())
        return values * BLOCK_SIZE * int(self._model.dtype.itemsize)

    def allocate(self, blocks: int) -> None:
        like = torch.empty(0, dtype=self._model.dtype, device=self._device)
        self._cache = _PagedCache(self._shapes, blocks, like)

    def step(self, rows: Sequence[Row]) -> Tensor:
        assert self._cache is not None, "allocate comes before the first step"
        self._cache.plan(rows, self._device)
        tokens = [token for row in rows for token in row.tokens]
        positions = [row.start + i for row in rows for i in range(len(row.tokens))]
        wanted: list[int] = []
        end = 0
        for row in rows:
            end += len(row.tokens)
            wanted.extend(range(end - row.logits, end))
        return self._forward(tokens, positions, wanted, self._cache)

    def _probe(self) -> dict[int, tuple[int, int, int]]:
        probe = _ShapeProbe()
        self._forward([0], [0], [0], probe)
        return probe.shapes

    @torch.inference_mode()
    def _forward(
        self, tokens: list[int], positions: list[int], wanted: list[int], paged: _PagedCache | _ShapeProbe
    ) -> Tensor:
        logits: Tensor = self._model(
            input_ids=torch.tensor([tokens], device=self._device),
            position_ids=torch.tensor([positions], device=self._device),
            logits_to_keep=torch.tensor(wanted, device=self._device, dtype=torch.int64),
            use_cache=False,
            paged=paged,
        ).logits
        return logits[0].float()
