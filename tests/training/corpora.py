"""Tiny corpora and recipes, written by the tests."""

from __future__ import annotations

import json
import lzma
import random
from pathlib import Path
from typing import Any

from inference.training.recipe import Recipe

NAMES = ("Ada", "Bo", "Cleo", "Dan", "Eve")
FOODS = ("soup", "bread", "rice", "cake")


def chats(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Short chats; every third has a system message, every second two exchanges."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        name, food = chance.choice(NAMES), chance.choice(FOODS)
        messages = [
            {"role": "user", "content": f"Hi, I am {name} and I like {food}."},
            {"role": "assistant", "content": f"Hello {name}! {food} is good."},
        ]
        if number % 2:
            messages += [
                {"role": "user", "content": "What is my name?"},
                {"role": "assistant", "content": f"Your name is {name}, and you like {food}."},
            ]
        if number % 3 == 0:
            messages.insert(0, {"role": "system", "content": "You are kind."})
        made.append({"source": "even" if number % 2 == 0 else "odd", "messages": messages})
    return made


def write(file: Path, objects: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects)
    if file.suffix == ".xz":
        file.write_bytes(lzma.compress(text.encode()))
    else:
        file.write_text(text, encoding="utf-8")
    return file


LLAMA: dict[str, Any] = {
    "family": "llama",
    "hidden": 32,
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "intermediate": 48,
    "context": 128,
}


def recipe(**changes: Any) -> Recipe:
    """Eight steps of four rows in two phases, on chats and a text."""
    said: dict[str, Any] = {
        "name": "tiny",
        "seed": 3,
        "tokenizer": {"vocabulary": 400},
        "model": LLAMA,
        "corpora": {"chats": {"files": ["chats.jsonl.xz"]}, "text": {"files": ["text.txt"]}},
        "optimizer": {"kind": "muon", "rate": 0.01, "adamw_rate": 3e-3},
        "schedule": {"warmup": 2},
        "train": {
            "row": 64,
            "step_rows": 4,
            "micro_rows": 2,
            "precision": "float32",
            "checkpoint_every": 3,
        },
        "phases": [
            {"tokens": 4 * 64 * 4, "mix": {"chats": 1, "text": 2}},
            {"tokens": 4 * 64 * 4, "mix": {"chats": 1}, "loss": "assistant"},
        ],
    }
    return Recipe(**{**said, **changes})


def data(folder: Path) -> Path:
    """The files that the recipe names."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "chats.jsonl.xz", chats(60))
    lines = [f"{name} cooks {food} on day {day}.\n" for name in NAMES for food in FOODS for day in range(7)]
    (folder / "text.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def quiet(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""
