"""Events on their way in: stored before they are acknowledged, closed together with their answer.

    publish ──add──▶ pending ──claim──▶ claimed ──(turn or command, one transaction)──▶ done
                        ▲                  ├──failed three times, or unreadable──▶ aside
                        └──── release ─────┘  the holder is gone, its lease has run out, or it ends

An attempt is counted by the claim, before any work is done, so that an event that kills the process counts
too. A lease is renewed by its holder; leases of holders that are gone are released at the next start. Every
function works within the caller's transaction.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field, TypeAdapter
from sqlalchemy import Update, bindparam, delete, func, literal_column, or_, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import ChatRef, Event, MessageCreated, MessageDeleted, MessageRef, Unreadable
from bot.store.models import Cursor, InboxRow, InboxState, Placeholder

EVENTS: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])
LEASE = timedelta(seconds=60)
MERGED = 20  # messages that one answer may answer

# Written out, since SQLite takes a partial index only where the query says the same words.
PENDING = InboxRow.state == literal_column("'pending'")
CLAIMED = InboxRow.state == literal_column("'claimed'")

# Statements of every event are built once, and of tables: what the mapper adds costs more than they do.
_ROWS, _CURSORS = InboxRow.__table__.c, Cursor.__table__.c
_ADD = (
    insert(InboxRow.__table__)  # type: ignore[arg-type]
    .on_conflict_do_nothing()
    .returning(_ROWS.id)
)
_NEW_CURSOR = insert(Cursor.__table__)  # type: ignore[arg-type]
_ADVANCE = _NEW_CURSOR.on_conflict_do_update(
    index_elements=[_CURSORS.platform, _CURSORS.chat],
    set_={"message": _NEW_CURSOR.excluded.message},
    where=or_(
        func.length(_NEW_CURSOR.excluded.message) > func.length(_CURSORS.message),
        (func.length(_NEW_CURSOR.excluded.message) == func.length(_CURSORS.message))
        & (_NEW_CURSOR.excluded.message > _CURSORS.message),
    ),
)
_OLDEST = (
    select(_ROWS.id, _ROWS.key, _ROWS.payload, _ROWS.attempts)
    .where(
        _ROWS.platform == bindparam("platform"),
        _ROWS.chat == bindparam("chat"),
        _ROWS.thread == bindparam("thread"),
        _ROWS.state == literal_column("'pending'"),
    )
    .order_by(_ROWS.id)
    .limit(MERGED)
)
_THESE = update(InboxRow.__table__).where(  # type: ignore[arg-type]
    _ROWS.id.in_(bindparam("entries", expanding=True))
)
_CLAIM = _THESE.values(
    state=InboxState.CLAIMED,
    attempts=_ROWS.attempts + 1,
    holder=bindparam("by"),
    lease_until=bindparam("until"),
)
_CLOSE = _THESE.values(
    state=InboxState.DONE, done_at=bindparam("at"), lease_until=None, reason=bindparam("because")
)
_PLACEHOLDERS = (
    select(Placeholder.__table__.c.platform_message)
    .where(Placeholder.__table__.c.inbox_id == bindparam("entry"))
    .order_by(Placeholder.__table__.c.part)
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored event. `key` is random and short: what is sent for the event is named after it. `attempts` is
    how often work on it was begun, this time included. `more` are further events that are answered together
    with it, in order."""

    id: int
    key: str
    event: Event
    attempts: int = 0
    more: tuple[Entry, ...] = ()

    @property
    def all(self) -> tuple[Entry, ...]:
        return (self, *self.more)

    @property
    def last(self) -> Entry:
        return self.more[-1] if self.more else self


@dataclass(frozen=True, slots=True)
class Waiting:
    """So many events of one author wait in one conversation."""

    chat: ChatRef
    author: str | None
    server: str | None
    count: int


class TriedOften(Exception):
    """The event was tried so often already that it is not to be tried now."""


