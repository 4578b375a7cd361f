"""The native step behind the `Runner` seam. Knows nothing of scheduling, and nothing of how weights came
about.

What a row's tokens give depends on nothing else in the step, bit for bit: neither on the other rows, nor on
how a prompt was cut into chunks, nor on the number of threads.
"""

from __future__ import annotations

import ctypes
import math
import mmap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference.local.native import library as native
from inference.local.native.family import Family
from inference.local.native.packing import TILE, Arrays
from inference.local.row import BLOCK_SIZE, Row

DIMS = 32  # a head's dimensions come in multiples of this in the cache


class NativeRunner:
    """Steps of a packed model on the processor. `precision` is that of the weights: int8 or bfloat16;
    `cache` that of keys and values. `threads` None takes every core that the process may use;
    `instruction_set` None the best. Raises MemoryError, and ValueError for an instruction set that this
    machine has not.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        family: Family,
        arrays: Arrays,
        *,
        precision: str,
        cache: str = "bfloat16",
        threads: int | None = None,
        instruction_set: str | None = None,
    ) -> None:
        known = native.instruction_sets(library)
        self.instruction_set = instruction_set or known[-1]
        if self.instruction_set not in known:
            raise ValueError(f"this machine has {', '.join(known)}, not {self.instruction_set}")
        self._library = library
        self._family = family
        self._arrays = arrays  # also keeps the memory that the step reads
        self._precision = precision
        self.threads = threads or native.cores()
        self._runner: int | None = None
        self._alone = False  # torch has been told to leave the other cores to the step
        dims = -(-family.head_dim // DIMS) * DIMS
        pieces = (family.layers, family.kv_heads, 2)  # a block's: keys and values of each head at each layer
        self._block = {
            "kv": ((*pieces, dims * BLOCK_SIZE), torch.int8 if cache == "int8" else torch.bfloat16)
        }
        if cache == "int8":
            self._block["scales"] = ((*pieces, BLOCK_SIZE), torch.float32)
        self._pool: dict[str, Tensor] = {}

    @property
    def block_bytes(self) -> int:
        return sum(math.prod(shape) * kind.itemsize for shape, kind in self._block.values())

    def allocate(self, blocks: int) -> None:
        """Make the pool, its tensors' shapes being those of a block behind `blocks`. Raises MemoryError."""
        layers = self._family.layers
        self._pool = {name: _zeros((blocks, *shape), kind) for name, (shape, kind) in self._block.items()}
        self._tables = self._family.rotary.tables(min(self._family.context, blocks * BLOCK_SIZE))
        cache = native.Cache(blocks, _address(self._pool["kv"]), _address(self._pool.get("scales")))
        self._layers = (native.Layer * layers)(*(self._layer(i) for i in range(layers)))
        model = self._model()
        self.close()
        self._runner = self._library.chorus_open(model, cache, self.threads, self.instruction_set.encode())
        if not self._runner:
            raise MemoryError("there is not enough memory for the native step")

    def step(self, rows: Sequence[Row]) -> Tensor:
        if not self._alone:
            # What torch still does on this thread is so little that sharing it out takes longer, above all
            # while other processes hold a core: OpenMP waits for each of its threads.
            torch.set_num_threads(1)
            self._alone = True
        tables = [row.blocks for row in rows]
        numbers = {
            "token": [token for row in rows for token in row.tokens],
            "start": [row.start for row in rows],
            "count": [len(row.tokens) for row in rows],
            "wanted": [row.logits for row in rows],
            "first_block": [0, *accumulate(map(len, tables))][:-1],
            "table": [block for table in tables for block in table],
        }
        arrays = {name: np.asarray(values, dtype=np.int32) for name, values in numbers.items()}
        batch = native.Batch(
            spans=len(rows),
            tokens=len(numbers["token"]),
            **{name: array.ctypes.data for name, array in arrays.items()},
        )
        logits = torch.empty(sum(numbers["wanted"]), self._outputs("head"))
        if self._library.chorus_step(self._runner, ctypes.byref(batch), logits.data_ptr()):
            raise MemoryError("there is not enough memory for a step of this size")
        return logits[:, : self._family.vocabulary]

    def copy_block(self, source: int, target: int) -> None:
        for pool in self._pool.values():
            pool[target].copy_(pool[source])

    def read_block(self, block: int) -> dict[str, Tensor]:
        return {name: pool[block].clone() for name, pool in self._pool.items()}

    def write_block(self, block: int, tensors: Mapping[str, Tensor]) -> None:
        if tensors.keys() != self._pool.keys():
            raise ValueError("this is not a block of this model's cache")
        for name, pool in self._pool.items():
            given = tensors[name]
            if given.shape != pool.shape[1:] or given.dtype != pool.dtype:
                raise ValueError(f"{name} is {tuple(given.shape)} {given.dtype}, not as this model has it")
        for name, pool in self._pool.items():
            pool[block].copy_(tensors[name])

    def read_memory(self, memory: Tensor) -> int:
        """Read a tensor once with all threads, as fast as the machine can; gives a checksum. For measuring
        the bandwidth that bounds a step."""
        size = memory.numel() * memory.element_size()
        total: int = self._library.chorus_read_memory(self._runner, memory.data_ptr(), size)
        return total

    @property
    def weight_bytes(self) -> int:
        """What a step reads of the weights: all but the embedding's table."""
        return sum(array.nbytes for name, array in self._arrays.items() if name != "embedding")

    def close(self) -> None:
        """End the threads. The runner can't be used any more."""
        if self._runner:
            self._library.chorus_close(self._runner)
            self._runner = None

    def __del__(self) -> None:
        self.close()

    def _model(self) -> native.Model:
        family = self._family
        cosines, sines = self._tables
        return native.Model(
            hidden=family.hidden,
            intermediate=family.intermediate,
            layers=family.layers,
            heads=family.heads,
            kv_heads=family.kv_heads,
            head_dim=family.head_dim,
            vocabulary=family.vocabulary,
            weights=native.INT8 if self._precision == "int8" else native.BF16,
            cache=native.INT8 if "scales" in self._block else native.BF16,
            activation=native.GELU_TANH if family.gelu else native.SILU,
            context=len(cosines),
            epsilon=family.epsilon,
            scaling=family.head_dim**-0.5,
            embedding_scale=family.embedding_scale,
            embedding=_address(self._arrays["embedding"]),
            cosines=_address(cosines),
            sines=_address(sines),
            norm=_address(self._arrays["norm"]),
            head=self._linear("head"),
            layer=self._layers,
        )

    def _layer(self, number: int) -> native.Layer:
        prefix = f"layers.{number}."
        names = ("attention_norm", "mlp_norm", "query_norm", "key_norm")
        linears = ("qkv", "output", "gate_up", "down")
        return native.Layer(
            **{name: _address(self._arrays.get(prefix + name)) for name in names},
            **{name: self._linear(prefix + name) for name in linears},
            window=self._family.windows[number],
        )

    def _linear(self, name: str) -> native.Linear:
        columns, steps, _, group = self._arrays[f"{name}.weight"].shape
        parts: dict[str, Any] = {
            part: _address(self._arrays.get(f"{name}.{part}"))
            for part in ("weight", "scale", "shift", "bias")
        }
        return native.Linear(**parts, inputs=steps * group, outputs=columns * TILE)

    def _outputs(self, name: str) -> int:
        return len(self._arrays[f"{name}.weight"]) * TILE


def _zeros(shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
    """Zeros that take up memory only when they are written to. In huge pages, where the system has them: the
    step reads from all over the cache, and would otherwise wait for addresses more than for what is there."""
    memory = mmap.mmap(-1, math.prod(shape) * kind.itemsize)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=kind).view(shape)


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
