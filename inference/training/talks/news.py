"""News of everyday life, good, bad and neither: congratulations, sympathy or interest that names the matter.

Knows nothing of the news of the world.
"""

from __future__ import annotations

import re
from functools import cache
from random import Random
from typing import NamedTuple

from inference.training.talks.frame import PEOPLE, called, framed
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
)


class News(NamedTuple):
    """`told` is a whole sentence without its full stop, `echo` the same as a thing, `then` what to say next.
    `kind` is one of those in _ANSWERS; `whose` is the relative whose news it is, if it isn't the person's."""

    kind: str
    told: str
    echo: str
    then: str
    whose: str = ""


@cache
def _written() -> tuple[News, ...]:
    return tuple(News(*line.split(" | ")) for line in lines("news"))


@cache
def _events() -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(line.split(" | ")) for line in lines("news_events"))


@cache
def _objects() -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(line.split(" | ")) for line in lines("news_objects"))


_GOOD_START = (
    "{told}",
    "{told}!",
    "{told}!!",
    "guess what: {told}!",
    "guess what, {told}!",
    "good news: {told}!",
    "great news, {told}!",
    "I have good news: {told}!",
    "you won't believe it: {told}!",
    "I wanted to tell you that {told}.",
    "I just wanted to share: {told}!",
    "big news! {Told}!",
    "yay, {told}!",
    "finally! {Told}!",
    "I'm so happy: {told}!",
    "{told}, isn't that great?",
    "{told}, can you believe it?",
    "it finally happened: {told}!",
    "woohoo! {Told}",
)
_BAD_START = (
    "{told}",
    "{told}.",
    "{told} :(",
    "bad news: {told}.",
    "sad news, {told}.",
    "I have bad news: {told}.",
    "guess what, {told}.",
    "what a day: {told}.",
    "oh no, {told}!",
    "ugh, {told}.",
    "it's terrible: {told}.",
    "I can't believe it: {told}.",
    "{told}, and I don't know what to do.",
    "{told}, it's just not my day.",
    "{told} and I feel awful.",
    "I have to tell you something sad: {told}.",
    "just my luck: {told}.",
    "well, {told}...",
)
_PLAIN_START = (
    "{told}",
    "{told}.",
    "{told} today.",
    "so, {told}.",
    "by the way, {told}.",
    "just so you know, {told}.",
    "nothing special, {told}.",
    "what's new? Well, {told}.",
    "you asked what's new: {told}.",
)
_STARTS = {
    "won": _GOOD_START,
    "luck": _GOOD_START,
    "bad": _BAD_START,
    "neutral": _PLAIN_START,
    "turned": _PLAIN_START,
}
_ANSWERS = {
    "won": (
        "Congratulations on {echo}! {then}",
        "Congratulations on {echo}! {then}",
        "Wow, congratulations on {echo}! {then}",
        "That's wonderful news! Congratulations on {echo}. {then}",
        "Well done! I'm so happy for you about {echo}. {then}",
        "How great! Congratulations! {then}",
        "{Echo}, that's fantastic! {then}",
        "Hooray! Congratulations on {echo}! {then}",
    ),
    "luck": (
        "How lovely! {then}",
        "{Echo}, how wonderful! {then}",
        "How nice for you! Enjoy {echo}. {then}",
        "That's great news about {echo}! {then}",
        "I'm happy for you! {Echo}, that's a good day. {then}",
        "Wonderful! {Echo}, lucky you! {then}",
    ),
    "bad": (
        "I'm so sorry about {echo}. {then}",
        "I'm sorry to hear about {echo}. {then}",
        "Oh no, {echo}! I'm sorry. {then}",
        "I'm sorry about {echo}, that's hard. {then}",
        "Oh dear, I'm sorry about {echo}. {then}",
        "That's tough. I'm sorry about {echo}. {then}",
    ),
    "neutral": (
        "{Echo}, nice! {then}",
        "Oh, {echo}! {then}",
        "That sounds interesting. {then}",
        "Nice! {then}",
        "{Echo}? Tell me more! {then}",
    ),
    "turned": (
        "All's well that ends well! I'm glad about {echo}. {then}",
        "What a turn! I'm happy about {echo}. {then}",
        "First the bad and then the good: {echo}! {then}",
        "I'm glad it ended well, with {echo}. {then}",
    ),
}
_AFTER = {
    True: (
        ("thank you!", "You're welcome! Enjoy {echo}."),
        ("thanks a lot!", "You've earned it! Have fun celebrating."),
        ("I'm so happy", "You have every reason to be!"),
        ("I still can't believe it", "It's true, though! Enjoy {echo}."),
        ("how should I celebrate?", "With the people you like best and something good to eat!"),
        ("I worked hard for it", "And it shows. Be proud of yourself!"),
        ("my family is happy too", "Good news is best when it's shared."),
    ),
    False: (
        ("thank you", "Of course. I hope things get better soon."),
        ("thanks, that's kind", "You're welcome. I'm here if you want to talk about {echo}."),
        ("it's really hard", "I believe you. Take all the time you need."),
        ("I'm so upset", "That's only natural with {echo}. Be kind to yourself."),
        ("why does it always happen to me?", "It feels unfair, I know. Things do turn again."),
        ("what a week", "I hope the next one is kinder to you."),
        ("I'll be okay", "I'm sure you will. Take care."),
        ("there's nothing I can do", "Sometimes there isn't. Then a talk with a friend helps a little."),
    ),
}
_OVER = (
    ("do you remember my news?", "Yes, you told me about {echo}."),
    ("what did I tell you earlier?", "You told me about {echo}."),
    ("what was my news again?", "Your news was about {echo}."),
    ("what happened to me, do you remember?", "Yes, you told me about {echo}."),
)
_BETWEEN = (
    ("anyway, how are you?", "I'm running well, thank you for asking!"),
    ("anyway, what's up with you?", "Not much, I'm here chatting with you."),
    ("what are you doing?", "I'm chatting with you. That's my favourite thing."),
    ("I'm making tea now", "Enjoy your tea!"),
    ("I need a break", "Then take one! You've earned it."),
    ("it's late here", "Then don't stay up too long."),
)


