"""What is done to an SQLite file as a whole: a copy of it, a check. Works beside a bot that writes.

Everything here blocks; it is for the command line. Raises sqlite3.Error and OSError.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from bot.store.schema import newest_schema

PAGES = 1000  # copied in one step


def backup(file: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """A copy as of this moment, whatever is written meanwhile. `progress` is told pages: done, all."""
    with closing(_open(file)) as source, closing(sqlite3.connect(target)) as copy:
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on it sees one state
        source.backup(
            copy, pages=PAGES, progress=lambda _status, left, pages: progress(pages - left, pages), sleep=0
        )
        copy.execute("PRAGMA journal_mode = DELETE")  # the copy is one file


def check(file: Path) -> Iterator[str]:
    """What is wrong with the file, a line each; nothing if all is well."""
    with closing(_open(file)) as database:
        try:
            found = [row[0] for row in database.execute("PRAGMA integrity_check")]
        except sqlite3.DatabaseError as error:
            found = [str(error)]
        if found != ["ok"]:
            yield from (f"the file is damaged: {line}" for line in found)
            return
        version = _version(database)
        if version != newest_schema():
            yield (
                f"the schema is version {version or 'none'}, and this program's is {newest_schema()}; "
                "`chorus db upgrade` brings it up to date"
            )
        for table, row, parent, _ in database.execute("PRAGMA foreign_key_check"):
            yield f"row {row} of {table} belongs to a row of {parent} that is not there"


def _open(file: Path) -> sqlite3.Connection:
    """For reading; a file that is not there is not made."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def _version(database: sqlite3.Connection) -> str | None:
    try:
        row = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None
    return None if row is None else str(row[0])
