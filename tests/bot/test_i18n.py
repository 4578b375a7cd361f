"""What the bot says in other languages: complete, in one piece, and to the right people."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from adapters.discord.commands import payloads
from bot.commands.registry import COMMANDS, specs_for
from bot.i18n import DEFAULT, LANGUAGES, _, _n, catalogue_file, nearest, speaking, translations
from bot.locales.extract import CODE, marked, updated, written
from tests.bot.conftest import Chorus
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram import FakeTelegram

OTHERS = [tag for tag in LANGUAGES if tag != DEFAULT]

ALIKE = {
    "es": {"No", "{count} token", "{count} tokens"},
    "fr": {
        "Messages",
        *("{count} message", "{count} messages"),
        *("{count} minute", "{count} minutes"),
        *("{count} token", "{count} tokens"),
    },
}
"""Translations that happen to read as the English text does."""


def catalogue(tag: str) -> Catalog:
    with catalogue_file(tag).open("rb") as content:
        return read_po(content, locale=tag, ignore_obsolete=False)


def translated(tag: str) -> Iterator[tuple[str, str]]:
    """Each text with its translation, and each text for many with its translation in every form."""
    for message in catalogue(tag):
        if isinstance(message.id, tuple):
            yield from ((message.id[1], string) for string in message.string)
        elif message.id:
            yield message.id, str(message.string)


# The catalogues


@pytest.mark.parametrize("tag", OTHERS)
def test_every_text_has_a_translation_and_every_translation_its_text(tag: str) -> None:
    assert {message.id for message in catalogue(tag) if message.id} == set(marked()), "run `make texts`"
    assert [text for text, string in translated(tag) if not string] == []
    assert [message.id for message in catalogue(tag) if message.id and message.fuzzy] == []
    assert dict(catalogue(tag).obsolete) == {}


@pytest.mark.parametrize("tag", OTHERS)
def test_a_catalogue_is_as_make_texts_writes_it(tag: str) -> None:
    assert catalogue_file(tag).read_bytes() == written(updated(catalogue(tag), marked())), "run `make texts`"


@pytest.mark.parametrize("tag", OTHERS)
def test_translations_keep_placeholders_commands_and_marks(tag: str) -> None:
    for text, string in translated(tag):
        assert _placeholders(string) == _placeholders(text), string
        assert _commands(string) >= _commands(text), string
        assert [string.count(mark) for mark in "*`\n"] == [text.count(mark) for mark in "*`\n"], string


def _placeholders(text: str) -> Counter[str | None]:
    return Counter(name for _text, name, _format, _conversion in Formatter().parse(text) if name is not None)


def _commands(text: str) -> set[str]:
    return set(re.findall(r"(?<![a-z])/[a-z]+", text)) - {"/s"}  # tokens/s


@pytest.mark.parametrize("tag", OTHERS)
def test_nothing_is_left_in_english(tag: str) -> None:
    alike: set[str] = set()
    for message in catalogue(tag):
        if isinstance(message.id, tuple):
            alike |= {*message.id} & {*message.string}
        elif message.id and message.id == message.string:
            alike.add(message.id)
    assert alike == ALIKE.get(tag, set())


def test_new_texts_come_in_old_ones_go_and_translations_stay() -> None:
    known = Catalog()
    known.add("Yes", "Ja")
    known.add("Perhaps", "Vielleicht")
    content = written(updated(known, ["Yes", "30 % of {count}"])).decode()
    assert content == 'msgid "30 % of {count}"\nmsgstr ""\n\nmsgid "Yes"\nmsgstr "Ja"\n\n'


def test_a_text_with_a_number_has_all_the_forms_of_its_language() -> None:
    apples = ("{count} apple", "{count} apples")
    known = Catalog("ru")
    known.add(apples, ("яблоко", "яблока", "яблок"))
    content = written(updated(known, [apples])).decode()
    assert content.endswith('msgstr[0] "яблоко"\nmsgstr[1] "яблока"\nmsgstr[2] "яблок"\n\n')
    assert written(updated(Catalog("zh"), [apples])).decode().count("msgstr[") == 1
    once = Catalog("ru")
    once.add(apples[0], "яблоко")
    assert "яблоко" not in written(updated(once, [apples])).decode(), "one form is not three"


def test_marked_texts_are_found(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text('A = N_("Later")\ndef f(): return _("Now " "and {then}").format(then=1)')
    (tmp_path / "two.py").write_text('def g(): return other("Not this") + _("Later")')
    (tmp_path / "three.py").write_text('def h(n): return _n("{n} day", "{n} days", n)')
    assert marked(tmp_path) == ["Later", "Now and {then}", ("{n} day", "{n} days")]


def test_marks_are_where_they_can_work() -> None:
    """Outside of functions `_` would translate once and for all; what is put together can't be found."""
    wrong = []
    for file in (file for folder in CODE for file in folder.rglob("*.py")):
        for call, within in _calls(ast.parse(file.read_text(encoding="utf-8"))):
            early = call.func.id in ("_", "_n") and not within
            if early or any(isinstance(text, ast.JoinedStr | ast.BinOp) for text in call.args[:2]):
                wrong.append(f"{file}:{call.lineno}")
    assert wrong == []


