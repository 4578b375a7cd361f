"""What outlasts a single event, and what a command or a turn may ask of it. Made once, by `app`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from adapters.base import Adapter
from bot.config import Settings
from bot.decisions import Decisions
from bot.languages import Languages
from bot.models import Models
from bot.pairing import Pairing
from bot.policy import Access
from bot.quotas import Quotas
from bot.scopes import Scopes
from bot.store.session import Database
from bot.summaries import Summaries

Clock = Callable[[], datetime]
"""The time, aware and in UTC."""


@dataclass(frozen=True, slots=True)
class Services:
    """`models` is also the engine that answers where none is named."""

    database: Database
    adapters: Mapping[str, Adapter]
    settings: Settings
    clock: Clock
    started: datetime
    models: Models
    access: Access
    scopes: Scopes
    quotas: Quotas
    pairing: Pairing
    decisions: Decisions
    languages: Languages
    summaries: Summaries


def utc_now() -> datetime:
    return datetime.now(UTC)


def make_services(
    settings: Settings,
    database: Database,
    adapters: Mapping[str, Adapter],
    models: Models,
    tasks: asyncio.TaskGroup,
    clock: Clock = utc_now,
) -> Services:
    """The services of one run, on an open database and an open engine. `tasks` owns what is done beside the
    answers; `summaries` is closed before it ends."""
    return Services(
        database=database,
        adapters=adapters,
        settings=settings,
        clock=clock,
        started=clock(),
        models=models,
        access=Access(database, adapters, settings.access.direct_messages),
        scopes=Scopes(database, settings),
        quotas=Quotas(settings),
        pairing=Pairing(clock),
        decisions=Decisions(database, clock),
        languages=Languages(),
        summaries=Summaries(database, models, tasks),
    )
