"""Personas that people made. Knows nothing of those that come with the bot.

Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bot.personas import Persona
from bot.store.models import PersonaRow


async def of_realm(session: AsyncSession, platform: str, realm: str) -> Mapping[str, Persona]:
    """By name, the personas of a server, and those of all; the server's own come first."""
    rows = await session.scalars(
        select(PersonaRow)
        .where(PersonaRow.platform == platform, PersonaRow.realm.in_({"", realm}))
        .order_by(PersonaRow.realm, PersonaRow.name)
    )
    return {row.name: Persona(row.name, row.summary, row.prompt) for row in rows}


async def count(session: AsyncSession, platform: str, realm: str) -> int:
    rows = await session.scalars(
        select(PersonaRow.name).where(PersonaRow.platform == platform, PersonaRow.realm == realm)
    )
    return len(rows.all())


async def exists(session: AsyncSession, platform: str, realm: str, name: str) -> bool:
    """Whether this very realm has a persona of that name."""
    return await session.get(PersonaRow, (platform, realm, name)) is not None


async def put(session: AsyncSession, platform: str, realm: str, persona: Persona) -> None:
    changed = {"summary": persona.summary, "prompt": persona.prompt}
    await session.execute(
        insert(PersonaRow)
        .values(platform=platform, realm=realm, name=persona.name, **changed)
        .on_conflict_do_update(index_elements=["platform", "realm", "name"], set_=changed)
    )


async def remove(session: AsyncSession, platform: str, realm: str, name: str) -> bool:
    removed = await session.execute(
        delete(PersonaRow)
        .where(PersonaRow.platform == platform, PersonaRow.realm == realm, PersonaRow.name == name)
        .returning(PersonaRow.name)
    )
    return removed.first() is not None
