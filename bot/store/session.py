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
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from datetime import timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, ExceptionContext, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import (
    DatabaseError as DriverError,
)
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm.session import JoinTransactionMode

from bot.store.driver import connect, driven

log = logging.getLogger(__name__)

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
Work = Callable[[AsyncSession], Coroutine[Any, Any, T]]
"""A unit of work as a function. It awaits nothing but the session that it is given, changes nothing but what
is stored, and may run in another thread and more than once."""

BUSY_TIMEOUT_MS = 5_000
BEGIN = "chorus_begin"  # execution option: how a transaction of this connection begins
LARGEST_GROUP = 200  # units in one transaction, so that none waits long for the others
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


class _Unit:
    """One use of `write`: `granted` when it is its turn, `finished` by its user, `committed` at last."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.granted: asyncio.Future[AsyncConnection] = loop.create_future()
        self.finished: asyncio.Future[BaseException | None] = loop.create_future()
        self.committed: asyncio.Future[None] = loop.create_future()

    def fail(self, error: BaseException) -> None:
        waiting = self.committed if self.granted.done() else self.granted
        if not waiting.done():
            waiting.set_exception(error)
            waiting.exception()  # its user may be gone

    def succeed(self) -> None:
        if not self.committed.done():
            self.committed.set_result(None)

    @property
    def abandoned(self) -> bool:
        """Whether its user has gone before it began."""
        return self.granted.cancelled()


class _Whole:
    """One use of `transact`: done in the connection's thread in the context of its user, who waits for
    `committed`."""

    def __init__(self, work: Work[Any]) -> None:
        self.committed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._work = work
        self._context = copy_context()
        self._result: Any = None
        self._failure: BaseException | None = None

    def do(self, connection: AsyncConnection, *, apart: bool) -> BaseException | None:
        """In the connection's thread: do the work, in a savepoint if it is to be `apart` from others; gives
        what it failed by."""
        self._failure = None
        try:
            self._result = self._context.run(driven, self._in_session(connection, apart=apart))
        except Exception as error:
            self._failure = error
        return self._failure

    async def _in_session(self, connection: AsyncConnection, *, apart: bool) -> Any:
        mode: JoinTransactionMode = "create_savepoint" if apart else "rollback_only"
        session = AsyncSession(connection, expire_on_commit=False, join_transaction_mode=mode)
        try:
            result = await self._work(session)
            await session.commit()
        except BaseException:
            with suppress(SQLAlchemyError):  # the transaction may be gone as a whole
                await session.close()
            raise
        return result

    def fail(self, error: BaseException) -> None:
        if not self.committed.done():
            self.committed.set_exception(error)
            self.committed.exception()  # its user may be gone

    def succeed(self) -> None:
        if self._failure is not None:
            self.fail(self._failure)
        elif not self.committed.done():
            self.committed.set_result(self._result)

    @property
    def abandoned(self) -> bool:
        """Whether its user has gone before it began."""
        return self.committed.cancelled()


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
        self._units: asyncio.Queue[_Unit | _Whole] = asyncio.Queue()
        self._looking = asyncio.Semaphore(LOOKING)
        self._writer: asyncio.Task[None] | None = None
        self._troubled = False
        self._scrubbing = False

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
        self._writer = asyncio.create_task(self._write_groups(), name="database writer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
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
                if await _pragma(raw, "auto_vacuum") != INCREMENTAL:
                    log.info("the database file is rebuilt once, to give space back from now on")
                    await raw.execute_fetchall("PRAGMA auto_vacuum = INCREMENTAL")
                    await raw.execute_fetchall("VACUUM")
                if await _version(raw) == newest_schema():
                    return
        async with self._writing.execution_options(**{BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
            await connection.run_sync(_upgrade)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one state of the database and changes nothing."""
        async with self._read() as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A unit of work: all of it is stored when the context ends, or nothing if that raises. Keep it
        short, and reach no platform from within."""
        unit = _Unit()
        self._units.put_nowait(unit)
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
            read: T = await raw.whole(_looked(connection, work))
            return read

    async def transact(self, work: Work[T]) -> T:
        """As `write`, for a unit that is a function: what it returns, once that is stored."""
        if not self._is_sqlite:
            async with self.write() as session:
                return await work(session)
        unit = _Whole(work)
        self._units.put_nowait(unit)
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
            await raw.execute_fetchall(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
            wal = self.file.with_name(self.file.name + "-wal")
            mode = "TRUNCATE" if wal.exists() and wal.stat().st_size >= WAL_LIMIT else "PASSIVE"
            await raw.execute_fetchall(f"PRAGMA wal_checkpoint({mode})")

    def scrub(self) -> None:
        """Let nothing be left of what is deleted in the transaction that calls this: when it is committed,
        the write-ahead log, which still holds it, is emptied as soon as nobody reads an older state."""
        self._scrubbing = True

    # The writer

    async def _write_groups(self) -> None:
        following: _Unit | _Whole | None = None
        while True:
            first = following or await self._units.get()
            following = None
            group: list[_Unit | _Whole] = []
            try:
                if isinstance(first, _Whole):
                    following = await self._write_whole(first, group)
                else:
                    await self._write_group(first, group)
            except asyncio.CancelledError:
                _fail([first, *group], DatabaseClosed())
                raise
            except Exception as error:
                self._say_trouble(error)
                # Who waited meanwhile has waited in vain as well, or each would wait for the timeout anew.
                _fail([first, *group, *self._waiting()], error)
                await self._writing.dispose()  # the next one begins afresh: space or rights may be back
            else:
                await self._scrub()
                for unit in group:
                    unit.succeed()

    async def _write_whole(self, first: _Whole, group: list[_Unit | _Whole]) -> _Unit | _Whole | None:
        """Let `first`, and those like it that wait, do their work in one transaction and one step. Gives the
        unit of the other kind that comes next, if one was met. Raises as `_write_group`."""
        units: list[_Whole] = []
        following: _Unit | _Whole | None = first
        while isinstance(following, _Whole):
            if not following.abandoned:
                units.append(following)
            following = None
            if len(units) < LARGEST_GROUP and not self._units.empty():
                following = self._units.get_nowait()
        group.extend(units)
        try:
            if units:
                await self._do_whole(units)
        except BaseException:
            if following is not None:
                group.append(following)
            raise
        return following

    async def _do_whole(self, units: Sequence[_Whole]) -> None:
        writing = self._writing.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
        async with writing.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            before = raw.total_changes
            await raw.whole(_in_transaction(connection, raw, units))
            self._say_well(changed=raw.total_changes != before)

    async def _write_group(self, first: _Unit, group: list[_Unit | _Whole]) -> None:
        """Let `first` and those that wait meanwhile do their work in one transaction. Raises if it can't be
        begun or committed."""
        unit: _Unit | _Whole | None = first
        async with self._writing.execution_options(**{BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
            before = await self._changes(connection)
            while unit is not None:
                if not unit.abandoned:
                    group.append(unit)
                    await self._let(unit, connection)
                unit = None
                if len(group) < LARGEST_GROUP and not self._units.empty():
                    unit = self._units.get_nowait()
            after = await self._changes(connection)
        self._say_well(changed=after is None or after != before)

    def _say_well(self, *, changed: bool) -> None:
        if self._troubled and changed:  # to store nothing proves nothing
            self._troubled = False
            log.warning("the database can be written again")

    async def _changes(self, connection: AsyncConnection) -> int | None:
        """How many rows this connection has changed so far; None where nobody counts."""
        raw = (await connection.get_raw_connection()).driver_connection
        return getattr(raw, "total_changes", None)

    async def _let(self, unit: _Unit | _Whole, connection: AsyncConnection) -> None:
        """Wait until a unit has done its work. Raises its failure if that was the database's own."""
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        if isinstance(unit, _Whole):
            await raw.whole(_each(connection, raw, [unit], apart=True))
            return
        unit.granted.set_result(connection)
        failure = await asyncio.shield(unit.finished)
        if failure is None:
            return
        if _is_lost(raw, failure):
            raise failure  # nor can the others' work be stored
        unit.fail(failure)

    async def _scrub(self) -> None:
        if not self._scrubbing or self.file is None:
            return
        try:
            async with self._writing.connect() as connection:
                raw = (await connection.get_raw_connection()).driver_connection
                assert raw is not None
                rows = list(await raw.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)"))
                self._scrubbing = rows[0][0] != 0  # busy: somebody reads; after the next transaction then
        except sqlite3.Error as error:
            log.warning("the write-ahead log could not be emptied now: %s", error)

    def _waiting(self) -> list[_Unit | _Whole]:
        return [self._units.get_nowait() for _ in range(self._units.qsize())]

    def _say_trouble(self, error: Exception) -> None:
        if self._troubled:
            return
        self._troubled = True
        reason = error.orig if isinstance(error, DBAPIError) else error
        log.error(
            "the database %s can't be written: %s. Nothing is lost: what comes in stays with its platform "
            "until this is mended; make room on the disk and check that the file may be written",
            self._url.database,
            reason,
        )


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


