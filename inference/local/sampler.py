"""From logits to the next token, by a sequence's own parameters. Knows nothing of models or streams.

A choice depends on nothing but the row of logits, the sequence's tokens and its random numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from inference.local.sequence import Decoding, Sequence
from inference.types import TokenLogprob

FEW = 1024  # candidates that hold nearly all probability in practice; a full sort of a vocabulary is slow


@torch.inference_mode()
def choose(row: Tensor, sequence: Sequence) -> tuple[int, TokenLogprob | None]:
    """The sequence's next token from its logits, row (V,) float32, and its log-probability if wanted."""
    decoding = sequence.decoding
    adjusted = _adjusted(row, sequence)
    token = int(adjusted.argmax()) if decoding.temperature == 0 else _draw(adjusted, sequence)
    return token, None if decoding.logprobs is None else _logprob(row, token, decoding.logprobs)


def _adjusted(row: Tensor, sequence: Sequence) -> Tensor:
    """Logits after bias and penalties; a copy if anything changes."""
    decoding = sequence.decoding
    if not (decoding.logit_bias or decoding.repetition_penalty != 1 or decoding.presence_penalty):
        return row
    row = row.clone()
    if decoding.logit_bias:
        known = {token: bias for token, bias in decoding.logit_bias.items() if 0 <= token < row.numel()}
        row[torch.tensor(list(known), device=row.device, dtype=torch.int64)] += torch.tensor(
            list(known.values()), device=row.device
        )
    if decoding.repetition_penalty != 1:  # Keskar et al. 2019, section 4.1
        seen = torch.tensor(sequence.tokens, device=row.device)
        values = row[seen]
        penalty = decoding.repetition_penalty
        row[seen] = torch.where(values > 0, values / penalty, values * penalty)
    if decoding.presence_penalty and sequence.output_length:
        said = torch.tensor(list(set(sequence.tokens[sequence.prompt_length :])), device=row.device)
        row[said] -= decoding.presence_penalty
    return row


def _draw(row: Tensor, sequence: Sequence) -> int:
    """Temperature, then top-k, then nucleus sampling (Holtzman et al. 2020), then min-p (Nguyen et al. 2024),
    by inverting the cumulative distribution at one random number; row (V,)."""
    decoding = sequence.decoding
    point = sequence.random.random()
    row = row / decoding.temperature
    tokens, probabilities = _candidates(row, decoding)
    cumulative = probabilities.cumsum(dim=-1)
    count = tokens.numel()
    if decoding.top_p < 1:  # the fewest tokens that reach top_p, at least one
        count = min(count, int((cumulative < decoding.top_p).sum()) + 1)
    if decoding.min_p > 0:
        count = min(count, int((probabilities >= decoding.min_p * probabilities[0]).sum()))
    target = point * float(cumulative[count - 1])
    chosen = int((cumulative[:count] <= target).sum())
    return int(tokens[min(chosen, count - 1)])


def _candidates(row: Tensor, decoding: Decoding) -> tuple[Tensor, Tensor]:
    """Tokens with their probabilities, the likeliest first: as many as can matter."""
    everything = row.numel()
    if decoding.top_k:
        values, tokens = row.topk(min(decoding.top_k, everything))
        return tokens, values.softmax(dim=-1)
    total = row.logsumexp(dim=-1)
    if decoding.top_p < 1 and everything > FEW:
        values, tokens = row.topk(FEW)
        probabilities = (values - total).exp()
        if float(probabilities.sum()) >= decoding.top_p:
            return tokens, probabilities
    values, tokens = row.sort(descending=True, stable=True)
    return tokens, (values - total).exp()


def _logprob(row: Tensor, token: int, top: int) -> TokenLogprob:
    logprobs = row.log_softmax(dim=-1)
    values, tokens = logprobs.topk(top) if top else (row[:0], row[:0])
    likeliest = zip(tokens.tolist(), values.tolist(), strict=True)
    return TokenLogprob(token, float(logprobs[token]), tuple((int(one), value) for one, value in likeliest))


@torch.inference_mode()
def likeliest(rows: Tensor) -> list[int]:
    """The token with the highest logit in each row; rows (B, V)."""
    tokens: list[int] = rows.argmax(dim=-1).tolist()
    return tokens


@torch.inference_mode()
def beam_candidates(row: Tensor, count: int) -> list[tuple[int, float]]:
    """The `count` likeliest tokens with their log-probabilities, the best first; row (V,) float32."""
    values, tokens = row.log_softmax(dim=-1).topk(min(count, row.numel()))
    return list(zip(tokens.tolist(), values.tolist(), strict=True))
