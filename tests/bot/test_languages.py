"""People's languages between events, and links that carry the owner's code."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from adapters.types import Addressed, ChatRef, CommandInvoked, Event, MessageCreated, MessageRef, Person
from bot.languages import KEY, MOST, Languages
from bot.pairing import COMMAND, Pairing
from bot.store.models import SettingRow
from inference import ContextTooLong
from tests.bot.conftest import Chorus
from tests.bot.talking import OnDiscord
from tests.fakes.discord import FakeDiscord

NOW = datetime(2026, 1, 31, tzinfo=UTC)
CHAT = ChatRef("discord", "5")


def command(name: str, language: str | None, **arguments: str) -> CommandInvoked:
    return CommandInvoked("1", CHAT, Person("7", "Alice", language), name, NOW, arguments, private=True)


def says(person: str) -> MessageCreated:
    author = Person(person, "Somebody")
    return MessageCreated("2", MessageRef(CHAT, "2"), author, "Hello", Addressed.DIRECT, NOW)


def in_server(person: str) -> MessageCreated:
    return replace(says(person), server="60", server_language="fr")


def language_of(event: Event) -> str | None:
    assert isinstance(event, MessageCreated | CommandInvoked)
    return event.author.language


def test_a_message_is_read_in_the_language_that_a_command_told() -> None:
    languages = Languages()
    assert language_of(languages.told(says("7"))) is None
    languages.told(command("help", "de"))
    assert language_of(languages.told(says("7"))) == "de"
    assert language_of(languages.told(says("8"))) is None
    assert language_of(languages.told(command("help", "fr"))) == "fr"
    assert language_of(languages.told(says("7"))) == "fr"


def test_where_a_persons_language_is_not_known_the_servers_is_taken() -> None:
    languages = Languages()
    assert language_of(languages.told(in_server("7"))) == "fr"
    assert language_of(languages.told(says("7"))) is None, "elsewhere it is not theirs"
    languages.told(command("help", "de"))
    assert language_of(languages.told(in_server("7"))) == "de"


def test_only_so_many_are_remembered() -> None:
    languages = Languages()
    for number in range(MOST + 1):
        event = command("help", "de")
        languages.told(replace(event, author=Person(str(number), "Somebody", "de")))
    assert language_of(languages.told(says("0"))) is None
    assert language_of(languages.told(says(str(MOST)))) == "de"


async def test_what_a_command_told_is_known_after_a_restart(chorus: Chorus, discord: FakeDiscord) -> None:
    alice = discord.person("Alice", locale="de")
    dm = discord.direct(alice)
    async with chorus.serving(discord):
        assert (await (await dm.command(alice, "stop")).answer()).text == "Ich beantworte gerade nichts."
    async with chorus.serving(discord):
        chorus.engine.failures.append(ContextTooLong(500, 400))
        told = await dm.answer(to=await dm.says(alice, "Hallo"))
        assert told.text.startswith("Das ist zu lang für mich: Es hat 500 Token")
    async with chorus.serving(discord):
        await (await dm.command(alice, "language", name="fr")).answer()
    async with chorus.serving(discord):
        chorus.engine.failures.append(ContextTooLong(500, 400))
        told = await dm.answer(to=await dm.says(alice, "Hallo"))
        assert told.text.startswith("C'est trop long pour moi"), "the own choice wins"


async def test_who_is_forgotten_speaks_no_language(chorus: Chorus, discord: FakeDiscord) -> None:
    talk = OnDiscord(discord)
    talk.person = discord.person("Alice", locale="de")
    talk.chat = discord.direct(talk.person)
    async with chorus.serving(discord):
        asked = await talk.uses("forget")
        assert await chorus.count(SettingRow.key == KEY) == 1
        again = await talk.presses(asked, "Alles löschen", lambda text: "Wirklich alles?" in text)
        await talk.presses(again, "Ja, endgültig", lambda text: "Ich habe dich vergessen" in text)
        assert await chorus.count(SettingRow.key == KEY) == 0
        chorus.engine.failures.append(ContextTooLong(500, 400))
        told = await talk.answer(await talk.says("Hallo"))
        assert told.text.startswith("That is too long for me")


async def test_a_french_server_is_answered_in_french(chorus: Chorus, discord: FakeDiscord) -> None:
    server = discord.server("Maison")
    server.locale = "fr"
    channel, alice = server.channel("general"), discord.person("Alice")
    async with chorus.serving(discord):
        chorus.engine.failures.append(ContextTooLong(500, 400))
        asked = await channel.says(alice, f"{discord.bot.mention} Bonjour")
        assert (await channel.answer(to=asked)).text.startswith("C'est trop long pour moi")


def test_a_link_can_carry_the_owners_code() -> None:
    pairing = Pairing(lambda: NOW)
    code = pairing.begin()
    event = pairing.sealed(command("start", None, payload=code))
    assert isinstance(event, CommandInvoked)
    assert event.name == COMMAND
    assert pairing.matches(event.arguments["code"])
    assert code not in str(event)
    other = pairing.sealed(command("start", None, payload="hello"))
    assert isinstance(other, CommandInvoked)
    assert other.name == "start"
