"""The database: opened once, migrated at start, written by one transaction at a time.

    write ──▶ unit ─┐
    write ──▶ unit ─┼─ savepoints of one transaction ── commit (one fsync) ──▶ all of them return
    write ──▶ unit ─┘

A unit that is given as a function runs whole in the thread of the connection, with all that wait like it: one
step there and back for the transaction, however many statements it has, and no savepoints unless one fails.

SQLite runs in WAL mode: readers never wait for the writer. Units of work that wait for it at the same time
share a transaction: each is atomic by its savepoint, and none returns before the commit. "database is locked"
can only come from another process, for which the busy timeout waits. A database that can't be written is said
once, and once more when it works again; whoever wanted to write is told by an exception each time.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, ExceptionContext, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from bot.store import schema
from bot.store.driver import connect
from bot.store.errors import DatabaseError, is_unavailable
from bot.store.units import Unit, Whole, Work, looked
from bot.store.writer import BEGIN, Writer

log = logging.getLogger(__name__)

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

BUSY_TIMEOUT_MS = 5_000
LOOKING = 3  # reads of `look` beside one another: more only wait for each other, and for new connections
WAL_LIMIT = 64 * 2**20  # bytes; larger than that only while someone reads for long
VACUUM_PAGES = 500  # given back to the disk at once: short enough to hold nobody up
FIRST_PAUSE = timedelta(seconds=0.5)  # before a database that failed is tried again
LONGEST_PAUSE = timedelta(seconds=15)
INCREMENTAL = 2  # as PRAGMA auto_vacuum tells it

PRAGMAS: tuple[str, ...] = (
    f"busy_timeout = {BUSY_TIMEOUT_MS}",
    "journal_mode = WAL",
    "synchronous = FULL",  # what is committed survives a power cut, not only a crash
    "foreign_keys = ON",
    f"busy_timeout = {BUSY_TIMEOUT_MS}",
    "secure_delete = ON",  # what is deleted is overwritten: a person's words are really gone
    f"journal_size_limit = {WAL_LIMIT}",
)


class Database:
    """The database behind `url`. Open it with `async with`; it is then at the newest schema."""

    def __init__(self, url: str) -> None:
        try:
            self._url = make_url(url)
            driver = {"async_creator_fn": connect} if self._url.get_driver_name() == "aiosqlite" else {}
            self._engine: AsyncEngine = create_async_engine(
                self._url,
                connect_args=driver,
                hide_parameters=True,  # people's words are no error text
            )
            self._writing = create_async_engine(
                self._url, connect_args=driver, hide_parameters=True, pool_size=1, max_overflow=0
            )
        except (ArgumentError, NoSuchModuleError, TypeError) as error:
            raise DatabaseError(
                f"the database URL can't be used ({error}); "
                "it looks like sqlite+aiosqlite:////path/chorus.sqlite3"
            ) from error
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        if self._is_sqlite:
            for engine in (self._engine, self._writing):
                event.listen(engine.sync_engine, "connect", _prepare_sqlite)
                event.listen(engine.sync_engine, "begin", _begin_sqlite)
        event.listen(self._writing.sync_engine, "handle_error", _keep_connection)
        self._read = async_sessionmaker(self._engine, expire_on_commit=False)
        self._writer = Writer(self._writing, self.file)
        self._writes: asyncio.Task[None] | None = None
        self._looking = asyncio.Semaphore(LOOKING)

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database."""
        if not self._is_sqlite or self._url.database in (None, "", ":memory:"):
            return None
        return Path(str(self._url.database))

    async def __aenter__(self) -> Self:
        if self.file is not None:
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise DatabaseError(
                    f"the database's folder can't be made: {error}; set CHORUS_DATABASE__URL to another place"
                ) from error
        try:
            await self.upgrade()
        except DBAPIError as error:
            await self._dispose()
            raise DatabaseError(
                f"the database {self._url.database} can't be opened: {error.orig}; check that the file "
                "and its folder may be written, or set CHORUS_DATABASE__URL to another place"
            ) from error
        self._writes = asyncio.create_task(self._writer.run(), name="database writer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writes is not None:
            self._writes.cancel()
            await asyncio.gather(self._writes, return_exceptions=True)
        await self._dispose()

    async def _dispose(self) -> None:
        await self._engine.dispose()
        await self._writing.dispose()

    async def upgrade(self) -> None:
        """Bring the schema to the newest version, and an older file to giving space back."""
        if self._is_sqlite:
            async with self._writing.connect() as connection:
                raw = (await connection.get_raw_connection()).driver_connection
                assert raw is not None
                if await schema.pragma(raw, "auto_vacuum") != INCREMENTAL:
                    log.info("the database file is rebuilt once, to give space back from now on")
                    await raw.execute_fetchall("PRAGMA auto_vacuum = INCREMENTAL")
                    await raw.execute_fetchall("VACUUM")
                if await schema.version(raw) == schema.newest_schema():
                    return
        async with self._writing.execution_options(**{BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
            await connection.run_sync(schema.upgrade)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one state of the database and changes nothing."""
        async with self._read() as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A unit of work: all of it is stored when the context ends, or nothing if that raises. Keep it
        short, and reach no platform from within."""
        unit = Unit()
        self._writer.put(unit)
        failure: BaseException | None = None
        try:
            connection = await unit.granted
            session = AsyncSession(
                connection, expire_on_commit=False, join_transaction_mode="create_savepoint"
            )
            try:
                yield session
                await session.commit()
            except BaseException as error:
                failure = error
                with suppress(SQLAlchemyError):  # the transaction may be gone as a whole
                    await session.close()
                raise
        finally:
            if not unit.finished.done():
                unit.finished.set_result(failure)
        await unit.committed

    async def look(self, work: Work[T]) -> T:
        """What `work` reads of one state of the database, in one step where the driver has a thread."""
        if not self._is_sqlite:
            async with self.read() as session:
                return await work(session)
        async with self._looking, self._engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            read: T = await raw.whole(looked(connection, raw, work))
            return read

    async def transact(self, work: Work[T]) -> T:
        """As `write`, for a unit that is a function: what it returns, once that is stored."""
        if not self._is_sqlite:
            async with self.write() as session:
                return await work(session)
        unit = Whole(work)
        self._writer.put(unit)
        result: T = await unit.committed
        return result

    async def insist(self, work: Work[T], *, sleep: Sleep = asyncio.sleep) -> T:
        """A unit of work that is repeated until the database takes it: for what must not be done anew because
        nobody could write it down. Raises what the work itself raises."""
        pause = FIRST_PAUSE
        while True:
            try:
                return await self.transact(work)
            except SQLAlchemyError as error:
                if not is_unavailable(error):
                    raise
            await sleep(pause.total_seconds())
            pause = min(pause * 2, LONGEST_PAUSE)

    async def tidy(self) -> None:
        """Give freed space back to the disk, and keep the write-ahead log short. SQLite only."""
        if self.file is None:
            return
        async with self._writing.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            # As a script: `execute` takes one step of it, which is one page.
            await raw.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
            wal = self.file.with_name(self.file.name + "-wal")
            mode = "TRUNCATE" if wal.exists() and wal.stat().st_size >= WAL_LIMIT else "PASSIVE"
            await raw.execute_fetchall(f"PRAGMA wal_checkpoint({mode})")

    def scrub(self) -> None:
        """Let nothing be left of what is deleted in the transaction that calls this: when it is committed,
        the write-ahead log, which still holds it, is emptied as soon as nobody reads an older state."""
        self._writer.scrub()


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA page_count")
        if cursor.fetchone()[0] == 0:  # it counts for a new file only
            cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for pragma in PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
    except sqlite3.Error as error:  # SQLAlchemy translates errors of statements, not those of this hook
        raise OperationalError("PRAGMA", None, error) from error
    finally:
        cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(str(connection.get_execution_options().get(BEGIN, "BEGIN")))


def _keep_connection(context: ExceptionContext) -> None:
    """A unit that is cancelled in the midst of a statement does not break the connection: the statement runs
    to its end in the driver's thread, and its savepoint is rolled back."""
    if isinstance(context.original_exception, asyncio.CancelledError):
        context.is_disconnect = False
