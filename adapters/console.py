"""The terminal as a platform: one person, one chat, lines in and answers out.

On a terminal the answer streams and the person may go on typing (/stop ends it); from a pipe every line is a
question, and the next one is read when it has been answered. Files are written to a folder. Buttons are not
shown: what they do can be typed. Knows nothing of what an answer means.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TextIO

from adapters.base import Capabilities, Cursors, Publish, Suggest, no_cursors, no_suggestions
from adapters.commands import CommandSpec, below, find, overview, parse_arguments, parse_command, resolve
from adapters.errors import Rejected
from adapters.texts import Translate, english
from adapters.types import (
    Addressed,
    Attachment,
    ChatRef,
    CommandInvoked,
    Event,
    File,
    MessageCreated,
    MessageRef,
    Part,
    Person,
    Standing,
)

PLATFORM = "console"
STREAM_INTERVAL = timedelta(milliseconds=30)
KEYS_REMEMBERED = 1000

Show = Callable[[str, Mapping[str, object]], None]
"""Writes an answer, with what is known of it."""


class ConsoleAdapter:
    """`adapters.base.Adapter` for the terminal.

    `lines` are the questions; reading them may block, which happens in a thread of its own. `interactive`
    streams answers and asks with a prompt; otherwise each answer is handed to `show` as a whole. `folder` is
    where files are written. With `commands` it does not wait until they are published.
    """

    platform = PLATFORM

    def __init__(
        self,
        lines: Iterable[str],
        output: TextIO,
        *,
        chat: str | None = None,
        interactive: bool = False,
        bot_name: str = "Bot",
        show: Show | None = None,
        folder: Path | None = None,
        commands: Sequence[CommandSpec] = (),
    ) -> None:
        self._lines = lines
        self._output = output
        self._chat = ChatRef(PLATFORM, chat or uuid.uuid4().hex)
        self._interactive = interactive
        self._bot_name = bot_name
        self._show = show or self._show_text
        self._folder = folder or Path()
        self._commands = commands
        self._me = Person(id="me", name=_user_name())
        self._streamed = ""
        self._pending = 0
        self._answered = asyncio.Event()
        self._connected = asyncio.Event()
        self._known = asyncio.Event()  # the commands are there
        if commands:
            self._known.set()
        self._sent: dict[str, None] = {}  # keys, oldest first
        self._publish: Publish | None = None

    async def run(
        self,
        publish: Publish,
        *,
        cursors: Cursors = no_cursors,
        suggest: Suggest = no_suggestions,
        translate: Translate = english,
    ) -> None:
        """Publish a line at a time until they end and the last one is answered."""
        self._publish = publish
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        reading = threading.Event()
        reader = threading.Thread(
            target=_read, args=(self._lines, queue, asyncio.get_running_loop(), reading), daemon=True
        )
        self._connected.set()
        await self._known.wait()
        reader.start()
        self._ask()
        try:
            while (line := await queue.get()) is not None:
                if line.strip():
                    await self._take(line.strip())
                elif not self._pending:
                    self._ask()
                if not self._interactive:
                    await self._all_answered()
        finally:
            reading.set()
        await self._all_answered()

    async def ready(self) -> None:
        await self._connected.wait()

    async def interrupt(self) -> bool:
        """Ask for an answer under way to be stopped; False if there is none."""
        if not self._pending or self._publish is None:
            return False
        await self._take("/stop")
        return True

    def capabilities(self, chat: ChatRef) -> Capabilities:
        return Capabilities(
            edit_interval=STREAM_INTERVAL if self._interactive else None,
            drafts=self._interactive,
            idempotent_send=True,  # what is printed is seen: no send is ever in doubt
        )

    def parts(self, markdown: str) -> Sequence[Part]:
        return [Part(markdown)] if markdown.strip() else []

    async def send(
        self,
        chat: ChatRef,
        part: Part,
        *,
        key: str,
        reply_to: MessageRef | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> MessageRef:
        if key not in self._sent:
            self._sent[key] = None
            if len(self._sent) > KEYS_REMEMBERED:
                del self._sent[next(iter(self._sent))]
            await self._print(part, facts or {})
        return MessageRef(chat, key)

    async def edit(
        self, message: MessageRef, part: Part, *, facts: Mapping[str, object] | None = None
    ) -> MessageRef:
        await self._print(part, facts or {})
        return message

    async def _print(self, part: Part, facts: Mapping[str, object]) -> None:
        """Show an answer, and where its file is written."""
        saved = await asyncio.to_thread(self._save, part.file) if part.file else ""
        self._show("\n\n".join(text for text in (part.text, saved) if text), facts)
        self._pending = max(0, self._pending - 1)
        self._answered.set()
        if not self._pending:
            self._ask()

    def _save(self, file: File) -> str:
        """Write a file under a name that is free, and tell its path."""
        name = Path(Path(file.name).name or "file")
        for number in count(1):
            path = self._folder / (name if number == 1 else f"{name.stem}-{number}{name.suffix}")
            try:
                with path.open("xb") as place:
                    place.write(file.content)
            except FileExistsError:
                continue
            except OSError as error:
                return f"✗ {path}: {error.strerror}"
            return f"→ {path}"
        raise AssertionError("numbers end nowhere")

    async def preview(self, message: MessageRef, part: Part) -> bool:
        return False  # answers are streamed as drafts

    async def draft(self, chat: ChatRef, draft: int, text: str) -> bool:
        self._stream(text.lstrip())
        return True

    async def delete(self, message: MessageRef) -> None:
        """What is printed stays printed."""

    @asynccontextmanager
    async def typing(self, chat: ChatRef) -> AsyncIterator[None]:
        yield

    async def download(self, attachment: Attachment, limit: int) -> bytes:
        """No message comes with a file here."""
        raise Rejected(f"{attachment.name} can't be fetched: nothing comes from a terminal but text")

    async def permissions_of(self, chat: ChatRef, who: Person) -> Standing:
        """Nobody is anything here: whose terminal it is, the application knows."""
        return Standing()

    async def publish_commands(self, commands: Sequence[CommandSpec]) -> None:
        self._commands = commands
        self._known.set()

    async def _take(self, line: str) -> None:
        assert self._publish is not None
        event = self._event(line)
        if isinstance(event, CommandInvoked) and self._is_group(event.name):
            self._show(overview(self._commands, event.name), {})
            self._ask()
            return
        self._pending += 1
        await self._publish(event)

    def _is_group(self, name: str) -> bool:
        return find(self._commands, name) is None and bool(below(self._commands, name))

    async def _all_answered(self) -> None:
        while self._pending:
            self._answered.clear()
            await self._answered.wait()

    def _event(self, line: str) -> Event:
        now = datetime.now(UTC)
        place = MessageRef(self._chat, uuid.uuid4().hex)
        command = parse_command(line)
        if command is None:
            return MessageCreated(
                id=place.message,
                message=place,
                author=self._me,
                text=line,
                addressed=Addressed.DIRECT,
                sent_at=now,
                private=True,
            )
        typed = resolve(self._commands, *command)
        return CommandInvoked(
            id=place.message,
            chat=self._chat,
            author=self._me,
            name=typed.path,
            arguments=parse_arguments(typed.spec, typed.rest) if typed.spec is not None else {},
            sent_at=now,
            message=place,
            private=True,
        )

    def _ask(self) -> None:
        if self._interactive:
            self._write(f"{_BOLD}You:{_PLAIN} ")

    def _stream(self, text: str) -> None:
        """Print what is new of an answer that grows."""
        if not self._streamed:
            self._write(f"{_ACCENT}{self._bot_name}:{_PLAIN} ")
        if text.startswith(self._streamed):
            self._write(text[len(self._streamed) :])
            self._streamed = text

    def _show_text(self, text: str, facts: Mapping[str, object]) -> None:
        if not self._interactive:
            self._write(f"{text}\n")
            return
        if not text.startswith(self._streamed):  # another answer than the one that was streamed
            self._write("\n")
            self._streamed = ""
        self._stream(text)
        self._write("\n\n")
        self._streamed = ""

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()


_BOLD, _ACCENT, _PLAIN = "\x1b[1m", "\x1b[1;36m", "\x1b[0m"


def json_lines(output: TextIO) -> Show:
    """A `Show` that prints one JSON object a line for each answer: its text and what is known of it."""

    def show(text: str, facts: Mapping[str, object]) -> None:
        fields: dict[str, Any] = {"text": text, **facts}
        output.write(json.dumps(fields, ensure_ascii=False) + "\n")
        output.flush()

    return show


def _read(
    lines: Iterable[str],
    queue: asyncio.Queue[str | None],
    loop: asyncio.AbstractEventLoop,
    ended: threading.Event,
) -> None:
    """The reading thread: a line at a time into the queue, None at the end."""
    for line in lines:
        if ended.is_set():
            return
        loop.call_soon_threadsafe(queue.put_nowait, line)
    if not ended.is_set():
        loop.call_soon_threadsafe(queue.put_nowait, None)


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this user id, as in some containers
        return "You"
