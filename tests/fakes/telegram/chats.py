"""People, chats and messages: what a person on Telegram sees and does.

Knows nothing of HTTP.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fakes.telegram.spec import Upload, utf16_length

if TYPE_CHECKING:
    from tests.fakes.telegram.server import FakeTelegram

JSON = dict[str, Any]
RIGHTS = (
    "can_be_edited",
    "is_anonymous",
    "can_manage_chat",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
)


@dataclass(frozen=True)
class Person:
    """A user, person or bot."""

    id: int
    name: str
    username: str | None = None
    language: str | None = "en"
    is_bot: bool = False

    def payload(self) -> JSON:
        return _present(
            id=self.id,
            is_bot=self.is_bot,
            first_name=self.name,
            username=self.username,
            language_code=None if self.is_bot else self.language,
        )


ANONYMOUS = Person(1087968824, "Group", "GroupAnonymousBot", is_bot=True)


@dataclass(eq=False)
class Message:
    """A message as it stands now; `edits` are the texts it had before, oldest first; `buttons` are rows of
    labels and data. `kind` is what its file is sent as: "document", "photo", "voice" and the like."""

    id: int
    chat: Chat
    author: Person
    text: str
    entities: Sequence[JSON] = ()
    reply_to: Message | None = None
    topic: Topic | None = None
    file: Upload | None = None
    media_type: str = "application/octet-stream"
    kind: str = "document"
    buttons: Sequence[Sequence[tuple[str, str]]] = ()
    link_preview: bool = True
    edits: list[str] = field(default_factory=list)
    date: int = field(default_factory=lambda: int(time.time()))

    def __str__(self) -> str:
        reply = f" (to {self.reply_to.id})" if self.reply_to else ""
        file = f" [{self.file.name}]" if self.file else ""
        return f"{self.id} {self.author.name}{reply}: {self.text}{file}"

    @property
    def labels(self) -> list[list[str]]:
        """What the buttons say."""
        return [[label for label, _ in row] for row in self.buttons]

    async def press(self, person: Person, label: str, *, reachable: bool = True) -> str:
        """A person presses a button. Telegram tells of an old message only where it stands, which is not
        `reachable`. Returns the query's id."""
        data = next((data for row in self.buttons for name, data in row if name == label), None)
        if data is None:
            raise AssertionError(f"There is no button {label!r} under: {self}; there are {self.labels}")
        return self.pressed(person, data, reachable=reachable)

    def pressed(self, person: Person, data: str, *, reachable: bool = True) -> str:
        """A press with data of anyone's making. Returns the query's id."""
        where = self.payload()
        if not reachable:
            where = {"chat": where["chat"], "message_id": where["message_id"], "date": 0}
        return self.chat.telegram.press(person, where, data)

    async def becomes(self, text: str, *, edited_at: int | None = None) -> None:
        """Its author changes it."""
        self.edits.append(self.text)
        self.text, self.entities = text, _found_entities(text)
        self.chat.telegram.changed()
        if self.chat.shows_to_bot(self):
            changed = {"edit_date": edited_at or int(time.time())}
            self.chat.telegram.deliver({"edited_message": self.payload() | changed})

    def payload(self, *, nested: bool = False) -> JSON:
        """The Bot API's Message."""
        answered = self.reply_to.payload(nested=True) if self.reply_to and not nested else None
        if self.topic and not answered and not nested:
            answered = self.topic.created
        text, entities = ("caption", "caption_entities") if self.file else ("text", "entities")
        return _present(
            message_id=self.id,
            date=self.date,
            chat=self.chat.payload(),
            **{"from": self.author.payload(), text: self.text or None, entities: list(self.entities) or None},
            **self._file(),
            reply_markup=self._keyboard(),
            reply_to_message=answered,
            message_thread_id=self.topic.id if self.topic else None,
            is_topic_message=True if self.topic else None,
        )

    def _file(self) -> JSON:
        if self.file is None:
            return {}
        known = {
            "file_id": self.chat.telegram.keep_file(self.file),
            "file_unique_id": f"unique{self.id}",
            "file_size": len(self.file.content),
        }
        if self.kind == "photo":
            return {"photo": [known | {"width": 90, "height": 90}]}
        details: JSON = {"mime_type": self.media_type}
        if self.kind != "voice":
            details["file_name"] = self.file.name
        if self.kind != "document":
            details["duration"] = 3
        if self.kind == "video":
            details |= {"width": 90, "height": 90}
        return {self.kind: known | details}

    def _keyboard(self) -> JSON | None:
        if not self.buttons:
            return None
        rows = [[{"text": label, "callback_data": data} for label, data in row] for row in self.buttons]
        return {"inline_keyboard": rows}


