"""The command line, run as a process."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.e2e.conftest import TIMEOUT, CommandLine, Result
from tests.fakes.telegram import FakeTelegram

HEAVY = ("torch", "transformers", "sqlalchemy", "pydantic", "discord", "telegram", "rich")


def assert_one_friendly_line(result: Result, code: int, *words: str) -> None:
    assert result.code == code, result.err
    assert len(result.err.strip().splitlines()) == 1, result.err
    for word in words:
        assert word in result.err
    assert result.out == ""


async def test_help_imports_nothing_heavy(chorus: CommandLine) -> None:
    """What is not imported takes no time: --help answers at once."""
    chorus.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    result = await chorus("--help")
    assert result.code == 0
    assert "Talk to Chorus in this terminal" in result.out
    imported = {line.rpartition("|")[2].strip() for line in result.err.splitlines()}
    assert "typer" in imported, "the imports were not recorded"
    assert not imported & set(HEAVY) - {"rich"}


async def test_version(chorus: CommandLine) -> None:
    assert (await chorus("--version")).out == f"chorus {version('chorus')}\n"


async def test_one_message_as_json(chorus: CommandLine) -> None:
    result = await chorus("chat", "--message", "hello", "--json", "--seed", "1")
    assert (result.code, result.err) == (0, "")
    [line] = result.lines
    answer = json.loads(line)
    assert answer["text"]
    assert answer["finish_reason"] == "stop"
    assert answer["prompt_tokens"] > answer["cached_tokens"] >= 0
    assert answer["output_tokens"] > 0
    assert 0 < answer["seconds_to_first_token"] <= answer["seconds"]


async def test_piped_lines_are_one_conversation(chorus: CommandLine) -> None:
    lines = "My name is Anna.\n\nWhat is my name?\n/help\n"
    result = await chorus("chat", "--temperature", "0", stdin=lines)
    assert (result.code, result.err) == (0, "")
    first, second, *helped = result.lines
    assert "Anna" in second
    assert first != second
    assert helped[0].startswith("I am Chorus")


async def test_each_piped_answer_is_a_line_of_json(chorus: CommandLine) -> None:
    result = await chorus("chat", "--json", stdin="Hello\nHow are you?\n")
    first, second = map(json.loads, result.lines)
    assert first["cached_tokens"] == 0
    assert second["cached_tokens"] > 0, "the conversation is not computed again"


async def test_a_chat_starts_afresh_and_its_options_count(chorus: CommandLine, tiny_model: Path) -> None:
    await chorus("chat", "--message", "My name is Anna.")
    options = ("--model", str(tiny_model), "--system", "Be odd.", "--temperature", "2", "--seed", "3")
    first = await chorus("chat", "--message", "Hello", *options)
    again = await chorus("chat", "--message", "Hello", *options)
    other = await chorus("chat", "--message", "Hello", *options[:-1], "4")
    assert first.code == 0, first.err
    assert first.out == again.out != other.out


async def test_run_without_a_platform_talks_here_and_says_how_to_add_one(chorus: CommandLine) -> None:
    result = await chorus("run", stdin="Hello\n")
    assert result.code == 0
    assert len(result.lines) == 1
    assert "CHORUS_DISCORD__TOKEN" in result.err
    assert "CHORUS_TELEGRAM__TOKEN" in result.err
    assert (await chorus("run")).code == 0, "no input at all is an end like any other"


async def test_a_misspelt_setting_is_one_line(chorus: CommandLine) -> None:
    result = await chorus("run", TELEGRAM__TOKN="secret")
    assert_one_friendly_line(result, 2, "CHORUS_TELEGRAM__TOKN", "did you mean CHORUS_TELEGRAM__TOKEN?")
    assert "secret" not in result.err


async def test_a_token_that_can_not_be_one_is_one_line(chorus: CommandLine) -> None:
    result = await chorus("run", TELEGRAM__TOKEN="my secret")
    assert_one_friendly_line(result, 2, "CHORUS_TELEGRAM__TOKEN", "@BotFather")
    assert "my secret" not in result.err


async def test_a_model_that_does_not_exist_is_one_line(chorus: CommandLine) -> None:
    result = await chorus("chat", "--message", "Hello", "--model", "./nowhere")
    assert_one_friendly_line(result, 1, "no folder", "nowhere")


async def test_a_database_that_can_not_be_opened_is_one_line(chorus: CommandLine) -> None:
    result = await chorus("db", "upgrade", DATABASE__URL="sqlite+aiosqlite:////proc/none/chorus.sqlite3")
    assert_one_friendly_line(result, 1, "CHORUS_DATABASE__URL")
    result = await chorus("db", "upgrade", DATABASE__URL="somewhere")
    assert_one_friendly_line(result, 1, "sqlite+aiosqlite://")


async def test_the_database_is_made_where_it_is_set(chorus: CommandLine) -> None:
    url = f"sqlite+aiosqlite:///{chorus.folder}/deep/down/chorus.sqlite3"
    for _ in range(2):
        result = await chorus("db", "upgrade", DATABASE__URL=url)
        assert (result.code, result.out) == (0, "The database is up to date.\n")
    assert (chorus.folder / "deep" / "down" / "chorus.sqlite3").is_file()


async def test_a_wrong_token_names_the_setting_and_not_the_token(chorus: CommandLine) -> None:
    async with FakeTelegram() as telegram:
        wrong = "1:wrong"
        result = await chorus(
            "run", TELEGRAM__TOKEN=wrong, TELEGRAM__API_URL=telegram.api_url, stdin="no question\n"
        )
    assert result.code == 1
    assert "CHORUS_TELEGRAM__TOKEN" in result.err.splitlines()[-1]
    assert wrong not in result.err + chorus.log.read_text()
    assert "Traceback" not in result.err


class Terminal:
    """A person at a terminal in which `chorus chat` runs."""

    def __init__(self, chorus: CommandLine) -> None:
        self._chorus = chorus
        self.seen = ""

    async def __aenter__(self) -> Terminal:
        self._ours, theirs = pty.openpty()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            "chat",
            "--temperature",
            "0",
            cwd=self._chorus.folder,
            env={**self._chorus.environment, "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        os.set_blocking(self._ours, False)
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        asyncio.get_running_loop().remove_reader(self._ours)
        os.close(self._ours)

    def _read(self) -> None:
        try:
            self.seen += os.read(self._ours, 65536).decode(errors="replace")
        except OSError:  # the other side has been closed
            asyncio.get_running_loop().remove_reader(self._ours)
        self._news.set()

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def interrupts(self) -> None:
        self._process.send_signal(signal.SIGINT)

    async def sees(self, text: str) -> None:
        """Wait until the text is on the screen, and look only at what follows from then on."""
        async with asyncio.timeout(TIMEOUT):
            while text not in self.seen:
                self._news.clear()
                await self._news.wait()
        self.seen = self.seen.partition(text)[2]

    async def ended(self) -> int:
        async with asyncio.timeout(TIMEOUT):
            return await self._process.wait()


async def test_a_conversation_at_a_terminal(chorus: CommandLine) -> None:
    async with Terminal(chorus) as terminal:
        await terminal.sees("You:")
        terminal.types("My name is Anna.\n")
        await terminal.sees("Chorus:")
        await terminal.sees("You:")
        terminal.types("What is my name?\n")
        await terminal.sees("Anna")
        await terminal.sees("You:")
        terminal.types("/persona witty\n")
        await terminal.sees("From now on I am witty")
        terminal.types("/reset\n")
        await terminal.sees("start afresh")
        await terminal.sees("You:")
        terminal.types("\x04")
        assert await terminal.ended() == 0


@pytest.mark.parametrize("ending", ["interrupt", "end of input"])
async def test_a_terminal_conversation_ends_cleanly(ending: str, chorus: CommandLine) -> None:
    async with Terminal(chorus) as terminal:
        await terminal.sees("You:")
        if ending == "interrupt":
            terminal.interrupts()
        else:
            terminal.types("\x04")
        assert await terminal.ended() == 0
        assert "Traceback" not in terminal.seen
