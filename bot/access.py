"""Who may do what, where: one function for every platform, command and role.

    owner ─▶ whatever there is          banned ─▶ nothing but their rights (to know, to take along, to delete)
    granted administrator ─▶ administration in every server
    administrator of a server or group ─▶ administration there
    everyone ─▶ what is not administration, as far as no rule says otherwise
    unknown in private, unless direct messages are open ─▶ nothing but their rights

`authorize` is pure: it knows a policy and nothing of databases or platforms. Administration is refused to
whoever is not known to have the right to it. A menu that hides a command is never a permission.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from adapters.commands import Permission
from adapters.types import (
    ButtonPressed,
    ChatRef,
    CommandInvoked,
    MessageCreated,
    MessageEdited,
    Person,
    Standing,
    StopRequested,
)
from bot.i18n import _, named

EVERYWHERE = ""
"""The realm that is no single server: the whole platform."""

CONSOLE = "console"
"""The terminal's platform: whoever can type there runs the bot, and owns it."""

DirectMessages = Literal["open", "pairing", "closed"]


@dataclass(frozen=True, slots=True)
class Place:
    """A chat, and what it lies in. `server` is the server or group, None in a private chat; `parent` the
    channel that the chat is a thread of, where the platform makes threads chats of their own."""

    chat: ChatRef
    server: str | None = None
    parent: str | None = None

    @property
    def private(self) -> bool:
        return self.server is None

    @property
    def realm(self) -> str:
        """Where what an administrator changes here holds: the server, or everywhere."""
        return self.server or EVERYWHERE


@dataclass(frozen=True, slots=True)
class Actor:
    """A person as far as rights go. `standing` is None where the platform was not asked."""

    platform: str
    id: str
    name: str
    standing: Standing | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        return self.standing.roles if self.standing else ()


def place_of(event: MessageCreated | MessageEdited | CommandInvoked | ButtonPressed | StopRequested) -> Place:
    """Where an event happened. A group without a server around it is a server of its own."""
    parent = None if isinstance(event, StopRequested) else event.parent
    if event.private:
        return Place(event.chat, None, None)
    return Place(event.chat, event.server or event.chat.chat, parent)


def actor_of(platform: str, who: Person, standing: Standing | None = None) -> Actor:
    if who.anonymous:  # only administrators can write in their group's name
        standing = Standing(administrator=True)
    return Actor(platform, who.id, who.name, standing)


class SubjectKind(StrEnum):
    """Whom a rule or a limit is for."""

    PERSON = "person"
    ROLE = "role"
    CHANNEL = "channel"
    SERVER = "server"
    EVERYONE = "everyone"
    ADMINISTRATOR = "administrator"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Subject:
    kind: SubjectKind
    id: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}" if self.id else self.kind.value


TALKING = "talk"
"""What a rule is about: this, `command:NAME` or `model:NAME`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`allow` or deny `subject` to do `what`. Where anyone is allowed something by name, the rest is not."""

    what: str
    subject: Subject
    allow: bool


@dataclass(frozen=True, slots=True)
class Action:
    """What someone wants to do. `needs` is the right that it asks for in a server, `in_private` where there
    is none (None: the same). `always`: everyone has a right to it."""

    what: str = TALKING
    needs: Permission = Permission.EVERYONE
    in_private: Permission | None = None
    always: bool = False

    @property
    def name(self) -> str:
        return self.what.partition(":")[2]


TALK = Action()


@dataclass(frozen=True, slots=True)
class Policy:
    """All that rights depend on. People are (platform, id); realms and rules are a platform's."""

    direct_messages: DirectMessages = "open"
    owners: frozenset[tuple[str, str]] = frozenset()
    administrators: frozenset[tuple[str, str]] = frozenset()  # granted by the owner, everywhere
    guests: frozenset[tuple[str, str]] = frozenset()  # let in where direct messages are not open
    bans: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)  # realm to reason
    rules: Mapping[tuple[str, str], tuple[Rule, ...]] = field(default_factory=dict)  # by platform and realm

    def rules_for(self, platform: str, place: Place) -> Iterable[tuple[str, Rule]]:
        """The rules that hold in a place, each with its realm: the owner's, then the server's."""
        for realm in dict.fromkeys((EVERYWHERE, place.realm)):
            for rule in self.rules.get((platform, realm), ()):
                yield realm, rule


class Missing(StrEnum):
    """What a refusal is for."""

    BANNED = "banned"
    GUEST = "guest"  # not let in yet, and may ask to be
    CLOSED = "closed"
    OWNER = "owner"
    ADMINISTRATOR = "administrator"
    SERVER = "server"  # an administrator of a server, but this is none
    DENIED = "denied"
    NOT_LISTED = "not listed"


@dataclass(frozen=True, slots=True)
class Allowed:
    pass


