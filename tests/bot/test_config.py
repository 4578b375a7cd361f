"""Settings: from the file and the environment, and what happens when they are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from bot.config import ConfigError, Settings, environment_name, known_keys, load_settings

TOKEN = "123456:a-token-nobody-may-see"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_anything_set_there_is_a_model_and_a_database_and_no_platform() -> None:
    settings = load_settings()
    assert settings.model.name == "embedded"
    assert settings.database.url.endswith("/chorus/chorus.sqlite3")
    assert settings.discord.token is None
    assert settings.telegram.token is None


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chorus.toml").write_text(
        '[model]\nname = "from-file"\nseed = 1\n[persona]\nname = "Polly"\n'
    )
    monkeypatch.setenv("CHORUS_MODEL__NAME", "from-environment")
    settings = load_settings()
    assert settings.model.name == "from-environment"
    assert settings.model.seed == 1
    assert settings.persona.name == "Polly"


def test_what_the_command_line_says_wins_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHORUS_MODEL__NAME", "from-environment")
    monkeypatch.setenv("CHORUS_MODEL__SEED", "7")
    settings = load_settings({"model": {"name": "from-command-line"}})
    assert (settings.model.name, settings.model.seed) == ("from-command-line", 7)


@pytest.mark.parametrize("key", list(known_keys()))
def test_every_setting_can_be_set_in_the_environment(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    section, name = key.split(".")
    kind = Settings.model_fields[section].annotation
    assert isinstance(kind, type)
    assert issubclass(kind, BaseModel)
    given = _some_value(kind.model_fields[name].annotation)
    monkeypatch.setenv(environment_name(key), given)
    value = getattr(getattr(load_settings(), section), name)
    shown = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    assert str(shown).removesuffix(".0") == given


def _some_value(kind: object) -> str:
    """A value of a setting's type, other than its default."""
    options = get_args(kind)
    numbers = {int, float} & {kind, *options}
    if numbers:
        return "64"
    return str(options[-1]) if get_origin(kind) is Literal else "something"


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("CHORUS_DISCRD__TOKEN", "CHORUS_DISCORD__TOKEN"),
        ("CHORUS_TELEGRAM_TOKEN", "CHORUS_TELEGRAM__TOKEN"),
        ("CHORUS_MODEL__NAMES", "CHORUS_MODEL__NAME"),
    ],
)
def test_a_misspelt_variable_names_its_nearest_neighbour(
    variable: str, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, TOKEN)
    with pytest.raises(ConfigError) as error:
        load_settings()
    assert f"unknown setting {variable} in the environment; did you mean {nearest}?" == str(error.value)


def test_a_misspelt_key_in_the_file_names_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "chorus.toml").write_text('[telegram]\ntokn = "x"\n')
    with pytest.raises(ConfigError, match=r"unknown setting telegram\.tokn; did you mean telegram\.token\?"):
        load_settings()


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "chorus.toml").write_text("[telegram\n")
    with pytest.raises(ConfigError, match=r"chorus\.toml is not valid TOML"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "value"), [("CHORUS_MODEL__DTYPE", "int3"), ("CHORUS_MODEL__MAX_TOKENS", "0")]
)
def test_a_bad_value_is_one_line_that_names_the_setting(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as error:
        load_settings()
    assert variable in str(error.value)
    assert "\n" not in str(error.value)


def test_a_token_is_in_no_repr_and_in_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHORUS_TELEGRAM__TOKEN", TOKEN)
    assert TOKEN not in repr(load_settings())
    (tmp_path / "chorus.toml").write_text(f'[discord]\ntoken = ["{TOKEN}"]\n')
    with pytest.raises(ConfigError) as error:
        load_settings()
    assert TOKEN not in str(error.value)
    assert TOKEN not in repr(error.value.__cause__)
