"""What the Bot API answers: no more of it is read than is needed, and no update keeps the others from it.

Knows nothing of chats or messages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from telegram import Update
from telegram.error import NetworkError

from adapters.telegram.http import Http

UNREADABLE = "unreadable"
"""The field of an update that stands for one that can't be read: what came, and why it can't be."""

_PLACE = ("message_id", "date", "chat")  # what python-telegram-bot wants of a message
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]')  # or a string, in which they count for nothing
_UPDATE_ID = re.compile(r'"update_id"\s*:\s*(\d+)')
_UPDATE_DEPTH = 3  # brackets that stand open in an update: the answer's, the list's, its own


class Request(Http):
    """The connections for all but getUpdates.

    Telegram tells of a message that was sent or edited all that there is to it, and python-telegram-bot would
    make objects of it. Where the message stands is all that anyone asks.
    """

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        answer = Http.parse_json_payload(payload)
        result = answer.get("result") if isinstance(answer, dict) else None
        if isinstance(result, dict) and "message_id" in result:
            answer["result"] = {name: result[name] for name in _PLACE if name in result}
        return answer


class PollingRequest(Http):
    """The connection for getUpdates.

    One update that python-telegram-bot can't read would make the whole batch unreadable, again and again.
    Here it arrives as its id and what came, so that it can be kept and stepped over. The same goes for one
    that is too deep for JSON's reader.
    """

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        try:
            answer = Http.parse_json_payload(payload)
            if not isinstance(answer, dict):
                raise NetworkError("the answer is no object")
            if answer.get("ok"):
                answer["result"] = _updates(answer.get("result"))
        except RecursionError:
            return {"ok": True, "result": [_alone(text) for text in _apart(payload.decode(errors="replace"))]}
        return answer


def _updates(result: object) -> list[dict[str, Any]]:
    """The updates of an answer. What can't be confirmed, having no id, is left out."""
    if not isinstance(result, list):
        raise NetworkError("the answer holds no list of updates")
    updates = [_readable(update) for update in result if _has_id(update)]
    if result and not updates:
        raise NetworkError("the server's updates have no ids")
    return updates


def _has_id(update: object) -> bool:
    return isinstance(update, dict) and type(update.get("update_id")) is int


def _readable(update: dict[str, Any]) -> dict[str, Any]:
    update = _encodable(update)
    try:
        Update.de_json(update)
    except Exception as error:
        raw = json.dumps(update)
        reason = f"{type(error).__name__}: {error}"
        return {"update_id": update["update_id"], UNREADABLE: {"raw": raw, "reason": reason}}
    update.pop(UNREADABLE, None)
    return update


def _apart(answer: str) -> Iterator[str]:
    """The text of each update in an answer, however deep it is."""
    depth = start = 0
    for token in _BRACKET.finditer(answer):
        if token[0] in ("[", "{"):
            depth += 1
            if depth == _UPDATE_DEPTH:
                start = token.start()
        elif token[0] in ("]", "}"):
            if depth == _UPDATE_DEPTH:
                yield answer[start : token.end()]
            depth -= 1


def _alone(text: str) -> dict[str, Any]:
    """An update by itself. Raises NetworkError if it has no id: it can't be confirmed then."""
    try:
        return _updates([json.loads(text)])[0]
    except RecursionError as error:
        found = _UPDATE_ID.search(text)
        if found is None:
            raise NetworkError("the server's updates have no ids") from error
        return {"update_id": int(found[1]), UNREADABLE: {"raw": text, "reason": "it is too deep"}}


def _encodable(value: Any) -> Any:
    """Without halves of characters, which JSON can name and no encoding takes."""
    if isinstance(value, str):
        return value if value.isascii() else _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_encodable(name): _encodable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return value
