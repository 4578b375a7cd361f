"""`/admin broadcast`, `/admin audit`, `/admin diagnose`: telling everyone, and finding out what happened."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import timedelta

from adapters.commands import CommandSpec, Kind, Param, Permission
from adapters.types import ChatRef, CommandInvoked
from bot.access import EVERYWHERE
from bot.commands.admin_words import record, required
from bot.commands.base import ADMIN_ROOT, Command, CommandContext, Press, Refusal, Reply, button
from bot.decisions import Verdict
from bot.delivery import final
from bot.i18n import N_, _, _n
from bot.scopes import ScopeKind
from bot.store import audit as audits
from bot.store import broadcasts, outbox
from bot.store import settings as stored_settings
from bot.store.broadcasts import Recipient
from bot.store.models import Broadcast

LATELY = timedelta(days=30)
CONFIRMED_WITHIN = timedelta(hours=1)
LONGEST_NEWS = 1500  # characters: one message on every platform
MOST_CHANGES = 50
PRESS = "broadcast"


async def broadcast(context: CommandContext) -> Reply:
    """Ask whether that is really to be sent."""
    text = required(context, "text")
    if len(text) > LONGEST_NEWS:
        raise Refusal(_("News have at most {count} characters.").format(count=LONGEST_NEWS))
    place = context.place
    asked = await broadcasts.ask(
        context.session, place.chat.platform, place.realm, context.actor.id, text, context.services.clock()
    )
    chats = await _recipients(context, asked)
    if not chats:
        raise Refusal(_("Nobody who wants news has talked to me in the last 30 days."))
    who = context.event.author
    return Reply(
        "{}\n\n{}".format(
            _n("This goes to {count} chat:", "This goes to {count} chats:", len(chats)).format(
                count=len(chats)
            ),
            text,
        ),
        buttons=(
            (
                button(_("Send it"), PRESS, "send", str(asked.id), person=who),
                button(_("Don't"), PRESS, "drop", str(asked.id), person=who),
            ),
        ),
    )


async def confirmed(context: CommandContext, values: tuple[str, ...]) -> Reply:
    """The second word on it. A second press sends nothing twice."""
    verb, number = (*values, "", "")[:2]
    readable = number.isascii() and number.isdecimal() and len(number) <= 18
    asked = await broadcasts.find(context.session, int(number)) if readable else None
    now = context.services.clock()
    if asked is None or asked.person != context.actor.id or asked.realm != context.place.realm:
        raise Refusal(_("There are no such news to be sent."))
    if asked.sent_at is not None:
        return Reply(_("These news were sent already."), replaces=True)
    if verb != "send" or now - asked.asked_at > CONFIRMED_WITHIN:
        await context.session.delete(asked)
        return Reply(_("Nothing was sent."), replaces=True)
    chats = await _recipients(context, asked)
    asked.sent_at = now
    for one in chats:
        chat = ChatRef(one.platform, one.chat, one.thread)
        parts = context.services.adapters[one.platform].parts(asked.text)
        outgoing = final(secrets.token_hex(8), parts, [], reply_to=None)
        await outbox.enqueue(context.session, chat, outgoing, now)
        context.chats.append(chat)
    await record(context, "broadcast", f"to {len(chats)}: {asked.text}")
    said = _n(
        "The news are on their way to {count} chat.",
        "The news are on their way to {count} chats.",
        len(chats),
    )
    return Reply(said.format(count=len(chats)), replaces=True)


async def _recipients(context: CommandContext, asked: Broadcast) -> Sequence[Recipient]:
    """The chats used lately, but for those that don't want news and people who are banned."""
    server = None if asked.realm == EVERYWHERE else (asked.platform, asked.realm)
    since = context.services.clock() - LATELY
    found = await broadcasts.recipients(context.session, since, server=server)
    policy = await context.services.access.read(context.session)
    silent = {
        (platform, *scope)
        for platform in context.services.adapters
        for scope in await stored_settings.switched_off(context.session, platform, "broadcasts")
    }
    return [
        one
        for one in found
        if one.platform in context.services.adapters
        and not silent.intersection(_scopes(one))
        and not (one.server is None and (one.platform, one.person) in policy.bans)
    ]


def _scopes(one: Recipient) -> Sequence[tuple[str, str, str]]:
    scopes = [(ScopeKind.CHANNEL, one.chat), (ScopeKind.PLATFORM, "")]
    if one.thread is not None:
        scopes.append((ScopeKind.THREAD, f"{one.chat}/{one.thread}"))
    if one.server is not None:
        scopes.append((ScopeKind.SERVER, one.server))
    elif one.person is not None:
        scopes.append((ScopeKind.PERSON, one.person))
    return [(one.platform, kind.value, id_) for kind, id_ in scopes]


