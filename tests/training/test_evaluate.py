"""Evaluation: the same figures as a plain computation gives, batched or not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference.errors import ModelNotFound
from inference.training.corpus import Document, Message, read
from inference.training.errors import CorpusError, WorkshopError
from inference.training.evaluate import Report, evaluate
from inference.training.export import export
from inference.training.judge import Judge
from inference.training.prepare import Workshop, prepare
from inference.training.sample import answers, continuations
from inference.training.train import Step, train
from tests import models
from tests.training import corpora

CHATS = [
    Document(messages=tuple(Message(**message) for message in one["messages"]))
    for one in corpora.chats(14, seed=9)
]
TEXTS = [Document(text="Bo cooks soup, says Zoë. " * repeats) for repeats in (1, 3, 5)]


def nobody(step: Step) -> None:
    """Watches nothing."""


RECIPE = corpora.recipe(
    phases=[{"tokens": 4 * 64 * 120, "mix": {"chats": 1}}], optimizer={"kind": "adamw", "rate": 0.01}
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A model that has seen many chats about names and foods."""
    folder = tmp_path_factory.mktemp("evaluate")
    workshop = Workshop(folder / "work")
    prepare(RECIPE, corpora.data(folder / "data"), workshop, corpora.quiet)
    train(RECIPE, workshop, nobody, device="cpu")
    return workshop


def same(one: Report, other: Report) -> bool:
    close = math.isclose(one.perplexity, other.perplexity, rel_tol=1e-6)
    return close and replace(one, perplexity=0, bits_per_byte=0, seconds=0) == replace(
        other, perplexity=0, bits_per_byte=0, seconds=0
    )


def by_token(model: Any, tokens: list[int], counted: list[bool], window: int) -> list[float]:
    """What each counted token costs, one after the other, in float64."""
    costs = []
    for place in range(1, len(tokens)):
        if counted[place]:
            half = window // 2
            begin = 0 if place < window else half * ((place - window) // half + 1)
            with torch.no_grad():
                logits = model(torch.tensor([tokens[begin:place]])).logits[0, -1]
            costs.append(-float(torch.log_softmax(logits, -1)[tokens[place]]))
    return costs


def test_perplexity_is_that_of_a_token_by_token_computation_in_float64(trained: Workshop) -> None:
    model = AutoModelForCausalLM.from_pretrained(trained.model, dtype=torch.float64).eval()
    tokenizer = AutoTokenizer.from_pretrained(trained.model)
    costs: list[float] = []
    size = 0
    for document in CHATS:
        tokens, counted = [1], [False]
        for message in document.messages:
            own = tokenizer(message.content)["input_ids"]
            tokens += [tokenizer.convert_tokens_to_ids(f"<|{message.role}|>"), *own, 2]
            counted += [False] + [message.role == "assistant"] * (len(own) + 1)
            size += len(message.content.encode()) if message.role == "assistant" else 0
        costs += by_token(model, tokens, counted, 128)

    report = evaluate(Judge(str(trained.model)), CHATS)

    assert report.tokens == len(costs)
    assert report.bytes == size
    assert report.perplexity == pytest.approx(math.exp(sum(costs) / len(costs)), rel=1e-4)
    assert report.bits_per_byte == pytest.approx(sum(costs) / math.log(2) / size, rel=1e-4)


def test_a_text_longer_than_the_window_is_read_through_it(trained: Workshop) -> None:
    model = AutoModelForCausalLM.from_pretrained(trained.model, dtype=torch.float64).eval()
    tokenizer = AutoTokenizer.from_pretrained(trained.model)
    text = "Bo cooks soup, and Ada eats bread. " * 5
    tokens = [1, *tokenizer(text)["input_ids"]]
    assert len(tokens) > 50
    costs = by_token(model, tokens, [False] + [True] * (len(tokens) - 1), 16)

    report = evaluate(Judge(str(trained.model), window=16), [Document(text=text)])

    assert report.tokens == len(costs)
    assert report.perplexity == pytest.approx(math.exp(sum(costs) / len(costs)), rel=1e-4)


@pytest.mark.parametrize("documents", [CHATS, TEXTS])
@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "gemma2", "mistral"])
def test_batched_and_padded_is_one_by_one(tmp_path: Path, family: str, documents: list[Document]) -> None:
    judge = Judge(str(models.build(tmp_path / "model", family)))
    one_by_one = evaluate(judge, documents, batch=1)
    assert one_by_one.perplexity > 2
    assert same(evaluate(judge, documents, batch=8), one_by_one)


