"""What is sent: messages' contents, and answers to interactions, which are reached through their token.

Discord wants an interaction acknowledged within 3 seconds and lets the answer come within 15 minutes. Between
the two stands a placeholder that has no message id yet: `Response` names it. Knows nothing of commands.

The requests are made here and not with `discord.Webhook` because that can neither keep link previews
suppressed on an edit nor give up on a long rate limit, nor can it answer with buttons or a form without
remembering them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import discord
from discord.http import MultipartParameters, Route, handle_message_parameters
from discord.utils import MISSING

from adapters.types import Part

_PREFIX = "interaction"
_PRIVATE = "private"


class Callback(IntEnum):
    """How an interaction is answered at first."""

    MESSAGE = 4
    DEFERRED_MESSAGE = 5
    PROPOSALS = 8
    FORM = 9


@contextmanager
def parameters(
    content: str,
    part: Part,
    *,
    key: str | None = None,
    reference: Mapping[str, Any] | None = None,
    ephemeral: bool = False,
    flags: bool = True,
) -> Iterator[MultipartParameters]:
    """A message as discord.py sends it: `content`, the part's file and its buttons; mentions notify nobody.

    `key` makes a repetition harmless. Without `flags` an edited message keeps its own.
    """
    shown = discord.MessageFlags(suppress_embeds=True, ephemeral=ephemeral)
    files = [] if part.file is None else [discord.File(io.BytesIO(part.file.content), part.file.name)]
    with handle_message_parameters(
        content,
        attachments=files,
        view=_buttons(part),
        nonce=key,  # discord.py adds enforce_nonce
        message_reference=MISSING if reference is None else reference,  # type: ignore[arg-type]  # not its own
        flags=shown if flags else MISSING,
        allowed_mentions=discord.AllowedMentions.none(),
        mention_author=False,
    ) as message:
        yield message


def _buttons(part: Part) -> discord.ui.View | None:
    """discord.py's form of the buttons, which is not waited on: presses are read as they come."""
    if not part.buttons:
        return None
    view = discord.ui.View(timeout=None)
    for row, buttons in enumerate(part.buttons):
        for button in buttons:
            view.add_item(discord.ui.Button(label=button.label, custom_id=button.data, row=row))
    return view


async def answer(
    client: discord.Client, interaction: discord.Interaction, kind: Callback, data: Mapping[str, Any]
) -> None:
    """Answer an interaction, which can be done once and within 3 seconds."""
    # With these names in its path each interaction has a rate limit of its own, as at Discord.
    route = Route(
        "POST",
        "/interactions/{webhook_id}/{webhook_token}/callback",
        webhook_id=interaction.id,
        webhook_token=interaction.token,
    )
    await client.http.request(route, json={"type": int(kind), "data": data})


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

    async def edit(self, client: discord.Client, content: str, part: Part) -> int:
        """Fill the placeholder, or replace what stands there. Returns the message's id."""
        return await self._request(client, "PATCH", "/messages/@original", content, part)

    async def follow_up(self, client: discord.Client, content: str, part: Part) -> int:
        """Another message after the answer, as private as the answer. Returns its id."""
        return await self._request(client, "POST", "", content, part, ephemeral=self.private)

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
        part: Part,
        *,
        ephemeral: bool = False,
    ) -> int:
        with parameters(content, part, ephemeral=ephemeral) as message:
            body: dict[str, Any] = (
                {"form": message.multipart, "files": message.files}
                if message.files
                else {"json": message.payload}
            )
            answer = await client.http.request(self._route(method, path), **body)
        return int(answer["id"])
