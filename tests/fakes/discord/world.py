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
ADMINISTRATOR, MANAGE_SERVER = 1 << 3, 1 << 5  # permissions of a role
VIEW, SEND, READ_HISTORY = 1 << 10, 1 << 11, 1 << 16
COMMAND, COMPONENT, AUTOCOMPLETE, FORM = 2, 3, 4, 5  # types of an interaction
_ROW, _BUTTON, _LABELLED = 1, 2, 18  # types of a component
CONTENT_LIMIT = 2000

_counter = itertools.count(1)


def snowflake(ago: float = 0) -> str:
    """An id that says when it was made, as Discord's do: `ago` seconds before now."""
    return str((int((time.time() - ago) * 1000) - EPOCH << 22) + next(_counter))


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
    patience: float | None

    @property
    def cdn_url(self) -> str:
        """Where files lie."""

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
    locale: str = "en-GB"  # of their app; Discord tells it with interactions alone

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


@dataclass(frozen=True)
class File:
    name: str
    content: bytes
    id: str = field(default_factory=snowflake)

    def payload(self, cdn_url: str) -> Payload:
        return {
            "id": self.id,
            "filename": self.name,
            "size": len(self.content),
            "url": f"{cdn_url}/attachments/{self.id}/{self.name}",
            "proxy_url": f"{cdn_url}/attachments/{self.id}/{self.name}",
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
    components: list[Payload] = field(default_factory=list)
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

    @property
    def buttons(self) -> list[list[str]]:
        """The labels of its buttons, by rows."""
        return [[button["label"] for button in row["components"]] for row in self.components]

    async def rewrite(self, text: str) -> None:
        """Its author changes it."""
        self.text = text
        self.edited_at = timestamp()
        await self.channel.platform.deliver("MESSAGE_UPDATE", self.event())

    async def preview(self) -> None:
        """Discord adds the preview of a link to it."""
        update = self.event() | {"embeds": [{"type": "link", "title": "A page"}]}
        await self.channel.platform.deliver("MESSAGE_UPDATE", update)

    async def vanish(self) -> None:
        """Its author or a moderator deletes it."""
        self.channel.messages.remove(self)
        await self.channel.platform.deliver("MESSAGE_DELETE", self.gone())

    def gone(self) -> Payload:
        where = self.address()
        return where | {"id": where.pop("message_id")}

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
            "attachments": [file.payload(self.channel.platform.cdn_url) for file in self.files],
            "embeds": [],
            "pinned": False,
            "type": self.type,
            "flags": self.flags,
            "components": self.components,
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
            server = self.channel.server
            data |= {"guild_id": server.id, "member": server.member(self.author)}
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
        marks += [f"buttons {self.buttons}"] if self.components else []
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
    hidden: bool = False  # whether the bot may not see it
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
        ago: float = 0,
    ) -> Message:
        """Someone writes here. The bot gets it through its session, if it has one; before any bot has
        connected this waits for the first. `ago`: how many seconds before now, by its id."""
        message = Message(
            self,
            author,
            text,
            reply_to=reply_to,
            ping=ping,
            files=[File(name, content) for name, content in (files or {}).items()],
            webhook=webhook,
            type=type if type is not None else 19 if reply_to else 0,
            id=snowflake(ago),
        )
        self.messages.append(message)
        await self.platform.deliver("MESSAGE_CREATE", message.event())
        return message

    async def clear(self, *messages: Message) -> None:
        """A moderator deletes several messages at once."""
        self.messages = [message for message in self.messages if message not in messages]
        gone: Payload = {"ids": [message.id for message in messages], "channel_id": self.id}
        if self.server is not None:
            gone["guild_id"] = self.server.id
        await self.platform.deliver("MESSAGE_DELETE_BULK", gone)

    async def command(self, author: Person, name: str, /, **options: Value) -> Invocation:
        """Someone uses a slash command here; `name` with the words of its groups."""
        return await self._interact(author, COMMAND, _used(name, _options(options)))

    async def types(
        self, author: Person, name: str, focused: str, so_far: str, **options: Value
    ) -> Invocation:
        """Someone is typing a command's option, and waits for proposals."""
        given = [*_options(options), {"type": 3, "name": focused, "value": so_far, "focused": True}]
        return await self._interact(author, AUTOCOMPLETE, _used(name, given))

    async def press(self, author: Person, message: Message, label: str) -> Invocation:
        """Someone presses a button under a message."""
        buttons = [button for row in message.components for button in row["components"]]
        button = next(button for button in buttons if button["label"] == label)
        data = {"custom_id": button["custom_id"], "component_type": _BUTTON, "id": 2}
        return await self._interact(author, COMPONENT, data, message)

    async def fill_in(self, author: Person, form: Payload, **values: str) -> Invocation:
        """Someone sends a form in. Fields that are not named stay empty."""
        fields = [label["component"]["custom_id"] for label in form["components"]]
        components = [
            {
                "type": _LABELLED,
                "id": number,
                "component": {"type": 4, "id": 10 + number, "custom_id": name, "value": values.get(name, "")},
            }
            for number, name in enumerate(fields, start=1)
        ]
        data = {"custom_id": form["custom_id"], "components": components}
        return await self._interact(author, FORM, data)

    async def _interact(
        self, author: Person, type: int, data: Payload, message: Message | None = None
    ) -> Invocation:
        invocation = Invocation(self, author, type, data, self.platform.now(), message)
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
            assert self.server is not None
            nobody = {"id": self.server.id, "type": 0, "allow": "0", "deny": str(VIEW)}
            overwrites = [nobody] if self.hidden else []
            data |= {"position": 0, "permission_overwrites": overwrites, "parent_id": None, "nsfw": False}
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


Value = str | int | float | bool


