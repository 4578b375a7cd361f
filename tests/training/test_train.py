"""Training: what is packed, what is masked, what a step does, and that nothing is lost by a kill."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference.training import checkpoint, curve
from inference.training.build import Optimizers, build_model, share_of_rate
from inference.training.errors import WorkshopError
from inference.training.muon import Muon, orthogonal
from inference.training.order import Order, permuted
from inference.training.prepare import Workshop, prepare
from inference.training.recipe import OptimizerRecipe, ScheduleRecipe
from inference.training.rows import UNCOUNTED, RowStream
from inference.training.shards import Shards, ShardWriter
from inference.training.train import Step, as_rows, read_losses, train
from tests.training import corpora

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workshop where everything is prepared."""
    folder = tmp_path_factory.mktemp("training")
    prepare(corpora.recipe(), corpora.data(folder / "data"), Workshop(folder / "work"), corpora.quiet)
    return folder / "work"


@pytest.fixture
def workshop(prepared: Path, tmp_path: Path) -> Workshop:
    return Workshop(Path(shutil.copytree(prepared, tmp_path / "work")))


def nobody(step: Step) -> None:
    """Watches nothing."""


def weights(workshop: Workshop) -> dict[str, torch.Tensor]:
    model = AutoModelForCausalLM.from_pretrained(workshop.model, dtype=torch.float32)
    return {name: value.clone() for name, value in model.state_dict().items()}


# Order


@pytest.mark.parametrize("count", [1, 2, 3, 5, 64, 65, 1000])
def test_every_place_comes_once(count: int) -> None:
    assert sorted(permuted(place, count, 7) for place in range(count)) == list(range(count))


def test_another_key_is_another_order() -> None:
    one, other = ([permuted(place, 1000, key) for place in range(1000)] for key in (1, 2))
    assert one != other
    assert sum(later > earlier for earlier, later in pairwise(one)) < 600


def test_documents_come_as_often_as_their_weights_say() -> None:
    order = Order([40, 10], [1, 2.5], seed=5)
    assert order.epoch == 65
    seen = Counter(order[position] for position in range(order.epoch))
    assert {document: times for (corpus, document), times in seen.items() if corpus == 0} == dict.fromkeys(
        range(40), 1
    )
    assert sorted(seen[1, document] for document in range(10)) == [2] * 5 + [3] * 5
    again = [order[position] for position in range(order.epoch, 2 * order.epoch)]
    assert again != [order[position] for position in range(order.epoch)]


def test_an_order_of_any_length_is_there_at_once() -> None:
    order = Order([10**15, 10**12], [1, 3], seed=5)
    near = [order[position] for position in range(100)]
    assert len(set(near)) == 100
    assert max(document for _, document in near) > 10**14


# Rows


def stream(folder: Path, lengths: list[int], **options: Any) -> RowStream:
    """Document n consists of the token n + 1, over and over; every second token counts."""
    with ShardWriter(folder / "shards", vocabulary=70_000, row=64, made_of="x") as writer:
        for number, length in enumerate(lengths):
            writer.add([number + 1] * length, [place % 2 for place in range(length)])
    shards = Shards(folder / "shards")
    return RowStream(
        [shards], Order([len(shards)], [1], 0), **{"row": 64, "pad": 0, "all_count": True, **options}
    )


def test_rows_are_packed_full_and_hold_whole_documents(tmp_path: Path) -> None:
    lengths = [3 + number * 37 % 60 for number in range(500)]
    rows = stream(tmp_path, lengths, pool=200).take(120)

    assert (rows.documents >= 0).mean() > 0.99
    for tokens, documents, positions in zip(rows.tokens, rows.documents, rows.positions, strict=True):
        for number in range(documents.max() + 1):
            [token] = set(tokens[documents == number].tolist())
            assert positions[documents == number].tolist() == list(range(lengths[token - 1]))


def test_no_document_waits_for_ever(tmp_path: Path) -> None:
    rows = stream(tmp_path, [40, *[64] * 30, *[3] * 30], pool=10).take(80)
    assert set(rows.tokens.flatten().tolist()) >= set(range(1, 62))


