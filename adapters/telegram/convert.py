"""Telegram's updates as events: pure functions.

People's messages, their changes of them, the buttons they press. Bots, channels and service messages ("Alice
joined") give no event. An anonymous administrator is a person whose name and id are the group's, as the group
shows them.

Commands may have several words. Where words are missing ("/admin", or "/language" without one) a menu is
asked for instead; its buttons carry the command as it would be typed, so that they work for ever and a forged
one does no more than typing does.

Whatever people write comes out without the characters that nobody sees. Knows nothing of the connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from telegram import CallbackQuery, Message, MessageEntity, Update, User
from telegram.constants import ChatType

from adapters.commands import (
    CommandSpec,
    Kind,
    Param,
    Typed,
    below,
    parse_arguments,
    parse_command,
    resolve,
)
from adapters.markup.characters import strip_hidden
from adapters.telegram.messages import (
    PLATFORM,
    addressed_of,
    answered_by,
    attachments_of,
    author_of,
    cut,
    date_of,
    entities_of,
    id_of,
    mention_in,
    person_of,
    quoted_of,
    ref_of,
    text_of,
)
from adapters.telegram.request import UNREADABLE
from adapters.types import (
    UNREADABLE_LENGTH,
    Addressed,
    ButtonPressed,
    ChatRef,
    CommandInvoked,
    Event,
    MessageCreated,
    MessageEdited,
    MessageRef,
    Person,
    StopRequested,
    Unreadable,
)

STOPPED = "stopped_message_generation"
"""The update's field that python-telegram-bot doesn't know yet (Bot API 10.3, MessageGenerationStopped)."""


@dataclass(frozen=True, slots=True)
class MenuAsked:
    """Somebody is to be shown a menu: of the commands below a group, or of the values that the parameter
    `param` of a command can have; without one, how the command is typed. `pressed`: the menu takes the place
    of `message`, else it answers it. `otherwise` is the command as it stands, for when no value is known."""

    message: MessageRef
    author: Person
    typed: Typed
    param: Param | None = None
    pressed: bool = False
    otherwise: CommandInvoked | None = None


def event_of(
    update: Update, me: User, commands: Sequence[CommandSpec], ids: Mapping[str, str], now: datetime
) -> Event | MenuAsked | None:
    """The event in an update, or None if there is nothing to answer. What can't be understood is Unreadable:
    a form of message nobody thought of must not stop all others. `me` is the bot as getMe tells it, `ids` are
    people's ids by their user names in lower case; `now` dates what Telegram does not date."""
    if unreadable := update.api_kwargs.get(UNREADABLE):
        return _unreadable(update, unreadable["raw"], unreadable["reason"], now)
    try:
        return _understood(update, me, commands, ids, now)
    except Exception as error:
        return _unreadable(update, _raw(update), f"{type(error).__name__}: {error}", now)


def _unreadable(update: Update, raw: str, reason: str, now: datetime) -> Unreadable:
    chat = update.effective_chat
    return Unreadable(
        id=f"update:{update.update_id}",
        chat=ChatRef(PLATFORM, str(chat.id) if chat else ""),
        raw=raw[:UNREADABLE_LENGTH],
        reason=reason,
        sent_at=now,
    )


def _raw(update: Update) -> str:
    """An update as it can still be written down."""
    try:
        return update.to_json()
    except Exception:
        return repr(update.api_kwargs)


def _understood(
    update: Update, me: User, commands: Sequence[CommandSpec], ids: Mapping[str, str], now: datetime
) -> Event | MenuAsked | None:
    event_id = f"update:{update.update_id}"
    if update.message is not None:
        return _said(event_id, update.message, me, commands, ids)
    if update.edited_message is not None:
        return _edited(event_id, update.edited_message, me)
    if update.callback_query is not None:
        return _pressed(update.callback_query, commands, now)
    if stopped := update.api_kwargs.get(STOPPED):
        return _stopped(event_id, stopped, now)
    return None


