"""Talks of several people in one chat. The bot sees who speaks, as in "Ada: Hello.", and says who it means.

The sentences stand in words/groups.toml.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from inference.training.talks.matters import SLOTS, first_names
from inference.training.talks.personas import filled
from inference.training.talks.wording import (
    Talk,
    a_or_an,
    bot_name,
    capital,
    casual,
    chance,
    join,
    pick,
    repeats,
    some,
    tables,
)

SAYS = tables("groups")
FIELDS = [field for field in SAYS if field != "others"]
MANNERS = ("friendly", "witty", "calm", "curious", "polite", "helpful")
EVERYONE = (
    "Who is in this chat?",
    "Who has spoken so far?",
    "Who are we?",
    "Name everyone here, please.",
    "How many of us are here, and who?",
)


def talk(rng: Random) -> Talk:
    """Two or three speakers tell something each; then one asks who it was, or what someone said."""
    bot = bot_name(rng)
    turns = _told_and_asked(rng, bot)
    while repeats(turns):
        turns = _told_and_asked(rng, bot)
    return turns


def _told_and_asked(rng: Random, bot: str) -> Talk:
    field = pick(rng, FIELDS)
    count = pick(rng, (2, 2, 3))
    names = first_names(rng, count)
    values = some(rng, SLOTS[field], count)
    where = pick(rng, ("", " in a group chat"))
    told = f"You are {bot}, {a_or_an(pick(rng, MANNERS))} assistant{where}. Answer briefly."
    talk: Talk = [("system", told)]
    for name, value in zip(names, values, strict=True):
        said = filled(pick(rng, SAYS[field]["tells"]), value)
        answer = capital(
            pick(rng, SAYS[field]["acks"]).format(
                n=name, v=value, V=capital(value), A=capital(a_or_an(value))
            )
        )
        talk += _line(rng, name, said, value, answer)
        if chance(rng, 0.2):
            talk += _other(rng, pick(rng, names))
    for _ in range(pick(rng, (1, 1, 2, 3))):
        talk += _other(rng, pick(rng, names)) if chance(rng, 0.2) else _group_ask(rng, field, names, values)
    return talk


def _line(rng: Random, name: str, said: str, kept: str, answer: str) -> Talk:
    return [("user", f"{name}: {casual(rng, said, [kept])}"), ("assistant", answer)]


def _other(rng: Random, name: str) -> Talk:
    said, answer = pick(rng, SAYS["others"]).split(" | ")
    return _line(rng, name, said, name, answer.format(n=name))


def _group_ask(rng: Random, field: str, names: Sequence[str], values: Sequence[str]) -> Talk:
    at, speaker = rng.randrange(len(names)), pick(rng, names)
    name, value, article = names[at], values[at], a_or_an(values[at])
    draw = rng.random()
    if draw < 0.15:
        said = pick(rng, EVERYONE)
        return _line(rng, speaker, said, "", f"{join(names)}.")
    if draw < 0.5:
        said = pick(rng, SAYS[field]["who"]).format(v=value, a=article)
        answer = (
            "You, {n}."
            if name == speaker
            else pick(rng, ("{n}.", "That's {n}.", "It was {n}.", SAYS[field]["long"]))
        )
    elif draw < 0.75 and name != speaker:
        said = pick(rng, SAYS[field]["what"]).format(n=name)
        answer = pick(rng, (SAYS[field]["long"], SAYS[field]["short"]))
        answer = (
            SAYS[field]["long"] if "say" in said and "colour" not in said and "time" not in said else answer
        )
    else:
        speaker = name
        said = pick(rng, SAYS[field]["mine"])
        answer = pick(rng, (SAYS[field]["short"][:-1] + ", {n}.", SAYS[field]["short"]))
    text = answer.format(n=name, N=name, v=value, V=capital(value), a=article, A=capital(article))
    return [("user", f"{speaker}: {casual(rng, said, [name, value])}"), ("assistant", capital(text))]
