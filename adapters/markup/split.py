"""Cutting an answer into parts that fit, where it disturbs a reader least.

Knows nothing of platforms: `fits` says what a part may be. Where to cut is decided on the shortest beginning
of the text that does not fit, and so does not change when the text goes on.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import NamedTuple

from adapters.markup.blocks import LONGEST_CLOSING, Code, Fence, Prose, blocks
from adapters.markup.characters import joined
from adapters.markup.files import as_file
from adapters.markup.inline import is_heading, spans
from adapters.markup.tables import head_at, is_row
from adapters.types import Part

Fits = Callable[[str], bool]

_FIRST_PROBE = 512  # characters; from here the search doubles until a text does not fit
_LONGEST_CHARACTER = 32  # code points that readers see as one character; a longer sequence may be cut

_PARAGRAPH_END = re.compile(r"(?=\n[ \t]*\n)")
_LINE_END = re.compile(r"(?=\n)")
_WHITE_SPACE = re.compile(r"(?:[^\S\n]*\n)+|[^\S\n]*")  # not the indentation of the line that follows


def split(markdown: str, fits: Fits, *, file_above: int = 8000) -> list[Part]:
    """Cut Markdown into parts, each of which `fits`.

    `fits` must be monotone: what does not fit must not fit with more text behind it; and it must take at
    least some 200 characters. Nothing is lost but white space where it was cut. A code block that is cut is
    closed and opened again, a table's head is repeated, and a code block longer than `file_above` characters
    becomes a file.

    While the text grows, the parts before the last stay the same, except where a code block grows longer
    than `file_above`: what was several parts then becomes one file.
    """
    parts: list[Part] = []
    start = 0
    for block in blocks(markdown):
        if isinstance(block, Code) and len(block.body) > file_above:
            parts += map(Part, _fragments(markdown[start : block.start], fits))
            parts.append(as_file(block))
            start = block.end
    parts += map(Part, _fragments(markdown[start:], fits))
    return parts


def _fragments(text: str, fits: Fits) -> Iterator[str]:
    text = text.rstrip()
    start = _skip_white_space(text, 0)
    head = ""  # what the next fragment repeats: the opening of a cut code block, the head of a cut table
    while start < len(text):
        rest = text[start:]
        room = _room(head, rest, fits)
        if room is None:
            yield _closed(head + rest)
            return
        if is_row(head) and room < len(head):
            head = ""  # a table whose head leaves no room for its rows
            continue
        window = head + rest[: max(room, 1) + 1]
        cut = _best_cut(window, len(head))
        start += cut - len(head)
        if fence := _fence_at(window, cut):
            yield f"{window[:cut]}\n{fence.closing}"
            start, head = _resume_code(text, start, fence)
        else:
            if fragment := window[:cut].rstrip():
                yield _closed(fragment)
            start = _skip_white_space(text, start)
            head = head_at(window, cut) if is_row(text[start:]) else ""


def _room(head: str, rest: str, fits: Fits) -> int | None:
    """How many characters of `rest` fit behind `head`; None if all do."""

    def fit(count: int) -> bool:
        text = head + rest[:count]
        return fits(f"{text}\n{LONGEST_CLOSING}" if "```" in text or "~~~" in text else text)

    low, high = 0, min(_FIRST_PROBE, len(rest))
    while fit(high):
        if high == len(rest):
            return None
        low, high = high, min(2 * high, len(rest))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fit(middle) else (low, middle)
    return low


def _best_cut(window: str, start: int) -> int:
    """The index to cut at: the last of the best kind there is behind the middle, or else behind `start`. All
    of `window` but its last character fits."""
    end = len(window) - 1
    places = [place for place in _places(window) if start < place.position <= end]
    middle = (start + end) // 2
    later = [place for place in places if place.position > middle]
    if best := min(later or places, key=lambda place: (place.kind, -place.position), default=None):
        return best.position
    return _last_character_end(window, start, end)


class _Kind(IntEnum):
    """What ends at a place to cut, the best first."""

    PARAGRAPH = 1  # or a code block, or what stands before one
    LINE = 2  # of prose, or the last before a blank line in code
    CODE_LINE = 3
    SENTENCE = 4
    WORD = 5
    MARKUP = 6  # nothing: inside a link, a code span or emphasis, in a heading or right behind it


_ENDS = {
    _Kind.PARAGRAPH: _PARAGRAPH_END,
    _Kind.LINE: _LINE_END,
    _Kind.SENTENCE: re.compile(r"(?<=[.!?…])[\"'”’»)\]*_]*(?=\s)|(?<=[。！？])"),
    _Kind.WORD: re.compile(r"(?=[ \t])"),
}


class _Place(NamedTuple):
    position: int
    kind: _Kind


def _places(window: str) -> Iterator[_Place]:
    for block in blocks(window):
        yield from _places_in_code(block) if isinstance(block, Code) else _places_in_prose(block)


def _places_in_prose(prose: Prose) -> Iterator[_Place]:
    text = prose.text
    markup = spans(text)
    starts = [start for start, _ in markup]

    def place(index: int, kind: _Kind) -> _Place:
        span = bisect_left(starts, index) - 1  # the last that begins before the index
        in_markup = span >= 0 and index < markup[span][1]
        in_heading = is_heading(text[text.rfind("\n", 0, index) + 1 : index])
        return _Place(prose.start + index, _Kind.MARKUP if in_markup or in_heading else kind)

    for kind, pattern in _ENDS.items():
        for match in pattern.finditer(text):
            yield place(match.end(), kind)
    if text.endswith("\n"):
        yield place(len(text) - 1, _Kind.PARAGRAPH)


def _places_in_code(code: Code) -> Iterator[_Place]:
    for match in _LINE_END.finditer(code.body):
        index = code.body_start + match.start()
        if index > code.body_start:
            blank_follows = _PARAGRAPH_END.match(code.body, match.start())
            yield _Place(index, _Kind.LINE if blank_follows else _Kind.CODE_LINE)
    if code.closed and code.text.endswith("\n"):
        yield _Place(code.end - 1, _Kind.PARAGRAPH)


def _last_character_end(window: str, start: int, end: int) -> int:
    """The last index up to `end` that does not divide what readers see as one character."""
    for index in range(end, max(start, end - _LONGEST_CHARACTER), -1):
        if not joined(window, index):
            return index
    return end


def _fence_at(window: str, index: int) -> Fence | None:
    """The fence of the code block whose body `index` is in."""
    for block in blocks(window):
        if isinstance(block, Code) and block.body_start <= index <= block.body_end:
            inside = index < block.body_end or not block.closed
            return block.fence if inside else None
    return None


def _resume_code(text: str, start: int, fence: Fence) -> tuple[int, str]:
    """Where the text goes on behind a cut in code, and what opens the code again, if more of it follows."""
    if text.startswith("\n", start):
        start += 1
    line = text[start:].partition("\n")[0]
    if fence.is_closed_by(line):
        return _skip_white_space(text, start + len(line)), ""
    if fence.is_left_by(line):
        return _skip_white_space(text, start), ""
    return start, f"{fence.opening}\n"


def _skip_white_space(text: str, start: int) -> int:
    match = _WHITE_SPACE.match(text, start)
    return match.end() if match else start


def _closed(fragment: str) -> str:
    """The fragment with its last code block closed: one that is not over, or a line that was cut so short
    that it looks like the opening of one."""
    *_, last = blocks(fragment)
    if isinstance(last, Code) and not last.closed:
        return f"{fragment}\n{last.fence.closing}"
    return fragment
