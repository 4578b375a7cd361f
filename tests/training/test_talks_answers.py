"""What the talks of questions teach is so: sums come out, facts are at hand, no scale says two things."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from inference.training.talks import comparing, facts, followups, sums, words
from inference.training.talks.asking import sections, split, within
from inference.training.talks.wording import Talk, number_words

FACTS = 900  # at the least

SUM = re.compile(r"(?:^|: |\. )(\d+) (\+|-|x|/|plus|minus|times|divided by) (\d+) (?:=|is) (\d+)\.")


def exchanges(talk: Talk) -> list[tuple[str, str]]:
    said = [text for role, text in talk if role != "system"]
    return list(zip(said[::2], said[1::2], strict=True))


def reckoned(a: int, sign: str, b: int) -> int:
    if sign in ("+", "plus"):
        return a + b
    if sign in ("-", "minus"):
        return a - b
    if sign in ("x", "times"):
        return a * b
    assert a % b == 0
    return a // b


def test_every_sum_that_is_spoken_out_comes_out() -> None:
    rng, seen = Random(3), 0
    for _ in range(3000):
        for _, answer in exchanges(sums.talk(rng)):
            for a, sign, b, result in SUM.findall(answer):
                assert reckoned(int(a), sign, int(b)) == int(result), answer
                seen += 1
    assert seen > 1000


def test_a_sum_typed_in_figures_gets_its_result() -> None:
    rng, seen = Random(4), 0
    for _ in range(3000):
        question, answer = sums.plain(rng, "Chorus")
        if typed := re.fullmatch(r"(\d+) ?(\+|-|x) ?(\d+)[=? ]*", question):
            a, sign, b = typed.groups()
            assert re.findall(r"\d+", answer)[-1] == str(reckoned(int(a), sign, int(b)))
            seen += 1
    assert seen > 50


def test_a_sum_in_words_is_answered_in_figures_or_in_words() -> None:
    rng = Random(6)
    answers = {answer for _ in range(2000) for _, answer in [sums.plain(rng, "Chorus")]}
    assert any(answer.lower().endswith(f"is {number_words(12)}.") for answer in answers)
    assert "That makes 12." in answers


def test_going_on_goes_on_from_the_last_result() -> None:
    rng, seen = Random(8), 0
    for _ in range(1000):
        held = None
        for question, answer in sums.chained(rng, "Chorus"):
            result = int(re.findall(r"\d+", answer)[-1])
            if held is not None and (added := re.search(r"^and plus (\d+)\?$", question, re.IGNORECASE)):
                assert result == held + int(added.group(1))
                seen += 1
            held = result
    assert seen > 20


def test_the_facts_are_many() -> None:
    assert sum(len(relation.records) for relation in facts.relations().values()) + len(facts.alone()) >= FACTS


@pytest.mark.parametrize("title", sorted(facts.relations()))
def test_a_relation_can_be_asked_and_its_answers_hold_the_value(title: str) -> None:
    relation = facts.relations()[title]
    assert relation.asked
    assert relation.stated
    rng = Random(1)
    for record in relation.records:
        for subject in record.subjects:
            assert record.value.lower() in facts.stated(rng, relation, subject, record.value).lower()
            for wording in (*relation.asked, *relation.stated, *relation.asked_back, *relation.doubted):
                assert facts.fill(wording, subject, record.value)


@pytest.mark.parametrize("title", sorted(facts.relations()))
def test_nothing_is_known_twice_in_two_ways(title: str) -> None:
    names = Counter(name for record in facts.relations()[title].records for name in record.subjects)
    assert [name for name, times in names.items() if times > 1] == []


def test_what_a_person_claims_is_confirmed_only_if_it_is_so() -> None:
    relation = facts.relations()["capital"]
    capitals = {name: record.value for record in relation.records for name in record.subjects}
    rng, seen = Random(2), Counter[bool]()
    for _ in range(4000):
        question, answer = facts.exchange(rng, relation, "Chorus")
        claim = re.fullmatch(r"Is ((?!it true).+) the capital of (.+)\?", question)
        if claim and claim.group(2) in capitals:
            so = capitals[claim.group(2)] == claim.group(1)
            assert answer.startswith("No" if not so else ("Yes", "That's right", "Right")), (question, answer)
            seen[so] += 1
    assert min(seen[True], seen[False]) > 10


def test_no_thing_stands_on_two_steps_of_a_scale() -> None:
    for scale in comparing.scales():
        things = Counter(thing for step in scale.steps for thing in step)
        assert [thing for thing, times in things.items() if times > 1] == []
        assert all(
            len(degree.comparative.split()) == len(degree.superlative.split()) for degree in scale.more
        )


def test_one_who_asks_whether_a_snail_is_faster_than_a_cheetah_hears_no() -> None:
    places = [
        (degree.comparative, sign, {thing: at for at, step in enumerate(scale.steps) for thing in step})
        for scale in comparing.scales()
        for degrees, sign in ((scale.more, 1), (scale.less, -1))
        for degree in degrees
    ]
    rng, heard = Random(5), Counter[bool]()
    for question, answer in (one for _ in range(8000) for one in comparing.exchanges(rng, "Chorus")):
        for comparative, sign, place in places:
            asked = re.fullmatch(rf"Is (.+) {comparative} than (.+)\?", question)
            if asked and asked.group(1) in place and asked.group(2) in place:
                so = sign * (place[asked.group(1)] - place[asked.group(2)]) > 0
                assert answer.startswith("No, ") != so, (question, answer)
                heard[so] += 1
    assert min(heard[True], heard[False]) > 10


def test_the_families_of_rhymes_share_no_word() -> None:
    times = Counter(word for line in sections("words")["rhymes"] for word in line.split())
    assert [word for word, count in times.items() if count > 1] == []


def test_a_translation_has_its_word_in_every_language() -> None:
    assert all(len(split(line)) == 1 + len(words.LANGUAGES) for line in sections("words")["translations"])


@pytest.mark.parametrize(
    ("title", "parts"),
    [("troubles", 4), ("hobbies", 3), ("care", 3), ("choices", 5), ("shorter", 3), ("more", 4)],
)
def test_what_followups_need_is_complete(title: str, parts: int) -> None:
    lines = sections("followups")[title]
    assert all(len(split(line)) == parts and all(split(line)) for line in lines)
    assert title != "troubles" or len(lines) >= 120


def test_a_second_message_leans_on_the_first() -> None:
    rng = Random(9)
    several = sum(len(exchanges(followups.talk(rng))) > 1 for _ in range(500))
    assert several > 480


def test_within_a_sentence_a_question_is_small_and_a_name_is_not() -> None:
    assert within("What is the capital?") == "what is the capital?"
    assert within("Paris is where?") == "Paris is where?"
