"""Bring the catalogues up to what the code says: `python -m bot.locales.extract`.

Texts are those that stand within `_` and `N_`; one with a number stands within `_n` in its two English forms,
and in the catalogue in all that the language has. Translations of texts that still stand there are kept,
others go, and new texts come in without a translation. Knows nothing of what a translation should be. A
catalogue is the same for the same texts, whatever the order, file or time that they were found in.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from bot.i18n import DEFAULT, LANGUAGES, catalogue_file

ROOT = Path(__file__).parents[2]
CODE = (ROOT / "bot", ROOT / "adapters")
WIDTH = 110  # of a catalogue's lines
KEYWORDS = {"_": None, "N_": None, "_n": (1, 2)}

Text = str | tuple[str, str]
"""A text, or the two forms of one with a number: for one, for many."""


def marked(*folders: Path) -> Sequence[Text]:
    """Every text that is marked in the code, or in these folders' code: once and sorted."""
    found: set[Text] = set()
    for folder in folders or CODE:
        for _file, _line, text, _comments, _context in extract_from_dir(
            folder, method_map=[("**.py", "python")], keywords=KEYWORDS
        ):
            found.add(text if isinstance(text, str) else (text[0], text[1]))
    return sorted(found, key=_id)


def updated(known: Catalog, texts: Sequence[Text]) -> Catalog:
    """A catalogue of these texts, with the translations that are known."""
    catalogue = Catalog(known.locale)
    for text in texts:
        message = known.get(_id(text))
        same = message is not None and isinstance(message.id, tuple) == isinstance(text, tuple)
        added = catalogue.add(text, message.string if message and same else "")
        added.flags.clear()  # "30 % of" is no format of Python's
    return catalogue


def _id(text: Text) -> str:
    return text if isinstance(text, str) else text[0]


def written(catalogue: Catalog) -> bytes:
    """A catalogue as its file holds it."""
    content = BytesIO()
    write_po(content, catalogue, width=WIDTH, omit_header=True, sort_output=True)
    return content.getvalue()


def main() -> None:
    texts = marked()
    for language in LANGUAGES:
        if language == DEFAULT:
            continue
        file = catalogue_file(language)
        known = read_po(BytesIO(file.read_bytes()), locale=language) if file.is_file() else Catalog(language)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(written(updated(known, texts)))


if __name__ == "__main__":
    main()
