"""What a model thinks aloud, told apart from what it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.markup import discord_parts, discord_text, telegram_text
from bot.thinking import Thoughtful, apart, shown, spoiler


@pytest.mark.parametrize(
    ("text", "thinking", "said"),
    [
        ("Hello", "", "Hello"),
        ("<think>Hm.</think>\n\nHello", "Hm.", "Hello"),
        ("\n<think>\nOne.\nTwo.\n</think>Hello", "One.\nTwo.", "Hello"),
        ("<thinking>Hm.</thinking>Hello", "Hm.", "Hello"),
        ("The prompt opened it.\n</think>\nHello", "The prompt opened it.", "Hello"),
        ("Use `<think>` for that.", "", "Use `<think>` for that."),
        ("```\n<think>\n```\nThat is a mark.", "", "```\n<think>\n```\nThat is a mark."),
        ("3 < 4 and <th> is a table's head", "", "3 < 4 and <th> is a table's head"),
    ],
)
def test_thinking_is_told_apart(text: str, thinking: str, said: str) -> None:
    assert apart(text) == Thoughtful(thinking, said)


def test_thinking_that_never_ended_is_not_said() -> None:
    assert apart("<think>I wonder") == Thoughtful("I wonder", "", open=True)


def test_no_half_of_a_mark_is_ever_seen_while_it_streams() -> None:
    text = "<think>Is 1 < 2? Yes.</think>\nYes: 1 < 2."
    for end in range(len(text)):
        seen = apart(text[:end], ended=False)
        assert "Yes: 1 < 2.".startswith(seen.said), f"{seen.said!r} after {text[:end]!r}"
        assert "Is 1 < 2? Yes.".startswith(seen.thinking), f"{seen.thinking!r} after {text[:end]!r}"


@given(
    st.text("ab <>/\n", max_size=30),
    st.text("cd <>/\n", max_size=30),
)
def test_a_growing_text_never_takes_back_what_was_said(thinking: str, said: str) -> None:
    text = f"<think>{thinking}</think>{said}"
    whole = apart(text)
    for end in range(len(text)):
        assert whole.said.startswith(apart(text[:end], ended=False).said)


def test_an_end_is_shown_as_it_stands() -> None:
    assert apart("Is a <").said == "Is a <"
    assert apart("Is a <", ended=False).said == "Is a"


def test_shown_thinking_is_a_spoiler_on_both_platforms() -> None:
    text = "<think>A *star* is || it\n\nnot?</think>Hello"
    assert shown(text, ended=True, show_thinking=False) == "Hello"
    markdown = shown(text, ended=True, show_thinking=True)
    written, entities = telegram_text(markdown)
    spoilers = [written[one.offset : one.offset + one.length] for one in entities if one.type == "spoiler"]
    assert spoilers == ["A *star* is || it", "not?"]
    assert discord_text(markdown) == "||A \\*star\\* is \\|\\| it||\n||not?||\n\nHello"


def test_long_thinking_is_never_cut_inside_a_spoiler() -> None:
    markdown = spoiler("word " * 2000)
    assert all(part.text.count("||") % 2 == 0 for part in discord_parts(markdown))
