"""Chat messages to a model's prompt, through its own template or, for base models, a plain one.

Knows nothing of engines or sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inference.types import ChatMessage

PLAIN_ROLES = {"user": "User", "assistant": "Assistant"}


class ChatTemplate:
    """Renders prompts. `stop` are the strings at which an answer of a base model ends, none otherwise."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._plain = tokenizer.chat_template is None
        self._system_role = not self._plain and self._accepts_system_role()
        self.stop: tuple[str, ...] = ("\nUser:", "\nAssistant:") if self._plain else ()

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The prompt, ending where the assistant's answer begins."""
        messages = _merge(messages)
        if self._plain:
            return _plain(messages)
        if not self._system_role:
            messages = _without_system(messages)
        return self._apply(messages)

    def tokenize(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Token ids of the prompt. A template writes its special tokens itself; a base model's are added."""
        ids = self._tokenizer(self.render(messages), add_special_tokens=self._plain)["input_ids"]
        return list(ids)

    def _apply(self, messages: Sequence[ChatMessage]) -> str:
        chat = [{"role": one.role, "content": one.content} for one in messages]
        text: str = self._tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return text

    def _accepts_system_role(self) -> bool:
        from jinja2 import TemplateError

        mark = "chorus-system-probe"
        try:
            return mark in self._apply([ChatMessage("system", mark), ChatMessage("user", "Hello")])
        except TemplateError:
            return False


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
