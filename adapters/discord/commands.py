"""Commands in Discord's form: what is registered, what an invocation carries, what a form asks.

Pure functions. Knows nothing of what a command does, nor of the connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from adapters.commands import CommandSpec, Kind, Param, Permission, shortened, translated

Payload = dict[str, Any]

_CHAT_INPUT = 1  # the type of commands that are typed as /name
_SUBCOMMAND, _GROUP = 1, 2  # types of options that lead on to further ones
_STRING = 3
_TYPES = {
    Kind.TEXT: _STRING,
    Kind.LONG: _STRING,
    Kind.INTEGER: 4,
    Kind.BOOLEAN: 5,
    Kind.PERSON: 6,
    Kind.CHANNEL: 7,
    Kind.ROLE: 8,
    Kind.NUMBER: 10,
}
"""Discord's types of options. A person, channel or role comes as its id."""

_PERMISSIONS = {Permission.EVERYONE: None, Permission.ADMINISTRATOR: 1 << 5, Permission.OWNER: 0}
"""Who sees a command by default: all, whoever may manage the server, or none but its administrators."""

_LOCALES = {"es": "es-ES", "zh": "zh-CN", "en": "en-GB", "pt": "pt-BR", "sv": "sv-SE"}
"""Discord's name of a language, where it is not the language's tag."""

_DESCRIPTION = 100  # the longest, in characters
_LABEL = 45  # the longest title of a form or label of a field
_PROPOSALS, _PROPOSAL = 25, 100  # how many values can be proposed, and how long one may be

_ROW, _TEXT_INPUT, _LABELLED = 1, 4, 18  # types of components
_SHORT, _PARAGRAPH = 1, 2  # styles of a text input
_FORM = "form:"  # what a form's id begins with; the command's name follows


# What is registered


def payloads(specs: Iterable[CommandSpec]) -> list[Payload]:
    """What Discord is told of the commands. Those whose names begin with the same word are one command there,
    with subcommands and, at three words, groups of them.

    Raises ValueError for a name that is both a command and a group: Discord has no such thing."""
    groups: dict[str, list[tuple[list[str], CommandSpec]]] = {}
    for spec in specs:
        first, *rest = spec.name.split()
        groups.setdefault(first, []).append((rest, spec))
    return [_command(name, members) for name, members in groups.items()]


def _command(name: str, members: Sequence[tuple[list[str], CommandSpec]]) -> Payload:
    permission = _PERMISSIONS[_widest(spec.permission for _, spec in members)]
    return {"type": _CHAT_INPUT, **_node(name, members), "default_member_permissions": permission}


def _node(name: str, members: Sequence[tuple[list[str], CommandSpec]]) -> Payload:
    """A command or, where its members' names go on, a group of them."""
    words, spec = members[0]
    if not words:
        if len(members) > 1:
            raise ValueError(f"/{name} is a command and a group of commands")
        return {"name": name, **_described(spec.description, spec.descriptions), "options": _options(spec)}
    below: dict[str, list[tuple[list[str], CommandSpec]]] = {}
    for words, spec in members:
        if not words:
            raise ValueError(f"/{name} is a command and a group of commands")
        below.setdefault(words[0], []).append((words[1:], spec))
    options = [
        {"type": _GROUP if any(words for words, _ in inner) else _SUBCOMMAND, **_node(word, inner)}
        for word, inner in below.items()
    ]
    return {"name": name, **_described(", ".join(below), {}), "options": options}


def _widest(permissions: Iterable[Permission]) -> Permission:
    """Of a group's commands the one that most people may see: subcommands can't be hidden by themselves."""
    return min(permissions, key=list(Permission).index)


def _described(description: str, translations: Mapping[str, str]) -> Payload:
    localised = {_LOCALES.get(tag, tag): shortened(text, _DESCRIPTION) for tag, text in translations.items()}
    return {"description": shortened(description, _DESCRIPTION), "description_localizations": localised}


def _options(spec: CommandSpec) -> list[Payload]:
    """A command's parameters, required ones first, as Discord demands. A form asks for them itself."""
    if spec.form:
        return []
    return [_option(param) for param in sorted(spec.params, key=lambda param: not param.required)]


def _option(param: Param) -> Payload:
    return {
        "type": _TYPES[param.kind],
        "name": param.name,
        **_described(param.description, param.descriptions),
        "required": param.required,
        "choices": [{"name": choice, "value": choice} for choice in param.choices],
        "autocomplete": param.suggested and not param.choices,
    }


