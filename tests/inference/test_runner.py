"""The torch runner: it computes what transformers does, and in invariant mode always the same bits."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from inference.local import attention
from inference.local.llama import LlamaForward
from inference.local.row import BLOCK_SIZE, Row
from inference.local.runner import TorchRunner
from tests import models

BLOCKS = 96
OWN_FORWARD = {"llama", "llama-rope-scaling", "qwen2", "qwen3", "mistral"}
INVARIANT = ["llama", "qwen3", "gpt2", "mistral", "gemma2"]
dice = random.Random(11)
TEXTS = [[dice.randrange(6, models.VOCABULARY) for _ in range(length)] for length in (3, 16, 40, 41, 90, 150)]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights of each family, built when first asked for."""

    class Folders(dict[str, Path]):
        def __missing__(self, family: str) -> Path:
            self[family] = models.build(tmp_path_factory.mktemp(family), family)
            return self[family]

    return Folders()


def runner(folder: Path, dtype: torch.dtype = torch.float32, *, invariant: bool = False) -> TorchRunner:
    made = TorchRunner(models.reference(folder).to(dtype), invariant=invariant)
    made.allocate(BLOCKS)
    return made


class Pages:
    """Hands each text its blocks, in random places."""

    def __init__(self, seed: int = 0) -> None:
        places = list(range(BLOCKS))
        random.Random(seed).shuffle(places)
        self._blocks = []
        for text in TEXTS:
            count = -(-len(text) // BLOCK_SIZE)
            self._blocks.append(places[:count])
            places = places[count:]

    def row(self, text: int, start: int, count: int, logits: int | None = None) -> Row:
        tokens = TEXTS[text][start : start + count]
        return Row(tokens, start, self._blocks[text], len(tokens) if logits is None else logits)


@cache
def wanted(folder: Path, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """What transformers itself gives for each text: (length, V)."""
    model = models.reference(folder).to(dtype)
    with torch.inference_mode():
        return [model(torch.tensor([text])).logits[0].float() for text in TEXTS]


def worst(given: Tensor, right: Tensor) -> float:
    return float((given - right).abs().max() / right.abs().max())


@pytest.mark.parametrize("family", models.FAMILIES)
def test_a_mixed_step_gives_the_logits_of_transformers(
    family: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "TOGETHER", 256)  # small enough that some groups are split
    right = wanted(folders[family])
    pages = Pages()
    one = runner(folders[family])
    # A chunk of each text, then in one step: chunks, single tokens, four tokens to verify, a text not begun.
    one.step([pages.row(text, 0, 30, logits=0) for text in (2, 3, 4, 5)])
    given = one.step(
        [
            pages.row(5, 30, 1),
            pages.row(1, 0, 16),
            pages.row(4, 30, 60, logits=2),
            pages.row(3, 30, 4),
            pages.row(2, 30, 1),
            pages.row(0, 0, 3, logits=0),
        ]
    )
    expected = torch.cat([right[5][30:31], right[1], right[4][88:90], right[3][30:34], right[2][30:31]])
    assert worst(given, expected) < 1e-4
    given = one.step([pages.row(text, at, 1) for text, at in ((5, 31), (3, 34), (2, 31))])
    assert worst(given, torch.stack([right[5][31], right[3][34], right[2][31]])) < 1e-4


@pytest.mark.parametrize("family", models.FAMILIES)
def test_the_llama_family_runs_on_our_own_forward(family: str, folders: dict[str, Path]) -> None:
    assert LlamaForward.serves(models.reference(folders[family])) == (family in OWN_FORWARD)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])
def test_bfloat16_is_as_near_to_the_truth_as_that_of_transformers(
    family: str, folders: dict[str, Path]
) -> None:
    folder = folders[family]
    pages = Pages()
    given = runner(folder, torch.bfloat16).step([pages.row(text, 0, 150) for text in range(len(TEXTS))])
    right = torch.cat(wanted(folder))
    theirs = torch.cat(wanted(folder, torch.bfloat16))
    assert (given - right).square().mean() < 1.5 * (theirs - right).square().mean()


@pytest.mark.parametrize("family", ["llama", "phi", "gpt2"])
def test_packed_weights_replace_the_originals(family: str, folders: dict[str, Path]) -> None:
    model = models.reference(folders[family])
    one = TorchRunner(model)
    one.allocate(1)
    kept = sum(weight.numel() for weight in model.parameters() if weight.ndim > 1)
    embeddings = sum(
        module.weight.numel() for module in model.modules() if isinstance(module, torch.nn.Embedding)
    )
    assert kept == embeddings


