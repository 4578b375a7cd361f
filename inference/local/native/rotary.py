"""The angles of rotary position embeddings, scaled as a model's configuration says.

Knows nothing of models. Sources: RoPE arXiv:2104.09864; linear scaling arXiv:2306.15595; YaRN
arXiv:2309.00071; Llama 3's scaling as in Meta's reference code. transformers' tables are the reference that
tests compare with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

KINDS = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True, slots=True)
class Rotary:
    """`frequencies` (D / 2,) f32 in radians a token; what is rotated grows by `factor`, too."""

    frequencies: Tensor
    factor: float = 1.0

    def tables(self, positions: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines (positions, D / 2) f32."""
        angles = torch.outer(torch.arange(positions, dtype=torch.float32), self.frequencies)
        return (angles.cos() * self.factor).contiguous(), (angles.sin() * self.factor).contiguous()


def rotary(parameters: Mapping[str, Any], dims: int, context: int) -> Rotary:
    """From `rope_parameters` of a configuration, for `dims` dimensions a head and a model made for `context`
    tokens. Raises ValueError for kinds not in KINDS."""
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    theta = float(parameters.get("rope_theta", 10000.0))
    plain = 1.0 / theta ** (torch.arange(0, dims, 2, dtype=torch.int64).float() / dims)
    if kind == "default":
        return Rotary(plain)
    if kind == "linear":
        return Rotary(plain / float(parameters["factor"]))
    if kind == "llama3":
        return Rotary(_llama3(plain, parameters))
    if kind == "yarn":
        return _yarn(plain, parameters, theta, dims, context)
    raise ValueError(f"rotary embeddings of the kind {kind!r}")


def _llama3(plain: Tensor, parameters: Mapping[str, Any]) -> Tensor:
    """Long waves are stretched, short ones kept, those between mixed."""
    factor = float(parameters["factor"])
    low, high = float(parameters["low_freq_factor"]), float(parameters["high_freq_factor"])
    old = int(parameters["original_max_position_embeddings"])
    waves = 2 * math.pi / plain
    share = (old / waves - low) / (high - low)
    mixed = (1 - share) * plain / factor + share * plain
    stretched = torch.where(waves > old / low, plain / factor, plain)
    between = (waves >= old / high) & (waves <= old / low)
    return torch.where(between, mixed, stretched)


def _yarn(plain: Tensor, parameters: Mapping[str, Any], theta: float, dims: int, context: int) -> Rotary:
    """Dimensions that turn seldom within the old context are stretched, those that turn often kept."""
    factor = float(parameters["factor"])
    old = int(parameters.get("original_max_position_embeddings") or context)
    fast, slow = float(parameters.get("beta_fast") or 32), float(parameters.get("beta_slow") or 1)

    def dimension(turns: float) -> float:
        return dims * math.log(old / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = dimension(fast), dimension(slow)
    if parameters.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dims - 1)
    ramp = (torch.arange(dims // 2, dtype=torch.float32) - low) / max(high - low, 0.001)
    kept = 1 - ramp.clamp(0, 1)
    frequencies = plain / factor * (1 - kept) + plain * kept
    growth = parameters.get("attention_factor")
    if growth is None:
        one, all_dims = parameters.get("mscale"), parameters.get("mscale_all_dim")
        growth = (
            _growth(factor, one) / _growth(factor, all_dims) if one and all_dims else _growth(factor, 1.0)
        )
    return Rotary(frequencies, float(growth))


def _growth(factor: float, scale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0
