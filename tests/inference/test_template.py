"""Chat messages to prompts."""

from __future__ import annotations

from inference import ChatMessage
from inference.local.template import ChatTemplate
from tests import models

CHAT = [ChatMessage("system", "Be kind."), ChatMessage("user", "Hello")]
REFUSES_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
IGNORES_SYSTEM = models.TEMPLATE.replace(
    "{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}"
)


def render(template: str | None, chat: list[ChatMessage]) -> str:
    return ChatTemplate(models.tokenizer(template=template)).render(chat)


def test_a_models_own_template_is_used() -> None:
    assert render(models.TEMPLATE, CHAT) == "<|system|>Be kind.<|end|><|user|>Hello<|end|><|assistant|>"


def test_a_base_model_gets_a_plain_one_and_ends_where_the_user_would_speak() -> None:
    template = ChatTemplate(models.tokenizer(template=None))
    chat = [*CHAT, ChatMessage("assistant", "Hi!"), ChatMessage("user", "Bye")]
    assert template.render(chat) == "Be kind.\nUser: Hello\nAssistant: Hi!\nUser: Bye\nAssistant:"
    assert "\nUser:" in template.stop


def test_without_a_system_role_its_text_goes_into_the_first_message() -> None:
    expected = "<|user|>Be kind.\n\nHello<|end|><|assistant|>"
    assert render(REFUSES_SYSTEM + models.TEMPLATE, CHAT) == expected
    assert render(IGNORES_SYSTEM, CHAT) == expected


def test_neighbours_of_one_role_become_one_message() -> None:
    chat = [ChatMessage("user", "One."), ChatMessage("user", "Two.")]
    assert render(models.TEMPLATE, chat) == "<|user|>One.\n\nTwo.<|end|><|assistant|>"


def test_special_tokens_are_read_as_such_in_the_template() -> None:
    ids = ChatTemplate(models.tokenizer()).tokenize([ChatMessage("user", "Hello")])
    assert (ids[0], ids[-2], ids[-1]) == (4, 2, 5)
