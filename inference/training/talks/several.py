"""Talks in which several things are told and kept apart: lists, people, things with their colours.

The sentences stand in words/copying.toml.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from inference.training.talks.matters import (
    SLOTS,
    first_names,
)
from inference.training.talks.telling import SAYS, smalls, typed, yours
from inference.training.talks.wording import (
    Talk,
    a_or_an,
    capital,
    casual,
    chance,
    join,
    number_words,
    pick,
    some,
)

PLACES = ("first", "second", "third", "fourth")


def _listed(rng: Random, kind: str, count: int) -> list[str]:
    if kind == "friends":
        return first_names(rng, count)
    if kind == "words":
        return some(rng, SLOTS["owned"] + SLOTS["colours"] + SLOTS["shopping"], count)
    return some(rng, SLOTS[kind], count)


def listed(rng: Random, bot: str) -> Talk:
    """Several things told at once, read back, counted, added to and struck off."""
    kind = pick(rng, list(SAYS["lists"]))
    things = _listed(rng, kind, pick(rng, (2, 3, 3, 3, 4)))
    told = pick(rng, SAYS["lists"][kind]["tells"])
    if "Three" in told:
        things = (things + _listed(rng, kind, 3))[:3]
    kept = list(things)
    said = told.format(l=join(things))
    talk: Talk = [
        ("user", typed(rng, said, kept)),
        ("assistant", pick(rng, SAYS["noted"]).format(l=yours(join(things)), L=capital(yours(join(things))))),
    ]
    talk += smalls(rng, bot, 2)
    for step in some(rng, (_read, _placed, _counted, _added, _struck), pick(rng, (1, 1, 2, 2, 3))):
        talk += step(rng, things, kind)
    return talk


def _read(rng: Random, things: list[str], kind: str) -> Talk:
    listing = yours(join(things))
    return [
        ("user", casual(rng, pick(rng, SAYS["lists"][kind]["asks"]))),
        ("assistant", pick(rng, SAYS["read"]).format(l=listing, L=capital(listing))),
    ]


def _placed(rng: Random, things: list[str], kind: str) -> Talk:
    at = rng.randrange(len(things))
    place = "last" if at == len(things) - 1 and chance(rng, 0.5) else PLACES[min(at, 3)]
    asked = pick(rng, SAYS["place_asks"]).format(p=place)
    thing = yours(things[at])
    answer = pick(rng, SAYS["place_answers"])
    return [("user", casual(rng, asked)), ("assistant", answer.format(v=thing, V=capital(thing), p=place))]


def _counted(rng: Random, things: list[str], kind: str) -> Talk:
    number = number_words(len(things))
    asked = pick(rng, SAYS["count_asks"])
    answer = pick(rng, SAYS["count_answers"])
    return [
        ("user", casual(rng, asked)),
        ("assistant", answer.format(n=number, N=capital(number), l=yours(join(things)))),
    ]


def _added(rng: Random, things: list[str], kind: str) -> Talk:
    new = next(thing for thing in _listed(rng, kind, len(things) + 1) if thing not in things)
    things.append(new)
    said = pick(rng, SAYS["adds"]).format(v=new)
    answer = pick(rng, SAYS["add_answers"])
    listing = yours(join(things))
    return [
        ("user", casual(rng, said, [new])),
        ("assistant", answer.format(v=yours(new), l=listing, L=capital(listing))),
    ]


def _struck(rng: Random, things: list[str], kind: str) -> Talk:
    gone = things.pop(rng.randrange(len(things))) if len(things) > 1 else things[0]
    said = pick(rng, SAYS["strikes"]).format(v=gone)
    if things == [gone]:
        return [("user", casual(rng, said, [gone])), ("assistant", "Then nothing is left.")]
    listing = yours(join(things))
    answer = pick(
        rng,
        ("{L}.", "Then {l} remains." if len(things) == 1 else "Then {l} remain.", "Left: {l}.", "Still {l}."),
    )
    return [("user", casual(rng, said, [gone])), ("assistant", answer.format(l=listing, L=capital(listing)))]


def people(rng: Random, bot: str) -> Talk:
    """Of one to three others something is told; asked is what one does, or who it is that does it."""
    field = pick(rng, list(SAYS["about"]))
    count = pick(rng, (1, 2, 2, 3))
    names, values = first_names(rng, count), some(rng, SLOTS[field], count)
    relations = some(rng, SLOTS["relations"], count)
    related = [chance(rng, 0.6) for _ in range(count)]
    sentences = [
        capital(
            pick(rng, SAYS["about"][field]["tells"]).format(
                p=f"my {relation} {name}" if close else name, v=value, a=a_or_an(value)
            )
        )
        for name, value, relation, close in zip(names, values, relations, related, strict=True)
    ]
    talk: Talk = []
    if chance(rng, 0.5):
        said = " ".join(sentences)
        talk += [
            ("user", typed(rng, said, (*names, *values))),
            ("assistant", _people_ack(rng, names, values)),
        ]
    else:
        for sentence, name, value in zip(sentences, names, values, strict=True):
            talk += [
                ("user", typed(rng, sentence, (name, value))),
                ("assistant", _people_ack(rng, [name], [value])),
            ]
    for at in some(rng, range(count), pick(rng, (1, 1, count))):
        talk += smalls(rng, bot, 1)
        talk += _about(rng, field, names[at], values[at], relations[at] if related[at] else "")
    return talk


def _people_ack(rng: Random, names: Sequence[str], values: Sequence[str]) -> str:
    answer: str = pick(rng, SAYS["people_several" if len(names) > 1 else "people_acks"])
    return answer.format(l=join(names), n=names[0], N=names[0], v=values[0])


def _about(rng: Random, field: str, name: str, value: str, relation: str) -> Talk:
    """What one does, who it is that does it, or who one is."""
    said, who = SAYS["about"][field], chance(rng, 0.5)
    if not who and relation and chance(rng, 0.15):
        asked = pick(rng, SAYS["who_asks"]).format(n=name)
        return [
            ("user", typed(rng, asked, [name])),
            (
                "assistant",
                pick(rng, SAYS["who_is"]).format(n=name, r=relation),
            ),
        ]
    article = a_or_an(value)
    asked = pick(rng, said["whos" if who else "asks"]).format(n=name, v=value, a=article)
    known = f"your {relation} {name}" if relation and chance(rng, 0.5) else name
    answer = pick(rng, SAYS["who_answers"] if who else said["answers"])
    if who and "does" in answer and re.search(r"\b(is|was|can't|did|has)\b", asked):
        answer = "{N}."
    answer = answer.format(
        n=known, N=capital(known), v=value, V=capital(value), a=article, A=capital(article)
    )
    return [("user", typed(rng, asked, (name, value))), ("assistant", answer)]


def bound(rng: Random, bot: str) -> Talk:
    """Things with a colour each, or animals with a name each: which has which."""
    kind, count = pick(rng, ("owned", "pets")), pick(rng, (2, 2, 3))
    says, things = SAYS["bound"][kind], some(rng, SLOTS[kind], count)
    values = some(rng, SLOTS["colours"], count) if kind == "owned" else first_names(rng, count)
    verb = "is" if kind == "owned" else "is called"
    told = join([f"my {thing} {verb} {value}" for thing, value in zip(things, values, strict=True)])
    talk: Talk = [("user", typed(rng, capital(told) + ".", (*things, *values)))]
    talk += [("assistant", pick(rng, SAYS["bound_acks"])), *smalls(rng, bot, 1)]
    for thing, value in some(rng, list(zip(things, values, strict=True)), pick(rng, (1, 2))):
        forward = chance(rng, 0.6)
        asked = pick(rng, says["asks" if forward else "whichs"])
        answer = pick(rng, says["answers" if forward else "which_answers"])
        filled = {"t": thing, "v": value, "V": capital(value)}
        talk += [
            ("user", typed(rng, asked.format(**filled), (thing, value))),
            ("assistant", answer.format(**filled)),
        ]
    return talk
