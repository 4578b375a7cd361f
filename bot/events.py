"""What an event is to the bot: whether it is for it, whose turn it takes, what goes together.

Knows nothing of what waits or of how it is answered.
"""

from __future__ import annotations

from collections.abc import Mapping

from adapters.types import (
    ButtonPressed,
    CommandInvoked,
    Event,
    MessageCreated,
    MessageRef,
    StopRequested,
    Unreadable,
)
from bot.backlog import Author, Party
from bot.commands import Command, find_command
from bot.commands.conversation import STOP_BUTTON
from bot.commands.registry import find_press
from bot.store import inbox

PASTE_LENGTH: Mapping[str, int] = {"discord": 1900, "telegram": 4000}
"""Characters from which on a message is taken for a part of a longer paste: clients cut near 2000 and 4096. A
platform that is not listed takes one message at a time, and answers each."""


def concerns(event: Event) -> bool:
    """Whether an event is for the bot at all. What is not is never stored."""
    match event:
        case MessageCreated():
            return bool(event.text.strip() or event.attachments)
        case CommandInvoked() | ButtonPressed() | StopRequested() | Unreadable():
            return True
        case _:
            return False


def said_in(event: Event) -> str:
    """The text of a message."""
    return event.text if isinstance(event, MessageCreated) else ""


def reply_target(event: Event) -> MessageRef | None:
    """The message that an answer replies to; none where a command came without one."""
    return event.message


def author_of(event: Event) -> Author:
    """The person that an event comes from."""
    return event.chat.platform, inbox.author_of(event) or ""


def party_of(event: Event) -> Party:
    """Who shares one place in the round with this event."""
    private = getattr(event, "private", False)
    return event.chat.platform, event.server or (author_of(event)[1] if private else event.chat.chat)


def language_of(event: Event) -> str | None:
    """The language of the person that an event comes from, if it is known."""
    who = getattr(event, "author", None)
    return None if who is None else who.language


def is_cut(event: MessageCreated) -> bool:
    """Whether a message may be a part of a longer paste."""
    length = PASTE_LENGTH.get(event.chat.platform)
    return length is not None and len(event.text) >= length


def together(first: Event, following: Event) -> bool:
    """Whether a message goes on where the one before it ended: the same person says more, and answers nothing
    in particular."""
    return (
        isinstance(first, MessageCreated)
        and isinstance(following, MessageCreated)
        and following.chat.platform in PASTE_LENGTH
        and following.reply_to is None
        and following.author.id == first.author.id
    )


def command_of(event: Event) -> Command | None:
    """The command that was given; None for what is none, and for commands that are turns."""
    return find_command(event.name) if isinstance(event, CommandInvoked) else None


def is_at_once(event: Event) -> bool:
    """Whether an event waits for nobody: it does not need the conversation's turn."""
    if isinstance(event, ButtonPressed):
        found = find_press(event.data)
        return found is None or found[0].at_once
    command = command_of(event)
    return isinstance(event, StopRequested) or (command is not None and command.at_once)


def stops(event: Event) -> bool:
    """Whether an event ends the answer that is being written."""
    command = command_of(event)
    return (
        isinstance(event, StopRequested)
        or stop_key(event) is not None
        or (command is not None and command.stops)
    )


def stop_key(event: Event) -> str | None:
    """The key of what the answer under the button that was pressed is for; None for all other events."""
    pressed = event.data if isinstance(event, ButtonPressed) else ""
    name, _colon, key = pressed.partition(":")
    return key if name == STOP_BUTTON else None
