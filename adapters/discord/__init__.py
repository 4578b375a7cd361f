"""Discord: the gateway in, HTTP out. Imports discord.py, so only whoever connects to Discord imports this."""

from adapters.discord.client import DiscordAdapter

__all__ = ["DiscordAdapter"]
