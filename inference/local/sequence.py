"""A sequence: one request inside the engine. Knows nothing of streams or event loops."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TypeVar

from inference.local.cache import BlockTable
from inference.types import SamplingParams

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Decoding:
    """Sampling parameters with every gap filled from the model's generation config."""

    temperature: float
    top_p: float
    top_k: int
    repetition_penalty: float

    @classmethod
    def resolve(cls, params: SamplingParams, defaults: Decoding) -> Decoding:
        def pick(wanted: T | None, default: T) -> T:
            return default if wanted is None else wanted

        return cls(
            temperature=pick(params.temperature, defaults.temperature),
            top_p=pick(params.top_p, defaults.top_p),
            top_k=pick(params.top_k, defaults.top_k),
            repetition_penalty=pick(params.repetition_penalty, defaults.repetition_penalty),
        )


class Sequence:
    """Prompt and output tokens, and how far their keys and values have been computed.

    There are no phases: each step computes some of the `pending` tokens, and when none is left the last
    one's logits give the next token. Prefill is pending > 1, decoding pending = 1; a preempted sequence
    simply has everything pending again.
    """

    def __init__(
        self, request_id: str, prompt: list[int], *, max_output: int, decoding: Decoding, seed: int | None
    ) -> None:
        self.id = request_id
        self.tokens = list(prompt)
        self.prompt_length = len(prompt)
        self.max_output = max_output
        self.decoding = decoding
        self.random = random.Random(seed)  # None seeds from the operating system
        self.computed = 0  # tokens whose keys and values stand in the cache
        self.cached_tokens = 0  # of the prompt, found in the prefix tree at first admission
        self.table = BlockTable()

    @property
    def pending(self) -> int:
        return len(self.tokens) - self.computed

    @property
    def output_length(self) -> int:
        return len(self.tokens) - self.prompt_length