def talk(rng: Random) -> Talk:
    name = bot_name(rng)
    news = pick(rng, (_own, _own, _of_a_relative, _of_a_thing, _of_a_thing, _of_a_pet))(rng)
    text = pick(rng, _STARTS[news.kind]).format(told=news.told, Told=capital(news.told))
    answers = _ANSWERS_OF_A_RELATIVE if news.whose else _ANSWERS
    answer = pick(rng, answers[news.kind]).format(
        echo=news.echo, Echo=capital(news.echo), then=news.then, whose=news.whose
    )
    named = re.findall(r"\b[A-Z][a-z]+\b", news.told)
    turns = [("user", casual(rng, called(rng, text, name, share=0.15), keep=named)), ("assistant", answer)]
    good = news.kind in ("won", "luck", "turned")
    if news.kind != "neutral" and chance(rng, 0.35):
        turns += _exchanged(rng, pick(rng, _AFTER[good]), news.echo)
    if chance(rng, 0.2):
        if chance(rng, 0.6):
            turns += _exchanged(rng, pick(rng, _BETWEEN), news.echo)
        told_about = f"your {news.whose} and {news.echo}" if news.whose else news.echo
        turns += _exchanged(rng, pick(rng, _OVER), told_about)
    return framed(rng, turns, name)


def _exchanged(rng: Random, said: tuple[str, str], echo: str) -> Talk:
    return [("user", casual(rng, capital(said[0]))), ("assistant", said[1].format(echo=echo))]


def _own(rng: Random) -> News:
    return pick(rng, _written())