class Room:
    """Where messages are read and written: a chat, or a topic of one."""

    chat: Chat

    @property
    def visible(self) -> list[Message]:
        """What a person sees now, oldest first."""
        raise NotImplementedError

    async def says(
        self,
        author: Person,
        text: str = "",
        *,
        reply_to: Message | None = None,
        entities: Sequence[JSON] | None = None,
        file: Upload | None = None,
        media_type: str = "text/plain",
        kind: str = "document",
        **extra: object,
    ) -> Message:
        """A person writes. Mentions and commands in the text become entities, as Telegram's clients do it.
        `extra` are further properties of the update's message."""
        message = self.chat.add(
            author,
            text,
            entities=_found_entities(text) if entities is None else entities,
            reply_to=reply_to,
            file=file,
            media_type=media_type,
            kind=kind,
            topic=self if isinstance(self, Topic) else None,
        )
        if self.chat.shows_to_bot(message):
            self.chat.telegram.deliver({"message": message.payload() | extra})
        return message

    async def says_anonymously(self, text: str) -> Message:
        """An administrator writes in the group's name."""
        return await self.says(ANONYMOUS, text, sender_chat=self.chat.payload())

    async def answer(
        self,
        *,
        to: Message,
        until: Callable[[Message], bool] = lambda message: not message.text.endswith("…"),
        timeout: float = 20,
    ) -> Message:
        """The bot's first message that replies to another or stands after it without a reply, as soon as
        `until` holds for it: by default once it is more than an opening. What "finished" means is for the
        caller to say: a message is live, and edits show in it."""

        def answers() -> list[Message]:
            return [
                message
                for message in self.visible
                if message.author == self.chat.telegram.bot
                and message.id > to.id
                and message.reply_to in (None, to)
            ]

        await self.chat.telegram.until(lambda: any(until(message) for message in answers()[:1]), timeout)
        return answers()[0]


