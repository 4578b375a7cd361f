"""What a command is. Knows nothing of any one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.commands import CommandSpec
from adapters.types import CommandInvoked
from bot.config import Settings
from bot.store.models import Conversation


@dataclass(frozen=True, slots=True)
class CommandContext:
    """What a handler works with: the event, its conversation, and the transaction that its answer is written
    in. `stopped`: whether an answer was under way and has been ended for this command."""

    event: CommandInvoked
    conversation: Conversation
    session: AsyncSession
    settings: Settings
    stopped: bool


Handler = Callable[[CommandContext], Awaitable[str]]
"""Does what the command is for and gives the answer, as Markdown. Running twice must do no harm."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command. `at_once`: it does not wait behind what the conversation has pending; `stops`: it ends an
    answer that is under way."""

    spec: CommandSpec
    handler: Handler
    at_once: bool = False
    stops: bool = False
