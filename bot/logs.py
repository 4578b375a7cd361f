"""Logging, set up once by the command line. No secret gets through, whoever logs it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from logging.handlers import RotatingFileHandler
from pathlib import Path

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
FILE_BYTES = 5 << 20
HIDDEN = "[secret]"


class RedactingFormatter(logging.Formatter):
    """Formats a record, its traceback included, and then takes every secret out."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__(FORMAT)
        self._secrets = tuple(secret for secret in secrets if secret)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def configure(secrets: Iterable[str], *, file: Path, terminal: bool) -> None:
    """Log to `file` (rotated at 5 MiB, two kept) and, if `terminal`, to standard error."""
    formatter = RedactingFormatter(secrets)
    handlers: list[logging.Handler] = []
    if terminal:
        handlers.append(logging.StreamHandler())
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handlers.append(RotatingFileHandler(file, maxBytes=FILE_BYTES, backupCount=2, delay=True))
    except OSError:
        handlers = handlers or [logging.StreamHandler()]  # a read-only home must not keep the bot down
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=handlers)
    for chatty in ("httpx", "httpcore", "alembic", "aiosqlite", "discord.gateway", "discord.client"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
