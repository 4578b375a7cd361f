"""What the bot tells of itself and of whom it talks to: help, who somebody is, what is used, how it fares."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select

from adapters.commands import CommandSpec, Param, Permission
from adapters.types import File
from bot import amounts, plots, stats
from bot.access import Action, Actor, Allowed, Policy, administers, authorize, owns
from bot.commands.base import ADMIN_ROOT, Command, CommandContext, Preparation, Refusal, Reply
from bot.decisions import Verdict
from bot.i18n import N_, _, _n, named
from bot.pairing import COMMAND as PAIR
from bot.quotas import Limit
from bot.stats import Stats
from bot.store import usage
from bot.store.models import DecisionRow, InboxRow, InboxState, OutboxRow, OutboxState
from bot.store.usage import Account, Period, Used

HERE, ALL = "here", "all"
DAYS = ("7", "30", "90", "365")


@dataclass(frozen=True, slots=True)
class Known:
    """A person with their standing, and the policy that their rights depend on."""

    actor: Actor
    policy: Policy


async def known(preparation: Preparation) -> Known:
    """Ask the platform who the person is here."""
    access = preparation.services.access
    actor = await access.actor(preparation.event.author, Action(), preparation.place, roles=True)
    return Known(actor, await access.policy())


async def help_text(context: CommandContext) -> str:
    usable = list(_usable(context))
    wanted = context.argument("command")
    if wanted is not None:
        return _one_command(context, usable, wanted.lower().removeprefix("/"))
    plain = [spec for spec in usable if not spec.name.startswith(f"{ADMIN_ROOT} ")]
    lines = [_("I am {name}. Just write to me, or use:").format(name=context.settings.persona.name)]
    lines += [f"- /{spec.name} - {_(spec.description)}" for spec in plain]
    if len(plain) < len(usable):
        root = named(f"/{ADMIN_ROOT}").removeprefix("/")
        count = len(usable) - len(plain)
        text = _n(
            "- /{root} - administration, {count} command: /help {root} lists it",
            "- /{root} - administration, {count} commands: /help {root} lists them",
            count,
        )
        lines.append(text.format(root=root, count=count))
    lines.append(_("In a group, mention me or reply to me. Reply to an older message to go on from there."))
    return "\n".join(lines)


def _usable(context: CommandContext) -> Iterable[CommandSpec]:
    """The commands that this person may use here."""
    from bot.commands.registry import COMMANDS, action_of, find_command  # it imports this module

    who: Known = context.prepared
    for spec in COMMANDS:
        if spec.name == PAIR and not _needs_owner(context):
            continue
        action = action_of(find_command(spec.name) or spec)
        if isinstance(authorize(who.policy, who.actor, action, context.place), Allowed):
            yield spec


def _needs_owner(context: CommandContext) -> bool:
    """Whether somebody can become the bot's owner here."""
    who: Known = context.prepared
    owned = any(platform == context.place.chat.platform for platform, _person in who.policy.owners)
    return context.services.pairing.open and not owned


def _one_command(context: CommandContext, usable: Sequence[CommandSpec], wanted: str) -> str:
    """A command with its parameters, or those of a group."""
    from bot.commands.registry import own_name  # it imports this module

    name = own_name(wanted)
    found = [spec for spec in usable if spec.name == name or spec.name.startswith(f"{name} ")]
    if not found:
        raise Refusal(
            _("You have no command /{name} here. /help lists those that you have.").format(name=wanted)
        )
    if len(found) > 1:
        return "\n".join(f"- {_usage(spec)} - {_(spec.description)}" for spec in found)
    spec = found[0]
    lines = [f"{_usage(spec)} - {_(spec.description)}"]
    for param in spec.params:
        choices = f" ({', '.join(param.choices)})" if param.choices else ""
        lines.append(f"- {param.name}: {_(param.description)}{choices}")
    return "\n".join(lines)


def _usage(spec: CommandSpec) -> str:
    params = [f"<{param.name}>" if param.required else f"[{param.name}]" for param in spec.params]
    return " ".join([named(f"/{spec.name}"), *params])


async def who_am_i(context: CommandContext) -> str:
    who: Known = context.prepared
    place, person = context.place, context.event.author
    lines = [
        _("You are {name}, {id} on {platform}.").format(
            name=person.name, id=f"`{person.id}`", platform=place.chat.platform
        ),
        _("This chat is {id}.").format(id=f"`{place.chat.chat}`"),
    ]
    if place.chat.thread is not None:
        lines.append(_("This thread is {id}.").format(id=f"`{place.chat.thread}`"))
    if place.parent is not None:
        lines.append(_("It is a thread of {id}.").format(id=f"`{place.parent}`"))
    if place.server is not None:
        lines.append(_("This server or group is {id}.").format(id=f"`{place.server}`"))
    if person.language is not None:
        lines.append(_("Your app speaks {language}.").format(language=person.language))
    if who.actor.roles:
        lines.append(_("Your roles: {roles}").format(roles=", ".join(f"`{one}`" for one in who.actor.roles)))
    return "\n".join([*lines, *_ranks(who, context)])


