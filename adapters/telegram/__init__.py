"""Telegram's edge: the Bot API in, the Bot API out. Importing it loads python-telegram-bot."""

from adapters.telegram.budget import Limits
from adapters.telegram.client import TelegramAdapter

__all__ = ["Limits", "TelegramAdapter"]
