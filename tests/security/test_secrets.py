"""No secret gets out: not into a log, a database or any other file, and not into a chat."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.bot.conftest import Chorus
from tests.e2e.conftest import CommandLine, finish
from tests.fakes.discord import FakeDiscord
from tests.fakes.discord.world import Channel
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram.chats import Chat

POST = "POST /channels/{channel_id}/messages"


def files_below(folder: Path) -> Mapping[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def sent(telegram: FakeTelegram, discord: FakeDiscord) -> bytes:
    """All that the bot has said, with all its files, and what it showed on the way there."""
    told = [
        json.dumps([one.parameters for one in telegram.requests], default=lambda file: repr(file.content))
    ]
    told += [json.dumps(request.body) for request in discord.requests]
    files = [file.content for request in discord.requests for file in request.files]
    files += [one.file.content for chat in telegram.chats.values() for one in chat.messages if one.file]
    return "\n".join(told).encode() + b"\n".join(files)


@asynccontextmanager
async def running(chorus: CommandLine, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`chorus run`, ended by SIGTERM, through whatever trouble is made for it."""
    process = await chorus.start("run", **settings)
    try:
        yield process
    except BaseException:
        process.kill()
        raise
    else:
        process.send_signal(signal.SIGTERM)
        assert (await finish(process)).code == 0
    finally:
        await process.wait()


async def read_code(process: asyncio.subprocess.Process) -> str:
    """The code that makes an owner, as it is shown in the terminal."""
    assert process.stderr is not None
    while line := (await process.stderr.readline()).decode():
        words = [word.strip(".") for word in line.split()]
        codes = [word for word in words if len(word) == 9 and word[4:5] == "-"]
        if codes:
            return codes[0]
    raise AssertionError("no code was shown")


async def test_a_whole_run_on_two_platforms_leaves_no_secret_anywhere(
    tmp_path: Path, telegram: FakeTelegram, discord: FakeDiscord
) -> None:
    """Tokens, the owner's code and the tokens of interactions. The last have to be stored until their answer
    is there, for a restart in between; they open nothing any more after 15 minutes."""
    chorus = CommandLine(tmp_path / "chorus")
    alice, bob = telegram.person("Alice"), discord.person("Bob")
    hers, his = telegram.direct(alice), discord.direct(bob)
    channel = discord.server("Home").channel("general")
    settings = {
        "DISCORD__TOKEN": discord.token,
        "DISCORD__API_URL": discord.api_url,
        "DISCORD__GATEWAY_URL": discord.gateway_url,
        "TELEGRAM__TOKEN": telegram.token,
        "TELEGRAM__API_URL": telegram.api_url,
        "TELEGRAM__FILE_URL": telegram.file_url,
        "MODEL__MAX_TOKENS": "24",
    }
    async with running(chorus, **settings) as process:
        code = await read_code(process)
        await telegram.until(lambda: telegram.commands, timeout=60)
        await discord.until(lambda: discord.commands, timeout=60)
        owner = await hers.answer(to=await hers.says(alice, code))
        assert "owner now" in owner.text
        await talk_through_trouble(hers, his, channel)
        for command in ("/whoami", "/mydata", "/history", "/admin status", "/admin settings show", "/usage"):
            await hers.answer(to=await hers.says(alice, command))
        discord.gateway.drop()
        for number in range(2):
            used = await channel.command(bob, "ask", question=f"Question {number}?")
            await used.answer()
            await (await his.command(bob, "mydata")).answer(lambda one: bool(one.files))
        await his.answer(to=await his.says(bob, "My token is secret"))
    files = files_below(chorus.folder)
    told = sent(telegram, discord)
    assert {Path(name).name for name in files} >= {"chorus.log", "chorus.sqlite3"}
    assert any("cache" in name for name in files), "blocks of conversations were spilled"
    assert b"token is secret" in b"".join(files.values()), "what people say is there to be found"
    interactions = [*discord.invocations]
    assert interactions
    for secret in (discord.token, telegram.token, code, code.replace("-", "")):
        assert [name for name, content in files.items() if secret.encode() in content] == []
        assert secret.encode() not in told
    for secret in interactions:
        assert [
            name for name, content in files.items() if name.endswith(".log") and secret.encode() in content
        ] == []
        assert secret.encode() not in told


async def talk_through_trouble(hers: Chat, his: Channel, channel: Channel) -> None:
    """Both platforms fail in ways that are worth a line in the log."""
    telegram, discord = hers.telegram, his.platform
    assert isinstance(discord, FakeDiscord)
    alice, bob = hers.person, next(one for one in his.people.values() if not one.is_bot)
    assert alice is not None
    telegram.fail_next("sendMessage", drop="after")
    telegram.fail_next("sendMessage", status=502, description=f"Bad Gateway for bot{telegram.token}")
    telegram.fail_next("getUpdates", body="this is no JSON")
    question = await hers.says(alice, "Hello")
    await telegram.until(lambda: hers.visible[-1] != question and not hers.visible[-1].text.endswith("…"), 60)
    discord.fail_next(POST, status=500, body={"code": 0, "message": f"Bot {discord.token}"}, times=2)
    await his.answer(to=await his.says(bob, "Hello"), timeout=60)
    discord.emit("MESSAGE_CREATE", {"id": "no number", "token": "x", "content": 7})
    telegram.deliver({"message": {"message_id": "no number", "chat": 7}})


@pytest.mark.parametrize("private", [True, False])
async def test_ones_own_data_hold_no_key_to_write_in_the_bots_name(
    private: bool, chorus: Chorus, discord: FakeDiscord
) -> None:
    """An interaction's token opens a webhook of the bot's for 15 minutes: it could call everyone."""
    mallory = discord.person("Mallory")
    dm = discord.direct(mallory)
    place = dm if private else discord.server("Home").channel("general")
    async with chorus.serving(discord):
        used = await place.command(mallory, "ask", question="Why?")
        await used.answer(lambda one: one.text == "You said: Why?")
        secretly = await place.command(mallory, "whoami")
        await secretly.answer()
        answer = await (await dm.command(mallory, "mydata")).answer(lambda one: bool(one.files))
    [found] = answer.files
    assert b"Why?" in found.content
    assert len(discord.invocations) == 3
    for token in discord.invocations:
        assert token.encode() not in found.content
