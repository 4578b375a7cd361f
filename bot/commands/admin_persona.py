"""`/admin persona`: personas that a server's administrators make for it, or the owner for all."""

from __future__ import annotations

import re

from adapters.commands import CommandSpec, Kind, Param, Permission
from bot.commands.admin_words import realm_name, record, required
from bot.commands.base import ADMIN_ROOT, Command, CommandContext, Refusal
from bot.i18n import N_, _
from bot.personas import PERSONAS, Persona
from bot.scopes import LONGEST_TEXT
from bot.store import personas as made

LONGEST_SUMMARY = 100
MOST_PERSONAS = 50  # of a server
_NAME = re.compile(r"[\w-]{1,32}")


async def add(context: CommandContext) -> str:
    new = _written(context)
    platform, realm = context.place.chat.platform, context.place.realm
    if await made.exists(context.session, platform, realm, new.name):
        raise Refusal(
            _("There is a persona called {name}. /admin persona edit changes it.").format(name=new.name)
        )
    if await made.count(context.session, platform, realm) >= MOST_PERSONAS:
        raise Refusal(_("There can be {count} personas here. Remove one first.").format(count=MOST_PERSONAS))
    await made.put(context.session, platform, realm, new)
    await record(context, "persona add", f"{new.name}: {new.prompt}")
    return _("The persona {name} can be chosen {where} now, with /persona {name}.").format(
        name=new.name, where=realm_name(context.place)
    )


async def edit(context: CommandContext) -> str:
    new = _written(context)
    await _exists(context, new.name)
    await made.put(context.session, context.place.chat.platform, context.place.realm, new)
    await record(context, "persona edit", f"{new.name}: {new.prompt}")
    return _("The persona {name} is changed.").format(name=new.name)


async def remove(context: CommandContext) -> str:
    name = required(context, "name").lower()
    await _exists(context, name)
    await made.remove(context.session, context.place.chat.platform, context.place.realm, name)
    await record(context, "persona remove", name)
    return _("The persona {name} is gone. Who had chosen it has the usual one.").format(name=name)


def _written(context: CommandContext) -> Persona:
    """The persona that the command describes. Raises Refusal."""
    name = required(context, "name").lower()
    summary, prompt = required(context, "summary"), required(context, "prompt")
    if not _NAME.fullmatch(name) or name in PERSONAS:
        raise Refusal(
            _(
                "A persona's name is one word of at most 32 letters, digits, - and _, and none of {names}."
            ).format(names=", ".join(PERSONAS))
        )
    if len(summary) > LONGEST_SUMMARY or len(prompt) > LONGEST_TEXT:
        raise Refusal(
            _("A summary has at most {summary} characters and a prompt {prompt}.").format(
                summary=LONGEST_SUMMARY, prompt=LONGEST_TEXT
            )
        )
    return Persona(name, " ".join(summary.split()), prompt)


async def _exists(context: CommandContext, name: str) -> None:
    if not await made.exists(context.session, context.place.chat.platform, context.place.realm, name):
        raise Refusal(
            _("There is no persona called {name} that was made {where}.").format(
                name=name, where=realm_name(context.place)
            )
        )


_NAMED = Param("name", N_("Its name, one word"))
_DESCRIBED = (
    _NAMED,
    Param("summary", N_("What it is like, for people")),
    Param("prompt", N_("What the model is told; {name} is my name"), kind=Kind.LONG),
)
_ADMINISTRATOR = Permission.ADMINISTRATOR

HANDLED = (
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} persona add",
            N_("Make a persona; if typed, put a summary of several words in quotation marks"),
            _DESCRIBED,
            permission=_ADMINISTRATOR,
            form=True,
        ),
        add,
        at_once=True,
    ),
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} persona edit",
            N_("Change a persona; if typed, put a summary of several words in quotation marks"),
            _DESCRIBED,
            permission=_ADMINISTRATOR,
            form=True,
        ),
        edit,
        at_once=True,
    ),
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} persona remove",
            N_("Remove a persona"),
            (_NAMED,),
            permission=_ADMINISTRATOR,
        ),
        remove,
        at_once=True,
    ),
)