def _options(options: Mapping[str, Value]) -> list[Payload]:
    """A command's options as Discord types them."""
    types = {str: 3, int: 4, bool: 5, float: 10}
    return [{"type": types[type(value)], "name": name, "value": value} for name, value in options.items()]


def _used(name: str, options: list[Payload]) -> Payload:
    """A command as it was used: the words of its name lead to its options."""
    first, *rest = name.split()
    for depth, word in reversed(list(enumerate(rest, start=1))):
        options = [{"type": 1 if depth == len(rest) else 2, "name": word, "options": options}]
    return {"id": snowflake(), "name": first, "type": 1, "options": options}


@dataclass(eq=False)
class Role:
    name: str
    permissions: int = VIEW | SEND | READ_HISTORY
    bot: str | None = None  # whose own role it is
    id: str = field(default_factory=snowflake)

    def payload(self) -> Payload:
        return {
            "id": self.id,
            "name": self.name,
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "position": 0,
            "permissions": str(self.permissions),
            "managed": self.bot is not None,
            "mentionable": True,
            "flags": 0,
            **({"tags": {"bot_id": self.bot}} if self.bot else {}),
        }


@dataclass(eq=False)
class Server:
    """A server (a guild, in the API's words) that the bot is in."""

    platform: Platform
    name: str
    owner: Person
    people: dict[str, Person]
    id: str = field(default_factory=snowflake)
    channels: list[Channel] = field(default_factory=list)
    held: dict[str, list[str]] = field(default_factory=dict)  # the roles that people hold, by ids
    gone: set[str] = field(default_factory=set)  # people who left
    joined_at: str = field(default_factory=timestamp)  # when the bot came
    locale: str = "en-US"

    def __post_init__(self) -> None:
        own = Role(self.platform.bot.name, bot=self.platform.bot.id)  # made with the bot's invitation
        other = Role("Gardeners")
        self.own_role, self.other_role = own.id, other.id
        self.held[self.platform.bot.id] = [own.id]
        self.roles = [Role("@everyone", id=self.id), own, other]

    def role(self, name: str, permissions: int = 0) -> Role:
        role = Role(name, permissions)
        self.roles.append(role)
        self.platform.emit("GUILD_ROLE_CREATE", {"guild_id": self.id, "role": role.payload()})
        return role

    def change(self, role: Role, permissions: int) -> None:
        role.permissions = permissions
        self.platform.emit("GUILD_ROLE_UPDATE", {"guild_id": self.id, "role": role.payload()})

    def grant(self, person: Person, *roles: Role) -> None:
        """Let someone hold these roles and no others."""
        self.held[person.id] = [role.id for role in roles]
        member = self.member(person) | {"user": person.payload(), "guild_id": self.id}
        self.platform.emit("GUILD_MEMBER_UPDATE", member)

    def member(self, person: Person) -> Payload:
        return {
            "roles": self.held.get(person.id, []),
            "joined_at": timestamp(),
            "deaf": False,
            "mute": False,
            "flags": 0,
        }

    def channel(self, name: str, *, hidden: bool = False) -> Channel:
        channel = Channel(self.platform, ChannelType.TEXT, name, self.people, server=self, hidden=hidden)
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
            "joined_at": self.joined_at,
            "roles": [role.payload() for role in self.roles],
            "channels": [channel.payload() for channel in self.channels if channel not in threads],
            "threads": [thread.payload() for thread in threads],
            "members": [{"user": self.platform.bot.payload(), **self.member(self.platform.bot)}],
            "emojis": [],
            "stickers": [],
            "features": [],
            "presences": [],
            "voice_states": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "premium_tier": 0,
            "preferred_locale": self.locale,
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "nsfw_level": 0,
            "system_channel_flags": 0,
            "afk_timeout": 300,
        }


@dataclass(eq=False)
class Invocation:
    """One interaction (the use of a command, a press, a form), and what became of it."""

    channel: Channel
    author: Person
    type: int
    data: Payload
    made_at: float  # loop seconds
    message: Message | None = None  # under which a button was pressed
    id: str = field(default_factory=snowflake)
    token: str = field(default_factory=lambda: f"interaction-token-{next(_counter)}")
    response: Message | None = None  # the original response; a placeholder at first, if it was deferred
    followups: list[Message] = field(default_factory=list)
    proposals: list[str] | None = None  # what was proposed for an option
    form: Payload | None = None  # what opened
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

    async def proposed(self) -> list[str]:
        """What is proposed, as soon as it is."""
        await self.channel.platform.until(lambda: self.proposals is not None)
        assert self.proposals is not None
        return self.proposals

    async def opened(self) -> Payload:
        """The form that opens, as soon as it does."""
        await self.channel.platform.until(lambda: self.form)
        assert self.form is not None
        return self.form

    def expire(self) -> None:
        """15 minutes are over."""
        self.expired = True

    def payload(self) -> Payload:
        channel = self.channel
        data: Payload = {
            "id": self.id,
            "application_id": channel.platform.application_id,
            "type": self.type,
            "token": self.token,
            "version": 1,
            "channel_id": channel.id,
            "channel": channel.payload(),
            "locale": self.author.locale,
            "entitlements": [],
            "authorizing_integration_owners": {},
            "attachment_size_limit": 10 * 1024 * 1024,
            "app_permissions": "0",
            "data": self.data,
        }
        if self.message is not None:
            data["message"] = self.message.payload()
        if channel.server is None:
            return data | {"context": 1, "user": self.author.payload()}
        member = {"user": self.author.payload(), **channel.server.member(self.author), "permissions": "0"}
        guild = {"id": channel.server.id, "locale": channel.server.locale, "features": []}
        return data | {"context": 0, "guild_id": channel.server.id, "guild": guild, "member": member}
