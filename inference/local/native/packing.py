"""Weights as the native step reads them, made once and kept on disk. Knows nothing of steps.

A packed model is a folder: `weights.bin`, every array at a multiple of 64 bytes, and `index.json`, which says
where each is. The file is mapped into memory: the system reads what is used, and drops it when memory is
short.

int8: each output of a layer has a scale, its largest weight / 127. bf16: as the model has it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from inference.local.native.family import Family

VERSION = 1  # of the packed form; another one is made anew
TILE = 16  # outputs a packed column
OUTPUTS_AT_ONCE = 8192  # that are packed together: bounds the memory it takes
PAD = 64  # inputs come in multiples of this
ALIGNMENT = 64  # bytes
PRECISIONS = ("int8", "bfloat16")
INDEX = "index.json"
WEIGHTS = "weights.bin"

Read = Callable[[str], Tensor]
Arrays = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class _Part:
    """A linear layer's plain weights: weight (out, in), bias (out,) or None."""

    weight: Tensor
    bias: Tensor | None


@contextmanager
def weights_of(files: list[Path]) -> Iterator[tuple[Read, frozenset[str]]]:
    """Reads tensors by name from safetensors files, sharded or not; and the names there are."""
    with ExitStack() as stack:
        opened = [stack.enter_context(safe_open(file, framework="pt")) for file in files]
        places = {name: file for file in opened for name in file.keys()}  # noqa: SIM118  not a mapping

        def read(name: str) -> Tensor:
            tensor: Tensor = places[name].get_tensor(name)
            return tensor

        yield read, frozenset(places)


def pack(family: Family, read: Read, names: frozenset[str], precision: str) -> Iterator[tuple[str, Tensor]]:
    """Every array of a model by its name. Raises KeyError if a weight is missing."""
    prefix = "model."
    norm = _norm_reader(family, read)
    embedding = read(f"{prefix}embed_tokens.weight")
    head = embedding if family.tied or "lm_head.weight" not in names else read("lm_head.weight")
    yield from _linear("head", _Part(head, None), precision)
    yield "embedding", embedding.to(torch.bfloat16).contiguous()
    del embedding, head
    yield "norm", _padded(norm(f"{prefix}norm.weight"), PAD)
    for i in range(family.layers):
        yield from _layer(f"layers.{i}.", f"{prefix}layers.{i}.", family, read, names, precision)


def _norm_reader(family: Family, read: Read) -> Read:
    return lambda name: read(name).float() + (1 if family.is_gemma else 0)


def _layer(
    name: str, source: str, family: Family, read: Read, names: frozenset[str], precision: str
) -> Iterator[tuple[str, Tensor]]:
    norm = _norm_reader(family, read)

    def part(layer: str) -> _Part:
        bias = f"{source}{layer}.bias"
        return _Part(read(f"{source}{layer}.weight"), read(bias) if bias in names else None)

    yield f"{name}attention_norm", _padded(norm(f"{source}input_layernorm.weight"), PAD)
    yield f"{name}mlp_norm", _padded(norm(f"{source}post_attention_layernorm.weight"), PAD)
    for ours, theirs in (("query_norm", "q_norm"), ("key_norm", "k_norm")):
        if f"{source}self_attn.{theirs}.weight" in names:
            yield f"{name}{ours}", norm(f"{source}self_attn.{theirs}.weight").contiguous()
    qkv = _beside(*(part(f"self_attn.{one}_proj") for one in "qkv"))
    yield from _linear(f"{name}qkv", qkv, precision)
    yield from _linear(f"{name}output", part("self_attn.o_proj"), precision)
    gate_up = _in_turn(part("mlp.gate_proj"), part("mlp.up_proj"))
    yield from _linear(f"{name}gate_up", gate_up, precision)
    yield from _linear(f"{name}down", part("mlp.down_proj"), precision)


