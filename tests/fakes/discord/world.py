"""What exists on the fake Discord: people, servers, channels, messages, and how they look on the wire.

Knows nothing of sockets. Whatever happens is handed to the `Platform` that the world lives on.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Payload = dict[str, Any]

EPOCH = 1_420_070_400_000  # milliseconds: the first instant of 2015, from which Discord's ids count
SUPPRESS_EMBEDS, EPHEMERAL, LOADING = 1 << 2, 1 << 6, 1 << 7  # flags of a message
CONTENT_LIMIT = 2000

_counter = itertools.count(1)


def snowflake() -> str:
    """An id that says when it was made, as Discord's do."""
    return str((int(time.time() * 1000) - EPOCH << 22) + next(_counter))


def timestamp() -> str:
    return datetime.now(UTC).isoformat()


class ChannelType(IntEnum):
    TEXT = 0
    DIRECT = 1
    THREAD = 11


class Platform(Protocol):
    """What the world asks of the server it lives on."""

    bot: Person
    invocations: dict[str, Invocation]
    application_id: str

    async def deliver(self, event: str, data: Payload) -> None:
        """Send to the bot; before the first bot was there, wait for it."""

    def emit(self, event: str, data: Payload) -> None:
        """Send to the bot, if it is there."""

    async def until(self, condition: Callable[[], T], timeout: float = ...) -> T: ...

    def now(self) -> float:
        """The event loop's time in seconds."""


@dataclass(frozen=True)
class Person:
    id: str
    name: str
    is_bot: bool = False

    @property
    def mention(self) -> str:
        return f"<@{self.id}>"

    def payload(self) -> Payload:
        return {
            "id": self.id,
            "username": self.name.lower(),
            "global_name": self.name,
            "discriminator": "0",
            "avatar": None,
            "bot": self.is_bot,
        }

    def member(self) -> Payload:
        return {
            "roles": [],
            "joined_at": timestamp(),
            "deaf": False,
            "mute": False,
            "flags": 0,
        }


@dataclass(frozen=True)
class File:
    name: str
    content: bytes
    id: str = field(default_factory=snowflake)

    def payload(self) -> Payload:
        return {
            "id": self.id,
            "filename": self.name,
            "size": len(self.content),
            "url": f"https://cdn.discord.test/{self.id}/{self.name}",
            "proxy_url": f"https://media.discord.test/{self.id}/{self.name}",
            "content_type": "text/plain; charset=utf-8",
        }


@dataclass(eq=False)
class Message:
    """A message as it stands now. It changes when it is edited."""

    channel: Channel
    author: Person
    text: str
    reply_to: Message | None = None
    files: list[File] = field(default_factory=list)
    flags: int = 0
    type: int = 0
    ping: bool = True  # whether a reply pings its addressee
    webhook: str | None = None
    nonce: str | None = None
    seen_by: Person | None = None  # the only one who sees it, if it is ephemeral
    edits: list[str] = field(default_factory=list)  # the texts that it had after the first one
    id: str = field(default_factory=snowflake)
    sent_at: str = field(default_factory=timestamp)
    edited_at: str | None = None

    @property
    def previews_suppressed(self) -> bool:
        return bool(self.flags & SUPPRESS_EMBEDS)

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def thinking(self) -> bool:
        """Whether this is a placeholder for an answer to come."""
        return bool(self.flags & LOADING)

    def mentions(self) -> list[Person]:
        people = self.channel.people
        mentioned = [people[id] for id in re.findall(r"<@!?(\d+)>", self.text) if id in people]
        if self.reply_to is not None and self.ping and self.reply_to.author not in mentioned:
            mentioned.append(self.reply_to.author)
        return mentioned

    def payload(self, *, with_reference: bool = True) -> Payload:
        data: Payload = {
            "id": self.id,
            "channel_id": self.channel.id,
            "author": self.author.payload(),
            "content": self.text,
            "timestamp": self.sent_at,
            "edited_timestamp": self.edited_at,
            "tts": False,
            "mention_everyone": "@everyone" in self.text or "@here" in self.text,
            "mentions": [person.payload() for person in self.mentions()],
            "mention_roles": re.findall(r"<@&(\d+)>", self.text),
            "attachments": [file.payload() for file in self.files],
            "embeds": [],
            "pinned": False,
            "type": self.type,
            "flags": self.flags,
            "components": [],
        }
        if self.nonce is not None:
            data["nonce"] = self.nonce
        if self.webhook is not None:
            data["webhook_id"] = self.webhook
        if self.reply_to is not None:
            data["message_reference"] = {"type": 0, **self.reply_to.address()}
            if with_reference:
                gone = self.reply_to not in self.channel.messages
                data["referenced_message"] = None if gone else self.reply_to.payload(with_reference=False)
        return data

    def event(self) -> Payload:
        """What the gateway sends of it."""
        data = self.payload()
        if self.channel.server is not None:
            data |= {"guild_id": self.channel.server.id, "member": self.author.member()}
        return data

    def address(self) -> Payload:
        where: Payload = {"message_id": self.id, "channel_id": self.channel.id}
        if self.channel.server is not None:
            where["guild_id"] = self.channel.server.id
        return where

    def __str__(self) -> str:
        marks = [f"reply to {self.reply_to.id}"] if self.reply_to else []
        marks += [f"file {file.name}" for file in self.files]
        marks += ["thinking"] if self.thinking else []
        marks += [f"only for {self.seen_by.name}"] if self.seen_by else []
        marks += [f"edited {len(self.edits)} times"] if self.edits else []
        return f"[{self.id}] {self.author.name}: {self.text!r} {', '.join(marks)}".rstrip()


