"""How good a model is at everyday talk: `make smalltalk`.

    python -m benchmarks.smalltalk [--model NAME_OR_FOLDER] [--greedy | --rounds N] [--failures]

`smalltalk.toml` holds what people say and what a good last answer contains. Each exchange is a conversation
with the bot's default persona; all of them run at once. Patterns can't judge style or truth beyond what they
name: a pass says that the answer was to the point, a failure is worth reading. Knows nothing of training.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bot.config import Settings
from bot.personas import choose
from bot.thinking import apart
from inference import (
    EMBEDDED,
    ChatMessage,
    ContextTooLong,
    Delta,
    Engine,
    ModelNotFound,
    Request,
    SamplingParams,
    open_engine,
)

EXCHANGES = Path(__file__).with_name("smalltalk.toml")
LONGEST_ANSWER = 120  # tokens: everyday talk is brief; a model that thinks first needs more
GOAL, GOAL_EACH = 0.90, 0.75  # shares that shall pass: over all, and in each category


@dataclass(frozen=True, slots=True)
class Exchange:
    """A person's messages, a good last answer, and the patterns that one shall meet: any, and none."""

    category: str
    say: tuple[str, ...]
    good: str
    any: tuple[re.Pattern[str], ...]
    none: tuple[re.Pattern[str], ...]

    def passes(self, answer: str) -> bool:
        return any(one.search(answer) for one in self.any) and not any(
            one.search(answer) for one in self.none
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """An exchange as it went. One that outgrew the model's context has fewer answers than messages."""

    exchange: Exchange
    answers: tuple[str, ...]

    @property
    def passed(self) -> bool:
        complete = len(self.answers) == len(self.exchange.say)
        return complete and self.exchange.passes(self.answers[-1])


def read(file: Path = EXCHANGES) -> list[Exchange]:
    """The exchanges of a file; what its `never` names is added to what each of them rules out."""
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    never = content.get("never", [])
    return [
        Exchange(
            one["category"],
            tuple(one["say"]),
            one["good"],
            _patterns(one["any"]),
            _patterns([*never, *one.get("none", [])]),
        )
        for one in content["exchange"]
    ]


def _patterns(texts: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(text, re.IGNORECASE | re.DOTALL) for text in texts)


def system_prompt() -> str:
    """What the bot tells the model to be where nothing is set."""
    name: str = Settings.model_fields["persona"].default.name
    return choose(None, None).system(name)


async def converse(engine: Engine, exchange: Exchange, sampling: SamplingParams) -> Outcome:
    """Say one message after the other."""
    messages = [ChatMessage("system", system_prompt())]
    answers: list[str] = []
    for said in exchange.say:
        messages.append(ChatMessage("user", said))
        try:
            answers.append(await _answer(engine, messages, sampling))
        except ContextTooLong:
            break
        messages.append(ChatMessage("assistant", answers[-1]))
    return Outcome(exchange, tuple(answers))


async def _answer(engine: Engine, messages: Sequence[ChatMessage], sampling: SamplingParams) -> str:
    """What the model says, without what it thinks; typographic apostrophes as plain ones."""
    request = Request(messages=tuple(messages), sampling=sampling)
    text = "".join([one.text async for one in engine.generate(request) if isinstance(one, Delta)])
    return apart(text).said.strip().replace("’", "'")


async def converse_all(
    engine: Engine, exchanges: Sequence[Exchange], samplings: Sequence[SamplingParams]
) -> list[Outcome]:
    """Every exchange with every way of sampling, all at once."""
    with Progress(transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("talking", total=len(exchanges) * len(samplings))

        async def one(exchange: Exchange, sampling: SamplingParams) -> Outcome:
            outcome = await converse(engine, exchange, sampling)
            bar.advance(task)
            return outcome

        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(one(exchange, sampling)) for sampling in samplings for exchange in exchanges
            ]
    return [finished.result() for finished in tasks]


def shares(outcomes: Sequence[Outcome]) -> Mapping[str, tuple[int, int]]:
    """For each category, how many passed and of how many."""
    counted: dict[str, tuple[int, int]] = {}
    for outcome in outcomes:
        passed, of = counted.get(outcome.exchange.category, (0, 0))
        counted[outcome.exchange.category] = passed + outcome.passed, of + 1
    return counted


def table(title: str, outcomes: Sequence[Outcome]) -> Table:
    """The shares by category and over all; what is below its goal is marked."""
    drawn = Table(title=title, title_justify="left", show_footer=True, box=None, pad_edge=False)
    passed = sum(outcome.passed for outcome in outcomes)
    total = f"{passed / len(outcomes):.1%}" + _below(passed / len(outcomes), GOAL)
    drawn.add_column("Category", footer="over all")
    drawn.add_column("Passed", footer=f"{passed} of {len(outcomes)}", justify="right")
    drawn.add_column("Share", footer=total)
    for category, (passed, of) in shares(outcomes).items():
        drawn.add_row(category, f"{passed} of {of}", f"{passed / of:.1%}" + _below(passed / of, GOAL_EACH))
    return drawn


def _below(share: float, goal: float) -> str:
    return "" if share >= goal else f"  below {goal:.0%}"


def failures(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What was said where it went wrong, as lines."""
    for outcome in outcomes:
        if not outcome.passed:
            yield f"\n[{outcome.exchange.category}]"
            for number, said in enumerate(outcome.exchange.say):
                yield f"  > {said}"
                yield f"  {outcome.answers[number] if number < len(outcome.answers) else '(context full)'}"


def samplings(greedy: bool, rounds: int, max_tokens: int) -> list[SamplingParams]:
    """Greedy once, or the model's own settings with as many seeds as there are rounds."""
    if greedy:
        return [SamplingParams(max_tokens=max_tokens, temperature=0)]
    return [SamplingParams(max_tokens=max_tokens, seed=seed) for seed in range(rounds)]


async def measure(
    model: str, ways: Sequence[SamplingParams], categories: Collection[str] = ()
) -> list[Outcome]:
    """Every exchange of the categories (of all, if none is named) on a model. Raises ModelNotFound."""
    exchanges = [one for one in read() if not categories or one.category in categories]
    async with open_engine(model) as engine:
        return await converse_all(engine, exchanges, ways)


def main(arguments: Sequence[str] | None = None) -> None:
    known = list(dict.fromkeys(one.category for one in read()))
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", default=EMBEDDED, help="embedded, a folder or a hub id")
    parser.add_argument("--greedy", action="store_true", help="the likeliest answer, not a sampled one")
    parser.add_argument("--rounds", type=int, default=3, help="talk so often, each time with another seed")
    parser.add_argument("--max-tokens", type=int, default=LONGEST_ANSWER, help="that an answer may have")
    parser.add_argument("--category", nargs="+", choices=known, default=[], help="only these")
    parser.add_argument("--failures", action="store_true", help="show what was said where it went wrong")
    given = parser.parse_args(arguments)
    if given.rounds < 1 or given.max_tokens < 1:
        parser.error("--rounds and --max-tokens are 1 or more")
    ways = samplings(given.greedy, given.rounds, given.max_tokens)
    try:
        outcomes = asyncio.run(measure(given.model, ways, given.category))
    except ModelNotFound as error:
        sys.exit(f"smalltalk: {error}")
    if given.failures:
        print("\n".join(failures(outcomes)), end="\n\n")
    how = "greedy" if given.greedy else f"sampled, {given.rounds} rounds"
    Console(highlight=False).print(table(f"{given.model}, {how}", outcomes))


if __name__ == "__main__":
    main()