def _ranks(who: Known, context: CommandContext) -> Iterable[str]:
    """What the person is to the bot."""
    if owns(who.policy, who.actor):
        yield _("You are my owner.")
    elif administers(who.policy, who.actor, context.place):
        yield _("You are an administrator here.")
    refused = authorize(who.policy, who.actor, Action(), context.place)
    if not isinstance(refused, Allowed):
        yield refused.text


async def used(context: CommandContext) -> str:
    now = context.services.clock()
    mine = Account(context.actor.platform, context.actor.id)
    totals = await usage.totals(context.session, [mine], now)
    today, month = (totals.get((mine, period), Used()) for period in (Period.DAY, Period.MONTH))
    lines = [
        _("Today you have used {messages} and {tokens}.").format(
            messages=amounts.messages(today.messages), tokens=amounts.tokens(today.tokens)
        ),
        _("This month it is {messages} and {tokens}.").format(
            messages=amounts.messages(month.messages), tokens=amounts.tokens(month.tokens)
        ),
    ]
    who: Known = context.prepared
    if owns(who.policy, who.actor):
        return "\n".join([*lines, _("As my owner you have no limits.")])
    limits = await context.services.quotas.limits(context.session, who.actor, context.place, now)
    if not limits:
        return "\n".join([*lines, _("You have no limits here.")])
    return "\n".join([*lines, _("Your limits, in UTC:"), *(_limit(limit, now) for limit in limits)])


def _limit(limit: Limit, now: Any) -> str:
    count = limit.amount
    names = {
        "messages_per_minute": _n("message a minute", "messages a minute", count),
        "messages_per_day": _n("message a day", "messages a day", count),
        "messages_per_month": _n("message a month", "messages a month", count),
        "tokens_per_minute": _n("token a minute", "tokens a minute", count),
        "tokens_per_day": _n("token a day", "tokens a day", count),
        "tokens_per_month": _n("token a month", "tokens a month", count),
    }
    return _("- {whose}: {used} of {amount} {what}, anew in {time}").format(
        whose=limit.whose,
        used=limit.used,
        amount=count,
        what=names[f"{limit.measure}_per_{limit.period}"],
        time=amounts.duration((limit.renews - now).total_seconds()),
    )


async def status(context: CommandContext) -> str:
    services = context.services
    now = services.clock()
    running = amounts.duration((now - services.started).total_seconds())
    lines = [_("I have been running for {time}.").format(time=running)]
    for name in services.models.names:
        lines += _model_status(name, services.models.using(name), services.models.stats(name))
    lines.append(_("Memory: {size} MB").format(size=_memory_mb()))
    others = InboxRow.event_id != context.event.id
    waiting = await _count(context, InboxRow.state.in_((InboxState.PENDING, InboxState.CLAIMED)), others)
    sending = await _count(context, OutboxRow.state.in_((OutboxState.PENDING, OutboxState.SENDING)))
    lines.append(
        _("Messages: {waiting} being answered or waiting, {sending} being sent").format(
            waiting=waiting, sending=sending
        )
    )
    recent = [DecisionRow.verdict == Verdict.FAILED, DecisionRow.at >= now - timedelta(days=1)]
    if not context.place.private:
        recent.append(DecisionRow.realm == context.place.realm)
    lines.append(
        _(
            "Trouble: answers that failed in a day: {failed}; messages put aside: {aside}, "
            "not delivered: {lost}"
        ).format(
            failed=await _count(context, *recent),
            aside=await _count(context, InboxRow.state == InboxState.ASIDE),
            lost=await _count(context, OutboxRow.state == OutboxState.FAILED),
        )
    )
    return "\n".join(lines)


