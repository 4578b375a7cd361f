"""`chorus model list|use|pull`: which models fit, which one is set, and fetching it before it is needed.

Knows nothing of how a model is made or served.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from bot.catalogue import Known, Machine, Verdict
    from bot.config import Settings

USAGE_ERROR = 2
FAILURE = 1
GIB = 1 << 30
LACKING = {
    "memory": "too little memory",
    "GPU memory": "too little GPU memory",
    "disk": "too little disk",
}

choose_cli = typer.Typer()


@choose_cli.command("list")
def show(
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each model, a line each.")
    ] = False,
) -> None:
    """Show known open models, what they need, and which of them fit this machine."""
    from rich.console import Console

    from bot.catalogue import CATALOGUE, this_machine

    settings = _settings()
    machine = this_machine(_downloads(), settings.model.device)
    judged = [(model, *_judge(model, machine, settings)) for model in CATALOGUE]
    if json:
        for row in judged:
            typer.echo(_as_json(*row))
        return
    console = Console(highlight=False)
    console.print(_table(judged, settings.model.name))
    console.print(_footnote(machine, settings.model.name), soft_wrap=True)


@choose_cli.command()
def use(
    name: Annotated[
        str, typer.Argument(help="A name of `chorus model list`, `embedded`, a folder, or a hub id.")
    ],
) -> None:
    """Set the model that answers, in chorus.toml."""
    from bot.config import FILE_NAME, environment_name, settings_file

    settings = _settings()
    chosen = _identify(name)
    file = settings_file() or Path.cwd() / FILE_NAME
    try:
        set_model(file, chosen)
    except (OSError, ValueError) as error:
        _fail(f"{file} can't be changed: {error}; mend it, or write there [model] name = {chosen!r}", FAILURE)
    typer.echo(f"{file} now says: the model is {chosen}.")
    variable = environment_name("model.name")
    if variable in os.environ:
        typer.echo(f"But {variable}={os.environ[variable]} in the environment wins; take that away.")
    for line in _next(chosen, settings):
        typer.echo(line)


@choose_cli.command()
def pull(
    name: Annotated[
        str | None,
        typer.Argument(help="A name of `chorus model list` or a hub id; by default the model that is set."),
    ] = None,
) -> None:
    """Download a model now. One that was interrupted goes on where it stopped."""
    from inference import ModelNotFound
    from inference.local.download import held

    chosen = _identify(name or _settings().model.name)
    if not _is_hub_id(chosen):
        typer.echo(f"{chosen} needs no download: it is here.")
        return
    try:
        if (folder := held(chosen)) is None:
            _check_disk(chosen)
            folder = _download(chosen)
    except ModelNotFound as error:
        _fail(str(error), FAILURE)
    typer.echo(f"{chosen} is here: {folder}")


def _download(hub_id: str) -> Path:
    """With a progress bar, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from inference.local.download import download

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(hub_id, total=None)
        return download(hub_id, lambda done, size: bar.update(task, completed=done, total=size))


def set_model(file: Path, name: str) -> None:
    """Write `model.name` into a settings file, made if need be. All else in it stays, comments included, and
    at no moment is it half written. Raises OSError, and ValueError for a file that is no TOML or has no table
    where one should be."""
    import tomlkit

    file = file.resolve()
    old = file.read_bytes().decode() if file.exists() else ""
    content = tomlkit.parse(old)
    section: Any = content.setdefault("model", tomlkit.table())
    if not hasattr(section, "keys"):
        raise ValueError("`model` is no table there")
    section["name"] = name
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as writing:
            writing.write(tomlkit.dumps(content).encode())
            if file.exists():
                os.fchmod(handle, file.stat().st_mode)
        Path(draft).replace(file)
    except BaseException:
        Path(draft).unlink()
        raise


def _identify(name: str) -> str:
    """What is to be written for a name: `embedded`, a folder's full path, or a hub id. Ends with one line
    where it is none of them."""
    import difflib

    from bot.catalogue import CATALOGUE, find
    from inference import EMBEDDED

    if name == EMBEDDED:
        return EMBEDDED
    if (known := find(name)) is not None:
        return known.hub_id
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            _fail(f"the folder {folder} holds no model: there is no config.json in it", USAGE_ERROR)
        return str(folder.resolve())
    if name.startswith((".", "/", "~")):
        _fail(f"there is no folder {folder}", USAGE_ERROR)
    if _is_hub_id(name):
        return name
    near = difflib.get_close_matches(name.lower(), [one.name for one in CATALOGUE], n=1)
    meant = f"did you mean {near[0]}?" if near else "`chorus model list` shows those that I know."
    return _fail(
        f"{name!r} is neither a known model, nor a folder, nor a hub id such as owner/name; {meant}",
        USAGE_ERROR,
    )