async def audit(context: CommandContext) -> str:
    """The last changes: here, or all of them for the owner in a private chat."""
    count = context.argument("count") or "20"
    if not count.isascii() or not count.isdecimal() or not 1 <= int(count[:9]) <= MOST_CHANGES:
        raise Refusal(_("I show from 1 to {count} changes.").format(count=MOST_CHANGES))
    place = context.place
    here = place.realm != EVERYWHERE
    rows = await audits.newest(
        context.session,
        platform=place.chat.platform if here else None,
        realm=place.realm if here else None,
        limit=int(count),
    )
    if not rows:
        return _("Nothing has been changed yet.")
    return "\n".join(
        f"- {row.at:%Y-%m-%d %H:%M} UTC, {row.name}: {row.action} {_short(row.detail)}" for row in rows
    )


async def diagnose(context: CommandContext) -> str:
    """Why a message was answered, or not."""
    chat, message = _message(context)
    if chat.chat != context.place.chat.chat and context.place.realm != EVERYWHERE:
        raise Refusal(_("Ask me in the channel where the message stands."))
    found = await context.services.decisions.find(context.session, chat, message)
    if found is None:
        return _(
            "I know nothing of that message: it is older than a week, it never reached me (on Telegram I may "
            "not see what is not addressed to me), or it was a command."
        )
    verdict, detail, at = found
    line = {
        Verdict.ANSWERED: _("I answered it."),
        Verdict.STOPPED: _("I began to answer it and was stopped."),
        Verdict.NOT_ADDRESSED: _(
            "It was not addressed to me, and here I don't answer everything (/admin when)."
        ),
        Verdict.NEVER: _("Here I answer commands only (/admin when)."),
        Verdict.NO_THREAD: _("Here I answer only in threads (/admin when)."),
        Verdict.REFUSED: _("The person may not talk to me here (/admin access list)."),
        Verdict.QUOTA: _("The person had used up what they may use (/admin quota show)."),
        Verdict.FAILED: _("Something went wrong with it."),
    }[verdict]
    ending = f" ({_short(detail)})" if detail else ""
    return f"{line}{ending} {at:%Y-%m-%d %H:%M:%S} UTC."


_LINK = re.compile(r"https?://\S*?/(\d+)(?:/(\d+))?/(\d+)/?$")


def _message(context: CommandContext) -> tuple[ChatRef, str]:
    """The message that is meant: by a reply to it, its id, or a link to it. Raises Refusal."""
    event, here = context.event, context.place.chat
    given = context.argument("message")
    if given is None and isinstance(event, CommandInvoked) and event.reply_to is not None:
        return here, event.reply_to.message
    if given is not None and given.isascii() and given.isdecimal():
        return here, given
    link = _LINK.fullmatch(given or "")
    if link is None:
        raise Refusal(_("Which message? Reply to it, or give its link or id."))
    chat = _linked_chat(here, link)
    return ChatRef(here.platform, chat or here.chat), link[3]


def _linked_chat(here: ChatRef, link: re.Match[str]) -> str | None:
    """The chat in a link: Discord's name server, channel and message, Telegram's the chat without its -100,
    perhaps a topic, and the message."""
    if here.platform == "discord":
        return link[2]
    return f"-100{link[1]}" if "/c/" in link[0] else None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:200]} …"


_ADMINISTRATOR = Permission.ADMINISTRATOR

HANDLED = (
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} broadcast",
            N_("Send news to all chats of this server, or of all if used in private"),
            (Param("text", N_("The news"), kind=Kind.LONG),),
            permission=_ADMINISTRATOR,
        ),
        broadcast,
    ),
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} audit",
            N_("Show who changed what, and when"),
            (Param("count", N_("How many changes"), required=False, kind=Kind.INTEGER),),
            permission=_ADMINISTRATOR,
        ),
        audit,
        at_once=True,
    ),
    Command(
        CommandSpec(
            f"{ADMIN_ROOT} diagnose",
            N_("Find out why I did or didn't answer a message"),
            (Param("message", N_("Its link or id; typed, a reply to it does as well"), required=False),),
            permission=_ADMINISTRATOR,
        ),
        diagnose,
        at_once=True,
    ),
)

PRESSES = (Press(PRESS, confirmed, bound=True, command=f"{ADMIN_ROOT} broadcast"),)
