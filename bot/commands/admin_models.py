"""`/admin model`: which language models are open."""

from __future__ import annotations

import json
import logging

from adapters.commands import CommandSpec, Param, Permission
from bot.commands.admin_words import record, required
from bot.commands.base import ADMIN_ROOT, Command, CommandContext, Preparation, Refusal
from bot.i18n import N_, _, _n
from bot.services import Services
from bot.store import facts
from inference import EngineUnavailable, ModelNotFound

log = logging.getLogger(__name__)

LOADED = "models"  # the fact that names them


async def load(preparation: Preparation) -> bool:
    """Open a model beside the others, which answer meanwhile; False if it was open."""
    try:
        return await preparation.services.models.load(_name(preparation))
    except (ModelNotFound, EngineUnavailable, MemoryError) as error:
        log.warning("the model %s could not be loaded: %s", _name(preparation), error)
        raise Refusal(_("That model can't be loaded: {error}").format(error=error)) from error


async def loaded(context: CommandContext) -> str:
    name = required(context, "name")
    if not context.prepared:
        return _("{name} is loaded already.").format(name=name)
    await _remember(context)
    await record(context, "model load", name, realm="")
    return _(
        "{name} is loaded. Choose it with /model, or for all with /admin settings set platform model."
    ).format(name=name)


async def unload(preparation: Preparation) -> None:
    """Close a model when what it answers is finished."""
    try:
        await preparation.services.models.unload(_name(preparation))
    except ModelNotFound as error:
        raise Refusal(
            _("{name} can't be unloaded. Loaded are {names}, and the first one stays.").format(
                name=_name(preparation), names=", ".join(preparation.services.models.names)
            )
        ) from error


async def unloaded(context: CommandContext) -> str:
    name = required(context, "name")
    await _remember(context)
    await record(context, "model unload", name, realm="")
    return _("{name} is unloaded. Who had chosen it is answered by {first} now.").format(
        name=name, first=context.services.models.model
    )


async def status(context: CommandContext) -> str:
    models = context.services.models
    lines = [_("Loaded models:")]
    for name in models.names:
        count = models.using(name)
        text = _n("**{name}**: {count} answer under way", "**{name}**: {count} answers under way", count)
        line = text.format(name=name, count=count)
        stats = models.stats(name)
        if stats is not None:
            line += _(", {waiting} waiting, {speed} tokens/s, {hits} % of prompts from the cache").format(
                waiting=stats.waiting,
                speed=f"{stats.output_per_second:.1f}",
                hits=f"{stats.prefix_hit_rate * 100:.0f}",
            )
        lines.append(f"- {line}")
    return "\n".join(lines)


async def _remember(context: CommandContext) -> None:
    """So that the next run opens the same."""
    _first, *others = context.services.models.names
    await facts.put(context.session, LOADED, json.dumps(others), context.services.clock())


async def reopen(services: Services) -> None:
    """Open the models that were open when the bot ended."""
    async with services.database.read() as session:
        names = await facts.get(session, LOADED)
    await services.models.reopen(json.loads(names) if names else ())


def _name(preparation: Preparation) -> str:
    arguments = getattr(preparation.event, "arguments", {})
    name = str(arguments.get("name", "")).strip()
    if not name:
        raise Refusal(_("Which model? Write its name behind the command."))
    return name


_MODEL = Param("name", N_("embedded, a folder, or a Hugging Face hub id"), suggested=True)

HANDLED = (
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} model load",
            N_("Open a further model"),
            (_MODEL,),
            permission=Permission.OWNER,
        ),
        loaded,
        prepare=load,
        at_once=True,
    ),
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} model unload",
            N_("Close a model"),
            (_MODEL,),
            permission=Permission.OWNER,
        ),
        unloaded,
        prepare=unload,
        at_once=True,
    ),
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} model status",
            N_("Show which models are open, and how they do"),
            permission=Permission.ADMINISTRATOR,
        ),
        status,
        at_once=True,
    ),
)
