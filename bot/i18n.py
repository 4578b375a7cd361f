"""What the bot says, in the language of whom it speaks to. Knows nothing of what is said.

Texts stand in the code in English, marked by `_`; catalogues translate them: locales/LANGUAGE/chorus.po, kept
up to the code by `make texts`. A further language is an entry in LANGUAGES, its catalogue, and its tag in
Telegram's menus. The language belongs to the task that answers: whoever takes up an event opens `speaking`
around its work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

DEFAULT = "en"
LANGUAGES: Mapping[str, str] = {
    "en": "English",
    "de": "Deutsch",
    "es": "Español",
    "fr": "Français",
    "ru": "Русский",
    "zh": "中文",
}
"""What the bot speaks, by language tag, each called as its speakers call it."""

_LOCALES = Path(__file__).parent / "locales"
_language: ContextVar[str] = ContextVar("language", default=DEFAULT)


@contextmanager
def speaking(tag: str | None) -> Iterator[None]:
    """Within, `_` gives texts in the language of an IETF tag ("de-AT"), in English if the bot speaks none
    near it."""
    token = _language.set(nearest(tag))
    try:
        yield
    finally:
        _language.reset(token)


def nearest(tag: str | None) -> str:
    """The language that the bot speaks nearest to a tag."""
    primary = (tag or DEFAULT).replace("_", "-").split("-")[0].lower()
    return primary if primary in LANGUAGES else DEFAULT


def _(text: str) -> str:
    """`text` in the current language."""
    return _catalogue(_language.get()).get(text, text)


def translations(text: str) -> Mapping[str, str]:
    """`text` in every other language that the bot speaks, by tag: for what platforms want beforehand."""
    found = {tag: _catalogue(tag).get(text) for tag in LANGUAGES if tag != DEFAULT}
    return {tag: translated for tag, translated in found.items() if translated}


def N_(text: str) -> str:  # noqa: N802  gettext's own name for it
    """Marks a text that is translated later, where it is shown."""
    return text


def catalogue_file(language: str) -> Path:
    """Where a language's translations stand."""
    return _LOCALES / language / "chorus.po"


@cache
def _catalogue(language: str) -> Mapping[str, str]:
    from babel.messages.pofile import read_po

    file = catalogue_file(language)
    if not file.is_file():
        return {}
    with file.open("rb") as content:
        catalogue = read_po(content)
    return {
        message.id: message.string
        for message in catalogue
        if isinstance(message.id, str) and isinstance(message.string, str) and message.string
    }
