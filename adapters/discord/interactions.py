"""Commands, forms, pressed buttons and proposals: what Discord wants answered within 3 seconds.

An event is stored and then acknowledged. When storing takes longer than `_STORING_MAY_TAKE` it is
acknowledged all the same, and storing goes on until it succeeds. Nothing is kept of an interaction but its
event: forms and buttons work after a restart as before. Knows nothing of what commands do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

import discord

from adapters.base import Suggest
from adapters.commands import CommandSpec, find
from adapters.discord.commands import command_name, focused, form, form_command, proposals
from adapters.discord.connection import Connection
from adapters.discord.convert import button_pressed, chat_ref, command_invoked, person
from adapters.discord.intake import Intake
from adapters.discord.responses import Callback, Response, answer
from adapters.errors import AdapterError
from adapters.texts import NOT_STORED, Translate, english
from adapters.types import ButtonPressed, CommandInvoked, MessageRef

log = logging.getLogger(__name__)

_STORING_MAY_TAKE = timedelta(seconds=1.5)
_PROPOSING_MAY_TAKE = timedelta(seconds=2)

_EPHEMERAL = {"flags": discord.MessageFlags(ephemeral=True).value}

Taken = CommandInvoked | ButtonPressed


class Interactions:
    """`commands` says which answers are private and which commands have a form; `translate` how what is said
    from here reads in other languages."""

    def __init__(self, connection: Connection, commands: Sequence[CommandSpec]) -> None:
        self.commands = tuple(commands)
        self.translate: Translate = english
        self._connection = connection
        self._acknowledging: dict[MessageRef, asyncio.Event] = {}

    async def acknowledged(self, message: MessageRef) -> None:
        """Returns when `message` is no placeholder that is still being made."""
        if (acknowledged := self._acknowledging.get(message)) is not None:
            await acknowledged.wait()

    def acknowledging(self, message: MessageRef) -> bool:
        """Whether `message` is a placeholder that is still being made."""
        return message in self._acknowledging

    def event(self, interaction: discord.Interaction) -> Taken | None:
        """What a person did; None if there is nothing to store. Raises whatever reading it raises."""
        if interaction.type is discord.InteractionType.component:
            return button_pressed(interaction)
        spec = self._spec(interaction)
        if spec is not None and spec.form and interaction.type is discord.InteractionType.application_command:
            return None
        # A direct message is private as it is, and there an ephemeral answer would vanish for nothing.
        private = interaction.guild_id is not None and (spec is None or spec.private)
        return command_invoked(interaction, ephemeral=private)

    async def reply(self, interaction: discord.Interaction, suggest: Suggest) -> None:
        """Answer an interaction of which nothing is to be stored."""
        match interaction.type:
            case discord.InteractionType.autocomplete:
                await self._propose(interaction, suggest)
            case discord.InteractionType.application_command:
                spec = self._spec(interaction)
                if spec is not None and spec.form:
                    asked = form(spec, interaction.locale.value)
                    await self._answer(interaction, Callback.FORM, asked)

    def _spec(self, interaction: discord.Interaction) -> CommandSpec | None:
        data = cast("Mapping[str, Any]", interaction.data)
        if interaction.type is discord.InteractionType.modal_submit:
            name = form_command(data)
        else:
            name = command_name(data)
        return None if name is None else find(self.commands, name)

    async def take(self, interaction: discord.Interaction, event: Taken, intake: Intake) -> None:
        """Store an event, and acknowledge it. Whoever edits the placeholder waits for the acknowledgement."""
        assert event.placeholder is not None
        acknowledged = self._acknowledging[event.placeholder] = asyncio.Event()
        storing = asyncio.create_task(intake.publish(event), name=f"storing {event.id}")
        try:
            await asyncio.wait([storing], timeout=_STORING_MAY_TAKE.total_seconds())
            if storing.done() and (error := storing.exception()) is not None:
                log.error("%s could not be stored, and its author was told: %s", event.id, error)
                text = self.translate(NOT_STORED, event.author.language)
                data = {"content": text, "allowed_mentions": {"parse": []}} | _EPHEMERAL
                await self._answer(interaction, Callback.MESSAGE, data)
                return
            response = Response.parse(event.placeholder.message)
            private = response is not None and response.private
            await self._answer(interaction, Callback.DEFERRED_MESSAGE, _EPHEMERAL if private else {})
            self._acknowledging.pop(event.placeholder, None)
            acknowledged.set()
            await _finish(storing, event, intake)
        finally:
            storing.cancel()
            self._acknowledging.pop(event.placeholder, None)
            acknowledged.set()

    async def _propose(self, interaction: discord.Interaction, suggest: Suggest) -> None:
        values: Sequence[str] = ()
        try:
            data = cast("Mapping[str, Any]", interaction.data)
            typing = focused(data)
            if typing is not None and interaction.channel_id is not None:
                chat, who = chat_ref(interaction.channel_id), person(interaction.user)
                async with asyncio.timeout(_PROPOSING_MAY_TAKE.total_seconds()):
                    values = await suggest(command_name(data), *typing, chat, who)
        except Exception:
            log.exception("nothing can be proposed")
        await self._answer(interaction, Callback.PROPOSALS, proposals(values))

    async def _answer(
        self, interaction: discord.Interaction, kind: Callback, data: Mapping[str, Any]
    ) -> None:
        """When that fails there is no placeholder, and an edit of it raises `NotFound`."""
        try:
            with self._connection.requesting() as client:
                await answer(client, interaction, kind, data)
        except AdapterError as error:
            log.warning("an interaction could not be acknowledged: %s", error)


async def _finish(storing: asyncio.Task[None], event: Taken, intake: Intake) -> None:
    """What was acknowledged is stored, whatever it takes."""
    try:
        await storing
    except Exception:
        await intake.store(event)
