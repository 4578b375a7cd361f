"""Exchanges that are written down in a file: ways to ask, ways to answer, and what may follow.

    = a heading, which nobody sees
    @ pet, sound: cat/purrs; dog/barks
    ? Do you have a {pet}?
    ! No, but I know that it {sound}.
    +
    ? Why not?
    ! I'm a program.

A line with `@` gives slots and their values: the same are meant in the whole exchange. What stands behind a
`+` may follow or not. A question behind an answer begins another way that the talk may take there. {name} is
the bot's own name, {made} a word that nobody knows, {person} somebody's name. Knows nothing of what the
exchanges are about.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from random import Random

from inference.training.talks.frame import PEOPLE, called
from inference.training.talks.wording import Talk, capital, casual, chance, invented, lines, pick

FOLLOWS = 0.65  # of all draws
CALLED = 0.3
_GREETINGS = frozenset(
    [
        "hi",
        "hello",
        "hey",
        "heya",
        "hiya",
        "good",
        "greetings",
        "morning",
        "howdy",
        "yo",
        "sup",
        "bye",
        "goodbye",
        "ok",
        "okay",
        "oh",
        "well",
        "yes",
        "no",
        "um",
        "hm",
        "hmm",
    ]
)


@dataclass(slots=True)
class Way:
    """Any of the questions, then any of the answers."""

    asked: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Exchange:
    """`slots` are names and the values that they may take together."""

    heading: str
    slots: list[tuple[tuple[str, ...], list[tuple[str, ...]]]] = field(default_factory=list)
    rounds: list[list[Way]] = field(default_factory=lambda: [[Way()]])


@cache
def exchanges(name: str) -> tuple[Exchange, ...]:
    """All of words/NAME.txt. Raises ValueError for a line that is none of the above."""
    found: list[Exchange] = []
    for line in lines(name):
        mark, text = line[:1], line[1:].strip()
        if mark == "=":
            found.append(Exchange(text))
        elif mark == "@":
            found[-1].slots.append(_slots(text))
        elif mark == "?":
            ways = found[-1].rounds[-1]
            if ways[-1].answered:
                ways.append(Way())
            ways[-1].asked.append(text)
        elif mark == "!":
            found[-1].rounds[-1][-1].answered.append(text)
        elif mark == "+":
            found[-1].rounds.append([Way()])
        else:
            raise ValueError(f"words/{name}.txt: {line!r} begins with none of = @ ? ! +")
    return tuple(found)


def _slots(text: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    names, _, values = text.partition(":")
    rows = [tuple(part.strip() for part in value.split("/")) for value in values.split(";")]
    slots = tuple(part.strip() for part in names.split(","))
    if any(len(row) != len(slots) for row in rows):
        raise ValueError(f"a value of {names} does not have {len(slots)} parts")
    return slots, rows


def held(rng: Random, exchange: Exchange, name: str) -> Talk:
    """The exchange, once, in some wording, between a person and a bot of that name."""
    values = {"name": name, "made": invented(rng).lower(), "person": pick(rng, PEOPLE)}
    for slots, rows in exchange.slots:
        drawn = [part.format_map(values) for part in pick(rng, rows)]
        values.update(zip(slots, drawn, strict=True))
    talk: Talk = []
    for number, ways in enumerate(exchange.rounds):
        if number and not chance(rng, FOLLOWS):
            break
        way = pick(rng, ways)
        asked = filled(pick(rng, way.asked), values)
        asked = capital(asked) if number or _calls(asked, name) else called(rng, asked, name, CALLED)
        talk.append(("user", casual(rng, asked, keep=(values["made"], values["person"]))))
        talk.append(("assistant", capital(filled(pick(rng, way.answered), values))))
    return talk


def _calls(text: str, name: str) -> bool:
    """Whether it has a greeting or the bot's name in it already."""
    first = text.split(" ", 1)[0].strip(",.!?").lower()
    return first in _GREETINGS or name in text or text[:1].isupper()


def filled(text: str, values: dict[str, str]) -> str:
    """With the values in it, and a capital where a sentence begins."""
    whole = text.format_map(values)
    for end in (". ", "! ", "? "):
        first, *rest = whole.split(end)
        whole = end.join([first, *map(capital, rest)])
    return whole


def strung(rng: Random, kinds: Iterable[Exchange], most: int, name: str) -> Talk:
    """One to `most` different exchanges, one behind the other."""
    every = list(kinds)
    count = min(len(every), 1 + rng.randrange(most))
    return [turn for exchange in rng.sample(every, count) for turn in held(rng, exchange, name)]
