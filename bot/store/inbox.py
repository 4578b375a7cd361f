"""Events on their way in: stored before they are acknowledged, closed together with their answer.

    publish ──add──▶ pending ──claim──▶ claimed ──(turn or command, one transaction)──▶ done
                        ▲                  ├──failed three times, or unreadable──▶ aside
                        └──── release ─────┘  the holder is gone, its lease has run out, or it ends

An attempt is counted by the claim, before any work is done, so that an event that kills the process counts
too. A lease is renewed by its holder; leases of holders that are gone are released at the next start. Every
function works within the caller's transaction.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field, TypeAdapter
from sqlalchemy import Update, delete, func, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import ChatRef, Event, MessageCreated, MessageDeleted, MessageRef, Unreadable
from bot.store.models import Cursor, InboxRow, InboxState
from bot.store.statement import Statement, stamp

EVENTS: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])
LEASE = timedelta(seconds=60)
MERGED = 20  # messages that one answer may answer

# Written out, since SQLite takes a partial index only where the query says the same words.
PENDING = InboxRow.state == literal_column("'pending'")
CLAIMED = InboxRow.state == literal_column("'claimed'")

_ADD = Statement("""
INSERT INTO inbox (platform, event_id, chat, thread, author, server, payload, key, state, attempts, holder,
    lease_until, reason, received_at)
VALUES (:platform, :event_id, :chat, :thread, :author, :server, :payload, :key, :state, :attempts, :holder,
    :lease_until, :reason, :received_at)
ON CONFLICT DO NOTHING RETURNING id
""")
_ADVANCE = Statement("""
INSERT INTO cursors (platform, chat, message) VALUES (:platform, :chat, :message), (:platform, '', :message)
ON CONFLICT (platform, chat) DO UPDATE SET message = excluded.message
WHERE length(excluded.message) > length(cursors.message)
    OR (length(excluded.message) = length(cursors.message) AND excluded.message > cursors.message)
""")
_OLDEST = Statement("""
SELECT id, key, payload, attempts FROM inbox
WHERE platform = :platform AND chat = :chat AND thread = :thread AND state = 'pending'
ORDER BY id LIMIT :most
""")
_CLAIM = Statement("""
UPDATE inbox SET state = 'claimed', attempts = attempts + 1, holder = :holder, lease_until = :until
WHERE id = :id
""")
_CLOSE = Statement("""
UPDATE inbox SET state = 'done', done_at = :at, lease_until = NULL, reason = :reason WHERE id = :id
""")
_ADD_PLACEHOLDER = Statement("""
INSERT INTO placeholders (inbox_id, part, platform_message) VALUES (:entry, :part, :message)
ON CONFLICT (inbox_id, part) DO UPDATE SET platform_message = excluded.platform_message
""")
_PLACEHOLDERS = Statement("""
SELECT platform_message FROM placeholders WHERE inbox_id = :entry ORDER BY part
""")


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
    added = await _ADD.row(
        session,
        {
            "platform": event.chat.platform,
            "event_id": event.id,
            "chat": event.chat.chat,
            "thread": event.chat.thread or "",
            "author": author_of(event),
            "server": event.server,
            "payload": json.dumps(EVENTS.dump_python(event, mode="json")),
            "key": key,
            "state": str(InboxState.ASIDE if reason else state),
            "attempts": 1 if holder else 0,
            "holder": holder,
            "lease_until": stamp(now + LEASE) if holder else None,
            "reason": reason,
            "received_at": stamp(now),
        },
    )
    if isinstance(event, MessageCreated):
        await _advance(session, event.message)
    return None if added is None else Entry(added[0], key, event, 1 if holder else 0)


def author_of(event: Event) -> str | None:
    """The id of the person that an event comes from."""
    return None if isinstance(event, MessageDeleted | Unreadable) else event.author.id


async def _advance(session: AsyncSession, message: MessageRef) -> None:
    """Move the chat's cursor and the platform's to a message, never back. Ids are decimal numbers."""
    place = message.chat
    await _ADVANCE.run(session, {"platform": place.platform, "chat": place.chat, "message": message.message})


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
    place = {"platform": chat.platform, "chat": chat.chat, "thread": chat.thread or "", "most": MERGED}
    claimed: list[Entry] = []
    for row_id, key, payload, attempts in await _OLDEST.rows(session, place):
        entry = Entry(row_id, key, EVENTS.validate_python(json.loads(payload)), attempts + 1)
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
    for one in entry.all:
        await _CLAIM.run(session, {"id": one.id, "holder": holder, "until": stamp(now + LEASE)})
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
    for one in entry.all:
        await _CLOSE.run(session, {"id": one.id, "at": stamp(now), "reason": reason})


async def set_aside(session: AsyncSession, entry: Entry, now: datetime, reason: str) -> None:
    """The event is given up; it stays for people to look at."""
    await session.execute(
        _rows(entry).values(state=InboxState.ASIDE, done_at=now, lease_until=None, reason=reason)
    )


async def placeholders(session: AsyncSession, entry: Entry) -> list[MessageRef]:
    """The previews that stand in the chat already, in order."""
    rows = await _PLACEHOLDERS.rows(session, {"entry": entry.id})
    return [MessageRef(entry.event.chat, message) for (message,) in rows]


async def add_placeholder(session: AsyncSession, entry: Entry, part: int, message: MessageRef) -> None:
    """Remember a preview, so that the answer edits it even after a crash."""
    await _ADD_PLACEHOLDER.run(session, {"entry": entry.id, "part": part, "message": message.message})


async def prune(
    session: AsyncSession,
    after: int,
    before: datetime,
    most: int,
    *,
    state: InboxState = InboxState.DONE,
) -> int | None:
    """Of the next `most` rows behind row `after`, delete those in that state that came before a time. Returns
    the last row looked at; None when there is nothing older to look at."""
    rows = (
        await session.execute(
            select(InboxRow.id, InboxRow.state, InboxRow.received_at)
            .where(InboxRow.id > after)
            .order_by(InboxRow.id)
            .limit(most)
        )
    ).all()
    old = [row for row in rows if row.received_at < before]
    over = [row.id for row in old if row.state == state]
    if over:
        await session.execute(
            delete(InboxRow).where(InboxRow.id.in_(over)).execution_options(synchronize_session=False)
        )
    return old[-1].id if old and len(old) == len(rows) else None


def _rows(entry: Entry) -> Update:
    return (
        update(InboxRow)
        .where(InboxRow.id.in_([one.id for one in entry.all]))
        .execution_options(synchronize_session=False)
    )
