"""A trained model as a folder that others load: weights, tokenizer, template, how to sample, and a card.

Knows nothing of training beyond what lies in the workshop.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from inference.training.build import parameter_count, special_tokens
from inference.training.curve import smoothed
from inference.training.errors import WorkshopError
from inference.training.prepare import Workshop
from inference.training.recipe import Recipe
from inference.training.shards import read_index
from inference.training.train import read_losses
from inference.training.vocabulary import TEMPLATE, TOKENIZER, TOKENIZER_CONFIG

CARD = """\
---
license: {licence}
language: [{languages}]
library_name: transformers
pipeline_tag: text-generation
---

# {name}

What this model is for, in two sentences: to be written.

| | |
|---|---|
| Family | {family} |
| Parameters | {parameters:,} ({dtype}) |
| Vocabulary | {vocabulary:,}, byte-level BPE, digits split |
| Context | {context:,} tokens; trained on rows of {row} |
| Sampling | temperature {temperature}, top-p {top_p}, top-k {top_k} |

## Training

{steps:,} steps of {step_tokens:,} tokens, seed {seed}, {optimizer}. The loss at the end: {loss} nats a token.

| Phase | Tokens | Loss on | Mix |
|---|---|---|---|
{phases}

## Training data

| Corpus | Documents | Tokens | Files |
|---|---|---|---|
{corpora}

Licences and authors of these texts: to be written.

## Evaluation

`chorus model eval` on a held-out file: to be written, with ten real exchanges.

## Limits

To be written.
"""


def export(recipe: Recipe, workshop: Workshop, folder: Path, *, dtype: str = "bfloat16") -> None:
    """Write the folder, whole or not at all. Blocks. Raises WorkshopError if there is nothing to export, or
    something there already."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    import inference.rnn  # noqa: F401  registers the recurrent family with transformers

    if not workshop.model.is_dir():
        raise WorkshopError(f"no trained model is in {workshop.folder}; `chorus model train` makes it")
    if folder.exists():
        raise WorkshopError(f"{folder} is there already; name another folder or move that one away")
    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(workshop.model, dtype=getattr(torch, dtype))
    said = recipe.export
    for name, value in {
        **special_tokens(),
        "do_sample": said.temperature > 0,
        "temperature": said.temperature or 1.0,
        "top_p": said.top_p,
        "top_k": said.top_k,
        "max_new_tokens": said.max_new_tokens,
    }.items():
        setattr(model.generation_config, name, value)
    draft = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    model.save_pretrained(draft)
    for name in (TOKENIZER, TOKENIZER_CONFIG, TEMPLATE):
        shutil.copyfile(workshop.model / name, draft / name)
    (draft / "README.md").write_text(_card(recipe, workshop, model, dtype), encoding="utf-8")
    draft.rename(folder)


def _card(recipe: Recipe, workshop: Workshop, model: Any, dtype: str) -> str:
    losses = smoothed(read_losses(workshop.losses))
    said = recipe.export
    return CARD.format(
        licence=said.licence,
        languages=", ".join(said.languages),
        name=recipe.name,
        family=recipe.model.family,
        parameters=parameter_count(model.parameters()),
        dtype=dtype,
        vocabulary=model.config.vocab_size,
        context=recipe.model.context,
        row=recipe.train.row,
        temperature=said.temperature,
        top_p=said.top_p,
        top_k=said.top_k,
        steps=recipe.steps,
        step_tokens=recipe.train.step_rows * recipe.train.row,
        seed=recipe.seed,
        optimizer=f"{recipe.optimizer.kind} at {recipe.optimizer.rate:g}",
        loss=f"{losses[-1]:.3f}" if losses else "unknown",
        phases="\n".join(
            f"| {number} | {phase.tokens:,} | {phase.loss} | "
            f"{', '.join(f'{name} x{weight:g}' for name, weight in phase.mix.items())} |"
            for number, phase in enumerate(recipe.phases, 1)
        ),
        corpora="\n".join(_corpus_row(recipe, workshop, name) for name in recipe.corpora),
    )


def _corpus_row(recipe: Recipe, workshop: Workshop, name: str) -> str:
    index = read_index(workshop.shards(name))
    files = ", ".join(Path(file).name for file in recipe.corpora[name].files)
    counts = f"{index.documents:,} | {index.tokens:,}" if index else "? | ?"
    return f"| {name} | {counts} | {files} |"
