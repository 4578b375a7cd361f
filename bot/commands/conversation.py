"""The commands that everyone has: they concern the conversation they are used in."""

from __future__ import annotations

from adapters.commands import CommandSpec, Param
from bot import texts
from bot.commands.base import Command, CommandContext
from bot.personas import PERSONAS, choose

ASK = CommandSpec("ask", "Ask me something", (Param("question", "What you want to know"),), private=False)
"""The one command that the model answers: a turn, not a handler."""


async def help_text(context: CommandContext) -> str:
    lines = [f"I am {context.settings.persona.name}. Just write to me, or use:"]
    lines += [f"- /{spec.name} - {spec.description}" for spec in COMMANDS]
    lines.append("In a group, mention me or reply to me. Reply to an older message to go on from there.")
    return "\n".join(lines)


async def reset(context: CommandContext) -> str:
    context.conversation.head_id = None
    context.conversation.told_dropped = False
    return texts.RESET


async def stop(context: CommandContext) -> str:
    return texts.STOPPED if context.stopped else texts.NOTHING_TO_STOP


async def persona(context: CommandContext) -> str:
    wanted = context.event.arguments.get("name")
    if wanted is None:
        now = choose(context.conversation.persona, context.settings.persona.prompt)
        lines = [f"I am {now.name} now ({now.summary}). Choose with /persona and a name:"]
        return "\n".join([*lines, *(f"- {one.name} - {one.summary}" for one in PERSONAS.values())])
    chosen = PERSONAS.get(wanted.lower())
    if chosen is None:
        return f"I know no persona called {wanted}. There are: {', '.join(PERSONAS)}."
    context.conversation.persona = chosen.name
    return f"From now on I am {chosen.name}: {chosen.summary}."


_HANDLED = (
    Command(CommandSpec("help", "What I can do"), help_text, at_once=True),
    Command(CommandSpec("reset", "Put this conversation aside and start afresh"), reset, stops=True),
    Command(CommandSpec("stop", "Stop the answer that I am writing"), stop, at_once=True, stops=True),
    Command(
        CommandSpec(
            "persona",
            "Choose how I am",
            (Param("name", "The persona", required=False, choices=tuple(PERSONAS)),),
        ),
        persona,
    ),
)

COMMANDS: tuple[CommandSpec, ...] = (ASK, *(command.spec for command in _HANDLED))
"""What the platforms' menus show."""

_ALIASES = {"start": "help"}  # Telegram sends /start when a person opens the chat


def find_command(name: str) -> Command | None:
    """The command of that name, /ask excepted."""
    name = _ALIASES.get(name, name)
    return next((command for command in _HANDLED if command.spec.name == name), None)