@cache
def newest_schema() -> str:
    """The version that the migrations lead to: each file's name begins with its own, and they count up."""
    versions = files("migrations") / "versions"
    return max(file.name[:4] for file in versions.iterdir() if file.name[:4].isdigit())


def _fail(units: Sequence[_Unit | _Whole], error: BaseException) -> None:
    for unit in units:
        unit.fail(error)


async def _looked(connection: AsyncConnection, work: Work[T]) -> T:
    session = AsyncSession(connection, expire_on_commit=False)
    try:
        return await work(session)
    finally:
        await session.close()
        await connection.rollback()


async def _in_transaction(connection: AsyncConnection, raw: Any, units: Sequence[_Whole]) -> None:
    """All of `units` in one transaction; once more, each in its savepoint, where one of several fails."""
    if not await _together(connection, raw, units, apart=False) and len(units) > 1:
        await _together(connection, raw, units, apart=True)


async def _together(connection: AsyncConnection, raw: Any, units: Sequence[_Whole], *, apart: bool) -> bool:
    transaction = await connection.begin()
    try:
        well = await _each(connection, raw, units, apart=apart)
    except BaseException:
        with suppress(SQLAlchemyError):
            await transaction.rollback()
        raise
    if well:
        await transaction.commit()
    else:
        await transaction.rollback()
    return well


