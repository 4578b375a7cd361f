"""Settings, from chorus.toml and the environment. Read once at start; nothing reads the environment later.

The environment wins over the file. A name in the environment is CHORUS_ and the path with two underscores
for each dot: `discord.token` is CHORUS_DISCORD__TOKEN.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import TomlConfigSettingsSource

FILE_NAME = "chorus.toml"
PREFIX = "CHORUS_"
NESTING = "__"


class ConfigError(Exception):
    """The settings can't be used. The message is one line for the person who wrote them."""


def data_folder() -> Path:
    """Where Chorus keeps its data unless told otherwise: the platform's user data folder."""
    return platformdirs.user_data_path("chorus", appauthor=False)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DiscordSettings(_Section):
    token: SecretStr | None = Field(None, description="The bot's token from the Developer Portal.")
    api_url: str | None = Field(None, description="Another HTTP API to talk to, such as a local server.")
    gateway_url: str | None = Field(None, description="Another gateway to listen to.")


class TelegramSettings(_Section):
    token: SecretStr | None = Field(None, description="The bot's token from @BotFather.")
    api_url: str | None = Field(None, description="Another Bot API server, up to and with `/bot`.")
    file_url: str | None = Field(None, description="Its file server, up to and with `/file/bot`.")


class DatabaseSettings(_Section):
    url: str = Field(
        default_factory=lambda: f"sqlite+aiosqlite:///{data_folder() / 'chorus.sqlite3'}",
        description="Where Chorus remembers; by default a file in the user's data folder.",
    )
    keep_days: int | None = Field(
        None, ge=1, description="Messages older than so many days are deleted; by default none are."
    )


class LimitsSettings(_Section):
    waiting_per_person: int = Field(
        20, ge=1, description="Messages of one person that may wait for their answer."
    )
    waiting: int = Field(1000, ge=1, description="Messages of all people that may wait.")
    concurrent_turns: int = Field(64, ge=1, description="Conversations that are answered at the same time.")


class ModelSettings(_Section):
    name: str = Field("embedded", description="`embedded`, a folder, or a Hugging Face hub id.")
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        "auto", description="The weights' precision."
    )
    device: str = Field("auto", description="`auto`, `cpu` or `cuda`.")
    cache_dtype: Literal["bfloat16", "int8"] = Field(
        "bfloat16", description="The KV cache's precision on the native step; `int8` holds twice as much."
    )
    threads: int | None = Field(
        None, ge=1, description="Processor threads for the native step; by default every core."
    )
    cache_mb: float = Field(512, gt=0, description="Bound of the KV cache in MiB.")
    spill_mb: float = Field(
        1024, ge=0, description="Disk space in MiB for conversations that left the cache; 0 for none."
    )
    context_length: int | None = Field(
        None, ge=16, description="Tokens of prompt and answer, if less than the model can."
    )
    max_tokens: int = Field(512, ge=1, description="Tokens that an answer may have.")
    temperature: float | None = Field(
        None, ge=0, description="0 is the likeliest answer, more is freer; by default the model's own."
    )
    seed: int | None = Field(None, description="The same seed gives the same answers.")


class PersonaSettings(_Section):
    name: str = Field("Chorus", description="The bot's name, told to the model.")
    prompt: str | None = Field(None, description="A system prompt of your own; {name} is the bot's name.")


class AccessSettings(_Section):
    direct_messages: Literal["open", "pairing", "closed"] = Field(
        "open",
        description="Who may talk to the bot in private: anyone, those whom its owner lets in by the code "
        "that they are given, or those alone whom its owner has let in.",
    )


class QuotaSettings(_Section):
    """What a person may use where nothing else was set; 0 is no limit."""

    messages_per_minute: int = Field(20, ge=0, description="Messages of a person that are answered; 0: any.")
    messages_per_day: int = Field(1000, ge=0, description="Likewise, in a day (UTC).")
    messages_per_month: int = Field(0, ge=0, description="Likewise, in a month.")
    tokens_per_minute: int = Field(0, ge=0, description="Tokens of prompts and answers of a person; 0: any.")
    tokens_per_day: int = Field(1_000_000, ge=0, description="Likewise, in a day (UTC).")
    tokens_per_month: int = Field(0, ge=0, description="Likewise, in a month.")


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTING,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    discord: DiscordSettings = DiscordSettings()
    telegram: TelegramSettings = TelegramSettings()
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    limits: LimitsSettings = LimitsSettings()
    model: ModelSettings = ModelSettings()
    persona: PersonaSettings = PersonaSettings()
    access: AccessSettings = AccessSettings()
    quota: QuotaSettings = QuotaSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, settings_file())


def settings_file() -> Path | None:
    """The chorus.toml that counts: the current folder's, else the one in the user's config folder."""
    for folder in (Path.cwd(), platformdirs.user_config_path("chorus", appauthor=False)):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    return None


def load_settings(overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings, `overrides` (nested as in the file) before all else. Raises ConfigError."""
    _check_environment()
    try:
        return Settings(**(overrides or {}))
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None  # the cause may hold a secret
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{settings_file()} is not valid TOML: {error}") from error


def known_keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Every setting's dotted name."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from known_keys(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def environment_name(key: str) -> str:
    return PREFIX + key.upper().replace(".", NESTING)


def _check_environment() -> None:
    """pydantic-settings passes over variables that it doesn't know; a misspelt token must not go unseen."""
    known = {environment_name(key) for key in known_keys()}
    known |= {PREFIX + name.upper() for name in Settings.model_fields}  # a whole section as JSON
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            raise ConfigError(f"unknown setting {name} in the environment{_nearest(name.upper(), known)}")


def _nearest(wrong: str, known: set[str]) -> str:
    nearest = difflib.get_close_matches(wrong, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {key}{_nearest(key, set(known_keys()))}"
    name = environment_name(key)
    reason = first["msg"][:1].lower() + first["msg"][1:]
    return f"the setting {key} ({name}) can't be used: {reason}"
