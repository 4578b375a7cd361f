"""Linear layers whose weights lie in memory as the processor reads them best. Knows nothing of models.

oneDNN computes a linear layer from a blocked copy of its weight about twice as fast as from the plain matrix,
because with few rows the time is that of reading the weight. Packing replaces the plain matrix; it does not
stand beside it. Where oneDNN has no such kernel (CUDA, float16, processors without bfloat16 instructions),
the same layers run on plain torch operators.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

TYPICAL_ROWS = 16  # what oneDNN lays weights out for; they serve any number of rows


class Linear(Protocol):
    """x W^T + b over the last dimension, alone or with what follows it, so that one kernel does both."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def silu(self, x: Tensor) -> Tensor:
        """silu(x W^T + b)"""
        ...

    def plus(self, x: Tensor, residual: Tensor) -> Tensor:
        """x W^T + b + residual"""
        ...

    def times(self, x: Tensor, factor: Tensor) -> Tensor:
        """(x W^T + b) * factor, element by element"""
        ...


class PackedLinear(nn.Module):
    """A linear layer on oneDNN's packed weight."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.shape = tuple(weight.shape)  # (out, in)
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), TYPICAL_ROWS)
        self.bias = None if bias is None else bias.detach().clone()

    def extra_repr(self) -> str:
        return f"in={self.shape[1]}, out={self.shape[0]}, bias={self.bias is not None}"

    def forward(self, x: Tensor) -> Tensor:
        return self._run(x, "none")

    def silu(self, x: Tensor) -> Tensor:
        return self._run(x, "swish")

    def plus(self, x: Tensor, residual: Tensor) -> Tensor:
        output: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.packed, self.bias, "add")
        return output

    def times(self, x: Tensor, factor: Tensor) -> Tensor:
        output: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, factor, self.packed, self.bias, "mul")
        return output

    def _run(self, x: Tensor, then: str) -> Tensor:
        output: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, then, [], "")
        return output


class PlainLinear(nn.Module):
    """A linear layer on torch's own operators."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = weight.detach()
        self.bias = None if bias is None else bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def silu(self, x: Tensor) -> Tensor:
        return F.silu(self(x), inplace=True)

    def plus(self, x: Tensor, residual: Tensor) -> Tensor:
        output: Tensor = self(x).add_(residual)
        return output

    def times(self, x: Tensor, factor: Tensor) -> Tensor:
        output: Tensor = self(x).mul_(factor)
        return output


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether oneDNN's packed kernels serve weights of this kind on this machine."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # torch's
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def linear(*layers: nn.Linear) -> Linear:
    """One layer that gives the outputs of `layers`, which take the same input, side by side."""
    weight = layers[0].weight if len(layers) == 1 else torch.cat([one.weight for one in layers])
    biases = [one.bias for one in layers]
    bias = None
    if any(one is not None for one in biases):
        bias = torch.cat(
            [
                layer.weight.new_zeros(layer.out_features) if one is None else one
                for layer, one in zip(layers, biases, strict=True)
            ]
        )
    return linear_of(weight, bias)


def linear_of(weight: Tensor, bias: Tensor | None) -> Linear:
    """A layer of its own: weight (out, in), bias (out,)."""
    return (PackedLinear if can_pack(weight.device, weight.dtype) else PlainLinear)(weight, bias)


def prepack(model: nn.Module) -> None:
    """Replace every linear layer inside `model` by a packed one, where this machine can.

    A weight that something else uses too (a tied embedding) stays for that use. The model computes as
    before, but can be neither trained nor saved any more.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) not in (nn.Linear, Conv1D):
                continue
            layer: Any = child
            # Conv1D, GPT-2's linear layer, has its weight as (in, out).
            weight = layer.weight.T if type(child) is Conv1D else layer.weight
            if can_pack(weight.device, weight.dtype):
                setattr(parent, name, PackedLinear(weight, layer.bias))
