"""Markdown as Telegram shows it: a text, and entities that say how stretches of it look."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from adapters.markup.blocks import FENCE_LIKE, Code, blocks
from adapters.markup.characters import utf16_length
from adapters.markup.inline import is_safe_target, outside_code
from adapters.markup.plain import plain_text
from adapters.markup.sanitize import clean, sanitize
from adapters.markup.split import split
from adapters.markup.tables import tables_as_code
from adapters.types import Part

if TYPE_CHECKING:
    from telegram import MessageEntity

log = logging.getLogger(__name__)

LIMIT = 4096
"""UTF-16 code units in a message (https://core.telegram.org/bots/api#sendmessage)."""
MAX_ENTITIES = 100
"""Entities in a message; Telegram ignores those beyond (https://limits.tginfo.me)."""

# What an entity begins or ends with, and how many entities it can account for.
_MARKS = (
    (0.5, re.compile(r"\*{1,2}|`+|~~|\|\||\$+")),
    (1, re.compile(r"\]\(|(?<!\w)_{1,2}|<http|<mailto|\\[(\[]|^[ \t]*>", re.MULTILINE)),
    (1, FENCE_LIKE),
    (2, re.compile(r"^[ \t]*#", re.MULTILINE)),
)

# What the parser would swallow or change: HTML, the definitions of links, LaTeX's delimiters in code. Their
# first characters are replaced while it works, by characters that are as long and that stand for nothing.
_HTML = re.compile(r"<(?!https?://|mailto:|[\w.+-]+@[\w.-]+>)")
_DEFINITION = re.compile(r"^([ \t>]*)\[(?=[^\]\n]+\]:)", re.MULTILINE)
_LATEX = re.compile(r"\\(?=[()\[\]])")
_LESS_THAN, _BRACKET, _BACKSLASH = "\ufdd0", "\ufdd1", "\ufdd2"

_CODE = ("pre", "code")
_LINKS = ("text_link", "custom_emoji")


def telegram_parts(markdown: str) -> list[Part]:
    """An answer as messages that Telegram takes once they are rendered with `telegram_text`."""
    parts = split(clean(markdown), _fits)
    return [part for part in parts if part.file or telegram_text(part.text)[0]]


def telegram_text(markdown: str) -> tuple[str, list[MessageEntity]]:
    """What Telegram is sent for a fragment: a text of at most 4096 UTF-16 units if the fragment has no more,
    and at most 100 entities, their offsets and lengths in UTF-16 units. Empty if there is nothing to show."""
    source = sanitize(markdown)
    try:
        for padded in (True, False):
            text, entities = _convert(tables_as_code(source, padded=padded))
            if text and utf16_length(text) <= LIMIT:
                return text, entities[:MAX_ENTITIES]
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as exc:  # the parser is Rust, whose panics are no Exception
        where = "".join(traceback.format_tb(exc.__traceback__))
        log.warning("A text is sent without formatting: %s\n%s", type(exc).__name__, where)
    return plain_text(source), []


def _fits(fragment: str) -> bool:
    return utf16_length(fragment) <= LIMIT and _most_entities(fragment) <= MAX_ENTITIES


def _most_entities(markdown: str) -> float:
    """How many entities Markdown may become, estimated from above. Never less for a longer text."""
    count = 0.0
    for block in blocks(markdown):
        if isinstance(block, Code):
            count += 1
        else:
            count += sum(weight * len(mark.findall(block.text)) for weight, mark in _MARKS)
    return count


def _convert(markdown: str) -> tuple[str, list[MessageEntity]]:
    from telegramify_markdown import convert

    text, entities = convert(_guarded(markdown), config=_config())
    return _trimmed(_restored(text), entities)


@cache
def _config() -> Any:
    """Without the library's emoji before headings, and with an empty box for a task that is not done."""
    from telegramify_markdown.config import RenderConfig

    config = RenderConfig.isolated()
    symbols = config.markdown_symbol
    symbols.heading_level_1 = symbols.heading_level_2 = symbols.heading_level_3 = symbols.heading_level_4 = ""
    symbols.task_uncompleted = "☐"
    return config


def _guarded(markdown: str) -> str:
    """Markdown of which the parser shows everything, with fences that it closes where we do."""
    source = "".join(
        _guarded_code(block) if isinstance(block, Code) else outside_code(block.text, str, _without_latex)
        for block in blocks(markdown)
    )
    return _DEFINITION.sub(rf"\1{_BRACKET}", _HTML.sub(_LESS_THAN, source))


def _guarded_code(code: Code) -> str:
    closing = f"{code.fence.indentation}{code.fence.marker}\n" if code.closed else ""
    return f"{code.opening_line}\n{_without_latex(code.body)}{closing}"


def _without_latex(code: str) -> str:
    return _LATEX.sub(_BACKSLASH, code)


def _restored(text: str) -> str:
    return text.replace(_LESS_THAN, "<").replace(_BRACKET, "[").replace(_BACKSLASH, "\\")


def _trimmed(text: str, entities: Sequence[Any]) -> tuple[str, list[MessageEntity]]:
    """Without white space around the text, nor at the ends of entities but code; in the order of the text.
    White space has no characters beyond U+FFFF, so its length is the same in both units."""
    from telegram import MessageEntity

    text = text.rstrip()
    units = text.encode("utf-16-le")
    code_start = min((entity.offset for entity in entities if entity.type in _CODE), default=len(text))
    skipped = len(text) - len(text.lstrip())
    if skipped > code_start:  # the indentation of code stays
        skipped = text.rfind("\n", 0, skipped) + 1
    trimmed: list[MessageEntity] = []
    for entity in entities:
        if entity.type in _LINKS and not is_safe_target(entity.url or ""):
            continue
        start = max(entity.offset, skipped)
        content = units[2 * start : 2 * (entity.offset + entity.length)].decode("utf-16-le")
        if entity.type not in _CODE:
            start += len(content) - len(content.lstrip())
            content = content.strip()
        if content.strip():
            trimmed.append(
                MessageEntity(
                    type=entity.type,
                    offset=start - skipped,
                    length=utf16_length(content),
                    url=entity.url and _restored(entity.url),
                    language=_language(entity.language),
                )
            )
    return text[skipped:], sorted(trimmed, key=lambda entity: (entity.offset, -entity.length))


def _language(info: str | None) -> str | None:
    words = _restored(info or "").split()
    return words[0] if words else None
