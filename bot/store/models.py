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
    DONE = "done"  # answered: its outbox rows, if any, were written in the same transaction


class OutboxState(StrEnum):
    PENDING = "pending"  # to be sent
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
    a reset. `thread` is empty outside threads. `persona` None is the default one. `told_dropped`: the person
    knows that old messages no longer fit into the model's context."""

    __tablename__ = "conversations"
    __table_args__ = (UniqueConstraint("platform", "chat", "thread"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    platform: Mapped[str]
    chat: Mapped[str]
    thread: Mapped[str] = mapped_column(default="")
    head_id: Mapped[int | None] = mapped_column(
        ForeignKey("messages.id", use_alter=True, ondelete="SET NULL")
    )
    persona: Mapped[str | None]
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
    created_at: Mapped[datetime]
    model: Mapped[str | None]  # of an answer, as are the following
    finish_reason: Mapped[str | None]
    prompt_tokens: Mapped[int | None]
    cached_tokens: Mapped[int | None]
    output_tokens: Mapped[int | None]


class MessageRef(Base):
    """Where a message stands on its platform; a long answer stands in several places."""

    __tablename__ = "message_refs"

    conversation_id: Mapped[int] = mapped_column(
        ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True
    )
    platform_message: Mapped[str] = mapped_column(primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), index=True)


class InboxRow(Base):
    """An event, stored before it was acknowledged. `key` makes what is sent for it recognisable."""

    __tablename__ = "inbox"
    __table_args__ = (
        UniqueConstraint("platform", "event_id"),
        Index("ix_inbox_pending", "platform", "id", sqlite_where=text("state = 'pending'")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    platform: Mapped[str]
    event_id: Mapped[str]
    chat: Mapped[str]
    thread: Mapped[str]
    payload: Mapped[dict[str, Any]]
    key: Mapped[str]
    state: Mapped[str] = mapped_column(default=InboxState.PENDING)
    received_at: Mapped[datetime]
    done_at: Mapped[datetime | None]


class Placeholder(Base):
    """A preview that stands in the chat and becomes part `part` of the answer."""

    __tablename__ = "placeholders"

    inbox_id: Mapped[int] = mapped_column(ForeignKey("inbox.id", ondelete="CASCADE"), primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    platform_message: Mapped[str]


class OutboxRow(Base):
    """One message to be sent, edited or deleted; rows of a chat go out in the order of their ids."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_pending", "platform", "chat", "id", sqlite_where=text("state = 'pending'")),
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
    error: Mapped[str | None]
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
