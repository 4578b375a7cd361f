"""All that is stored about one person: found for them to take along, and deleted for good.

What others need stays: that a person is banned, owns or administers the bot, what administrators have allowed
or denied them, and the audit of what they did as an administrator themselves. So do the sums of what they
have used, until the day or month that they are for is over: else whoever is forgotten could begin anew with
their limits.

Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.access import GrantKind
from bot.store.models import (
    AccessRule,
    AuditRow,
    Base,
    Broadcast,
    Charge,
    Conversation,
    DecisionRow,
    Feedback,
    Grant,
    InboxRow,
    Message,
    MessageRef,
    OutboxRow,
    Person,
    QuotaRow,
    SettingRow,
    SummaryRow,
    UsageTotal,
)

Row = Mapping[str, Any]

ADDRESSES: Mapping[str, Sequence[str]] = {
    InboxRow.__tablename__: ("placeholder",),
    OutboxRow.__tablename__: ("target", "reply_to"),
}
"""What of a payload says where on its platform an answer goes. Some of these are keys: whoever has one can
write there in the bot's name. They are of no use to anyone else."""

KEPT_GRANTS = (GrantKind.BANNED, GrantKind.OWNER, GrantKind.ADMINISTRATOR)


@dataclass(frozen=True, slots=True)
class About:
    """The rows of a table that are about a person. `stays`: others need them."""

    table: type[Base]
    rows: ColumnElement[bool]
    stays: bool = False


async def gather(
    session: AsyncSession, platform: str, person: str
) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Every row about a person, by table, as it is stored but for ADDRESSES; tables with none are absent."""
    found: dict[str, list[Row]] = {}
    for about in _all(platform, person):
        columns = about.table.__table__.columns
        rows = await session.execute(select(*columns).where(about.rows))
        hidden = ADDRESSES.get(about.table.__tablename__, ())
        found.setdefault(about.table.__tablename__, []).extend(
            _without(hidden, dict(row)) for row in rows.mappings()
        )
    return {table: rows for table, rows in found.items() if rows}


def _without(hidden: Sequence[str], row: Row) -> Row:
    """A row without some of what is in its payload."""
    if not hidden:
        return row
    payload = {name: value for name, value in row["payload"].items() if name not in hidden}
    return {**row, "payload": payload}


async def forget(session: AsyncSession, platform: str, person: str, *, present: str) -> Sequence[int]:
    """Delete it all; gives the ids of the conversations that were about something of theirs. `present` is the
    platform's id of the event that asks for this: it stays until it is answered, without its content."""
    mine = _messages(platform, person)
    conversations = list(await session.scalars(select(Message.conversation_id).where(mine).distinct()))
    for about in _all(platform, person):
        if about.stays:
            continue
        rows = about.rows
        if about.table is InboxRow:
            rows = and_(rows, InboxRow.event_id != present)
        await session.execute(delete(about.table).where(rows))
    await session.execute(
        update(InboxRow).where(InboxRow.platform == platform, InboxRow.event_id == present).values(payload={})
    )
    await session.execute(
        update(Grant).where(Grant.platform == platform, Grant.person == person).values(name="")
    )
    await _delete_deserted(session, conversations)
    session.expire_all()
    return conversations


async def _delete_deserted(session: AsyncSession, conversations: Sequence[int]) -> None:
    """Conversations in which no person has said anything that is still there."""
    for conversation_id in conversations:
        left = select(Message.id).where(
            Message.conversation_id == conversation_id, Message.person_id.is_not(None)
        )
        if await session.scalar(left.limit(1)) is None:
            await session.execute(delete(Conversation).where(Conversation.id == conversation_id))


def _messages(platform: str, person: str) -> ColumnElement[bool]:
    """What the person has written."""
    return Message.person_id.in_(_ids(platform, person))


def _ids(platform: str, person: str) -> Any:
    return select(Person.id).where(Person.platform == platform, Person.platform_id == person)


def _all(platform: str, person: str) -> Iterator[About]:
    """In an order in which they can be deleted: what refers to messages and people before these."""
    mine = select(Message.id).where(_messages(platform, person))
    answers = select(Message.id).where(Message.role == "assistant", Message.parent_id.in_(mine))
    both = or_(Message.id.in_(mine), Message.id.in_(answers))
    its_messages = select(Message.id).where(both)
    sent = or_(
        func.json_extract(InboxRow.payload, "$.author.id") == person,
        func.json_extract(InboxRow.payload, "$.quoted.author.id") == person,
    )
    events = and_(InboxRow.platform == platform, sent)
    yield About(
        OutboxRow,
        and_(
            OutboxRow.platform == platform,
            or_(
                OutboxRow.message_id.in_(its_messages),
                OutboxRow.inbox_id.in_(select(InboxRow.id).where(events)),
            ),
        ),
    )
    yield About(InboxRow, events)
    conversations = select(Message.conversation_id).where(Message.id.in_(mine))
    yield About(SummaryRow, SummaryRow.conversation_id.in_(conversations))
    yield About(MessageRef, MessageRef.message_id.in_(its_messages))
    yield About(Feedback, Feedback.person_id.in_(_ids(platform, person)))
    yield About(Message, Message.id.in_(answers))
    yield About(Message, Message.id.in_(mine))
    for table in (Charge, DecisionRow):
        yield About(table, and_(table.platform == platform, table.person == person))
    used = and_(UsageTotal.platform == platform, UsageTotal.person == person)
    yield About(UsageTotal, used, stays=True)
    yield About(
        SettingRow,
        and_(SettingRow.platform == platform, SettingRow.scope == "person", SettingRow.scope_id == person),
    )
    grants = and_(Grant.platform == platform, Grant.person == person)
    yield About(Grant, and_(grants, Grant.kind.not_in(KEPT_GRANTS)))
    yield About(Grant, and_(grants, Grant.kind.in_(KEPT_GRANTS)), stays=True)
    for limits in (AccessRule, QuotaRow):
        yield About(
            limits,
            and_(limits.platform == platform, limits.subject_kind == "person", limits.subject == person),
            stays=True,
        )
    for deeds in (AuditRow, Broadcast):
        yield About(deeds, and_(deeds.platform == platform, deeds.person == person), stays=True)
    yield About(Person, and_(Person.platform == platform, Person.platform_id == person))
