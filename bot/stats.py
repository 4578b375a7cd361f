"""What has been said and how quickly it was answered: by day and by channel, of one server or of all.

Knows nothing of how it is shown. Everything is counted by the database over an index on time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Float, Select, and_, case, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.models import Conversation, Feedback, Message

MOST_CHANNELS = 10


@dataclass(frozen=True, slots=True)
class Day:
    """`messages` are people's questions, `tokens` those of prompts and answers, `first_token` the median time
    in seconds until an answer began; None where there was none."""

    day: date
    messages: int = 0
    people: int = 0
    tokens: int = 0
    first_token: float | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """`chat` is the platform's id; None for all private chats together."""

    platform: str
    chat: str | None
    messages: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Stats:
    """Every day of a time, also those without messages, and the busiest channels in it."""

    days: tuple[Day, ...]
    channels: tuple[Channel, ...]
    people: int
    liked: int
    disliked: int

    @property
    def messages(self) -> int:
        return sum(day.messages for day in self.days)

    @property
    def tokens(self) -> int:
        return sum(day.tokens for day in self.days)


async def collect(
    session: AsyncSession, now: datetime, days: int, *, platform: str | None = None, server: str | None = None
) -> Stats:
    """What was said in the last `days` days in UTC, today among them: in one server of a platform, on a
    platform, or anywhere."""
    today = now.date()
    first = today - timedelta(days=days - 1)
    scope = _scope(datetime.combine(first, datetime.min.time(), tzinfo=now.tzinfo), platform, server)
    day = func.date(Message.created_at)
    questions, tokens = _sums()
    counted = {
        row[0]: row[1:]
        for row in await session.execute(
            _from(scope, day, questions, func.count(Message.person_id.distinct()), tokens).group_by(day)
        )
    }
    medians = {row[0]: row[1] for row in await session.execute(_median_first_token(scope))}
    every_day = (first + timedelta(days=number) for number in range(days))
    people = await session.scalar(_from(scope, func.count(Message.person_id.distinct())))
    liked, disliked = await _feedback(session, scope)
    return Stats(
        days=tuple(
            _day(one, counted.get(one.isoformat()), medians.get(one.isoformat())) for one in every_day
        ),
        channels=await _channels(session, scope),
        people=people or 0,
        liked=liked,
        disliked=disliked,
    )


def _day(day: date, counted: Sequence[int] | None, first_token: float | None) -> Day:
    messages, people, tokens = counted or (0, 0, 0)
    return Day(day, messages, people, tokens, first_token)


def _scope(since: datetime, platform: str | None, server: str | None) -> ColumnElement[bool]:
    conditions = [Message.created_at >= since]
    if platform is not None:
        conditions.append(Conversation.platform == platform)
    if server is not None:
        conditions.append(Conversation.server == server)
    return and_(*conditions)


def _from(scope: ColumnElement[bool], *columns: Any) -> Select[Any]:
    return (
        select(*columns)
        .select_from(Message)
        .join(Conversation, Conversation.id == Message.conversation_id)
        .where(scope)
    )


def _sums() -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Questions, and tokens of prompts and answers."""
    questions = func.sum(case((Message.role == "user", 1), else_=0))
    tokens = func.sum(func.coalesce(Message.prompt_tokens, 0) + func.coalesce(Message.output_tokens, 0))
    return questions, tokens


def _median_first_token(scope: ColumnElement[bool]) -> Select[Any]:
    """By day the middle one of the times, or the mean of the two in the middle."""
    day = func.date(Message.created_at).label("day")
    times = _from(
        scope,
        day,
        Message.first_token.label("time"),
        func.row_number().over(partition_by=day, order_by=Message.first_token).label("rank"),
        func.count().over(partition_by=day).label("count"),
    )
    ranked = times.where(Message.first_token.is_not(None)).subquery()
    middle = 2 * ranked.c.rank - ranked.c.count
    return (
        select(ranked.c.day, func.avg(cast(ranked.c.time, Float)))
        .where(middle.between(0, 2))
        .group_by(ranked.c.day)
    )


async def _channels(session: AsyncSession, scope: ColumnElement[bool]) -> tuple[Channel, ...]:
    questions, tokens = _sums()
    chat = case((Conversation.server.is_(None), None), else_=Conversation.chat)
    rows = await session.execute(
        _from(scope, Conversation.platform, chat, questions, tokens)
        .group_by(Conversation.platform, chat)
        .order_by(questions.desc())
        .limit(MOST_CHANNELS)
    )
    return tuple(Channel(*row) for row in rows)


async def _feedback(session: AsyncSession, scope: ColumnElement[bool]) -> tuple[int, int]:
    rows = await session.execute(
        _from(scope, Feedback.good, func.count())
        .join(Feedback, Feedback.message_id == Message.id)
        .group_by(Feedback.good)
    )
    counts: dict[bool, int] = {row[0]: row[1] for row in rows}
    return counts.get(True, 0), counts.get(False, 0)