def test_a_model_that_knows_nothing_is_as_perplexed_as_its_vocabulary_is_large(tmp_path: Path) -> None:
    folder = models.build(tmp_path / "model")
    model = models.reference(folder)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    model.save_pretrained(folder)
    report = evaluate(Judge(str(folder)), CHATS)
    assert report.perplexity == pytest.approx(models.VOCABULARY)
    assert report.next_turn_accuracy == 0.0


def test_the_next_turn_is_found_by_a_model_that_has_learnt_it(trained: Workshop, tmp_path: Path) -> None:
    known = evaluate(Judge(str(trained.model)), CHATS)
    assert known.turns > 10
    assert known.next_turn_accuracy is not None
    assert known.next_turn_accuracy > 0.6
    assert known.perplexity < 4
    fresh = evaluate(Judge(str(models.build(tmp_path / "model"))), CHATS)
    assert fresh.next_turn_accuracy is not None
    assert fresh.next_turn_accuracy < known.next_turn_accuracy


def test_a_base_model_without_a_template_is_judged_in_plain_words(tmp_path: Path) -> None:
    judge = Judge(str(models.build(tmp_path / "model", template=None)))
    asked = [
        Message("system", "Be kind."),
        Message("user", "Hi."),
        Message("assistant", "Hello."),
        Message("user", "?"),
    ]
    assert judge.prompt(asked) == "Be kind.\nUser: Hi.\nAssistant: Hello.\nUser: ?\nAssistant: "
    assert evaluate(judge, CHATS).tokens > 0


REFUSES = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + models.TEMPLATE
)
HIDES = (  # like those that leave the thoughts out of earlier turns
    "{% for m in messages %}<|{{ m['role'] }}|>"
    "{{ 'so: ' if m['role'] == 'assistant' and loop.last }}{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{{ 'so: ' }}{% endif %}"
)


@pytest.mark.parametrize("template", [REFUSES, HIDES])
def test_templates_with_ways_of_their_own_are_judged_all_the_same(tmp_path: Path, template: str) -> None:
    judge = Judge(str(models.build(tmp_path / "model", template=template)))
    plain = Judge(str(models.build(tmp_path / "plain")))
    assert evaluate(judge, CHATS).tokens == evaluate(plain, CHATS).tokens


def test_a_file_with_nothing_to_judge_is_refused(trained: Workshop) -> None:
    judge = Judge(str(trained.model))
    with pytest.raises(CorpusError, match="nothing to judge"):
        evaluate(judge, [])
    with pytest.raises(CorpusError, match="nothing to judge"):
        evaluate(judge, [Document(messages=(Message("user", "Hello?"),))])


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        Judge(str(tmp_path / "nothing"))


def test_a_trained_model_says_what_it_has_learnt(trained: Workshop) -> None:
    judge = Judge(str(trained.model))
    asked = [Message("user", "Hi, I am Ada and I like soup.")]
    said = list(answers(judge, asked, count=2, tokens=12, temperature=0, seed=1))
    assert said[0] == said[1]
    assert said[0].startswith("Hello")
    wild = list(answers(judge, asked, count=3, tokens=12, temperature=5.0, seed=1))
    assert len(set(wild)) > 1
    assert wild == list(answers(judge, asked, count=3, tokens=12, temperature=5.0, seed=1))
    assert list(continuations(judge, "Bo cooks", count=1, tokens=4, temperature=0, seed=1))


def test_an_exported_folder_is_a_model_like_any_other(trained: Workshop, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    export(RECIPE, trained, folder)

    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert model.config.model_type == "llama"
    assert model.generation_config.temperature == RECIPE.export.temperature
    assert model.generation_config.eos_token_id == 2
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False) == (
        "<|bos|><|user|>Hi<|end|>"
    )
    card = (folder / "README.md").read_text()
    assert "| 1 | 30,720 | all | chats x1 |" in card
    assert "| chats |" in card
    exact, rounded = (Judge(str(one)) for one in (trained.model, folder))
    assert evaluate(rounded, CHATS).perplexity == pytest.approx(evaluate(exact, CHATS).perplexity, rel=0.02)


def test_an_export_overwrites_nothing_and_needs_a_trained_model(trained: Workshop, tmp_path: Path) -> None:
    with pytest.raises(WorkshopError, match="there already"):
        export(RECIPE, trained, tmp_path)
    with pytest.raises(WorkshopError, match="chorus model train"):
        export(RECIPE, Workshop(tmp_path / "empty"), tmp_path / "mine")


def test_documents_of_a_file_are_judged_as_they_are_read(trained: Workshop, tmp_path: Path) -> None:
    file = corpora.write(tmp_path / "held-out.jsonl.xz", corpora.chats(14, seed=9))
    judge = Judge(str(trained.model))
    assert same(evaluate(judge, read([file], corpora.quiet)), evaluate(judge, CHATS))
