"""Our own engine as a server that can be measured."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from platformdirs import user_cache_path

from inference.bench.shapes import cached_values
from inference.bench.work import Work
from inference.engine import Engine
from inference.registry import open_engine
from inference.types import Delta, Request, SamplingParams

DTYPES = {"f32": ("float32", 4), "bf16": ("bfloat16", 2), "int8": ("int8", 2)}
"""LocalOptions.dtype, and the bytes of a value in the cache."""
BLOCK = 16  # tokens: each conversation may leave part of a block unused


@asynccontextmanager
async def open_ours(model: Path, work: Work, precision: str) -> AsyncIterator[OurEngine]:
    """The engine with a cache that holds all of the work's conversations. `precision` is one of DTYPES.

    It doesn't guess ahead: a model with random weights repeats itself, which would flatter prompt lookup.

    Raises ModelNotFound, and ValueError if the model's context is too short for the work.
    """
    dtype, value_bytes = DTYPES[precision]
    tokens = work.conversations * (work.context_length + BLOCK)
    engine = open_engine(
        str(model),
        dtype=dtype,
        cache_mb=tokens * cached_values(model) * value_bytes / 2**20,
        context_length=work.context_length,
        max_running=work.conversations,
        speculate=0,
        packed_folder=user_cache_path("chorus") / "packed",
    )
    async with engine:
        if engine.context_length < work.context_length:
            raise ValueError(
                f"these conversations grow to {work.context_length} tokens each, but the model's context "
                f"holds {engine.context_length}: ask for fewer turns or shorter ones"
            )
        yield OurEngine(engine)


class OurEngine:
    """Follows `measure.Server`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.cached_tokens = 0

    async def answer(
        self, conversation: int, prompt: list[int], count: int
    ) -> AsyncGenerator[Sequence[int], None]:
        """See `measure.Server`."""
        sampling = SamplingParams(temperature=0, max_tokens=count, ignore_eos=True)
        async for output in self._engine.generate(Request(prompt_token_ids=prompt, sampling=sampling)):
            if isinstance(output, Delta):
                yield output.token_ids
            else:
                self.cached_tokens += output.usage.cached_tokens
