"""Chat messages to a model's prompt, through its own template or, for base models, a plain one.

Knows nothing of engines or sampling.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jinja2 import Template, TemplateError, TemplateSyntaxError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from inference.errors import ModelNotFound
from inference.local.tokenizer import Tokenizer
from inference.types import ChatMessage

PLAIN_ROLES = {"user": "User", "assistant": "Assistant"}


class ChatTemplate:
    """Renders prompts. `stop` are the strings at which an answer of a base model ends, none otherwise.

    Raises ModelNotFound for a template that is no Jinja."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._plain = tokenizer.chat_template is None
        self._template = _compiled(tokenizer.chat_template or "")
        self._system_role = not self._plain and self._accepts_system_role()
        self.stop: tuple[str, ...] = ("\nUser:", "\nAssistant:") if self._plain else ()

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The prompt, ending where the assistant's answer begins; or, if the last message is the assistant's,
        with that: the answer goes on from there."""
        messages = _merge(messages)
        if len(messages) > 1 and messages[-1].role == "assistant":
            between = " " if self._plain else ""
            return f"{self.render(messages[:-1])}{between}{messages[-1].content}"
        if self._plain:
            return _plain(messages)
        if not self._system_role:
            messages = _without_system(messages)
        return self._apply(messages)

    def tokenize(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Token ids of the prompt. A template writes its special tokens itself; a base model's are added."""
        return self._tokenizer.encode(self.render(messages), add_special=self._plain)

    def _apply(self, messages: Sequence[ChatMessage]) -> str:
        chat = [{"role": one.role, "content": one.content} for one in messages]
        return self._template.render(
            messages=chat,
            tools=None,
            documents=None,
            add_generation_prompt=True,
            **self._tokenizer.special_tokens,
        )

    def _accepts_system_role(self) -> bool:
        mark = "chorus-system-probe"
        try:
            return mark in self._apply([ChatMessage("system", mark), ChatMessage("user", "Hello")])
        except TemplateError:
            return False


def _compiled(source: str) -> Template:
    """The template in the surroundings that templates are written for, which are those that transformers
    gives them. They come with models: the sandbox keeps them from more than making text."""

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def as_json(value: Any, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=False, **options)

    def now(form: str) -> str:
        return datetime.now().astimezone().strftime(form)

    surroundings = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    surroundings.filters["tojson"] = as_json
    surroundings.globals.update(raise_exception=refuse, strftime_now=now)
    try:
        return surroundings.from_string(source)
    except TemplateSyntaxError as error:
        raise ModelNotFound(f"the model's chat template can't be read: {error}") from error


def _merge(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Neighbours of one role become one message: many templates demand that roles take turns."""
    merged: list[ChatMessage] = []
    for message in messages:
        if merged and merged[-1].role == message.role:
            merged[-1] = ChatMessage(message.role, f"{merged[-1].content}\n\n{message.content}")
        else:
            merged.append(message)
    return merged


def _without_system(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The system message becomes the beginning of what the user says first."""
    if not messages or messages[0].role != "system":
        return list(messages)
    first, rest = messages[0], list(messages[1:])
    if rest and rest[0].role == "user":
        return [ChatMessage("user", f"{first.content}\n\n{rest[0].content}"), *rest[1:]]
    return [ChatMessage("user", first.content), *rest]


def _plain(messages: Sequence[ChatMessage]) -> str:
    lines = [
        message.content if message.role == "system" else f"{PLAIN_ROLES[message.role]}: {message.content}"
        for message in messages
    ]
    return "\n".join([*lines, "Assistant:"])
