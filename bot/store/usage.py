"""What people have used: a charge for each turn, and totals of minutes, days and months.

    reserve (before the turn) ──▶ charge, unsettled ──settle (with the answer)──▶ settled
                                      └──release (no answer)──▶ gone, totals as before

Totals are kept beside the charges, so that what a window holds is one row however much was used. All times
are UTC. Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import and_, delete, or_, select, tuple_
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.models import Charge, QuotaRow, UsageTotal
from bot.store.statement import Statement, stamp, stamped

KEPT = timedelta(days=62)  # charges: this month and the last

_CHARGE = Statement("""
SELECT platform, person, realm, at, messages, tokens, settled FROM charges WHERE key = :key
""")
_RESERVE = Statement("""
INSERT INTO charges (key, platform, person, realm, at, messages, tokens, settled)
VALUES (:key, :platform, :person, :realm, :at, 1, :tokens, 0)
ON CONFLICT DO NOTHING RETURNING key
""")
_SETTLE = Statement("UPDATE charges SET tokens = :tokens, settled = 1 WHERE key = :key")
_ADD = Statement("""
INSERT INTO usage_totals (platform, person, realm, period, starts, messages, tokens)
VALUES (:platform, :person, :realm, 'minute', :minute, :messages, :tokens),
       (:platform, :person, :realm, 'day', :day, :messages, :tokens),
       (:platform, :person, :realm, 'month', :month, :messages, :tokens)
