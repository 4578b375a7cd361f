"""llama.cpp's own server, a child process on loopback, with a slot for each conversation.

int8 is its q8_0, which has a scale for every 32 weights; its KV cache is float16. Converts the model beside
itself the first time. Needs nothing of the model's tokenizer: a token's text is its number, because the
server holds back tokens that end within a character.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.peers import run
from inference.bench.work import Work

QUANTIZATIONS = {"f32": "F32", "bf16": "BF16", "int8": "Q8_0"}
PROGRAM = Path(sys.executable).with_name("llama-server")
HOST = "127.0.0.1"
EVENT = b"data: "
POLL = 0.05  # seconds between two looks whether the server is ready
END_LIMIT = 10  # seconds for the server to end when asked to
PR_SET_PDEATHSIG = 1  # from Linux's prctl.h


class LlamaServer:
    """Follows `inference.bench.measure.Server`."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.cached_tokens = 0

    async def answer(
        self, conversation: int, prompt: list[int], count: int
    ) -> AsyncGenerator[Sequence[int], None]:
        request = {
            "prompt": prompt,
            "n_predict": count,
            "id_slot": max(conversation, 0),  # the warm-up is nobody's conversation
            "cache_prompt": True,
            "ignore_eos": True,
            "temperature": 0,
            "samplers": ["top_k"],  # the quickest way to the likeliest token
            "top_k": 1,
            "stream": True,
            "return_tokens": True,
            "response_fields": ["stop", "timings"],  # of the last event
        }
        async with self._session.post("/completion", json=request) as response:
            if response.status != 200:
                raise RuntimeError(await response.text())
            async for line in response.content:
                if not line.strip():
                    continue
                if not line.startswith(EVENT):
                    raise RuntimeError(line.decode())
                event = json.loads(line.removeprefix(EVENT))
                if event["stop"]:
                    self.cached_tokens += event["timings"]["cache_n"]
                    return
                yield event["tokens"]


@asynccontextmanager
async def open_server(folder: Path, precision: str, work: Work) -> AsyncIterator[LlamaServer]:
    port = _free_port()
    options = {
        "--model": _converted(folder, precision),
        "--threads": os.cpu_count(),
        "--parallel": work.conversations,
        "--ctx-size": work.conversations * (work.context_length + 1),  # it stops before a slot is full
        "--host": HOST,
        "--port": port,
    }
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *(str(part) for option in options.items() for part in option),
        stdout=sys.stderr,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )
    try:
        async with aiohttp.ClientSession(
            f"http://{HOST}:{port}",
            connector=aiohttp.TCPConnector(limit=0, force_close=True),  # the server ends them after an answer
            timeout=aiohttp.ClientTimeout(total=None),
        ) as session:
            while not await _ready(session):
                if process.returncode is not None:
                    raise RuntimeError(f"llama-server ended with exit code {process.returncode}")
                await asyncio.sleep(POLL)
            yield LlamaServer(session)
    finally:
        await _end(process)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _end_with_parent() -> None:
    """Called in the child: not even a killed benchmark leaves a server behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


async def _ready(session: aiohttp.ClientSession) -> bool:
    """Whether the server has loaded the model."""
    try:
        async with session.get("/health") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(END_LIMIT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _converted(folder: Path, precision: str) -> Path:
    """The model's file for llama.cpp, written first if it isn't there yet: in a process of its own, so that
    the memory this takes is not counted as the server's."""
    target = folder.with_name(f"{folder.name}-llama-{precision}.gguf")
    if not target.is_file():
        draft = target.with_suffix(".part")
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pool.submit(convert, folder, precision, draft).result()
        draft.rename(target)
    return target


def convert(folder: Path, precision: str, target: Path) -> None:
    """Write for llama.cpp what `inference.bench.shapes` built in the folder: a model of bfloat16 weights."""
    import gguf

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architecture, layers = config["model_type"], config["num_hidden_layers"]
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], layers)
    matrices = gguf.GGMLQuantizationType[QUANTIZATIONS[precision]]
    writer = gguf.GGUFWriter(target, architecture)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _describe(writer, config)
    for name, tensor in gguf.utility.SafetensorsLocal(folder / "model.safetensors").tensors.items():
        rows = tensor.mmap_bytes().reshape(*tensor.shape[:-1], -1)
        weights = gguf.dequantize(rows, gguf.GGMLQuantizationType.BF16)
        if architecture == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
            weights = _paired(weights, config["head_dim"])
        kind = matrices if weights.ndim > 1 else gguf.GGMLQuantizationType.F32
        new_name = names.get_name(name, try_suffixes=(".weight",))
        writer.add_tensor(new_name, gguf.quantize(weights, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: Any, config: dict[str, Any]) -> None:
    """What llama.cpp must know of a model."""
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([str(token) for token in range(config["vocab_size"])])
    writer.add_token_merges(["1 0"])  # it wants some
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])


def _paired(weights: Any, head_dim: int) -> Any:
    """weights (heads * head_dim, hidden), rows moved: transformers rotates row i of a head together with row
    i + head_dim / 2, llama.cpp's Llama with its neighbour."""
    halves = weights.reshape(-1, 2, head_dim // 2, weights.shape[-1])
    return halves.swapaxes(1, 2).reshape(weights.shape)


if __name__ == "__main__":
    run(open_server)
