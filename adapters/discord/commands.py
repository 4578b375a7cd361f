"""Commands in Discord's form: what is registered, and what an invocation carries. Pure functions.

Knows nothing of what a command does, nor of the connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adapters.commands import CommandSpec, Param

Payload = dict[str, Any]

_CHAT_INPUT = 1  # the type of commands that are typed as /name
_STRING = 3  # the type of options that are text


def payload(spec: CommandSpec) -> Payload:
    """What Discord is told of a command. Required options come first, as Discord demands."""
    params = sorted(spec.params, key=lambda param: not param.required)
    return {
        "type": _CHAT_INPUT,
        "name": spec.name,
        "description": spec.description,
        "options": [_option(param) for param in params],
    }


def _option(param: Param) -> Payload:
    return {
        "type": _STRING,
        "name": param.name,
        "description": param.description,
        "required": param.required,
        "choices": [{"name": choice, "value": choice} for choice in param.choices],
    }


def same(known: Iterable[Mapping[str, Any]], wanted: Sequence[CommandSpec]) -> bool:
    """Whether the commands that Discord knows are those wanted. Its own additions (ids, versions, defaults)
    and the order don't count."""
    return _by_name(map(_essence, known)) == _by_name(map(payload, wanted))


def _essence(command: Mapping[str, Any]) -> Payload:
    """A command that Discord lists, reduced to what `payload` says."""
    return {
        "type": command.get("type", _CHAT_INPUT),
        "name": command["name"],
        "description": command.get("description", ""),
        "options": [
            {
                "type": option["type"],
                "name": option["name"],
                "description": option.get("description", ""),
                "required": option.get("required", False),
                "choices": [
                    {"name": choice["name"], "value": choice["value"]}
                    for choice in option.get("choices") or ()
                ],
            }
            for option in command.get("options") or ()
        ],
    }


def _by_name(commands: Iterable[Payload]) -> list[Payload]:
    return sorted(commands, key=lambda command: (command["name"], command["type"]))


def arguments(data: Mapping[str, Any]) -> dict[str, str]:
    """The values that came with an invocation, by the parameters' names."""
    return {option["name"]: str(option["value"]) for option in data.get("options", ()) if "value" in option}
