"""The recurrent family: the same pipeline, and a state that stays as large as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from inference.rnn import RecurrentConfig, RecurrentForCausalLM
from inference.training.prepare import Workshop, prepare
from inference.training.rows import RowStream
from inference.training.train import Step, as_documents, train
from tests.training import corpora
from tests.training.test_train import stream

CELLS = ["rnn", "lstm", "gru"]


def small(cell: str = "lstm", **changes: Any) -> Any:
    torch.manual_seed(0)
    said = {"vocab_size": 400, "embedding_size": 16, "hidden_size": 24, "num_hidden_layers": 2, **changes}
    return RecurrentForCausalLM(RecurrentConfig(cell=cell, **said)).eval()


def tokens(*shape: int) -> torch.Tensor:
    return torch.randint(3, 400, shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("cell", CELLS)
def test_it_goes_on_from_its_state_as_if_it_had_read_all_at_once(cell: str) -> None:
    model, said = small(cell), tokens(2, 30)
    whole = model(said)
    first = model(said[:, :13])
    second = model(said[:, 13:], state=first.state)
    torch.testing.assert_close(torch.cat([first.logits, second.logits], 1), whole.logits)
    assert [one.shape for one in first.state] == [one.shape for one in second.state]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("cell", CELLS)
def test_padding_changes_nothing(cell: str, side: str) -> None:
    model, said, padding = small(cell), tokens(1, 9), torch.zeros(1, 4, dtype=torch.int64)
    other = tokens(1, 13)
    parts = [padding, said] if side == "left" else [said, padding]
    mask = torch.ones(2, 13, dtype=torch.int64)
    own = slice(4, 13) if side == "left" else slice(0, 9)
    mask[0] = 0
    mask[0, own] = 1

    together = model(torch.cat([torch.cat(parts, 1), other]), attention_mask=mask)

    alone = model(said)
    torch.testing.assert_close(together.logits[:1, own], alone.logits)
    torch.testing.assert_close(together.logits[1:], model(other).logits)
    for padded, plain in zip(together.state, alone.state, strict=True):
        torch.testing.assert_close(padded[:, :1], plain)


@pytest.mark.parametrize("cell", CELLS)
def test_transformers_loads_it_and_generates_with_it(tmp_path: Path, cell: str) -> None:
    model = small(cell)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.lm_head.weight is loaded.embedding.weight
    assert sum(one.numel() for one in loaded.parameters()) == sum(one.numel() for one in model.parameters())
    said = tokens(1, 7)
    torch.testing.assert_close(loaded(said).logits, model(said).logits)

    answer = loaded.generate(said, max_new_tokens=12, min_new_tokens=12, do_sample=False)[0]

    for place in range(7, 19):
        assert answer[place] != 2
        logits = model(answer[None, :place]).logits[0, -1]
        logits[2] = -torch.inf
        assert answer[place] == logits.argmax()


def test_documents_of_a_row_are_computed_apart(tmp_path: Path) -> None:
    packed: RowStream = stream(tmp_path, [11, 20, 33] * 10)
    rows = packed.take(3)
    inputs, labels = as_documents(rows, torch.device("cpu"), torch.float32)
    assert len(inputs["input_ids"]) == sum(int(one.max()) + 1 for one in rows.documents)
    assert all(len(set(one.tolist()) - {0}) == 1 for one in inputs["input_ids"])
    assert int((labels != -100).sum()) == rows.counted


@pytest.mark.parametrize("cell", CELLS)
def test_it_is_trained_by_the_same_pipeline(tmp_path: Path, cell: str) -> None:
    model = {"family": "recurrent", "cell": cell, "hidden": 48, "embedding": 32, "layers": 1, "context": 128}
    recipe = corpora.recipe(
        model={**model, "dropout": 0.1},
        optimizer={"kind": "adamw", "rate": 0.01},
        phases=[{"tokens": 4 * 64 * 60, "mix": {"chats": 1}}],
    )
    workshop, steps = Workshop(tmp_path / "work"), list[Step]()
    prepare(recipe, corpora.data(tmp_path / "data"), workshop, corpora.quiet)

    trained = train(recipe, workshop, steps.append, device="cpu")

    assert trained.losses[-1] < trained.losses[0] - 2
    assert AutoModelForCausalLM.from_pretrained(workshop.model).config.cell == cell
