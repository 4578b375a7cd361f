"""Bring the catalogues up to what the code says: `python -m bot.locales.extract`.

Texts are those that stand within `_` and `N_`. Translations of texts that still stand there are kept, others
go, and new texts come in without a translation. Knows nothing of what a translation should be. A catalogue
is the same for the same texts, whatever the order, file or time that they were found in.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from bot.i18n import DEFAULT, LANGUAGES, catalogue_file

CODE = Path(__file__).parents[1]
WIDTH = 110  # of a catalogue's lines


def marked(code: Path = CODE) -> Sequence[str]:
    """Every text that is marked in a folder's code, once and sorted."""
    found = extract_from_dir(code, method_map=[("**.py", "python")], keywords={"_": None, "N_": None})
    return sorted({text for _file, _line, text, _comments, _context in found if isinstance(text, str)})


def updated(known: Catalog, texts: Sequence[str]) -> Catalog:
    """A catalogue of these texts, with the translations that are known."""
    catalogue = Catalog()
    for text in texts:
        message = known.get(text)
        added = catalogue.add(text, message.string if message else "")
        added.flags.clear()  # "30 % of" is no format of Python's
    return catalogue


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
        known = read_po(BytesIO(file.read_bytes())) if file.is_file() else Catalog()
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(written(updated(known, texts)))


if __name__ == "__main__":
    main()