@dataclass(frozen=True, slots=True)
class Refused:
    """`what` is the action's; `detail` a ban's reason."""

    missing: Missing
    what: str = TALKING
    detail: str = ""

    @property
    def of_command(self) -> bool:
        """Whether it is about the one thing that was wanted, and not about the person altogether."""
        shut_out = (Missing.BANNED, Missing.GUEST, Missing.CLOSED)
        return self.what != TALKING and self.missing not in shut_out

    @property
    def text(self) -> str:
        """One sentence: what is missing."""
        subject, _sep, name = self.what.partition(":")
        if subject == "command":
            return named(self._of_command(name))
        if subject == "model":
            return _("You may not use the model {name} here. An administrator can allow it to you.").format(
                name=name
            )
        return self._of_talking()

    def _of_talking(self) -> str:
        match self.missing:
            case Missing.BANNED if self.detail:
                return _("You are banned here ({reason}), so I don't answer you.").format(reason=self.detail)
            case Missing.BANNED:
                return _("You are banned here, so I don't answer you.")
            case Missing.DENIED:
                return _("I may not talk to you here: an administrator has switched that off.")
            case Missing.NOT_LISTED:
                return _(
                    "Here I talk only with those whom an administrator has allowed, and you are not one."
                )
        return _("I talk in private only with people whom my owner has let in, and you are not one yet.")

    def _of_command(self, name: str) -> str:
        match self.missing:
            case Missing.OWNER:
                return _("/{name} needs my owner, and you are not that.").format(name=name)
            case Missing.ADMINISTRATOR:
                return _(
                    "/{name} needs an administrator of this server or group, and you are not one."
                ).format(name=name)
            case Missing.SERVER:
                return _(
                    "/{name} needs my owner here. As an administrator of a server or group, use it there."
                ).format(name=name)
            case Missing.NOT_LISTED:
                return _("/{name} is only for those whom an administrator has allowed to use it.").format(
                    name=name
                )
            case Missing.DENIED:
                return _("An administrator has denied you /{name} here.").format(name=name)
        return self._of_talking()


Decision = Allowed | Refused
ALLOWED = Allowed()


def authorize(policy: Policy, actor: Actor, action: Action, place: Place) -> Decision:
    """Whether someone may do something somewhere, and if not, what they lack."""
    if owns(policy, actor) or action.always:
        return ALLOWED
    who = (actor.platform, actor.id)
    banned = policy.bans.get(who, {})
    for realm in (EVERYWHERE, place.realm):
        if realm in banned:
            return Refused(Missing.BANNED, action.what, banned[realm])
    if (
        place.private
        and policy.direct_messages != "open"
        and who not in policy.guests | policy.administrators
    ):
        missing = Missing.GUEST if policy.direct_messages == "pairing" else Missing.CLOSED
        return Refused(missing, action.what)
    for what in dict.fromkeys((TALKING, action.what)):
        listing = what == TALKING or action.needs is Permission.EVERYONE
        ruled_out = _ruled_out(policy, actor, what, place, listing=listing)
        if ruled_out is not None:
            return Refused(ruled_out, what if what == TALKING else action.what)
    return _has_right(policy, actor, action, place)


def owns(policy: Policy, actor: Actor) -> bool:
    """Whether the person owns the bot."""
    return actor.platform == CONSOLE or (actor.platform, actor.id) in policy.owners


def administers(policy: Policy, actor: Actor, place: Place) -> bool:
    """Whether the person is an administrator here: by the owner's word or by the platform's."""
    granted = (actor.platform, actor.id) in policy.administrators
    standing = actor.standing is not None and actor.standing.administrator and not place.private
    return granted or standing or owns(policy, actor)


def needs_standing(policy: Policy, platform: str, action: Action, place: Place) -> bool:
    """Whether the platform has to be asked who the person is here: for administration, and where rules make a
    difference."""
    if place.private:
        return False
    if action.needs is not Permission.EVERYONE:
        return True
    return any(
        rule.what in (TALKING, action.what) or (action.what == TALKING and rule.what.startswith("model:"))
        for _realm, rule in policy.rules_for(platform, place)
    )


def _has_right(policy: Policy, actor: Actor, action: Action, place: Place) -> Decision:
    needs = action.needs
    if place.private and action.in_private is not None:
        needs = action.in_private
    if needs is Permission.EVERYONE:
        return ALLOWED
    if needs is Permission.OWNER:
        lesser = place.private and action.needs is Permission.ADMINISTRATOR
        return Refused(Missing.SERVER if lesser else Missing.OWNER, action.what)
    if administers(policy, actor, place) or _lifted(policy, actor, action.what, place):
        return ALLOWED
    return Refused(Missing.SERVER if place.private else Missing.ADMINISTRATOR, action.what)


def _lifted(policy: Policy, actor: Actor, what: str, place: Place) -> bool:
    """Whether a rule gives the person a piece of administration."""
    return any(
        rule.what == what and rule.allow and _concerns(policy, rule.subject, actor, place)
        for _realm, rule in policy.rules_for(actor.platform, place)
    )


def _ruled_out(policy: Policy, actor: Actor, what: str, place: Place, *, listing: bool) -> Missing | None:
    """What rules keep the person from it. Those of a server don't bind its administrators. With `listing`, it
    is for nobody else where some are allowed it."""
    for realm in dict.fromkeys((EVERYWHERE, place.realm)):
        rules = [rule for rule in policy.rules.get((actor.platform, realm), ()) if rule.what == what]
        if not rules or (realm != EVERYWHERE and administers(policy, actor, place)):
            continue
        if any(not rule.allow and _concerns(policy, rule.subject, actor, place) for rule in rules):
            return Missing.DENIED
        allowing = [rule for rule in rules if rule.allow]
        if listing and allowing and not any(_concerns(policy, one.subject, actor, place) for one in allowing):
            return Missing.NOT_LISTED
    return None


def _concerns(policy: Policy, subject: Subject, actor: Actor, place: Place) -> bool:
    match subject.kind:
        case SubjectKind.PERSON:
            return subject.id == actor.id
        case SubjectKind.ROLE:
            return subject.id in actor.roles
        case SubjectKind.CHANNEL:
            return subject.id in (place.chat.chat, place.parent)
        case SubjectKind.SERVER:
            return subject.id == place.server
        case SubjectKind.EVERYONE:
            return True
        case SubjectKind.ADMINISTRATOR:
            return administers(policy, actor, place)
        case SubjectKind.OWNER:
            return owns(policy, actor)
