"""What Discord delivers as events. Pure functions of discord.py's objects, and of payloads it can't read.

Whatever people write comes out without the characters that nobody sees. Knows nothing of the connection, nor
of what is done with an event.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import discord

from adapters.discord.commands import arguments, command_name, form_arguments, form_command
from adapters.discord.responses import Response
from adapters.markup.characters import strip_hidden
from adapters.types import (
    UNREADABLE_LENGTH,
    Addressed,
    Attachment,
    ButtonPressed,
    ChatRef,
    CommandInvoked,
    MessageCreated,
    MessageDeleted,
    MessageEdited,
    MessageRef,
    Person,
    Quoted,
    Unreadable,
)

PLATFORM = "discord"

_MARKUP = re.compile(r"<(?:(?P<sigil>@&|@!?|#)(?P<id>\d+)|a?(?P<emoji>:\w+:)\d+)>")
"""Mentions of people, roles and channels, and custom emoji, as they stand in a message's text."""


def chat_ref(channel: int) -> ChatRef:
    """A channel, direct message or thread: on Discord each is a channel with an id of its own."""
    return ChatRef(PLATFORM, str(channel))


def message_created(message: discord.Message, me: discord.ClientUser) -> MessageCreated | None:
    """A person's message; None for bots, webhooks and Discord's own notices (joins, pins, boosts)."""
    if not _by_a_person(message):
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
        parent=parent(message.channel),
        server_language=_language(message.guild),
    )


def message_edited(update: discord.RawMessageUpdateEvent, me: discord.ClientUser) -> MessageEdited | None:
    """A person's change of their message; None for what is no change of its text: Discord also sends an
    update when it adds a link's preview or when a message is pinned. Those of messages that were not seen
    lately repeat an earlier change, under its id."""
    message, before = update.message, update.cached_message
    if not _by_a_person(message) or message.edited_at is None or not message.content:
        return None
    if before is not None and (before.content == message.content or before.edited_at == message.edited_at):
        return None
    return MessageEdited(
        id=f"edit:{message.id}:{message.edited_at.isoformat()}",
        message=MessageRef(chat_ref(message.channel.id), str(message.id)),
        author=person(message.author),
        text=_without_address(message, me),
        sent_at=message.edited_at,
        private=_is_direct(message),
        server=str(message.guild.id) if message.guild else None,
        parent=parent(message.channel),
        server_language=_language(message.guild),
    )


def message_deleted(channel: int, message: int, server: int | None, at: datetime) -> MessageDeleted:
    return MessageDeleted(
        id=f"delete:{message}",
        message=MessageRef(chat_ref(channel), str(message)),
        sent_at=at,
        server=None if server is None else str(server),
    )


def command_invoked(interaction: discord.Interaction, *, ephemeral: bool) -> CommandInvoked | None:
    """A slash command or a form that was sent in, its deferred response as the placeholder; None for other
    interactions.

    `ephemeral`: the response will be shown to this person alone.
    """
    if interaction.channel_id is None:
        return None
    data = cast("Mapping[str, Any]", interaction.data)
    match interaction.type:
        case discord.InteractionType.application_command:
            name, values = command_name(data), arguments(data)
        case discord.InteractionType.modal_submit if (form := form_command(data)) is not None:
            name, values = form, form_arguments(data)
        case _:
            return None
    chat = chat_ref(interaction.channel_id)
    return CommandInvoked(
        id=f"interaction:{interaction.id}",
        chat=chat,
        author=person(interaction.user, language=interaction.locale.value),
        name=strip_hidden(name),
        sent_at=interaction.created_at,
        arguments={strip_hidden(param): strip_hidden(value) for param, value in values.items()},
        placeholder=_placeholder(interaction, chat, private=ephemeral),
        private=interaction.guild_id is None,
        server=None if interaction.guild_id is None else str(interaction.guild_id),
        parent=parent(interaction.channel),
    )


