"""How much somebody may use: messages and tokens a minute, day and month. Reserve, then settle.

Limits hold together: those of the bot's owner for a person (their own, else their role's, else everyone's,
else the default of the bot's file) and for a server, and those that a server's administrators set within it.
So an administrator can tighten what the owner allows, and never widen it. The owner has no limits.

Knows nothing of what an answer is; its key is the event's, so that a turn that runs twice is charged once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from bot import amounts
from bot.access import EVERYWHERE, Actor, Place, SubjectKind
from bot.config import Settings
from bot.i18n import N_, _
from bot.store import usage
from bot.store.models import QuotaRow
from bot.store.session import Database
from bot.store.usage import Account, Measure, Period, Used, window

UNLIMITED = -1
REMEMBERED = 10_000  # people who were told that a limit is reached

LIMITS: Mapping[str, tuple[Measure, Period]] = {
    f"{measure}_per_{period}": (measure, period) for measure in Measure for period in Period
}
"""Every kind of limit by its name: messages_per_minute and so on."""

_PERIODS = {Period.MINUTE: N_("this minute"), Period.DAY: N_("today"), Period.MONTH: N_("this month")}


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that holds for someone: of whose account, and what of it is used. `renews` is when it is
    nothing again."""

    account: Account
    measure: Measure
    period: Period
    amount: int
    used: int
    renews: datetime

    @property
    def reached(self) -> bool:
        return self.used >= self.amount

    @property
    def whose(self) -> str:
        """For people: your own, yours here, or that of all here together."""
        if not self.account.person:
            return _("everyone here together")
        return _("you here") if self.account.realm else _("you")

    def text(self, now: datetime) -> str:
        """What is used up, when it renews, and that nothing is said before."""
        said = amounts.messages if self.measure is Measure.MESSAGES else amounts.tokens
        if self.account.person:
            text = _(
                "You have used up your limit of {amount} {when}. It renews in {time}; "
                "until then I stay quiet."
            )
        else:
            text = _(
                "All of you here together have used up the limit of {amount} {when}. It renews in {time}; "
                "until then I stay quiet."
            )
        return text.format(
            amount=said(self.amount),
            when=_(_PERIODS[self.period]),
            time=amounts.duration((self.renews - now).total_seconds()),
        )


class Quotas:
    """Limits, and what is used of them. The limits that were set are remembered until `forget`; of those that
    people were told of, the last REMEMBERED."""

    def __init__(self, settings: Settings) -> None:
        self._defaults = {
            limit: amount
            for name, limit in LIMITS.items()
            if (amount := getattr(settings.quota, name))  # 0 is no limit
        }
        self._rows: Sequence[QuotaRow] | None = None
        self._generation = 0
        self._told: OrderedDict[tuple[str, str, str], datetime] = OrderedDict()

    def tell(self, actor: Actor, place: Place, limit: Limit) -> bool:
        """Whether a person is to be told of a limit that is reached: once until it renews, in each server and
        in private. A limit of all in a server together is told to one of them."""
        who = (actor.platform, actor.id if limit.account.person else "", place.realm)
        told = self._told.get(who)
        if told is not None and limit.renews <= told:
            return False
        self._told[who] = limit.renews
        self._told.move_to_end(who)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return True

    async def limits(self, session: AsyncSession, actor: Actor, place: Place, now: datetime) -> list[Limit]:
        """Every limit that holds for a person in a place, with what is used of it."""
        rows = await self._set(session)
        wanted = list(self._amounts(rows, actor, place))
        if not wanted:
            return []
        accounts = usage.accounts_of(actor.platform, actor.id, place.realm)
        used = await usage.totals(session, accounts, now)
        return [
            Limit(
                account,
                measure,
                period,
                amount,
                used.get((account, period), Used()).of(measure),
                window(period, now)[1],
            )
            for account, (measure, period), amount in wanted
        ]

    async def reserve(
        self, session: AsyncSession, key: str, actor: Actor, place: Place, tokens: int, now: datetime
    ) -> Limit | None:
        """Charge a turn one message and `tokens`, to be settled afterwards; or the limit that it would break,
        the one that renews last. A turn that has its charge already keeps it."""
        reached = [limit for limit in await self.limits(session, actor, place, now) if limit.reached]
        if reached and not await usage.charged(session, key):
            return max(reached, key=lambda limit: limit.renews)
        await usage.reserve(session, key, actor.platform, actor.id, place.realm, tokens, now)
        return None

    async def charge_only(
        self, session: AsyncSession, key: str, actor: Actor, place: Place, tokens: int, now: datetime
    ) -> None:
        """Charge someone without limits: what the owner uses is counted all the same."""
        await usage.reserve(session, key, actor.platform, actor.id, place.realm, tokens, now)

    async def uses_roles(self, database: Database, platform: str) -> bool:
        """Whether a role makes a difference, so that the platform has to be asked for a person's."""
        rows = self._rows
        if rows is None:
            async with database.read() as session:
                rows = await self._set(session)
        return any(row.platform == platform and row.subject_kind == SubjectKind.ROLE for row in rows)

    def forget(self) -> None:
        """A limit was set: read them anew, and tell people anew."""
        self._generation += 1
        self._rows = None
        self._told.clear()

    async def _set(self, session: AsyncSession) -> Sequence[QuotaRow]:
        if self._rows is not None:
            return self._rows
        generation = self._generation
        rows = await usage.quotas(session)
        if generation == self._generation:
            self._rows = rows
        return rows

    def _amounts(
        self, rows: Sequence[QuotaRow], actor: Actor, place: Place
    ) -> Iterator[tuple[Account, tuple[Measure, Period], int]]:
        """Every limit's amount, by whose account it is of and what it limits."""
        platform = [row for row in rows if row.platform == actor.platform]
        owners = [row for row in platform if row.realm == EVERYWHERE]
        person = Account(actor.platform, actor.id)
        for limit in LIMITS.values():
            yield from _one(person, limit, _of_person(owners, actor, limit, self._defaults.get(limit)))
            if place.private:
                continue
            local = [row for row in platform if row.realm == place.realm]
            here = Account(actor.platform, actor.id, place.realm)
            yield from _one(here, limit, _of_person(local, actor, limit, None))
            for row in (*owners, *local):
                if _about(row, limit) and (row.subject_kind, row.subject) == (
                    SubjectKind.SERVER,
                    place.realm,
                ):
                    yield from _one(Account(actor.platform, "", place.realm), limit, row.amount)


def _about(row: QuotaRow, limit: tuple[Measure, Period]) -> bool:
    return (row.measure, row.period) == limit


def _of_person(
    rows: Sequence[QuotaRow], actor: Actor, limit: tuple[Measure, Period], default: int | None
) -> int | None:
    """A person's own amount, else the widest of their roles, else everyone's, else the default."""
    about = [row for row in rows if _about(row, limit)]
    own = [row.amount for row in about if (row.subject_kind, row.subject) == (SubjectKind.PERSON, actor.id)]
    of_roles = [
        row.amount for row in about if row.subject_kind == SubjectKind.ROLE and row.subject in actor.roles
    ]
    general = [row.amount for row in about if row.subject_kind == SubjectKind.EVERYONE]
    for found in (own, of_roles, general):
        if found:
            return UNLIMITED if UNLIMITED in found else max(found)
    return default


def _one(
    account: Account, limit: tuple[Measure, Period], amount: int | None
) -> Iterator[tuple[Account, tuple[Measure, Period], int]]:
    if amount is not None and amount != UNLIMITED:
        yield account, limit, amount
