"""The paged KV cache's tensors, and attention over them. Knows nothing of models, scheduling or sampling.

A block holds the keys and values of BLOCK_SIZE tokens at one layer as one contiguous piece of memory, so that
a sequence's context is collected by copying few large pieces, or none where its blocks are neighbours. Spans
(what each sequence contributes to a step) that have equally many new tokens and about equally long contexts
attend in one call, their contexts padded to the longest. Which spans go together, the indices and the masks
are worked out once a step; the layers only use them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from inference.local.row import BLOCK_SIZE

TOGETHER = 8192  # tokens of context, padding included, that one call collects: bounds its memory


class KVShape(NamedTuple):
    """What one layer stores for a token."""

    heads: int
    key_dim: int
    value_dim: int

    @property
    def width(self) -> int:
        return self.heads * (self.key_dim + self.value_dim)


@dataclass(frozen=True, slots=True)
class Span:
    """`count` new tokens of one sequence, at positions start, start + 1, ..., and the sequence's blocks."""

    start: int
    count: int
    blocks: Sequence[int]  # room for start + count tokens

    @property
    def end(self) -> int:
        return self.start + self.count

    @property
    def kin(self) -> tuple[int, int]:
        """Spans equal in this attend together: as many new tokens, contexts that differ by less than 2x."""
        return self.count, (-(-self.end // BLOCK_SIZE)).bit_length()


@dataclass(frozen=True, slots=True)
class _Group:
    """Spans that attend in one call: R of them, c new tokens each, L tokens of context collected for each."""

    first: int  # where their tokens begin among the step's
    spans: int  # R
    count: int  # c
    blocks: Tensor | slice  # (R * L / BLOCK_SIZE,) int64; a slice where they lie side by side in the pool
    skip: int  # tokens at the beginning of the collected context that nothing attends to
    stop: int  # where the context ends; skip and stop cut to the context exactly where R = 1
    mask: Tensor | None  # additive: (R, 1, 1, L) if c = 1, else (R, 1, c * query heads a KV head, L)


class PagedCache:
    """Keys and values of all layers, for one step at a time: `plan`, then for each layer `store`, `attend`.

    One block beyond the pool is scratch: padding tokens, which no span covers, write there.
    """

    def __init__(
        self, shapes: Mapping[int, KVShape], blocks: int, *, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._shapes = shapes
        self._scratch = blocks * BLOCK_SIZE  # a slot: a token's place, block * BLOCK_SIZE + offset
        self._device = device
        self._pools = {
            layer: torch.zeros(blocks + 1, BLOCK_SIZE * shape.width, dtype=dtype, device=device)
            for layer, shape in shapes.items()
        }
        self._dtype = dtype
        self._spans: list[Span] = []
        self._alone = False
        self._slots = torch.empty(0)  # (T,) int64: where the step's tokens go
        self._groups: dict[tuple[int | None, int], list[_Group]] = {}

    def plan(self, spans: Sequence[Span], *, padding: int = 0, alone: bool = False) -> None:
        """Begin a step over the spans' tokens, laid end to end, and then `padding` tokens that mean nothing.

        Spans of one kin should be neighbours. With `alone` each token attends by itself, to a context of
        exactly its length, so that its result depends on nothing else in the step.
        """
        self._spans = list(spans)
        self._alone = alone
        self._groups = {}
        slots = [
            span.blocks[at // BLOCK_SIZE] * BLOCK_SIZE + at % BLOCK_SIZE
            for span in spans
            for at in range(span.start, span.end)
        ]
        slots += [self._scratch] * padding
        self._slots = torch.tensor(slots, device=self._device)

    def store(self, layer: int, kv: Tensor) -> None:
        """Keep the step's new keys and values; kv (T, width) is all heads' keys, then all heads' values."""
        self._pools[layer].view(-1, kv.shape[1]).index_copy_(0, self._slots, kv)

    def attend(
        self,
        layer: int,
        query: Tensor,  # (T, heads, key dim)
        *,
        scaling: float | None,
        window: int | None,
        softcap: float | None = None,
    ) -> Tensor:
        """Causal attention of the new tokens to their sequences; gives (T, heads, value dim).

        `scaling` None is key dim ** -0.5. `window`: how many tokens, itself included, one attends to; None is
        all. `softcap` bounds the scores as Gemma 2 does (arXiv:2408.00118, section 2).
        """
        shape = self._shapes[layer]
        share = query.shape[1] // shape.heads
        scaling = shape.key_dim**-0.5 if scaling is None else scaling
        outputs: list[Tensor] = []
        for group in self._grouped(window, share):
            keys, values = self._collect(layer, group)
            queries = query[group.first : group.first + group.spans * group.count]
            if self._alone:
                outputs += _attend_one_by_one(queries, keys, values, window, scaling, softcap)
            else:
                queries = queries.reshape(group.spans, group.count, *queries.shape[1:])
                outputs.append(_attend(queries, keys, values, group.mask, scaling, softcap))
        missing = query.shape[0] - sum(output.shape[0] for output in outputs)
        if missing:
            outputs.append(query.new_zeros(missing, query.shape[1], shape.value_dim))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def copy_block(self, source: int, target: int) -> None:
        """Let `target` hold what `source` holds, over all layers."""
        for pool in self._pools.values():
            pool[target].copy_(pool[source])

    def read_block(self, block: int) -> dict[str, Tensor]:
        """A copy on the CPU: "k.<layer>" (BLOCK_SIZE, heads, key dim), "v.<layer>" (..., value dim)."""
        return {name: place.to("cpu", copy=True).contiguous() for name, place in self._places(block).items()}

    def write_block(self, block: int, tensors: Mapping[str, Tensor]) -> None:
        """The reverse of `read_block`. Raises ValueError, having changed nothing, if the tensors are not
        such a block's."""
        places = self._places(block)
        if tensors.keys() != places.keys():
            raise ValueError("these are not the layers of this model")
        for name, place in places.items():
            given = tensors[name]
            if given.shape != place.shape or given.dtype != place.dtype:
                raise ValueError(
                    f"{name} is {tuple(given.shape)} {given.dtype}, "
                    f"not {tuple(place.shape)} {place.dtype} as this model has it"
                )
        for name, place in places.items():
            place.copy_(tensors[name])

    def _places(self, block: int) -> dict[str, Tensor]:
        """Views of a block's keys and values, by name."""
        places = {}
        for layer, shape in self._shapes.items():
            keys, values = _split(self._pools[layer][block].view(BLOCK_SIZE, shape.width), shape)
            places[f"k.{layer}"] = keys
            places[f"v.{layer}"] = values
        return places

    def _collect(self, layer: int, group: _Group) -> tuple[Tensor, Tensor]:
        """A group's context: keys (R, heads, L, key dim), values (R, heads, L, value dim)."""
        shape = self._shapes[layer]
        pool, blocks = self._pools[layer], group.blocks
        context = pool[blocks] if isinstance(blocks, slice) else pool.index_select(0, blocks)
        context = context.view(group.spans, -1, shape.width)[:, group.skip : group.stop]
        keys, values = _split(context, shape)
        return keys.transpose(1, 2), values.transpose(1, 2)

    def _grouped(self, window: int | None, share: int) -> list[_Group]:
        """The step's groups for layers of this window and so many query heads a KV head."""
        groups = self._groups.get((window, share))
        if groups is None:
            groups = self._groups[window, share] = list(self._group(window, share))
        return groups

    def _group(self, window: int | None, share: int) -> Iterator[_Group]:
        first = 0
        for members in self._members():
            yield self._form(first, members, window, share)
            first += len(members) * members[0].count

    def _members(self) -> Iterator[list[Span]]:
        if self._alone:
            yield from ([span] for span in self._spans)
            return
        for (_, magnitude), kin in groupby(self._spans, key=lambda span: span.kin):
            together = list(kin)
            limit = max(1, TOGETHER // (BLOCK_SIZE << magnitude))
            for at in range(0, len(together), limit):
                yield together[at : at + limit]

    def _form(self, first: int, spans: list[Span], window: int | None, share: int) -> _Group:
        count = spans[0].count
        # Blocks wholly before a span's first token's window are left out.
        lowest = [0 if window is None else max(0, span.start - window + 1) for span in spans]
        leading = [at // BLOCK_SIZE for at in lowest]
        kept = [
            list(span.blocks[lead : -(-span.end // BLOCK_SIZE)])
            for span, lead in zip(spans, leading, strict=True)
        ]
        longest = max(len(blocks) for blocks in kept)
        indices = [blocks + [blocks[0]] * (longest - len(blocks)) for blocks in kept]
        skip, stop = 0, longest * BLOCK_SIZE
        if len(spans) == 1:
            skip = lowest[0] - leading[0] * BLOCK_SIZE
            stop = spans[0].end - leading[0] * BLOCK_SIZE
        mask = None
        if not self._alone and (len(spans) > 1 or count > 1):
            starts = [span.start - lead * BLOCK_SIZE for span, lead in zip(spans, leading, strict=True)]
            mask = self._mask(starts, count, range(skip, stop), window, 1 if count == 1 else share)
        return _Group(first, len(spans), count, self._place(indices), skip, stop, mask)

    def _place(self, indices: list[list[int]]) -> Tensor | slice:
        """What collects these blocks: without a copy, if they belong to one span and lie side by side."""
        begin, end = indices[0][0], indices[0][-1] + 1
        if len(indices) == 1 and indices[0] == list(range(begin, end)):
            return slice(begin, end)
        return torch.tensor(indices, device=self._device).flatten()

    def _mask(self, starts: list[int], count: int, context: range, window: int | None, share: int) -> Tensor:
        """Additive mask (R, 1, count * share, len(context)) for queries that stand at starts, starts + 1, ...
        of the collected context; `share` neighbouring rows, one for each query head, are alike."""
        of = torch.arange(context.start, context.stop, device=self._device)
        new = torch.arange(count, device=self._device).repeat_interleave(share)
        at = torch.tensor(starts, device=self._device)[:, None, None, None] + new[:, None]
        hidden = of > at
        if window is not None:
            hidden |= of <= at - window
        mask = torch.zeros(hidden.shape, dtype=self._dtype, device=self._device)
        return mask.masked_fill_(hidden, -torch.inf)


def _split(context: Tensor, shape: KVShape) -> tuple[Tensor, Tensor]:
    """Views of (..., width) as keys (..., heads, key dim) and values (..., heads, value dim)."""
    border = shape.heads * shape.key_dim
    keys = context[..., :border].view(*context.shape[:-1], shape.heads, shape.key_dim)
    values = context[..., border:].view(*context.shape[:-1], shape.heads, shape.value_dim)
    return keys, values


def _attend(
    query: Tensor,  # (R, c, heads, key dim)
    keys: Tensor,  # (R, KV heads, L, key dim)
    values: Tensor,  # (R, KV heads, L, value dim)
    mask: Tensor | None,
    scaling: float,
    softcap: float | None,
) -> Tensor:
    """Attention of a group; gives (R * c, heads, value dim)."""
    spans, count, heads, key_dim = query.shape
    kv_heads = keys.shape[1]
    share = heads // kv_heads
    # Query heads that share a KV head become further queries of it: keys and values are read once for all.
    query = query.reshape(spans, count, kv_heads, share, key_dim).transpose(1, 2)
    query = query.reshape(spans, kv_heads, count * share, key_dim)
    if softcap is None:
        attended = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=scaling)
    else:
        scores = torch.tanh((query @ keys.transpose(2, 3)) * (scaling / softcap)) * softcap
        if mask is not None:
            scores = scores + mask
        attended = scores.softmax(dim=-1, dtype=torch.float32).to(values.dtype) @ values
    attended = attended.reshape(spans, kv_heads, count, share, values.shape[3]).transpose(1, 2)
    return attended.reshape(spans * count, heads, values.shape[3])


def _attend_one_by_one(
    query: Tensor,  # (c, heads, key dim), of one span
    keys: Tensor,  # (1, KV heads, L, key dim), ending with the span's last token
    values: Tensor,  # (1, KV heads, L, value dim)
    window: int | None,
    scaling: float,
    softcap: float | None,
) -> Iterator[Tensor]:
    """Attention of a span, each token by itself to exactly its context; gives c times (1, heads, value dim).

    Each query is copied: where a tensor lies in memory can change how its sums are ordered.
    """
    for i in range(query.shape[0]):
        end = keys.shape[2] - query.shape[0] + 1 + i
        context = slice(0 if window is None else max(0, end - window), end)
        yield _attend(
            query[None, i : i + 1].clone(), keys[:, :, context], values[:, :, context], None, scaling, softcap
        )
