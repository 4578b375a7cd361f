"""What goes into an engine and what comes out: frozen values without identity."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Literal

MOST_LOGPROBS = 20
WIDEST_BEAM = 16

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
    strings, `stop_token_ids` before any of these tokens. `ignore_eos` goes on after the end-of-sequence
    token, up to `max_tokens` (None: as far as the context goes).

    `min_p` leaves tokens at least that share as likely as the likeliest (0 is off). `presence_penalty` is
    taken off the logits of tokens in the output so far; `logit_bias` is added to those of the tokens it
    names. `logprobs` asks for the log-probability of each token under the model's own distribution, before
    all of the above, and for those of that many likeliest tokens beside it (None: for none at all).

    `beam_width` above 1 is beam search instead: the answer whose sum of log-probabilities over
    length ** `length_penalty` is the highest, given at once at its end; temperature and the like don't apply.
    Raises ValueError for values that mean nothing.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float = 0.0
    repetition_penalty: float | None = None
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    beam_width: int = 1
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.stop, str):
            raise ValueError("stop is a sequence of strings, not a string")  # noqa: TRY004  one kind of error
        object.__setattr__(self, "stop", tuple(self.stop))
        object.__setattr__(self, "stop_token_ids", tuple(self.stop_token_ids))
        checks = (
            (self.max_tokens is None or self.max_tokens >= 1, "max_tokens is at least 1"),
            (self.temperature is None or self.temperature >= 0, "temperature is 0 or more"),
            (self.top_p is None or 0 < self.top_p <= 1, "top_p is above 0 and at most 1"),
            (self.top_k is None or self.top_k >= 0, "top_k is 0 (off) or more"),
            (self.repetition_penalty is None or self.repetition_penalty > 0, "repetition_penalty is above 0"),
            (0 <= self.min_p <= 1, "min_p is from 0 (off) to 1"),
            (self.logprobs is None or 0 <= self.logprobs <= MOST_LOGPROBS, "logprobs is from 0 to 20"),
            (1 <= self.beam_width <= WIDEST_BEAM, "beam_width is from 1 (off) to 16"),
            (self.beam_width == 1 or self.logprobs is None, "logprobs are not given for beam_width above 1"),
            (all(self.stop), "a stop string is not empty"),
        )
        for holds, rule in checks:
            if not holds:
                raise ValueError(rule)


@dataclass(frozen=True, slots=True)
class Request:
    """One answer to be generated, from `messages` (through the model's chat template) or from
    `prompt_token_ids`: exactly one of the two. If the last message is the assistant's, the answer goes on
    from it. `id` names it for `Engine.cancel`.

    `topic` is what it is about, for `Engine.forget`. `client` is whoever the engine shall be fair to: clients
    take turns by the tokens that they were served, however many requests each has. A higher `priority` goes
    first. A request that has not ended `deadline` after it came ends with EXPIRED."""

    messages: Sequence[ChatMessage] | None = None
    prompt_token_ids: Sequence[int] | None = None
    sampling: SamplingParams = field(default_factory=SamplingParams)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    topic: str = ""
    client: str = ""
    priority: int = 0
    deadline: timedelta | None = None

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
    EXPIRED = "expired"  # its deadline passed


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
class TokenLogprob:
    """A token's natural log-probability, and the likeliest tokens in its place with theirs."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer. `text` never ends within a UTF-8 character nor holds part of a stop string; it
    may be empty while such a thing is being decided."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] = ()  # one for each token, if asked for


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of the answer: always the last that a stream gives, once."""

    reason: FinishReason
    usage: Usage
