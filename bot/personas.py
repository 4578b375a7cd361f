"""Who the bot is: a name for people, a system prompt for the model. Knows nothing of storage or platforms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.i18n import N_

if TYPE_CHECKING:
    from bot.scopes import Resolved

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
        _persona(DEFAULT, N_("warm and helpful"), "friendly"),
        _persona("witty", N_("likes a joke"), "witty"),
        _persona("calm", N_("quiet and to the point"), "calm"),
        _persona("curious", N_("asks back"), "curious"),
        _persona("polite", N_("formal"), "polite"),
    )
}


def choose(name: str | None, own_prompt: str | None) -> Persona:
    """The persona of that name; else the owner's own prompt from the settings; else the default."""
    if name is not None and name in PERSONAS:
        return PERSONAS[name]
    if own_prompt is not None:
        return Persona("own", "as this bot's owner wrote it", own_prompt)
    return PERSONAS[DEFAULT]


def system_prompt(
    scoped: Resolved, made: Mapping[str, Persona], own_prompt: str | None, bot_name: str
) -> str:
    """What the model is told to be: the persona or the own text that is set, whichever is set nearer; else
    the owner's own prompt; else the default. `made` are personas that people made, by name."""
    persona, text = scoped.held["persona"], scoped.held["system"]
    if scoped.system is not None and text.source is not None and text.nearness <= persona.nearness:
        return Persona("own", "", scoped.system).system(bot_name)
    chosen = made.get(scoped.persona or "") or choose(scoped.persona, own_prompt)
    return chosen.system(bot_name)
