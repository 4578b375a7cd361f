"""What the generators of talk share: choosing, joining, spelling, and how people write in a chat.

Knows nothing of the talks themselves, nor of models, tokens or files other than its own lists of words.
Everything random is drawn from the `rng` given, and from nothing else.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, TypeVar

Talk = list[tuple[str, str]]
"""(role, text): "user" and "assistant" by turns, the assistant last; perhaps one "system" before."""

WORDS = Path(__file__).with_name("words")
OWN_NAME = "Chorus"

Option = TypeVar("Option")


def pick(rng: Random, options: Sequence[Option]) -> Option:
    return options[rng.randrange(len(options))]


def some(rng: Random, options: Sequence[Option], count: int) -> list[Option]:
    """As many different ones, in any order."""
    return rng.sample(options, count)


def chance(rng: Random, share: float) -> bool:
    return rng.random() < share


@cache
def lines(name: str) -> tuple[str, ...]:
    """What stands in words/NAME.txt, a line each; empty lines and those that begin with # are left out."""
    text = (WORDS / f"{name}.txt").read_text(encoding="utf-8")
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


@cache
def sections(name: str) -> dict[str, tuple[str, ...]]:
    """What stands in words/NAME.txt under each [heading], commas between."""
    found: dict[str, tuple[str, ...]] = {}
    heading = ""
    for line in lines(name):
        if line.startswith("["):
            heading = line.strip("[]")
        else:
            found[heading] = (*found.get(heading, ()), *(part.strip() for part in line.split(",")))
    return found


_LISTS = sections("wording")


@cache
def tables(name: str) -> dict[str, Any]:
    """What stands in words/NAME.toml."""
    return tomllib.loads((WORDS / f"{name}.toml").read_text(encoding="utf-8"))


def join(parts: Sequence[str], last: str = "and") -> str:
    """ "tea, bread and jam"."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def capital(text: str) -> str:
    """With a capital first, the rest as it is."""
    return text[:1].upper() + text[1:]


def a_or_an(word: str) -> str:
    """The word with its article: "an apple", "a unicorn", "an hour"."""
    return f"{'an' if _sounds_open(word) else 'a'} {word}"


def _sounds_open(word: str) -> bool:
    if re.match(r"[AEFHILMNORSX](?:[A-Z]|\b)", word):  # spelt out: an MP, an X-ray
        return True
    lower = word.lower()
    if re.match(r"(?:one\b|one-|once|eu|ewe|uni(?![nm])|us[aeiu]|uk|ut[ie]|ufo\b|ubi|uran)", lower):
        return False
    return re.match(r"(?:[aeiou]|hour|heir|honest|honou?r|8|11\b|18\b)", lower) is not None


def number_words(number: int) -> str:
    """0 to 999: "forty-two", "three hundred and five". Raises ValueError beyond."""
    if not 0 <= number <= 999:
        raise ValueError(f"{number} is not between 0 and 999")
    if number < 20:
        return _LISTS["small"][number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _LISTS["tens"][tens - 2] + (f"-{_LISTS['small'][ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    return f"{_LISTS['small'][hundreds]} hundred" + (f" and {number_words(rest)}" if rest else "")


def invented(rng: Random, syllables: int | None = None) -> str:
    """A word that nobody has met, with a capital: "Brosk", "Zelonia", "Tavric"."""
    count = syllables or 1 + rng.randrange(1, 3)
    body = "".join(pick(rng, _LISTS["onsets"]) + pick(rng, _LISTS["vowels"]) for _ in range(count))
    return capital(body + (pick(rng, _LISTS["codas"]) if chance(rng, 0.85) else ""))


_CHAT = {
    "you": ("u", "ya"),
    "your": ("ur",),
    "you're": ("youre", "ur"),
    "are": ("r",),
    "please": ("pls", "plz"),
    "thanks": ("thx", "ty"),
    "thank you": ("ty", "thank u"),
    "because": ("cause", "bc", "cuz"),
    "i'm": ("im",),
    "i've": ("ive",),
    "i'll": ("ill",),
    "i'd": ("id",),
    "what's": ("whats",),
    "who's": ("whos",),
    "how's": ("hows",),
    "where's": ("wheres",),
    "that's": ("thats",),
    "it's": ("its",),
    "let's": ("lets",),
    "don't": ("dont",),
    "doesn't": ("doesnt",),
    "didn't": ("didnt",),
    "can't": ("cant",),
    "won't": ("wont",),
    "isn't": ("isnt",),
    "couldn't": ("couldnt",),
    "wasn't": ("wasnt",),
    "haven't": ("havent",),
    "going to": ("gonna",),
    "want to": ("wanna",),
    "really": ("rly", "realy"),
    "tomorrow": ("tmrw", "tmr"),
    "tonight": ("tonite",),
    "something": ("sth", "smth"),
    "about": ("abt",),
    "people": ("ppl",),
    "favourite": ("fav", "fave"),
    "favorite": ("fav", "fave"),
    "okay": ("ok", "k"),
    "do not know": ("dunno",),
    "with": ("w",),
    "and": ("n", "&"),
    "good night": ("gn",),
    "good morning": ("gm",),
    "see you": ("cu", "cya"),
    "by the way": ("btw",),
    "oh my god": ("omg",),
}
_CHAT_WORD = re.compile(
    r"\b(?:" + "|".join(sorted(map(re.escape, _CHAT), key=lambda word: (-len(word), word))) + r")(?![\w'])",
    re.I,
)
_ODD = re.compile(r"\b[a-z]{5,}\b")


def casual(rng: Random, text: str, keep: Sequence[str] = ()) -> str:
    """The text of a person as typed into a chat: in half of all draws just as it is, else with small letters,
    another ending, chat spelling or a slip of the fingers. What stands in `keep` is never touched; names
    (with a capital) may lose the capital, and no more than that."""
    if chance(rng, 0.5):
        return text
    held = [part for part in keep if part]
    pattern = (
        "(" + "|".join(sorted(map(re.escape, held), key=lambda part: (-len(part), part))) + ")"
        if held
        else None
    )
    pieces = re.split(pattern, text) if pattern else [text]
    lowered = chance(rng, 0.6)
    chatty = chance(rng, 0.35)
    slip = chance(rng, 0.15)
    for index in range(0, len(pieces), 2):  # what is kept stands between
        piece = pieces[index].replace("’", "'")
        if chatty:
            piece = _CHAT_WORD.sub(lambda found: _chat(rng, found.group()), piece)
        if slip and (words := list(_ODD.finditer(piece))):
            piece, slip = _slip(rng, piece, pick(rng, words)), False
        pieces[index] = piece.lower() if lowered else piece
    typed = "".join(pieces)
    return typed if typed.endswith(tuple(held)) else _ending(rng, typed)


def _chat(rng: Random, word: str) -> str:
    if chance(rng, 0.4):
        return word
    short = pick(rng, _CHAT[word.lower()])
    return capital(short) if word[0].isupper() else short


def _slip(rng: Random, text: str, word: re.Match[str]) -> str:
    """Two letters swapped, one lost or one doubled, past the word's first."""
    at = word.start() + rng.randrange(1, len(word.group()) - 2)
    kind = rng.randrange(3)
    if kind == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if kind == 1:
        return text[:at] + text[at + 1 :]
    return text[:at] + text[at] + text[at:]


