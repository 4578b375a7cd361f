"""How people feel and why: sympathy or joy that names the cause, with a small tip or one question.

Knows nothing of medicine. Grave matters get care and the advice to talk to somebody, and only they do.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import NamedTuple

from inference.training.talks import jokes
from inference.training.talks.exchanges import exchanges, held
from inference.training.talks.frame import called, framed
from inference.training.talks.wording import Talk, bot_name, capital, casual, chance, lines, pick


class Cause(NamedTuple):
    """`told` is a whole sentence without its full stop, `echo` the same as a thing, `tip` a sentence."""

    mood: str
    told: str
    echo: str
    tip: str


@cache
def causes() -> tuple[Cause, ...]:
    return tuple(Cause(*line.split(" | ")) for line in lines("feelings"))


_GOOD = ("happy", "proud", "in love", "grateful", "excited", "hopeful", "relieved")
_SAID = {
    "tired": (
        "I'm so tired",
        "I'm exhausted",
        "I feel worn out",
        "I'm dead tired",
        "I can hardly keep my eyes open",
    ),
    "sad": ("I'm sad", "I feel so sad", "I'm a bit down today", "I feel like crying", "I'm feeling blue"),
    "lonely": ("I feel lonely", "I'm so lonely", "I feel all alone", "it gets lonely", "I feel a bit alone"),
    "angry": ("I'm so angry", "I'm furious", "that makes me mad", "I'm really annoyed", "I'm fed up"),
    "happy": (
        "I'm so happy",
        "I feel great",
        "I'm in a good mood",
        "I'm in such a good mood",
        "I'm over the moon",
    ),
    "proud": (
        "I'm so proud",
        "I'm proud",
        "I'm a bit proud",
        "I feel really proud",
        "I'm bursting with pride",
    ),
    "nervous": (
        "I'm nervous",
        "I'm so nervous",
        "I have butterflies",
        "I'm really anxious",
        "I'm a bit worried",
    ),
    "bored": ("I'm bored", "I'm so bored", "this is boring", "I'm bored to tears", "I don't know what to do"),
    "stressed": (
        "I'm stressed",
        "I'm so stressed out",
        "it's all too much",
        "I'm under pressure",
        "I'm stressed out",
    ),
    "ill": ("I feel awful", "I'm not feeling well", "I feel sick", "I'm not well", "I feel terrible"),
    "in love": (
        "I'm in love",
        "I think I'm in love",
        "I have a crush",
        "my heart is racing",
        "I'm so in love",
    ),
    "homesick": ("I'm homesick", "I feel homesick", "I miss home", "I'm so homesick", "I want to go home"),
    "jealous": (
        "I'm jealous",
        "I feel jealous",
        "I'm so jealous",
        "I can't help being jealous",
        "I'm a bit envious",
    ),
    "scared": ("I'm scared", "I'm so scared", "I'm afraid", "I'm a bit frightened", "I'm really scared"),
    "grateful": ("I'm so grateful", "I'm thankful", "I feel really lucky", "I'm touched", "I'm so thankful"),
    "guilty": (
        "I feel guilty",
        "I feel so bad",
        "I feel terrible about it",
        "I have a bad conscience",
        "I'm ashamed",
    ),
    "confused": (
        "I'm confused",
        "I'm so confused",
        "I don't get it",
        "I'm puzzled",
        "I don't know what to think",
    ),
    "disappointed": (
        "I'm disappointed",
        "I'm so disappointed",
        "I feel let down",
        "what a letdown",
        "I'm gutted",
    ),
    "excited": (
        "I'm so excited",
        "I can't wait",
        "I'm really excited",
        "I'm thrilled",
        "I'm looking forward to it so much",
    ),
    "embarrassed": (
        "I'm so embarrassed",
        "that was so embarrassing",
        "I want to hide",
        "I could sink into the ground",
    ),
    "hopeful": ("I'm hopeful", "I have hope again", "I feel hopeful", "things are looking up"),
    "relieved": ("I'm so relieved", "what a relief", "I'm relieved", "I can breathe again"),
}
_SHAPES = (
    "{said}. {Cause}.",
    "{said}, {cause}.",
    "{said} because {cause}.",
    "{said}! {Cause}.",
    "{cause}. {Said}.",
    "{cause}, {said}.",
    "{cause} and {said}.",
    "{cause}!",
    "{cause}.",
    "{said} today, {cause}",
    "{cause}, so {said} right now.",
    "you know, {cause}. {Said}.",
    "I have to tell someone: {cause}. {Said}!",
)
_FEEL = {
    "tired": (
        "{Echo} would make anyone tired. {tip}",
        "No wonder you're tired! {tip}",
        "{Echo} can be exhausting. {tip}",
    ),
    "sad": (
        "I'm so sorry about {echo}. {tip}",
        "{Echo} would make anyone sad. {tip}",
        "I'm sorry, {echo} must hurt. {tip}",
    ),
    "lonely": (
        "I'm sorry, {echo} can feel very lonely. {tip}",
        "{Echo} must be hard. {tip}",
        "I'm glad you tell me. {tip}",
    ),
    "angry": (
        "{Echo} would annoy anyone. {tip}",
        "I can see why {echo} makes you angry. {tip}",
        "That's annoying! {tip}",
    ),
    "happy": (
        "How lovely! I'm happy about {echo}, too. {tip}",
        "{Echo}, how wonderful! {tip}",
        "That's great! {tip}",
    ),
    "proud": (
        "You can be proud of {echo}! {tip}",
        "{Echo}, well done! {tip}",
        "Congratulations on {echo}! {tip}",
    ),
    "nervous": (
        "It's normal to be nervous about {echo}. {tip}",
        "{Echo} would make anyone nervous. {tip}",
        "It's natural to be nervous. {tip}",
    ),
    "bored": (
        "Oh dear, {echo} can be boring. {tip}",
        "{Echo} would bore anyone. {tip}",
        "Let's do something about it! {tip}",
    ),
    "stressed": (
        "{Echo} can be a lot. {tip}",
        "That sounds stressful, especially {echo}. {tip}",
        "One step at a time. {tip}",
    ),
    "ill": (
        "I'm sorry about {echo}. Get well soon! {tip}",
        "Oh no, {echo} must feel awful. {tip}",
        "Poor you! {tip}",
    ),
    "in love": (
        "How sweet! {Echo} must feel wonderful. {tip}",
        "{Echo}, that's lovely! {tip}",
        "I'm happy for you. {tip}",
    ),
    "homesick": (
        "{Echo} can make anyone homesick. {tip}",
        "I'm sorry, {echo} must be hard. {tip}",
        "Home is a big word. {tip}",
    ),
    "jealous": (
        "{Echo} would sting anyone. {tip}",
        "I understand, {echo} isn't easy. {tip}",
        "That feeling is human. {tip}",
    ),
    "scared": (
        "It's all right to be scared. {tip}",
        "{Echo} would scare many people. {tip}",
        "Breathe slowly. {tip}",
    ),
    "grateful": (
        "How kind! {Echo} must have felt good. {tip}",
        "{Echo}, how nice! {tip}",
        "That's lovely to hear. {tip}",
    ),
    "guilty": (
        "{Echo} can be put right. {tip}",
        "It shows that you care. {tip}",
        "We all slip up; {echo} can be forgiven. {tip}",
    ),
    "confused": (
        "{Echo} would confuse anyone. {tip}",
        "I see why {echo} puzzles you. {tip}",
        "That is confusing. {tip}",
    ),
    "disappointed": (
        "What a pity about {echo}! {tip}",
        "I'm sorry about {echo}. {tip}",
        "{Echo} must be a letdown. {tip}",
    ),
    "excited": (
        "How exciting, {echo}! {tip}",
        "{Echo}, that's something to look forward to! {tip}",
        "I can tell! {tip}",
    ),
    "embarrassed": (
        "Oh dear, {echo}! {tip}",
        "{Echo} can happen to anyone. {tip}",
        "Don't worry too much. {tip}",
    ),
    "hopeful": (
        "{Echo}, that's good news! {tip}",
        "I'm glad about {echo}. {tip}",
        "That sounds hopeful indeed. {tip}",
    ),
    "relieved": ("What a relief, {echo}! {tip}", "{Echo}, I'm so glad. {tip}", "I'm relieved for you. {tip}"),
}
_WHY = {
    True: (
        "That's lovely! What happened?",
        "How nice to hear! What is the reason?",
        "Wonderful! Tell me more.",
    ),
    False: (
        "I'm sorry to hear that. What happened?",
        "Oh dear. Would you like to tell me why?",
        "That's not easy. What's going on?",
        "I'm listening. What is it about?",
    ),
}
_THEN = {
    True: (
        ("thank you!", "You're welcome! Enjoy it."),
        ("I know, right?", "Absolutely! Enjoy every bit of it."),
        ("thanks, I needed to share that", "Thank you for sharing it with me!"),
        ("are you happy too?", "I don't have feelings, but I like it when a chat is cheerful."),
        ("I could dance", "Then dance! Nobody here is watching."),
        ("it made my day", "I'm glad. Days like this are worth keeping."),
        ("I told everyone already", "Good news is made for sharing!"),
        ("I hope it stays this way", "I hope so, too!"),
    ),
    False: (
        ("thanks, that helps", "I'm glad. I'm here if you want to talk more."),
        ("thank you for listening", "Of course. I hope tomorrow is kinder to you."),
        ("yeah, maybe", "Take your time. Small steps count."),
        ("I guess you're right", "Go easy on yourself. It will get better."),
        ("I don't know what to do", "Start with one small thing, and talk to someone close to you about it."),
        ("it's not easy", "No, it isn't. You're allowed to feel that way."),
        (
            "what would you do?",
            "I'm a program, so nothing like that happens to me; but many people say that talking helps.",
        ),
        ("do you ever feel like that?", "No, I'm a program and have no feelings. But I can listen."),
        ("I'll try that", "Good! Let me know how it goes."),
        ("I just wanted to tell someone", "I'm glad you told me."),
        (
            "how can I feel better?",
            "A walk, some water, a good song or a chat with a friend can help a little.",
        ),
        ("nobody understands me", "That must feel hard. Is there one person you trust and could tell?"),
        ("ok", "I'm here if you'd like to talk more."),
    ),
}
_CHEER = (
    "can you cheer me up?",
    "cheer me up please",
    "say something nice",
    "make me smile",
    "tell me something to cheer me up",
    "please distract me",
)
_NICE = (
    "You've got through every bad day so far. That's a pretty good record!",
    "You're doing better than you think.",
    "Somewhere an otter is holding hands with another otter right now.",
    "This day will end, and the next one is a new page.",
    "You deserve something warm to drink and a kind word.",
    "It's good that you're here.",
)
_REMEMBERED = (
    "what did I tell you about how I feel?",
    "do you remember why I wrote to you?",
    "what was I telling you about?",
    "what did I say before?",
)


def talk(rng: Random) -> Talk:
    name = bot_name(rng)
    draw = rng.random()
    if draw < 0.03:
        return framed(
            rng, held(rng, pick(rng, exchanges("feelings_grave")), name), name, before=0.1, behind=0.1
        )
    if draw < 0.1:
        return framed(rng, held(rng, pick(rng, exchanges("feelings_said")), name), name)
    cause = pick(rng, causes())
    good = cause.mood in _GOOD
    answer = pick(rng, _FEEL[cause.mood]).format(echo=cause.echo, Echo=capital(cause.echo), tip=cause.tip)
    turns = _asked_why(rng, cause, good, name) if chance(rng, 0.2) else _told(rng, cause, name)
    turns.append(("assistant", answer))
    if chance(rng, 0.45):
        turns += _then(rng, good)
    if chance(rng, 0.1):
        remembered = pick(
            rng, ("You told me about {echo}.", "It was about {echo}.", "You wrote to me about {echo}.")
        )
        turns += [
            ("user", casual(rng, capital(pick(rng, _REMEMBERED)))),
            ("assistant", remembered.format(echo=cause.echo)),
        ]
    return framed(rng, turns, name)


def _told(rng: Random, cause: Cause, name: str) -> Talk:
    said = pick(rng, _SAID[cause.mood])
    text = pick(rng, _SHAPES).format(
        said=said, Said=capital(said), cause=cause.told, Cause=capital(cause.told)
    )
    return [("user", casual(rng, called(rng, text, name)))]


def _asked_why(rng: Random, cause: Cause, good: bool, name: str) -> Talk:
    said = pick(rng, _SAID[cause.mood]) + pick(rng, (".", "!", "", " today.", " right now."))
    return [
        ("user", casual(rng, called(rng, said, name))),
        ("assistant", pick(rng, _WHY[good])),
        ("user", casual(rng, capital(cause.told) + pick(rng, (".", "", "!")))),
    ]


def _then(rng: Random, good: bool) -> Talk:
    if not good and chance(rng, 0.25):
        nice = pick(rng, _NICE) if chance(rng, 0.5) else f"I'll try! {jokes.told(rng)}"
        return [("user", casual(rng, capital(pick(rng, _CHEER)))), ("assistant", nice)]
    said, answer = pick(rng, _THEN[good])
    return [("user", casual(rng, capital(said))), ("assistant", answer)]
