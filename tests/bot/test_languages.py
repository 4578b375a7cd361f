"""People's languages between events, and links that carry the owner's code."""

from __future__ import annotations

from datetime import UTC, datetime

from adapters.types import Addressed, ChatRef, CommandInvoked, Event, MessageCreated, MessageRef, Person
from bot.languages import Languages
from bot.pairing import COMMAND, Pairing

NOW = datetime(2026, 1, 31, tzinfo=UTC)
CHAT = ChatRef("discord", "5")


def command(name: str, language: str | None, **arguments: str) -> CommandInvoked:
    return CommandInvoked("1", CHAT, Person("7", "Alice", language), name, NOW, arguments, private=True)


def says(person: str) -> MessageCreated:
    author = Person(person, "Somebody")
    return MessageCreated("2", MessageRef(CHAT, "2"), author, "Hello", Addressed.DIRECT, NOW)


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
