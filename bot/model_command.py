"""`chorus model`: the model workshop (prepare, train, eval, sample, export) at the terminal, beside the
commands that choose a model.

Knows nothing of how a model is made; it shows how far that is. What a step needs is imported when it runs.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from bot.choose_command import choose_cli

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inference.training.corpus import Progress
    from inference.training.evaluate import Report
    from inference.training.prepare import Workshop
    from inference.training.recipe import Recipe
    from inference.training.train import Step

model_cli = typer.Typer(help="The language model: choose one, or make one.", no_args_is_help=True)
model_cli.add_typer(choose_cli)

USAGE_ERROR = 2
FAILURE = 1
INTERRUPTED = 130
CURVE_WIDTH, CURVE_HEIGHT = 72, 12  # characters
RECENT = 50  # steps that the speed is taken from
REFRESH = 4  # times a second

RecipeName = Annotated[str, typer.Argument(help="A TOML file, or the name of a recipe that ships.")]
Work = Annotated[
    Path | None,
    typer.Option(help="The workshop's folder; by default one in Chorus' data, by the recipe's name."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, or what else torch calls it.")]
ModelName = Annotated[str, typer.Argument(help="`embedded`, a folder, or a Hugging Face hub id.")]


@model_cli.command()
def prepare(
    recipe: RecipeName,
    data: Annotated[Path, typer.Option(help="The folder of the texts that the recipe names.")] = Path(),
    work: Work = None,
) -> None:
    """Learn the tokenizer from the texts, and make token shards of them. What is made already is left."""
    with _failures():
        from inference.training.prepare import prepare as make
        from inference.training.recipe import load_recipe

        said = load_recipe(recipe)
        workshop = _workshop(said, work)
        with _bars() as progress:
            indexes = make(said, data, workshop, progress)
    rows = [
        (name, f"{index.documents:,}", f"{index.tokens:,}", f"{index.counted:,}", f"{index.left_out:,}")
        for name, index in indexes.items()
    ]
    _table(
        ("Corpus", "Documents", "Tokens", "The assistant's, or a text's", "Exchanges too long"),
        rows,
        f"{said.name}: prepared in {workshop.folder}",
    )


@model_cli.command()
def train(
    recipe: RecipeName,
    work: Work = None,
    device: Device = "auto",
    fresh: Annotated[bool, typer.Option(help="Forget earlier checkpoints and begin anew.")] = False,
) -> None:
    """Train as the recipe says, from the newest checkpoint if there is one. Ctrl-C keeps what was done."""
    with _failures():
        from inference.training import curve
        from inference.training.recipe import load_recipe
        from inference.training.train import read_losses
        from inference.training.train import train as make

        said = load_recipe(recipe)
        workshop = _workshop(said, work)
        before = [] if fresh else read_losses(workshop.losses)
        with _told_to_stop() as stop, _curve(said.name, said.steps, before) as watch:
            trained = make(said, workshop, watch, device=device, fresh=fresh, stop=stop)
        drawn = curve.picture(trained.losses, said.name, workshop.picture)
    if not trained.finished:
        typer.echo(f"Stopped after step {trained.step} of {said.steps}; the same command goes on from there.")
        raise typer.Exit(INTERRUPTED)
    typer.echo(f"{trained.parameters:,} parameters, trained for {said.steps} steps: {workshop.model}")
    typer.echo(
        f"The loss is drawn in {workshop.picture}" if drawn else "Without matplotlib nothing is drawn."
    )


@model_cli.command("eval")
def evaluate(
    model: ModelName,
    file: Annotated[Path, typer.Argument(help="Held-out texts or chats: .jsonl or .txt, or with .xz.")],
    batch: Annotated[int, typer.Option(min=1, help="Sequences computed at a time.")] = 8,
    candidates: Annotated[
        int,
        typer.Option(min=1, help="Turns that the next one is to be told from, itself among them; 1: skip."),
    ] = 4,
    window: Annotated[int, typer.Option(min=16, help="Tokens that are seen at a time at most.")] = 1024,
    device: Device = "auto",
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option(help="The weights' precision.")
    ] = "float32",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
) -> None:
    """Judge a model by held-out texts: perplexity, bits a byte, next-turn accuracy."""
    with _failures():
        from inference.training.corpus import read
        from inference.training.evaluate import evaluate as judge_all
        from inference.training.judge import Judge

        judge = Judge(model, device=device, dtype=dtype, window=window)
        with _bars() as progress:
            report = judge_all(judge, read([file], progress), batch=batch, candidates=candidates)
    if as_json:
        typer.echo(json.dumps({"model": model, "file": str(file), **asdict(report)}))
    else:
        _table(("Measured", ""), _figures(report), f"{model} on {file.name}")


@model_cli.command()
def sample(
    model: ModelName,
    message: Annotated[str | None, typer.Option(help="What the model is asked.")] = None,
    text: Annotated[str | None, typer.Option(help="A text to go on with, instead of a question.")] = None,
    system: Annotated[str | None, typer.Option(help="A system message before the question.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many answers.")] = 3,
    tokens: Annotated[int, typer.Option(min=1, help="Of an answer at most.")] = 80,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="0 is the likeliest answer; by default the model's own.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answers.")] = 0,
    device: Device = "auto",
) -> None:
    """Let a model say something."""
    if (message is None) == (text is None):
        _fail("give either --message or --text", USAGE_ERROR)
    with _failures():
        from inference.training.corpus import Message
        from inference.training.judge import Judge
        from inference.training.sample import answers, continuations

        judge = Judge(model, device=device)
        how: dict[str, Any] = {"count": count, "tokens": tokens, "temperature": temperature, "seed": seed}
        if text is not None:
            said = continuations(judge, text, **how)
        else:
            before = [] if system is None else [Message("system", system)]
            said = answers(judge, [*before, Message("user", message or "")], **how)
        for number, one in enumerate(said, 1):
            typer.echo(f"{number}. {one}")


@model_cli.command()
def export(
    recipe: RecipeName,
    folder: Annotated[Path, typer.Argument(help="Where the model goes; nothing there is overwritten.")],
    work: Work = None,
    dtype: Annotated[
        Literal["bfloat16", "float32", "float16"], typer.Option(help="The weights' precision.")
    ] = "bfloat16",
) -> None:
    """Write the trained model as a folder that transformers, and Chorus, load."""
    with _failures():
        from inference.training.export import export as write
        from inference.training.recipe import load_recipe

        said = load_recipe(recipe)
        write(said, _workshop(said, work), folder, dtype=dtype)
    size = sum(file.stat().st_size for file in folder.iterdir())
    typer.echo(f"{folder} holds the model ({size / 1e6:.1f} MB). Its card, README.md, has places to fill in.")


def _workshop(recipe: Recipe, work: Path | None) -> Workshop:
    from bot.config import data_folder
    from inference.training.prepare import Workshop

    return Workshop(work or data_folder() / "workshop" / recipe.name)


def _figures(report: Report) -> list[tuple[str, str]]:
    found = report.next_turn_accuracy
    return [
        ("Perplexity of a token", f"{report.perplexity:,.3f}"),
        ("Bits a byte", f"{report.bits_per_byte:.4f}"),
        ("Tokens foretold", f"{report.token_accuracy:.1%}"),
        (f"Next turns found, of {report.candidates}", "-" if found is None else f"{found:.1%}"),
        ("  turns tried", f"{report.turns:,}"),
        ("Documents", f"{report.documents:,}"),
        ("Tokens judged", f"{report.tokens:,}"),
        ("Bytes judged", f"{report.bytes:,}"),
        ("Parameters", f"{report.parameters:,}"),
        ("Seconds", f"{report.seconds:,.1f}"),
    ]


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*headings, title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@contextmanager
def _bars() -> Iterator[Progress]:
    """A bar for each thing that is being done, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task("reading", total=None)

        def progress(what: str, done: int, total: int) -> None:
            bars.update(task, description=what, completed=done, total=total)

        yield progress