def _said(
    event_id: str, message: Message, me: User, commands: Sequence[CommandSpec], ids: Mapping[str, str]
) -> Event | MenuAsked | None:
    author = author_of(message)
    text = text_of(message)
    attachments = tuple(attachments_of(message))
    if author is None or not (text or attachments):
        return None

    ref = ref_of(message)
    private = message.chat.type == ChatType.PRIVATE
    answered = answered_by(message)
    reply_to = MessageRef(ref.chat, id_of(answered.message_id)) if answered else None
    if typed := _command(message, text, me, commands):
        command = CommandInvoked(
            id=event_id,
            chat=ref.chat,
            author=author,
            name=typed.path,
            sent_at=date_of(message.date),
            arguments=_shown(_arguments(typed, message, ids)),
            message=ref,
            private=private,
            reply_to=reply_to,
        )
        menu = _menu(ref, author, typed, command.arguments, commands)
        return replace(menu, otherwise=command) if menu else command

    mentioned, text = mention_in(text, entities_of(message), me)
    text = strip_hidden(text)
    addressed = addressed_of(private, mentioned, answered, me)
    if addressed is Addressed.NOT:
        attachments = ()  # files among people are not the bot's
        if not text:
            return None
    return MessageCreated(
        id=event_id,
        message=ref,
        author=author,
        text=text,
        addressed=addressed,
        sent_at=date_of(message.date),
        private=private,
        reply_to=reply_to,
        quoted=quoted_of(message, answered, me) if answered else None,
        attachments=attachments,
    )


def _edited(event_id: str, message: Message, me: User) -> MessageEdited | None:
    author = author_of(message)
    text = text_of(message)
    if author is None or not text or message.edit_date is None:
        return None
    return MessageEdited(
        id=event_id,
        message=ref_of(message),
        author=author,
        text=strip_hidden(mention_in(text, entities_of(message), me)[1]),
        sent_at=date_of(message.edit_date),
        private=message.chat.type == ChatType.PRIVATE,
    )


def _pressed(
    query: CallbackQuery, commands: Sequence[CommandSpec], now: datetime
) -> Event | MenuAsked | None:
    """A press, a command or another menu. Of a message that is too old to be reached Telegram tells only
    where it stands."""
    message, data = query.message, query.data
    if message is None or not data or query.from_user.is_bot:
        return None
    ref = ref_of(message)
    author = person_of(query.from_user)
    private = message.chat.type == ChatType.PRIVATE
    if not data.startswith("/"):
        return ButtonPressed(
            id=f"callback:{query.id}",
            message=ref,
            author=author,
            data=strip_hidden(data),
            sent_at=now,
            private=private,
        )
    typed = _looked_up(data, commands)
    if typed is None or not (typed.spec or below(commands, typed.path)):
        return None
    arguments = _shown(parse_arguments(typed.spec, typed.rest)) if typed.spec else {}
    menu = _menu(ref, author, typed, arguments, commands)
    if menu is not None:
        return replace(menu, pressed=True)
    if typed.spec is None or _missing(typed.spec, arguments):
        return MenuAsked(ref, author, typed, pressed=True)
    return CommandInvoked(
        id=f"callback:{query.id}",
        chat=ref.chat,
        author=author,
        name=typed.path,
        sent_at=now,
        arguments=arguments,
        message=ref,
        placeholder=ref,
        private=private,
    )


def _stopped(event_id: str, stopped: Mapping[str, Any], now: datetime) -> StopRequested:
    """Drafts are shown in private chats alone, whose id is the person's."""
    chat, thread = stopped["chat"], stopped.get("message_thread_id")
    name = " ".join(str(chat[part]) for part in ("first_name", "last_name") if chat.get(part))
    person = id_of(chat["id"])
    return StopRequested(
        id=event_id,
        chat=ChatRef(PLATFORM, person, id_of(thread) if thread is not None else None),
        author=Person(person, name),
        sent_at=now,
    )