@pytest.mark.parametrize("all_count", [True, False])
def test_a_label_is_the_next_token_of_the_same_document_if_it_counts(tmp_path: Path, all_count: bool) -> None:
    rows = stream(tmp_path, [5, 9, 30, 31] * 20, all_count=all_count).take(20)
    for row in range(20):
        for place in range(64):
            last = place == 63 or rows.documents[row, place + 1] != rows.documents[row, place]
            counts = all_count or rows.positions[row, place] % 2 == 0
            expected = rows.tokens[row, place] if counts and not last else UNCOUNTED
            if rows.documents[row, place] >= 0:
                assert rows.labels[row, place] == expected
            else:
                assert rows.labels[row, place] == UNCOUNTED


def test_a_resumed_stream_goes_on_with_the_same_rows(tmp_path: Path) -> None:
    lengths = [3 + number * 37 % 60 for number in range(300)]
    first, second = stream(tmp_path, lengths), stream(tmp_path, lengths)
    first.take(11)
    second.resume(first.state())
    assert np.array_equal(first.take(40).tokens, second.take(40).tokens)


def test_no_attention_leaks_from_one_document_into_another(workshop: Workshop, tmp_path: Path) -> None:
    model = build_model(corpora.recipe(), 400).eval()
    rows = stream(tmp_path, [11, 20, 33] * 10).take(2)
    inputs, _ = as_rows(rows, CPU, torch.float32)

    def logits(tokens: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model(**{**inputs, "input_ids": tokens}, use_cache=False).logits

    before = logits(inputs["input_ids"])
    changed = inputs["input_ids"].clone()
    first = torch.from_numpy(rows.documents == 0)
    changed[first] = (changed[first] + 77) % 400
    after = logits(changed)

    others = torch.from_numpy(rows.documents > 0)
    assert torch.equal(before[others], after[others])
    assert not torch.equal(before[first], after[first])


def test_a_packed_document_is_computed_as_if_it_were_alone(tmp_path: Path) -> None:
    model = build_model(corpora.recipe(), 400).eval()
    rows = stream(tmp_path, [11, 20, 33] * 10).take(1)
    inputs, _ = as_rows(rows, CPU, torch.float32)
    with torch.no_grad():
        packed = model(**inputs, use_cache=False).logits[0]
        for number in range(rows.documents.max() + 1):
            own = torch.from_numpy(rows.documents[0] == number)
            alone = model(inputs["input_ids"][0, own][None], use_cache=False).logits[0]
            torch.testing.assert_close(packed[own], alone, rtol=1e-4, atol=1e-5)


# Optimizers


@pytest.mark.parametrize("shape", [(3, 16, 40), (2, 40, 16), (1, 8, 8)])
def test_newton_and_schulz_make_a_direction_orthogonal(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    _, values, _ = torch.linalg.svd(orthogonal(matrices))
    assert values.min() > 0.4
    assert values.max() < 1.4
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    alignment = torch.einsum("nij,nij->n", orthogonal(matrices), u @ vh) / min(shape[1:])
    assert alignment.min() > 0.8


def test_muon_steps_as_torch_steps() -> None:
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(24, 16, generator=generator) for _ in range(2)]
    gradients = [[torch.randn(24, 16, generator=generator) for _ in range(2)] for _ in range(5)]
    options: dict[str, Any] = {"momentum": 0.9, "weight_decay": 0.1}

    def ended(make: Any) -> torch.Tensor:
        parameters = [torch.nn.Parameter(one.clone()) for one in start]
        optimizer = make(parameters)
        for step in gradients:
            for parameter, gradient in zip(parameters, step, strict=True):
                parameter.grad = gradient.clone()
            optimizer.step()
        return torch.stack([parameter.detach() for parameter in parameters])

    ours = ended(lambda parameters: Muon(parameters, 0.02, **options))
    theirs = ended(lambda parameters: torch.optim.Muon(parameters, lr=0.02, **options))
    assert (ours - torch.stack(start)).abs().max() > 0.02
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-3)


