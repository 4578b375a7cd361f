"""Commands that are typed as text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.commands import (
    CommandSpec,
    Param,
    below,
    explained,
    overview,
    parse_arguments,
    parse_command,
    resolve,
    shortened,
    usage,
)

SET = CommandSpec(
    "admin settings set",
    "Change a setting",
    (Param("key", "Which one"), Param("value", "Its new value", descriptions={"de": "Neuer Wert"})),
    descriptions={"de": "Ändert eine Einstellung"},
)
SHOW = CommandSpec("admin settings show", "Show the settings")
STATUS = CommandSpec("admin status", "How the bot does")
LANGUAGE = CommandSpec(
    "language", "Choose a language", (Param("tag", "Which", required=False, choices=("English", "Deutsch")),)
)
ALL = [SET, SHOW, STATUS, LANGUAGE]


@pytest.mark.parametrize(
    ("text", "path", "rest"),
    [
        ("/admin settings set a b", "admin settings set", "a b"),
        ("/ADMIN Settings\tSET\na b", "admin settings set", "a b"),
        ("/admin settings", "admin settings", ""),
        ("/admin settings nonsense", "admin settings", "nonsense"),
        ("/admin", "admin", ""),
        ("/admin status now", "admin status", "now"),
        ("/settings set", "settings", "set"),  # a name begins at its first word
        ("/weather in Rome", "weather", "in Rome"),
    ],
)
def test_the_longest_name_is_found(text: str, path: str, rest: str) -> None:
    parsed = parse_command(text)
    assert parsed is not None
    typed = resolve(ALL, *parsed)

    assert (typed.path, typed.rest) == (path, rest)
    assert (typed.spec.name if typed.spec else None) == (
        path if path in {spec.name for spec in ALL} else None
    )


@pytest.mark.parametrize(
    ("rest", "values"),
    [
        ("persona pirate", {"key": "persona", "value": "pirate"}),
        ('"two words" and the rest', {"key": "two words", "value": "and the rest"}),
        ("“two words” and the rest", {"key": "two words", "value": "and the rest"}),
        ("«two words»", {"key": "two words"}),
        ('half"quoted" rest', {"key": 'half"quoted"', "value": "rest"}),
        ('"never closed', {"key": '"never', "value": "closed"}),
        ('key "as it is"', {"key": "key", "value": '"as it is"'}),
        ("key\n  several\n  lines", {"key": "key", "value": "several\n  lines"}),
        ("", {}),
        ("  ", {}),
    ],
)
def test_values_are_words_or_quoted_and_the_last_is_the_rest(rest: str, values: dict[str, str]) -> None:
    assert parse_arguments(SET, rest) == values


def test_a_choice_may_be_typed_in_any_case() -> None:
    assert parse_arguments(LANGUAGE, "deutsch") == {"tag": "Deutsch"}
    assert parse_arguments(LANGUAGE, "Klingon") == {"tag": "Klingon"}  # refused by whoever knows why


def test_what_lies_below_a_group() -> None:
    assert below(ALL, "") == ["admin", "language"]
    assert below(ALL, "admin") == ["admin settings", "admin status"]
    assert below(ALL, "admin settings") == ["admin settings set", "admin settings show"]
    assert below(ALL, "language") == below(ALL, "adm") == []


def test_how_a_command_is_explained() -> None:
    assert usage(SET) == "/admin settings set KEY VALUE"
    assert usage(LANGUAGE) == "/language [TAG]"
    assert explained(SET, "de-AT").splitlines() == [
        "`/admin settings set KEY VALUE`",
        "",
        "Ändert eine Einstellung",
        "- `KEY`: Which one",
        "- `VALUE`: Neuer Wert",
    ]
    assert explained(LANGUAGE).endswith("- `TAG`: Which (English, Deutsch)")
    assert overview(ALL, "admin").splitlines() == [
        "**/admin**",
        "",
        "- `/admin settings`: set, show",
        "- `/admin status`: How the bot does",
    ]


def _check_parsing(text: str) -> None:
    parsed = parse_command(f"/{text}", bot_name="chorus_bot")
    if parsed is None:
        return
    typed = resolve(ALL, *parsed)
    assert typed.path
    if typed.spec is not None:
        values: Any = parse_arguments(typed.spec, typed.rest)
        assert set(values) <= {param.name for param in typed.spec.params}
        assert all(value and value == value.strip() for value in values.values())


@given(st.text(max_size=120), st.integers(2, 60))
def test_what_is_shortened_fits_and_ends_with_a_whole_word(text: str, longest: int) -> None:
    short = shortened(text, longest)
    assert len(short) <= longest
    if short != text and short.endswith("…") and " " in text[:longest]:
        assert text.startswith(short[:-1])


TYPED = st.builds(
    " ".join,
    st.lists(
        st.sampled_from(["admin", "settings", "set", "language", '"', "“", "”", "\n", "a", "@chorus_bot"])
        | st.text(max_size=8),
        max_size=8,
    ),
)


@given(TYPED)
def test_anything_can_be_typed(text: str) -> None:
    _check_parsing(text)


@pytest.mark.slow
@settings(max_examples=10_000)
@given(TYPED)
def test_ten_thousand_things_can_be_typed(text: str) -> None:
    _check_parsing(text)
