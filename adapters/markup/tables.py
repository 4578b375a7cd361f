"""Tables, which neither platform has: shown as code, in aligned columns.

Only tables whose lines begin with a pipe are seen: that is how models write them. Knows nothing of platforms.
"""

from __future__ import annotations

import re

from adapters.markup.blocks import Code, blocks
from adapters.markup.characters import columns
from adapters.markup.inline import strip_inline

_TABLE = re.compile(
    r"^(?P<head>[ \t]*\|[^\n]*\n[ \t]*\|[ \t:|]*-[ \t:|-]*(?:\n|\Z))(?P<rows>(?:[ \t]*\|[^\n]*(?:\n|\Z))*)",
    re.MULTILINE,
)
_CELL_BORDER = re.compile(r"(?<!\\)\|")
_LINE_BREAK_TAG = re.compile(r"<br\s*/?>", re.IGNORECASE)


def tables_as_code(markdown: str, *, padded: bool) -> str:
    """Markdown with every table as a code block, its cells padded to columns or only set apart."""
    return "".join(
        block.text
        if isinstance(block, Code)
        else _TABLE.sub(lambda found: _as_code(found, padded), block.text)
        for block in blocks(markdown)
    )


def head_at(prose: str, position: int) -> str:
    """The two lines that head the table among whose rows `position` is; empty if there is no such table."""
    for table in _TABLE.finditer(prose):
        if table.end("head") - 1 <= position <= table.end():
            return table["head"]
    return ""


def is_row(text: str) -> bool:
    """Whether a text begins with a table's row."""
    return text.lstrip(" \t").startswith("|")


def _as_code(table: re.Match[str], padded: bool) -> str:
    head, rule, *lines = table[0].removesuffix("\n").split("\n")
    rows = [_cells(line) for line in (head, *lines)]
    rights = [cell.endswith(":") and not cell.startswith(":") for cell in _cells(rule)]
    widths = [0] * max(map(len, rows))
    if padded:
        for row in rows:
            widths[: len(row)] = [max(*pair) for pair in zip(widths, map(columns, row), strict=False)]
    shown = [_line(row, widths, rights) for row in rows]
    shown.insert(1, "-+-".join("-" * max(width, 1) for width in widths))
    return "\n".join(("```", *shown, "```")) + "\n" * table[0].endswith("\n")


def _cells(line: str) -> list[str]:
    cells = _CELL_BORDER.split(line.strip().removeprefix("|"))
    if len(cells) > 1 and not cells[-1].strip():
        cells.pop()
    return [strip_inline(_LINE_BREAK_TAG.sub(" ", cell)).strip() for cell in cells]


def _line(row: list[str], widths: list[int], rights: list[bool]) -> str:
    cells = []
    for index, cell in enumerate(row):
        padding = " " * (widths[index] - columns(cell))
        right = index < len(rights) and rights[index]
        cells.append(padding + cell if right else cell + padding)
    return " | ".join(cells).rstrip()