@dataclass(eq=False)
class Channel:
    """A text channel, a direct message or a thread."""

    platform: Platform
    type: ChannelType
    name: str
    people: dict[str, Person]
    server: Server | None = None
    parent: Channel | None = None
    joined: bool = True  # threads: whether the bot takes part
    messages: list[Message] = field(default_factory=list)
    typing: list[float] = field(default_factory=list)  # when the bot said that it is typing, loop seconds
    id: str = field(default_factory=snowflake)

    async def says(
        self,
        author: Person,
        text: str,
        *,
        reply_to: Message | None = None,
        ping: bool = True,
        files: Mapping[str, bytes] | None = None,
        webhook: str | None = None,
        type: int | None = None,
    ) -> Message:
        """Someone writes here. The bot gets it through its session, if it has one; before any bot has
        connected this waits for the first."""
        message = Message(
            self,
            author,
            text,
            reply_to=reply_to,
            ping=ping,
            files=[File(name, content) for name, content in (files or {}).items()],
            webhook=webhook,
            type=type if type is not None else 19 if reply_to else 0,
        )
        self.messages.append(message)
        await self.platform.deliver("MESSAGE_CREATE", message.event())
        return message

    async def command(self, author: Person, name: str, **options: str) -> Invocation:
        """Someone uses a slash command here."""
        invocation = Invocation(self, author, name, options, self.platform.now())
        self.platform.invocations[invocation.token] = invocation
        await self.platform.deliver("INTERACTION_CREATE", invocation.payload())
        return invocation

    def thread(self, name: str, *, joined: bool = True) -> Channel:
        """A thread in this channel, which the bot takes part in or not."""
        if self.server is None:
            raise ValueError("threads are made in a server's channels")
        thread = Channel(
            self.platform,
            ChannelType.THREAD,
            name,
            self.people,
            server=self.server,
            parent=self,
            joined=joined,
        )
        self.server.channels.append(thread)
        self.platform.emit("THREAD_CREATE", thread.payload())
        return thread

    @property
    def visible(self) -> list[Message]:
        """What stands here now, in order."""
        return list(self.messages)

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]

    def answers(self, *, to: Message) -> list[Message]:
        """The bot's messages after `to`."""
        after = self.messages[self.messages.index(to) + 1 :]
        return [message for message in after if message.author == self.platform.bot]

    async def answer(
        self,
        *,
        to: Message,
        finished: Callable[[Message], object] = lambda message: True,
        timeout: float = 20,
    ) -> Message:
        """The bot's first message after `to`, as soon as it is there and `finished`. It is live: an edit
        changes it."""
        found = await self.platform.until(
            lambda: [message for message in self.answers(to=to)[:1] if finished(message)], timeout
        )
        return found[0]

    def find(self, message: str) -> Message | None:
        return next((m for m in self.messages if m.id == message), None)

    def payload(self) -> Payload:
        data: Payload = {"id": self.id, "type": int(self.type), "name": self.name, "last_message_id": None}
        if self.messages:
            data["last_message_id"] = self.messages[-1].id
        if self.type is ChannelType.DIRECT:
            data["recipients"] = [person.payload() for person in self.people.values() if not person.is_bot]
        if self.type is ChannelType.TEXT:
            data |= {"position": 0, "permission_overwrites": [], "parent_id": None, "nsfw": False}
        if self.server is not None:
            data["guild_id"] = self.server.id
        if self.parent is not None:
            data |= {
                "parent_id": self.parent.id,
                "owner_id": self.server.owner.id if self.server else None,
                "message_count": len(self.messages),
                "member_count": 1,
                "thread_metadata": {
                    "archived": False,
                    "auto_archive_duration": 1440,
                    "archive_timestamp": timestamp(),
                    "locked": False,
                },
            }
            if self.joined:
                data["member"] = {
                    "id": self.id,
                    "user_id": self.platform.bot.id,
                    "join_timestamp": timestamp(),
                    "flags": 0,
                }
        return data

    def __str__(self) -> str:
        lines = [f"{self.type.name.lower()} {self.name} ({self.id}), typing {len(self.typing)} times"]
        return "\n    ".join(lines + [str(message) for message in self.messages])