def new_holder() -> str:
    """A name for one run of the application: machine, process, and a random part."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


async def add(
    session: AsyncSession,
    event: Event,
    now: datetime,
    *,
    holder: str | None = None,
    reason: str | None = None,
) -> Entry | None:
    """Store an event; None if it is there already. With `holder` it is claimed at once. What could not be
    read is set aside, and so is anything with a `reason`."""
    key = secrets.token_hex(8)
    if isinstance(event, Unreadable):
        reason = event.reason
    state = InboxState.CLAIMED if holder else InboxState.PENDING
    row_id = await session.scalar(
        _ADD,
        {
            "platform": event.chat.platform,
            "event_id": event.id,
            "chat": event.chat.chat,
            "thread": event.chat.thread or "",
            "author": author_of(event),
            "server": event.server,
            "payload": EVENTS.dump_python(event, mode="json"),
            "key": key,
            "state": InboxState.ASIDE if reason else state,
            "attempts": 1 if holder else 0,
            "holder": holder,
            "lease_until": now + LEASE if holder else None,
            "reason": reason,
            "received_at": now,
        },
    )
    if isinstance(event, MessageCreated):
        await _advance(session, event.message)
    return None if row_id is None else Entry(row_id, key, event, 1 if holder else 0)


def author_of(event: Event) -> str | None:
    """The id of the person that an event comes from."""
    return None if isinstance(event, MessageDeleted | Unreadable) else event.author.id


async def _advance(session: AsyncSession, message: MessageRef) -> None:
    """Move the chat's cursor and the platform's to a message, never back. Ids are decimal numbers."""
    chat = message.chat
    await session.execute(
        _ADVANCE,
        [{"platform": chat.platform, "chat": one, "message": message.message} for one in (chat.chat, "")],
    )


async def cursors(session: AsyncSession, platform: str) -> Mapping[str, str]:
    """By chat, the platform's id of the newest message that is stored; under "" the newest of all."""
    rows = await session.execute(select(Cursor.chat, Cursor.message).where(Cursor.platform == platform))
    return {row.chat: row.message for row in rows}


async def waiting(session: AsyncSession, platform: str) -> Sequence[Waiting]:
    """What is pending, by conversation and author; the oldest conversation first."""
    rows = await session.execute(
        select(InboxRow.chat, InboxRow.thread, InboxRow.author, InboxRow.server, func.count())
        .where(InboxRow.platform == platform, PENDING)
        .group_by(InboxRow.chat, InboxRow.thread, InboxRow.author, InboxRow.server)
        .order_by(func.min(InboxRow.id))
    )
    return [
        Waiting(ChatRef(platform, chat, thread or None), author, server, count)
        for chat, thread, author, server, count in rows
    ]


async def claim(
    session: AsyncSession,
    chat: ChatRef,
    holder: str,
    now: datetime,
    *,
    together: Callable[[Event, Event], bool] = lambda first, following: False,
    at_most: int | None = None,
) -> Entry | None:
    """The conversation's oldest pending event, which is the holder's now, with those directly behind it that
    are answered `together` with the one before. What was tried together before is tried together again, and
    with nothing else. Raises TriedOften, and claims nothing, if this would be attempt `at_most` + 1."""
    place = {"platform": chat.platform, "chat": chat.chat, "thread": chat.thread or ""}
    rows = await session.execute(_OLDEST, place)
    claimed: list[Entry] = []
    for row_id, key, payload, attempts in rows:
        entry = Entry(row_id, key, EVENTS.validate_python(payload), attempts + 1)
        if claimed:
            before = claimed[-1]
            if entry.attempts != before.attempts or not together(before.event, entry.event):
                break
        claimed.append(entry)
    if not claimed:
        return None
    if at_most is not None and claimed[0].attempts > at_most:
        raise TriedOften
    entry = replace(claimed[0], more=tuple(claimed[1:]))
    await session.execute(
        _CLAIM, {"entries": [one.id for one in entry.all], "by": holder, "until": now + LEASE}
    )
    return entry


async def try_again(session: AsyncSession, entry: Entry) -> Entry:
    """Count another attempt at what is claimed already."""
    await session.execute(_rows(entry).values(attempts=InboxRow.attempts + 1))
    return replace(entry, attempts=entry.attempts + 1)


async def renew(session: AsyncSession, holder: str, now: datetime) -> None:
    """The holder is still there."""
    await session.execute(
        update(InboxRow)
        .where(CLAIMED, InboxRow.holder == holder)
        .values(lease_until=now + LEASE)
        .execution_options(synchronize_session=False)
    )


