"""Tiny models with random weights, built by the tests: real configurations, tokenizers and weights files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

VOCABULARY = 384
CONTEXT = 256
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
CORPUS = [
    "Hello, how are you today? I am fine, thank you. What is your name?",
    "The quick brown fox jumps over the lazy dog. Grüße aus Köln, 你好, привет, 👋🏽 and goodbye!",
]

SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {**SMALL, "tie_word_embeddings": True},
    "llama-rope-scaling": {
        **SMALL,
        "model_type": "llama",
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "qwen2": SMALL,
    "qwen3": {**SMALL, "head_dim": 16},
    "mistral": {**SMALL, "sliding_window": 12},
    "gemma": {**SMALL, "head_dim": 8},
    "gemma2": {**SMALL, "head_dim": 8, "sliding_window": 12, "attn_logit_softcapping": 20.0},
    "phi": {**SMALL, "num_key_value_heads": 4},
    "gpt2": {
        "vocab_size": VOCABULARY,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": CONTEXT,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    "gpt_neox": {key: value for key, value in SMALL.items() if key != "num_key_value_heads"},
}

UNSERVED: dict[str, dict[str, Any]] = {  # families outside transformers' attention interface
    "bloom": {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4},
}


def tokenizer(*, template: str | None = TEMPLATE) -> Any:
    """A byte-level BPE tokenizer that knows every byte and a few words."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<|bos|>", eos_token="<|end|>", pad_token="<|pad|>"
    )
    fast.chat_template = template
    return fast


def build(
    folder: Path,
    family: str = "llama",
    *,
    template: str | None = TEMPLATE,
    seed: int = 0,
    generation: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Write a tiny model of the family to `folder`, as a model's makers would."""
    settings = {**{**FAMILIES, **UNSERVED}[family], **changes}
    config = CONFIG_MAPPING[settings.pop("model_type", family)](**settings)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():  # larger than the usual beginning, so that answers vary
            if weight.ndim > 1:
                weight.mul_(6)
    for name, value in (generation or {}).items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    tokenizer(template=template).save_pretrained(folder)
    return folder


def reference(folder: Path) -> Any:
    """The model as transformers itself runs it, in float32."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def greedy(model: Any, prompt: list[int], count: int) -> list[int]:
    """transformers' own greedy answer, the end-of-sequence token being one like any other."""
    output = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
        do_sample=False,
        max_new_tokens=count,
        min_new_tokens=count,
        eos_token_id=None,
        pad_token_id=0,
        repetition_penalty=1.0,
    )
    return [int(token) for token in output[0, len(prompt) :]]
