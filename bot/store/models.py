"""The tables. Knows nothing of sessions or queries; migrations build the schema from here.

inbox ──1:n── placeholders          conversations ──1:n── messages (a tree by parent_id)
  └────1:n── outbox ──n:1── messages ──1:n── message_refs
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKey, Index, MetaData, TypeDecorator, UniqueConstraint, text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes, kept as UTC: SQLite drops the zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON}  # noqa: RUF012  as SQLAlchemy has it


class InboxState(StrEnum):
    PENDING = "pending"  # accepted, not yet answered; found again after a restart
    CLAIMED = "claimed"  # being worked on, until its lease runs out
    DONE = "done"  # answered: its outbox rows, if any, were written in the same transaction
    ASIDE = "aside"  # given up or unreadable: kept for people to look at, never tried again


class OutboxState(StrEnum):
    PENDING = "pending"  # to be sent
    SENDING = "sending"  # being sent where a repetition can't be told from news; pending in all else
    SENT = "sent"
    FAILED = "failed"  # can never be sent: the chat is gone or the bot was thrown out


class Person(Base):
    """Someone who has written to the bot."""

    __tablename__ = "people"
    __table_args__ = (UniqueConstraint("platform", "platform_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    platform: Mapped[str]
    platform_id: Mapped[str]
    name: Mapped[str]
    language: Mapped[str | None]
    first_seen: Mapped[datetime]


class Conversation(Base):
    """One chat, or one thread or topic of it. `head_id` is the message that the next one follows; None after
    a reset. `thread` is empty outside threads, `server` is the server or group around it, None in private.
    `told_dropped`: the person knows that old messages no longer fit into the model's context."""

    __tablename__ = "conversations"
    __table_args__ = (UniqueConstraint("platform", "chat", "thread"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    platform: Mapped[str]
    chat: Mapped[str]
    thread: Mapped[str] = mapped_column(default="")
    head_id: Mapped[int | None] = mapped_column(
        ForeignKey("messages.id", use_alter=True, ondelete="SET NULL")
    )
    server: Mapped[str | None] = mapped_column(index=True)
    told_dropped: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]


class Message(Base):
    """One message; the path from a root to a message is what the model gets to read."""

    __tablename__ = "messages"

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[int] = mapped_column(
        ForeignKey("conversations.id", ondelete="CASCADE"), index=True
    )
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("messages.id", ondelete="SET NULL"), index=True)
    person_id: Mapped[int | None] = mapped_column(ForeignKey("people.id", ondelete="SET NULL"), index=True)
    role: Mapped[str]  # user or assistant
    text: Mapped[str]
    attached: Mapped[str | None]  # what was read of the files that came with it; the model reads it behind
    created_at: Mapped[datetime] = mapped_column(index=True)
    model: Mapped[str | None]  # of an answer, as are the following
    finish_reason: Mapped[str | None]
    prompt_tokens: Mapped[int | None]
    cached_tokens: Mapped[int | None]
    output_tokens: Mapped[int | None]
    first_token: Mapped[float | None]  # seconds until its first token
    thinking: Mapped[str | None]  # what the model thought aloud before it; never given back to it


class MessageRef(Base):
    """Where a message stands on its platform; a long answer stands in several places."""

    __tablename__ = "message_refs"

    conversation_id: Mapped[int] = mapped_column(
        ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True
    )
    platform_message: Mapped[str] = mapped_column(primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), index=True)


class SummaryRow(Base):
    """What a conversation's branch was about up to and with a message: it is read in place of the messages
    where these no longer fit, and they stay."""

    __tablename__ = "summaries"

    conversation_id: Mapped[int] = mapped_column(
        ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True
    )
    message_id: Mapped[int] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True)
    text: Mapped[str]
    tokens: Mapped[int]
    created_at: Mapped[datetime]


