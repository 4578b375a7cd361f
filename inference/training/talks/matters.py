"""What a person can tell of themselves: each matter with its sentences, and values drawn at random.

The sentences, and what their slots mean, stand in words/matters.toml, lists of values in words/slots.txt.
Knows nothing of whole talks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from inference.training.talks.wording import chance, invented, lines, number_words, pick, sections, tables

SLOTS = sections("slots")
Slots = dict[str, str]
Draw = Callable[[Random], Slots]
"""`v`, what is told, and perhaps `k`, what kind."""


@dataclass(frozen=True, slots=True)
class Matter:
    """`tells` are the person's sentences, `asks` the questions, the rest the bot's. A `plain` one also takes
    the sentences for all of those, in which `what` stands behind "my" and "your"."""

    what: str
    value: Draw
    tells: list[str]
    acks: list[str]
    asks: list[str]
    answers: list[str]
    be: str = "is"
    plain: bool = True
    exact: bool = False  # no capital even where a sentence begins


def first_name(rng: Random) -> str:
    return invented(rng) if chance(rng, 0.25) else pick(rng, lines("names"))


def first_names(rng: Random, count: int) -> list[str]:
    """All different."""
    names: list[str] = []
    while len(names) < count:
        name = first_name(rng)
        if name not in names:
            names.append(name)
    return names


def title(rng: Random) -> str:
    """Of a film or a book that nobody has seen."""
    return f"The {pick(rng, SLOTS['titles'])} {pick(rng, SLOTS['titled'])}"


def code(rng: Random, kind: str = "") -> str:
    """Something that can only be known from having been told: "4821", "tulip73", "KX-902"."""
    digits = "".join(str(rng.randrange(10)) for _ in range(rng.randrange(3, 6)))
    letters = "".join(pick(rng, "ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(2))
    word = pick(rng, SLOTS[pick(rng, ("petnames", "titled", "flowers", "animals"))]).split()[-1]
    if kind == "code word":
        return word.lower()
    if kind == "phone number":
        return f"{rng.randrange(200, 999)} {rng.randrange(1000, 9999)}"
    if kind == "seat number":
        return f"{rng.randrange(1, 40)}{letters[0]}"
    if kind in ("wifi password", "login"):
        return pick(
            rng, (f"{word.lower()}{digits[:2]}", f"{word}-{digits[:3]}", f"{word.lower()}{digits[:3]}")
        )
    return pick(rng, (digits, digits, digits, f"{letters}-{digits[:3]}", f"{letters}{digits[:3]}"))


def _of(slot: str) -> Draw:
    return lambda rng: {"v": pick(rng, SLOTS[slot])}


def _of_kind(kinds: str, slot: str) -> Draw:
    return lambda rng: {"k": pick(rng, SLOTS[kinds]), "v": pick(rng, SLOTS[slot])}


def _number(low: int, high: int) -> Draw:
    return lambda rng: {"v": str(rng.randrange(low, high))}


def _name(rng: Random) -> Slots:
    return {"v": first_name(rng)}


def _nickname(rng: Random) -> Slots:
    return {"v": pick(rng, SLOTS["petnames"]) if chance(rng, 0.5) else invented(rng)}


def _relative(rng: Random) -> Slots:
    return {"k": pick(rng, SLOTS["relations"]), "v": first_name(rng)}


def _pet(rng: Random) -> Slots:
    name = pick(rng, SLOTS["petnames"]) if chance(rng, 0.6) else first_name(rng)
    return {"k": pick(rng, SLOTS["pets"]), "v": name}


def _age(rng: Random) -> Slots:
    age = rng.randrange(6, 95)
    return {"v": number_words(age) if chance(rng, 0.25) else str(age)}


def _birthday(rng: Random) -> Slots:
    month, day = pick(rng, SLOTS["months"]), rng.randrange(1, 29)
    ending = "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    forms = (f"{month} {day}", f"{day} {month}", f"the {day}{ending} of {month}", f"{month} {day}{ending}")
    return {"v": pick(rng, forms)}


def _appointment(rng: Random) -> Slots:
    day = pick(rng, (*SLOTS["days"], "today", "tomorrow"))
    when = f"on {day}" if day[0].isupper() else day
    time = f"at {pick(rng, SLOTS['clock'])}"
    return {"k": pick(rng, SLOTS["appointments"]), "v": pick(rng, (time, f"{when} {time}", when))}


def _code(rng: Random) -> Slots:
    kind = pick(rng, SLOTS["codes"])
    return {"k": kind, "v": code(rng, kind)}


def _street(rng: Random) -> Slots:
    road = f"{pick(rng, SLOTS['roads'])} {pick(rng, ('Street', 'Road', 'Lane', 'Avenue', 'Square'))}"
    return {"v": f"{rng.randrange(1, 120)} {road}"}


def _team(rng: Random) -> Slots:
    return {"v": f"the {pick(rng, SLOTS['cities'])} {pick(rng, SLOTS['teams'])}"}


def _title(rng: Random) -> Slots:
    return {"v": title(rng)}


def _travel(rng: Random) -> Slots:
    return {"k": pick(rng, SLOTS["seasons"]), "v": pick(rng, SLOTS["cities"] + SLOTS["countries"])}


def _count(rng: Random) -> Slots:
    number = number_words(rng.randrange(2, 40)) if chance(rng, 0.6) else str(rng.randrange(2, 200))
    return {"k": pick(rng, SLOTS["animals"] + SLOTS["flowers"]), "v": number}


VALUES: dict[str, Draw] = {
    "name": _name,
    "nickname": _nickname,
    "age": _age,
    "city": _of("cities"),
    "country": _of("countries"),
    "job": _of("jobs"),
    "hobby": _of("hobbies"),
    "food": _of("foods"),
    "drink": _of("drinks"),
    "colour": _of("colours"),
    "animal": _of("animals"),
    "flower": _of("flowers"),
    "subject": _of("subjects"),
    "language": _of("languages"),
    "instrument": _of("instruments"),
    "allergy": _of("allergies"),
    "pet": _pet,
    "relative": _relative,
    "car": _of("cars"),
    "plan": _of_kind("when", "plans"),
    "hidden": _of_kind("things", "places"),
    "appointment": _appointment,
    "birthday": _birthday,
    "code": _code,
    "team": _team,
    "film": _title,
    "book": _title,
    "lucky": _number(1, 999),
    "bus": _number(1, 300),
    "room": _number(1, 950),
    "shoes": _number(34, 48),
    "street": _street,
    "owned": _of_kind("owned", "colours"),
    "present": _of_kind("relations", "presents"),
    "travel": _travel,
    "weather": _of("weather"),
    "dinner": _of("foods"),
    "count": _count,
}
SENTENCES = tables("matters")
ANY, PLAIN = SENTENCES["any"], SENTENCES["plain"]
MATTERS = {key: Matter(value=value, **SENTENCES[key]) for key, value in VALUES.items()}
