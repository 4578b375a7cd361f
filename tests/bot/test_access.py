"""Rights: every command, by every role, as both platforms say who people are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from adapters.types import ChatRef, CommandInvoked, Person, Standing
from bot.access import (
    ALLOWED,
    TALK,
    TALKING,
    Action,
    Actor,
    Missing,
    Place,
    Policy,
    Refused,
    Rule,
    Subject,
    SubjectKind,
    authorize,
)
from bot.gate import Gate
from bot.i18n import speaking
from bot.models import Models
from bot.services import make_services
from bot.store import access as stored
from bot.store.access import GrantKind
from bot.store.session import Database
from docs import access as page
from tests.bot.conftest import Chorus, connected
from tests.fakes.discord import FakeDiscord
from tests.fakes.discord.world import MANAGE_SERVER
from tests.fakes.telegram import FakeTelegram

FOR_ALL = {"/privacy", "/mydata", "/forget", "/help", "/whoami", "/pair"}
FOR_EVERYONE = {
    *("a message", "/ask", "/retry", "/continue", "/reset", "/stop", "/persona", "/system", "/model"),
    *("/language", "/settings", "/history", "/usage"),
}
FOR_ADMINISTRATORS = {
    *("status", "stats", "settings show", "settings set", "settings reset", "when", "diagnose"),
    *("access allow", "access deny", "access remove", "access list", "access command", "access model"),
    *("ban", "unban", "quota set", "quota reset", "quota show", "model status", "broadcast", "audit"),
    *("persona add", "persona edit", "persona remove"),
}
FOR_THE_OWNER = {"access approve", "access grant", "access revoke", "model load", "model unload"}

ROLES = ("owner", "granted", "administrator", "anonymous", "member", "banned", "unknown")


def who_may(name: str, *, private: bool) -> set[str]:
    """Written down apart from the code that decides it. In private chats nobody is anonymous, and only those
    who were let in are members."""
    roles = set(ROLES) - ({"anonymous"} if private else set())
    rest = name.removeprefix("/admin ")
    if name in FOR_ALL:
        return roles
    if name in FOR_EVERYONE:
        return roles - {"banned"} - ({"unknown"} if private else set())
    assert rest in FOR_ADMINISTRATORS | FOR_THE_OWNER, f"{name} belongs into one of the lists above"
    return {"owner"} if private or rest in FOR_THE_OWNER else roles - {"member", "banned", "unknown"}


class Cast:
    """People in every role, in a server and in private, on one platform; and the gate that they come to."""

    def __init__(self, gate: Gate, people: Mapping[str, Person], server: Place) -> None:
        self._gate = gate
        self.people = people
        self.server = server

    async def may(self, role: str, action: Action, *, private: bool) -> bool:
        who = self.people[role]
        chat = ChatRef(self.server.chat.platform, who.id) if private else self.server.chat
        server = None if private else self.server.server
        event = CommandInvoked("1", chat, who, action.name, datetime.now(UTC), private=private, server=server)
        return not isinstance(await self._gate.admit(event, action), Refused)


@asynccontextmanager
async def cast(chorus: Chorus, platform: FakeDiscord | FakeTelegram) -> AsyncIterator[Cast]:
    """The roles on a platform. Who administrates is what its own server answers."""
    people, place = _on_discord(platform) if isinstance(platform, FakeDiscord) else _on_telegram(platform)
    async with (
        chorus.database() as database,
        connected(platform) as adapter,
        asyncio.TaskGroup() as tasks,
        asyncio.timeout(60),
    ):
        settings = chorus.settings(access={"direct_messages": "closed"})
        adapters = {adapter.platform: adapter}
        services = make_services(settings, database, adapters, Models(chorus.engine), tasks)
        await _grant(database, place.chat.platform, people)
        yield Cast(Gate(services), people, place)


async def _grant(database: Database, platform: str, people: Mapping[str, Person]) -> None:
    kinds = {
        "owner": [GrantKind.OWNER],
        "granted": [GrantKind.ADMINISTRATOR],
        "banned": [GrantKind.GUEST, GrantKind.BANNED],
        "administrator": [GrantKind.GUEST],
        "member": [GrantKind.GUEST],
    }
    async with database.write() as session:
        for role, granted in kinds.items():
            for kind in granted:
                await stored.grant(session, platform, people[role].id, kind, datetime.now(UTC))


def _on_telegram(telegram: FakeTelegram) -> tuple[Mapping[str, Person], Place]:
    group = telegram.group("Home")
    known = {role: telegram.person(role.title()) for role in ROLES if role != "anonymous"}
    for role, one in known.items():
        group.joins(one, "administrator" if role == "administrator" else "member")
    people = {role: Person(str(one.id), one.name) for role, one in known.items()}
    people["anonymous"] = Person(str(group.id), "Home", anonymous=True)
    return people, Place(ChatRef("telegram", str(group.id)), str(group.id))


def _on_discord(discord: FakeDiscord) -> tuple[Mapping[str, Person], Place]:
    server = discord.server("Home")
    channel = server.channel("general")
    known = {role: discord.person(role.title()) for role in ROLES}
    keeper = server.role("Keeper", MANAGE_SERVER)
    server.grant(known["administrator"], keeper)
    people = {role: Person(one.id, one.name) for role, one in known.items()}
    people["anonymous"] = replace(people["anonymous"], anonymous=True)  # Discord has none; if it had
    return people, Place(ChatRef("discord", channel.id), server.id)


@pytest.mark.parametrize("platform", ["discord", "telegram"])
async def test_every_command_by_every_role(
    platform: str, chorus: Chorus, discord: FakeDiscord, telegram: FakeTelegram
) -> None:
    wrong = []
    actions = page.actions()
    async with cast(chorus, discord if platform == "discord" else telegram) as everyone:
        for name, action in actions.items():
            for private in (False, True):
                expected = who_may(name, private=private)
                for role in ROLES:
                    if private and role == "anonymous":
                        continue
                    may = await everyone.may(role, action, private=private)
                    if may != (role in expected):
                        wrong.append(f"{name}, {role}, {'private' if private else 'server'}: {may}")
    assert not wrong
    assert len(actions) == len(FOR_ALL | FOR_EVERYONE) + len(FOR_ADMINISTRATORS | FOR_THE_OWNER)


def test_the_page_says_what_the_code_decides() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page()


@pytest.mark.parametrize("role", page.ROLES)
@pytest.mark.parametrize("place", [page.SERVER, page.PRIVATE])
def test_every_refusal_says_what_is_missing(role: str, place: Place) -> None:
    for action in page.actions().values():
        decision = authorize(page.POLICY, page.ROLES[role], action, place)
        if isinstance(decision, Refused):
            words = ("banned", "owner", "administrator", "let in")
            assert any(word in decision.text for word in words), decision
            with speaking("de"):
                assert decision.text


MEMBER = Actor("discord", "7", "Member", Standing(roles=("100",)))
KEEPER = Actor("discord", "8", "Keeper", Standing(administrator=True))
PLACE = Place(ChatRef("discord", "50"), server="60", parent="40")


def _with(*rules: Rule, realm: str = "60") -> Policy:
    return Policy(rules={("discord", realm): rules})


@pytest.mark.parametrize(
    "subject",
    [
        Subject(SubjectKind.PERSON, "7"),
        Subject(SubjectKind.ROLE, "100"),
        Subject(SubjectKind.CHANNEL, "50"),
        Subject(SubjectKind.CHANNEL, "40"),
        Subject(SubjectKind.SERVER, "60"),
        Subject(SubjectKind.EVERYONE),
    ],
    ids=str,
)
def test_whoever_is_denied_is_refused_and_whoever_is_allowed_keeps_others_out(subject: Subject) -> None:
    denied = authorize(_with(Rule(TALKING, subject, allow=False)), MEMBER, TALK, PLACE)
    assert denied == Refused(Missing.DENIED, TALKING)
    assert authorize(_with(Rule(TALKING, subject, allow=True)), MEMBER, TALK, PLACE) is ALLOWED
    other = Actor("discord", "9", "Other", Standing())
    elsewhere = Place(ChatRef("discord", "51"), server="60")
    others = authorize(_with(Rule(TALKING, subject, allow=True)), other, TALK, elsewhere)
    wide = subject.kind in (SubjectKind.SERVER, SubjectKind.EVERYONE)
    assert (others is ALLOWED) is wide


def test_a_servers_rules_bind_neither_its_administrators_nor_other_servers() -> None:
    policy = _with(Rule(TALKING, Subject(SubjectKind.EVERYONE), allow=False))
    assert authorize(policy, KEEPER, TALK, PLACE) is ALLOWED
    assert authorize(policy, MEMBER, TALK, Place(ChatRef("discord", "70"), server="71")) is ALLOWED
    everywhere = _with(Rule(TALKING, Subject(SubjectKind.EVERYONE), allow=False), realm="")
    assert authorize(everywhere, KEEPER, TALK, PLACE) == Refused(Missing.DENIED, TALKING)


def test_an_administrators_command_can_be_given_away_and_the_owners_can_not() -> None:
    ban = page.actions()["/admin ban"]
    assert isinstance(authorize(Policy(), MEMBER, ban, PLACE), Refused)
    given = _with(Rule(ban.what, Subject(SubjectKind.ROLE, "100"), allow=True))
    assert authorize(given, MEMBER, ban, PLACE) is ALLOWED
    assert authorize(given, KEEPER, ban, PLACE) is ALLOWED
    load = page.actions()["/admin model load"]
    greedy = _with(Rule(load.what, Subject(SubjectKind.EVERYONE), allow=True))
    assert authorize(greedy, KEEPER, load, PLACE) == Refused(Missing.OWNER, load.what)


def test_a_command_of_everyones_can_be_kept_for_some() -> None:
    reset = page.actions()["/reset"]
    kept = _with(Rule(reset.what, Subject(SubjectKind.ADMINISTRATOR), allow=True))
    assert authorize(kept, MEMBER, reset, PLACE) == Refused(Missing.NOT_LISTED, reset.what)
    assert authorize(kept, KEEPER, reset, PLACE) is ALLOWED
    assert authorize(kept, MEMBER, TALK, PLACE) is ALLOWED


def test_a_ban_in_one_server_holds_there_alone() -> None:
    policy = Policy(bans={("discord", "7"): {"60": "spam"}})
    refused = authorize(policy, MEMBER, TALK, PLACE)
    assert refused == Refused(Missing.BANNED, TALKING, "spam")
    assert "spam" in refused.text
    assert authorize(policy, MEMBER, TALK, Place(ChatRef("discord", "1"))) is ALLOWED
