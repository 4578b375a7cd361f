"""Writes those parts of the README that the code itself can tell: settings, command line, commands.

    python docs/generate.py             write them anew
    python docs/generate.py --check     write nothing; fail if they are stale
    python docs/generate.py --picture   have the conversation in the picture anew, and draw the statistics

The parts stand between marks in the README. The picture is never checked: what the model samples may differ
from one processor to another. Knows nothing of the prose around the marks.
"""

from __future__ import annotations

import difflib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from adapters.commands import CommandSpec, Param
from bot.__main__ import cli
from bot.commands import COMMANDS
from bot.config import PREFIX, Settings, environment_name
from docs import access, stats

README = Path(__file__).parents[1] / "README.md"
PICTURE = Path(__file__).with_name("conversation.svg")

HELP_PAGES = ((), ("run",), ("chat",), ("model",), ("db", "upgrade"))
PLAIN_TERMINAL = {"TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "80"}

SEED = 7
QUESTIONS = (
    "Hi! Who are you?",
    "My name is Anna. I have a cat called Milo.",
    "Tell me a joke.",
    "What is my cat called?",
    "What is the opposite of brave?",
    "What is a violin?",
)
PICTURE_WIDTH = 56  # columns

Row = tuple[str, ...]


def settings_table() -> str:
    """Every setting with its two names, its default and its meaning."""
    rows = [
        (f"`{environment_name(key)}`", f"`{key}`", _default(field), field.description or "")
        for key, field in _fields(Settings)
    ]
    return _table(("In the environment", "In chorus.toml", "Default", "Meaning"), rows)


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _fields(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _default(field: FieldInfo) -> str:
    """A default that is made anew on each machine is left to the description."""
    if field.default_factory is not None:
        return "differs by machine"
    return "-" if field.default is None else f"`{field.default}`"


def command_line() -> str:
    """The help pages as a terminal of 80 columns without colours shows them."""
    return "\n\n".join(f"```text\n{_help(page)}\n```" for page in HELP_PAGES)


def _help(page: tuple[str, ...]) -> str:
    result = CliRunner().invoke(cli, [*page, "--help"], prog_name="chorus", env=PLAIN_TERMINAL)
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    return "\n".join(["$ " + " ".join(("chorus", *page, "--help")), *lines]).rstrip()


def commands_table() -> str:
    """The chat commands with their parameters."""
    rows = [(f"`{_usage(spec)}`", spec.description, _choices(spec)) for spec in COMMANDS]
    return _table(("Command", "What it does", "Choices"), rows)


def _usage(spec: CommandSpec) -> str:
    return " ".join([f"/{spec.name}", *map(_placeholder, spec.params)])


def _placeholder(param: Param) -> str:
    return f"<{param.name}>" if param.required else f"[{param.name}]"


def _choices(spec: CommandSpec) -> str:
    return ", ".join(choice for param in spec.params for choice in param.choices)


def _table(head: Row, rows: Sequence[Row]) -> str:
    lines = [head, ("---",) * len(head), *(tuple(cell.replace("|", r"\|") for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


GENERATED: Mapping[str, Callable[[], str]] = {
    "settings": settings_table,
    "command line": command_line,
    "commands": commands_table,
}
_PART = re.compile(r"(<!-- generated: (?P<name>.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(text: str) -> str:
    """The text with what stands between its marks written anew. Raises ValueError unless each part is marked
    exactly once."""
    names = [part["name"] for part in _PART.finditer(text)]
    if sorted(names) != sorted(GENERATED):
        raise ValueError(f"marked are {', '.join(names)}; each of {', '.join(GENERATED)} belongs there once")
    return _PART.sub(lambda part: f"{part[1]}\n{GENERATED[part['name']]()}\n\n{part[3]}", text)


def staleness(readme: Path) -> str:
    """How the file differs from what the code says, as a diff; empty where it doesn't."""
    stands = readme.read_text(encoding="utf-8")
    lines = difflib.unified_diff(
        stands.splitlines(),
        fill(stands).splitlines(),
        f"{readme.name}, as it is",
        "as the code says",
        lineterm="",
    )
    return "\n".join(lines)


def converse() -> list[str]:
    """The answers that the embedded model really gives to the questions, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    with tempfile.TemporaryDirectory() as folder:
        environment["CHORUS_DATABASE__URL"] = f"sqlite+aiosqlite:///{folder}/chorus.sqlite3"
        finished = subprocess.run(  # noqa: S603  this interpreter, with arguments that stand here
            [sys.executable, "-m", "bot", "chat", "--json", "--model", "embedded", "--seed", str(SEED)],
            input="\n".join(QUESTIONS),
            env=environment,
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
    return [json.loads(line)["text"] for line in finished.stdout.splitlines()]


def draw(answers: Sequence[str]) -> str:
    """The conversation as a terminal shows it, as SVG that asks for no font from the network."""
    console = Console(
        record=True, file=io.StringIO(), width=PICTURE_WIDTH, force_terminal=True, highlight=False
    )
    console.print(Text(f"$ chorus chat --seed {SEED}", style="dim"))
    for question, answer in zip(QUESTIONS, answers, strict=True):
        console.print(Text.assemble("\n", ("You: ", "bold"), question))
        console.print(Text.assemble(("Chorus: ", "bold cyan"), answer))
    svg = console.export_svg(title="Chorus", unique_id="conversation")
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace(
        "Fira Code, monospace", "monospace"
    )


def main(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail if the README is stale.")
    ] = False,
    picture: Annotated[bool, typer.Option("--picture", help="Draw the pictures anew as well.")] = False,
) -> None:
    """Write the generated parts of the documentation anew."""
    if check:
        difference = staleness(README)
        if not access.PAGE.is_file() or access.PAGE.read_text(encoding="utf-8") != access.page():
            difference += f"\n{access.PAGE.name} is not what the code decides."
        if difference:
            typer.echo(f"{difference}\n\nThe documentation is stale: `make docs` writes it anew.", err=True)
            raise typer.Exit(1)
        return
    access.PAGE.write_text(access.page(), encoding="utf-8")
    README.write_text(fill(README.read_text(encoding="utf-8")), encoding="utf-8")
    if picture:
        PICTURE.write_text(draw(converse()), encoding="utf-8")
        stats.PICTURE.write_bytes(stats.draw())


if __name__ == "__main__":
    typer.run(main)