class Chat(Room):
    """A private chat, with `person`, or a group."""

    def __init__(
        self,
        telegram: FakeTelegram,
        chat_id: int,
        title: str,
        *,
        person: Person | None = None,
        forum: bool = False,
    ) -> None:
        self.chat = self
        self.telegram = telegram
        self.id = chat_id
        self.title = title
        self.person = person
        self.forum = forum
        self.blocked = False  # the person blocked the bot, or the group removed it
        self.moved_to: Chat | None = None
        self.topics: dict[int, Topic] = {}
        self.messages: list[Message] = []
        self.drafts: list[str] = []  # texts, oldest first
        self.draft_ids: list[int] = []  # beside them
        self.stoppable = False  # whether the last draft has a button to stop it
        self.members: dict[int, str] = {}  # what people are here, by id: "member", "administrator"
        self.actions: list[str] = []  # "typing", each time it was sent
        self._last_id = 0

    @property
    def visible(self) -> list[Message]:
        return list(self.messages)

    def topic(self, name: str) -> Topic:
        """Open a topic in a forum."""
        topic = Topic(self, self.next_id(), name)
        self.topics[topic.id] = topic
        return topic

    def becomes_supergroup(self) -> Chat:
        """The group moves to a new id, as Telegram does when a group grows."""
        self.moved_to = self.telegram.group(self.title)
        return self.moved_to

    def stop_draft(self) -> int:
        """The person presses Stop on the draft they see. Returns the update's id."""
        assert self.stoppable, f"There is nothing to stop.\n{self}"
        stopped = {"chat": self.payload(), "draft_id": self.draft_ids[-1]}
        return self.telegram.deliver({"stopped_message_generation": stopped})

    def joins(self, person: Person, status: str = "member") -> None:
        """Somebody is something here; the bot is not told."""
        self.members[person.id] = status

    def promote(self, person: Person, status: str) -> None:
        """Somebody becomes something else, and the bot is told: it is an administrator here."""
        bot = self.telegram.bot
        before = self.member(person)
        self.members[person.id] = status
        kind = "my_chat_member" if person == bot else "chat_member"
        change = {
            "chat": self.payload(),
            "from": bot.payload(),
            "date": int(time.time()),
            "old_chat_member": before,
            "new_chat_member": self.member(person),
        }
        self.telegram.deliver({kind: change})

    def member(self, person: Person) -> JSON:
        """The Bot API's ChatMember."""
        status = self.members.get(person.id, "left")
        member: JSON = {"status": status, "user": person.payload()}
        if status == "creator":
            return member | {"is_anonymous": False}
        if status == "administrator":
            return member | dict.fromkeys(RIGHTS, False)
        return member

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def add(self, author: Person, text: str, **properties: Any) -> Message:
        message = Message(self.next_id(), self, author, text, **properties)
        self.messages.append(message)
        self.telegram.changed()
        return message

    def find(self, message_id: int) -> Message | None:
        return next((message for message in self.messages if message.id == message_id), None)

    def shows_to_bot(self, message: Message) -> bool:
        """Privacy mode: in groups a bot gets commands, mentions and replies to it."""
        bot = self.telegram.bot
        return (
            not self.telegram.privacy
            or self.person is not None
            or message.text.startswith("/")
            or f"@{bot.username}".lower() in message.text.lower()
            or any(entity.get("user", {}).get("id") == bot.id for entity in message.entities)
            or (message.reply_to is not None and message.reply_to.author == bot)
        )

    def payload(self) -> JSON:
        if self.person is not None:
            return _present(
                id=self.id, type="private", first_name=self.person.name, username=self.person.username
            )
        return _present(id=self.id, type="supergroup", title=self.title, is_forum=self.forum or None)

    def __str__(self) -> str:
        lines = [f"{self.title} ({self.id})", *(f"  {message}" for message in self.messages)]
        if self.drafts:
            lines.append(f"  {len(self.drafts)} drafts, the last: {self.drafts[-1]!r}")
        return "\n".join(lines)


class Topic(Room):
    """A topic of a forum. Its id is that of the message that opened it."""

    def __init__(self, chat: Chat, topic_id: int, name: str) -> None:
        self.chat = chat
        self.id = topic_id
        self.name = name
        self.closed = False

    @property
    def visible(self) -> list[Message]:
        return [message for message in self.chat.messages if message.topic is self]

    @property
    def created(self) -> JSON:
        """The service message that opened the topic: messages in it come as replies to this one."""
        return {
            "message_id": self.id,
            "date": 1_700_000_000,
            "chat": self.chat.payload(),
            "from": self.chat.telegram.bot.payload(),
            "message_thread_id": self.id,
            "is_topic_message": True,
            "forum_topic_created": {"name": self.name, "icon_color": 7322096},
        }


def _found_entities(text: str) -> list[JSON]:
    kinds: Mapping[str, str] = {"mention": r"(?<!\S)@\w{5,}", "bot_command": r"(?<!\S)/\w+(?:@\w+)?"}
    found = [
        {"type": kind, "offset": utf16_length(text[: match.start()]), "length": utf16_length(match.group())}
        for kind, pattern in kinds.items()
        for match in re.finditer(pattern, text)
    ]
    return sorted(found, key=lambda entity: entity["offset"])


def _present(**properties: Any) -> JSON:
    return {name: value for name, value in properties.items() if value is not None}
