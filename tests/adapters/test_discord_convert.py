"""Payloads as Discord's gateway sends them, read by discord.py, converted to events. No connection."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.commands import CommandSpec, Param
from adapters.discord.commands import payloads, same
from adapters.discord.convert import command_invoked, message_created, unreadable
from adapters.discord.responses import Response
from adapters.types import (
    UNREADABLE_LENGTH,
    Addressed,
    Attachment,
    ChatRef,
    MessageCreated,
    MessageRef,
    Person,
)

Payload = dict[str, Any]

GUILD, GENERAL, THREAD, OTHER_THREAD = (f"10000000000000000{n}" for n in range(4))
DM = "110000000000000000"
BOT_ROLE, GARDENERS = "120000000000000000", "120000000000000001"
MESSAGE = "1186222483471925248"
MESSAGE_MADE = datetime(2023, 12, 18, 8, 24, 39, 7000, tzinfo=UTC)  # which its id says

ALICE: Payload = {
    "id": "200000000000000001",
    "username": "alice",
    "global_name": "Alice",
    "discriminator": "0",
    "avatar": None,
}
BOB: Payload = {**ALICE, "id": "200000000000000002", "username": "bob", "global_name": None}
BOT: Payload = {
    **ALICE,
    "id": "300000000000000001",
    "username": "chorus",
    "global_name": "Chorus",
    "bot": True,
}


def role(id: str, name: str, **more: Any) -> Payload:
    colors = {"primary_color": 0, "secondary_color": None, "tertiary_color": None}
    return {
        "id": id,
        "name": name,
        "color": 0,
        "colors": colors,
        "hoist": False,
        "position": 1,
        "permissions": "0",
        "managed": False,
        "mentionable": True,
        **more,
    }


def thread(id: str, **more: Any) -> Payload:
    return {
        "id": id,
        "guild_id": GUILD,
        "parent_id": GENERAL,
        "owner_id": ALICE["id"],
        "name": "tomatoes",
        "type": 11,
        "message_count": 1,
        "member_count": 1,
        "thread_metadata": {
            "archived": False,
            "auto_archive_duration": 1440,
            "archive_timestamp": "2023-12-18T08:00:00+00:00",
            "locked": False,
        },
        **more,
    }


GUILD_CREATE: Payload = {
    "id": GUILD,
    "name": "Garden",
    "owner_id": ALICE["id"],
    "member_count": 3,
    "roles": [
        role(GUILD, "@everyone"),
        role(BOT_ROLE, "Chorus", managed=True, tags={"bot_id": BOT["id"]}),
        role(GARDENERS, "Gardeners"),
    ],
    "channels": [{"id": GENERAL, "type": 0, "name": "general", "position": 0, "permission_overwrites": []}],
    "threads": [
        thread(
            THREAD,
            member={
                "id": THREAD,
                "user_id": BOT["id"],
                "join_timestamp": "2023-12-18T08:00:00+00:00",
                "flags": 0,
            },
        ),
        thread(OTHER_THREAD),
    ],
    "members": [{"user": BOT, "roles": [BOT_ROLE], "joined_at": "2023-12-18T08:00:00+00:00", "flags": 0}],
}


def message(content: str, **more: Any) -> Payload:
    """A message of Alice's."""
    return {
        "id": MESSAGE,
        "channel_id": GENERAL,
        "guild_id": GUILD,
        "author": ALICE,
        "member": {"nick": "Al", "roles": [], "joined_at": "2023-12-18T08:00:00+00:00", "flags": 0},
        "content": content,
        "timestamp": "2023-12-18T08:24:39.007000+00:00",
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": [],
        "pinned": False,
        "type": 0,
        **more,
    }


def direct(content: str, **more: Any) -> Payload:
    payload = message(content, channel_id=DM, **more)
    del payload["guild_id"], payload["member"]
    return payload


def reply(content: str, to: Payload | None, **more: Any) -> Payload:
    """`to` is None if it was deleted."""
    reference = {"type": 0, "channel_id": GENERAL, "guild_id": GUILD, "message_id": "1186222483471925000"}
    return message(content, type=19, message_reference=reference, referenced_message=to, **more)


