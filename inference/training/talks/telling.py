"""One thing told, taken, asked for and answered: the sentences that talks about remembering are made of.

The sentences stand in words/copying.toml and words/matters.toml, small talk in words/between.txt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from inference.training.talks import matters
from inference.training.talks.matters import (
    MATTERS,
    PLAIN,
    Matter,
    Slots,
)
from inference.training.talks.wording import (
    Talk,
    a_or_an,
    capital,
    casual,
    chance,
    lines,
    pick,
    tables,
)

SAYS = tables("copying")
APART = (  # of these no two are told in one talk: a question might mean either
    ("food", "dinner"),
    ("film", "book", "team"),
    ("city", "country", "street", "travel"),
    ("animal", "flower", "count"),
    ("name", "nickname"),
    ("hobby", "plan", "instrument"),
    ("lucky", "age"),
    ("birthday", "appointment"),
    ("subject", "language", "job"),
)
OFTEN = (
    "name",
    "name",
    "name",
    "name",
    "pet",
    "pet",
    "relative",
    "relative",
    "food",
    "colour",
    "city",
    "job",
)
NO_NAME = re.compile(
    r"(?:my|the|we|our|please|call|remember|this|at|for|note|on|keep|just|in|"
    r"what|which|where|who|when|how|do|can|could|tell|say|did|is)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Told:
    """A matter with what was told of it."""

    key: str
    matter: Matter
    slots: Slots

    def say(self, sentence: str, **more: str) -> str:
        """A sentence with its slots filled; with a capital unless what was told stands first."""
        text = sentence.format(**self.slots, **more)
        return text if sentence.startswith("{v}") else capital(text)

    @property
    def kept(self) -> tuple[str, ...]:
        """What stays as it is however the person types."""
        return tuple(self.slots[name] for name in ("v", "k") if self.slots.get(name))


def tell(rng: Random, key: str) -> Told:
    """Something of the kind, drawn at random, with all the slots that the sentences have."""
    return _told(key, MATTERS[key].value(rng))


def _told(key: str, drawn: Slots) -> Told:
    matter, value, kind = MATTERS[key], drawn["v"], drawn.get("k", "")
    upper = (lambda text: text) if matter.exact else capital
    other, article = yours(value), a_or_an(value)
    slots = {
        "v": value,
        "V": upper(value),
        "y": other,
        "Y": upper(other),
        "a": article,
        "A": capital(article),
        "k": kind,
        "K": capital(kind),
        "e": a_or_an(kind) if kind else "",
        "E": capital(a_or_an(kind)) if kind else "",
        "what": matter.what.format(k=kind),
        "be": matter.be,
        "was": "were" if matter.be == "are" else "was",
        "Its": "They're" if matter.be == "are" else "It's",
    }
    return Told(key, matter, slots)


def anew(rng: Random, told: Told) -> Told:
    """The same matter with something else told of it."""
    kind = told.slots["k"]
    while True:
        value = matters.code(rng, kind) if told.key == "code" else told.matter.value(rng)["v"]
        if value != told.slots["v"]:
            return _told(told.key, {"v": value, "k": kind})


def yours(text: str) -> str:
    """What one says, as the other one says it: "in my coat" becomes "in your coat"."""
    return re.sub(r"\bmy\b", "your", text)


def some_matters(rng: Random, count: int) -> list[str]:
    """Matters that can be told in one talk."""
    keys = [pick(rng, OFTEN)] if chance(rng, 0.35) else []
    names = list(MATTERS)
    while len(keys) < count:
        key = pick(rng, names)
        if key not in keys and not any(key in apart and other in apart for other in keys for apart in APART):
            keys.append(key)
    rng.shuffle(keys)
    return keys


# What is said. Each gives a text: the person's as typed, the bot's as it stands.


def lower(text: str) -> str:
    """Ready to stand behind a comma: only words that are surely no names lose their capital."""
    return text[:1].lower() + text[1:] if NO_NAME.match(text) else text


def prefixed(rng: Random, text: str, before: Sequence[str], bot: str) -> str:
    start = pick(rng, before).format(bot=bot)
    return start + (lower(text) if start.rstrip()[-1] in ",:d" else text)


def told_by(rng: Random, told: Told, bot: str) -> str:
    """The person's sentence."""
    general = chance(rng, 0.3) and told.matter.plain
    sentences = PLAIN["tells"] if general else told.matter.tells
    text = told.say(pick(rng, sentences))
    if re.match(r"(?:I|My|We|The|They)\b", text) and chance(rng, 0.2):
        text = prefixed(rng, text, SAYS["before_tell"], bot)
    if chance(rng, 0.15):
        text += pick(rng, SAYS["after_tell"])
    return text


def taken(rng: Random, told: Told) -> str:
    general = chance(rng, 0.3) and told.matter.plain
    return told.say(pick(rng, PLAIN["acks"] if general else told.matter.acks))


def asked_by(rng: Random, told: Told, bot: str) -> str:
    """The question, with words around it."""
    text = asked_plainly(rng, told)
    if chance(rng, 0.35):
        text = prefixed(rng, text, SAYS["before_ask"], bot)
    if chance(rng, 0.12):
        text += pick(rng, SAYS["after_ask"])
    return text


def asked_plainly(rng: Random, told: Told) -> str:
    general = chance(rng, 0.5) and told.matter.plain
    text = told.say(pick(rng, PLAIN["asks"] if general else told.matter.asks))
    if told.matter.be == "is" and chance(rng, 0.5):
        text = re.sub(r"\b([Ww]hat) is\b(?! it\b)(?=.)", r"\1's", text)
    return text


def answered(rng: Random, told: Told) -> str:
    general = chance(rng, 0.4) and told.matter.plain
    return told.say(pick(rng, PLAIN["answers"] if general else told.matter.answers))


def small(rng: Random, bot: str) -> Talk:
    """An exchange that has nothing to do with what was told."""
    if chance(rng, 0.08):
        asked = pick(rng, SAYS["bot_name"])
        return [
            ("user", casual(rng, asked)),
            ("assistant", pick(rng, (f"I'm {bot}.", f"My name is {bot}.", f"I'm {bot}, nice to meet you!"))),
        ]
    said, answered = pick(rng, lines("between")).split(" | ")
    return [("user", casual(rng, said)), ("assistant", answered)]


def smalls(rng: Random, bot: str, most: int) -> Talk:
    return [turn for _ in range(rng.randrange(most + 1)) for turn in small(rng, bot)]


def typed(rng: Random, text: str, kept: Sequence[str]) -> str:
    """As the person types it; names mostly keep their capitals."""
    lowered = chance(rng, 0.25)
    return casual(rng, text, [part for part in kept if not (lowered and part.istitle())])
