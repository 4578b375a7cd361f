"""The Bot API's methods, as far as the bot uses them. Each is a function of the fake and the parameters.

Knows nothing of HTTP: a refusal is an ApiError.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tests.fakes.telegram.chats import JSON, Chat, Message, Topic
from tests.fakes.telegram.spec import Upload, utf16_length
from tests.fakes.telegram.updates import AnotherPoll

if TYPE_CHECKING:
    from tests.fakes.telegram.server import FakeTelegram

Parameters = dict[str, Any]


class ApiError(Exception):
    """An answer that is not ok."""

    def __init__(self, status: int, description: str, **parameters: object) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters

    @property
    def payload(self) -> JSON:
        answer: JSON = {"ok": False, "error_code": self.status, "description": self.description}
        return answer | ({"parameters": self.parameters} if self.parameters else {})


async def get_me(telegram: FakeTelegram, _: Parameters) -> JSON:
    return telegram.bot.payload() | {
        "can_join_groups": True,
        "can_read_all_group_messages": not telegram.privacy,
    }


async def delete_webhook(telegram: FakeTelegram, parameters: Parameters) -> bool:
    if parameters.get("drop_pending_updates"):
        telegram.updates.pending.clear()
    telegram.webhook = None
    return True


async def get_updates(telegram: FakeTelegram, parameters: Parameters) -> list[JSON]:
    if telegram.webhook:
        raise ApiError(409, "Conflict: can't use getUpdates method while webhook is active")
    if "allowed_updates" in parameters:
        telegram.updates.allowed = frozenset(parameters["allowed_updates"])
    try:
        return await telegram.updates.poll(
            parameters.get("offset", 0),
            parameters.get("limit", 100),
            parameters.get("timeout", 0),
            lambda: telegram.closing or telegram.down,
        )
    except AnotherPoll:
        raise ApiError(
            409,
            "Conflict: terminated by other getUpdates request; "
            "make sure that only one bot instance is running",
        ) from None


async def set_my_commands(telegram: FakeTelegram, parameters: Parameters) -> bool:
    scope = parameters.get("scope", {"type": "default"})["type"]
    telegram.menus[scope, parameters.get("language_code", "")] = parameters["commands"]
    return True


async def get_chat_member(telegram: FakeTelegram, parameters: Parameters) -> JSON:
    chat = _chat(telegram, parameters)
    person = telegram.people.get(parameters["user_id"])
    if person is None:
        raise ApiError(400, "Bad Request: PARTICIPANT_ID_INVALID")
    return chat.member(person)


async def answer_callback_query(telegram: FakeTelegram, parameters: Parameters) -> bool:
    query = parameters["callback_query_id"]
    if query not in telegram.waiting_queries:
        raise ApiError(
            400, "Bad Request: query is too old and response timeout expired or query ID is invalid"
        )
    telegram.waiting_queries.remove(query)
    return True


async def send_message(telegram: FakeTelegram, parameters: Parameters) -> JSON:
    _check_length(parameters["text"], 4096)
    return _post(telegram, parameters, parameters["text"], parameters.get("entities", []))


async def send_document(telegram: FakeTelegram, parameters: Parameters) -> JSON:
    caption = parameters.get("caption", "")
    _check_length(caption, 1024)
    entities = parameters.get("caption_entities", [])
    return _post(telegram, parameters, caption, entities, file=parameters["document"])


async def send_photo(telegram: FakeTelegram, parameters: Parameters) -> JSON:
    caption = parameters.get("caption", "")
    _check_length(caption, 1024)
    _check_picture(parameters["photo"])
    entities = parameters.get("caption_entities", [])
    return _post(telegram, parameters, caption, entities, file=parameters["photo"], kind="photo")


async def edit_message_text(telegram: FakeTelegram, parameters: Parameters) -> JSON:
    message = _own_message(telegram, parameters, "edit")
    text, entities = parameters["text"], parameters.get("entities", [])
    _check_length(text, 4096)
    if message.file is not None:
        raise ApiError(400, "Bad Request: there is no text in the message to edit")
    _change(message, parameters, text, entities, message.file)
    message.link_preview = _link_preview(parameters)
    return message.payload()


async def edit_message_caption(telegram: FakeTelegram, parameters: Parameters) -> JSON:
    message = _own_message(telegram, parameters, "edit")
    caption = parameters.get("caption", "")
    _check_length(caption, 1024)
    _change(message, parameters, caption, parameters.get("caption_entities", []), message.file)
    return message.payload()


async def edit_message_media(telegram: FakeTelegram, parameters: Parameters) -> JSON:
    message = _own_message(telegram, parameters, "edit")
    media = parameters["media"]
    file = parameters[media["media"].removeprefix("attach://")]
    _check_length(media.get("caption", ""), 1024)
    if media["type"] == "photo":
        _check_picture(file)
    message.kind = media["type"]
    _change(message, parameters, media.get("caption", ""), media.get("caption_entities", []), file)
    return message.payload()


async def delete_message(telegram: FakeTelegram, parameters: Parameters) -> bool:
    message = _own_message(telegram, parameters, "delete")
    message.chat.messages.remove(message)
    return True


async def send_message_draft(telegram: FakeTelegram, parameters: Parameters) -> bool:
    chat = _chat(telegram, parameters)
    if chat.person is None:
        raise ApiError(400, "Bad Request: drafts can be sent to private chats only")
    text = parameters.get("text", "")
    _check_length(text, 4096)
    chat.drafts.append(text)
    chat.draft_ids.append(parameters["draft_id"])
    chat.stoppable = parameters.get("can_stop", False)
    return True


async def send_chat_action(telegram: FakeTelegram, parameters: Parameters) -> bool:
    chat = _chat(telegram, parameters)
    _topic(chat, parameters)
    chat.actions.append(parameters["action"])
    return True


async def get_file(telegram: FakeTelegram, parameters: Parameters) -> JSON:
    file_id = parameters["file_id"]
    if file_id not in telegram.files:
        raise ApiError(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
    content = telegram.files[file_id].content
    if len(content) > 20 * 2**20:
        raise ApiError(400, "Bad Request: file is too big")
    size = {"file_size": len(content)} if telegram.tells_sizes else {}
    return {
        "file_id": file_id,
        "file_unique_id": f"unique-{file_id}",
        "file_path": f"documents/{file_id}",
        **size,
    }


METHODS: dict[str, Callable[[FakeTelegram, Parameters], Awaitable[object]]] = {
    "getMe": get_me,
    "deleteWebhook": delete_webhook,
    "getUpdates": get_updates,
    "setMyCommands": set_my_commands,
    "getChatMember": get_chat_member,
    "answerCallbackQuery": answer_callback_query,
    "sendMessage": send_message,
    "sendDocument": send_document,
    "sendPhoto": send_photo,
    "editMessageText": edit_message_text,
    "editMessageMedia": edit_message_media,
    "editMessageCaption": edit_message_caption,
    "deleteMessage": delete_message,
    "sendMessageDraft": send_message_draft,
    "sendChatAction": send_chat_action,
    "getFile": get_file,
}


def _chat(telegram: FakeTelegram, parameters: Parameters) -> Chat:
    chat = telegram.chats.get(parameters["chat_id"])
    if chat is None:
        raise ApiError(400, "Bad Request: chat not found")
    if chat.moved_to is not None:
        raise ApiError(
            400,
            "Bad Request: group chat was upgraded to a supergroup chat",
            migrate_to_chat_id=chat.moved_to.id,
        )
    if chat.blocked:
        raise ApiError(403, "Forbidden: bot was blocked by the user")
    return chat


def _topic(chat: Chat, parameters: Parameters) -> Topic | None:
    thread = parameters.get("message_thread_id")
    if thread is None:
        return None
    topic = chat.topics.get(thread)
    if topic is None:
        raise ApiError(400, "Bad Request: message thread not found")
    if topic.closed:
        raise ApiError(400, "Bad Request: TOPIC_CLOSED")
    return topic


def _post(
    telegram: FakeTelegram,
    parameters: Parameters,
    text: str,
    entities: list[JSON],
    file: Upload | None = None,
    kind: str = "document",
) -> JSON:
    chat = _chat(telegram, parameters)
    topic = _topic(chat, parameters)
    reply = parameters.get("reply_parameters")
    replied = chat.find(reply["message_id"]) if reply else None
    if reply and replied is None and not reply.get("allow_sending_without_reply"):
        raise ApiError(400, "Bad Request: message to be replied not found")
    message = chat.add(
        telegram.bot,
        text,
        entities=entities,
        reply_to=replied,
        topic=topic,
        file=file,
        kind=kind,
        buttons=_buttons(parameters),
        link_preview=_link_preview(parameters),
    )
    return message.payload()


def _own_message(telegram: FakeTelegram, parameters: Parameters, purpose: str) -> Message:
    message = _chat(telegram, parameters).find(parameters["message_id"])
    if message is None:
        raise ApiError(400, f"Bad Request: message to {purpose} not found")
    if message.author != telegram.bot:
        raise ApiError(400, f"Bad Request: message can't be {purpose.removesuffix('e')}ed")
    return message


def _change(
    message: Message, parameters: Parameters, text: str, entities: list[JSON], file: Upload | None
) -> None:
    buttons = _buttons(parameters)
    if (message.text, list(message.entities), message.file, message.buttons) == (
        text,
        entities,
        file,
        buttons,
    ):
        raise ApiError(
            400,
            "Bad Request: message is not modified: specified new message content and reply markup are "
            "exactly the same as a current content and reply markup of the message",
        )
    message.edits.append(message.text)
    message.text, message.entities, message.file, message.buttons = text, entities, file, buttons


def _buttons(parameters: Parameters) -> list[list[tuple[str, str]]]:
    rows = parameters.get("reply_markup", {}).get("inline_keyboard", [])
    return [[(button["text"], button["callback_data"]) for button in row] for row in rows]


def _check_picture(file: Upload) -> None:
    if not file.content.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff")):
        raise ApiError(400, "Bad Request: IMAGE_PROCESS_FAILED")


def _link_preview(parameters: Parameters) -> bool:
    return not parameters.get("link_preview_options", {}).get("is_disabled", False)


def _check_length(text: str, most: int) -> None:
    if utf16_length(text) > most:
        raise ApiError(400, "Bad Request: message is too long")
