"""Who may what in a server, and files that came with messages, on a Discord on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from adapters.errors import NotFound, Rejected, Unreachable
from adapters.types import Attachment, ChatRef, Person, Standing
from tests.adapters.discord_bot import Bot, running
from tests.fakes import discord as fake
from tests.fakes.discord import FakeDiscord
from tests.fakes.discord.world import ADMINISTRATOR, MANAGE_SERVER, SEND

MEMBER = "GET /guilds/{guild_id}/members/{user_id}"


@pytest.fixture
async def server() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as server:
        yield server


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def bot(server: FakeDiscord, clock: Clock) -> AsyncIterator[Bot]:
    async with running(server, clock=clock) as bot:
        await bot.adapter.ready()
        yield bot


def chat(channel: fake.Channel) -> ChatRef:
    return ChatRef("discord", channel.id)


def who(person: fake.Person) -> Person:
    return Person(person.id, person.name)


async def test_who_administers_a_server(server: FakeDiscord, bot: Bot) -> None:
    alice, bob, carol, dave = (server.person(name) for name in ("Alice", "Bob", "Carol", "Dave"))
    garden = server.server("Garden")
    general = garden.channel("general")
    thread, dm = general.thread("Tomatoes"), server.direct(alice)
    head, keeper = garden.role("Head", ADMINISTRATOR), garden.role("Keeper", MANAGE_SERVER)
    helper = garden.role("Helper", SEND)
    garden.grant(alice, head)
    garden.grant(bob, keeper, helper)
    garden.grant(carol, helper)
    # one event after all of that, so that the bot knows
    await general.says(dave, "hello")
    await bot.receives()

    asked = bot.adapter.permissions_of
    assert await asked(chat(general), who(alice)) == Standing(True, (head.id,))
    assert await asked(chat(thread), who(bob)) == Standing(True, (keeper.id, helper.id))
    assert await asked(chat(general), who(carol)) == Standing(False, (helper.id,))
    assert await asked(chat(general), who(dave)) == Standing()
    assert await asked(chat(general), who(garden.owner)) == Standing(True)
    assert await asked(chat(dm), who(alice)) == Standing(), "nobody administers a private chat"
    garden.gone.add(bob.id)
    stranger = Person("404", "Nobody")
    assert await asked(chat(general), stranger) == Standing()


async def test_whoever_acts_is_judged_by_the_roles_of_that_moment(
    server: FakeDiscord, bot: Bot, clock: Clock
) -> None:
    alice = server.person("Alice")
    garden = server.server("Garden")
    general = garden.channel("general")
    head = garden.role("Head", ADMINISTRATOR)
    garden.grant(alice, head)
    await general.command(alice, "privacy")
    await bot.receives_command()
    assert (await bot.adapter.permissions_of(chat(general), who(alice))).administrator

    garden.grant(alice)
    await general.says(alice, "am I still?")
    await bot.receives_message()
    assert not (await bot.adapter.permissions_of(chat(general), who(alice))).administrator
    assert not server.requested(MEMBER), "their own events say it"

    garden.grant(alice, head)
    clock.now += 61
    assert (await bot.adapter.permissions_of(chat(general), who(alice))).administrator
    assert len(server.requested(MEMBER)) == 1
    await bot.adapter.permissions_of(chat(general), who(alice))
    assert len(server.requested(MEMBER)) == 1


async def test_a_role_that_loses_a_permission_has_lost_it_at_once(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    garden = server.server("Garden")
    general = garden.channel("general")
    head = garden.role("Head", ADMINISTRATOR)
    garden.grant(alice, head)
    await general.says(alice, "hello")
    await bot.receives()
    assert (await bot.adapter.permissions_of(chat(general), who(alice))).administrator

    garden.change(head, SEND)
    await general.says(server.person("Bob"), "now?")
    await bot.receives()
    assert await bot.adapter.permissions_of(chat(general), who(alice)) == Standing(False, (head.id,))


async def test_whoever_left_is_nobody_and_a_silent_discord_is_no_answer(
    server: FakeDiscord, bot: Bot, clock: Clock
) -> None:
    alice = server.person("Alice")
    garden = server.server("Garden")
    general = garden.channel("general")
    garden.grant(alice, garden.role("Head", ADMINISTRATOR))
    await general.says(alice, "farewell")
    await bot.receives()
    garden.gone.add(alice.id)
    clock.now += 61
    server.down = True
    with pytest.raises(Unreachable):
        await bot.adapter.permissions_of(chat(general), who(alice))
    server.down = False
    assert await bot.adapter.permissions_of(chat(general), who(alice)) == Standing()


# Files


async def received(server: FakeDiscord, bot: Bot, content: bytes) -> Attachment:
    alice = server.person("Alice")
    await server.direct(alice).says(alice, "look", files={"note.txt": content})
    [attachment] = (await bot.receives_message()).attachments
    return attachment


async def test_a_file_is_fetched_up_to_a_limit(server: FakeDiscord, bot: Bot) -> None:
    attachment = await received(server, bot, b"milk" * 100_000)
    assert await bot.adapter.download(attachment, limit=400_000) == b"milk" * 100_000
    with pytest.raises(Rejected, match="larger than 399999 bytes"):
        await bot.adapter.download(attachment, limit=399_999)


async def test_a_file_that_is_larger_than_it_says_is_not_fetched(server: FakeDiscord, bot: Bot) -> None:
    attachment = await received(server, bot, b"milk" * 100_000)
    with pytest.raises(Rejected, match="larger than 1000 bytes"):
        await bot.adapter.download(replace(attachment, size=10), limit=1000)


async def test_a_file_that_is_gone_is_not_found(server: FakeDiscord, bot: Bot) -> None:
    attachment = await received(server, bot, b"milk")
    gone = replace(attachment, handle=attachment.handle.replace("/attachments/", "/attachments/1"))
    with pytest.raises(NotFound):
        await bot.adapter.download(gone, limit=1000)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:1/attachments/1/a",
        "http://169.254.169.254/latest/meta-data",
        "https://cdn.discordapp.com.example.org/a",
        "https://cdn.discordapp.com@example.org/a",
        "http://cdn.discordapp.com/a",
        "file:///etc/passwd",
        "nonsense",
        "",
        "http://[",
    ],
)
async def test_nothing_is_fetched_from_elsewhere(server: FakeDiscord, bot: Bot, address: str) -> None:
    with pytest.raises(Rejected, match="does not lie on Discord's servers"):
        await bot.adapter.download(Attachment("a", "text/plain", 1, address), limit=1000)