def _model_status(name: str, using: int, engine: Any) -> Iterable[str]:
    """A model's line, and what its engine tells of itself, if it does."""
    text = _n("Model {name}: {count} answer under way", "Model {name}: {count} answers under way", using)
    yield text.format(name=name, count=using)
    if engine is None:
        return
    yield "- " + _("queue: {running} running of {most}, {waiting} waiting").format(
        running=engine.running, most=engine.max_running, waiting=engine.waiting
    )
    yield "- " + _("speed: {output} tokens/s written, {computed} tokens/s computed").format(
        output=f"{engine.output_per_second:.1f}", computed=f"{engine.computed_per_second:.1f}"
    )
    yield "- " + _("cache: {rate} of the prompts' tokens were in it, {full} of it is full").format(
        rate=f"{engine.prefix_hit_rate:.0%}",
        full=f"{1 - engine.free_blocks / max(engine.total_blocks, 1):.0%}",
    )
    median = engine.first_token.quantile(0.5)
    if median is not None:
        yield "- " + _("half of the answers begin within {seconds} s").format(seconds=f"{median:g}")


async def _count(context: CommandContext, *conditions: Any) -> int:
    return await context.session.scalar(select(func.count()).where(*conditions)) or 0


def _memory_mb() -> int:
    """The most memory that the process has held; 0 where the system does not tell (Windows)."""
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: in bytes; all others: in KiB
    return most >> 20 if sys.platform == "darwin" else most >> 10


@dataclass(frozen=True, slots=True)
class Drawn:
    """Statistics, and their picture if there is one."""

    stats: Stats
    days: int
    picture: bytes | None


async def draw_stats(preparation: Preparation) -> Drawn:
    """Count and draw: both take their time, and neither needs the transaction."""
    services, place = preparation.services, preparation.place
    arguments = getattr(preparation.event, "arguments", {})
    days = arguments.get("days", "30")
    if days not in DAYS:
        raise Refusal(_("The days are one of {choices}.").format(choices=", ".join(DAYS)))
    everywhere = place.private or arguments.get("scope") == ALL
    if everywhere and not owns(await services.access.policy(), preparation.actor):
        raise Refusal(_("Only my owner may see what is said in all servers and groups."))
    scope = {} if everywhere else {"platform": place.chat.platform, "server": place.server}
    async with services.database.read() as session:
        counted = await stats.collect(session, services.clock(), int(days), **scope)

    def title() -> str:
        name = services.settings.persona.name
        text = _n("{name}, the last {count} day", "{name}, the last {count} days", int(days))
        return text.format(name=name, count=days)

    try:
        picture = await plots.draw(plots.picture_of(counted, title, _channel_name))
    except plots.NoPlots:
        picture = None
    return Drawn(counted, int(days), picture)


def _channel_name(platform: str, chat: str | None) -> str:
    return _("{platform}, private chats").format(platform=platform) if chat is None else f"{platform} {chat}"


async def show_stats(context: CommandContext) -> Reply:
    drawn: Drawn = context.prepared
    counted = drawn.stats
    times = sorted(day.first_token for day in counted.days if day.first_token is not None)
    lines = [
        _n("The last {count} day:", "The last {count} days:", drawn.days).format(count=drawn.days),
        "- " + amounts.messages(counted.messages),
        "- " + _n("{count} person", "{count} people", counted.people).format(count=counted.people),
        "- " + amounts.tokens(counted.tokens),
    ]
    if times:
        middle = times[len(times) // 2]
        lines.append("- " + _("{seconds} s until an answer began").format(seconds=f"{middle:.2f}"))
    if counted.liked or counted.disliked:
        lines.append(f"- {counted.liked} 👍, {counted.disliked} 👎")
    if drawn.picture is None:
        lines.append(_('For pictures, install matplotlib: pip install "chorus[plots]"'))
        return Reply("\n".join(lines))
    return Reply("\n".join(lines), files=(File("stats.png", drawn.picture, "image/png"),))


HANDLED = (
    Command(
        CommandSpec(
            "help",
            N_("What I can do"),
            (Param("command", N_("A command to explain"), required=False),),
        ),
        help_text,
        at_once=True,
        prepare=known,
        always=True,
    ),
    Command(
        CommandSpec("usage", N_("What you have used, and your limits")), used, at_once=True, prepare=known
    ),
    Command(
        CommandSpec("whoami", N_("Who you are to me")),
        who_am_i,
        at_once=True,
        prepare=known,
        always=True,
    ),
    Command(
        CommandSpec(f"{ADMIN_ROOT} status", N_("How I am doing"), permission=Permission.ADMINISTRATOR),
        status,
        at_once=True,
    ),
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} stats",
            N_("What was said, as pictures"),
            (
                Param("days", N_("How many days"), required=False, choices=DAYS),
                Param("scope", N_("This server or group, or all"), required=False, choices=(HERE, ALL)),
            ),
            permission=Permission.ADMINISTRATOR,
        ),
        show_stats,
        at_once=True,
        prepare=draw_stats,
    ),
)
