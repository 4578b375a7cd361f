"""Talks in which what a person says is needed again: told and asked for later, said after, corrected, or not
told at all. What is told is drawn from long lists or made up, so that copying is learnt and not the names.

The sentences stand in words/copying.toml and words/matters.toml.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from inference.training.talks.matters import (
    ANY,
    PLAIN,
    SLOTS,
    code,
    first_names,
)
from inference.training.talks.several import bound, listed, people
from inference.training.talks.telling import (
    SAYS,
    Told,
    anew,
    answered,
    asked_by,
    asked_plainly,
    lower,
    small,
    smalls,
    some_matters,
    taken,
    tell,
    told_by,
    typed,
)
from inference.training.talks.wording import (
    Talk,
    a_or_an,
    bot_name,
    capital,
    casual,
    chance,
    invented,
    opened,
    pick,
    repeats,
    some,
)

# The kinds of talk. Each takes the bot's name and gives the exchanges.


def recalled(rng: Random, bot: str) -> Talk:
    """Told one to three things, then asked for some of them."""
    facts = [tell(rng, key) for key in some_matters(rng, pick(rng, (1, 1, 1, 2, 2, 3)))]
    talk = smalls(rng, bot, 1) if chance(rng, 0.2) else []
    talk += _telling(rng, facts, bot)
    for told in some(rng, facts, rng.randrange(1, len(facts) + 1)):
        talk += smalls(rng, bot, 2)
        talk += _asking(rng, told, bot)
    return talk + _leaving(rng, facts)


def _telling(rng: Random, facts: Sequence[Told], bot: str) -> Talk:
    if len(facts) > 1 and chance(rng, 0.4):
        kept = [part for told in facts for part in told.kept]
        said = _chained(rng, [told.say(pick(rng, told.matter.tells)) for told in facts])
        return [
            ("user", typed(rng, said, kept)),
            ("assistant", " ".join(taken(rng, told) for told in facts[:2])),
        ]
    talk: Talk = []
    for told in facts:
        said, answered = told_by(rng, told, bot), taken(rng, told)
        if chance(rng, 0.12):  # with something else in the same breath
            [(_, more), (_, reply)] = small(rng, bot)
            said, answered = f"{said} {capital(more)}", f"{answered} {reply}"
        talk += [("user", typed(rng, said, told.kept)), ("assistant", answered)]
        if chance(rng, 0.3):
            talk += small(rng, bot)
    return talk


def _chained(rng: Random, sentences: Sequence[str]) -> str:
    """One behind the other, some with a word between that fits."""
    text = sentences[0]
    for sentence in sentences[1:]:
        joins = re.match(r"(?:I|My|The|We)\b", sentence) is not None and chance(rng, 0.5)
        text += f" {pick(rng, SAYS['chains'])} {lower(sentence)}" if joins else f" {sentence}"
    return text


def _asking(rng: Random, told: Told, bot: str) -> Talk:
    if told.matter.plain and told.matter.be == "is" and chance(rng, 0.12):
        return _doubting(rng, told)
    return [("user", typed(rng, asked_by(rng, told, bot), told.kept)), ("assistant", answered(rng, told))]


def _doubting(rng: Random, told: Told) -> Talk:
    """Asked whether it is so: it is, or it isn't."""
    other = anew(rng, told).slots["v"] if chance(rng, 0.5) else told.slots["v"]
    asked = pick(rng, SAYS["doubts"])
    answer = pick(rng, SAYS["doubt_yes" if other == told.slots["v"] else "doubt_no"])
    return [
        ("user", typed(rng, told.say(asked, o=other), (*told.kept, other))),
        ("assistant", told.say(answer, o=other)),
    ]


def _leaving(rng: Random, facts: Sequence[Told]) -> Talk:
    """A word at the end, by name where the name was told."""
    name = next((f", {told.slots['v']}" for told in facts if told.key == "name"), "")
    if not chance(rng, 0.35 if name else 0.1):
        return []
    said, answered = pick(rng, SAYS["leaving"]).split(" | ")
    return [
        ("user", casual(rng, said)),
        ("assistant", answered.format(name=name if chance(rng, 0.9) else "")),
    ]


def at_once(rng: Random, bot: str) -> Talk:
    """Told and asked in one message."""
    told = tell(rng, some_matters(rng, 1)[0])
    said = f"{told.say(pick(rng, told.matter.tells))} {asked_plainly(rng, told)}"
    return [("user", typed(rng, said, told.kept)), ("assistant", answered(rng, told))]


