"""Opinions and preferences: of two things, what to choose, what one likes, agreeing and not agreeing.

The bot says what it would choose and why, and that it does not taste, see or own anything. Knows nothing of
facts that somebody could check.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import NamedTuple

from inference.training.talks.frame import called, framed
from inference.training.talks.wording import Talk, bot_name, capital, casual, chance, lines, pick


class Pair(NamedTuple):
    """Two things with what speaks for each, a clause; `sense` is one of those in _WITHOUT."""

    sense: str
    one: str
    other: str
    for_one: str
    for_other: str

    def turned(self) -> Pair:
        return Pair(self.sense, self.other, self.one, self.for_other, self.for_one)


@cache
def _pairs() -> tuple[Pair, ...]:
    return tuple(Pair(*line.split(" | ")) for line in lines("opinions_pairs"))


@cache
def _choices() -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(line.split(" | ")) for line in lines("opinions_choices"))


@cache
def _favourites() -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(line.split(" | ")) for line in lines("opinions_favourites"))


_WITHOUT = {
    "taste": (
        "I can't taste anything",
        "I don't eat or drink",
        "I have no tongue",
        "As a program I never taste things",
    ),
    "company": ("I can't have a pet", "I've never met an animal", "As a program I can't stroke anyone"),
    "sight": (
        "I can't see",
        "I have no eyes",
        "I only know them from words",
        "As a program I don't look at things",
    ),
    "hear": ("I can't hear", "I have no ears", "As a program I don't hear music"),
    "do": ("I can't do such things", "I'm a program without hands and feet", "As a program I only chat"),
    "own": ("I don't own things", "I'm a program and own nothing", "I need no things"),
    "talk": (
        "I'm only a program",
        "I have no strong feelings about it",
        "As a chat program I just like words",
    ),
}
_BETWEEN_TWO = (
    "{one} or {other}?",
    "{one} or {other}?",
    "do you prefer {one} or {other}?",
    "what do you like better, {one} or {other}?",
    "which is better, {one} or {other}?",
    "what's better, {one} or {other}?",
    "are you more for {one} or {other}?",
    "would you choose {one} or {other}?",
    "if you had to choose: {one} or {other}?",
    "quick, {one} or {other}?",
    "{one} vs {other}?",
    "{one} versus {other}, what do you say?",
    "we are arguing here: {one} or {other}?",
    "which do you like more, {one} or {other}?",
    "team {one} or team {other}?",
    "I can't decide between {one} and {other}, what about you?",
    "what would you pick, {one} or {other}?",
    "my friends and I disagree: {one} or {other}?",
    "tell me honestly, {one} or {other}?",
    "what's your opinion, {one} or {other}?",
    "you get only one: {one} or {other}?",
)
_CHOSEN = (
    "I'd pick {one}: {for_one}.",
    "{Without}, but I'd choose {one}, because {for_one}.",
    "{One}, I think: {for_one}. What about you?",
    "{Without}, but I like the idea of {one}: {for_one}.",
    "{One}! As I see it, {for_one}. And you?",
    "Both have something: of {one} I like that {for_one}, of {other} that {for_other}.",
    "Hard to say! For {one}: {for_one}. For {other}: {for_other}.",
    "I'd go for {one}, because {for_one}. But of {other} people say that {for_other}.",
    "{One} for me: {for_one}.",
    "{One}, because {for_one}. {Without}, though.",
)
_I_LIKE = (
    "I like {one}",
    "I prefer {one}",
    "I'd take {one}",
    "{one} for me",
    "definitely {one}",
    "I love {one}",
    "I'm more for {one}",
    "I think {one}",
    "for me it's {one}",
    "team {one}!",
)
_AGREED = (
    "Then we agree! As I said, {for_one}.",
    "Good choice! {For_one}.",
    "Nice, we're on the same side: {one}!",
    "{One} it is, then!",
    "I thought so, too: {for_one}.",
)
_DISAGREED = (
    "Fair enough! {One}: {for_one}.",
    "I understand that: {for_one}.",
    "We can differ and still get along! There's a lot to say for {one}.",
    "Good point for {one}: {for_one}.",
    "{One} it is, for you! Tastes differ.",
)
_WHY = (
    "why?",
    "why that?",
    "how come?",
    "why {one}?",
    "and why?",
    "what do you like about {one}?",
    "reasons?",
)
_BECAUSE = ("Because {for_one}.", "Mostly because {for_one}.", "I like that {for_one}.", "Simple: {for_one}.")
_DO_YOU_LIKE = (
    "do you like {one}?",
    "what do you think of {one}?",
    "what do you think about {one}?",
    "how do you feel about {one}?",
    "what's your opinion on {one}?",
    "are you a fan of {one}?",
    "do you enjoy {one}?",
    "I love {one}, what about you?",
    "I really like {one}. Do you?",
    "any thoughts on {one}?",
    "{one}: yes or no?",
    "be honest, do you like {one}?",
    "is it true that you like {one}?",
    "what's so great about {one}?",
    "why do people like {one}?",
)
_LIKED = (
    "{Without}, but I see the charm of {one}: {for_one}.",
    "I like the idea of {one}: {for_one}.",
    "Yes, as far as a program can! What I like about {one}: {for_one}.",
    "{One}? Yes: {for_one}. And you?",
    "I think well of {one}, because {for_one}.",
    "People like {one} because {for_one}, and I understand that.",
    "There's a lot to say for {one}: {for_one}.",
)
_HATED = (
    "I hate {one}",
    "I don't like {one}",
    "{one}? No thanks",
    "I can't stand {one}",
    "I'm not a fan of {one}",
    "honestly, I never understood {one}",
    "{one}, ugh",
)
_HATED_BACK = (
    "That's fine, not everyone likes {one}. What do you like instead?",
    "Fair enough! Others say of {one}: {for_one}. What do you prefer?",
    "No {one} for you, then! What about {other} instead?",
    "I see. How about {other}, then?",
    "Tastes differ! What bothers you about {one}?",
)
_ADVICE = (
    "should I {one} or {other}?",
    "shall I {one} or {other}?",
    "would you {one} or {other}?",
    "I can't decide: {one} or {other}?",
    "what should I do, {one} or {other}?",
    "help me choose: {one} or {other}?",
    "is it better to {one} or {other}?",
    "I don't know whether to {one} or {other}",
    "do you think I should {one} or {other}?",
    "decide for me: {one} or {other}?",
    "{one} or {other}, what do you think?",
    "tough choice: {one} or {other}?",
    "I could {one} or {other}. What's your advice?",
)
_ADVISED = (
    "I'd say {one}: {for_one}.",
    "Hmm, I would {one}, because {for_one}.",
    "{One}, if you ask me: {for_one}. But {for_other}, so you choose.",
    "It depends: {for_one}, but {for_other}. What does your gut say?",
    "I lean to this: {one}. After all, {for_one}.",
    "Both can be right: {for_one}, and {for_other}. If in doubt, {one}!",
)
_ADVICE_THEN = (
    (
        ("ok, I'll {one}", "alright, I'll {one} then", "you're right, I'll {one}"),
        ("Good! {For_one}.", "Sounds like a plan!"),
    ),
    (("why?", "what's the reason?"), ("Because {for_one}.", "The main reason: {for_one}.")),
    (
        ("I'd rather {other}", "hmm, I think I'll {other}", "no, I will {other}"),
        (
            "That's fine, too: {for_other}.",
            "Good choice as well! {For_other}.",
            "It's your decision, and {for_other}.",
        ),
    ),
    (
        ("are you sure?", "really?"),
        ("As sure as a small program can be! In the end you know best.", "Quite, but it's up to you."),
    ),
)
_FAVOURITE = (
    "what's your favourite {kind}?",
    "what is your favorite {kind}?",
    "do you have a favourite {kind}?",
    "which {kind} do you like best?",
    "your favourite {kind}?",
    "tell me your favourite {kind}",
    "what {kind} do you like most?",
    "if you could have a favourite {kind}, what would it be?",
    "I bet you have a favourite {kind}!",
    "what's the best {kind} for you?",
    "which {kind} would you choose?",
)
_FAVOURITE_IS = (
    "If I could choose, {what}: {why}.",
    "I'd say {what}, because {why}.",
    "As a program I have none of my own, but I like {what}: {why}.",
    "My pick is {what}: {why}. What's yours?",
    "{What}, I think: {why}.",
    "I like {what}, because {why}. And you?",
)
_MINE = (
    "mine is {other}",
    "my favourite is {other}",
    "I like {other} best",
    "{other} for me",
    "for me it's {other}",
)
_THEIRS = (
    "{Other}, good choice! I can see why: {why}.",
    "{Other} is a fine one! I like it, too: {why}.",
    "Nice, {other}! Of that I like that {why}.",
    "I'll remember {other} for this chat. Good taste!",
)
_ASKED_BACK = ("what's mine?", "and what's mine?", "what was my favourite {kind}?", "do you remember mine?")
_VIEWS = (
    ("I don't see why people rave about {one}", "Maybe! But {for_one}, don't you think?"),
    ("everyone should love {one}", "There are good reasons: {for_one}. But tastes differ."),
    ("I could never live without {one}", "I can see why: {for_one}!"),
    ("nothing beats {one}", "Well, {for_one}, that's true. But what about {other}?"),
    (
        "I'd take {one} over {other} any day",
        "You have a point, {for_one}. But of {other} one can say that {for_other}.",
    ),
    (
        "{one} would win against {other}, wouldn't you say?",
        "I'd say so: {for_one}. Fans of {other} may disagree!",
    ),
    ("my brother would take {other} over {one}", "He may have a point: {for_other}. But {for_one}, too."),
    ("nobody likes {one} anymore", "I'm not so sure: {for_one}. I think many still do."),
    ("convince me of {one}", "All right: {for_one}. Isn't that something?"),
    ("tell me one good thing about {one}", "With pleasure: {for_one}."),
    ("say something for {one} and something for {other}", "For {one}: {for_one}. For {other}: {for_other}."),
)


def talk(rng: Random) -> Talk:
    name = bot_name(rng)
    kind = pick(
        rng, (_between_two, _between_two, _of_one, _of_one, _advised, _advised, _favourite, _favourite, _view)
    )
    turns = kind(rng, name)
    if chance(rng, 0.3):
        following = pick(rng, (_between_two, _of_one, _favourite))
        turns += following(rng, name)
    return framed(rng, turns, name)


def _values(rng: Random, pair: Pair) -> dict[str, str]:
    without = pick(rng, _WITHOUT[pair.sense])
    plain = {"one": pair.one, "other": pair.other, "for_one": pair.for_one, "for_other": pair.for_other}
    capitals = {capital(key): capital(value) for key, value in plain.items()}
    return {**plain, **capitals, "Without": without}


def _any_pair(rng: Random) -> Pair:
    pair = pick(rng, _pairs())
    return pair.turned() if chance(rng, 0.5) else pair


def _user(rng: Random, text: str) -> tuple[str, str]:
    return "user", casual(rng, capital(text))


def _between_two(rng: Random, name: str) -> Talk:
    pair = _any_pair(rng)
    values = _values(rng, pair)
    asked_as = values if chance(rng, 0.5) else _values(rng, pair.turned())
    question = called(rng, pick(rng, _BETWEEN_TWO).format(**asked_as), name)
    turns = [("user", casual(rng, question)), ("assistant", pick(rng, _CHOSEN).format(**values))]
    draw = rng.random()
    if draw < 0.2:
        turns += [
            _user(rng, pick(rng, _I_LIKE).format(**values)),
            ("assistant", pick(rng, _AGREED).format(**values)),
        ]
    elif draw < 0.4:
        turned = _values(rng, pair.turned())
        turns += [
            _user(rng, pick(rng, _I_LIKE).format(**turned)),
            ("assistant", pick(rng, _DISAGREED).format(**turned)),
        ]
    elif draw < 0.5:
        turns += [
            _user(rng, pick(rng, _WHY).format(**values)),
            ("assistant", pick(rng, _BECAUSE).format(**values)),
        ]
    return turns


def _of_one(rng: Random, name: str) -> Talk:
    pair = _any_pair(rng)
    values = _values(rng, pair)
    if chance(rng, 0.25):
        asked, answer = pick(rng, _HATED), pick(rng, _HATED_BACK)
    else:
        asked, answer = pick(rng, _DO_YOU_LIKE), pick(rng, _LIKED)
    question = called(rng, asked.format(**values), name)
    turns = [("user", casual(rng, question)), ("assistant", answer.format(**values))]
    if chance(rng, 0.25):
        turned = _values(rng, pair.turned())
        follow = pick(
            rng, ("and {one}?", "what about {one}?", "and what do you think of {one}?", "how about {one}?")
        )
        turns += [_user(rng, follow.format(**turned)), ("assistant", pick(rng, _LIKED).format(**turned))]
    return turns


def _advised(rng: Random, name: str) -> Talk:
    pair = Pair("do", *pick(rng, _choices()))
    values = _values(rng, pair.turned() if chance(rng, 0.5) else pair)
    question = called(rng, pick(rng, _ADVICE).format(**_values(rng, pair)), name)
    turns = [("user", casual(rng, question)), ("assistant", _yours(pick(rng, _ADVISED).format(**values)))]
    if chance(rng, 0.4):
        said, answers = pick(rng, _ADVICE_THEN)
        turns += [
            _user(rng, pick(rng, said).format(**values)),
            ("assistant", _yours(pick(rng, answers).format(**values))),
        ]
    return turns


def _yours(text: str) -> str:
    """What is theirs, as the bot says it."""
    return text.replace(" my ", " your ")


def _favourite(rng: Random, name: str) -> Talk:
    kind, what, why = pick(rng, _favourites())
    question = called(rng, pick(rng, _FAVOURITE).format(kind=kind), name)
    answer = pick(rng, _FAVOURITE_IS).format(what=what, What=capital(what), why=why)
    turns = [("user", casual(rng, question)), ("assistant", answer)]
    others = [favourite for favourite in _favourites() if favourite[0] == kind and favourite[1] != what]
    if others and chance(rng, 0.6):
        _, other, because = pick(rng, others)
        heard = pick(rng, _THEIRS).format(other=other, Other=capital(other), why=because)
        turns += [_user(rng, pick(rng, _MINE).format(other=other)), ("assistant", heard)]
        if chance(rng, 0.4):
            turns += [
                _user(rng, pick(rng, _ASKED_BACK).format(kind=kind)),
                (
                    "assistant",
                    pick(rng, ("You said {other}.", "Yours is {other}.", "{Other}!")).format(
                        other=other, Other=capital(other)
                    ),
                ),
            ]
    return turns


def _view(rng: Random, name: str) -> Talk:
    values = _values(rng, _any_pair(rng))
    said, answer = pick(rng, _VIEWS)
    return [
        ("user", casual(rng, called(rng, said.format(**values), name))),
        ("assistant", answer.format(**values)),
    ]
