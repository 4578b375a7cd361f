"""Telegram's updates as events: pure functions.

Answered are people's new messages. Bots, channels, service messages ("Alice joined") and edits give no event.
An anonymous administrator is a person whose name and id are the group's, as the group shows them.

Knows nothing of the connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from telegram import Message, MessageEntity, Update, User
from telegram.constants import ChatID, ChatType

from adapters.commands import CommandSpec, find, parse_arguments, parse_command
from adapters.types import (
    Addressed,
    Attachment,
    ChatRef,
    CommandInvoked,
    Event,
    MessageCreated,
    MessageRef,
    Person,
    Quoted,
)

PLATFORM = "telegram"


def event_of(update: Update, me: User, commands: Sequence[CommandSpec]) -> Event | None:
    """The event in an update, or None if there is nothing to answer. `me` is the bot as getMe tells it."""
    message = update.message
    if message is None:
        return None
    author = _author(message)
    text = message.text or message.caption or ""
    attachments = tuple(_attachments(message))
    if author is None or not (text or attachments):
        return None

    event_id = f"update:{update.update_id}"
    chat = chat_of(message)
    ref = MessageRef(chat, str(message.message_id))
    private = message.chat.type == ChatType.PRIVATE
    if command := _command(message, text, me, commands):
        name, arguments = command
        return CommandInvoked(
            id=event_id,
            chat=chat,
            author=author,
            name=name,
            sent_at=message.date,
            arguments=arguments,
            message=ref,
            private=private,
        )

    answered = _answered(message)
    mentioned, text = _mention(text, _entities(message), me)
    return MessageCreated(
        id=event_id,
        message=ref,
        author=author,
        text=text,
        addressed=_addressed(private, mentioned, answered, me),
        sent_at=message.date,
        private=private,
        reply_to=MessageRef(chat, str(answered.message_id)) if answered else None,
        quoted=_quoted(message, answered, me) if answered else None,
        attachments=attachments,
    )


def chat_of(message: Message) -> ChatRef:
    """The chat, and the topic if the message is in one: elsewhere `message_thread_id` only groups replies."""
    topic = message.message_thread_id if message.is_topic_message else None
    return ChatRef(PLATFORM, str(message.chat.id), str(topic) if topic is not None else None)


def _author(message: Message) -> Person | None:
    """The person who wrote, None for bots, channels and Telegram itself."""
    if message.is_automatic_forward:
        return None
    if message.sender_chat is not None:
        return _person(message) if message.sender_chat.id == message.chat.id else None
    if message.from_user is None or message.from_user.is_bot or message.from_user.id == ChatID.SERVICE_CHAT:
        return None
    return _person(message)


def _person(message: Message) -> Person | None:
    """Whoever stands as the message's author, bots included."""
    if message.sender_chat is not None:
        return Person(str(message.sender_chat.id), message.sender_chat.effective_name or "")
    if message.from_user is not None:
        user = message.from_user
        return Person(str(user.id), user.full_name, user.language_code)
    return None


def _entities(message: Message) -> Sequence[MessageEntity]:
    return message.entities or message.caption_entities


def _command(
    message: Message, text: str, me: User, commands: Sequence[CommandSpec]
) -> tuple[str, dict[str, str]] | None:
    """A command's name and arguments. In groups a name that is not ours is left to other bots, unless it is
    addressed to us."""
    entity = next(iter(_entities(message)), None)
    if entity is None or entity.type != MessageEntity.BOT_COMMAND or entity.offset != 0:
        return None
    parsed = parse_command(text, bot_name=me.username)
    if parsed is None:
        return None
    name, rest = parsed
    spec = find(commands, name)
    if spec is not None:
        return name, dict(parse_arguments(spec, rest))
    addressed = message.chat.type == ChatType.PRIVATE or "@" in _cut(text, entity)
    return (name, {}) if addressed else None


def _mention(text: str, entities: Sequence[MessageEntity], me: User) -> tuple[bool, str]:
    """Whether the text names the bot, and the text without that name at its front."""
    names = [entity for entity in entities if _names(entity, text, me)]
    if names and names[0].offset == 0:
        text = re.sub(r"^[,:]?\s*", "", _after(text, names[0]))
    return bool(names), text


def _names(entity: MessageEntity, text: str, me: User) -> bool:
    if entity.type == MessageEntity.TEXT_MENTION:
        return entity.user is not None and entity.user.id == me.id
    return entity.type == MessageEntity.MENTION and _cut(text, entity).lower() == f"@{me.username}".lower()


def _cut(text: str, entity: MessageEntity) -> str:
    """An entity's text; its offset and length count UTF-16 units."""
    units = text.encode("utf-16-le")
    return units[2 * entity.offset : 2 * (entity.offset + entity.length)].decode("utf-16-le")


def _after(text: str, entity: MessageEntity) -> str:
    """What follows an entity."""
    return text.encode("utf-16-le")[2 * (entity.offset + entity.length) :].decode("utf-16-le")


def _answered(message: Message) -> Message | None:
    """The message that this one replies to. In a topic Telegram names the topic's first message, which
    nobody chose to reply to."""
    answered = message.reply_to_message
    if answered is None or answered.forum_topic_created is not None:
        return None
    if message.is_topic_message and answered.message_id == message.message_thread_id:
        return None
    return answered


def _addressed(private: bool, mentioned: bool, answered: Message | None, me: User) -> Addressed:
    if private:
        return Addressed.DIRECT
    if mentioned:
        return Addressed.MENTION
    if answered is not None and _by_me(answered, me):
        return Addressed.REPLY
    return Addressed.NOT


def _by_me(message: Message, me: User) -> bool:
    return message.from_user is not None and message.from_user.id == me.id


def _quoted(message: Message, answered: Message, me: User) -> Quoted | None:
    """The answered message; only the passage that the person picked, if one was."""
    author = _person(answered)
    if author is None:
        return None
    text = message.quote.text if message.quote else answered.text or answered.caption or ""
    return Quoted(author, text, by_bot=_by_me(answered, me))


def _attachments(message: Message) -> Iterator[Attachment]:
    """The files of a message. Photos come in several sizes, the largest last. Voice and video notes have no
    name, and nothing but a document needs to tell its type."""
    if message.photo:
        photo = message.photo[-1]
        yield Attachment("photo.jpg", "image/jpeg", photo.file_size or 0, photo.file_id)
    if message.voice:
        voice = message.voice
        yield Attachment("voice.ogg", voice.mime_type or "audio/ogg", voice.file_size or 0, voice.file_id)
    if message.video_note:
        note = message.video_note
        yield Attachment("video.mp4", "video/mp4", note.file_size or 0, note.file_id)
    for file, name, media_type in (
        (message.audio, "audio.mp3", "audio/mpeg"),
        (message.video, "video.mp4", "video/mp4"),
        (message.document, "file", "application/octet-stream"),  # an animation comes as a document, too
    ):
        if file:
            yield Attachment(
                file.file_name or name, file.mime_type or media_type, file.file_size or 0, file.file_id
            )
