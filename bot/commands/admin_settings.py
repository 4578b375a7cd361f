"""`/admin settings` and `/admin when`: what is set for a person, thread, channel, server or platform."""

from __future__ import annotations

from adapters.commands import CommandSpec, Param, Permission
from bot.access import owns
from bot.commands.admin_words import record, required, right_for, scope, scope_name
from bot.commands.base import ADMIN_ROOT, Command, CommandContext, Refusal
from bot.commands.own_settings import value_of
from bot.i18n import N_, _
from bot.personas import PERSONAS
from bot.scopes import SETTINGS, Held, Scope, ScopeKind, Setting, When, WrongValue, here, parse, shown
from bot.store import personas as made
from bot.store import settings as stored

_LONGEST_SHOWN = 60  # characters of a value in the list


async def show(context: CommandContext) -> str:
    """All settings that hold here, those that are set for a scope, or one with all that is known of it."""
    key = context.argument("what")
    if key is not None and key.partition(":")[0].lower() in tuple(ScopeKind):
        return await _of_scope(context, scope(context, key))
    if key is not None:
        setting = _setting(key)
        held = context.scoped.held[setting.key]
        source = _source(context, held)
        return "\n".join(
            (
                f"**{setting.key}** = {value_of(context, setting.key)} ({source})",
                _("It sets {description}, and takes {values}.").format(
                    description=_(setting.description), values=_(setting.takes)
                ),
            )
        )
    lines = [_("What holds here for you, and where it is set:")]
    for setting in SETTINGS.values():
        held = context.scoped.held[setting.key]
        source = _source(context, held)
        value = value_of(context, setting.key)
        lines.append(
            f"- **{setting.key}** = {value} ({source}): {_(setting.description)}; {_(setting.takes)}"
        )
    return "\n".join(lines)


def _source(context: CommandContext, held: Held) -> str:
    if held.source is None:
        return _("default")
    return _("set for {scope}").format(scope=scope_name(context, held.source))


async def _of_scope(context: CommandContext, wanted: Scope) -> str:
    """What is set for this very scope."""
    name = scope_name(context, wanted)
    if right_for(context, wanted) is Permission.OWNER and not await _owns(context):
        raise Refusal(_("What is set for {scope} is my owner's to see.").format(scope=name))
    rows = await stored.of_scopes(context.session, wanted.platform, [(wanted.kind, wanted.id)])
    if not rows:
        return _("Nothing is set for {scope}.").format(scope=name)
    lines = [_("Set for {scope}:").format(scope=name)]
    return "\n".join([*lines, *(f"- **{row.key}** = {row.value[:_LONGEST_SHOWN]}" for row in rows)])


async def put(context: CommandContext) -> str:
    wanted = scope(context, required(context, "scope"))
    setting = _setting(required(context, "key"))
    text = required(context, "value")
    await _check_right(context, wanted, setting)
    try:
        value = parse(setting.key, text)
    except WrongValue as error:
        raise Refusal(
            _("{key} can't be {value}: it takes {values}.").format(
                key=setting.key, value=text[:_LONGEST_SHOWN], values=error
            )
        ) from error
    await _check_value(context, wanted, setting, text)
    await context.services.scopes.set(context.session, wanted, setting.key, value)
    await record(context, "settings set", f"{wanted} {setting.key} = {shown(value)}")
    context.after.append(context.services.scopes.forget)
    return _("{key} is {value} for {scope} now.").format(
        key=setting.key, value=shown(value)[:_LONGEST_SHOWN], scope=scope_name(context, wanted)
    )


async def reset(context: CommandContext) -> str:
    wanted = scope(context, required(context, "scope"))
    setting = _setting(required(context, "key"))
    await _check_right(context, wanted, setting)
    name = scope_name(context, wanted)
    if not await context.services.scopes.reset(context.session, wanted, setting.key):
        return _("{key} is not set for {scope}.").format(key=setting.key, scope=name)
    await record(context, "settings reset", f"{wanted} {setting.key}")
    context.after.append(context.services.scopes.forget)
    return _("{key} is no longer set for {scope}.").format(key=setting.key, scope=name)


