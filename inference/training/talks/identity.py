"""Who and what the bot is: its name, that it is a program, how it works, what it can do.

Its name is the one that its system prompt tells."""

from __future__ import annotations

from random import Random

from inference.training.talks.exchanges import exchanges, strung
from inference.training.talks.frame import framed
from inference.training.talks.wording import Talk, bot_name

MOST = 3  # exchanges in a talk


def talk(rng: Random) -> Talk:
    name = bot_name(rng)
    return framed(rng, strung(rng, exchanges("identity"), MOST, name), name, named=0.0)
