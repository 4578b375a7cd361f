"""`/pair`, `/admin access`, `/admin ban`: who may do what, and who is what to the bot."""

from __future__ import annotations

from adapters.commands import CommandSpec, Kind, Param, Permission
from bot.access import EVERYWHERE, TALKING, SubjectKind
from bot.commands.admin_words import called, person, realm_name, record, required, subject
from bot.commands.base import ADMIN_ROOT, Command, CommandContext, Handler, Refusal
from bot.i18n import N_, _
from bot.pairing import COMMAND as PAIR
from bot.store import access as stored
from bot.store.access import GrantKind

LONGEST_REASON = 200


async def pair(context: CommandContext) -> str:
    """Make whoever sends the code that was shown at the start the bot's owner."""
    pairing, actor, platform = context.services.pairing, context.actor, context.place.chat.platform
    if not context.place.private:
        raise Refusal(_("Send me the code in a private chat, where nobody else reads it."))
    owners = [one for one in await stored.grants(context.session) if one.kind == GrantKind.OWNER]
    if not pairing.open or any(one.platform == platform for one in owners):
        raise Refusal(_("I have an owner already, and no code to be paired with."))
    if not pairing.may_try(platform, actor.id):
        raise Refusal(_("Those were too many wrong codes. Try again in an hour."))
    if not pairing.matches(required(context, "code")):
        raise Refusal(_("That is not the code. It stands in the terminal where I was started."))
    await stored.grant(
        context.session,
        platform,
        actor.id,
        GrantKind.OWNER,
        context.services.clock(),
        name=actor.name,
        note=context.place.chat.chat,  # where the owner can be told something
    )
    await record(context, "pair", f"{actor.name} is the owner")
    context.after.extend((pairing.end, context.services.access.forget))
    return _("You are my owner now. /admin shows what you can do.")


async def allow(context: CommandContext) -> str:
    return await _rule(context, TALKING, allow=True)


async def deny(context: CommandContext) -> str:
    return await _rule(context, TALKING, allow=False)


async def _rule(context: CommandContext, what: str, *, allow: bool) -> str:
    who = await subject(context, required(context, "who"))
    await stored.put_rule(
        context.session,
        context.place.chat.platform,
        context.place.realm,
        what,
        (who.kind, who.id),
        allow=allow,
    )
    verb = "allow" if allow else "deny"
    await record(context, f"access {verb}", f"{what} {who}")
    context.after.append(context.services.access.forget)
    where, name = realm_name(context.place), await called(context, who)
    if allow:
        return _("{who} may talk to me {where}. Where someone is allowed, those who are not may not.").format(
            who=name, where=where
        )
    return _("{who} may no longer talk to me {where}.").format(who=name, where=where)


async def remove(context: CommandContext) -> str:
    who = await subject(context, required(context, "who"))
    removed = await stored.remove_rules(
        context.session, context.place.chat.platform, context.place.realm, TALKING, (who.kind, who.id)
    )
    name = await called(context, who)
    if not removed:
        return _("There is no rule for {who} {where}.").format(who=name, where=realm_name(context.place))
    await record(context, "access remove", str(who))
    context.after.append(context.services.access.forget)
    return _("The rule for {who} is gone.").format(who=name)


async def list_rules(context: CommandContext) -> str:
    """Everything that is set of rights here; the owner's own sight in a private chat."""
    policy = await context.services.access.read(context.session)
    platform, realm = context.place.chat.platform, context.place.realm
    lines = [_("Rules {where}:").format(where=realm_name(context.place))]
    for rule in policy.rules.get((platform, realm), ()):
        verb = _("allowed") if rule.allow else _("denied")
        lines.append(f"- {rule.what}: {await called(context, rule.subject)} {verb}")
    for (on, who), realms in policy.bans.items():
        if on == platform and realm in realms:
            name = await called(context, who)
            lines.append("- " + _("banned: {who} {reason}").format(who=name, reason=realms[realm]).strip())
    if realm == EVERYWHERE:
        lines += [
            "- " + _("owner: {who}").format(who=await called(context, who))
            for on, who in policy.owners
            if on == platform
        ]
        lines += [
            "- " + _("administrator: {who}").format(who=await called(context, who))
            for on, who in policy.administrators
            if on == platform
        ]
        lines += [
            "- " + _("asks to be let in: {name}, code {code}").format(name=one.name, code=one.note)
            for one in await stored.all_asking(context.session)
        ]
    if len(lines) == 1:
        return _("There are no rules {where}: everyone may talk to me.").format(
            where=realm_name(context.place)
        )
    return "\n".join(lines)


