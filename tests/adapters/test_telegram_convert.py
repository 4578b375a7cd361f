"""What an update says, as an event. Without a client: updates as Telegram sends them."""

from __future__ import annotations

import copy
import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from telegram import Update, User

from adapters.commands import CommandSpec, Param
from adapters.telegram.commands import page
from adapters.telegram.convert import MenuAsked, event_of
from adapters.telegram.members import Members, UserNames
from adapters.telegram.request import PollingRequest
from adapters.types import (
    Addressed,
    Attachment,
    ChatRef,
    CommandInvoked,
    Event,
    MessageCreated,
    MessageEdited,
    MessageRef,
    Person,
    Quoted,
    StopRequested,
    Unreadable,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ME = User(77, "Chorus", is_bot=True, username="chorus_bot")
ALICE = {"id": 5, "is_bot": False, "first_name": "Alice", "last_name": "Smith", "language_code": "de"}
BOT = {"id": 77, "is_bot": True, "first_name": "Chorus", "username": "chorus_bot"}
DIRECT = {"id": 5, "type": "private", "first_name": "Alice"}
GROUP = {"id": -100123, "type": "supergroup", "title": "Friends"}
FORUM = GROUP | {"is_forum": True}
COMMANDS = [
    CommandSpec("stop", "Stop answering"),
    CommandSpec("model", "Choose a model", (Param("name", "Its name"), Param("why", "A reason"))),
]


def message(text: str | None = None, chat: dict[str, Any] = DIRECT, **properties: Any) -> dict[str, Any]:
    properties.setdefault("from", ALICE)
    content = {} if text is None else {"text": text}
    return {"message_id": 42, "date": 1_700_000_000, "chat": chat, **content, **properties}


def event(payload: dict[str, Any], kind: str = "message") -> Event | MenuAsked | None:
    update = Update.de_json({"update_id": 9, kind: payload})
    return event_of(update, ME, COMMANDS, {}, NOW)


def heard(payload: dict[str, Any]) -> MessageCreated:
    found = event(payload)
    assert isinstance(found, MessageCreated)
    return found


def entity(kind: str, offset: int, length: int, **properties: Any) -> list[dict[str, Any]]:
    return [{"type": kind, "offset": offset, "length": length, **properties}]


def command(text: str, length: int, chat: dict[str, Any] = DIRECT) -> Event | MenuAsked | None:
    return event(message(text, chat, entities=entity("bot_command", 0, length)))


def test_a_private_message() -> None:
    assert event(message("Hello")) == MessageCreated(
        id="update:9",
        message=MessageRef(ChatRef("telegram", "5"), "42"),
        author=Person("5", "Alice Smith", "de"),
        text="Hello",
        addressed=Addressed.DIRECT,
        sent_at=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        private=True,
    )


def test_talk_among_people_is_told_but_not_to_the_bot() -> None:
    said = heard(message("Hello all", GROUP))

    assert said.addressed == Addressed.NOT
    assert not said.private
    assert said.chat == ChatRef("telegram", "-100123")


@pytest.mark.parametrize(
    ("text", "offset", "left"),
    [
        ("@chorus_bot what is up?", 0, "what is up?"),
        ("@Chorus_Bot, what is up?", 0, "what is up?"),
        ("@chorus_bot:\nwhat is up?", 0, "what is up?"),
        ("@chorus_bot", 0, ""),
        ("What says @chorus_bot to that?", 10, "What says @chorus_bot to that?"),
        ("😀 and @chorus_bot?", 7, "😀 and @chorus_bot?"),  # an emoji is two UTF-16 units
    ],
)
def test_a_mention_is_cut_from_the_front_only(text: str, offset: int, left: str) -> None:
    said = heard(message(text, GROUP, entities=entity("mention", offset, 11)))

    assert said.addressed == Addressed.MENTION
    assert said.text == left


def test_a_mention_of_someone_else() -> None:
    said = heard(message("@chorus_bots hi", GROUP, entities=entity("mention", 0, 12)))

    assert said.addressed == Addressed.NOT
    assert said.text == "@chorus_bots hi"


def test_a_text_mention_names_the_bot_by_its_id() -> None:
    said = heard(message("Chorus hi", GROUP, entities=entity("text_mention", 0, 6, user=BOT)))

    assert said.addressed == Addressed.MENTION
    assert said.text == "hi"


def test_a_mention_counts_in_a_caption() -> None:
    photo = [{"file_id": "p", "file_unique_id": "u", "width": 1, "height": 1, "file_size": 3}]
    said = heard(
        message(
            None,
            GROUP,
            caption="@chorus_bot what is this?",
            caption_entities=entity("mention", 0, 11),
            photo=photo,
        )
    )

    assert said.addressed == Addressed.MENTION
    assert said.text == "what is this?"
    assert said.attachments == (Attachment("photo.jpg", "image/jpeg", 3, "p"),)


def test_a_reply_to_the_bot() -> None:
    said = heard(message("Why?", GROUP, reply_to_message=message("Because.", GROUP, **{"from": BOT})))

    assert said.addressed == Addressed.REPLY
    assert said.reply_to == MessageRef(ChatRef("telegram", "-100123"), "42")
    assert said.quoted == Quoted(Person("77", "Chorus"), "Because.", by_bot=True)


def test_a_reply_to_a_person_is_not_for_the_bot_but_quotes() -> None:
    said = heard(message("Why?", GROUP, reply_to_message=message("Because.", GROUP)))

    assert said.addressed == Addressed.NOT
    assert said.quoted == Quoted(Person("5", "Alice Smith", "de"), "Because.", by_bot=False)


def test_a_quoted_passage_stands_for_the_whole_message() -> None:
    answered = message("First. Second.", **{"from": BOT})
    said = heard(message("Why?", reply_to_message=answered, quote={"text": "Second.", "position": 7}))

    assert said.quoted is not None
    assert said.quoted.text == "Second."


def test_a_topic_is_a_thread_and_its_first_message_no_reply() -> None:
    opened = message(
        None, FORUM, **{"from": BOT}, forum_topic_created={"name": "Music", "icon_color": 7322096}
    )
    said = heard(
        message("Hello", FORUM, message_thread_id=42, is_topic_message=True, reply_to_message=opened)
    )

    assert said.chat == ChatRef("telegram", "-100123", "42")
    assert said.addressed == Addressed.NOT
    assert said.reply_to is None
    assert said.quoted is None


def test_a_topic_opened_by_the_bot_with_words_is_no_reply_either() -> None:
    opened = message("Welcome", FORUM, **{"from": BOT})
    said = heard(
        message("Hello", FORUM, message_thread_id=42, is_topic_message=True, reply_to_message=opened)
    )

    assert said.addressed == Addressed.NOT


def test_a_reply_within_a_topic() -> None:
    answered = message("Because.", FORUM, **{"from": BOT})
    said = heard(
        message("Why?", FORUM, message_thread_id=7, is_topic_message=True, reply_to_message=answered)
    )

    assert said.addressed == Addressed.REPLY
    assert said.reply_to == MessageRef(ChatRef("telegram", "-100123", "7"), "42")


def test_a_thread_of_replies_is_no_topic() -> None:
    assert heard(message("Hello", GROUP, message_thread_id=42)).chat.thread is None


@pytest.mark.parametrize(
    "payload",
    [
        message("Hi", **{"from": BOT | {"id": 78}}),
        message("Hi", GROUP, **{"from": ALICE | {"id": 777000}}),
        message("Hi", GROUP, is_automatic_forward=True, sender_chat={"id": -1009, "type": "channel"}),
        message("Hi", GROUP, sender_chat={"id": -1009, "type": "channel", "title": "News"}),
        message(None, GROUP, new_chat_members=[ALICE]),
        message(None, GROUP, group_chat_created=True),
        message(None, GROUP, document={"file_id": "d", "file_unique_id": "u"}),
    ],
    ids=[
        "bot",
        "Telegram",
        "automatic forward",
        "channel",
        "somebody joined",
        "group created",
        "a file among people",
    ],
)
def test_no_event(payload: dict[str, Any]) -> None:
    assert event(payload) is None


@pytest.mark.parametrize("kind", ["channel_post", "edited_channel_post", "business_message"])
def test_channels_are_not_heard(kind: str) -> None:
    assert event(message("Hi"), kind) is None


def test_a_changed_message() -> None:
    changed = message("@chorus_bot Hello", GROUP, entities=entity("mention", 0, 11), edit_date=1_700_000_060)

    assert event(changed, "edited_message") == MessageEdited(
        id="update:9",
        message=MessageRef(ChatRef("telegram", "-100123"), "42"),
        author=Person("5", "Alice Smith", "de"),
        text="Hello",
        sent_at=datetime(2023, 11, 14, 22, 14, 20, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    "payload",
    [
        message("Hi", **{"from": BOT}, edit_date=1_700_000_060),
        message(None, location={"latitude": 1, "longitude": 2}, edit_date=1_700_000_060),
        message("Hi"),
    ],
    ids=["of a bot", "without a text", "without a date"],
)
def test_no_change_to_speak_of(payload: dict[str, Any]) -> None:
    assert event(payload, "edited_message") is None


def test_stop_on_a_draft() -> None:
    payload = {"chat": DIRECT | {"last_name": "Smith"}, "message_thread_id": 3, "draft_id": 8}
    assert event(payload, "stopped_message_generation") == StopRequested(
        id="update:9", chat=ChatRef("telegram", "5", "3"), author=Person("5", "Alice Smith"), sent_at=NOW
    )


def test_an_anonymous_administrator_is_known_as_the_group() -> None:
    anonymous = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
    said = heard(message("Hi", GROUP, **{"from": anonymous}, sender_chat=GROUP))

    assert said.author == Person("-100123", "Friends", anonymous=True)


def test_whoever_else_writes_as_the_group_is_no_administrator() -> None:
    said = heard(message("Hi", GROUP, sender_chat=GROUP))

    assert said.author == Person("-100123", "Friends", anonymous=False)


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("/stop", "stop", {}),
        ("/stop@chorus_bot", "stop", {}),
        ("/STOP", "stop", {}),
        ("/model tiny it is quick", "model", {"name": "tiny", "why": "it is quick"}),
        ("/start", "start", {}),
        ("/start pair_1", "start", {"payload": "pair_1"}),
        ('/model "very tiny" it is quick', "model", {"name": "very tiny", "why": "it is quick"}),
        ('/model "" quick', "model", {"why": "quick"}),
        ('/model "half quoted', "model", {"name": '"half', "why": "quoted"}),
        ("/unheard of", "unheard", {}),
    ],
)
def test_commands_in_private(text: str, name: str, arguments: dict[str, str]) -> None:
    found = command(text, len(text.split(maxsplit=1)[0]))

    assert isinstance(found, CommandInvoked)
    assert (found.name, found.arguments) == (name, arguments)
    assert found.private
    assert found.message == MessageRef(ChatRef("telegram", "5"), "42")


