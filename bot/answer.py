"""What the model said: as people see it, and as it is kept.

The answer, what it cost, its way to the chat and the end of its event are one transaction. Knows nothing of
engines or of platforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import MessageCreated, MessageRef
from bot import prompt, texts, thinking
from bot.access import place_of
from bot.commands.base import Reply
from bot.commands.conversation import feedback_buttons
from bot.decisions import Verdict
from bot.delivery import final
from bot.events import reply_target
from bot.i18n import _
from bot.question import Question
from bot.replies import with_extras
from bot.scopes import Resolved
from bot.services import Services
from bot.store import branches, history, inbox, outbox
from bot.store import usage as charges
from bot.store.history import New
from bot.store.inbox import Entry
from inference import Finished, FinishReason


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said."""

    text: str  # as it came, with what was thought
    finished: Finished
    prompt: prompt.Prompt
    model: str


async def keep(
    session: AsyncSession,
    services: Services,
    entry: Entry,
    question: Question,
    answer: Answer,
    previews: Sequence[MessageRef],
) -> int:
    """The answer, what it cost, its way to the chat and the end of its event: one transaction. Gives the
    answer's id."""
    event = entry.event
    usage = answer.finished.usage
    now = datetime.now(UTC)
    parts = thinking.apart(answer.text)
    said = await history.add(
        session,
        New(
            conversation_id=question.conversation_id,
            role="assistant",
            text=_joined(question.partial, answer.text),
            created_at=now,
            parent_id=question.message_id,
            thinking=parts.thinking or None,
            model=answer.model,
            finish_reason=str(answer.finished.reason),
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            first_token=usage.first_token,
        ),
    )
    if question.cut is not None:
        await branches.move_places(session, question.cut, said)
    await history.go_on(session, question.conversation_id, said)
    shown = "\n\n".join([_shown(answer, question.scoped), *question.remarks])
    fitted = answer.prompt
    if (fitted.dropped or fitted.summarised) and await history.tell_dropped(
        session, question.conversation_id
    ):
        shown = f"{shown}\n\n{_(texts.DROPPED if fitted.dropped else texts.SUMMARISED)}"
    buttons = feedback_buttons(said) if question.scoped.feedback else ()
    outgoing = final(
        entry.key,
        with_extras(services.adapters[event.chat.platform].parts(shown), Reply("", buttons)),
        previews,
        reply_to=reply_target(entry.last.event),
        facts=_facts(answer.finished),
    )
    await outbox.enqueue(session, event.chat, outgoing, now, inbox_id=entry.id, message_id=said)
    await charges.settle(session, entry.key, usage.prompt_tokens + usage.output_tokens)
    await decide(session, services, entry, *_verdict(answer.finished))
    await inbox.close(session, entry, now)
    return said


async def decide(
    session: AsyncSession, services: Services, entry: Entry, verdict: Verdict, detail: str
) -> None:
    """Remember what became of the messages, for `diagnose`."""
    for event in (one.event for one in entry.all):
        if isinstance(event, MessageCreated):
            place, message = place_of(event), event.message.message
            await services.decisions.record(session, place, message, event.author.id, verdict, detail)


def _joined(partial: str, text: str) -> str:
    """What was said at last: behind `partial`, exactly as it came."""
    said = thinking.apart(text).said
    begun = text[: len(text) - len(text.lstrip())] if partial and said else ""
    return f"{partial}{begun}{said}"


def _shown(answer: Answer, scoped: Resolved) -> str:
    """What people get to see of an answer."""
    parts = thinking.apart(answer.text)
    if parts.open and not parts.said:
        return _(texts.STILL_THINKING)
    shown = thinking.shown(answer.text, ended=True, show_thinking=scoped.show_thinking)
    return shown or _(texts.NOTHING_SAID)


def _verdict(finished: Finished) -> tuple[Verdict, str]:
    """What `diagnose` is told of an answer: how it ended, what it cost and how long it took."""
    usage = finished.usage
    verdict = Verdict.STOPPED if finished.reason is FinishReason.CANCELLED else Verdict.ANSWERED
    first = "-" if usage.first_token is None else f"{usage.first_token:.2f} s"
    cost = f"{usage.prompt_tokens} ({usage.cached_tokens}) + {usage.output_tokens} tokens"
    return verdict, f"{finished.reason}; {cost}; {first} / {usage.total:.2f} s"


def _facts(finished: Finished) -> dict[str, object]:
    """What a platform may show beside the answer."""
    usage = finished.usage
    return {
        "finish_reason": finished.reason,
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "seconds_to_first_token": usage.first_token,
        "seconds": usage.total,
    }
