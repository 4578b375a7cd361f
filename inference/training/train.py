"""Training: steps over packed rows, phase after phase, from the newest checkpoint if there is one.

A run depends on its recipe and its shards alone: the order of the rows, dropout and the fresh weights come
from the recipe's seed and the number of the step, so that a killed run, resumed, ends with the same weights
as one that was left alone (bit for bit on one CPU). Knows nothing of terminals.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inference.training import checkpoint
from inference.training.build import Optimizers, build_model, parameter_count, share_of_rate
from inference.training.device import computed_in, open_device
from inference.training.errors import WorkshopError
from inference.training.order import Order
from inference.training.prepare import Workshop
from inference.training.recipe import PhaseRecipe, Recipe
from inference.training.rows import UNCOUNTED, Rows, RowStream
from inference.training.shards import Shards
from inference.training.vocabulary import TEMPLATE, TOKENIZER, TOKENIZER_CONFIG, Vocabulary


@dataclass(frozen=True, slots=True)
class Step:
    """One step that was taken. `loss`: of a counted token, in nats; `norm`: of the gradients before clipping;
    `seconds`: that it took."""

    step: int  # from 1
    steps: int
    phase: int  # from 1
    loss: float
    share: float  # of the full rate
    norm: float
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Trained:
    """How a run ended. `finished` is False if it was told to stop; it can go on from there."""

    finished: bool
    step: int
    parameters: int
    losses: list[float]  # of every step since the first, in nats


Watch = Callable[[Step], None]


def train(
    recipe: Recipe,
    workshop: Workshop,
    watch: Watch,
    *,
    device: str = "auto",
    fresh: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train to the recipe's end, or until `stop` says so after a step. `fresh` forgets earlier checkpoints.
    Blocks. Raises WorkshopError."""
    if fresh:
        checkpoint.discard(workshop.checkpoints)
    run = _Run(recipe, workshop, open_device(device))
    with workshop.losses.open("a", encoding="utf-8") as log:
        while run.step < recipe.steps:
            taken = run.take_step()
            _append(log, taken)
            watch(taken)
            ends = run.step == recipe.steps or stop()
            if ends or run.step % recipe.train.checkpoint_every == 0:
                run.save()
            if ends:
                break
    finished = run.step == recipe.steps
    if finished:
        run.save_model()
    return Trained(finished, run.step, run.parameters, read_losses(workshop.losses))


def read_losses(file: Path) -> list[float]:
    """The loss of every step that is on record."""
    if not file.is_file():
        return []
    return [json.loads(line)["loss"] for line in file.read_text(encoding="utf-8").splitlines()]


