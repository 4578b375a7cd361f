"""What can't be made, and what to do then.

TrainingError
├── RecipeError      the recipe can't be used: mend the line that it names
├── CorpusError      a text or chat can't be read: mend the file and line that it names
└── WorkshopError    an earlier step is missing, or was made of something else: run it first, or anew
"""

from __future__ import annotations


class TrainingError(Exception):
    """The root. The message is for the person at the terminal."""


class RecipeError(TrainingError):
    """The recipe is no TOML, or says what can't be."""


class CorpusError(TrainingError):
    """A file of the corpus is missing or holds something else than texts and chats."""


class WorkshopError(TrainingError):
    """What a step needs isn't in the workshop."""