async def park(session: AsyncSession, holder: str) -> None:
    """The holder ends in good order: what it has not finished waits for the next, and did not fail."""
    await session.execute(
        update(InboxRow)
        .where(CLAIMED, InboxRow.holder == holder)
        .values(
            state=InboxState.PENDING,
            attempts=func.max(InboxRow.attempts - 1, 0),
            holder=None,
            lease_until=None,
        )
        .execution_options(synchronize_session=False)
    )


async def release(session: AsyncSession, platform: str, holder: str, now: datetime) -> int:
    """Make pending again what others than `holder` had claimed and won't finish: their process is gone, or
    their lease has run out. A lease that ends later than any could is of a clock that was set back."""
    others = await session.execute(
        select(InboxRow.holder, func.min(InboxRow.lease_until), func.max(InboxRow.lease_until))
        .where(InboxRow.platform == platform, CLAIMED, InboxRow.holder.is_distinct_from(holder))
        .group_by(InboxRow.holder)
    )
    gone = [
        name
        for name, first, last in others
        if name is None or is_gone(name) or _is_over(first, now) or _is_over(last, now)
    ]
    if not gone:
        return 0
    released = await session.execute(
        update(InboxRow)
        .where(InboxRow.platform == platform, CLAIMED, InboxRow.holder.in_(gone))
        .values(state=InboxState.PENDING, holder=None, lease_until=None)
        .returning(InboxRow.id)
        .execution_options(synchronize_session=False)
    )
    return len(released.all())


def _is_over(lease_until: datetime | None, now: datetime) -> bool:
    return lease_until is None or not now < lease_until <= now + LEASE


def is_gone(holder: str) -> bool:
    """Whether a holder was a process of this machine that no longer runs. One with this very process's number
    is an earlier run: in a container each has the same."""
    machine, _, rest = holder.rpartition(":")[0].rpartition(":")
    if machine != socket.gethostname() or not rest.isdigit():
        return False
    if int(rest) == os.getpid():
        return True
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


async def close(session: AsyncSession, entry: Entry, now: datetime, *, reason: str | None = None) -> None:
    """The event is answered, or refused for a reason; it will not run again."""
    entries = [one.id for one in entry.all]
    await session.execute(_CLOSE, {"entries": entries, "at": now, "because": reason})


async def set_aside(session: AsyncSession, entry: Entry, now: datetime, reason: str) -> None:
    """The event is given up; it stays for people to look at."""
    await session.execute(
        _rows(entry).values(state=InboxState.ASIDE, done_at=now, lease_until=None, reason=reason)
    )


async def placeholders(session: AsyncSession, entry: Entry) -> list[MessageRef]:
    """The previews that stand in the chat already, in order."""
    rows = await session.scalars(_PLACEHOLDERS, {"entry": entry.id})
    return [MessageRef(entry.event.chat, message) for message in rows]


async def add_placeholder(session: AsyncSession, entry: Entry, part: int, message: MessageRef) -> None:
    """Remember a preview, so that the answer edits it even after a crash."""
    await session.merge(Placeholder(inbox_id=entry.id, part=part, platform_message=message.message))


async def prune(session: AsyncSession, after: int, before: datetime, most: int) -> int | None:
    """Of the next `most` rows behind row `after`, delete those that were done before a time. Returns the last
    row looked at; None when there is nothing older to look at."""
    rows = (
        await session.execute(
            select(InboxRow.id, InboxRow.state, InboxRow.received_at)
            .where(InboxRow.id > after)
            .order_by(InboxRow.id)
            .limit(most)
        )
    ).all()
    old = [row for row in rows if row.received_at < before]
    done = [row.id for row in old if row.state == InboxState.DONE]
    if done:
        await session.execute(
            delete(InboxRow).where(InboxRow.id.in_(done)).execution_options(synchronize_session=False)
        )
    return old[-1].id if old and len(old) == len(rows) else None


def _rows(entry: Entry) -> Update:
    return (
        update(InboxRow)
        .where(InboxRow.id.in_([one.id for one in entry.all]))
        .execution_options(synchronize_session=False)
    )
