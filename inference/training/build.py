"""From a recipe to a model with fresh weights, its optimizers, and the rate at each step.

Knows nothing of data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from inference.training.muon import Muon
from inference.training.recipe import LlamaRecipe, OptimizerRecipe, Recipe, RecurrentRecipe, ScheduleRecipe
from inference.training.vocabulary import BOS, END, PAD, SPECIAL

BASE = "base"  # a parameter group's rate before the schedule
MUON_WARMUP = 300  # steps in which its momentum rises
MUON_FIRST_MOMENTUM = 0.85


def build_model(recipe: Recipe, vocabulary: int) -> Any:
    """A transformers model with weights that the recipe's seed decides, in float32 on the CPU."""
    torch.manual_seed(recipe.seed)
    match recipe.model:
        case LlamaRecipe() as said:
            return _llama(said, vocabulary, recipe.train.attention)
        case RecurrentRecipe() as said:
            return _recurrent(said, vocabulary)


def _llama(said: LlamaRecipe, vocabulary: int, attention: str) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=said.hidden,
        intermediate_size=said.intermediate,
        num_hidden_layers=said.layers,
        num_attention_heads=said.heads,
        num_key_value_heads=said.kv_heads or said.heads,
        max_position_embeddings=said.context,
        rope_parameters={"rope_type": "default", "rope_theta": said.rope_theta},
        attention_dropout=said.dropout,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        attn_implementation=attention,
        **special_tokens(),
    )
    return LlamaForCausalLM(config)


def _recurrent(said: RecurrentRecipe, vocabulary: int) -> Any:
    from inference.rnn import RecurrentConfig, RecurrentForCausalLM

    config = RecurrentConfig(
        vocab_size=vocabulary,
        cell=said.cell,
        embedding_size=said.embedding or said.hidden,
        hidden_size=said.hidden,
        num_hidden_layers=said.layers,
        max_position_embeddings=said.context,
        dropout=said.dropout,
        **special_tokens(),
    )
    return RecurrentForCausalLM(config)


def special_tokens() -> dict[str, int]:
    """As a model's configuration names them."""
    named = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": END}
    return {name: SPECIAL.index(token) for name, token in named.items()}


class Optimizers:
    """Every parameter of a model under the optimizer that suits it."""

    def __init__(self, model: nn.Module, said: OptimizerRecipe) -> None:
        self._said = said
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
        matrices = [one for one in self._parameters if one.ndim == 2]
        flat = [one for one in self._parameters if one.ndim != 2]
        hidden = [one for one in matrices if id(one) not in embeddings]
        embedded = [one for one in matrices if id(one) in embeddings]
        self._all: list[torch.optim.Optimizer]
        match said.kind:
            case "muon":
                muon = Muon(hidden, said.rate, momentum=said.momentum, weight_decay=said.weight_decay)
                self._all = [muon, self._adamw([*embedded, *flat], [], said.adamw_rate)]
            case "adamw":
                self._all = [self._adamw(flat, matrices, said.rate)]
            case "sgd":
                groups = _groups(flat, matrices, said.weight_decay)
                self._all = [torch.optim.SGD(groups, said.rate, momentum=said.momentum)]
        for optimizer in self._all:
            for group in optimizer.param_groups:
                group[BASE] = group["lr"]

    def step(self, number: int, share: float) -> float:
        """Clip the gradients, take step `number` at this share of the rates, and forget the gradients. Gives
        the norm that the gradients had."""
        norm = nn.utils.clip_grad_norm_(self._parameters, self._said.clip)
        risen = min(1.0, number / MUON_WARMUP)
        for optimizer in self._all:
            for group in optimizer.param_groups:
                group["lr"] = group[BASE] * share
                if isinstance(optimizer, Muon):
                    first = min(MUON_FIRST_MOMENTUM, self._said.momentum)
                    group["momentum"] = first + risen * (self._said.momentum - first)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return float(norm)

    def state(self) -> list[dict[str, Any]]:
        return [optimizer.state_dict() for optimizer in self._all]

    def resume(self, states: list[dict[str, Any]]) -> None:
        for optimizer, state in zip(self._all, states, strict=True):
            optimizer.load_state_dict(state)

    def _adamw(self, plain: Sequence[Tensor], decayed: Sequence[Tensor], rate: float) -> torch.optim.AdamW:
        groups = _groups(plain, decayed, self._said.weight_decay)
        return torch.optim.AdamW(groups, rate, betas=self._said.betas)


def _groups(plain: Sequence[Tensor], decayed: Sequence[Tensor], weight_decay: float) -> list[dict[str, Any]]:
    groups = [
        {"params": plain, "weight_decay": 0.0},
        {"params": decayed, "weight_decay": weight_decay},
    ]
    return [group for group in groups if group["params"]]


def share_of_rate(step: int, steps: int, said: ScheduleRecipe) -> float:
    """What step `step`, counted from 0, of `steps` has of the full rate."""
    if step < said.warmup:
        return (step + 1) / said.warmup
    if said.kind == "cosine":
        done = (step - said.warmup) / max(1, steps - said.warmup)
        return said.floor + (1 - said.floor) * (1 + math.cos(math.pi * done)) / 2
    stable_to = said.stable_to * steps
    if step < stable_to:
        return 1.0
    return 1.0 - (1.0 - said.floor) * (step - stable_to) / max(1.0, steps - stable_to)


def parameter_count(parameters: Iterable[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)
