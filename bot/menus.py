"""What the platforms are told of the commands, and when: only if it has changed since the last time."""

from __future__ import annotations

import hashlib
import logging

from adapters.base import Adapter
from adapters.errors import AdapterError
from bot.access import CONSOLE
from bot.commands.registry import fingerprint, specs_for
from bot.config import Settings
from bot.services import Services
from bot.store import facts

log = logging.getLogger(__name__)


async def publish(adapter: Adapter, services: Services) -> None:
    """Make the commands known to a platform, unless it was told the same for the same bot before. When that
    fails the commands still work where they are typed; the next start tries again."""
    specs = specs_for(adapter.platform)
    if adapter.platform == CONSOLE:  # it has no memory
        await adapter.publish_commands(specs)
        return
    key = f"commands:{adapter.platform}"
    told = hashlib.sha256(
        f"{fingerprint(specs)} {_bot(services.settings, adapter.platform)}".encode()
    ).hexdigest()
    async with services.database.read() as session:
        if await facts.get(session, key) == told:
            return
    try:
        await adapter.publish_commands(specs)
    except AdapterError as error:
        log.warning("%s: the commands could not be published: %s", adapter.platform, error)
        return
    await services.database.insist(lambda session: facts.put(session, key, told, services.clock()))


def _bot(settings: Settings, platform: str) -> str:
    """What tells one bot from another; only ever a part of a digest."""
    token = {"discord": settings.discord.token, "telegram": settings.telegram.token}.get(platform)
    return token.get_secret_value() if token is not None else ""
