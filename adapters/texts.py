"""What adapters say to people by themselves, where the application can't be asked any more. Everything else
comes from the application.

Texts stand here in English; whoever runs an adapter hands it a way to their translations. Knows nothing of
languages.
"""

from __future__ import annotations

from collections.abc import Callable

Translate = Callable[[str, str | None], str]
"""One of these texts in the language of an IETF tag (None: not known). Quick, never raises."""


def english(text: str, language: str | None) -> str:
    """There are no translations."""
    return text


def N_(text: str) -> str:  # noqa: N802  gettext's own name for it
    """Marks a text that is translated where it is shown."""
    return text


NOT_STORED = N_("Sorry, I can't take that in just now. Please try again in a moment.")
