"""Who holds which roles in a server, and what follows for what they may.

Asked of Discord, and remembered for a minute: a bot without the privileged members intent is told of members
only by what they write and use. As each message, command and press carries its author's roles of that moment,
whoever acts is judged by what they hold then. Knows nothing of what is allowed to whom.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import discord

from adapters.discord.connection import Connection
from adapters.errors import NotFound
from adapters.ratelimit import Clock
from adapters.types import Standing

_REMEMBERED = timedelta(seconds=60)
_MOST_REMEMBERED = 10_000

Member = tuple[str, str]
"""A server's id and a person's."""


class Members:
    """What is known of members. What they may follows from their roles as the gateway keeps them, so that a
    change of a role holds at once."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._roles: OrderedDict[Member, tuple[float, tuple[str, ...]]] = OrderedDict()

    def noticed(self, name: str, data: Mapping[str, Any]) -> None:
        """Learn from an event."""
        server = data.get("guild_id")
        match name:
            case "MESSAGE_CREATE" if server and "member" in data and "webhook_id" not in data:
                self._learn((str(server), str(data["author"]["id"])), data["member"])
            case "INTERACTION_CREATE" if server and "member" in data:
                self._learn((str(server), str(data["member"]["user"]["id"])), data["member"])
            case "GUILD_MEMBER_UPDATE":
                self._learn((str(server), str(data["user"]["id"])), data)
            case "GUILD_MEMBER_REMOVE":
                self._roles.pop((str(server), str(data["user"]["id"])), None)

    def _learn(self, member: Member, data: Mapping[str, Any]) -> tuple[str, ...]:
        roles = tuple(str(role) for role in data["roles"])
        self._roles[member] = self._clock(), roles
        self._roles.move_to_end(member)
        if len(self._roles) > _MOST_REMEMBERED:
            self._roles.popitem(last=False)
        return roles

    async def standing(self, chat: str, person: str) -> Standing:
        """What a person is in a channel's server. Nothing in a private chat, nor for who is no member. Raises
        `AdapterError` when Discord can't be asked."""
        server = await self._server(int(chat))
        if server is None or not person.isdecimal():
            return Standing()
        roles = await self._roles_of((str(server), person))
        if roles is None:
            return Standing()
        return Standing(self._is_administrator(server, person, roles), roles)

    async def _server(self, chat: int) -> int | None:
        """The server of a channel; an archived thread may be unknown to the gateway."""
        with self._connection.requesting() as client:
            channel = client.get_channel(chat)
            if channel is None:
                data: Mapping[str, Any] = await client.http.get_channel(chat)
                return int(data["guild_id"]) if data.get("guild_id") else None
        guild: discord.Guild | None = getattr(channel, "guild", None)
        return guild.id if guild is not None else None

    async def _roles_of(self, member: Member) -> tuple[str, ...] | None:
        """The roles of a member; None if there is no such member."""
        at, roles = self._roles.get(member, (0.0, None))
        if roles is not None and self._clock() - at < _REMEMBERED.total_seconds():
            return roles
        server, person = member
        try:
            with self._connection.requesting() as client:
                data: Any = await client.http.get_member(int(server), int(person))
        except NotFound:
            self._roles.pop(member, None)
            return None
        return self._learn(member, data)

    def _is_administrator(self, server: int, person: str, roles: tuple[str, ...]) -> bool:
        guild = self._connection.client.get_guild(server)
        if guild is None:
            return False
        held = [guild.default_role, *(guild.get_role(int(role)) for role in roles)]
        return str(guild.owner_id) == person or any(
            role.permissions.administrator or role.permissions.manage_guild for role in held if role
        )
