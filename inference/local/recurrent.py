"""The step of recurrent models on torch. Knows nothing of scheduling or text.

Computes what `rnn.RecurrentForCausalLM` does, and always the same bit for bit, whatever else is in the step
and however a text was cut into chunks: every operator sees TILE rows, be they needed or not. A recurrence
reads its weights anew for every token, and TILE rows take hardly longer than one; therefore there is no
quicker mode that promises less.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Protocol

import torch
from torch import Tensor

from inference.local.prepack import Linear, linear, linear_of
from inference.local.row import Row
from inference.local.runner import THREADS, TILE
from inference.rnn import RecurrentForCausalLM

State = list[Tensor]
"""What one layer keeps of each of TILE texts: (TILE, H) the hidden state and, of an LSTM, the cells."""


class Cell(Protocol):
    """One layer. `inputs` gives what comes from below of all gates, for every token by itself."""

    inputs: Linear

    def __call__(self, given: Tensor, state: State) -> State:
        """The states after a token each; given (TILE, gates * H) is what `inputs` gave for it."""
        ...


class _Plain:
    """h' = tanh(W x + U h + b)."""

    def __init__(self, of: Mapping[str, Tensor]) -> None:
        self.inputs = linear_of(of["weight_ih"], of["bias_ih"] + of["bias_hh"])
        self._hidden = linear_of(of["weight_hh"], None)

    def __call__(self, given: Tensor, state: State) -> State:
        return [self._hidden.plus(state[0], given).tanh_()]


class _LSTM:
    """Hochreiter and Schmidhuber 1997, as torch has it, but with the gates in the order i, f, o, g: three of
    them go through the same function."""

    def __init__(self, of: Mapping[str, Tensor]) -> None:
        own = {name: _reordered(tensor) for name, tensor in of.items()}
        self.inputs = linear_of(own["weight_ih"], own["bias_ih"] + own["bias_hh"])
        self._hidden = linear_of(own["weight_hh"], None)

    def __call__(self, given: Tensor, state: State) -> State:
        hidden, cells = state
        width = hidden.shape[1]
        gates = self._hidden.plus(hidden, given)
        enter, keep, leave = gates[:, : 3 * width].sigmoid_().chunk(3, 1)
        cells = torch.addcmul(keep * cells, enter, gates[:, 3 * width :].tanh_())
        return [leave * cells.tanh(), cells]


class _GRU:
    """Cho et al. 2014, as torch has it: the reset gate is applied behind the matrix."""

    def __init__(self, of: Mapping[str, Tensor]) -> None:
        self.inputs = linear_of(of["weight_ih"], of["bias_ih"])
        self._hidden = linear_of(of["weight_hh"], of["bias_hh"])

    def __call__(self, given: Tensor, state: State) -> State:
        (hidden,) = state
        width = hidden.shape[1]
        own = self._hidden(hidden)
        reset, update = (given[:, : 2 * width] + own[:, : 2 * width]).sigmoid_().chunk(2, 1)
        new = torch.addcmul(given[:, 2 * width :], reset, own[:, 2 * width :]).tanh_()
        return [torch.addcmul(new, update, hidden - new)]