def said_by(author: Payload, content: str) -> Payload:
    payload = message(content, id="1186222483471925000", author=author)
    del payload["guild_id"], payload["member"]
    return payload


class Gateway:
    """discord.py's reading of payloads, without a connection."""

    def __init__(self) -> None:
        client = discord.Client(intents=discord.Intents(guilds=True))
        self._state = client._connection
        self._state.user = self.me = discord.ClientUser(state=self._state, data=BOT)
        self._state.dispatch = lambda event, *objects: self._read.extend(objects)
        self._read: list[Any] = []
        self._state.parsers["GUILD_CREATE"](GUILD_CREATE)

    def read(self, event: str, data: Payload) -> Any:
        self._read.clear()
        self._state.parsers[event](data)
        return self._read[-1]

    def event(self, data: Payload) -> MessageCreated | None:
        return message_created(self.read("MESSAGE_CREATE", data), self.me)

    def says(self, data: Payload) -> MessageCreated:
        event = self.event(data)
        assert event is not None
        return event


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


def test_a_message_in_a_server(gateway: Gateway) -> None:
    chat = ChatRef("discord", GENERAL)
    assert gateway.event(message("Hello")) == MessageCreated(
        id=f"message:{MESSAGE}",
        message=MessageRef(chat, MESSAGE),
        author=Person(ALICE["id"], "Al"),
        text="Hello",
        addressed=Addressed.NOT,
        sent_at=MESSAGE_MADE,
        server=GUILD,
        server_language="en-US",
    )


def test_a_direct_message(gateway: Gateway) -> None:
    event = gateway.says(direct("Hello"))
    assert event.chat == ChatRef("discord", DM)
    assert (event.addressed, event.private, event.server) == (Addressed.DIRECT, True, None)
    assert event.author == Person(ALICE["id"], "Alice")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<@300000000000000001> hello", "hello"),
        ("  <@!300000000000000001>, hello", "hello"),
        ("<@300000000000000001> <@&120000000000000000>: hello", "hello"),
        ("<@300000000000000001>", ""),
        ("hello <@300000000000000001>!", "hello @Chorus!"),
        ("hello <@!200000000000000002>", "hello @bob"),
        ("ask <@200000000000000002> or <@&120000000000000001>", "ask @bob or @Gardeners"),
        ("see <#100000000000000001> and <#999999999999999999>", "see #general and #unknown"),
        ("who is <@999999999999999999>", "who is @unknown"),
        ("a <:tomato:400000000000000001> and a <a:dance:400000000000000002>", "a :tomato: and a :dance:"),
        (
            "1 < 2 and <b>bold</b> and <https://example.org>",
            "1 < 2 and <b>bold</b> and <https://example.org>",
        ),
        ("@everyone look", "@everyone look"),
        ("two\nlines  ", "two\nlines"),
    ],
)
def test_text_is_as_people_see_it(gateway: Gateway, content: str, text: str) -> None:
    said = message(content, mentions=[BOT, BOB], mention_roles=[BOT_ROLE, GARDENERS])
    assert gateway.says(said).text == text


@pytest.mark.parametrize(
    ("said", "addressed"),
    [
        (message("hello"), Addressed.NOT),
        (message("<@300000000000000001>", mentions=[BOT]), Addressed.MENTION),
        (message("<@200000000000000002>", mentions=[BOB]), Addressed.NOT),
        (message("@everyone", mention_everyone=True), Addressed.NOT),
        (message("<@&120000000000000000>", mention_roles=[BOT_ROLE]), Addressed.MENTION),
        (message("<@&120000000000000001>", mention_roles=[GARDENERS]), Addressed.NOT),
        (reply("why?", said_by(BOT, "so"), mentions=[BOT]), Addressed.REPLY),
        (reply("why?", said_by(BOT, "so")), Addressed.REPLY),
        (reply("why?", said_by(BOB, "so"), mentions=[BOB]), Addressed.NOT),
        (reply("<@300000000000000001> why?", said_by(BOB, "so"), mentions=[BOB, BOT]), Addressed.MENTION),
        (reply("why?", None), Addressed.NOT),
        (message("red", channel_id=THREAD), Addressed.THREAD),
        (message("red", channel_id=OTHER_THREAD), Addressed.NOT),
        (message("<@300000000000000001>", channel_id=THREAD, mentions=[BOT]), Addressed.MENTION),
        (direct("<@300000000000000001>", mentions=[BOT]), Addressed.DIRECT),
    ],
)
def test_who_is_spoken_to(gateway: Gateway, said: Payload, addressed: Addressed) -> None:
    assert gateway.says(said).addressed is addressed


