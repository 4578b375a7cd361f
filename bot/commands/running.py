"""How a command or the press of a button comes to its answer: who, may they, prepare, handle, answer.

The handler's changes, its answer and the end of its event are one transaction. Knows nothing of any command.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import ButtonPressed, ChatRef, CommandInvoked
from bot import texts
from bot.access import Action, Refused
from bot.commands.base import Command, CommandContext, Preparation, Refusal, Reply, as_reply
from bot.commands.registry import action_of, find_command, find_press, names_on
from bot.gate import Admitted, Gate
from bot.i18n import _, calling, speaking
from bot.services import Services
from bot.store import history, inbox
from bot.store.inbox import Entry

Handler = Callable[[CommandContext], Awaitable[Reply | str | None]]


class Answers(Protocol):
    """How answers of the bot's own reach a chat; `bot.replies.Replies` is it."""

    async def say(self, entry: Entry, text: str) -> None: ...

    async def enqueue_reply(self, session: AsyncSession, entry: Entry, reply: Reply) -> None: ...


class Commands:
    """Runs commands and presses. `over` returns when no turn runs in a chat."""

    def __init__(
        self,
        services: Services,
        gate: Gate,
        answers: Answers,
        over: Callable[[ChatRef], Awaitable[None]],
        notify: Callable[[ChatRef], None],
    ) -> None:
        self._services = services
        self._gate = gate
        self._answers = answers
        self._over = over
        self._notify = notify

    async def run(self, entry: Entry, *, stopped: bool = False) -> None:
        """Answer a CommandInvoked or ButtonPressed. Raises what goes wrong: it is unanswered then, and
        running it again does no harm."""
        event = entry.event
        assert isinstance(event, CommandInvoked | ButtonPressed)
        with speaking(event.author.language), calling(names_on(event.chat.platform)):
            try:
                if stopped:  # its result stands before the word that it was stopped
                    await self._over(event.chat)
                if isinstance(event, CommandInvoked):
                    await self._command(entry, event, stopped=stopped)
                else:
                    await self._press(entry, event)
            except Refusal as refusal:
                await self._answers.say(entry, str(refusal))

    async def _command(self, entry: Entry, event: CommandInvoked, *, stopped: bool) -> None:
        command = find_command(event.name)
        if command is None:
            await self._answers.say(entry, texts.unknown_command(event.name))
            return
        admitted = await self._gate.admit(event, action_of(command))
        if isinstance(admitted, Refused):
            await self._refuse(entry, event, admitted)
            return
        with speaking(admitted.scoped.language or event.author.language):
            await self._handle(entry, event, admitted, command, command.handler, stopped=stopped)

    async def _press(self, entry: Entry, event: ButtonPressed) -> None:
        found = find_press(event.data)
        if found is None:
            await self._answers.say(
                entry, _("This button no longer does anything. Please use the command again.")
            )
            return
        press, values = found
        if press.bound:
            if not values or values[0] != event.author.id:
                await self._answers.say(
                    entry, _("This button is for somebody else. Use the command yourself.")
                )
                return
            values = values[1:]
        command = find_command(press.command) if press.command else None
        admitted = await self._gate.admit(event, action_of(command) if command else Action())
        if isinstance(admitted, Refused):
            await self._answers.say(entry, admitted.text)
            return
        with speaking(admitted.scoped.language or event.author.language):
            await self._handle(
                entry, event, admitted, command, lambda context: press.handler(context, values)
            )

    async def _handle(
        self,
        entry: Entry,
        event: CommandInvoked | ButtonPressed,
        admitted: Admitted,
        command: Command | None,
        handler: Handler,
        *,
        stopped: bool = False,
    ) -> None:
        services = self._services
        prepared = None
        if command is not None and command.prepare is not None:
            preparation = Preparation(event, services, admitted.actor, admitted.place, admitted.scoped)
            prepared = await command.prepare(preparation)
        async with services.database.write() as session:
            now = services.clock()
            context = CommandContext(
                event,
                await history.conversation(session, event.chat, now),
                session,
                services.settings,
                stopped,
                services,
                admitted.actor,
                admitted.place,
                admitted.scoped,
                prepared,
            )
            reply = as_reply(await handler(context))
            await self._answers.enqueue_reply(session, entry, reply or Reply(""))
            await inbox.close(session, entry, now)
        for forget in context.after:
            forget()
        for chat in (event.chat, *context.chats):
            self._notify(chat)

    async def _refuse(self, entry: Entry, event: CommandInvoked, refused: Refused) -> None:
        """Say what is missing. Where a response of ours waits to be filled, it always is."""
        async with self._services.database.write() as session:
            text = await self._gate.refusal(session, event, refused)
            if text is not None or event.placeholder is not None:
                await self._answers.enqueue_reply(session, entry, Reply(text or refused.text))
            await inbox.close(session, entry, self._services.clock())
        self._notify(event.chat)
