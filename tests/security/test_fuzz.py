"""Whatever comes is understood or kept; whatever the model writes can be sent.

A few hundred cases each, and ten thousand among the long tests. Telegram's updates, typed commands and
settings have theirs where the rest of their tests is.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import discord
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from telegram import Update

from adapters.discord.convert import message_created, message_edited, unreadable
from adapters.discord.interactions import Interactions
from adapters.telegram.commands import page
from adapters.telegram.convert import MenuAsked, event_of
from adapters.types import ButtonPressed, CommandInvoked, Event
from bot.commands.registry import find_press, specs_for
from bot.store.inbox import EVENTS
from tests.adapters import test_markup, test_telegram_convert
from tests.adapters.test_discord_convert import (
    ALICE,
    BOT,
    DM,
    GARDENERS,
    GENERAL,
    THREAD,
    Gateway,
    Payload,
    direct,
    invocation,
    message,
    reply,
    said_by,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FEW = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))


def check_stored(event: Event) -> None:
    """It is the same when it is read again, by another process after a crash."""
    written = json.dumps(EVENTS.dump_python(event, mode="json"), ensure_ascii=False).encode()
    assert EVENTS.validate_python(json.loads(written)) == event


# What Discord sends

PICTURE = {
    "id": "1",
    "filename": "tomato.png",
    "size": 1234,
    "url": "https://cdn.discordapp.com/attachments/1/2/tomato.png?ex=1",
    "proxy_url": "https://media.discordapp.net/attachments/1/2/tomato.png",
    "content_type": "image/png",
}
WHOLE: list[tuple[str, Payload]] = [
    ("MESSAGE_CREATE", message("Hello <@300000000000000001> <#1> <:smile:5> <@&120000000000000001>")),
    ("MESSAGE_CREATE", message("In a thread", channel_id=THREAD, mentions=[BOT], mention_roles=[GARDENERS])),
    ("MESSAGE_CREATE", direct("Look", attachments=[PICTURE])),
    ("MESSAGE_CREATE", reply("Why?", said_by(BOT, "Because."))),
    ("MESSAGE_UPDATE", message("Changed", edited_timestamp="2023-12-18T08:25:39.007000+00:00")),
    ("MESSAGE_UPDATE", direct("Changed", edited_timestamp="2023-12-18T08:25:39.007000+00:00")),
    ("INTERACTION_CREATE", invocation()),
    (
        "INTERACTION_CREATE",
        invocation(
            data={
                "id": "1",
                "name": "chorus",
                "options": [
                    {
                        "type": 2,
                        "name": "settings",
                        "options": [
                            {
                                "type": 1,
                                "name": "set",
                                "options": [
                                    {"type": 3, "name": "scope", "value": "channel"},
                                    {"type": 4, "name": "key", "value": 5},
                                    {"type": 5, "name": "value", "value": True},
                                ],
                            }
                        ],
                    }
                ],
            }
        ),
    ),
    (
        "INTERACTION_CREATE",
        invocation(
            type=3,
            data={"custom_id": "fb:+:7", "component_type": 2},
            message=message("An answer", author=BOT),
            channel={"id": DM, "type": 1},
            user=ALICE,
        ),
    ),
    (
        "INTERACTION_CREATE",
        invocation(
            type=5,
            data={
                "custom_id": "form:system",
                "components": [
                    {
                        "type": 18,
                        "id": 1,
                        "component": {"type": 4, "id": 2, "custom_id": "prompt", "value": "Be kind"},
                    }
                ],
            },
        ),
    ),
]
CONVERTED = {
    "MESSAGE_CREATE": discord.Message,
    "MESSAGE_UPDATE": discord.RawMessageUpdateEvent,
    "INTERACTION_CREATE": discord.Interaction,
}
STRANGE = (
    test_telegram_convert.JSON
    | st.sampled_from(["", "0", "-1", "9" * 30, "\ud800", "\x00", GENERAL, "2023-13-45T99:00:00", "tomorrow"])
    | st.text(max_size=30)
)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, Payload]:
    """An event in which a few properties are lost or something else."""
    kind, data = copy.deepcopy(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(test_telegram_convert._paths(data) or [("id",)]))
        place: Any = data
        for step in path[:-1]:
            place = place[step]
        if isinstance(place, dict) and draw(st.booleans()):
            place.pop(path[-1], None)
        else:
            place[path[-1]] = draw(STRANGE)
    return kind, data


def from_discord(kind: str, data: Payload) -> Event | None:
    """As the connection reads it: what can't be read is kept as it came."""
    try:
        reader = Gateway()  # which has seen nothing yet
        reader.read(kind, copy.deepcopy(data))
        found = next(one for one in reader._read if isinstance(one, CONVERTED[kind]))
        match found:
            case discord.Message():
                return message_created(found, reader.me)
            case discord.RawMessageUpdateEvent():
                return message_edited(found, reader.me)
        return Interactions(cast(Any, None), specs_for("discord")).event(found)
    except Exception as error:
        return unreadable(data, f"{type(error).__name__}: {error}", NOW)


