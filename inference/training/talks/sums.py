"""Talk about numbers: sums as people type them or tell them as stories, money, time, ages, rows of numbers.

Every result is computed here; only the wordings stand in words/sums.txt. Knows nothing beyond whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from inference.training.talks.asking import Exchange, answer, ask, chat, sections, split, turns_of
from inference.training.talks.wording import (
    Talk,
    bot_name,
    capital,
    chance,
    join,
    lines,
    number_words,
    pick,
    some,
)

PLUS, MINUS, TIMES, DIVIDED = "plus", "minus", "times", "divided"
OPERATIONS = (PLUS, MINUS, TIMES, DIVIDED)
_SIGNS = {PLUS: "+", MINUS: "-", TIMES: "x", DIVIDED: "/"}
_SAID = {PLUS: "plus", MINUS: "minus", TIMES: "times", DIVIDED: "divided by"}
_CHAINED = {
    PLUS: (
        "And plus {b}?",
        "plus {b}",
        "Now add {b}.",
        "and {b} more?",
        "Add {b} to that.",
        "And if I add {b}?",
    ),
    MINUS: ("And minus {b}?", "minus {b}", "Now take away {b}.", "and {b} less?", "Subtract {b} from that."),
    TIMES: ("And times {b}?", "times {b}", "Now multiply that by {b}.", "And {b} times that?"),
    DIVIDED: ("And divided by {b}?", "divide that by {b}", "Now divide it by {b}."),
}
_AGAIN = ("And {a} {sign} {b}?", "and {a} {said} {b}?", "What about {a} {sign} {b}?", "now {a} {said} {b}")
COMMON = 0.6  # the share of sums with small numbers


def result(operation: str, a: int, b: int) -> int:
    """For a division that leaves nothing over."""
    if operation == PLUS:
        return a + b
    if operation == MINUS:
        return a - b
    return a * b if operation == TIMES else a // b


def numbers(rng: Random, operation: str, least: int = 0) -> tuple[int, int]:
    """Two numbers that fit the operation, and whose result is not under `least` or 0."""
    top = 20 if chance(rng, COMMON) else 100
    if operation == PLUS:
        return rng.randint(least, top), rng.randint(least, top)
    if operation == MINUS:
        a = rng.randint(2 * least, top)
        return a, rng.randint(least, a - least)
    a, b = rng.randint(max(least, 1), 12), rng.randint(max(least, 1), 12)
    if operation == TIMES:
        return (a * 10, b) if not least and chance(rng, 0.1) else (a, b)
    return a * b, b


def _number(number: int, spelt: bool) -> str:
    return number_words(number) if spelt and number <= 999 else str(number)


def _answer(rng: Random, operation: str, a: int, b: int, spelt: bool) -> str:
    value = _number(result(operation, a, b), spelt)
    first, second = _number(a, spelt), _number(b, spelt)
    full = f"{first} {_SAID[operation]} {second} is {value}."
    if not spelt:
        full = pick(rng, (f"{first} {_SIGNS[operation]} {second} = {value}.", full))
    return answer(
        rng, (full, full, f"{value}.", f"that's {value}.", f"that makes {value}.", f"it's {value}.")
    )


def plain(rng: Random, name: str) -> Exchange:
    operation = pick(rng, OPERATIONS)
    a, b = numbers(rng, operation)
    spelt = chance(rng, 0.2)
    question = pick(rng, sections("sums")[operation]).format(a=_number(a, spelt), b=_number(b, spelt))
    return ask(rng, question, name, _figures(a, b)), _answer(rng, operation, a, b, spelt and chance(rng, 0.6))


def _figures(a: int, b: int) -> tuple[str, ...]:
    """What no slip of the fingers may touch."""
    return tuple(number_words(number) for number in (a, b) if 0 <= number <= 999)


def chained(rng: Random, name: str) -> list[Exchange]:
    """A sum, and one or two that go on from its result or alter it."""
    operation = pick(rng, (PLUS, PLUS, MINUS, TIMES))
    a, b = numbers(rng, operation)
    question = pick(rng, sections("sums")[operation]).format(a=a, b=b)
    said = [(ask(rng, question, name), _answer(rng, operation, a, b, spelt=False))]
    held = result(operation, a, b)
    for _ in range(rng.randint(1, 2)):
        if chance(rng, 0.3):
            operation = pick(rng, OPERATIONS)
            a, b = numbers(rng, operation)
            asked = pick(rng, _AGAIN).format(a=a, b=b, sign=_SIGNS[operation], said=_SAID[operation])
        else:
            operation, b = _onward(rng, held)
            a, asked = held, pick(rng, _CHAINED[operation])
            if b == 2 and operation in (TIMES, DIVIDED) and chance(rng, 0.5):
                asked = pick(rng, _DOUBLED if operation == TIMES else _HALVED)
            asked = asked.format(b=pick(rng, (str(b), number_words(b))))
        said.append((asked, _answer(rng, operation, a, b, spelt=False)))
        held = result(operation, a, b)
    return said


_DOUBLED = ("Double that.", "And twice that?", "and doubled?", "Now double it.")
_HALVED = ("And half of that?", "Now halve it.", "half of it?", "and halved?")


def _onward(rng: Random, held: int) -> tuple[str, int]:
    """What may be done with a number, and what with, so that it stays whole and small."""
    divisors = [number for number in range(2, 11) if held and held % number == 0]
    options = [(PLUS, rng.randint(1, 20))]
    if held:
        options.append((MINUS, rng.randint(1, min(held, 20))))
    if held <= 60:
        options.append((TIMES, pick(rng, (2, 2, 3, 4, 5, 10))))
    if divisors:
        options.append((DIVIDED, pick(rng, divisors)))
    return pick(rng, options)


def story(rng: Random, name: str) -> Exchange:
    operation = pick(rng, OPERATIONS)
    frame, told = split(pick(rng, sections("sums")[f"frames {operation}"]))
    a, b = numbers(rng, operation, least=2)
    if operation == DIVIDED:
        b = rng.randint(2, 10)
        a = b * rng.randint(2, 12)
    x, y = some(rng, lines("names"), 2)
    thing = pick(rng, sections("sums")["things"])
    spelt = chance(rng, 0.15)
    slots = {"x": x, "y": y, "t": thing, "r": result(operation, a, b)}
    question = frame.format(a=_number(a, spelt), b=_number(b, spelt), **slots)
    said = told.format(a=a, b=b, **slots)
    if chance(rng, 0.2):
        said = f"{a} {_SIGNS[operation]} {b} = {slots['r']}. {capital(said)}"
    return ask(rng, question, name, (x, y, *_figures(a, b))), capital(said)


def _half(rng: Random, name: str) -> Exchange:
    a = rng.randint(1, 50) * 2
    question = pick(
        rng, ("What's half of {a}?", "half of {a}?", "Can you halve {a}?", "What is the half of {a}?")
    )
    return ask(rng, question.format(a=a), name), answer(
        rng, (f"{a // 2}.", f"half of {a} is {a // 2}.", f"that's {a // 2}.")
    )


def _double(rng: Random, name: str) -> Exchange:
    a = rng.randint(1, 60)
    question = pick(
        rng, ("What's double {a}?", "twice {a}?", "Double {a}.", "What is twice {a}?", "{a} doubled?")
    )
    return ask(rng, question.format(a=a), name), answer(
        rng, (f"{2 * a}.", f"twice {a} is {2 * a}.", f"that's {2 * a}.")
    )


_PRICED = (
    "I pay {what} for {p} {coin} with a {n} note. How much change do I get?",
    "{what} for {p} {coin}, I give {n}. What's my change?",
    "If {what} costs {p} {coin} and I pay with {n}, how much do I get back?",
    "The cashier gets {n} {coin} for {what} at {p}. How much change?",
    "I bought {what} for {p} and gave {n} {coin}. What do I get back?",
)
_WARES = [
    "a book",
    "a cake",
    "a cap",
    "a meal",
    "a toy",
    "a plant",
    "a ticket",
    "a pizza",
    "a loaf of bread",
    "a scarf",
    "a lamp",
    "a mug",
    "a pair of socks",
]


def _change(rng: Random, name: str) -> Exchange:
    note = pick(rng, (5, 10, 20, 50, 100))
    price = rng.randint(1, note - 2)
    coin = pick(rng, ("euros", "dollars", "pounds"))
    question = pick(rng, _PRICED).format(what=pick(rng, _WARES), p=price, n=note, coin=coin)
    back = note - price
    return ask(rng, question, name), answer(
        rng, (f"you get {back} {coin} back.", f"{back} {coin}.", f"your change is {back} {coin}.")
    )


_CLOCKS = (
    ("How many minutes are {h} hours?", "{h} hours in minutes?", "What is {h} hours in minutes?"),
    ("How many hours are {h} days?", "{h} days in hours?", "What's {h} days in hours?"),
    ("How many days are {h} weeks?", "{h} weeks in days?", "How many days is {h} weeks?"),
    ("How many months are {h} years?", "{h} years in months?", "What's {h} years in months?"),
    ("How many seconds are {h} minutes?", "{h} minutes in seconds?", "What is {h} minutes in seconds?"),
    ("How many centimetres are {h} metres?", "{h} metres in centimetres?", "{h} meters in centimeters?"),
    ("How many grams are {h} kilograms?", "{h} kilos in grams?", "What's {h} kilograms in grams?"),
)
_UNITS = (
    ("hours", "minutes", 60),
    ("days", "hours", 24),
    ("weeks", "days", 7),
    ("years", "months", 12),
    ("minutes", "seconds", 60),
    ("metres", "centimetres", 100),
    ("kilograms", "grams", 1000),
)


def _converted(rng: Random, name: str) -> Exchange:
    which = rng.randrange(len(_UNITS))
    large, small, factor = _UNITS[which]
    count = rng.randint(2, 12)
    if chance(rng, 0.3):
        question = pick(rng, ("How many {l} are {n} {s}?", "{n} {s} in {l}?", "What's {n} {s} in {l}?"))
        asked = question.format(l=large, s=small, n=count * factor)
        said = (f"{count} {large}.", f"{count * factor} {small} are {count} {large}.")
    else:
        asked = pick(rng, _CLOCKS[which]).format(h=count)
        said = (f"{count * factor} {small}.", f"{count} {large} are {count * factor} {small}.")
    return ask(rng, asked, name), answer(rng, said)


def _percent(rng: Random, name: str) -> Exchange:
    share = pick(rng, (10, 20, 25, 50, 50, 75, 100, 5))
    whole = pick(rng, (20, 40, 60, 80, 100, 120, 200, 300, 400, 500, 1000))
    part = share * whole // 100
    question = pick(
        rng,
        (
            "What's {p}% of {w}?",
            "{p}% of {w}?",
            "{p} percent of {w}",
            "How much is {p} percent of {w}?",
            "What is {p} per cent of {w}?",
            "Calculate {p}% of {w}.",
        ),
    ).format(p=share, w=whole)
    return ask(rng, question, name), answer(
        rng, (f"{part}.", f"{share}% of {whole} is {part}.", f"that's {part}.")
    )


def _row(rng: Random, name: str) -> Exchange:
    step, start = pick(rng, (1, 2, 2, 3, 4, 5, 10, 10, 100)), rng.randint(0, 20)
    if chance(rng, 0.2):
        start = rng.randint(1, 4)
        row = [start * 2**power for power in range(5)]
        why = "each number is twice the one before"
    elif chance(rng, 0.25):
        row = [start + step * (6 - place) for place in range(5)]
        why = f"it goes down by {step} each time"
    else:
        row = [start + step * place for place in range(5)]
        why = f"it goes up by {step} each time"
    shown = ", ".join(map(str, row[:4]))
    question = pick(
        rng,
        (
            "What comes next: {row}?",
            "{row} ... what's next?",
            "Which number follows {row}?",
            "Continue the row: {row}",
            "Next number? {row}",
            "What is the next number in {row}?",
        ),
    ).format(row=shown)
    return ask(rng, question, name), answer(
        rng, (f"{row[4]}.", f"next comes {row[4]}, because {why}.", f"{row[4]}: {why}.")
    )


def _larger(rng: Random, name: str) -> Exchange:
    a, b = some(rng, range(1, 100 if chance(rng, 0.7) else 1000), 2)
    if chance(rng, 0.3):
        question = pick(
            rng, ("Which is smaller, {a} or {b}?", "What's less, {a} or {b}?", "{a} or {b}, which is less?")
        )
        least, most = min(a, b), max(a, b)
        said = (f"{least}.", f"{least} is less than {most}.", f"{least} is smaller than {most}.")
    else:
        question = pick(
            rng,
            (
                "Which is bigger, {a} or {b}?",
                "What's more, {a} or {b}?",
                "Which number is larger: {a} or {b}?",
            ),
        )
        least, most = min(a, b), max(a, b)
        said = (f"{most}.", f"{most} is more than {least}.", f"{most} is bigger than {least}.")
    return ask(rng, question.format(a=a, b=b), name), answer(rng, said)


def _more_than(rng: Random, name: str) -> Exchange:
    a, b = some(rng, range(1, 100), 2)
    question = pick(rng, ("Is {a} more than {b}?", "Is {a} bigger than {b}?", "Is {a} greater than {b}?"))
    said = f"Yes, {a} is more than {b}." if a > b else f"No, {a} is less than {b}."
    return ask(rng, question.format(a=a, b=b), name), said


def _even(rng: Random, name: str) -> Exchange:
    a = rng.randint(0, 200)
    kind = "odd" if a % 2 else "even"
    question = pick(
        rng, ("Is {a} even or odd?", "Is {a} odd or even?", "even or odd: {a}?", "{a}: even or odd")
    )
    if chance(rng, 0.3):
        claim = pick(rng, ("even", "odd"))
        said = f"Yes, {a} is {kind}." if claim == kind else f"No, {a} is {kind}."
        return ask(rng, f"Is {a} an {claim} number?", name), said
    return ask(rng, question.format(a=a), name), answer(rng, (f"{a} is {kind}.", f"{kind}.", f"it's {kind}."))


def _next_to(rng: Random, name: str) -> Exchange:
    a = rng.randint(1, 120)
    if chance(rng, 0.5):
        question = pick(
            rng, ("What comes after {a}?", "Which number follows {a}?", "What's the number after {a}?")
        )
        value = a + 1
        said = f"after {a} comes {value}."
    else:
        question = pick(
            rng, ("What comes before {a}?", "Which number is before {a}?", "What's one less than {a}?")
        )
        value = a - 1
        said = f"before {a} comes {value}."
    return ask(rng, question.format(a=a), name), answer(rng, (f"{value}.", said, f"that's {value}."))


def _counting(rng: Random, name: str) -> Exchange:
    """To a number, or in steps."""
    step = pick(rng, (1, 1, 2, 5, 10))
    count = rng.randint(3, 10)
    row = [str(step * place) for place in range(1, count + 1)]
    if step == 1:
        question = pick(
            rng, ("Count to {n}.", "Can you count to {n}?", "please count to {n}", "Count from 1 to {n}.")
        )
    else:
        question = pick(
            rng, ("Count in {k}s to {n}.", "Can you count to {n} in steps of {k}?", "Count by {k}s to {n}.")
        )
    return ask(rng, question.format(n=row[-1], k=step), name), f"{', '.join(row)}."


def _backwards(rng: Random, name: str) -> Exchange:
    start = rng.randint(3, 10)
    question = pick(
        rng, ("Count down from {n}.", "Can you count backwards from {n}?", "countdown from {n} please")
    )
    row = ", ".join(str(number) for number in range(start, 0, -1))
    return ask(rng, question.format(n=start), name), f"{row}{pick(rng, ('.', '!', ', lift-off!'))}"


def _spelt(rng: Random, name: str) -> Exchange:
    a = rng.randint(0, 120)
    word = number_words(a)
    if chance(rng, 0.5):
        question = pick(rng, ("How do you write {a} in words?", "{a} in words?", "Spell out the number {a}."))
        return ask(rng, question.format(a=a), name), answer(rng, (f"{word}.", f"{a} in words is {word}."))
    question = pick(rng, ("Write {w} in figures.", "{w} as a number?", "What is {w} in digits?"))
    return ask(rng, question.format(w=word), name, (word,)), answer(rng, (f"{a}.", f"that's {a}."))


def _three(rng: Random, name: str) -> Exchange:
    a, b, c = (rng.randint(1, 20) for _ in range(3))
    question = pick(
        rng,
        (
            "What's {a} + {b} + {c}?",
            "{a}+{b}+{c}",
            "Add {a}, {b} and {c}.",
            "What do {a}, {b} and {c} make together?",
        ),
    )
    total = a + b + c
    return ask(rng, question.format(a=a, b=b, c=c), name), answer(
        rng, (f"{a} + {b} + {c} = {total}.", f"{total}.", f"together that's {total}.")
    )


def _greatest(rng: Random, name: str) -> Exchange:
    held = some(rng, range(1, 100), rng.randint(3, 5))
    wants_most = chance(rng, 0.6)
    question = "Which of {row} is the {word}?" if chance(rng, 0.5) else "What's the {word} of {row}?"
    word = pick(rng, ("biggest", "largest", "highest")) if wants_most else pick(rng, ("smallest", "lowest"))
    value = max(held) if wants_most else min(held)
    asked = question.format(row=join([str(number) for number in held]), word=word)
    return ask(rng, asked, name), answer(rng, (f"{value}.", f"{value} is the {word}."))


_KINDS: tuple[tuple[Callable[[Random, str], Exchange], int], ...] = (
    (plain, 14),
    (story, 10),
    (_half, 2),
    (_double, 2),
    (_change, 2),
    (_converted, 2),
    (_percent, 1),
    (_row, 2),
    (_larger, 2),
    (_more_than, 1),
    (_even, 1),
    (_next_to, 1),
    (_counting, 1),
    (_backwards, 1),
    (_spelt, 1),
    (_three, 1),
    (_greatest, 1),
)


def any_exchange(rng: Random, name: str) -> Exchange:
    kinds, weights = zip(*_KINDS, strict=True)
    kind: Callable[[Random, str], Exchange] = rng.choices(kinds, weights)[0]
    return kind(rng, name)


def talk(rng: Random) -> Talk:
    name = bot_name(rng)
    if chance(rng, 0.2):
        return chat(rng, chained(rng, name), name)
    return chat(rng, [any_exchange(rng, name) for _ in range(turns_of(rng))], name)
