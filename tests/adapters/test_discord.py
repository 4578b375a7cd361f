"""The Discord adapter in conversation with a Discord on loopback, through the real discord.py."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import discord
import pytest

from adapters.commands import CommandSpec, Param
from adapters.errors import Forbidden, Misconfigured, NotFound, RateLimited, Rejected, Unreachable
from adapters.types import (
    Addressed,
    ChatRef,
    CommandInvoked,
    Event,
    File,
    Part,
    Unreadable,
)
from tests.adapters.discord_bot import ASK, PRIVACY, Bot, ref, running
from tests.fakes.discord import FakeDiscord, RateLimit
from tests.fakes.discord.specification import specification

CREATE = "POST /channels/{channel_id}/messages"
EDIT = "PATCH /channels/{channel_id}/messages/{message_id}"
TYPING = "POST /channels/{channel_id}/typing"
CALLBACK = "POST /interactions/{interaction_id}/{interaction_token}/callback"
EDIT_RESPONSE = "PATCH /webhooks/{webhook_id}/{webhook_token}/messages/@original"
PUT_COMMANDS = "PUT /applications/{application_id}/commands"


@pytest.fixture
async def server() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as server:
        yield server


@pytest.fixture
async def bot(server: FakeDiscord) -> AsyncIterator[Bot]:
    async with running(server) as bot:
        await bot.adapter.ready()
        yield bot


async def test_a_direct_message_is_published_and_answered(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    dm = server.direct(alice)

    question = await dm.says(alice, "Hello")
    event = await bot.receives_message()
    assert (event.text, event.addressed, event.private) == ("Hello", Addressed.DIRECT, True)

    sent = await bot.adapter.send(event.chat, Part("Hello **Alice**"), key="k1", reply_to=event.message)
    answer = await dm.answer(to=question)
    assert answer.text == "Hello **Alice**"
    assert answer.reply_to is question
    assert answer.previews_suppressed
    assert sent == ref(answer)


async def test_in_a_server_the_bots_name_is_cut_from_the_front(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    garden = server.server("Garden")
    channel = garden.channel("general")

    await channel.says(alice, f"{server.bot.mention} what grows in <#{channel.id}>?")
    event = await bot.receives_message()

    assert (event.text, event.addressed) == ("what grows in #general?", Addressed.MENTION)
    assert (event.server, event.private, event.author.name) == (garden.id, False, "Alice")


async def test_who_speaks_to_the_bot(server: FakeDiscord, bot: Bot) -> None:
    alice, bob = server.person("Alice"), server.person("Bob")
    garden = server.server("Garden")
    channel = garden.channel("general")
    chatter = await channel.says(bob, "Lovely weather")
    sent = await bot.adapter.send(ChatRef("discord", channel.id), Part("Indeed"), key="k1")
    own = channel.find(sent.message)
    thread, elsewhere = channel.thread("Tomatoes"), channel.thread("Cars", joined=False)

    await channel.says(alice, "@everyone look!")
    await channel.says(alice, f"<@&{garden.other_role}> look!")
    await channel.says(alice, f"<@&{garden.own_role}> look!")
    await channel.says(alice, "Is it?", reply_to=own)
    await channel.says(alice, "Is it?", reply_to=own, ping=False)
    await channel.says(alice, "It is", reply_to=chatter)
    await thread.says(alice, "They are red")
    await elsewhere.says(alice, "They are red")

    events = [await bot.receives_message() for _ in range(9)]
    assert [(event.text, event.addressed) for event in events[1:]] == [
        ("@everyone look!", Addressed.NOT),
        ("@Gardeners look!", Addressed.NOT),
        ("look!", Addressed.MENTION),
        ("Is it?", Addressed.REPLY),
        ("Is it?", Addressed.REPLY),
        ("It is", Addressed.NOT),
        ("They are red", Addressed.THREAD),
        ("They are red", Addressed.NOT),
    ]
    assert events[4].quoted is not None
    assert (events[4].quoted.text, events[4].quoted.by_bot) == ("Indeed", True)
    assert events[4].reply_to == sent


async def test_bots_webhooks_and_notices_are_not_published(server: FakeDiscord, bot: Bot) -> None:
    alice, robot = server.person("Alice"), server.person("Robot", bot=True)
    dm, channel = server.direct(alice), server.server("Garden").channel("general")
    await channel.says(robot, f"{server.bot.mention} hello")
    await channel.says(alice, f"{server.bot.mention} hello", webhook="4711")
    await channel.says(alice, "joined", type=discord.MessageType.new_member.value)
    await bot.adapter.send(ChatRef("discord", channel.id), Part("I am here"), key="k1")
    await dm.says(alice, "the first of a person")

    assert (await bot.receives_message()).text == "the first of a person"


async def test_a_long_answer_comes_in_several_messages(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    dm = server.direct(alice)
    question = await dm.says(alice, "Tell me a story")
    chat = (await bot.receives_message()).chat
    story = "\n\n".join(f"Chapter {number}. " + "And so on. " * 60 for number in range(1, 7))

    parts = bot.adapter.parts(story)
    for number, part in enumerate(parts):
        await bot.adapter.send(chat, part, key=f"story-{number}")

    answers = dm.answers(to=question)
    assert len(answers) == len(parts) > 1
    assert " ".join(" ".join(answer.text for answer in answers).split()) == " ".join(story.split())


async def test_a_repeated_send_is_made_once(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    dm = server.direct(alice)
    question = await dm.says(alice, "Hello")
    chat = (await bot.receives_message()).chat

    first = await bot.adapter.send(chat, Part("Hi"), key="same")
    second = await bot.adapter.send(chat, Part("Hi"), key="same")
    assert first == second
    assert [answer.text for answer in dm.answers(to=question)] == ["Hi"]
    assert not server.requested(EDIT)

    third = await bot.adapter.send(chat, Part("Hi, Alice"), key="same")
    assert third == first
    assert [answer.text for answer in dm.answers(to=question)] == ["Hi, Alice"]


async def test_a_send_whose_answer_was_lost_can_be_repeated(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    dm = server.direct(alice)
    question = await dm.says(alice, "Hello")
    chat = (await bot.receives_message()).chat
    server.fail_next(CREATE, drop="after")

    with pytest.raises(Unreachable):
        await bot.adapter.send(chat, Part("Hi"), key="k1")
    await bot.adapter.send(chat, Part("Hi"), key="k1")

    assert [answer.text for answer in dm.answers(to=question)] == ["Hi"]


async def test_an_answer_is_edited_and_deleted(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    dm = server.direct(alice)
    question = await dm.says(alice, "Hello")
    sent = await bot.adapter.send((await bot.receives_message()).chat, Part("Let me"), key="k1")
    answer = await dm.answer(to=question)

    assert await bot.adapter.edit(sent, Part("Let me see <https://example.org>")) == sent
    assert answer.text == "Let me see <https://example.org>"
    assert answer.previews_suppressed

    await bot.adapter.delete(sent)
    assert dm.visible == [question]
    await bot.adapter.delete(sent)
    with pytest.raises(NotFound):
        await bot.adapter.edit(sent, Part("Too late"))


async def test_a_reply_to_a_deleted_message_stands_alone(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    dm = server.direct(alice)
    question = await dm.says(alice, "Never mind")
    event = await bot.receives_message()
    dm.messages.remove(question)

    await bot.adapter.send(event.chat, Part("As you like"), key="k1", reply_to=event.message)

    assert [(message.text, message.reply_to) for message in dm.visible] == [("As you like", None)]


async def test_a_long_text_goes_as_a_file(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    dm = server.direct(alice)
    question = await dm.says(alice, "Write me a program")
    chat = (await bot.receives_message()).chat
    program = File("program.py", "print('grüß dich')\n".encode())

    sent = await bot.adapter.send(chat, Part("Here it is", program), key="k1")
    answer = await dm.answer(to=question)
    assert [(file.name, file.content) for file in answer.files] == [(program.name, program.content)]

    await bot.adapter.edit(sent, Part("Here it is again", program))
    assert (answer.text, len(answer.files)) == ("Here it is again", 1)
    await bot.adapter.edit(sent, Part("There is none"))
    assert (answer.text, answer.files) == ("There is none", [])


async def test_what_the_bot_was_sent_is_listed(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    await server.direct(alice).says(alice, "", files={"note.txt": b"milk"})

    [attachment] = (await bot.receives_message()).attachments
    assert (attachment.name, attachment.size) == ("note.txt", 4)
    assert await bot.adapter.download(attachment, limit=4) == b"milk"


# Budgets


class Clock:
    """Time that passes only when someone sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