@dataclass(eq=False)
class Server:
    """A server (a guild, in the API's words) that the bot is in."""

    platform: Platform
    name: str
    owner: Person
    people: dict[str, Person]
    id: str = field(default_factory=snowflake)
    own_role: str = field(default_factory=snowflake)  # the bot's role, made with its invitation
    other_role: str = field(default_factory=snowflake)
    channels: list[Channel] = field(default_factory=list)

    def channel(self, name: str) -> Channel:
        channel = Channel(self.platform, ChannelType.TEXT, name, self.people, server=self)
        self.channels.append(channel)
        self.platform.emit("CHANNEL_CREATE", channel.payload())
        return channel

    def payload(self) -> Payload:
        threads = [channel for channel in self.channels if channel.type is ChannelType.THREAD]
        return {
            "id": self.id,
            "name": self.name,
            "owner_id": self.owner.id,
            "member_count": len(self.people),
            "large": False,
            "unavailable": False,
            "roles": [
                _role(self.id, "@everyone"),
                _role(self.own_role, self.platform.bot.name, tags={"bot_id": self.platform.bot.id}),
                _role(self.other_role, "Gardeners"),
            ],
            "channels": [channel.payload() for channel in self.channels if channel not in threads],
            "threads": [thread.payload() for thread in threads],
            "members": [
                {
                    "user": self.platform.bot.payload(),
                    **self.platform.bot.member(),
                    "roles": [self.own_role],
                }
            ],
            "emojis": [],
            "stickers": [],
            "features": [],
            "presences": [],
            "voice_states": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "premium_tier": 0,
            "preferred_locale": "en-US",
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "nsfw_level": 0,
            "system_channel_flags": 0,
            "afk_timeout": 300,
        }


def _role(id: str, name: str, **more: Any) -> Payload:
    return {
        "id": id,
        "name": name,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "position": 0,
        "permissions": "0",
        "managed": "tags" in more,
        "mentionable": True,
        "flags": 0,
        **more,
    }


@dataclass(eq=False)
class Invocation:
    """One use of a slash command, and what became of it."""

    channel: Channel
    author: Person
    name: str
    options: Mapping[str, str]
    made_at: float  # loop seconds
    id: str = field(default_factory=snowflake)
    token: str = field(default_factory=lambda: f"interaction-token-{next(_counter)}")
    response: Message | None = None  # the original response; a placeholder at first, if it was deferred
    followups: list[Message] = field(default_factory=list)
    acknowledged_after: float | None = None  # seconds; Discord waits for 3
    expired: bool = False

    async def answer(
        self,
        finished: Callable[[Message], object] = lambda message: not message.thinking,
        timeout: float = 20,
    ) -> Message:
        """The response, as soon as it is more than a placeholder. It is live."""
        response = await self.channel.platform.until(
            lambda: self.response if self.response and finished(self.response) else None, timeout
        )
        assert response is not None
        return response

    async def acknowledged(self) -> Message:
        """The response, as soon as there is one, be it a placeholder."""
        return await self.answer(lambda message: True)

    def expire(self) -> None:
        """15 minutes are over."""
        self.expired = True

    def payload(self) -> Payload:
        channel = self.channel
        data: Payload = {
            "id": self.id,
            "application_id": channel.platform.application_id,
            "type": 2,
            "token": self.token,
            "version": 1,
            "channel_id": channel.id,
            "channel": channel.payload(),
            "locale": "en-GB",
            "entitlements": [],
            "authorizing_integration_owners": {},
            "attachment_size_limit": 10 * 1024 * 1024,
            "app_permissions": "0",
            "data": {
                "id": snowflake(),
                "name": self.name,
                "type": 1,
                "options": [
                    {"type": 3, "name": name, "value": value} for name, value in self.options.items()
                ],
            },
        }
        if channel.server is None:
            return data | {"context": 1, "user": self.author.payload()}
        member = {"user": self.author.payload(), **self.author.member(), "permissions": "0"}
        guild = {"id": channel.server.id, "locale": "en-US", "features": []}
        return data | {"context": 0, "guild_id": channel.server.id, "guild": guild, "member": member}
