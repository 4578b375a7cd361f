"""Recipes: read, and refused in a sentence that helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.training.errors import RecipeError
from inference.training.recipe import load_recipe, shipped

GOOD = """
name = "mine"
[model]
family = "llama"
hidden = 32
layers = 1
heads = 2
intermediate = 64
[corpora.chat]
files = ["chat.jsonl"]
[optimizer]
rate = 0.01
[[phases]]
tokens = 10_000
mix = { chat = 1.0 }
"""


def written(folder: Path, text: str) -> str:
    file = folder / "mine.toml"
    file.write_text(text)
    return str(file)


def test_a_recipe_in_a_file_is_read(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, GOOD))
    assert recipe.name == "mine"
    assert recipe.steps == round(10_000 / (recipe.train.step_rows * recipe.train.row))


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("hidden = 32", "hiden = 32", "did you mean hidden"),
        ("layers = 1\n", "", "model.layers is missing"),
        ("layers = 1", "layers = 0", "model.layers: input should be greater than or equal to 1, not 0"),
        ("heads = 2", "heads = 3", "hidden divided by heads"),
        ("mix = { chat = 1.0 }", "mix = { chta = 1.0 }", "no corpus 'chta'; did you mean chat?"),
        ("mix = { chat = 1.0 }", "mix = { chat = 0 }", "more than 0"),
        ('"llama"', '"lama"', "'lama'"),
        ("rate = 0.01", "rate = fast", "not valid TOML"),
        ('files = ["chat.jsonl"]', "", "corpora.chat: a corpus names either files or talks"),
        (
            'files = ["chat.jsonl"]',
            'talks = ["coping"]\ncount = 9',
            "no talk 'coping'; did you mean copying?",
        ),
        ('files = ["chat.jsonl"]', 'talks = ["copying"]', "count says how many talks"),
        ('files = ["chat.jsonl"]', 'talks = ["copying"]\ncount = 0', "greater than or equal to 1, not 0"),
        ('files = ["chat.jsonl"]', 'talks = ["copying"]\ncount = 9\nvary = true', "for files, not for talks"),
        ('files = ["chat.jsonl"]', 'files = ["chat.jsonl"]\ncount = 9', "count says how many talks"),
    ],
)
def test_a_mistake_is_named_in_a_sentence(tmp_path: Path, good: str, bad: str, said: str) -> None:
    assert good in GOOD
    with pytest.raises(RecipeError) as refused:
        load_recipe(written(tmp_path, GOOD.replace(good, bad)))
    assert said in str(refused.value)
    assert "mine.toml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_recipe_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(RecipeError) as refused:
        load_recipe("nothing-like-it")
    assert all(name in str(refused.value) for name in shipped())


@pytest.mark.parametrize("name", shipped())
def test_the_recipes_that_ship_are_valid(name: str) -> None:
    assert load_recipe(name).steps > 1000


def test_two_recipes_ship() -> None:
    assert {"embedded-cpu", "embedded-gpu"} <= set(shipped())


def test_what_the_weights_depend_on_changes_the_fingerprint(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, GOOD))
    faster = load_recipe(written(tmp_path, GOOD.replace("rate = 0.01", "rate = 0.02")))
    cooler = load_recipe(written(tmp_path, f"{GOOD}\n[export]\ntemperature = 0.1\n"))
    assert faster.fingerprint != recipe.fingerprint
    assert cooler.fingerprint == recipe.fingerprint
