"""Units of work: each stored whole or not at all, many of them in one transaction.

    together ──all well──▶ commit
        └──one fails──▶ rolled back, and once more with a savepoint for each: it fails alone

A unit that is given as a function runs whole in the thread of the connection, with all that wait like it: one
step there and back for the transaction, however many statements it has, and no savepoints unless one fails.
Knows nothing of who decides when.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from bot.store.driver import OneStepConnection, driven
from bot.store.errors import is_unavailable
from bot.store.statement import DRIVER

T = TypeVar("T")
Work = Callable[[AsyncSession], Coroutine[Any, Any, T]]
"""A unit of work as a function. It awaits nothing but the session that it is given, changes nothing but what
is stored, and may run in another thread and more than once."""


class Unit:
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


class Whole:
    """One use of `transact`: done in the connection's thread in the context of its user, who waits for
    `committed`."""

    def __init__(self, work: Work[Any]) -> None:
        self.committed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._work = work
        self._context = copy_context()
        self._result: Any = None
        self._failure: BaseException | None = None

    def do(self, session: AsyncSession) -> BaseException | None:
        """In the connection's thread: do the work in the session; gives what it failed by."""
        self._failure = None
        try:
            self._result = self._context.run(driven, _flushed(session, self._work))
        except Exception as error:
            self._failure = error
        return self._failure

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


def fail(units: Sequence[Unit | Whole], error: BaseException) -> None:
    """All of them fail by the same."""
    for unit in units:
        unit.fail(error)


async def looked(connection: AsyncConnection, raw: OneStepConnection, work: Work[T]) -> T:
    """What a unit reads that stores nothing, in the connection's thread."""
    async with connection.begin():
        session = _session(connection, raw)
        try:
            return await work(session)
        finally:
            await _leave(session)


async def in_transaction(connection: AsyncConnection, raw: OneStepConnection, units: Sequence[Whole]) -> None:
    """All of `units` in one transaction, in the connection's thread; once more, each apart from the others,
    where one of several fails. Raises a unit's failure if that was the database's own; its user is told all
    others."""
    if not await _together(connection, raw, units) and len(units) > 1:
        async with connection.begin():
            for unit in units:
                await apart(connection, raw, unit)


async def _together(connection: AsyncConnection, raw: OneStepConnection, units: Sequence[Whole]) -> bool:
    """False, and nothing is stored, if one of them fails."""
    transaction = await connection.begin()
    session = _session(connection, raw)
    try:
        failure = next((failed for unit in units if (failed := unit.do(session)) is not None), None)
        if failure is None:
            await transaction.commit()
            return True
        if is_unavailable(failure):
            raise failure  # nor can the others' work be stored
        return False
    finally:
        await _leave(session)
        if transaction.is_active:
            with suppress(SQLAlchemyError):  # it may be gone already
                await transaction.rollback()


async def apart(connection: AsyncConnection, raw: OneStepConnection, unit: Whole) -> None:
    """A unit in a savepoint of the transaction under way, in the connection's thread. Raises as
    `in_transaction`."""
    savepoint = await connection.begin_nested()
    session = _session(connection, raw)
    try:
        failure = unit.do(session)
        if failure is None:
            await savepoint.commit()
        elif is_lost(raw, failure):
            raise failure  # nor can the others' work be stored
        elif savepoint.is_active:
            await savepoint.rollback()
    finally:
        await _leave(session)


def is_lost(raw: Any, failure: BaseException) -> bool:
    """Whether a unit's failure is that of the whole transaction."""
    return not getattr(raw, "in_transaction", True) or is_unavailable(failure)


def _session(connection: AsyncConnection, raw: OneStepConnection) -> AsyncSession:
    """A session for units that run in the connection's thread, one after another."""
    session = AsyncSession(connection, expire_on_commit=False, join_transaction_mode="rollback_only")
    session.info[DRIVER] = raw.driver
    return session


async def _leave(session: AsyncSession) -> None:
    if session.in_transaction():
        with suppress(SQLAlchemyError):  # the transaction may be gone as a whole
            await session.close()


async def _flushed(session: AsyncSession, work: Work[T]) -> T:
    """A unit's work, with all that the session has still to write. What it has read it forgets: the next
    unit reads anew."""
    result = await work(session)
    if session.in_transaction():
        await session.flush()
        session.expunge_all()
    return result
