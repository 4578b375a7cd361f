"""The model's Markdown to platform text and parts. Pure functions; knows nothing of chats or clients.

    Markdown ── clean ──> split ──> Part ── discord_text ──> what Discord is sent
                                         ├─ telegram_text ─> what Telegram is sent
                                         └─ plain_text ────> either, when formatting was refused

A part is Markdown still, and complete in itself: a code block or table that is cut goes on in the next part.
Parts are measured by their source, which only grows while an answer is being written; so where an answer was
cut stays put. The renderers then promise not to exceed the platform's limit for a part that `*_parts` made.
"""

from adapters.markup.characters import utf16_length
from adapters.markup.discord import discord_parts, discord_text
from adapters.markup.plain import plain_text
from adapters.markup.sanitize import sanitize
from adapters.markup.split import split
from adapters.markup.telegram import telegram_parts, telegram_text

__all__ = [
    "discord_parts",
    "discord_text",
    "plain_text",
    "sanitize",
    "split",
    "telegram_parts",
    "telegram_text",
    "utf16_length",
]
