"""What is proposed while a person types a command: settings, values, personas, models."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from adapters.types import ChatRef, Person
from bot.commands.admin_words import LIMITED_WORDS, SUBJECT_WORDS
from bot.commands.own_settings import DEFAULT
from bot.commands.own_settings import NAME as OWN_SETTINGS
from bot.commands.registry import COMMANDS, find_command
from bot.personas import PERSONAS
from bot.scopes import SETTINGS, ScopeKind
from bot.services import Services
from bot.store import personas as made

log = logging.getLogger(__name__)

MOST = 25  # what Discord shows


class Suggestions:
    """An `adapters.base.Suggest`. It tells nothing that is not in menus and documentation anyway, so that it
    asks for no right; using what it proposes does."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(
        self, command: str, param: str, typed: str, chat: ChatRef, who: Person
    ) -> Sequence[str]:
        known = find_command(command)
        if known is None:
            return ()
        try:
            values = await self._values(known.spec.name, param, chat)
        except Exception:
            log.exception("nothing could be proposed for /%s %s", command, param)
            return ()
        return matching(values, typed)

    async def _values(self, command: str, param: str, chat: ChatRef) -> Iterable[str]:
        match param:
            case "what":
                return [*SETTINGS, *ScopeKind]
            case "key":
                return SETTINGS
            case "scope":
                return tuple(ScopeKind)
            case "who" if "quota" in command:
                return LIMITED_WORDS
            case "who":
                return SUBJECT_WORDS
            case "value":
                choices = (choice for setting in SETTINGS.values() for choice in setting.choices)
                ends = [DEFAULT] if command == OWN_SETTINGS else []
                return [*ends, *choices, *await self._personas(chat), *self._services.models.names]
            case "name" if "persona" in command:
                return await self._personas(chat)
            case "name" if "model" in command:
                return self._services.models.names
            case "name" if command.endswith("access command"):
                return [spec.name for spec in COMMANDS]
        return ()

    async def _personas(self, chat: ChatRef) -> list[str]:
        """Those that come with the bot and those made for all; a server's own are found as they are typed."""
        async with self._services.database.read() as session:
            return [*PERSONAS, *await made.of_realm(session, chat.platform, "")]


def matching(values: Iterable[str], typed: str) -> list[str]:
    """The values that begin with what is typed, then those that contain it."""
    wanted = typed.strip().lower()
    found = [value for value in dict.fromkeys(values) if wanted in value.lower()]
    return sorted(found, key=lambda value: not value.lower().startswith(wanted))[:MOST]
