"""The policy that `access.authorize` decides by: read from the database, remembered until it changes, and
the platforms asked who a person is where that matters."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.base import Adapter
from adapters.errors import AdapterError
from adapters.types import ChatRef, Person, Standing
from bot.access import (
    Action,
    Actor,
    DirectMessages,
    Place,
    Policy,
    Rule,
    Subject,
    SubjectKind,
    actor_of,
    needs_standing,
)
from bot.store import access as stored
from bot.store.access import GrantKind
from bot.store.session import Database

log = logging.getLogger(__name__)


class Access:
    """Knows the policy of now, and who people are."""

    def __init__(
        self, database: Database, adapters: Mapping[str, Adapter], direct_messages: DirectMessages
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._direct_messages = direct_messages
        self._policy: Policy | None = None
        self._generation = 0

    async def policy(self) -> Policy:
        """What holds now. One that is remembered is given without asking the database."""
        if self._policy is not None:
            return self._policy
        generation = self._generation
        async with self._database.read() as session:
            policy = await self.read(session)
        if generation == self._generation:
            self._policy = policy
        return policy

    async def read(self, session: AsyncSession) -> Policy:
        """What holds as the caller's transaction sees it."""
        people: dict[str, set[tuple[str, str]]] = defaultdict(set)
        bans: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        for grant in await stored.grants(session):
            people[grant.kind].add((grant.platform, grant.person))
            if grant.kind == GrantKind.BANNED:
                bans[grant.platform, grant.person][grant.realm] = grant.note
        rules: dict[tuple[str, str], list[Rule]] = defaultdict(list)
        for row in await stored.rules(session):
            subject = Subject(SubjectKind(row.subject_kind), row.subject)
            rules[row.platform, row.realm].append(Rule(row.what, subject, row.allow))
        return Policy(
            direct_messages=self._direct_messages,
            owners=frozenset(people[GrantKind.OWNER]),
            administrators=frozenset(people[GrantKind.ADMINISTRATOR]),
            guests=frozenset(people[GrantKind.GUEST]),
            bans=dict(bans),
            rules={realm: tuple(found) for realm, found in rules.items()},
        )

    def forget(self) -> None:
        """Something has changed: read it anew."""
        self._generation += 1
        self._policy = None

    async def actor(self, who: Person, action: Action, place: Place, *, roles: bool = False) -> Actor:
        """The person, with their standing where it makes a difference; `roles`: it does for other reasons.
        Where the platform can't tell, they have none: what is in doubt is refused."""
        platform = place.chat.platform
        if who.anonymous or place.private:
            return actor_of(platform, who)
        if not roles and not needs_standing(await self.policy(), platform, action, place):
            return actor_of(platform, who)
        return actor_of(platform, who, await self._standing(place.chat, who))

    async def _standing(self, chat: ChatRef, who: Person) -> Standing:
        try:
            return await self._adapters[chat.platform].permissions_of(chat, who)
        except AdapterError as error:
            log.warning("%s does not tell who %s is in %s: %s", chat.platform, who.id, chat.chat, error)
            return Standing()
