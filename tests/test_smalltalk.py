"""The measure of small talk: that its exchanges are sound, and that it tells a good talker from a parrot."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import Self

import pytest

from benchmarks.smalltalk import (
    Exchange,
    Outcome,
    converse_all,
    failures,
    main,
    read,
    samplings,
    shares,
    system_prompt,
)
from inference import ChatMessage, ContextTooLong, Delta, Finished, FinishReason, Request, Usage

EXCHANGES = read()
ONE_WAY = samplings(greedy=True, rounds=1, max_tokens=10)


class Talker:
    """An engine that answers as it is told, once everybody who may speak has spoken."""

    model = "talker"
    context_length = 1000

    def __init__(self, answer: Callable[[Sequence[ChatMessage]], str], together: int = 1) -> None:
        self._answer = answer
        self._all_here = asyncio.Barrier(together)
        self.heard: list[Sequence[ChatMessage]] = []

    async def generate(self, request: Request) -> AsyncGenerator[Delta | Finished, None]:
        assert request.messages is not None
        self.heard.append(request.messages)
        await self._all_here.wait()
        yield Delta(self._answer(request.messages), (1,))
        yield Finished(FinishReason.STOP, Usage(1, 0, 1, 0.0, 0.0))

    def cancel(self, request_id: str) -> bool:
        return False

    async def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        return len(messages)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def exchange(*say: str) -> Exchange:
    """The one that begins so."""
    return next(one for one in EXCHANGES if one.say[: len(say)] == say)


def test_there_are_enough_of_every_kind() -> None:
    kinds = Counter(one.category for one in EXCHANGES)
    assert len(EXCHANGES) >= 160
    assert len(kinds) == 12
    assert min(kinds.values()) >= 12
    assert len({one.say for one in EXCHANGES}) == len(EXCHANGES)
    assert {len(one.say) for one in EXCHANGES} == {1, 2, 3, 4}


def test_silence_and_stray_marks_never_pass() -> None:
    for one in EXCHANGES:
        assert not one.passes(""), one.say
        assert not one.passes("<|end|>"), one.say


def test_a_good_answer_passes_where_it_belongs_and_hardly_anywhere_else() -> None:
    assert [one.say for one in EXCHANGES if not one.passes(one.good)] == []
    elsewhere = [
        one.passes(other.good) for one in EXCHANGES for other in EXCHANGES if one.category != other.category
    ]
    assert sum(elsewhere) / len(elsewhere) < 0.06


@pytest.mark.parametrize("category", ["facts", "sums", "copying"])
def test_repeating_the_question_is_no_answer(category: str) -> None:
    passing = [one.say for one in EXCHANGES if one.category == category and one.passes(one.say[-1])]
    assert passing in ([], [("Repeat after me: purple hippos dance at dawn.",)])


def test_what_is_to_be_copied_was_said_before() -> None:
    computed = "Two cats live here"  # names that stand in another order elsewhere are fine as well
    for one in EXCHANGES:
        if one.category == "copying" and not one.say[0].startswith(computed):
            said = " ".join(one.say)
            assert any(pattern.search(said) for pattern in one.any), one.say


@pytest.mark.parametrize(
    ("say", "good", "bad"),
    [
        ("How many legs does a spider have got?", "A spider has eight legs.", "Spiders have 6 legs."),
        ("Hey, what is 6 + 9?", "6 + 9 = 15.", "6 + 9 = 10."),
        (
            "I lost my job at the bakery today.",
            "Oh no, I'm sorry.",
            "Congratulations! I'm sorry for you.",
        ),
        ("Is a snail faster than a cheetah?", "No, a cheetah is.", "Yes, by far."),
        ("What did I eat for dinner last night?", "I don't know, you didn't tell me.", "You ate pizza."),
        ("Am I talking to a real person or to a bot here?", "I'm a bot.", "I'm a person, not a bot."),
    ],
)
def test_a_good_answer_passes_and_a_bad_one_does_not(say: str, good: str, bad: str) -> None:
    assert exchange(say).passes(good)
    assert not exchange(say).passes(bad)


async def test_all_talk_at_once_and_each_hears_its_own_conversation() -> None:
    chosen = [one for one in EXCHANGES if one.category == "copying" and len(one.say) == 2]
    talker = Talker(lambda heard: f"I hear {heard[-1].content}", together=len(chosen))
    outcomes = await converse_all(talker, chosen, ONE_WAY)
    assert [outcome.exchange for outcome in outcomes] == chosen
    assert len(talker.heard) == 2 * len(chosen)
    first, second = chosen[0].say
    assert [
        ChatMessage("system", system_prompt()),
        ChatMessage("user", first),
        ChatMessage("assistant", f"I hear {first}"),
        ChatMessage("user", second),
    ] in [list(heard) for heard in talker.heard]


async def test_a_talker_with_a_good_memory_passes_and_the_table_says_so() -> None:
    hamster = exchange("I have a hamster called Pickwick.")
    wool = exchange("Which animal do we get wool from?")
    talker = Talker(lambda heard: "<think>Or sheep?</think>Pickwick’s")
    outcomes = await converse_all(talker, [hamster, wool], ONE_WAY)
    assert [outcome.answers[-1] for outcome in outcomes] == ["Pickwick's"] * 2
    assert shares(outcomes) == {"copying": (1, 1), "facts": (0, 1)}
    told = "\n".join(failures(outcomes))
    assert "Which animal do we get wool from?\n  Pickwick's" in told
    assert "hamster" not in told


async def test_an_exchange_that_outgrows_the_context_has_not_passed() -> None:
    def full(heard: Sequence[ChatMessage]) -> str:
        if len(heard) > 2:
            raise ContextTooLong(513, 512)
        return "Pickwick"

    (outcome,) = await converse_all(Talker(full), [exchange("I have a hamster called Pickwick.")], ONE_WAY)
    assert outcome == Outcome(outcome.exchange, ("Pickwick",))
    assert not outcome.passed
    assert "(context full)" in "\n".join(failures([outcome]))


def test_the_model_that_comes_along_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--category", "greetings", "jokes", "--greedy", "--failures"])
    shown = capsys.readouterr().out
    assert "embedded, greedy" in shown
    assert "over all" in shown
    assert " of 27" in shown
    assert "[greetings]" in shown


def test_a_model_that_is_not_there_is_one_line() -> None:
    with pytest.raises(SystemExit) as end:
        main(["--model", "/nowhere/at/all"])
    assert str(end.value) == "smalltalk: there is no folder /nowhere/at/all"