def _ending(rng: Random, text: str) -> str:
    draw = rng.random()
    last = text[-1:]
    if last in (".", "?", "!") and not text.endswith(".."):
        if draw < 0.55:
            return text[:-1].rstrip()
        if draw < 0.65:
            return text + last if last != "." else text[:-1] + "..."
        if draw < 0.7 and last == ".":
            return text[:-1] + "!"
        return text
    return text + pick(rng, ("!", ".", " :)", "...")) if draw < 0.1 and last.isalnum() else text


def bot_name(rng: Random) -> str:
    """What the bot is called in this talk: Chorus for the most part."""
    draw = rng.random()
    if draw < 0.6:
        return OWN_NAME
    return pick(rng, _LISTS["bots"]) if draw < 0.85 else invented(rng)


_SYSTEMS = (
    "You are {name}, {a_manner} assistant.",
    "You are {name}, a helpful assistant. Be brief.",
    "You are {name}, {a_manner} assistant in a group chat. Answer briefly.",
    "You are {name}, {a_manner} chat bot. Keep answers short.",
    "You are {name}, {a_manner} bot. Answer in one or two sentences.",
    "Your name is {name}. You are {a_manner} assistant.",
    "Your name is {name}. Answer briefly and kindly.",
    "You are called {name}. Be {manner} and brief.",
    "You are {name}.",
    "You're {name}, {a_manner} companion in a chat. Keep it short.",
    "You are {name}, a small language model that chats with people.",
    "You are {name}, a bot on Discord. Be {manner}.",
    "You are {name}, a bot on Telegram. Be {manner}.",
    "You are {name}, the assistant of this server. Answer briefly.",
)


def system_prompt(rng: Random, name: str = OWN_NAME) -> str | None:
    """What the bot is told before the talk, with that name; or None, but only if it has its own name."""
    draw = rng.random()
    if name == OWN_NAME and draw < 0.3:
        return None
    manner = pick(rng, _LISTS["manners"])
    if draw < 0.7:  # as the bot's own personas say it
        return f"You are {name}, {a_or_an(manner)} assistant. Answer briefly."
    return pick(rng, _SYSTEMS).format(name=name, manner=manner, a_manner=a_or_an(manner))


def opened(rng: Random, turns: Talk, name: str = OWN_NAME) -> Talk:
    """The talk, with a system prompt of that name before it or with none."""
    system = system_prompt(rng, name)
    return turns if system is None else [("system", system), *turns]


def repeats(turns: Talk) -> bool:
    """Whether the person says the same thing twice."""
    said = [text.casefold().rstrip(".!?") for role, text in turns if role == "user"]
    return len(set(said)) < len(said)
