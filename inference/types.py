"""What goes into an engine and what comes out: frozen values without identity."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a chat, as the model's template sees it."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen. None means: as the model's own generation config says.

    `temperature` 0 is greedy. `top_k` 0 and `top_p` 1 are off. `repetition_penalty` divides the positive and
    multiplies the negative logits of tokens seen in prompt and output (Keskar et al. 2019); 1 is off. The
    same `seed` gives the same answer; None draws a fresh one. `stop` ends the answer before any of these
    strings. `ignore_eos` goes on after the end-of-sequence token, up to `max_tokens` (None: as far as the
    context goes).
    Raises ValueError for values that mean nothing.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.stop, str):
            raise ValueError("stop is a sequence of strings, not a string")  # noqa: TRY004  one kind of error
        object.__setattr__(self, "stop", tuple(self.stop))
        checks = (
            (self.max_tokens is None or self.max_tokens >= 1, "max_tokens is at least 1"),
            (self.temperature is None or self.temperature >= 0, "temperature is 0 or more"),
            (self.top_p is None or 0 < self.top_p <= 1, "top_p is above 0 and at most 1"),
            (self.top_k is None or self.top_k >= 0, "top_k is 0 (off) or more"),
            (self.repetition_penalty is None or self.repetition_penalty > 0, "repetition_penalty is above 0"),
            (all(self.stop), "a stop string is not empty"),
        )
        for holds, rule in checks:
            if not holds:
                raise ValueError(rule)


@dataclass(frozen=True, slots=True)
class Request:
    """One answer to be generated, from `messages` (through the model's chat template) or from
    `prompt_token_ids`: exactly one of the two. `id` names it for `Engine.cancel`."""

    messages: Sequence[ChatMessage] | None = None
    prompt_token_ids: Sequence[int] | None = None
    sampling: SamplingParams = field(default_factory=SamplingParams)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        if (self.messages is None) == (self.prompt_token_ids is None):
            raise ValueError("a request has either messages or prompt_token_ids")
        if not (self.messages or self.prompt_token_ids):
            raise ValueError("a request is not empty")


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"  # the model ended it, or a stop string did
    LENGTH = "length"  # max_tokens or the end of the context
    CANCELLED = "cancelled"  # asked to end


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost. `cached_tokens` of the prompt were not computed again; times in seconds from when
    the engine took the request in, `first_token` None if none came."""

    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    first_token: float | None
    total: float


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer. `text` never ends within a UTF-8 character nor holds part of a stop string; it
    may be empty while such a thing is being decided."""

    text: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of the answer: always the last that a stream gives, once."""

    reason: FinishReason
    usage: Usage
