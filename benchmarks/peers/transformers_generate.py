"""transformers' `generate`: one answer at a time, each conversation's KV cache kept between its turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.generation.streamers import BaseStreamer

from benchmarks.peers import run
from inference.bench.work import Work

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class GenerateServer:
    """Follows `inference.bench.measure.Server`. Those who wait are served in the order they asked."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._caches: dict[int, DynamicCache] = {}  # by conversation
        self._free = asyncio.Lock()
        self.cached_tokens = 0

    async def answer(
        self, conversation: int, prompt: list[int], count: int
    ) -> AsyncGenerator[Sequence[int], None]:
        loop = asyncio.get_running_loop()
        tokens: asyncio.Queue[int | None] = asyncio.Queue()
        async with self._free:
            cache = self._caches.setdefault(conversation, DynamicCache(config=self._model.config))
            self.cached_tokens += cache.get_seq_length()
            streamer = _TokenStreamer(lambda token: loop.call_soon_threadsafe(tokens.put_nowait, token))
            generating = asyncio.create_task(
                asyncio.to_thread(self._generate, prompt, count, cache, streamer)
            )
            generating.add_done_callback(lambda _: tokens.put_nowait(None))
            while (token := await tokens.get()) is not None:
                yield [token]
            await generating

    def _generate(self, prompt: list[int], count: int, cache: DynamicCache, streamer: BaseStreamer) -> None:
        self._model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
            past_key_values=cache,
            streamer=streamer,
            do_sample=False,
            max_new_tokens=count,
            eos_token_id=None,
            pad_token_id=0,
        )


class _TokenStreamer(BaseStreamer):
    """Hands on each new token; `generate` puts the prompt first."""

    def __init__(self, show: Callable[[int], object]) -> None:
        self._show = show
        self._prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        if self._prompt_seen:
            self._show(int(value))
        self._prompt_seen = True

    def end(self) -> None:
        """`generate` has returned by the time anybody needs to know."""


@asynccontextmanager
async def open_server(folder: Path, precision: str, work: Work) -> AsyncIterator[GenerateServer]:
    yield GenerateServer(AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[precision]).eval())


if __name__ == "__main__":
    run(open_server)
