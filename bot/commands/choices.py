"""How the bot is to one person: its persona or their own prompt, the model that answers them, its language.

Each is a setting of the person's own. Without a value, what there is to choose from is shown with buttons,
which ask for the same rights as the command.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from adapters.commands import CommandSpec, Kind, Param
from adapters.types import Button
from bot.access import Action, Allowed, authorize
from bot.commands.base import Command, CommandContext, Press, Refusal, Reply, button
from bot.commands.info import Known, known
from bot.i18n import LANGUAGES, N_, _, speaking
from bot.personas import PERSONAS, choose
from bot.scopes import LONGEST_TEXT, Scope, ScopeKind, WrongValue, parse
from bot.store import personas as made_personas

AUTO = "auto"
IN_A_ROW = 3
MOST_BUTTONS = 15


async def persona(context: CommandContext) -> Reply | str:
    wanted = context.argument("name")
    if wanted is not None:
        return await choose_persona(context, wanted)
    personas = await personas_for(context)
    if context.scoped.system is not None:
        now = _("I follow a text of its own now. Choose a persona with /persona and a name:")
    else:
        name = context.scoped.persona or ""
        name = name if name in personas else choose(None, None).name
        now = _("I am {name} now ({summary}). Choose with /persona and a name:").format(
            name=name, summary=personas[name]
        )
    text = "\n".join([now, *(f"- {name} - {summary}" for name, summary in personas.items())])
    return Reply(text, _buttons(context, "persona", {name: name for name in personas}))


async def choose_persona(context: CommandContext, wanted: str) -> str:
    personas = await personas_for(context)
    name = next((name for name in personas if name.lower() == wanted.lower()), None)
    if name is None:
        raise Refusal(
            _("I know no persona called {name}. There are: {names}.").format(
                name=wanted, names=", ".join(personas)
            )
        )
    await context.services.scopes.reset(context.session, mine(context), "system")
    await put(context, "persona", name)
    return _("From now on I am {name}: {summary}.").format(name=name, summary=personas[name])


async def personas_for(context: CommandContext) -> Mapping[str, str]:
    """The personas that there are here, with their summaries."""
    place = context.place
    made = await made_personas.of_realm(context.session, place.chat.platform, place.realm)
    built_in = {one.name: _(one.summary) for one in PERSONAS.values()}
    return built_in | {one.name: one.summary for one in made.values()}


async def system(context: CommandContext) -> str:
    text = context.argument("prompt")
    if text is None:
        await take_back(context, "system")
        return _("I follow no prompt of yours any more. /system and a text gives me one.")
    return await follow(context, text)


async def follow(context: CommandContext, text: str) -> str:
    """Make a text the person's own prompt."""
    if not context.scoped.system_allowed:
        raise Refusal(_("Own prompts are switched off here. /persona chooses among what there is."))
    try:
        parse("system", text)
    except WrongValue as error:
        raise Refusal(
            _("That can't be your prompt: it has to be a text of at most {count} characters.").format(
                count=LONGEST_TEXT
            )
        ) from error
    await put(context, "system", text)
    return _("From now on I follow your prompt. /system without a text takes it back.")


async def model(context: CommandContext) -> Reply | str:
    wanted = context.argument("name")
    if wanted is not None:
        return await choose_model(context, wanted)
    models, scoped = context.services.models, context.scoped
    now = scoped.model if scoped.model in models.names else models.model
    lines = [_("{name} answers you. Choose with /model and a name:").format(name=now)]
    names = await models_for(context)
    text = "\n".join([*lines, *(f"- {name}" for name in names)])
    return Reply(text, _buttons(context, "model", {name: name for name in names}))


async def choose_model(context: CommandContext, wanted: str) -> str:
    names = await models_for(context)
    if wanted not in names:
        raise Refusal(
            _("You can't use a model called {name} here. There are: {names}.").format(
                name=wanted, names=", ".join(names)
            )
        )
    await put(context, "model", wanted)
    return _("From now on {name} answers you.").format(name=wanted)


