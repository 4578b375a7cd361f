"""The Telegram adapter against a Telegram on loopback."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from telegram import Bot, MessageEntity

from adapters.base import Capabilities
from adapters.commands import CommandSpec
from adapters.errors import (
    AdapterError,
    Forbidden,
    Misconfigured,
    NotFound,
    RateLimited,
    Rejected,
    Unreachable,
)
from adapters.telegram import TelegramAdapter
from adapters.types import (
    Addressed,
    ChatRef,
    CommandInvoked,
    Event,
    File,
    MessageCreated,
    MessageRef,
    Part,
)
from tests.fakes.telegram import Chat, FakeTelegram, Message
from tests.fakes.telegram.spec import Upload, description

COMMANDS = [CommandSpec("start", "Say hello"), CommandSpec("stop", "Stop answering")]
KEY = "a key"


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
    options.setdefault("token", telegram.token)
    if time is not None:
        options |= {"clock": time, "sleep": time.sleep}
    return TelegramAdapter(api_url=telegram.api_url, file_url=telegram.file_url, commands=COMMANDS, **options)


@asynccontextmanager
async def running(
    adapter: TelegramAdapter, publish: Callable[[Event], Awaitable[None]]
) -> AsyncIterator[asyncio.Task[None]]:
    """The adapter, connected; stopped at the end."""
    task = asyncio.create_task(adapter.run(publish))
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


async def test_what_could_not_be_stored_comes_again_in_order() -> None:
    async with FakeTelegram() as telegram:
        time, inbox, failures = Time(), Inbox(), [OSError("disk full"), OSError("disk full")]

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
        first, second = time.slept
        assert 1 <= first <= 2 <= second <= 4


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
async def test_an_unreadable_update_is_stepped_over(
    unreadable: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeTelegram() as telegram:
        alice = telegram.person("Alice")
        update_id = telegram.deliver(unreadable)
        await telegram.direct(alice).says(alice, "Hello")

        async with connected(telegram) as (_, inbox):
            assert (await inbox.next()).text == "Hello"
            await telegram.until(lambda: not telegram.updates.pending)
        assert f"Update {update_id} can't be" in caplog.text


# When Telegram is in trouble


async def test_it_waits_for_a_telegram_that_is_away() -> None:
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


async def test_of_two_processes_with_one_token_the_first_stops() -> None:
    async with FakeTelegram() as telegram, asyncio.timeout(20):
        time, alice = Time(), telegram.person("Alice")
        first = asyncio.create_task(adapter_for(telegram, time).run(Inbox().publish))
        await telegram.until(lambda: telegram.calls("getUpdates"))

        async with connected(telegram, time) as (_, inbox):
            with pytest.raises(Misconfigured, match="another process"):
                await first
            await telegram.direct(alice).says(alice, "Who is left?")
            assert (await inbox.next()).text == "Who is left?"


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
        assert await adapter.download(attachment) == b"Buy milk."


async def test_a_file_that_is_gone() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, inbox):
        alice = telegram.person("Alice")
        await telegram.direct(alice).says(alice, file=Upload("notes.txt", b"Buy milk."))
        [attachment] = (await inbox.next()).attachments

        telegram.lost_files.add(attachment.handle)
        with pytest.raises(NotFound, match=r"notes\.txt"):
            await adapter.download(attachment)
        telegram.files.clear()
        with pytest.raises(NotFound):
            await adapter.download(attachment)


async def test_a_file_too_large_for_bots_is_refused_unasked() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, inbox):
        alice = telegram.person("Alice")
        await telegram.direct(alice).says(alice, file=Upload("film.mp4", bytes(20 * 2**20 + 1)))

        [attachment] = (await inbox.next()).attachments
        with pytest.raises(Rejected, match=r"film\.mp4"):
            await adapter.download(attachment)
        assert telegram.calls("getFile") == []


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


async def test_the_menu_is_set_only_when_it_changed() -> None:
    async with FakeTelegram() as telegram, connected(telegram) as (adapter, _):
        await adapter.publish_commands(COMMANDS)
        assert telegram.commands == [{"command": "stop", "description": "Stop answering"}]
        await adapter.publish_commands(COMMANDS)
        assert len(telegram.calls("setMyCommands")) == 1

        await adapter.publish_commands([CommandSpec("stop", "Be quiet")])
        assert telegram.commands == [{"command": "stop", "description": "Be quiet"}]


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
            await adapter.download(event.attachments[0])
            for description in ("Unauthorized", f"No bot {telegram.token}"):
                telegram.fail_next("sendMessage", status=401, description=description)
                telegram.fail_next("getFile", status=400, description=description)
                with pytest.raises(AdapterError) as caught:
                    await adapter.send(event.chat, Part("Hello"), key=KEY)
                errors.append(caught.value)
                with pytest.raises(AdapterError) as caught:
                    await adapter.download(event.attachments[0])
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
