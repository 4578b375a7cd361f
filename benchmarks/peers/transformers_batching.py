"""transformers' continuous batching, with pages of 16 tokens: with its own 256 short chats share nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count as counter
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

from benchmarks.peers import run
from inference.bench.work import Work

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
PAGE_SIZE = 16
BATCH_TOKENS = 512  # tokens in a step at most
NO_TOKEN = -1  # as end of sequence: an answer has its full length


class BatchingServer:
    """Follows `inference.bench.measure.Server`. The manager doesn't tell what it found in its cache."""

    cached_tokens = None

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._names = counter()

    async def answer(
        self, conversation: int, prompt: list[int], count: int
    ) -> AsyncGenerator[Sequence[int], None]:
        outputs: asyncio.Queue[Any] = asyncio.Queue()
        name = f"request {next(self._names)}"
        self._manager.register_result_handler(name, outputs.put_nowait)
        self._manager.add_request(
            prompt, request_id=name, max_new_tokens=count, streaming=True, eos_token_id=NO_TOKEN
        )
        given = 0
        while given < count:
            output = await outputs.get()
            if output.error is not None:
                raise RuntimeError(output.error)
            new = output.generated_tokens[given:]
            given += len(new)
            yield new


@asynccontextmanager
async def open_server(folder: Path, precision: str, work: Work) -> AsyncIterator[BatchingServer]:
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=DTYPES[precision], attn_implementation="sdpa"
    ).eval()
    pages = -(-work.context_length // PAGE_SIZE)
    settings = ContinuousBatchingConfig(
        page_size=PAGE_SIZE,
        num_blocks=(work.conversations + 1) * pages,  # one more for the warm-up
        max_batch_tokens=BATCH_TOKENS,
    )
    greedy = GenerationConfig(do_sample=False, eos_token_id=NO_TOKEN, pad_token_id=0)
    with model.continuous_batching_context_manager(
        generation_config=greedy, continuous_batching_config=settings
    ) as manager:
        yield BatchingServer(manager)


if __name__ == "__main__":
    run(open_server)