def test_a_command_as_a_whole() -> None:
    assert command("/stop", 5, GROUP) == CommandInvoked(
        id="update:9",
        chat=ChatRef("telegram", "-100123"),
        author=Person("5", "Alice Smith", "de"),
        name="stop",
        sent_at=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        message=MessageRef(ChatRef("telegram", "-100123"), "42"),
    )


def test_an_unknown_command_in_a_group_counts_only_if_addressed() -> None:
    addressed = command("/weather@chorus_bot", 19, GROUP)
    assert isinstance(addressed, CommandInvoked)
    assert addressed.name == "weather"

    for text in ("/weather", "/weather@other_bot", "/weather for me@home"):
        left = command(text, len(text.split(maxsplit=1)[0]), GROUP)
        assert isinstance(left, MessageCreated)
        assert left.addressed == Addressed.NOT


def test_a_slash_is_not_always_a_command() -> None:
    assert isinstance(event(message("/usr/bin/env", entities=entity("bot_command", 0, 4))), MessageCreated)
    assert isinstance(event(message("Try /stop", entities=entity("bot_command", 4, 5))), MessageCreated)
    assert isinstance(event(message("/stop")), MessageCreated)  # pasted as code, say: no entity


def test_attachments() -> None:
    files = {
        "document": {"file_name": "notes.txt", "mime_type": "text/plain", "file_size": 10},
        "voice": {"duration": 3, "mime_type": "audio/ogg", "file_size": 11},
        "audio": {"duration": 3, "file_size": 12},
        "video": {"duration": 3, "width": 1, "height": 1, "file_name": "a.webm", "mime_type": "video/webm"},
        "video_note": {"duration": 3, "length": 1, "file_size": 14},
    }
    found = {
        kind: heard(message(**{kind: {"file_id": kind, "file_unique_id": "u", **file}})).attachments
        for kind, file in files.items()
    }

    assert found == {
        "document": (Attachment("notes.txt", "text/plain", 10, "document"),),
        "voice": (Attachment("voice.ogg", "audio/ogg", 11, "voice"),),
        "audio": (Attachment("audio.mp3", "audio/mpeg", 12, "audio"),),
        "video": (Attachment("a.webm", "video/webm", 0, "video"),),
        "video_note": (Attachment("video.mp4", "video/mp4", 14, "video_note"),),
    }


