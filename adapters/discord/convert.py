"""What Discord delivers as events. Pure functions of discord.py's objects.

Knows nothing of the connection, nor of what is done with an event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import discord

from adapters.discord.commands import arguments
from adapters.discord.responses import Response
from adapters.types import (
    Addressed,
    Attachment,
    ChatRef,
    CommandInvoked,
    MessageCreated,
    MessageRef,
    Person,
    Quoted,
)

PLATFORM = "discord"

_MARKUP = re.compile(r"<(?:(?P<sigil>@&|@!?|#)(?P<id>\d+)|a?(?P<emoji>:\w+:)\d+)>")
"""Mentions of people, roles and channels, and custom emoji, as they stand in a message's text."""


def chat_ref(channel: int) -> ChatRef:
    """A channel, direct message or thread: on Discord each is a channel with an id of its own."""
    return ChatRef(PLATFORM, str(channel))


def message_created(message: discord.Message, me: discord.ClientUser) -> MessageCreated | None:
    """A person's message; None for bots, webhooks and Discord's own notices (joins, pins, boosts)."""
    if message.type not in (discord.MessageType.default, discord.MessageType.reply):
        return None
    if message.author.bot or message.webhook_id is not None:
        return None
    chat = chat_ref(message.channel.id)
    answered = _answered(message)
    return MessageCreated(
        id=f"message:{message.id}",
        message=MessageRef(chat, str(message.id)),
        author=person(message.author),
        text=_without_address(message, me),
        addressed=_addressed(message, answered, me),
        sent_at=message.created_at,
        private=_is_direct(message),
        server=str(message.guild.id) if message.guild else None,
        reply_to=_reply_to(message, chat),
        quoted=_quoted(answered, me),
        attachments=tuple(_attachment(attachment) for attachment in message.attachments),
    )


def command_invoked(interaction: discord.Interaction, *, ephemeral: bool) -> CommandInvoked | None:
    """A slash command, its deferred response as the placeholder; None for other interactions.

    `ephemeral`: the response will be shown to this person alone.
    """
    if interaction.type is not discord.InteractionType.application_command:
        return None
    if interaction.channel_id is None:
        return None
    data = cast("Mapping[str, Any]", interaction.data)
    chat = chat_ref(interaction.channel_id)
    response = Response(interaction.application_id, interaction.token, private=ephemeral)
    return CommandInvoked(
        id=f"interaction:{interaction.id}",
        chat=chat,
        author=person(interaction.user, language=interaction.locale.value),
        name=data["name"],
        sent_at=interaction.created_at,
        arguments=arguments(data),
        placeholder=MessageRef(chat, str(response)),
        private=interaction.guild_id is None,
        server=None if interaction.guild_id is None else str(interaction.guild_id),
    )


def person(user: discord.abc.User, *, language: str | None = None) -> Person:
    return Person(id=str(user.id), name=user.display_name, language=language)


def _addressed(
    message: discord.Message, answered: discord.Message | None, me: discord.ClientUser
) -> Addressed:
    """Pings of everyone and of roles are no address, but the bot's own role is one. A reply pings its
    addressee, so that replies are looked at before mentions."""
    if _is_direct(message):
        return Addressed.DIRECT
    if answered is not None and answered.author == me:
        return Addressed.REPLY
    own_role = message.guild.self_role if message.guild else None
    if me in message.mentions or (own_role is not None and own_role in message.role_mentions):
        return Addressed.MENTION
    if isinstance(message.channel, discord.Thread) and message.channel.me is not None:
        return Addressed.THREAD
    return Addressed.NOT


def _is_direct(message: discord.Message) -> bool:
    return isinstance(message.channel, discord.DMChannel)


def _answered(message: discord.Message) -> discord.Message | None:
    """The message that this one replies to, where Discord hands it over or it was seen lately."""
    if message.type is not discord.MessageType.reply or message.reference is None:
        return None  # a forwarded message has a reference too
    resolved = message.reference.resolved or message.reference.cached_message
    return resolved if isinstance(resolved, discord.Message) else None


def _reply_to(message: discord.Message, chat: ChatRef) -> MessageRef | None:
    reference = message.reference
    if message.type is not discord.MessageType.reply or reference is None or reference.message_id is None:
        return None
    return MessageRef(chat, str(reference.message_id))


def _quoted(answered: discord.Message | None, me: discord.ClientUser) -> Quoted | None:
    if answered is None:
        return None
    return Quoted(
        author=person(answered.author),
        text=readable(answered.content, answered).strip(),
        by_bot=answered.author == me,
    )


def _without_address(message: discord.Message, me: discord.ClientUser) -> str:
    """The text as people see it, without the bot's name in front."""
    own_role = message.guild.self_role if message.guild else None
    names = f"@!?{me.id}" + (f"|@&{own_role.id}" if own_role else "")
    text = re.sub(rf"^(?:\s*<(?:{names})>[,:]?)+", "", message.content)
    return readable(text, message).strip()


def readable(text: str, message: discord.Message) -> str:
    """Mentions and custom emoji by their names, as a client shows them: @Name, #channel, :emoji:."""
    names = {("@", user.id): user.display_name for user in message.mentions}
    names |= {("@&", role.id): role.name for role in message.role_mentions}
    names |= {("#", channel.id): channel.name for channel in message.channel_mentions}

    def shown(match: re.Match[str]) -> str:
        if emoji := match["emoji"]:
            return emoji
        sigil = match["sigil"].rstrip("!")
        return sigil[0] + names.get((sigil, int(match["id"])), "unknown")

    return _MARKUP.sub(shown, text)


def _attachment(attachment: discord.Attachment) -> Attachment:
    return Attachment(
        name=attachment.filename,
        media_type=attachment.content_type or "application/octet-stream",
        size=attachment.size,
        handle=attachment.url,
    )
