"""Blocks: where Markdown is prose and where it is fenced code.

Follows CommonMark's fences, more loosely: a fence may be indented by any list, so that its end is found even
where the list's beginning stands in an earlier part. Knows nothing of inline markup or of platforms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# What may stand before a fence: indentation, quotes, list markers. All lengths are bounded, so that closing
# and reopening a fence never takes more room than a part has.
_CONTAINERS = r"[ \t]{0,40}(?:(?:>|[-*+]|\d{1,9}[.)])[ \t]{1,4}|>){0,4}"
_OPENING = re.compile(
    rf"(?P<container>{_CONTAINERS})(?P<marker>`{{3,8}}(?!`)|~{{3,8}}(?!~))(?P<info>[^`\n]{{0,80}})"
)
FENCE_LIKE = re.compile(rf"^{_CONTAINERS}(?:```|~~~)", re.MULTILINE)
"""Finds every line that opens a fence, and lines that only begin like one."""
_MAX_QUOTES = 3
LONGEST_CLOSING = "> " * _MAX_QUOTES + "`" * 8
"""No fence's `closing` is longer."""


@dataclass(frozen=True, slots=True)
class Fence:
    """The opening line of a code block: ``- ```python`` has the container ``- ``, the marker of three
    backticks and the info ``python``."""

    container: str
    marker: str
    info: str

    @property
    def language(self) -> str:
        """The info string's first word, lower case; empty if there is none."""
        return self.info.split()[0].lower() if self.info.strip() else ""

    @property
    def quotes(self) -> str:
        return "> " * self.container.count(">")

    @property
    def opening(self) -> str:
        """The line that opens it again, outside any list."""
        return f"{self.quotes}{self.marker}{self.info}"

    @property
    def closing(self) -> str:
        """The line that closes it wherever it was opened."""
        return f"{self.quotes}{self.marker}"

    @property
    def indentation(self) -> str:
        """What stands before its other lines, inside the quote and the list item in which it was opened."""
        return re.sub(r"[^\s>]", " ", self.container)

    def is_closed_by(self, line: str) -> bool:
        rest = line.lstrip(" \t>" if self.quotes else " \t")
        run = len(rest) - len(rest.lstrip(self.marker[0]))
        return run >= len(self.marker) and not rest[run:].strip()

    def is_left_by(self, line: str) -> bool:
        """Whether the quote that the fence stands in ends before `line`."""
        return bool(self.quotes) and bool(line.strip()) and not line.lstrip().startswith(">")


@dataclass(frozen=True, slots=True)
class Prose:
    """Everything between code blocks."""

    start: int  # index in the Markdown
    text: str

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Code:
    """A fenced code block. `text` is its whole source, with its last line break; `body` is `text` without
    the fence lines."""

    start: int  # index in the Markdown
    text: str
    fence: Fence
    body: str
    closed: bool

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def opening_line(self) -> str:
        """The first line as it was written, without its line break."""
        return self.text.partition("\n")[0]

    @property
    def body_start(self) -> int:
        return min(self.start + len(self.opening_line) + 1, self.end)

    @property
    def body_end(self) -> int:
        return self.body_start + len(self.body)

    def content(self) -> str:
        """The code itself: the body without the quote marks and the indentation of its container."""
        return "\n".join(self._unwrap(line) for line in self.body.removesuffix("\n").split("\n"))

    def _unwrap(self, line: str) -> str:
        container = self.fence.container
        if quotes := container.count(">"):
            line = re.sub(rf"\A(?:[ \t]*>[ \t]?){{0,{quotes}}}", "", line)
            container = container.rpartition(">")[2].removeprefix(" ")
        return re.sub(rf"\A[ \t]{{0,{len(container)}}}", "", line)


def opening(line: str) -> Fence | None:
    """The fence that a line opens, if it does."""
    match = _OPENING.fullmatch(line)
    if match is None or match["container"].count(">") > _MAX_QUOTES:
        return None
    return Fence(match["container"], match["marker"], match["info"].strip())


def blocks(markdown: str) -> Iterator[Prose | Code]:
    """The blocks in order: their `text` joined is the Markdown. An unclosed fence runs to the end."""
    start = position = 0
    body_start = 0
    fence: Fence | None = None
    for line in markdown.split("\n"):
        end = min(position + len(line) + 1, len(markdown))
        if fence is None:
            if opened := opening(line):
                if position > start:
                    yield Prose(start, markdown[start:position])
                start, body_start, fence = position, end, opened
        elif fence.is_closed_by(line):
            yield Code(start, markdown[start:end], fence, markdown[body_start:position], closed=True)
            start, fence = end, None
        elif fence.is_left_by(line):
            yield Code(start, markdown[start:position], fence, markdown[body_start:position], closed=False)
            start, fence = position, None
        position = end
    if fence is not None:
        yield Code(start, markdown[start:], fence, markdown[body_start:], closed=False)
    elif start < len(markdown):
        yield Prose(start, markdown[start:])
