"""Tiny recurrent models with random weights, as their makers would leave them in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from inference.rnn import RecurrentConfig, RecurrentForCausalLM
from tests import models

CELLS = ["rnn", "lstm", "gru"]


def build(folder: Path, cell: str = "lstm", *, seed: int = 0, **changes: Any) -> Path:
    """With two layers, a tokenizer with a template, and weights that are larger than the usual beginning: but
    for the recurrent ones, which would make every rounding error grow."""
    said = {"embedding_size": 16, "hidden_size": 24, "num_hidden_layers": 2, **changes}
    torch.manual_seed(seed)
    model = RecurrentForCausalLM(RecurrentConfig(vocab_size=models.VOCABULARY, cell=cell, **said))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "weight_hh" not in name:
                weight.mul_(8)
    model.save_pretrained(folder)
    models.tokenizer().save_pretrained(folder)
    return folder


def reference(folder: Path, dtype: torch.dtype = torch.float32) -> RecurrentForCausalLM:
    """The model as it computes by itself."""
    made: RecurrentForCausalLM = RecurrentForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    return made


def greedy(model: RecurrentForCausalLM, prompt: list[int], count: int) -> list[int]:
    """The model's own likeliest tokens, computed one at a time."""
    given, state = list(prompt), None
    with torch.inference_mode():
        for place in range(len(prompt) + count - 1):
            output = model(torch.tensor([given[place : place + 1]]), state=state)
            state = output.state
            if place >= len(prompt) - 1:
                given.append(int(output.logits[0, -1].argmax()))
    return given[len(prompt) :]
