"""What the talks of questions and answers share: how a question is put, and what stands around it in a chat.

Knows nothing of what is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from random import Random

from inference.training.talks.wording import Talk, capital, casual, chance, lines, opened, pick

Exchange = tuple[str, str]
"""What a person says and what the bot answers."""

_LOWERED = (
    " a add an and another antonym any are baby between by calculate can capital could counting days"
    " define did divide do does double explain from fruit give half has here how i'd if in is let let's"
    " meaning multiply must my name number of on one opposite past please plural put rhyme say shall"
    " should somebody spell spelling split subtract surely synonym take teach tell there there's to"
    " today translate twice was we what what'd what's when where where's which who who's why why's with work"
    " would "
)
_BEFORE = (
    "Hey {name}, ",
    "Hi {name}! ",
    "Hello! ",
    "Hi, ",
    "{name}, ",
    "@{name} ",
    "Quick question: ",
    "A quick one: ",
    "So, ",
    "Ok, ",
    "By the way, ",
    "I was wondering: ",
    "Tell me, ",
    "For my homework: ",
    "Quiz time! ",
    "Question: ",
    "Sorry to bother you, ",
    "Hmm, ",
    "I have a question. ",
    "Here's one for you: ",
    "My daughter wants to know: ",
    "My friend asks: ",
    "Help me out: ",
    "Good evening! ",
    "Good morning {name}, ",
    "We're having a quiz night. ",
    "My brain has gone blank. ",
    "My kids asked me at breakfast. ",
    "Silly question, but ",
    "Maybe a strange question: ",
    "I'm curious: ",
    "Can you help? ",
    "Remind me, ",
    "Sorry, one more question: ",
    "Before I forget: ",
    "Yo {name}, ",
    "Dear {name}, ",
    "Good afternoon! ",
    "Hi again. ",
    "It came up at dinner: ",
)
_CALLS = (
    "Hey {name}, ",
    "Hi {name}! ",
    "Hello! ",
    "{name}, ",
    "So, ",
    "Hmm, ",
    "Sorry to bother you, ",
    "Hi, ",
)
_AFTER = (
    " Thanks!",
    " Please.",
    " I forgot.",
    " I always mix that up.",
    " It's for a crossword.",
    " Just curious.",
    " It's for a quiz.",
    " We have a bet going.",
    " My son is asking.",
    " I need it for school.",
    " Any idea?",
    " I can't remember.",
    " Thank you!",
    " Just checking.",
    " Thanks in advance.",
    " I'm curious.",
    " I should know this.",
    " It slipped my mind.",
    " My kids want to know.",
    " We were just talking about it.",
    " Somebody asked me at work.",
    " Help me!",
    " I couldn't tell my nephew.",
    " It's been bugging me.",
    " A short answer is fine.",
)
_GREETINGS = (
    ("Hi!", "Hello! How can I help?"),
    ("Hello {name}", "Hello! What can I do for you?"),
    ("hey there", "Hey! What's up?"),
    ("Good morning!", "Good morning! How can I help you?"),
    ("Can I ask you something?", "Of course, go ahead!"),
    ("I have a question.", "Sure, ask me!"),
    ("Are you good at answering questions?", "I do my best. Ask me something!"),
    ("Let's do a little quiz.", "Great, I'm ready!"),
    ("Hi {name}, got a minute?", "Always! What is it?"),
    ("Can you help me with something?", "Gladly. What do you need?"),
)
_THANKS = (
    ("Thanks!", "You're welcome!"),
    ("thank you {name}", "Gladly! Any time."),
    ("Great, thanks", "Happy to help!"),
    ("Ok, good to know.", "Glad I could help."),
    ("cool", "Anything else you'd like to know?"),
    ("Oh right, of course!", "It slips everyone's mind now and then."),
    ("That was quick.", "I try my best!"),
    ("Perfect, thank you so much", "You're very welcome!"),
    ("you're clever", "Thank you, that's kind of you!"),
    ("Interesting!", "Isn't it?"),
    ("That's all, bye!", "Goodbye, and have a nice day!"),
    ("ah yes", "Glad to help!"),
)


@cache
def sections(name: str) -> dict[str, tuple[str, ...]]:
    """The lines of words/NAME.txt by the `[title]` that they stand under."""
    found: dict[str, list[str]] = {}
    for line in lines(name):
        if line.startswith("[") and line.endswith("]"):
            found[line[1:-1]] = []
        else:
            found[list(found)[-1]].append(line)
    return {title: tuple(held) for title, held in found.items()}


@cache
def split(line: str, by: str = "|") -> tuple[str, ...]:
    return tuple(part.strip() for part in line.split(by))


def within(text: str) -> str:
    """As it stands after a comma or a colon: with a small letter, unless it begins with a name."""
    word = text.split(" ", 1)[0].rstrip(",:?").lower()
    return text[:1].lower() + text[1:] if f" {word} " in _LOWERED else text


def ask(rng: Random, question: str, name: str, keep: Sequence[str] = ()) -> str:
    """The question as somebody in a chat puts it to a bot of that name."""
    question = capital(question)
    draw = rng.random()
    if draw > 0.72:
        question = _after(pick(rng, _BEFORE).format(name=name), question)
    if (draw > 0.92 or 0.6 < draw < 0.72) and question[-1] in ".?!":
        question += pick(rng, _AFTER)
    return casual(rng, question, keep).rstrip()


def tell(rng: Random, text: str, name: str) -> str:
    """What somebody says who asks nothing that could be looked up: likewise, but never for a quiz."""
    called = _after(pick(rng, _CALLS).format(name=name), text) if chance(rng, 0.2) else text
    return casual(rng, capital(called))


def _after(before: str, text: str) -> str:
    return before + (text if before.rstrip()[-1] in "!.?" else within(text))


def answer(rng: Random, options: Sequence[str]) -> str:
    """One of the wordings, with a capital."""
    return capital(pick(rng, options))


def chat(rng: Random, exchanges: Sequence[Exchange], name: str) -> Talk:
    """The exchanges, perhaps with a greeting before or a word of thanks after them."""
    said = list(exchanges)
    if chance(rng, 0.1):
        said.insert(0, _small(rng, _GREETINGS, name))
    if chance(rng, 0.12):
        said.append(_small(rng, _THANKS, name))
    turns: Talk = []
    for user, assistant in said:
        turns += [("user", user), ("assistant", assistant)]
    return opened(rng, turns, name)


def _small(rng: Random, options: Sequence[Exchange], name: str) -> Exchange:
    user, assistant = pick(rng, options)
    return casual(rng, user.format(name=name)), assistant


def turns_of(rng: Random) -> int:
    """How many questions a talk holds: one to four, mostly few."""
    return pick(rng, (1, 1, 1, 1, 2, 2, 2, 3, 3, 4))