async def for_command(context: CommandContext) -> str:
    from bot.commands.registry import action_of, find_command, find_turn  # which imports this module

    name = required(context, "name").removeprefix("/").lower()
    command = find_command(name) or find_turn(name)
    if command is None:
        raise Refusal(_("I don't know the command /{name}. /help tells what I can do.").format(name=name))
    action = action_of(command)
    if action.needs is Permission.OWNER or action.always:
        raise Refusal(_("Who may use /{name} can't be changed.").format(name=name))
    return await _only_for(context, action.what, f"/{name}")


async def for_model(context: CommandContext) -> str:
    name = required(context, "name")
    if not context.services.models.is_open(name):
        names = ", ".join(context.services.models.names)
        raise Refusal(
            _("No model called {name} is loaded. There are: {names}.").format(name=name, names=names)
        )
    return await _only_for(context, f"model:{name}", name)


async def _only_for(context: CommandContext, what: str, name: str) -> str:
    """Add someone to those who may use a command or model; `everyone` lifts what was said before."""
    who = await subject(context, required(context, "who"))
    platform, realm = context.place.chat.platform, context.place.realm
    if who.kind is SubjectKind.EVERYONE:
        await stored.remove_rules(context.session, platform, realm, what)
        answer = _("{name} is as usual again {where}.")
    else:
        await stored.put_rule(context.session, platform, realm, what, (who.kind, who.id), allow=True)
        answer = _("{name} can be used {where} by {who}, and by nobody else who is not named so.")
    await record(context, "access", f"{what} {who}")
    context.after.append(context.services.access.forget)
    return answer.format(name=name, where=realm_name(context.place), who=await called(context, who))


async def approve(context: CommandContext) -> str:
    """Let somebody in who has shown their code."""
    code = required(context, "code").lower()
    asking = await stored.asking(context.session, code)
    if asking is None:
        raise Refusal(_("Nobody asks to be let in with that code. /admin access list shows who does."))
    now = context.services.clock()
    await stored.grant(
        context.session, asking.platform, asking.person, GrantKind.GUEST, now, name=asking.name
    )
    await stored.revoke(context.session, asking.platform, asking.person, GrantKind.ASKING)
    await record(
        context, "access approve", f"{asking.platform} {asking.person} {asking.name}", realm=EVERYWHERE
    )
    context.after.append(context.services.access.forget)
    return _("{name} may talk to me in private now.").format(name=asking.name)


async def grant(context: CommandContext) -> str:
    who = await person(context, required(context, "who"))
    now = context.services.clock()
    await stored.grant(context.session, context.place.chat.platform, who, GrantKind.ADMINISTRATOR, now)
    await record(context, "access grant", who, realm=EVERYWHERE)
    context.after.append(context.services.access.forget)
    return _("{who} is an administrator of mine now, in every server.").format(who=await called(context, who))


async def revoke(context: CommandContext) -> str:
    who = await person(context, required(context, "who"))
    removed = [
        await stored.revoke(context.session, context.place.chat.platform, who, kind)
        for kind in (GrantKind.ADMINISTRATOR, GrantKind.GUEST)
    ]
    name = await called(context, who)
    if not any(removed):
        return _("{who} was nothing that could be taken away.").format(who=name)
    await record(context, "access revoke", who, realm=EVERYWHERE)
    context.after.append(context.services.access.forget)
    return _("{who} is neither an administrator of mine nor let in any more.").format(who=name)


