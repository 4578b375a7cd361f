"""`/settings`: what people may set for themselves, by buttons or in words.

    /settings ──▶ all of them ──a button──▶ one, with its values ──a button──▶ set or taken back
    /settings SETTING VALUE ─────────────────────────────────────────────────▶ likewise

Whoever may not use a setting's own command (/persona, /model ...) may not set it here either. Those of a
place are administrators' (`admin_settings`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.commands import CommandSpec, Param, Permission
from adapters.types import Button
from bot.access import Refused, authorize
from bot.commands.base import Command, CommandContext, Press, Refusal, Reply, button
from bot.commands.choices import (
    CHOOSE,
    IN_A_ROW,
    MOST_BUTTONS,
    follow,
    models_for,
    personas_for,
    put,
    take_back,
)
from bot.commands.info import Known, known
from bot.i18n import N_, _
from bot.personas import choose
from bot.scopes import SETTINGS, Held, ScopeKind, Setting, WrongValue, parse, shown

NAME = "settings"
DEFAULT = "default"
OWN: Mapping[str, Setting] = {
    key: setting for key, setting in SETTINGS.items() if setting.person is Permission.EVERYONE
}
"""What everyone may set for themselves."""

_NUMBERS = {"temperature": ("0", "0.4", "0.8", "1.2"), "top_p": ("0.5", "0.8", "0.95", "1")}
_LONGEST_SHOWN = 60  # characters of a value in the list
_LONGEST_REFUSED = 60  # of one that can't be


async def settings(context: CommandContext) -> Reply:
    key, value = context.argument("setting"), context.argument("value")
    if key is None:
        return _all(context)
    setting = OWN.get(key.lower())
    if setting is None:
        raise Refusal(
            _("There is no setting called {key} that is yours. There are: {names}.").format(
                key=key, names=", ".join(OWN)
            )
        )
    return await _one(context, setting) if value is None else Reply(await _set(context, setting, value))


def _all(context: CommandContext) -> Reply:
    heading = _(
        "Your settings. They hold wherever you talk to me. Press one to change it, or write {example}:"
    )
    lines = [heading.format(example=f"`/{NAME} SETTING VALUE`")]
    for key, setting in OWN.items():
        held = context.scoped.held[key]
        lines.append(f"- **{key}** = {value_of(context, key)} ({_source(held)}): {_(setting.description)}")
    return Reply("\n".join(lines), _rows([_button(context, key, key) for key in OWN]))


def value_of(context: CommandContext, key: str) -> str:
    """What holds here for the person, on one line; also what follows from other things where none is set."""
    value = context.scoped.held[key].value
    if value is not None:
        return _short(shown(value))
    match key:
        case "persona":
            return choose(None, context.settings.persona.prompt).name
        case "model":
            return context.services.models.model
        case "system":
            return _("none")
    return _("the model's own")


def _source(held: Held) -> str:
    if held.source is None:
        return _("default")
    return _("yours") if held.source.kind is ScopeKind.PERSON else _("set by an administrator")


async def _one(context: CommandContext, setting: Setting) -> Reply:
    """A setting with the values that it can have."""
    held = context.scoped.held[setting.key]
    text = "\n".join(
        (
            f"**{setting.key}** = {value_of(context, setting.key)} ({_source(held)})",
            _("It sets {description}, and takes {values}.").format(
                description=_(setting.description), values=_(setting.takes)
            ),
            _("Press a value, or write: {example}").format(example=f"`/{NAME} {setting.key} VALUE`"),
        )
    )
    values = [_button(context, value, setting.key, value) for value in await _values(context, setting)]
    ends = [_button(context, _("Default"), setting.key, DEFAULT), _button(context, _("‹ All"))]
    return Reply(text, (*_rows(values[:MOST_BUTTONS]), *_rows(ends)))


async def _values(context: CommandContext, setting: Setting) -> Sequence[str]:
    """Those that can be chosen from; others can be written."""
    match setting.key:
        case "persona":
            return list(await personas_for(context))
        case "model":
            return await models_for(context)
    return setting.choices or _NUMBERS.get(setting.key, ())


async def _set(context: CommandContext, setting: Setting, value: str) -> str:
    _check_right(context, setting)
    if value.lower() == DEFAULT:
        await take_back(context, setting.key)
        return _("{key} is as usual for you now.").format(key=setting.key)
    if setting.key in CHOOSE:
        return await CHOOSE[setting.key](context, value)
    if setting.key == "system":
        return await follow(context, value)
    try:
        taken = shown(parse(setting.key, value))
    except WrongValue as error:
        raise Refusal(
            _("{key} can't be {value}: it takes {values}.").format(
                key=setting.key, value=value[:_LONGEST_REFUSED], values=error
            )
        ) from error
    await put(context, setting.key, taken)
    return _("{key} is {value} for you now.").format(key=setting.key, value=taken)


def _check_right(context: CommandContext, setting: Setting) -> None:
    """Raises Refusal where the person may not use the setting's own command."""
    from bot.commands.registry import action_of, find_command  # it imports this module

    command, who = find_command(setting.key), context.prepared
    assert isinstance(who, Known)
    if command is not None:
        decision = authorize(who.policy, who.actor, action_of(command), context.place)
        if isinstance(decision, Refused):
            raise Refusal(decision.text)


async def pressed(context: CommandContext, values: tuple[str, ...]) -> Reply | None:
    """A button of the list, of one setting, or back."""
    if not values:
        reply = _all(context)
    elif (setting := OWN.get(values[0])) is None:
        return None
    elif len(values) == 1:
        reply = await _one(context, setting)
    else:
        reply = Reply(await _set(context, setting, ":".join(values[1:])))
    return Reply(reply.text, reply.buttons, replaces=True)


def _button(context: CommandContext, label: str, *values: str) -> Button | None:
    """None where its value is too long for one, and has to be written."""
    try:
        return button(label, NAME, *values, person=context.event.author)
    except ValueError:
        return None


def _rows(buttons: Sequence[Button | None]) -> tuple[tuple[Button, ...], ...]:
    there = [one for one in buttons if one is not None]
    return tuple(tuple(there[start : start + IN_A_ROW]) for start in range(0, len(there), IN_A_ROW))


def _short(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]} …"


HANDLED = (
    Command(
        CommandSpec(
            NAME,
            N_("Show and change your own settings"),
            (
                Param("setting", N_("The setting"), required=False, choices=tuple(OWN)),
                Param("value", N_("The value, or default"), required=False, suggested=True),
            ),
        ),
        settings,
        prepare=known,
    ),
)

PRESSES = (Press(NAME, pressed, bound=True, command=NAME),)
