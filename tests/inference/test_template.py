"""Chat messages to prompts."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from transformers import AutoTokenizer

from inference import ChatMessage, ModelNotFound
from inference.embedded import FOLDER
from inference.local.template import ChatTemplate
from inference.local.tokenizer import open_tokenizer
from tests import models

CHAT = [ChatMessage("system", "Be kind."), ChatMessage("user", "Hello")]
REFUSES_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
IGNORES_SYSTEM = models.TEMPLATE.replace(
    "{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}"
)


def template(source: str | None) -> ChatTemplate:
    with TemporaryDirectory() as folder:
        models.tokenizer(template=source).save_pretrained(folder)
        return ChatTemplate(open_tokenizer(Path(folder)))


def render(source: str | None, chat: list[ChatMessage]) -> str:
    return template(source).render(chat)


def test_a_models_own_template_is_used() -> None:
    assert render(models.TEMPLATE, CHAT) == "<|system|>Be kind.<|end|><|user|>Hello<|end|><|assistant|>"


def test_a_base_model_gets_a_plain_one_and_ends_where_the_user_would_speak() -> None:
    plain = template(None)
    chat = [*CHAT, ChatMessage("assistant", "Hi!"), ChatMessage("user", "Bye")]
    assert plain.render(chat) == "Be kind.\nUser: Hello\nAssistant: Hi!\nUser: Bye\nAssistant:"
    assert "\nUser:" in plain.stop


def test_an_answer_that_is_begun_goes_on() -> None:
    chat = [*CHAT, ChatMessage("assistant", "Hi the")]
    assert render(models.TEMPLATE, chat).endswith("<|user|>Hello<|end|><|assistant|>Hi the")
    assert render(None, chat) == "Be kind.\nUser: Hello\nAssistant: Hi the"


def test_without_a_system_role_its_text_goes_into_the_first_message() -> None:
    expected = "<|user|>Be kind.\n\nHello<|end|><|assistant|>"
    assert render(REFUSES_SYSTEM + models.TEMPLATE, CHAT) == expected
    assert render(IGNORES_SYSTEM, CHAT) == expected


def test_neighbours_of_one_role_become_one_message() -> None:
    chat = [ChatMessage("user", "One."), ChatMessage("user", "Two.")]
    assert render(models.TEMPLATE, chat) == "<|user|>One.\n\nTwo.<|end|><|assistant|>"


def test_special_tokens_are_read_as_such_in_the_template() -> None:
    ids = template(models.TEMPLATE).tokenize([ChatMessage("user", "Hello")])
    assert (ids[0], ids[-2], ids[-1]) == (4, 2, 5)


FORMS = [
    "{{ bos_token }}{% for m in messages %}{{ m['role'] | upper }} {{ m['content'] | trim }}{{ eos_token }}"
    "{% endfor %}",
    "{% for m in messages %}{% if loop.index > 5 %}{% continue %}{% endif %}{{ m | tojson }}\n{% endfor %}",
    "{%- if tools %}tools{% endif -%}\n  {% set ns = namespace(n=0) %}\n{% for m in messages %}"
    "{% set ns.n = ns.n + 1 %}  {{ ns.n }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}>{% endif %}",
    "{{ strftime_now('%Y') | length }}{{ messages[0]['content'] }}",
]


@pytest.mark.parametrize("source", FORMS)
def test_templates_are_rendered_as_transformers_does(source: str) -> None:
    chat = [ChatMessage("system", "Sei “nett” <b>"), ChatMessage("user", " Grüße ")]
    plain = [{"role": one.role, "content": one.content} for one in chat]
    full = models.tokenizer(template=source)
    expected = full.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
    assert template(source).render(chat) == expected


def test_a_broken_template_is_explained() -> None:
    with pytest.raises(ModelNotFound, match="template"):
        template("{% for %}")


TEXTS = ["Hello, who are you?", "Grüße aus Köln 🎉\n\n  code()", "<|end|>x<|user|>", "", "日本語 1234567"]


@pytest.mark.parametrize("text", TEXTS)
def test_the_light_tokenizer_reads_and_writes_as_transformers_does(text: str) -> None:
    light, full = open_tokenizer(FOLDER), AutoTokenizer.from_pretrained(FOLDER)
    for special in (True, False):
        ids = light.encode(text, add_special=special)
        assert ids == full(text, add_special_tokens=special)["input_ids"]
        assert light.decode(ids) == full.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
    assert light.eos_token_id == full.eos_token_id
    assert light.chat_template == full.chat_template


def test_without_a_tokenizer_json_transformers_is_asked(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    tokenizer = open_tokenizer(tmp_path)
    assert tokenizer.encode("abb", add_special=False) == [2, 1]
    assert tokenizer.decode([2, 3]) == "ab"
    assert tokenizer.eos_token_id == 3