def test_a_blocks_memory_is_told(folders: dict[str, Path]) -> None:
    # 2 layers, 2 KV heads, 8 dimensions a head, keys and values
    assert runner(folders["llama"]).block_bytes == 2 * 2 * 8 * 2 * 4 * BLOCK_SIZE
    assert runner(folders["llama"], torch.bfloat16).block_bytes == 2 * 2 * 8 * 2 * 2 * BLOCK_SIZE


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_copied_block_reads_like_its_source(family: str, folders: dict[str, Path]) -> None:
    one = runner(folders[family])
    text = TEXTS[2][:20]
    one.step([Row(text, 0, [3, 4], 0)])
    one.copy_block(4, 7)
    (from_source,) = one.step([Row([9], 20, [3, 4], 1)])
    (from_copy,) = one.step([Row([9], 20, [3, 7], 1)])
    assert torch.equal(from_copy, from_source)


def test_a_block_that_was_read_can_be_written_elsewhere(folders: dict[str, Path]) -> None:
    first, second = runner(folders["qwen3"]), runner(folders["qwen3"])
    first.step([Row(TEXTS[2][:20], 0, [3, 4], 0)])
    spilled = {block: first.read_block(block) for block in (3, 4)}
    right = first.step([Row([9], 20, [3, 4], 1)])
    assert set(spilled[3]) == {"k.0", "v.0", "k.1", "v.1"}
    assert all(tensor.shape == (BLOCK_SIZE, 2, 16) for tensor in spilled[3].values())
    assert all(tensor.is_contiguous() for tensor in spilled[3].values())
    second.write_block(8, spilled[3])
    second.write_block(5, spilled[4])
    assert torch.equal(second.step([Row([9], 20, [8, 5], 1)]), right)


def _without_a_layer(block: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in block.items() if name != "v.1"}


def _of_other_shape(block: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**block, "v.1": block["v.1"][:, :1]}


def _of_other_dtype(block: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**block, "v.1": block["v.1"].to(torch.bfloat16)}


@pytest.mark.parametrize("spoil", [_without_a_layer, _of_other_shape, _of_other_dtype])
def test_a_block_of_another_model_is_refused(spoil: Any, folders: dict[str, Path]) -> None:
    one = runner(folders["llama"])
    before = one.read_block(2)
    foreign = {name: torch.ones_like(tensor) for name, tensor in before.items()}
    with pytest.raises(ValueError, match="this model"):
        one.write_block(2, spoil(foreign))
    after = one.read_block(2)
    assert all(torch.equal(after[name], before[name]) for name in before)


@cache
def invariant(folder: Path, dtype: torch.dtype) -> tuple[TorchRunner, list[Tensor]]:
    """A runner, and what it gives for each text when every token is computed alone: (length, V)."""
    one = runner(folder, dtype, invariant=True)
    pages = Pages()
    alone = [
        torch.cat([one.step([pages.row(n, at, 1)]) for at in range(len(text))])
        for n, text in enumerate(TEXTS)
    ]
    return one, alone


schedules = st.lists(  # of steps; a step is chunks of different texts: (text, how many of its tokens, logits)
    st.lists(
        st.tuples(st.integers(0, len(TEXTS) - 1), st.integers(1, 50), st.integers(0, 50)),
        min_size=1,
        max_size=len(TEXTS),
        unique_by=lambda chunk: chunk[0],
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
@pytest.mark.parametrize("family", INVARIANT)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schedule=schedules, seed=st.integers(0, 1000))
def test_in_invariant_mode_company_and_chunks_change_no_bit(
    family: str,
    dtype: torch.dtype,
    folders: dict[str, Path],
    schedule: list[list[tuple[int, int, int]]],
    seed: int,
) -> None:
    one, alone = invariant(folders[family], dtype)
    pages = Pages(seed)
    done = [0] * len(TEXTS)
    for step in schedule:
        rows, expected = [], []
        for text, chunk, logits in step:
            count = min(chunk, len(TEXTS[text]) - done[text])
            if count:
                rows.append(pages.row(text, done[text], count, logits=min(count, logits)))
                done[text] += count
                expected.append(alone[text][done[text] - min(count, logits) : done[text]])
        if rows:
            assert torch.equal(one.step(rows), torch.cat(expected))


@pytest.mark.parametrize("family", INVARIANT)
def test_invariant_mode_too_gives_the_logits_of_transformers(family: str, folders: dict[str, Path]) -> None:
    _, alone = invariant(folders[family], torch.float32)
    assert worst(torch.cat(alone), torch.cat(wanted(folders[family]))) < 1e-4