def _calls(node: ast.AST, within: bool = False) -> Iterator[tuple[Any, bool]]:
    """Calls of `_`, `_n` and `N_`, and whether each stands within a function's body."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "_n", "N_"):
        yield node, within
    for name, value in ast.iter_fields(node):
        inner = within or (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and name == "body")
        inner = inner or isinstance(node, ast.Lambda)
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _calls(child, inner)


# Languages


@pytest.mark.parametrize(
    ("tag", "language"),
    [("de", "de"), ("de-AT", "de"), ("zh_Hant", "zh"), ("FR", "fr"), ("nl", "en"), ("", "en"), (None, "en")],
)
def test_the_nearest_language_is_spoken(tag: str | None, language: str) -> None:
    assert nearest(tag) == language


def test_a_language_is_spoken_within_and_no_longer() -> None:
    assert _("Stopped.") == "Stopped."
    with speaking("de-AT"):
        assert _("Stopped.") == "Gestoppt."
        with speaking("pt"):
            assert _("Stopped.") == "Stopped."
        assert _("Stopped.") == "Gestoppt."
    assert _("Stopped.") == "Stopped."


@pytest.mark.parametrize(
    ("tag", "days"),
    [
        ("en", ["0 days", "1 day", "2 days", "5 days", "21 days"]),
        ("de", ["0 Tagen", "1 Tag", "2 Tagen", "5 Tagen", "21 Tagen"]),
        ("es", ["0 días", "1 día", "2 días", "5 días", "21 días"]),
        ("fr", ["0 jour", "1 jour", "2 jours", "5 jours", "21 jours"]),
        ("ru", ["0 дней", "1 день", "2 дня", "5 дней", "21 день"]),
        ("zh", ["0 天", "1 天", "2 天", "5 天", "21 天"]),
    ],
)
def test_numbers_are_told_as_each_language_has_it(tag: str, days: list[str]) -> None:
    with speaking(tag):
        told = [_n("{count} day", "{count} days", count).format(count=count) for count in (0, 1, 2, 5, 21)]
        assert told == days
        assert _n("{count} gnu", "{count} gnus", 1) == "{count} gnu", "nobody has translated that"
        assert _n("{count} gnu", "{count} gnus", 2) == "{count} gnus"


def test_what_has_no_translation_stays_as_it_is() -> None:
    with speaking("de"):
        assert _("Nobody has ever translated this.") == "Nobody has ever translated this."
    assert translations("Nobody has ever translated this.") == {}


# Commands on the platforms


def test_commands_are_described_in_every_language_within_discords_limit() -> None:
    for spec in specs_for("discord"):
        for described in (spec, *spec.params):
            assert set(described.descriptions) == set(OTHERS), described
            for text in (described.description, *described.descriptions.values()):
                assert len(text) <= 100, text


def test_commands_fit_into_what_discord_takes_for_one() -> None:
    """8000 characters of names, descriptions and values, of which the longest translation counts."""

    def size(node: Mapping[str, Any]) -> int:
        texts = [node["description"], *node["description_localizations"].values()]
        inner = sum(size(option) for option in node.get("options", ()))
        choices = sum(len(one["name"] + one["value"]) for one in node.get("choices", ()))
        return len(node["name"]) + max(map(len, texts)) + inner + choices

    assert max(size(command) for command in payloads(specs_for("discord"))) <= 8000


async def test_discord_is_told_the_commands_in_its_own_names_of_languages(
    chorus: Chorus, discord: FakeDiscord
) -> None:
    async with chorus.serving(discord):
        await discord.until(lambda: discord.commands)
    told = {command["name"]: command for command in discord.commands}
    localised = told["reset"]["description_localizations"]
    assert set(localised) == {"de", "es-ES", "fr", "ru", "zh-CN"}
    assert localised["zh-CN"] == "把这个对话放到一边，重新开始"
    [question] = told["ask"]["options"]
    assert question["description_localizations"]["de"] == "Was du wissen möchtest"


async def test_telegram_has_a_menu_in_every_language(chorus: Chorus, telegram: FakeTelegram) -> None:
    async with chorus.serving(telegram):
        await telegram.until(lambda: len(telegram.menus) == 4 * len(LANGUAGES))
    for tag in ("", *OTHERS):
        menu = {one["command"]: one["description"] for one in telegram.menus["default", tag]}
        expected = next(spec for spec in COMMANDS if spec.name == "help")
        assert menu["help"] == (translations(expected.description)[tag] if tag else "What I can do")


# Dialogues


async def test_whose_telegram_is_austrian_is_answered_in_german(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice, bob = telegram.person("Alice", language="de-AT"), telegram.person("Bob", language="nl")
    with_alice, with_bob = telegram.direct(alice), telegram.direct(bob)
    async with chorus.serving(telegram):
        stopped = await with_alice.answer(to=await with_alice.says(alice, "/stop"))
        assert stopped.text == "Ich beantworte gerade nichts."
        help_ = await with_alice.answer(to=await with_alice.says(alice, "/help"))
        assert help_.text.startswith("Ich bin Chorus. Schreib mir einfach oder benutze:")
        assert "/reset - Diese Unterhaltung beiseitelegen und neu anfangen" in help_.text
        assert "Unterhaltung" not in (await with_bob.answer(to=await with_bob.says(bob, "/help"))).text


async def test_whose_discord_is_chinese_is_answered_in_chinese(chorus: Chorus, discord: FakeDiscord) -> None:
    alice, bob = discord.person("Alice", locale="zh-CN"), discord.person("Bob")
    with_alice, with_bob = discord.direct(alice), discord.direct(bob)
    async with chorus.serving(discord):
        assert (await (await with_alice.command(alice, "stop")).answer()).text == "我现在没有在回答什么。"
        assert "I'm not answering" in (await (await with_bob.command(bob, "stop")).answer()).text


async def test_what_was_given_up_is_told_in_the_persons_language(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice", language="ru")
    dm = telegram.direct(alice)
    chorus.engine.failures.extend([RuntimeError("a bug")] * 3)
    async with chorus.serving(telegram):
        answer = await dm.answer(to=await dm.says(alice, "Привет"))
        assert answer.text.startswith("Прости, я пробовал несколько раз")


async def test_a_chosen_language_counts_for_more_than_the_apps(
    chorus: Chorus, telegram: FakeTelegram
) -> None:
    alice = telegram.person("Alice", language="de")
    dm = telegram.direct(alice)
    async with chorus.serving(telegram):
        chosen = await dm.answer(to=await dm.says(alice, "/language fr"))
        assert chosen.text == "La langue de mes propres textes est désormais : Français."
        stopped = await dm.answer(to=await dm.says(alice, "/stop"))
        assert stopped.text == "Je ne réponds à rien en ce moment."
        back = await dm.answer(to=await dm.says(alice, "/language auto"))
        assert back.text == "Von jetzt an sind meine eigenen Texte in der Sprache deiner App."
