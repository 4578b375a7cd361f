"""Characters: how long a text is, which characters are not shown to people, where a character ends.

Knows nothing of Markdown.
"""

from __future__ import annotations

import re
import unicodedata

_HIDDEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but tab and newline
    "\u061c\u200e\u200f\u202a-\u202e"  # marks and embeddings that change the direction of text
    "\u2060-\u206f"  # word joiner, invisible operators, more of the direction
    "\u200b\ufeff"  # zero-width space, byte order mark
    "\ufdd0-\ufdef"  # noncharacters: the Telegram renderer needs some for itself
    "\ud800-\udfff"  # lone surrogates, which no encoding takes
    "\U000e0000-\U000e007f"  # tags: text that only machines see
    "]"
)
_JOINERS = "\u200c\u200d"  # zero-width non-joiner and joiner: meaningful inside words and emoji
_JOINER = re.compile(f"[{_JOINERS}]")


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units, as Telegram counts: characters beyond U+FFFF count twice."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def strip_hidden(text: str) -> str:
    """Without the characters that people can't see but that change what they see or what machines read.
    Joiners stay where they follow something to join. What comes after a character never decides on it."""
    shown = _HIDDEN.sub("", text)
    return _JOINER.sub(
        lambda joiner: joiner[0] if _joinable(shown[joiner.start() - 1 : joiner.start()]) else "", shown
    )


def _joinable(character: str) -> bool:
    """Letters, marks, emoji and their skin tones."""
    category = unicodedata.category(character) if character else ""
    return category[:1] in ("L", "M") or category in ("So", "Sk")


def joined(text: str, index: int) -> bool:
    """Whether the characters before and at `index` belong together for a reader: an approximation of
    Unicode's grapheme clusters (UAX #29) by marks, joiners, skin tones and flags."""
    before, after = text[index - 1], text[index]
    if after in _JOINERS or before == "\u200d":
        return True
    if unicodedata.category(after)[0] == "M" or "\U0001f3fb" <= after <= "\U0001f3ff":
        return True
    if not (_is_flag_letter(before) and _is_flag_letter(after)):
        return False
    run = 0
    while run < index and _is_flag_letter(text[index - 1 - run]):
        run += 1
    return run % 2 == 1


def _is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def columns(text: str) -> int:
    """Width of a text in a monospaced font: wide East Asian characters and emoji take two columns."""
    return sum(
        0 if unicodedata.category(c)[0] == "M" else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
