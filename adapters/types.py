"""What an adapter hands to the application, and what it is handed back: frozen values.

Every event has an id that is the same when the platform delivers it again, so that whoever stores events
can tell a repetition from news. Knows nothing of what is done with an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal


@dataclass(frozen=True, slots=True)
class ChatRef:
    """Where a conversation takes place: a channel or chat, and the thread or topic in it.

    `thread` is None outside threads and topics. A Discord thread is a channel of its own: its id is
    `chat`, and `thread` stays None.
    """

    platform: str
    chat: str
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class MessageRef:
    """One message on its platform. `message` is opaque to everyone but the adapter that made it."""

    chat: ChatRef
    message: str


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who writes. `id` is unique on its platform; `language` is an IETF tag if it tells. `anonymous`:
    a chat's administrator who writes in the chat's own name; `id` is then the chat's."""

    id: str
    name: str
    language: str | None = None
    anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person is in a chat, as the platform says now. `administrator`: may manage the server or group;
    in a private chat nobody is. `roles` are the platform's ids of what they hold there."""

    administrator: bool = False
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a message; `handle` is what the adapter's `download` needs to fetch it."""

    name: str
    media_type: str
    size: int  # bytes, as the platform announces it
    handle: str


class Addressed(StrEnum):
    """How a message speaks to the bot."""

    DIRECT = "direct"  # a private chat with the bot
    MENTION = "mention"  # the bot was named
    REPLY = "reply"  # an answer to one of the bot's own messages
    THREAD = "thread"  # said in a thread that the bot takes part in
    NOT = "not"  # said among people, not to the bot


@dataclass(frozen=True, slots=True)
class Quoted:
    """The message that a reply answers, where the platform hands it over."""

    author: Person
    text: str
    by_bot: bool  # written by this bot


@dataclass(frozen=True, slots=True)
class MessageCreated:
    """A person wrote a message. The bot's name is already cut from the front of `text`."""

    id: str
    message: MessageRef
    author: Person
    text: str
    addressed: Addressed
    sent_at: datetime  # aware, UTC
    private: bool = False  # nobody else reads this chat
    server: str | None = None  # the Discord server; None elsewhere
    reply_to: MessageRef | None = None
    quoted: Quoted | None = None
    attachments: tuple[Attachment, ...] = ()
    parent: str | None = None  # the channel that this chat is a thread of, where that is a chat itself
    server_language: str | None = None  # an IETF tag, where a server has one
    kind: Literal["message_created"] = "message_created"

    @property
    def chat(self) -> ChatRef:
        return self.message.chat


@dataclass(frozen=True, slots=True)
class CommandInvoked:
    """A person used a command.

    `message` is the message that carried it, where there is one. `placeholder` is a message of ours that
    already stands and waits to be filled (Discord's deferred response): the answer edits it.
    """

    id: str
    chat: ChatRef
    author: Person
    name: str
    sent_at: datetime  # aware, UTC
    arguments: Mapping[str, str] = field(default_factory=dict)
    message: MessageRef | None = None
    placeholder: MessageRef | None = None
    private: bool = False
    server: str | None = None
    parent: str | None = None  # the channel that this chat is a thread of, where that is a chat itself
    reply_to: MessageRef | None = None  # the message that a typed command replies to
    kind: Literal["command_invoked"] = "command_invoked"


@dataclass(frozen=True, slots=True)
class MessageEdited:
    """A person changed a message. `id` differs for each change of one message."""

    id: str
    message: MessageRef
    author: Person
    text: str
    sent_at: datetime  # of the change; aware, UTC
    private: bool = False
    server: str | None = None
    parent: str | None = None  # the channel that this chat is a thread of, where that is a chat itself
    server_language: str | None = None  # an IETF tag, where a server has one
    kind: Literal["message_edited"] = "message_edited"

    @property
    def chat(self) -> ChatRef:
        return self.message.chat


@dataclass(frozen=True, slots=True)
class MessageDeleted:
    """A message is gone, where the platform tells (Discord)."""

    id: str
    message: MessageRef
    sent_at: datetime  # aware, UTC
    server: str | None = None
    kind: Literal["message_deleted"] = "message_deleted"

    @property
    def chat(self) -> ChatRef:
        return self.message.chat


@dataclass(frozen=True, slots=True)
class ButtonPressed:
    """A person pressed a button under one of our messages. `data` is the button's, but anyone can forge it:
    whoever acts on it asks first whether `author` may. The adapter has acknowledged the press already.
    `placeholder` is where an answer for this person alone can go, on platforms that have such (Discord)."""

    id: str
    message: MessageRef
    author: Person
    data: str
    sent_at: datetime  # aware, UTC
    placeholder: MessageRef | None = None
    private: bool = False
    server: str | None = None
    parent: str | None = None  # the channel that this chat is a thread of, where that is a chat itself
    kind: Literal["button_pressed"] = "button_pressed"

    @property
    def chat(self) -> ChatRef:
        return self.message.chat


@dataclass(frozen=True, slots=True)
class StopRequested:
    """A person pressed the platform's own button that ends an answer (Telegram's, on drafts)."""

    id: str
    chat: ChatRef
    author: Person
    sent_at: datetime  # aware, UTC
    private: bool = True
    server: str | None = None
    message: MessageRef | None = None
    kind: Literal["stop_requested"] = "stop_requested"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that the platform sent and the adapter could not read. It is kept for people to look at;
    nothing is done with it. `chat.chat` is empty where not even the chat is known."""

    id: str
    chat: ChatRef
    raw: str  # as it came, at most UNREADABLE_LENGTH characters
    reason: str
    sent_at: datetime  # when it came; aware, UTC
    server: str | None = None
    message: MessageRef | None = None
    kind: Literal["unreadable"] = "unreadable"


UNREADABLE_LENGTH = 100_000

Event = (
    MessageCreated
    | MessageEdited
    | MessageDeleted
    | CommandInvoked
    | ButtonPressed
    | StopRequested
    | Unreadable
)


@dataclass(frozen=True, slots=True)
class File:
    """A file that is sent: a picture, an export, a text that is too long to read as a message."""

    name: str
    content: bytes
    media_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Button:
    """A button under a message. Pressing it comes back as ButtonPressed with `data`: at most 64 bytes, all
    that is needed to act on it, since it may be pressed after restarts."""

    label: str
    data: str


@dataclass(frozen=True, slots=True)
class Part:
    """One message's worth of an answer: Markdown that fits the platform's limits once rendered. `buttons` are
    rows of at most 5, at most 5 rows, under the message (Discord's limits)."""

    text: str
    file: File | None = None
    buttons: tuple[tuple[Button, ...], ...] = ()
