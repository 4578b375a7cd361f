"""What every adapter must do. A test class of an adapter inherits from one of these and gives `stage`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from adapters.base import Adapter
from adapters.errors import NotFound
from adapters.types import ChatRef, MessageRef, Part
from bot.commands import COMMANDS

LONG = "\n\n".join(
    f"Paragraph {number} with **bold** words and `code`.\n\n```python\n" + "print('hello')\n" * 40 + "```"
    for number in range(12)
)


@dataclass(frozen=True, slots=True)
class Stage:
    """A connected adapter and a chat in which a person watches. `texts`: what the bot's messages say now.
    `gone`: a reference to a message that does not exist. `menu_writes`: how often menus were written."""

    adapter: Adapter
    chat: ChatRef
    texts: Callable[[], list[str]]
    gone: MessageRef
    menu_writes: Callable[[], int]


def letters(text: str) -> str:
    """What must not be lost: everything but white space, fences and markers."""
    return "".join(one for one in text if one.isalnum() or one in "'()")


class AdapterConformance:
    """The promises of `adapters.base.Adapter`."""

    async def test_a_message_arrives(self, stage: Stage) -> None:
        message = await stage.adapter.send(stage.chat, Part("Hello"), key="k1")
        assert stage.texts() == ["Hello"]
        assert message.chat == stage.chat

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

    async def test_typing_never_raises(self, stage: Stage) -> None:
        async with stage.adapter.typing(ChatRef(stage.chat.platform, "404404")):
            pass

    async def test_what_is_gone_can_be_deleted(self, stage: Stage) -> None:
        await stage.adapter.delete(stage.gone)

    async def test_menus_are_written_once(self, stage: Stage) -> None:
        await stage.adapter.publish_commands(COMMANDS)
        written = stage.menu_writes()
        await stage.adapter.publish_commands(COMMANDS)
        assert stage.menu_writes() == written


class EditingConformance(AdapterConformance):
    """The further promises of a platform on which a message can be changed."""

    async def test_an_edit_replaces_and_repeating_it_is_no_error(self, stage: Stage) -> None:
        message = await stage.adapter.send(stage.chat, Part("Draft"), key="k1")
        for _ in range(2):
            message = await stage.adapter.edit(message, Part("**Final**"))
        assert [text.replace("*", "") for text in stage.texts()] == ["Final"]

    async def test_an_edit_of_what_is_gone_says_so(self, stage: Stage) -> None:
        with pytest.raises(NotFound):
            await stage.adapter.edit(stage.gone, Part("Anything"))

    async def test_previews_are_dropped_rather_than_sent_too_fast(self, stage: Stage) -> None:
        message = await stage.adapter.send(stage.chat, Part("0"), key="k1")
        shown = [await stage.adapter.preview(message, Part(str(number))) for number in range(1, 20)]
        assert not all(shown), "nineteen edits at once are more than any platform takes"
        last = max((number for number, one in enumerate(shown, 1) if one), default=0)
        assert stage.texts() == [str(last)]

    async def test_a_message_can_be_deleted(self, stage: Stage) -> None:
        message = await stage.adapter.send(stage.chat, Part("Oops"), key="k1")
        await stage.adapter.delete(message)
        assert stage.texts() == []
