"""`/admin quota`: how many messages and tokens somebody may use."""

from __future__ import annotations

from adapters.commands import CommandSpec, Param, Permission
from bot.access import EVERYWHERE, Subject, SubjectKind
from bot.commands.admin_words import called, realm_name, record, required, subject
from bot.commands.base import ADMIN_ROOT, Command, CommandContext, Refusal
from bot.i18n import N_, _
from bot.quotas import LIMITS, UNLIMITED
from bot.store import usage

MOST = 10**12
UNLIMITED_WORD = "unlimited"


async def put(context: CommandContext) -> str:
    who = _limited(context, await subject(context, required(context, "who")))
    name = required(context, "limit").lower()
    if name not in LIMITS:
        raise Refusal(
            _("There is no limit {name}. There are: {names}.").format(name=name, names=", ".join(LIMITS))
        )
    amount = _amount(required(context, "amount"))
    measure, period = LIMITS[name]
    await usage.put_quota(
        context.session,
        context.place.chat.platform,
        context.place.realm,
        (who.kind, who.id),
        measure,
        period,
        amount,
    )
    await record(context, "quota set", f"{who} {name} {_shown(amount)}")
    context.after.append(context.services.quotas.forget)
    return _("{limit} is {amount} for {who} {where} now.").format(
        limit=name,
        amount=_shown(amount),
        who=await called(context, who),
        where=realm_name(context.place),
    )


async def reset(context: CommandContext) -> str:
    who = _limited(context, await subject(context, required(context, "who")))
    removed = await usage.remove_quotas(
        context.session, context.place.chat.platform, context.place.realm, (who.kind, who.id)
    )
    name = await called(context, who)
    if not removed:
        return _("No limits are set for {who} {where}.").format(who=name, where=realm_name(context.place))
    await record(context, "quota reset", str(who))
    context.after.append(context.services.quotas.forget)
    return _("The limits of {who} are no longer set {where}.").format(
        who=name, where=realm_name(context.place)
    )


async def show(context: CommandContext) -> str:
    rows = [
        row
        for row in await usage.quotas(context.session)
        if (row.platform, row.realm) == (context.place.chat.platform, context.place.realm)
    ]
    heading = _("Limits that are set {where}:") if rows else _("No limits are set {where}.")
    lines = [heading.format(where=realm_name(context.place))]
    for row in rows:
        who = await called(context, Subject(SubjectKind(row.subject_kind), row.subject))
        lines.append(f"- {who}: {row.measure}_per_{row.period} = {_shown(row.amount)}")
    defaults = context.settings.quota
    lines.append(_("Where none is set, the defaults hold:"))
    lines += [f"- {name} = {getattr(defaults, name) or UNLIMITED_WORD}" for name in LIMITS]
    return "\n".join(lines)


def _limited(context: CommandContext, who: Subject) -> Subject:
    """Whom a limit can be for. An administrator's server is the one that they are in."""
    if who.kind not in (SubjectKind.PERSON, SubjectKind.ROLE, SubjectKind.SERVER, SubjectKind.EVERYONE):
        raise Refusal(_("A limit is for a person, a role, a server or everyone."))
    if who.kind is SubjectKind.SERVER and context.place.realm not in (EVERYWHERE, who.id):
        raise Refusal(_("Here you can set limits of this server only."))
    return who


def _amount(text: str) -> int:
    if text.lower() == UNLIMITED_WORD:
        return UNLIMITED
    digits = text.replace("_", "").replace(",", "").replace(".", "")
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 12 or int(digits) > MOST:
        raise Refusal(_("An amount is a whole number from 0 on, or unlimited."))
    return int(digits)


def _shown(amount: int) -> str:
    return UNLIMITED_WORD if amount == UNLIMITED else str(amount)


_WHO = Param("who", N_("A person, role:ID, server or everyone"), suggested=True)
_ADMINISTRATOR = Permission.ADMINISTRATOR

HANDLED = (
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} quota set",
            N_("Limit the messages or tokens that someone may use"),
            (
                _WHO,
                Param("limit", N_("What is limited"), choices=tuple(LIMITS)),
                Param("amount", N_("How much, or unlimited")),
            ),
            permission=_ADMINISTRATOR,
        ),
        put,
        at_once=True,
    ),
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} quota reset",
            N_("Take the limits of someone back"),
            (_WHO,),
            permission=_ADMINISTRATOR,
        ),
        reset,
        at_once=True,
    ),
    Command(
        CommandSpec(f"{ADMIN_ROOT} quota show", N_("Show the limits"), permission=_ADMINISTRATOR),
        show,
        at_once=True,
    ),
)
