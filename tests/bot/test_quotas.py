"""Limits: reserved before a turn, settled after it, each turn once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import ChatRef, Standing
from bot.access import Actor, Place
from bot.amounts import duration
from bot.config import load_settings
from bot.quotas import LIMITS, UNLIMITED, Quotas
from bot.store import usage
from bot.store.session import Database
from bot.store.usage import Account, Period, Used, window
from tests.bot.conftest import Chorus

NOON = datetime(2026, 5, 5, 12, 0, 30, tzinfo=UTC)
ALICE = Actor("discord", "7", "Alice", Standing(roles=("100", "101")))
BOB = Actor("discord", "8", "Bob", Standing())
HOME = Place(ChatRef("discord", "50"), server="60")
AWAY = Place(ChatRef("discord", "70"), server="71")
PRIVATE = Place(ChatRef("discord", "90"))


@pytest.fixture
async def database(chorus: Chorus) -> AsyncIterator[Database]:
    async with chorus.database() as database:
        yield database


def quotas(**defaults: int) -> Quotas:
    return Quotas(load_settings({"quota": dict.fromkeys(LIMITS, 0) | defaults}))


async def put(
    session: AsyncSession, kind: str, subject: str, limit: str, amount: int, *, realm: str = ""
) -> None:
    measure, period = LIMITS[limit]
    await usage.put_quota(session, "discord", realm, (kind, subject), measure, period, amount)


async def used(session: AsyncSession, account: Account, period: Period, now: datetime = NOON) -> Used:
    return (await usage.totals(session, [account], now)).get((account, period), Used())


async def test_the_message_above_the_limit_is_refused_until_the_window_is_over(database: Database) -> None:
    limits = quotas(messages_per_minute=2)
    async with database.write() as session:
        for key in ("a", "b"):
            assert await limits.reserve(session, key, ALICE, HOME, 100, NOON) is None
        reached = await limits.reserve(session, "c", ALICE, HOME, 100, NOON)
        assert reached is not None
        assert reached.renews == NOON.replace(second=0) + timedelta(minutes=1)
        assert "used up your limit of 2 messages this minute. It renews in 30 seconds" in reached.text(NOON)
        assert await limits.reserve(session, "c", BOB, HOME, 100, NOON) is None
        assert await limits.reserve(session, "d", ALICE, HOME, 100, reached.renews) is None


async def test_a_turn_that_runs_twice_is_charged_once(database: Database) -> None:
    limits, account = quotas(messages_per_minute=1), Account("discord", "7")
    async with database.write() as session:
        assert await limits.reserve(session, "a", ALICE, HOME, 100, NOON) is None
        assert await limits.reserve(session, "a", ALICE, HOME, 100, NOON) is None
        assert await used(session, account, Period.DAY) == Used(1, 100)
        await usage.settle(session, "a", 30)
        await usage.settle(session, "a", 70)
        assert await used(session, account, Period.DAY) == Used(1, 30)
        await usage.release(session, "a")
        assert await used(session, account, Period.DAY) == Used(1, 30), "what is settled stays"


async def test_a_turn_that_came_to_nothing_costs_nothing(database: Database) -> None:
    limits = quotas(messages_per_day=1)
    async with database.write() as session:
        assert await limits.reserve(session, "a", ALICE, HOME, 100, NOON) is None
        await usage.release(session, "a")
        await usage.release(session, "a")
        assert await used(session, Account("discord", "7"), Period.MONTH) == Used(0, 0)
        assert await limits.reserve(session, "b", ALICE, HOME, 100, NOON) is None


async def test_what_is_settled_later_counts_to_the_window_it_was_reserved_in(database: Database) -> None:
    limits = quotas(tokens_per_minute=50)
    later = NOON + timedelta(minutes=1)
    async with database.write() as session:
        assert await limits.reserve(session, "a", ALICE, HOME, 40, NOON) is None
        assert await limits.reserve(session, "b", ALICE, HOME, 40, later) is None
        await usage.settle(session, "a", 5000)
        assert (await used(session, Account("discord", "7"), Period.MINUTE, later)).tokens == 40
        assert (await used(session, Account("discord", "7"), Period.DAY, later)).tokens == 5040


async def test_ones_own_limit_comes_before_that_of_a_role_and_that_before_everyones(
    database: Database,
) -> None:
    limits = quotas(messages_per_day=1)

    async def amount(actor: Actor) -> list[int]:
        limits.forget()
        async with database.read() as session:
            return [limit.amount for limit in await limits.limits(session, actor, HOME, NOON)]

    assert await amount(ALICE) == [1]
    async with database.write() as session:
        await put(session, "everyone", "", "messages_per_day", 5)
    assert await amount(ALICE) == [5]
    async with database.write() as session:
        await put(session, "role", "100", "messages_per_day", 10)
        await put(session, "role", "101", "messages_per_day", 20)
    assert (await amount(ALICE), await amount(BOB)) == ([20], [5])
    async with database.write() as session:
        await put(session, "person", "7", "messages_per_day", 3)
    assert await amount(ALICE) == [3]
    async with database.write() as session:
        await put(session, "person", "7", "messages_per_day", UNLIMITED)
    assert await amount(ALICE) == []


async def test_a_server_can_tighten_what_the_owner_allows_and_never_widen_it(database: Database) -> None:
    limits = quotas(messages_per_day=2)
    async with database.write() as session:
        await put(session, "person", "7", "messages_per_day", 100, realm="60")
        await put(session, "everyone", "", "messages_per_day", 1, realm="71")
        assert await limits.reserve(session, "a", ALICE, HOME, 1, NOON) is None
        assert await limits.reserve(session, "b", ALICE, AWAY, 1, NOON) is None, "the first one there"
        assert await limits.reserve(session, "c", ALICE, HOME, 1, NOON) is not None, "the third of all"
        assert await limits.reserve(session, "d", BOB, AWAY, 1, NOON) is None
        assert await limits.reserve(session, "e", BOB, AWAY, 1, NOON) is not None
        assert await limits.reserve(session, "f", BOB, PRIVATE, 1, NOON) is None


async def test_a_servers_limit_is_for_all_in_it_together(database: Database) -> None:
    limits = quotas()
    async with database.write() as session:
        await put(session, "server", "60", "tokens_per_month", 150)
        assert await limits.reserve(session, "a", ALICE, HOME, 100, NOON) is None
        assert await limits.reserve(session, "b", BOB, HOME, 100, NOON) is None
        reached = await limits.reserve(session, "c", ALICE, HOME, 100, NOON)
        assert reached is not None
        assert "All of you here together have used up the limit of 150 tokens" in reached.text(NOON)
        assert await limits.reserve(session, "d", ALICE, AWAY, 100, NOON) is None


async def test_what_is_long_past_is_forgotten_and_what_still_counts_is_not(database: Database) -> None:
    limits, account = quotas(), Account("discord", "7")
    async with database.write() as session:
        await limits.reserve(session, "a", ALICE, HOME, 10, NOON - timedelta(days=100))
        await limits.reserve(session, "b", ALICE, HOME, 10, NOON)
        await usage.prune(session, NOON)
        assert not await usage.charged(session, "a")
        assert await usage.charged(session, "b")
        assert await used(session, account, Period.MONTH) == Used(1, 10)
        assert await used(session, account, Period.MONTH, NOON - timedelta(days=100)) == Used()
        await usage.prune(session, NOON + timedelta(days=1))
        assert await used(session, account, Period.DAY) == Used(), "the day is over"
        assert await used(session, account, Period.MONTH) == Used(1, 10)


@pytest.mark.parametrize(
    ("now", "period", "ends"),
    [
        (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), Period.MINUTE, datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), Period.DAY, datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(2028, 2, 29, 1, tzinfo=UTC), Period.MONTH, datetime(2028, 3, 1, tzinfo=UTC)),
        (datetime(2026, 12, 1, tzinfo=UTC), Period.MONTH, datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_windows_follow_the_calendar(now: datetime, period: Period, ends: datetime) -> None:
    start, end = window(period, now)
    assert start <= now < end == ends


def test_a_wait_is_never_told_shorter_than_it_is() -> None:
    assert duration(0.2) == "1 second"
    assert duration(59.9) == "60 seconds"
    assert duration(100) == "2 minutes"
    assert duration(6 * 3600) == "6 hours"
    assert duration(20 * 86400 + 1) == "21 days"
