"""The commands, each defined once: what it is called, what it takes, what it does."""

from bot.commands.base import Command, CommandContext
from bot.commands.conversation import ASK, COMMANDS, find_command

__all__ = ["ASK", "COMMANDS", "Command", "CommandContext", "find_command"]