def same(known: Iterable[Mapping[str, Any]], wanted: Sequence[CommandSpec]) -> bool:
    """Whether the commands that Discord knows are those wanted. Its own additions (ids, versions, defaults)
    and the order of commands don't count."""
    return _by_name(map(_essence, known)) == _by_name(map(_essence, payloads(wanted)))


def _essence(command: Mapping[str, Any]) -> Payload:
    """A command as it was told or as Discord lists it, without what is empty and what Discord adds."""
    permission = command.get("default_member_permissions")
    return {
        **_option_essence(command),
        "type": command.get("type", _CHAT_INPUT),
        "default_member_permissions": None if permission is None else int(permission),
    }


def _option_essence(option: Mapping[str, Any]) -> Payload:
    return {
        "type": option.get("type"),
        "name": option["name"],
        "description": option.get("description", ""),
        "description_localizations": dict(option.get("description_localizations") or {}),
        "required": option.get("required", False),
        "autocomplete": option.get("autocomplete", False),
        "choices": [(choice["name"], choice["value"]) for choice in option.get("choices") or ()],
        "options": [_option_essence(inner) for inner in option.get("options") or ()],
    }


def _by_name(commands: Iterable[Payload]) -> list[Payload]:
    return sorted(commands, key=lambda command: (command["name"], command["type"]))


# What an invocation carries


def command_name(data: Mapping[str, Any]) -> str:
    """The name of the command that was used, with the words of its groups."""
    words, _ = _used(data)
    return " ".join(words)


def arguments(data: Mapping[str, Any]) -> dict[str, str]:
    """The values that came with an invocation, by the parameters' names."""
    _, options = _used(data)
    return {option["name"]: _as_text(option["value"]) for option in options if "value" in option}


def focused(data: Mapping[str, Any]) -> tuple[str, str] | None:
    """The parameter that a person is typing, and what stands there so far."""
    _, options = _used(data)
    return next(
        ((option["name"], _as_text(option.get("value", ""))) for option in options if option.get("focused")),
        None,
    )


def proposals(values: Iterable[str]) -> Payload:
    """Values to choose from, as many and as long as Discord takes. What it would cut off is not proposed: the
    value that comes back would be another."""
    fitting = [value for value in values if 0 < len(value) <= _PROPOSAL]
    return {"choices": [{"name": value, "value": value} for value in fitting[:_PROPOSALS]]}


def _used(data: Mapping[str, Any]) -> tuple[list[str], Sequence[Mapping[str, Any]]]:
    """The words of the command that was used, and its options."""
    words = [str(data["name"])]
    options: Sequence[Mapping[str, Any]] = data.get("options") or ()
    while len(options) == 1 and options[0].get("type") in (_SUBCOMMAND, _GROUP):
        words.append(str(options[0]["name"]))
        options = options[0].get("options") or ()
    return words, options


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# Forms


def form(spec: CommandSpec, locale: str) -> Payload:
    """The form that asks for a command's parameters, in the language of `locale` where there is a
    translation. Its id names the command: that is all there is when the bot restarts before it is sent in."""
    return {
        "custom_id": _FORM + spec.name,
        "title": shortened(translated(spec, locale), _LABEL),
        "components": [_field(param, locale) for param in spec.params],
    }


def _field(param: Param, locale: str) -> Payload:
    field = {
        "type": _TEXT_INPUT,
        "custom_id": param.name,
        "style": _PARAGRAPH if param.kind is Kind.LONG else _SHORT,
        "required": param.required,
    }
    text = translated(param, locale)
    if len(text) <= _LABEL:
        return {"type": _LABELLED, "label": text, "component": field}
    return {
        "type": _LABELLED,
        "label": param.name,
        "description": shortened(text, _DESCRIPTION),
        "component": field,
    }


def form_command(data: Mapping[str, Any]) -> str | None:
    """The command whose form was sent in; None if the form is none of ours."""
    form = str(data["custom_id"])
    return form.removeprefix(_FORM) if form.startswith(_FORM) else None


def form_arguments(data: Mapping[str, Any]) -> dict[str, str]:
    """What was written into a form, by the parameters' names. Fields that were left empty are absent."""
    return {field["custom_id"]: field["value"] for field in _fields(data) if field.get("value", "").strip()}


def _fields(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for component in data.get("components") or ():
        if component.get("type") == _LABELLED:
            yield component["component"]
        elif component.get("type") == _ROW:
            yield from component.get("components") or ()
