"""The families of language models side by side: `make bench-families`.

    python -m benchmarks.families --data FOLDER [--tokens N] [--judged DOCUMENTS]

Each is trained on the same rows of the same chats, for as many steps, with about as many parameters: a Llama,
our recurrent family (LSTM, GRU), and `reference_lstm`. Perplexity is that of what the assistant says in chats
that none of them has seen. Ours are served by the engine as a bot would have them, greedy answers of 64
tokens to prompts of 230, 1 and 16 at a time; the reference, by its own loop, has all 16 prompts equally long.

Then, what a conversation takes of the cache at 100 and at 100,000 tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import lzma
import math
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from benchmarks import reference_lstm
from inference.bench.measure import measure
from inference.bench.ours import OurEngine
from inference.bench.work import Work
from inference.local.engine import LocalEngine
from inference.registry import open_engine
from inference.training.build import parameter_count
from inference.training.corpus import Document, read
from inference.training.evaluate import evaluate
from inference.training.judge import Judge
from inference.training.order import Order
from inference.training.prepare import Workshop, prepare
from inference.training.recipe import Recipe
from inference.training.rows import RowStream
from inference.training.shards import Shards
from inference.training.train import train
from inference.training.vocabulary import Vocabulary
from inference.types import Delta, Request, SamplingParams

TRAINED_ON, JUDGED_ON = "chat-core.jsonl.xz", "chat-eval.jsonl.xz"
SLICE = "chats.jsonl"
CHARACTERS = 6  # of the slice a token that is trained on; a token is about 4
ROW, ROWS, SEED = 256, 16, 1
VOCABULARY = 4096
FAMILIES: dict[str, dict[str, Any]] = {  # of 2.4 to 2.6 million parameters
    "llama": {
        "family": "llama",
        "hidden": 192,
        "layers": 4,
        "heads": 3,
        "intermediate": 512,
    },
    "lstm": {"family": "recurrent", "cell": "lstm", "hidden": 544, "embedding": 192, "layers": 1},
    "gru": {"family": "recurrent", "cell": "gru", "hidden": 640, "embedding": 192, "layers": 1},
}
REFERENCE = {"width": 360, "layers": 1}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "llama": {"kind": "muon", "rate": 0.012, "adamw_rate": 3e-3, "weight_decay": 0.02},
    "recurrent": {"kind": "adamw", "rate": 5e-3, "weight_decay": 0.01},
}
CONVERSATIONS = (1, 16)
PROMPT, ANSWER = 230, 64
LENGTHS = (100, 100_000)  # tokens of a conversation whose cache is weighed
MAX_NAMED = 18


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    parameters: int
    perplexity: float
    seconds: float  # of training
    speeds: dict[int, float]  # tokens a second by conversations at once


def recipe(family: str, tokens: int) -> Recipe:
    model = {**FAMILIES[family], "context": 512}
    return Recipe(
        name=family,
        seed=SEED,
        tokenizer={"vocabulary": VOCABULARY},
        model=model,
        corpora={"chats": {"files": (SLICE,)}},
        optimizer=OPTIMIZERS[model["family"]],
        schedule={"kind": "cosine", "warmup": reference_lstm.WARMUP},
        train={"row": ROW, "step_rows": ROWS, "micro_rows": ROWS, "checkpoint_every": 10**6},
        phases=({"tokens": tokens, "mix": {"chats": 1}},),
    )


def cut(source: Path, target: Path, tokens: int) -> None:
    """As many chats, taken evenly from the file, as give the tokens without any coming twice."""
    with lzma.open(source, "rt", encoding="utf-8") as lines:
        size = sum(map(len, lines))
    every = max(1, size // (CHARACTERS * tokens))
    with lzma.open(source, "rt", encoding="utf-8") as lines:
        target.write_text("".join(islice(lines, 0, None, every)), encoding="utf-8")


def quiet(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


def documents(data: Path, count: int) -> list[Document]:
    return list(islice(read([data / JUDGED_ON], quiet), count))


def ours(family: str, tokens: int, workshop: Workshop, judged: list[Document]) -> Result:
    """Train a family in a workshop where all is prepared; its model stays in the folder of its name."""
    began = time.perf_counter()
    trained = train(recipe(family, tokens), workshop, lambda _: None, device="cpu", fresh=True)
    seconds = time.perf_counter() - began
    folder = workshop.folder / family
    workshop.model.rename(folder)
    report = evaluate(Judge(str(folder), device="cpu"), judged, candidates=1)
    speeds = {count: asyncio.run(_speed(folder, count)) for count in CONVERSATIONS}
    return Result(family, trained.parameters, report.perplexity, seconds, speeds)


def reference(tokens: int, workshop: Workshop, judged: list[Document]) -> Result:
    said = recipe("lstm", tokens)
    vocabulary = Vocabulary.open(workshop.tokenizer)
    torch.manual_seed(SEED)
    model = reference_lstm.ReferenceLSTM(vocabulary.size, **REFERENCE)
    seconds = reference_lstm.train(
        model, _batches(workshop, vocabulary.pad), steps=said.steps, pad=vocabulary.pad
    )
    model.eval()
    reader = Judge(str(workshop.folder / "llama"), device="cpu")
    texts = ((one.tokens, one.counted) for document in judged for one in reader.read(document))
    perplexity = reference_lstm.perplexity(model, texts)
    speeds = {}
    for count in CONVERSATIONS:
        prompts = torch.randint(6, vocabulary.size, (count, PROMPT))
        began = time.perf_counter()
        reference_lstm.generate(model, prompts, ANSWER)
        speeds[count] = count * ANSWER / (time.perf_counter() - began)
    return Result("reference LSTM", parameter_count(model.parameters()), perplexity, seconds, speeds)


def _batches(workshop: Workshop, pad: int) -> Iterator[torch.Tensor]:
    """The rows that the others were given, in the same order."""
    shards = Shards(workshop.shards("chats"))
    stream = RowStream([shards], Order([len(shards)], [1], SEED), row=ROW, pad=pad, all_count=True)
    while True:
        yield torch.from_numpy(stream.take(ROWS).tokens)


@asynccontextmanager
async def _engine(folder: Path, **options: Any) -> AsyncIterator[LocalEngine]:
    engine = open_engine(str(folder), speculate=0, **options)
    assert isinstance(engine, LocalEngine)
    async with engine:
        yield engine


async def _speed(folder: Path, conversations: int) -> float:
    async with _engine(folder) as engine:
        work = Work(VOCABULARY, conversations, turns=1, system=PROMPT - 30, question=30, answer=ANSWER)
        return (await measure(work, OurEngine(engine))).tokens_per_second


async def cache_bytes(folder: Path, length: int) -> int:
    """What one conversation takes of the cache when it has grown to `length` tokens, turn by turn."""
    async with _engine(folder) as engine:
        turn = max(20, length // 50)
        said = [6 + n * 7 % 1000 for n in range(length)]
        for end in range(turn, length + 1, turn):
            sampling = SamplingParams(temperature=0, max_tokens=1, ignore_eos=True)
            request = Request(prompt_token_ids=said[:end], sampling=sampling)
            assert [one async for one in engine.generate(request) if isinstance(one, Delta)]
        stats = engine.stats()
        return (stats.held_blocks + stats.cached_blocks) * stats.block_bytes


def show(results: list[Result]) -> None:
    print(f"{'':{MAX_NAMED}} {'parameters':>11} {'perplexity':>11} {'training s':>11}", end="")
    print("".join(f" {f'tokens/s, N={count}':>15}" for count in CONVERSATIONS))
    for one in results:
        print(
            f"{one.name:{MAX_NAMED}} {one.parameters:11,} {one.perplexity:11.2f} {one.seconds:11.1f}", end=""
        )
        print("".join(f" {one.speeds[count]:15.0f}" for count in CONVERSATIONS))
    best, *others = sorted(results, key=lambda one: one.perplexity)
    for other in others:
        less = math.log(other.perplexity) - math.log(best.perplexity)
        print(f"{best.name} wins over {other.name} by {less:.3f} nats a token", end="")
        print(f" ({1 - best.perplexity / other.perplexity:.1%} less perplexity)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help=f"holds {TRAINED_ON} and {JUDGED_ON}")
    parser.add_argument("--tokens", type=int, default=2_000_000, help="that each model is trained on")
    parser.add_argument("--judged", type=int, default=200, help="chats that perplexity is taken of")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder) / "workshop")
        cut(arguments.data / TRAINED_ON, Path(folder) / SLICE, arguments.tokens)
        index = prepare(recipe("llama", arguments.tokens), Path(folder), workshop, quiet)["chats"]
        judged = documents(arguments.data, arguments.judged)
        print(
            f"{recipe('llama', arguments.tokens).steps} steps of {ROWS * ROW} tokens, of {index.tokens:,} in "
            f"{index.documents:,} chats; judged by {len(judged)} chats",
            flush=True,
        )
        results = [ours(family, arguments.tokens, workshop, judged) for family in FAMILIES]
        results.append(reference(arguments.tokens, workshop, judged))
        show(results)
        for family in FAMILIES:
            if FAMILIES[family]["family"] == "recurrent":
                for length in LENGTHS:
                    size = asyncio.run(cache_bytes(workshop.folder / family, length))
                    print(f"{family}: a conversation of {length:,} tokens takes {size:,} bytes of cache")


if __name__ == "__main__":
    main()
