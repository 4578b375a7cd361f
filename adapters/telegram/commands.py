"""Commands as Telegram's menu shows them. Knows nothing of when the menu is set."""

from __future__ import annotations

from collections.abc import Sequence

from telegram import BotCommand

from adapters.commands import CommandSpec


def menu(commands: Sequence[CommandSpec]) -> tuple[BotCommand, ...]:
    """The menu's entries. `start` is left out: Telegram's clients show a button for it. A description has at
    most 256 characters (Bot API, BotCommand)."""
    return tuple(
        BotCommand(command.name, command.description[:256]) for command in commands if command.name != "start"
    )