async def ban(context: CommandContext) -> str:
    who = await person(context, required(context, "who"))
    platform, realm = context.place.chat.platform, context.place.realm
    policy = await context.services.access.read(context.session)
    if (platform, who) in policy.owners or who == context.actor.id:
        raise Refusal(_("My owner and yourself are not to be banned."))
    reason = (context.argument("reason") or "")[:LONGEST_REASON]
    now = context.services.clock()
    await stored.grant(context.session, platform, who, GrantKind.BANNED, now, realm=realm, note=reason)
    await record(context, "ban", f"{who} {reason}".strip())
    context.after.append(context.services.access.forget)
    return _("{who} is banned {where}. I no longer answer them.").format(
        who=await called(context, who), where=realm_name(context.place)
    )


async def unban(context: CommandContext) -> str:
    who = await person(context, required(context, "who"))
    platform, realm = context.place.chat.platform, context.place.realm
    name = await called(context, who)
    if not await stored.revoke(context.session, platform, who, GrantKind.BANNED, realm=realm):
        return _("{who} is not banned {where}.").format(who=name, where=realm_name(context.place))
    await record(context, "unban", who)
    context.after.append(context.services.access.forget)
    return _("{who} is no longer banned {where}.").format(who=name, where=realm_name(context.place))


_WHO = Param("who", N_("A person, role:ID, channel, server, administrator or everyone"), suggested=True)
_PERSON = Param("who", N_("The person"), kind=Kind.PERSON)
_ADMINISTRATOR, _OWNER = Permission.ADMINISTRATOR, Permission.OWNER


def _command(
    words: str, description: str, params: tuple[Param, ...], handler: Handler, permission: Permission
) -> Command:
    spec = CommandSpec(f"{ADMIN_ROOT} {words}", description, params, permission=permission)
    return Command(spec, handler, at_once=True)


HANDLED = (
    Command(
        CommandSpec(
            PAIR,
            N_("Become my owner, by the code that I show when I start"),
            (Param("code", N_("The code")),),
            permission=Permission.OWNER,  # as far as menus go: whoever has the code may
        ),
        pair,
        at_once=True,
        always=True,
    ),
    _command("access allow", N_("Let only some talk to me: these"), (_WHO,), allow, _ADMINISTRATOR),
    _command("access deny", N_("Let someone no longer talk to me"), (_WHO,), deny, _ADMINISTRATOR),
    _command("access remove", N_("Take back what was said of someone"), (_WHO,), remove, _ADMINISTRATOR),
    _command("access list", N_("Show the rules and bans"), (), list_rules, _ADMINISTRATOR),
    _command(
        "access command",
        N_("Choose who may use a command"),
        (Param("name", N_("The command; in quotation marks if it has several words"), suggested=True), _WHO),
        for_command,
        _ADMINISTRATOR,
    ),
    _command(
        "access model",
        N_("Choose who may use a model"),
        (Param("name", N_("The model"), suggested=True), _WHO),
        for_model,
        _ADMINISTRATOR,
    ),
    _command(
        "access approve",
        N_("Let someone talk to me in private, by the code that I gave them"),
        (Param("code", N_("Their code")),),
        approve,
        _OWNER,
    ),
    _command("access grant", N_("Make someone an administrator of mine"), (_PERSON,), grant, _OWNER),
    _command(
        "access revoke", N_("Make someone an administrator or guest no more"), (_PERSON,), revoke, _OWNER
    ),
    _command(
        "ban",
        N_("Answer someone no longer"),
        (_PERSON, Param("reason", N_("Why; they are told"), required=False)),
        ban,
        _ADMINISTRATOR,
    ),
    _command("unban", N_("Answer someone again"), (_PERSON,), unban, _ADMINISTRATOR),
)
