"""Inline markup: code spans, links, images, emphasis. Knows nothing of blocks or platforms."""

from __future__ import annotations

import re
from collections.abc import Callable

_CODE_SPAN = re.compile(r"(?<!`)(?P<ticks>`+)(?!`)(?P<code>[^\n]+?)(?<!`)(?P=ticks)(?!`)")
_TEXT = r"(?P<text>(?:[^\[\]\n\\]|\\.|\[[^\[\]\n]*\])*)"
_TARGET = r"(?:<(?P<angled>[^<>\n]*)>|(?P<bare>[^\s()]*(?:\([^\s()]*\)[^\s()]*)*))"
_TITLE = r"""(?:[ \t]+(?:"[^"\n]*"|'[^'\n]*'))?"""
_LINK = re.compile(rf"(?<!\\)\[{_TEXT}\]\([ \t]*{_TARGET}{_TITLE}[ \t]*\)")
_IMAGE = re.compile(
    rf"(?<!\\)!\[{_TEXT}\]\([ \t]*{_TARGET}{_TITLE}[ \t]*(?:\)|\Z)"
)  # \Z: still being written
_EMPHASIS = re.compile(
    r"(?<!\\)(?:(?P<mark>\*{1,3}|~~|\|\|)|(?<!\w)(?P<line>_{1,3}))(?=\S)(?P<text>[^\n]+?)(?<=[^\s\\])"
    r"(?(mark)(?P=mark)|(?P=line)(?!\w))"
)
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_HEADING = re.compile(r"^[ ]{0,3}#{1,6}(?:[ \t]+|$)", re.MULTILINE)
_SAFE_TARGET = re.compile(r"(?:https?://|mailto:)\S", re.IGNORECASE)
_NESTING = 4  # emphasis inside emphasis, as deep as it is undone

# What should not be cut through. The end of the text ends a construct too: it may be still being written.
# Longer emphasis is not waited for: more likely its marks mean something else.
_UNCUTTABLE = re.compile(
    r"https?://[^\s<>]+"
    r"|!?\[[^\[\]\n]{0,400}(?:\](?:\([^)\n]*(?:\)|\Z)|\Z)|\Z)"
    r"|(?P<ticks>`{1,3})(?!`)[^\n]{1,400}?(?:(?P=ticks)|\Z)"
    r"|(?P<mark>\*{1,3}|~~|\|\||(?<!\w)_{1,3})(?=\S)[^\n]{1,400}?(?:(?P=mark)|\Z)"
)


def outside_code(prose: str, change: Callable[[str], str], code: Callable[[str], str] = str) -> str:
    """Apply `change` to everything but code spans, and `code` to those, with their backticks."""
    changed: list[str] = []
    end = 0
    for span in _CODE_SPAN.finditer(prose):
        changed += (change(prose[end : span.start()]), code(span[0]))
        end = span.end()
    return "".join((*changed, change(prose[end:])))


def is_safe_target(url: str) -> bool:
    """Whether a link may lead there: http, https and mailto only."""
    return _SAFE_TARGET.match(url) is not None


def images_to_text(prose: str) -> str:
    """Images become their alternative text."""
    return _IMAGE.sub(lambda image: image["text"], prose)


def unsafe_links_to_text(prose: str) -> str:
    """Links that lead elsewhere than to http, https or mailto become their text."""
    return _LINK.sub(lambda link: link[0] if is_safe_target(_target(link)) else link["text"], prose)


def strip_inline(prose: str) -> str:
    """Prose without any markup: links become ``text (target)``, code and emphasis lose their marks."""
    return outside_code(_HEADING.sub("", prose), _strip_marks, _strip_ticks)


def is_heading(line: str) -> bool:
    return _HEADING.match(line) is not None


def spans(prose: str) -> list[tuple[int, int]]:
    """(start, end) of what should not be cut through, in order: links, code spans, emphasis, spoilers."""
    return [match.span() for match in _UNCUTTABLE.finditer(prose)]


def _target(link: re.Match[str]) -> str:
    return link["angled"] or link["bare"] or ""


def _strip_marks(prose: str) -> str:
    prose = _LINK.sub(lambda link: f"{link['text']} ({_target(link)})", prose)
    for _ in range(_NESTING):
        prose, count = _EMPHASIS.subn(lambda match: match["text"], prose)
        if not count:
            break
    return _ESCAPE.sub(r"\1", prose)


def _strip_ticks(span: str) -> str:
    code = span.strip("`")
    return code[1:-1] if code.startswith(" ") and code.endswith(" ") and code.strip() else code