def button_pressed(interaction: discord.Interaction) -> ButtonPressed | None:
    """A press of a button, with room for an answer to this person alone; None for other interactions."""
    if interaction.type is not discord.InteractionType.component or interaction.message is None:
        return None
    data = cast("Mapping[str, Any]", interaction.data)
    if data["component_type"] != discord.ComponentType.button.value or interaction.channel_id is None:
        return None
    chat = chat_ref(interaction.channel_id)
    return ButtonPressed(
        id=f"interaction:{interaction.id}",
        message=MessageRef(chat, str(interaction.message.id)),
        author=person(interaction.user, language=interaction.locale.value),
        data=strip_hidden(str(data["custom_id"])),
        sent_at=interaction.created_at,
        placeholder=_placeholder(interaction, chat, private=True),
        private=interaction.guild_id is None,
        server=None if interaction.guild_id is None else str(interaction.guild_id),
        parent=parent(interaction.channel),
    )


def unreadable(data: Any, reason: str, at: datetime) -> Unreadable:
    """A payload that could not be read, kept as text. The id is that of its content. Tokens are left out."""
    data = data if isinstance(data, Mapping) else {"payload": data}
    kept = {name: value for name, value in data.items() if name != "token"}
    raw = json.dumps(kept, sort_keys=True, default=repr)  # ASCII, whatever came
    channel, server = data.get("channel_id"), data.get("guild_id")
    return Unreadable(
        id=f"unreadable:{hashlib.sha256(raw.encode()).hexdigest()[:32]}",
        chat=ChatRef(PLATFORM, _id(channel) or ""),
        raw=raw[:UNREADABLE_LENGTH],
        reason=strip_hidden(reason)[:1000],
        sent_at=at,
        server=_id(server),
    )


def _id(value: object) -> str | None:
    """An id, if it is one."""
    return str(value) if isinstance(value, int | str) and str(value).isdecimal() else None


def person(user: discord.abc.User, *, language: str | None = None) -> Person:
    known = strip_hidden(language) if isinstance(language, str) else None  # discord.py passes on any value
    return Person(id=str(user.id), name=strip_hidden(user.display_name), language=known)


def _language(server: discord.Guild | None) -> str | None:
    return None if server is None else server.preferred_locale.value


def parent(channel: object) -> str | None:
    """The channel that a thread belongs to."""
    return str(channel.parent_id) if isinstance(channel, discord.Thread) else None


def _placeholder(interaction: discord.Interaction, chat: ChatRef, *, private: bool) -> MessageRef:
    response = Response(interaction.application_id, strip_hidden(interaction.token), private=private)
    return MessageRef(chat, str(response))


def _by_a_person(message: discord.Message) -> bool:
    if message.type not in (discord.MessageType.default, discord.MessageType.reply):
        return False
    return not message.author.bot and message.webhook_id is None


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
    """Mentions and custom emoji by their names, as a client shows them (@Name, #channel, :emoji:), and
    nothing that it does not show."""
    names = {("@", user.id): user.display_name for user in message.mentions}
    names |= {("@&", role.id): role.name for role in message.role_mentions}
    names |= {("#", channel.id): channel.name for channel in message.channel_mentions}

    def shown(match: re.Match[str]) -> str:
        if emoji := match["emoji"]:
            return emoji
        sigil = match["sigil"].rstrip("!")
        return sigil[0] + names.get((sigil, int(match["id"])), "unknown")

    return strip_hidden(_MARKUP.sub(shown, text))


def _attachment(attachment: discord.Attachment) -> Attachment:
    """Raises TypeError for what discord.py passes on although it is of an impossible form."""
    media_type: object = attachment.content_type or "application/octet-stream"
    size: object = attachment.size
    handle: object = attachment.url
    if type(size) is not int or not isinstance(media_type, str) or not isinstance(handle, str):
        raise TypeError(f"{attachment!r} is no attachment")
    name, media_type, handle = map(strip_hidden, (attachment.filename, media_type, handle))
    return Attachment(name, media_type, size, handle)
