"""The commands, each defined once: what it is called, what it takes, what it does."""

from bot.commands.base import Command, CommandContext, Press, Refusal, Reply
from bot.commands.conversation import ASK
from bot.commands.registry import COMMANDS, find_command

__all__ = ["ASK", "COMMANDS", "Command", "CommandContext", "Press", "Refusal", "Reply", "find_command"]
