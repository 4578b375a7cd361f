"""Requests checked against Telegram's own description of the Bot API, and against what it leaves out.

The description is looked for beside the project, in ../shared/specs; without it only the second kind of
check is made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DESCRIPTION = Path(__file__).parents[3].parent / "shared" / "specs" / "telegram-api-10.0.json"
NEWER_PARAMETERS = {"sendMessageDraft": frozenset({"can_stop", "keep_on_stop"})}  # of Bot API 10.3
NEWER_METHODS = frozenset({"sendRichMessage", "sendRichMessageDraft"})  # of Bot API 10.1

SCALARS = {"Integer": int, "String": str, "Boolean": bool, "Float": (int, float)}


@dataclass(frozen=True)
class Upload:
    """A file that came with a request."""

    name: str
    content: bytes


@cache
def description() -> dict[str, Any] | None:
    """The Bot API's methods and types, None where the document is absent."""
    return json.loads(DESCRIPTION.read_text()) if DESCRIPTION.exists() else None


def violations(method: str, parameters: Mapping[str, Any]) -> list[str]:
    """What is wrong with a request, in sentences."""
    found = [f"{method}: {problem}" for problem in _beyond(method, parameters)]
    api = description()
    if api is not None and method not in NEWER_METHODS:
        if method not in api["methods"]:
            found.append(f"{method}: there is no such method")
        else:
            fields = api["methods"][method].get("fields", [])
            attached = set(_attached(parameters)) | NEWER_PARAMETERS.get(method, frozenset())
            described = {name: value for name, value in parameters.items() if name not in attached}
            found += _fields(method, fields, described, api)
    return found


def _beyond(method: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    """Limits that the document states in prose alone."""
    drafted = method == "sendMessageDraft"
    for text_name, entities_name, most in (("text", "entities", 4096), ("caption", "caption_entities", 1024)):
        text = parameters.get(text_name)
        entities = parameters.get(entities_name, [])
        if not isinstance(text, str) or not isinstance(entities, list):
            continue
        if utf16_length(text) > most:
            yield f"{text_name} has {utf16_length(text)} UTF-16 units, more than {most}"
        if not text.strip() and text_name == "text" and not drafted:
            yield "text is empty"
        if len(entities) > 100:
            yield f"{len(entities)} entities, more than 100"
        yield from (
            f"entity {entity} does not fit the text" for entity in entities if not entity_fits(entity, text)
        )
    if drafted and not parameters.get("draft_id"):
        yield "draft_id is zero"
    yield from _beyond_buttons(parameters)
    if method == "setMyCommands":
        yield from _beyond_menus(parameters["commands"])


def _beyond_buttons(parameters: Mapping[str, Any]) -> Iterator[str]:
    buttons = [
        button for row in parameters.get("reply_markup", {}).get("inline_keyboard", []) for button in row
    ]
    if len(buttons) > 100:
        yield f"{len(buttons)} buttons, more than 100"
    for button in buttons:
        if not 1 <= len(button["callback_data"].encode()) <= 64:
            yield f"a button's data has not 1 to 64 bytes: {button['callback_data']!r}"
        if not button["text"].strip():
            yield "a button's label is empty"


def _beyond_menus(commands: Sequence[Mapping[str, str]]) -> Iterator[str]:
    if len(commands) > 100:
        yield f"{len(commands)} commands, more than 100"
    for command in commands:
        if not re.fullmatch(r"[a-z0-9_]{1,32}", command["command"]):
            yield f"{command['command']!r} is no command's name"
        if not 1 <= len(command["description"]) <= 256:
            yield f"/{command['command']}: a description has 1 to 256 characters"


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def entity_fits(entity: Mapping[str, Any], text: str) -> bool:
    """Within the text, not empty, and cutting no character in two."""
    units = text.encode("utf-16-le")
    start, end = 2 * entity["offset"], 2 * (entity["offset"] + entity["length"])
    if not 0 <= start < end <= len(units):
        return False
    try:
        units[start:end].decode("utf-16-le")
    except UnicodeDecodeError:
        return False
    return True


def _attached(value: object) -> Iterator[str]:
    """The names of uploads that a parameter points to as attach://name."""
    if isinstance(value, str) and value.startswith("attach://"):
        yield value.removeprefix("attach://")
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _attached(item)
    elif isinstance(value, list):
        for item in value:
            yield from _attached(item)


def _fields(where: str, fields: list[Any], values: Mapping[str, Any], api: dict[str, Any]) -> list[str]:
    known = {field["name"]: field for field in fields}
    found = [f"{where}: unknown property {name}" for name in values if name not in known]
    found += [
        f"{where}: {name} is missing"
        for name, field in known.items()
        if field["required"] and name not in values
    ]
    for name, value in values.items():
        if name in known and not any(
            not _problems(f"{where}.{name}", kind, value, api) for kind in known[name]["types"]
        ):
            types = " or ".join(known[name]["types"])
            found.append(f"{where}: {name} is no {types}: {value!r:.200}")
    return found


def _problems(where: str, kind: str, value: object, api: dict[str, Any]) -> list[str]:
    """Why a value is not of a type; empty if it is."""
    if kind.startswith("Array of "):
        if not isinstance(value, list):
            return [f"{where}: not a list"]
        return [problem for item in value for problem in _problems(where, kind[9:], item, api)]
    if kind in SCALARS:
        fits = isinstance(value, SCALARS[kind]) and isinstance(value, bool) == (kind == "Boolean")
        return [] if fits else [f"{where}: not of type {kind}"]
    if kind == "InputFile":
        return [] if isinstance(value, Upload) else [f"{where}: not an upload"]
    described = api["types"][kind]
    if "subtypes" in described:
        attempts = [_problems(where, subtype, value, api) for subtype in described["subtypes"]]
        return [] if any(not attempt for attempt in attempts) else min(attempts, key=len)
    if not isinstance(value, dict):
        return [f"{where}: not an object"]
    return _fields(where, described.get("fields", []), value, api)
