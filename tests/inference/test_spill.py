"""Blocks on disk: a conversation goes on where it was, after an eviction and after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import inference
from inference import Request, SamplingParams
from tests import models
from tests.conformance.engines import collect

GREEDY = SamplingParams(temperature=0, max_tokens=16, ignore_eos=True)
BLOCK = 4096  # bytes of the tiny model's blocks in float32


def options(folder: Path, *, blocks: int = 64, **more: Any) -> dict[str, Any]:
    return {"dtype": "float32", "spill_folder": folder, "cache_mb": blocks * BLOCK / 2**20, **more}


def request(first: int, length: int = 100, topic: str = "") -> Request:
    tokens = [6 + (first + n) % 300 for n in range(length)]
    return Request(prompt_token_ids=tokens, sampling=GREEDY, topic=topic)


async def test_a_conversation_goes_on_after_a_restart(tiny_model: Path, tmp_path: Path) -> None:
    async with inference.open_engine(str(tiny_model), **options(tmp_path)) as engine:
        before = await collect(engine.generate(request(0)))
    async with inference.open_engine(str(tiny_model), **options(tmp_path)) as engine:
        after = await collect(engine.generate(request(0)))
        assert engine.stats().restored_blocks == 6
    assert after[1] == before[1]
    assert after[2].usage.cached_tokens == 96


async def test_what_was_evicted_comes_back(tiny_model: Path, tmp_path: Path) -> None:
    few = options(tmp_path, blocks=10, context_length=128)
    async with inference.open_engine(str(tiny_model), **few) as engine:
        first = await collect(engine.generate(request(0)))
        for other in range(1, 5):
            await collect(engine.generate(request(40 * other)))
        again = await collect(engine.generate(request(0)))
        assert engine.stats().spilled_blocks > 0
    assert again[1] == first[1]
    assert again[2].usage.cached_tokens > 0


async def test_the_limit_is_kept_and_the_longest_unread_go(tiny_model: Path, tmp_path: Path) -> None:
    limited = options(tmp_path, spill_mb=12 * (BLOCK + 1000) / 2**20)
    async with inference.open_engine(str(tiny_model), **limited) as engine:
        for number in range(6):
            await collect(engine.generate(request(50 * number)))
    files = list(tmp_path.rglob("*.safetensors"))
    assert 0 < sum(path.stat().st_size for path in files) <= 12 * (BLOCK + 1000)
    async with inference.open_engine(str(tiny_model), **limited) as engine:
        newest = await collect(engine.generate(request(250)))
        oldest = await collect(engine.generate(request(0)))
    assert newest[2].usage.cached_tokens > 0
    assert oldest[2].usage.cached_tokens == 0


async def test_another_models_blocks_are_never_used(tiny_model: Path, tmp_path: Path) -> None:
    other = models.build(tmp_path / "other", seed=1)
    async with inference.open_engine(str(tiny_model), **options(tmp_path / "spill")) as engine:
        await collect(engine.generate(request(0)))
    async with inference.open_engine(str(other), **options(tmp_path / "spill")) as engine:
        answer = await collect(engine.generate(request(0)))
    assert answer[2].usage.cached_tokens == 0


@pytest.mark.parametrize("damage", ["empty", "cut", "gone"])
async def test_a_damaged_file_is_computed_again(damage: str, tiny_model: Path, tmp_path: Path) -> None:
    async with inference.open_engine(str(tiny_model), **options(tmp_path)) as engine:
        before = await collect(engine.generate(request(0)))
    async with inference.open_engine(str(tiny_model), **options(tmp_path)) as engine:
        for path in tmp_path.rglob("*.safetensors"):
            match damage:
                case "empty":
                    path.write_bytes(b"")
                case "cut":
                    path.write_bytes(path.read_bytes()[:-100])
                case _:
                    path.unlink()
        after = await collect(engine.generate(request(0)))
    assert after[1] == before[1]
    assert after[2].usage.cached_tokens == 0


async def test_begun_and_unfinished_files_are_cleared_away(tiny_model: Path, tmp_path: Path) -> None:
    async with inference.open_engine(str(tiny_model), **options(tmp_path)) as engine:
        await asyncio.gather(*(collect(engine.generate(request(n))) for n in (0, 150)))
    [folder] = tmp_path.iterdir()
    (folder / "ab.part").write_bytes(b"half")
    async with inference.open_engine(str(tiny_model), **options(tmp_path)):
        assert not (folder / "ab.part").exists()


async def test_what_is_forgotten_is_on_no_disk_and_the_rest_stays(tiny_model: Path, tmp_path: Path) -> None:
    other = models.build(tmp_path / "other", seed=1)
    spill = tmp_path / "spill"
    for model in (other, tiny_model):
        async with inference.open_engine(str(model), **options(spill)) as engine:
            await collect(engine.generate(request(0, topic="alice")))
            await collect(engine.generate(request(150, topic="bob")))
    before = set(spill.rglob("*.safetensors"))
    async with inference.open_engine(str(tiny_model), **options(spill)) as engine:
        engine.forget(["alice"])
        again = await collect(engine.generate(request(150, topic="bob")))
        assert again[2].usage.cached_tokens == 96
        anew = await collect(engine.generate(request(0, topic="alice")))
        assert anew[2].usage.cached_tokens == 0
        engine.forget(["alice"])
    left = set(spill.rglob("*.safetensors"))
    assert left < before
    assert len(left) * 2 == len(before), "alice's are gone, also those of the other model"


async def test_what_is_forgotten_while_it_runs_is_not_kept(tiny_model: Path, tmp_path: Path) -> None:
    async with inference.open_engine(str(tiny_model), **options(tmp_path)) as engine:
        stream = engine.generate(request(0, topic="alice"))
        await anext(stream)
        engine.forget(["alice", "nobody"])
        assert [one async for one in stream], "it ends as usual"
    assert list(tmp_path.rglob("*.safetensors")) == []


async def test_what_others_said_too_is_kept_for_them(tiny_model: Path, tmp_path: Path) -> None:
    async with inference.open_engine(str(tiny_model), **options(tmp_path)) as engine:
        await collect(engine.generate(request(0, topic="alice")))
        engine.forget(["alice"])
        await collect(engine.generate(request(0, topic="alice")))
        await collect(engine.generate(request(0, topic="bob")))
        engine.forget(["alice"])
        again = await collect(engine.generate(request(0, topic="bob")))
    assert again[2].usage.cached_tokens == 0, "it is computed again, as Bob's"
    async with inference.open_engine(str(tiny_model), **options(tmp_path)) as engine:
        after = await collect(engine.generate(request(0, topic="bob")))
    assert after[2].usage.cached_tokens == 96


async def test_files_that_tell_no_topic_go(tiny_model: Path, tmp_path: Path) -> None:
    async with inference.open_engine(str(tiny_model), **options(tmp_path)) as engine:
        await collect(engine.generate(request(0)))
    [folder] = tmp_path.iterdir()
    for file in folder.iterdir():
        file.rename(file.with_stem(file.stem.partition("-")[0]))
    async with inference.open_engine(str(tiny_model), **options(tmp_path)) as engine:
        assert list(folder.iterdir()) == []
        answer = await collect(engine.generate(request(0)))
    assert answer[2].usage.cached_tokens == 0
