"""The terminal, typed into by a list of lines."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest

from adapters.commands import CommandSpec, Param
from adapters.console import ConsoleAdapter
from adapters.types import Button, ChatRef, CommandInvoked, Event, File, MessageCreated, Part

COMMANDS = [
    CommandSpec("admin settings set", "Change a setting", (Param("key", "Which"), Param("value", "To what"))),
    CommandSpec("admin status", "How the bot does"),
    CommandSpec("help", "What I can do"),
]


YES = Part("Yes.")


class Terminal:
    """A terminal on which every question is answered with "Yes."; `events` is what was asked."""

    def __init__(self, *lines: str, answer: Part = YES, folder: Path | None = None) -> None:
        self._output = io.StringIO()
        self._answer = answer
        self.events: list[Event] = []
        self.adapter = ConsoleAdapter(lines, self._output, folder=folder, commands=COMMANDS)

    async def _publish(self, event: Event) -> None:
        self.events.append(event)
        assert isinstance(event, MessageCreated | CommandInvoked)
        await self.adapter.send(event.chat, self._answer, key=event.id)

    async def run(self) -> str:
        """All of it, until the lines end: what stands on the terminal then."""
        async with asyncio.timeout(20):
            await self.adapter.run(self._publish)
        return self._output.getvalue()


async def test_lines_are_questions_and_commands_of_several_words() -> None:
    terminal = Terminal("Hello", '/admin settings set "my key" some value', "/unheard of")

    assert await terminal.run() == "Yes.\n" * 3
    question, command, unknown = terminal.events
    assert isinstance(question, MessageCreated)
    assert question.text == "Hello"
    assert isinstance(command, CommandInvoked)
    assert command.name == "admin settings set"
    assert command.arguments == {"key": "my key", "value": "some value"}
    assert isinstance(unknown, CommandInvoked)
    assert unknown.name == "unheard"


async def test_a_group_of_commands_is_listed() -> None:
    terminal = Terminal("/admin", "Hello")
    shown = await terminal.run()

    assert "/admin settings`: set" in shown
    assert "/admin status`: How the bot does" in shown
    assert shown.endswith("Yes.\n")
    assert len(terminal.events) == 1


async def test_files_are_written_under_free_names(tmp_path: Path) -> None:
    (tmp_path / "history.md").write_text("mine")
    terminal = Terminal("one", "two", answer=Part("Here", File("history.md", b"new")), folder=tmp_path)

    shown = await terminal.run()
    assert (tmp_path / "history.md").read_text() == "mine"
    assert (tmp_path / "history-2.md").read_bytes() == (tmp_path / "history-3.md").read_bytes() == b"new"
    assert f"Here\n\n→ {tmp_path / 'history-2.md'}\n" in shown


@pytest.mark.parametrize("name", ["../../escaped.txt", "/etc/escaped.txt", "..", ""])
async def test_a_files_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    shown = await Terminal("Hello", answer=Part("Here", File(name, b"x")), folder=folder).run()

    assert len(list(tmp_path.rglob("*escaped*"))) == len(list(folder.glob("*escaped*")))
    assert str(folder) in shown


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    shown = await Terminal("Hello", answer=Part("Here", File("a.txt", b"x")), folder=tmp_path / "no").run()

    assert "Here" in shown
    assert "✗" in shown


async def test_what_is_sent_again_is_printed_once_and_buttons_never() -> None:
    output = io.StringIO()
    adapter = ConsoleAdapter([], output)
    part = Part("Sure?", buttons=((Button("Yes", "yes"),),))
    for _ in range(2):
        await adapter.send(ChatRef("console", "here"), part, key="k1")

    assert output.getvalue() == "Sure?\n"