def corrected(rng: Random, bot: str) -> Talk:
    """Told, then told otherwise: the newest holds."""
    told = tell(rng, some_matters(rng, 1)[0])
    talk: Talk = [("user", typed(rng, told_by(rng, told, bot), told.kept)), ("assistant", taken(rng, told))]
    for _ in range(pick(rng, (1, 1, 1, 2))):
        old, told = told, anew(rng, told)
        near = chance(rng, 0.6) or not told.matter.plain
        talk += [] if near else smalls(rng, bot, 2)
        general = not near or (told.matter.plain and chance(rng, 0.4))
        changes = PLAIN["changes"] if general else ANY["changes"]
        said = told.say(pick(rng, changes), old=old.slots["v"])
        answered = told.say(pick(rng, ANY["changed_acks"]), old=old.slots["y"])
        talk += [("user", typed(rng, said, (*told.kept, old.slots["v"]))), ("assistant", answered)]
    return talk + smalls(rng, bot, 2) + _asking(rng, told, bot)


def never_told(rng: Random, bot: str) -> Talk:
    """Asked for what was not told, after something else was, or nothing."""
    keys = some_matters(rng, pick(rng, (1, 2, 2, 3)))
    wanted, facts = tell(rng, keys[0]), [tell(rng, key) for key in keys[1:]]
    talk = (_telling(rng, facts, bot) if facts else []) + smalls(rng, bot, 1)
    general = wanted.matter.plain and chance(rng, 0.7)
    missing = wanted.say(pick(rng, PLAIN["unknown"] if general else ANY["unknown"]))
    if wanted.matter.be == "are":
        missing = missing.replace("hasn't come", "haven't come")
    talk += [("user", typed(rng, asked_by(rng, wanted, bot), wanted.kept)), ("assistant", missing)]
    if chance(rng, 0.5):  # then told, and asked again
        talk += [
            ("user", typed(rng, told_by(rng, wanted, bot), wanted.kept)),
            ("assistant", taken(rng, wanted)),
        ]
        return talk + smalls(rng, bot, 1) + _asking(rng, wanted, bot)
    return talk + (_asking(rng, facts[0], bot) if facts and chance(rng, 0.5) else [])


def _phrase(rng: Random) -> str:
    things, shades = some(rng, SLOTS["owned"], 3), some(rng, SLOTS["colours"], 2)
    n, m = first_names(rng, 2)
    phrase: str = pick(rng, SAYS["phrases"])
    return phrase.format(
        thing=things[0],
        thing2=things[1],
        thing3=things[2],
        v=shades[0],
        w=shades[1],
        a=a_or_an(shades[0]),
        n=n,
        m=m,
        food=pick(rng, SLOTS["foods"]),
        animals=pick(rng, SLOTS["animals"]),
        city=pick(rng, SLOTS["cities"]),
        x=invented(rng).lower(),
        z=invented(rng).lower(),
        c=code(rng),
    )


def echoed(rng: Random, bot: str) -> Talk:
    """Repeat after me."""
    talk: Talk = []
    for _ in range(pick(rng, (1, 1, 2, 3))):
        phrase = _phrase(rng)
        phrase = capital(phrase) + "." if chance(rng, 0.3) else phrase
        talk += [
            (
                "user",
                casual(
                    rng,
                    pick(rng, SAYS["echo"]).format(t=phrase).replace('."?', '"?').replace('.".', '".'),
                    [phrase, phrase.rstrip(".")],
                ),
            ),
            ("assistant", phrase),
        ]
    return talk + smalls(rng, bot, 1)


def quoted(rng: Random, bot: str) -> Talk:
    """What was said just now, or first of all."""
    told = tell(rng, some_matters(rng, 1)[0])
    said = typed(rng, told.say(pick(rng, told.matter.tells)), told.kept)
    first: Talk = [("user", said), ("assistant", taken(rng, told))]
    later = chance(rng, 0.4)
    talk = first + (small(rng, bot) + smalls(rng, bot, 1) if later else [])
    answer = pick(rng, SAYS["quoted"])
    return [
        *talk,
        ("user", casual(rng, pick(rng, SAYS["first" if later else "said"]))),
        ("assistant", answer.format(t=said)),
    ]


KINDS = (
    (recalled,) * 9
    + (corrected,) * 3
    + (never_told,) * 3
    + (listed,) * 3
    + (people,) * 4
    + (bound,) * 2
    + (at_once, at_once, echoed, echoed, quoted)
)
AMERICAN = {
    "favourite": "favorite",
    "colour": "color",
    "neighbour": "neighbor",
    "grey": "gray",
    "practise": "practice",
    "travelling": "traveling",
    "jewellery": "jewelry",
    "pyjamas": "pajamas",
}


def talk(rng: Random) -> Talk:
    """One of all these."""
    bot = bot_name(rng)
    kind = pick(rng, KINDS)
    turns = kind(rng, bot)
    while repeats(turns):
        turns = kind(rng, bot)
    turns = opened(rng, turns, bot)
    return american(turns) if chance(rng, 0.4) else turns


def american(turns: Talk) -> Talk:
    """In American spelling."""
    pattern = re.compile("|".join(AMERICAN), re.IGNORECASE)
    return [(role, pattern.sub(lambda found: _cased(found.group()), text)) for role, text in turns]


def _cased(word: str) -> str:
    other = AMERICAN[word.lower()]
    return capital(other) if word[0].isupper() else other
