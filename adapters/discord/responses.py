"""Deferred answers to slash commands: messages that are reached through their interaction's token.

Discord wants a command acknowledged within 3 seconds and lets the answer come within 15 minutes. Between the
two stands a placeholder that has no message id yet: `Response` names it. Knows nothing of commands.

The requests are made here and not with `discord.Webhook` because that can neither keep link previews
suppressed on an edit nor give up on a long rate limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import discord
from discord.http import Route, handle_message_parameters

_PREFIX = "interaction"
_PRIVATE = "private"


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to one interaction. `private`: only the person who used the command sees it."""

    application: int
    token: str = field(repr=False)
    private: bool = False

    @classmethod
    def parse(cls, message: str) -> Response | None:
        """What `str(response)` wrote; None if `message` is an ordinary message's id."""
        match message.split(":"):
            case [prefix, application, token] if prefix == _PREFIX:
                return cls(int(application), token)
            case [prefix, application, token, private] if prefix == _PREFIX and private == _PRIVATE:
                return cls(int(application), token, private=True)
        return None

    def __str__(self) -> str:
        parts = [_PREFIX, str(self.application), self.token]
        return ":".join([*parts, _PRIVATE] if self.private else parts)

    async def edit(self, client: discord.Client, content: str, files: Sequence[discord.File]) -> int:
        """Fill the placeholder, or replace what stands there. Returns the message's id."""
        return await self._request(client, "PATCH", "/messages/@original", content, files)

    async def follow_up(self, client: discord.Client, content: str, files: Sequence[discord.File]) -> int:
        """Another message after the answer, as private as the answer. Returns its id."""
        return await self._request(client, "POST", "", content, files, ephemeral=self.private)

    async def delete(self, client: discord.Client) -> None:
        await client.http.request(self._route("DELETE", "/messages/@original"))

    def _route(self, method: str, path: str) -> Route:
        return Route(
            method,
            "/webhooks/{webhook_id}/{webhook_token}" + path,
            webhook_id=self.application,
            webhook_token=self.token,
        )

    async def _request(
        self,
        client: discord.Client,
        method: str,
        path: str,
        content: str,
        files: Sequence[discord.File],
        *,
        ephemeral: bool = False,
    ) -> int:
        flags = discord.MessageFlags(suppress_embeds=True)
        if ephemeral:
            flags.ephemeral = True
        with handle_message_parameters(
            content,
            flags=flags,
            attachments=files,
            allowed_mentions=discord.AllowedMentions.none(),
        ) as message:
            body: dict[str, Any] = (
                {"form": message.multipart, "files": message.files} if files else {"json": message.payload}
            )
            answer = await client.http.request(self._route(method, path), **body)
        return int(answer["id"])