async def _each(connection: AsyncConnection, raw: Any, units: Sequence[_Whole], *, apart: bool) -> bool:
    """False, and the rest is left, as soon as one fails that is not `apart`. Raises a unit's failure if that
    was the database's own; its user is told all others."""
    for unit in units:
        failure = unit.do(connection, apart=apart)
        if failure is None:
            continue
        if is_unavailable(failure) or (apart and _is_lost(raw, failure)):
            raise failure  # nor can the others' work be stored
        if not apart:
            return False
    return True


def _is_lost(raw: Any, failure: BaseException) -> bool:
    """Whether a unit's failure is that of the whole transaction."""
    return not getattr(raw, "in_transaction", True) or is_unavailable(failure)


async def _pragma(raw: Any, name: str) -> object:
    rows = list(await raw.execute_fetchall(f"PRAGMA {name}"))
    return rows[0][0] if rows else None


async def _version(raw: Any) -> str | None:
    """The schema's version as it stands in the file; None in a new one."""
    found = "SELECT name FROM sqlite_master WHERE name = 'alembic_version'"
    if not list(await raw.execute_fetchall(found)):
        return None
    rows = list(await raw.execute_fetchall("SELECT version_num FROM alembic_version"))
    return str(rows[0][0]) if rows else None


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


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "migrations:.")  # the installed package of that name
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
