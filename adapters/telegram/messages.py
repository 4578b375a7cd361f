"""What a message of Telegram's says: pure functions.

python-telegram-bot takes whatever comes: an id that is no number, a text that is no text. Such things raise
TypeError here, so that nothing of an impossible form goes further. Names and quotes come out without the
characters that nobody sees.

Knows nothing of updates, commands or the connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from telegram import (
    Audio,
    Document,
    MaybeInaccessibleMessage,
    Message,
    MessageEntity,
    PhotoSize,
    User,
    Video,
    VideoNote,
    Voice,
)
from telegram.constants import ChatID

from adapters.markup.characters import strip_hidden
from adapters.types import Addressed, Attachment, ChatRef, MessageRef, Person, Quoted

PLATFORM = "telegram"


def ref_of(message: MaybeInaccessibleMessage) -> MessageRef:
    """The message, in its chat and its topic if it is in one: elsewhere `message_thread_id` only groups
    replies."""
    topic = None
    if isinstance(message, Message) and message.is_topic_message and message.message_thread_id is not None:
        topic = id_of(message.message_thread_id)
    return MessageRef(ChatRef(PLATFORM, id_of(message.chat.id), topic), id_of(message.message_id))


def id_of(number: object) -> str:
    """An id as text."""
    if type(number) is not int:
        raise TypeError(f"{number!r} is no id")
    return str(number)


def date_of(date: object) -> datetime:
    if not isinstance(date, datetime):
        raise TypeError(f"{date!r} is no date")
    return date


def text_of(message: Message) -> str:
    """As it came: the entities' offsets count every character."""
    text = message.text or message.caption or ""
    if not isinstance(text, str):
        raise TypeError("the text is no text")
    return text


def author_of(message: Message) -> Person | None:
    """The person who wrote, None for bots, channels and Telegram itself."""
    if message.is_automatic_forward:
        return None
    if message.sender_chat is not None:
        return _written_by(message) if message.sender_chat.id == message.chat.id else None
    if message.from_user is None or message.from_user.is_bot or message.from_user.id == ChatID.SERVICE_CHAT:
        return None
    return _written_by(message)


def _written_by(message: Message) -> Person | None:
    """Whoever stands as the message's author, bots included. Of those who write in the group's own name only
    what comes by Telegram's own account for it is an administrator's."""
    user, sender = message.from_user, message.sender_chat
    if sender is not None:
        anonymous = sender.id == message.chat.id and user is not None and user.id == ChatID.ANONYMOUS_ADMIN
        return Person(id_of(sender.id), strip_hidden(str(sender.effective_name or "")), anonymous=anonymous)
    return person_of(user) if user is not None else None


def person_of(user: User) -> Person:
    language = user.language_code if isinstance(user.language_code, str) else None
    return Person(id_of(user.id), strip_hidden(str(user.full_name or "")), language)


def entities_of(message: Message) -> Sequence[MessageEntity]:
    return message.entities or message.caption_entities


def mention_in(text: str, entities: Sequence[MessageEntity], me: User) -> tuple[bool, str]:
    """Whether the text names the bot, and the text without that name at its front."""
    names = [entity for entity in entities if _names(entity, text, me)]
    if names and names[0].offset == 0:
        text = re.sub(r"^[,:]?\s*", "", _after(text, names[0]))
    return bool(names), text


def _names(entity: MessageEntity, text: str, me: User) -> bool:
    if entity.type == MessageEntity.TEXT_MENTION:
        return entity.user is not None and entity.user.id == me.id
    return entity.type == MessageEntity.MENTION and cut(text, entity).lower() == f"@{me.username}".lower()


def cut(text: str, entity: MessageEntity) -> str:
    """An entity's text; its offset and length count UTF-16 units."""
    units = text.encode("utf-16-le")
    return units[2 * entity.offset : 2 * (entity.offset + entity.length)].decode("utf-16-le")


def _after(text: str, entity: MessageEntity) -> str:
    """What follows an entity."""
    return text.encode("utf-16-le")[2 * (entity.offset + entity.length) :].decode("utf-16-le")


def answered_by(message: Message) -> Message | None:
    """The message that this one replies to. In a topic Telegram names the topic's first message, which
    nobody chose to reply to."""
    answered = message.reply_to_message
    if answered is None or answered.forum_topic_created is not None:
        return None
    if message.is_topic_message and answered.message_id == message.message_thread_id:
        return None
    return answered


def addressed_of(private: bool, mentioned: bool, answered: Message | None, me: User) -> Addressed:
    if private:
        return Addressed.DIRECT
    if mentioned:
        return Addressed.MENTION
    if answered is not None and _by_me(answered, me):
        return Addressed.REPLY
    return Addressed.NOT


def _by_me(message: Message, me: User) -> bool:
    return message.from_user is not None and message.from_user.id == me.id


def quoted_of(message: Message, answered: Message, me: User) -> Quoted | None:
    """The answered message; only the passage that the person picked, if one was."""
    author = _written_by(answered)
    if author is None:
        return None
    text = str(message.quote.text) if message.quote else text_of(answered)
    return Quoted(author, strip_hidden(text), by_bot=_by_me(answered, me))


def attachments_of(message: Message) -> Iterator[Attachment]:
    """The files of a message. Photos come in several sizes, the largest last. Voice and video notes have no
    name, and nothing but a document needs to tell its type."""
    if message.photo:
        yield _attachment(message.photo[-1], "photo.jpg", "image/jpeg")
    if message.voice:
        yield _attachment(message.voice, "voice.ogg", message.voice.mime_type or "audio/ogg")
    if message.video_note:
        yield _attachment(message.video_note, "video.mp4", "video/mp4")
    for file, name, media_type in (
        (message.audio, "audio.mp3", "audio/mpeg"),
        (message.video, "video.mp4", "video/mp4"),
        (message.document, "file", "application/octet-stream"),  # an animation comes as a document, too
    ):
        if file:
            yield _attachment(file, file.file_name or name, file.mime_type or media_type)


def _attachment(
    file: PhotoSize | Voice | VideoNote | Audio | Video | Document, name: str, media_type: str
) -> Attachment:
    return Attachment(
        strip_hidden(str(name)), str(media_type), int(id_of(file.file_size or 0)), str(file.file_id)
    )
