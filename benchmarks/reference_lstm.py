"""An LSTM language model as plainly as torch lets one write it, to measure our recurrent family against.

One embedding that is also the output, one LSTM, AdamW with a cosine; nothing of ours but the rows of tokens
that it is given. A row goes through as it stands, documents one behind another, as plain scripts have it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WARMUP = 20  # steps
RATE = 3e-3


class ReferenceLSTM(nn.Module):
    """Logits (B, T, V) of tokens (B, T), and the state to go on from."""

    def __init__(self, vocabulary: int, width: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.output = nn.Linear(width, vocabulary)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.output.weight = self.embedding.weight

    def forward(
        self, tokens: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        hidden, state = self.lstm(self.embedding(tokens), state)
        return self.output(hidden), state


def train(model: ReferenceLSTM, batches: Iterable[Tensor], steps: int, pad: int) -> float:
    """One step for each batch (B, R) of int64; gives the seconds that the steps took."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.97), weight_decay=0.01)
    seconds = 0.0
    for step, tokens in zip(range(steps), batches, strict=False):
        began = time.perf_counter()
        for group in optimizer.param_groups:
            cosine = (1 + math.cos(math.pi * step / steps)) / 2
            group["lr"] = RATE * min(1.0, (step + 1) / WARMUP) * max(0.02, cosine)
        logits, _ = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=pad)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds += time.perf_counter() - began
    return seconds


@torch.no_grad()
def perplexity(model: ReferenceLSTM, texts: Iterable[tuple[Sequence[int], Sequence[bool]]]) -> float:
    """Over the tokens that count, of texts that are read one by one."""
    nats, count = 0.0, 0
    for tokens, counted in texts:
        logits, _ = model(torch.tensor([tokens[:-1]]))
        costs = F.cross_entropy(logits[0], torch.tensor(tokens[1:]), reduction="none")
        judged = torch.tensor(counted[1:])
        nats += float(costs[judged].double().sum())
        count += int(judged.sum())
    return math.exp(nats / count)


@torch.no_grad()
def generate(model: ReferenceLSTM, prompts: Tensor, count: int) -> Tensor:
    """The `count` likeliest tokens behind prompts (B, T), all computed together: (B, count)."""
    logits, state = model(prompts)
    answer = [logits[:, -1:].argmax(-1)]
    while len(answer) < count:
        logits, state = model(answer[-1], state)
        answer.append(logits.argmax(-1))
    return torch.cat(answer, 1)
