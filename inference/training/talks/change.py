"""Conversations that were written, told once more by other people: other names, another way of typing.

Knows nothing of where they come from. A name counts as one only if it is in words/names.txt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from random import Random

from inference.training.talks.wording import Talk, casual, chance, invented, lines, pick

INVENTED = 0.2  # the share of new names that nobody has met
VARIED = 0.5  # the share of conversations that are typed in another way

_TOLD = re.compile(
    r"\b(?:my name is|my name's|name is|name's|i am|i'm|im|call me|called|named|this is|it's|"
    r"my (?:\w+ )?(?:mum|mom|dad|mother|father|sister|brother|son|daughter|wife|husband|friend|aunt|uncle|"
    r"cousin|grandma|grandpa|neighbou?r|boss|boyfriend|girlfriend|partner|dog|cat|hamster|rabbit|parrot|horse)"
    r"(?: is| named| called)?)"
    r",? ([A-Z][a-zà-ÿ]+)",
    re.IGNORECASE,
)


def other_names(rng: Random, talk: Sequence[tuple[str, str]]) -> Talk:
    """Each first name that a person tells is another one throughout, the same one for the same name. What
    the system message names stays: it is the bot."""
    told = _told(talk)
    if not told:
        return list(talk)
    new = dict(zip(told, _names(rng, told), strict=True))
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, told))})\b", re.IGNORECASE)
    return [
        (role, text if role == "system" else pattern.sub(lambda found: _like(found.group(), new), text))
        for role, text in talk
    ]


def _like(old: str, new: dict[str, str]) -> str:
    """The new name, in small letters where the old one was written so."""
    return new[old.capitalize()].lower() if old.islower() else new.get(old, old)


def other_hands(rng: Random, talk: Sequence[tuple[str, str]]) -> Talk:
    """What people write, typed as in a chat, in a share of all conversations."""
    if not chance(rng, VARIED):
        return list(talk)
    return [(role, casual(rng, text) if role == "user" else text) for role, text in talk]


def _told(talk: Sequence[tuple[str, str]]) -> list[str]:
    """The names that people tell in the order of their telling."""
    bot = " ".join(text for role, text in talk if role == "system")
    found = [name for role, text in talk if role == "user" for name in _TOLD.findall(text)]
    known = [name for name in found if name in _known() and not re.search(rf"\b{name}\b", bot)]
    return list(dict.fromkeys(known))


def _names(rng: Random, told: Sequence[str]) -> list[str]:
    """As many others, all different."""
    names: list[str] = []
    while len(names) < len(told):
        name = invented(rng) if chance(rng, INVENTED) else pick(rng, lines("names"))
        if name not in names and name not in told:
            names.append(name)
    return names


@cache
def _known() -> frozenset[str]:
    return frozenset(lines("names"))