@pytest.mark.parametrize(
    "said",
    [
        message("hello", author=BOT),
        message("hello", author={**BOB, "bot": True}),
        message("hello", webhook_id="500000000000000001"),
        message("", type=discord.MessageType.new_member.value),
        message("", type=discord.MessageType.pins_add.value),
        message("answer", type=discord.MessageType.chat_input_command.value),
    ],
)
def test_what_is_no_persons_message(gateway: Gateway, said: Payload) -> None:
    assert gateway.event(said) is None


def test_a_reply_brings_what_it_answers(gateway: Gateway) -> None:
    event = gateway.says(reply("why?", said_by(BOT, "ask <#100000000000000001>")))
    assert event.reply_to == MessageRef(ChatRef("discord", GENERAL), "1186222483471925000")
    assert event.quoted is not None
    assert event.quoted.author == Person(BOT["id"], "Chorus")
    assert (event.quoted.text, event.quoted.by_bot) == ("ask #general", True)


def test_a_reply_to_a_deleted_message_quotes_nothing(gateway: Gateway) -> None:
    event = gateway.says(reply("why?", None))
    assert event.reply_to == MessageRef(ChatRef("discord", GENERAL), "1186222483471925000")
    assert event.quoted is None


def test_a_forwarded_message_is_no_reply(gateway: Gateway) -> None:
    own = message("so", id="1186222483471925000", author=BOT)
    gateway.read("MESSAGE_CREATE", own)
    reference = {"type": 1, "channel_id": GENERAL, "guild_id": GUILD, "message_id": own["id"]}
    event = gateway.says(message("look", message_reference=reference))
    assert (event.addressed, event.reply_to, event.quoted) == (Addressed.NOT, None, None)


def test_attachments_are_listed(gateway: Gateway) -> None:
    picture = {
        "id": "600000000000000001",
        "filename": "tomato.png",
        "size": 1234,
        "url": "https://cdn.discordapp.com/attachments/1/2/tomato.png?ex=1",
        "proxy_url": "https://media.discordapp.net/attachments/1/2/tomato.png",
        "content_type": "image/png",
    }
    unknown = {name: value for name, value in picture.items() if name != "content_type"}
    event = gateway.says(direct("", attachments=[picture, unknown]))
    assert event.attachments == (
        Attachment("tomato.png", "image/png", 1234, picture["url"]),
        Attachment("tomato.png", "application/octet-stream", 1234, picture["url"]),
    )


# Slash commands


def invocation(**more: Any) -> Payload:
    return {
        "id": MESSAGE,
        "application_id": "300000000000000001",
        "type": 2,
        "token": "aW50ZXJhY3Rpb24",
        "version": 1,
        "channel_id": GENERAL,
        "channel": GUILD_CREATE["channels"][0],
        "guild_id": GUILD,
        "guild": {"id": GUILD, "locale": "en-US", "features": []},
        "member": {"user": ALICE, "nick": "Al", "roles": [], "permissions": "0", "flags": 0},
        "locale": "de",
        "entitlements": [],
        "attachment_size_limit": 10_485_760,
        "data": {
            "id": "700000000000000001",
            "name": "ask",
            "type": 1,
            "options": [{"type": 3, "name": "question", "value": "Why?"}],
        },
        **more,
    }


