"""From the connection to the application: every event read, put in order and stored.

Reading comes first and waits for nothing; what can't be read is stored as it came. Knows nothing of what
becomes of an event.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import discord

from adapters.base import Cursors, Publish, Suggest
from adapters.discord.catchup import CatchUp
from adapters.discord.connection import Connection, payload
from adapters.discord.convert import message_created, message_deleted, message_edited, unreadable
from adapters.discord.intake import Intake
from adapters.discord.interactions import Interactions
from adapters.discord.members import Members
from adapters.ratelimit import Sleep
from adapters.types import Event, Unreadable

log = logging.getLogger(__name__)


class DiscordReceiver:
    """A `connection.Receiver`, for one run of the adapter."""

    def __init__(
        self,
        connection: Connection,
        interactions: Interactions,
        members: Members,
        *,
        publish: Publish,
        cursors: Cursors,
        suggest: Suggest,
        sleep: Sleep,
    ) -> None:
        self._connection = connection
        self._interactions = interactions
        self._members = members
        self._suggest = suggest
        self._intake = Intake(publish, sleep)
        self._catching_up = CatchUp(connection, self._intake, cursors, self._from_history, sleep)

    def noticed(self, name: str, data: Mapping[str, Any]) -> None:
        match name:
            case "READY":
                self._catching_up.session_begun(data)
            case "GUILD_CREATE" if not data.get("unavailable"):
                self._catching_up.server_there(data)
        self._members.noticed(name, data)

    def all_there(self) -> None:
        self._catching_up.all_there()

    async def catch_up(self) -> None:
        await self._catching_up.run()

    async def message(self, message: discord.Message, me: discord.ClientUser) -> None:
        try:
            event: Event | None = message_created(message, me)
        except Exception as error:
            await self.unreadable(payload(), error)
            return
        await self._take(event, message.id)

    async def edited(self, update: discord.RawMessageUpdateEvent) -> None:
        me = self._connection.client.user
        assert me is not None  # READY, which comes first, says who the bot is
        try:
            event = message_edited(update, me)
        except Exception as error:
            await self.unreadable(payload(), error)
            return
        await self._take(event, update.message_id)

    async def deleted(self, channel: int, messages: Sequence[int], server: int | None) -> None:
        now = datetime.now(UTC)
        for message in messages:
            await self._take(message_deleted(channel, message, server, now), message)

    async def interaction(self, interaction: discord.Interaction) -> None:
        if interaction.type is discord.InteractionType.autocomplete:
            await self._interactions.reply(interaction, self._suggest)
            return
        try:
            event = self._interactions.event(interaction)
        except Exception as error:
            await self.unreadable(payload(), error)
            return
        if event is None:
            await self._interactions.reply(interaction, self._suggest)
        else:
            await self._interactions.take(interaction, event, self._intake)

    async def unreadable(self, data: Mapping[str, Any], error: Exception) -> None:
        event = _unreadable(data, error)
        log.error("Discord sent something that can't be read; it is kept as %s: %s", event.id, event.reason)
        await self._intake.store(event)

    async def _take(self, event: Event | None, message: int) -> None:
        if event is not None:
            await self._intake.take(event, message, self._catching_up.fetch)

    def _from_history(self, channel: discord.abc.Messageable, data: Mapping[str, Any]) -> Event | None:
        try:
            return message_created(*self._connection.read(channel, data))
        except Exception as error:
            return _unreadable(data, error)


def _unreadable(data: Mapping[str, Any], error: Exception) -> Unreadable:
    return unreadable(data, f"{type(error).__name__}: {error}", datetime.now(UTC))
