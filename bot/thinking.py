"""What a model thinks aloud before it answers: told apart from what it says, and shown only where that is
wished. Pure; knows nothing of models or platforms.

Models write `<think>...</think>`, each mark at the beginning of a line; in code it is text like any other. A
model whose prompt opens the thinking writes only the closing mark: all before that is thinking then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SPOILER = "||"
LONGEST_SPOILER = 300  # characters; longer ones might be cut through where a message ends

_OPENINGS = ("<think>", "<thinking>")
_CLOSINGS = ("</think>", "</thinking>")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_CLOSING = re.compile("|".join(map(re.escape, _CLOSINGS)))


@dataclass(frozen=True, slots=True)
class Thoughtful:
    """What was thought and what was said. `open`: the thinking has not ended."""

    thinking: str
    said: str
    open: bool = False


def apart(text: str, *, ended: bool = True) -> Thoughtful:
    """Thinking and saying of a model's text. While it has not `ended`, what may turn out to be the beginning
    of a mark is in neither."""
    lines = text.splitlines(keepends=True)
    thought: list[str] = []
    said: list[str] = []
    thinking = False
    fence: str | None = None
    for index, line in enumerate(lines):
        rest = line
        unfinished = not ended and index == len(lines) - 1 and not line.endswith("\n")
        if not thinking and fence is None and (mark := _opening(rest)):
            thinking, rest = True, rest.lstrip()[len(mark) :]
        elif not thinking and unfinished and fence is None and _may_open(rest):
            rest = ""
        if thinking and (closing := _CLOSING.search(rest)):
            thought.append(rest[: closing.start()])
            thinking, rest = False, rest[closing.end() :].lstrip("\n")
        elif not thinking and fence is None and not thought and (mark := _lone_closing(rest)):
            thought, said = ["".join(said), rest[: rest.index(mark)]], []
            rest = rest.split(mark, 1)[1].lstrip("\n")
        if unfinished:
            rest = rest[: len(rest) - _beginning_of(_CLOSINGS, rest)]
        if thinking:
            thought.append(rest)
            continue
        said.append(rest)
        fence = _fence_after(fence, rest)
    return Thoughtful("".join(thought).strip(), "".join(said).strip(), thinking)


def spoiler(thinking: str) -> str:
    """Thinking as Markdown that is shown when it is tapped: each line a spoiler of its own, so that none is
    cut through, and without marks of its own."""
    plain = re.sub(r"([\\`*_~|\[\]<>#])", r"\\\1", thinking)
    return "\n".join(f"{SPOILER}{piece}{SPOILER}" for line in plain.splitlines() for piece in _pieces(line))


def shown(text: str, *, ended: bool, show_thinking: bool) -> str:
    """What people get to see of a model's text."""
    parts = apart(text, ended=ended)
    if not show_thinking or not parts.thinking:
        return parts.said
    return f"{spoiler(parts.thinking)}\n\n{parts.said}".rstrip()


def _opening(line: str) -> str | None:
    return next((mark for mark in _OPENINGS if line.lstrip().startswith(mark)), None)


def _may_open(line: str) -> bool:
    begun = line.strip()
    return any(mark.startswith(begun) for mark in _OPENINGS) and bool(begun)


def _lone_closing(line: str) -> str | None:
    return next((mark for mark in _CLOSINGS if line.lstrip().startswith(mark)), None)


def _beginning_of(marks: tuple[str, ...], line: str) -> int:
    """How many of the line's last characters are the beginning of a mark."""
    lengths = range(min(len(line), max(map(len, marks)) - 1), 0, -1)
    return next((n for n in lengths if any(mark.startswith(line[-n:]) for mark in marks)), 0)


def _fence_after(fence: str | None, line: str) -> str | None:
    """The code fence that is open behind a line, if one is."""
    match = _FENCE.match(line)
    if match is None:
        return fence
    if fence is None:
        return match[1]
    return None if match[1].startswith(fence) else fence


def _pieces(line: str) -> list[str]:
    """A line in pieces short enough, cut between words where there are any."""
    pieces: list[str] = []
    line = line.strip()
    while len(line) > LONGEST_SPOILER:
        cut = line.rfind(" ", 0, LONGEST_SPOILER)
        cut = cut if cut > 0 else LONGEST_SPOILER - (line[LONGEST_SPOILER - 1] == "\\")
        pieces.append(line[:cut].strip())
        line = line[cut:].strip()
    return [*pieces, line] if line else pieces
