"""All commands and buttons in one place: what the platforms are told of them, and how one is found by name.

Administration is `/admin ...` where commands are typed. Discord, where every bot's commands stand in one
list, knows it as `/chorus ...`; both names are taken everywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from adapters.commands import CommandSpec, Param, Permission
from bot.access import Action
from bot.commands import (
    admin_access,
    admin_models,
    admin_news,
    admin_persona,
    admin_quota,
    admin_settings,
    choices,
    conversation,
    info,
    own_settings,
    privacy,
)
from bot.commands.base import ADMIN_ROOT, Command, Press
from bot.i18n import translations

DISCORD = "discord"
DISCORD_ROOT = "chorus"

_MODULES = (
    conversation,
    choices,
    own_settings,
    privacy,
    info,
    admin_settings,
    admin_access,
    admin_quota,
    admin_persona,
    admin_models,
    admin_news,
)

HANDLED: tuple[Command, ...] = tuple(command for module in _MODULES for command in module.HANDLED)
"""Every command but those that are turns."""

COMMANDS: tuple[CommandSpec, ...] = (
    *conversation.TURNS,
    *(command.spec for command in HANDLED if command.listed),
)
"""What the platforms' menus show, untranslated and under the names that are typed."""

_PRESSES: Mapping[str, Press] = {
    press.name: press for module in _MODULES for press in getattr(module, "PRESSES", ())
}
_BY_NAME: Mapping[str, Command] = {command.spec.name: command for command in HANDLED}
_ALIASES = {"start": "help"}  # Telegram sends /start when a person opens the chat


def find_command(name: str) -> Command | None:
    """The command of that name; None for those that are turns."""
    name = own_name(name)
    return _BY_NAME.get(_ALIASES.get(name, name))


def own_name(name: str) -> str:
    """A command's or group's name as it stands here, whatever a platform calls it."""
    root, space, rest = name.partition(" ")
    return f"{ADMIN_ROOT}{space}{rest}" if root == DISCORD_ROOT else name


def find_turn(name: str) -> CommandSpec | None:
    """The command of that name that the model answers."""
    return next((spec for spec in conversation.TURNS if spec.name == name), None)


def find_press(data: str) -> tuple[Press, tuple[str, ...]] | None:
    """What a button's data ask for, and the values in them; None for data that no button has."""
    name, *values = data.split(":")
    press = _PRESSES.get(name)
    return None if press is None else (press, tuple(values))


def action_of(command: Command | CommandSpec) -> Action:
    """The use of a command as something that can be allowed or refused. What is administration in a server is
    the owner's alone where there is none, unless the command says otherwise: there it holds everywhere."""
    if isinstance(command, CommandSpec):
        return Action(f"command:{command.name}", command.permission)
    needs = command.spec.permission
    in_private = command.in_private
    if in_private is None and needs is Permission.ADMINISTRATOR:
        in_private = Permission.OWNER
    return Action(f"command:{command.spec.name}", needs, in_private, always=command.always)


def names_on(platform: str) -> Mapping[str, str]:
    """What commands' first words are called on a platform, where it has other ones."""
    return {ADMIN_ROOT: DISCORD_ROOT} if platform == DISCORD else {}


def specs_for(platform: str) -> Sequence[CommandSpec]:
    """The commands as a platform shall show them: under its names, with every translation."""
    return [_localised(_named(spec, platform)) for spec in COMMANDS]


def fingerprint(specs: Sequence[CommandSpec]) -> str:
    """A digest of definitions: the same as long as nothing that a platform is told has changed."""
    told = json.dumps([asdict(spec) for spec in specs], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(told.encode()).hexdigest()


def _named(spec: CommandSpec, platform: str) -> CommandSpec:
    root, space, rest = spec.name.partition(" ")
    return replace(spec, name=f"{names_on(platform).get(root, root)}{space}{rest}")


def _localised(spec: CommandSpec) -> CommandSpec:
    params = tuple(_localised_param(param) for param in spec.params)
    return replace(spec, descriptions=translations(spec.description), params=params)


def _localised_param(param: Param) -> Param:
    return replace(param, descriptions=translations(param.description))
