"""Settings that were set for a scope, as the text that a person would write. Knows nothing of what they mean.

Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, literal_column, select, tuple_
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.models import SettingRow


async def of_scopes(
    session: AsyncSession, platform: str, scopes: Sequence[tuple[str, str]]
) -> Sequence[SettingRow]:
    """Everything that is set for these scopes, each a kind and an id."""
    rows = await session.scalars(
        select(SettingRow).where(
            SettingRow.platform == platform, tuple_(SettingRow.scope, SettingRow.scope_id).in_(scopes)
        )
    )
    return list(rows)


async def put(session: AsyncSession, platform: str, scope: str, scope_id: str, key: str, value: str) -> None:
    """Set a value, in place of the one there was."""
    await session.execute(
        insert(SettingRow)
        .values(platform=platform, scope=scope, scope_id=scope_id, key=key, value=value)
        .on_conflict_do_update(index_elements=["platform", "scope", "scope_id", "key"], set_={"value": value})
    )


async def remove(session: AsyncSession, platform: str, scope: str, scope_id: str, key: str) -> bool:
    """Take a value back; False if none was set."""
    removed = await session.execute(
        delete(SettingRow)
        .where(
            SettingRow.platform == platform,
            SettingRow.scope == scope,
            SettingRow.scope_id == scope_id,
            SettingRow.key == key,
        )
        .returning(SettingRow.key)
    )
    return removed.first() is not None


async def values_of(
    session: AsyncSession, platform: str, scope: str, key: str, most: int
) -> Sequence[tuple[str, str]]:
    """What one thing is set to for every scope of a kind, by the scope's id: at most so many, the newest."""
    rows = await session.execute(
        select(SettingRow.scope_id, SettingRow.value)
        .where(SettingRow.platform == platform, SettingRow.scope == scope, SettingRow.key == key)
        .order_by(literal_column("rowid").desc())
        .limit(most)
    )
    return [(scope_id, value) for scope_id, value in rows]


async def switched_off(session: AsyncSession, platform: str, key: str) -> set[tuple[str, str]]:
    """The scopes for which a switch is off, each a kind and an id."""
    rows = await session.execute(
        select(SettingRow.scope, SettingRow.scope_id).where(
            SettingRow.platform == platform, SettingRow.key == key, SettingRow.value == "off"
        )
    )
    return {(scope, scope_id) for scope, scope_id in rows}
