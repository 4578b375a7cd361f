"""Who is what to the bot, and the rules of who may do what. Knows nothing of what follows from them.

Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.models import AccessRule, Grant, Person

MOST_ASKING = 1000  # people whose question to be let in is remembered
ASKED_FOR = timedelta(days=7)  # how long it is


class GrantKind(StrEnum):
    OWNER = "owner"
    ADMINISTRATOR = "administrator"
    GUEST = "guest"
    BANNED = "banned"
    ASKING = "asking"
    TOLD = "told"  # was told why the bot does not answer; `note` says what


LASTING = (GrantKind.OWNER, GrantKind.ADMINISTRATOR, GrantKind.GUEST, GrantKind.BANNED)


async def grants(session: AsyncSession) -> Sequence[Grant]:
    """Everybody who is something to the bot."""
    return list(await session.scalars(select(Grant).where(Grant.kind.in_(LASTING))))


async def rules(session: AsyncSession) -> Sequence[AccessRule]:
    return list(await session.scalars(select(AccessRule)))


async def grant(
    session: AsyncSession,
    platform: str,
    person: str,
    kind: GrantKind,
    now: datetime,
    *,
    realm: str = "",
    name: str = "",
    note: str = "",
) -> None:
    """Make someone something; again is harmless."""
    changed = {"name": name, "note": note, "since": now}
    await session.execute(
        insert(Grant)
        .values(platform=platform, person=person, realm=realm, kind=kind, **changed)
        .on_conflict_do_update(index_elements=["platform", "person", "realm", "kind"], set_=changed)
    )


async def revoke(
    session: AsyncSession, platform: str, person: str, kind: GrantKind, *, realm: str = ""
) -> bool:
    """Take that away; False if they were not."""
    removed = await session.execute(
        delete(Grant)
        .where(Grant.platform == platform, Grant.person == person, Grant.realm == realm, Grant.kind == kind)
        .returning(Grant.person)
    )
    return removed.first() is not None


async def held(
    session: AsyncSession, platform: str, person: str, kind: GrantKind, *, realm: str = ""
) -> Grant | None:
    return await session.get(Grant, (platform, person, realm, kind))


async def asking(session: AsyncSession, code: str) -> Grant | None:
    """Who asks to be let in with that code."""
    return await session.scalar(select(Grant).where(Grant.kind == GrantKind.ASKING, Grant.note == code))


async def all_asking(session: AsyncSession) -> Sequence[Grant]:
    return list(
        await session.scalars(
            select(Grant).where(Grant.kind == GrantKind.ASKING).order_by(Grant.since).limit(50)
        )
    )


async def prune(session: AsyncSession, now: datetime) -> None:
    """Forget questions that nobody has answered, and what people were told long ago."""
    stale = (GrantKind.ASKING, GrantKind.TOLD)
    await session.execute(delete(Grant).where(Grant.kind.in_(stale), Grant.since < now - ASKED_FOR))


async def may_ask(session: AsyncSession) -> bool:
    """Whether there is room for one more who asks."""
    count = await session.scalar(select(func.count()).where(Grant.kind == GrantKind.ASKING))
    return (count or 0) < MOST_ASKING


async def put_rule(
    session: AsyncSession, platform: str, realm: str, what: str, subject: tuple[str, str], *, allow: bool
) -> None:
    """Write a rule, in place of the one about the same."""
    kind, subject_id = subject
    await session.execute(
        insert(AccessRule)
        .values(platform=platform, realm=realm, what=what, subject_kind=kind, subject=subject_id, allow=allow)
        .on_conflict_do_update(
            index_elements=["platform", "realm", "what", "subject_kind", "subject"], set_={"allow": allow}
        )
    )


async def remove_rules(
    session: AsyncSession, platform: str, realm: str, what: str, subject: tuple[str, str] | None = None
) -> int:
    """Remove the rules about something, all or a subject's; how many there were."""
    statement = delete(AccessRule).where(
        AccessRule.platform == platform, AccessRule.realm == realm, AccessRule.what == what
    )
    if subject is not None:
        statement = statement.where(AccessRule.subject_kind == subject[0], AccessRule.subject == subject[1])
    return len((await session.execute(statement.returning(AccessRule.what))).all())


async def name_of(session: AsyncSession, platform: str, person: str) -> str | None:
    """What the bot knows a person by; None where they have never spoken to it."""
    name = await session.scalar(
        select(Person.name).where(Person.platform == platform, Person.platform_id == person)
    )
    granted = select(Grant.name).where(Grant.platform == platform, Grant.person == person, Grant.name != "")
    return name or await session.scalar(granted.limit(1))


async def people_called(session: AsyncSession, platform: str, name: str) -> Sequence[Person]:
    """People whom the bot knows under a name, at most ten."""
    return list(
        await session.scalars(
            select(Person)
            .where(Person.platform == platform, func.lower(Person.name) == name.lower())
            .limit(10)
        )
    )
