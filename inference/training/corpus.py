"""Texts and chats, one at a time: out of files, or made up. Knows nothing of tokens.

`.jsonl` holds an object a line: `{"messages": [{"role": ..., "content": ...}, ...]}` or `{"text": ...}`, with
a `source` beside it if need be. `.txt` is read in pieces of whole lines. Either may be compressed (`.xz`).
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from random import Random
from typing import IO, Any

from inference.training.errors import CorpusError
from inference.training.recipe import CorpusRecipe
from inference.training.talks import talks
from inference.training.talks.change import other_hands, other_names

ROLES = ("system", "user", "assistant")
PIECE = 16_000  # characters of a text file that make a document
COMPRESSED = ".xz"
LINES = ".jsonl"
TEXT = ".txt"

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is, and out of how much; the unit is the caller's."""


@dataclass(frozen=True, slots=True)
class Message:
    role: str  # one of ROLES
    content: str


@dataclass(frozen=True, slots=True)
class Document:
    """Either a text or the messages of a chat."""

    text: str = ""
    messages: tuple[Message, ...] = ()
    source: str = ""


def read(files: Iterable[Path], progress: Progress) -> Iterator[Document]:
    """Every document of the files in their order; progress in bytes on the disk. Raises CorpusError."""
    for file in files:
        with _open(file) as (lines, on_disk):
            size = file.stat().st_size
            documents = _chats(file, lines) if _kind(file) == LINES else _pieces(file, lines)
            for document in documents:
                progress(file.name, min(on_disk.tell(), size), size)
                yield document


def read_corpus(corpus: CorpusRecipe, folder: Path, progress: Progress, seed: str) -> Iterator[Document]:
    """The documents of a recipe's corpus, whose files lie in the folder. What is drawn at random is the same
    for the same seed. Raises CorpusError."""
    found = _made_up(corpus, progress, seed) if corpus.talks else _chosen(corpus, folder, progress, seed)
    for document in found:
        lacking = document.messages and document.messages[0].role != "system"
        if corpus.system is not None and lacking:
            yield replace(document, messages=(Message("system", corpus.system), *document.messages))
        else:
            yield document


def _made_up(corpus: CorpusRecipe, progress: Progress, seed: str) -> Iterator[Document]:
    """Progress in conversations."""
    wanted = corpus.count or 0
    for number, talk in enumerate(talks(corpus.talks, wanted, seed), 1):
        progress("talks", number, wanted)
        yield Document(messages=tuple(Message(role, content) for role, content in talk), source="talks")


def _chosen(corpus: CorpusRecipe, folder: Path, progress: Progress, seed: str) -> Iterator[Document]:
    """What of the files is wanted, changed as the recipe says."""
    rng = Random(seed)
    for document in read(files_of(corpus, folder), progress):
        if corpus.sources and document.source not in corpus.sources:
            continue
        talk = [(message.role, message.content) for message in document.messages]
        if corpus.swap_names:
            talk = other_names(rng, talk)
        if corpus.vary:
            talk = other_hands(rng, talk)
        yield replace(document, messages=tuple(Message(role, content) for role, content in talk))


def files_of(corpus: CorpusRecipe, folder: Path) -> list[Path]:
    """Where a corpus' files lie. Raises CorpusError if one doesn't."""
    files = [folder / Path(name).expanduser() for name in corpus.files]
    for file in files:
        if not file.is_file():
            raise CorpusError(f"there is no file {file}; name the folder of the texts with --data")
    return files


def _kind(file: Path) -> str:
    return Path(file.name.removesuffix(COMPRESSED)).suffix


@contextmanager
def _open(file: Path) -> Iterator[tuple[Iterable[str], IO[bytes]]]:
    """The file's text, and the file itself, to see how far it was read."""
    if _kind(file) not in (LINES, TEXT):
        raise CorpusError(f"{file} is neither {LINES} nor {TEXT}, plain or with {COMPRESSED}")
    try:
        with file.open("rb") as on_disk, _expanded(file, on_disk) as plain:
            yield TextIOWrapper(plain, encoding="utf-8"), on_disk
    except (OSError, UnicodeDecodeError, lzma.LZMAError, EOFError) as error:
        raise CorpusError(f"{file} can't be read: {error}") from error


def _expanded(file: Path, on_disk: BufferedReader) -> AbstractContextManager[Any]:
    return lzma.open(on_disk) if file.suffix == COMPRESSED else nullcontext(on_disk)


def _chats(file: Path, lines: Iterable[str]) -> Iterator[Document]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _document(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            raise CorpusError(f"{file}, line {number}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"this is no JSON: {error.msg}"
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error)


def _document(said: Any) -> Document:
    """Raises ValueError and KeyError."""
    if not isinstance(said, dict):
        raise ValueError("an object with `messages` or `text` is wanted")  # noqa: TRY004  one kind of error
    source = str(said.get("source", ""))
    if "text" in said:
        return Document(text=_string(said["text"], "text"), source=source)
    if not isinstance(said.get("messages"), list) or not said["messages"]:
        raise ValueError("there is neither `text` nor a list of `messages`")
    messages = tuple(_message(one) for one in said["messages"])
    if any(message.role == "system" for message in messages[1:]):
        raise ValueError("a system message stands first or nowhere")
    return Document(messages=messages, source=source)


def _message(said: Any) -> Message:
    if not isinstance(said, dict):
        raise ValueError("a message is an object with `role` and `content`")  # noqa: TRY004  one kind of error
    if said["role"] not in ROLES:
        raise ValueError(f"a message's role is {said['role']!r}, not one of {', '.join(ROLES)}")
    return Message(said["role"], _string(said["content"], "content"))


def _string(said: Any, name: str) -> str:
    if not isinstance(said, str):
        raise ValueError(f"`{name}` is no text")  # noqa: TRY004  one kind of error
    return said


def _pieces(file: Path, lines: Iterable[str]) -> Iterator[Document]:
    """A text file's lines in pieces of PIECE characters or a little more. A line is never taken apart."""
    piece: list[str] = []
    length = 0
    for line in lines:
        piece.append(line)
        length += len(line)
        if length >= PIECE:
            yield Document(text="".join(piece), source=file.name)
            piece, length = [], 0
    if "".join(piece).strip():
        yield Document(text="".join(piece), source=file.name)