def _beside(*parts: _Part) -> _Part:
    """One layer that gives the outputs of several, one after the other."""
    bias = None
    if any(one.bias is not None for one in parts):
        biases = [one.weight.new_zeros(len(one.weight)) if one.bias is None else one.bias for one in parts]
        bias = torch.cat(biases)
    return _Part(torch.cat([one.weight for one in parts]), bias)


def _in_turn(gate: _Part, up: _Part) -> _Part:
    """One layer that gives 16 outputs of gate, the same 16 of up, the next 16 of gate, ..."""

    def woven(a: Tensor, b: Tensor) -> Tensor:
        both = [_padded(one, PAD) for one in (a, b)]
        both = [one.view(-1, TILE, *one.shape[1:]) for one in both]
        return torch.stack(both, dim=1).flatten(0, 2)

    bias = None if gate.bias is None or up.bias is None else woven(gate.bias, up.bias)
    return _Part(woven(gate.weight, up.weight), bias)


def _padded(tensor: Tensor, to: int) -> Tensor:
    """Zeros behind the last along the first dimension, up to a multiple of `to`."""
    missing = -len(tensor) % to
    if not missing:
        return tensor.contiguous()
    return torch.cat([tensor, tensor.new_zeros(missing, *tensor.shape[1:])])


def _linear(name: str, part: _Part, precision: str) -> Iterator[tuple[str, Tensor]]:
    weight = _padded(part.weight, TILE)
    if part.bias is not None:
        yield f"{name}.bias", _padded(part.bias.float(), TILE)
    pieces = [_packed(piece, precision) for piece in torch.split(weight, OUTPUTS_AT_ONCE)]
    for kind in pieces[0]:
        yield f"{name}.{kind}", torch.cat([piece[kind] for piece in pieces])


def _packed(weight: Tensor, precision: str) -> dict[str, Tensor]:
    """Some of a layer's outputs."""
    weight = _padded(weight.float().T, PAD).T  # (out, in), both padded
    if precision == "bfloat16":
        return {"weight": _columns(weight.to(torch.bfloat16), 2)}
    scale = (weight.abs().amax(dim=1) / 127).clamp_min(1e-12)
    whole = (weight / scale[:, None]).round_().clamp_(-127, 127).to(torch.int8)
    shift = whole.sum(dim=1, dtype=torch.int32) * 128
    return {"scale": scale, "shift": shift, "weight": _columns(whole, 4)}


def _columns(weight: Tensor, group: int) -> Tensor:
    """(out, in) as (out / 16, in / group, 16, group)."""
    outputs, inputs = weight.shape
    return weight.view(outputs // TILE, TILE, inputs // group, group).transpose(1, 2).contiguous()


def keep(arrays: Iterator[tuple[str, Tensor]], folder: Path) -> None:
    """Write a packed model to `folder`, whole or not at all. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        index: dict[str, Any] = {}
        with (new / WEIGHTS).open("wb") as file:
            for name, array in arrays:
                index[name] = [file.tell(), str(array.dtype).removeprefix("torch."), list(array.shape)]
                file.write(array.contiguous().view(torch.uint8).numpy().data)
                file.write(bytes(-file.tell() % ALIGNMENT))
        (new / INDEX).write_text(json.dumps({"version": VERSION, "arrays": index}))
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def kept(folder: Path) -> dict[str, Tensor] | None:
    """A packed model, mapped into memory; None if there is none, or it is of another version or cut short."""
    try:
        described = json.loads((folder / INDEX).read_text())
        size = (folder / WEIGHTS).stat().st_size
        if described["version"] != VERSION:
            return None
        memory = torch.from_file(str(folder / WEIGHTS), shared=False, size=size, dtype=torch.uint8)
        return {
            name: _view(memory, offset, getattr(torch, kind), shape)
            for name, (offset, kind, shape) in described["arrays"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        return None


def _view(memory: Tensor, offset: int, kind: torch.dtype, shape: list[int]) -> Tensor:
    count = 1
    for size in shape:
        count *= size
    piece = memory[offset : offset + count * kind.itemsize]
    return piece.view(kind).view(shape)
