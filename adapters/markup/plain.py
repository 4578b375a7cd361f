"""Markdown as plain text, for when a platform refuses formatting."""

from __future__ import annotations

from adapters.markup.blocks import Code, blocks
from adapters.markup.inline import strip_inline
from adapters.markup.sanitize import sanitize


def plain_text(markdown: str) -> str:
    """A fragment without any formatting. Never longer than the fragment, so it fits if the fragment does."""
    return "".join(
        block.content() + "\n" * block.text.endswith("\n")
        if isinstance(block, Code)
        else strip_inline(block.text)
        for block in blocks(sanitize(markdown))
    ).strip()
