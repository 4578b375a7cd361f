"""Markdown as Discord shows it. What Discord lacks becomes what it has; mentions and link previews are the
client's to suppress."""

from __future__ import annotations

import re

from adapters.markup.blocks import Code, blocks
from adapters.markup.characters import utf16_length
from adapters.markup.sanitize import clean, sanitize
from adapters.markup.split import split
from adapters.markup.tables import tables_as_code
from adapters.types import Part

LIMIT = 2000
"""Characters in a message (https://discord.com/developers/docs/resources/message). It is not said how those
beyond U+FFFF count; they are counted twice here, to be safe."""

_DEEP_HEADING = re.compile(r"^[ ]{0,3}#{4,6}[ \t]+(?P<title>[^\n]*?)[ \t#]*$", re.MULTILINE)
_LANGUAGE = re.compile(r"[a-z0-9_+.#-]+")


def discord_parts(markdown: str) -> list[Part]:
    """An answer as messages that Discord takes once they are rendered with `discord_text`."""
    parts = split(clean(markdown), lambda fragment: utf16_length(fragment) <= LIMIT)
    return [part for part in parts if part.file or discord_text(part.text)]


def discord_text(markdown: str) -> str:
    """What Discord is sent for a fragment: at most 2000 characters if the fragment has no more. Empty if
    there is nothing to show."""
    source = sanitize(markdown)
    for padded in (True, False):
        text = _render(tables_as_code(source, padded=padded))
        if utf16_length(text) <= LIMIT:
            return text
    return source.strip()


def _render(markdown: str) -> str:
    return "".join(
        _code(block) if isinstance(block, Code) else _DEEP_HEADING.sub(_bold, block.text)
        for block in blocks(markdown)
    ).strip()


def _code(code: Code) -> str:
    """Discord knows one fence, of three backticks, and a language only as a single word behind it."""
    if not code.body.strip():
        return ""
    body = code.body.replace("```", "`\u200b`\u200b`")  # a zero-width space keeps them from ending the block
    language = code.fence.language if _LANGUAGE.fullmatch(code.fence.language) else ""
    body = body.removesuffix("\n")
    return f"{code.fence.container}```{language}\n{body}\n{code.fence.indentation}```\n"


def _bold(heading: re.Match[str]) -> str:
    title = heading["title"].replace("**", "")
    return f"**{title}**" if title else ""
