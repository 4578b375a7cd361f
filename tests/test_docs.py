"""The documentation says what the code says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import discord
import pytest

from docs import generate, stats


def test_the_readme_is_fresh() -> None:
    assert generate.staleness(generate.README) == ""


def test_a_stale_readme_is_noticed_and_the_difference_shown(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(generate.README.read_text().replace("`/ask <question>`", "`/ask <anything>`"))

    difference = generate.staleness(readme)

    assert "-| `/ask <anything>`" in difference
    assert "+| `/ask <question>`" in difference


def test_what_stands_outside_the_marks_is_left_alone() -> None:
    text = generate.README.read_text()
    longer = f"{text}\nA sentence of somebody's own.\n"
    assert generate.fill(longer) == longer


def test_a_part_without_its_mark_is_an_error() -> None:
    text = generate.README.read_text().replace("<!-- generated: commands -->", "")
    with pytest.raises(ValueError, match="commands"):
        generate.fill(text)


def test_the_check_passes_in_any_terminal() -> None:
    terminal = {"COLUMNS": "30", "TERM": "xterm-256color", "FORCE_COLOR": "1"}
    checked = subprocess.run(
        [sys.executable, generate.__file__, "--check"],
        env={**os.environ, **terminal},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_the_invitation_asks_for_the_permissions_that_the_readme_names() -> None:
    text = generate.README.read_text()
    named = re.search(r"permissions (\*\*.+?)\.\n", text, re.DOTALL)
    asked = re.search(r"permissions=(\d+)", text)
    assert named is not None
    assert asked is not None
    attributes = {
        "View Channels": "view_channel",
        "Send Messages": "send_messages",
        "Send Messages in Threads": "send_messages_in_threads",
        "Attach Files": "attach_files",
        "Read Message History": "read_message_history",
    }
    permissions = {attributes[name]: True for name in re.findall(r"\*\*(.+?)\*\*", named[1])}
    assert int(asked[1]) == discord.Permissions(**permissions).value


def test_the_picture_shows_the_questions_and_fetches_nothing() -> None:
    picture = generate.PICTURE.read_text()
    shown = picture.replace("&#160;", " ")
    assert all(question in shown for question in generate.QUESTIONS)
    assert "url(http" not in picture
    assert "@font-face" not in picture


def test_the_statistics_are_drawn_and_shown() -> None:
    assert stats.PICTURE.read_bytes().startswith(b"\x89PNG")
    assert f"docs/{stats.PICTURE.name}" in generate.README.read_text()
    assert stats.draw().startswith(b"\x89PNG"), "it can be drawn anew"
