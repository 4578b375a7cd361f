"""What every adapter must do. A test class of an adapter inherits from one of these and gives `stage`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

import pytest

from adapters.base import Adapter
from adapters.errors import NotFound, Rejected
from adapters.types import (
    Attachment,
    Button,
    ButtonPressed,
    ChatRef,
    Event,
    File,
    MessageCreated,
    MessageEdited,
    MessageRef,
    Part,
    Person,
    Standing,
)
from bot.commands import COMMANDS

LONG = "\n\n".join(
    f"Paragraph {number} with **bold** words and `code`.\n\n```python\n" + "print('hello')\n" * 40 + "```"
    for number in range(12)
)
HOSTILE = "\x00\x07\x1b[31m @everyone \u202etxt.exe\u2066 \U000e0041 <@1> ``` " + "x" * 1000


class Stage(ABC):
    """A connected adapter, and a chat in which a person watches. `gone` refers to a message that does not
    exist; `private` is a private chat."""

    adapter: Adapter
    chat: ChatRef
    private: ChatRef

    def __init__(self) -> None:
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    async def publish(self, event: Event) -> None:
        self._events.put_nowait(event)

    async def event(self) -> Event:
        """The next event that the adapter publishes."""
        async with asyncio.timeout(20):
            return await self._events.get()

    @property
    def gone(self) -> MessageRef:
        return MessageRef(self.chat, "404")

    @abstractmethod
    def texts(self) -> list[str]:
        """What the bot's messages say now."""

    @abstractmethod
    async def files(self) -> list[tuple[str, bytes]]:
        """The names and contents of the bot's files."""

    @abstractmethod
    async def writes(self, text: str) -> None:
        """The person writes to the bot."""


class PlatformStage(Stage):
    """The same, on a platform with more people. `administrator` and `member` are what they are in `group`."""

    group: ChatRef
    administrator: Person
    member: Person

    @abstractmethod
    def labels(self) -> list[list[str]]:
        """The rows of buttons under the bot's newest message."""

    @abstractmethod
    async def press(self, label: str) -> None:
        """The person presses a button under the bot's newest message."""

    @abstractmethod
    async def writes_with_file(self, text: str, name: str, content: bytes) -> None:
        """The person sends a file to the bot."""

    @abstractmethod
    async def rewrites(self, text: str) -> None:
        """The person changes their newest message."""

    @abstractmethod
    def menu_writes(self) -> int:
        """How often menus were written."""


def letters(text: str) -> str:
    """What must not be lost: everything but white space, fences and markers."""
    return "".join(one for one in text if one.isalnum() or one in "'()")


class AdapterConformance:
    """The promises of `adapters.base.Adapter`."""

    async def test_a_message_arrives(self, stage: Stage) -> None:
        message = await stage.adapter.send(stage.chat, Part("Hello"), key="k1")
        assert stage.texts() == ["Hello"]
        assert message.chat == stage.chat

    async def test_a_person_is_heard(self, stage: Stage) -> None:
        await stage.writes("Good morning")
        event = await stage.event()
        assert isinstance(event, MessageCreated)
        assert (event.text, event.chat) == ("Good morning", stage.chat)

    async def test_hostile_text_is_heard_and_can_be_repeated(self, stage: Stage) -> None:
        await stage.writes(HOSTILE)
        event = await stage.event()
        assert isinstance(event, MessageCreated)
        assert "@everyone" in event.text
        for number, part in enumerate(stage.adapter.parts(event.text)):
            await stage.adapter.send(stage.chat, part, key=f"k{number}")
        assert "x" * 1000 in "".join(stage.texts())

    async def test_nothing_makes_no_message(self, stage: Stage) -> None:
        assert list(stage.adapter.parts("")) == []
        assert list(stage.adapter.parts(" \n ")) == []

    async def test_a_long_answer_is_split_and_nothing_is_lost(self, stage: Stage) -> None:
        for number, part in enumerate(stage.adapter.parts(LONG)):
            await stage.adapter.send(stage.chat, part, key=f"k{number}")
        shown = letters("".join(stage.texts()).replace("python", ""))
        assert shown == letters(LONG.replace("python", ""))

    async def test_parts_before_the_last_stay_while_the_answer_grows(self, stage: Stage) -> None:
        before: list[Part] = []
        for end in range(0, len(LONG), 211):
            parts = list(stage.adapter.parts(LONG[:end]))
            assert parts[: len(before) - 1] == before[:-1]
            before = parts

    async def test_a_reply_to_a_message_that_is_gone_is_sent_all_the_same(self, stage: Stage) -> None:
        await stage.adapter.send(stage.chat, Part("Still here"), key="k1", reply_to=stage.gone)
        assert stage.texts() == ["Still here"]

    async def test_a_repeated_send_is_made_once_where_the_adapter_says_so(self, stage: Stage) -> None:
        for _ in range(2):
            await stage.adapter.send(stage.chat, Part("Once"), key="the-same")
        idempotent = stage.adapter.capabilities(stage.chat).idempotent_send
        assert len(stage.texts()) == (1 if idempotent else 2)

    async def test_files_are_sent_and_none_replaces_another(self, stage: Stage) -> None:
        for number, content in enumerate((b"one", b"two")):
            part = Part(f"Number {number}", File("notes.txt", content))
            await stage.adapter.send(stage.chat, part, key=f"k{number}")
        assert [content for _, content in await stage.files()] == [b"one", b"two"]
        assert all(name.startswith("notes") for name, _ in await stage.files())
        assert all(f"Number {number}" in text for number, text in enumerate(stage.texts()))

    async def test_buttons_are_no_error_anywhere(self, stage: Stage) -> None:
        await stage.adapter.send(stage.chat, Part("Well?", buttons=((Button("Yes", "yes"),),)), key="k1")
        assert stage.texts() == ["Well?"]

    async def test_what_is_too_large_is_not_fetched(self, stage: Stage) -> None:
        with pytest.raises(Rejected):
            await stage.adapter.download(Attachment("film.mp4", "video/mp4", 10**12, "nowhere"), 10**6)

    async def test_in_private_nobody_is_administrator(self, stage: Stage) -> None:
        assert not (await stage.adapter.permissions_of(stage.private, Person("1", "Alice"))).administrator

    async def test_typing_never_raises(self, stage: Stage) -> None:
        async with stage.adapter.typing(ChatRef(stage.chat.platform, "404404")):
            pass

    async def test_what_is_gone_can_be_deleted(self, stage: Stage) -> None:
        await stage.adapter.delete(stage.gone)

    async def test_commands_can_be_published_twice(self, stage: Stage) -> None:
        for _ in range(2):
            await stage.adapter.publish_commands(COMMANDS)


