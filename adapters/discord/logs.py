"""What discord.py logs, without the tokens of interactions. Whoever has one can write in the bot's name.

Knows nothing of where logs go.
"""

from __future__ import annotations

import logging
import re

_TOKEN = re.compile(r"(/(?:interactions|webhooks)/\d+/)[^/?\s]+")


class _Redaction(logging.Filter):
    """Takes tokens out of the addresses in a record."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        redacted = _TOKEN.sub(r"\1[secret]", text)
        if redacted != text:
            record.msg, record.args = redacted, ()
        return True


_redaction = _Redaction()


def without_tokens() -> None:
    """Below INFO discord.py logs whole payloads, tokens included; above, the addresses of requests."""
    library = logging.getLogger("discord")
    if library.level < logging.INFO:
        library.setLevel(logging.INFO)
    for name in ("discord.http", "discord.webhook.async_"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))
        logger.addFilter(_redaction)
