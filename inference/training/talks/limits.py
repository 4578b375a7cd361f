"""What a small model cannot know or do, told honestly, and beside it what it can do.

Knows nothing of the facts themselves: others teach those.
"""

from __future__ import annotations

from random import Random

from inference.training.talks.exchanges import exchanges, held
from inference.training.talks.frame import framed
from inference.training.talks.wording import Talk, bot_name, chance, pick

CAN = "can "  # how the headings of what it can do begin
ABLE = 0.4  # the share of what it can do
MOST = 3  # exchanges in a talk


def talk(rng: Random) -> Talk:
    name = bot_name(rng)
    able = [exchange for exchange in exchanges("limits") if exchange.heading.startswith(CAN)]
    unable = [exchange for exchange in exchanges("limits") if not exchange.heading.startswith(CAN)]
    turns: Talk = []
    for _ in range(1 + rng.randrange(MOST)):
        turns += held(rng, pick(rng, able if chance(rng, ABLE) else unable), name)
    return framed(rng, turns, name)
