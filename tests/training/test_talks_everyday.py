"""Everyday talk: answers are short and whole, and help lines are named in grave matters alone."""

from __future__ import annotations

from random import Random

import pytest

from inference.training.talks import TALKS, Talk
from inference.training.talks.exchanges import exchanges, held
from inference.training.talks.feelings import causes
from inference.training.talks.jokes import jokes

KINDS = ["feelings", "greetings", "identity", "jokes", "limits", "manners", "news", "opinions", "platforms"]
LONGEST = 40  # words of an answer


def drawn(kind: str, count: int) -> list[Talk]:
    rng = Random(kind)
    return [TALKS[kind](rng) for _ in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_short_and_no_slot_is_left_open(kind: str) -> None:
    for talk in drawn(kind, 500):
        for role, text in talk:
            assert "{" not in text
            assert "}" not in text
            assert role != "assistant" or len(text.split()) <= LONGEST


@pytest.mark.parametrize("kind", KINDS)
def test_hardly_any_talk_comes_twice(kind: str) -> None:
    told = {tuple(talk) for talk in drawn(kind, 2000)}
    assert len(told) > 1900


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "feelings"])
def test_help_lines_are_named_in_grave_matters_alone(kind: str) -> None:
    assert not [
        text
        for talk in drawn(kind, 2000)
        for role, text in talk
        if role == "assistant" and "help line" in text
    ]


def test_whoever_is_in_danger_is_sent_to_people() -> None:
    rng = Random("grave")
    for exchange in exchanges("feelings_grave"):
        answer = held(rng, exchange, "Chorus")[1][1]
        assert any(
            word in answer
            for word in ("help line", "crisis line", "someone you trust", "emergency", "doctor")
        )


def test_the_bot_goes_by_the_name_that_its_prompt_tells() -> None:
    rng = Random("name")
    name = exchanges("identity")[0]
    assert name.heading == "name"
    for _ in range(50):
        assert "Zelbrith" in held(rng, name, "Zelbrith")[1][1]


def test_every_joke_and_every_cause_is_written_once() -> None:
    questions = [joke.question for joke in jokes()]
    told = [cause.told for cause in causes()]
    assert len(questions) == len(set(questions))
    assert len(told) == len(set(told))
    assert len(questions) > 250
