"""The process or its model dies, the clock jumps: each message is answered once, poison is set aside."""

from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks.instant import Place
from bot import attempts, dispatch
from bot.services import utc_now
from bot.store.models import InboxRow, InboxState
from inference import ChatMessage, EngineUnavailable
from tests.bot.conftest import Chorus
from tests.bot.houses import ALICE, OLIVIA, TelegramHouse, pair
from tests.fakes.discord import FakeDiscord
from tests.fakes.engine import ScriptedEngine
from tests.fakes.telegram import FakeTelegram


async def test_a_model_that_dies_once_answers_all_it_was_asked(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice, bob = telegram.person("Alice"), telegram.person("Bob")
    hers, his = telegram.direct(alice), telegram.direct(bob)
    chorus.engine.failures.extend([EngineUnavailable("the model thread has died")] * 2)
    async with chorus.serving(telegram):
        asked = await hers.says(alice, "Hello"), await his.says(bob, "Hello")
        for room, question in zip((hers, his), asked, strict=True):
            assert (await room.answer(to=question)).text == "You said: Hello"
    assert await chorus.count(InboxRow.state == InboxState.ASIDE) == 0


async def test_who_kills_the_model_twice_is_set_aside_and_everyone_else_is_answered(
    chorus: Chorus, telegram: FakeTelegram, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "SAME_DEATH", 0.001)  # the pause between two tries is short here
    alice, bob = telegram.person("Alice"), telegram.person("Bob")
    hers, his = telegram.direct(alice), telegram.direct(bob)
    chorus.engine = Mortal("poison")
    async with chorus.serving(telegram):
        poison = await hers.says(alice, "This is poison")
        answer = await hers.answer(to=poison)
        assert "not available" in answer.text
        assert (await his.answer(to=await his.says(bob, "Hello"))).text == "You said: Hello"
        assert (await hers.answer(to=await hers.says(alice, "Anything else"))).text.startswith("You said")
    assert chorus.engine.deaths == 2
    assert await chorus.count(InboxRow.state == InboxState.ASIDE) == 1
    assert "is set aside" in caplog.text


class Mortal(ScriptedEngine):
    """Dies of a word in the last message."""

    def __init__(self, word: str) -> None:
        super().__init__(self._or_die)
        self.word = word
        self.deaths = 0

    def _or_die(self, messages: object) -> str:
        last = messages[-1].content  # type: ignore[index]
        if self.word in last:
            self.deaths += 1
            raise EngineUnavailable("the model thread has died")
        return f"You said: {last}"


async def test_what_kills_the_process_three_times_is_set_aside(
    chorus: Chorus, telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dispatch, "SETTLED", timedelta(0))
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    poison = await dm.says(alice, "This is poison")
    for life in range(3):
        chorus.engine = ScriptedEngine()
        chorus.engine.hold()
        async with chorus.serving(telegram):  # leaving it is a kill
            await chorus.until_stored(InboxRow.attempts == life + 1)
    chorus.engine = ScriptedEngine()
    async with chorus.serving(telegram):
        answer = await dm.answer(to=poison)
        assert "put it aside" in answer.text
        assert (await dm.answer(to=await dm.says(alice, "Hello"))).text == "You said: Hello"
    assert not any("poison" in line for line in chorus.engine.prompts[0][-1:])
    assert await chorus.count(InboxRow.state == InboxState.ASIDE, InboxRow.attempts >= 3) == 1


async def test_what_fails_three_times_is_set_aside_and_both_the_person_and_the_owner_are_told(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    def answer(messages: Sequence[ChatMessage]) -> str:
        last = messages[-1].content
        if "poison" in last:
            raise ValueError("this was not foreseen")
        return f"You said: {last}"

    house = TelegramHouse(telegram)
    chorus.engine = ScriptedEngine(answer)
    async with chorus.serving(telegram):
        await pair(chorus, house)
        assert "put it aside" in await house.asks(ALICE, "This is poison")
        await house.hears(f"I have set an event in telegram {house.group.id} aside: ValueError")
        told = [one.text for one in house.directs[OLIVIA].visible]
        assert "set an event" in told[-1], "and it is the owner who was told"
        assert (await house.asks(ALICE, "Hello")).endswith("Hello")
    assert sum("poison" in prompt[-1] for prompt in chorus.engine.prompts) == 3
    assert await chorus.count(InboxRow.state == InboxState.ASIDE, InboxRow.attempts == 3) == 1


async def test_a_run_that_has_only_just_begun_makes_no_last_try(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    await dm.says(alice, "Hello")
    for life in range(2):
        chorus.engine = ScriptedEngine()
        chorus.engine.hold()
        async with chorus.serving(telegram):
            await chorus.until_stored(InboxRow.attempts == life + 1)
    for _ in range(3):  # killed again and again, but never while it is at work on this
        chorus.engine = ScriptedEngine()
        async with chorus.serving(telegram):
            pass
    assert await chorus.count(InboxRow.attempts == 2, InboxRow.state != InboxState.ASIDE) == 1


@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1)])
async def test_a_clock_that_jumps_loses_and_doubles_nothing(
    jump: timedelta, chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    chorus.engine.hold()
    async with chorus.serving(telegram):
        question = await dm.says(alice, "Hello")
        await telegram.until(lambda: dm.drafts)
        chorus.clock = lambda: utc_now() + jump
        for _ in range(5):  # leases are renewed and looked at meanwhile
            await chorus.sleep(1)
        chorus.engine.release()
        assert (await dm.answer(to=question)).text == "You said: Hello"
        assert (await dm.answer(to=await dm.says(alice, "Again"))).text == "You said: Again"
        await telegram.until(lambda: len(dm.visible) == 4)
    assert len(chorus.engine.requests) == 2
    chorus.clock = utc_now
    async with chorus.serving(telegram):
        assert (await dm.answer(to=await dm.says(alice, "And back"))).text == "You said: And back"
    assert await chorus.count(InboxRow.state == InboxState.DONE) == 3


@contextmanager
def _bot(place: Place) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-m", "benchmarks.instant", place.argument()]) as process:
        try:
            yield process
        finally:
            process.kill()


async def _end(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM; gives the exit code. A service manager waits ten seconds."""
    process.send_signal(signal.SIGTERM)
    return await asyncio.to_thread(process.wait, 10)


async def test_sigterm_ends_with_0_within_ten_seconds_and_what_was_unfinished_is_done_later(
    tmp_path: Path, telegram: FakeTelegram, discord: FakeDiscord
) -> None:
    alice = telegram.person("Alice")
    dm = telegram.direct(alice)
    with _bot(_place(tmp_path, telegram, discord, pause=1000)) as slow:
        question = await dm.says(alice, "Hello")
        await telegram.until(lambda: dm.actions, timeout=60)  # it is at work
        assert await _end(slow) == 0
    assert dm.visible == [question]
    with _bot(_place(tmp_path, telegram, discord)) as quick:
        answer = await dm.answer(to=question, timeout=60)
        assert answer.text == "You said: Hello"
        assert await _end(quick) == 0
    assert len(dm.visible) == 2


async def test_a_process_that_can_write_nothing_goes_on_when_it_can(
    tmp_path: Path, telegram: FakeTelegram, discord: FakeDiscord
) -> None:
    """The system itself refuses to let any file grow, as a full disk does."""
    alice, bob = telegram.person("Alice"), discord.person("Bob")
    hers, his = telegram.direct(alice), discord.direct(bob)
    with _bot(_place(tmp_path, telegram, discord)) as process:
        await hers.answer(to=await hers.says(alice, "Hello"), timeout=60)
        await his.answer(to=await his.says(bob, "Hello"), timeout=60)
        limits = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        asked = await hers.says(alice, "Are you there?")
        also_asked = await his.says(bob, "And here?")
        polls = len(telegram.calls("getUpdates"))
        await telegram.until(lambda: len(telegram.calls("getUpdates")) >= polls + 2)
        assert len(telegram.updates.pending) == 1, "what could not be stored is not acknowledged"
        assert (len(hers.visible), len(his.visible)) == (3, 3)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limits)
        answer = await hers.answer(to=asked, timeout=60)
        assert answer.text == "You said: Are you there?"
        await his.answer(to=also_asked, finished=lambda one: one.text == "You said: And here?", timeout=60)
        assert await _end(process) == 0
    assert (len(hers.visible), len(his.visible)) == (4, 4)
    log = (tmp_path / "chorus.log").read_text()
    assert "the database can be written again" in log


def _place(folder: Path, telegram: FakeTelegram, discord: FakeDiscord, *, pause: float = 0) -> Place:
    return Place(
        database=str(folder / "chorus.sqlite3"),
        discord_token=discord.token,
        discord_api=discord.api_url,
        discord_gateway=discord.gateway_url,
        telegram_token=telegram.token,
        telegram_api=telegram.api_url,
        telegram_file=telegram.file_url,
        log=str(folder / "chorus.log"),
        pause=pause,
    )