_RELATIVES = (
    *((who, "her", "she") for who in ("sister", "mother", "mum", "aunt", "daughter", "niece", "grandmother")),
    *(
        (who, "her", "she")
        for who in ("girlfriend", "wife", "stepsister", "goddaughter", "granddaughter", "grandma")
    ),
    *(
        (who, "his", "he")
        for who in ("brother", "father", "dad", "uncle", "son", "nephew", "grandfather", "grandpa")
    ),
    *((who, "his", "he") for who in ("boyfriend", "husband", "stepbrother", "godson", "grandson")),
    *((who, "their", "they") for who in ("best friend", "neighbour", "cousin", "colleague", "flatmate")),
    *((who, "their", "they") for who in ("classmate", "boss", "teacher", "coach", "pen pal")),
)
_THEM = {"he": "him", "she": "her", "they": "them"}
_FOR_A_RELATIVE = {
    "won": ("Please congratulate {them} from me!", "You must be proud!", "Give {them} my best wishes!"),
    "bad": (
        "I hope things look up soon.",
        "Please give {them} my best wishes.",
        "It's good that {they} can count on you.",
    ),
    "neutral": ("What made {them} do it?", "How is it going?", "What do you think of it?"),
}
_ANSWERS_OF_A_RELATIVE = {
    "won": (
        "Congratulations to your {whose} on {echo}! {then}",
        "How wonderful for your {whose}! {then}",
        "{Echo}, that's great! I'm happy for your {whose}. {then}",
        "Wow, congratulations to your {whose}! {then}",
    ),
    "bad": (
        "I'm sorry about {echo}. {then}",
        "Oh no, your poor {whose}! {then}",
        "I'm sorry to hear that about your {whose}. {then}",
        "Oh dear, {echo} must be hard on your {whose}. {then}",
    ),
    "neutral": (
        "Your {whose} sounds interesting! {then}",
        "Oh, {echo}! {then}",
        "{Echo}? Your {whose} seems to like new things. {then}",
    ),
}


def _of_a_relative(rng: Random) -> News:
    kind, did, echo = pick(rng, _events())
    who, his, they = pick(rng, _RELATIVES)
    named = f"{who} {pick(rng, PEOPLE)}" if chance(rng, 0.3) and his == "their" else who
    then = pick(rng, _FOR_A_RELATIVE[kind]).format(them=_THEM[they], they=they)
    return News(kind, f"my {named} {did.format(his=his)}", echo, then, named)


_HAPPENED = {
    "home": (
        ("bad", "my {thing} broke down", "the broken {thing}", "Can it be repaired?"),
        (
            "bad",
            "my {thing} stopped working",
            "the broken {thing}",
            "Have you tried turning it off and on again?",
        ),
        ("bad", "my {thing} makes strange noises", "the noisy {thing}", "How old is it?"),
    ),
    "tool": (
        ("bad", "someone stole my {thing}", "the stolen {thing}", "Have you told the police?"),
        ("bad", "my {thing} was stolen", "the stolen {thing}", "Did anyone see who took it?"),
        ("bad", "I broke my {thing}", "the broken {thing}", "Can it be repaired?"),
        ("bad", "I dropped my {thing}", "your poor {thing}", "Does it still work?"),
        (
            "bad",
            "I left my {thing} on the train",
            "the {thing} on the train",
            "Ask the lost-property office.",
        ),
    ),
    "wear": (
        ("bad", "I lost my {thing}", "the lost {thing}", "Where did you have it last?"),
        (
            "bad",
            "I left my {thing} on the bus",
            "the {thing} on the bus",
            "Ask the bus company; things often turn up.",
        ),
        ("bad", "the dog chewed my {thing}", "the chewed {thing}", "Was it a big bite?"),
        ("bad", "my {thing} fell into the river", "the {thing} in the river", "Could you fish it out?"),
        ("luck", "I found my lost {thing}", "finding your {thing}", "Where was it?"),
        ("luck", "someone returned my {thing}", "getting your {thing} back", "There are honest people!"),
    ),
    "thing": (
        ("bad", "I broke my favourite {thing}", "the broken {thing}", "Can it be glued?"),
        ("bad", "the cat knocked over my {thing}", "your poor {thing}", "Is the cat all right?"),
        ("won", "I built {a_thing} myself", "building {a_thing} yourself", "That takes skill!"),
        ("neutral", "I painted the {thing} {colour}", "a {colour} {thing}", "Does it look good?"),
        ("neutral", "I'm repairing an old {thing}", "an old {thing}", "Is it hard work?"),
    ),
}
_NEW = (
    ("luck", "I got a new {thing}", "the new {thing}", "Do you like it?"),
    ("luck", "I bought {a_colour} {thing}", "the {colour} {thing}", "I like the idea of {colour}!"),
    ("luck", "I got {a_thing} for my birthday", "{a_thing} for your birthday", "Who gave it to you?"),
    ("luck", "my parents gave me {a_thing}", "{a_thing} from your parents", "What a nice present!"),
    ("luck", "I won {a_thing}", "winning {a_thing}", "How did you win it?"),
    ("luck", "I got a used {thing} for very little money", "such a cheap {thing}", "A good find!"),
    ("neutral", "I'm looking for a new {thing}", "a new {thing}", "What should it be like?"),
    ("neutral", "I'm saving for {a_thing}", "{a_thing}", "How far along are you?"),
    ("neutral", "I sold my old {thing}", "selling the old {thing}", "Did you get a fair price?"),
    ("neutral", "I cleaned my {thing}", "a clean {thing}", "Did it take long?"),
    ("neutral", "I lent my {thing} to a friend", "lending out your {thing}", "I hope it comes back soon!"),
    ("turned", "I lost my {thing} but found it again", "finding your {thing} again", "Where was it?"),
    (
        "turned",
        "my {thing} broke but my neighbour repaired it",
        "the repaired {thing}",
        "What a kind neighbour!",
    ),
)


