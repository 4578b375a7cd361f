"""Talk in which a message leans on the one before it: "And of Spain?", "Why?", "The second one".

The facts come from `facts`, the words from `words`, the sums from `sums`; troubles, hobbies, care, choices
and longer answers stand in words/followups.txt.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from inference.training.talks import facts, sums, words
from inference.training.talks.asking import Exchange, answer, ask, chat, sections, split, tell
from inference.training.talks.wording import Talk, a_or_an, bot_name, capital, casual, chance, pick, some

_NEXT = (
    "And {s}?",
    "and {s}?",
    "What about {s}?",
    "How about {s}?",
    "And what about {s}?",
    "ok, and {s}?",
    "Now {s}.",
    "And for {s}?",
    "And with {s}?",
    "And how is it with {s}?",
    "Thanks. And {s}?",
    "Same question for {s}.",
    "{s}?",
    "And {s}, do you know that too?",
    "Good, and {s}?",
)
_NEXT_OF = (*_NEXT, "And of {s}?", "and of {s}?", "And the one of {s}?", "and that of {s}?")
_LINKED = {
    "capital": _NEXT_OF,
    "continent": _NEXT,
    "language": (*_NEXT, "And in {s}?", "and in {s}?"),
    "currency": (*_NEXT, "And in {s}?", "and in {s}?"),
    "landmark": _NEXT,
    "young": _NEXT_OF,
    "sound": _NEXT,
    "home": _NEXT,
    "food of animals": _NEXT,
    "legs": _NEXT,
    "kind of animal": _NEXT,
    "comes from": _NEXT,
    "month": _NEXT,
    "holiday": _NEXT,
    "colour": _NEXT,
    "made of": _NEXT,
    "inventor": _NEXT,
    "author": _NEXT,
    "artist": _NEXT,
    "composer": _NEXT,
    "used for": _NEXT,
    "where to buy": _NEXT,
    "dish": _NEXT,
    "sport": _NEXT,
    "instrument": _NEXT,
    "symbol": _NEXT_OF,
    "plant": _NEXT,
}
_BARE = ("young", "sound", "home", "food of animals")  # relations whose subjects lack an article
_COUNTRIES = ("capital", "continent", "language", "currency")
_THERE = {
    "capital": (
        "And its capital?",
        "what's the capital there?",
        "And the capital?",
        "Which city is its capital?",
    ),
    "continent": ("Which continent is that?", "And where is it?", "on which continent is it?"),
    "language": ("And what do they speak there?", "What language do they speak there?", "And the language?"),
    "currency": ("And what money do they use there?", "and the currency?", "How do people pay there?"),
}
_SURE = (
    "Are you sure?",
    "are you really sure?",
    "Sure?",
    "Is that right?",
    "Are you certain about that?",
    "Hmm, I doubt that.",
    "Really? I thought otherwise.",
    "I don't believe you.",
    "My teacher says something else.",
    "That can't be right.",
    "I think you're wrong.",
    "You must be joking.",
)
_HOLDS = (
    "Yes, I'm sure. {said}",
    "Yes, quite sure. {said}",
    "I'm sure about this one: {said}",
    "I understand the doubt, but I'm sure. {said}",
    "Yes. {said} You can look it up, too.",
    "I'm quite certain. {said}",
)
_INSISTS = ("No, it's {v}.", "I thought it was {v}.", "Isn't it {v}?", "Not {v}?", "But my friend says {v}.")
_STANDS = (
    "No, {fact}",
    "I can see why, but {fact}",
    "Not {v}: {fact}",
    "Kindly, no: {fact}",
    "It isn't {v}, {fact}",
)
_PARDON = (
    "Sorry, what did you say?",
    "Can you say that again?",
    "pardon?",
    "Come again?",
    "Please repeat that.",
    "I didn't get that.",
    "say that again please",
    "What was that?",
    "one more time?",
)
_WHY = ("Why?", "why", "Why is that?", "How come?", "why's that", "Why so?", "And why?", "What's the reason?")
_MORE = (
    "Tell me more.",
    "tell me more",
    "More, please.",
    "What else do you know about it?",
    "Interesting, go on.",
    "Anything else about that?",
    "And what else?",
    "Cool, more!",
)
_REALLY = (
    "Really?",
    "really??",
    "No way!",
    "Seriously?",
    "Wow, is that so?",
    "You're kidding!",
    "Is that true?",
)
_SHORTER = (
    "Can you say that shorter?",
    "Shorter please.",
    "In a few words?",
    "tl;dr?",
    "That's too long for me.",
    "Could you sum that up?",
    "Make it short.",
    "Say it in one short sentence.",
    "The short version?",
    "Simpler, please.",
)
_LONGER = (
    "Can you explain that more?",
    "A bit longer please.",
    "In more detail?",
    "How exactly?",
    "That's a bit short.",
    "Tell me more about that.",
    "I need more than that.",
    "Could you say that at more length?",
)
_WHAT_NOW = (
    "What should I do about it?",
    "What should I do?",
    "what now?",
    "What can I do?",
    "Any advice?",
    "Any tips?",
    "Do you have an idea?",
    "How do I fix that?",
    "Help!",
    "What would you do?",
    "yes please",
    "What do you suggest?",
    "Please help me.",
    "So what do I do now?",
    "Can you help?",
    "And now?",
    "any ideas how to solve it?",
)
_AND_THEN = (
    "Anything else?",
    "And if that doesn't help?",
    "What else can I do?",
    "and otherwise?",
    "Any other tips?",
    "And if not?",
    "more tips?",
    "another idea?",
    "Is there something else?",
    "What if that doesn't work?",
)
_HEARD = (
    "Oh dear, {what}!",
    "Oh no, {what}!",
    "Oh, {what}. That's a nuisance.",
    "Ah, {what}. Shall I give you a tip?",
    "I see, {what}. Would you like some advice?",
    "Oh, {what}! I may have an idea, if you like.",
    "Hmm, {what}. Let's see what can be done.",
    "Oh dear. Would you like a tip about {what}?",
    "That's annoying! Shall we think about {what} together?",
)
_EASED = (
    ("Thanks, I'll try that.", "Good luck with it!"),
    ("That helped, thank you!", "I'm glad to hear that!"),
    ("ok thanks", "You're welcome. I hope it works!"),
    ("Good idea!", "I hope it helps!"),
    ("I'll do that.", "Great, good luck!"),
    ("You're a lifesaver!", "Happy to help!"),
)
_SUGGEST = (
    "Can you suggest a hobby?",
    "I need a new hobby.",
    "What hobby could I try?",
    "I'm looking for something to do in my free time.",
    "Any idea for a hobby?",
    "I want to learn something new. Any ideas?",
    "Suggest a hobby for me please.",
    "What could I do after work?",
    "I'd like to start something new this year. What do you suggest?",
    "Which hobby would you recommend?",
)
_HOW_ABOUT = (
    "How about {h}? {why}",
    "You could try {h}. {why}",
    "Maybe {h}? {why}",
    "What do you think of {h}? {why}",
    "I'd suggest {h}. {why}",
    "How about {h}?",
)
_TAKEN = (
    "I'd like to try {h}.",
    "I'm thinking about {h}.",
    "I want to take up {h}.",
    "My friend does {h} and I'd like to try it too.",
    "I've always been interested in {h}.",
    "I'm curious about {h}.",
)
_PRAISED = ("Good choice! {why}", "Lovely idea! {why}", "Nice, {h} it is! {why}", "Great! {why}")
_HOW_START = (
    "How do I start?",
    "how do i begin?",
    "Sounds good. How do I start?",
    "What do I do first?",
    "How would I get started?",
    "And how do I begin with that?",
    "What's the first step?",
    "I like that. Where do I start?",
    "ok, how?",
    "What do I need for it?",
)
_OTHER = (
    "Another one.",
    "another one please",
    "Something else?",
    "Not for me. What else?",
    "Hmm, any other idea?",
    "And another?",
    "I don't like that. Something different?",
    "one more",
)
_WHY_IT = ("Why that?", "Why?", "What's good about it?", "Why should I?", "What do I get out of it?")
_NEEDED = (
    "Do I need to {x}?",
    "Should I {x}?",
    "Is it important to {x}?",
    "Must I {x} regularly?",
    "My friend says I should {x}. Is that so?",
    "Does one have to {x}?",
)
_NEED = ("Yes, you should.", "Yes, from time to time.", "Yes, it's worth doing.", "Yes, that's a good habit.")
_HOW_OFTEN = (
    "How often?",
    "how often",
    "And how often?",
    "How many times?",
    "How often exactly?",
    "Every day?",
)
_OFFER = (
    "How about {a} or {b}?",
    "Maybe {a}, or {b}?",
    "I'd say {a} or {b}.",
    "You could choose {a} or {b}.",
)
_FIRST = (
    "The first.",
    "the first one",
    "The first one sounds good.",
    "I like the first one better.",
    "Let's take the first.",
    "The former.",
    "number one please",
    "{x} sounds good.",
    "I'd rather have {x}.",
    "{x}!",
    "I'll go with {x}.",
    "Tell me about the first one.",
)
_SECOND = (
    "The second.",
    "the second one",
    "The second one sounds nicer.",
    "I prefer the second one.",
    "Let's take the second.",
    "The last one.",
    "number two please",
    "{x} sounds good.",
    "I'd rather have {x}.",
    "{x}!",
    "I'll go with {x}.",
    "Tell me about the second one.",
    "The latter.",
)
_AGREED = (
    "{x}, good choice! {how}",
    "Nice! {how}",
    "Then {x} it is. {how}",
    "Good choice: {x}. {how}",
    "{how}",
)
_THE_OTHER = ("And the other one?", "what about the other?", "And the other?", "Hmm, and the other one?")

_QUIZZED = (
    "capital",
    "currency",
    "young",
    "author",
    "inventor",
    "artist",
    "composer",
    "symbol",
    "legs",
    "month",
)
_ASK_ME = (
    "Ask me something!",
    "Quiz me.",
    "Give me a quiz question.",
    "Let's play a quiz. You ask.",
    "Test what I know.",
    "Ask me a question, I'm good at this.",
    "I want a quiz question.",
    "Your turn to ask me something.",
    "Can you quiz me?",
    "I'm bored, ask me a question.",
)
_REPLIES = (
    "{v}",
    "{v}?",
    "Is it {v}?",
    "I think it's {v}.",
    "That's {v}.",
    "{v}, I guess.",
    "Easy, {v}!",
    "Hmm, {v}",
)
_NO_IDEA = ("I don't know.", "no idea", "Tell me!", "I give up.", "Hmm, I can't think of it.", "What is it?")
_HIT = (
    "That's right! {fact}",
    "Correct! {fact}",
    "Well done, {v} is right!",
    "Yes! {fact}",
    "Exactly. {fact}",
)
_MISSED = ("Not quite. {fact}", "No, sorry. {fact}", "Nearly, but no. {fact}", "Good try, but no: {fact}")
_TOLD = ("{fact}", "No problem. {fact}", "Here it is: {fact}", "It's a hard one. {fact}")
_ONE_MORE = ("Another one!", "one more", "Next question!", "Ask me another.", "again!")


def _facts_on(rng: Random, name: str) -> list[Exchange]:
    """The same question about other things."""
    title = pick(rng, list(_LINKED))
    relation = facts.relations()[title]
    said: list[Exchange] = []
    for record in some(rng, relation.records, pick(rng, (2, 2, 2, 3, 3, 4))):
        subject = pick(rng, record.subjects)
        if said:
            shown = a_or_an(subject) if title in _BARE else subject
            asked = casual(rng, capital(pick(rng, _LINKED[title]).format(s=shown)))
        else:
            asked = ask(rng, facts.fill(pick(rng, relation.asked), subject, record.value), name)
        said.append((asked, facts.stated(rng, relation, subject, record.value)))
    return said


def _about_there(rng: Random, name: str) -> list[Exchange]:
    """Several questions about one country, named once."""
    country = pick(rng, pick(rng, facts.relations()["language"].records).subjects)
    known = [(title, value) for title in _COUNTRIES if (value := _value(title, country)) is not None]
    said: list[Exchange] = []
    for title, value in some(rng, known, min(len(known), rng.randint(2, 3))):
        relation = facts.relations()[title]
        asked = pick(rng, _THERE[title]) if said else facts.fill(pick(rng, relation.asked), country, value)
        put = casual(rng, asked) if said else ask(rng, asked, name)
        said.append((put, facts.stated(rng, relation, country, value)))
    return said


def _value(title: str, subject: str) -> str | None:
    records = facts.relations()[title].records
    return next((record.value for record in records if subject in record.subjects), None)


def _opposites_on(rng: Random, name: str) -> list[Exchange]:
    said: list[Exchange] = []
    for word, other in words.opposites(rng, rng.randint(2, 4)):
        forms = ("And of {w}?", "and the opposite of {w}?", "And {w}?", "what about {w}?", "of {w}?")
        if said:
            asked = casual(rng, pick(rng, forms).format(w=word), (word,))
        else:
            asked = ask(rng, f"What's the opposite of {word}?", name, (word,))
        said.append((asked, words.said_opposite(rng, word, other)))
    return said


def _translations_on(rng: Random, name: str) -> list[Exchange]:
    """The word in other languages, or other words in that language."""
    word, foreign = words.translations(rng)
    language = pick(rng, words.LANGUAGES)
    asked = pick(
        rng, ("How do you say {w} in {l}?", "What's {w} in {l}?", "{w} in {l}?", "Translate {w} into {l}.")
    )
    said = [
        (
            ask(rng, asked.format(w=word, l=language), name, (word,)),
            words.said_translation(rng, word, language, foreign[language]),
        )
    ]
    told = {language}
    for _ in range(rng.randint(1, 2)):
        left = [other for other in words.LANGUAGES if other not in told]
        if left and chance(rng, 0.5):
            language = pick(rng, left)
            onward = pick(rng, ("And in {l}?", "and in {l}?", "what about {l}?", "In {l}?", "How about {l}?"))
        else:
            word, foreign = words.translations(rng)
            told = set()
            onward = pick(rng, ("And {w}?", "what about {w}?", "And how do you say {w}?", "and {w}?"))
        told.add(language)
        onward = casual(rng, onward.format(w=word, l=language), (word,))
        said.append((onward, words.said_translation(rng, word, language, foreign[language])))
    return said


def _sums_on(rng: Random, name: str) -> list[Exchange]:
    return sums.chained(rng, name)


def _trouble(rng: Random, name: str) -> list[Exchange]:
    told, what, advice, more = split(pick(rng, sections("followups")["troubles"]))
    told = pick(rng, split(told, "/"))
    if chance(rng, 0.25):
        said = [(tell(rng, f"{told} {pick(rng, _WHAT_NOW[:6])}", name), advice)]
    else:
        said = [
            (tell(rng, told, name), answer(rng, _HEARD).format(what=what)),
            (_typed(rng, _WHAT_NOW), advice),
        ]
    if chance(rng, 0.55):
        said.append((_typed(rng, _AND_THEN), more))
    if chance(rng, 0.25):
        thanks, reply = pick(rng, _EASED)
        said.append((casual(rng, thanks), reply))
    return said


def _typed(rng: Random, options: tuple[str, ...]) -> str:
    return casual(rng, capital(pick(rng, options)))


def _hobby(rng: Random, name: str) -> list[Exchange]:
    """One that is suggested or named, perhaps a second, and how to start."""
    held = [split(line) for line in some(rng, sections("followups")["hobbies"], 2)]
    hobby, start, why = held[0]
    if chance(rng, 0.4):
        said = [
            (tell(rng, pick(rng, _TAKEN).format(h=hobby), name), pick(rng, _PRAISED).format(h=hobby, why=why))
        ]
    else:
        offered = pick(rng, _HOW_ABOUT)
        said = [(tell(rng, pick(rng, _SUGGEST), name), offered.format(h=hobby, why=why))]
        if chance(rng, 0.3):
            hobby, start, why = held[1]
            offered = pick(rng, _HOW_ABOUT)
            said.append((_typed(rng, _OTHER), offered.format(h=hobby, why=why)))
        if "{why}" not in offered and chance(rng, 0.6):
            said.append((_typed(rng, _WHY_IT), why))
    said.append((_typed(rng, _HOW_START), start))
    return said


def _care(rng: Random, name: str) -> list[Exchange]:
    what, often, why = split(pick(rng, sections("followups")["care"]))
    said = [
        (tell(rng, pick(rng, _NEEDED).format(x=what), name), pick(rng, _NEED)),
        (_typed(rng, _HOW_OFTEN), often),
    ]
    if chance(rng, 0.5):
        said.append((_typed(rng, _WHY), why))
    return said


def _choice(rng: Random, name: str) -> list[Exchange]:
    asked, *both = split(pick(rng, sections("followups")["choices"]))
    options = [(both[0], both[1]), (both[2], both[3])]
    if chance(rng, 0.5):
        options.reverse()
    offer = pick(rng, _OFFER).format(a=options[0][0], b=options[1][0])
    at = rng.randrange(2)
    chosen, how = options[at]
    taken = casual(rng, capital(pick(rng, (_FIRST, _SECOND)[at]).format(x=chosen)))
    said = [(tell(rng, asked, name), offer), (taken, capital(pick(rng, _AGREED).format(x=chosen, how=how)))]
    if chance(rng, 0.25):
        said.append((_typed(rng, _THE_OTHER), options[1 - at][1]))
    return said


def _length(rng: Random, name: str) -> list[Exchange]:
    asked, full, short = split(pick(rng, sections("followups")["shorter"]))
    if chance(rng, 0.6):
        return [(ask(rng, asked, name), full), (_typed(rng, _SHORTER), short)]
    return [(ask(rng, asked, name), short), (_typed(rng, _LONGER), full)]


def _onward(rng: Random, name: str) -> list[Exchange]:
    """Why, more and really, in any order."""
    asked, told, why, more = split(pick(rng, sections("followups")["more"]))
    said = [(ask(rng, asked, name), told)]
    if chance(rng, 0.3):
        surely = pick(rng, ("Yes, really! {m}", "Really! {m}", "It's true. {m}")).format(m=more)
        return [*said, (_typed(rng, _REALLY), surely)]
    rest = [(_typed(rng, _WHY), why), (_typed(rng, _MORE), more)]
    return [*said, *some(rng, rest, rng.randint(1, 2))]


def _sure(rng: Random, name: str) -> list[Exchange]:
    """The bot keeps to what is so, kindly."""
    asked, told = sums.plain(rng, name) if chance(rng, 0.3) else facts.any_exchange(rng, name)
    if chance(rng, 0.6):
        return [(asked, told), (_typed(rng, _SURE), pick(rng, _HOLDS).format(said=told))]
    titles = [title for title, relation in facts.relations().items() if relation.doubted and title in _LINKED]
    relation = facts.relations()[pick(rng, titles)]
    record, other = some(rng, relation.records, 2)
    subject = record.subjects[0]
    told = facts.stated(rng, relation, subject, record.value)
    said = [(ask(rng, facts.fill(pick(rng, relation.asked), subject, record.value), name), told)]
    if other.value == record.value:
        return [*said, (_typed(rng, _SURE), pick(rng, _HOLDS).format(said=told))]
    fact = facts.fill(pick(rng, relation.stated), subject, record.value)
    doubt = casual(rng, pick(rng, _INSISTS).format(v=other.value))
    return [*said, (doubt, pick(rng, _STANDS).format(v=other.value, fact=fact))]


def _pardon(rng: Random, name: str) -> list[Exchange]:
    asked, told = facts.any_exchange(rng, name)
    again = pick(rng, ("{said}", "I said: {said}", "Of course. {said}", "Sure: {said}", "Gladly. {said}"))
    return [(asked, told), (_typed(rng, _PARDON), again.format(said=told))]


def _quiz(rng: Random, name: str) -> list[Exchange]:
    """The bot asks, the person answers, and the bot says whether it is so."""
    asked = tell(rng, pick(rng, _ASK_ME), name)
    said: list[Exchange] = []
    for place in range(rng.randint(1, 2)):
        if place:
            asked = _typed(rng, _ONE_MORE)
        question, right, wrong, fact = _question(rng)
        said.append((asked, capital(question)))
        guessed = pick(rng, (right, right, wrong, None))
        if guessed is None:
            said.append((_typed(rng, _NO_IDEA), pick(rng, _TOLD).format(fact=fact)))
        else:
            verdict = pick(rng, _HIT if guessed == right else _MISSED).format(v=right, fact=fact)
            said.append((casual(rng, pick(rng, _REPLIES).format(v=guessed)), verdict))
    return said


def _question(rng: Random) -> tuple[str, str, str, str]:
    """What the bot asks, the answer, another one, and the fact."""
    if chance(rng, 0.2):
        a, b = rng.randint(2, 12), rng.randint(2, 12)
        operation, sign = pick(rng, ((sums.PLUS, "+"), (sums.TIMES, "x")))
        right = sums.result(operation, a, b)
        wrong = right + pick(rng, (-2, -1, 1, 2, 10))
        return f"What is {a} {sign} {b}?", str(right), str(wrong), f"{a} {sign} {b} = {right}."
    relation = facts.relations()[pick(rng, _QUIZZED)]
    record, other = some(rng, relation.records, 2)
    fact = capital(facts.fill(pick(rng, relation.stated), record.subjects[0], record.value))
    question = facts.fill(relation.asked[0], record.subjects[0], record.value)
    return question, record.value, other.value, fact


_KINDS: tuple[tuple[Callable[[Random, str], list[Exchange]], int], ...] = (
    (_facts_on, 24),
    (_about_there, 6),
    (_opposites_on, 5),
    (_translations_on, 6),
    (_sums_on, 5),
    (_trouble, 20),
    (_hobby, 8),
    (_care, 6),
    (_choice, 8),
    (_length, 4),
    (_onward, 6),
    (_sure, 8),
    (_pardon, 3),
    (_quiz, 7),
)


def talk(rng: Random) -> Talk:
    name = bot_name(rng)
    kinds, weights = zip(*_KINDS, strict=True)
    kind: Callable[[Random, str], list[Exchange]] = rng.choices(kinds, weights)[0]
    return chat(rng, kind(rng, name), name)
