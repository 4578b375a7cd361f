"""The one writer: what waits for it at the same time shares a transaction.

None returns before the commit. A database that can't be written is said once, and once more when it works
again; whoever wanted to write is told by an exception each time. Knows nothing of what is written.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.store.errors import DatabaseClosed
from bot.store.units import Unit, Whole, apart, fail, in_transaction, is_lost

log = logging.getLogger(__name__)

BEGIN = "chorus_begin"  # execution option: how a transaction of this connection begins
LARGEST_GROUP = 200  # units in one transaction, so that none waits long for the others


class Writer:
    """Owns nothing of its own: `engine` has the one connection for writing, `run` is somebody's task. `file`
    is that of an SQLite database."""

    def __init__(self, engine: AsyncEngine, file: Path | None) -> None:
        self._engine = engine
        self._file = file
        self._name = engine.url.database
        self._units: asyncio.Queue[Unit | Whole] = asyncio.Queue()
        self._troubled = False
        self._scrubbing = False

    def put(self, unit: Unit | Whole) -> None:
        """A unit waits for its turn."""
        self._units.put_nowait(unit)

    def scrub(self) -> None:
        """See `Database.scrub`."""
        self._scrubbing = True

    async def run(self) -> None:
        """Write what is put, until cancelled."""
        following: Unit | Whole | None = None
        while True:
            first = following or await self._units.get()
            following = None
            group: list[Unit | Whole] = []
            try:
                if isinstance(first, Whole):
                    following = await self._write_whole(first, group)
                else:
                    await self._write_group(first, group)
            except asyncio.CancelledError:
                fail([first, *group], DatabaseClosed())
                raise
            except Exception as error:
                self._say_trouble(error)
                # Who waited meanwhile has waited in vain as well, or each would wait for the timeout anew.
                fail([first, *group, *self._waiting()], error)
                await self._engine.dispose()  # the next one begins afresh: space or rights may be back
            else:
                await self._scrub()
                for unit in group:
                    unit.succeed()

    async def _write_whole(self, first: Whole, group: list[Unit | Whole]) -> Unit | Whole | None:
        """Let `first`, and those like it that wait, do their work in one transaction and one step. Gives the
        unit of the other kind that comes next, if one was met. Raises as `_write_group`."""
        units: list[Whole] = []
        following: Unit | Whole | None = first
        while isinstance(following, Whole):
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

    async def _do_whole(self, units: Sequence[Whole]) -> None:
        writing = self._engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
        async with writing.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            before = raw.total_changes
            await raw.whole(in_transaction(connection, raw, units))
            self._say_well(changed=raw.total_changes != before)

    async def _write_group(self, first: Unit, group: list[Unit | Whole]) -> None:
        """Let `first` and those that wait meanwhile do their work in one transaction. Raises if it can't be
        begun or committed."""
        unit: Unit | Whole | None = first
        async with self._engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
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

    async def _let(self, unit: Unit | Whole, connection: AsyncConnection) -> None:
        """Wait until a unit has done its work. Raises its failure if that was the database's own."""
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        if isinstance(unit, Whole):
            await raw.whole(apart(connection, raw, unit))
            return
        unit.granted.set_result(connection)
        failure = await asyncio.shield(unit.finished)
        if failure is None:
            return
        if is_lost(raw, failure):
            raise failure  # nor can the others' work be stored
        unit.fail(failure)

    async def _scrub(self) -> None:
        if not self._scrubbing or self._file is None:
            return
        try:
            async with self._engine.connect() as connection:
                raw = (await connection.get_raw_connection()).driver_connection
                assert raw is not None
                rows = list(await raw.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)"))
                self._scrubbing = rows[0][0] != 0  # busy: somebody reads; after the next transaction then
        except sqlite3.Error as error:
            log.warning("the write-ahead log could not be emptied now: %s", error)

    def _waiting(self) -> list[Unit | Whole]:
        return [self._units.get_nowait() for _ in range(self._units.qsize())]

    def _say_trouble(self, error: Exception) -> None:
        if self._troubled:
            return
        self._troubled = True
        reason = error.orig if isinstance(error, DBAPIError) else error
        log.error(
            "the database %s can't be written: %s. Nothing is lost: what comes in stays with its platform "
            "until this is mended; make room on the disk and check that the file may be written",
            self._name,
            reason,
        )
