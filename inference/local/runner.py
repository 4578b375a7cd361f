"""The forward pass on torch. Knows nothing of scheduling or text.

`TorchRunner` serves any transformers causal model that speaks transformers' attention interface: the model's
own forward runs over all rows' tokens laid end to end, as one sequence of T tokens, and at each layer our
attention function stores the new keys and values in the paged cache and lets each row attend to its own
blocks. Models of the Llama family run on a forward of our own instead, which computes the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface

from inference.errors import ModelNotFound
from inference.local.attention import KVShape, PagedCache, Span
from inference.local.llama import LlamaForward
from inference.local.prepack import prepack
from inference.local.row import BLOCK_SIZE, Row

ATTENTION = "chorus_paged"  # the name under which transformers knows our attention function
THREADS = torch.get_num_threads()  # as the process began with; the native step takes them away from torch
TILE = 16  # tokens a tile of the invariant mode: the height of the processor's matrix tiles


class Forward(Protocol):
    """A model's computation between token ids and logits, around the cache."""

    @property
    def shapes(self) -> Mapping[int, KVShape]:
        """What each layer stores for a token."""
        ...

    def __call__(self, tokens: Tensor, positions: Tensor, wanted: Tensor, cache: PagedCache) -> Tensor:
        """Logits (W, V) after the `wanted` (W,) among the step's `tokens` (T,), which stand at `positions`
        (T,); all three int64."""
        ...


class _ShapeProbe:
    """Takes the cache's place in one tiny forward, to learn each layer's shapes."""

    def __init__(self) -> None:
        self.shapes: dict[int, KVShape] = {}


