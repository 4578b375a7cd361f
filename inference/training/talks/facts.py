"""Talk about what is so: everyday facts, asked for in many wordings, forwards, backwards and doubted.

The facts themselves stand in words/facts.txt and words/facts_why.txt. Knows nothing of what was said before
a question: that is `followups`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from random import Random

from inference.training.talks.asking import Exchange, answer, ask, chat, sections, split, turns_of
from inference.training.talks.wording import Talk, a_or_an, bot_name, capital, chance, lines, pick

COUNTRIES = "countries"
ALONE = 0.2  # the share of questions that stand alone, of no relation
NEAR = 6  # records before and after one, among which most are of its sort
NOTHING = "-"  # a column of a country that is left out

_YES = (
    "Yes, {stated}",
    "Yes, {stated}",
    "That's right, {stated}",
    "Yes, that's right: {stated}",
    "Right, {stated}",
)
_NO = ("No, {stated}", "No, {stated}", "Not quite, {stated}", "Not really, {stated}")


@dataclass(frozen=True, slots=True)
class Record:
    subjects: tuple[str, ...]  # one thing by its different names
    value: str


@dataclass(frozen=True, slots=True)
class Relation:
    """What is known of things of one kind. The wordings hold {s} and {v}, or with articles {as} and {av}."""

    asked: tuple[str, ...]
    stated: tuple[str, ...]
    short: tuple[str, ...]
    asked_back: tuple[str, ...]
    answered_back: tuple[str, ...]
    doubted: tuple[str, ...]
    records: tuple[Record, ...]
    single: frozenset[str]  # the values that one record has


@cache
def relations() -> dict[str, Relation]:
    return {title: _relation(title) for title in sections("facts") if title != COUNTRIES}


def _relation(title: str) -> Relation:
    marked: dict[str, list[str]] = {mark: [] for mark in "?=!<>~%"}
    records: list[Record] = []
    for line in sections("facts")[title]:
        if line[0] in marked and line[1] == " ":
            marked[line[0]].append(line[2:])
        else:
            subject, value = split(line)
            records.append(Record(split(subject, "/"), value))
    for columns in marked["%"]:
        records += _column(*map(int, columns.split()))
    counted = Counter(record.value for record in records)
    wordings = {mark: tuple(said) for mark, said in marked.items()}
    return Relation(
        asked=wordings["?"],
        stated=wordings["="],
        short=wordings["!"],
        asked_back=wordings["<"],
        answered_back=wordings[">"] or wordings["="],
        doubted=wordings["~"],
        records=tuple(records),
        single=frozenset(value for value in counted if counted[value] == 1),
    )


def _column(subject: int, value: int) -> list[Record]:
    rows = [split(line) for line in sections("facts")[COUNTRIES]]
    return [Record(split(row[subject], "/"), row[value]) for row in rows if row[value] != NOTHING]


def fill(template: str, subject: str, value: str) -> str:
    return template.format_map({"s": subject, "v": value, "as": a_or_an(subject), "av": a_or_an(value)})


def stated(rng: Random, relation: Relation, subject: str, value: str) -> str:
    """The fact or just the value, as an answer."""
    wordings = relation.short if relation.short and chance(rng, 0.35) else relation.stated
    return capital(fill(pick(rng, wordings), subject, value))


def exchange(rng: Random, relation: Relation, name: str) -> Exchange:
    draw = rng.random()
    if relation.doubted and draw < 0.22:
        return _doubt(rng, relation, name)
    record = pick(rng, relation.records)
    subject = pick(rng, record.subjects)
    if relation.asked_back and record.value in relation.single and draw < 0.42:
        question = fill(pick(rng, relation.asked_back), subject, record.value)
        back = fill(pick(rng, relation.answered_back), subject, record.value)
        return ask(rng, question, name, (record.value,)), capital(back)
    question = fill(pick(rng, relation.asked), subject, record.value)
    return ask(rng, question, name), stated(rng, relation, subject, record.value)


def _doubt(rng: Random, relation: Relation, name: str) -> Exchange:
    at = rng.randrange(len(relation.records))
    record = relation.records[at]
    subject = pick(rng, record.subjects)
    claimed = record.value
    if chance(rng, 0.5):
        near = relation.records[max(at - NEAR, 0) : at + NEAR + 1] if chance(rng, 0.7) else relation.records
        claimed = pick(rng, near).value
        if claimed != record.value and _words(claimed) & _words(record.value):  # both may be so
            claimed = record.value
    question = fill(pick(rng, relation.doubted), subject, claimed)
    fact = fill(pick(rng, relation.stated), subject, record.value)
    verdict = _YES if claimed == record.value else _NO
    return ask(rng, question, name), pick(rng, verdict).format(stated=fact)


def _words(value: str) -> frozenset[str]:
    return frozenset(
        word for word in value.lower().replace(",", " ").split() if word not in {"the", "a", "an", "in"}
    )


@cache
def alone() -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    """Questions that stand alone with their answers, each in several wordings."""
    halves = [line.split("=>") for line in lines("facts_why")]
    return tuple((split(asked), split(answered)) for asked, answered in halves)


def _alone(rng: Random, name: str) -> Exchange:
    asked, answered = pick(rng, alone())
    return ask(rng, pick(rng, asked), name), answer(rng, answered)


@cache
def _weighted() -> tuple[tuple[Relation, ...], tuple[int, ...]]:
    held = tuple(relations().values())
    return held, tuple(len(relation.records) + 10 for relation in held)


def any_exchange(rng: Random, name: str) -> Exchange:
    """A question of any kind: relations with many facts come up more often."""
    if chance(rng, ALONE):
        return _alone(rng, name)
    held, weights = _weighted()
    return exchange(rng, rng.choices(held, weights)[0], name)


def talk(rng: Random) -> Talk:
    name = bot_name(rng)
    return chat(rng, [any_exchange(rng, name) for _ in range(turns_of(rng))], name)