def _of_a_thing(rng: Random) -> News:
    sort, thing = pick(rng, _objects())
    kind, told, echo, then = pick(rng, (*_HAPPENED[sort], *_HAPPENED[sort], *_NEW))
    colour = pick(rng, lines("news_colours"))
    values = {"thing": thing, "a_thing": a_or_an(thing), "colour": colour, "a_colour": a_or_an(colour)}
    echo = echo.format(**values)
    if echo.startswith(f"a {colour}"):
        echo = a_or_an(echo[2:])
    return News(kind, told.format(**values), echo, then.format(**values))


_OF_PETS = (
    ("bad", "my {pet} {name} died", "the loss of {name}", "I'm sure {name} had a good life with you."),
    ("bad", "we had to say goodbye to our {pet} {name}", "losing {name}", "What was {name} like?"),
    ("bad", "my {pet} {name} ran away", "{name} running away", "Have you asked the neighbours?"),
    ("bad", "my {pet} {name} is ill", "{name} being ill", "What does the vet say?"),
    ("bad", "{name}, my {pet}, won't eat", "{name} not eating", "A vet should have a look if it lasts."),
    ("luck", "my {pet} {name} had babies", "the babies of {name}", "How many are there?"),
    ("luck", "my {pet} {name} is well again", "{name} being well again", "Give {name} an extra treat!"),
    ("luck", "we got a {pet} and called it {name}", "your new {pet} {name}", "{name} is a lovely name!"),
    ("luck", "{name} came back, my {pet}", "{name} coming back", "Where had {name} been?"),
    ("luck", "my {pet} {name} won a prize", "the prize for {name}", "What was it for?"),
    ("luck", "today is my {pet} {name}'s birthday", "the birthday of {name}", "How old is {name} now?"),
    ("neutral", "my {pet} {name} is asleep on my lap", "{name} on your lap", "Then you can't get up now!"),
    ("neutral", "my {pet} {name} is looking at me", "{name} looking at you", "Maybe it's time for food?"),
    ("neutral", "I gave my {pet} {name} a bath", "a bath for {name}", "Did {name} like it?"),
    ("neutral", "my {pet} {name} has a new place to sleep", "a new bed for {name}", "Does {name} use it?"),
    ("turned", "my {pet} {name} got lost but is home again", "{name} being home again", "What a relief!"),
)


def _of_a_pet(rng: Random) -> News:
    kind, told, echo, then = pick(rng, _OF_PETS)
    called_so = pick(rng, lines("news_pet_names")) if chance(rng, 0.6) else invented(rng)
    values = {"pet": pick(rng, lines("news_pets")), "name": called_so}
    return News(kind, told.format(**values), echo.format(**values), then.format(**values))
