"""The forward pass of the Llama family on few, large operators. Knows nothing of batches or caches' layout.

transformers' own forward stays the reference; this one computes the same from the same weights in fewer
operators, whose starting takes much of a small step's time: queries, keys and values come from one linear
layer, and the activation, the gate's product and the residual sums are part of the linear layers before them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from inference.local.attention import KVShape, PagedCache
from inference.local.prepack import Linear, linear

FAMILY = {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"}


class _Norm:
    """Root mean square layer normalisation (Zhang and Sennrich 2019), over the last dimension.

    On CPUs torch computes it with nine operators, but layer normalisation with one: that of x beside -x,
    whose mean is 0, is the same.
    """

    def __init__(self, module: Any) -> None:
        self._weight: Tensor = module.weight.detach()  # (n,)
        self._doubled = torch.cat((self._weight, self._weight)) if self._weight.is_cpu else None
        self._epsilon: float = module.variance_epsilon

    def __call__(self, x: Tensor) -> Tensor:
        if self._doubled is None:
            return F.rms_norm(x, self._weight.shape, self._weight, self._epsilon)
        both = torch.cat((x, -x), dim=-1)
        return F.layer_norm(both, self._doubled.shape, self._doubled, None, self._epsilon)[..., : x.shape[-1]]


@dataclass(frozen=True, slots=True)
class _Layer:
    """One decoder layer's weights. H query heads, K key-value heads, D dimensions a head."""

    attention_norm: _Norm
    qkv: Linear  # hidden -> (H + 2K) * D
    query_norm: _Norm | None  # Qwen3 normalises each head's queries and keys
    key_norm: _Norm | None
    window: int | None
    output: Linear  # H * D -> hidden
    mlp_norm: _Norm
    gate: Linear  # hidden -> intermediate
    up: Linear  # hidden -> intermediate
    down: Linear  # intermediate -> hidden


class LlamaForward:
    """Computes steps with the weights of `model`, which is taken apart: it can't be run itself any more."""

    def __init__(self, model: Any) -> None:
        config = model.config
        self._heads: int = config.num_attention_heads
        self._kv_heads: int = config.num_key_value_heads
        self._head_dim: int = model.model.layers[0].self_attn.head_dim
        self._embedding = model.model.embed_tokens.weight.detach()  # (V, hidden)
        self._rotary = model.model.rotary_emb
        self._layers = []
        for layer in model.model.layers:
            self._layers.append(self._take(layer, config))
        self._norm = _Norm(model.model.norm)
        self._head = linear(model.lm_head)
        del model.lm_head
        self.shapes = {
            i: KVShape(self._kv_heads, self._head_dim, self._head_dim) for i in range(len(self._layers))
        }

    @staticmethod
    def serves(model: Any) -> bool:
        """Whether the model is computed exactly as below."""
        return type(model).__name__ in FAMILY and model.config.hidden_act == "silu"

    def _take(self, layer: Any, config: Any) -> _Layer:
        """Pack a layer's weights and drop the originals, so that both exist for one layer at a time."""
        attention, mlp = layer.self_attn, layer.mlp
        own_window = config.sliding_window if config.model_type == "mistral" else None
        normalised = config.model_type == "qwen3"
        taken = _Layer(
            attention_norm=_Norm(layer.input_layernorm),
            qkv=linear(attention.q_proj, attention.k_proj, attention.v_proj),
            query_norm=_Norm(attention.q_norm) if normalised else None,
            key_norm=_Norm(attention.k_norm) if normalised else None,
            window=getattr(attention, "sliding_window", own_window),
            output=linear(attention.o_proj),
            mlp_norm=_Norm(layer.post_attention_layernorm),
            gate=linear(mlp.gate_proj),
            up=linear(mlp.up_proj),
            down=linear(mlp.down_proj),
        )
        del layer.self_attn, layer.mlp
        return taken

    def __call__(self, tokens: Tensor, positions: Tensor, wanted: Tensor, cache: PagedCache) -> Tensor:
        """Logits (W, V) after the `wanted` (W,) of the step's `tokens` (T,) at `positions` (T,)."""
        x = F.embedding(tokens, self._embedding)  # (T, hidden)
        cos, sin = self._angles(x, positions)
        for i, layer in enumerate(self._layers):
            qkv = layer.qkv(layer.attention_norm(x)).view(len(x), -1, self._head_dim)  # (T, H + 2K, D)
            self._rotate(qkv, layer, cos, sin)
            cache.store(i, qkv[:, self._heads :].flatten(1))
            attended = cache.attend(i, qkv[:, : self._heads], scaling=None, window=layer.window)
            x = layer.output.plus(attended.flatten(1), x)
            normed = layer.mlp_norm(x)
            x = layer.down.plus(layer.up.times(normed, layer.gate.silu(normed)), x)
        return self._head(self._norm(x[wanted]))

    def _angles(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines (T, 1, D) of the rotary embedding (arXiv:2104.09864, section 3.4.2)."""
        cos, sin = (table[0, :, None] for table in self._rotary(x, positions[None]))
        sin[..., : self._head_dim // 2].neg_()
        return cos, sin

    def _rotate(self, qkv: Tensor, layer: _Layer, cos: Tensor, sin: Tensor) -> None:
        """Normalise, where the family does, and rotate queries and keys in place."""
        if layer.query_norm is not None and layer.key_norm is not None:
            queries, keys = qkv[:, : self._heads], qkv[:, self._heads : -self._kv_heads]
            queries.copy_(layer.query_norm(queries))
            keys.copy_(layer.key_norm(keys))
        rotated = qkv[:, : -self._kv_heads]  # (T, H + K, D)
        halves_swapped = rotated.roll(self._head_dim // 2, dims=-1)
        torch.addcmul(rotated * cos, halves_swapped, sin, out=rotated)
