"""What the bot says, in the language of whom it speaks to. Knows nothing of what is said.

Texts stand in the code in English, marked by `_`, those with a number by `_n`; catalogues translate them:
locales/LANGUAGE/chorus.po, kept up to the code by `make texts`. A further language is an entry in LANGUAGES,
its catalogue, and its tag in Telegram's menus. The language belongs to the task that answers: whoever takes
up an event opens `speaking` around its work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from gettext import c2py
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
_called: ContextVar[Mapping[str, str]] = ContextVar("called", default={})  # noqa: B039  never changed
_COMMAND = re.compile(r"(?<![\w/])/(\w+)")


@contextmanager
def speaking(tag: str | None) -> Iterator[None]:
    """Within, `_` gives texts in the language of an IETF tag ("de-AT"), in English if the bot speaks none
    near it."""
    token = _language.set(nearest(tag))
    try:
        yield
    finally:
        _language.reset(token)


@contextmanager
def calling(names: Mapping[str, str]) -> Iterator[None]:
    """Within, texts call commands as the platform does: by their first words, where it has other ones."""
    token = _called.set(names)
    try:
        yield
    finally:
        _called.reset(token)


def named(text: str) -> str:
    """A text with its commands as the platform calls them."""
    names = _called.get()
    return _COMMAND.sub(lambda found: f"/{names.get(found[1], found[1])}", text) if names else text


def nearest(tag: str | None) -> str:
    """The language that the bot speaks nearest to a tag."""
    primary = (tag or DEFAULT).replace("_", "-").split("-")[0].lower()
    return primary if primary in LANGUAGES else DEFAULT


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A language's translations: of texts, and of texts with a number in all their forms; `form` tells which
    of them a number takes."""

    texts: Mapping[str, str]
    counted: Mapping[str, tuple[str, ...]]  # by the text for one
    form: Callable[[int], int]


def _(text: str) -> str:
    """`text` in the current language."""
    return named(_catalogue(_language.get()).texts.get(text, text))


def _n(one: str, many: str, count: int) -> str:
    """`one` or `many` in the current language, in the form that it has for `count`: Russian has three,
    Chinese one. `count` is filled in by the caller, as everything else."""
    catalogue = _catalogue(_language.get())
    forms = catalogue.counted.get(one)
    return named(forms[catalogue.form(count)] if forms else one if count == 1 else many)


def translated(text: str, tag: str | None) -> str:
    """`text` in the language of an IETF tag."""
    return _catalogue(nearest(tag)).texts.get(text, text)


def translations(text: str) -> Mapping[str, str]:
    """`text` in every other language that the bot speaks, by tag: for what platforms want beforehand."""
    found = {tag: _catalogue(tag).texts.get(text) for tag in LANGUAGES if tag != DEFAULT}
    return {tag: translated for tag, translated in found.items() if translated}


def N_(text: str) -> str:  # noqa: N802  gettext's own name for it
    """Marks a text that is translated later, where it is shown."""
    return text


def catalogue_file(language: str) -> Path:
    """Where a language's translations stand."""
    return _LOCALES / language / "chorus.po"


@cache
def _catalogue(language: str) -> Catalogue:
    from babel.messages.pofile import read_po

    file = catalogue_file(language)
    if not file.is_file():
        return Catalogue({}, {}, lambda _count: 0)
    with file.open("rb") as content:
        messages = read_po(content, locale=language)
    texts: dict[str, str] = {}
    counted: dict[str, tuple[str, ...]] = {}
    for message in messages:
        match message.id, message.string:
            case str(text), str(translation) if translation:
                texts[text] = translation
            case [str(one), _many], [*forms] if all(forms):
                counted[one] = tuple(map(str, forms))
    return Catalogue(texts, counted, c2py(messages.plural_expr))
