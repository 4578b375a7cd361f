"""The commands that everyone has for a conversation: asking again, going on, stopping, taking it along."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from adapters.commands import CommandSpec, Param
from adapters.types import Button, File
from bot import texts
from bot.commands.base import Command, CommandContext, Press, Refusal, Reply, button
from bot.i18n import N_, _, _n
from bot.store import branches, history
from bot.store.branches import Spoken
from bot.store.models import Feedback, Message

ASK = CommandSpec(
    "ask", N_("Ask me something"), (Param("question", N_("What you want to know")),), private=False
)
RETRY = CommandSpec("retry", N_("Answer my last question anew"), private=False)
CONTINUE = CommandSpec("continue", N_("Go on where the last answer was cut off"), private=False)

TURNS = (ASK, RETRY, CONTINUE)
"""The commands that the model answers: turns, which have no handler here."""

STOP_BUTTON = "stop"
MARKDOWN, JSON = "md", "json"


async def reset(context: CommandContext) -> str:
    context.conversation.head_id = None
    context.conversation.told_dropped = False
    return _(texts.RESET)


async def stop(context: CommandContext) -> str:
    return _(texts.STOPPED) if context.stopped else _(texts.NOTHING_TO_STOP)


async def export(context: CommandContext) -> Reply:
    said = await branches.whole(context.session, context.conversation)
    if not said:
        raise Refusal(_("There is nothing in this conversation yet."))
    if (context.argument("format") or MARKDOWN) == JSON:
        file = File("conversation.json", _as_json(said), "application/json")
    else:
        file = File("conversation.md", _as_markdown(said), "text/markdown")
    text = _n("Our conversation: {count} message.", "Our conversation: {count} messages.", len(said))
    return Reply(text.format(count=len(said)), files=(file,))


def _as_json(said: Sequence[Spoken]) -> bytes:
    messages = [
        {"role": one.role, "author": one.author, "at": one.at.isoformat(), "text": one.text} for one in said
    ]
    return json.dumps(messages, ensure_ascii=False, indent=1).encode()


def _as_markdown(said: Sequence[Spoken]) -> bytes:
    return "\n\n".join(
        f"## {one.author or 'Chorus'}, {one.at:%Y-%m-%d %H:%M} UTC\n\n{one.text}" for one in said
    ).encode()


def stop_buttons(key: str) -> tuple[tuple[Button, ...], ...]:
    """The button under an answer that is being written; `key` is that of what it answers."""
    return ((button(_("Stop"), STOP_BUTTON, key),),)


def feedback_buttons(answer_id: int) -> tuple[tuple[Button, ...], ...]:
    """The buttons under an answer."""
    return ((button("👍", "fb", "+", str(answer_id)), button("👎", "fb", "-", str(answer_id))),)


async def feedback(context: CommandContext, values: tuple[str, ...]) -> str | None:
    """One word a person and answer; another press changes it."""
    if len(values) != 2 or values[0] not in ("+", "-") or not re.fullmatch(r"[0-9]{1,18}", values[1]):
        return None
    answer = await context.session.get(Message, int(values[1]))
    if answer is None or answer.role != "assistant" or answer.conversation_id != context.conversation.id:
        return None
    event = context.event
    now = context.services.clock()
    author = await history.person(context.session, event.author, event.chat.platform, now)
    await context.session.merge(
        Feedback(message_id=answer.id, person_id=author, good=values[0] == "+", given_at=now)
    )
    alone = context.event.placeholder is not None  # the word of thanks is for this person only
    return _("Thank you for telling me.") if alone else None


async def stop_pressed(context: CommandContext, values: tuple[str, ...]) -> str | None:
    """The answer was ended when the press came in; a late press ends nothing."""
    return None


HANDLED = (
    Command(
        CommandSpec("reset", N_("Put this conversation aside and start afresh")),
        reset,
        stops=True,
    ),
    Command(
        CommandSpec("stop", N_("Stop the answer that I am writing")),
        stop,
        at_once=True,
        stops=True,
    ),
    Command(
        CommandSpec(
            "history",
            N_("Get this conversation as a file"),
            (Param("format", N_("How it is written"), required=False, choices=(MARKDOWN, JSON)),),
        ),
        export,
    ),
)

PRESSES = (Press("fb", feedback), Press(STOP_BUTTON, stop_pressed))
