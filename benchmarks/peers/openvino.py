"""OpenVINO GenAI's continuous batching pipeline. Converts the model beside itself the first time.

Its KV cache is int8 where it likes: weights alone have the given precision.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count as counter
from pathlib import Path
from typing import Any

import openvino
import openvino_genai

from benchmarks.peers import run
from inference.bench.work import Work

WEIGHT_FORMATS = {"f32": "fp32", "int8": "int8"}
BLOCK_SIZE = 32  # tokens; the pipeline's own on processors


class PipelineServer:
    """Follows `inference.bench.measure.Server`. One thread steps the pipeline while it has requests."""

    cached_tokens = None  # the pipeline doesn't tell

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._names = counter()
        self._running: dict[int, tuple[Any, Callable[[list[int]], object]]] = {}  # handle and reader
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)
        self._thread.start()

    async def answer(
        self, conversation: int, prompt: list[int], count: int
    ) -> AsyncGenerator[Sequence[int], None]:
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[list[int]] = asyncio.Queue()
        settings = openvino_genai.GenerationConfig()
        settings.max_new_tokens = count
        settings.ignore_eos = True
        settings.do_sample = False
        name = next(self._names)
        with self._changed:
            handle = self._pipeline.add_request(name, openvino.Tensor([prompt]), settings)
            self._running[name] = (
                handle,
                lambda piece: loop.call_soon_threadsafe(pieces.put_nowait, piece),
            )
            self._changed.notify()
        given = 0
        while given < count:
            piece = await pieces.get()
            given += len(piece)
            yield piece
        with self._changed:
            del self._running[name]

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._pipeline.has_non_finished_requests())
                if self._closed:
                    return
            self._pipeline.step()
            with self._changed:
                for handle, read in self._running.values():
                    while handle.can_read():
                        for output in handle.read().values():
                            read(list(output.generated_ids))


@asynccontextmanager
async def open_server(folder: Path, precision: str, work: Work) -> AsyncIterator[PipelineServer]:
    settings = openvino_genai.SchedulerConfig()
    settings.enable_prefix_caching = True
    settings.num_kv_blocks = (work.conversations + 1) * -(-work.context_length // BLOCK_SIZE)
    pipeline = openvino_genai.ContinuousBatchingPipeline(_converted(folder, precision), settings, "CPU")
    server = PipelineServer(pipeline)
    try:
        yield server
    finally:
        server.close()


def _converted(folder: Path, precision: str) -> Path:
    target = folder.with_name(f"{folder.name}-openvino-{precision}")
    if not target.is_dir():
        draft = folder.with_name(f"{target.name}.part")
        exporter = Path(sys.executable).with_name("optimum-cli")
        format_options = ["--task", "text-generation-with-past", "--weight-format", WEIGHT_FORMATS[precision]]
        command = [exporter, "export", "openvino", "--model", folder, *format_options, draft]
        subprocess.run(command, check=True, stdout=sys.stderr)
        draft.rename(target)
    return target


if __name__ == "__main__":
    run(open_server)