async def when(context: CommandContext) -> str:
    """Set when the bot answers in the channel or thread that this is."""
    if context.place.private:
        raise Refusal(_("In a private chat I always answer. Use this where there are others."))
    mode = required(context, "mode").lower()
    if mode not in tuple(When):
        raise Refusal(_("I don't know {mode}. There are: {names}.").format(mode=mode, names=", ".join(When)))
    wanted = here(context.place)
    await context.services.scopes.set(context.session, wanted, "when", mode)
    await record(context, "when", f"{wanted} {mode}")
    context.after.append(context.services.scopes.forget)
    match When(mode):
        case When.MENTION:
            return _("From now on I answer here when I am named.")
        case When.REPLY:
            return _("From now on I answer here when I am named or replied to.")
        case When.ALWAYS:
            return _("From now on I answer every message here.")
        case When.NEVER:
            return _("From now on I answer only commands here.")
    return _("From now on I answer only in threads here.")


def _setting(key: str) -> Setting:
    setting = SETTINGS.get(key.lower())
    if setting is None:
        raise Refusal(
            _("There is no setting called {key}. There are: {names}.").format(
                key=key, names=", ".join(SETTINGS)
            )
        )
    return setting


async def _check_right(context: CommandContext, wanted: Scope, setting: Setting) -> None:
    """The command itself is an administrator's; some scopes and settings are the owner's."""
    rights = (right_for(context, wanted), setting.needs(wanted.kind))
    if Permission.OWNER in rights and not await _owns(context):
        raise Refusal(
            _("Setting {key} for {scope} needs my owner, and you are not that.").format(
                key=setting.key, scope=scope_name(context, wanted)
            )
        )


async def _check_value(context: CommandContext, wanted: Scope, setting: Setting, text: str) -> None:
    """What depends on more than the value itself: which personas and models there are, and that nobody gives
    more than the owner does."""
    if setting.key == "persona":
        known = {*PERSONAS, *await made.of_realm(context.session, wanted.platform, context.place.realm)}
        if text not in known:
            raise Refusal(
                _("I know no persona called {name}. There are: {names}.").format(
                    name=text, names=", ".join(sorted(known))
                )
            )
    if setting.key == "model":
        names = [name for name in context.services.models.names if context.scoped.allows_model(name)]
        if text not in names:
            raise Refusal(
                _("You can't use a model called {name} here. There are: {names}.").format(
                    name=text, names=", ".join(names)
                )
            )
    if setting.key == "max_tokens" and not await _owns(context):
        platform = Scope(wanted.platform, ScopeKind.PLATFORM)
        most = (await context.services.scopes.read(context.session, [platform])).max_tokens
        if int(text) > most:
            raise Refusal(_("More than {count} tokens need my owner.").format(count=most))


async def _owns(context: CommandContext) -> bool:
    return owns(await context.services.access.policy(), context.actor)


_SCOPE = Param("scope", N_("person, thread, channel, server or platform"), suggested=True)
_KEY = Param("key", N_("The setting"), suggested=True)
_ADMINISTRATOR = Permission.ADMINISTRATOR

HANDLED = (
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} settings show",
            N_("Show the settings that hold here, and where they are set"),
            (Param("what", N_("A setting, or a scope"), required=False, suggested=True),),
            permission=_ADMINISTRATOR,
        ),
        show,
        at_once=True,
    ),
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} settings set",
            N_("Set something for a person, thread, channel, server or platform"),
            (_SCOPE, _KEY, Param("value", N_("The value"), suggested=True)),
            permission=_ADMINISTRATOR,
        ),
        put,
        at_once=True,
    ),
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} settings reset",
            N_("Take a setting back"),
            (_SCOPE, _KEY),
            permission=_ADMINISTRATOR,
        ),
        reset,
        at_once=True,
    ),
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} when",
            N_("Choose when I answer in this channel"),
            (Param("mode", N_("When"), choices=tuple(When)),),
            permission=_ADMINISTRATOR,
        ),
        when,
        at_once=True,
    ),
)
