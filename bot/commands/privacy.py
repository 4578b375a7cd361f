"""What is stored about people: told, handed over, deleted. Everyone has a right to these commands, also who
is banned or not let in."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from functools import partial
from typing import Any

from adapters.commands import CommandSpec
from adapters.types import ButtonPressed, File
from bot.commands.base import Command, CommandContext, Press, Refusal, Reply, button
from bot.i18n import N_, _, _n
from bot.store import privacy

LARGEST_PLAIN = 4 << 20  # bytes; what is larger is packed, since platforms take only so much

SURE, REALLY, NO = "sure", "really", "no"


async def told(context: CommandContext) -> str:
    days = context.settings.database.keep_days
    if days is None:
        kept = _("Messages are kept until you or an administrator delete them.")
    else:
        text = _n("Messages are deleted after {count} day.", "Messages are deleted after {count} days.", days)
        kept = text.format(count=days)
    return "\n".join(
        [
            _("This is what I keep, on the computer that I run on and nowhere else:"),
            "- " + _("what you say to me and what I answer, with time, place and your name here;"),
            "- " + _("summaries of long conversations, your settings and your 👍 and 👎;"),
            "- " + _("how many messages and tokens you have used in the last two months;"),
            "- " + _("for a week, that I saw a message and why I answered it or not, without its text."),
            _("What is said among others and not to me, I neither keep nor show to my model."),
            kept,
            _(
                "What my model computed of recent conversations is kept in memory and on disk, so that I "
                "answer soon, until others take its place or you are forgotten."
            ),
            _("/mydata gives you everything about you as a file. /forget deletes it for good."),
            _(
                "After that, others' words remain, and what administrators need: that someone is banned, "
                "limited or one of them, what they changed as such, and for the limits how many messages and "
                "tokens they used, until the day or month is over."
            ),
        ]
    )


async def my_data(context: CommandContext) -> Reply:
    if not context.place.private:
        raise Refusal(_("That is for your eyes only: please ask me in a private chat."))
    found = await privacy.gather(context.session, context.place.chat.platform, context.actor.id)
    content = json.dumps(found, ensure_ascii=False, indent=1, default=_as_text).encode()
    rows = sum(len(one) for one in found.values())
    if len(content) <= LARGEST_PLAIN:
        file = File("mydata.json", content, "application/json")
    else:
        file = File("mydata.json.gz", gzip.compress(content), "application/gzip")
    text = _n(
        "Everything that I keep about you: {count} entry.",
        "Everything that I keep about you: {count} entries.",
        rows,
    )
    return Reply(text.format(count=rows), files=(file,))


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


async def forget(context: CommandContext) -> Reply:
    return _asked(
        context,
        _(
            "Shall I delete all that I keep about you: your messages and my answers in every chat, settings "
            "and feedback? Nobody can bring it back. Only how much you have used counts on for your limits, "
            "until the month is over."
        ),
        SURE,
        _("Delete everything"),
        replaces=False,
    )


async def pressed(context: CommandContext, values: tuple[str, ...]) -> Reply:
    match values:
        case (step,) if step == SURE:
            question = _("Really everything? This is the last time that I ask.")
            return _asked(context, question, REALLY, _("Yes, for good"), replaces=True)
        case (step,) if step == REALLY:
            return await _forgotten(context)
    return Reply(_("All right, everything stays."), replaces=True)


def _asked(context: CommandContext, question: str, step: str, yes: str, *, replaces: bool) -> Reply:
    person = context.event.author
    buttons = (button(yes, "forget", step, person=person), button(_("No"), "forget", NO, person=person))
    return Reply(question, (buttons,), replaces=replaces)


async def _forgotten(context: CommandContext) -> Reply:
    event, services = context.event, context.services
    assert isinstance(event, ButtonPressed)
    conversations = await privacy.forget(
        context.session, event.chat.platform, context.actor.id, present=event.id
    )
    services.database.scrub()
    for conversation in conversations:
        services.summaries.forget(conversation)
    topics = [str(conversation) for conversation in conversations]
    context.after.extend([services.scopes.forget, services.access.forget])
    context.after.append(partial(services.models.forget, topics))
    context.after.append(partial(services.languages.forget, event.chat.platform, context.actor.id))
    return Reply(
        _(
            "Done. I have forgotten you, but for how much you have used this month. If you write to me, we "
            "begin anew."
        ),
        replaces=True,
    )


HANDLED = (
    Command(CommandSpec("privacy", N_("What I keep about you, and for how long")), told, always=True),
    Command(CommandSpec("mydata", N_("Get everything that I keep about you")), my_data, always=True),
    Command(CommandSpec("forget", N_("Delete everything that I keep about you")), forget, always=True),
)

PRESSES = (Press("forget", pressed, bound=True, command="forget", at_once=False),)
