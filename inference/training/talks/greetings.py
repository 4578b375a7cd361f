"""Greetings and how people are: every time of day, first meetings, coming back, "are you there?".

Knows nothing of the clock.
"""

from __future__ import annotations

from random import Random

from inference.training.talks.exchanges import exchanges, held, strung
from inference.training.talks.frame import framed
from inference.training.talks.wording import Talk, bot_name, chance, pick

FURTHER = 0.35  # of all talks go on with something else


def talk(rng: Random) -> Talk:
    name = bot_name(rng)
    turns = held(rng, pick(rng, exchanges("greetings")), name)
    if chance(rng, FURTHER):
        further = pick(rng, ("identity", "limits", "platforms"))
        turns += strung(rng, exchanges(further), 2, name)
    return framed(rng, turns, name, before=0.0, named=0.0)
