"""Commands as values, neutral of any platform: each adapter builds its native form from them.

Also how a command is read where it is typed as text, and how such a command is explained. Knows nothing of
what a command does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What a parameter takes. Values travel as text all the same: a person, channel or role as its id."""

    TEXT = "text"
    LONG = "long"  # text of several lines
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"  # true or false
    PERSON = "person"
    CHANNEL = "channel"
    ROLE = "role"


class Permission(StrEnum):
    """Who sees a command in the platform's menus by default. Whether someone may use it is decided when they
    do; this only keeps menus short."""

    EVERYONE = "everyone"
    ADMINISTRATOR = "administrator"  # of the server or group
    OWNER = "owner"  # of the bot


@dataclass(frozen=True, slots=True)
class Param:
    """A command's parameter. Values travel as text; `choices` are the only values allowed, if any are given.
    With `suggested` the application proposes values while the person types, where the platform can.
    `descriptions` are translations by language tag. The last parameter takes the rest of the line where a
    command is typed as text."""

    name: str
    description: str
    required: bool = True
    choices: tuple[str, ...] = ()
    kind: Kind = Kind.TEXT
    suggested: bool = False
    descriptions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A command's name, its texts and parameters.

    `name` is one to three words of 1-32 of a-z, 0-9 and _, divided by single spaces: "help", or a command
    within groups such as "admin settings set". `descriptions` are translations by language tag.
    `private`: its answer is for the person alone, where the platform can do that.
    `form`: where the platform has forms (Discord's modals), its parameters are asked for in one; elsewhere
    they are typed. At most 5 parameters, all of them text.
    """

    name: str
    description: str
    params: tuple[Param, ...] = ()
    private: bool = True
    permission: Permission = Permission.EVERYONE
    form: bool = False
    descriptions: Mapping[str, str] = field(default_factory=dict)


def parse_command(text: str, *, bot_name: str | None = None) -> tuple[str, str] | None:
    """`/name rest` or `/name@bot rest` as (name, rest); None if `text` is no command or is meant for another
    bot. The name comes in lower case."""
    if not text.startswith("/"):
        return None
    head, _, rest = text[1:].partition(" ") if " " in text.split("\n", 1)[0] else text[1:].partition("\n")
    name, _, target = head.partition("@")
    if not name.replace("_", "").isalnum() or not name.isascii():
        return None
    if target and target.lower() != (bot_name or "").lower():
        return None
    return name.lower(), rest.strip()


@dataclass(frozen=True, slots=True)
class Typed:
    """A typed command, looked up. `path` is the longest beginning that names a command or a group of them,
    or the first word if nothing is called so; `spec` is None unless it names a command. `rest` follows it."""

    path: str
    spec: CommandSpec | None
    rest: str


def resolve(specs: Sequence[CommandSpec], name: str, rest: str) -> Typed:
    """What `/name rest` means: the words of a name are looked for in both."""
    known = {prefix for spec in specs for prefix in _prefixes(spec.name)}
    path = name
    while path in known:
        word, behind = _word(rest)
        longer = f"{path} {word.lower()}"
        if longer not in known:
            break
        path, rest = longer, behind
    return Typed(path, find(specs, path), rest)


def _word(text: str) -> tuple[str, str]:
    """The first word of a text, and what follows it."""
    words = text.split(maxsplit=1)
    return words[0] if words else "", words[1] if len(words) > 1 else ""


def _prefixes(name: str) -> Sequence[str]:
    words = name.split(" ")
    return [" ".join(words[:count]) for count in range(1, len(words) + 1)]


def below(specs: Sequence[CommandSpec], group: str) -> Sequence[str]:
    """The paths one word below a group of commands, in the order of the commands; below "", the first words
    of all."""
    depth = len(group.split()) + 1
    start = f"{group} " if group else ""
    paths = (" ".join(spec.name.split(" ")[:depth]) for spec in specs if spec.name.startswith(start))
    return list(dict.fromkeys(paths))


_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»"}  # telephones type curly ones by themselves
_QUOTED = re.compile(
    "|".join(f"{opening}([^{closing}]*){closing}(?!\\S)" for opening, closing in _QUOTES.items())
)


def parse_arguments(spec: CommandSpec, rest: str) -> Mapping[str, str]:
    """The rest of a typed command as values for its parameters: one word each, or several within quotation
    marks; the last takes what is left. A choice may be typed in any case. Missing ones are absent; whether
    that is an error is for the command to say."""
    values: dict[str, str] = {}
    for index, param in enumerate(spec.params):
        last = index == len(spec.params) - 1
        value, rest = (rest.strip(), "") if last else _first(rest.strip())
        if value:
            values[param.name] = _as_choice(param, value)
    return values


def _first(text: str) -> tuple[str, str]:
    """The first word or quoted words, and what follows."""
    if quoted := _QUOTED.match(text):
        return quoted[quoted.lastindex or 0].strip(), text[quoted.end() :]
    return _word(text)


def _as_choice(param: Param, value: str) -> str:
    return next((choice for choice in param.choices if choice.lower() == value.lower()), value)


def usage(spec: CommandSpec) -> str:
    """How a command is typed: "/admin settings set KEY [VALUE]"."""
    params = (param.name.upper() if param.required else f"[{param.name.upper()}]" for param in spec.params)
    return " ".join((f"/{spec.name}", *params))


def explained(spec: CommandSpec, language: str | None = None) -> str:
    """A command's usage, what it does and what it takes, as Markdown, in the nearest language there is."""
    lines = [f"`{usage(spec)}`", "", translated(spec, language)]
    for param in spec.params:
        choices = f" ({', '.join(param.choices)})" if param.choices else ""
        lines.append(f"- `{param.name.upper()}`: {translated(param, language)}{choices}")
    return "\n".join(lines)


def overview(specs: Sequence[CommandSpec], group: str, language: str | None = None) -> str:
    """What lies one word below a group of commands, as Markdown, in the nearest language there is."""
    lines = [f"**/{group}**", ""]
    for path in below(specs, group):
        spec = find(specs, path)
        if spec is None:
            words = (deeper.rpartition(" ")[2] for deeper in below(specs, path))
            lines.append(f"- `/{path}`: {', '.join(words)}")
        else:
            lines.append(f"- `{usage(spec)}`: {translated(spec, language)}")
    return "\n".join(lines)


def translated(described: CommandSpec | Param, language: str | None) -> str:
    """A description in the language of an IETF tag, in English if there is no translation."""
    primary = (language or "").replace("_", "-").split("-")[0].lower()
    return described.descriptions.get(primary, described.description)


def shortened(text: str, longest: int) -> str:
    """A text of at most so many characters: its first clause if that fits, else as many whole words as do."""
    if len(text) <= longest:
        return text
    clause = text.partition(";")[0].partition("；")[0].rstrip()
    if len(clause) <= longest:
        return clause
    words, space, _cut = text[:longest].rpartition(" ")
    return f"{words.rstrip(' ,:') if space else text[: longest - 1]}…"


def find(specs: Sequence[CommandSpec], name: str) -> CommandSpec | None:
    """The command of that name."""
    return next((spec for spec in specs if spec.name == name), None)
