"""Talk that compares: which of two or three is bigger, faster, older, hotter ..., and whether one is.

The scales stand in words/comparing.txt, in steps: only things of different steps are compared. Knows nothing
of taste: what somebody likes better is no scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from inference.training.talks.asking import Exchange, answer, ask, chat, sections, split, turns_of
from inference.training.talks.wording import Talk, bot_name, capital, casual, chance, join, pick, some

MUCH = 5  # steps between two things that are worlds apart


@dataclass(frozen=True, slots=True)
class Degree:
    comparative: str
    superlative: str


@dataclass(frozen=True, slots=True)
class Scale:
    more: tuple[Degree, ...]
    less: tuple[Degree, ...]
    steps: tuple[tuple[str, ...], ...]  # from little to much


@cache
def scales() -> tuple[Scale, ...]:
    return tuple(_scale(held) for held in sections("comparing").values())


def _scale(held: tuple[str, ...]) -> Scale:
    marked = {mark: tuple(_degree(line[2:]) for line in held if line.startswith(f"{mark} ")) for mark in "><"}
    steps = tuple(split(line, ";") for line in held if line[0] not in "><")
    return Scale(marked[">"], marked["<"], steps)


def _degree(words: str) -> Degree:
    """Both have the same number of words."""
    both = words.split()
    half = len(both) // 2
    return Degree(" ".join(both[:half]), " ".join(both[half:]))


_WHICH = (
    "Which is {more}, {a} or {b}?",
    "What's {more}: {a} or {b}?",
    "What is {more}, {a} or {b}?",
    "Is {a} or {b} {more}?",
    "{a} or {b}: which is {more}?",
    "{a} or {b}, which one is {more}?",
    "Which one is {more}, {a} or {b}?",
    "Between {a} and {b}, which is {more}?",
    "Tell me which is {more}: {a} or {b}.",
    "Do you know what is {more}, {a} or {b}?",
    "We are arguing: which is {more}, {a} or {b}?",
    "I say {a} is {more} and my friend says {b}. Who is right?",
    "My son wants to know which is {more}, {a} or {b}.",
    "Of {a} and {b}, which is the {more} one?",
)
_IS = (
    "Is {a} {more} than {b}?",
    "Is {a} really {more} than {b}?",
    "{a} is {more} than {b}, right?",
    "Is it true that {a} is {more} than {b}?",
    "Would you say {a} is {more} than {b}?",
    "Surely {a} is {more} than {b}?",
    "I think {a} is {more} than {b}. Am I right?",
)
_WHICH_OF_THREE = (
    "Which is the {most}: {row}?",
    "What's the {most} of these: {row}?",
    "Which of these is the {most}: {row}?",
    "{row}: which is the {most}?",
    "Of {row}, which is the {most}?",
)
_LIKE_THAT = ("And {a} or {b}?", "What about {a} and {b}?", "and between {a} and {b}?", "ok, {a} or {b}?")


def _two(rng: Random, scale: Scale) -> tuple[str, str, bool]:
    """The one that has less, the one that has more, and whether they are worlds apart."""
    low, high = sorted(some(rng, range(len(scale.steps)), 2))
    return pick(rng, scale.steps[low]), pick(rng, scale.steps[high]), high - low >= MUCH


def _degree_of(rng: Random, scale: Scale) -> tuple[Degree, bool]:
    """A word of the scale, and whether it means more."""
    upwards = not scale.less or chance(rng, 0.6)
    return pick(rng, scale.more if upwards else scale.less), upwards


def _which(rng: Random, scale: Scale, name: str) -> list[Exchange]:
    """Perhaps with a second pair that is only named."""
    degree, upwards = _degree_of(rng, scale)
    said: list[Exchange] = []
    for wordings in (_WHICH, _LIKE_THAT):
        low, high, much = _two(rng, scale)
        winner, loser = (high, low) if upwards else (low, high)
        a, b = some(rng, (winner, loser), 2)
        question = pick(rng, wordings).format(more=degree.comparative, a=a, b=b)
        asked = casual(rng, capital(question)) if said else ask(rng, question, name)
        said.append((asked, _verdict(rng, winner, loser, degree, much)))
        if chance(rng, 0.8):
            break
    return said


def _verdict(rng: Random, winner: str, loser: str, degree: Degree, much: bool) -> str:
    full = f"{winner} is {_much(rng, much)}{degree.comparative} than {loser}."
    return answer(rng, (full, full, full, f"{winner}.", f"{winner} is {degree.comparative}."))


def _much(rng: Random, much: bool) -> str:
    return pick(rng, ("much ", "far ", "a lot ", "")) if much else ""


def _whether(rng: Random, scale: Scale, name: str) -> Exchange:
    degree, upwards = _degree_of(rng, scale)
    low, high, much = _two(rng, scale)
    winner, loser = (high, low) if upwards else (low, high)
    a, b = some(rng, (winner, loser), 2)
    question = pick(rng, _IS).format(more=degree.comparative, a=a, b=b)
    full = f"{winner} is {_much(rng, much)}{degree.comparative} than {loser}."
    if a == winner:
        said = pick(rng, (f"Yes, {full}", f"Yes, {full}", f"That's right, {full}", f"Indeed, {full}"))
    else:
        said = pick(rng, (f"No, {full}", f"No, {full}", f"No, it's the other way round: {full}"))
    return ask(rng, question, name), said


def _of_three(rng: Random, scale: Scale, name: str) -> Exchange:
    degree, upwards = _degree_of(rng, scale)
    steps = sorted(some(rng, range(len(scale.steps)), 3))
    held = [pick(rng, scale.steps[step]) for step in steps]
    winner = held[-1] if upwards else held[0]
    row = join(some(rng, held, 3), "or")
    question = pick(rng, _WHICH_OF_THREE).format(most=degree.superlative, row=row)
    said = (f"{winner}.", f"{winner} is the {degree.superlative}.", f"the {degree.superlative} is {winner}.")
    return ask(rng, question, name), answer(rng, said)


def exchanges(rng: Random, name: str) -> list[Exchange]:
    scale = pick(rng, scales())
    draw = rng.random()
    if draw < 0.5:
        return _which(rng, scale, name)
    return [_whether(rng, scale, name)] if draw < 0.82 else [_of_three(rng, scale, name)]


def talk(rng: Random) -> Talk:
    name = bot_name(rng)
    said = [one for _ in range(turns_of(rng)) for one in exchanges(rng, name)]
    return chat(rng, said, name)