# Commands


def _command(message: Message, text: str, me: User, commands: Sequence[CommandSpec]) -> Typed | None:
    """A command as it was typed. In groups a name that is not ours is left to other bots, unless it is
    addressed to us."""
    entity = next(iter(entities_of(message)), None)
    if entity is None or entity.type != MessageEntity.BOT_COMMAND or entity.offset != 0:
        return None
    typed = _looked_up(text, commands, me.username)
    if typed is None or typed.spec or below(commands, typed.path):
        return typed
    addressed = message.chat.type == ChatType.PRIVATE or "@" in cut(text, entity)
    return typed if addressed else None


def _looked_up(text: str, commands: Sequence[CommandSpec], bot_name: str | None = None) -> Typed | None:
    parsed = parse_command(text, bot_name=bot_name)
    return resolve(commands, *parsed) if parsed is not None else None


def _arguments(typed: Typed, message: Message, ids: Mapping[str, str]) -> dict[str, str]:
    """A command's values. A link to the bot may carry some ("/start VALUE", the Bot API's deep linking)."""
    if typed.spec is None or not typed.spec.params:
        return {"payload": typed.rest} if typed.path == "start" and typed.rest else {}
    if not any(param.kind is Kind.PERSON for param in typed.spec.params):
        return dict(parse_arguments(typed.spec, typed.rest))
    return _with_people(typed.spec, typed.rest, message, ids)


def _shown(arguments: Mapping[str, str]) -> dict[str, str]:
    """Values as people see them."""
    return {name: strip_hidden(value) for name, value in arguments.items()}


def _with_people(spec: CommandSpec, rest: str, message: Message, ids: Mapping[str, str]) -> dict[str, str]:
    """The values of a command about a person: who is named or linked in it, else whose message it replies
    to. A user name that is not known stays as it was typed."""
    linked = [entity for entity in entities_of(message) if entity.type == MessageEntity.TEXT_MENTION]
    if linked and (user := linked[0].user) is not None:
        rest = rest.replace(cut(text_of(message), linked[0]), id_of(user.id), 1)
    param = next(param for param in spec.params if param.kind is Kind.PERSON)
    answered = answered_by(message)
    replied = author_of(answered) if answered is not None else None
    values = dict(parse_arguments(spec, rest))
    if replied is not None and not re.match(r"@|-?\d+$", values.get(param.name, "").partition(" ")[0]):
        others = replace(spec, params=tuple(other for other in spec.params if other is not param))
        return {param.name: replied.id, **parse_arguments(others, rest)}
    name = values.get(param.name, "")
    if name.startswith("@"):
        values[param.name] = ids.get(name[1:].lower(), name)
    return values


def _menu(
    ref: MessageRef,
    author: Person,
    typed: Typed,
    arguments: Mapping[str, str],
    commands: Sequence[CommandSpec],
) -> MenuAsked | None:
    """The menu that a command asks for: it names a group only, or the next of its values can be proposed."""
    if typed.spec is None:
        return MenuAsked(ref, author, typed) if below(commands, typed.path) else None
    missing = _missing(typed.spec, arguments)
    return MenuAsked(ref, author, typed, missing[0]) if missing and _is_next(typed, missing[0]) else None


def _is_next(typed: Typed, param: Param) -> bool:
    """Whether a value for the parameter can be proposed and would come behind what is typed. What is last
    after others depends on those, which proposals don't know."""
    assert typed.spec is not None
    before = typed.spec.params[: typed.spec.params.index(param)]
    if any(one.kind is Kind.PERSON or not one.required for one in before):
        return False
    depends = bool(before) and param is typed.spec.params[-1]
    return bool(param.choices) or (param.suggested and not depends)


def _missing(spec: CommandSpec, arguments: Mapping[str, str]) -> list[Param]:
    return [param for param in spec.params if param.required and param.name not in arguments]
