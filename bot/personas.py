"""Who the bot is: a name for people, a system prompt for the model. Knows nothing of storage or platforms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT = "friendly"


@dataclass(frozen=True, slots=True)
class Persona:
    """`prompt` may hold {name}, the bot's own name."""

    name: str
    summary: str
    prompt: str

    def system(self, bot_name: str) -> str:
        """The system prompt. Only {name} is filled in: braces of an owner's own text stay as they are."""
        return self.prompt.replace("{name}", bot_name)


def _persona(name: str, summary: str, manner: str) -> Persona:
    return Persona(name, summary, f"You are {{name}}, a {manner} assistant. Answer briefly.")


PERSONAS: Mapping[str, Persona] = {
    persona.name: persona
    for persona in (
        _persona(DEFAULT, "warm and helpful", "friendly"),
        _persona("witty", "likes a joke", "witty"),
        _persona("calm", "quiet and to the point", "calm"),
        _persona("curious", "asks back", "curious"),
        _persona("polite", "formal", "polite"),
    )
}


def choose(name: str | None, own_prompt: str | None) -> Persona:
    """The persona of that name; else the owner's own prompt from the settings; else the default."""
    if name is not None and name in PERSONAS:
        return PERSONAS[name]
    if own_prompt is not None:
        return Persona("own", "as this bot's owner wrote it", own_prompt)
    return PERSONAS[DEFAULT]
