"""No secret gets into a log."""

from __future__ import annotations

import logging
import sys

from bot.logs import RedactingFormatter

TOKEN = "123456:a-token-nobody-may-see"


def test_a_secret_is_taken_out_of_message_arguments_and_traceback() -> None:
    formatter = RedactingFormatter([TOKEN])
    try:
        raise RuntimeError(f"GET /bot{TOKEN}/getMe")
    except RuntimeError:
        record = logging.LogRecord("a", logging.ERROR, "b", 1, "failed: %s", (TOKEN,), sys.exc_info())
    line = formatter.format(record)
    assert TOKEN not in line
    assert "RuntimeError: GET /bot[secret]/getMe" in line