def test_muon_is_given_the_hidden_matrices_and_nothing_else() -> None:
    model = build_model(corpora.recipe(), 400)
    optimizers = Optimizers(model, OptimizerRecipe(kind="muon", rate=0.01))
    muon, adamw = optimizers._all
    on_muon = {id(one) for group in muon.param_groups for one in group["params"]}
    on_adamw = {id(one) for group in adamw.param_groups for one in group["params"]}
    assert on_muon | on_adamw == {id(one) for one in model.parameters()}
    assert not on_muon & on_adamw
    assert id(model.get_input_embeddings().weight) in on_adamw
    assert id(model.model.layers[0].mlp.up_proj.weight) in on_muon
    assert id(model.model.norm.weight) in on_adamw


def test_the_rate_rises_stays_and_falls() -> None:
    said = ScheduleRecipe(kind="warmup-stable-decay", warmup=10, stable_to=0.5, floor=0.1)
    rates = [share_of_rate(step, 100, said) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:50] == [1.0] * 41
    assert rates[75] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)


def test_a_cosine_falls_from_the_full_rate_to_the_floor() -> None:
    said = ScheduleRecipe(kind="cosine", warmup=10, floor=0.1)
    rates = [share_of_rate(step, 110, said) for step in range(111)]
    assert rates[10] == 1.0
    assert rates[60] == pytest.approx(0.55)
    assert rates[110] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))


# Runs


@pytest.mark.parametrize("kind", ["sgd", "adamw", "muon"])
def test_the_loss_falls(workshop: Workshop, kind: str) -> None:
    rate = {"sgd": 1.0, "adamw": 0.01, "muon": 0.02}[kind]
    phases = [{"tokens": 4 * 64 * 40, "mix": {"chats": 1}}]
    recipe = corpora.recipe(optimizer={"kind": kind, "rate": rate}, phases=phases)
    steps: list[Step] = []

    trained = train(recipe, workshop, steps.append, device="cpu")

    assert trained.finished
    assert [step.step for step in steps] == list(range(1, 41))
    assert trained.losses == [step.loss for step in steps]
    assert steps[0].loss == pytest.approx(np.log(400), abs=0.3)
    assert steps[-1].loss < steps[0].loss - 1


def test_a_killed_run_ends_as_one_that_was_left_alone(workshop: Workshop, tmp_path: Path) -> None:
    other = Workshop(Path(shutil.copytree(workshop.folder, tmp_path / "other")))
    train(corpora.recipe(), other, nobody, device="cpu")

    command = [sys.executable, "-m", "tests.training.killed", str(workshop.folder), "5"]
    killed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [file.name for file in checkpoint.found(workshop.checkpoints)] == ["step-00000003.pt"]
    assert len(read_losses(workshop.losses)) == 5
    steps: list[Step] = []
    resumed = train(corpora.recipe(), workshop, steps.append, device="cpu")

    assert [step.step for step in steps] == [4, 5, 6, 7, 8]
    alone, again = weights(other), weights(workshop)
    assert all(torch.equal(alone[name], again[name]) for name in alone)
    assert resumed.losses == read_losses(other.losses)
    assert len(resumed.losses) == 8


def test_a_run_that_is_told_to_stop_goes_on_later(workshop: Workshop, tmp_path: Path) -> None:
    other = Workshop(Path(shutil.copytree(workshop.folder, tmp_path / "other")))
    recipe = corpora.recipe(model={**corpora.LLAMA, "dropout": 0.2})
    train(recipe, other, nobody, device="cpu")

    stopped = train(recipe, workshop, nobody, device="cpu", stop=lambda: True)
    assert (stopped.finished, stopped.step) == (False, 1)
    assert not workshop.model.exists()
    train(recipe, workshop, nobody, device="cpu")

    alone, again = weights(other), weights(workshop)
    assert all(torch.equal(alone[name], again[name]) for name in alone)


