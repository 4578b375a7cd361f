"""A sequence: one line of tokens inside the engine. Knows nothing of streams, tensors or event loops."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from inference.local.cache import BlockTable, Table
from inference.types import SamplingParams

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Decoding:
    """Sampling parameters with every gap filled from the model's generation config."""

    temperature: float
    top_p: float
    top_k: int
    repetition_penalty: float
    min_p: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    logprobs: int | None = None

    @classmethod
    def resolve(cls, params: SamplingParams, defaults: Decoding) -> Decoding:
        def pick(wanted: T | None, default: T) -> T:
            return default if wanted is None else wanted

        return cls(
            temperature=pick(params.temperature, defaults.temperature),
            top_p=pick(params.top_p, defaults.top_p),
            top_k=pick(params.top_k, defaults.top_k),
            repetition_penalty=pick(params.repetition_penalty, defaults.repetition_penalty),
            min_p=params.min_p,
            presence_penalty=params.presence_penalty,
            logit_bias=params.logit_bias,
            logprobs=params.logprobs,
        )

    @property
    def plain_greedy(self) -> bool:
        """Whether the next token is simply the one with the highest logit."""
        return (
            self.temperature == 0
            and self.repetition_penalty == 1
            and self.presence_penalty == 0
            and not self.logit_bias
            and self.logprobs is None
        )


class Sequence:
    """Prompt and output tokens, and how far they have been computed.

    There are no phases: each step computes some of the `pending` tokens, and when none is left the last
    one's logits give the next token. Prefill is pending > 1, decoding pending = 1; a preempted sequence
    simply has everything pending again, and one with nothing pending waits for its next token (a beam, for
    the others of its search).
    """

    def __init__(
        self,
        request_id: str,
        prompt: list[int],
        *,
        max_output: int,
        decoding: Decoding,
        seed: int | None = None,
        topic: str = "",
        client: str = "",
        priority: int = 0,
    ) -> None:
        self.request_id = request_id
        self.topic = topic
        self.client = client
        self.priority = priority
        self.tokens = list(prompt)
        self.prompt_length = len(prompt)
        self.max_output = max_output
        self.decoding = decoding
        self.random = random.Random(seed)  # None seeds from the operating system
        self.computed = 0  # tokens that the cache knows
        self.cached_tokens = 0  # of the prompt, found in the cache at first admission
        self.table: Table = BlockTable()  # another at each admission
        self.lookup: PromptLookup | None = None

    @property
    def pending(self) -> int:
        return len(self.tokens) - self.computed

    @property
    def output_length(self) -> int:
        return len(self.tokens) - self.prompt_length

    def fork(self) -> Sequence:
        """The same tokens again, without blocks: a further beam."""
        other = Sequence(
            self.request_id,
            self.tokens,
            max_output=self.max_output,
            decoding=self.decoding,
            topic=self.topic,
            client=self.client,
            priority=self.priority,
        )
        other.prompt_length = self.prompt_length
        other.cached_tokens = self.cached_tokens
        return other


class PromptLookup:
    """Guesses what comes next from what came before (prompt lookup decoding, Saxena 2023): where the last
    tokens stood earlier, the tokens that followed are likely to follow again.

    `trust` is the smoothed share of guesses that came true; little of it makes guesses rare.
    """

    NGRAM = 3
    DOUBT = 0.3  # below this, only every eighth step tries again
    RETRY = 8

    def __init__(self) -> None:
        self._after: dict[tuple[int, ...], int] = {}  # n-gram -> where its continuation begins
        self._indexed = self.NGRAM  # n-grams that end before this token are in the index
        self._trust = 1.0
        self._skipped = 0

    def propose(self, tokens: list[int], count: int) -> list[int]:
        """Up to `count` tokens that may follow."""
        while self._indexed < len(tokens):  # the last n-gram has no continuation yet
            self._after[tuple(tokens[self._indexed - self.NGRAM : self._indexed])] = self._indexed
            self._indexed += 1
        if self._trust < self.DOUBT and self._skipped < self.RETRY:
            self._skipped += 1
            return []
        self._skipped = 0
        start = self._after.get(tuple(tokens[-self.NGRAM :]))
        return [] if start is None else tokens[start : start + count]

    def learn(self, proposed: int, accepted: int) -> None:
        """What became of a guess."""
        self._trust += 0.25 * (accepted / proposed - self._trust)