def _attend(
    module: Any,
    query: Tensor,  # (1, heads, T, key dim)
    key: Tensor,  # (1, kv heads, T, key dim), of the new tokens alone
    value: Tensor,  # (1, kv heads, T, value dim)
    attention_mask: Tensor | None,
    *,
    paged: PagedCache | _ShapeProbe,
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
        paged.shapes[layer] = KVShape(key.shape[1], key.shape[3], value.shape[3])
        return query.new_zeros(1, query.shape[2], query.shape[1], value.shape[3]), None
    paged.store(layer, torch.cat([one[0].transpose(0, 1).flatten(1) for one in (key, value)], dim=1))
    attended = paged.attend(
        layer, query[0].transpose(0, 1), scaling=scaling, window=sliding_window, softcap=softcap
    )
    return attended[None], None


class _TransformersForward:
    """Any model's own forward, with our attention function in it."""

    def __init__(self, model: Any) -> None:
        if not getattr(model, "_supports_attention_backend", False):
            raise ModelNotFound(
                f"{type(model).__name__} does not go through transformers' attention interface, so Chorus "
                "can't serve it; choose a model of the Llama, Qwen, Mistral, Gemma, Phi or GPT families"
            )
        AttentionInterface.register(ATTENTION, _attend)
        model.set_attn_implementation(ATTENTION)
        prepack(model)
        self._model = model
        nothing = torch.zeros(1, dtype=torch.int64, device=model.device)
        probe = _ShapeProbe()
        with torch.inference_mode():
            self(nothing, nothing, nothing, probe)
        self.shapes: Mapping[int, KVShape] = probe.shapes

    def __call__(
        self, tokens: Tensor, positions: Tensor, wanted: Tensor, cache: PagedCache | _ShapeProbe
    ) -> Tensor:
        logits: Tensor = self._model(
            input_ids=tokens[None],
            position_ids=positions[None],
            logits_to_keep=wanted,
            use_cache=False,
            paged=cache,
        ).logits
        return logits[0]


class TorchRunner:
    """The step on torch, over `model`: a transformers causal language model in eval mode, which the runner
    takes over. Its weights are rearranged, so the model can't be used otherwise any more.

    With `invariant`, a token's result is the same bit for bit whatever else is in its step and however its
    prompt was cut into chunks: tokens go through the model in tiles of TILE, so that every operator always
    sees the same shapes, and attend one at a time. That costs speed: weights are read once a tile.
    Raises ModelNotFound for architectures that can't be served.
    """

    def __init__(self, model: Any, *, invariant: bool = False) -> None:
        self._invariant = invariant
        self._device: torch.device = model.device
        self._dtype: torch.dtype = model.dtype
        self._forward: Forward = (
            LlamaForward(model) if LlamaForward.serves(model) else _TransformersForward(model)
        )
        self._cache: PagedCache | None = None
        self._threaded = False

    @property
    def block_bytes(self) -> int:
        width = sum(shape.width for shape in self._forward.shapes.values())
        return width * BLOCK_SIZE * self._dtype.itemsize

    def allocate(self, blocks: int) -> None:
        self._cache = PagedCache(self._forward.shapes, blocks, dtype=self._dtype, device=self._device)

    @torch.inference_mode()
    def step(self, rows: Sequence[Row]) -> Tensor:
        if not self._threaded:
            torch.set_num_threads(THREADS)
            self._threaded = True
        if not self._invariant:
            return self._compute(rows).float()
        return torch.cat([self._compute(tile) for tile in _tiles(rows)]).float()

    def copy_block(self, source: int, target: int) -> None:
        self._allocated.copy_block(source, target)

    def read_block(self, block: int) -> dict[str, Tensor]:
        return self._allocated.read_block(block)

    def write_block(self, block: int, tensors: Mapping[str, Tensor]) -> None:
        self._allocated.write_block(block, tensors)

    @property
    def _allocated(self) -> PagedCache:
        assert self._cache is not None, "allocate comes before the first step"
        return self._cache

    def _compute(self, rows: Sequence[Row]) -> Tensor:
        """Logits (sum of row.logits, V) in the order of the rows, all computed together."""
        spans = [Span(row.start, len(row.tokens), row.blocks) for row in rows]
        tokens: list[int] = []
        positions: list[int] = []
        ends = [0] * len(rows)
        order = sorted(range(len(rows)), key=lambda i: spans[i].kin)
        for i in order:
            tokens.extend(rows[i].tokens)
            positions.extend(range(spans[i].start, spans[i].end))
            ends[i] = len(tokens)
        wanted = [at for row, end in zip(rows, ends, strict=True) for at in range(end - row.logits, end)]
        padding = (TILE if self._invariant else _rounded(len(tokens))) - len(tokens)
        self._allocated.plan([spans[i] for i in order], padding=padding, alone=self._invariant)
        tokens += [0] * padding
        positions += [0] * padding
        if not self._invariant:
            asked = wanted + wanted[-1:] * (_rounded(len(wanted)) - len(wanted))
            return self._run(tokens, positions, asked)[: len(wanted)]
        # The head too must see one shape alone, or nothing.
        return self._run(tokens, positions, list(range(TILE)) if wanted else [])[wanted]

    def _run(self, tokens: list[int], positions: list[int], wanted: list[int]) -> Tensor:
        def indices(values: list[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.int64, device=self._device)

        return self._forward(indices(tokens), indices(positions), indices(wanted), self._allocated)


def _rounded(count: int) -> int:
    """The next of few sizes: powers of two up to TILE, then its multiples.

    oneDNN compiles kernels for each new number of rows, which takes 5 to 15 ms over a small model's layers,
    and keeps them; a few rows of padding take almost no time, because that goes into reading the weights.
    """
    if count <= 1:
        return count
    return 1 << (count - 1).bit_length() if count <= TILE else -(-count // TILE) * TILE


def _tiles(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The rows in their order, cut into tiles of TILE tokens each; the last may have fewer."""
    tile: list[Row] = []
    room = TILE
    for row in rows:
        at = 0
        while at < len(row.tokens):
            piece = row.tokens[at : at + room]
            after = len(row.tokens) - at - len(piece)
            wanted = min(len(piece), max(0, row.logits - after))
            tile.append(Row(piece, row.start + at, row.blocks, wanted))
            at += len(piece)
            room -= len(piece)
            if room == 0:
                yield tile
                tile, room = [], TILE
    if tile:
        yield tile
