"""A server or group with people in it, on either platform, so that one dialogue can be had on both.

Knows nothing of what is said. Commands are used as each platform has them: chosen from a menu, typed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from bot.commands.registry import COMMANDS
from tests.bot.conftest import Chorus
from tests.fakes import discord as fake_discord
from tests.fakes import telegram as fake_telegram
from tests.fakes.discord import FakeDiscord
from tests.fakes.discord.world import MANAGE_SERVER
from tests.fakes.telegram import FakeTelegram

_FORMS = {spec.name for spec in COMMANDS if spec.form}
OLIVIA, KEEPER, ALICE, BOB = "Olivia", "Keeper", "Alice", "Bob"


class House(Protocol):
    """Olivia is to own the bot, Keeper administrates the server; Alice and Bob are members."""

    platform: FakeDiscord | FakeTelegram

    @property
    def role(self) -> str:
        """A role that Alice holds, as an administrator names it; empty where there are none."""
        ...

    def id_of(self, name: str) -> str: ...

    async def uses(self, name: str, command: str, /, *, private: bool = False, **values: str) -> str:
        """Someone uses a command; what the bot answers them."""
        ...

    async def asks(self, name: str, text: str, *, private: bool = False) -> str:
        """Someone says something to the bot; its answer."""
        ...

    async def says(self, name: str, text: str) -> str:
        """Someone says something among people; the message's id."""
        ...

    async def addresses(self, name: str, text: str) -> None:
        """Someone says something to the bot among people, and waits for nothing."""
        ...

    async def hears(self, text: str) -> None:
        """Returns when the bot has said something with this in it."""
        ...

    def heard(self) -> list[str]:
        """All that the bot has said where others can read it, and in private."""
        ...

    async def presses(self, name: str, label: str, *, private: bool = False) -> str:
        """Someone presses a button under the bot's last answer to them; what the bot says to that."""
        ...


async def diagnosed(house: House, message: str, fate: str) -> None:
    """Returns when Keeper is told that of a message, which may still be on its way to the bot."""
    async with asyncio.timeout(20):
        while fate not in await house.uses(KEEPER, "admin diagnose", message=message):
            pass


async def pair(chorus: Chorus, house: House) -> None:
    """Olivia becomes the bot's owner."""
    code = chorus.codes[-1]
    assert "owner now" in await house.asks(OLIVIA, code, private=True)


class TelegramHouse:
    def __init__(self, telegram: FakeTelegram) -> None:
        self.platform = telegram
        telegram.privacy = False
        self.group = telegram.group("Home")
        self.people = {name: telegram.person(name) for name in (OLIVIA, KEEPER, ALICE, BOB)}
        self.directs = {name: telegram.direct(one) for name, one in self.people.items()}
        for name, one in self.people.items():
            self.group.joins(one, "administrator" if name == KEEPER else "member")
        self._last: dict[bool, fake_telegram.Message] = {}

    @property
    def role(self) -> str:
        return ""

    def id_of(self, name: str) -> str:
        return str(self.people[name].id)

    async def uses(self, name: str, command: str, /, *, private: bool = False, **values: str) -> str:
        *first, last = values.values() or [""]
        words = [f'"{one}"' if " " in one else one for one in first]
        return await self._said(name, " ".join([f"/{command}", *words, last]).strip(), private=private)

    async def asks(self, name: str, text: str, *, private: bool = False) -> str:
        return await self._said(name, text if private else f"@chorus_bot {text}", private=private)

    async def _said(self, name: str, text: str, *, private: bool) -> str:
        room = self.directs[name] if private else self.group
        answer = await room.answer(to=await room.says(self.people[name], text))
        self._last[private] = answer
        return answer.text

    async def says(self, name: str, text: str) -> str:
        return str((await self.group.says(self.people[name], text)).id)

    async def addresses(self, name: str, text: str) -> None:
        await self.says(name, f"@chorus_bot {text}")

    async def hears(self, text: str) -> None:
        await self.platform.until(lambda: any(text in one for one in self.heard()))

    def heard(self) -> list[str]:
        rooms = [self.group, *self.directs.values()]
        return [one.text for room in rooms for one in room.visible if one.author == self.platform.bot]

    async def presses(self, name: str, label: str, *, private: bool = False) -> str:
        message, room = self._last[private], self.directs[name] if private else self.group
        before, said = message.text, len(room.visible)
        await message.press(self.people[name], label)

        def answer() -> str:
            told = room.visible[-1].text if len(room.visible) > said else ""
            return message.text if message.text != before else told

        await self.platform.until(lambda: answer() and not answer().endswith("…"))
        return answer()


class DiscordHouse:
    def __init__(self, discord: FakeDiscord) -> None:
        self.platform = discord
        self.server = discord.server("Home")
        self.channel = self.server.channel("general")
        self.people = {name: discord.person(name) for name in (OLIVIA, KEEPER, ALICE, BOB)}
        self.directs = {name: discord.direct(one) for name, one in self.people.items()}
        self.server.grant(self.people[KEEPER], self.server.role("Keepers", MANAGE_SERVER))
        self.readers = self.server.role("Readers")
        self.server.grant(self.people[ALICE], self.readers)
        self._last: dict[bool, fake_discord.Message] = {}

    @property
    def role(self) -> str:
        return f"<@&{self.readers.id}>"

    def id_of(self, name: str) -> str:
        return self.people[name].id

    async def uses(self, name: str, command: str, /, *, private: bool = False, **values: str) -> str:
        room, who = self._room(name, private), self.people[name]
        words = command.replace("admin ", "chorus ", 1)
        if command in _FORMS:
            form = await (await room.command(who, words)).opened()
            used = await room.fill_in(who, form, **values)
        else:
            used = await room.command(who, words, **values)
        answer = await used.answer()
        self._last[private] = answer
        return answer.text.replace("**", "")

    async def asks(self, name: str, text: str, *, private: bool = False) -> str:
        room = self._room(name, private)
        said = text if private else f"{self.platform.bot.mention} {text}"
        question = await room.says(self.people[name], said)
        endings = (text.rsplit(maxsplit=1)[-1], ".", "so")  # of an answer that has grown to its end
        return (await room.answer(to=question, finished=lambda one: one.text.endswith(endings))).text

    def _room(self, name: str, private: bool) -> fake_discord.Channel:
        return self.directs[name] if private else self.channel

    async def says(self, name: str, text: str) -> str:
        return (await self.channel.says(self.people[name], text)).id

    async def addresses(self, name: str, text: str) -> None:
        await self.says(name, f"{self.platform.bot.mention} {text}")

    async def hears(self, text: str) -> None:
        await self.platform.until(lambda: any(text in one for one in self.heard()))

    def heard(self) -> list[str]:
        rooms = [self.channel, *self.directs.values()]
        return [text for room in rooms for text in room.texts]

    async def presses(self, name: str, label: str, *, private: bool = False) -> str:
        pressed = await self._room(name, private).press(self.people[name], self._last[private], label)
        return (await pressed.answer()).text


HOUSES: Mapping[str, Any] = {"discord": DiscordHouse, "telegram": TelegramHouse}