CELLS: dict[str, type[_Plain | _LSTM | _GRU]] = {"rnn": _Plain, "lstm": _LSTM, "gru": _GRU}
PARTS = {"rnn": ("hidden",), "lstm": ("hidden", "cells"), "gru": ("hidden",)}
LARGE = 4_000_000  # weights of a matrix from which on several threads gain more than they lose waiting
WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class RecurrentRunner:
    """See `row.Runner`. Over `model` in eval mode, which it has no further use for.

    A row's `blocks` are the place where its state is read (not where it starts at 0) and the one where it is
    written, which may be the same.
    """

    def __init__(self, model: RecurrentForCausalLM) -> None:
        config = model.config
        self._device: torch.device = model.device
        self._dtype: torch.dtype = model.dtype
        self._parts = PARTS[config.cell]
        self._shape: tuple[int, ...] = (
            config.num_hidden_layers,
            len(self._parts),
            config.hidden_size,
        )  # of a state
        self._embedding: Tensor = model.embedding.weight.detach()
        self._layers: list[Cell] = [
            CELLS[config.cell](
                {name: getattr(model.recurrent, f"{name}_l{layer}").detach() for name in WEIGHTS}
            )
            for layer in range(config.num_hidden_layers)
        ]
        self._projection = linear(model.projection)
        self._head = linear(model.lm_head)
        self._pool = torch.empty(0)
        largest = max(weight.numel() for weight in model.recurrent.parameters())
        self._threads = THREADS if largest >= LARGE else 1
        self._threaded = False

    @property
    def block_bytes(self) -> int:
        return math.prod(self._shape) * self._dtype.itemsize

    def allocate(self, blocks: int) -> None:
        self._pool = torch.zeros(blocks, *self._shape, dtype=self._dtype, device=self._device)

    @torch.inference_mode()
    def step(self, rows: Sequence[Row]) -> Tensor:
        if not self._threaded:
            torch.set_num_threads(self._threads)
            self._threaded = True
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i].tokens))
        hidden: dict[int, Tensor] = {}
        for first in range(0, len(order), TILE):
            chosen = order[first : first + TILE]
            hidden.update(zip(chosen, self._run([rows[i] for i in chosen]), strict=True))
        wanted = torch.cat([hidden[i] for i in range(len(rows))])
        projected = _in_tiles(self._projection, wanted)
        return _in_tiles(self._head, projected)[: len(wanted)].float()

    def copy_block(self, source: int, target: int) -> None:
        self._pool[target].copy_(self._pool[source])

    def read_block(self, block: int) -> dict[str, Tensor]:
        return {name: place.to("cpu", copy=True).contiguous() for name, place in self._places(block).items()}

    def write_block(self, block: int, tensors: Mapping[str, Tensor]) -> None:
        places = self._places(block)
        if tensors.keys() != places.keys():
            raise ValueError("this is not a state of this model")
        for name, place in places.items():
            given = tensors[name]
            if given.shape != place.shape or given.dtype != place.dtype:
                raise ValueError(f"{name} is {tuple(given.shape)} {given.dtype}, not as this model has it")
        for name, place in places.items():
            place.copy_(tensors[name])

    def _places(self, block: int) -> dict[str, Tensor]:
        """Views (layers, H) of a state's parts, by name."""
        return dict(zip(self._parts, self._pool[block].unbind(1), strict=True))

    def _run(self, rows: Sequence[Row]) -> Iterator[Tensor]:
        """Hidden states (row.logits, H) of the topmost layer, of at most TILE rows, the longest first."""
        counts = [len(row.tokens) for row in rows]
        ends = [0, *accumulate(counts)]
        steps = counts[0]
        # All rows end with the last step. Where a row has not begun its place is computed all the same, on
        # whatever stands first, and its state is set when it begins.
        places = torch.zeros(steps, TILE, dtype=torch.int64)
        back = torch.empty(ends[-1], dtype=torch.int64)
        for slot, (first, end) in enumerate(pairwise(ends)):
            begin = steps - counts[slot]
            places[begin:, slot] = torch.arange(first, end)
            back[first:end] = torch.arange(begin, steps) * TILE + slot
        places, back = places.to(self._device), back.to(self._device)
        tokens = torch.tensor([token for row in rows for token in row.tokens], device=self._device)
        states = self._read(rows)
        below = self._embedding[tokens]
        for number, layer in enumerate(self._layers):
            given = _in_tiles(layer.inputs, below)
            outputs: list[Tensor] = []
            state = [part.contiguous() for part in states[number].unbind(1)]
            for step in range(steps):
                if step:
                    state = self._begin(state, states[number], counts, steps - step)
                state = layer(given[places[step]], state)
                outputs.append(state[0])
            states[number] = torch.stack(state, 1)
            below = torch.cat(outputs)[back]
        self._write(rows, states)
        for row, end in zip(rows, ends[1:], strict=True):
            yield below[end - row.logits : end]

    def _begin(self, state: State, initial: Tensor, counts: Sequence[int], left: int) -> State:
        """Set the states of rows that have as many tokens as there are steps left."""
        slots = [slot for slot, count in enumerate(counts) if count == left]
        if slots:
            begun = slice(slots[0], slots[-1] + 1)
            for part, at_first in zip(state, initial.unbind(1), strict=True):
                part[begun] = at_first[begun]
        return state

    def _read(self, rows: Sequence[Row]) -> Tensor:
        """The rows' states by layer: (layers, TILE, parts, H), zeros where a text begins and nothing is."""
        states = torch.zeros(TILE, *self._shape, dtype=self._dtype, device=self._device)
        going_on = [slot for slot, row in enumerate(rows) if row.start]
        if going_on:
            states[going_on] = self._pool[[rows[slot].blocks[0] for slot in going_on]]
        return states.transpose(0, 1).contiguous()

    def _write(self, rows: Sequence[Row], states: Tensor) -> None:
        self._pool[[row.blocks[-1] for row in rows]] = states.transpose(0, 1)[: len(rows)]


def _in_tiles(layer: Linear, x: Tensor) -> Tensor:
    """`layer` of (n, in), TILE rows at a time; rows that mean nothing come behind: (n or more, out)."""
    missing = -len(x) % TILE if len(x) else TILE
    if missing:
        x = torch.cat([x, x.new_zeros(missing, x.shape[1])])
    tiles = [layer(x[first : first + TILE]) for first in range(0, len(x), TILE)]
    return tiles[0] if len(tiles) == 1 else torch.cat(tiles)


def _reordered(gates: Tensor) -> Tensor:
    """torch's i, f, g, o as i, f, o, g."""
    enter, keep, new, leave = gates.chunk(4)
    return torch.cat([enter, keep, leave, new])
