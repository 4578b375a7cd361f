"""Conversations that are made up: well formed, the same for the same seed, and none of the test."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from inference.training.talks import TALKS, Talk, copying, groups, talks
from inference.training.talks.change import other_hands, other_names
from inference.training.talks.personas import mannered
from inference.training.talks.wording import a_or_an, casual, join, number_words

SMALLTALK = Path(__file__).parents[2] / "benchmarks" / "smalltalk.toml"
LONGEST = 600  # characters of a message

every_kind = pytest.mark.parametrize("name", sorted(TALKS))


def told(name: str, count: int, seed: int = 5) -> Iterator[Talk]:
    rng = Random(seed)
    return (TALKS[name](rng) for _ in range(count))


def spoken_by(role: str, talk: Talk) -> list[str]:
    return [text for speaker, text in talk if speaker == role]


@every_kind
def test_a_talk_goes_from_one_to_the_other_and_ends_with_the_bot(name: str) -> None:
    for talk in told(name, 1500):
        roles = [role for role, _ in talk]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2)
        assert turns


@every_kind
def test_what_is_said_is_text_and_nothing_of_its_making(name: str) -> None:
    for talk in told(name, 1500):
        for _, text in talk:
            assert 0 < len(text) <= LONGEST
            assert text == text.strip()
            assert not re.search(r"<\||\|>|[{}\n]| \| |  |http", text), text


@every_kind
def test_the_same_seed_tells_the_same_talks(name: str) -> None:
    once, again = list(talks([name], 200, "7 chat")), list(talks([name], 200, "7 chat"))
    assert once == again
    assert once != list(talks([name], 200, "8 chat"))


@every_kind
def test_no_talk_is_told_twice(name: str) -> None:
    made = list(talks([name], 2000, "1"))
    assert len({tuple(talk) for talk in made}) == len(made)


@every_kind
def test_no_talk_is_one_of_the_test(name: str) -> None:
    exchanges = tomllib.loads(SMALLTALK.read_text(encoding="utf-8"))["exchange"]
    whole = {tuple(_plain(text) for text in one["say"]) for one in exchanges}
    for talk in told(name, 3000):
        said = tuple(_plain(text) for text in spoken_by("user", talk))
        assert said not in whole, said
        assert said[-1:] not in whole, said[-1]


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]", "", text.casefold()).split())


def test_kinds_are_told_in_turn() -> None:
    mixed = list(talks(["copying", "groups"], 400, "3"))
    alone = list(talks(["groups"], 200, "3"))
    assert mixed[1::2] == alone


def test_a_kind_that_has_no_more_to_tell_leaves_the_others_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TALKS, "once", lambda rng: [("user", "Only this."), ("assistant", "Yes.")])
    told = list(talks(["once", "groups"], 50, "3"))
    assert len(told) == 50
    assert sum(talk[0][1] == "Only this." for talk in told) == 1
    assert len(list(talks(["once"], 50, "3"))) == 1


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        next(talks(["nothing-like-it"], 1, "1"))


def test_many_different_things_are_told_to_be_remembered() -> None:
    answers = {spoken_by("assistant", talk)[-1] for talk in told("copying", 4000)}
    assert len(answers) > 2500


def test_what_is_recalled_was_told_before() -> None:
    asked = 0
    for seed in range(400):
        talk = copying.recalled(Random(seed), "Chorus")
        said = " ".join(spoken_by("user", talk)).casefold()
        for question, answer in zip(spoken_by("user", talk), spoken_by("assistant", talk), strict=True):
            named = re.match(r"Your name is (\S+)\.$", answer)
            if named and question:
                asked += 1
                assert named[1].casefold() in said
    assert asked > 5


def test_after_a_correction_the_newest_holds() -> None:
    held = 0
    for seed in range(400):
        *before, (_, answer) = copying.corrected(Random(seed), "Chorus")
        said = [text for role, text in before if role == "user"]
        named = re.match(r"Your (?:favourite (?:colour|food|drink)|name) is (.+)\.$", answer)
        if named:
            held += 1
            last = max(
                range(len(said)), key=lambda at: at if named[1].casefold() in said[at].casefold() else -1
            )
            assert last > 0, before
    assert held > 5


def test_an_answer_in_a_group_names_who_said_it() -> None:
    for seed in range(300):
        talk = groups.talk(Random(seed))
        speakers = [text.split(": ")[0] for text in spoken_by("user", talk)]
        for speaker, answer in zip(speakers, spoken_by("assistant", talk), strict=True):
            if answer.startswith("You, "):
                assert answer == f"You, {speaker}."


def test_a_manner_is_told_first_and_by_name() -> None:
    for seed in range(300):
        talk = mannered(Random(seed), "Zelonia")
        assert talk[0][0] == "system"
        assert "Zelonia" in talk[0][1]


def test_names_that_people_tell_are_others_throughout() -> None:
    talk = [
        ("system", "You are Max."),
        ("user", "Hi Max, I'm Anna. My sister Ingrid says hello, and I'm German."),
        ("assistant", "Hello Anna, greetings to Ingrid!"),
        ("user", "who is ingrid?"),
        ("assistant", "Ingrid is your sister, Anna."),
    ]
    for seed in range(50):
        other = other_names(Random(seed), talk)
        anna, ingrid = re.match(r"Hello (.+), greetings to (.+)!", other[2][1]).groups()  # type: ignore[union-attr]
        assert len({anna, ingrid, "Anna", "Ingrid"}) == 4
        assert other == [
            ("system", "You are Max."),
            ("user", f"Hi Max, I'm {anna}. My sister {ingrid} says hello, and I'm German."),
            ("assistant", f"Hello {anna}, greetings to {ingrid}!"),
            ("user", f"who is {ingrid.lower()}?"),
            ("assistant", f"{ingrid} is your sister, {anna}."),
        ]


def test_a_talk_without_names_stays_as_it_is() -> None:
    talk = [("user", "I'm Glad to see you. Paris is nice."), ("assistant", "So it is.")]
    assert all(other_names(Random(seed), talk) == talk for seed in range(20))


def test_only_people_type_in_other_ways() -> None:
    talk = [("user", "What are you doing, please?"), ("assistant", "What are you doing, please?")]
    typed = [other_hands(Random(seed), talk) for seed in range(200)]
    assert all(one[1] == talk[1] for one in typed)
    assert len({one[0] for one in typed}) > 10


def test_what_is_to_be_copied_stays_as_it_was_typed() -> None:
    for seed in range(300):
        assert "Tulip-73 gelato" in casual(
            Random(seed), "Remember Tulip-73 gelato, please.", ["Tulip-73 gelato"]
        )


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("apple", "an apple"),
        ("unicorn", "a unicorn"),
        ("uncle", "an uncle"),
        ("unimportant fact", "an unimportant fact"),
        ("hour", "an hour"),
        ("one-eyed cat", "a one-eyed cat"),
        ("X-ray", "an X-ray"),
        ("Ukrainian", "a Ukrainian"),
        ("umbrella", "an umbrella"),
        ("European", "a European"),
        ("8", "an 8"),
    ],
)
def test_a_word_has_its_article(word: str, said: str) -> None:
    assert a_or_an(word) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (99, "ninety-nine"),
        (100, "one hundred"),
        (305, "three hundred and five"),
    ],
)
def test_numbers_have_words(number: int, said: str) -> None:
    assert number_words(number) == said
    with pytest.raises(ValueError, match="1000"):
        number_words(1000)


def test_things_are_joined_as_one_says_them() -> None:
    assert join(["tea"]) == "tea"
    assert join(["tea", "bread", "jam"]) == "tea, bread and jam"
    assert join(["tea", "milk"], "or") == "tea or milk"


def test_first_ones_do_not_depend_on_how_many_are_wanted() -> None:
    assert list(islice(talks(["copying"], 500, "1"), 20)) == list(talks(["copying"], 20, "1"))
