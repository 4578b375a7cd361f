"""Commands as values, neutral of any platform: each adapter builds its native form from them.

Knows nothing of what a command does.
"""

from __future__ import annotations

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


def parse_arguments(spec: CommandSpec, rest: str) -> Mapping[str, str]:
    """The rest of a typed command as values for its parameters: one word each, the last takes what is left.
    Missing ones are absent; whether that is an error is for the command to say."""
    values: dict[str, str] = {}
    for index, param in enumerate(spec.params):
        last = index == len(spec.params) - 1
        word, _, rest = (rest, "", "") if last else rest.partition(" ")
        if word.strip():
            values[param.name] = word.strip()
        rest = rest.strip()
    return values


def find(specs: Sequence[CommandSpec], name: str) -> CommandSpec | None:
    """The command of that name."""
    return next((spec for spec in specs if spec.name == name), None)
