"""Which models the native step computes, and what it has to know of them: read from a configuration file.

Knows nothing of weights. transformers' classes are the reference; what they would do differently is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.local.native.rotary import KINDS, Rotary, rotary

FAMILY = {
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "GemmaForCausalLM",
}
LARGEST_HEAD = 1024  # dimensions: the size of a buffer in step.c
DEFAULT_WINDOW = {"MistralForCausalLM": 4096}  # where the configuration says nothing
DEFAULT_HEAD = {"Qwen3ForCausalLM": 128, "GemmaForCausalLM": 256}


class NotInFamily(Exception):
    """The native step does not compute this model; the message says why."""


@dataclass(frozen=True, slots=True)
class Family:
    """A model's shape. `windows`: for each layer how many tokens one attends to, 0 for all."""

    architecture: str
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    epsilon: float
    gelu: bool
    tied: bool
    context: int
    windows: tuple[int, ...]
    rotary: Rotary

    @property
    def layers(self) -> int:
        return len(self.windows)

    @property
    def embedding_scale(self) -> float:
        return math.sqrt(self.hidden) if self.is_gemma else 1.0

    @property
    def is_gemma(self) -> bool:
        """Its norms' weights are kept as their distance from 1."""
        return self.architecture == "GemmaForCausalLM"


def family(config: Mapping[str, Any]) -> Family:
    """What a configuration (config.json) describes. Raises NotInFamily."""
    architecture = next(iter(config.get("architectures") or [""]))
    if architecture not in FAMILY:
        raise NotInFamily(f"{architecture or 'an unnamed architecture'} is not of the Llama family")
    if config.get("quantization_config"):
        raise NotInFamily("its weights are quantised already")
    heads = int(config["num_attention_heads"])
    head_dim = int(config.get("head_dim") or DEFAULT_HEAD.get(architecture) or config["hidden_size"] // heads)
    if head_dim % 2 or head_dim > LARGEST_HEAD:
        raise NotInFamily(f"heads of {head_dim} dimensions")
    context = int(config.get("max_position_embeddings", 2048))
    parameters = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    parameters.setdefault("rope_theta", config.get("rope_theta", 10000.0))
    if parameters.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0)) != 1.0:
        raise NotInFamily("heads that are rotated in part")
    try:
        angles = rotary(parameters, head_dim, context)
    except (ValueError, KeyError) as error:
        raise NotInFamily(f"{error}; there are {', '.join(KINDS)}") from error
    return Family(
        architecture=architecture,
        hidden=int(config["hidden_size"]),
        intermediate=int(config["intermediate_size"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=head_dim,
        vocabulary=int(config["vocab_size"]),
        epsilon=float(config.get("rms_norm_eps", 1e-6)),
        gelu=_is_gelu(architecture, config),
        tied=bool(config.get("tie_word_embeddings", architecture == "GemmaForCausalLM")),
        context=context,
        windows=_windows(architecture, config),
        rotary=angles,
    )


def _is_gelu(architecture: str, config: Mapping[str, Any]) -> bool:
    named = config.get("hidden_act", "silu")
    if architecture == "GemmaForCausalLM":  # whose first configurations say gelu and mean its tanh form
        named = config.get("hidden_activation") or "gelu_pytorch_tanh"
    if named not in ("silu", "gelu_pytorch_tanh"):
        raise NotInFamily(f"the activation {named}")
    return bool(named == "gelu_pytorch_tanh")


def _windows(architecture: str, config: Mapping[str, Any]) -> tuple[int, ...]:
    layers = int(config["num_hidden_layers"])
    window = config.get("sliding_window", DEFAULT_WINDOW.get(architecture))
    if architecture in ("LlamaForCausalLM", "GemmaForCausalLM"):
        window = None
    if architecture in ("Qwen2ForCausalLM", "Qwen3ForCausalLM") and not config.get(
        "use_sliding_window", False
    ):
        window = None
    if window is None:
        return (0,) * layers
    kinds = config.get("layer_types")
    if kinds is None and architecture.startswith("Qwen"):
        full = int(config.get("max_window_layers", 28))
        kinds = ["sliding_attention" if i >= full else "full_attention" for i in range(layers)]
    return tuple(
        int(window) if kinds is None or kinds[i] == "sliding_attention" else 0 for i in range(layers)
    )
