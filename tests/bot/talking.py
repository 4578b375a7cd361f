"""The same dialogue on every platform: what a person does there, in the platform's own ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from tests.fakes.discord import FakeDiscord
from tests.fakes.discord.world import Channel, Invocation
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram.chats import Chat
from tests.fakes.telegram.spec import Upload

Until = Callable[[str], bool]


def anything(text: str) -> bool:
    return True


def _whole(until: Until, text: str) -> bool:
    """More than an opening, and right."""
    return not text.endswith("…") and until(text)


class Talk(Protocol):
    """Alice in private with the bot. Messages are the platform's own; `text_of`, `labels_of` and `file_of`
    read them."""

    server: Any
    platform: str

    async def says(
        self, text: str, *, file: tuple[str, bytes] | None = None, picture: bool = False
    ) -> Any: ...

    async def answer(self, to: Any, until: Until = anything) -> Any:
        """The answer, as soon as its text is right."""
        ...

    async def changes(self, message: Any, text: str) -> None: ...

    async def uses(self, command: str, /, until: Until = anything, **arguments: str) -> Any:
        """The answer to a command."""
        ...

    async def presses(self, message: Any, label: str, until: Until | None = None) -> Any:
        """Press a button, and wait until the message reads so."""
        ...

    async def until(self, condition: Callable[[], object]) -> None: ...

    def visible(self) -> list[str]: ...

    def text_of(self, message: Any) -> str: ...

    def labels_of(self, message: Any) -> list[str]: ...

    def file_of(self, message: Any) -> tuple[str, bytes]: ...


class OnTelegram:
    platform = "telegram"

    def __init__(self, server: FakeTelegram, chat: Chat | None = None, name: str = "Alice") -> None:
        self.server = server
        self.person = server.person(name)
        self.chat = chat or server.direct(self.person)

    async def says(self, text: str, *, file: tuple[str, bytes] | None = None, picture: bool = False) -> Any:
        if picture:
            upload = Upload("photo.jpg", b"\xff\xd8\xff")
            return await self.chat.says(self.person, text, file=upload, kind="photo")
        upload = Upload(*file) if file else None
        return await self.chat.says(self.person, text, file=upload, media_type="text/plain")

    async def answer(self, to: Any, until: Until = anything) -> Any:
        return await self.chat.answer(to=to, until=lambda message: _whole(until, message.text))

    async def changes(self, message: Any, text: str) -> None:
        await message.becomes(text)

    async def uses(self, command: str, /, until: Until = anything, **arguments: str) -> Any:
        used = await self.chat.says(self.person, " ".join([f"/{command}", *arguments.values()]))
        return await self.answer(used, until)

    async def presses(self, message: Any, label: str, until: Until | None = None) -> Any:
        await message.press(self.person, label)
        if until is not None:
            await self.server.until(lambda: until(message.text))
        return message

    async def until(self, condition: Callable[[], object]) -> None:
        await self.server.until(condition)

    def visible(self) -> list[str]:
        return [message.text for message in self.chat.visible]

    def text_of(self, message: Any) -> str:
        return str(message.text)

    def labels_of(self, message: Any) -> list[str]:
        return [label for row in message.labels for label in row]

    def file_of(self, message: Any) -> tuple[str, bytes]:
        return message.file.name, message.file.content


class OnDiscord:
    platform = "discord"

    def __init__(self, server: FakeDiscord, chat: Channel | None = None, name: str = "Alice") -> None:
        self.server = server
        self.person = server.person(name)
        self.chat = chat or server.direct(self.person)

    async def says(self, text: str, *, file: tuple[str, bytes] | None = None, picture: bool = False) -> Any:
        files = {"photo.png": b"\x89PNG"} if picture else dict([file] if file else [])
        return await self.chat.says(self.person, text, files=files)

    async def answer(self, to: Any, until: Until = anything) -> Any:
        return await self.chat.answer(to=to, finished=lambda message: _whole(until, message.text))

    async def changes(self, message: Any, text: str) -> None:
        await message.rewrite(text)

    async def uses(self, command: str, /, until: Until = anything, **arguments: str) -> Any:
        used = await self._invoke(command, **arguments)
        return await used.answer(lambda message: not message.thinking and _whole(until, message.text))

    async def _invoke(self, command: str, /, **arguments: str) -> Invocation:
        return await self.chat.command(self.person, command.replace("admin ", "chorus "), **arguments)

    async def presses(self, message: Any, label: str, until: Until | None = None) -> Any:
        pressed = await self.chat.press(self.person, message, label)
        if until is None:
            return pressed
        await self.server.until(
            lambda: until(message.text) or (pressed.response is not None and until(pressed.response.text))
        )
        return message if until(message.text) else pressed.response

    async def until(self, condition: Callable[[], object]) -> None:
        await self.server.until(condition)

    def visible(self) -> list[str]:
        return [message.text for message in self.chat.visible]

    def text_of(self, message: Any) -> str:
        return str(message.text)

    def labels_of(self, message: Any) -> list[str]:
        return [label for row in message.buttons for label in row]

    def file_of(self, message: Any) -> tuple[str, bytes]:
        return message.files[0].name, message.files[0].content