def check_discord(event: tuple[str, Payload]) -> None:
    found = from_discord(*event)
    if found is not None:
        check_stored(found)


@pytest.mark.parametrize("event", WHOLE, ids=lambda event: event[0])
def test_what_discord_sends_whole_is_understood(event: tuple[str, Payload]) -> None:
    found = from_discord(*event)
    assert found is not None
    assert found.kind != "unreadable"
    check_stored(found)


@FEW
@given(damaged())
def test_whatever_discord_sends_is_understood_or_kept(event: tuple[str, Payload]) -> None:
    check_discord(event)


@pytest.mark.slow
@MANY
@given(damaged())
def test_ten_thousand_things_that_discord_sends_are_understood_or_kept(event: tuple[str, Payload]) -> None:
    check_discord(event)


# What the model writes

ALWAYS: dict[str, Callable[..., None]] = {
    name: test.hypothesis.inner_test
    for name, test in vars(test_markup.TestAlways).items()
    if hasattr(test, "hypothesis")
}


def check_answer(markdown: str, limit: int) -> None:
    """The promises of the splitter, all of them at once."""
    self = test_markup.TestAlways()
    ALWAYS["test_every_part_fits"](self, markdown, limit)
    ALWAYS["test_every_code_block_is_closed"](self, markdown, limit)
    ALWAYS["test_discord_takes_every_part"](self, markdown)
    ALWAYS["test_telegram_takes_every_part"](self, markdown)


@pytest.mark.slow
@MANY
@given(test_markup.answers, test_markup.limits)
def test_ten_thousand_answers_can_be_sent_whatever_the_model_writes(markdown: str, limit: int) -> None:
    check_answer(markdown, limit)


@pytest.mark.slow
@MANY
@given(test_markup.prose_and_code, test_markup.limits)
def test_of_ten_thousand_answers_nothing_is_lost(markdown: str, limit: int) -> None:
    ALWAYS["test_nothing_is_lost"](test_markup.TestAlways(), markdown, limit)


# What is pressed

SPECS = specs_for("telegram")
WORDS = sorted({word for spec in SPECS for word in spec.name.split()})
DATA = st.text(max_size=64) | st.builds(
    "".join,
    st.lists(
        st.sampled_from(
            [*WORDS, *'/ :@"“”\n', "fb", "choose", "forget", "broadcast", "chorus_bot", "5", "\u202e"]
        )
        | st.text(max_size=5),
        max_size=8,
    ),
)


def check_pressed(data: str) -> None:
    pressed = {
        "id": "1",
        "from": test_telegram_convert.ALICE,
        "chat_instance": "1",
        "data": data,
        "message": test_telegram_convert.message("Press", **{"from": test_telegram_convert.BOT}),
    }
    update = Update.de_json({"update_id": 9, "callback_query": pressed})
    found = event_of(update, test_telegram_convert.ME, SPECS, {}, NOW)
    if isinstance(found, MenuAsked):
        menu = page(SPECS, found.typed, found.author.language, found.param, ["one", "x" * 100, "two words"])
        assert all(len(one.data.encode()) <= 64 for row in menu.buttons for one in row)
        assert menu.text
    elif found is not None:
        check_stored(found)
        assert isinstance(found, ButtonPressed | CommandInvoked)
        assert found.author.id == str(test_telegram_convert.ALICE["id"]), "who pressed, whatever the data say"
    if (press := find_press(data)) is not None:
        assert data == ":".join([press[0].name, *press[1]])


@FEW
@given(DATA)
def test_whatever_a_button_carries_is_a_press_a_command_or_nothing(data: str) -> None:
    check_pressed(data)


@pytest.mark.slow
@MANY
@given(DATA)
def test_ten_thousand_buttons_are_presses_commands_or_nothing(data: str) -> None:
    check_pressed(data)
