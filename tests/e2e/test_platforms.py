"""One bot on two platforms, with the model that ships: everyone gets their own answers, and only those."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.e2e.conftest import CommandLine
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram import FakeTelegram

NAMES = {"discord": ("Anna", "Tom"), "telegram": ("Maria", "Sarah")}


async def test_four_people_on_two_platforms_at_once_and_after_a_restart(
    chorus: CommandLine, tmp_path: Path
) -> None:
    async with FakeDiscord() as discord, FakeTelegram() as telegram:
        settings = {
            "DISCORD__TOKEN": discord.token,
            "DISCORD__API_URL": discord.api_url,
            "DISCORD__GATEWAY_URL": discord.gateway_url,
            "TELEGRAM__TOKEN": telegram.token,
            "TELEGRAM__API_URL": telegram.api_url,
            "TELEGRAM__FILE_URL": telegram.file_url,
            "DATABASE__URL": f"sqlite+aiosqlite:///{tmp_path / 'chorus.sqlite3'}",
            "MODEL__TEMPERATURE": "0",
        }
        people = {}
        for platform in (discord, telegram):
            for name in NAMES["discord" if platform is discord else "telegram"]:
                person = platform.person(name)
                people[name] = (platform, person, platform.direct(person))

        async def ask(name: str, text: str) -> str:
            """Say something and read the answer once it ends like a sentence, as this model's answers do."""
            platform, person, dm = people[name]
            question = await dm.says(person, text)
            answers = lambda: dm.visible[dm.visible.index(question) + 1 :]  # noqa: E731  a name for a look
            await platform.until(lambda: answers() and answers()[0].text[-1:] in tuple(".!?"), 60)
            return str(answers()[0].text)

        everyone = [*NAMES["discord"], *NAMES["telegram"]]
        async with chorus.serving(**settings):
            await asyncio.gather(*(ask(name, f"My name is {name}.") for name in everyone))
            await discord.until(lambda: discord.commands)
            await telegram.until(lambda: telegram.commands)
        async with chorus.serving(**settings):
            await discord.until(lambda: discord.gateway.connected, 60)
            answers = await asyncio.gather(*(ask(name, "What is my name?") for name in everyone))

        for name, answer in zip(everyone, answers, strict=True):
            assert name in answer
            assert not any(other in answer for other in everyone if other != name)
        for _, _, dm in people.values():
            assert len(dm.visible) == 4, "two questions and two answers, nothing twice"
        written = chorus.log.read_text()
        assert written, "the run left a log"
        assert discord.token not in written
        assert telegram.token not in written
