"""Telegram's errors as ours, translated in this one place.

Some refusals have an answer that only this adapter knows; they are subclasses, and nobody else needs them:

    Rejected
    ├── FormattingRefused   the same as plain text
    ├── NotModified         nothing to do: it already stands there
    └── NoText              the message has a caption instead
    NotFound
    ├── TopicGone           the same outside the topic
    ├── NoMember            the person was never in the chat
    └── ChatMoved           the same to the group's new id
    Misconfigured
    ├── AnotherPoller       passes when the other process is only about to stop
    └── UnknownMethod       this server is older than the method

The Bot API tells refusals apart by a text alone, so that the words looked for here are part of its
interface. Knows nothing of what was asked.

A request that never left may be repeated without a thought (Unreachable). One that left and was not answered
may have been acted on (InDoubt). Which of the two it is, only the network library below knows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    InvalidToken,
    RetryAfter,
    TelegramError,
    TimedOut,
)
from telegram.error import Forbidden as TelegramForbidden

from adapters.errors import (
    AdapterError,
    Forbidden,
    InDoubt,
    Misconfigured,
    NotFound,
    RateLimited,
    Rejected,
    Unreachable,
)
from adapters.telegram.http import Lost, NotSent

# python-telegram-bot's switch for `retry_after` as a timedelta, which its next major version will always
# give; without it each reading warns.
os.environ.setdefault("PTB_TIMEDELTA", "true")

_TOPIC_GONE = ("thread not found", "topic_closed", "topic_deleted", "topic_id_invalid")
_GONE = (
    "chat not found",
    "peer_id_invalid",
    "message to edit not found",
    "message can't be edited",
    "message to delete not found",
    "message_id_invalid",
    "wrong file_id",
)
_NO_MEMBER = ("user not found", "participant_id_invalid", "user_id_invalid", "member not found")
# Raised before anything of a request is written; a client that is closed raises RuntimeError.
_NEVER_LEFT = (NotSent, RuntimeError)
_FORBIDDEN = (
    "not enough rights",
    "have no rights",
    "need administrator rights",
    "chat_write_forbidden",
    "group chat was deactivated",
)


class FormattingRefused(Rejected):
    """The entities don't fit the text."""


class NotModified(Rejected):
    """An edit that changes nothing."""


class NoText(Rejected):
    """The message carries a file: only its caption can be changed."""


class NoMember(NotFound):
    """The person is not known in the chat."""


class TopicGone(NotFound):
    """The forum topic was closed or deleted."""


class ChatMoved(NotFound):
    """The group became a supergroup, with the id `new_chat`; its old messages can't be reached."""

    def __init__(self, new_chat: int) -> None:
        super().__init__(f"the group became a supergroup, {new_chat}")
        self.new_chat = new_chat


class AnotherPoller(Misconfigured):
    """A second process receives with the same token."""


class UnknownMethod(Misconfigured):
    """The server has no such method, or no bot with such a token: it says the same to both."""


@contextmanager
def translated(token: str) -> Iterator[None]:
    """Around calls of python-telegram-bot: what they raise leaves as an AdapterError, without the token."""
    try:
        yield
    except TelegramError as error:
        _redact(error, token)
        raise _translate(error) from error
    except (KeyError, TypeError, ValueError) as error:
        # python-telegram-bot trusts answers to have the right form; a proxy's error page may not.
        raise InDoubt(f"Telegram's answer was not understood ({type(error).__name__})") from error


def _redact(error: BaseException, token: str) -> None:
    """Take the token out of an error and its causes: python-telegram-bot quotes it, and so may a server."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TelegramError):
            cause.message = cause.message.replace(token, "<token>")
        cause = cause.__cause__ or cause.__context__


def _translate(error: TelegramError) -> AdapterError:
    text = error.message
    match error:
        case RetryAfter(retry_after=pause):
            return RateLimited(text, pause if isinstance(pause, timedelta) else timedelta(seconds=pause))
        case TelegramForbidden():
            return Forbidden(text)
        case ChatMigrated(new_chat_id=new_chat):
            return ChatMoved(new_chat)
        case Conflict():
            return AnotherPoller(
                "another process is polling with this Telegram token: stop it, or give this one a bot of its "
                "own from @BotFather (CHORUS_TELEGRAM__TOKEN)"
            )
        case InvalidToken():
            kind = UnknownMethod if "not found" in text.lower() else Misconfigured
            return kind(
                "Telegram does not accept the bot's token: copy it again from @BotFather, or make a new one "
                "there, and set CHORUS_TELEGRAM__TOKEN"
            )
        case BadRequest():
            return _refusal(text)
        case _:
            return _unanswered(error)


def _unanswered(error: TelegramError) -> Unreachable:
    """No answer, one that can't be read, or one that only says that Telegram is in trouble."""
    cause = error.__cause__
    if isinstance(cause, _NEVER_LEFT):
        return Unreachable(f"Telegram can't be reached: {error.message}")
    if isinstance(error, TimedOut):
        return InDoubt("Telegram did not answer in time; it may have acted all the same")
    if cause is not None:
        reason = str(cause) if isinstance(cause, Lost) else type(cause).__name__
        lost = f"Telegram's answer was lost ({reason}); it may have acted all the same"
        return InDoubt(lost)
    return Unreachable(f"Telegram can't be reached: {error.message}")


def _refusal(text: str) -> AdapterError:
    """A BadRequest, told apart by its text."""
    lower = text.lower()
    if "message is not modified" in lower:
        return NotModified(text)
    if "there is no text in the message" in lower:
        return NoText(text)
    if any(words in lower for words in _NO_MEMBER):
        return NoMember(text)
    if any(words in lower for words in _TOPIC_GONE):
        return TopicGone(text)
    if any(words in lower for words in _GONE):
        return NotFound(text)
    if any(words in lower for words in _FORBIDDEN):
        return Forbidden(text)
    if "entit" in lower:  # "can't parse entities", "ENTITY_BOUNDS_INVALID", "ENTITIES_TOO_LONG"
        return FormattingRefused(text)
    return Rejected(text)
