"""Whether the bot answers a message: was it addressed, may the person talk to it, have they used up what they
may use. Each message's fate is remembered for `diagnose`.

    publish ──concerns──▶ stored ──admit──▶ a turn, with its actor and settings
                 └──passed over            └──refused: told in one sentence, once a day

Knows nothing of how an answer is made.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import Addressed, ButtonPressed, CommandInvoked, Event, MessageCreated, MessageEdited
from bot.access import (
    TALK,
    Action,
    Actor,
    Missing,
    Place,
    Policy,
    Refused,
    authorize,
    owns,
    place_of,
)
from bot.decisions import Verdict
from bot.i18n import _
from bot.quotas import Limit
from bot.scopes import Resolved, When, thread_of
from bot.services import Services
from bot.store import access as stored
from bot.store.access import GrantKind

TOLD_EVERY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who is answered where, by which settings, and by which model."""

    actor: Actor
    place: Place
    scoped: Resolved
    owner: bool
    model: str | None  # None where the first one answers


class Gate:
    """Decides; what it knows is in the services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def concerns(self, event: MessageCreated) -> bool:
        """Whether a message is for the bot at all. What is not is never stored, and after the first message
        of a place costs no query."""
        if event.private:
            return True
        place = place_of(event)
        when = (await self._services.scopes.resolve(place, None)).when
        verdict = _passed_over(event.addressed, when, in_thread=thread_of(place) is not None)
        if verdict is None:
            return True
        self._services.decisions.passed_over(place, event.message.message, event.author.id, verdict)
        return False

    async def admit(
        self,
        event: MessageCreated | MessageEdited | CommandInvoked | ButtonPressed,
        action: Action = TALK,
    ) -> Admitted | Refused:
        """Whether the person may do something here now, and what holds for them."""
        services = self._services
        place = place_of(event)
        scoped = await services.scopes.resolve(place, event.author.id)
        roles = await services.quotas.uses_roles(services.database, place.chat.platform)
        actor = await services.access.actor(event.author, action, place, roles=roles)
        policy = await services.access.policy()
        decision = authorize(policy, actor, action, place)
        if isinstance(decision, Refused):
            return decision
        model = _model(policy, actor, place, scoped)
        return Admitted(actor, place, scoped, owns(policy, actor), model)

    async def charge(
        self, session: AsyncSession, key: str, admitted: Admitted, tokens: int, now: datetime
    ) -> Limit | None:
        """Reserve a turn's message and tokens; or the limit that stands against it."""
        quotas = self._services.quotas
        if admitted.owner:
            await quotas.charge_only(session, key, admitted.actor, admitted.place, tokens, now)
            return None
        return await quotas.reserve(session, key, admitted.actor, admitted.place, tokens, now)

    def tells_of(self, event: Event, admitted: Admitted, limit: Limit) -> bool:
        """Whether a limit that stands against a turn is said. Where a response of ours waits to be filled, it
        always is."""
        waiting = isinstance(event, CommandInvoked) and event.placeholder is not None
        return self._services.quotas.tell(admitted.actor, admitted.place, limit) or waiting

    async def refusal(
        self, session: AsyncSession, event: MessageCreated | MessageEdited | CommandInvoked, refused: Refused
    ) -> str | None:
        """What to tell a person who is refused. Whoever lacks a right is told each time, whoever is shut out
        once a day (None then). An unknown person who may ask to be let in gets the code for it."""
        if refused.of_command:
            return refused.text
        now = self._services.clock()
        platform, who, realm = event.chat.platform, event.author, place_of(event).realm
        await stored.prune(session, now)
        told = await stored.held(session, platform, who.id, GrantKind.TOLD, realm=realm)
        if told is not None and told.note == refused.missing and told.since > now - TOLD_EVERY:
            return None
        await stored.grant(
            session, platform, who.id, GrantKind.TOLD, now, realm=realm, name=who.name, note=refused.missing
        )
        if refused.missing is not Missing.GUEST:
            return refused.text
        code = await self._asks_in(session, event, now)
        if code is None:
            return refused.text
        return "{}\n{}".format(
            refused.text,
            _("My owner can let you in by this code, if you tell it to them: {code}.").format(code=code),
        )

    async def _asks_in(
        self, session: AsyncSession, event: MessageCreated | MessageEdited | CommandInvoked, now: datetime
    ) -> str | None:
        """The code by which the owner lets a person in; None when too many wait for it."""
        platform, who = event.chat.platform, event.author
        asked = await stored.held(session, platform, who.id, GrantKind.ASKING)
        if asked is not None:
            return asked.note
        if not await stored.may_ask(session):
            return None
        code = secrets.token_hex(3)
        await stored.grant(session, platform, who.id, GrantKind.ASKING, now, name=who.name, note=code)
        return code


def _model(policy: Policy, actor: Actor, place: Place, scoped: Resolved) -> str | None:
    """The model that is set, if it may be chosen and this person may use it."""
    name = scoped.model
    if name is None or not scoped.allows_model(name):
        return None
    allowed = authorize(policy, actor, Action(f"model:{name}"), place)
    return None if isinstance(allowed, Refused) else name


def _passed_over(addressed: Addressed, when: When, *, in_thread: bool) -> Verdict | None:
    """Why a message among people is not for the bot; None if it is."""
    match when:
        case When.ALWAYS:
            return None
        case When.NEVER:
            return Verdict.NEVER
        case When.MENTION:
            return None if addressed is Addressed.MENTION else Verdict.NOT_ADDRESSED
        case When.THREADS if not in_thread:
            return Verdict.NO_THREAD
    return Verdict.NOT_ADDRESSED if addressed is Addressed.NOT else None
