"""How near the native step comes to what the machine can do: bandwidth for decoding, arithmetic for prompts.

    python -m benchmarks.bound [--shape smol|qwen|FOLDER] [--precision int8|bf16] [--cache bf16|int8]

A decode step has to read all weights and the context's keys and values once: bytes / bandwidth is its bound,
and the bandwidth is measured in between with the step's own threads. Where rows share their context's
beginning, which is then read once for all of them, the bound counts it once for each all the same. A prompt's
bound is arithmetic: the peak is that of torch's own large matrix product, measured in between too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from inference.bench.shapes import model_folder
from inference.embedded import EMBEDDED, FOLDER
from inference.local.load import LoadOptions, load_model
from inference.local.native.runner import NativeRunner
from inference.local.row import BLOCK_SIZE, Row

CONTEXT = 400  # tokens before the step's own
SHARED = 200  # of them the same for all rows
BATCHES = (1, 2, 4, 8, 16, 32, 64)
PROMPT = 256  # tokens of a chunk
ROUNDS = 15
SQUARE = 2048  # the matrix product that shows the peak
DTYPES = {"int8": "int8", "bf16": "bfloat16"}


def seconds(work: Callable[[], object], times: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


class Machine:
    """What it can do at this moment."""

    def __init__(self, runner: NativeRunner, precision: str) -> None:
        self._runner = runner
        self._memory = torch.ones(512 << 20, dtype=torch.uint8)
        kind = torch.int8 if precision == "int8" else torch.bfloat16
        self._square = torch.ones(SQUARE, SQUARE, dtype=kind)

    def bandwidth(self) -> float:
        """Bytes a second."""
        return self._memory.numel() / seconds(lambda: self._runner.read_memory(self._memory))

    def arithmetic(self) -> float:
        """Operations a second."""
        a = self._square
        multiply = (lambda: torch._int_mm(a, a)) if a.dtype == torch.int8 else (lambda: a @ a)
        threads = torch.get_num_threads()
        torch.set_num_threads(self._runner.threads)
        multiply()
        best = 2 * SQUARE**3 / min(seconds(multiply) for _ in range(3))
        torch.set_num_threads(threads)
        return best


def decode_rows(count: int) -> list[Row]:
    """Rows of one token behind CONTEXT tokens, SHARED of which lie in the same blocks."""
    shared = list(range(SHARED // BLOCK_SIZE))
    own = -(-(CONTEXT + 1) // BLOCK_SIZE) - len(shared)
    return [
        Row([7 + n], CONTEXT, shared + list(range(len(shared) + n * own, len(shared) + (n + 1) * own)), 1)
        for n in range(count)
    ]


def fill(runner: NativeRunner, rows: list[Row]) -> None:
    """Keys and values for what the rows will read."""
    for row in rows:
        for start in range(0, CONTEXT, PROMPT):
            count = min(PROMPT, CONTEXT - start)
            runner.step([Row([5 + n % 50 for n in range(count)], start, row.blocks, 0)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--shape", default="smol", help="smol, qwen, embedded, or the folder of a model")
    parser.add_argument("--precision", choices=DTYPES, default="int8", help="of the weights")
    parser.add_argument("--cache", choices=DTYPES, default="bf16", help="of keys and values")
    parser.add_argument("--packed", type=Path, help="where packed weights are kept; opening is timed twice")
    arguments = parser.parse_args()
    shapes = {EMBEDDED: FOLDER}
    folder = shapes.get(arguments.shape) or (
        Path(arguments.shape) if Path(arguments.shape).is_dir() else model_folder(arguments.shape)
    )
    options = LoadOptions(
        dtype=DTYPES[arguments.precision], cache_dtype=DTYPES[arguments.cache], packed_folder=arguments.packed
    )
    opening = [seconds(lambda: load_model(str(folder), options)) for _ in range(2)]
    runner = load_model(str(folder), options).runner
    assert isinstance(runner, NativeRunner), "this model does not run on the native step"
    rows = decode_rows(max(BATCHES))
    runner.allocate(2 + max(block for row in rows for block in row.blocks) + PROMPT // BLOCK_SIZE)
    fill(runner, rows)
    machine = Machine(runner, arguments.precision)
    print(
        f"{arguments.shape}, weights {arguments.precision}, cache {arguments.cache}, "
        f"{runner.instruction_set}, {runner.threads} threads; "
        f"opened in {opening[0]:.2f} s, again in {opening[1]:.2f} s"
    )
    print(f"{'rows':>4} {'median ms':>10} {'bound ms':>9} {'share':>6} {'tokens/s':>9}")
    for count in BATCHES:
        step = lambda count=count: runner.step(rows[:count])  # noqa: E731
        step()
        times, bounds = [], []
        for _ in range(ROUNDS):
            times.append(seconds(step, 3))
            read = runner.weight_bytes + count * CONTEXT * runner.block_bytes / BLOCK_SIZE
            bounds.append(read / machine.bandwidth())
        median, bound = statistics.median(times), statistics.median(bounds)
        print(
            f"{count:4} {median * 1e3:10.2f} {bound * 1e3:9.2f} {bound / median:6.0%} {count / median:9.0f}"
        )
    prompt = Row([5 + n % 50 for n in range(PROMPT)], 0, list(range(PROMPT // BLOCK_SIZE)), 1)
    runner.step([prompt])
    times, peaks = [], []
    for _ in range(ROUNDS):
        times.append(seconds(lambda: runner.step([prompt])))
        peaks.append(machine.arithmetic())
    median, peak = statistics.median(times), statistics.median(peaks)
    work = 2 * PROMPT * linear_weights(folder)
    print(f"{PROMPT} tokens of prompt: {median * 1e3:.1f} ms, {work / median / 1e9:.0f} of "
          f"{peak / 1e9:.0f} GOP/s: {work / median / peak:.0%}")  # fmt: skip


def linear_weights(folder: Path) -> int:
    """Weights of the linear layers that every token goes through: all but the embedding and the head."""
    config = json.loads((folder / "config.json").read_text())
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    heads = config["num_attention_heads"]
    dims = config.get("head_dim") or hidden // heads
    kv_heads = config.get("num_key_value_heads") or heads
    attention = hidden * dims * (2 * heads + 2 * kv_heads)
    return int(layers * (attention + 3 * hidden * config["intermediate_size"]))


if __name__ == "__main__":
    main()
