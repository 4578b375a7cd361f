"""The database: opened once, migrated at start, written by one transaction at a time.

SQLite runs in WAL mode: readers never wait for the writer. Writers of this process queue on a lock, so that
"database is locked" can only come from another process, for which the busy timeout waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

BUSY_TIMEOUT_MS = 10_000
BEGIN = "chorus_begin"  # execution option: how a transaction of this session begins


class DatabaseError(Exception):
    """The database can't be opened or brought up to date. The message says what to do."""


class Database:
    """The database behind `url`. Open it with `async with`; it is then at the newest schema."""

    def __init__(self, url: str) -> None:
        try:
            self._url = make_url(url)
            self._engine: AsyncEngine = create_async_engine(self._url)
        except (ArgumentError, NoSuchModuleError) as error:
            raise DatabaseError(
                f"the database URL can't be used ({error}); "
                "it looks like sqlite+aiosqlite:////path/chorus.sqlite3"
            ) from error
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_sqlite)
        self._read = async_sessionmaker(self._engine, expire_on_commit=False)
        writing = self._engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
        self._write = async_sessionmaker(writing, expire_on_commit=False)
        self._writer = asyncio.Lock()

    async def __aenter__(self) -> Self:
        if self._url.get_backend_name() == "sqlite" and self._url.database not in (None, "", ":memory:"):
            try:
                Path(str(self._url.database)).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise DatabaseError(
                    f"the database's folder can't be made: {error}; set CHORUS_DATABASE__URL to another place"
                ) from error
        try:
            await self.upgrade()
        except DBAPIError as error:
            await self._engine.dispose()
            raise DatabaseError(
                f"the database {self._url.database} can't be opened: {error.orig}; check that the file "
                "and its folder may be written, or set CHORUS_DATABASE__URL to another place"
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._engine.dispose()

    async def upgrade(self) -> None:
        """Bring the schema to the newest version."""
        async with self._engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
            await connection.run_sync(_upgrade)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one state of the database and changes nothing."""
        async with self._read() as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """The one writing transaction: commits at the end, rolls back on an exception. Keep it short, and
        reach no platform from within."""
        async with self._writer, self._write() as session, session.begin():
            yield session


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
    cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",  # what is committed survives a power cut, not only a crash
        "foreign_keys = ON",
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(str(connection.get_execution_options().get(BEGIN, "BEGIN")))


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "migrations:.")  # the installed package of that name
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
