"""Settings: the first that is set wins, values are what a setting takes, and a change counts at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from sqlalchemy import event

from adapters.types import ChatRef
from bot.access import Place
from bot.config import load_settings
from bot.scopes import SETTINGS, Scope, ScopeKind, Scopes, Value, When, WrongValue, parse, scopes_of, shown
from bot.store.session import Database
from tests.bot.conftest import Chorus

TOPIC = Place(ChatRef("telegram", "-50", "12"), server="-50")
THREAD = Place(ChatRef("discord", "51"), server="60", parent="50")
GENERAL = Place(ChatRef("discord", "50"), server="60")


@pytest.fixture
async def database(chorus: Chorus) -> AsyncIterator[Database]:
    async with chorus.database() as database:
        yield database


def known(place: Place, kind: ScopeKind) -> Scope:
    return next(scope for scope in scopes_of(place, "7") if scope.kind is kind)


@pytest.mark.parametrize("place", [TOPIC, THREAD], ids=["topic", "thread"])
async def test_the_nearest_that_is_set_wins(place: Place, database: Database) -> None:
    scopes = Scopes(database, load_settings({"model": {"temperature": 0.9}}))

    async def temperature() -> float | None:
        scopes.forget()
        return (await scopes.resolve(place, "7")).temperature

    assert await temperature() == 0.9
    for number, kind in enumerate(reversed(ScopeKind), start=1):
        async with database.write() as session:
            await scopes.set(session, known(place, kind), "temperature", number / 10)
        assert await temperature() == number / 10, kind
    for number, kind in zip((4, 3, 2, 1), ScopeKind, strict=False):
        async with database.write() as session:
            assert await scopes.reset(session, known(place, kind), "temperature")
        assert await temperature() == number / 10, kind
    assert (await scopes.resolve(place, "7")).held["temperature"].source == known(place, ScopeKind.PLATFORM)


async def test_what_is_set_in_one_place_does_not_hold_in_another(database: Database) -> None:
    scopes = Scopes(database, load_settings())
    async with database.write() as session:
        await scopes.set(session, known(THREAD, ScopeKind.THREAD), "when", "always")
        await scopes.set(session, known(THREAD, ScopeKind.CHANNEL), "persona", "calm")
    assert (await scopes.resolve(THREAD, None)).when is When.ALWAYS
    assert (await scopes.resolve(GENERAL, None)).when is When.REPLY
    assert (await scopes.resolve(THREAD, None)).persona == "calm"
    assert (await scopes.resolve(GENERAL, None)).persona == "calm"
    assert (await scopes.resolve(TOPIC, None)).persona is None


async def test_a_place_is_read_once_until_something_changes(database: Database) -> None:
    scopes = Scopes(database, load_settings())
    statements: list[str] = []

    async with database.read() as session:
        engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", lambda *about: statements.append(about[2]))
    for _ in range(100):
        await scopes.resolve(GENERAL, None)
    assert len([one for one in statements if "FROM settings" in one]) == 1
    scopes.forget()
    await scopes.resolve(GENERAL, None)
    assert len([one for one in statements if "FROM settings" in one]) == 2


async def test_what_changes_while_it_is_read_is_not_remembered_as_it_was(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scopes = Scopes(database, load_settings())
    reading = scopes.read

    async def overtaken(*args: object) -> object:
        resolved = await reading(*args)  # type: ignore[arg-type]
        monkeypatch.undo()
        async with database.write() as session:
            await scopes.set(session, known(GENERAL, ScopeKind.CHANNEL), "when", "never")
        scopes.forget()
        return resolved

    monkeypatch.setattr(scopes, "read", overtaken)
    assert (await scopes.resolve(GENERAL, None)).when is When.REPLY
    assert (await scopes.resolve(GENERAL, None)).when is When.NEVER


async def test_a_value_that_is_no_longer_taken_is_passed_over(database: Database) -> None:
    scopes = Scopes(database, load_settings())
    async with database.write() as session:
        await scopes.set(session, known(GENERAL, ScopeKind.CHANNEL), "temperature", "warm")
        await scopes.set(session, known(GENERAL, ScopeKind.SERVER), "temperature", 0.25)
    assert (await scopes.resolve(GENERAL, None)).temperature == 0.25


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("temperature", "0,5", 0.5),
        ("max_tokens", " 64 ", 64),
        ("show_thinking", "Yes", True),
        ("stream", "off", False),
        ("when", "ALWAYS", "always"),
        ("models_allowed", "small, large small", ("small", "large")),
        ("system", "You are a tree.\nA tall one.", "You are a tree.\nA tall one."),
    ],
)
def test_values_as_people_write_them(key: str, text: str, value: Value) -> None:
    assert parse(key, text) == value


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *(("temperature", text) for text in ("", "nan", "inf", "-0.1", "2.1", "1e400", "0x1")),
        *(("max_tokens", text) for text in ("0", "-1", "1.5", "९", "9" * 5000)),
        *(("system", text) for text in ("", "x" * 4001, "bell\x07", "\x00")),
        ("stream", "maybe"),
        ("when", "sometimes"),
        ("models_allowed", ","),
    ],
)
def test_values_that_can_not_be(key: str, text: str) -> None:
    with pytest.raises(WrongValue):
        parse(key, text)


ANY = (some.sampled_from(list(SETTINGS)), some.text(max_size=50) | some.from_regex(r"[-+0-9.,e ]{0,12}"))


@given(*ANY)
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_value_or_is_refused_and_a_value_reads_back_as_itself(key: str, text: str) -> None:
    _reads_back(key, text)


@pytest.mark.slow
@given(*ANY)
@settings(max_examples=10_000, deadline=None)
def test_ten_thousand_texts_are_values_or_are_refused(key: str, text: str) -> None:
    _reads_back(key, text)


def _reads_back(key: str, text: str) -> None:
    try:
        value = parse(key, text)
    except WrongValue:
        return
    again = parse(key, shown(value))
    assert again == value or (isinstance(value, float) and again == pytest.approx(value, rel=1e-5))