async def test_previews_keep_their_distance_and_leave_room_for_the_final(server: FakeDiscord) -> None:
    clock = Clock()
    alice = server.person("Alice")
    dm = server.direct(alice)
    async with running(server, clock=clock, sleep=clock.sleep) as bot:
        question = await dm.says(alice, "Hello")
        sent = await bot.adapter.send((await bot.receives_message()).chat, Part("..."), key="k1")
        interval = bot.adapter.capabilities(sent.chat).edit_interval
        assert interval == timedelta(seconds=1.2)

        assert await bot.adapter.preview(sent, Part("I"))
        assert not await bot.adapter.preview(sent, Part("I am"))
        clock.now += interval.total_seconds()
        assert await bot.adapter.preview(sent, Part("I am here"))
        assert not clock.slept
        await bot.adapter.edit(sent, Part("I am here."))
        assert not clock.slept, "the final has room"
        assert (await dm.answer(to=question)).edits == ["I", "I am here", "I am here."]


async def test_a_final_waits_for_the_channels_budget(server: FakeDiscord) -> None:
    clock = Clock()
    chat = ChatRef("discord", server.direct(server.person("Alice")).id)
    async with running(server, clock=clock, sleep=clock.sleep) as bot:
        await bot.adapter.ready()
        for number in range(6):
            await bot.adapter.send(chat, Part(f"{number}"), key=f"k{number}")
    assert clock.now == pytest.approx(1.0), "five at once, the sixth a second later"


