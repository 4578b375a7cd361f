"""Commands as Telegram shows them: the menus beside the writing field, and menus of buttons for what has
several words or choices. Pure functions; knows nothing of when they are sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from telegram import (
    BotCommand,
    BotCommandScope,
    BotCommandScopeAllChatAdministrators,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeDefault,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
)

from adapters.commands import (
    CommandSpec,
    Param,
    Permission,
    Typed,
    below,
    explained,
    find,
    overview,
    shortened,
    translated,
    usage,
)
from adapters.types import Button, Part

LANGUAGES = ("de", "es", "fr", "ru", "zh")
MOST_COMMANDS = 100  # in a menu (Bot API, setMyCommands)
DESCRIPTION = 256  # characters (Bot API, BotCommand)
BUTTON_DATA = 64  # bytes (Bot API, InlineKeyboardButton)
MOST_CHOICES = 48

_SCOPES: tuple[tuple[BotCommandScope, frozenset[Permission]], ...] = (
    (BotCommandScopeDefault(), frozenset({Permission.EVERYONE})),
    (BotCommandScopeAllGroupChats(), frozenset({Permission.EVERYONE})),
    (
        BotCommandScopeAllChatAdministrators(),
        frozenset({Permission.EVERYONE, Permission.ADMINISTRATOR}),
    ),
    # An administrator is also somebody's private chat partner, and menus can't tell who that is.
    (BotCommandScopeAllPrivateChats(), frozenset(Permission)),
)


def menus(
    commands: Sequence[CommandSpec],
) -> Iterator[tuple[BotCommandScope, str | None, list[BotCommand]]]:
    """Every menu: where it is shown, in which language (None for all that have none of their own), and what
    is in it."""
    languages = [tag for tag in LANGUAGES if any(tag in spec.descriptions for spec in commands)]
    for scope, permissions in _SCOPES:
        shown = [spec for spec in commands if spec.permission in permissions]
        for language in (None, *languages):
            yield scope, language, _menu(shown, language)


def _menu(commands: Sequence[CommandSpec], language: str | None) -> list[BotCommand]:
    """A menu's entries: first words alone, since Telegram knows no others. `start` is left out: Telegram's
    clients show a button for it. A group of commands is described by what lies below it."""
    entries = []
    for name in below(commands, ""):
        spec = find(commands, name)
        if spec is None:
            description = ", ".join(path.rpartition(" ")[2] for path in below(commands, name))
        else:
            description = translated(spec, language)
        if name != "start":
            entries.append(BotCommand(name, shortened(description, DESCRIPTION)))
    return entries[:MOST_COMMANDS]


def page(
    commands: Sequence[CommandSpec],
    typed: Typed,
    language: str | None,
    param: Param | None = None,
    values: Sequence[str] = (),
) -> Part:
    """A menu of buttons, each carrying the command that it stands for: the commands one word below a group,
    or the values that a command's parameter can have. Without values, how the command is typed."""
    back = typed.path.rpartition(" ")[0]
    if typed.spec is None:
        text = overview(commands, typed.path, language)
        buttons = [Button(path.rpartition(" ")[2], f"/{path}") for path in below(commands, typed.path)]
    elif param is not None and values:
        text = f"`{usage(typed.spec)}`\n\n{translated(typed.spec, language)}"
        buttons = [Button(value, _invoking(typed, param, value)) for value in values[:MOST_CHOICES]]
    else:
        text, buttons = explained(typed.spec, language), []
    if typed.spec is not None and 0 < len(typed.rest) <= BUTTON_DATA:
        text = f"`/{typed.path} {typed.rest} …`\n\n{text}"
    rows = _rows([button for button in buttons if len(button.data.encode()) <= BUTTON_DATA])
    if back:
        rows.append((Button(f"‹ /{back}", f"/{back}"),))
    return Part(text, buttons=tuple(rows))


def _invoking(typed: Typed, param: Param, value: str) -> str:
    """A command as it is typed so far, with a further value."""
    last = typed.spec is not None and param is typed.spec.params[-1]
    quoted = f'"{value}"' if " " in value and not last else value
    return " ".join(part for part in (f"/{typed.path}", typed.rest, quoted) if part)


def _rows(buttons: Sequence[Button]) -> list[tuple[Button, ...]]:
    """Rows of three, of two where labels are long."""
    width = 3 if max((len(button.label) for button in buttons), default=0) <= 12 else 2
    return [tuple(buttons[start : start + width]) for start in range(0, len(buttons), width)]


def keyboard(part: Part) -> InlineKeyboardMarkup | None:
    """A part's buttons as Telegram takes them; None removes those that a message had."""
    if not part.buttons:
        return None
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(one.label, callback_data=one.data) for one in row] for row in part.buttons]
    )