class PlatformConformance(AdapterConformance):
    """The further promises of a platform: messages can be changed, there are buttons and other people."""

    async def test_an_edit_replaces_and_repeating_it_is_no_error(self, stage: PlatformStage) -> None:
        message = await stage.adapter.send(stage.chat, Part("Draft"), key="k1")
        for _ in range(2):
            message = await stage.adapter.edit(message, Part("**Final**"))
        assert [text.replace("*", "") for text in stage.texts()] == ["Final"]

    async def test_an_edit_of_what_is_gone_says_so(self, stage: PlatformStage) -> None:
        with pytest.raises(NotFound):
            await stage.adapter.edit(stage.gone, Part("Anything"))

    async def test_previews_are_dropped_rather_than_sent_too_fast(self, stage: PlatformStage) -> None:
        message = await stage.adapter.send(stage.chat, Part("0"), key="k1")
        shown = [await stage.adapter.preview(message, Part(str(number))) for number in range(1, 20)]
        assert not all(shown), "nineteen edits at once are more than any platform takes"
        last = max((number for number, one in enumerate(shown, 1) if one), default=0)
        assert stage.texts() == [str(last)]

    async def test_a_message_can_be_deleted(self, stage: PlatformStage) -> None:
        message = await stage.adapter.send(stage.chat, Part("Oops"), key="k1")
        await stage.adapter.delete(message)
        assert stage.texts() == []

    async def test_a_button_comes_back_with_its_data_and_its_presser(self, stage: PlatformStage) -> None:
        rows = ((Button("Yes", "answer:yes"), Button("No", "answer:no")), (Button("Maybe", "x" * 64),))
        message = await stage.adapter.send(stage.chat, Part("Well?", buttons=rows), key="k1")
        assert stage.labels() == [["Yes", "No"], ["Maybe"]]

        for label, data in (("No", "answer:no"), ("Maybe", "x" * 64)):
            await stage.press(label)
            event = await stage.event()
            assert isinstance(event, ButtonPressed)
            assert (event.data, event.message, event.author.name) == (data, message, "Alice")

    async def test_every_press_is_an_event_of_its_own(self, stage: PlatformStage) -> None:
        await stage.adapter.send(stage.chat, Part("Well?", buttons=((Button("Yes", "yes"),),)), key="k1")
        for _ in range(2):
            await stage.press("Yes")
        assert (await stage.event()).id != (await stage.event()).id

    async def test_an_edit_without_buttons_takes_them_away(self, stage: PlatformStage) -> None:
        rows = ((Button("Stop", "stop"),),)
        message = await stage.adapter.send(stage.chat, Part("Once", buttons=rows), key="k1")
        await stage.adapter.edit(message, Part("Once upon", buttons=rows))
        assert stage.labels() == [["Stop"]]
        await stage.adapter.edit(message, Part("Once upon a time"))
        assert stage.labels() == []

    async def test_a_file_is_fetched_up_to_the_limit(self, stage: PlatformStage) -> None:
        content = b"Buy milk. " * 100
        await stage.writes_with_file("Read this", "notes.txt", content)
        event = await stage.event()
        assert isinstance(event, MessageCreated)
        [attachment] = event.attachments
        assert (event.text, attachment.name, attachment.size) == ("Read this", "notes.txt", len(content))

        assert await stage.adapter.download(attachment, len(content)) == content
        with pytest.raises(Rejected, match=r"notes\.txt"):
            await stage.adapter.download(attachment, len(content) - 1)

    async def test_a_change_of_a_message_is_told(self, stage: PlatformStage) -> None:
        await stage.writes("What is 1 + 1?")
        asked = await stage.event()
        await stage.rewrites("What is 1 + 2?")
        changed = await stage.event()
        assert isinstance(asked, MessageCreated)
        assert isinstance(changed, MessageEdited)
        assert (changed.text, changed.message) == ("What is 1 + 2?", asked.message)
        assert changed.author.id == asked.author.id
        assert changed.id != asked.id

    async def test_what_people_are_is_told(self, stage: PlatformStage) -> None:
        assert (await stage.adapter.permissions_of(stage.group, stage.administrator)).administrator
        assert not (await stage.adapter.permissions_of(stage.group, stage.member)).administrator
        assert await stage.adapter.permissions_of(stage.private, stage.administrator) == Standing()

    async def test_menus_are_written_once(self, stage: PlatformStage) -> None:
        await stage.adapter.publish_commands(COMMANDS)
        written = stage.menu_writes()
        assert written
        await stage.adapter.publish_commands(COMMANDS)
        assert stage.menu_writes() == written
