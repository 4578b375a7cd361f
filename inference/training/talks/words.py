"""Talk about words: opposites, synonyms, plurals and past tenses, rhymes, spelling, meanings, translations.

Days and months as well. The words stand in words/words.txt and words/words_meanings.txt. Knows English, and a
few words of German, French and Spanish.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random

from inference.training.talks.asking import Exchange, answer, ask, chat, sections, split, turns_of
from inference.training.talks.wording import Talk, bot_name, capital, chance, join, pick, some

LANGUAGES = ("German", "French", "Spanish")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

_OPPOSITE = (
    "What's the opposite of {w}?",
    "What is the opposite of {w}?",
    "opposite of {w}?",
    "Opposite of {w}",
    "Tell me the opposite of {w}.",
    'What is the opposite of "{w}"?',
    "Which word is the opposite of {w}?",
    "What's the contrary of {w}?",
    "What is an antonym of {w}?",
    "Antonym for {w}?",
    "Can you give me the opposite of {w}?",
    "I need the opposite of {w}.",
    "{w} and its opposite?",
)
_SYNONYM = (
    "What's another word for {w}?",
    "Another word for {w}?",
    "Give me a synonym for {w}.",
    "What is a synonym of {w}?",
    "Which words mean the same as {w}?",
    "Synonym for {w}?",
    "I keep writing {w}. What else could I write?",
    "What can I say instead of {w}?",
    "How else can I say {w}?",
    "Is there another word for {w}?",
    "I need a different word for {w}.",
)
_PLURAL = (
    "What's the plural of {w}?",
    "What is the plural of {w}?",
    "plural of {w}?",
    "One {w}, two what?",
    "How do you say {w} in the plural?",
    "What do you call more than one {w}?",
    "Tell me the plural of {w}.",
    "How is the plural of {w} written?",
)
_PAST = (
    "What's the past tense of {w}?",
    "What is the past tense of {w}?",
    "past tense of {w}?",
    "What's the past of {w}?",
    "Today I {w}, yesterday I ...?",
    "How do you say {w} in the past?",
    "Simple past of {w}?",
    "Tell me the past form of {w}.",
    "Put {w} in the past tense.",
)
_RHYME = (
    "What rhymes with {w}?",
    "Give me a rhyme for {w}.",
    "Which words rhyme with {w}?",
    "Can you find a rhyme for {w}?",
    "I need a word that rhymes with {w}.",
    "rhyme for {w}?",
    "I'm writing a poem. What rhymes with {w}?",
    "Tell me some words that rhyme with {w}.",
)
_SPELL = (
    "How do you spell {w}?",
    "Spell {w}.",
    "Can you spell {w}?",
    "How is {w} spelled?",
    "How do I spell the word {w}?",
    "Spelling of {w}?",
    "Please spell {w} for me.",
    "What's the right spelling of {w}?",
    "Could you spell {w} letter by letter?",
)
_MEANING = (
    "What is {w}?",
    "What's {w}?",
    "Do you know what {w} is?",
    "What does the word {b} mean?",
    "What does {b} mean?",
    "Can you explain what {w} is?",
    "Define {b}.",
    "Meaning of {b}?",
    "I read the word {b}. What does it mean?",
    "Explain {b} to me in one sentence.",
    "My teacher said {b}. What's that?",
    "How would you explain {w} to a child?",
    "{b}: what does that mean?",
    "What do people mean by {b}?",
    "I don't know the word {b}.",
)
_MEANS = (
    "What does {b} mean?",
    "What does the word {b} mean?",
    "Define {b}.",
    "Meaning of {b}?",
    "I read the word {b}. What does it mean?",
    "What does it mean when somebody says {b}?",
    "Can you explain the word {b}?",
    "{b}: what does that mean?",
    "I don't know the word {b}.",
    "What is meant by {b}?",
)
_TRANSLATE = (
    "How do you say {w} in {l}?",
    'How do you say "{w}" in {l}?',
    "What is {w} in {l}?",
    "What's {w} in {l}?",
    "What's the {l} word for {w}?",
    "Translate {w} into {l}.",
    "{w} in {l}?",
    "Can you translate {w} to {l}?",
    "How would I say {w} in {l}?",
    "What do people say for {w} in {l}?",
    "I want to say {w} in {l}.",
    "Teach me how to say {w} in {l}.",
)
_TRANSLATE_BACK = (
    "What does {f} mean?",
    "What does {f} mean in English?",
    "What is {f} in English?",
    "Translate {f} from {l}.",
    "Somebody said {f} to me. What does it mean?",
    "I saw the {l} word {f}. What does it mean?",
)


def _pairs(title: str) -> tuple[tuple[str, ...], ...]:
    return tuple(split(line) for line in sections("words")[title])


@cache
def _opposites() -> tuple[tuple[str, str], ...]:
    """Both ways."""
    return tuple(both for a, b in _pairs("opposites") for both in ((a, b), (b, a)))


def opposite(rng: Random, name: str) -> Exchange:
    word, other = pick(rng, _opposites())
    question = pick(rng, _OPPOSITE).format(w=word)
    return ask(rng, question, name, (word,)), said_opposite(rng, word, other)


def said_opposite(rng: Random, word: str, other: str) -> str:
    return answer(
        rng,
        (f"the opposite of {word} is {other}.", f"{other}.", f"that's {other}.", f"the opposite is {other}."),
    )


def opposites(rng: Random, count: int) -> list[tuple[str, str]]:
    return some(rng, _opposites(), count)


def _synonym(rng: Random, name: str) -> Exchange:
    word, others = pick(rng, _pairs("synonyms"))
    question = pick(rng, _SYNONYM).format(w=word)
    options = (
        f"{others}.",
        f"you could say {others}.",
        f"another word for {word} is {others}.",
        f"try {others}.",
    )
    return ask(rng, question, name, (word,)), answer(rng, options)


def _plural(rng: Random, name: str) -> Exchange:
    one, many = pick(rng, _pairs("plurals"))
    question = pick(rng, _PLURAL).format(w=one)
    options = (f"the plural of {one} is {many}.", f"{many}.", f"one {one}, two {many}.", f"it's {many}.")
    return ask(rng, question, name, (one,)), answer(rng, options)


def _past(rng: Random, name: str) -> Exchange:
    now, then = pick(rng, _pairs("past tenses"))
    question = pick(rng, _PAST).format(w=now)
    options = (f"the past tense of {now} is {then}.", f"{then}.", f"it's {then}.")
    return ask(rng, question, name, (now,)), answer(rng, options)


@cache
def _rhymes() -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(line.split()) for line in sections("words")["rhymes"])


def _rhyme(rng: Random, name: str) -> Exchange:
    family = pick(rng, _rhymes())
    word = pick(rng, family)
    others = [other for other in family if other != word]
    if chance(rng, 0.25):
        return _whether_rhymes(rng, name, family, word)
    found = some(rng, others, min(len(others), rng.randint(1, 3)))
    question = pick(rng, _RHYME).format(w=word)
    verb = "rhymes" if len(found) == 1 else "rhyme"
    options = (f"{join(found)} {verb} with {word}.", f"{join(found)}.", f"how about {join(found, 'or')}?")
    return ask(rng, question, name, (word,)), answer(rng, options)


def _whether_rhymes(rng: Random, name: str, family: tuple[str, ...], word: str) -> Exchange:
    alike = chance(rng, 0.5)
    pool = family if alike else pick(rng, [other for other in _rhymes() if not set(other) & set(family)])
    other = pick(rng, [one for one in pool if one != word])
    asked = pick(rng, ("Does {a} rhyme with {b}?", "Do {a} and {b} rhyme?", "Is {b} a rhyme for {a}?"))
    said = f"Yes, {word} rhymes with {other}." if alike else f"No, {word} doesn't rhyme with {other}."
    return ask(rng, asked.format(a=word, b=other), name, (word, other)), said


def _spelling(rng: Random, name: str) -> Exchange:
    word = pick(rng, sections("words")["spelling"])
    letters = "-".join(word)
    options = (f"{letters.upper()}.", f"{word} is spelled {letters}.", f"you spell it {letters}.")
    return ask(rng, pick(rng, _SPELL).format(w=word), name, (word,)), answer(rng, options)


def _meaning(rng: Random, name: str) -> Exchange:
    held = sections("words_meanings")
    title = rng.choices(list(held), [len(lines) for lines in held.values()])[0]
    word, meaning = split(pick(rng, held[title]))
    bare = word.removeprefix("to ").removeprefix("a ").removeprefix("an ").removeprefix("the ")
    wordings = _MEANING if title == "things" else _MEANS
    question = pick(rng, wordings).format(w=word, b=bare)
    is_a = title == "things"
    full = f"{word} {'is' if is_a else 'means'} {meaning}."
    options = (full, full, f"it's {meaning}." if is_a else f"it means {meaning}.", f"{meaning}.")
    return ask(rng, question, name, (bare,)), answer(rng, options)


def translations(rng: Random) -> tuple[str, dict[str, str]]:
    """A word or phrase, and what it is in each language."""
    asked, *foreign = pick(rng, _pairs("translations"))
    return pick(rng, split(asked, "/")), dict(zip(LANGUAGES, foreign, strict=True))


def _translation(rng: Random, name: str) -> Exchange:
    word, foreign = translations(rng)
    language = pick(rng, LANGUAGES)
    other = foreign[language]
    if chance(rng, 0.2) and sum(other == value for value in foreign.values()) == 1:
        shown = other.rstrip("? ").lstrip("¿")
        question = pick(rng, _TRANSLATE_BACK).format(f=shown, l=language)
        options = (f'"{shown}" means "{word}".', f'it\'s {language} for "{word}".', f'it means "{word}".')
        return ask(rng, question, name, (shown,)), answer(rng, options)
    question = pick(rng, _TRANSLATE).format(w=word, l=language)
    return ask(rng, question, name, (word,)), said_translation(rng, word, language, other)


def said_translation(rng: Random, word: str, language: str, other: str) -> str:
    full = other if other.endswith("?") else f"{other}."
    said = f'"{word}" in {language} is "{other}".'
    return pick(rng, (full, full, capital(said), f'In {language} you say "{other}".'))


def _around(rng: Random, name: str) -> Exchange:
    """What comes before or after a day or a month."""
    row, kind = pick(rng, ((DAYS, "day"), (MONTHS, "month")))
    at = rng.randrange(len(row))
    step, word = pick(rng, ((1, "after"), (-1, "before")))
    other = row[(at + step) % len(row)]
    asked = pick(
        rng,
        (
            "What {kind} comes {word} {one}?",
            "Which {kind} is {word} {one}?",
            "What's the {kind} {word} {one}?",
            "What comes {word} {one}?",
            "Which {kind} comes right {word} {one}?",
        ),
    )
    options = (f"{other}.", f"{word} {row[at]} comes {other}.", f"the {kind} {word} {row[at]} is {other}.")
    if word == "before":
        options = (f"{other}.", f"before {row[at]} is {other}.", f"the {kind} before {row[at]} is {other}.")
    return ask(rng, asked.format(kind=kind, word=word, one=row[at]), name), answer(rng, options)


def _tomorrow(rng: Random, name: str) -> Exchange:
    at = rng.randrange(len(DAYS))
    days = pick(rng, (1, 1, 2, 3, -1, -1))
    asked = {
        1: ("If today is {d}, what day is tomorrow?", "Today is {d}. What's tomorrow?"),
        2: (
            "If today is {d}, what day is the day after tomorrow?",
            "Today is {d}. What day is it in two days?",
        ),
        3: ("If today is {d}, what day is it in three days?", "Today is {d}. What day is it in three days?"),
        -1: ("If today is {d}, what day was yesterday?", "Today is {d}. What was yesterday?"),
    }[days]
    other = DAYS[(at + days) % len(DAYS)]
    verb = "was" if days < 0 else "is"
    when = {1: "tomorrow", 2: "in two days it", 3: "in three days it", -1: "yesterday"}[days]
    options = (f"{other}.", f"then {when} {verb} {other}.", f"{when} {verb} {other}.")
    return ask(rng, pick(rng, asked).format(d=DAYS[at]), name), answer(rng, options)


def _place(rng: Random, name: str) -> Exchange:
    """Which month or day is the nth."""
    row, kind = pick(rng, ((DAYS, "day of the week"), (MONTHS, "month of the year")))
    ordinals = [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "seventh",
        "eighth",
        "ninth",
        "tenth",
        "eleventh",
        "twelfth",
    ]
    at = rng.randrange(len(row))
    asked = pick(rng, ("What is the {n} {kind}?", "Which is the {n} {kind}?", "Name the {n} {kind}."))
    options = (
        f"{row[at]}.",
        f"{row[at]} is the {ordinals[at]} {kind}.",
        f"the {ordinals[at]} {kind} is {row[at]}.",
    )
    return ask(rng, asked.format(n=ordinals[at], kind=kind), name), answer(rng, options)


_KINDS: tuple[tuple[Callable[[Random, str], Exchange], int], ...] = (
    (opposite, 8),
    (_synonym, 6),
    (_plural, 4),
    (_past, 4),
    (_rhyme, 4),
    (_spelling, 4),
    (_meaning, 12),
    (_translation, 8),
    (_around, 3),
    (_tomorrow, 2),
    (_place, 1),
)


def talk(rng: Random) -> Talk:
    name = bot_name(rng)
    kinds, weights = zip(*_KINDS, strict=True)
    said: list[Exchange] = []
    for _ in range(turns_of(rng)):
        kind: Callable[[Random, str], Exchange] = rng.choices(kinds, weights)[0]
        said.append(kind(rng, name))
    return chat(rng, said, name)
