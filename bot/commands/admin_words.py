"""What administrators write, read: whom something is for, and the scope of a setting. Knows nothing of what
is done with it."""

from __future__ import annotations

import re

from adapters.commands import Permission
from bot.access import EVERYWHERE, Place, Subject, SubjectKind
from bot.commands.base import CommandContext, Refusal
from bot.i18n import _
from bot.scopes import Scope, ScopeKind, thread_of
from bot.store import access as stored
from bot.store import audit

_ID = re.compile(r"-?\d{1,25}")
_MENTION = re.compile(r"<(@&|@!?|#)(\d{1,25})>")
_MENTIONED = {
    "@": SubjectKind.PERSON,
    "@!": SubjectKind.PERSON,
    "@&": SubjectKind.ROLE,
    "#": SubjectKind.CHANNEL,
}
_NAMED = {
    "everyone": SubjectKind.EVERYONE,
    "all": SubjectKind.EVERYONE,
    "admin": SubjectKind.ADMINISTRATOR,
    "admins": SubjectKind.ADMINISTRATOR,
    "administrator": SubjectKind.ADMINISTRATOR,
    "owner": SubjectKind.OWNER,
}
_WITH_ID = {kind.value: kind for kind in list(SubjectKind)[:4]}

LIMITED_WORDS = ("everyone", "server")
SUBJECT_WORDS = ("everyone", "administrator", "owner", "server", "channel")


async def subject(context: CommandContext, text: str) -> Subject:
    """Whom a text names: everyone, administrator, owner, person:ID, role:ID, channel:ID, server:ID, a
    mention, a bare id or a known name of a person; `server` and `channel` alone are those here. Raises
    Refusal."""
    text = text.strip()
    if text.lower() in _NAMED:
        return Subject(_NAMED[text.lower()])
    if (mention := _MENTION.fullmatch(text)) is not None:
        return Subject(_MENTIONED[mention[1]], mention[2])
    kind, colon, id_ = text.partition(":")
    if colon and kind.lower() in _WITH_ID and _ID.fullmatch(id_.strip()):
        return Subject(_WITH_ID[kind.lower()], id_.strip())
    place = context.place
    if text.lower() == "server" and place.server is not None:
        return Subject(SubjectKind.SERVER, place.server)
    if text.lower() == "channel":
        return Subject(SubjectKind.CHANNEL, place.parent or place.chat.chat)
    return Subject(SubjectKind.PERSON, await person(context, text))


async def person(context: CommandContext, text: str) -> str:
    """The id of a person who is named by an id, a mention or the name that the bot knows them by. Raises
    Refusal."""
    text = text.strip()
    mention = _MENTION.fullmatch(text)
    if mention is not None and _MENTIONED[mention[1]] is SubjectKind.PERSON:
        return mention[2]
    bare = text.removeprefix("person:").strip()
    if _ID.fullmatch(bare):
        return bare
    found = await stored.people_called(context.session, context.place.chat.platform, text.removeprefix("@"))
    if len(found) == 1:
        return found[0].platform_id
    if found:
        ids = ", ".join(one.platform_id for one in found)
        raise Refusal(
            _("There are several called {name}: {ids}. Please give one's id.").format(name=text, ids=ids)
        )
    raise Refusal(
        _(
            "I don't know whom you mean by {name}. Write a person's id or name, a mention, everyone, "
            "administrator, or role:ID, channel:ID, server:ID."
        ).format(name=text)
    )


def scope(context: CommandContext, text: str) -> Scope:
    """The scope that a text names: person, thread, channel, server or platform of here, or with an id of
    elsewhere, which is the owner's alone. Raises Refusal."""
    kind_text, colon, id_ = text.strip().partition(":")
    try:
        kind = ScopeKind(kind_text.lower())
    except ValueError:
        raise Refusal(
            _("{scope} is no scope. There are: {scopes}.").format(scope=text, scopes=", ".join(ScopeKind))
        ) from None
    platform = context.place.chat.platform
    if kind is ScopeKind.PLATFORM:
        return Scope(platform, kind)
    own = _here(context, kind)
    if not colon:
        if own is None:
            raise Refusal(_("There is no {scope} here.").format(scope=kind))
        return Scope(platform, kind, own)
    if not re.fullmatch(r"-?\d{1,25}(/\d{1,25})?", id_.strip()):
        raise Refusal(_("After {scope}: there belongs an id, a number.").format(scope=kind))
    return Scope(platform, kind, id_.strip())


def _here(context: CommandContext, kind: ScopeKind) -> str | None:
    place = context.place
    match kind:
        case ScopeKind.PERSON:
            return context.actor.id
        case ScopeKind.THREAD:
            return thread_of(place)
        case ScopeKind.CHANNEL:
            return place.parent or place.chat.chat
        case ScopeKind.SERVER:
            return place.server
    return None


async def called(context: CommandContext, who: str | Subject) -> str:
    """For people: someone by name and id, where the bot knows a name; anything but a person as it is
    written."""
    if isinstance(who, Subject) and who.kind is not SubjectKind.PERSON:
        return str(who)
    id_ = who.id if isinstance(who, Subject) else who
    name = await stored.name_of(context.session, context.place.chat.platform, id_)
    return str(who) if name is None else f"{name} ({id_})"


def scope_name(context: CommandContext, wanted: Scope) -> str:
    """For people: a scope of here by a word, another by its id. It can stand behind "for"."""
    if wanted.kind is ScopeKind.PLATFORM:
        return _("this platform")
    if wanted.id != _here(context, wanted.kind):
        return str(wanted)
    match wanted.kind:
        case ScopeKind.PERSON:
            return _("yourself")
        case ScopeKind.THREAD:
            return _("this thread")
        case ScopeKind.CHANNEL:
            return _("this channel")
    return _("this server")


def right_for(context: CommandContext, wanted: Scope) -> Permission:
    """The least right that a scope needs whatever is set: people and places elsewhere are the owner's."""
    if wanted.kind is ScopeKind.PLATFORM:
        return Permission.OWNER
    if wanted.id != _here(context, wanted.kind):
        return Permission.OWNER
    return Permission.EVERYONE if wanted.kind is ScopeKind.PERSON else Permission.ADMINISTRATOR


def realm_name(place: Place) -> str:
    """For people: where something that was changed here holds."""
    return _("here") if place.realm != EVERYWHERE else _("everywhere on this platform")


async def record(context: CommandContext, action: str, detail: str, *, realm: str | None = None) -> None:
    """Write into the audit what the command changes, in its transaction."""
    await audit.record(
        context.session,
        context.services.clock(),
        platform=context.place.chat.platform,
        realm=context.place.realm if realm is None else realm,
        person=context.actor.id,
        name=context.actor.name,
        action=action,
        detail=detail,
    )


def required(context: CommandContext, name: str) -> str:
    """The value of a parameter that the command can't do without. Raises Refusal."""
    value = context.argument(name)
    if value is None:
        raise Refusal(
            _("Something is missing: {name}. /help tells how the command is used.").format(name=name)
        )
    return value
