"""From logits to the next token, each row by its own parameters. Knows nothing of models or streams."""

from __future__ import annotations

import torch
from torch import Tensor

from inference.local.sequence import Sequence

FEW = 1024  # candidates that hold nearly all probability in practice; a full sort of a vocabulary is slow


@torch.inference_mode()
def sample(logits: Tensor, sequences: list[Sequence]) -> list[int]:
    """The next token of each sequence; row i of `logits` (B, V) float32 belongs to sequence i.

    A row's choice depends on nothing but the row and its sequence (its tokens and its random numbers).
    Changes `logits`.
    """
    greedy = [i for i, one in enumerate(sequences) if one.decoding.temperature == 0]
    for i, sequence in enumerate(sequences):
        if sequence.decoding.repetition_penalty != 1:
            _penalise(logits[i], sequence)
    tokens = [-1] * len(sequences)
    if greedy:
        for i, token in zip(greedy, logits[greedy].argmax(dim=-1).tolist(), strict=True):
            tokens[i] = token
    for i, sequence in enumerate(sequences):
        if tokens[i] < 0:
            tokens[i] = _draw(logits[i], sequence)
    return tokens


def _penalise(row: Tensor, sequence: Sequence) -> None:
    """Repetition penalty (Keskar et al. 2019, section 4.1) over prompt and output; row (V,)."""
    seen = torch.tensor(sequence.tokens, device=row.device)
    values = row[seen]
    penalty = sequence.decoding.repetition_penalty
    row[seen] = torch.where(values > 0, values / penalty, values * penalty)


def _draw(row: Tensor, sequence: Sequence) -> int:
    """Temperature, then top-k, then nucleus sampling (Holtzman et al. 2020), by inverting the cumulative
    distribution at one random number; row (V,)."""
    decoding = sequence.decoding
    point = sequence.random.random()
    row = row / decoding.temperature
    limit = decoding.top_k or row.numel()
    count = min(limit, row.numel(), FEW if decoding.top_p < 1 else row.numel())
    while True:
        values, tokens = row.topk(count)  # sorted, largest first
        if decoding.top_k:
            probabilities = values[: decoding.top_k].softmax(dim=-1)
        else:
            probabilities = (values - row.logsumexp(dim=-1)).exp()
        cumulative = probabilities.cumsum(dim=-1)
        complete = count >= min(limit, row.numel())
        if complete or float(cumulative[-1]) >= decoding.top_p:
            break
        count = row.numel()
    # The nucleus: the fewest tokens whose probability reaches top_p, at least one.
    nucleus = int((cumulative < decoding.top_p).sum()) + 1 if decoding.top_p < 1 else count
    nucleus = min(nucleus, cumulative.numel())
    target = point * float(cumulative[nucleus - 1])
    chosen = int((cumulative[:nucleus] <= target).sum())
    return int(tokens[min(chosen, nucleus - 1)])