class _Run:
    """A model between two steps."""

    def __init__(self, recipe: Recipe, workshop: Workshop, device: torch.device) -> None:
        self._recipe = recipe
        self._workshop = workshop
        self._device = device
        self._vocabulary = Vocabulary.open(workshop.tokenizer)
        self._shards = {name: Shards(workshop.shards(name)) for name in recipe.corpora}
        for name, shards in self._shards.items():
            if shards.index.row > recipe.train.row:
                raise WorkshopError(f"the corpus {name} was prepared for longer rows; prepare it anew")
        self._model = build_model(recipe, self._vocabulary.size).to(device).train()
        self.parameters = parameter_count(self._model.parameters())
        self._optimizers = Optimizers(self._model, recipe.optimizer)
        self._forward = torch.compile(self._model) if recipe.train.compile else self._model
        self._low = computed_in(recipe.train.precision, device)
        self._phase = -1
        self._stream: RowStream
        self.step = 0
        self._resume()

    def take_step(self) -> Step:
        began = time.perf_counter()
        recipe = self._recipe
        torch.manual_seed(recipe.seed * 1_000_003 + self.step)
        self._enter(self._phase_of(self.step))
        rows = self._stream.take(recipe.train.step_rows)
        total = torch.zeros((), device=self._device)
        for start in range(0, len(rows), recipe.train.micro_rows):
            loss = self._loss(rows.part(start, recipe.train.micro_rows)) / max(1, rows.counted)
            torch.autograd.backward(loss)
            total += loss.detach()
        share = share_of_rate(self.step, recipe.steps, recipe.schedule)
        norm = self._optimizers.step(self.step, share)
        self.step += 1
        if not math.isfinite(total.item()):
            raise WorkshopError(f"the loss of step {self.step} is no number; lower the optimizer's rates")
        return Step(
            step=self.step,
            steps=recipe.steps,
            phase=self._phase + 1,
            loss=total.item(),
            share=share,
            norm=norm,
            tokens=rows.tokens.size,
            seconds=time.perf_counter() - began,
        )

    def save(self) -> None:
        state = {
            "made_of": self._made_of(),
            "step": self.step,
            "model": self._model.state_dict(),
            "optimizers": self._optimizers.state(),
            "phase": self._phase,
            "stream": self._stream.state(),
        }
        checkpoint.save(self._workshop.checkpoints, self.step, state)

    def save_model(self) -> None:
        """The trained model and its tokenizer; there whole or not at all."""
        folder = self._workshop.model
        draft = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        self._model.save_pretrained(draft)
        for name in (TOKENIZER, TOKENIZER_CONFIG, TEMPLATE):
            shutil.copyfile(self._workshop.tokenizer / name, draft / name)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)

    def _loss(self, rows: Rows) -> Tensor:
        """The sum over the counted tokens, a scalar."""
        recurrent = self._recipe.model.family == "recurrent"
        inputs, labels = (as_documents if recurrent else as_rows)(rows, self._device, self._low)
        with self._autocast():
            logits = self._forward(**inputs, use_cache=False).logits
        return F.cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), ignore_index=UNCOUNTED, reduction="sum"
        )

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._low is torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, self._low)

    def _phase_of(self, step: int) -> int:
        ends = np.cumsum([self._recipe.steps_of(phase) for phase in self._recipe.phases])
        return int(np.searchsorted(ends, step, side="right"))

    def _enter(self, phase: int) -> None:
        """Begin a phase's stream, unless it is the present one."""
        if phase != self._phase:
            self._phase = phase
            self._stream = self._open(self._recipe.phases[phase], phase)

    def _open(self, phase: PhaseRecipe, number: int) -> RowStream:
        corpora = [self._shards[name] for name in phase.mix]
        order = Order([len(one) for one in corpora], list(phase.mix.values()), self._recipe.seed + number)
        return RowStream(
            corpora,
            order,
            row=self._recipe.train.row,
            pad=self._vocabulary.pad,
            all_count=phase.loss == "all",
        )

    def _made_of(self) -> dict[str, str]:
        shards = {name: shards.index.made_of for name, shards in self._shards.items()}
        return {"recipe": self._recipe.fingerprint, **{f"corpus {name}": of for name, of in shards.items()}}

    def _resume(self) -> None:
        files = checkpoint.found(self._workshop.checkpoints)
        if files:
            state = checkpoint.load(files[-1])
            if state["made_of"] != self._made_of():
                raise WorkshopError(
                    f"the checkpoint {files[-1]} was made with another recipe or other texts; "
                    "--fresh begins anew, a copy of the recipe under another name keeps both"
                )
            self.step = state["step"]
            self._model.load_state_dict(state["model"])
            self._optimizers.resume(state["optimizers"])
            self._enter(state["phase"])
            self._stream.resume(state["stream"])
        _cut(self._workshop.losses, self.step)


def as_rows(rows: Rows, device: torch.device, dtype: torch.dtype) -> tuple[dict[str, Tensor], Tensor]:
    """What a transformer is given, and the labels (B, R): positions that begin anew with each document, and a
    mask (B, 1, R, R), added to the attention's scores: a token sees its own document up to itself."""
    documents = torch.from_numpy(rows.documents).to(device)
    length = documents.shape[1]
    own = documents[:, :, None] == documents[:, None, :]
    before = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    mask = torch.zeros(own.shape, dtype=dtype, device=device)
    mask = mask.masked_fill(~(own & before), torch.finfo(dtype).min)[:, None]
    inputs = {
        "input_ids": torch.from_numpy(rows.tokens).to(device),
        "position_ids": torch.from_numpy(rows.positions).to(device),
        "attention_mask": mask,
    }
    return inputs, torch.from_numpy(rows.labels).to(device)


def as_documents(rows: Rows, device: torch.device, dtype: torch.dtype) -> tuple[dict[str, Tensor], Tensor]:
    """What a recurrent model is given, and the labels: each document (padded) by itself, (N, L)."""
    spans = [
        (row, *np.flatnonzero(rows.documents[row] == number)[[0, -1]])
        for row in range(len(rows))
        for number in range(rows.documents[row].max() + 1)
    ]
    longest = max(last - first + 1 for _, first, last in spans)
    tokens = np.zeros((len(spans), longest), np.int64)
    labels = np.full((len(spans), longest), UNCOUNTED, np.int64)
    for number, (row, first, last) in enumerate(spans):
        tokens[number, : last - first + 1] = rows.tokens[row, first : last + 1]
        labels[number, : last - first + 1] = rows.labels[row, first : last + 1]
    return {"input_ids": torch.from_numpy(tokens).to(device)}, torch.from_numpy(labels).to(device)


def _append(log: IO[str], step: Step) -> None:
    log.write(json.dumps(asdict(step)) + "\n")
    log.flush()


def _cut(file: Path, steps: int) -> None:
    """Keep the record of the first so many steps: those after the checkpoint are taken again. A line that a
    kill left half written is among those."""
    if file.is_file():
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        draft = file.with_suffix(".part")
        draft.write_text("".join(lines[:steps]), encoding="utf-8")
        draft.rename(file)
