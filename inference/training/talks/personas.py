"""Talks that keep to what the system prompt says: a manner, who the bot is, a rule, what it knows.

The manners stand in words/personas.toml, all other sentences in words/prompts.toml.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from random import Random

from inference.training.talks.matters import SLOTS, first_name, title
from inference.training.talks.wording import (
    Talk,
    a_or_an,
    bot_name,
    capital,
    casual,
    chance,
    invented,
    lines,
    pick,
    some,
    tables,
)

SAYS = tables("prompts")

PROPER = re.compile(r"(?:I|Tuesday|July|William|Bonjour|Hola|Danke|C|Paris|Rome|Antarctica)\b")


@dataclass(frozen=True, slots=True)
class Manner:
    role: str
    kind: str  # "adjective", or a role that is played
    lines: dict[str, list[str]]
    before: list[str]
    after: list[str]
    swap: dict[str, str]
    short: bool  # says no more than a sentence


@cache
def manners() -> tuple[Manner, ...]:
    """In the order of the file."""
    said = tables("personas")
    return tuple(
        Manner(
            role,
            one.get("kind", "role"),
            {key: one[key] for key in SAYS["said"]},
            one["before"],
            one["after"],
            one.get("swap", {}),
            one.get("short", False),
        )
        for role, one in said.items()
    )


@cache
def plain() -> tuple[tuple[str, str], ...]:
    """Exchanges in which the bot says nothing of itself."""
    pairs = [line.split(" | ") for line in lines("between")]
    return tuple((said, answer) for said, answer in pairs if not re.search(r"\b(I|I'm|me|my|My)\b", answer))


def spoken(rng: Random, manner: Manner, said: str, text: str) -> str:
    """A plain answer to what was said, as one of that manner gives it."""
    for word, other in manner.swap.items():
        text = re.sub(rf"\b{re.escape(word)}\b", other, text)
        text = re.sub(rf"\b{re.escape(capital(word))}\b", capital(other), text)
    if manner.short:
        text = re.split(r"(?<=[.!?]) ", text)[0]
    before, after = pick(rng, manner.before) if said.endswith("?") else "", pick(rng, manner.after)
    if before and before.rstrip()[-1] not in ".!?" and not PROPER.match(text):
        text = text[:1].lower() + text[1:]
    if not after or text.endswith("?"):
        return before + text
    end = "!" if text.endswith("!") else "."
    return before + text.rstrip(".!") + after + (end if after[-1].isalpha() else "")


def mannered(rng: Random, bot: str) -> Talk:
    """The system prompt gives a manner, and the answers keep to it."""
    manner = pick(rng, manners())
    prompts = SAYS["adjectives"] if manner.kind == "adjective" else SAYS["roles"]
    system = pick(rng, prompts).format(bot=bot, role=manner.role, a=a_or_an(manner.role).split()[0])
    name = first_name(rng)
    talk: Talk = [("system", system)]
    course = _course(rng)
    pairs = some(rng, plain(), len(course))
    for key, (question, neutral) in zip(course, pairs, strict=True):
        if key == "plain":
            talk += [("user", casual(rng, question)), ("assistant", spoken(rng, manner, question, neutral))]
        else:
            said = pick(rng, SAYS["said"][key]).format(bot=bot, v=name)
            answer = pick(rng, manner.lines[key]).format(bot=bot, v=name)
            talk += [("user", casual(rng, said, [name] if chance(rng, 0.8) else [])), ("assistant", answer)]
    return talk


def _course(rng: Random) -> list[str]:
    """What is talked of, in this order."""
    course = [key for key, share in (("hello", 0.4), ("who", 0.4), ("how", 0.25)) if chance(rng, share)]
    named = chance(rng, 0.5)
    course += ["meet"] if named else []
    course += ["plain"] * rng.randrange(0 if course else 1, 4)
    course += ["recall"] if named and chance(rng, 0.8) else []
    course += [key for key, share in (("thanks", 0.25), ("bye", 0.25)) if chance(rng, share)]
    return course


def described(rng: Random, bot: str) -> Talk:
    """The system prompt says who the bot is; asked for it, it says so."""
    slots = some(rng, list(SAYS["traits"]), pick(rng, (1, 2, 2, 3)))
    values = {slot: pick(rng, SLOTS[slot]) for slot in slots}
    told = [filled(pick(rng, SAYS["traits"][slot]["told"]), values[slot]) for slot in slots]
    start = pick(
        rng,
        (
            "You are {bot}.",
            "Your name is {bot}.",
            "You are {bot}, a friendly bot.",
            "You play {bot}.",
            "You are called {bot}.",
        ),
    )
    system = " ".join([start.format(bot=bot), *told])
    talk: Talk = [("system", system)]
    asked = [*slots, "name"] if chance(rng, 0.5) else slots
    for slot in some(rng, asked, pick(rng, (1, len(asked)))):
        if slot == "name":
            said, answer = (
                pick(rng, SAYS["names"]),
                pick(rng, ("I'm {bot}.", "My name is {bot}.", "{bot}!")).format(bot=bot),
            )
        else:
            said, answer = (
                pick(rng, SAYS["traits"][slot]["asks"]),
                filled(pick(rng, SAYS["traits"][slot]["answers"]), values[slot]),
            )
        talk += [("user", casual(rng, said)), ("assistant", answer)]
        if chance(rng, 0.2):
            more, reply = pick(rng, plain())
            talk += [("user", casual(rng, more)), ("assistant", reply)]
    return talk


def filled(sentence: str, value: str) -> str:
    article = a_or_an(value)
    return capital(sentence.format(v=value, V=capital(value), a=article, A=capital(article)))


def ruled(rng: Random, bot: str) -> Talk:
    """The system prompt gives a rule for every answer, and each keeps it."""
    kind = rng.randrange(4)
    mark = pick(rng, (SAYS["ends"], SAYS["begins"], SAYS["titles"], SAYS["titles"])[kind])
    if kind == 3:
        mark = first_name(rng)
    rules = (
        ('End every answer with "{m}"', 'Always end with "{m}"', 'Your last words are always "{m}"'),
        ('Begin every answer with "{m}"', 'Always start with "{m}"', 'Your first words are always "{m}"'),
        ("Call the user {m}.", 'Always call the user "{m}".', "Address people as {m}."),
        (
            "The user is called {m}. Use the name.",
            "You talk to {m}. Always say the name.",
            "Address the user as {m}.",
        ),
    )[kind]
    start = pick(rng, ("You are {bot}.", "Your name is {bot}.", "You are {bot}, a helpful assistant."))
    talk: Talk = [("system", f"{start.format(bot=bot)} {pick(rng, rules).format(m=mark)}")]
    for said, answer in some(rng, plain(), pick(rng, (1, 2, 3))):
        talk += [("user", casual(rng, said)), ("assistant", _marked(rng, kind, mark, answer))]
    if kind == 3 and chance(rng, 0.5):
        talk += [("user", casual(rng, pick(rng, SAYS["said"]["recall"]))), ("assistant", f"You are {mark}.")]
    return talk


def _marked(rng: Random, kind: int, mark: str, text: str) -> str:
    if kind == 0:
        return f"{text} {mark}"
    if kind == 1:
        lower = mark[-1] in ",:" and not PROPER.match(text)
        return f"{mark} {text[:1].lower() + text[1:] if lower else text}"
    if text[-1] in ".!?" and chance(rng, 0.6):
        return f"{text[:-1]}, {mark}{text[-1]}"
    return f"{capital(mark)}, {text if PROPER.match(text) else text[:1].lower() + text[1:]}"


def informed(rng: Random, bot: str) -> Talk:
    """The system prompt says what people will ask for; what it doesn't say is not known."""
    facts = some(rng, SAYS["known"], pick(rng, (2, 2, 3, 4)))
    slots = _slots(rng)
    known = facts[: len(facts) - 1] if chance(rng, 0.3) else facts
    start = pick(
        rng,
        (
            "You are {bot}, a friendly assistant.",
            "You are {bot}.",
            "Your name is {bot}. Answer briefly.",
            "You are {bot}, the assistant of this server.",
        ),
    )
    told = [capital(pick(rng, fact["told"]).format(**slots)) for fact in known]
    talk: Talk = [("system", " ".join([start.format(bot=bot), *told]))]
    for fact in some(rng, facts, pick(rng, (1, 1, 2))):
        answer = pick(rng, fact["answers"]).format(**slots) if fact in known else pick(rng, SAYS["not_known"])
        talk += [("user", casual(rng, pick(rng, fact["asks"]))), ("assistant", capital(answer))]
    return talk


def _slots(rng: Random) -> dict[str, str]:
    hobby, food, name = pick(rng, SLOTS["hobbies"]), pick(rng, SLOTS["foods"]), first_name(rng)
    return {
        "hobby": hobby,
        "Hobby": capital(hobby),
        "food": food,
        "Food": capital(food),
        "name": name,
        "day": pick(rng, SLOTS["days"]),
        "clock": pick(rng, SLOTS["clock"]),
        "word": f"#{invented(rng).lower()}"
        if chance(rng, 0.3)
        else f"#{pick(rng, SLOTS['roads']).lower()}-rules",
        "code": f"{pick(rng, SLOTS['petnames']).split()[-1].lower()}{rng.randrange(10, 99)}",
        "title": title(rng),
        "number": str(rng.randrange(2, 60)),
        "city": pick(rng, SLOTS["cities"]),
    }


KINDS = (mannered,) * 6 + (described, described, ruled, informed, informed)


def talk(rng: Random) -> Talk:
    """One of all these."""
    return pick(rng, KINDS)(rng, bot_name(rng))