async def models_for(context: CommandContext) -> Sequence[str]:
    """The open models that this person may use here."""
    who: Known = context.prepared
    return [
        name
        for name in context.services.models.names
        if context.scoped.allows_model(name)
        and isinstance(authorize(who.policy, who.actor, Action(f"model:{name}"), context.place), Allowed)
    ]


async def language(context: CommandContext) -> Reply | str:
    wanted = context.argument("name")
    if wanted is not None:
        return await choose_language(context, wanted)
    if context.scoped.language is None:
        now = _("My own texts are in the language of your app. Choose another with /language:")
    else:
        now = _("My own texts are in {language}. Choose another with /language:").format(
            language=LANGUAGES[context.scoped.language]
        )
    text = "\n".join([now, *(f"- {tag} - {name}" for tag, name in LANGUAGES.items()), f"- {AUTO}"])
    return Reply(text, _buttons(context, "language", {**LANGUAGES, AUTO: AUTO}))


async def choose_language(context: CommandContext, wanted: str) -> str:
    wanted = wanted.lower()
    if wanted not in (AUTO, *LANGUAGES):
        raise Refusal(
            _("I don't speak {language}. There are: {names}.").format(
                language=wanted, names=", ".join((AUTO, *LANGUAGES))
            )
        )
    await put(context, "language", wanted)
    if wanted == AUTO:
        with speaking(context.event.author.language):
            return _("From now on my own texts are in the language of your app.")
    with speaking(wanted):
        return _("From now on my own texts are in {language}.").format(language=LANGUAGES[wanted])


Choose = Callable[[CommandContext, str], Awaitable[str]]

CHOOSE: Mapping[str, Choose] = {
    "persona": choose_persona,
    "model": choose_model,
    "language": choose_language,
}
"""Takes a value that a person has chosen, by the setting's name, which is the command's and its buttons'."""


def _press(name: str, choose: Choose) -> Press:
    """What the buttons under a command's choices do."""

    async def chosen(context: CommandContext, values: tuple[str, ...]) -> Reply:
        return Reply(await choose(context, ":".join(values)), replaces=True)

    return Press(name, chosen, bound=True, command=name)


def _buttons(
    context: CommandContext, what: str, choices: Mapping[str, str]
) -> tuple[tuple[Button, ...], ...]:
    """A button for each choice, by its value; those too long for one are left to be typed."""
    found: list[Button] = []
    for value, label in choices.items():
        try:
            found.append(button(label, what, value, person=context.event.author))
        except ValueError:
            continue
    found = found[:MOST_BUTTONS]
    return tuple(tuple(found[start : start + IN_A_ROW]) for start in range(0, len(found), IN_A_ROW))


async def put(context: CommandContext, key: str, value: str) -> None:
    await context.services.scopes.set(context.session, mine(context), key, value)
    context.after.append(context.services.scopes.forget)


async def take_back(context: CommandContext, key: str) -> None:
    await context.services.scopes.reset(context.session, mine(context), key)
    context.after.append(context.services.scopes.forget)


def mine(context: CommandContext) -> Scope:
    return Scope(context.place.chat.platform, ScopeKind.PERSON, context.actor.id)


HANDLED = (
    Command(
        CommandSpec(
            "persona",
            N_("Choose how I am to you"),
            (Param("name", N_("The persona"), required=False, suggested=True),),
        ),
        persona,
    ),
    Command(
        CommandSpec(
            "system",
            N_("Tell me in your own words how to be; nothing takes it back"),
            (Param("prompt", N_("What I am told before each conversation"), required=False, kind=Kind.LONG),),
            form=True,
        ),
        system,
    ),
    Command(
        CommandSpec(
            "model",
            N_("Choose the language model that answers you"),
            (Param("name", N_("The model"), required=False, suggested=True),),
        ),
        model,
        prepare=known,
    ),
    Command(
        CommandSpec(
            "language",
            N_("Choose the language of my own texts"),
            (Param("name", N_("The language"), required=False, choices=("auto", *LANGUAGES)),),
        ),
        language,
    ),
)

PRESSES = tuple(_press(name, choose) for name, choose in CHOOSE.items())