def test_accumulated_gradients_are_those_of_the_whole_step(workshop: Workshop, tmp_path: Path) -> None:
    other = Workshop(Path(shutil.copytree(workshop.folder, tmp_path / "other")))
    said = corpora.recipe().train.model_dump()
    gentle = {"kind": "sgd", "rate": 0.1}
    train(corpora.recipe(optimizer=gentle), workshop, nobody, device="cpu")
    whole = corpora.recipe(optimizer=gentle, train={**said, "micro_rows": 4})
    train(whole, other, nobody, device="cpu")
    parts, at_once = weights(workshop), weights(other)
    for name, value in parts.items():
        torch.testing.assert_close(value, at_once[name], rtol=1e-4, atol=1e-6)


def test_another_recipe_does_not_go_on_from_a_checkpoint(workshop: Workshop) -> None:
    train(corpora.recipe(), workshop, nobody, device="cpu", stop=lambda: True)
    other = corpora.recipe(seed=4)
    with pytest.raises(WorkshopError, match="another recipe"):
        train(other, workshop, nobody, device="cpu")
    assert train(other, workshop, nobody, device="cpu", fresh=True).finished


def test_training_before_preparing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WorkshopError, match="chorus model prepare"):
        train(corpora.recipe(), Workshop(tmp_path), nobody, device="cpu")


def test_a_loss_that_is_no_number_ends_the_run(workshop: Workshop) -> None:
    with pytest.raises(WorkshopError, match="no number"):
        train(corpora.recipe(optimizer={"kind": "sgd", "rate": 1e30}), workshop, nobody, device="cpu")


def test_bfloat16_trains_too(workshop: Workshop) -> None:
    said = corpora.recipe().train.model_dump()
    recipe = corpora.recipe(train={**said, "precision": "bfloat16", "attention": "eager"})
    trained = train(recipe, workshop, nobody, device="cpu")
    assert trained.losses[-1] < trained.losses[0]
    assert next(iter(weights(workshop).values())).dtype == torch.float32


def test_the_second_phase_counts_the_assistant_alone(workshop: Workshop) -> None:
    """Trained on one answer to anything, the model is sure of answers and unsure of questions."""
    recipe = corpora.recipe(
        phases=[{"tokens": 4 * 64 * 60, "mix": {"chats": 1}, "loss": "assistant"}],
        optimizer={"kind": "adamw", "rate": 0.01},
    )
    train(recipe, workshop, nobody, device="cpu")
    model = AutoModelForCausalLM.from_pretrained(workshop.model, dtype=torch.float32).eval()
    shards = Shards(workshop.shards("chats"))
    tokens = torch.from_numpy(shards.tokens(0).astype(np.int64))
    answers = torch.from_numpy(shards.counted(0)[1:].astype(bool))
    with torch.no_grad():
        losses = torch.nn.functional.cross_entropy(
            model(tokens[None]).logits[0, :-1], tokens[1:], reduction="none"
        )
    assert losses[answers].mean() < 1.5
    assert losses[~answers].mean() > 4


def test_the_trained_folder_is_a_model_with_its_tokenizer(workshop: Workshop) -> None:
    train(corpora.recipe(), workshop, nobody, device="cpu")
    model = AutoModelForCausalLM.from_pretrained(workshop.model)
    tokenizer = AutoTokenizer.from_pretrained(workshop.model)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi!"}], add_generation_prompt=True, return_tensors="pt"
    )
    assert model.generate(**prompt, max_new_tokens=3, do_sample=False).shape[0] == 1


# The curve


def test_the_curve_falls_from_left_to_right() -> None:
    shown = curve.lines([8.0, 4.0, 2.0, 1.0], width=10, height=2)
    assert [len(line) for line in shown] == [4, 4]
    assert shown[0][0] == "█"
    assert shown[0][3] == " "
    assert shown[1][3] == "▁"


def test_a_long_curve_is_thinned_to_the_width() -> None:
    assert [len(line) for line in curve.lines([1.0] * 1000, width=60, height=8)] == [60] * 8
    assert curve.lines([], width=60, height=8) == []


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    assert curve.picture([3.0, 2.0, 1.5], "tiny", tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
