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
    """Someone who writes. `id` is unique on its platform; `language` is an IETF tag if it tells."""

    id: str
    name: str
    language: str | None = None


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
    kind: Literal["command_invoked"] = "command_invoked"


Event = MessageCreated | CommandInvoked


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text that is sent as a file because it is too long to read as a message."""

    name: str
    content: str


@dataclass(frozen=True, slots=True)
class Part:
    """One message's worth of an answer: Markdown that fits the platform's limits once rendered."""

    text: str
    file: TextFile | None = None