@contextmanager
def _curve(name: str, steps: int, before: list[float]) -> Iterator[Callable[[Step], None]]:
    """The loss as it falls, on standard error; now and then a line where that is no terminal. `before`: the
    losses of an earlier run, of which some may be taken again."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    losses = list(before)
    recent: deque[Step] = deque(maxlen=RECENT)
    shown = -float("inf")
    taken = 0

    def record(step: Step) -> bool:
        """Whether it is time to show something."""
        nonlocal shown, taken
        taken += 1
        if taken == 2:
            recent.clear()  # the first step compiled, and says nothing of the speed
        del losses[step.step - 1 :]
        losses.append(step.loss)
        recent.append(step)
        now, apart = time.monotonic(), 1 / REFRESH if console.is_terminal else 10.0
        due = step.step == steps or now - shown >= apart
        shown = now if due else shown
        return due

    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield (
                lambda step: live.update(_panel(name, losses, recent), refresh=True) if record(step) else None
            )
    else:
        yield lambda step: console.print(_line(recent), soft_wrap=True) if record(step) else None


def _panel(name: str, losses: list[float], recent: deque[Step]) -> RenderableType:
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    from inference.training import curve

    step = recent[-1]
    bars = curve.lines(losses, CURVE_WIDTH, CURVE_HEIGHT)
    bar = ProgressBar(total=step.steps, completed=step.step, width=CURVE_WIDTH)
    scale = f"{max(losses):.2f} at most, {min(losses):.2f} at least"
    lines = Table.grid()
    for line in ("\n".join(bars), scale, bar, _line(recent)):
        lines.add_row(line)
    return Panel(lines, title=name, expand=False)


def _line(recent: deque[Step]) -> str:
    """How it goes in a line."""
    step = recent[-1]
    seconds = sum(one.seconds for one in recent)
    left = (step.steps - step.step) * seconds / len(recent)
    loss = sum(one.loss for one in recent) / len(recent)
    speed = sum(one.tokens for one in recent) / seconds
    return (
        f"step {step.step:,} of {step.steps:,}, phase {step.phase}, loss {loss:.3f}, rate x{step.share:.2f}, "
        f"{speed:,.0f} tokens/s, {left // 3600:.0f}:{left // 60 % 60:02.0f}:{left % 60:02.0f} left"
    )


@contextmanager
def _told_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed or the process was asked to end; the step is finished first."""
    asked: list[int] = []
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda number, _: asked.append(number)) for kind in kinds]
    try:
        yield lambda: bool(asked)
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


@contextmanager
def _failures() -> Iterator[None]:
    """What can't be done ends the command with a line that says what to do."""
    from inference.errors import ModelNotFound
    from inference.training.errors import RecipeError, TrainingError

    try:
        yield
    except RecipeError as error:
        _fail(str(error), USAGE_ERROR)
    except (TrainingError, ModelNotFound) as error:
        _fail(str(error), FAILURE)
    except OSError as error:
        _fail(f"a file can't be read or written: {error}", FAILURE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"chorus: {message}", err=True)
    raise typer.Exit(code)
