"""Talk of Discord, Telegram and the bot's own commands. Knows no settings of a particular server."""

from __future__ import annotations

from random import Random

from inference.training.talks.exchanges import exchanges, strung
from inference.training.talks.frame import framed
from inference.training.talks.wording import Talk, bot_name

MOST = 3  # exchanges in a talk


def talk(rng: Random) -> Talk:
    name = bot_name(rng)
    return framed(rng, strung(rng, exchanges("platforms"), MOST, name), name)
