"""What people set for themselves: by buttons or in words, on both platforms."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot.commands.own_settings import OWN
from bot.store.models import SettingRow
from tests.bot.conftest import Chorus
from tests.bot.houses import ALICE, BOB, HOUSES, KEEPER, House
from tests.bot.talking import OnDiscord, OnTelegram, Talk
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram import FakeTelegram


@pytest.fixture(params=["telegram", "discord"])
async def talk(request: pytest.FixtureRequest) -> AsyncIterator[Talk]:
    if request.param == "telegram":
        async with FakeTelegram() as telegram:
            yield OnTelegram(telegram)
    else:
        async with FakeDiscord() as discord:
            yield OnDiscord(discord)


@pytest.fixture(params=["telegram", "discord"])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    async with FakeTelegram() if request.param == "telegram" else FakeDiscord() as platform:
        yield HOUSES[request.param](platform)


async def test_a_member_sets_something_with_buttons(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server):
        shown = await talk.uses("settings")
        assert "show_thinking" in talk.text_of(shown)
        assert "off (default): whether my thoughts are shown" in talk.text_of(shown)
        assert talk.labels_of(shown) == list(OWN)

        one = await talk.presses(shown, "show_thinking", lambda text: "takes on or off" in text)
        assert talk.labels_of(one) == ["on", "off", "Default", "‹ All"]
        done = await talk.presses(one, "on", lambda text: "is on for you now" in text)
        assert talk.labels_of(done) == []
        assert "on (yours)" in talk.text_of(await talk.uses("settings"))

        one = await talk.uses("settings", setting="show_thinking")
        await talk.presses(one, "Default", lambda text: "as usual for you" in text)
        back = await talk.uses("settings", setting="stream")
        every = await talk.presses(back, "‹ All", lambda text: "Your settings" in text)
        assert "yours" not in talk.text_of(every)


async def test_a_member_sets_something_in_words(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server):
        set_ = await talk.uses("settings", setting="temperature", value="0,3")
        assert talk.text_of(set_) == "temperature is 0.3 for you now."
        await talk.answer(await talk.says("Hello"), lambda text: text == "You said: Hello")
        assert chorus.engine.requests[-1].sampling.temperature == 0.3
        wrong = await talk.uses("settings", setting="temperature", value="warm")
        assert talk.text_of(wrong) == "temperature can't be warm: it takes a number from 0 to 2."
        taken = await talk.uses("settings", setting="temperature", value="default")
        assert talk.text_of(taken) == "temperature is as usual for you now."
        await talk.answer(await talk.says("And now"), lambda text: text == "You said: And now")
        assert chorus.engine.requests[-1].sampling.temperature != 0.3


async def test_buttons_still_work_after_a_restart(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server):
        one = await talk.uses("settings", setting="stream")
    async with chorus.serving(talk.server):
        await talk.presses(one, "off", lambda text: "stream is off for you now" in text)


async def test_settings_that_have_commands_are_as_those_set_them(chorus: Chorus, talk: Talk) -> None:
    async with chorus.serving(talk.server):
        await talk.uses("settings", setting="system", value="You are a pirate.")
        await talk.answer(await talk.says("Ahoy"), lambda text: text == "You said: Ahoy")
        assert chorus.engine.prompts[-1][0] == "system: You are a pirate."
        one = await talk.uses("settings", setting="persona")
        assert {"witty", "calm"} <= set(talk.labels_of(one))
        await talk.presses(one, "witty", lambda text: "From now on I am witty" in text)
        await talk.answer(await talk.says("Hello"), lambda text: text == "You said: Hello")
        assert "a witty assistant" in chorus.engine.prompts[-1][0]
        spoken = await talk.uses("settings", setting="language", value="de")
        assert "Deutsch" in talk.text_of(spoken)
        assert talk.text_of(await talk.uses("settings")).startswith("Deine Einstellungen.")


async def test_what_is_not_theirs_is_not_set(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        refused = await house.uses(ALICE, "settings", setting="max_tokens", value="9000")
        assert "no setting called max_tokens that is yours" in refused
        assert "no setting called" in await house.uses(ALICE, "settings", setting="colour", value="red")
        assert "needs an administrator" in await house.uses(
            ALICE, "admin settings set", scope="person", key="stream", value="off"
        )
        await house.uses(KEEPER, "admin settings set", scope="server", key="system_allowed", value="off")
        off = await house.uses(ALICE, "settings", setting="system", value="You are mine.")
        assert "switched off here" in off
    assert await chorus.count(SettingRow.scope == "person", SettingRow.key != "app_language") == 0


async def test_who_may_not_use_a_command_may_not_set_its_setting(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        await house.uses(KEEPER, "admin access command", name="persona", who=f"person:{house.id_of(BOB)}")
        refused = "/persona is only for those"
        assert refused in await house.uses(ALICE, "settings", setting="persona", value="witty")
        assert "I am witty" in await house.uses(BOB, "settings", setting="persona", value="witty")
        assert "is on for you" in await house.uses(ALICE, "settings", setting="show_thinking", value="on")


async def test_what_an_administrator_has_set_is_shown_as_theirs(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        await house.uses(KEEPER, "admin settings set", scope="server", key="temperature", value="0.1")
        assert "temperature = 0.1 (set by an administrator)" in await house.uses(ALICE, "settings")
        await house.uses(ALICE, "settings", setting="temperature", value="0.9")
        assert "temperature = 0.9 (yours)" in await house.uses(ALICE, "settings")
        assert "temperature = 0.1 (set by an administrator)" in await house.uses(BOB, "settings")


async def test_nobody_presses_for_somebody_else(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        await house.uses(ALICE, "settings", setting="stream")
        assert "for somebody else" in await house.presses(BOB, "off")
    assert await chorus.count(SettingRow.key == "stream") == 0
