"""Commands, forms, buttons and proposals on a Discord on loopback, through the real discord.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from adapters.commands import CommandSpec, Kind, Param, Permission
from adapters.discord.commands import form, payloads
from adapters.texts import NOT_STORED
from adapters.types import Button, ButtonPressed, ChatRef, CommandInvoked, Event, Part, Person
from tests.adapters.discord_bot import ASK, Bot, ref, running
from tests.fakes.discord import FakeDiscord
from tests.fakes.discord.world import Payload

CREATE = "POST /channels/{channel_id}/messages"
CALLBACK = "POST /interactions/{interaction_id}/{interaction_token}/callback"
PUT_COMMANDS = "PUT /applications/{application_id}/commands"

ADMINISTRATOR = Permission.ADMINISTRATOR
SET = CommandSpec(
    "chorus settings set",
    "Change a setting",
    (
        Param("value", "Its value", required=False),
        Param("setting", "Which one", suggested=True, descriptions={"de": "Welche"}),
    ),
    permission=ADMINISTRATOR,
    descriptions={"de": "Eine Einstellung ändern", "es": "Cambiar un ajuste", "zh": "更改设置"},
)
SHOW = CommandSpec("chorus settings show", "Show the settings", permission=ADMINISTRATOR)
STATUS = CommandSpec("chorus status", "How I am", permission=Permission.OWNER)
QUOTA = CommandSpec(
    "quota",
    "Set a quota",
    (
        Param("who", "For whom", kind=Kind.PERSON),
        Param("where", "In which channel", kind=Kind.CHANNEL),
        Param("role", "For which role", kind=Kind.ROLE),
        Param("tokens", "How many", kind=Kind.INTEGER),
        Param("share", "Of all", kind=Kind.NUMBER),
        Param("hard", "Refuse beyond", kind=Kind.BOOLEAN),
        Param("span", "For how long", choices=("day", "month")),
    ),
    permission=Permission.OWNER,
)
PERSONA = CommandSpec(
    "persona add",
    "Add a persona",
    (
        Param("name", "What it is called", descriptions={"de": "Wie sie heißt"}),
        Param("prompt", "What it is told", kind=Kind.LONG),
        Param("greeting", "What it says at first", required=False),
    ),
    form=True,
    descriptions={"de": "Eine Persona anlegen"},
)
COMMANDS = (ASK, SET, SHOW, STATUS, QUOTA, PERSONA)


@pytest.fixture
async def server() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as server:
        yield server


@pytest.fixture
async def bot(server: FakeDiscord) -> AsyncIterator[Bot]:
    async with running(server, commands=COMMANDS) as bot:
        await bot.adapter.ready()
        yield bot


# What is registered


async def test_commands_are_registered_in_groups(server: FakeDiscord, bot: Bot) -> None:
    await bot.adapter.publish_commands(COMMANDS)

    chorus = next(command for command in server.commands if command["name"] == "chorus")
    assert _outline(chorus) == {"chorus": {"settings": {"set": {}, "show": {}}, "status": {}}}
    assert chorus["default_member_permissions"] == "32", "whoever may manage the server sees the group"
    settings = chorus["options"][0]
    assert [option["name"] for option in settings["options"][0]["options"]] == ["setting", "value"]
    assert settings["options"][0]["options"][0]["autocomplete"] is True
    by_name = {command["name"]: command for command in server.commands}
    assert by_name["quota"]["default_member_permissions"] == "0"
    assert by_name["ask"]["default_member_permissions"] is None
    assert [option["type"] for option in by_name["quota"]["options"]] == [6, 7, 8, 4, 10, 5, 3]
    assert by_name["persona"]["options"][0].get("options", []) == [], "a form asks for its parameters itself"


def _outline(command: Payload) -> Payload:
    """The names of a command and of what it leads to."""
    below = [option for option in command.get("options", ()) if option["type"] in (1, 2)]
    return {command["name"]: {name: rest for option in below for name, rest in _outline(option).items()}}


async def test_descriptions_come_in_the_languages_that_discord_knows(server: FakeDiscord, bot: Bot) -> None:
    await bot.adapter.publish_commands([SET])
    [chorus] = server.commands
    setting = chorus["options"][0]["options"][0]
    assert setting["description_localizations"] == {
        "de": "Eine Einstellung ändern",
        "es-ES": "Cambiar un ajuste",
        "zh-CN": "更改设置",
    }
    assert setting["options"][0]["description_localizations"] == {"de": "Welche"}


async def test_commands_are_written_again_only_when_something_changed(server: FakeDiscord, bot: Bot) -> None:
    for _ in range(2):
        await bot.adapter.publish_commands(COMMANDS)
    assert len(server.requested(PUT_COMMANDS)) == 1

    translated = replace(SHOW, descriptions={"fr": "Voir les réglages"})
    for _ in range(2):
        await bot.adapter.publish_commands([ASK, SET, translated, STATUS, QUOTA, PERSONA])
    assert len(server.requested(PUT_COMMANDS)) == 2

    for _ in range(2):
        await bot.adapter.publish_commands([ASK, SET, STATUS, QUOTA, PERSONA])
    assert len(server.requested(PUT_COMMANDS)) == 3


@pytest.mark.parametrize("names", [("a", "a b"), ("a b", "a"), ("a b c", "a b")])
def test_a_command_that_is_a_group_too_is_refused(names: Sequence[str]) -> None:
    with pytest.raises(ValueError, match="is a command and a group"):
        payloads([CommandSpec(name, "Something") for name in names])


# What comes in


async def test_a_command_in_a_group_comes_with_its_whole_name(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")

    used = await channel.command(alice, "chorus settings set", setting="persona", value="pirate")
    event = await bot.receives_command()
    assert (event.name, event.arguments) == ("chorus settings set", {"setting": "persona", "value": "pirate"})
    assert (await used.acknowledged()).ephemeral

    await channel.command(alice, "chorus status")
    assert (await bot.receives_command()).name == "chorus status"


async def test_values_of_every_kind_come_as_text(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")
    await channel.command(
        alice, "quota", who=alice.id, where=channel.id, tokens=1000, share=0.5, hard=True, span="day"
    )
    assert (await bot.receives_command()).arguments == {
        "who": alice.id,
        "where": channel.id,
        "tokens": "1000",
        "share": "0.5",
        "hard": "true",
        "span": "day",
    }


async def test_values_are_proposed_while_a_person_types(server: FakeDiscord) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")
    asked: list[tuple[str, str, str, ChatRef, Person]] = []

    async def suggest(command: str, param: str, typed: str, chat: ChatRef, who: Person) -> Sequence[str]:
        asked.append((command, param, typed, chat, who))
        return ["", "x" * 101, *(f"{typed}-{number}" for number in range(30))]

    async with running(server, commands=COMMANDS, suggest=suggest) as bot:
        await bot.adapter.ready()
        typing = await channel.types(alice, "chorus settings set", "setting", "per", value="pirate")
        proposed = await typing.proposed()
    assert proposed == [f"per-{number}" for number in range(25)]
    [(command, param, typed, chat, who)] = asked
    assert (command, param, typed) == ("chorus settings set", "setting", "per")
    assert (chat.chat, who.id) == (channel.id, alice.id)
    assert not bot.events


async def test_when_nothing_can_be_proposed_the_list_is_empty(server: FakeDiscord) -> None:
    alice = server.person("Alice")
    dm = server.direct(alice)

    async def suggest(command: str, param: str, typed: str, chat: ChatRef, who: Person) -> Sequence[str]:
        if typed == "slow":
            await asyncio.Event().wait()
        raise RuntimeError("the database is locked")

    async with running(server, commands=COMMANDS, suggest=suggest) as bot:
        await bot.adapter.ready()
        for typed in ("slow", "broken"):
            typing = await dm.types(alice, "chorus settings set", "setting", typed)
            assert await typing.proposed() == []
            assert typing.acknowledged_after is not None
            assert typing.acknowledged_after < 3


# Forms


async def test_a_form_opens_is_filled_in_and_comes_as_a_command(server: FakeDiscord) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")
    async with running(server, commands=COMMANDS) as bot:
        await bot.adapter.ready()
        shown = await (await channel.command(alice, "persona add")).opened()
        assert not bot.events
    assert shown["title"] == "Add a persona"
    assert [field["label"] for field in shown["components"]] == [
        "What it is called",
        "What it is told",
        "What it says at first",
    ]
    assert [field["component"]["style"] for field in shown["components"]] == [1, 2, 1]
    assert [field["component"]["required"] for field in shown["components"]] == [True, True, False]

    async with running(server, commands=COMMANDS) as bot:  # a restart later
        await bot.adapter.ready()
        sent = await channel.fill_in(alice, shown, name="Pirate", prompt="You are a pirate.\nSpeak like one.")
        event = await bot.receives_command()
        assert event.name == "persona add"
        assert event.arguments == {"name": "Pirate", "prompt": "You are a pirate.\nSpeak like one."}
        assert event.placeholder is not None
        await bot.adapter.edit(event.placeholder, Part("It is there."))
    answer = await sent.answer()
    assert (answer.text, answer.seen_by) == ("It is there.", alice)


def test_a_form_speaks_the_persons_language() -> None:
    german = form(PERSONA, "de")
    assert german["title"] == "Eine Persona anlegen"
    assert [field["label"] for field in german["components"]] == [
        "Wie sie heißt",
        "What it is told",
        "What it says at first",
    ]


async def test_a_description_that_is_no_label_stands_under_it(server: FakeDiscord, bot: Bot) -> None:
    long = Param("prompt", "What it is told before it says anything, in your own words", kind=Kind.LONG)
    await bot.adapter.publish_commands([CommandSpec("system", "Say who I am", (long,), form=True)])
    alice = server.person("Alice")
    [field] = (await (await server.direct(alice).command(alice, "system")).opened())["components"]
    assert (field["label"], field["description"]) == ("prompt", long.description)


def test_a_forms_title_is_no_half_word() -> None:
    def title(description: str) -> str:
        return str(form(CommandSpec("system", description, form=True), "en-GB")["title"])

    assert title("Tell me how to be") == "Tell me how to be"
    assert title("Make a persona; if typed, put several words in quotation marks") == "Make a persona"
    assert (
        title("Tell me in your own words how to be with me from now on")
        == "Tell me in your own words how to be with me…"
    )
    assert title("用" * 60) == "用" * 44 + "…"


async def test_who_can_not_be_taken_in_is_told_so_in_their_language(server: FakeDiscord) -> None:
    def translate(text: str, language: str | None) -> str:
        return f"{language}: {text}"

    alice = server.person("Alice", locale="de")

    async with running(server, translate=translate) as bot:
        await bot.adapter.ready()
        bot.failures = 1
        used = await server.direct(alice).command(alice, "privacy")
        told = await used.answer()
    assert told.text == f"de: {NOT_STORED}"
    assert told.ephemeral


async def test_another_bots_form_is_nothing_to_us(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    dm = server.direct(alice)
    await dm.fill_in(alice, {"custom_id": "something else", "components": []})
    await dm.says(alice, "Hello")
    assert (await bot.receives_message()).text == "Hello"


# Buttons

THUMBS = ((Button("👍", "good:7"), Button("👎", "bad:7")), (Button("Stop", "stop:7"),))


async def test_a_message_has_buttons_until_it_is_edited_without(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")
    chat = ChatRef("discord", channel.id)

    sent = await bot.adapter.send(chat, Part("Writing", buttons=THUMBS), key="k1")
    [message] = channel.visible
    assert message.buttons == [["👍", "👎"], ["Stop"]]
    assert {button["style"] for row in message.components for button in row["components"]} == {2}

    assert await bot.adapter.preview(sent, Part("Writing more", buttons=THUMBS[1:]))
    assert message.buttons == [["Stop"]]
    await bot.adapter.edit(sent, Part("Written"))
    assert (message.text, message.buttons) == ("Written", [])

    ask = await channel.command(alice, "ask", question="Why?")
    event = await bot.receives_command()
    assert event.placeholder is not None
    await bot.adapter.edit(event.placeholder, Part("Because", buttons=THUMBS))
    assert (await ask.answer()).buttons == [["👍", "👎"], ["Stop"]]


async def test_a_press_is_acknowledged_and_answered_to_one_person(server: FakeDiscord) -> None:
    alice, bob = server.person("Alice"), server.person("Bob")
    garden = server.server("Garden")
    thread = garden.channel("general").thread("Tomatoes")
    async with running(server) as bot:
        await bot.adapter.ready()
        await bot.adapter.send(ChatRef("discord", thread.id), Part("So?", buttons=THUMBS), key="k1")
    [message] = thread.visible

    async with running(server) as bot:  # a restart later
        await bot.adapter.ready()
        pressed = await thread.press(bob, message, "👎")
        event = await bot.receives_press()
        assert (event.data, event.author.name, event.message) == ("bad:7", "Bob", ref(message))
        assert thread.parent is not None
        assert (event.server, event.private, event.parent) == (garden.id, False, thread.parent.id)
        placeholder = await pressed.acknowledged()
        assert (placeholder.thinking, placeholder.seen_by) == (True, bob)

        assert event.placeholder is not None
        await bot.adapter.edit(event.placeholder, Part("Thank you."))
        assert (await pressed.answer()).text == "Thank you."
        assert message.buttons == [["👍", "👎"], ["Stop"]], "the message itself stays as it is"

        again = await server.direct(alice).press(alice, message, "👍")
        placeholder = await again.acknowledged()
        press = await bot.receives_press()
        assert press.placeholder is not None
        await bot.adapter.delete(press.placeholder)
        assert placeholder not in placeholder.channel.visible


async def test_what_is_slow_to_store_is_acknowledged_in_time_and_not_lost(server: FakeDiscord) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")
    async with running(server) as bot:
        await bot.adapter.ready()
        await bot.adapter.send(ChatRef("discord", channel.id), Part("So?", buttons=THUMBS), key="k1")
        [message] = channel.visible
        store, release = bot.publish, asyncio.Event()

        async def slow(event: Event) -> None:
            await release.wait()
            await store(event)

        bot.publish = slow  # type: ignore[method-assign]
        used = [await channel.command(alice, "ask", question=f"{number}?") for number in range(50)]
        used.append(await channel.press(alice, message, "👍"))
        for one in used:
            await one.acknowledged()
            assert one.acknowledged_after is not None
            assert one.acknowledged_after < 3
        assert not bot.events

        bot.failures = 2  # and then the disk is full for a while
        release.set()
        events = [await bot.receives() for _ in used]
    questions = {event.arguments["question"] for event in events if isinstance(event, CommandInvoked)}
    assert questions == {f"{number}?" for number in range(50)}
    assert sum(isinstance(event, ButtonPressed) for event in events) == 1


async def test_an_acknowledgement_that_meets_trouble_is_repeated_in_time(
    server: FakeDiscord, bot: Bot
) -> None:
    alice = server.person("Alice")
    server.fail_next(CALLBACK, status=502, body={"code": 0, "message": "Bad Gateway"})
    ask = await server.direct(alice).command(alice, "ask", question="Why?")
    await ask.acknowledged()
    assert ask.acknowledged_after is not None
    assert ask.acknowledged_after < 3
