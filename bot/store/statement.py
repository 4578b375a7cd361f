"""Statements that every message costs, in SQL and past SQLAlchemy.

What SQLAlchemy's execution adds to a short statement is ten times what SQLite needs for it. In a unit that
runs whole in its connection's thread (`DRIVER` is in the session's `info` there) a statement is one call to
the driver, which keeps it prepared; in any other session it is executed as text. Either way values are what
SQLite stores: times as `stamp` writes them, JSON as text, and so are the columns of the rows that come back.

The session is not flushed before: what the mapper has still to write is not seen. Knows nothing of tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import CursorResult, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

DRIVER = "chorus_driver"
"""In the `info` of a session that is used in its connection's thread: the driver's own connection."""

Row = Sequence[Any]


class Statement:
    """One statement; `:name` stands for the value of that name. Raises SQLAlchemy's errors."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self._text = text(sql)

    async def rows(self, session: AsyncSession, values: Mapping[str, Any]) -> Sequence[Row]:
        """Execute it; gives what it returns."""
        driver = session.info.get(DRIVER)
        if driver is None:
            result = cast(CursorResult[Any], await session.execute(self._text, values))
            return result.all() if result.returns_rows else ()
        try:
            cursor = driver.execute(self.sql, values)
            rows: list[Row] = cursor.fetchall() if cursor.description else []
        except sqlite3.Error as error:
            raise DBAPIError.instance(self.sql, None, error, sqlite3.Error, hide_parameters=True) from error
        return rows

    async def row(self, session: AsyncSession, values: Mapping[str, Any]) -> Row | None:
        """Execute it; gives its first row, if it returns one."""
        rows = await self.rows(session, values)
        return rows[0] if rows else None

    async def run(self, session: AsyncSession, values: Mapping[str, Any]) -> None:
        """Execute it for what it changes."""
        await self.rows(session, values)


def stamp(at: datetime) -> str:
    """A time as it is stored: in UTC, to the microsecond. `at` is aware."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def stamped(text: str) -> datetime:
    """The time that a stamp stands for."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
