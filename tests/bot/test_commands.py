"""The commands as a whole: their names, their texts, and what each platform is told of them."""

from __future__ import annotations

import re

import pytest

from adapters.commands import CommandSpec, Permission
from adapters.types import Button, Person
from bot.commands.base import button
from bot.commands.registry import COMMANDS, HANDLED, find_command, find_press, fingerprint, specs_for


def test_names_are_what_every_platform_takes_and_none_is_there_twice() -> None:
    names = [spec.name for spec in COMMANDS]
    assert len(set(names)) == len(names)
    for name in names:
        words = name.split(" ")
        assert 1 <= len(words) <= 3
        assert all(re.fullmatch(r"[a-z0-9_]{1,32}", word) for word in words)
    groups = {" ".join(name.split(" ")[:depth]) for name in names for depth in (1, 2) if " " in name}
    assert not {name for name in names if any(other.startswith(f"{name} ") for other in groups)}


@pytest.mark.parametrize("spec", COMMANDS, ids=lambda spec: spec.name)
def test_texts_fit_into_menus(spec: CommandSpec) -> None:
    assert 1 <= len(spec.description) <= 100
    for param in spec.params:
        assert re.fullmatch(r"[a-z0-9_]{1,32}", param.name)
        assert 1 <= len(param.description) <= (45 if spec.form else 100)
        assert len(param.choices) <= 25
    required = [param.required for param in spec.params]
    assert required == sorted(required, reverse=True), "what may be left out comes last where it is typed"
    assert not spec.form or len(spec.params) <= 5


def test_administration_is_chorus_on_discord_and_admin_elsewhere_and_both_are_understood() -> None:
    on_discord = {spec.name for spec in specs_for("discord")}
    on_telegram = {spec.name for spec in specs_for("telegram")}
    assert on_discord - on_telegram == {
        name.replace("admin ", "chorus ", 1) for name in on_telegram - on_discord
    }
    assert "chorus settings set" in on_discord
    for name in on_discord & {command.spec.name for command in HANDLED}:
        assert find_command(name) is not None
    assert find_command("chorus ban") is find_command("admin ban")
    assert find_command("start") is find_command("help")
    assert find_command("chorus") is find_command("admin") is find_command("dance") is None


def test_administration_is_in_nobody_elses_menu() -> None:
    for spec in COMMANDS:
        assert (spec.permission is Permission.EVERYONE) is not spec.name.startswith(("admin ", "pair"))


def test_the_fingerprint_changes_with_what_is_told_and_with_nothing_else() -> None:
    specs = specs_for("telegram")
    assert fingerprint(specs) == fingerprint(specs_for("telegram"))
    assert fingerprint(specs) != fingerprint(specs_for("discord"))
    assert fingerprint(specs) != fingerprint(specs[1:])


def test_a_buttons_data_lead_back_to_it() -> None:
    made = button("Send it", "broadcast", "send", "7", person=Person("12345678901234567890", "Alice"))
    assert made == Button("Send it", "broadcast:12345678901234567890:send:7")
    found = find_press(made.data)
    assert found is not None
    assert found[1] == ("12345678901234567890", "send", "7")
    assert find_press("nonsense:7") is None
    with pytest.raises(ValueError, match="too long"):
        button("Send it", "broadcast", "x" * 64)
