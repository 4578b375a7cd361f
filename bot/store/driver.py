"""SQLite's driver with one step to its thread a statement.

aiosqlite takes a cursor's every call to the connection's thread and back: to make it, to execute, to fetch,
to close. Here a statement is executed and its rows are fetched in one such step, which is most of what a
short statement costs; and `whole` takes a coroutine that does nothing but use the connection to the thread as
a whole, where each of its statements is a plain call. Knows nothing of SQLAlchemy but what it calls.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Self, TypeVar

import aiosqlite

T = TypeVar("T")


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
    """A connection whose cursors take one step, and no step at all within its thread."""

    def cursor(self) -> OneStepCursor:  # type: ignore[override]
        return OneStepCursor(self)

    @property
    def driver(self) -> sqlite3.Connection:
        """The connection itself, for its thread alone."""
        return self._conn

    async def in_thread(self, call: Any, *arguments: Any) -> None:
        await self._execute(call, self._conn, *arguments)

    async def whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the connection's thread. It may await nothing but this connection, and is not
        left half done: who is cancelled meanwhile still waits for it."""
        running = asyncio.ensure_future(self._execute(driven, work))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise
        result: T = running.result()
        return result

    async def rollback(self) -> None:
        if self.in_transaction:  # the pool rolls back whatever is given back to it
            await super().rollback()

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.current_thread() is self._thread:
            return fn(*args, **kwargs)
        return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]


def driven(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never has to wait. Raises RuntimeError if it does."""
    try:
        work.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    work.close()
    raise RuntimeError("a unit of work may wait for nothing but its own statements")


def connect(database: str, **options: Any) -> OneStepConnection:
    """As aiosqlite.connect. The thread keeps no process alive."""
    connection = OneStepConnection(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)
    connection._thread.daemon = True
    return connection
