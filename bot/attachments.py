"""Files that came with a message, as text that the model can read: text, code and PDF, within limits.

Knows nothing of turns, storage or what a platform is; files are fetched through `download`. A file is what
anyone may have sent: it is never trusted to be what it says, and what can't be read is told in one sentence.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import logging
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from adapters.errors import AdapterError, Rejected
from adapters.markup.characters import strip_hidden
from adapters.types import Attachment
from bot.i18n import _
from inference import ChatMessage, Engine

log = logging.getLogger(__name__)

MOST_FILES = 5  # of one message; more are passed over, and that is said
MOST_BYTES = 8 << 20  # of one file
SHARE = 2  # files have at most one in so many tokens of the context
CHARACTERS_A_TOKEN = 8  # no text has more; what is cut off by this was too long anyway
PDF_PAGES = 100
PDF_MEMORY_MIB = 1024  # of address space
PDF_TIME = timedelta(seconds=20)
LONGEST_NAME = 80

Download = Callable[[Attachment, int], Awaitable[bytes]]

_PICTURE = re.compile(r"image/", re.IGNORECASE)
_SOUND_OR_FILM = re.compile(r"(?:audio|video)/", re.IGNORECASE)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = bytes(byte for byte in range(32) if byte not in b"\t\n\r\x0b\x0c\x1b")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: `text` for the model, and `remarks` for the person, each a sentence."""

    text: str = ""
    remarks: tuple[str, ...] = ()


class _Unreadable(Exception):
    """A file that can't be read. The message is a sentence for the person who sent it."""


@dataclass(frozen=True, slots=True)
class _Content:
    """The text of a file; `part` says which part of it, if it is not all."""

    text: str
    part: str | None = None


async def read(attachments: Sequence[Attachment], download: Download, engine: Engine) -> Reading:
    """Read what can be read, all files together within their share of the engine's context."""
    texts: list[str] = []
    remarks: list[str] = []
    left = engine.context_length // SHARE
    for attachment in attachments[:MOST_FILES]:
        name = _name(attachment)
        try:
            content = await _content(attachment, download, left * CHARACTERS_A_TOKEN)
            content, cost = await _fitted(engine, content, left)
        except _Unreadable as unreadable:
            remarks.append(str(unreadable))
            continue
        left -= cost
        if content.part is not None:
            remarks.append(
                _("{name} is too long for me: I have read {part}.").format(name=name, part=content.part)
            )
        texts.append(_as_message(name, content))
    if len(attachments) > MOST_FILES:
        remarks.append(_("I read at most {count} files of a message.").format(count=MOST_FILES))
    return Reading("\n\n".join(texts), tuple(dict.fromkeys(remarks)))


def _name(attachment: Attachment) -> str:
    """A file's name as it may be shown: on one line, without marks, and not longer than a name."""
    shown = re.sub(r"[\s`*_~|<>\[\]]+", " ", strip_hidden(attachment.name)).strip()
    return shown[-LONGEST_NAME:] or _("the file")


def _as_message(name: str, content: _Content) -> str:
    """The file in a code block that nothing within can close."""
    longest = max((len(run) for run in re.findall(r"`+", content.text)), default=0)
    fence = "`" * max(3, longest + 1)
    part = f", {content.part}" if content.part else ""
    return f"[{name}{part}]\n{fence}\n{content.text}\n{fence}"


async def _content(attachment: Attachment, download: Download, characters: int) -> _Content:
    name = _name(attachment)
    if _PICTURE.match(attachment.media_type):
        raise _Unreadable(_("I can't see pictures: my language model reads text only."))
    if _SOUND_OR_FILM.match(attachment.media_type):
        raise _Unreadable(_("I can't listen to or watch {name}: I read text only.").format(name=name))
    too_large = _("{name} is too large for me: I read files of up to {size} MB.").format(
        name=name, size=MOST_BYTES >> 20
    )
    if attachment.size > MOST_BYTES:
        raise _Unreadable(too_large)
    try:
        raw = await download(attachment, MOST_BYTES)
    except Rejected as error:
        raise _Unreadable(too_large) from error
    except AdapterError as error:
        log.warning("an attachment could not be fetched: %s", error)
        raise _Unreadable(_("I could not fetch {name}. Please send it again.").format(name=name)) from error
    if raw.lstrip()[:5] == b"%PDF-":
        return await _pdf(name, raw, characters)
    text = await asyncio.to_thread(decoded, raw)
    if text is None:
        raise _Unreadable(_("I can't read {name}: it is neither text nor PDF.").format(name=name))
    if not text.strip():
        raise _Unreadable(_("{name} is empty.").format(name=name))
    return _cut(_Content(text), characters)


def decoded(raw: bytes) -> str | None:
    """The bytes as text, without characters that nobody sees; None if they are no text. Text without a mark
    of its encoding is UTF-8, or else what Western systems used before."""
    encoding = next((name for mark, name in _BOMS if raw.startswith(mark)), None)
    if encoding is None and raw.translate(None, _CONTROLS) != raw:
        return None
    try:
        text = raw.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        text = raw.decode(encoding or "cp1252", errors="replace")
    return strip_hidden(text.replace("\r\n", "\n").replace("\r", "\n")).strip("\n")


async def _pdf(name: str, raw: bytes, characters: int) -> _Content:
    """Read a PDF in a process of its own, which ends with its bounds or its time."""
    arguments = (PDF_PAGES, characters, PDF_MEMORY_MIB, round(PDF_TIME.total_seconds()))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot.pdftext",
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(PDF_TIME.total_seconds()):
            output, _errors = await process.communicate(raw)
    except TimeoutError:
        output = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    found = json.loads(output) if output else {"error": "broken"}
    match found.get("error"):
        case "encrypted":
            raise _Unreadable(_("{name} is protected by a password: I can't read it.").format(name=name))
        case str():
            raise _Unreadable(_("I can't read {name}: the PDF is broken or too complex.").format(name=name))
    text = strip_hidden(found["text"]).strip()
    if not text:
        raise _Unreadable(_("{name} holds no text that I could read, only pictures.").format(name=name))
    read, pages = found["read"], found["pages"]
    part = _("pages 1 to {read} of {pages}").format(read=read, pages=pages) if read < pages else None
    return _Content(text, part)


async def _fitted(engine: Engine, content: _Content, tokens: int) -> tuple[_Content, int]:
    """The content cut to so many tokens, and how many it has."""
    while True:
        cost = await engine.count_tokens([ChatMessage("user", content.text)])
        if cost <= tokens:
            return content, cost
        shorter = int(len(content.text) * tokens / cost * 0.95)
        if shorter < 1:
            raise _Unreadable(_("The files together are too long for me."))
        content = _cut(content, shorter)


def _cut(content: _Content, characters: int) -> _Content:
    """The beginning of a content, to the end of a line if there is one near."""
    if len(content.text) <= characters:
        return content
    beginning = content.text[:characters]
    line_end = beginning.rfind("\n", characters * 3 // 4)
    beginning = beginning[:line_end] if line_end > 0 else beginning
    return _Content(beginning, _("the first {count} characters").format(count=len(beginning)))