def test_the_largest_photo_is_taken() -> None:
    sizes = [
        {"file_id": name, "file_unique_id": name, "width": 1, "height": 1, "file_size": size}
        for name, size in (("small", 1), ("large", 9))
    ]

    assert heard(message(photo=sizes)).attachments == (Attachment("photo.jpg", "image/jpeg", 9, "large"),)


# Whatever comes

WHOLE: list[dict[str, Any]] = [
    {"message": message("/model@chorus_bot x", GROUP, entities=entity("bot_command", 0, 17))},
    {"message": message("/ban Bob", FORUM, entities=entity("text_mention", 5, 3, user=ALICE))},
    {"message": message("Why?", FORUM, message_thread_id=7, reply_to_message=message("So.", FORUM))},
    {"message": message("Hi", GROUP, sender_chat=GROUP, quote={"text": "Second.", "position": 7})},
    {"message": message(None, photo=[{"file_id": "p", "file_unique_id": "u", "width": 1, "height": 1}])},
    {"message": message(None, voice={"file_id": "v", "file_unique_id": "u", "duration": 1}, caption="So?")},
    {"edited_message": message("Hello", edit_date=1_700_000_060)},
    {
        "callback_query": {
            "id": "1",
            "from": ALICE,
            "chat_instance": "1",
            "data": "/model",
            "message": message("Choose", **{"from": BOT}),
        }
    },
    {"stopped_message_generation": {"chat": DIRECT, "draft_id": 8, "message_thread_id": 3}},
    {
        "chat_member": {
            "chat": GROUP,
            "from": ALICE,
            "date": 1_700_000_000,
            "old_chat_member": {"status": "left", "user": ALICE},
            "new_chat_member": {"status": "member", "user": ALICE},
        }
    },
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _paths(value: object) -> list[tuple[Any, ...]]:
    """The ways to every property, however deep."""
    items = list(
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [(name, *path) for name, item in items for path in [(), *_paths(item)]]


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """An update in which a few properties are lost or something else."""
    update = copy.deepcopy(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(_paths(update) or [("message",)]))
        place: Any = update
        for step in path[:-1]:
            place = place[step]
        if isinstance(place, dict) and draw(st.booleans()):
            place.pop(path[-1], None)
        else:
            place[path[-1]] = draw(JSON)
    return update | {"update_id": 9}


def _check_anything(update: dict[str, Any]) -> None:
    payload = json.dumps({"ok": True, "result": [update]}).encode()
    [readable] = PollingRequest.parse_json_payload(payload)["result"]
    received = Update.de_json(readable)
    members, names = Members(lambda: 0.0), UserNames()
    members.heard(received)
    names.heard(received)

    str(received.effective_chat and received.effective_chat.id)  # by which chats are told apart
    found = event_of(received, ME, COMMANDS, names, NOW)
    if isinstance(found, MenuAsked):
        assert page(COMMANDS, found.typed, found.author.language, found.param).text
    elif found is not None:
        json.dumps(dataclasses.asdict(found), default=str, ensure_ascii=False).encode()  # it can be stored
        _check_types(found)
        assert found.id in ("update:9", f"callback:{readable.get('callback_query', {}).get('id')}")


def _check_types(value: Any) -> None:
    """Everything is what it says it is."""
    for one in dataclasses.fields(value):
        part, kind = getattr(value, one.name), str(one.type)
        if dataclasses.is_dataclass(part):
            _check_types(part)
        elif kind.startswith("str"):
            assert isinstance(part, str) or (part is None and kind.endswith("None")), one
        elif kind in ("int", "bool"):
            assert type(part).__name__ == kind, one
        elif kind == "datetime":
            assert part.tzinfo is not None, one
        elif one.name == "attachments":
            for attachment in part:
                _check_types(attachment)


@settings(deadline=None)
@given(damaged())
def test_whatever_comes_is_understood_or_kept(update: dict[str, Any]) -> None:
    _check_anything(update)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(damaged())
def test_ten_thousand_things_are_understood_or_kept(update: dict[str, Any]) -> None:
    _check_anything(update)


@pytest.mark.parametrize("update", WHOLE, ids=lambda update: next(iter(update)))
def test_what_is_whole_is_understood(update: dict[str, Any]) -> None:
    found = event_of(Update.de_json(update | {"update_id": 9}), ME, COMMANDS, {}, NOW)
    assert not isinstance(found, Unreadable)