def test_a_command_in_a_server(gateway: Gateway) -> None:
    event = command_invoked(gateway.read("INTERACTION_CREATE", invocation()), ephemeral=True)
    assert event is not None
    assert (event.id, event.name, event.arguments) == (f"interaction:{MESSAGE}", "ask", {"question": "Why?"})
    assert event.author == Person(ALICE["id"], "Al", language="de")
    assert (event.chat, event.server, event.private) == (ChatRef("discord", GENERAL), GUILD, False)
    assert event.sent_at == MESSAGE_MADE
    assert event.message is None
    assert event.placeholder is not None
    assert Response.parse(event.placeholder.message) == Response(
        300000000000000001, "aW50ZXJhY3Rpb24", private=True
    )


def test_a_command_in_a_direct_message(gateway: Gateway) -> None:
    data = invocation(
        channel_id=DM, channel={"id": DM, "type": 1}, user=ALICE, data={"id": "1", "name": "help"}
    )
    del data["guild_id"], data["guild"], data["member"]
    event = command_invoked(gateway.read("INTERACTION_CREATE", data), ephemeral=False)
    assert event is not None
    assert (event.name, event.arguments, event.private, event.server) == ("help", {}, True, None)


def test_a_pressed_button_is_no_command(gateway: Gateway) -> None:
    pressed = invocation(type=3, data={"custom_id": "again", "component_type": 2}, message=message("Again?"))
    assert command_invoked(gateway.read("INTERACTION_CREATE", pressed), ephemeral=False) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(
    st.dictionaries(st.sampled_from(["id", "channel_id", "guild_id", "content", "token"]), JSON) | JSON,
    st.text(),
)
def test_whatever_can_not_be_read_can_be_kept(data: Any, reason: str) -> None:
    kept = unreadable(data, reason, MESSAGE_MADE)
    assert kept == unreadable(data, reason, MESSAGE_MADE), "under one id"
    (kept.id + kept.chat.chat + kept.raw + kept.reason + (kept.server or "")).encode()
    assert len(kept.raw) <= UNREADABLE_LENGTH
    if isinstance(data, dict):
        assert "token" not in json.loads(kept.raw)


def test_what_can_not_be_read_is_cut_to_what_is_kept() -> None:
    kept = unreadable({"content": "x" * 10_000_000, "channel_id": GENERAL}, "too much", MESSAGE_MADE)
    assert (len(kept.raw), kept.chat) == (UNREADABLE_LENGTH, ChatRef("discord", GENERAL))


@given(st.integers(0, 2**64), st.from_regex(r"[A-Za-z0-9_.-]+", fullmatch=True), st.booleans())
def test_a_response_is_read_as_it_was_written(application: int, token: str, private: bool) -> None:
    response = Response(application, token, private)
    assert Response.parse(str(response)) == response


def test_a_message_id_is_no_response() -> None:
    assert Response.parse(MESSAGE) is None


def test_a_response_hides_its_token() -> None:
    assert "s3cret" not in repr(Response(1, "s3cret"))


def test_commands_are_the_same_whatever_discord_adds() -> None:
    mode = Param("mode", "How", required=False, choices=("short", "long"))
    ask = CommandSpec("ask", "Ask the model", (mode, Param("question", "What to ask")))
    help_ = CommandSpec("help", "What I can do")
    listed = [
        {"id": "1", "version": "2", "type": 1, "name": "help", "description": "What I can do", "nsfw": False},
        {
            "id": "3",
            "version": "4",
            "name": "ask",
            "description": "Ask the model",
            "options": [
                {"type": 3, "name": "question", "description": "What to ask", "required": True},
                {
                    "type": 3,
                    "name": "mode",
                    "description": "How",
                    "choices": [
                        {"name": "short", "name_localizations": None, "value": "short"},
                        {"name": "long", "value": "long"},
                    ],
                },
            ],
        },
    ]
    assert same(listed, [ask, help_])
    assert not same(listed, [ask])
    assert not same(listed[1:], [ask, help_])
    assert not same([listed[0], {**listed[1], "description": "Ask"}], [ask, help_])
    assert not same([{**listed[0], "type": 2}, listed[1]], [ask, help_]), "a context menu's entry"
    assert [option["name"] for option in payloads([ask])[0]["options"]] == ["question", "mode"]
