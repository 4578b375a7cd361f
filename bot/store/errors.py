"""What can go wrong with the database, and whether to try again. Knows nothing of what was stored."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DatabaseError as DriverError
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

_UNAVAILABLE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
}


class DatabaseError(Exception):
    """The database can't be opened or brought up to date. The message says what to do."""


class DatabaseClosed(SQLAlchemyError):
    """The application ends; nothing is written any more."""


def is_unavailable(error: BaseException) -> bool:
    """Whether an error means that the database could not be reached, read or written at all: full, locked,
    read-only, broken. The same work may succeed later."""
    if isinstance(error, DatabaseClosed):
        return True
    if not isinstance(error, DriverError) or isinstance(error, IntegrityError | ProgrammingError):
        return False
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code is None or code & 0xFF in _UNAVAILABLE  # the rest of an extended code tells details
