"""The command line. Imports nothing heavy before a command needs it, so that --help is quick."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from bot.model_command import model_cli

if TYPE_CHECKING:
    from adapters.base import Adapter
    from adapters.console import ConsoleAdapter
    from bot.config import Settings
    from inference import Engine

log = logging.getLogger(__name__)

cli = typer.Typer(
    name="chorus",
    help="A chat bot for Discord and Telegram that runs its own language model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
database_cli = typer.Typer(help="The database in which Chorus remembers.", no_args_is_help=True)
cli.add_typer(database_cli, name="db")
cli.add_typer(model_cli, name="model")

USAGE_ERROR = 2
FAILURE = 1

NO_PLATFORM = """\
No platform is set up yet, so let's talk here. To bring me to others, set one or both and run me again:
  Discord   CHORUS_DISCORD__TOKEN    from https://discord.com/developers/applications
  Telegram  CHORUS_TELEGRAM__TOKEN   from @BotFather
The README tells each step. /help lists what I can do; end of input (Ctrl-D) ends.
"""


PAIRING = """\
I have no owner yet, or not on every platform. To become it, send me this code in a private chat: {code}
"""


def main() -> None:
    """The entry point of the `chorus` command."""
    cli()


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"chorus {version('chorus')}")
        raise typer.Exit


@cli.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_version),
    ] = False,
) -> None:
    """Options that stand before any command."""


@cli.command()
def run() -> None:
    """Serve every platform that is set up; with none, open a conversation here."""
    from adapters.errors import Misconfigured

    settings = _settings({})
    try:
        adapters = _platforms(settings)
    except Misconfigured as error:
        _fail(str(error), USAGE_ERROR)
    if adapters:
        _serve(settings, adapters, terminal_log=True)
    else:
        typer.echo(NO_PLATFORM, err=True)
        _converse(settings, _console(settings))


@cli.command()
def chat(
    message: Annotated[str | None, typer.Option(help="Answer this once and exit.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line for each answer.")
    ] = False,
    system: Annotated[str | None, typer.Option(help="A system prompt for this conversation.")] = None,
    model: Annotated[str | None, typer.Option(help="A folder or hub id instead of the set model.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, help="0 is the likeliest answer.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same answers.")] = None,
) -> None:
    """Talk to Chorus in this terminal. Piped input is one question a line of one conversation."""
    wanted: dict[str, dict[str, Any]] = {
        "model": {"name": model, "temperature": temperature, "seed": seed},
        "persona": {"prompt": system},
    }
    settings = _settings(
        {
            section: given
            for section, values in wanted.items()
            if (given := {key: value for key, value in values.items() if value is not None})
        }
    )
    _converse(settings, _console(settings, message=message, as_json=json))


@cli.command()
def bench(
    shape: Annotated[str, typer.Option(help="smol, qwen, or the folder of a model.")] = "smol",
    precision: Annotated[Literal["f32", "bf16", "int8"], typer.Option(help="Of the weights.")] = "bf16",
    conversations: Annotated[int, typer.Option(min=1, help="How many at once.")] = 4,
    turns: Annotated[int, typer.Option(min=1, help="Questions in each conversation.")] = 4,
    question: Annotated[int, typer.Option(min=1, help="Tokens of a question.")] = 30,
    answer: Annotated[int, typer.Option(min=1, help="Tokens of an answer.")] = 64,
    system: Annotated[int, typer.Option(min=1, help="Tokens of the system prompt that all share.")] = 200,
    history: Annotated[int, typer.Option(min=0, help="Tokens said before, cached already.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Measure how fast this machine answers, with random weights and random questions."""
    from bot.bench_command import run_bench
    from inference import ModelNotFound

    try:
        run_bench(
            shape,
            precision,
            conversations=conversations,
            turns=turns,
            question=question,
            answer=answer,
            system=system,
            history=history,
            as_json=json,
        )
    except (ModelNotFound, ValueError) as error:
        _fail(str(error), FAILURE)


@database_cli.command()
def upgrade() -> None:
    """Bring the database to the newest schema. `chorus run` does this by itself."""
    from bot.store.errors import DatabaseError
    from bot.store.session import Database

    settings = _settings({})

    async def work() -> None:
        async with Database(settings.database.url):
            pass

    try:
        asyncio.run(work())
    except DatabaseError as error:
        _fail(str(error), FAILURE)
    typer.echo("The database is up to date.")


@database_cli.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where the copy goes; nothing there is overwritten.")],
) -> None:
    """Copy the database as it is at this moment, also while Chorus runs."""
    import sqlite3

    from rich.progress import Progress

    from bot.store import upkeep

    source = _database_file()
    if file.exists():
        _fail(f"{file} exists already; name another file or move that one away", USAGE_ERROR)
    try:
        with Progress(transient=True) as bar:
            task = bar.add_task("copying", total=None)
            upkeep.backup(source, file, lambda done, pages: bar.update(task, completed=done, total=pages))
    except (sqlite3.Error, OSError) as error:
        _fail(f"the copy could not be made: {error}; check that there is room at {file}", FAILURE)
    typer.echo(f"The database is copied to {file} ({file.stat().st_size / 2**20:.1f} MiB).")


