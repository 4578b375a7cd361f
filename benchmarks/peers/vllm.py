"""vLLM's asynchronous engine on the processor, with its own prefix cache."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count as counter
from pathlib import Path
from typing import Any

from vllm import SamplingParams, TokensPrompt
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM

from benchmarks.peers import run
from inference.bench.work import Work

DTYPES = {"f32": "float32", "bf16": "bfloat16"}
CACHE_GB = "2"


class VllmServer:
    """Follows `inference.bench.measure.Server`."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._names = counter()
        self.cached_tokens = 0

    async def answer(
        self, conversation: int, prompt: list[int], count: int
    ) -> AsyncGenerator[Sequence[int], None]:
        sampling = SamplingParams(
            temperature=0,
            max_tokens=count,
            ignore_eos=True,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )
        outputs = self._engine.generate(
            TokensPrompt(prompt_token_ids=prompt), sampling, request_id=str(next(self._names))
        )
        async for output in outputs:
            yield output.outputs[0].token_ids
        self.cached_tokens += output.num_cached_tokens or 0


@asynccontextmanager
async def open_server(folder: Path, precision: str, work: Work) -> AsyncIterator[VllmServer]:
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = CACHE_GB
    settings = AsyncEngineArgs(
        model=str(folder),
        dtype=DTYPES[precision],
        max_model_len=work.context_length,
        max_num_seqs=work.conversations,
        enable_prefix_caching=True,
        disable_log_stats=True,
    )
    engine = AsyncLLM.from_engine_args(settings)
    try:
        yield VllmServer(engine)
    finally:
        engine.shutdown()


if __name__ == "__main__":
    run(open_server)
