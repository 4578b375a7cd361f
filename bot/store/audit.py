"""Who changed what, when. Knows nothing of what the changes mean.

`record` works within the transaction that makes the change, so that neither is there without the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.models import AuditRow


async def record(
    session: AsyncSession,
    now: datetime,
    *,
    platform: str,
    realm: str,
    person: str,
    name: str,
    action: str,
    detail: str,
) -> None:
    session.add(
        AuditRow(
            at=now, platform=platform, realm=realm, person=person, name=name, action=action, detail=detail
        )
    )


async def newest(
    session: AsyncSession, *, platform: str | None, realm: str | None, limit: int
) -> Sequence[AuditRow]:
    """The last changes, the newest first; of everything, or of one realm of a platform."""
    statement = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    if platform is not None and realm is not None:
        statement = statement.where(AuditRow.platform == platform, AuditRow.realm == realm)
    return list(await session.scalars(statement))