def _is_hub_id(name: str) -> bool:
    """Whether it has the form owner/name; whether there is such a model, only the hub can tell."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1


def _next(chosen: str, settings: Settings) -> Iterator[str]:
    """What is left to do, as lines."""
    from bot.catalogue import find, this_machine
    from inference.local.download import held

    known = find(chosen)
    here = not _is_hub_id(chosen) or held(chosen) is not None
    if known is not None:
        _, verdict = _judge(known, this_machine(_downloads(), settings.model.device), settings)
        if verdict.lacks:
            yield f"Mind that there is {LACKING[verdict.lacks]} for it here; it needs {_gib(verdict.needed)}."
    if known is not None and known.gated and not here:
        yield f"First accept its licence at {known.page} and log in with `hf auth login`."
    if not here:
        size = f" ({_gib(known.download)})" if known is not None else ""
        yield f"`chorus model pull` downloads it{size}; else the next start does."
    yield "`chorus chat` tries it, and `chorus run` serves it; a bot that runs has to be started anew."


def _judge(model: Known, machine: Machine, settings: Settings) -> tuple[bool, Verdict]:
    """Whether a model is downloaded, and how it would run."""
    from bot.catalogue import judge
    from inference.local.download import held
    from inference.local.weights import OVERHEAD

    here = held(model.hub_id) is not None
    room = int(settings.model.cache_mb * (1 << 20)) + OVERHEAD
    return here, judge(model, machine, room=room, dtype=settings.model.dtype, here=here)


def _check_disk(chosen: str) -> None:
    """End with one line where a known model's files don't fit."""
    from bot.catalogue import find, free_disk

    known, downloads = find(chosen), _downloads()
    free = free_disk(downloads)
    if known is not None and known.download > free:
        _fail(
            f"{chosen} takes {_gib(known.download)}, and {_gib(free)} are free in {downloads}; make room, "
            "or set HF_HOME to a larger disk's folder",
            FAILURE,
        )


def _table(judged: list[tuple[Known, bool, Verdict]], current: str) -> Table:
    from rich.table import Table

    from bot.catalogue import runs_natively

    table = Table(box=None, pad_edge=False)
    for heading in ("", "Name", "Parameters", "int8", "bf16", "Context", "Licence", "Here"):
        numbers = heading in ("Parameters", "int8", "bf16", "Context")
        table.add_column(heading, justify="right" if numbers else "left", no_wrap=heading != "Here")
    for model, here, verdict in judged:
        table.add_row(
            "✗" if verdict.lacks else "✓",
            f"{model.name}{' *' if model.hub_id == current else ''}",
            _count(model.parameters),
            _gib(model.weights("int8")) if runs_natively(model) else "-",
            _gib(model.weights("bfloat16")),
            f"{model.context:,}",
            model.licence,
            _how(here, verdict),
            style="dim" if verdict.lacks else None,
        )
    return table


def _how(here: bool, verdict: Verdict) -> str:
    how = LACKING.get(verdict.lacks) or verdict.step
    return f"{how}, downloaded" if here else how


def _footnote(machine: Machine, current: str) -> str:
    from bot.catalogue import find

    memory = "an unknown amount" if machine.memory is None else _gib(machine.memory)
    gpu = "no GPU" if machine.gpu is None else f"{_gib(machine.gpu)} of GPU memory"
    set_now = "* is set." if find(current) else f"Set is: {current}."
    return (
        f"\nFree: {memory} of memory, {_gib(machine.disk)} of disk, {gpu}. {set_now}\n"
        "int8 and bf16 are the weights' sizes in memory. The native step is the quick one on a processor.\n"
        "`chorus model use NAME` takes one of these, `embedded`, a folder, or any hub id."
    )


def _as_json(model: Known, here: bool, verdict: Verdict) -> str:
    import json
    from dataclasses import asdict

    return json.dumps({**asdict(model), "downloaded": here, "fits": not verdict.lacks, **asdict(verdict)})


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.1f} B" if parameters >= 1e9 else f"{parameters / 1e6:.0f} M"


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def _downloads() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _settings() -> Settings:
    from bot.config import ConfigError, load_settings

    try:
        return load_settings()
    except ConfigError as error:
        _fail(str(error), USAGE_ERROR)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"chorus: {message}", err=True)
    raise typer.Exit(code)
