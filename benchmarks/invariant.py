"""What the same answer whatever the load costs on torch: steps with `invariant=True` and without, in turns.

    python -m benchmarks.invariant [--shape smol|qwen|embedded|FOLDER] [--precision bf16|f32]

The native step and recurrent models are always invariant and have no such price.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from benchmarks.bound import BATCHES, CONTEXT, PROMPT, decode_rows, seconds
from inference.bench.shapes import model_folder
from inference.embedded import EMBEDDED, FOLDER
from inference.local.load import LoadOptions, load_model
from inference.local.row import BLOCK_SIZE, Row, Runner

DTYPES = {"bf16": "bfloat16", "f32": "float32"}
ROUNDS = 7


def opened(folder: Path, dtype: str, *, invariant: bool, rows: list[Row]) -> Runner:
    """A runner on torch that has computed what the rows stand behind."""
    options = LoadOptions(dtype=dtype, device="cpu", native=False, invariant=invariant)
    runner = load_model(str(folder), options).runner
    runner.allocate(1 + max(block for row in rows for block in row.blocks) + PROMPT // BLOCK_SIZE)
    for row in rows:
        for start in range(0, CONTEXT, PROMPT):
            count = min(PROMPT, CONTEXT - start)
            runner.step([Row([5 + n % 50 for n in range(count)], start, row.blocks, 0)])
    return runner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--shape", default="smol", help="smol, qwen, embedded, or the folder of a model")
    parser.add_argument("--precision", choices=DTYPES, default="bf16")
    parser.add_argument("--rows", type=int, nargs="+", default=[n for n in BATCHES if n <= 16])
    arguments = parser.parse_args()
    folder = FOLDER if arguments.shape == EMBEDDED else Path(arguments.shape)
    if not folder.is_dir():
        folder = model_folder(arguments.shape)
    rows = decode_rows(max(arguments.rows))
    kinds = [
        opened(folder, DTYPES[arguments.precision], invariant=invariant, rows=rows)
        for invariant in (False, True)
    ]
    first = 1 + max(block for row in rows for block in row.blocks)
    prompt = Row([5 + n % 50 for n in range(PROMPT)], 0, range(first, first + PROMPT // BLOCK_SIZE), 1)
    steps = {f"{count} rows at {CONTEXT} tokens": rows[:count] for count in arguments.rows}
    steps[f"{PROMPT} tokens of prompt"] = [prompt]
    print(f"{arguments.shape} in {arguments.precision} on torch, medians of {ROUNDS}")
    print(f"{'step':24} {'plain ms':>9} {'invariant ms':>13} {'price':>6}")
    for name, step in steps.items():
        times: list[list[float]] = [[], []]
        for number in range(ROUNDS + 1):
            for kind, taken in zip(kinds, times, strict=True):
                taken.append(seconds(lambda kind=kind, step=step: kind.step(step)))
                if number == 0:
                    taken.clear()  # kernels are compiled when first met
        plain, invariant = (1e3 * statistics.median(taken) for taken in times)
        print(f"{name:24} {plain:9.2f} {invariant:13.2f} {invariant / plain:5.1f}x")


if __name__ == "__main__":
    main()