class Feedback(Base):
    """What a person thinks of an answer: one word a person and answer, the last one counts."""

    __tablename__ = "feedback"

    message_id: Mapped[int] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True)
    person_id: Mapped[int] = mapped_column(
        ForeignKey("people.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    good: Mapped[bool]
    given_at: Mapped[datetime]


class InboxRow(Base):
    """An event, stored before it was acknowledged. `key` makes what is sent for it recognisable. `author` and
    `server` say whose turn it takes; `attempts` is how often work on it was begun. `holder` works on it until
    `lease_until`. `reason` says why it was put aside or refused."""

    __tablename__ = "inbox"
    __table_args__ = (
        UniqueConstraint("platform", "event_id"),
        Index("ix_inbox_pending", "platform", "chat", "thread", "id", sqlite_where=text("state = 'pending'")),
        Index("ix_inbox_claimed", "platform", "id", sqlite_where=text("state = 'claimed'")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    platform: Mapped[str]
    event_id: Mapped[str]
    chat: Mapped[str]
    thread: Mapped[str]
    author: Mapped[str | None]
    server: Mapped[str | None]
    payload: Mapped[dict[str, Any]]
    key: Mapped[str]
    state: Mapped[str] = mapped_column(default=InboxState.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    holder: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    reason: Mapped[str | None]
    received_at: Mapped[datetime]
    done_at: Mapped[datetime | None]


class Cursor(Base):
    """The newest message of a chat that is stored, by the platform's own id; of all chats under "". What came
    later is fetched where the platform does not keep it for the bot."""

    __tablename__ = "cursors"

    platform: Mapped[str] = mapped_column(primary_key=True)
    chat: Mapped[str] = mapped_column(primary_key=True)
    message: Mapped[str]


class Placeholder(Base):
    """A preview that stands in the chat and becomes part `part` of the answer."""

    __tablename__ = "placeholders"

    inbox_id: Mapped[int] = mapped_column(ForeignKey("inbox.id", ondelete="CASCADE"), primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    platform_message: Mapped[str]


class OutboxRow(Base):
    """One message to be sent, edited or deleted; rows of a chat go out in the order of their ids. `doubtful`
    is how often nobody could know whether it had arrived, so that it was sent again."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index(
            "ix_outbox_waiting",
            "platform",
            "chat",
            "id",
            sqlite_where=text("state IN ('pending', 'sending')"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    inbox_id: Mapped[int | None] = mapped_column(ForeignKey("inbox.id", ondelete="SET NULL"), index=True)
    message_id: Mapped[int | None] = mapped_column(ForeignKey("messages.id", ondelete="SET NULL"), index=True)
    platform: Mapped[str]
    chat: Mapped[str]
    thread: Mapped[str]
    payload: Mapped[dict[str, Any]]
    key: Mapped[str]
    state: Mapped[str] = mapped_column(default=OutboxState.PENDING)
    doubtful: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]


class SettingRow(Base):
    """A value that was set for a scope; `scope_id` is empty for a platform's."""

    __tablename__ = "settings"

    platform: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    scope_id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Grant(Base):
    """What a person is to the bot: `kind` is owner, administrator, guest, banned, or asking to be let in.
    `realm` is the server that it holds in, empty for everywhere. `note` is a ban's reason, or the code that
    lets someone in."""

    __tablename__ = "grants"

    platform: Mapped[str] = mapped_column(primary_key=True)
    person: Mapped[str] = mapped_column(primary_key=True)
    realm: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    note: Mapped[str]
    since: Mapped[datetime]


class AccessRule(Base):
    """Whom something is allowed or denied to; see `bot.access.Rule`."""

    __tablename__ = "access_rules"

    platform: Mapped[str] = mapped_column(primary_key=True)
    realm: Mapped[str] = mapped_column(primary_key=True)
    what: Mapped[str] = mapped_column(primary_key=True)
    subject_kind: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    allow: Mapped[bool]


class QuotaRow(Base):
    """How much somebody may use: `amount` messages or tokens (`measure`) a `period`."""

    __tablename__ = "quotas"

    platform: Mapped[str] = mapped_column(primary_key=True)
    realm: Mapped[str] = mapped_column(primary_key=True)
    subject_kind: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    measure: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[int]


class Charge(Base):
    """What one turn was charged, by the key of its event: reserved before it, settled after it. A turn that
    runs twice finds its charge here."""

    __tablename__ = "charges"
    __table_args__ = (Index("ix_charges_person", "platform", "person"),)

    key: Mapped[str] = mapped_column(primary_key=True)
    platform: Mapped[str]
    person: Mapped[str]
    realm: Mapped[str]
    at: Mapped[datetime] = mapped_column(index=True)
    messages: Mapped[int]
    tokens: Mapped[int]
    settled: Mapped[bool]


class UsageTotal(Base):
    """What a person, a person in a server, or a server has used in the minute, day or month that began at
    `starts`. `person` is empty for a server's, `realm` for a person's everywhere."""

    __tablename__ = "usage_totals"

    platform: Mapped[str] = mapped_column(primary_key=True)
    person: Mapped[str] = mapped_column(primary_key=True)
    realm: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[str] = mapped_column(primary_key=True)
    starts: Mapped[datetime] = mapped_column(primary_key=True)
    messages: Mapped[int]
    tokens: Mapped[int]


class AuditRow(Base):
    """Who changed what, and when; written in the transaction that changed it."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_realm", "platform", "realm", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    platform: Mapped[str]
    realm: Mapped[str]
    person: Mapped[str]
    name: Mapped[str]
    action: Mapped[str]
    detail: Mapped[str]


class DecisionRow(Base):
    """Why a message was answered or not. Kept for a week."""

    __tablename__ = "decisions"

    platform: Mapped[str] = mapped_column(primary_key=True)
    chat: Mapped[str] = mapped_column(primary_key=True)
    platform_message: Mapped[str] = mapped_column(primary_key=True)
    realm: Mapped[str]
    person: Mapped[str]
    verdict: Mapped[str]
    detail: Mapped[str]
    at: Mapped[datetime] = mapped_column(index=True)


class PersonaRow(Base):
    """A persona that people made; `realm` is the server that has it, empty for all."""

    __tablename__ = "personas"

    platform: Mapped[str] = mapped_column(primary_key=True)
    realm: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    summary: Mapped[str]
    prompt: Mapped[str]


class Broadcast(Base):
    """News for many chats: written down when it is asked for, sent once that was confirmed."""

    __tablename__ = "broadcasts"

    id: Mapped[int] = mapped_column(primary_key=True)
    platform: Mapped[str]
    realm: Mapped[str]
    person: Mapped[str]
    text: Mapped[str]
    asked_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]


class Fact(Base):
    """One thing that is to be remembered from run to run, such as which commands a platform knows."""

    __tablename__ = "facts"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
    at: Mapped[datetime]
