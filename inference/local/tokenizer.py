"""A model's tokenizer: from its tokenizer.json, or else through transformers. Knows nothing of prompts'
shape.

tokenizer.json says all there is to say, and the library that reads it loads in milliseconds; transformers
takes seconds to import, and is asked only where a model has no such file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from inference.errors import ModelNotFound

SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class Tokenizer(Protocol):
    """Text to token ids and back."""

    @property
    def chat_template(self) -> str | None:
        """The model's own, in Jinja's language; None for base models."""
        ...

    @property
    def special_tokens(self) -> Mapping[str, str]:
        """What templates may name: bos_token and the like."""
        ...

    @property
    def eos_token_id(self) -> int | None: ...

    @property
    def max_length(self) -> int | None:
        """Tokens that the model was made for, if the tokenizer says so."""
        ...

    def encode(self, text: str, *, add_special: bool) -> list[int]:
        """Token ids. `add_special`: with those that the tokenizer puts before and behind a text by itself."""
        ...

    def decode(self, tokens: list[int]) -> str:
        """Text, special tokens left out."""
        ...


def open_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a model's folder. Raises ModelNotFound."""
    try:
        if (folder / "tokenizer.json").is_file():
            return _Described(folder)
        return _FromTransformers(folder)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ModelNotFound(f"the tokenizer in {folder} could not be loaded: {reason}") from error


class _Described:
    """tokenizer.json, with tokenizer_config.json beside it."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer as Described

        try:
            self._tokenizer = Described.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises nothing more precise
            raise ValueError(f"tokenizer.json: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        file = folder / "tokenizer_config.json"
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        self.chat_template = _template(folder, config.get("chat_template"))
        self.special_tokens: Mapping[str, str] = {
            name: _content(config[name]) for name in SPECIAL if config.get(name) is not None
        }
        eos = self.special_tokens.get("eos_token")
        self.eos_token_id: int | None = None if eos is None else self._tokenizer.token_to_id(eos)
        self.max_length = _sensible(config.get("model_max_length"))

    def encode(self, text: str, *, add_special: bool) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=add_special).ids)

    def decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text


class _FromTransformers:
    """Whatever transformers makes of the folder's files."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self.chat_template = _template(folder, self._tokenizer.chat_template)
        self.special_tokens: Mapping[str, str] = {
            name: str(token) for name, token in self._tokenizer.special_tokens_map.items() if name in SPECIAL
        }
        self.eos_token_id: int | None = self._tokenizer.eos_token_id
        self.max_length = _sensible(self._tokenizer.model_max_length)

    def encode(self, text: str, *, add_special: bool) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=add_special)["input_ids"])

    def decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


def _template(folder: Path, configured: Any) -> str | None:
    """The chat template: a file of its own before one in the configuration, of several the default."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    if isinstance(configured, list):
        configured = {one["name"]: one["template"] for one in configured}
    if isinstance(configured, dict):
        configured = configured.get("default")
    return configured if isinstance(configured, str) else None


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)


def _sensible(length: Any) -> int | None:
    """Tokenizers say 10**30 where they mean that they don't know."""
    return int(length) if length is not None and length < 10**9 else None