@database_cli.command()
def check() -> None:
    """Verify the database: the file itself, its schema, and that its rows fit together."""
    import sqlite3

    from bot.store import upkeep

    file = _database_file()
    try:
        wrong = list(upkeep.check(file))
    except sqlite3.Error as error:
        wrong = [f"the file can't be read: {error}"]
    for line in wrong:
        typer.echo(line)
    if wrong:
        _fail(f"{file} is not well; `chorus db backup` and a copy from better days may help", FAILURE)
    typer.echo(f"{file} is well.")


def _database_file() -> Path:
    """The database's file; says so and ends where there is none."""
    from bot.store.errors import DatabaseError
    from bot.store.session import Database

    try:
        file = Database(_settings({}).database.url).file
    except DatabaseError as error:
        _fail(str(error), USAGE_ERROR)
    if file is None:
        _fail("this is for SQLite files; the database that is set is none", USAGE_ERROR)
    if not file.is_file():
        _fail(f"there is no database at {file} yet; `chorus run` makes one", FAILURE)
    return file


def _settings(overrides: dict[str, Any]) -> Settings:
    from bot.config import ConfigError, load_settings

    try:
        return load_settings(overrides)
    except ConfigError as error:
        _fail(str(error), USAGE_ERROR)


def _platforms(settings: Settings) -> list[Adapter]:
    from bot.commands.registry import specs_for

    adapters: list[Adapter] = []
    if settings.discord.token is not None:
        from adapters.discord import DiscordAdapter

        adapters.append(
            DiscordAdapter(
                settings.discord.token.get_secret_value(),
                api_url=settings.discord.api_url,
                gateway_url=settings.discord.gateway_url,
                commands=specs_for("discord"),
            )
        )
    if settings.telegram.token is not None:
        from adapters.telegram import TelegramAdapter

        adapters.append(
            TelegramAdapter(
                settings.telegram.token.get_secret_value(),
                api_url=settings.telegram.api_url,
                file_url=settings.telegram.file_url,
                commands=specs_for("telegram"),
            )
        )
    return adapters


def _console(settings: Settings, *, message: str | None = None, as_json: bool = False) -> ConsoleAdapter:
    from adapters.console import ConsoleAdapter, json_lines
    from bot.commands.registry import specs_for

    interactive = message is None and not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    lines: Iterable[str] = iter(sys.stdin.readline, "") if message is None else [message]
    if interactive:
        import readline  # noqa: F401  importing it gives the prompt line editing
    return ConsoleAdapter(
        lines,
        sys.stdout,
        interactive=interactive,
        bot_name=settings.persona.name,
        show=json_lines(sys.stdout) if as_json else None,
        commands=specs_for("console"),
    )


def _converse(settings: Settings, console: ConsoleAdapter) -> None:
    _serve(settings, [console], terminal_log=False, interrupt=console.interrupt)


def _serve(
    settings: Settings,
    adapters: list[Adapter],
    *,
    terminal_log: bool,
    interrupt: Callable[[], Coroutine[Any, Any, bool]] | None = None,
) -> None:
    """Run the application until it ends, is interrupted or told to stop; exit code 0 then."""
    from bot import logs
    from bot.app import App, NothingToServe, collect_seldom
    from bot.config import data_folder
    from bot.store.errors import DatabaseError
    from inference import ModelNotFound, open_engine

    tokens = (settings.discord.token, settings.telegram.token)
    secrets = [token.get_secret_value() for token in tokens if token is not None]
    log_file = data_folder() / "chorus.log"
    logs.configure(secrets, file=log_file, terminal=terminal_log)

    async def serve(progress: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        model = settings.model
        options: dict[str, Any] = {
            "dtype": model.dtype,
            "cache_dtype": model.cache_dtype,
            "threads": model.threads,
            "packed_folder": data_folder() / "packed",
            "device": model.device,
            "cache_mb": model.cache_mb,
            "context_length": model.context_length,
        }
        engine = open_engine(
            model.name,
            **options,
            spill_folder=data_folder() / "cache" if model.spill_mb else None,
            spill_mb=model.spill_mb,
            progress=progress,
        )

        def open_model(name: str) -> AbstractAsyncContextManager[Engine]:
            return open_engine(name, **options)

        def on_open() -> None:
            progress("")
            collect_seldom()

        app = App(
            settings,
            adapters,
            engine,
            on_open=on_open,
            open_model=open_model,
            announce=_show_code if terminal_log else None,
        )
        serving = asyncio.ensure_future(app.run())
        interrupts: set[asyncio.Task[None]] = set()

        async def interrupted() -> None:
            if interrupt is None or not await interrupt():
                app.stop()

        def on_interrupt() -> None:
            task = asyncio.create_task(interrupted())
            interrupts.add(task)
            task.add_done_callback(interrupts.discard)

        loop.add_signal_handler(signal.SIGINT, on_interrupt)
        loop.add_signal_handler(signal.SIGTERM, app.stop)
        await serving

    try:
        with _progress() as progress:
            asyncio.run(serve(progress))
    except (DatabaseError, ModelNotFound, NothingToServe) as error:
        _fail(str(error), FAILURE)
    except Exception:
        log.exception("Chorus has stopped because of an error of its own")
        _fail(f"something went wrong; {log_file} tells what", FAILURE)


def _show_code(code: str) -> None:
    """To whoever started the bot, and into no log."""
    typer.echo(PAIRING.format(code=code), err=True)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Shows on the terminal what start-up is doing; silent where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:

        def show(what: str) -> None:
            if what:
                status.update(what)
            else:
                status.stop()

        yield show


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"chorus: {message}", err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    main()
