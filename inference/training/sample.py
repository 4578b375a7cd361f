"""What a model says, through transformers' own generation. Knows nothing of the engine that serves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from inference.training.corpus import Message
from inference.training.judge import Judge


def answers(
    judge: Judge,
    messages: Sequence[Message],
    *,
    count: int,
    tokens: int,
    temperature: float | None,
    seed: int,
) -> Iterator[str]:
    """What the assistant says next, `count` times."""
    yield from _continuations(judge, judge.prompt(messages), count, tokens, temperature, seed)


def continuations(
    judge: Judge, text: str, *, count: int, tokens: int, temperature: float | None, seed: int
) -> Iterator[str]:
    """How a text goes on, `count` times."""
    begin = judge.tokenizer.bos_token or ""
    yield from _continuations(judge, begin + text, count, tokens, temperature, seed)


@torch.no_grad()
def _continuations(
    judge: Judge, prompt: str, count: int, tokens: int, temperature: float | None, seed: int
) -> Iterator[str]:
    """`temperature`: 0 is the likeliest; None the model's own."""
    torch.manual_seed(seed)
    ids = judge.encode(prompt)[-max(1, judge.window - tokens) :]
    given = torch.tensor([ids], device=judge.model.device)
    how: dict[str, float | bool] = {"do_sample": temperature != 0}
    if temperature:
        how["temperature"] = temperature
    for _ in range(count):
        said = judge.model.generate(
            given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=tokens,
            pad_token_id=judge.tokenizer.pad_token_id or judge.tokenizer.eos_token_id or 0,
            **how,
        )
        yield judge.tokenizer.decode(said[0, len(ids) :], skip_special_tokens=True).strip()
