"""Writes docs/access.md: who may use which command, as the code decides it. Part of `docs/generate.py`.

Knows nothing of platforms: they say who somebody is, and what follows from that is the same on all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from adapters.types import ChatRef, Standing
from bot.access import TALK, Action, Actor, Missing, Place, Policy, Refused, authorize
from bot.commands import conversation
from bot.commands.registry import HANDLED, action_of

PAGE = Path(__file__).with_name("access.md")

PLATFORM = "telegram"
SERVER = Place(ChatRef(PLATFORM, "-1"), server="-1")
PRIVATE = Place(ChatRef(PLATFORM, "1"))

_MEMBER, _ADMINISTRATOR = Standing(), Standing(administrator=True)
ROLES: Mapping[str, Actor] = {
    "owner": Actor(PLATFORM, "1", "Owner", _MEMBER),
    "granted administrator": Actor(PLATFORM, "2", "Granted", _MEMBER),
    "administrator of the server": Actor(PLATFORM, "3", "Administrator", _ADMINISTRATOR),
    "anonymous administrator": Actor(PLATFORM, "-1", "Group", _ADMINISTRATOR),
    "member": Actor(PLATFORM, "4", "Member", _MEMBER),
    "banned": Actor(PLATFORM, "5", "Banned", _MEMBER),
    "unknown": Actor(PLATFORM, "6", "Unknown", _MEMBER),
}
POLICY = Policy(
    direct_messages="closed",
    owners=frozenset({(PLATFORM, "1")}),
    administrators=frozenset({(PLATFORM, "2")}),
    guests=frozenset({(PLATFORM, "3"), (PLATFORM, "4"), (PLATFORM, "5")}),
    bans={(PLATFORM, "5"): {"": ""}},
)
_WHERE = (
    ("In a server or group", SERVER),
    ("In a private chat, where these are closed to the unknown", PRIVATE),
)
_MISSING = {
    Missing.BANNED: "banned",
    Missing.CLOSED: "not let in",
    Missing.OWNER: "needs the owner",
    Missing.SERVER: "needs the owner here",
    Missing.ADMINISTRATOR: "needs an administrator",
}

_INTRODUCTION = """\
# Who may do what

One function decides it, `bot.access.authorize`, for every platform, command and role. This page is made from
it, and a test compares it with what the real adapters tell of people on the local platform servers.

An *administrator* is who may manage the server or group, as Discord or Telegram says at that moment; one who
writes in the group's name counts. The bot's *owner* became that by the code that the bot shows at its start;
the owner can grant administration everywhere. In a private chat there is no server to administrate: what is
changed there holds everywhere, so that it is the owner's. Administrators can give a command of theirs to
others (`/admin access command`), or keep one of everybody's for some.
"""


def actions() -> Mapping[str, Action]:
    """Everything that can be asked for, by how it is called."""
    turns = {f"/{spec.name}": action_of(spec) for spec in conversation.TURNS}
    commands = {f"/{command.spec.name}": action_of(command) for command in HANDLED}
    return {"a message": TALK, **turns, **commands}


def answer(actor: Actor, action: Action, place: Place) -> str:
    """✓, or what is missing."""
    decision = authorize(POLICY, actor, action, place)
    return _MISSING[decision.missing] if isinstance(decision, Refused) else "✓"


def page() -> str:
    parts = [_INTRODUCTION]
    for title, place in _WHERE:
        roles = [role for role in ROLES if place is SERVER or role != "anonymous administrator"]
        parts.append(f"## {title}\n")
        parts.append(f"| | {' | '.join(roles)} |\n|---|{'---|' * len(roles)}")
        parts += [
            f"| `{name}` | {' | '.join(answer(ROLES[role], action, place) for role in roles)} |"
            for name, action in actions().items()
        ]
        parts.append("")
    return "\n".join(parts)