ON CONFLICT (platform, person, realm, period, starts)
DO UPDATE SET messages = messages + excluded.messages, tokens = tokens + excluded.tokens
""")


class Period(StrEnum):
    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"


class Measure(StrEnum):
    MESSAGES = "messages"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class Account:
    """Whose use is counted: a person's everywhere (no realm), a person's in a server, a server's (no
    person)."""

    platform: str
    person: str = ""
    realm: str = ""


@dataclass(frozen=True, slots=True)
class Used:
    messages: int = 0
    tokens: int = 0

    def of(self, measure: Measure) -> int:
        return self.messages if measure is Measure.MESSAGES else self.tokens


def window(period: Period, now: datetime) -> tuple[datetime, datetime]:
    """The minute, day or month that `now` lies in: when it began and when the next begins."""
    match period:
        case Period.MINUTE:
            start = now.replace(second=0, microsecond=0)
            return start, start + timedelta(minutes=1)
        case Period.DAY:
            start = now.replace(hour=0, minute=0, second=0, microsecond=0)
            return start, start + timedelta(days=1)
        case Period.MONTH:
            start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            return start, (start + timedelta(days=32)).replace(day=1)


def accounts_of(platform: str, person: str, realm: str) -> list[Account]:
    """All accounts that a turn of a person in a realm counts to."""
    mine = Account(platform, person)
    return [mine, Account(platform, person, realm), Account(platform, "", realm)] if realm else [mine]


async def totals(
    session: AsyncSession, accounts: Sequence[Account], now: datetime
) -> Mapping[tuple[Account, Period], Used]:
    """What accounts have used in the windows that `now` lies in; what is absent is nothing."""
    windows = [(period, window(period, now)[0]) for period in Period]
    rows = await session.scalars(
        select(UsageTotal).where(
            tuple_(UsageTotal.platform, UsageTotal.person, UsageTotal.realm).in_(
                [(one.platform, one.person, one.realm) for one in accounts]
            ),
            or_(
                *(((UsageTotal.period == period) & (UsageTotal.starts == start)) for period, start in windows)
            ),
        )
    )
    return {
        (Account(row.platform, row.person, row.realm), Period(row.period)): Used(row.messages, row.tokens)
        for row in rows
    }


async def charged(session: AsyncSession, key: str) -> bool:
    """Whether a turn has its charge."""
    return await _charge(session, key) is not None


async def reserve(
    session: AsyncSession, key: str, platform: str, person: str, realm: str, tokens: int, now: datetime
) -> None:
    """Charge a turn one message and `tokens`. One that has its charge keeps it."""
    charge = {"key": key, "platform": platform, "person": person, "realm": realm}
    if await _RESERVE.row(session, {**charge, "tokens": tokens, "at": stamp(now)}):
        await _add(session, platform, person, realm, now, messages=1, tokens=tokens)


async def settle(session: AsyncSession, key: str, tokens: int) -> None:
    """Put what a turn really used in place of what was reserved for it, once."""
    charge = await _charge(session, key)
    if charge is None or charge.settled:
        return
    await _SETTLE.run(session, {"key": key, "tokens": tokens})
    difference = tokens - charge.tokens
    await _add(session, charge.platform, charge.person, charge.realm, charge.at, tokens=difference)


async def release(session: AsyncSession, key: str) -> None:
    """The turn came to nothing: take its reservation back. One that is settled stays."""
    charge = await _charge(session, key)
    if charge is None or charge.settled:
        return
    await _add(
        session,
        charge.platform,
        charge.person,
        charge.realm,
        charge.at,
        messages=-charge.messages,
        tokens=-charge.tokens,
    )
    await session.execute(delete(Charge).where(Charge.key == key))


async def prune(session: AsyncSession, now: datetime) -> None:
    """Forget charges that lie two months back, and the totals of minutes, days and months that are over."""
    await session.execute(delete(Charge).where(Charge.at < now - KEPT))
    for period in Period:
        over = and_(UsageTotal.period == period, UsageTotal.starts < window(period, now)[0])
        await session.execute(delete(UsageTotal).where(over))


async def quotas(session: AsyncSession) -> Sequence[QuotaRow]:
    """Every limit that was set."""
    return list(await session.scalars(select(QuotaRow)))


async def put_quota(
    session: AsyncSession,
    platform: str,
    realm: str,
    subject: tuple[str, str],
    measure: Measure,
    period: Period,
    amount: int,
) -> None:
    """Set a limit, in place of the one there was."""
    kind, subject_id = subject
    await session.execute(
        insert(QuotaRow)
        .values(
            platform=platform,
            realm=realm,
            subject_kind=kind,
            subject=subject_id,
            measure=measure,
            period=period,
            amount=amount,
        )
        .on_conflict_do_update(
            index_elements=["platform", "realm", "subject_kind", "subject", "measure", "period"],
            set_={"amount": amount},
        )
    )


async def remove_quotas(session: AsyncSession, platform: str, realm: str, subject: tuple[str, str]) -> int:
    """Remove every limit of a subject; how many there were."""
    removed = await session.execute(
        delete(QuotaRow)
        .where(
            QuotaRow.platform == platform,
            QuotaRow.realm == realm,
            QuotaRow.subject_kind == subject[0],
            QuotaRow.subject == subject[1],
        )
        .returning(QuotaRow.amount)
    )
    return len(removed.all())


@dataclass(frozen=True, slots=True)
class _Charge:
    """What one turn was charged."""

    platform: str
    person: str
    realm: str
    at: datetime
    messages: int
    tokens: int
    settled: bool


async def _charge(session: AsyncSession, key: str) -> _Charge | None:
    found = await _CHARGE.row(session, {"key": key})
    if found is None:
        return None
    platform, person, realm, at, messages, tokens, settled = found
    return _Charge(platform, person, realm, stamped(at), messages, tokens, bool(settled))


async def _add(
    session: AsyncSession,
    platform: str,
    person: str,
    realm: str,
    at: datetime,
    *,
    messages: int = 0,
    tokens: int = 0,
) -> None:
    """Add to every total that a charge counts to: those of the windows in which it was made."""
    starts = {period.value: stamp(window(period, at)[0]) for period in Period}
    for account in accounts_of(platform, person, realm):
        whose = {"platform": account.platform, "person": account.person, "realm": account.realm}
        await _ADD.run(session, {**whose, **starts, "messages": messages, "tokens": tokens})
