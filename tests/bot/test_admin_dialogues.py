"""Administrators look after Chorus from chat: each dialogue on both platforms."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from adapters.commands import CommandSpec
from bot import menus
from bot.commands.registry import specs_for
from bot.decisions import Verdict
from bot.pairing import TRIES
from bot.store.models import AuditRow, Broadcast, Fact, Grant, InboxRow
from tests.bot.conftest import Chorus
from tests.bot.houses import ALICE, BOB, HOUSES, KEEPER, OLIVIA, House, diagnosed, pair
from tests.fakes.discord import FakeDiscord
from tests.fakes.engine import ScriptedEngine
from tests.fakes.telegram import FakeTelegram


@pytest.fixture(params=["discord", "telegram"])
def house(
    request: pytest.FixtureRequest, chorus: Chorus, discord: FakeDiscord, telegram: FakeTelegram
) -> House:
    made: House = HOUSES[request.param](discord if request.param == "discord" else telegram)
    return made


async def test_whoever_sends_the_code_is_the_owner_and_nobody_after_them(
    chorus: Chorus, house: House
) -> None:
    async with chorus.serving(house.platform):
        (code,) = chorus.codes
        for _ in range(TRIES):
            assert "not the code" in await house.uses(BOB, "pair", private=True, code="0000-0000")
        assert "too many wrong codes" in await house.uses(BOB, "pair", private=True, code=code)
        assert "in a private chat" in await house.uses(ALICE, "pair", code=code)
        await pair(chorus, house)
        assert "an owner already" in await house.uses(ALICE, "pair", private=True, code=code)
    assert await chorus.count(Grant.kind == "owner") == 1
    async with chorus.serving(house.platform):
        assert len(chorus.codes) == 1, "a bot with an owner shows no code"


async def test_the_code_is_in_no_file_and_no_log(
    chorus: Chorus, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="bot")
    async with chorus.serving(house.platform):
        (code,) = chorus.codes
        await house.uses(BOB, "pair", private=True, code=code.replace("-", ""))
        await pair_is_over(chorus)
    spellings = (code.encode(), code.replace("-", "").encode())
    for file in chorus.folder.iterdir():
        assert not any(spelling in file.read_bytes() for spelling in spellings), file
    assert code not in caplog.text


async def pair_is_over(chorus: Chorus) -> None:
    await chorus.until_stored(Grant.kind == "owner")


async def test_settings_are_shown_set_and_reset(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        assert "needs an administrator" in await house.uses(ALICE, "admin settings show")
        assert "temperature = the model's own (default)" in await house.uses(KEEPER, "admin settings show")
        done = await house.uses(KEEPER, "admin settings set", scope="channel", key="temperature", value="0.5")
        assert "temperature is 0.5" in done
        shown = await house.uses(KEEPER, "admin settings show", what="temperature")
        assert "set for this channel" in shown
        assert "a number from 0 to 2" in shown
        assert "temperature = 0.5" in await house.uses(KEEPER, "admin settings show", what="channel")
        assert "Nothing is set" in await house.uses(KEEPER, "admin settings show", what="server")
        assert "my owner's to see" in await house.uses(KEEPER, "admin settings show", what="channel:1")
        await house.asks(ALICE, "Hello")
        assert chorus.engine.requests[-1].sampling.temperature == 0.5
        await house.uses(KEEPER, "admin settings reset", scope="channel", key="temperature")
        await house.asks(ALICE, "Hello again")
        assert chorus.engine.requests[-1].sampling.temperature is None


async def test_a_setting_that_can_not_be_is_refused_with_what_can(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):

        async def put(scope: str, key: str, value: str) -> str:
            return await house.uses(KEEPER, "admin settings set", scope=scope, key=key, value=value)

        assert "a number from 0 to 2" in await put("channel", "temperature", "hot")
        assert "There is no setting called warmth" in await put("channel", "warmth", "1")
        assert "hall is no scope" in await put("hall", "temperature", "1")
        assert "no thread here" in await put("thread", "temperature", "1")
        assert "needs my owner" in await put("platform", "temperature", "1")
        assert "needs my owner" in await put(f"person:{house.id_of(ALICE)}", "temperature", "1")
        assert "needs my owner" in await put("channel:12345", "temperature", "1")
        assert "needs my owner" in await put("server", "models_allowed", "all")
        assert "More than 512 tokens need my owner" in await put("server", "max_tokens", "513")
        assert "no persona called grumpy" in await put("server", "persona", "grumpy")
        assert "can't use a model called big" in await put("server", "model", "big")
    assert await chorus.count(AuditRow.id > 0) == 0


async def test_the_owner_sets_what_holds_for_the_platform(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        await pair(chorus, house)
        await house.uses(
            OLIVIA, "admin settings set", private=True, scope="platform", key="persona", value="calm"
        )
        await house.asks(ALICE, "Hello")
        assert "a calm assistant" in chorus.engine.prompts[-1][0]
        await house.uses(KEEPER, "admin settings set", scope="server", key="system", value="You are a tree.")
        await house.asks(ALICE, "Hello")
        assert chorus.engine.prompts[-1][0] == "system: You are a tree."


async def test_when_it_answers(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        await house.uses(KEEPER, "admin when", mode="always")
        await house.says(ALICE, "Just talking")
        await house.hears("You said: Just talking")
        await house.uses(KEEPER, "admin when", mode="never")
        passed = await house.says(ALICE, "Not even this")
        await diagnosed(house, passed, "commands only")
        await house.uses(KEEPER, "admin when", mode="mention")
        passed = await house.says(ALICE, "Among ourselves")
        await diagnosed(house, passed, "not addressed to me")
        await house.asks(ALICE, "But this")
    assert [prompt[-1].rpartition(": ")[2] for prompt in chorus.engine.prompts] == [
        "Just talking",
        "But this",
    ]


async def test_whom_it_talks_to(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        denied = await house.uses(KEEPER, "admin access deny", who=f"person:{house.id_of(ALICE)}")
        assert "may no longer talk to me here" in denied
        assert "an administrator has switched that off" in await house.asks(ALICE, "Hello")
        assert await house.asks(BOB, "Hello") == "You said: Hello"
        await house.uses(KEEPER, "admin access remove", who=f"person:{house.id_of(ALICE)}")
        assert "Again" in await house.asks(ALICE, "Again")

        await house.uses(KEEPER, "admin access allow", who=f"person:{house.id_of(ALICE)}")
        assert "only with those whom an administrator has allowed" in await house.asks(BOB, "Hello")
        assert "More" in await house.asks(ALICE, "More")
        listed = await house.uses(KEEPER, "admin access list")
        assert f"talk: Alice ({house.id_of(ALICE)}) allowed" in listed
        assert "I don't know whom you mean" in await house.uses(KEEPER, "admin access allow", who="nobody")


async def test_who_may_use_a_command(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        await house.uses(KEEPER, "admin access command", name="persona", who="administrator")
        assert "only for those" in await house.uses(ALICE, "persona", name="witty")
        assert "witty" in await house.uses(KEEPER, "persona", name="witty")
        await house.uses(KEEPER, "admin access command", name="persona", who="everyone")
        assert "calm" in await house.uses(ALICE, "persona", name="calm")

        who = house.role or f"person:{house.id_of(ALICE)}"
        await house.uses(KEEPER, "admin access command", name="admin audit", who=who)
        assert "access" in await house.uses(ALICE, "admin audit")
        assert "needs an administrator" in await house.uses(BOB, "admin audit")
        refused = await house.uses(KEEPER, "admin access command", name="admin model load", who=who)
        assert "can't be changed" in refused


async def test_bans(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        await pair(chorus, house)
        bob = house.id_of(BOB)
        assert "is banned here" in await house.uses(KEEPER, "admin ban", who=bob, reason="spam")
        assert await house.asks(BOB, "Hello") == "You are banned here (spam), so I don't answer you."
        silent = await house.says(BOB, f"{_name(house)} Hello?")
        assert await house.asks(ALICE, "Hello") == "You said: Hello"
        await diagnosed(house, silent, "may not talk to me here")
        assert await house.asks(BOB, "In private", private=True) == "You said: In private"
        assert "no longer banned" in await house.uses(KEEPER, "admin unban", who=bob)
        assert "Back" in await house.asks(BOB, "Back")
        owner = house.id_of(OLIVIA)
        assert "not to be banned" in await house.uses(KEEPER, "admin ban", who=owner)


def _name(house: House) -> str:
    return house.platform.bot.mention if isinstance(house.platform, FakeDiscord) else "@chorus_bot"


async def test_the_owner_grants_and_revokes_administration(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        await pair(chorus, house)
        alice = house.id_of(ALICE)
        assert "needs my owner" in await house.uses(KEEPER, "admin access grant", who=alice)
        await house.uses(OLIVIA, "admin access grant", private=True, who=alice)
        assert "No limits are set here" in await house.uses(ALICE, "admin quota show")
        await house.uses(OLIVIA, "admin access revoke", private=True, who=alice)
        assert "needs an administrator" in await house.uses(ALICE, "admin quota show")


async def test_unknown_people_ask_to_be_let_in(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform, access={"direct_messages": "pairing"}):
        await pair(chorus, house)
        refused = await house.asks(ALICE, "Hello", private=True)
        code = refused.rstrip(".").rpartition(" ")[2]
        assert code in await house.uses(OLIVIA, "admin access list", private=True)
        assert "Nobody asks" in await house.uses(OLIVIA, "admin access approve", private=True, code="000")
        assert "Alice may talk" in await house.uses(OLIVIA, "admin access approve", private=True, code=code)
        assert await house.asks(ALICE, "Hello now", private=True) == "You said: Hello now"


async def test_where_direct_messages_are_closed_people_are_told_once_a_day(
    chorus: Chorus, house: House
) -> None:
    now = datetime(2026, 5, 5, 12, tzinfo=UTC)
    chorus.clock = lambda: now
    async with chorus.serving(house.platform, access={"direct_messages": "closed"}):
        assert "whom my owner has let in" in await house.asks(ALICE, "Hello", private=True)
        assert await house.asks(ALICE, "Hello in the group") == "You said: Hello in the group"
        now += timedelta(days=1, minutes=1)
        assert "whom my owner has let in" in await house.asks(ALICE, "And today?", private=True)
    assert len(chorus.engine.prompts) == 1


async def test_quotas(chorus: Chorus, house: House) -> None:
    now = datetime(2026, 5, 5, 12, tzinfo=UTC)
    chorus.clock = lambda: now
    async with chorus.serving(house.platform):

        async def put(who: str, limit: str, amount: str) -> str:
            return await house.uses(KEEPER, "admin quota set", who=who, limit=limit, amount=amount)

        assert "messages_per_day is 2" in await put("everyone", "messages_per_day", "2")
        assert "a whole number from 0 on" in await put("everyone", "messages_per_day", "some")
        await house.asks(ALICE, "One")
        await house.asks(ALICE, "Two")
        refused = await house.asks(ALICE, "Three")
        assert refused == (
            "You have used up your limit of 2 messages today. It renews in 12 hours; until then I stay quiet."
        )
        assert "Own" in await house.asks(BOB, "Own")
        await put(f"person:{house.id_of(ALICE)}", "messages_per_day", "unlimited")
        assert "Four" in await house.asks(ALICE, "Four")
        assert "messages_per_day = 2" in await house.uses(KEEPER, "admin quota show")
        await house.uses(KEEPER, "admin quota reset", who=f"person:{house.id_of(ALICE)}")
        assert "used up" in await house.asks(ALICE, "Five")
        now += timedelta(hours=12)
        assert "Six" in await house.asks(ALICE, "Six")


async def test_who_has_used_up_a_limit_is_told_once_until_it_renews(chorus: Chorus, house: House) -> None:
    now = datetime(2026, 5, 5, 12, tzinfo=UTC)
    chorus.clock = lambda: now
    async with chorus.serving(house.platform, quota={"messages_per_day": 1}):
        await house.asks(ALICE, "One")
        assert "limit of 1 message today" in await house.asks(ALICE, "Two")
        for number in range(10):
            await house.addresses(ALICE, f"Again {number}")
        await passed_over(chorus, 11)
        assert "limit of 1 message today" in await house.asks(ALICE, "And here", private=True)
        assert "Mine" in await house.asks(BOB, "Mine")
        now += timedelta(hours=12)
        assert "Next day" in await house.asks(ALICE, "Next day")
        assert "limit of 1 message today" in await house.asks(ALICE, "Two again")
    assert len([one for one in house.heard() if "used up" in one]) == 3


async def test_people_are_called_by_their_names(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        await pair(chorus, house)
        await house.asks(BOB, "Hello")
        bob, olivia = house.id_of(BOB), house.id_of(OLIVIA)
        assert f"Bob ({bob}) is banned here" in await house.uses(KEEPER, "admin ban", who=bob)
        assert f"banned: Bob ({bob})" in await house.uses(KEEPER, "admin access list")
        assert f"Bob ({bob}) is no longer banned" in await house.uses(KEEPER, "admin unban", who=bob)
        assert "1 is not banned" in await house.uses(KEEPER, "admin unban", who="1")
        listed = await house.uses(OLIVIA, "admin access list", private=True)
        assert f"owner: Olivia ({olivia})" in listed


async def test_a_limit_of_all_together_is_told_to_one_of_them(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        await house.uses(KEEPER, "admin quota set", who="server", limit="messages_per_month", amount="1")
        await house.asks(ALICE, "One")
        assert "All of you here together" in await house.asks(BOB, "Two")
        await house.addresses(ALICE, "Three")
        await passed_over(chorus, 2)
    assert len([one for one in house.heard() if "used up" in one]) == 1


async def passed_over(chorus: Chorus, count: int) -> None:
    """Returns when so many messages had found a limit reached."""
    async with asyncio.timeout(20):
        while await chorus.count(InboxRow.reason == Verdict.QUOTA) < count:
            pass


async def test_personas_are_made_changed_and_removed(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        made = await house.uses(
            KEEPER,
            "admin persona add",
            name="pirate",
            summary="a sea dog",
            prompt="You are {name} the pirate.",
        )
        assert "/persona pirate" in made
        assert "There is a persona called pirate" in await house.uses(
            KEEPER, "admin persona add", name="pirate", summary="another", prompt="You are another."
        )
        assert "none of" in await house.uses(
            KEEPER, "admin persona add", name="witty", summary="mine", prompt="You are mine."
        )
        await house.uses(ALICE, "persona", name="pirate")
        await house.asks(ALICE, "Ahoy")
        assert chorus.engine.prompts[-1][0] == "system: You are Chorus the pirate."
        await house.uses(
            KEEPER, "admin persona edit", name="pirate", summary="a captain", prompt="You are a captain."
        )
        await house.asks(ALICE, "Ahoy")
        assert chorus.engine.prompts[-1][0] == "system: You are a captain."
        await house.uses(KEEPER, "admin persona remove", name="pirate")
        await house.asks(ALICE, "Ahoy")
        assert "a friendly assistant" in chorus.engine.prompts[-1][0]


async def test_models_are_loaded_chosen_and_unloaded(chorus: Chorus, house: House) -> None:
    other = chorus.models["other"] = ScriptedEngine(lambda messages: "Other says so")
    other.model = "other"
    async with chorus.serving(house.platform):
        await pair(chorus, house)
        assert "needs my owner" in await house.uses(KEEPER, "admin model load", name="other")
        failed = await house.uses(OLIVIA, "admin model load", private=True, name="absent")
        assert "there is no model called absent" in failed
        await house.uses(OLIVIA, "admin model load", private=True, name="other")
        assert "other:" in await house.uses(KEEPER, "admin model status")
        await house.uses(KEEPER, "admin settings set", scope="channel", key="model", value="other")
        assert await house.asks(ALICE, "Hello") == "Other says so"
    async with chorus.serving(house.platform):
        while "other:" not in await house.uses(KEEPER, "admin model status"):
            pass  # it is loaded again beside what goes on
        await house.uses(KEEPER, "admin access model", name="other", who=f"person:{house.id_of(BOB)}")
        assert await house.asks(ALICE, "Hello") == "You said: Hello"
        assert await house.asks(BOB, "Hello") == "Other says so"
        await house.uses(OLIVIA, "admin model unload", private=True, name="other")
        assert (await house.asks(BOB, "And now")).endswith("And now")
        stays = await house.uses(OLIVIA, "admin model unload", private=True, name="scripted")
        assert "the first one stays" in stays


async def test_the_buttons_of_models_ask_for_the_same_rights_as_the_command(
    chorus: Chorus, house: House
) -> None:
    other = chorus.models["other"] = ScriptedEngine(lambda messages: "Other says so")
    other.model = "other"
    async with chorus.serving(house.platform):
        await pair(chorus, house)
        await house.uses(OLIVIA, "admin model load", private=True, name="other")
        allowed = house.role or f"person:{house.id_of(ALICE)}"
        await house.uses(KEEPER, "admin access model", name="other", who=allowed)
        assert "other\n" in await house.uses(ALICE, "model") + "\n"
        assert "From now on other answers you" in await house.presses(ALICE, "other")
        assert await house.asks(ALICE, "Hello") == "Other says so"
        assert "other" not in await house.uses(BOB, "model")

        await house.uses(ALICE, "model")
        await house.uses(OLIVIA, "admin access model", private=True, name="other", who="owner")
        assert "can't use a model called other" in await house.presses(ALICE, "other")
        await house.uses(ALICE, "persona")
        await house.uses(OLIVIA, "admin access command", private=True, name="persona", who="owner")
        assert "/persona is only for those" in await house.presses(ALICE, "witty")


async def test_news_are_asked_about_and_sent_once(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        await pair(chorus, house)
        await house.asks(ALICE, "Hello", private=True)
        await house.asks(BOB, "Hello", private=True)
        await house.asks(ALICE, "Hello")
        person = f"person:{house.id_of(BOB)}"
        await house.uses(
            OLIVIA, "admin settings set", private=True, scope=person, key="broadcasts", value="off"
        )
        asked = await house.uses(OLIVIA, "admin broadcast", private=True, text="I have learnt to sing.")
        assert "This goes to 2 chats" in asked
        assert "on their way to 2 chats" in await house.presses(OLIVIA, "Send it", private=True)
        await house.hears("I have learnt to sing.")
        again = await house.uses(OLIVIA, "admin broadcast", private=True, text="Never mind.")
        assert "2 chats" in again
        assert "Nothing was sent" in await house.presses(OLIVIA, "Don't", private=True)
    assert await chorus.count(Broadcast.sent_at.is_not(None)) == 1
    assert await chorus.count(Broadcast.id > 0) == 1


async def test_the_audit_tells_who_changed_what(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        await pair(chorus, house)
        await house.uses(KEEPER, "admin when", mode="always")
        await house.uses(OLIVIA, "admin access grant", private=True, who=house.id_of(ALICE))
        here = await house.uses(KEEPER, "admin audit")
        assert "Keeper: when channel:" in here
        assert "access grant" not in here, "what the owner changes elsewhere is not theirs to see"
        everything = await house.uses(OLIVIA, "admin audit", private=True, count="50")
        assert "Olivia: access grant" in everything
        assert "Keeper: when" in everything
        assert "from 1 to 50" in await house.uses(KEEPER, "admin audit", count="0")


async def test_diagnose_tells_of_answers_and_their_times(chorus: Chorus, house: House) -> None:
    async with chorus.serving(house.platform):
        await house.uses(KEEPER, "admin when", mode="always")
        message = await house.says(ALICE, "Tell me")
        await house.hears("You said: Tell me")
        await diagnosed(house, message, "I answered it. (stop;")
        await diagnosed(house, message, "0.01 s / 0.02 s")
        assert "know nothing of that message" in await house.uses(KEEPER, "admin diagnose", message="999")
        assert "Which message?" in await house.uses(KEEPER, "admin diagnose", message="that one")


async def test_commands_are_published_again_only_when_they_have_changed(
    chorus: Chorus, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with chorus.serving(house.platform):
        await chorus.until_stored(Fact.key.startswith("commands:"))
    first = _published(house)
    assert first
    async with chorus.serving(house.platform):
        await house.asks(ALICE, "Hello")
        await house.uses(ALICE, "help")
    assert _published(house) == first

    def more(platform: str) -> list[CommandSpec]:
        return [*specs_for(platform), CommandSpec("new", "Something new")]

    monkeypatch.setattr(menus, "specs_for", more)
    async with chorus.serving(house.platform):
        await house.platform.until(lambda: _published(house) > first)


def _published(house: House) -> int:
    if isinstance(house.platform, FakeTelegram):
        return len(house.platform.calls("setMyCommands"))
    return len([one for one in house.platform.requests if one.route.endswith("/commands")])
