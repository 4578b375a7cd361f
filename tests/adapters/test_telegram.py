"""The Telegram adapter against a Telegram on loopback."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from telegram import Bot, MessageEntity

from adapters.base import Capabilities
from adapters.commands import CommandSpec, Kind, Param, Permission
from adapters.errors import (
    AdapterError,
    Forbidden,
    InDoubt,
    Misconfigured,
    NotFound,
    RateLimited,
    Rejected,
    Unreachable,
)
from adapters.telegram import TelegramAdapter
from adapters.types import (
    Addressed,
    Button,
    ButtonPressed,
    ChatRef,
    CommandInvoked,
    Event,
    File,
    MessageCreated,
    MessageEdited,
    MessageRef,
    Part,
    Person,
    Standing,
    StopRequested,
    Unreadable,
)
from tests.fakes.telegram import Chat, FakeTelegram, Message
from tests.fakes.telegram.spec import Upload, description

COMMANDS = [CommandSpec("start", "Say hello"), CommandSpec("stop", "Stop answering")]
KEY = "a key"
MIB = 2**20


class Time:
    """A clock that jumps: whoever sleeps moves it on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Inbox:
    """What the application would store."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._arrived: asyncio.Queue[Event] = asyncio.Queue()

    async def publish(self, event: Event) -> None:
        self.events.append(event)
        self._arrived.put_nowait(event)

    async def next(self) -> Any:
        async with asyncio.timeout(20):
            return await self._arrived.get()

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, MessageCreated)]


def adapter_for(telegram: FakeTelegram, time: Time | None = None, **options: Any) -> TelegramAdapter:
    options = {"token": telegram.token, "commands": COMMANDS, **options}
    if time is not None:
        options |= {"clock": time, "sleep": time.sleep}
    return TelegramAdapter(api_url=telegram.api_url, file_url=telegram.file_url, **options)


@asynccontextmanager
async def running(
    adapter: TelegramAdapter, publish: Callable[[Event], Awaitable[None]], **options: Any
) -> AsyncIterator[asyncio.Task[None]]:
    """The adapter, connected; stopped at the end."""
    task = asyncio.create_task(adapter.run(publish, **options))
    try:
        async with asyncio.timeout(20):
            await adapter.ready()
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def connected(
    telegram: FakeTelegram, time: Time | None = None, **options: Any
) -> AsyncIterator[tuple[TelegramAdapter, Inbox]]:
    inbox, adapter = Inbox(), adapter_for(telegram, time, **options)
    async with running(adapter, inbox.publish):
        yield adapter, inbox


def ref(chat: Chat) -> ChatRef:
    return ChatRef("telegram", str(chat.id))


def ref_to(message: Message) -> MessageRef:
    return MessageRef(ref(message.chat), str(message.id))


# Listening


async def test_it_hears_a_person_and_answers() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, inbox):
        alice = telegram.person("Alice")
        dm = telegram.direct(alice)
        question = await dm.says(alice, "Hello")

        event = await inbox.next()
        assert event.text == "Hello"
        assert event.addressed == Addressed.DIRECT
        sent = await adapter.send(event.chat, Part("Hello, **Alice**!"), key=KEY, reply_to=event.message)

        answer = await dm.answer(to=question)
        assert answer.text == "Hello, Alice!"
        assert [entity["type"] for entity in answer.entities] == ["bold"]
        assert answer.reply_to is question
        assert not answer.link_preview
        assert sent == ref_to(answer)


async def test_it_hears_what_was_said_before_it_came() -> None:
    async with FakeTelegram() as telegram:
        alice = telegram.person("Alice")
        await telegram.direct(alice).says(alice, "Anyone there?")

        async with connected(telegram) as (_, inbox):
            assert (await inbox.next()).text == "Anyone there?"


async def test_in_a_group_it_hears_mentions_replies_and_commands() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, inbox):
        alice, bob = telegram.person("Alice"), telegram.person("Bob")
        group = telegram.group("Friends")
        await group.says(alice, "Bob, are you in?")
        question = await group.says(alice, "@chorus_bot, is Bob in?")

        event = await inbox.next()
        assert (event.text, event.addressed) == ("is Bob in?", Addressed.MENTION)
        await adapter.send(event.chat, Part("He is."), key=KEY, reply_to=event.message)
        answer = await group.answer(to=question)

        await group.says(bob, "Am I?", reply_to=answer)
        event = await inbox.next()
        assert (event.text, event.addressed) == ("Am I?", Addressed.REPLY)
        assert event.quoted.by_bot

        await group.says(bob, "/stop")
        event = await inbox.next()
        assert isinstance(event, CommandInvoked)
        assert event.name == "stop"


async def test_without_privacy_mode_all_of_a_group_is_heard() -> None:
    async with FakeTelegram(privacy=False) as telegram, connected(telegram) as (_, inbox):
        alice = telegram.person("Alice")
        await telegram.group("Friends").says(alice, "Bob, are you in?")

        assert (await inbox.next()).addressed == Addressed.NOT


@pytest.mark.parametrize(("privacy", "hinted"), [(True, True), (False, False)])
async def test_privacy_mode_is_pointed_out(
    privacy: bool, hinted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with FakeTelegram(privacy=privacy) as telegram, connected(telegram):
        assert ("/setprivacy" in caplog.text) == hinted


async def test_a_webhook_of_earlier_days_is_removed() -> None:
    async with FakeTelegram() as telegram:
        telegram.webhook = "https://example.org/hook"
        alice = telegram.person("Alice")
        await telegram.direct(alice).says(alice, "Hello")

        async with connected(telegram) as (_, inbox):
            assert (await inbox.next()).text == "Hello"


# Nothing is lost


async def test_an_update_is_confirmed_only_after_it_was_published() -> None:
    async with FakeTelegram() as telegram:
        publishing, stored = asyncio.Event(), asyncio.Event()

        async def publish(_: Event) -> None:
            publishing.set()
            await stored.wait()

        async with running(adapter_for(telegram), publish):
            alice = telegram.person("Alice")
            await telegram.direct(alice).says(alice, "Hello")
            await asyncio.wait_for(publishing.wait(), 20)
            assert len(telegram.updates.pending) == 1

            stored.set()
            await telegram.until(lambda: not telegram.updates.pending)


async def test_what_could_not_be_stored_comes_again_in_order(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeTelegram() as telegram:
        time, inbox = Time(), Inbox()
        failures: list[Exception] = [OSError("disk full")] * 5

        async def publish(event: Event) -> None:
            if isinstance(event, MessageCreated) and event.text == "two" and failures:
                raise failures.pop()
            await inbox.publish(event)

        alice = telegram.person("Alice")
        for text in ("one", "two", "three"):
            await telegram.direct(alice).says(alice, text)
        async with running(adapter_for(telegram, time), publish):
            await telegram.until(lambda: not telegram.updates.pending)

        assert inbox.texts == ["one", "two", "three"]
        assert len(time.slept) == 5
        first, second = time.slept[:2]
        assert 1 <= first <= 2 <= second <= 4
        said = [record.message for record in caplog.records]
        assert len([line for line in said if "can't be stored: disk full" in line]) == 1
        assert len([line for line in said if "stored again" in line]) == 1


async def test_one_chat_that_can_not_be_stored_loses_nothing_of_the_others() -> None:
    async with FakeTelegram() as telegram:
        time, inbox, failures = Time(), Inbox(), [OSError("disk full")]

        async def publish(event: Event) -> None:
            if isinstance(event, MessageCreated) and event.author.name == "Bob" and failures:
                raise failures.pop()
            await inbox.publish(event)

        people = [telegram.person(name) for name in ("Alice", "Bob", "Carol")]
        for number in range(3):
            for person in people:
                await telegram.direct(person).says(person, f"{person.name} {number}")
        async with running(adapter_for(telegram, time), publish):
            await telegram.until(lambda: not telegram.updates.pending)

        for person in people:
            stored = dict.fromkeys(text for text in inbox.texts if text.startswith(person.name))
            assert list(stored) == [f"{person.name} {number}" for number in range(3)]
        assert len({event.id for event in inbox.events}) == 9  # what came twice has the same id


async def test_a_chat_does_not_wait_for_another_that_is_being_stored() -> None:
    async with FakeTelegram() as telegram:
        inbox, slow = Inbox(), asyncio.Event()

        async def publish(event: Event) -> None:
            if isinstance(event, MessageCreated) and event.author.name == "Alice":
                await slow.wait()
            await inbox.publish(event)

        alice, bob = telegram.person("Alice"), telegram.person("Bob")
        await telegram.direct(alice).says(alice, "slow")
        await telegram.direct(bob).says(bob, "quick")
        async with running(adapter_for(telegram), publish):
            assert (await inbox.next()).text == "quick"
            slow.set()
            assert (await inbox.next()).text == "slow"


async def test_a_restart_gets_again_what_was_not_stored_and_nothing_else() -> None:
    async with FakeTelegram() as telegram:
        inbox, stuck = Inbox(), asyncio.Event()

        async def publish(event: Event) -> None:
            if isinstance(event, MessageCreated) and event.text == "two":
                stuck.set()
                await asyncio.Event().wait()  # killed while storing
            await inbox.publish(event)

        alice = telegram.person("Alice")
        for text in ("one", "two"):
            await telegram.direct(alice).says(alice, text)
        async with running(adapter_for(telegram), publish):
            await asyncio.wait_for(stuck.wait(), 20)
        assert len(telegram.updates.pending) == 1

        async with connected(telegram) as (_, second_life):
            await telegram.until(lambda: not telegram.updates.pending)
        assert inbox.texts == ["one"]
        assert second_life.texts == ["two"]


@pytest.mark.parametrize(
    "unreadable",
    [
        {"message": {"message_id": "no date, no chat"}},
        {"message": "not even an object"},
        {
            "message": {
                "message_id": 1,
                "date": 1,
                "chat": {"id": 1, "type": "private"},
                "from": {"id": 1, "is_bot": False, "first_name": "A"},
                "text": "😀",
                "entities": [{"type": "mention", "offset": 0, "length": 1}],  # half an emoji
            }
        },
    ],
    ids=["properties missing", "of another type", "impossible entity"],
)
async def test_an_unreadable_update_is_kept_and_stepped_over(
    unreadable: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeTelegram() as telegram:
        alice = telegram.person("Alice")
        update_id = telegram.deliver(unreadable)
        await telegram.direct(alice).says(alice, "Hello")

        async with connected(telegram) as (_, inbox):
            await telegram.until(lambda: not telegram.updates.pending)
        [kept] = [event for event in inbox.events if isinstance(event, Unreadable)]
        assert kept.id == f"update:{update_id}"
        assert "message" in json.loads(kept.raw)
        assert kept.reason
        assert inbox.texts == ["Hello"]
        assert f"Update {update_id} can't be" in caplog.text


@pytest.mark.parametrize(
    "body",
    ['{"ok": true, "result": [{"nothing": 1}, 2]}', '{"ok": true, "result": {}}', "<html></html>", "[]"],
)
async def test_what_is_no_answer_is_asked_for_again_with_pauses(body: str) -> None:
    async with FakeTelegram() as telegram:
        time, alice = Time(), telegram.person("Alice")
        telegram.fail_next("getUpdates", body=body, times=3)
        await telegram.direct(alice).says(alice, "Hello")

        async with connected(telegram, time) as (_, inbox):
            assert (await inbox.next()).text == "Hello"
        assert len(time.slept) == 3


async def test_half_a_character_does_not_reach_the_inbox() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (_, inbox):
        alice = telegram.person("Alice \ud83d")
        await telegram.direct(alice).says(alice, "broken \ud800, whole 😀")

        event = await inbox.next()
        assert event.text == "broken \ufffd, whole 😀"
        assert event.author.name.encode()


async def test_a_message_of_ten_megabytes_and_one_of_control_characters() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, inbox):
        alice = telegram.person("Alice")
        dm = telegram.direct(alice)
        strange = "\x00\x1b[2J\u202eabc\u2066\U000e0041\r"
        await dm.says(alice, "x" * 10_000_000, entities=[])
        await dm.says(alice, strange, entities=[])

        assert len((await inbox.next()).text) == 10_000_000
        event = await inbox.next()
        assert event.text == "[2Jabc"
        await adapter.send(event.chat, Part(f"You said {strange}"), key=KEY)
        assert dm.visible[-1].text == "You said [2Jabc"


# When Telegram is in trouble


async def test_it_waits_for_a_telegram_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeTelegram() as telegram:
        time = Time()
        telegram.fail_next("getMe", drop="before", times=4)
        telegram.fail_next("deleteWebhook", status=502, description="Bad Gateway")
        telegram.fail_next("getUpdates", drop="before")
        alice = telegram.person("Alice")
        await telegram.direct(alice).says(alice, "Hello")

        async with connected(telegram, time) as (_, inbox):
            assert (await inbox.next()).text == "Hello"
        assert time.slept[:4] == sorted(time.slept[:4])  # longer and longer
        assert all(1 <= pause <= 30 for pause in time.slept)
        assert caplog.text.count("Trying again") == 2  # once for connecting, once for receiving


async def test_minutes_without_telegram_lose_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeTelegram() as telegram:
        time, alice = Time(), telegram.person("Alice")
        dm = telegram.direct(alice)
        async with connected(telegram, time) as (adapter, inbox):
            await dm.says(alice, "before")
            assert (await inbox.next()).text == "before"
            telegram.goes_down()
            await telegram.until(lambda: time.now > 600)  # of a clock that jumps
            with pytest.raises(Unreachable):
                await adapter.send(ref(dm), Part("Anyone?"), key=KEY)
            await dm.says(alice, "meanwhile")
            telegram.comes_back()
            assert (await inbox.next()).text == "meanwhile"
            await adapter.send(ref(dm), Part("Here again"), key=KEY)

        assert [message.text for message in dm.visible] == ["before", "meanwhile", "Here again"]
        assert caplog.text.count("Trying again") == caplog.text.count("answers again") == 1


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_a_poll_that_breaks_off_loses_and_doubles_nothing(drop: Any) -> None:
    async with FakeTelegram() as telegram:
        time, alice = Time(), telegram.person("Alice")
        telegram.fail_next("getUpdates", drop=drop)
        for number in range(5):
            await telegram.direct(alice).says(alice, f"{number}")

        async with connected(telegram, time) as (_, inbox):
            await telegram.until(lambda: not telegram.updates.pending)
        assert inbox.texts == ["0", "1", "2", "3", "4"]


async def test_a_pause_that_telegram_asks_for_is_kept_when_polling() -> None:
    async with FakeTelegram() as telegram:
        time = Time()
        telegram.fail_next("getUpdates", retry_after=7)
        alice = telegram.person("Alice")
        await telegram.direct(alice).says(alice, "Hello")

        async with connected(telegram, time) as (_, inbox):
            await inbox.next()
        assert time.slept == [7]


async def test_a_wrong_token_is_said_plainly() -> None:
    async with FakeTelegram() as telegram:
        wrong = "110201543:wrong"
        with pytest.raises(Misconfigured, match=r"@BotFather.*CHORUS_TELEGRAM__TOKEN") as caught:
            await adapter_for(telegram, token=wrong).run(Inbox().publish)

        assert wrong not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("token", ["", "no token", "110201543:with\nnewline", "110201543"])
def test_what_is_no_token_at_all_is_said_before_connecting(token: str) -> None:
    with pytest.raises(Misconfigured, match="CHORUS_TELEGRAM__TOKEN") as caught:
        TelegramAdapter(token)
    assert not token or token not in str(caught.value)


async def test_of_two_processes_with_one_token_the_first_stops(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeTelegram() as telegram, asyncio.timeout(20):
        time, alice = Time(), telegram.person("Alice")
        first = asyncio.create_task(adapter_for(telegram, time).run(Inbox().publish))
        await telegram.until(lambda: telegram.calls("getUpdates"))

        async with connected(telegram, time) as (_, inbox):
            with pytest.raises(Misconfigured, match="another process"):
                await first
            await telegram.direct(alice).says(alice, "Who is left?")
            assert (await inbox.next()).text == "Who is left?"
    assert "another process" not in caplog.text  # whoever runs it says so, once


async def test_a_process_that_is_being_replaced_does_not_stop_its_successor() -> None:
    async with FakeTelegram() as telegram:
        time = Time()
        telegram.fail_next("getUpdates", status=409, description="Conflict", times=2)
        alice = telegram.person("Alice")
        await telegram.direct(alice).says(alice, "Hello")

        async with connected(telegram, time) as (_, inbox):
            assert (await inbox.next()).text == "Hello"


# Sending


async def test_a_long_answer_comes_in_parts() -> None:
    time = Time()
    async with FakeTelegram() as telegram, connected(telegram, time) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        sentences = [f"This is sentence {number} of **many** 😀.\n\n" for number in range(400)]

        parts = adapter.parts("".join(sentences))
        assert len(parts) > 2
        for part in parts:
            await adapter.send(ref(dm), part, key=KEY)

        said = " ".join(message.text for message in dm.visible)
        assert all(f"sentence {number} of many" in said for number in range(400))


async def test_a_question_that_was_deleted_is_answered_all_the_same() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))

        await adapter.send(ref(dm), Part("Yes."), key=KEY, reply_to=MessageRef(ref(dm), "999"))

        [answer] = dm.visible
        assert (answer.text, answer.reply_to) == ("Yes.", None)


@pytest.mark.parametrize(
    "refusal",
    [
        "Bad Request: can't parse entities: unsupported entity at byte offset 3",
        "Bad Request: ENTITY_BOUNDS_INVALID",
    ],
)
async def test_refused_formatting_is_left_away(refusal: str) -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        telegram.fail_next("sendMessage", status=400, description=refusal)
        telegram.fail_next("editMessageText", status=400, description=refusal)
        telegram.fail_next("sendMessageDraft", status=400, description=refusal)

        assert await adapter.draft(ref(dm), 1, "**He")
        message = await adapter.send(ref(dm), Part("**Hello**"), key=KEY)
        assert [(seen.text, list(seen.entities)) for seen in dm.visible] == [("Hello", [])]

        await adapter.edit(message, Part("**Goodbye**"))
        assert [(seen.text, list(seen.entities)) for seen in dm.visible] == [("Goodbye", [])]


async def test_an_edit_that_changes_nothing_is_no_error() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        message = await adapter.send(ref(dm), Part("One"), key=KEY)

        assert await adapter.edit(message, Part("Two")) == message
        assert await adapter.edit(message, Part("Two")) == message

        [seen] = dm.visible
        assert (seen.text, seen.edits, seen.link_preview) == ("Two", ["One"], False)


async def test_a_deleted_message_can_be_deleted_again_but_not_edited() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        message = await adapter.send(ref(dm), Part("One"), key=KEY)

        await adapter.delete(message)
        await adapter.delete(message)
        assert dm.visible == []
        with pytest.raises(NotFound):
            await adapter.edit(message, Part("Two"))


async def test_a_file_is_sent_and_put_in_place_of_a_text() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        part = Part("The *program*:", File("code.py", "print('ä')\n".encode()))

        await adapter.send(ref(dm), part, key=KEY)
        placeholder = await adapter.send(ref(dm), Part("Writing"), key=KEY)
        await adapter.edit(placeholder, part)

        for message in dm.visible:
            assert message.text == "The program:"
            assert message.file == Upload("code.py", "print('ä')\n".encode())


async def test_a_file_is_fetched() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, inbox):
        alice = telegram.person("Alice")
        notes = Upload("notes.txt", b"Buy milk.")
        await telegram.direct(alice).says(alice, "Read this", file=notes)

        event = await inbox.next()
        [attachment] = event.attachments
        assert (event.text, attachment.name, attachment.size) == ("Read this", "notes.txt", 9)
        assert await adapter.download(attachment, MIB) == b"Buy milk."


async def test_a_file_that_is_gone() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, inbox):
        alice = telegram.person("Alice")
        await telegram.direct(alice).says(alice, file=Upload("notes.txt", b"Buy milk."))
        [attachment] = (await inbox.next()).attachments

        telegram.lost_files.add(attachment.handle)
        with pytest.raises(NotFound, match=r"notes\.txt"):
            await adapter.download(attachment, MIB)
        telegram.files.clear()
        with pytest.raises(NotFound):
            await adapter.download(attachment, MIB)


async def test_a_file_larger_than_allowed_is_not_fetched() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, inbox):
        alice = telegram.person("Alice")
        await telegram.direct(alice).says(alice, file=Upload("film.mp4", bytes(8 * MIB)))
        [attachment] = (await inbox.next()).attachments

        with pytest.raises(Rejected, match=r"film\.mp4"):
            await adapter.download(attachment, 8 * MIB - 1)
        assert telegram.calls("getFile") == []

        disguised = replace(attachment, size=1)
        with pytest.raises(Rejected, match=r"film\.mp4"):
            await adapter.download(disguised, MIB)
        assert telegram.bytes_sent == 0

        telegram.tells_sizes = False
        with pytest.raises(Rejected, match=r"film\.mp4"):
            await adapter.download(disguised, 1000)
        assert telegram.bytes_sent < 8 * MIB  # broken off
        assert len(await adapter.download(disguised, 8 * MIB)) == 8 * MIB


async def test_a_file_too_large_for_bots_is_refused_unasked() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, inbox):
        alice = telegram.person("Alice")
        await telegram.direct(alice).says(alice, file=Upload("film.mp4", bytes(20 * MIB + 1)))

        [attachment] = (await inbox.next()).attachments
        with pytest.raises(Rejected, match=r"film\.mp4"):
            await adapter.download(attachment, 100 * MIB)
        assert telegram.calls("getFile") == []


@pytest.mark.parametrize(
    ("kind", "name", "media_type"),
    [
        ("photo", "photo.jpg", "image/jpeg"),
        ("voice", "voice.ogg", "audio/ogg"),
        ("audio", "song.mp3", "audio/mpeg"),
        ("video", "film.mp4", "video/mp4"),
        ("document", "notes.pdf", "application/pdf"),
    ],
)
async def test_files_of_every_kind_come_with_their_caption(kind: str, name: str, media_type: str) -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, inbox):
        alice = telegram.person("Alice")
        group = telegram.group("Friends")
        file = Upload(name, b"content")
        await group.says(alice, "@chorus_bot look", file=file, kind=kind, media_type=media_type)

        event = await inbox.next()
        [attachment] = event.attachments
        assert (event.text, attachment.name, attachment.media_type) == ("look", name, media_type)
        assert await adapter.download(attachment, MIB) == b"content"


async def test_files_among_people_are_not_the_bots() -> None:
    async with FakeTelegram(privacy=False) as telegram, connected(telegram) as (_, inbox):
        alice = telegram.person("Alice")
        group = telegram.group("Friends")
        await group.says(alice, file=Upload("a.txt", b"private"))
        await group.says(alice, "For Bob", file=Upload("b.txt", b"private"))

        event = await inbox.next()
        assert (event.text, event.attachments) == ("For Bob", ())


PNG = b"\x89PNG\r\n\x1a\n and so on"


async def test_a_picture_is_sent_as_one() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        part = Part("By **day**", File("days.png", PNG, "image/png"), ((Button("More", "more"),),))

        sent = await adapter.send(ref(dm), part, key=KEY)
        placeholder = await adapter.send(ref(dm), Part("Drawing"), key=KEY)
        await adapter.edit(placeholder, part)
        for message in dm.visible:
            assert (message.kind, message.text, message.labels) == ("photo", "By day", [["More"]])
            assert message.file == Upload("days.png", PNG)

        for _ in range(2):  # under a picture only the caption can be changed
            await adapter.edit(sent, Part("By week"))
        message = dm.visible[0]
        assert (message.text, message.labels, message.kind) == ("By week", [], "photo")


async def test_a_text_too_long_for_a_caption_stands_beside_its_file() -> None:
    time = Time()
    async with FakeTelegram() as telegram, connected(telegram, time) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        long, file = "word 😀 " * 150, File("days.png", PNG, "image/png")
        buttons = ((Button("More", "more"),),)
        question = await adapter.send(ref(dm), Part("A question"), key=KEY)

        await adapter.send(ref(dm), Part(long, file, buttons), key=KEY, reply_to=question)
        placeholder = await adapter.send(ref(dm), Part("Drawing"), key=KEY)
        await adapter.edit(placeholder, Part(long, file, buttons))

        _, text, picture, edited, after = dm.visible
        assert text.text == edited.text == long.strip()
        assert (text.labels, picture.labels) == ([], [["More"]])
        assert (edited.labels, after.labels) == ([["More"]], [])
        assert [message.kind for message in (picture, after)] == ["photo"] * 2
        assert text.reply_to is not None


async def test_a_picture_that_telegram_can_not_show_is_sent_as_a_file() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        part = Part("Here", File("plot.svg", b"<svg/>", "image/svg+xml"))

        await adapter.send(ref(dm), part, key=KEY)
        placeholder = await adapter.send(ref(dm), Part("Drawing"), key=KEY)
        await adapter.edit(placeholder, part)
        for message in dm.visible:
            assert (message.kind, message.file) == ("document", Upload("plot.svg", b"<svg/>"))


async def test_answers_stay_in_their_topic() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, inbox):
        alice = telegram.person("Alice")
        forum = telegram.group("Club", forum=True)
        music, films = forum.topic("Music"), forum.topic("Films")
        question = await music.says(alice, "@chorus_bot what shall we hear?")

        event = await inbox.next()
        assert event.reply_to is None  # though Telegram says so
        async with adapter.typing(event.chat):
            await telegram.until(lambda: forum.actions)
        await adapter.send(event.chat, Part("Bach."), key=KEY, reply_to=event.message)

        assert (await music.answer(to=question)).text == "Bach."
        assert films.visible == []
        assert telegram.calls("sendChatAction")[0]["message_thread_id"] == music.id


@pytest.mark.parametrize("gone", ["closed", "deleted"])
async def test_when_a_topic_is_gone_the_answer_goes_to_the_group(gone: str) -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, inbox):
        alice = telegram.person("Alice")
        forum = telegram.group("Club", forum=True)
        topic = forum.topic("Music")
        await topic.says(alice, "@chorus_bot what shall we hear?")
        event = await inbox.next()

        if gone == "closed":
            topic.closed = True
        else:
            del forum.topics[topic.id]
        sent = await adapter.send(event.chat, Part("Bach."), key=KEY, reply_to=event.message)

        answer = forum.visible[-1]
        assert (answer.text, answer.topic) == ("Bach.", None)
        assert (await adapter.edit(sent, Part("Bach, of course."))) == sent
        assert answer.text == "Bach, of course."


async def test_an_answer_follows_a_group_that_moved() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        group = telegram.group("Friends")
        placeholder = await adapter.send(ref(group), Part("Thinking"), key=KEY)
        moved = group.becomes_supergroup()

        sent = await adapter.send(ref(group), Part("Done."), key=KEY)

        [answer] = moved.visible
        assert sent == ref_to(answer)
        with pytest.raises(NotFound):
            await adapter.edit(placeholder, Part("Done."))


# Refusals


@pytest.mark.parametrize(
    ("status", "said", "raised"),
    [
        (400, "Bad Request: chat not found", NotFound),
        (400, "Bad Request: PEER_ID_INVALID", NotFound),
        (400, "Bad Request: message text is empty", Rejected),
        (400, "Bad Request: not enough rights to send text messages to the chat", Forbidden),
        (403, "Forbidden: bot was kicked from the supergroup chat", Forbidden),
        (401, "Unauthorized", Misconfigured),
        (500, "Internal Server Error", Unreachable),
        (502, "Bad Gateway", Unreachable),
    ],
)
async def test_refusals_have_names(status: int, said: str, raised: type[AdapterError]) -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        telegram.fail_next("sendMessage", status=status, description=said)

        with pytest.raises(raised):
            await adapter.send(ref(dm), Part("Hello"), key=KEY)
        assert dm.visible == []


async def test_a_person_who_blocked_the_bot() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        dm.blocked = True

        with pytest.raises(Forbidden, match="blocked"):
            await adapter.send(ref(dm), Part("Hello"), key=KEY)


async def test_a_send_without_an_answer_may_have_arrived() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        telegram.fail_next("sendMessage", drop="after")

        with pytest.raises(Unreachable):
            await adapter.send(ref(dm), Part("Hello"), key=KEY)
        assert [message.text for message in dm.visible] == ["Hello"]


@pytest.mark.parametrize(
    ("fault", "in_doubt"),
    [
        ({"drop": "after"}, True),
        ({"drop": "before"}, True),  # nobody can tell it from the one above
        ({"hang": True}, True),
        ({"body": "<html>Log in to the hotel's network</html>"}, True),
        ({"body": '{"ok": true, "result": {}}'}, True),
        ({"status": 500}, False),
        ({"status": 400, "description": "Bad Request: chat not found"}, False),
        ({"retry_after": 3}, False),
    ],
    ids=[
        "answer lost",
        "reset",
        "no answer",
        "no JSON",
        "no message",
        "in trouble",
        "refused",
        "slowed down",
    ],
)
async def test_only_what_may_have_arrived_is_in_doubt(fault: dict[str, Any], in_doubt: bool) -> None:
    async with (
        FakeTelegram() as telegram,
        connected(telegram, timeout=timedelta(seconds=0.5)) as (adapter, _),
    ):
        telegram.fail_next("sendMessage", **fault)

        with pytest.raises(AdapterError) as caught:
            await adapter.send(ref(telegram.direct(telegram.person("Alice"))), Part("Hello"), key=KEY)
        assert isinstance(caught.value, InDoubt) == in_doubt


async def test_what_never_left_is_not_in_doubt() -> None:
    async with FakeTelegram() as telegram, connected(telegram, Time()) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        await telegram.vanish()

        with pytest.raises(Unreachable, match="can't be reached") as caught:
            await adapter.send(ref(dm), Part("Hello"), key=KEY)
        assert not isinstance(caught.value, InDoubt)


async def test_a_telegram_that_does_not_answer() -> None:
    async with (
        FakeTelegram() as telegram,
        connected(telegram, timeout=timedelta(seconds=0.5)) as (adapter, _),
    ):
        dm = telegram.direct(telegram.person("Alice"))
        telegram.fail_next("sendMessage", hang=True)

        with pytest.raises(Unreachable, match="in time"):
            await adapter.send(ref(dm), Part("Hello"), key=KEY)


async def test_a_pause_holds_for_its_chat_only() -> None:
    time = Time()
    async with FakeTelegram() as telegram, connected(telegram, time) as (adapter, _):
        busy, quiet = telegram.direct(telegram.person("Alice")), telegram.direct(telegram.person("Bob"))
        message = await adapter.send(ref(busy), Part("One"), key=KEY)
        telegram.fail_next("sendMessage", retry_after=9, chat=busy)

        with pytest.raises(RateLimited) as caught:
            await adapter.send(ref(busy), Part("Two"), key=KEY)
        assert caught.value.retry_after == timedelta(seconds=9)

        assert not await adapter.preview(message, Part("One and"))
        assert not await adapter.draft(ref(busy), 1, "T")
        await adapter.send(ref(quiet), Part("Hello"), key=KEY)
        assert time.now == 0

        await adapter.send(ref(busy), Part("Two"), key=KEY)
        assert time.now == 9
        assert [message.text for message in busy.visible] == ["One", "Two"]


# Showing an answer as it grows


async def test_in_private_an_answer_grows_as_a_draft() -> None:
    time = Time()
    async with FakeTelegram() as telegram, connected(telegram, time) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        allowed = adapter.capabilities(ref(dm))
        assert allowed == Capabilities(edit_interval=timedelta(seconds=0.4), drafts=True)

        for text in ("", "He", "Hell", "Hello"):
            assert await adapter.draft(ref(dm), 7, text)
            time.now += 0.4

        assert dm.drafts == ["", "He", "Hell", "Hello"]
        assert set(dm.draft_ids) == {7}
        assert dm.visible == []


async def test_drafts_that_come_too_fast_are_dropped() -> None:
    time = Time()
    async with FakeTelegram() as telegram, connected(telegram, time) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))

        shown = [await adapter.draft(ref(dm), 7, f"{number}") for number in range(10)]
        assert shown.count(True) == len(dm.drafts) == 2

        time.now += 0.4
        assert await adapter.draft(ref(dm), 7, "more")


async def test_one_draft_at_a_time() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        telegram.fail_next("sendMessageDraft", hang=True)

        async with asyncio.TaskGroup() as group:
            first = group.create_task(adapter.draft(ref(dm), 7, "He"))
            await telegram.until(lambda: telegram.calls("sendMessageDraft"))
            assert not await adapter.draft(ref(dm), 7, "Hello")
            first.cancel()
        assert await adapter.draft(ref(dm), 7, "Hello")  # nothing is left behind


async def test_of_a_long_draft_the_end_is_shown() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))

        assert await adapter.draft(ref(dm), 7, "word 😀 " * 1000 + "the end")
        assert dm.drafts[0].endswith("the end")


async def test_a_server_without_drafts_is_asked_once() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        telegram.fail_next("sendMessageDraft", status=404, description="Not Found")

        assert not await adapter.draft(ref(dm), 7, "He")
        assert not await adapter.draft(ref(dm), 7, "Hello")

        assert len(telegram.calls("sendMessageDraft")) == 1
        assert adapter.capabilities(ref(dm)) == Capabilities(edit_interval=timedelta(seconds=1.5))


async def test_a_draft_that_telegram_slows_down_is_dropped() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        telegram.fail_next("sendMessageDraft", retry_after=5)

        assert not await adapter.draft(ref(dm), 7, "He")


async def test_in_a_group_previews_are_sparse_and_leave_room_for_the_final() -> None:
    time = Time()
    async with FakeTelegram() as telegram, connected(telegram, time) as (adapter, _):
        group = telegram.group("Friends")
        assert adapter.capabilities(ref(group)) == Capabilities(edit_interval=timedelta(seconds=4))
        message = await adapter.send(ref(group), Part("…"), key=KEY)

        shown = [await adapter.preview(message, Part(f"{number} words")) for number in range(10)]
        assert shown == [True] * 2 + [False] * 8

        await adapter.edit(message, Part("All the words"))
        assert time.slept == []  # the final did not wait

        [seen] = group.visible
        assert seen.edits == ["…", "0 words", "1 words"]
        assert seen.text == "All the words"


async def test_a_preview_that_telegram_slows_down_is_dropped() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        group = telegram.group("Friends")
        message = await adapter.send(ref(group), Part("…"), key=KEY)
        telegram.fail_next("editMessageText", retry_after=5)

        assert not await adapter.preview(message, Part("A word"))


async def test_a_group_gets_no_more_than_twenty_messages_in_any_minute() -> None:
    time = Time()
    async with FakeTelegram() as telegram, connected(telegram, time) as (adapter, _):
        group = telegram.group("Friends")

        sent_at = []
        for number in range(50):
            await adapter.send(ref(group), Part(f"{number}"), key=KEY)
            sent_at.append(time.now)

        assert all(sum(start <= moment < start + 60 for moment in sent_at) <= 20 for start in sent_at)
        assert time.now < 200  # and is not slower than need be


# Typing


class Pauses:
    """A sleep that ends when the test says so."""

    def __init__(self) -> None:
        self.sleepers = 0
        self._begun: asyncio.Queue[float] = asyncio.Queue()
        self._ended = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.sleepers += 1
        self._begun.put_nowait(seconds)
        try:
            await self._ended.acquire()
        finally:
            self.sleepers -= 1

    async def next(self) -> float:
        """Wait until somebody sleeps; for how long?"""
        async with asyncio.timeout(20):
            return await self._begun.get()

    def end(self) -> None:
        self._ended.release()


async def test_typing_is_shown_until_the_answer_is_there() -> None:
    pauses = Pauses()
    async with FakeTelegram() as telegram, connected(telegram, sleep=pauses.sleep) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))

        async with adapter.typing(ref(dm)):
            for times in (1, 2, 3):
                assert await pauses.next() == 4.5  # an action lasts 5
                assert dm.actions == ["typing"] * times
                pauses.end()
            await pauses.next()
        assert pauses.sleepers == 0  # nobody goes on typing


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 403, "description": "Forbidden: bot was blocked by the user"},
        {"retry_after": 30},
        {"drop": "before"},
    ],
    ids=["forbidden", "slowed down", "broken off"],
)
async def test_typing_never_raises(fault: dict[str, Any]) -> None:
    pauses = Pauses()
    async with FakeTelegram() as telegram, connected(telegram, sleep=pauses.sleep) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        telegram.fail_next("sendChatAction", **fault)

        async with adapter.typing(ref(dm)):
            await pauses.next()
        assert len(telegram.calls("sendChatAction")) == 1


async def test_typing_waits_while_telegram_asks_for_a_pause() -> None:
    pauses = Pauses()
    async with FakeTelegram() as telegram, connected(telegram, sleep=pauses.sleep) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        telegram.fail_next("sendChatAction", retry_after=1000)

        async with adapter.typing(ref(dm)):
            for _ in range(3):
                await pauses.next()
                pauses.end()
        assert len(telegram.calls("sendChatAction")) == 1


async def test_an_error_under_typing_passes_through() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        with pytest.raises(ZeroDivisionError):
            async with adapter.typing(ref(telegram.direct(telegram.person("Alice")))):
                raise ZeroDivisionError


# Commands


async def test_menus_are_short_and_speak_the_persons_language() -> None:
    commands = [
        CommandSpec("start", "Say hello"),
        CommandSpec("help", "What I can do", descriptions={"de": "Was ich kann"}),
        CommandSpec("admin settings set", "Change a setting", permission=Permission.ADMINISTRATOR),
        CommandSpec("admin settings show", "Show the settings", permission=Permission.ADMINISTRATOR),
        CommandSpec("admin status", "How the bot does", permission=Permission.ADMINISTRATOR),
        CommandSpec("broadcast", "x" * 300, permission=Permission.OWNER),
    ]
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        await adapter.publish_commands(commands)

        def names(scope: str) -> list[str]:
            return [entry["command"] for entry in telegram.menus[scope, ""]]

        assert names("default") == names("all_group_chats") == ["help"]
        assert names("all_chat_administrators") == ["help", "admin"]
        assert names("all_private_chats") == ["help", "admin", "broadcast"]
        assert telegram.menus["default", "de"] == [{"command": "help", "description": "Was ich kann"}]
        assert telegram.menus["all_chat_administrators", ""][1]["description"] == "settings, status"
        assert {language for _, language in telegram.menus} == {"", "de"}

        written = len(telegram.calls("setMyCommands"))
        await adapter.publish_commands(commands)
        assert len(telegram.calls("setMyCommands")) == written
        await adapter.publish_commands([CommandSpec("stop", "Be quiet")])
        assert telegram.commands == [{"command": "stop", "description": "Be quiet"}]


GROUPED = [
    CommandSpec("admin settings set", "Change a setting", (Param("key", "Which"), Param("value", "To what"))),
    CommandSpec("admin settings show", "Show the settings", descriptions={"de": "Zeigt alles"}),
    CommandSpec("admin status", "How the bot does"),
    CommandSpec(
        "persona", "Choose who I am", (Param("name", "Who", choices=("pirate", "poet", "old sage")),)
    ),
    CommandSpec("model", "Choose the model", (Param("name", "Which", suggested=True),)),
    CommandSpec("ban", "Keep somebody out", (Param("who", "Whom", kind=Kind.PERSON), Param("why", "Why"))),
]


async def test_a_group_of_commands_is_descended_by_buttons() -> None:
    async with FakeTelegram() as telegram, connected(telegram, commands=GROUPED) as (_, inbox):
        alice = telegram.person("Alice", language="de-AT")
        dm = telegram.direct(alice)

        menu = await dm.answer(to=await dm.says(alice, "/admin"))
        assert menu.labels == [["settings", "status"]]
        assert "/admin settings: set, show" in menu.text

        await menu.press(alice, "settings")
        await telegram.until(lambda: menu.edits)
        assert menu.labels == [["set", "show"], ["‹ /admin"]]
        assert "Zeigt alles" in menu.text

        await menu.press(alice, "set")  # it needs words: how it is typed
        await telegram.until(lambda: "KEY VALUE" in menu.text and len(menu.edits) == 2)
        assert menu.labels == [["‹ /admin settings"]]

        await menu.press(alice, "‹ /admin settings")
        await telegram.until(lambda: len(menu.edits) == 3)
        await menu.press(alice, "show")
        event = await inbox.next()
        assert isinstance(event, CommandInvoked)
        assert (event.name, event.arguments, event.author.id) == ("admin settings show", {}, str(alice.id))
        assert event.placeholder == ref_to(menu)
        assert inbox.events == [event]
        await telegram.until(lambda: not telegram.waiting_queries)


async def test_a_menu_works_after_a_restart() -> None:
    async with FakeTelegram() as telegram:
        alice = telegram.person("Alice")
        dm = telegram.direct(alice)
        async with connected(telegram, commands=GROUPED):
            menu = await dm.answer(to=await dm.says(alice, "/admin"))
        await menu.press(alice, "status")
        async with connected(telegram, commands=GROUPED) as (adapter, inbox):
            event = await inbox.next()
            assert event.name == "admin status"
            await adapter.edit(event.placeholder, Part("All is well."))
        assert (menu.text, menu.labels) == ("All is well.", [])


async def test_choices_are_shown_and_chosen() -> None:
    async with FakeTelegram() as telegram, connected(telegram, commands=GROUPED) as (_, inbox):
        alice = telegram.person("Alice")
        dm = telegram.direct(alice)

        menu = await dm.answer(to=await dm.says(alice, "/persona"))
        assert menu.labels == [["pirate", "poet", "old sage"]]
        await menu.press(alice, "old sage")
        assert (await inbox.next()).arguments == {"name": "old sage"}

        await dm.says(alice, "/persona Poet")
        assert (await inbox.next()).arguments == {"name": "poet"}


async def test_what_the_application_proposes_is_shown_as_choices() -> None:
    asked: list[tuple[str, str, str]] = []

    async def suggest(command: str, param: str, typed: str, chat: ChatRef, who: Person) -> Sequence[str]:
        asked.append((command, param, who.name))
        return ["tiny", "large", "x" * 70] if len(asked) < 3 else []

    async with FakeTelegram() as telegram:
        inbox, adapter = Inbox(), adapter_for(telegram, commands=GROUPED)
        async with running(adapter, inbox.publish, suggest=suggest):
            alice = telegram.person("Alice")
            dm = telegram.direct(alice)
            menu = await dm.answer(to=await dm.says(alice, "/model"))
            assert menu.labels == [["tiny", "large"]]  # what does not fit a button can be typed
            await menu.press(alice, "large")
            assert (await inbox.next()).arguments == {"name": "large"}

            asked.append(("", "", ""))
            await dm.says(alice, "/model")  # nothing to propose: the application has the word
            event = await inbox.next()
            assert (event.name, event.arguments) == ("model", {})
            assert ("model", "name", "Alice") in asked


async def test_values_are_chosen_one_after_another() -> None:
    spec = CommandSpec(
        "quota set",
        "Limit somebody",
        (
            Param("who", "Whom", choices=("everyone", "the server")),
            Param("limit", "What", choices=("messages", "tokens")),
            Param("amount", "How much"),
        ),
    )
    async with FakeTelegram() as telegram, connected(telegram, commands=[spec]) as (_, inbox):
        alice = telegram.person("Alice")
        dm = telegram.direct(alice)
        menu = await dm.answer(to=await dm.says(alice, "/quota set"))
        assert menu.labels == [["everyone", "the server"], ["‹ /quota"]]
        await menu.press(alice, "the server")
        await telegram.until(lambda: menu.labels == [["messages", "tokens"], ["‹ /quota"]])
        await menu.press(alice, "tokens")
        await telegram.until(lambda: menu.labels == [["‹ /quota"]])
        assert menu.text.startswith('/quota set "the server" tokens …')

        await dm.says(alice, '/quota set "the server" tokens 1000')
        event = await inbox.next()
        assert event.arguments == {"who": "the server", "limit": "tokens", "amount": "1000"}


async def test_words_of_a_command_are_typed_in_any_way() -> None:
    async with FakeTelegram() as telegram, connected(telegram, commands=GROUPED) as (_, inbox):
        alice = telegram.person("Alice")
        group = telegram.group("Friends")
        for typed in (
            "/admin settings set greeting Good morning, all",
            "/admin@chorus_bot Settings SET greeting Good morning, all",
            '/admin settings\nset "greeting" Good morning, all',
            "/admin  settings  set  “greeting”  Good morning, all",
        ):
            await group.says(alice, typed)
            event = await inbox.next()
            assert event.name == "admin settings set", typed
            assert event.arguments == {"key": "greeting", "value": "Good morning, all"}, typed


async def test_a_person_is_named_in_many_ways() -> None:
    async with FakeTelegram() as telegram, connected(telegram, commands=GROUPED) as (_, inbox):
        alice, bob = telegram.person("Alice"), telegram.person("Bob", username="bobby_b")
        nameless, carol = telegram.person("Dave Doe"), telegram.person("Carol", username="carol_c")
        group = telegram.group("Friends")
        said = await group.says(bob, "/stop being silly@chorus_bot")
        link = [
            {"type": "bot_command", "offset": 0, "length": 4},
            {"type": "text_mention", "offset": 5, "length": 8, "user": nameless.payload()},
        ]

        async def whom(text: str, **how: Any) -> tuple[str, str | None]:
            await group.says(alice, text, **how)
            while (event := await inbox.next()).author.name != "Alice":
                pass
            assert event.name == "ban"
            return event.arguments["who"], event.arguments.get("why")

        assert await whom("/ban @bobby_b for spam") == (str(bob.id), "for spam")
        assert await whom("/ban @BOBBY_B for spam") == (str(bob.id), "for spam")
        assert await whom("/ban 12345 for spam") == ("12345", "for spam")
        assert await whom("/ban Dave Doe for spam", entities=link) == (str(nameless.id), "for spam")
        assert await whom("/ban for spam", reply_to=said) == (str(bob.id), "for spam")
        assert await whom("/ban", reply_to=said) == (str(bob.id), None)
        assert await whom(f"/ban {carol.id} not Bob", reply_to=said) == (str(carol.id), "not Bob")
        assert await whom("/ban @nobody_known for spam") == ("@nobody_known", "for spam")


async def test_a_user_name_that_went_to_another_person_names_the_other() -> None:
    async with FakeTelegram() as telegram, connected(telegram, commands=GROUPED) as (_, inbox):
        bob, group = telegram.person("Bob", username="the_name"), telegram.group("Friends")
        await group.says(bob, "/start@chorus_bot")
        await group.says(replace(bob, username=None), "/start@chorus_bot")
        await group.says(bob, "/ban @the_name")
        for _ in range(2):
            await inbox.next()
        await group.says(replace(bob, username=None), "/ban @the_name")
        assert (await inbox.next()).arguments["who"] == str(bob.id)
        assert (await inbox.next()).arguments["who"] == "@the_name"


async def test_a_link_to_the_bot_carries_a_word() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (_, inbox):
        alice = telegram.person("Alice")
        await telegram.direct(alice).says(alice, "/start pair_1a2b")

        event = await inbox.next()
        assert (event.name, event.arguments) == ("start", {"payload": "pair_1a2b"})


# Buttons


async def test_buttons_are_shown_pressed_and_taken_away() -> None:
    time = Time()
    async with FakeTelegram() as telegram, connected(telegram, time) as (adapter, inbox):
        alice = telegram.person("Alice")
        dm = telegram.direct(alice)
        rows = ((Button("👍", "fb:+:1"), Button("👎", "fb:-:1")),)
        sent = await adapter.send(ref(dm), Part("Hello", buttons=rows), key=KEY)
        [message] = dm.visible
        assert message.labels == [["👍", "👎"]]

        query = await message.press(alice, "👎")
        event = await inbox.next()
        assert isinstance(event, ButtonPressed)
        assert (event.id, event.message, event.data) == (f"callback:{query}", sent, "fb:-:1")
        assert (event.author.name, event.private) == ("Alice", True)
        await telegram.until(lambda: not telegram.waiting_queries)

        time.now += 10
        assert await adapter.preview(sent, Part("Hello you", buttons=rows))
        assert message.labels == [["👍", "👎"]]
        await adapter.edit(sent, Part("Hello"))
        assert (message.text, message.labels) == ("Hello", [])


async def test_a_press_is_acknowledged_only_once_it_is_stored() -> None:
    async with FakeTelegram() as telegram:
        time, failures, inbox = Time(), [OSError("disk full")], Inbox()

        async def publish(event: Event) -> None:
            assert telegram.waiting_queries
            if failures:
                raise failures.pop()
            await inbox.publish(event)

        alice = telegram.person("Alice")
        message = telegram.direct(alice).add(telegram.bot, "Hello", buttons=[[("Go", "go")]])
        async with running(adapter_for(telegram, time), publish):
            await message.press(alice, "Go")
            assert (await inbox.next()).data == "go"
            await telegram.until(lambda: not telegram.waiting_queries)


@pytest.mark.parametrize("how", ["too late", "message too old", "Telegram in trouble"])
async def test_a_press_that_comes_late_is_heard_all_the_same(how: str) -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (_, inbox):
        alice = telegram.person("Alice")
        dm = telegram.direct(alice)
        message = dm.add(telegram.bot, "Hello", buttons=[[("Go", "go")]])
        if how == "Telegram in trouble":
            telegram.fail_next("answerCallbackQuery", status=502)
        await message.press(alice, "Go", reachable=how != "message too old")
        if how == "too late":
            telegram.waiting_queries.clear()

        event = await inbox.next()
        assert (event.data, event.message) == ("go", ref_to(message))
        await telegram.until(lambda: telegram.calls("answerCallbackQuery"))
        await dm.says(alice, "Still there?")
        assert (await inbox.next()).text == "Still there?"


@pytest.mark.parametrize(
    "data",
    [
        "/",
        "//",
        "/admin\x00",
        "/rm -rf",
        "/../../etc",
        "/admin settings set",
        "/admin nonsense",
        "/ü",
        "/ban",
    ],
)
async def test_forged_buttons_do_no_more_than_typing(data: str) -> None:
    async with FakeTelegram() as telegram, connected(telegram, commands=GROUPED) as (_, inbox):
        mallory = telegram.person("Mallory")
        dm = telegram.direct(mallory)
        dm.add(telegram.bot, "Hello").pressed(mallory, data)
        await telegram.until(lambda: telegram.calls("answerCallbackQuery"))

        await dm.says(mallory, "Hello?")
        assert (await inbox.next()).text == "Hello?"


async def test_a_forged_press_is_no_more_than_its_own_data() -> None:
    async with FakeTelegram() as telegram, connected(telegram, commands=GROUPED) as (_, inbox):
        mallory = telegram.person("Mallory")
        group = telegram.group("Friends")
        message = group.add(telegram.bot, "Hello")
        message.pressed(mallory, "/ban 12345 for fun")
        event = await inbox.next()
        assert (event.name, event.author.id) == ("ban", str(mallory.id))  # who may is asked of the presser
        message.pressed(mallory, "stop:\u202e" + "x" * 5000)
        assert (await inbox.next()).author.id == str(mallory.id)


# What people are


async def test_what_people_are_in_a_group() -> None:
    time = Time()
    async with FakeTelegram() as telegram, connected(telegram, time) as (adapter, inbox):
        group = telegram.group("Friends")
        people = {
            status: telegram.person(status) for status in ("creator", "administrator", "member", "left")
        }
        for status, person in people.items():
            group.joins(person, status)

        async def administers(person: Any) -> bool:
            who = Person(str(person.id), person.name)
            return (await adapter.permissions_of(ref(group), who)).administrator

        assert [await administers(person) for person in people.values()] == [True, True, False, False]
        asked = len(telegram.calls("getChatMember"))
        assert [await administers(person) for person in people.values()] == [True, True, False, False]
        assert len(telegram.calls("getChatMember")) == asked

        group.joins(people["administrator"], "member")  # nobody tells the bot
        time.now += 61
        assert not await administers(people["administrator"])

        group.promote(people["member"], "administrator")
        await telegram.until(lambda: not telegram.updates.pending)
        assert await administers(people["member"])
        group.promote(people["member"], "member")
        await telegram.until(lambda: not telegram.updates.pending)
        assert not await administers(people["member"])

        assert await administers(people["creator"])
        group.joins(people["creator"], "left")
        group.promote(telegram.bot, "member")  # from now on the bot is told nothing
        await telegram.until(lambda: not telegram.updates.pending)
        assert not await administers(people["creator"])
        assert inbox.events == []


async def test_an_anonymous_administrator_is_one_in_that_group_only() -> None:
    async with FakeTelegram(privacy=False) as telegram, connected(telegram) as (adapter, inbox):
        group, other = telegram.group("Friends"), telegram.group("Others")
        await group.says_anonymously("/stop")

        event = await inbox.next()
        assert event.author == Person(str(group.id), "Friends", anonymous=True)
        assert (await adapter.permissions_of(ref(group), event.author)).administrator
        assert not (await adapter.permissions_of(ref(other), event.author)).administrator
        disguised = replace(event.author, anonymous=False)
        assert not (await adapter.permissions_of(ref(group), disguised)).administrator
        assert telegram.calls("getChatMember") == []


async def test_in_private_and_out_of_sight_nobody_is_anything() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        alice, group = telegram.person("Alice"), telegram.group("Friends")
        who = Person(str(alice.id), "Alice")

        assert await adapter.permissions_of(ref(telegram.direct(alice)), who) == Standing()
        assert await adapter.permissions_of(ref(group), Person("999999", "Nobody")) == Standing()
        assert await adapter.permissions_of(ref(group), Person("alice", "Forged")) == Standing()
        telegram.fail_next("getChatMember", status=502)
        with pytest.raises(Unreachable):
            await adapter.permissions_of(ref(group), who)


# Changes and the platform's own Stop


async def test_an_edited_message_is_told_each_time() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (_, inbox):
        alice = telegram.person("Alice")
        group = telegram.group("Friends")
        question = await group.says(alice, "@chorus_bot what is 1 + 1?")
        await inbox.next()
        await question.becomes("@chorus_bot what is 1 + 2?", edited_at=1_800_000_000)
        await question.becomes("@chorus_bot what is 1 + 3?", edited_at=1_800_000_000)

        first, second = await inbox.next(), await inbox.next()
        assert isinstance(first, MessageEdited)
        assert (first.text, second.text) == ("what is 1 + 2?", "what is 1 + 3?")
        assert first.message == second.message == ref_to(question)
        assert first.id != second.id  # even within one second
        assert first.sent_at == datetime(2027, 1, 15, 8, 0, tzinfo=UTC)


async def test_an_edited_command_is_not_run_again() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (_, inbox):
        alice = telegram.person("Alice")
        command = await telegram.direct(alice).says(alice, "/start")
        await inbox.next()
        await command.becomes("/stop")
        assert isinstance(await inbox.next(), MessageEdited)


async def test_stop_on_a_draft() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, inbox):
        alice = telegram.person("Alice")
        dm = telegram.direct(alice)
        await telegram.until(lambda: telegram.calls("getUpdates"))  # it has said what it wants to hear of
        assert await adapter.draft(ref(dm), 7, "Once upon a")
        update_id = dm.stop_draft()

        event = await inbox.next()
        assert isinstance(event, StopRequested)
        assert (event.id, event.chat) == (f"update:{update_id}", ref(dm))
        assert event.author == Person(str(alice.id), "Alice")
        assert event.private


async def test_a_server_that_knows_no_stop_shows_drafts_all_the_same() -> None:
    time = Time()
    async with FakeTelegram() as telegram, connected(telegram, time) as (adapter, _):
        dm = telegram.direct(telegram.person("Alice"))
        telegram.fail_next("sendMessageDraft", status=400, description="Bad Request: unknown field can_stop")

        for text in ("Once", "Once upon"):
            assert await adapter.draft(ref(dm), 7, text)
            time.now += 1
        assert dm.drafts == ["Once", "Once upon"]
        assert not dm.stoppable
        assert len(telegram.calls("sendMessageDraft")) == 3


# The token


async def test_the_token_is_in_no_log_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeTelegram() as telegram:
        time = Time()
        alice = telegram.person("Alice")
        dm = telegram.direct(alice)
        telegram.fail_next("getMe", drop="before")
        telegram.fail_next("getUpdates", status=500, description=f"Cannot POST /bot{telegram.token}/x")
        errors: list[BaseException] = []
        async with connected(telegram, time) as (adapter, inbox):
            await dm.says(alice, "Hello", file=Upload("notes.txt", b"Buy milk."))
            event = await inbox.next()
            await adapter.download(event.attachments[0], MIB)
            for description in ("Unauthorized", f"No bot {telegram.token}"):
                telegram.fail_next("sendMessage", status=401, description=description)
                telegram.fail_next("getFile", status=400, description=description)
                with pytest.raises(AdapterError) as caught:
                    await adapter.send(event.chat, Part("Hello"), key=KEY)
                errors.append(caught.value)
                with pytest.raises(AdapterError) as caught:
                    await adapter.download(event.attachments[0], MIB)
                errors.append(caught.value)
        token, telegram.token = telegram.token, "110201543:another"
        with pytest.raises(Misconfigured) as refused:
            await adapter.run(inbox.publish)

        said = "".join("".join(traceback.format_exception(error)) for error in [*errors, refused.value])
        assert token not in said
        assert token not in repr(adapter)
        assert token not in caplog.text
        assert "Trying again" in caplog.text  # the logs were on


# The fake itself


async def test_the_fake_notices_a_broken_rule() -> None:
    async def break_rules() -> None:
        async with FakeTelegram() as telegram:
            bot = Bot(telegram.token, base_url=telegram.api_url)
            dm = telegram.direct(telegram.person("Alice"))
            half_an_emoji = MessageEntity("bold", 0, 1)
            async with bot:
                await bot.send_message(dm.id, "😀", entities=[half_an_emoji], api_kwargs={"colour": "red"})

    with pytest.raises(AssertionError, match="rules were broken") as caught:
        await break_rules()
    assert "does not fit the text" in str(caught.value)
    assert "unknown property colour" in str(caught.value) or description() is None


def test_the_platforms_description_is_there() -> None:
    if description() is None:
        pytest.skip("no ../shared/specs: requests are not checked against Telegram's own description")
    assert "sendMessageDraft" in description()["methods"]
