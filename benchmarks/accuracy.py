"""What the native step's precisions cost in accuracy: perplexity on a text that the model has not seen.

    python -m benchmarks.accuracy --text FILE [--model NAME_OR_FOLDER] [--tokens N]

FILE is plain text, or chats as JSON lines ({"messages": [{"role", "content"}, ...]}), also packed with xz.
The reference is transformers' own forward in f32. Texts are cut into windows, each read by itself.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForCausalLM

from inference.embedded import EMBEDDED
from inference.local.load import LoadOptions, load_model
from inference.local.locate import locate
from inference.local.row import BLOCK_SIZE, Row, Runner
from inference.local.template import ChatTemplate
from inference.local.tokenizer import Tokenizer, open_tokenizer
from inference.types import ChatMessage

WINDOW = 256  # tokens
Logits = Callable[[list[int]], Tensor]
"""Of a window's tokens, (tokens, V) f32."""


def texts(file: Path, template: ChatTemplate) -> Iterator[str]:
    """The file's texts; a chat as the model would read it, without its last answer's end."""
    with lzma.open(file, "rt") if file.suffix == ".xz" else file.open() as lines:
        if ".jsonl" not in file.name:
            yield lines.read()
            return
        for line in lines:
            messages = json.loads(line).get("messages")
            if messages:
                chat = [ChatMessage(one["role"], one["content"]) for one in messages]
                yield template.render(chat)


def windows(found: Iterator[str], tokenizer: Tokenizer, limit: int) -> list[list[int]]:
    """At most `limit` tokens in windows of at least two and at most WINDOW."""
    cut: list[list[int]] = []
    total = 0
    for text in found:
        tokens = tokenizer.encode(text, add_special=False)
        for start in range(0, len(tokens) - 1, WINDOW):
            cut.append(tokens[start : start + WINDOW])
            total += len(cut[-1])
            if total >= limit:
                return cut
    return cut


def perplexity(logits: Logits, cut: list[list[int]]) -> float:
    """e to the mean loss of every token but each window's first."""
    loss, count = 0.0, 0
    for window in cut:
        right = torch.tensor(window[1:])
        loss += float(F.cross_entropy(logits(window)[:-1], right, reduction="sum"))
        count += len(right)
    return math.exp(loss / count)


def of_runner(runner: Runner) -> Logits:
    """Each window as one row of a step."""
    runner.allocate(WINDOW // BLOCK_SIZE)
    blocks = range(WINDOW // BLOCK_SIZE)
    return lambda window: runner.step([Row(window, 0, blocks, len(window))])


def of_transformers(folder: Path) -> Logits:
    """The reference."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def logits(window: list[int]) -> Tensor:
        with torch.inference_mode():
            given: Tensor = model(torch.tensor([window])).logits[0]
        return given

    return logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--text", type=Path, required=True, help="a text the model has not seen")
    parser.add_argument("--model", default=EMBEDDED, help="embedded, a folder or a hub id")
    parser.add_argument("--tokens", type=int, default=50_000, help="read no more of the text than this")
    arguments = parser.parse_args()
    folder = locate(arguments.model, lambda _: None)
    tokenizer = open_tokenizer(folder)
    cut = windows(texts(arguments.text, ChatTemplate(tokenizer)), tokenizer, arguments.tokens)
    print(f"{sum(map(len, cut))} tokens in {len(cut)} windows")
    full = perplexity(of_transformers(folder), cut)
    print(f"{'transformers, float32':42} {full:10.4f}")
    for dtype, cache in (("bfloat16", "bfloat16"), ("int8", "bfloat16"), ("int8", "int8")):
        loaded = load_model(arguments.model, LoadOptions(dtype=dtype, cache_dtype=cache))
        own = perplexity(of_runner(loaded.runner), cut)
        print(f"{loaded.computed:42} {own:10.4f} {own / full - 1:+9.3%}", flush=True)


if __name__ == "__main__":
    main()
