"""SQLite's driver with one step to its thread a statement.

aiosqlite takes a cursor's every call to the connection's thread and back: to make it, to execute, to fetch,
to close. Here a statement is executed and its rows are fetched in one such step, which is most of what a
short statement costs. Knows nothing of SQLAlchemy but what it calls.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Self

import aiosqlite


class OneStepCursor:
    """As much of a cursor as SQLAlchemy uses. All rows are there as soon as the statement is executed."""

    arraysize = 1

    def __init__(self, connection: OneStepConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Any = ()) -> None:
        await self._connection.in_thread(self._execute, statement, parameters)

    async def executemany(self, statement: str, parameters: Iterable[Any]) -> None:
        await self._connection.in_thread(self._executemany, statement, parameters)

    async def fetchall(self) -> Sequence[Any]:
        return self._rows

    async def close(self) -> None:
        """Nothing is open."""

    def _execute(self, connection: sqlite3.Connection, statement: str, parameters: Any) -> None:
        self._keep(connection.execute(statement, parameters))

    def _executemany(self, connection: sqlite3.Connection, statement: str, parameters: Any) -> None:
        self._keep(connection.executemany(statement, parameters))

    def _keep(self, cursor: sqlite3.Cursor) -> None:
        self.description = cursor.description
        self._rows = cursor.fetchall() if cursor.description else []
        self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid
        cursor.close()


class OneStepConnection(aiosqlite.Connection):
    """A connection whose cursors take one step."""

    def cursor(self) -> OneStepCursor:  # type: ignore[override]
        return OneStepCursor(self)

    async def in_thread(self, call: Any, *arguments: Any) -> None:
        await self._execute(call, self._conn, *arguments)  # type: ignore[no-untyped-call]


def connect(database: str, **options: Any) -> OneStepConnection:
    """As aiosqlite.connect. The thread keeps no process alive."""
    connection = OneStepConnection(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)
    connection._thread.daemon = True
    return connection
