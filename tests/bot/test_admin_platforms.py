"""What administration is on one platform and not on the other: threads, roles, anonymous administrators,
proposals, buttons."""

from __future__ import annotations

import asyncio
import io

import pytest

from adapters.console import ConsoleAdapter
from bot.app import App
from bot.commands.registry import COMMANDS
from bot.store.models import AuditRow, Broadcast
from inference import EngineUnavailable
from tests.bot.conftest import Chorus
from tests.bot.houses import ALICE, BOB, KEEPER, OLIVIA, DiscordHouse, TelegramHouse, diagnosed, pair
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram import FakeTelegram


@pytest.fixture
def on_discord(chorus: Chorus, discord: FakeDiscord) -> DiscordHouse:
    return DiscordHouse(discord)


@pytest.fixture
def on_telegram(chorus: Chorus, telegram: FakeTelegram) -> TelegramHouse:
    return TelegramHouse(telegram)


# Discord


async def test_a_channels_settings_hold_in_its_threads_unless_they_have_their_own(
    chorus: Chorus, on_discord: DiscordHouse
) -> None:
    keeper, alice = on_discord.people[KEEPER], on_discord.people[ALICE]
    async with chorus.serving(on_discord.platform):
        await on_discord.uses(KEEPER, "admin settings set", scope="channel", key="persona", value="calm")
        thread = on_discord.channel.thread("Details", joined=False)
        mention = on_discord.platform.bot.mention
        asked = await thread.says(alice, f"{mention} One")
        await thread.answer(to=asked, finished=lambda one: one.text.endswith("One"))
        assert "a calm assistant" in chorus.engine.prompts[-1][0]
        put = await thread.command(
            keeper, "chorus settings set", scope="thread", key="persona", value="witty"
        )
        assert "witty for this thread" in (await put.answer()).text
        asked = await thread.says(alice, f"{mention} Two")
        await thread.answer(to=asked, finished=lambda one: one.text.endswith("Two"))
        assert "a witty assistant" in chorus.engine.prompts[-1][0]
        await on_discord.asks(ALICE, "Three")
        assert "a calm assistant" in chorus.engine.prompts[-1][0]


async def test_only_in_threads(chorus: Chorus, on_discord: DiscordHouse) -> None:
    alice = on_discord.people[ALICE]
    async with chorus.serving(on_discord.platform):
        await on_discord.uses(KEEPER, "admin when", mode="threads")
        passed = await on_discord.says(ALICE, f"{on_discord.platform.bot.mention} Here?")
        await diagnosed(on_discord, passed, "only in threads")
        thread = on_discord.channel.thread("Details")
        asked = await thread.says(alice, "There")
        await thread.answer(to=asked, finished=lambda one: one.text.endswith("There"))


async def test_a_role_has_its_limits_and_its_rules(chorus: Chorus, on_discord: DiscordHouse) -> None:
    async with chorus.serving(on_discord.platform):
        put = {"limit": "messages_per_day", "amount": "1"}
        await on_discord.uses(KEEPER, "admin quota set", who=on_discord.role, **put)
        await on_discord.asks(ALICE, "One")
        assert "used up" in await on_discord.asks(ALICE, "Two")
        await on_discord.asks(BOB, "One")
        assert (await on_discord.asks(BOB, "Two")).endswith("Two")
        await on_discord.uses(KEEPER, "admin access deny", who=on_discord.role)
        assert "switched that off" in await on_discord.asks(ALICE, "Three")
        on_discord.server.grant(on_discord.people[ALICE])  # who loses the role
        await on_discord.says(BOB, "Something that comes after it")
        assert (await on_discord.asks(ALICE, "Four")).endswith("Four")


async def test_who_loses_the_right_has_lost_it_at_once(chorus: Chorus, on_discord: DiscordHouse) -> None:
    async with chorus.serving(on_discord.platform):
        await on_discord.uses(KEEPER, "admin when", mode="reply")
        on_discord.server.grant(on_discord.people[KEEPER])
        refused = await on_discord.uses(KEEPER, "admin when", mode="always")
        assert "needs an administrator" in refused
    assert await chorus.count(AuditRow.id > 0) == 1


async def test_settings_and_values_are_proposed(chorus: Chorus, on_discord: DiscordHouse) -> None:
    keeper, channel = on_discord.people[KEEPER], on_discord.channel
    async with chorus.serving(on_discord.platform):

        async def proposed(command: str, option: str, so_far: str) -> list[str]:
            return await (await channel.types(keeper, command, option, so_far)).proposed()

        assert (await proposed("chorus settings set", "key", "temp"))[0] == "temperature"
        assert "server" in await proposed("chorus settings set", "scope", "")
        assert "always" in await proposed("chorus settings set", "value", "al")
        assert await proposed("persona", "name", "wit") == ["witty"]
        assert await proposed("chorus model load", "name", "scr") == ["scripted"]
        assert "admin ban" in await proposed("chorus access command", "name", "ban")
        assert await proposed("chorus ban", "reason", "x") == []


async def test_a_servers_administrator_sends_news_to_the_server_alone(
    chorus: Chorus, on_discord: DiscordHouse
) -> None:
    async with chorus.serving(on_discord.platform):
        await on_discord.asks(ALICE, "Hello")
        await on_discord.asks(BOB, "Hello", private=True)
        asked = await on_discord.uses(KEEPER, "admin broadcast", text="The garden opens.")
        assert "This goes to 1 chat:" in asked
        assert "on their way to 1" in await on_discord.presses(KEEPER, "Send it")
        await on_discord.hears("The garden opens.")
        assert "The garden opens." not in on_discord.directs[BOB].texts