async def test_the_last_edit_asked_for_stands_last(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    dm = server.direct(alice)
    question = await dm.says(alice, "Count")
    sent = await bot.adapter.send((await bot.receives_message()).chat, Part("one"), key="k1")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bot.adapter.edit(sent, Part("one two")))
        await asyncio.sleep(0)
        assert not await bot.adapter.preview(sent, Part("a stale preview")), "an edit is on its way"
        tasks.create_task(bot.adapter.edit(sent, Part("one two three")))

    assert (await dm.answer(to=question)).edits == ["one two", "one two three"]


# Slash commands


async def test_a_command_is_stored_then_acknowledged_then_answered(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")

    ask = await channel.command(alice, "ask", question="Why?")
    event = await bot.receives_command()
    assert (event.name, event.arguments) == ("ask", {"question": "Why?"})
    assert (event.author.name, event.author.language) == ("Alice", "en-GB")
    assert event.placeholder is not None

    placeholder = await ask.acknowledged()
    assert placeholder.thinking
    assert not placeholder.ephemeral
    assert ask.acknowledged_after is not None
    assert ask.acknowledged_after < 3

    await bot.adapter.edit(event.placeholder, Part("Be"))
    assert await bot.adapter.preview(event.placeholder, Part("Because"))
    lasting = await bot.adapter.edit(event.placeholder, Part("Because."))
    answer = await ask.answer()
    assert answer.edits == ["Be", "Because", "Because."]
    assert answer.previews_suppressed
    assert lasting == ref(answer)

    await bot.adapter.edit(lasting, Part("Because of the sun."))
    assert answer.text == "Because of the sun."


async def test_an_edit_waits_until_its_command_is_acknowledged(server: FakeDiscord) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")
    async with running(server) as bot, asyncio.TaskGroup() as tasks:
        store = bot.publish

        async def store_and_answer(event: Event) -> None:
            assert isinstance(event, CommandInvoked)
            assert event.placeholder is not None
            await store(event)
            tasks.create_task(bot.adapter.edit(event.placeholder, Part("At once.")))
            assert not await bot.adapter.preview(event.placeholder, Part("Too early"))
            await asyncio.sleep(0)  # the edit begins before the acknowledgement

        bot.publish = store_and_answer  # type: ignore[method-assign]
        ask = await channel.command(alice, "ask", question="Why?")
        assert (await ask.answer()).text == "At once."
    routes = [request.route for request in server.requests]
    assert routes.index(CALLBACK) < routes.index(EDIT_RESPONSE)


async def test_a_private_command_is_answered_to_one_person(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")

    privacy = await channel.command(alice, "privacy")
    event = await bot.receives_command()
    assert event.placeholder is not None
    lasting = await bot.adapter.edit(event.placeholder, Part("Nothing is kept."))
    assert lasting == event.placeholder, "what only one person sees is reached through the interaction alone"
    await bot.adapter.edit(lasting, Part("Nothing at all is kept."))
    await bot.adapter.send(event.chat, Part("Nothing."), key="k1", reply_to=lasting)

    answer = await privacy.answer()
    assert (answer.text, answer.seen_by) == ("Nothing at all is kept.", alice)
    [followup] = privacy.followups
    assert (followup.text, followup.seen_by) == ("Nothing.", alice)

    privacy.expire()
    with pytest.raises(NotFound):
        await bot.adapter.send(event.chat, Part("Still nothing."), key="k2", reply_to=lasting)
    assert all(message.seen_by is alice for message in channel.visible)


async def test_in_a_direct_message_nothing_is_ephemeral(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    privacy = await server.direct(alice).command(alice, "privacy")

    event = await bot.receives_command()
    assert event.private
    assert event.placeholder is not None
    await bot.adapter.edit(event.placeholder, Part("Nothing is kept."))
    assert not (await privacy.answer()).ephemeral


async def test_a_long_answer_to_a_command_goes_on_in_ordinary_messages(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")
    ask = await channel.command(alice, "ask", question="Why?")
    event = await bot.receives_command()
    assert event.placeholder is not None

    await bot.adapter.edit(event.placeholder, Part("First,"))
    second = await bot.adapter.send(
        event.chat, Part("second", File("a.txt", b"third")), key="k2", reply_to=event.placeholder
    )
    message = channel.visible[-1]
    assert (message.text, message.files[0].content, message.ephemeral) == ("second", b"third", False)
    assert message.previews_suppressed
    assert second == ref(message)
    assert not ask.followups

    ask.expire()
    for _ in range(2):  # a repetition after a crash
        await bot.adapter.send(event.chat, Part("fourth"), key="k3", reply_to=event.placeholder)
    assert channel.texts == ["First,", "second", "fourth"]


async def test_where_the_bot_may_not_write_an_answer_goes_on_through_its_command(
    server: FakeDiscord, bot: Bot
) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")
    ask = await channel.command(alice, "ask", question="Why?")
    event = await bot.receives_command()
    assert event.placeholder is not None
    await bot.adapter.edit(event.placeholder, Part("First,"))
    server.fail_next(CREATE, status=403, body={"code": 50013, "message": "Missing Permissions"})

    second = await bot.adapter.send(event.chat, Part("second"), key="k2", reply_to=event.placeholder)

    assert [ref(followup) for followup in ask.followups] == [second]
    ask.expire()
    server.fail_next(CREATE, status=403, body={"code": 50013, "message": "Missing Permissions"})
    with pytest.raises(Forbidden):
        await bot.adapter.send(event.chat, Part("third"), key="k3", reply_to=event.placeholder)


@pytest.mark.parametrize(
    ("status", "code"), [(404, 10015), (404, 10062), (401, 50027)], ids=["webhook", "interaction", "token"]
)
async def test_an_answer_whose_command_has_expired_becomes_an_ordinary_message(
    server: FakeDiscord, bot: Bot, status: int, code: int
) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")
    ask = await channel.command(alice, "ask", question="Why?")
    event = await bot.receives_command()
    assert event.placeholder is not None
    await ask.acknowledged()
    server.fail_next(EDIT_RESPONSE, status=status, body={"code": code, "message": "It is over"})

    with pytest.raises(NotFound):
        await bot.adapter.edit(event.placeholder, Part("Because."))
    for _ in range(2):  # a repetition after a crash
        await bot.adapter.send(event.chat, Part("Because."), key="k1", reply_to=event.placeholder)

    assert channel.texts[1:] == ["Because."]


async def test_an_expired_command_can_not_be_answered(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")
    ask = await channel.command(alice, "ask", question="Why?")
    event = await bot.receives_command()
    assert event.placeholder is not None
    await ask.acknowledged()

    ask.expire()
    with pytest.raises(NotFound):
        await bot.adapter.edit(event.placeholder, Part("Too late"))


async def test_a_command_survives_a_restart_of_the_bot(server: FakeDiscord) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")
    async with running(server) as bot:
        ask = await channel.command(alice, "ask", question="Why?")
        event = await bot.receives_command()
        await ask.acknowledged()
    async with running(server) as bot:
        await bot.adapter.ready()
        assert event.placeholder is not None
        await bot.adapter.edit(event.placeholder, Part("Because."))
    assert (await ask.answer()).text == "Because."


async def test_a_command_that_is_not_acknowledged_in_time_can_not_be_answered(
    server: FakeDiscord, bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")
    server.fail_next(CALLBACK, status=404, body={"code": 10062, "message": "Unknown interaction"})
    await channel.command(alice, "ask", question="Why?")
    event = await bot.receives_command()

    assert event.placeholder is not None
    with pytest.raises(NotFound):
        await bot.adapter.edit(event.placeholder, Part("Because."))
    assert "could not be acknowledged" in caplog.text


async def test_a_command_that_can_not_be_stored_is_refused_kindly(
    server: FakeDiscord, bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    alice = server.person("Alice")
    channel = server.server("Garden").channel("general")
    bot.failures = 1

    ask = await channel.command(alice, "ask", question="Why?")
    answer = await ask.answer()
    assert "try again" in answer.text
    assert answer.seen_by is alice
    assert "the disk is full" in caplog.text


async def test_commands_are_registered_when_they_have_changed(server: FakeDiscord, bot: Bot) -> None:
    await bot.adapter.publish_commands([ASK, PRIVACY])
    assert [command["name"] for command in server.commands] == ["ask", "privacy"]

    await bot.adapter.publish_commands([PRIVACY, ASK])
    assert len(server.requested(PUT_COMMANDS)) == 1

    mode = Param("mode", "How", required=False, choices=("short", "long"))
    await bot.adapter.publish_commands([CommandSpec("ask", "Ask the model", (mode, *ASK.params))])
    await bot.adapter.publish_commands([CommandSpec("ask", "Ask the model", (mode, *ASK.params))])
    assert len(server.requested(PUT_COMMANDS)) == 2
    [ask] = server.commands
    assert [option["name"] for option in ask["options"]] == ["question", "mode"], "required ones come first"


# Typing


async def test_typing_is_shown_again_and_again_until_the_answer_is_there(server: FakeDiscord) -> None:
    clock = Clock()
    dm = server.direct(server.person("Alice"))
    async with running(server, sleep=clock.sleep) as bot:
        await bot.adapter.ready()
        async with bot.adapter.typing(ChatRef("discord", dm.id)):
            await server.until(lambda: len(dm.typing) >= 3)
        shown = len(server.requested(TYPING))
        await bot.adapter.send(ChatRef("discord", dm.id), Part("Done"), key="k1")
        assert len(server.requested(TYPING)) == shown
    assert set(clock.slept) == {8.0}


async def test_typing_never_raises(server: FakeDiscord, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "adapters")
    clock = Clock()
    dm = server.direct(server.person("Alice"))
    server.fail_next(TYPING, status=403, body={"code": 50001, "message": "Missing Access"})
    chat = ChatRef("discord", dm.id)
    async with running(server, sleep=clock.sleep) as bot, bot.adapter.typing(chat):  # not connected yet
        await server.until(lambda: dm.typing)
    assert "not connected" in caplog.text
    assert "Missing Access" in caplog.text


# When Discord refuses


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, {"code": 50007, "message": "Cannot send messages to this user"}, Forbidden),
        (404, {"code": 10003, "message": "Unknown Channel"}, NotFound),
        (503, {"code": 0, "message": "Service Unavailable"}, Unreachable),
        (429, {"code": 0, "message": "blocked by Cloudflare"}, RateLimited),
        (401, {"code": 0, "message": "401: Unauthorized"}, Misconfigured),
    ],
)
async def test_refusals_are_translated(
    server: FakeDiscord, bot: Bot, status: int, body: object, error: type[Exception]
) -> None:
    chat = ChatRef("discord", server.direct(server.person("Alice")).id)
    server.fail_next(CREATE, status=status, body=body)
    with pytest.raises(error):
        await bot.adapter.send(chat, Part("Hello"), key="k1")


async def test_what_is_refused_with_formatting_goes_without(server: FakeDiscord, bot: Bot) -> None:
    dm = server.direct(server.person("Alice"))
    chat = ChatRef("discord", dm.id)
    server.fail_next(CREATE, status=400, body={"code": 50035, "message": "Invalid Form Body"})
    await bot.adapter.send(chat, Part("**Hello**"), key="k1")
    assert dm.texts == ["Hello"]

    server.fail_next(CREATE, status=400, body={"code": 50035, "message": "Invalid Form Body"})
    with pytest.raises(Rejected):
        await bot.adapter.send(chat, Part("Hello"), key="k2")


async def test_a_short_rate_limit_is_waited_for(server: FakeDiscord, bot: Bot) -> None:
    dm = server.direct(server.person("Alice"))
    server.limit_next(CREATE, retry_after=0.05)
    await bot.adapter.send(ChatRef("discord", dm.id), Part("Hello"), key="k1")
    assert dm.texts == ["Hello"]


async def test_what_a_channel_takes_is_not_overrun() -> None:
    async with FakeDiscord(limit=RateLimit(2, per=0.1)) as server, running(server) as bot:
        dm = server.direct(server.person("Alice"))
        await bot.adapter.ready()
        for number in range(5):
            await bot.adapter.send(ChatRef("discord", dm.id), Part(f"{number}"), key=f"k{number}")
        assert dm.texts == ["0", "1", "2", "3", "4"]
        assert len(server.requested(CREATE)) == 5, "none was refused"


async def test_a_long_rate_limit_holds_the_channel(server: FakeDiscord) -> None:
    clock = Clock()
    dm, other = server.direct(server.person("Alice")), server.direct(server.person("Bob"))
    chat = ChatRef("discord", dm.id)
    async with running(server, clock=clock, sleep=clock.sleep) as bot:
        await bot.adapter.ready()
        sent = await bot.adapter.send(chat, Part("Hello"), key="k1")
        server.limit_next(EDIT, retry_after=90)
        with pytest.raises(RateLimited) as limited:
            await bot.adapter.edit(sent, Part("Hello!"))
        assert limited.value.retry_after == timedelta(seconds=90)

        assert not await bot.adapter.preview(sent, Part("Hello?"))
        await bot.adapter.send(ChatRef("discord", other.id), Part("Hello"), key="k2")
        assert not clock.slept, "other channels go on"
        await bot.adapter.send(chat, Part("Hello again"), key="k3")
        assert clock.now == pytest.approx(90)


async def test_a_preview_that_meets_a_rate_limit_is_dropped(server: FakeDiscord, bot: Bot) -> None:
    dm = server.direct(server.person("Alice"))
    sent = await bot.adapter.send(ChatRef("discord", dm.id), Part("Hello"), key="k1")
    server.limit_next(EDIT, retry_after=90)
    assert not await bot.adapter.preview(sent, Part("Hello!"))
    assert dm.texts == ["Hello"]


# The connection


async def test_a_lost_connection_is_resumed_and_nothing_is_missed(server: FakeDiscord, bot: Bot) -> None:
    alice = server.person("Alice")
    dm = server.direct(alice)
    await dm.says(alice, "one")
    await bot.receives()

    server.gateway.drop()
    await server.until(lambda: not server.gateway.connected)
    await dm.says(alice, "two")
    await server.until(lambda: server.gateway.resumed == 1)
    server.gateway.ask_to_reconnect()
    await server.until(lambda: server.gateway.resumed == 2)
    await dm.says(alice, "three")

    assert [(await bot.receives_message()).text for _ in range(2)] == ["two", "three"]
    assert len(server.gateway.identified) == 1


async def test_an_invalid_session_is_begun_anew(
    server: FakeDiscord, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_pause(*_: object, **__: object) -> None:
        """discord.py's own pause is 5 seconds."""

    monkeypatch.setattr(discord.Client, "before_identify_hook", no_pause)
    alice = server.person("Alice")
    dm = server.direct(alice)

    server.gateway.invalidate()
    await server.until(lambda: len(server.gateway.identified) == 2)
    await dm.says(alice, "Are you there?")
    assert (await bot.receives_message()).text == "Are you there?"


async def test_an_event_that_can_not_be_read_is_kept_and_does_not_end_the_bot(
    server: FakeDiscord, bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    alice = server.person("Alice")
    dm = server.direct(alice)
    for _ in range(2):
        server.emit("MESSAGE_CREATE", {"nonsense": True, "channel_id": dm.id})
    await dm.says(alice, "Are you there?")

    first, again = await bot.receives(), await bot.receives()
    assert isinstance(first, Unreadable)
    assert json.loads(first.raw) == {"nonsense": True, "channel_id": dm.id}
    assert (first.chat.chat, first.reason) == (dm.id, "KeyError: 'id'")
    assert again.id == first.id, "what is stored by its id is stored once"
    assert (await bot.receives_message()).text == "Are you there?"
    assert len(server.gateway.identified) == 1
    assert "can't be read" in caplog.text


async def test_an_unreachable_discord_is_tried_less_and_less_often(server: FakeDiscord) -> None:
    pauses: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            enough.set()
            await asyncio.Event().wait()

    server.fail_next("GET /users/@me", drop="before", times=100)
    async with running(server, sleep=sleep) as bot:
        async with asyncio.timeout(10):
            await enough.wait()
        with pytest.raises(Unreachable):
            await bot.adapter.send(ChatRef("discord", "1"), Part("Hello"), key="k1")
    longest = [2, 4, 8, 16, 32, 64, 120, 120, 120]
    assert all(limit / 2 <= pause <= limit for pause, limit in zip(pauses, longest, strict=True))


async def test_without_the_message_content_intent_the_bot_goes_on_and_says_what_to_switch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeDiscord(message_content=False) as server, running(server) as bot:
        alice = server.person("Alice")
        channel, dm = server.server("Garden").channel("general"), server.direct(alice)
        await bot.adapter.ready()
        assert caplog.text.count("Message Content Intent") == 1

        await channel.says(alice, "just talking")
        await channel.says(alice, f"{server.bot.mention} hello")
        await dm.says(alice, "hello")
        events = [await bot.receives_message() for _ in range(3)]
        assert [event.text for event in events] == ["", "hello", "hello"]
        assert len(server.gateway.identified) == 2

        server.gateway.close(4014)
        assert bot.run is not None
        with pytest.raises(Misconfigured, match="Privileged Gateway Intents"):
            await bot.run


async def test_a_wrong_token_says_what_to_do(server: FakeDiscord) -> None:
    async with running(server, token="not-the-token") as bot:
        assert bot.run is not None
        with pytest.raises(Misconfigured, match="CHORUS_DISCORD__TOKEN") as refused:
            await bot.run
    assert "not-the-token" not in str(refused.value)


async def test_a_token_that_is_reset_meanwhile_says_what_to_do(server: FakeDiscord, bot: Bot) -> None:
    server.gateway.close(4004)
    assert bot.run is not None
    with pytest.raises(Misconfigured, match="CHORUS_DISCORD__TOKEN"):
        await bot.run

    ready = asyncio.create_task(bot.adapter.ready())
    await asyncio.sleep(0)
    assert not ready.done(), "it is connected no more"
    ready.cancel()


async def test_at_the_end_an_event_in_hand_is_still_stored(server: FakeDiscord) -> None:
    alice = server.person("Alice")
    dm = server.direct(alice)
    async with running(server) as bot:
        begun, finish, stored = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def publish(event: Event) -> None:
            begun.set()
            await finish.wait()
            stored.set()

        bot.publish = publish  # type: ignore[method-assign]
        await dm.says(alice, "Hello")
        async with asyncio.timeout(10):
            await begun.wait()
        assert bot.run is not None
        bot.run.cancel()
        await asyncio.sleep(0)
        finish.set()
        await asyncio.wait([bot.run])
        assert stored.is_set()


async def test_a_message_that_can_not_be_stored_is_logged(
    server: FakeDiscord, bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    alice = server.person("Alice")
    dm = server.direct(alice)
    bot.failures = 1
    await dm.says(alice, "Hello")
    await dm.says(alice, "Hello again")
    await bot.receives()
    assert "the disk is full" in caplog.text


async def test_a_bot_in_no_server_logs_how_to_invite_it(
    server: FakeDiscord, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(server) as bot:
        await bot.adapter.ready()
        assert f"client_id={server.application_id}" in caplog.text
        assert "scope=bot+applications.commands" in caplog.text

    caplog.clear()
    server.server("Garden")
    async with running(server) as bot:
        await bot.adapter.ready()
        assert "client_id" not in caplog.text


async def test_what_is_being_sent_when_the_connection_ends_did_not_get_through(
    server: FakeDiscord, bot: Bot
) -> None:
    chat = ChatRef("discord", server.direct(server.person("Alice")).id)
    release = server.hold_next(CREATE)
    first = asyncio.create_task(bot.adapter.send(chat, Part("one"), key="k1"))
    second = asyncio.create_task(bot.adapter.send(chat, Part("two"), key="k2"))
    await server.until(lambda: server.requested(CREATE))

    server.gateway.close(4004)
    await asyncio.wait([first, second], timeout=10)
    release.set()

    assert isinstance(first.exception(), Unreachable)
    assert isinstance(second.exception(), Unreachable)
    with pytest.raises(Unreachable):
        await bot.adapter.send(chat, Part("three"), key="k3")


async def test_the_token_is_in_no_log(server: FakeDiscord, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    alice = server.person("Alice")
    dm = server.direct(alice)
    async with running(server) as bot:
        await dm.says(alice, "Hello")
        event = await bot.receives_message()
        await bot.adapter.send(event.chat, Part("Hi"), key="k1")
        server.fail_next(CREATE, status=503, body={"code": 0, "message": "Service Unavailable"})
        with pytest.raises(Unreachable) as failed:
            await bot.adapter.send(event.chat, Part("Hi"), key="k2")
        server.gateway.drop()
        await server.until(lambda: server.gateway.resumed)
        assert server.token not in repr(bot.adapter)
        assert server.token not in f"{failed.value!r} {failed.value.__cause__!r}"
    assert "connected to Discord" in caplog.text, "the log is there"
    assert server.token not in caplog.text


async def test_an_interactions_token_is_in_no_log(
    server: FakeDiscord, bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    alice = server.person("Alice")
    ask = await server.direct(alice).command(alice, "ask", question="Why?")
    event = await bot.receives_command()
    await ask.acknowledged()
    server.limit_next(EDIT_RESPONSE, retry_after=0.05)
    assert event.placeholder is not None
    await bot.adapter.edit(event.placeholder, Part("Because."))
    server.emit("INTERACTION_CREATE", {"id": "1", "token": "s3cret", "nonsense": True})
    unreadable = await bot.receives()

    assert "/webhooks/" in caplog.text, "discord.py tells of the rate limit, and of where"
    assert ask.token not in caplog.text
    assert isinstance(unreadable, Unreadable)
    assert "s3cret" not in caplog.text + unreadable.raw


# The fake itself


async def test_the_fake_notices_what_discord_would_not_take() -> None:
    if specification() is None:
        pytest.skip("Discord's API description is absent: requests are not checked against it")

    async def talk_nonsense() -> None:
        async with FakeDiscord() as server, aiohttp.ClientSession() as session:
            url = f"{server.api_url}/channels/{server.direct(server.person('Alice')).id}/messages"
            headers = {"Authorization": f"Bot {server.token}"}
            body = {"content": "a" * 2001, "contents": "b", "enforce_nonce": "yes"}
            await session.post(url, json=body, headers=headers, params={"wait": "1"})
            await session.get(f"{server.api_url}/gateway", headers=headers)

    with pytest.raises(AssertionError) as refused:
        await talk_nonsense()
    for violation in (
        "unknown property 'contents'",
        "$.enforce_nonce: 'yes' is not of type 'boolean'",
        "unknown query parameter 'wait'",
        "content of 2001 characters",
        "mentions are not forbidden",
        "no such route",
    ):
        assert violation in str(refused.value)
