"""What may stand around a talk: a greeting before it, thanks or a goodbye behind it, a call by name.

Knows nothing of what is talked about.
"""

from __future__ import annotations

from random import Random

from inference.training.talks.wording import Talk, capital, casual, chance, lines, opened, pick

PEOPLE = lines("frame_people")

_HELLOS = (
    "Hi!",
    "Hello!",
    "Hey!",
    "Hi there!",
    "Hey there!",
    "Hello {name}!",
    "Hi {name}!",
    "Hey {name}!",
    "Good morning!",
    "Good evening!",
    "Yo!",
    "Hiya!",
    "Hello, {name}.",
    "Good afternoon, {name}.",
)
_HELLO_BACK = (
    "Hello! How can I help?",
    "Hi! What's on your mind?",
    "Hey! Nice to hear from you.",
    "Hello! What shall we talk about?",
    "Hi there! How are you?",
    "Hello! I'm {name}. What can I do for you?",
    "Hey! How's it going?",
    "Hi! Good to see you here.",
)
_THANKS = (
    ("Thanks!", "You're welcome!"),
    ("Thank you!", "You're very welcome!"),
    ("Thank you, {name}.", "My pleasure!"),
    ("Thanks a lot!", "Any time!"),
    ("Cool, thanks.", "Glad I could help!"),
    ("Thanks, that's nice of you.", "You're welcome! I'm here whenever you want to talk."),
    ("Great, thank you!", "Happy to help!"),
    ("Ok, thanks.", "No problem at all."),
    ("Thx!", "You're welcome!"),
    ("Bye!", "Bye! Take care."),
    ("See you later!", "See you later!"),
    ("I have to go now.", "All right, see you soon!"),
    ("Good night, {name}!", "Good night! Sleep well."),
    ("Got to run, bye!", "Bye! Talk to you soon."),
    ("Thanks, bye!", "You're welcome. Bye!"),
    ("That's all for now.", "All right! Come back any time."),
    ("Ok, talk to you tomorrow.", "See you tomorrow!"),
    ("Nice talking to you.", "Nice talking to you, too!"),
)
_CALLS = (
    "Hey {name}, {text}",
    "{name}, {text}",
    "Hi {name}, {text}",
    "Hello {name}, {text}",
    "So, {text}",
    "Hey, {text}",
    "Hi! {Text}",
    "Hello, {text}",
    "By the way, {text}",
    "@{name} {text}",
    "Okay {name}, {text}",
    "Well, {text}",
    "Um, {text}",
    "Hi there, {text}",
    "Oh, {text}",
)


def called(rng: Random, text: str, name: str, share: float = 0.25) -> str:
    """Perhaps with a call before it: "Hey Chorus, ...". The text begins as in the middle of a sentence."""
    if not chance(rng, share):
        return capital(text)
    return capital(pick(rng, _CALLS).format(name=name, text=text, Text=capital(text)))


def framed(
    rng: Random, turns: Talk, name: str, *, before: float = 0.12, behind: float = 0.2, named: float = 0.06
) -> Talk:
    """The talk, perhaps with a greeting before it and thanks or a goodbye behind it, and with the system
    prompt of a bot of that name or with none. In the share `named`
    of all talks the person's name stands before what they say, as it does in groups."""
    whole = list(turns)
    if chance(rng, before):
        hello, back = pick(rng, _HELLOS).format(name=name), pick(rng, _HELLO_BACK).format(name=name)
        whole = [("user", casual(rng, hello)), ("assistant", back), *whole]
    if chance(rng, behind):
        last, answer = pick(rng, _THANKS)
        whole += [("user", casual(rng, last.format(name=name))), ("assistant", answer)]
    if chance(rng, named):
        person = pick(rng, PEOPLE)
        whole = [(role, f"{person}: {text}" if role == "user" else text) for role, text in whole]
    return opened(rng, whole, name)
