"""Jokes: told when asked, explained when not understood, guessed at, and heard from the person.

Knows nothing of people beyond what they say here.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import NamedTuple

from inference.training.talks.frame import called, framed
from inference.training.talks.wording import Talk, bot_name, capital, casual, chance, invented, lines, pick


class Joke(NamedTuple):
    topic: str
    question: str
    punch: str
    why: str

    @property
    def explained(self) -> str:
        """Why it is funny, as the beginning of a sentence."""
        return f'"{capital(self.why[1:])}' if self.why.startswith('"') else capital(self.why)

    @property
    def whole(self) -> str:
        return f"{self.question} {self.punch}"


@cache
def jokes() -> tuple[Joke, ...]:
    return tuple(Joke(*line.split(" | ")) for line in lines("jokes"))


@cache
def of_topic(topic: str) -> tuple[Joke, ...]:
    return tuple(joke for joke in jokes() if joke.topic == topic)


_TOPICS = {
    "animals": ("animals", "an animal", "cats and dogs", "birds", "pets", "the zoo"),
    "food": ("food", "cooking", "fruit", "vegetables", "something to eat", "the kitchen"),
    "school": ("school", "teachers", "maths", "homework", "lessons"),
    "computers": ("computers", "programmers", "robots", "technology", "the internet"),
    "space": ("space", "the moon", "planets", "astronauts", "aliens"),
    "weather": ("the weather", "winter", "rain", "clouds", "snow"),
    "sports": ("sports", "football", "running", "sport"),
    "music": ("music", "a band", "instruments", "musicians"),
    "work": ("work", "jobs", "the office", "my job"),
    "home": ("the house", "furniture", "things at home", "home"),
    "travel": ("travelling", "trains and cars", "holidays", "traffic"),
    "sea": ("the sea", "fish", "pirates", "the beach"),
    "plants": ("plants", "trees", "the garden", "flowers"),
    "ghosts": ("ghosts", "Halloween", "vampires", "monsters"),
}
_ASKED = (
    "tell me a joke",
    "tell me a joke, please",
    "can you tell me a joke?",
    "could you tell me a joke?",
    "do you know a joke?",
    "do you know any jokes?",
    "know any good jokes?",
    "make me laugh",
    "make me laugh, please",
    "say something funny",
    "I need a laugh",
    "I need a good laugh today",
    "I could use a joke",
    "I want to hear a joke",
    "got a joke for me?",
    "do you have a joke for me?",
    "let's hear a joke",
    "give me a joke",
    "one joke, please",
    "joke please",
    "joke!",
    "cheer me up with a joke",
    "tell me something funny",
    "I'm bored, tell me a joke",
    "what's your best joke?",
    "a joke would be nice",
    "are you funny? Prove it!",
    "entertain me",
    "can you be funny?",
    "my day was long, please tell me a joke",
    "I have to wait for the bus, do you have a joke?",
    "tell us a joke",
    "hit me with a joke",
    "I'd love to hear a pun",
    "give me a pun",
    "do you know a short joke for kids?",
    "tell me a clean joke that I can tell my kids",
    "I need a joke for a birthday card",
    "I'd like a silly joke",
    "tell me your favourite joke",
    "surprise me with a joke",
)
_ASKED_ABOUT = (
    "tell me a joke about {topic}",
    "do you know a joke about {topic}?",
    "can you tell me a joke about {topic}, please?",
    "got any jokes about {topic}?",
    "a joke about {topic}, please",
    "make a joke about {topic}",
    "I'd like to hear a joke about {topic}",
    "say something funny about {topic}",
    "give me a joke on {topic}",
    "I need a joke about {topic} for a friend",
    "any puns about {topic}?",
    "what's the best joke about {topic}?",
)
_TOLD = (
    "{joke}",
    "{joke}",
    "{joke}",
    "Sure! {joke}",
    "Here is one: {joke}",
    "Of course. {joke}",
    "With pleasure! {joke}",
    "How about this one? {joke}",
    "All right: {joke}",
    "Let me see. {joke}",
)
_TOLD_ABOUT = (
    "{joke}",
    "{joke}",
    "One about {topic}, sure! {joke}",
    "Here is a joke about {topic}: {joke}",
    "About {topic}? {joke}",
)
_MORE = (
    "another one",
    "another one, please",
    "one more",
    "one more please!",
    "again!",
    "more!",
    "tell me another",
    "tell me another one",
    "do you know another joke?",
    "haha, another!",
    "got a better one?",
    "a different one, please",
    "next one",
    "I've heard that one before",
    "that one was old, got a new one?",
    "lol one more",
)
_MORE_TOLD = (
    "{joke}",
    "{joke}",
    "Here's another: {joke}",
    "Sure, one more. {joke}",
    "Next one! {joke}",
    "And this: {joke}",
)
_LIKED = (
    "haha",
    "hahaha",
    "lol",
    "that was good",
    "good one!",
    "that's funny",
    "haha, I love it",
    "you're funny",
    "that made me laugh",
    "I have to tell that to my friends",
    "lmao",
    "hehe, not bad",
    "ha, nice",
    "you made my day",
    "rofl",
)
_LIKED_BACK = (
    "I'm glad you liked it!",
    "Thank you! Want another one?",
    "Happy to make you laugh!",
    "I'm here all week.",
    "Great! There is more where that came from.",
    "A laugh is the best thanks. Shall I tell another?",
    "Glad it worked!",
    "Thanks! Feel free to pass it on.",
)
_DISLIKED = (
    "that's terrible",
    "that was bad",
    "not funny",
    "that's not funny",
    "boo",
    "ugh",
    "that was lame",
    "worst joke ever",
    "oh no, that's awful",
    "meh",
    "groan",
    "I didn't laugh",
    "that's such a dad joke",
)
_DISLIKED_BACK = (
    "Fair enough! Shall I try another one?",
    "Tough crowd! I can try again if you like.",
    "Sorry! My jokes are small, like me. Another try?",
    "I see. The next one may be better!",
    "Ouch! But a groan is nearly a laugh.",
    "All right, I won't give up. Want another?",
)
_LOST = (
    "I don't get it",
    "I don't understand",
    "what's funny about that?",
    "why is that funny?",
    "can you explain it?",
    "explain please",
    "huh?",
    "I don't get the joke",
    "what does that mean?",
    "and where is the joke?",
    "can you explain the joke?",
    "sorry, I didn't get that one",
    "??",
)
_EXPLAINED = (
    "It's a play on words: {why}.",
    "{Why}. That's the whole trick!",
    "The joke is that {why}.",
    "Let me explain: {why}.",
    "{Why}.",
    "Well, {why}. A joke loses a bit when explained!",
)
_UNDERSTOOD = (
    "ah, now I get it!",
    "oh, I see!",
    "okay, that's clever",
    "haha, now I get it",
    "oh! haha",
    "ah ok",
)
_UNDERSTOOD_BACK = (
    "Better late than never!",
    "There we are!",
    "I'm glad it's clear now.",
    "Good! Puns take a moment sometimes.",
)
_RIDDLE = (
    "tell me a riddle",
    "do you know a riddle?",
    "ask me a riddle",
    "give me a riddle",
    "I want to guess something, ask me a riddle",
    "can you ask me a funny riddle?",
    "let's play a guessing game",
    "tell me a joke and let me guess the end",
    "ask me a joke question",
    "I like riddles, do you have one?",
)
_GIVEN_UP = (
    "I don't know",
    "no idea",
    "I give up",
    "tell me",
    "what's the answer?",
    "hmm, I don't know",
    "dunno",
    "idk",
    "no clue, tell me!",
    "I have no idea",
    "you tell me",
    "pass",
)
_REVEALED = ("{punch}", "{punch}", "The answer: {punch}", "Ready? {punch}", "{punch} Did you see it coming?")
_WRONG_WHY = (
    "because it was tired?",
    "because it was hungry?",
    "because someone told it to?",
    "because it was late?",
    "because it was cold?",
    "because it wanted to?",
    "because it was lost?",
    "because it had no money?",
)
_WRONG_WHAT = (
    "a banana?",
    "something with cheese?",
    "a shoe?",
    "nothing?",
    "the moon?",
    "a teapot?",
    "my uncle?",
    "a hat?",
)
_WRONG_BACK = (
    "Good guess, but no. {punch}",
    "Not quite! {punch}",
    "Nice try! The answer: {punch}",
    "Ha, that would work too, but: {punch}",
)
_RIGHT_BACK = (
    "Exactly! You're good at this.",
    "Yes! You got it.",
    "That's it! Well done.",
    "Right! Did you know that one?",
)
_OWN_JOKE = (
    "I have a joke for you",
    "want to hear a joke?",
    "can I tell you a joke?",
    "let me tell you a joke",
    "now it's my turn to tell a joke",
    "I know a joke",
)
_GO_ON = (
    "Yes, please!",
    "I'm all ears, so to speak.",
    "Go ahead!",
    "Sure, let's hear it!",
    "I'd love to hear it.",
    "Please do!",
)
_HEARD = (
    "Haha, that's a good one!",
    "Ha! I like that one.",
    "Very funny! I'll remember that for this chat.",
    "Haha! {punch_echo} I didn't see that coming.",
    "That's lovely. Do you have another?",
    "Ha, well told!",
)
_KNOCKS = ("Knock knock", "Knock, knock!", "Knock knock!", "*knock knock*")
_VISITORS = (
    ("Lettuce", "Lettuce in, it's cold out here!"),
    ("Olive", "Olive you and I miss you!"),
    ("Justin", "Justin time for dinner!"),
    ("Ken", "Ken I come in, please?"),
    ("Harry", "Harry up and open the door!"),
    ("Tank", "You're welcome!"),
    ("Boo", "Don't cry, it's only a joke!"),
    ("Cash", "No thanks, I prefer peanuts!"),
    ("Alpaca", "Alpaca the suitcase, you load the car!"),
    ("Ice cream", "Ice cream every time I see a ghost!"),
    ("Nana", "Nana your business!"),
    ("Wooden shoe", "Wooden shoe like to hear another joke?"),
    ("Annie", "Annie body home?"),
    ("Luke", "Luke through the keyhole and see!"),
    ("Dozen", "Dozen anybody want to let me in?"),
    ("Water", "Water you doing in there?"),
    ("Theodore", "Theodore is stuck, open it!"),
    ("Figs", "Figs the doorbell, it's broken!"),
    ("Orange", "Orange you going to open the door?"),
    ("Isabel", "Isabel not working?"),
    ("Howard", "Howard I know?"),
    ("Ben", "Ben knocking for ten minutes!"),
    ("Owls", "Yes, they do!"),
    ("Snow", "Snow use, I forgot my key!"),
    ("Butter", "Butter open quickly, it's raining!"),
    ("Anita", "Anita drink of water!"),
    ("Wendy", "Wendy wind blows, the door shuts!"),
)
_KNOCK_HEARD = (
    "Haha, very good!",
    "Ha! Come on in.",
    "That's a lovely one. Come in!",
    "Haha! Got another?",
    "Ha, you got me there!",
)


def told(rng: Random) -> str:
    """Any joke, whole."""
    return pick(rng, jokes()).whole


def talk(rng: Random) -> Talk:
    name = bot_name(rng)
    draw = rng.random()
    if draw < 0.6:
        turns = _asked_for(rng, name)
    elif draw < 0.8:
        turns = _riddle(rng, name)
    elif draw < 0.9:
        turns = _from_the_person(rng, name)
    else:
        turns = _knock(rng)
    return framed(rng, turns, name)


def _say(rng: Random, text: str) -> tuple[str, str]:
    return "user", casual(rng, capital(text))


def _answer(text: str) -> tuple[str, str]:
    return "assistant", text


def _asked_for(rng: Random, name: str) -> Talk:
    if chance(rng, 0.5):
        topic = pick(rng, list(_TOPICS))
        word, joke = pick(rng, _TOPICS[topic]), pick(rng, of_topic(topic))
        question = pick(rng, _ASKED_ABOUT).format(topic=word)
        answer = pick(rng, _TOLD_ABOUT).format(topic=word, joke=joke.whole)
    else:
        joke = pick(rng, jokes())
        question, answer = pick(rng, _ASKED), pick(rng, _TOLD).format(joke=joke.whole)
    turns = [("user", casual(rng, called(rng, question, name))), _answer(answer)]
    for _ in range(rng.randrange(3)):
        more, joke = _reaction(rng, joke)
        turns += more
    return turns


def _reaction(rng: Random, joke: Joke) -> tuple[Talk, Joke]:
    """What the person says to the joke, and the joke that was told last."""
    draw = rng.random()
    if draw < 0.35:
        following = pick(rng, jokes() if chance(rng, 0.5) else of_topic(joke.topic))
        if following == joke:
            following = pick(rng, jokes())
        told = pick(rng, _MORE_TOLD).format(joke=following.whole)
        return [_say(rng, pick(rng, _MORE)), _answer(told)], following
    if draw < 0.6:
        explained = pick(rng, _EXPLAINED).format(why=joke.why, Why=joke.explained)
        turns = [_say(rng, pick(rng, _LOST)), _answer(explained)]
        if chance(rng, 0.4):
            turns += [_say(rng, pick(rng, _UNDERSTOOD)), _answer(pick(rng, _UNDERSTOOD_BACK))]
        return turns, joke
    if draw < 0.85:
        return [_say(rng, pick(rng, _LIKED)), _answer(pick(rng, _LIKED_BACK))], joke
    return [_say(rng, pick(rng, _DISLIKED)), _answer(pick(rng, _DISLIKED_BACK))], joke


def _riddle(rng: Random, name: str) -> Talk:
    joke = pick(rng, jokes())
    turns = [("user", casual(rng, called(rng, pick(rng, _RIDDLE), name))), _answer(joke.question)]
    draw = rng.random()
    if draw < 0.55:
        turns += [_say(rng, pick(rng, _GIVEN_UP)), _answer(pick(rng, _REVEALED).format(punch=joke.punch))]
    elif draw < 0.8:
        wrong = pick(rng, _WRONG_WHY if joke.question.startswith("Why") else _WRONG_WHAT)
        turns += [_say(rng, wrong), _answer(pick(rng, _WRONG_BACK).format(punch=joke.punch))]
    else:
        turns += [_say(rng, joke.punch), _answer(pick(rng, _RIGHT_BACK))]
    if chance(rng, 0.3):
        turns += _reaction(rng, joke)[0]
    return turns


def _from_the_person(rng: Random, name: str) -> Talk:
    joke = pick(rng, jokes())
    turns: Talk = []
    if chance(rng, 0.6):
        turns = [("user", casual(rng, called(rng, pick(rng, _OWN_JOKE), name))), _answer(pick(rng, _GO_ON))]
    asks = joke.question.split(" ", 1)[0].strip(",").lower()
    back = pick(
        rng, (f"I don't know, {asks}?", f"No idea. {capital(asks)}?", f"Hmm, {asks}? Tell me!", "Tell me!")
    )
    heard = pick(rng, _HEARD).format(punch_echo=joke.punch)
    return [*turns, _say(rng, joke.question), _answer(back), _say(rng, joke.punch), _answer(heard)]


def _knock(rng: Random) -> Talk:
    who, end = pick(rng, _VISITORS)
    if chance(rng, 0.4):  # whoever it is, the question is the same
        who = invented(rng)
        end = pick(
            rng, (f"{who} from next door, let me in!", f"{who} who has come to say hello!", "Just me!")
        )
    visitor = casual(rng, who)
    return [
        ("user", pick(rng, _KNOCKS)),
        _answer("Who's there?"),
        ("user", visitor),
        _answer(f"{who} who?"),
        ("user", casual(rng, end)),
        _answer(pick(rng, _KNOCK_HEARD)),
    ]
