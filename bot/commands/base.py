"""What a command is, and what it works with. Knows nothing of any one of them.

    event ──actor, place, settings──▶ authorize ──▶ prepare (may take its time) ──▶ handler (one transaction)

A command may be written as a message, chosen from a menu, or be the press of a button that an earlier
command put under its answer: all of them come to a handler with the same context.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.commands import CommandSpec, Permission
from adapters.types import Button, ButtonPressed, ChatRef, CommandInvoked, File, Person
from bot.access import Actor, Place
from bot.config import Settings
from bot.scopes import Resolved
from bot.store.models import Conversation

if TYPE_CHECKING:
    from bot.services import Services

ADMIN_ROOT = "admin"
"""The first word of every administration command."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the bot's own. `text` is Markdown; files and buttons go with its last message. `replaces`:
    it takes the place of the message whose button was pressed, buttons and all, where an answer to the person
    alone has no place of its own: a press may come again and must do no harm then."""

    text: str
    buttons: tuple[tuple[Button, ...], ...] = ()
    files: tuple[File, ...] = ()
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class CommandContext:
    """What a handler works with: the event, its conversation, and the transaction that its answer is written
    in. `stopped`: whether an answer was under way and has been ended for this command. `settings` are the
    bot's own from its file, `scoped` those that hold here for this person. `prepared` is what the command's
    `prepare` gave. `after` is called once the transaction is committed: to forget what has changed.
    `chats` are further ones for which something was put into the outbox."""

    event: CommandInvoked | ButtonPressed
    conversation: Conversation
    session: AsyncSession
    settings: Settings
    stopped: bool
    services: Services
    actor: Actor
    place: Place
    scoped: Resolved
    prepared: Any = None
    after: list[Callable[[], None]] = field(default_factory=list)
    chats: list[ChatRef] = field(default_factory=list)

    def argument(self, name: str) -> str | None:
        """The value given for a parameter, stripped; None where there is none."""
        arguments = self.event.arguments if isinstance(self.event, CommandInvoked) else {}
        return arguments.get(name, "").strip() or None


@dataclass(frozen=True, slots=True)
class Preparation:
    """What `prepare` works with: everything but a transaction. It may read the database by its own session
    and reach platforms; nothing that it does may be lost or harmful when the command never comes to run."""

    event: CommandInvoked | ButtonPressed
    services: Services
    actor: Actor
    place: Place
    scoped: Resolved


Handler = Callable[[CommandContext], Awaitable[Reply | str | None]]
"""Does what the command is for and gives the answer, as Markdown; None where nothing is to be said, which
only the press of a button allows. Running twice must do no harm. Reaches no platform: `prepare` may."""

Prepare = Callable[[Preparation], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Command:
    """A command. `at_once`: it does not wait behind what the conversation has pending; `stops`: it ends an
    answer that is under way. `always`: also for whoever is banned or not let in, since everyone has a right
    to it. `in_private` is the right that it needs where there is no server, if not the usual one. `listed`
    False keeps it out of menus and help."""

    spec: CommandSpec
    handler: Handler
    at_once: bool = False
    stops: bool = False
    prepare: Prepare | None = None
    always: bool = False
    in_private: Permission | None = None
    listed: bool = True


class Refusal(Exception):
    """Raised by a handler or a `prepare` that can't do what it was asked: the message, already in the
    person's language, is the answer, and nothing that was done in the transaction stays."""


@dataclass(frozen=True, slots=True)
class Press:
    """What a button does. Its data are `name:values...`; with `bound`, `name:person:values...` and only that
    person may press it. `command` is the command whose permission is asked for again when it is pressed, and
    whose `prepare` comes first."""

    name: str
    handler: Callable[[CommandContext, tuple[str, ...]], Awaitable[Reply | str | None]]
    bound: bool = False
    command: str | None = None
    at_once: bool = True


def button(label: str, name: str, *values: str, person: Person | None = None) -> Button:
    """A button for a Press; `person` is whom it is bound to. Raises ValueError above 64 bytes of data."""
    data = ":".join([name, *([person.id] if person else []), *values])
    if len(data.encode()) > 64:
        raise ValueError(f"{data!r} is too long for a button")
    return Button(label, data)


def as_reply(answer: Reply | str | None) -> Reply | None:
    return Reply(answer) if isinstance(answer, str) else answer