# Telegram


async def test_an_anonymous_administrator_is_one_and_is_not_another_groups(
    chorus: Chorus, on_telegram: TelegramHouse
) -> None:
    group = on_telegram.group
    async with chorus.serving(on_telegram.platform):
        done = await group.answer(to=await group.says_anonymously("/admin when always"))
        assert "every message" in done.text
        no_owner = await group.answer(to=await group.says_anonymously("/admin model load other"))
        assert "needs my owner" in no_owner.text
    assert await chorus.count(AuditRow.person == str(group.id)) == 1


async def test_a_topic_has_settings_of_its_own(chorus: Chorus, telegram: FakeTelegram) -> None:
    keeper = telegram.person("Keeper")
    forum = telegram.group("Forum", forum=True)
    forum.joins(keeper, "administrator")
    cats, dogs = forum.topic("Cats"), forum.topic("Dogs")
    async with chorus.serving(telegram):
        done = await cats.answer(to=await cats.says(keeper, "/admin settings set thread persona witty"))
        assert "witty for this thread" in done.text
        await cats.answer(to=await cats.says(keeper, "@chorus_bot Meow"))
        await dogs.answer(to=await dogs.says(keeper, "@chorus_bot Woof"))
    assert ["witty" in prompt[0] for prompt in chorus.engine.prompts] == [True, False]


async def test_a_reply_says_which_message_is_meant(chorus: Chorus, on_telegram: TelegramHouse) -> None:
    group, people = on_telegram.group, on_telegram.people
    async with chorus.serving(on_telegram.platform):
        await on_telegram.uses(KEEPER, "admin when", mode="mention")
        passed = await group.says(people[ALICE], "Among ourselves")
        asked = await group.says(people[KEEPER], "/admin diagnose", reply_to=passed)
        assert "not addressed" in (await group.answer(to=asked)).text
        asked = await group.says(people[KEEPER], "/admin ban", reply_to=passed)
        assert f"{people[ALICE].id} is banned" in (await group.answer(to=asked)).text


async def test_a_button_is_for_whom_it_was_made_and_forged_ones_do_nothing(
    chorus: Chorus, on_telegram: TelegramHouse
) -> None:
    group, people = on_telegram.group, on_telegram.people
    async with chorus.serving(on_telegram.platform):
        await on_telegram.asks(ALICE, "Hello")
        asking = await group.says(people[KEEPER], "/admin broadcast News!")
        question = await group.answer(to=asking, until=lambda one: bool(one.buttons))
        await question.press(people[ALICE], "Send it")
        await on_telegram.hears("This button is for somebody else")
        number = question.buttons[0][0][1].rpartition(":")[2]
        question.pressed(people[BOB], f"broadcast:{people[BOB].id}:send:{number}")
        await on_telegram.hears("/admin broadcast needs an administrator")
        question.pressed(people[KEEPER], f"broadcast:{people[KEEPER].id}:send:999")
        await on_telegram.hears("no such news")
        question.pressed(people[BOB], "nonsense:::")
        await on_telegram.hears("no longer does anything")
    assert await chorus.count(Broadcast.sent_at.is_not(None)) == 0


async def test_the_owner_is_told_what_was_set_aside(chorus: Chorus, on_telegram: TelegramHouse) -> None:
    async with chorus.serving(on_telegram.platform):
        await pair(chorus, on_telegram)
        chorus.engine.failures += [EngineUnavailable("gone")] * 10
        await on_telegram.says(ALICE, "@chorus_bot Hello")
        await on_telegram.hears(f"I have set an event in telegram {on_telegram.group.id} aside: ")
        told = [one.text for one in on_telegram.directs[OLIVIA].visible]
        assert any("aside: " in text for text in told), "and it is the owner who was told"


# The terminal


async def test_whoever_sits_at_the_terminal_owns_the_bot(chorus: Chorus) -> None:
    output = io.StringIO()
    lines = ["/admin settings set platform persona calm", "Hello", "/admin audit"]
    console = ConsoleAdapter(lines, output, commands=COMMANDS)
    async with asyncio.timeout(30):
        await App(chorus.settings(), [console], chorus.engine).run()
    assert "persona is calm for this platform now." in output.getvalue()
    assert "settings set platform:console persona = calm" in output.getvalue()
    assert "a calm assistant" in chorus.engine.prompts[-1][0]


# Both


async def test_each_platform_has_an_owner_of_its_own(
    chorus: Chorus, on_discord: DiscordHouse, on_telegram: TelegramHouse
) -> None:
    platforms = (on_discord.platform, on_telegram.platform)
    async with chorus.serving(*platforms):
        await pair(chorus, on_discord)
        used = chorus.codes[-1]
        late = await on_telegram.asks(ALICE, f"/pair {used}", private=True)
        assert "no code to be paired with" in late, "a code makes one owner"
        refused = await on_telegram.uses(OLIVIA, "admin model unload", private=True, name="other")
        assert "needs my owner" in refused
    async with chorus.serving(*platforms):
        await pair(chorus, on_telegram)
        assert len(chorus.codes) == 2
    async with chorus.serving(*platforms):
        assert len(chorus.codes) == 2, "now both have one"
